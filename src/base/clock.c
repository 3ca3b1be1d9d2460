#include "base/clock.h"

#include <time.h>

static int64_t read_clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t tw_clock_monotonic_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

int64_t tw_clock_wall_ns(void)
{
    return read_clock_ns(CLOCK_REALTIME);
}

struct timespec tw_clock_after(int64_t ns)
{
    const int64_t then_ns = tw_clock_monotonic_ns() + ns;
    return (struct timespec){.tv_sec = then_ns / 1000000000, .tv_nsec = then_ns % 1000000000};
}
