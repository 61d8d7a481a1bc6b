#include "disks.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_MS 10

/* The serial of /sys/block/<disk>, without its newline; "" if it has none. VIRTIO_BLK_ID_BYTES is 20. */
static void serial_of(const char *disk, char *into, size_t size)
{
    char path[300];
    ssize_t length;

    snprintf(path, sizeof path, "/sys/block/%s/serial", disk);
    length = read_file(path, into, size);
    into[length < 0 ? 0 : strcspn(into, "\n")] = '\0';
}

static int find_once(const char *serial, char *into, size_t size)
{
    DIR *disks = opendir("/sys/block");
    char found[64];
    int result = -1;

    if (!disks)
        return -1;
    for (struct dirent *entry; result < 0 && (entry = readdir(disks)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        serial_of(entry->d_name, found, sizeof found);
        if (strcmp(found, serial) == 0 && (size_t)snprintf(into, size, "/dev/%s", entry->d_name) < size)
            result = 0;
    }
    closedir(disks);
    return result;
}

int disk_find(const char *name, char *into, size_t size, unsigned wait_ms)
{
    const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};
    int is_path = strncmp(name, "/dev/", 5) == 0;

    for (unsigned waited = 0;; waited += LOOK_EVERY_MS) {
        if (is_path && access(name, F_OK) == 0 && strlen(name) < size) {
            strcpy(into, name);
            return 0;
        }
        if (!is_path && find_once(name, into, size) == 0)
            return 0;
        if (waited >= wait_ms) {
            errno = ENODEV;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
}

void disk_list(char *into, size_t size)
{
    DIR *disks = opendir("/sys/block");
    char serial[64];
    size_t used = 0;

    into[0] = '\0';
    if (!disks)
        return;
    for (struct dirent *entry; (entry = readdir(disks)) != NULL;) {
        int length;

        if (entry->d_name[0] == '.')
            continue;
        serial_of(entry->d_name, serial, sizeof serial);
        length = snprintf(into + used, size - used, "%s%s(%s)", used ? " " : "", entry->d_name, serial);
        if (length < 0 || (size_t)length >= size - used)
            break;
        used += (size_t)length;
    }
    closedir(disks);
}
