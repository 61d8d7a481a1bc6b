/* Small files: read whole, write whole, replace so that no reader sees half of one. */
#ifndef BANGER_FILES_H
#define BANGER_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* All paths below are taken inside this directory: "" in a guest, a scratch directory in the tests. */
extern const char *files_root;

/* Put files_root before `path`. Returns 0, or -1 with ENAMETOOLONG. */
int file_path(char *into, size_t size, const char *path);

/* Read at most size - 1 bytes and end them with NUL. Returns the number read, or -1 with errno (EFBIG: it is longer). */
ssize_t read_file(const char *path, char *into, size_t size);

/* Put `size` bytes at `path` with exactly this mode, through a new file and rename(2). Returns 0, or -1 with errno. */
int replace_file(const char *path, const void *data, size_t size, mode_t mode);

/* Make `path` (a directory, or a symbolic link to one) exist, owned by us (root, in a guest), with exactly this mode. */
int own_directory(const char *path, mode_t mode);

/* Write everything; EINTR is no error. Returns 0, or -1 with errno. */
int write_all(int fd, const void *data, size_t size);

#endif
