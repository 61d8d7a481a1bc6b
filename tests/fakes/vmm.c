/* A VMM without a machine, for tests of everything around it: `qemu-system-x86_64` as far as banger knows it.
 *
 * Its command line is QEMU's, its monitor speaks QMP (qmp.sock), its forwarded port is bound, and behind its agent's
 * socket (agent.sock) is the real agent, as a process of this host whose root is the directory `guest`. It takes a
 * megabyte and starts in milliseconds, so that many of them show what banger itself takes. AGENT is its program. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct pipe {
    char data[65536];
    size_t begin, end;
};

static struct pipe to_agent, to_host, line;
static int monitor = -1, host = -1, agent = -1;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    unlink(name);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 8) < 0)
        die(name);
    return server;
}

/* -netdev user,id=net,hostfwd=tcp:127.0.0.1:PORT-:22 */
static void forward(const char *netdev)
{
    const char *found = strstr(netdev, "hostfwd=tcp:127.0.0.1:");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, server;

    if (!found)
        return;
    address.sin_port = htons((uint16_t)atoi(found + strlen("hostfwd=tcp:127.0.0.1:")));
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0) {
        fprintf(stderr, "qemu-system-x86_64: %s: Could not set up host forwarding rule\n", netdev);
        exit(1);
    }
}

static void start_agent(void)
{
    int pair[2];
    char number[16];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        die("socketpair");
    mkdir("guest", 0700), mkdir("guest/etc", 0700), mkdir("guest/root", 0700), mkdir("guest/run", 0700);
    mkdir("guest/run/banger", 0700);
    snprintf(number, sizeof number, "%d", pair[1]);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("BANGER_CHECKED_CLOCK", "1", 1);
        execl(AGENT, AGENT, number, "guest", "2", (char *)NULL);
        die(AGENT);
    }
    close(pair[1]);
    agent = pair[0];
    fcntl(agent, F_SETFL, O_NONBLOCK), fcntl(agent, F_SETFD, FD_CLOEXEC);
}

static void say(const char *text)
{
    if (monitor >= 0 && send(monitor, text, strlen(text), MSG_NOSIGNAL) < 0)
        close(monitor), monitor = -1;
}

static void answer(char *request)
{
    const char *id = strstr(request, "\"id\":"), *result = "{}";
    char text[256];

    if (strstr(request, "query-status"))
        result = "{\"status\": \"running\", \"running\": true}";
    else if (strstr(request, "human-monitor-command"))
        result = "\"\"";
    snprintf(text, sizeof text, "{\"return\": %s, \"id\": %d}\r\n", result, id ? atoi(id + 5) : 0);
    say(text);
    if (strstr(request, "\"quit\"") || strstr(request, "system_powerdown"))
        exit(0);
}

static void hear_monitor(void)
{
    ssize_t size = read(monitor, line.data + line.end, sizeof line.data - line.end - 1);
    char *end;

    if (size <= 0) {
        close(monitor), monitor = -1, line.end = 0;
        return;
    }
    line.end += (size_t)size;
    line.data[line.end] = '\0';
    while ((end = memchr(line.data, '\n', line.end)) != NULL) {
        size_t length = (size_t)(end - line.data) + 1;

        *end = '\0';
        answer(line.data);
        memmove(line.data, line.data + length, line.end - length + 1);
        line.end -= length;
    }
}

/* Carry what can be without waiting; -1 at the end of a side. */
static int carry(int from, int to, struct pipe *pipe)
{
    ssize_t size;

    if (pipe->begin == pipe->end) {
        size = read(from, pipe->data, sizeof pipe->data);
        if (size == 0 || (size < 0 && errno != EAGAIN))
            return -1;
        pipe->begin = 0, pipe->end = size < 0 ? 0 : (size_t)size;
    }
    if (pipe->begin < pipe->end) {
        size = send(to, pipe->data + pipe->begin, pipe->end - pipe->begin, MSG_NOSIGNAL);
        if (size < 0 && errno != EAGAIN)
            return -1;
        pipe->begin += size < 0 ? 0 : (size_t)size;
    }
    return 0;
}

static short wish(struct pipe *inward, struct pipe *outward)
{
    return (short)((inward->begin == inward->end ? POLLIN : 0) | (outward->begin < outward->end ? POLLOUT : 0));
}

static void serve(int monitors, int hosts)
{
    for (;;) {
        struct pollfd polled[] = {
            {.fd = monitor < 0 ? monitors : monitor, .events = POLLIN},
            {.fd = host < 0 ? hosts : host, .events = host < 0 ? POLLIN : wish(&to_agent, &to_host)},
            {.fd = agent, .events = host < 0 ? 0 : wish(&to_host, &to_agent)},
        };

        if (poll(polled, 3, -1) < 0)
            die("poll");
        if (polled[0].revents && monitor < 0) {
            monitor = accept4(monitors, NULL, NULL, SOCK_CLOEXEC);
            say("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 22}}, \"capabilities\": []}}\r\n");
        } else if (polled[0].revents) {
            hear_monitor();
        }
        if (host < 0) {
            if (polled[1].revents)
                host = accept4(hosts, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            continue;
        }
        if (polled[2].revents & (POLLHUP | POLLERR) && !(polled[2].revents & POLLIN))
            exit(0); /* the guest has ended */
        if (carry(host, agent, &to_agent) < 0) {
            close(host), host = -1;
            to_agent.begin = to_agent.end = to_host.begin = to_host.end = 0;
        } else if (carry(agent, host, &to_host) < 0) {
            exit(0);
        }
    }
}

int main(int count, char **words)
{
    int monitors, hosts, console;

    if (count > 1 && !strcmp(words[1], "--version"))
        return puts("QEMU emulator version 7.2.22 (a fake)") < 0;
    if (count > 2 && !strcmp(words[1], "-accel") && !strcmp(words[2], "help"))
        return puts("Accelerators supported in QEMU binary:\ntcg") < 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i + 1 < count; i++)
        if (!strcmp(words[i], "-netdev"))
            forward(words[i + 1]);
    console = open("console.log", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (console < 0 || write(console, "a fake guest\n", 13) < 0)
        die("console.log");
    close(console);
    hosts = listen_at("agent.sock");
    start_agent();
    monitors = listen_at("qmp.sock");
    serve(monitors, hosts);
}
