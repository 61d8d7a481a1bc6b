/* Set up network interfaces by ioctl: no tool of the image, no DHCP client. Addresses are IPv4, as text. */
#ifndef BANGER_NET_H
#define BANGER_NET_H

#include <stdint.h>

struct net_config {
    const char *interface; /* "eth0" */
    const char *address;   /* "10.0.2.15/24", or NULL to leave it as it is */
    const char *gateway;   /* "10.0.2.2", or NULL */
    const uint8_t *mac;    /* 6 bytes, or NULL */
};

/* Bring an interface up, with an address if one is given. On failure -1, errno, and *step says what was tried. */
int net_configure(const struct net_config *config, const char **step);

/* Bring `lo` up. Returns 0, or -1 with errno. */
int net_loopback_up(void);

/* Split "10.0.2.15/24" into a network-order address and mask. Returns 0, or -1 if it is no such thing. */
int net_parse_cidr(const char *text, uint32_t *address, uint32_t *mask);

#endif
