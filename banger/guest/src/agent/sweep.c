#include "sweep.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process that forks while we look may leave a child unseen: so look again, until nobody new is found. */
#define PASSES_MOST 8

/* The session of a process (proc_pid_stat(5), field 6), and whether it is a zombie; -1 if it has gone. */
static pid_t session_of(const char *pid, int *ended)
{
    char path[64], text[512], state;
    const char *end;
    long session;
    ssize_t size;
    int fd;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    end = strrchr(text, ')'); /* the name before it may hold anything */
    if (!end || sscanf(end + 1, " %c %*d %*d %ld", &state, &session) != 2)
        return -1;
    *ended = state == 'Z' || state == 'X';
    return (pid_t)session;
}

static int pass(DIR *processes, pid_t session, int number)
{
    int found = 0;

    rewinddir(processes);
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        int ended = 0;

        if (!isdigit((unsigned char)entry->d_name[0]) || session_of(entry->d_name, &ended) != session || ended)
            continue;
        if (kill((pid_t)atol(entry->d_name), number) == 0)
            found++;
        if (number == SIGHUP)
            kill((pid_t)atol(entry->d_name), SIGCONT);
    }
    return found;
}

int sweep(pid_t session, int number)
{
    DIR *processes = opendir("/proc");
    int passes = number == SIGKILL ? PASSES_MOST : 1, found = 0;

    if (!processes)
        return 0;
    do
        found = pass(processes, session, number);
    while (--passes > 0 && found > 0);
    closedir(processes);
    return found;
}
