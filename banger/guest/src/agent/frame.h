/*
 * Frames in a byte stream: COBS (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999) with 0 as delimiter, so
 * that after any garbage or half frame the next 0 is where to go on.
 */
#ifndef BANGER_FRAME_H
#define BANGER_FRAME_H

#include "wire.h"

struct frame_decoder {
    uint8_t data[WIRE_LARGEST];
    size_t size;
    uint8_t left;    /* bytes still to come in this COBS block */
    uint8_t zero;    /* a zero follows this block, if any block follows */
    uint8_t refused; /* too large: everything up to the delimiter is dropped */
};

void frame_reset(struct frame_decoder *decoder);

/* Take one byte. Returns 1 if it ended a whole frame, which is in `data`, `size` until the next byte; else 0. */
int frame_feed(struct frame_decoder *decoder, uint8_t byte);

/* Take the header of a whole frame. Returns 0, or -1 if its length does not fit the frame. */
int frame_header(const struct frame_decoder *decoder, struct wire_header *header);

/* Stuff `size` bytes, at most WIRE_LARGEST, into `out` (WIRE_LARGEST_STUFFED), delimiter included. Returns the size. */
size_t frame_encode(const uint8_t *data, size_t size, uint8_t *out);

#endif
