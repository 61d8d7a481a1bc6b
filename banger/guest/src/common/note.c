#include "note.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void note_about(const char *what, const char *detail, int error_number)
{
    char line[512];
    int saved = errno;
    int length = snprintf(line, sizeof line, "%s: %s%s%s%s%s\n", program_name, what, *detail ? " " : "", detail,
                          error_number ? ": " : "", error_number ? strerror(error_number) : "");

    if (length > (int)sizeof line - 1)
        length = (int)sizeof line - 1;
    /* One write, so that lines of several processes do not mix; a console that refuses it cannot be told so. */
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        errno = saved;
    errno = saved;
}

void note(const char *what, int error_number)
{
    note_about(what, "", error_number);
}
