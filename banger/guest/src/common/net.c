#include "net.h"
#include "files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int net_parse_cidr(const char *text, uint32_t *address, uint32_t *mask)
{
    char copy[INET_ADDRSTRLEN + 3];
    char *slash, *end;
    struct in_addr parsed;
    long bits;

    if (strlen(text) >= sizeof copy)
        return -1;
    strcpy(copy, text);
    slash = strchr(copy, '/');
    if (!slash || slash[1] < '0' || slash[1] > '9')
        return -1;
    *slash = '\0';
    bits = strtol(slash + 1, &end, 10);
    if (*end || bits < 1 || bits > 32 || inet_pton(AF_INET, copy, &parsed) != 1)
        return -1;
    *address = parsed.s_addr;
    *mask = htonl(UINT32_MAX << (32 - bits));
    return 0;
}

static struct ifreq request_for(const char *interface)
{
    struct ifreq request;

    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    return request;
}

static void set_inet(struct sockaddr *into, uint32_t address)
{
    struct sockaddr_in in;

    memset(&in, 0, sizeof in);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = address;
    memcpy(into, &in, sizeof in);
}

static int set_flag_up(int fd, const char *interface, int up)
{
    struct ifreq request = request_for(interface);

    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -1;
    if (up)
        request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    else
        request.ifr_flags = (short)(request.ifr_flags & ~IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int set_mac(int fd, const char *interface, const uint8_t *mac)
{
    struct ifreq request = request_for(interface);
    char notify[64];
    int switch_fd;

    /* Have the kernel tell the network (gratuitous ARP): who has learnt our old address would go on sending there. */
    snprintf(notify, sizeof notify, "/proc/sys/net/ipv4/conf/%s/arp_notify", interface);
    switch_fd = open(notify, O_WRONLY | O_CLOEXEC);
    if (switch_fd >= 0) {
        write_all(switch_fd, "1", 1);
        close(switch_fd);
    }
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, mac, 6);
    if (ioctl(fd, SIOCSIFHWADDR, &request) == 0)
        return 0;
    /* A driver that cannot do it while up says EBUSY. Down costs the routes, so that is not the first thing to try. */
    if (errno != EBUSY || set_flag_up(fd, interface, 0) < 0)
        return -1;
    return ioctl(fd, SIOCSIFHWADDR, &request);
}

static int set_address(int fd, const char *interface, const char *cidr)
{
    struct ifreq request = request_for(interface);
    uint32_t address, mask;

    if (net_parse_cidr(cidr, &address, &mask) < 0) {
        errno = EINVAL;
        return -1;
    }
    set_inet(&request.ifr_addr, address);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0)
        return -1;
    set_inet(&request.ifr_netmask, mask);
    return ioctl(fd, SIOCSIFNETMASK, &request);
}

static int set_gateway(int fd, const char *gateway)
{
    struct rtentry route;
    struct in_addr parsed;

    if (inet_pton(AF_INET, gateway, &parsed) != 1) {
        errno = EINVAL;
        return -1;
    }
    memset(&route, 0, sizeof route);
    set_inet(&route.rt_dst, INADDR_ANY);
    set_inet(&route.rt_genmask, INADDR_ANY);
    set_inet(&route.rt_gateway, parsed.s_addr);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST)
        return -1;
    return 0;
}

int net_configure(const struct net_config *config, const char **step)
{
    int saved;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *step = "socket";
    if (fd < 0)
        return -1;
    if (config->mac && (*step = "MAC address", set_mac(fd, config->interface, config->mac) < 0))
        goto failed;
    if (config->address && (*step = "address", set_address(fd, config->interface, config->address) < 0))
        goto failed;
    *step = "link up";
    if (set_flag_up(fd, config->interface, 1) < 0)
        goto failed;
    if (config->gateway && (*step = "default route", set_gateway(fd, config->gateway) < 0))
        goto failed;
    close(fd);
    return 0;
failed:
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int net_loopback_up(void)
{
    const char *step;
    struct net_config loopback = {"lo", NULL, NULL, NULL};

    return net_configure(&loopback, &step); /* the kernel gives `lo` its addresses itself */
}
