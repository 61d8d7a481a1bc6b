#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATE ".git/banger-workspace"
#define INCOMING ".git/banger/incoming"
#define SHOWN_MOST 1000

int root;

static uint8_t buffer[65536];
static size_t start, end;
static int only_check;

_Noreturn void refuse(const char *what, const char *path)
{
    fprintf(stderr, "cannot %s %s: %s\n", what, path, strerror(errno));
    exit(REFUSED);
}

static _Noreturn void bad(const char *what)
{
    fprintf(stderr, "the stream %s\n", what);
    exit(BAD_INPUT);
}

static void *checked(void *memory)
{
    if (!memory)
        refuse("get", "memory");
    return memory;
}

int open_beneath(const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

int open_parent(const char *path, const char **name, int create)
{
    char *above = checked(strdup(path)), *slash = strrchr(above, '/');
    int fd;

    *name = slash ? path + (slash - above) + 1 : path;
    if (slash)
        *slash = '\0';
    for (char *at = slash && create ? strchr(above, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdirat(root, above, 0755); /* if that fails, so does the open below */
        *at = '/';
    }
    if (slash && create)
        mkdirat(root, above, 0755);
    fd = open_beneath(slash ? above : ".", O_PATH | O_DIRECTORY);
    free(above);
    return fd;
}

/* Give out bytes of the input that are there, `most` at most and one at least. */
static size_t some(uint8_t **from, size_t most)
{
    ssize_t got;

    if (start == end) {
        do
            got = read(STDIN_FILENO, buffer, sizeof buffer);
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            bad("broke off");
        start = 0;
        end = (size_t)got;
    }
    *from = buffer + start;
    most = end - start < most ? end - start : most;
    start += most;
    return most;
}

static void take(void *into, size_t size)
{
    uint8_t *from, *to = into;

    while (size > 0) {
        size_t part = some(&from, size);

        memcpy(to, from, part);
        to += part;
        size -= part;
    }
}

static uint64_t number(int bytes)
{
    uint8_t data[8];
    uint64_t value = 0;

    take(data, (size_t)bytes);
    for (int i = 0; i < bytes; i++)
        value = value << 8 | data[i];
    return value;
}

static char *text(void)
{
    size_t size = (size_t)number(2);
    char *value = checked(malloc(size + 1));

    take(value, size);
    value[size] = '\0';
    if (strlen(value) != size)
        bad("holds a NUL");
    return value;
}

static void read_check(struct plan *plan)
{
    struct check *check;
    size_t size;

    if (plan->checks % 1024 == 0)
        plan->check = checked(realloc(plan->check, (plan->checks + 1024) * sizeof *plan->check));
    check = &plan->check[plan->checks++];
    check->path = text();
    check->count = (uint8_t)number(1);
    size = check->count * (1 + plan->oid_bytes);
    check->expected = checked(malloc(size + 1));
    take(check->expected, size);
}

/* A file under a name of its own, until all has come. */
static char *stage_file(size_t index, int is_program)
{
    uint64_t left = number(8);
    char *name = checked(malloc(sizeof INCOMING + 24));
    uint8_t *from;
    int fd = -1;

    sprintf(name, INCOMING "/%zu", index);
    if (!only_check) {
        fd = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_program ? 0755 : 0644);
        if (fd < 0)
            refuse("make", name);
    }
    while (left > 0) {
        size_t part = some(&from, left < sizeof buffer ? (size_t)left : sizeof buffer), done = 0;

        while (fd >= 0 && done < part) {
            ssize_t wrote = write(fd, from + done, part - done);

            if (wrote < 0)
                refuse("write", name);
            done += (size_t)wrote;
        }
        left -= part;
    }
    if (fd >= 0 && close(fd) < 0)
        refuse("write", name);
    return name;
}

static char *stage_link(size_t index)
{
    char *target = text(), *name = checked(malloc(sizeof INCOMING + 24));

    sprintf(name, INCOMING "/%zu", index);
    if (!only_check && symlinkat(target, root, name) < 0)
        refuse("make", name);
    free(target);
    return name;
}

static void read_change(struct plan *plan, int type)
{
    struct change *change;

    if (plan->changes % 1024 == 0)
        plan->change = checked(realloc(plan->change, (plan->changes + 1024) * sizeof *plan->change));
    change = &plan->change[plan->changes];
    change->path = text();
    change->is_deletion = type == 'd';
    change->staged = NULL;
    if (type == 'f') {
        int is_program = number(1) != 0;

        change->staged = stage_file(plan->changes, is_program);
    } else if (type == 'l') {
        change->staged = stage_link(plan->changes);
    }
    plan->changes++;
}

/* What was put here last, as it says itself; empty if it does not. */
static void read_state(char *state, size_t room)
{
    int fd = open_beneath(STATE, O_RDONLY | O_NOFOLLOW);
    ssize_t got = fd < 0 ? 0 : read(fd, state, room - 1);

    if (fd >= 0)
        close(fd);
    state[got > 0 ? got : 0] = '\0';
    state[strcspn(state, "\n")] = '\0';
}

/* Have the directory for what is staged, with nothing in it. */
static void clear_incoming(void)
{
    DIR *directory;
    struct dirent *entry;
    int fd;

    mkdirat(root, ".git/banger", 0755);
    if (mkdirat(root, INCOMING, 0700) < 0 && errno != EEXIST)
        refuse("make", INCOMING);
    fd = open_beneath(INCOMING, O_RDONLY | O_DIRECTORY);
    directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory)
        refuse("open", INCOMING);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            unlinkat(fd, entry->d_name, 0);
    closedir(directory);
}

