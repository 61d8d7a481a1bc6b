/* The numbers of the guest protocol; docs/guest-protocol.md says what they mean. */
#ifndef BANGER_WIRE_H
#define BANGER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 2
#define WIRE_HEADER 12
/* A whole frame, header included, before it is stuffed. */
#define WIRE_LARGEST 65536
/* COBS adds one byte in 254, and one; then comes the delimiter. */
#define WIRE_LARGEST_STUFFED (WIRE_LARGEST + WIRE_LARGEST / 254 + 2)

#define WIRE_REPLY 0x80 /* type of the answer to request t: t | WIRE_REPLY */
#define WIRE_ERROR 0xff

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_HEALTHZ,
    WIRE_PORTS,
    WIRE_TIME,
    WIRE_SET_TIME,
    WIRE_IDENTITY,
    WIRE_WAIT_SSH,
    WIRE_SYNC,
    WIRE_SHUTDOWN,
    WIRE_EXEC_START,
    WIRE_EXEC_STDIN,
    WIRE_EXEC_SIGNAL,
    WIRE_EXEC_RESIZE,
    WIRE_EXEC_WINDOW,
    WIRE_EXEC_KILL,
    WIRE_FREEZE = 16,
    WIRE_RESEED,
    WIRE_TYPE_COUNT
};

/* What the agent says unasked. */
enum wire_event {
    WIRE_EXEC_STDOUT = 64,
    WIRE_EXEC_STDERR,
    WIRE_EXEC_EXIT,
    WIRE_EXEC_CREDIT,
    WIRE_STARTED
};

enum wire_tag {
    TAG_NONCE = 1,
    TAG_TIME_NS,
    TAG_DEADLINE_MS,
    TAG_HOSTNAME,
    TAG_HOST_KEY,
    TAG_HOST_PUBLIC_KEY,
    TAG_AUTHORIZED_KEY,
    TAG_SEED,
    TAG_MACHINE_ID,
    TAG_MAC,
    TAG_ADDRESS,
    TAG_GATEWAY,
    TAG_NAME_SERVER,
    TAG_ARGV,
    TAG_ENV,
    TAG_CWD,
    TAG_TERMINAL,
    TAG_WINDOW,
    TAG_SIGNAL,
    TAG_WORK_BYTES = 20,
    TAG_COUNT
};

struct wire_header {
    uint8_t version;
    uint8_t type;
    uint16_t channel;
    uint32_t request;
    uint32_t body_size;
};

static inline uint16_t wire_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_u32(const uint8_t *at)
{
    return (uint32_t)wire_u16(at) << 16 | wire_u16(at + 2);
}

static inline uint64_t wire_u64(const uint8_t *at)
{
    return (uint64_t)wire_u32(at) << 32 | wire_u32(at + 4);
}

static inline void wire_put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

#endif
