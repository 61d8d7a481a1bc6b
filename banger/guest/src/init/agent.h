/* The agent's process: started, told how the boot goes, started again if it dies. */
#ifndef BANGER_AGENT_H
#define BANGER_AGENT_H

#include "control.h"

#include <sys/types.h>

/* Start it if it is not running and its pause after a death is over. */
void agent_start(void);

/* Milliseconds until agent_start() would have something to do; -1: it runs. */
int agent_wait_ms(void);

/* Our end of the control socket, or -1. */
int agent_descriptor(void);

/* Send it the boot state. */
void agent_tell(void);

/* Take one request of it. Returns 1, or 0 if there is none. */
int agent_request(struct control_request *request);

/* Tell that a child ended; any other than the agent is ignored. */
void agent_child_ended(pid_t pid);

#endif
