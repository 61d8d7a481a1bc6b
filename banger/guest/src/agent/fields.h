/* The body of a request: a sequence of fields, each a 16-bit tag, a 16-bit length, and that many bytes. */
#ifndef BANGER_FIELDS_H
#define BANGER_FIELDS_H

#include "wire.h"

struct field {
    const uint8_t *data; /* inside the frame */
    size_t size;
};

/* Indexed by tag; `data` is NULL where the request has no such field. */
struct fields {
    struct field at[TAG_COUNT];
};

/* The bit of a tag in a set of tags. */
#define FIELD_BIT(tag) (1u << (tag))

/* Split a body. Returns 0; or -1 if it is cut short, or has a tag twice, unknown, or outside `allowed`, or lacks one of
 * `required`, or a field is longer or shorter than its tag permits. */
int fields_parse(struct fields *fields, const uint8_t *body, size_t size, uint32_t required, uint32_t allowed);

/* Copy a field as text. Returns 0 ("" if it is absent), or -1 if it does not fit or has a byte outside printable ASCII;
 * with `multiline`, newlines are allowed. */
int fields_text(const struct field *field, char *into, size_t size, int multiline);

#endif
