/*
 * Port 22. init listens itself and starts `sshd -i` for each connection: nothing to wait for at boot, nothing to restart
 * when it dies or when a restored machine is given other host keys, and "it listens" is known, not probed.
 */
#ifndef BANGER_SSH_H
#define BANGER_SSH_H

#include <sys/types.h>

/* Listen, once. Returns the state to report (enum ssh_state); failures are noted. */
unsigned ssh_listen(void);

/* The listening socket to poll, or -1 while it is closed or as many connections as allowed are open. */
int ssh_descriptor(void);

/* Take one connection and start its sshd. */
void ssh_accept(void);

/* Tell that a child ended; one that is not an sshd of ours is ignored. */
void ssh_child_ended(pid_t pid);

/* Take no more connections. */
void ssh_close(void);

#endif
