#include "modules.h"
#include "files.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST "/etc/modules"

static void load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        state_failed("open module", path, errno);
        return;
    }
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        state_failed("load module", path, errno);
    close(fd);
    unlink(path);
}

void modules_load(void)
{
    char list[4096];
    char *rest = list;

    if (read_file(LIST, list, sizeof list) < 0) {
        if (errno != ENOENT) /* a kernel with every driver built in needs no list */
            state_failed("read", LIST, errno);
        return;
    }
    for (char *path; (path = strsep(&rest, "\n")) != NULL;)
        if (*path)
            load(path);
    unlink(LIST);
}
