/* Start a program with pipes or a terminal of its own, in a session of its own, as a login of root would. */
#ifndef BANGER_SPAWN_H
#define BANGER_SPAWN_H

#include "fields.h"

#include <sys/ioctl.h>
#include <sys/types.h>

struct spawn {
    const struct field *argv, *env; /* words, each ended by NUL; env may be absent */
    const char *directory;
    int terminal;
    struct winsize size;
};

/* Our ends of the program's input, output and errors, non-blocking; with a terminal errors is -1. */
struct spawned {
    pid_t pid;
    int in, out, err;
};

/* Returns 0; or -1 with errno, which is EINVAL if argv or env is not what it should be. Whether the program can be
 * executed is known only later: it then ends with 127 (not found) or 126, as in a shell, having said why. */
int spawn_start(const struct spawn *spawn, struct spawned *started);

#endif
