/* How far the boot has come, and the clock it is measured by. Owned by main.c; sent to the agent at each change. */
#ifndef BANGER_STATE_H
#define BANGER_STATE_H

#include "control.h"

extern struct boot_state boot;

/* CLOCK_MONOTONIC. */
uint64_t state_now_ns(void);

/* Note that a stage was reached; the first time counts. */
void state_reached(enum stage stage);

/* Say on the console, and keep for the agent if it is the first one, that a step failed: `what detail: error`. */
void state_failed(const char *what, const char *detail, int error_number);

#endif
