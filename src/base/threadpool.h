/* threadpool.h: compute workers that run one function together and meet at barriers.
 *
 *     tw_threadpool_run(pool, f, x):   caller = thread 0 ── f(0) ─┬─ barrier ─┬── return
 *                                      worker  1 ────────── f(1) ─┘           └── sleeps again
 *
 * A decoded token is some hundred parallel regions of 10-500 us, so a region must not cost a
 * futex wake (36 us measured): workers spin for a bounded time between regions and at barriers,
 * then sleep, and an idle pool uses no CPU. Where other processes want the cores as well, they spin
 * less (bench/base/region_rates.c).
 *
 * Invariants: 1. f runs exactly once on each of n_threads threads per run. 2. Everything written
 * before a barrier is visible to all threads after it. 3. Static partition by thread index only:
 * no result may depend on which thread computed it.
 * Threads: tw_threadpool_run from one thread at a time; the barrier only inside f.
 */
#ifndef TW_BASE_THREADPOOL_H
#define TW_BASE_THREADPOOL_H

#include <stddef.h>

#include "base/status.h"

struct tw_threadpool;

typedef void (*tw_threadpool_fn)(void *context, int thread, int n_threads);

/* n_threads: 1..TW_LIMIT_THREADS, the caller included. Threads are pinned to the cores of the
 * process's affinity mask when there are at least as many cores as threads. */
enum tw_status tw_threadpool_create(int n_threads, struct tw_threadpool **ret_pool,
                                    struct tw_error *error);
void tw_threadpool_free(struct tw_threadpool *pool);

int tw_threadpool_size(const struct tw_threadpool *pool);
void tw_threadpool_run(struct tw_threadpool *pool, tw_threadpool_fn fn, void *context);

/* Waits until every thread of the running region has called it as often as this one. */
void tw_threadpool_barrier(struct tw_threadpool *pool, int thread);

/* The part of [0, n) that belongs to a thread: contiguous, sizes differ by at most one. */
void tw_threadpool_share(size_t n, int thread, int n_threads, size_t *ret_begin, size_t *ret_end);

#endif
