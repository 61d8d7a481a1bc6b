#include "session.h"
#include "requests.h"
#include "system.h"

#include <string.h>

/* Header and stuffing of one large event, and some small ones whole. */
#define SMALL_EVENTS 1024

void session_reset(struct session *session)
{
    frame_reset(&session->decoder);
    session->output_used = 0;
    session->welcomed = 0;
    memset(session->waiters, 0, sizeof session->waiters);
    exec_forget(session);
}

struct json session_reply(struct session *session)
{
    struct json json;

    json_start(&json, (char *)session->reply + WIRE_HEADER, sizeof session->reply - WIRE_HEADER);
    return json;
}

uint8_t *session_body(struct session *session)
{
    return session->reply + WIRE_HEADER;
}

static void send_frame(struct session *session, const struct wire_header *request, uint8_t type, size_t body_size)
{
    uint8_t *frame = session->reply;

    frame[0] = WIRE_VERSION;
    frame[1] = type;
    frame[2] = (uint8_t)(request->channel >> 8);
    frame[3] = (uint8_t)request->channel;
    wire_put_u32(frame + 4, request->request);
    wire_put_u32(frame + 8, (uint32_t)body_size);
    /* Large answers are made only while the output is empty, so this is for a bug only. */
    if (sizeof session->output - session->output_used < body_size + body_size / 254 + WIRE_HEADER + 3)
        return;
    session->output_used += frame_encode(frame, WIRE_HEADER + body_size, session->output + session->output_used);
}

void session_event(struct session *session, uint16_t channel, uint8_t type, size_t body_size)
{
    const struct wire_header unasked = {WIRE_VERSION, 0, channel, 0, 0};

    send_frame(session, &unasked, type, body_size);
}

int session_room(const struct session *session)
{
    return sizeof session->output - session->output_used >= EXEC_CHUNK + EXEC_CHUNK / 254 + SMALL_EVENTS;
}

void session_announce(struct session *session)
{
    session->output[session->output_used++] = 0;
    session_event(session, 0, WIRE_STARTED, 0);
}

void session_send(struct session *session, const struct wire_header *request, const struct json *json)
{
    if (json->full)
        session_refuse(session, request, "too_large", "the answer does not fit a frame");
    else
        send_frame(session, request, request->type | WIRE_REPLY, json->used);
}

void session_refuse(struct session *session, const struct wire_header *request, const char *code, const char *message)
{
    struct json json = session_reply(session);

    json_open(&json, '{');
    json_key(&json, "code");
    json_string(&json, code);
    json_key(&json, "message");
    json_string(&json, message);
    json_close(&json, '}');
    send_frame(session, request, WIRE_ERROR, json.used);
}

static void hello(struct session *session, const struct wire_header *header, const uint8_t *body)
{
    static const char digits[] = "0123456789abcdef";
    struct fields fields;
    struct json json;
    char nonce[33];

    if (fields_parse(&fields, body, header->body_size, FIELD_BIT(TAG_NONCE), FIELD_BIT(TAG_NONCE)) < 0)
        return;
    for (size_t i = 0; i < 16; i++) {
        nonce[2 * i] = digits[fields.at[TAG_NONCE].data[i] >> 4];
        nonce[2 * i + 1] = digits[fields.at[TAG_NONCE].data[i] & 15];
    }
    nonce[32] = '\0';
    session_reset(session);
    session->welcomed = 1;
    session->output[session->output_used++] = 0; /* ends what the host before may have left half read */
    json = session_reply(session);
    json_open(&json, '{');
    json_key(&json, "nonce");
    json_string(&json, nonce);
    json_key(&json, "protocol");
    json_number(&json, WIRE_VERSION);
    json_key(&json, "version");
    json_string(&json, BANGER_VERSION);
    json_close(&json, '}');
    session_send(session, header, &json);
}

static void frame(struct session *session)
{
    struct wire_header header;
    const uint8_t *body = session->decoder.data + WIRE_HEADER;

    if (frame_header(&session->decoder, &header) < 0)
        return;
    /* HELLO is the same in every version: its answer is how a host learns ours. */
    if (header.type == WIRE_HELLO)
        hello(session, &header, body);
    else if (!session->welcomed)
        session_refuse(session, &header, "no_hello", "a conversation begins with HELLO");
    else if (header.version != WIRE_VERSION)
        session_refuse(session, &header, "version", "this agent speaks version 2 of the protocol");
    else
        request_handle(session, &header, body);
}

size_t session_feed(struct session *session, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && session->output_used == 0)
        if (frame_feed(&session->decoder, bytes[taken++]))
            frame(session);
    return taken;
}

void session_waiters(struct session *session)
{
    uint64_t now = system_monotonic_ns();

    for (size_t i = 0; i < WAITERS_MOST; i++) {
        struct waiter *waiter = &session->waiters[i];
        struct wire_header request = {WIRE_VERSION, WIRE_WAIT_SSH, waiter->channel, waiter->request, 0};

        if (waiter->used && request_ssh_decided(session, &request, now >= waiter->end_ns))
            waiter->used = 0;
    }
}

int session_wait_ms(const struct session *session)
{
    uint64_t now = system_monotonic_ns(), first = exec_next_ns(session);

    for (size_t i = 0; i < WAITERS_MOST; i++)
        if (session->waiters[i].used && session->waiters[i].end_ns < first)
            first = session->waiters[i].end_ns;
    if (first == UINT64_MAX)
        return -1;
    if (first <= now)
        return 0;
    return first - now > 60000000000u ? 60000 : (int)((first - now) / 1000000u + 1);
}
