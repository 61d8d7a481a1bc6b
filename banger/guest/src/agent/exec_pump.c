/* Between the programs and the host: bytes, in bounded memory, and how each program ended. */
#include "exec.h"
#include "session.h"
#include "sweep.h"
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tell the host of room once there is this much: few frames, and it never waits for what it could have. */
#define CREDIT_LEAST (EXEC_INPUT / 4)
/* After a program has ended, what it started may hold its output open for ever; what comes this soon is still shown. */
#define CUT_NS 200000000ull
/* A process in the kernel may take a while to die of SIGKILL. */
#define KILL_AGAIN_NS 100000000ull
#define END_OF_TRANSMISSION 4

size_t exec_poll(struct session *session, struct pollfd *wait)
{
    size_t count = 0;

    for (size_t i = 0; i < EXEC_MOST; i++) {
        struct exec *exec = &session->execs[i];
        int can_take = exec->orphan || (session->output_used == 0 && exec->window > 0);

        if (!exec->pid)
            continue;
        exec->in_ready = exec->out.ready = exec->err.ready = 0;
        wait[count++] = (struct pollfd){exec->input_used > 0 || exec->input_ended == INPUT_ENDS ? exec->in : -1, POLLOUT, 0};
        wait[count++] = (struct pollfd){can_take ? exec->out.fd : -1, POLLIN, 0};
        wait[count++] = (struct pollfd){can_take ? exec->err.fd : -1, POLLIN, 0};
    }
    return count;
}

void exec_polled(struct session *session, const struct pollfd *wait, size_t count)
{
    const struct pollfd *end = wait + count;

    for (size_t i = 0; i < EXEC_MOST && wait < end; i++) {
        struct exec *exec = &session->execs[i];

        if (!exec->pid)
            continue;
        exec->in_ready = wait++->revents != 0;
        exec->out.ready = wait++->revents != 0;
        exec->err.ready = wait++->revents != 0;
    }
}

/*
 * Nothing more goes in: the end of its file for a program with a pipe, the key for that at a terminal. The terminal
 * stays: if we closed it, the kernel would hang up on a program that has closed its own end and is about to exit.
 */
static void end_input(struct exec *exec)
{
    static const char end = END_OF_TRANSMISSION;

    if (!exec->terminal)
        exec_close(&exec->in);
    else if (write(exec->in, &end, 1) < 0 && errno == EAGAIN)
        return;
    exec->input_ended = INPUT_HAS_ENDED;
}

static void put_input(struct exec *exec)
{
    while (exec->in >= 0 && exec->input_used > 0) {
        uint32_t run = EXEC_INPUT - exec->input_start;
        ssize_t put = write(exec->in, exec->input + exec->input_start, run < exec->input_used ? run : exec->input_used);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) { /* nobody reads: there is no use for more, so no room is told of */
            exec->input_used = 0;
            if (!exec->terminal)
                exec_close(&exec->in);
            return;
        }
        exec->input_used -= (uint32_t)put;
        exec->credit += (uint32_t)put;
        exec->input_start = exec->input_used ? (exec->input_start + (uint32_t)put) % EXEC_INPUT : 0;
    }
    if (exec->in >= 0 && exec->input_ended == INPUT_ENDS)
        end_input(exec);
}

/* Send one chunk of output, if there is any. */
static void take_output(struct session *session, struct exec *exec, struct output *output, uint8_t type)
{
    size_t most = exec->window < EXEC_CHUNK ? exec->window : EXEC_CHUNK;
    ssize_t got;

    if (output->fd < 0)
        return;
    if (output->left == 0) {
        exec_close(&output->fd);
        return;
    }
    if (!output->ready || most == 0)
        return;
    if (output->left > 0 && (uint64_t)output->left < most)
        most = (size_t)output->left;
    output->ready = 0;
    got = read(output->fd, session_body(session), most);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) { /* a terminal that nobody holds open any more gives EIO */
        exec_close(&output->fd);
        return;
    }
    if (output->left > 0)
        output->left -= got;
    exec->window -= (uint32_t)got;
    session_event(session, exec->channel, type, (size_t)got);
}

static void send_number(struct session *session, const struct exec *exec, uint8_t type, const char *key, uint64_t value)
{
    struct json json = session_reply(session);

    json_open(&json, '{');
    json_key(&json, key);
    json_number(&json, value);
    json_close(&json, '}');
    session_event(session, exec->channel, type, json.used);
}

