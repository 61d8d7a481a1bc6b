#include "fields.h"

#include <string.h>

static const struct {
    uint16_t least, most;
} limits[TAG_COUNT] = {
    [TAG_NONCE] = {16, 16},
    [TAG_TIME_NS] = {8, 8},
    [TAG_DEADLINE_MS] = {4, 4},
    [TAG_HOSTNAME] = {1, 63},
    [TAG_HOST_KEY] = {64, 16384},
    [TAG_HOST_PUBLIC_KEY] = {16, 4096},
    [TAG_AUTHORIZED_KEY] = {16, 16384},
    [TAG_SEED] = {32, 512},
    [TAG_MACHINE_ID] = {32, 32},
    [TAG_MAC] = {6, 6},
    [TAG_ADDRESS] = {9, 18},
    [TAG_GATEWAY] = {7, 15},
    [TAG_NAME_SERVER] = {7, 15},
    [TAG_ARGV] = {1, 65000},
    [TAG_ENV] = {1, 65000},
    [TAG_CWD] = {2, 4096},
    [TAG_TERMINAL] = {4, 4},
    [TAG_WINDOW] = {4, 4},
    [TAG_SIGNAL] = {4, 4},
    [TAG_WORK_BYTES] = {8, 8},
};

int fields_parse(struct fields *fields, const uint8_t *body, size_t size, uint32_t required, uint32_t allowed)
{
    memset(fields, 0, sizeof *fields);
    while (size > 0) {
        uint16_t tag, length;

        if (size < 4)
            return -1;
        tag = wire_u16(body);
        length = wire_u16(body + 2);
        body += 4;
        size -= 4;
        if (length > size || tag >= TAG_COUNT || !(allowed & FIELD_BIT(tag)) || fields->at[tag].data)
            return -1;
        if (length < limits[tag].least || length > limits[tag].most)
            return -1;
        fields->at[tag].data = body;
        fields->at[tag].size = length;
        required &= ~FIELD_BIT(tag);
        body += length;
        size -= length;
    }
    return required ? -1 : 0;
}

int fields_text(const struct field *field, char *into, size_t size, int multiline)
{
    if (field->size >= size)
        return -1;
    for (size_t i = 0; i < field->size; i++) {
        uint8_t byte = field->data[i];

        if ((byte < 0x20 && !(multiline && byte == '\n')) || byte > 0x7e)
            return -1;
        into[i] = (char)byte;
    }
    into[field->size] = '\0';
    return 0;
}
