#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char *files_root = "";

static int close_keeping_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

int file_path(char *into, size_t size, const char *path)
{
    int length = snprintf(into, size, "%s%s", files_root, path);

    if (length >= 0 && (size_t)length < size)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

ssize_t read_file(const char *path, char *into, size_t size)
{
    char full[PATH_MAX];
    size_t used = 0;
    int fd;

    if (file_path(full, sizeof full, path) < 0)
        return -1;
    /* O_NONBLOCK: a FIFO in the image must not stop the boot. */
    fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -1;
    for (;;) {
        ssize_t got = read(fd, into + used, size - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return close_keeping_errno(fd);
        if (got == 0)
            break;
        used += (size_t)got;
        if (used == size) {
            errno = EFBIG;
            return close_keeping_errno(fd);
        }
    }
    into[used] = '\0';
    close(fd);
    return (ssize_t)used;
}

int write_all(int fd, const void *data, size_t size)
{
    const char *next = data;

    while (size > 0) {
        ssize_t put = write(fd, next, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        next += put;
        size -= (size_t)put;
    }
    return 0;
}

int replace_file(const char *path, const void *data, size_t size, mode_t mode)
{
    char full[PATH_MAX];
    char temporary[PATH_MAX + 16];
    int fd, saved;

    if (file_path(full, sizeof full, path) < 0)
        return -1;
    snprintf(temporary, sizeof temporary, "%s.banger-new", full);
    if (unlink(temporary) < 0 && errno != ENOENT)
        return -1;
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (write_all(fd, data, size) < 0 || fchmod(fd, mode) < 0)
        close_keeping_errno(fd);
    else if (close(fd) == 0 && rename(temporary, full) == 0)
        return 0;
    saved = errno;
    unlink(temporary);
    errno = saved;
    return -1;
}

int own_directory(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    int fd;

    if (file_path(full, sizeof full, path) < 0)
        return -1;
    if (mkdir(full, mode) < 0 && errno != EEXIST)
        return -1;
    fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, mode) < 0)
        return close_keeping_errno(fd);
    return close(fd);
}
