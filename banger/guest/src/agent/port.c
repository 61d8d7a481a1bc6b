#include "port.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLASS "/sys/class/virtio-ports"

/* There is no udev that would make /dev/virtio-ports/<name>. */
int port_open(void)
{
    DIR *ports = opendir(CLASS);
    char path[300], name[64];
    int found = -1;

    if (!ports)
        return -1;
    errno = 0;
    for (struct dirent *entry; found < 0 && (entry = readdir(ports)) != NULL;) {
        snprintf(path, sizeof path, CLASS "/%s/name", entry->d_name);
        if (entry->d_name[0] == '.' || read_file(path, name, sizeof name) < 0)
            continue;
        name[strcspn(name, "\n")] = '\0';
        if (strcmp(name, PORT_NAME) != 0)
            continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        found = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (found < 0)
            break;
    }
    if (found < 0 && errno == 0)
        errno = ENODEV;
    closedir(ports);
    return found;
}

int port_watch(int port)
{
    if (fcntl(port, F_SETOWN, getpid()) < 0)
        return -1;
    return fcntl(port, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
}
