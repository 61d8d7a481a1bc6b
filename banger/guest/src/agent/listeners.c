/* The TCP listeners of this machine, and whose they are: /proc/net/tcp, /proc/net/tcp6 and /proc/<pid>/fd (proc(5)). */
#include "files.h"
#include "json.h"
#include "requests.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTENERS_MOST 256
/* Sockets in other states come in the same file; a machine with more of them than this is not listed to the end. */
#define LINES_MOST 65536
#define COMMAND_LONGEST 200
#define STATE_LISTEN 0x0a /* TCP_LISTEN of include/net/tcp_states.h */

struct listener {
    char address[INET6_ADDRSTRLEN];
    unsigned port;
    unsigned long inode;
    long pid; /* 0: not found */
};

static struct listener listeners[LISTENERS_MOST];
static size_t listener_count;
static int truncated;

/* The kernel prints an address as words of 32 bits in host order, in hexadecimal. */
static int parse_address(const char *digits, size_t length, char *into, socklen_t size)
{
    uint32_t words[4] = {0};
    char word[9];

    for (size_t i = 0; i < length / 8; i++) {
        memcpy(word, digits + 8 * i, 8);
        word[8] = '\0';
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    return inet_ntop(length == 8 ? AF_INET : AF_INET6, words, into, size) ? 0 : -1;
}

static void parse_line(const char *line)
{
    struct listener *next = &listeners[listener_count];
    char digits[33];
    unsigned port, state;
    unsigned long inode;
    size_t length;

    if (sscanf(line, " %*u: %32[0-9A-F]:%x %*32[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", digits, &port, &state,
               &inode) != 4 ||
        state != STATE_LISTEN)
        return;
    length = strlen(digits);
    if (length != 8 && length != 32)
        return;
    if (listener_count == LISTENERS_MOST) {
        truncated = 1;
        return;
    }
    if (parse_address(digits, length, next->address, sizeof next->address) < 0)
        return;
    next->port = port;
    next->inode = inode;
    next->pid = 0;
    listener_count++;
}

static void read_table(const char *path)
{
    FILE *table = fopen(path, "re");
    char line[512];
    int lines = 0;

    if (!table)
        return; /* a kernel without IPv6 */
    while (fgets(line, sizeof line, table)) {
        if (++lines > LINES_MOST) {
            truncated = 1;
            break;
        }
        parse_line(line);
    }
    fclose(table);
}

static void claim(unsigned long inode, long pid)
{
    for (size_t i = 0; i < listener_count; i++)
        if (listeners[i].inode == inode && listeners[i].pid == 0)
            listeners[i].pid = pid; /* of those that share it, the one that /proc names first */
}

static void claim_sockets_of(long pid)
{
    char path[64], target[64];
    DIR *descriptors;

    snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    descriptors = opendir(path);
    if (!descriptors)
        return; /* it has ended */
    for (struct dirent *entry; (entry = readdir(descriptors)) != NULL;) {
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target - 1);
        unsigned long inode;

        if (length <= 0)
            continue;
        target[length] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) == 1)
            claim(inode, pid);
    }
    closedir(descriptors);
}

static void find_owners(void)
{
    DIR *processes = opendir("/proc");

    if (!processes)
        return;
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]))
            claim_sockets_of(strtol(entry->d_name, NULL, 10));
    closedir(processes);
}

/* A file of a process, its NULs as spaces, without what trails. */
static size_t process_text(long pid, const char *name, char *into, size_t size)
{
    char path[64];
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    file = fopen(path, "re");
    if (!file)
        return 0;
    length = fread(into, 1, size, file);
    fclose(file);
    for (size_t i = 0; i < length; i++)
        if (into[i] == '\0')
            into[i] = ' ';
    while (length > 0 && (into[length - 1] == ' ' || into[length - 1] == '\n'))
        length--;
    return length;
}

static void write_listener(struct json *json, const struct listener *listener)
{
    char text[COMMAND_LONGEST];

    json_open(json, '{');
    json_key(json, "address");
    json_string(json, listener->address);
    json_key(json, "port");
    json_number(json, listener->port);
    json_key(json, "pid");
    json_number(json, (uint64_t)listener->pid);
    json_key(json, "process");
    json_text(json, text, listener->pid ? process_text(listener->pid, "comm", text, sizeof text) : 0);
    json_key(json, "command");
    json_text(json, text, listener->pid ? process_text(listener->pid, "cmdline", text, sizeof text) : 0);
    json_close(json, '}');
}

void listeners_write(struct json *json)
{
    /* Room for what closes the document after the last listener that fits. */
    size_t room = json->size - 64;

    listener_count = 0;
    truncated = 0;
    read_table("/proc/net/tcp");
    read_table("/proc/net/tcp6");
    find_owners();
    json_key(json, "listeners");
    json_open(json, '[');
    for (size_t i = 0; i < listener_count; i++) {
        struct json before = *json;

        write_listener(json, &listeners[i]);
        if (json->full || json->used > room) {
            *json = before;
            truncated = 1;
            break;
        }
    }
    json_close(json, ']');
    json_key(json, "truncated");
    json_bool(json, truncated);
}
