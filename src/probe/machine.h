/* machine.h: what this machine can do at most, measured now: the limits beside every figure.
 *
 * Memory speed of a shared machine drifts by a factor of two within minutes, so a limit is only
 * worth something when it was measured in the same run as the figure it stands beside. Callers
 * interleave: measure, work, measure, work, and compare medians.
 *
 * Threads: uses the pool given; call from the thread that owns it. Each call takes some
 * milliseconds.
 */
#ifndef TW_PROBE_MACHINE_H
#define TW_PROBE_MACHINE_H

#include <stddef.h>

#include "base/cpu.h"
#include "base/threadpool.h"

/* Bytes a second that all threads read from a buffer (each its own part, front to back, with
 * software prefetch). buffer: aligned to 64; longer than the last-level cache, or the cache is what
 * is measured. */
double tw_probe_read_rate(struct tw_threadpool *pool, const void *buffer, size_t n_bytes);

/* 8-bit multiply-adds a second, in operations (two each), of all threads together, from registers.
 * level: the instructions to use; 0 at TW_CPU_REF, which has none. */
double tw_probe_int8_rate(struct tw_threadpool *pool, enum tw_cpu_level level);

/* The same for f32 fused multiply-adds. */
double tw_probe_f32_rate(struct tw_threadpool *pool, enum tw_cpu_level level);

/* The same for products of bf16 pairs summed in f32. Without the instruction for it, a pair is two
 * f32 multiply-adds, and this is their rate. */
double tw_probe_bf16_rate(struct tw_threadpool *pool, enum tw_cpu_level level);

/* All of them, in bytes or operations a second. */
struct tw_probe_rates {
    double read, int8, bf16, f32;
};
struct tw_probe_rates tw_probe_rates(struct tw_threadpool *pool, enum tw_cpu_level level,
                                     const void *buffer, size_t n_bytes);

#endif