static void read_plan(struct plan *plan)
{
    char magic[8], state[200];
    int matched = 0, type;

    take(magic, sizeof magic);
    if (memcmp(magic, "bplace1\n", sizeof magic) != 0)
        bad("is of another form");
    plan->oid_bytes = (size_t)number(1);
    if (plan->oid_bytes != SHA1_BYTES && plan->oid_bytes != SHA256_BYTES)
        bad("has object ids of another form");
    read_state(state, sizeof state);
    while ((type = (int)number(1)) == 'w') {
        char *allowed = text();

        matched |= strcmp(allowed, state) == 0;
        free(allowed);
    }
    if (!matched) {
        fputs(state, stdout);
        exit(OTHER_STATE);
    }
    if (!only_check)
        clear_incoming();
    for (; type != 'e'; type = (int)number(1)) {
        if (type == 'c')
            read_check(plan);
        else if (type == 'd' || type == 'f' || type == 'l')
            read_change(plan, type);
        else
            bad("holds what is not known");
    }
    plan->state = text();
}

static void write_state(const char *state)
{
    int fd = openat(root, STATE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || dprintf(fd, "%s\n", state) < 0 || close(fd) < 0 || renameat(root, STATE ".new", root, STATE) < 0)
        refuse("write", STATE);
}

int main(int argc, char **argv)
{
    struct plan plan = {0};
    int changed = 0;

    umask(022);
    only_check = argc == 3 && strcmp(argv[1], "--check") == 0;
    root = argc < 2 ? -1 : open(argv[argc - 1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) /* nothing is there: that is a state too */
        return OTHER_STATE;
    read_plan(&plan);
    for (size_t i = 0; i < plan.checks && changed < SHOWN_MOST; i++)
        if (!is_expected(&plan, &plan.check[i]) && ++changed)
            fwrite(plan.check[i].path, strlen(plan.check[i].path) + 1, 1, stdout);
    if (!changed && !only_check) {
        for (size_t i = 0; i < plan.changes; i++) /* first what goes: it may be in the way */
            if (plan.change[i].is_deletion)
                apply(&plan.change[i]);
        for (size_t i = 0; i < plan.changes; i++)
            if (!plan.change[i].is_deletion)
                apply(&plan.change[i]);
        if (*plan.state)
            write_state(plan.state);
    }
    if (!only_check)
        clear_incoming();
    return changed ? CHANGED : DONE;
}
