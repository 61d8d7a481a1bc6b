#include "mounts.h"
#include "cmdline.h"
#include "disks.h"
#include "files.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_ROOT "/newroot"
/* Disks are probed while their driver loads; the wait is for buses that do it later. */
#define DISK_WAIT_MS 3000

static int mount_at(const char *type, const char *target, unsigned long flags, const char *options)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST) {
        state_failed("make directory", target, errno);
        return -1;
    }
    if (mount(type, target, type, flags, options) == 0 || errno == EBUSY) /* EBUSY: the kernel has done it itself */
        return 0;
    state_failed("mount", target, errno);
    return -1;
}

/* Move a program out of the initramfs, whose files disappear behind the root disk. */
static void copy_program(const char *from, const char *to)
{
    struct stat status;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    off_t left = in >= 0 && fstat(in, &status) == 0 ? status.st_size : -1;

    while (out >= 0 && left > 0) {
        ssize_t put = sendfile(out, in, NULL, (size_t)left);

        if (put <= 0)
            break;
        left -= put;
    }
    if (left != 0)
        state_failed("copy", from, errno);
    close(in);
    close(out);
    unlink(from);
}

void mounts_early(void)
{
    mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
    mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
    if (mkdir(RUN_DIRECTORY, 0700) < 0)
        state_failed("make directory", RUN_DIRECTORY, errno);
    copy_program("/init", RUN_DIRECTORY "/banger-init");
    copy_program("/banger-agent", RUN_DIRECTORY "/banger-agent");
}

static int switch_to_new_root(void)
{
    static const char *const moved[] = {"/proc", "/sys", "/dev", "/run"};
    char target[64];

    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        snprintf(target, sizeof target, NEW_ROOT "%s", moved[i]);
        if ((mkdir(target, 0755) < 0 && errno != EEXIST) || mount(moved[i], target, NULL, MS_MOVE, NULL) < 0) {
            state_failed("move mount", moved[i], errno);
            return -1;
        }
    }
    /* pivot_root(2) refuses the initramfs; this is what its manual page says to do instead. */
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) {
        state_failed("switch root", "", errno);
        return -1;
    }
    return 0;
}

int mounts_root(void)
{
    char name[64], device[64], seen[128], what[160];

    if (!cmdline_value("banger.root", name, sizeof name))
        strcpy(name, "root");
    if (disk_find(name, device, sizeof device, DISK_WAIT_MS) < 0) {
        disk_list(seen, sizeof seen);
        snprintf(what, sizeof what, "no disk with serial \"%.20s\"; there is:", name);
        state_failed(what, *seen ? seen : "none", 0);
        return -1;
    }
    if (mkdir(NEW_ROOT, 0755) < 0 || mount(device, NEW_ROOT, "ext4", 0, NULL) < 0) {
        state_failed("mount root disk", device, errno);
        return -1;
    }
    return switch_to_new_root();
}

void mounts_work(void)
{
    char name[64], device[64];
    int asked = cmdline_value("banger.work", name, sizeof name);

    /* A guest that is to be frozen: what is behind this disk changes before it goes on. The agent mounts it then. */
    if (cmdline_value("banger.work_later", device, sizeof device))
        return;
    if (!asked)
        strcpy(name, "work");
    if (mkdir("/root", 0755) < 0 && errno != EEXIST)
        state_failed("make directory", "/root", errno);
    if (disk_find(name, device, sizeof device, asked ? DISK_WAIT_MS : 0) == 0) {
        if (mount(device, "/root", "ext4", MS_NOSUID | MS_NODEV, NULL) < 0)
            state_failed("mount work disk", device, errno);
    } else if (asked) {
        state_failed("no work disk with serial", name, 0);
    }
    /* sshd (StrictModes) takes no keys from a home that others could write to. */
    if (own_directory("/root", 0755) < 0)
        state_failed("own", "/root", errno);
    if (own_directory("/root/.ssh", 0700) < 0)
        state_failed("own", "/root/.ssh", errno);
}

void mounts_late(void)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
    };

    mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
    mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            state_failed("link", links[i][1], errno);
    if (mkdir("/run/sshd", 0755) < 0 || mkdir("/run/lock", 01777) < 0 || chmod("/run/lock", 01777) < 0)
        state_failed("make directories in", "/run", errno);
    if ((mkdir("/tmp", 01777) < 0 && errno != EEXIST) || chmod("/tmp", 01777) < 0)
        state_failed("own", "/tmp", errno);
}

void mounts_release(void)
{
    sync();
    if (umount2("/root", 0) < 0 && errno != EINVAL && errno != ENOENT) /* EINVAL: no work disk was mounted there */
        state_failed("unmount", "/root", errno);
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        state_failed("make read-only", "/", errno);
    sync();
}
