#include "json.h"

#include <stdio.h>
#include <string.h>

void json_start(struct json *json, char *out, size_t size)
{
    *json = (struct json){.out = out, .size = size};
}

static void put(struct json *json, const char *text, size_t size)
{
    if (json->full || size > json->size - json->used) {
        json->full = 1;
        return;
    }
    memcpy(json->out + json->used, text, size);
    json->used += size;
}

static void before_value(struct json *json)
{
    if (json->comma)
        put(json, ",", 1);
    json->comma = 1;
}

void json_open(struct json *json, char bracket)
{
    before_value(json);
    put(json, &bracket, 1);
    json->comma = 0;
}

void json_close(struct json *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = 1;
}

void json_key(struct json *json, const char *key)
{
    json_string(json, key);
    put(json, ":", 1);
    json->comma = 0;
}

void json_text(struct json *json, const char *text, size_t size)
{
    char escape[7];

    before_value(json);
    put(json, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\') {
            put(json, &text[i], 1);
            continue;
        }
        snprintf(escape, sizeof escape, "\\u%04x", byte);
        put(json, escape, 6);
    }
    put(json, "\"", 1);
}

void json_string(struct json *json, const char *text)
{
    json_text(json, text, strlen(text));
}

void json_number(struct json *json, uint64_t number)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);

    before_value(json);
    put(json, digits, (size_t)size);
}

void json_bool(struct json *json, int value)
{
    before_value(json);
    put(json, value ? "true" : "false", value ? 4 : 5);
}
