/* Find virtio disks by the serial number that the host gave them. */
#ifndef BANGER_DISKS_H
#define BANGER_DISKS_H

#include <stddef.h>

/*
 * Put the device of the disk `name` into `into`: a path ("/dev/vda") stands for itself, anything else is a serial
 * number. Waits at most `wait_ms` for it to appear. Returns 0, or -1 with ENODEV.
 */
int disk_find(const char *name, char *into, size_t size, unsigned wait_ms);

/* List the disks there are, as "vda(root) vdb(work)": what to say when one is missing. */
void disk_list(char *into, size_t size);

#endif
