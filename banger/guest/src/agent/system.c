#include "system.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int system_rehearsal(int count, char **words, int *port, struct boot_state *boot)
{
    (void)count, (void)words, (void)port, (void)boot;
    return 0;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t system_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t system_time_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int system_set_time(uint64_t time_ns)
{
    struct timespec time = {(time_t)(time_ns / 1000000000u), (long)(time_ns % 1000000000u)};

    return clock_settime(CLOCK_REALTIME, &time);
}

int system_set_hostname(const char *name)
{
    return sethostname(name, strlen(name));
}

int system_add_entropy(const uint8_t *seed, size_t size)
{
    struct {
        struct rand_pool_info head;
        uint8_t seed[512];
    } pool;
    int fd, result;

    if (size > sizeof pool.seed) {
        errno = EINVAL;
        return -1;
    }
    fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    pool.head.entropy_count = (int)size * 8;
    pool.head.buf_size = (int)size;
    memcpy(pool.head.buf, seed, size);
    result = ioctl(fd, RNDADDENTROPY, &pool);
    /* So that two machines restored from one template do not give out the same numbers from here on. */
    if (result == 0)
        result = ioctl(fd, RNDRESEEDCRNG);
    explicit_bzero(&pool, sizeof pool);
    close(fd);
    return result;
}

int system_network(const struct net_config *config, const char **step)
{
    return net_configure(config, step);
}

int system_tell_init(int control, enum control_kind kind, uint32_t deadline_ms)
{
    struct control_request request = {kind, deadline_ms};

    return send(control, &request, sizeof request, MSG_NOSIGNAL) == (ssize_t)sizeof request ? 0 : -1;
}

void system_sync(void)
{
    sync();
}

int system_quiesce(void)
{
    int fd, result;

    sync();
    fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    result = write_all(fd, "3", 1);
    close(fd);
    return result;
}
