/*
 * The virtio-serial port to the host. It stays open for ever; hosts come and go. While none is connected reads give end
 * of file and poll(2) reports a hang-up at once, every time: so then we wait for SIGIO, which the driver sends when a
 * host connects (drivers/char/virtio_console.c, handle_control_message: VIRTIO_CONSOLE_PORT_OPEN).
 */
#ifndef BANGER_PORT_H
#define BANGER_PORT_H

#include <stddef.h>
#include <sys/types.h>

#define PORT_NAME "org.banger.agent.0"

/* Open the port by its name. Returns a non-blocking descriptor, or -1 with errno (ENODEV: there is no such port). */
int port_open(void);

/* Have SIGIO sent for hosts that come and go. Returns 0, or -1 with errno. */
int port_watch(int port);

#endif
