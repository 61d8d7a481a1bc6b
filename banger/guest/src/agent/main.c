/* banger-agent: answers the host on a virtio-serial port, and nobody else. docs/guest-protocol.md is its contract. */
#include "files.h"
#include "note.h"
#include "port.h"
#include "session.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

const char program_name[] = "banger-agent";

/* Where a kernel sends no SIGIO: how often to look whether a host has come. */
#define LOOK_EVERY_MS 1000

struct input {
    uint8_t bytes[4096];
    size_t used, size;
};

static struct session session;
static struct input input;

/* Returns 1 if something came, 0 if nothing is there now, -1 if no host is connected. */
static int read_port(int port)
{
    ssize_t got = read(port, input.bytes, sizeof input.bytes);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    input.used = 0;
    input.size = (size_t)got;
    return got > 0 ? 1 : -1;
}

/* Send what can be sent. Returns 0, or -1 if no host is connected. */
static int write_port(int port)
{
    while (session.output_used > 0) {
        ssize_t put = write(port, session.output, session.output_used);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN ? 0 : -1;
        session.output_used -= (size_t)put;
        memmove(session.output, session.output + put, session.output_used);
    }
    return 0;
}

static void forget_host(void)
{
    session_reset(&session);
    input.used = input.size = 0;
}

/* Move bytes until nothing more can be moved. Returns 0, or -1 if no host is connected. */
static int converse(int port)
{
    for (;;) {
        int got;

        input.used += session_feed(&session, input.bytes + input.used, input.size - input.used);
        if (write_port(port) < 0)
            return -1;
        if (session.output_used > 0)
            return 0;
        if (session.power_off) {
            session.power_off = 0;
            if (system_tell_init(session.control, CONTROL_POWER_OFF, session.power_off_ms) < 0)
                note("ask init to power off", errno);
        }
        if (input.used < input.size)
            continue;
        got = read_port(port);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
    }
    /* Once for each poll(2), or a program that writes without end would have us forget the others. */
    exec_pump(&session);
    return write_port(port);
}

static void take_boot_state(void)
{
    struct boot_state state;
    ssize_t got;

    while ((got = recv(session.control, &state, sizeof state, MSG_DONTWAIT)) == (ssize_t)sizeof state)
        session.boot = state;
    if (got == 0) {
        note("init closed the control socket", 0);
        exit(1);
    }
}

/* SIGIO tells of hosts that come and go, SIGCHLD of programs that ended. Returns a signalfd(2), or -1 with errno. */
static int take_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void handle_signals(int signals)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        continue;
    exec_reap(&session);
}

static void serve(int port, int signals)
{
    int connected = 1;

    for (;;) {
        struct pollfd wait[3 + EXEC_POLL_MOST] = {
            {connected ? port : -1, session.output_used > 0 ? POLLOUT : POLLIN, 0},
            {session.control, POLLIN, 0},
            {signals, POLLIN, 0},
        };
        size_t programs = exec_poll(&session, wait + 3);
        int wait_ms = session_wait_ms(&session);

        if (!connected && (wait_ms < 0 || wait_ms > LOOK_EVERY_MS))
            wait_ms = LOOK_EVERY_MS;
        if (poll(wait, 3 + programs, wait_ms) < 0 && errno != EINTR)
            note("poll", errno);
        exec_polled(&session, wait + 3, programs);
        if (wait[2].revents)
            handle_signals(signals);
        if (wait[1].revents)
            take_boot_state();
        session_waiters(&session);
        exec_timers(&session);
        connected = converse(port) == 0;
        if (!connected)
            forget_host();
    }
}

int main(int count, char **words)
{
    int port, signals;

    session.control = CONTROL_FD;
    if (system_rehearsal(count, words, &port, &session.boot)) {
        session.control = -1;
    } else {
        port = port_open();
        if (port < 0) {
            note("open " PORT_NAME, errno);
            return 1;
        }
        /* What we run is to have neither. */
        if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0)
            note("control socket", errno);
    }
    signals = take_signals();
    if (signals < 0) {
        note("take signals", errno);
        return 1;
    }
    if (session.control >= 0 && port_watch(port) < 0)
        note("watch " PORT_NAME, errno);
    session_reset(&session);
    session_announce(&session);
    serve(port, signals);
}
