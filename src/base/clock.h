/* clock.h: the one source of time. Layers that must be pure take a time as a parameter instead. */
#ifndef TW_BASE_CLOCK_H
#define TW_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define TW_SECOND_NS INT64_C(1000000000)

/* Nanoseconds since some fixed moment; never goes back. */
int64_t tw_clock_monotonic_ns(void);

/* Nanoseconds since 1970-01-01 UTC, for records that people read. */
int64_t tw_clock_wall_ns(void);

/* The moment in so many nanoseconds, on CLOCK_MONOTONIC, for timed waits. */
struct timespec tw_clock_after(int64_t ns);

#endif
