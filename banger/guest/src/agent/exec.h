/*
 * Programs that the host runs here: one slot each, found by the channel that the host chose. Memory is fixed: a slot
 * holds EXEC_INPUT bytes of input, and output is read only when it can be sent at once and the host has room for it.
 *
 * A program is waited for without being reaped until its slot is given back, so that its number, which names its session
 * and process group too, is nobody else's for as long as we might send it a signal.
 */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include "wire.h"

#include <poll.h>
#include <sys/types.h>

#define EXEC_MOST 64
/* What a slot holds of the program's input: the window that the host begins with. */
#define EXEC_INPUT 65536
/* Output in one frame. */
#define EXEC_CHUNK 32768
/* Descriptors that a slot may wait for. */
#define EXEC_POLL_MOST (3 * EXEC_MOST)

struct output {
    int fd; /* -1: closed */
    int ready;
    int64_t left; /* once the program's output was cut: bytes that still count; -1: it was not */
};

struct exec {
    pid_t pid; /* 0: the slot is free */
    uint16_t channel;
    int terminal;
    int in; /* -1: closed */
    int in_ready;
    struct output out, err;
    uint32_t window; /* bytes of output that the host has room for */
    int exited;      /* it ended with `code`, or by the signal `code` if `signalled` */
    int signalled, code;
    uint64_t cut_ns; /* exited: when its output ends, even if another process holds it open */
    int orphan;      /* its host has gone; at kill_ns what is left of it is killed */
    uint64_t kill_ns;
    enum { INPUT_OPEN, INPUT_ENDS, INPUT_HAS_ENDED } input_ended; /* ENDS: the host is done, the program not yet told */
    uint32_t input_start, input_used, credit; /* credit: bytes taken that the host was not told of */
    uint8_t input[EXEC_INPUT];
};

struct session;
struct fields;

/* The handlers of requests.c. The first answers; the others are of no effect if the channel's program has gone. */
void exec_start(struct session *session, const struct wire_header *header, const struct fields *fields);
void exec_input(struct session *session, const struct wire_header *header, const uint8_t *body);
void exec_signal(struct session *session, const struct wire_header *header, const struct fields *fields);
void exec_resize(struct session *session, const struct wire_header *header, const struct fields *fields);
void exec_window(struct session *session, const struct wire_header *header, const struct fields *fields);
void exec_kill(struct session *session, const struct wire_header *header, const struct fields *fields);

/* The host has gone: hang up on everything that it ran. */
void exec_forget(struct session *session);

/* exec_pump.c: what to wait for (at most EXEC_POLL_MOST), and what came of it. */
size_t exec_poll(struct session *session, struct pollfd *wait);
void exec_polled(struct session *session, const struct pollfd *wait, size_t count);

/* Move what can be moved: input to programs, output into the session's frames, exits of programs that ended. */
void exec_pump(struct session *session);

/* A child has ended, or time has passed. */
void exec_reap(struct session *session);
void exec_timers(struct session *session);

/* When exec_timers() has something to do (CLOCK_MONOTONIC); UINT64_MAX: never. */
uint64_t exec_next_ns(const struct session *session);

/* Close what is open of a slot. */
void exec_close(int *fd);

#endif
