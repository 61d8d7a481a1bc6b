/* Send a signal to every process of a session, whatever process group it has put itself into. */
#ifndef BANGER_SWEEP_H
#define BANGER_SWEEP_H

#include <sys/types.h>

/* Returns how many there are that have not ended; `number` 0 only counts them. SIGHUP wakes those that are stopped. */
int sweep(pid_t session, int number);

#endif
