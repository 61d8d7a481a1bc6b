/* Write JSON (RFC 8259) into a buffer that cannot overflow: what no longer fits is dropped, and `full` says so. */
#ifndef BANGER_JSON_H
#define BANGER_JSON_H

#include <stddef.h>
#include <stdint.h>

struct json {
    char *out;
    size_t size, used;
    int full;
    int comma; /* a value stands before the place where the next one goes */
};

void json_start(struct json *json, char *out, size_t size);

/* Open or close an object or array with '{', '}', '[' or ']'. */
void json_open(struct json *json, char bracket);
void json_close(struct json *json, char bracket);

void json_key(struct json *json, const char *key);

/* A text of bytes: those outside printable ASCII are written as \u00XX, so that the result is valid whatever they are. */
void json_text(struct json *json, const char *text, size_t size);
void json_string(struct json *json, const char *text);
void json_number(struct json *json, uint64_t number);
void json_bool(struct json *json, int value);

#endif
