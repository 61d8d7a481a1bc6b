#include "exec.h"
#include "files.h"
#include "session.h"
#include "spawn.h"
#include "sweep.h"
#include "system.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How long a program whose host has gone may take to end by itself. */
#define HANG_UP_NS 1000000000ull
#define WINDOW_MOST 16777216u

static struct exec *find(struct session *session, uint16_t channel)
{
    for (size_t i = 0; i < EXEC_MOST; i++)
        if (session->execs[i].pid && !session->execs[i].orphan && session->execs[i].channel == channel)
            return &session->execs[i];
    return NULL;
}

void exec_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void hang_up(struct exec *exec)
{
    exec->orphan = 1;
    exec->kill_ns = system_monotonic_ns() + HANG_UP_NS;
    exec_close(&exec->in);
    if (exec->terminal) /* its last holder: the kernel hangs up too */
        exec_close(&exec->out.fd);
    sweep(exec->pid, SIGHUP);
    kill(exec->pid, SIGHUP); /* a child that has not come to setsid(2) yet is in no session of its own */
}

void exec_forget(struct session *session)
{
    for (size_t i = 0; i < EXEC_MOST; i++)
        if (session->execs[i].pid && !session->execs[i].orphan)
            hang_up(&session->execs[i]);
}

static struct winsize terminal_size(const struct field *field)
{
    struct winsize size = {0};

    size.ws_row = wire_u16(field->data);
    size.ws_col = wire_u16(field->data + 2);
    return size;
}

static void occupy(struct exec *exec, uint16_t channel, const struct spawned *started, uint32_t window, int terminal)
{
    memset(exec, 0, offsetof(struct exec, input));
    exec->pid = started->pid;
    exec->channel = channel;
    exec->terminal = terminal;
    exec->in = started->in;
    exec->out = (struct output){started->out, 0, -1};
    exec->err = (struct output){started->err, 0, -1};
    exec->window = window < WINDOW_MOST ? window : WINDOW_MOST;
}

static void refuse_errno(struct session *session, const struct wire_header *header)
{
    if (errno == EINVAL)
        session_refuse(session, header, "bad_request", "argv or env is not a list of words");
    else
        session_refuse(session, header, "failed", strerror(errno));
}

void exec_start(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    static char directory[PATH_MAX];
    const struct field *cwd = &fields->at[TAG_CWD], *terminal = &fields->at[TAG_TERMINAL];
    struct spawn spawn = {&fields->at[TAG_ARGV], &fields->at[TAG_ENV], directory, terminal->data != NULL, {0}};
    struct spawned started;
    struct exec *exec = session->execs;
    struct json json;

    while (exec < session->execs + EXEC_MOST && exec->pid)
        exec++;
    if (exec == session->execs + EXEC_MOST || find(session, header->channel)) {
        session_refuse(session, header, "busy", "too many programs run already, or the channel is in use");
        return;
    }
    if (cwd->data && (cwd->data[cwd->size - 1] != '\0' || strlen((const char *)cwd->data) != cwd->size - 1)) {
        session_refuse(session, header, "bad_request", "the directory is not one word");
        return;
    }
    if (file_path(directory, sizeof directory, cwd->data ? (const char *)cwd->data : "/root") < 0) {
        session_refuse(session, header, "failed", strerror(errno));
        return;
    }
    if (terminal->data)
        spawn.size = terminal_size(terminal);
    if (spawn_start(&spawn, &started) < 0) {
        refuse_errno(session, header);
        return;
    }
    occupy(exec, header->channel, &started, wire_u32(fields->at[TAG_WINDOW].data), spawn.terminal);
    json = session_reply(session);
    json_open(&json, '{');
    json_key(&json, "pid");
    json_number(&json, (uint64_t)started.pid);
    json_close(&json, '}');
    session_send(session, header, &json);
}

void exec_input(struct session *session, const struct wire_header *header, const uint8_t *body)
{
    struct exec *exec = find(session, header->channel);
    uint32_t end, first;

    if (!exec)
        return;
    if (header->body_size > EXEC_INPUT - exec->input_used - exec->credit || exec->input_ended) {
        hang_up(exec);
        session_refuse(session, header, "window", "more input than there is room for, or after its end");
        return;
    }
    if (header->body_size == 0)
        exec->input_ended = INPUT_ENDS;
    if (exec->in < 0) /* the program does not read any more: what comes is lost, and no more is asked for */
        return;
    end = (exec->input_start + exec->input_used) % EXEC_INPUT;
    first = header->body_size < EXEC_INPUT - end ? header->body_size : EXEC_INPUT - end;
    memcpy(exec->input + end, body, first);
    memcpy(exec->input, body + first, header->body_size - first);
    exec->input_used += header->body_size;
    exec->in_ready = 1;
}

void exec_signal(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct exec *exec = find(session, header->channel);
    uint32_t number = wire_u32(fields->at[TAG_SIGNAL].data);
    pid_t foreground = 0;

    if (!exec || exec->exited || number < 1 || number >= NSIG)
        return;
    /* A child that has not come to setsid(2) yet leads no group; and it must come to that before it is stopped. */
    if (kill(-exec->pid, (int)number) < 0 && number != SIGSTOP)
        kill(exec->pid, (int)number);
    /* A shell with job control puts what it runs into a group of its own. */
    if (exec->terminal && ioctl(exec->out.fd, TIOCGPGRP, &foreground) == 0 && foreground > 1 &&
        foreground != exec->pid)
        kill(-foreground, (int)number);
}

void exec_resize(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct exec *exec = find(session, header->channel);
    struct winsize size = terminal_size(&fields->at[TAG_TERMINAL]);

    if (exec && exec->terminal && exec->out.fd >= 0)
        ioctl(exec->out.fd, TIOCSWINSZ, &size);
}

void exec_window(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct exec *exec = find(session, header->channel);
    uint32_t more = wire_u32(fields->at[TAG_WINDOW].data);

    if (exec)
        exec->window = more < WINDOW_MOST - exec->window ? exec->window + more : WINDOW_MOST;
}

void exec_kill(struct session *session, const struct wire_header *header, const struct fields *fields)
{
    struct exec *exec = find(session, header->channel);

    (void)fields;
    if (exec)
        hang_up(exec);
}
