/* One host's conversation with us: from its HELLO to the next one, or to the moment it goes away. */
#ifndef BANGER_SESSION_H
#define BANGER_SESSION_H

#include "control.h"
#include "exec.h"
#include "frame.h"
#include "json.h"

/* Answers that may be outstanding at once. */
#define WAITERS_MOST 8
/* One large answer and the small ones of all waiters. */
#define OUTPUT_LARGEST (WIRE_LARGEST_STUFFED + WAITERS_MOST * 1024)

struct waiter {
    uint64_t end_ns; /* CLOCK_MONOTONIC */
    uint32_t request;
    uint16_t channel;
    uint8_t used;
};

struct session {
    struct boot_state boot; /* as init told it last */
    int control;            /* to init, or -1 */
    int welcomed;           /* a HELLO came */
    uint32_t power_off_ms;  /* once everything is sent, ask init to power off */
    int power_off;
    struct waiter waiters[WAITERS_MOST];
    struct frame_decoder decoder;
    uint8_t reply[WIRE_LARGEST];
    uint8_t output[OUTPUT_LARGEST];
    size_t output_used;
    struct exec execs[EXEC_MOST];
};

/* Tell a host that may be there that this agent knows nothing of it: only at our start. */
void session_announce(struct session *session);

/* Forget the host that was there: half frames in both directions, what it waited for, and what it ran. */
void session_reset(struct session *session);

/* Take bytes of the host, up to `size`, while there is nothing left to send. Returns how many were taken. */
size_t session_feed(struct session *session, const uint8_t *bytes, size_t size);

/* Answer those who wait for SSH, if it is decided or their time is over. */
void session_waiters(struct session *session);

/* Milliseconds until session_waiters() or exec_timers() has something to do; -1: until told. */
int session_wait_ms(const struct session *session);

/* For the handlers of requests: begin an answer's JSON; send it; send an error instead. */
struct json session_reply(struct session *session);
void session_send(struct session *session, const struct wire_header *request, const struct json *json);
void session_refuse(struct session *session, const struct wire_header *request, const char *code, const char *message);

/* For events: where a body goes; send it; whether the largest that we make has room, and a small one besides. */
uint8_t *session_body(struct session *session);
void session_event(struct session *session, uint16_t channel, uint8_t type, size_t body_size);
int session_room(const struct session *session);

#endif