static void give_back(struct exec *exec)
{
    exec_close(&exec->in);
    exec_close(&exec->out.fd);
    exec_close(&exec->err.fd);
    waitpid(exec->pid, NULL, 0);
    exec->pid = 0;
}

static void pump_one(struct session *session, struct exec *exec)
{
    if (exec->in_ready)
        put_input(exec);
    if (exec->credit >= CREDIT_LEAST) {
        send_number(session, exec, WIRE_EXEC_CREDIT, "bytes", exec->credit);
        exec->credit = 0;
    }
    take_output(session, exec, &exec->err, WIRE_EXEC_STDERR);
    if (session_room(session))
        take_output(session, exec, &exec->out, WIRE_EXEC_STDOUT);
    if (exec->exited && exec->out.fd < 0 && exec->err.fd < 0 && session_room(session)) {
        send_number(session, exec, WIRE_EXEC_EXIT, exec->signalled ? "signal" : "code", (uint64_t)exec->code);
        give_back(exec);
    }
}

/* Nobody hears it: but a program that says something while it cleans up must not die of SIGPIPE. */
static void discard(struct output *output)
{
    static char nobody[EXEC_CHUNK];

    if (output->fd < 0 || !output->ready)
        return;
    output->ready = 0;
    if (read(output->fd, nobody, sizeof nobody) == 0)
        exec_close(&output->fd);
}

static void discard_all(struct session *session)
{
    for (size_t i = 0; i < EXEC_MOST; i++)
        if (session->execs[i].pid && session->execs[i].orphan) {
            discard(&session->execs[i].out);
            discard(&session->execs[i].err);
        }
}

void exec_pump(struct session *session)
{
    static size_t turn; /* another slot comes first each time, so that nobody starves */

    discard_all(session);
    turn = (turn + 1) % EXEC_MOST;
    for (size_t i = 0; i < EXEC_MOST && session_room(session); i++) {
        struct exec *exec = &session->execs[(turn + i) % EXEC_MOST];

        if (exec->pid && !exec->orphan)
            pump_one(session, exec);
    }
}

void exec_reap(struct session *session)
{
    for (size_t i = 0; i < EXEC_MOST; i++) {
        struct exec *exec = &session->execs[i];
        siginfo_t info = {0};

        if (!exec->pid || exec->exited)
            continue;
        if (waitid(P_PID, (id_t)exec->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != exec->pid)
            continue;
        exec->exited = 1;
        exec->signalled = info.si_code != CLD_EXITED;
        exec->code = info.si_status;
        exec->cut_ns = system_monotonic_ns() + CUT_NS;
        if (exec->orphan && sweep(exec->pid, 0) == 0)
            give_back(exec);
    }
}

/* What the program itself wrote lies in the pipe: its size now is where the output ends. */
static void cut(struct output *output)
{
    int waiting = 0;

    if (output->fd < 0 || output->left >= 0)
        return;
    if (ioctl(output->fd, FIONREAD, &waiting) < 0 || waiting < 0)
        waiting = 0;
    output->left = waiting;
}

void exec_timers(struct session *session)
{
    uint64_t now = system_monotonic_ns();

    for (size_t i = 0; i < EXEC_MOST; i++) {
        struct exec *exec = &session->execs[i];

        if (!exec->pid)
            continue;
        if (exec->orphan && now >= exec->kill_ns) {
            sweep(exec->pid, SIGKILL);
            kill(exec->pid, SIGKILL);
            exec->kill_ns = now + KILL_AGAIN_NS;
            if (exec->exited)
                give_back(exec);
        } else if (!exec->orphan && exec->exited && now >= exec->cut_ns) {
            cut(&exec->out);
            cut(&exec->err);
        }
    }
}

static int is_uncut(const struct output *output)
{
    return output->fd >= 0 && output->left < 0;
}

uint64_t exec_next_ns(const struct session *session)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < EXEC_MOST; i++) {
        const struct exec *exec = &session->execs[i];

        if (!exec->pid)
            continue;
        if (exec->orphan && exec->kill_ns < next)
            next = exec->kill_ns;
        if (!exec->orphan && exec->exited && exec->cut_ns < next && (is_uncut(&exec->out) || is_uncut(&exec->err)))
            next = exec->cut_ns;
    }
    return next;
}
