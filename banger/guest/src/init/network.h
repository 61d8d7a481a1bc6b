/* The network and the name of this machine, from the kernel's command line. */
#ifndef BANGER_NETWORK_H
#define BANGER_NETWORK_H

/* Bring up `lo`, and eth0 as `banger.net=<address>/<bits>[,<gateway>[,<name server>]]` says. Returns 0, or -1. */
int network_start(void);

/* Take the host name from the image's /etc/hostname until the host says who this is. */
void network_hostname(void);

#endif
