#include "power.h"
#include "cmdline.h"
#include "mounts.h"
#include "note.h"
#include "state.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* After SIGKILL only a process stuck in the kernel is left: not worth more than this. */
#define KILL_WAIT_MS 1000

/* Reap until no child is left (all processes become children of PID 1 in the end). Returns 1, or 0 at the deadline. */
static int wait_for_all(unsigned deadline_ms)
{
    uint64_t end = state_now_ns() + deadline_ms * 1000000ull;
    sigset_t children;

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        uint64_t now = state_now_ns();
        struct timespec left;

        if (pid > 0)
            continue;
        if (pid < 0 && errno == ECHILD)
            return 1;
        if (now >= end)
            return 0;
        left.tv_sec = (time_t)((end - now) / 1000000000u);
        left.tv_nsec = (long)((end - now) % 1000000000u);
        sigtimedwait(&children, NULL, &left);
    }
}

void power_off(unsigned deadline_ms)
{
    char how[16];

    kill(-1, SIGTERM);
    kill(-1, SIGHUP); /* interactive shells ignore SIGTERM */
    kill(-1, SIGCONT);
    if (!wait_for_all(deadline_ms)) {
        note("some programs did not end in time and are killed", 0);
        kill(-1, SIGKILL);
        wait_for_all(KILL_WAIT_MS);
    }
    mounts_release();
    /* A VMM without a power button (Firecracker) ends at the reset instead. */
    cmdline_value("banger.off", how, sizeof how);
    reboot(strcmp(how, "reset") == 0 ? RB_AUTOBOOT : RB_POWER_OFF);
    note("power off", errno);
    for (;;)
        pause();
}
