#include "cmdline.h"
#include "files.h"

#include <string.h>

/* The kernel's own limit on x86 is 2,048 (COMMAND_LINE_SIZE); a bootloader's part may come on top. */
#define CMDLINE_LONGEST 4096

int cmdline_value(const char *key, char *into, size_t size)
{
    char line[CMDLINE_LONGEST];
    size_t key_length = strlen(key);
    char *rest = line;

    into[0] = '\0';
    if (read_file("/proc/cmdline", line, sizeof line) < 0)
        return 0;
    for (char *word; (word = strsep(&rest, " \n")) != NULL;) {
        if (strncmp(word, key, key_length) != 0 || word[key_length] != '=')
            continue;
        word += key_length + 1;
        if (strlen(word) >= size)
            return 0;
        strcpy(into, word);
        return 1;
    }
    return 0;
}
