/* Who this machine is: names, keys, addresses and randomness that no other machine from the same image may share. */
#include "files.h"
#include "names.h"
#include "requests.h"
#include "system.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEYS_FILE "/root/.ssh/authorized_keys"
#define KEYS_LARGEST 131072
#define KEY_LONGEST 16384
#define PEM_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"

static int has_line(const char *text, const char *line)
{
    size_t length = strlen(line);

    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strncmp(at, line, length) == 0 && (at[length] == '\n' || at[length] == '\0'))
            return 1;
    return 0;
}

/* Add our key; the lines that are there stay. */
static int authorize(const char *key)
{
    static char keys[KEYS_LARGEST + KEY_LONGEST + 2];
    ssize_t size = read_file(KEYS_FILE, keys, KEYS_LARGEST);
    int added;

    if (size < 0 && errno != ENOENT)
        return -1;
    if (size < 0)
        keys[size = 0] = '\0';
    if (!has_line(keys, key)) {
        added = sprintf(keys + size, "%s%s\n", size > 0 && keys[size - 1] != '\n' ? "\n" : "", key);
        size += added;
    }
    return replace_file(KEYS_FILE, keys, (size_t)size, 0600);
}

/* The request's fields as text, checked; "" where it has none. */
static struct identity {
    char hostname[HOST_NAME_LONGEST + 1], machine_id[34];
    char address[20], gateway[16], server[16];
    char authorized_key[KEY_LONGEST + 1], host_public_key[4098], host_key[KEY_LONGEST + 1];
    const uint8_t *mac;
} wanted;

/* Take everything out of the request before anything is changed. Returns NULL, or what is wrong with it. */
static const char *parse(const struct fields *fields)
{
    const struct field *at = fields->at;

    wanted.mac = at[TAG_MAC].data;
    if (fields_text(&at[TAG_HOSTNAME], wanted.hostname, sizeof wanted.hostname, 0) < 0 ||
        !names_valid_host(wanted.hostname, strlen(wanted.hostname)))
        return "hostname is not a DNS label";
    if (fields_text(&at[TAG_MACHINE_ID], wanted.machine_id, sizeof wanted.machine_id - 1, 0) < 0 ||
        strspn(wanted.machine_id, "0123456789abcdef") != strlen(wanted.machine_id))
        return "machine_id is not 32 hexadecimal digits";
    if (fields_text(&at[TAG_ADDRESS], wanted.address, sizeof wanted.address, 0) < 0 ||
        fields_text(&at[TAG_GATEWAY], wanted.gateway, sizeof wanted.gateway, 0) < 0 ||
        fields_text(&at[TAG_NAME_SERVER], wanted.server, sizeof wanted.server, 0) < 0)
        return "an address is not text";
    if (fields_text(&at[TAG_AUTHORIZED_KEY], wanted.authorized_key, sizeof wanted.authorized_key, 0) < 0)
        return "authorized_key is not one line";
    if (fields_text(&at[TAG_HOST_PUBLIC_KEY], wanted.host_public_key, sizeof wanted.host_public_key - 1, 0) < 0)
        return "host_public_key is not one line";
    if (fields_text(&at[TAG_HOST_KEY], wanted.host_key, sizeof wanted.host_key, 1) < 0 ||
        strncmp(wanted.host_key, PEM_BEGIN, strlen(PEM_BEGIN)) != 0)
        return "host_key is not an OpenSSH private key";
    return NULL;
}

static const char *apply_names(void)
{
    if (names_write_host(wanted.hostname) < 0)
        return "write /etc/hostname and /etc/hosts";
    if (system_set_hostname(wanted.hostname) < 0)
        return "set the host name";
    if (*wanted.machine_id && replace_file("/etc/machine-id", strcat(wanted.machine_id, "\n"), 33, 0444) < 0)
        return "write /etc/machine-id";
    return NULL;
}

static const char *apply_keys(void)
{
    if (own_directory("/root", 0755) < 0 || own_directory("/root/.ssh", 0700) < 0 ||
        authorize(wanted.authorized_key) < 0)
        return "write " KEYS_FILE;
    strcat(wanted.host_public_key, "\n");
    if (replace_file(SSH_HOST_KEY ".pub", wanted.host_public_key, strlen(wanted.host_public_key), 0644) < 0)
        return "write " SSH_HOST_KEY ".pub";
    if (replace_file(SSH_HOST_KEY, wanted.host_key, strlen(wanted.host_key), 0600) < 0)
        return "write " SSH_HOST_KEY;
    return NULL;
}

static const char *apply_network(void)
{
    const char *step;
    struct net_config eth0 = {
        "eth0",
        *wanted.address ? wanted.address : NULL,
        *wanted.gateway ? wanted.gateway : NULL,
        wanted.mac,
    };

    if (*wanted.server && names_write_resolver(wanted.server) < 0)
        return "write /etc/resolv.conf";
    if (!eth0.address && !eth0.gateway && !eth0.mac)
        return NULL;
    return system_network(&eth0, &step) < 0 ? step : NULL;
}

const char *identity_apply(const struct fields *fields)
{
    const struct field *seed = &fields->at[TAG_SEED], *work = &fields->at[TAG_WORK_BYTES];
    const char *step, *failed = parse(fields);

    if (failed) {
        errno = 0;
    } else if (system_add_entropy(seed->data, seed->size) < 0) {
        failed = "add entropy";
    } else if (work->data && system_mount_work(wire_u64(work->data), &step) < 0) {
        failed = step;
    } else {
        failed = apply_names();
        if (!failed)
            failed = apply_network();
        if (!failed)
            failed = apply_keys();
    }
    explicit_bzero(wanted.host_key, sizeof wanted.host_key);
    return failed;
}
