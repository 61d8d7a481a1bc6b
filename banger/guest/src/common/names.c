#include "names.h"
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOSTS_LARGEST 32768
#define RESOLVER_MARK "# Written by banger at boot, because the image had no name server.\n"

int names_valid_host(const char *name, size_t length)
{
    if (length < 1 || length > HOST_NAME_LONGEST || name[0] == '-' || name[length - 1] == '-')
        return 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return 0;
    }
    return 1;
}

/* Whether the line's first word is this address. */
static int line_is_about(const char *line, const char *address)
{
    size_t length = strlen(address);

    return strncmp(line, address, length) == 0 && (line[length] == ' ' || line[length] == '\t');
}

static int write_hosts(const char *name)
{
    static char old[HOSTS_LARGEST], new[HOSTS_LARGEST + HOST_NAME_LONGEST + 64];
    size_t used = 0;
    int has_localhost = 0;
    const char *next;

    if (read_file("/etc/hosts", old, sizeof old) < 0) {
        if (errno != ENOENT)
            return -1;
        old[0] = '\0';
    }
    for (const char *line = old; *line; line = next) {
        size_t length = strcspn(line, "\n");

        next = line + length + (line[length] == '\n');
        has_localhost |= line_is_about(line, "127.0.0.1");
        if (line_is_about(line, "127.0.1.1"))
            continue;
        memcpy(new + used, line, length);
        used += length;
        new[used++] = '\n';
    }
    used += (size_t)sprintf(new + used, "%s127.0.1.1\t%s\n", has_localhost ? "" : "127.0.0.1\tlocalhost\n", name);
    return replace_file("/etc/hosts", new, used, 0644);
}

int names_write_host(const char *name)
{
    char line[HOST_NAME_LONGEST + 2];
    int length = snprintf(line, sizeof line, "%s\n", name);

    if (replace_file("/etc/hostname", line, (size_t)length, 0644) < 0)
        return -1;
    return write_hosts(name);
}

int names_write_resolver(const char *server)
{
    char text[4096];
    ssize_t size = read_file("/etc/resolv.conf", text, sizeof text);
    int length;

    if (size < 0 && errno == EFBIG)
        return 0;
    if (size < 0 && errno != ENOENT)
        return -1;
    if (size > 0 && strncmp(text, RESOLVER_MARK, strlen(RESOLVER_MARK)) != 0)
        return 0;
    length = snprintf(text, sizeof text, RESOLVER_MARK "nameserver %s\n", server);
    return replace_file("/etc/resolv.conf", text, (size_t)length, 0644);
}
