/*
 * banger-init: the first program of a guest, and its PID 1 to the end. Nothing of the image is run or needed up to the
 * moment that sshd is started, so any root filesystem will do.
 */
#include "agent.h"
#include "files.h"
#include "modules.h"
#include "mounts.h"
#include "network.h"
#include "note.h"
#include "power.h"
#include "ssh.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char program_name[] = "banger-init";

/* For a power button, Ctrl-Alt-Del or `kill 1`, where no host gives a deadline. */
#define POWER_OFF_MS 5000

/* The kernel opens /dev/console for us only if the initramfs has one; and a full console must not hold up the boot. */
static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0)
        return;
    for (int standard = 0; standard <= 2; standard++)
        dup2(fd, standard);
    if (fd > 2)
        close(fd);
}

static int take_signals(void)
{
    static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGUSR1, SIGUSR2};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaddset(&set, taken[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del becomes SIGINT to us */
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void boot_up(void)
{
    umask(022);
    mounts_early();
    open_console();
    state_reached(STAGE_INIT);
    modules_load();
    state_reached(STAGE_MODULES);
    if (mounts_root() < 0) {
        agent_start(); /* so that the host is told why */
        return;
    }
    mounts_work();
    state_reached(STAGE_ROOT);
    agent_start();
    mounts_late();
    network_hostname();
    if (network_start() == 0)
        state_reached(STAGE_NETWORK);
    agent_tell();
}

static void reap(void)
{
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        ssh_child_ended(pid);
        agent_child_ended(pid);
    }
}

static void handle_signals(int signals)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD)
            power_off(POWER_OFF_MS);
        reap();
    }
}

static void handle_requests(void)
{
    struct control_request request;

    while (agent_request(&request)) {
        if (request.kind == CONTROL_POWER_OFF)
            power_off(request.deadline_ms);
        if (request.kind != CONTROL_IDENTITY || !boot.stage_ns[STAGE_ROOT])
            continue;
        state_reached(STAGE_IDENTITY);
        boot.ssh = ssh_listen();
        if (boot.ssh == SSH_LISTENING)
            state_reached(STAGE_SSH);
        agent_tell();
    }
}

static void supervise(int signals)
{
    for (;;) {
        struct pollfd wait[] = {
            {signals, POLLIN, 0},
            {agent_descriptor(), POLLIN, 0},
            {ssh_descriptor(), POLLIN, 0},
        };

        if (poll(wait, sizeof wait / sizeof *wait, agent_wait_ms()) < 0)
            continue;
        if (wait[0].revents)
            handle_signals(signals);
        if (wait[1].revents & POLLIN)
            handle_requests();
        if (wait[2].revents & POLLIN)
            ssh_accept();
        agent_start();
    }
}

int main(void)
{
    int signals;

    if (getpid() != 1) {
        note("this is the first program of a guest; it only runs as PID 1", 0);
        return 1;
    }
    signals = take_signals();
    boot_up();
    supervise(signals);
}
