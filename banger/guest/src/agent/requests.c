#include "requests.h"
#include "system.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHUTDOWN_LONGEST_MS 600000
#define WAIT_LONGEST_MS 3600000

static const char *const ssh_names[] = {[SSH_OFF] = "off", [SSH_ABSENT] = "absent", [SSH_LISTENING] = "listening"};
static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_INIT] = "init",       [STAGE_MODULES] = "modules",   [STAGE_ROOT] = "root", [STAGE_AGENT] = "agent",
    [STAGE_NETWORK] = "network", [STAGE_IDENTITY] = "identity", [STAGE_SSH] = "ssh",
};

static const char *ssh_name(const struct session *session)
{
    return session->boot.ssh <= SSH_LISTENING ? ssh_names[session->boot.ssh] : "off";
}

static void refuse_errno(struct session *session, const struct wire_header *header, const char *what)
{
    char message[256];

    snprintf(message, sizeof message, "%s%s%s", what, errno ? ": " : "", errno ? strerror(errno) : "");
    session_refuse(session, header, errno ? "failed" : "bad_request", message);
}

static void send_empty(struct session *session, const struct wire_header *header)
{
    struct json json = session_reply(session);

    json_open(&json, '{');
    json_close(&json, '}');
    session_send(session, header, &json);
}

static void healthz(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct json json = session_reply(session);

    (void)fields;
    json_open(&json, '{');
    json_key(&json, "version");
    json_string(&json, BANGER_VERSION);
    json_key(&json, "uptime_ns");
    json_number(&json, system_monotonic_ns());
    json_key(&json, "ssh");
    json_string(&json, ssh_name(session));
    json_key(&json, "network_up");
    json_bool(&json, session->boot.stage_ns[STAGE_NETWORK] != 0);
    json_key(&json, "stages_ns");
    json_open(&json, '{');
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        if (session->boot.stage_ns[i] == 0)
            continue;
        json_key(&json, stage_names[i]);
        json_number(&json, session->boot.stage_ns[i]);
    }
    json_close(&json, '}');
    json_key(&json, "failure");
    json_text(&json, session->boot.failure, strnlen(session->boot.failure, sizeof session->boot.failure));
    json_close(&json, '}');
    session_send(session, header, &json);
}

static void ports(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct json json = session_reply(session);

    (void)fields;
    json_open(&json, '{');
    listeners_write(&json);
    json_close(&json, '}');
    session_send(session, header, &json);
}

static void get_time(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct json json = session_reply(session);

    (void)fields;
    json_open(&json, '{');
    json_key(&json, "time_ns");
    json_number(&json, system_time_ns());
    json_key(&json, "uptime_ns");
    json_number(&json, system_monotonic_ns());
    json_close(&json, '}');
    session_send(session, header, &json);
}

static void set_time(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    if (system_set_time(wire_u64(fields->at[TAG_TIME_NS].data)) < 0)
        refuse_errno(session, header, "set the clock");
    else
        get_time(session, header, fields);
}

static void identity(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    const char *failed;

    if (!session->boot.stage_ns[STAGE_ROOT]) {
        session_refuse(session, header, "not_ready", "no root disk is mounted");
        return;
    }
    failed = identity_apply(fields);
    if (!failed && system_tell_init(session->control, CONTROL_IDENTITY, 0) < 0)
        failed = "tell init";
    if (failed)
        refuse_errno(session, header, failed);
    else
        send_empty(session, header);
}

int request_ssh_decided(struct session *session, const struct wire_header *header, int late)
{
    if (session->boot.ssh == SSH_LISTENING)
        send_empty(session, header);
    else if (session->boot.ssh == SSH_ABSENT)
        session_refuse(session, header, "no_sshd", "the image has no /usr/sbin/sshd");
    else if (!session->boot.stage_ns[STAGE_ROOT])
        session_refuse(session, header, "boot_failed", session->boot.failure);
    else if (late)
        session_refuse(session, header, "deadline",
                       session->boot.stage_ns[STAGE_IDENTITY] ? "port 22 could not be opened"
                                                              : "SSH waits for the machine's identity");
    else
        return 0;
    return 1;
}

static void wait_ssh(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    uint32_t wait_ms = wire_u32(fields->at[TAG_DEADLINE_MS].data);

    if (request_ssh_decided(session, header, wait_ms == 0))
        return;
    if (wait_ms > WAIT_LONGEST_MS)
        wait_ms = WAIT_LONGEST_MS;
    for (size_t i = 0; i < WAITERS_MOST; i++) {
        struct waiter *waiter = &session->waiters[i];

        if (waiter->used)
            continue;
        *waiter = (struct waiter){system_monotonic_ns() + wait_ms * 1000000ull, header->request, header->channel, 1};
        return;
    }
    session_refuse(session, header, "busy", "too many requests wait already");
}

