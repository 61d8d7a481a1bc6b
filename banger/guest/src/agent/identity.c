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

static const char *apply_names(const struct fields *fields)
{
    char name[HOST_NAME_LONGEST + 1], id[34];

    if (fields_text(&fields->at[TAG_HOSTNAME], name, sizeof name, 0) < 0 || !names_valid_host(name, strlen(name)))
        return "hostname is not a DNS label";
    if (fields_text(&fields->at[TAG_MACHINE_ID], id, sizeof id - 1, 0) < 0 || strspn(id, "0123456789abcdef") != strlen(id))
        return "machine_id is not 32 hexadecimal digits";
    if (names_write_host(name) < 0)
        return "write /etc/hostname and /etc/hosts";
    if (system_set_hostname(name) < 0)
        return "set the host name";
    if (*id && replace_file("/etc/machine-id", strcat(id, "\n"), 33, 0444) < 0)
        return "write /etc/machine-id";
    return NULL;
}

static const char *apply_keys(const struct fields *fields)
{
    static char key[KEY_LONGEST + 1];
    const char *failed = NULL;

    if (fields_text(&fields->at[TAG_AUTHORIZED_KEY], key, sizeof key, 0) < 0)
        return "authorized_key is not one line";
    if (own_directory("/root", 0755) < 0 || own_directory("/root/.ssh", 0700) < 0 || authorize(key) < 0)
        return "write " KEYS_FILE;
    if (fields_text(&fields->at[TAG_HOST_PUBLIC_KEY], key, sizeof key, 0) < 0)
        return "host_public_key is not one line";
    strcat(key, "\n");
    if (replace_file(SSH_HOST_KEY ".pub", key, strlen(key), 0644) < 0)
        return "write " SSH_HOST_KEY ".pub";
    if (fields_text(&fields->at[TAG_HOST_KEY], key, sizeof key, 1) < 0 || strncmp(key, PEM_BEGIN, strlen(PEM_BEGIN)) != 0)
        failed = "host_key is not an OpenSSH private key";
    else if (replace_file(SSH_HOST_KEY, key, strlen(key), 0600) < 0)
        failed = "write " SSH_HOST_KEY;
    explicit_bzero(key, sizeof key);
    return failed;
}

static const char *apply_network(const struct fields *fields)
{
    char address[20], gateway[16], server[16];
    const struct field *mac = &fields->at[TAG_MAC];
    struct net_config eth0 = {"eth0", NULL, NULL, mac->data};
    const char *step;

    if (fields_text(&fields->at[TAG_ADDRESS], address, sizeof address, 0) < 0 ||
        fields_text(&fields->at[TAG_GATEWAY], gateway, sizeof gateway, 0) < 0 ||
        fields_text(&fields->at[TAG_NAME_SERVER], server, sizeof server, 0) < 0)
        return "an address is not text";
    if (*server && names_write_resolver(server) < 0)
        return "write /etc/resolv.conf";
    if (!*address && !*gateway && !mac->data)
        return NULL;
    eth0.address = *address ? address : NULL;
    eth0.gateway = *gateway ? gateway : NULL;
    return system_network(&eth0, &step) < 0 ? step : NULL;
}

const char *identity_apply(const struct fields *fields)
{
    const struct field *seed = &fields->at[TAG_SEED];
    const char *failed;

    if (system_add_entropy(seed->data, seed->size) < 0)
        return "add entropy";
    failed = apply_names(fields);
    if (!failed)
        failed = apply_network(fields);
    return failed ? failed : apply_keys(fields);
}
