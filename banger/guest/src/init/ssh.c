#include "ssh.h"
#include "child.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SSHD "/usr/sbin/sshd"
#define PORT 22
#define BACKLOG 64
/* A connection that never authenticates holds its place until sshd's LoginGraceTime (120 s) ends. */
#define CONNECTIONS_MOST 128

static int listener = -1;
static pid_t sessions[CONNECTIONS_MOST];
static unsigned session_count;

static int open_listener(int family)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    int yes = 1, no = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    memset(&address, 0, sizeof address);
    address.any.sa_family = (sa_family_t)family;
    if (family == AF_INET6)
        address.v6.sin6_port = htons(PORT);
    else
        address.v4.sin_port = htons(PORT);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, &address.any, sizeof address) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

unsigned ssh_listen(void)
{
    if (listener >= 0)
        return SSH_LISTENING;
    if (access(SSHD, X_OK) < 0) {
        state_failed("the image has no", SSHD, 0);
        return SSH_ABSENT;
    }
    listener = open_listener(AF_INET6);
    if (listener < 0)
        listener = open_listener(AF_INET); /* a kernel without IPv6 */
    if (listener < 0) {
        state_failed("listen on port", "22", errno);
        return SSH_OFF;
    }
    return SSH_LISTENING;
}

int ssh_descriptor(void)
{
    return session_count < CONNECTIONS_MOST ? listener : -1;
}

void ssh_accept(void)
{
    static char *const argv[] = {"sshd", "-i", "-e", "-h", SSH_HOST_KEY, NULL};
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    pid_t pid;

    if (connection < 0)
        return;
    pid = child_start(SSHD, argv, connection, -1);
    if (pid > 0)
        sessions[session_count++] = pid;
    close(connection);
}

void ssh_child_ended(pid_t pid)
{
    for (unsigned i = 0; i < session_count; i++) {
        if (sessions[i] == pid) {
            sessions[i] = sessions[--session_count];
            return;
        }
    }
}

void ssh_close(void)
{
    close(listener);
    listener = -1;
}
