/* The agent's system.h for tests on a developer's machine: it changes nothing outside its scratch directory. */
#include "system.h"
#include "files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int system_rehearsal(int count, char **words, int *port, struct boot_state *boot)
{
    if (count != 4) {
        fprintf(stderr, "usage: banger-agent-checked <descriptor of the port> <scratch directory> <enum ssh_state>\n");
        exit(2);
    }
    *port = atoi(words[1]);
    if (fcntl(*port, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
        perror("port");
        exit(2);
    }
    fcntl(*port, F_SETFD, FD_CLOEXEC);
    files_root = words[2];
    boot->ssh = (uint32_t)atoi(words[3]);
    for (int stage = STAGE_INIT; stage <= STAGE_NETWORK; stage++)
        boot->stage_ns[stage] = (uint64_t)stage + 1;
    if (boot->ssh == SSH_LISTENING)
        boot->stage_ns[STAGE_IDENTITY] = boot->stage_ns[STAGE_SSH] = STAGE_COUNT;
    return 1;
}

uint64_t system_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t system_time_ns(void)
{
    struct timespec now;

    if (!getenv("BANGER_CHECKED_CLOCK")) /* whose clock is the machine's, as if it had been set to that */
        return 1700000000000000000u;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int system_set_time(uint64_t time_ns)
{
    (void)time_ns;
    return 0;
}

int system_set_hostname(const char *name)
{
    (void)name;
    return 0;
}

int system_add_entropy(const uint8_t *seed, size_t size)
{
    (void)seed, (void)size;
    return 0;
}

int system_network(const struct net_config *config, const char **step)
{
    (void)config, (void)step;
    return 0;
}

int system_tell_init(int control, enum control_kind kind, uint32_t deadline_ms)
{
    (void)control, (void)kind, (void)deadline_ms;
    return 0;
}

void system_sync(void)
{
}

int system_quiesce(void)
{
    return 0;
}

int system_mount_work(uint64_t size, const char **step)
{
    (void)size, (void)step;
    return 0;
}
