#include "spawn.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define WORDS_MOST 16384
#define NOT_EXECUTABLE 126
#define NOT_FOUND 127
#define LOGIN_MOST 6

static char *arguments[WORDS_MOST + 1];
static char *environment[WORDS_MOST + LOGIN_MOST + 1];
static char shell[256];

/* Point at each word of a field. Returns how many there are, or -1 if the last has no end or there are too many. */
static int split(const struct field *field, char **words)
{
    int count = 0;

    if (!field->data)
        return 0;
    if (field->data[field->size - 1] != '\0')
        return -1;
    for (size_t at = 0; at < field->size; at += strlen((const char *)field->data + at) + 1) {
        if (count == WORDS_MOST)
            return -1;
        words[count++] = (char *)(uintptr_t)(field->data + at);
    }
    return count;
}

/* "SHELL=" and root's shell, the last field of root's line in passwd(5). */
static void find_shell(void)
{
    static char passwd[16384];
    char *line = passwd, *end, *colon;

    snprintf(shell, sizeof shell, "SHELL=/bin/sh");
    if (read_file("/etc/passwd", passwd, sizeof passwd) < 0)
        return;
    for (; *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        if (strncmp(line, "root:", 5) != 0)
            continue;
        for (colon = end; *colon != ':'; colon--)
            continue;
        if (end - colon > 1 && (size_t)(end - colon) < sizeof shell - 6)
            snprintf(shell, sizeof shell, "SHELL=%.*s", (int)(end - colon - 1), colon + 1);
        return;
    }
}

static int is_set(const char *assignment, int count)
{
    size_t name = strcspn(assignment, "=") + 1;

    for (int i = 0; i < count; i++)
        if (strncmp(environment[i], assignment, name) == 0)
            return 1;
    return 0;
}

/* What was asked for, and what a login of root has beside it. Returns 0, or -1 if an entry is no assignment. */
static int make_environment(const struct spawn *spawn)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char home[] = "HOME=/root", user[] = "USER=root", logname[] = "LOGNAME=root", term[] = "TERM=xterm";
    char *const login[LOGIN_MOST] = {path, home, user, logname, shell, term};
    int asked = split(spawn->env, environment), count = asked;

    if (asked < 0)
        return -1;
    for (int i = 0; i < asked; i++)
        if (environment[i][0] == '=' || !strchr(environment[i], '='))
            return -1;
    find_shell();
    for (size_t i = 0; i < LOGIN_MOST; i++)
        if (!is_set(login[i], asked) && (login[i] != term || spawn->terminal))
            environment[count++] = login[i];
    environment[count] = NULL;
    return 0;
}

/* A terminal: our end in `in` and `out`, the program's in `theirs`. */
static int open_terminal(const struct spawn *spawn, struct spawned *started, int theirs[3])
{
    int unlocked = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct termios settings;

    if (master < 0)
        return -1;
    started->in = master;
    started->out = fcntl(master, F_DUPFD_CLOEXEC, 4);
    if (started->out < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return -1;
    /* By descriptor, since a name of a devpts may be another's (TIOCGPTPEER, ioctl_tty(2)). */
    theirs[0] = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs[0] < 0 || ioctl(master, TIOCSWINSZ, &spawn->size) < 0 || tcgetattr(theirs[0], &settings) < 0)
        return -1;
    settings.c_iflag |= IUTF8;
    return tcsetattr(theirs[0], TCSANOW, &settings);
}

static int open_pipes(struct spawned *started, int theirs[3])
{
    int *const ours[3] = {&started->in, &started->out, &started->err};

    for (int i = 0; i < 3; i++) {
        int pair[2];

        if (pipe2(pair, O_CLOEXEC) < 0)
            return -1;
        theirs[i] = pair[i == 0 ? 0 : 1];
        *ours[i] = pair[i == 0 ? 1 : 0];
        if (fcntl(*ours[i], F_SETFL, O_NONBLOCK) < 0)
            return -1;
    }
    return 0;
}

static void complain(const char *what, int status)
{
    dprintf(STDERR_FILENO, "banger: %s: %s\n", what, status == NOT_FOUND ? "not found" : strerror(errno));
    _exit(status);
}

/* In the child. No memory is allocated, and nothing is left open but 0, 1 and 2: all else is close-on-exec. */
static void become(const struct spawn *spawn, const int theirs[3], pid_t parent)
{
    sigset_t none;

    /* An agent that dies takes its programs along: nobody would ever hear of them again. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(NOT_EXECUTABLE);
    setsid();
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (spawn->terminal && ioctl(theirs[0], TIOCSCTTY, 0) < 0)
        _exit(NOT_EXECUTABLE);
    for (int i = 0; i < 3; i++)
        if (dup2(theirs[spawn->terminal ? 0 : i], i) < 0)
            _exit(NOT_EXECUTABLE);
    umask(022);
    if (chdir(spawn->directory) < 0)
        complain(spawn->directory, NOT_EXECUTABLE);
    environ = environment; /* execvp(3) looks in the PATH that the program will have */
    execvp(arguments[0], arguments);
    complain(arguments[0], errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE);
}

int spawn_start(const struct spawn *spawn, struct spawned *started)
{
    int theirs[3] = {-1, -1, -1}, words = split(spawn->argv, arguments), opened, saved;
    pid_t parent = getpid();

    *started = (struct spawned){-1, -1, -1, -1};
    if (words < 1 || arguments[0][0] == '\0' || make_environment(spawn) < 0) {
        errno = EINVAL;
        return -1;
    }
    arguments[words] = NULL;
    opened = spawn->terminal ? open_terminal(spawn, started, theirs) : open_pipes(started, theirs);
    if (opened == 0)
        started->pid = fork();
    if (started->pid == 0)
        become(spawn, theirs, parent);
    saved = errno;
    for (int i = 0; i < 3; i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    if (started->pid < 0) {
        int *const ours[3] = {&started->in, &started->out, &started->err};

        for (int i = 0; i < 3; i++)
            if (*ours[i] >= 0)
                close(*ours[i]);
    }
    errno = saved;
    return started->pid < 0 ? -1 : 0;
}
