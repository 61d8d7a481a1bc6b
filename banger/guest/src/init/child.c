#include "child.h"
#include "control.h"
#include "note.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static char *const environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    NULL,
};

static void become(const char *path, char *const argv[], int stream, int control)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (stream >= 0 && (dup2(stream, STDIN_FILENO) < 0 || dup2(stream, STDOUT_FILENO) < 0))
        return;
    if (control >= 0 && dup2(control, CONTROL_FD) < 0)
        return;
    /* dup2(2) of a descriptor onto itself keeps its close-on-exec flag. */
    if (control == CONTROL_FD && fcntl(CONTROL_FD, F_SETFD, 0) < 0)
        return;
    execve(path, argv, environment);
}

pid_t child_start(const char *path, char *const argv[], int stream, int control)
{
    pid_t pid = fork();

    if (pid == 0) {
        become(path, argv, stream, control);
        note_about("start", path, errno);
        _exit(127);
    }
    if (pid < 0)
        state_failed("fork for", path, errno);
    return pid;
}
