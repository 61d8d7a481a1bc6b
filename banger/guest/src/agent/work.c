/* The work disk of a guest that was frozen without one: it is mounted when the machine learns who it is. */
#include "cmdline.h"
#include "disks.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The kernel learns the new size from an interrupt, and takes it in by a work queue. */
#define WAIT_MS 5000
#define LOOK_EVERY_MS 2

/* Whether something is mounted at /root: an agent that was started again must not mount it twice. */
static int is_mounted(void)
{
    struct stat top, home;

    return stat("/", &top) == 0 && stat("/root", &home) == 0 && top.st_dev != home.st_dev;
}

/* Wait until the disk has its size, and forget what was read of the one that was in its place. */
static int wait_size(const char *device, uint64_t size)
{
    const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};
    uint64_t found = 0;

    for (unsigned waited = 0; waited <= WAIT_MS; waited += LOOK_EVERY_MS) {
        int fd = open(device, O_RDONLY | O_CLOEXEC);
        int failed = fd < 0 || ioctl(fd, (int)BLKGETSIZE64, &found) < 0 || (found == size && ioctl(fd, BLKFLSBUF, 0) < 0);
        int saved = errno;

        if (fd >= 0)
            close(fd);
        errno = saved;
        if (failed)
            return -1;
        if (found == size)
            return 0;
        nanosleep(&pause, NULL);
    }
    errno = ETIMEDOUT;
    return -1;
}

int system_mount_work(uint64_t size, const char **step)
{
    char serial[64], device[64];

    if (is_mounted())
        return 0;
    *step = "find the work disk";
    errno = ENODEV;
    if (!cmdline_value("banger.work_later", serial, sizeof serial) || disk_find(serial, device, sizeof device, 0) < 0)
        return -1;
    *step = "see the work disk's new size";
    if (wait_size(device, size) < 0)
        return -1;
    *step = "mount the work disk";
    return mount(device, "/root", "ext4", MS_NOSUID | MS_NODEV, NULL);
}
