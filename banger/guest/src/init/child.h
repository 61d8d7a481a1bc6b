/* Start a program as a child of init: clean environment, default signals, no descriptor it was not given. */
#ifndef BANGER_CHILD_H
#define BANGER_CHILD_H

#include <sys/types.h>

/*
 * `stream`, unless it is -1, becomes its standard input and output; `control`, unless it is -1, its CONTROL_FD. Standard
 * error stays the console. Returns the process id, or -1 after the failure was noted.
 */
pid_t child_start(const char *path, char *const argv[], int stream, int control);

#endif
