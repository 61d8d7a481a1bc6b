/*
 * What the agent does to the machine beyond files. A module of its own, because the tests run the rest of the agent on
 * the developer's machine, linked with checked/system.c, which touches nothing.
 */
#ifndef BANGER_SYSTEM_H
#define BANGER_SYSTEM_H

#include "control.h"
#include "net.h"

#include <stddef.h>
#include <stdint.h>

/* Always 0 in a guest. In a rehearsal: take the port and a finished boot from there, keep files in a scratch directory. */
int system_rehearsal(int count, char **words, int *port, struct boot_state *boot);

uint64_t system_monotonic_ns(void);
uint64_t system_time_ns(void);

/* Each returns 0, or -1 with errno. */
int system_set_time(uint64_t time_ns);
int system_set_hostname(const char *name);
int system_add_entropy(const uint8_t *seed, size_t size);
int system_network(const struct net_config *config, const char **step);
int system_tell_init(int control, enum control_kind kind, uint32_t deadline_ms);
void system_sync(void);

/* Write everything to the disks and drop what was only cached of them. Returns 0, or -1 with errno. */
int system_quiesce(void);

/*
 * Mount the disk that banger.work_later= names at /root once the kernel sees that it has this many bytes; does nothing if
 * it is mounted. Returns 0, or -1 with `*step` and errno.
 */
int system_mount_work(uint64_t size, const char **step);

#endif
