#include "agent.h"
#include "child.h"
#include "note.h"
#include "state.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* An agent that cannot start is tried for ever, but not so often that it takes the machine's time. */
#define PAUSE_NS 1000000000ull

static pid_t agent = -1;
static int control = -1;
static uint64_t start_at_ns;

void agent_start(void)
{
    static char *const argv[] = {"banger-agent", NULL};
    int pair[2];

    if (agent > 0 || state_now_ns() < start_at_ns)
        return;
    start_at_ns = state_now_ns() + PAUSE_NS;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        note("control socket", errno);
        return;
    }
    control = pair[0];
    agent = child_start(RUN_DIRECTORY "/banger-agent", argv, -1, pair[1]);
    close(pair[1]);
    state_reached(STAGE_AGENT);
    agent_tell();
}

int agent_wait_ms(void)
{
    uint64_t now = state_now_ns();

    if (agent > 0)
        return -1;
    return now >= start_at_ns ? 0 : (int)((start_at_ns - now) / 1000000u + 1);
}

int agent_descriptor(void)
{
    return control;
}

void agent_tell(void)
{
    if (control >= 0 && send(control, &boot, sizeof boot, MSG_NOSIGNAL) < 0)
        note("tell the agent", errno);
}

int agent_request(struct control_request *request)
{
    return recv(control, request, sizeof *request, 0) == (ssize_t)sizeof *request;
}

void agent_child_ended(pid_t pid)
{
    if (pid != agent)
        return;
    note("the agent ended", 0);
    close(control);
    control = -1;
    agent = -1;
}
