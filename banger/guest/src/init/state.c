#include "state.h"
#include "note.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct boot_state boot;

uint64_t state_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void state_reached(enum stage stage)
{
    if (boot.stage_ns[stage] == 0)
        boot.stage_ns[stage] = state_now_ns();
}

void state_failed(const char *what, const char *detail, int error_number)
{
    note_about(what, detail, error_number);
    if (boot.failure[0])
        return;
    snprintf(boot.failure, sizeof boot.failure, "%s%s%s%s%s", what, *detail ? " " : "", detail,
             error_number ? ": " : "", error_number ? strerror(error_number) : "");
}
