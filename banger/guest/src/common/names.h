/* The files that tie names to addresses: /etc/hostname, /etc/hosts, /etc/resolv.conf. */
#ifndef BANGER_NAMES_H
#define BANGER_NAMES_H

#include <stddef.h>

/* The longest host name: one label (RFC 1035, 2.3.4). */
#define HOST_NAME_LONGEST 63

/* Whether this is one lower-case DNS label. */
int names_valid_host(const char *name, size_t length);

/* Write /etc/hostname, and say in /etc/hosts that this name is 127.0.1.1; other lines of it stay. 0, or -1 with errno. */
int names_write_host(const char *name);

/*
 * Name `server` in /etc/resolv.conf if that file is absent, empty, a link to nothing, or was written by this function.
 * Returns 0 (also when the file is the image's own and was left alone), or -1 with errno.
 */
int names_write_resolver(const char *server);

#endif
