/*
 * banger-place changes files of a checkout, all or none: `banger-place [--check] DIRECTORY` reads from its input what each
 * file must be now and what it is to become. A file that is neither what was put there nor what is to be there was changed
 * by somebody in the guest: then nothing is touched. The format is written by banger/workspace/plan.py.
 *
 *   magic      "bplace1\n", the bytes of an object id (20 or 32)
 *   w TEXT     a state that the checkout may be in: what .git/banger-workspace says
 *   c PATH N   what the path may be now: N times a kind and an object id
 *   d PATH     is to go, and then directories that it leaves empty
 *   f PATH     is to be a file: executable or not, its size in 64 bits, its bytes
 *   l PATH     is to be a symbolic link: TARGET
 *   e TEXT     the end, and the state from now on; none: the state is left as it is
 *
 * Numbers are big-endian; a text, a path and a target are their length in 16 bits, and bytes.
 */
#ifndef BANGER_PLACE_H
#define BANGER_PLACE_H

#include "hash.h"

#include <sys/stat.h>

enum kind { ABSENT, FILE_KIND, PROGRAM, LINK, OTHER };

enum status { DONE = 0, OTHER_STATE = 3, CHANGED = 4, BAD_INPUT = 5, REFUSED = 6 };

struct check {
    char *path;
    uint8_t count;
    uint8_t *expected; /* `count` times a kind and an object id */
};

struct change {
    char *path;
    int is_deletion;
    char *staged; /* below .git/banger; NULL for a deletion */
};

struct plan {
    size_t oid_bytes;
    size_t checks, changes;
    struct check *check;
    struct change *change;
    char *state; /* from now on; NULL: as it is */
};

extern int root; /* the checkout, open */

/* Leave, with what could not be done and errno on stderr. */
_Noreturn void refuse(const char *what, const char *path);

/* Open below the checkout, following no symbolic link; -1 with errno. */
int open_beneath(const char *path, int flags);

/* Open the directory that holds the path; `*name` is the last part of it. */
int open_parent(const char *path, const char **name, int create);

/* tree.c: what a path is, whether it is as expected, and what is done to it. */
int is_expected(const struct plan *plan, const struct check *check);
void apply(const struct change *change);

#endif