static void sync_disks(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    (void)fields;
    system_sync();
    send_empty(session, header);
}

/* Only a guest that is nobody yet may be frozen: whatever it knows, every machine made from it knows. */
static void freeze(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    (void)fields;
    if (session->boot.stage_ns[STAGE_IDENTITY])
        session_refuse(session, header, "not_pristine", "the machine has an identity");
    else if (!session->boot.stage_ns[STAGE_NETWORK] || session->boot.failure[0])
        session_refuse(session, header, "not_ready", session->boot.failure);
    else if (system_quiesce() < 0)
        refuse_errno(session, header, "drop caches");
    else
        send_empty(session, header);
}

static void reseed(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    const struct field *seed = &fields->at[TAG_SEED];

    if (system_add_entropy(seed->data, seed->size) < 0)
        refuse_errno(session, header, "reseed the random pool");
    else
        send_empty(session, header);
}

static void shutdown_machine(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    uint32_t wait_ms = wire_u32(fields->at[TAG_DEADLINE_MS].data);

    session->power_off_ms = wait_ms < SHUTDOWN_LONGEST_MS ? wait_ms : SHUTDOWN_LONGEST_MS;
    session->power_off = 1;
    send_empty(session, header);
}

#define NEEDS(tag) FIELD_BIT(tag)

static const struct {
    void (*handle)(struct session *, const struct wire_header *, const struct fields *);
    uint32_t required, optional;
    int on_channel; /* about a program, so on a channel that is not 0 */
} requests[WIRE_TYPE_COUNT] = {
    [WIRE_HEALTHZ] = {healthz, 0, 0, 0},
    [WIRE_PORTS] = {ports, 0, 0, 0},
    [WIRE_TIME] = {get_time, 0, 0, 0},
    [WIRE_SET_TIME] = {set_time, NEEDS(TAG_TIME_NS), 0, 0},
    [WIRE_IDENTITY] = {identity,
                       NEEDS(TAG_HOSTNAME) | NEEDS(TAG_HOST_KEY) | NEEDS(TAG_HOST_PUBLIC_KEY) |
                           NEEDS(TAG_AUTHORIZED_KEY) | NEEDS(TAG_SEED),
                       NEEDS(TAG_MACHINE_ID) | NEEDS(TAG_MAC) | NEEDS(TAG_ADDRESS) | NEEDS(TAG_GATEWAY) |
                           NEEDS(TAG_NAME_SERVER) | NEEDS(TAG_WORK_BYTES),
                       0},
    [WIRE_WAIT_SSH] = {wait_ssh, NEEDS(TAG_DEADLINE_MS), 0, 0},
    [WIRE_SYNC] = {sync_disks, 0, 0, 0},
    [WIRE_SHUTDOWN] = {shutdown_machine, NEEDS(TAG_DEADLINE_MS), 0, 0},
    [WIRE_FREEZE] = {freeze, 0, 0, 0},
    [WIRE_RESEED] = {reseed, NEEDS(TAG_SEED), 0, 0},
    [WIRE_EXEC_START] = {exec_start, NEEDS(TAG_ARGV) | NEEDS(TAG_WINDOW),
                         NEEDS(TAG_ENV) | NEEDS(TAG_CWD) | NEEDS(TAG_TERMINAL), 1},
    [WIRE_EXEC_SIGNAL] = {exec_signal, NEEDS(TAG_SIGNAL), 0, 1},
    [WIRE_EXEC_RESIZE] = {exec_resize, NEEDS(TAG_TERMINAL), 0, 1},
    [WIRE_EXEC_WINDOW] = {exec_window, NEEDS(TAG_WINDOW), 0, 1},
    [WIRE_EXEC_KILL] = {exec_kill, 0, 0, 1},
};

void request_handle(struct session *session, const struct wire_header *header, const uint8_t *body)
{
    struct fields fields;

    if (header->type == WIRE_EXEC_STDIN && header->channel != 0) { /* its body is no fields */
        exec_input(session, header, body);
        return;
    }
    if (header->type >= WIRE_TYPE_COUNT || !requests[header->type].handle) {
        session_refuse(session, header, "unknown", "this agent does not know that request");
        return;
    }
    if ((header->channel != 0) != requests[header->type].on_channel) {
        session_refuse(session, header, "channel", "that request belongs on another channel");
        return;
    }
    if (fields_parse(&fields, body, header->body_size, requests[header->type].required,
                     requests[header->type].required | requests[header->type].optional) < 0) {
        session_refuse(session, header, "bad_request", "a field is missing, unknown, repeated or of a wrong length");
        return;
    }
    requests[header->type].handle(session, header, &fields);
}
