/*
 * What banger-init and banger-agent tell each other over a SOCK_SEQPACKET socket pair. One struct is one packet; both
 * programs are built together and start from the same initramfs, so the layout needs no version.
 */
#ifndef BANGER_CONTROL_H
#define BANGER_CONTROL_H

#include <stdint.h>

/* The agent finds its end of the pair here. */
#define CONTROL_FD 3

/* Where both programs live while the guest runs: a tmpfs, so that any image will do. */
#define RUN_DIRECTORY "/run/banger"
#define SSH_HOST_KEY RUN_DIRECTORY "/ssh_host_ed25519_key"

/* Boot stages in the order of a boot; their names are part of the guest protocol (docs/guest-protocol.md). */
enum stage {
    STAGE_INIT,     /* the kernel started /init */
    STAGE_MODULES,  /* all kernel modules are loaded */
    STAGE_ROOT,     /* the root and work disks are mounted, and the root disk is "/" */
    STAGE_AGENT,    /* the agent was started */
    STAGE_NETWORK,  /* addresses and routes are set */
    STAGE_IDENTITY, /* the host said who this machine is */
    STAGE_SSH,      /* port 22 listens */
    STAGE_COUNT
};

enum ssh_state {
    SSH_OFF,       /* waits for an identity */
    SSH_ABSENT,    /* the image has no /usr/sbin/sshd */
    SSH_LISTENING, /* port 22 takes connections */
};

/* init -> agent, whole, at each change. */
struct boot_state {
    uint64_t stage_ns[STAGE_COUNT]; /* CLOCK_MONOTONIC; 0: not reached */
    uint32_t ssh;                   /* enum ssh_state */
    char failure[244];              /* the first step of the boot that failed, and why; "" if none did */
};

enum control_kind {
    CONTROL_IDENTITY = 1, /* the identity is in place, SSH may start */
    CONTROL_POWER_OFF,    /* the host asked for a shutdown */
};

/* agent -> init. */
struct control_request {
    uint32_t kind;        /* enum control_kind */
    uint32_t deadline_ms; /* CONTROL_POWER_OFF: how long programs may take to end */
};

#endif
