#include "frame.h"

static void start(struct frame_decoder *decoder)
{
    decoder->left = 0;
    decoder->zero = 0;
    decoder->refused = 0;
}

void frame_reset(struct frame_decoder *decoder)
{
    start(decoder);
    decoder->size = 0;
}

static void append(struct frame_decoder *decoder, uint8_t byte)
{
    if (decoder->size == sizeof decoder->data)
        decoder->refused = 1;
    else
        decoder->data[decoder->size++] = byte;
}

int frame_feed(struct frame_decoder *decoder, uint8_t byte)
{
    int fresh = decoder->left == 0 && decoder->zero == 0 && !decoder->refused;

    if (byte == 0) {
        int whole = decoder->left == 0 && !decoder->refused && decoder->size >= WIRE_HEADER;

        if (fresh) /* nothing, or a delimiter after a delimiter */
            whole = 0;
        start(decoder);
        if (!whole)
            decoder->size = 0;
        return whole;
    }
    if (fresh)
        decoder->size = 0;
    if (decoder->left > 0) {
        append(decoder, byte);
        decoder->left--;
        return 0;
    }
    if (decoder->zero == 1)
        append(decoder, 0);
    decoder->left = (uint8_t)(byte - 1);
    decoder->zero = byte == 0xff ? 2 : 1;
    return 0;
}

int frame_header(const struct frame_decoder *decoder, struct wire_header *header)
{
    const uint8_t *data = decoder->data;

    if (decoder->size < WIRE_HEADER)
        return -1;
    header->version = data[0];
    header->type = data[1];
    header->channel = wire_u16(data + 2);
    header->request = wire_u32(data + 4);
    header->body_size = wire_u32(data + 8);
    return header->body_size == decoder->size - WIRE_HEADER ? 0 : -1;
}

size_t frame_encode(const uint8_t *data, size_t size, uint8_t *out)
{
    size_t used = 1, code_at = 0;
    uint8_t code = 1;

    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0) {
            out[used++] = data[i];
            code++;
        }
        if (data[i] == 0 || (code == 0xff && i + 1 < size)) {
            out[code_at] = code;
            code_at = used++;
            code = 1;
        }
    }
    out[code_at] = code;
    out[used++] = 0;
    return used;
}
