#include "network.h"
#include "cmdline.h"
#include "files.h"
#include "names.h"
#include "net.h"
#include "state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int network_start(void)
{
    char value[128];
    char *rest = value;
    const char *step, *server;
    struct net_config eth0 = {"eth0", NULL, NULL, NULL};

    if (net_loopback_up() < 0)
        state_failed("bring up", "lo", errno);
    if (!cmdline_value("banger.net", value, sizeof value))
        return 0;
    eth0.address = strsep(&rest, ",");
    eth0.gateway = strsep(&rest, ",");
    server = strsep(&rest, ",");
    if (net_configure(&eth0, &step) < 0) {
        state_failed("eth0:", step, errno);
        return -1;
    }
    if (server && names_write_resolver(server) < 0)
        state_failed("write", "/etc/resolv.conf", errno);
    return 0;
}

void network_hostname(void)
{
    char name[256];
    ssize_t size = read_file("/etc/hostname", name, sizeof name);
    size_t length = size < 0 ? 0 : strcspn(name, " \t\n");

    if (length > 0 && sethostname(name, length) < 0)
        state_failed("set host name", "", errno);
}
