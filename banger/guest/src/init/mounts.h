/* What is mounted where: the kernel's filesystems, the root disk that becomes "/", and the work disk at /root. */
#ifndef BANGER_MOUNTS_H
#define BANGER_MOUNTS_H

/* Mount /proc, /sys, /dev and /run in the initramfs, and copy both programs to /run/banger. */
void mounts_early(void);

/* Mount the disk named by banger.root= and make it "/". Returns 0, or -1 when there is no root to go on with. */
int mounts_root(void);

/* Unless banger.work_later= names it: mount the disk named by banger.work= at /root, and give /root and /root/.ssh the owner and modes sshd insists on. */
void mounts_work(void);

/* Mount and make what programs expect to find in /dev, /run and /sys. */
void mounts_late(void);

/* Unmount or make read-only every disk, so that nothing has to be replayed at the next boot. */
void mounts_release(void);

#endif
