#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST 8192

static int is_deleted(const struct plan *plan, const char *path, size_t length)
{
    for (size_t i = 0; i < plan->changes; i++)
        if (plan->change[i].is_deletion && strlen(plan->change[i].path) == length &&
            memcmp(plan->change[i].path, path, length) == 0)
            return 1;
    return 0;
}

/* Whether nothing but what the plan deletes is in a directory. */
static int is_all_deleted(const struct plan *plan, const char *path)
{
    int fd = open_beneath(path, O_RDONLY | O_DIRECTORY), all = 1;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat status;
    char inner[LONGEST];

    if (!directory)
        return 0;
    while (all && (entry = readdir(directory))) {
        int size = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (size < 0 || (size_t)size >= sizeof inner || fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            all = 0;
        else
            all = S_ISDIR(status.st_mode) ? is_all_deleted(plan, inner) : is_deleted(plan, inner, (size_t)size);
    }
    closedir(directory);
    return all;
}

/* The path leads through something that is no directory: that is fine if the plan takes it away. */
static int is_way_freed(const struct plan *plan, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        if (is_deleted(plan, path, (size_t)(slash - path)))
            return 1;
    return 0;
}

static void name_content(const struct plan *plan, int fd, const struct stat *status, uint8_t *oid)
{
    static uint8_t buffer[65536];
    char head[40];
    struct hash hash;
    ssize_t got;

    hash_begin(&hash, plan->oid_bytes);
    hash_add(&hash, head, (size_t)snprintf(head, sizeof head, "blob %lld", (long long)status->st_size) + 1);
    if (S_ISLNK(status->st_mode)) {
        got = readlinkat(fd, "", (char *)buffer, sizeof buffer);
        hash_add(&hash, buffer, got < 0 ? 0 : (size_t)got);
    } else {
        while ((got = read(fd, buffer, sizeof buffer)) > 0)
            hash_add(&hash, buffer, (size_t)got);
    }
    hash_end(&hash, oid);
}

/* What a path is: its kind, and the object id of what it holds. */
static enum kind look(const struct plan *plan, const char *path, uint8_t *oid)
{
    int fd = open_beneath(path, O_PATH | O_NOFOLLOW), content;
    enum kind kind = OTHER;
    struct stat status;

    memset(oid, 0, OID_MOST);
    if (fd < 0 && errno == ENOENT)
        return ABSENT;
    if (fd < 0)
        return (errno == ENOTDIR || errno == ELOOP) && is_way_freed(plan, path) ? ABSENT : OTHER;
    if (fstat(fd, &status) == 0) {
        if (S_ISLNK(status.st_mode)) {
            kind = LINK;
            name_content(plan, fd, &status, oid);
        } else if (S_ISREG(status.st_mode)) {
            content = open_beneath(path, O_RDONLY | O_NOFOLLOW);
            kind = status.st_mode & S_IXUSR ? PROGRAM : FILE_KIND;
            if (content < 0)
                refuse("read", path);
            name_content(plan, content, &status, oid);
            close(content);
        } else if (S_ISDIR(status.st_mode) && is_all_deleted(plan, path)) {
            kind = ABSENT;
        }
    }
    close(fd);
    return kind;
}

int is_expected(const struct plan *plan, const struct check *check)
{
    const uint8_t *expected = check->expected;
    uint8_t oid[OID_MOST];
    enum kind kind = look(plan, check->path, oid);

    for (int i = 0; i < check->count; i++, expected += 1 + plan->oid_bytes)
        if (expected[0] == kind && memcmp(expected + 1, oid, plan->oid_bytes) == 0)
            return 1;
    return 0;
}

static void remove_empty(const char *path)
{
    int fd = open_beneath(path, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    char inner[LONGEST];

    while (directory && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < (int)sizeof inner) {
            remove_empty(inner);
            unlinkat(fd, entry->d_name, AT_REMOVEDIR);
        }
    if (directory)
        closedir(directory);
}

static void remove_path(const char *path)
{
    const char *name;
    int parent = open_parent(path, &name, 0);
    char *above = strdup(path), *slash;

    if (parent >= 0 && unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        refuse("remove", path);
    if (parent >= 0)
        close(parent);
    while (above && (slash = strrchr(above, '/'))) {
        *slash = '\0';
        parent = open_parent(above, &name, 0);
        if (parent < 0 || unlinkat(parent, name, AT_REMOVEDIR) < 0)
            *above = '\0';
        if (parent >= 0)
            close(parent);
    }
    free(above);
}

void apply(const struct change *change)
{
    const char *name;
    int parent, result;

    if (change->is_deletion) {
        remove_path(change->path);
        return;
    }
    parent = open_parent(change->path, &name, 1);
    if (parent < 0)
        refuse("make the directory of", change->path);
    result = renameat(root, change->staged, parent, name);
    if (result < 0 && errno == EISDIR) { /* a directory in which there is nothing but directories */
        remove_empty(change->path);
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
            result = renameat(root, change->staged, parent, name);
    }
    if (result < 0)
        refuse("put in place", change->path);
    close(parent);
}
