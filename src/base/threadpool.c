#define _GNU_SOURCE
#include "base/threadpool.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"

/* One pause is about 26 ns here: workers spin some 100 us between regions, then sleep. A barrier
 * spins as long before it assumes that a thread lost its core. */
#define SPINS_BEFORE_SLEEP 4000
/* With more threads than cores, who spins keeps the core from the one that is waited for. */
#define SPINS_WHEN_CROWDED 50
/* Other processes crowd us, too: then most waits end in sleep however long we spin, and the
 * spinning is taken off our share of the core. Measured with a busy process on each: four fifths of
 * it, and regions of 20 us took five times as long as with short spins; sched_yield gave the share
 * away altogether. So long waits make a thread weary and short ones hopeful; a weary one spins long
 * only now and then, to see. */
#define WEARY_STEP         4
#define WEARY_FROM         8
#define WEARY_MOST         16
#define WEARY_PROBE        32

/* Own cache line each: the words that threads spin on must not share one. */
struct padded_word {
    _Alignas(64) _Atomic uint32_t value;
};

/* What a thread has learnt about one kind of wait. Nobody else looks at it. */
struct patience {
    _Alignas(64) int weariness; /* 0..WEARY_MOST */
    unsigned n_waits;
};

struct worker {
    struct tw_threadpool *pool;
    pthread_t handle;
    int index;
    int core; /* -1: not pinned */
};

enum { REGION_WAIT = 0, BARRIER_WAIT, WAIT_KINDS };

struct tw_threadpool {
    struct padded_word region;  /* number of the newest region; workers wait for it to change */
    struct padded_word arrived; /* threads at the current barrier */
    struct padded_word phase;   /* number of barriers passed */
    struct padded_word sleepers;
    tw_threadpool_fn fn;
    void *context;
    int n_threads;
    int n_spins;
    bool quit;
    int n_started;
    struct worker *workers;                  /* n_threads - 1 */
    struct patience (*patience)[WAIT_KINDS]; /* of n_threads */
};

static void sleep_while_equal(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static bool spin_while_equal(_Atomic uint32_t *word, uint32_t value, int n_spins)
{
    for (int i = 0; i < n_spins; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) {
            return true;
        }
        __builtin_ia32_pause();
    }
    return false;
}

static void wait_while_equal(struct tw_threadpool *pool, struct patience *patience,
                             _Atomic uint32_t *word, uint32_t value)
{
    bool is_weary = patience->weariness >= WEARY_FROM && ++patience->n_waits % WEARY_PROBE != 0;
    if (spin_while_equal(word, value, is_weary ? SPINS_WHEN_CROWDED : pool->n_spins)) {
        if (!is_weary && patience->weariness > 0) {
            patience->weariness -= patience->weariness >= WEARY_FROM ? WEARY_STEP : 1;
        }
        return;
    }
    if (!is_weary && patience->weariness < WEARY_MOST) {
        patience->weariness += WEARY_STEP;
    }
    atomic_fetch_add(&pool->sleepers.value, 1);
    while (atomic_load(word) == value) {
        sleep_while_equal(word, value);
    }
    atomic_fetch_sub(&pool->sleepers.value, 1);
}

/* The word is published before sleepers is read, and a sleeper counts itself before it reads the
 * word (both sequentially consistent), so no wake is lost. */
static void publish(struct tw_threadpool *pool, _Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    if (atomic_load(&pool->sleepers.value) != 0) {
        wake_all(word);
    }
}

void tw_threadpool_barrier(struct tw_threadpool *pool, int thread)
{
    uint32_t phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
    if (pool->n_threads == 1) {
        return;
    }
    if (atomic_fetch_add(&pool->arrived.value, 1) + 1 == (uint32_t)pool->n_threads) {
        atomic_store_explicit(&pool->arrived.value, 0, memory_order_relaxed);
        publish(pool, &pool->phase.value, phase + 1);
    } else {
        wait_while_equal(pool, &pool->patience[thread][BARRIER_WAIT], &pool->phase.value, phase);
    }
}

static void pin_to(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* a hint: failure costs speed only */
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct tw_threadpool *pool = self->pool;
    if (self->core >= 0) {
        pin_to(self->core);
    }
    uint32_t seen = 0;
    for (;;) {
        wait_while_equal(pool, &pool->patience[self->index][REGION_WAIT], &pool->region.value,
                         seen);
        seen = atomic_load_explicit(&pool->region.value, memory_order_acquire);
        if (pool->quit) {
            return NULL;
        }
        pool->fn(pool->context, self->index, pool->n_threads);
        tw_threadpool_barrier(pool, self->index);
    }
}

static void start_region(struct tw_threadpool *pool)
{
    uint32_t region = atomic_load_explicit(&pool->region.value, memory_order_relaxed);
    publish(pool, &pool->region.value, region + 1);
}

void tw_threadpool_run(struct tw_threadpool *pool, tw_threadpool_fn fn, void *context)
{
    if (pool->n_threads > 1) {
        pool->fn = fn;
        pool->context = context;
        start_region(pool);
    }
    fn(context, 0, pool->n_threads);
    tw_threadpool_barrier(pool, 0);
}

int tw_threadpool_size(const struct tw_threadpool *pool)
{
    return pool->n_threads;
}

/* The i-th core of the mask, or -1 when threads outnumber cores and pinning would pile them up. */
static int core_for(int index, int n_threads)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < n_threads) {
        return -1;
    }
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &set) && index-- == 0) {
            return core;
        }
    }
    return -1;
}

/* Workers inherit a mask that leaves Ctrl-C and its like to the program's own threads, where they
 * interrupt what waits. Faults always reach the thread that caused them. */
static int start_workers(struct tw_threadpool *pool)
{
    sigset_t most, old;
    sigfillset(&most);
    sigdelset(&most, SIGBUS);
    sigdelset(&most, SIGSEGV);
    sigdelset(&most, SIGFPE);
    sigdelset(&most, SIGILL);
    pthread_sigmask(SIG_BLOCK, &most, &old);
    int failed = 0;
    while (failed == 0 && pool->n_started < pool->n_threads - 1) {
        struct worker *worker = &pool->workers[pool->n_started];
        failed = pthread_create(&worker->handle, NULL, worker_main, worker);
        pool->n_started += failed == 0 ? 1 : 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

enum tw_status tw_threadpool_create(int n_threads, struct tw_threadpool **ret_pool,
                                    struct tw_error *error)
{
    if (n_threads < 1 || n_threads > TW_LIMIT_THREADS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%d threads asked for: it must be 1 to %d", n_threads,
                            TW_LIMIT_THREADS);
    }
    /* mmap for the alignment of the padded words. */
    struct tw_threadpool *pool = tw_mem_map(sizeof *pool);
    struct worker *workers = tw_mem_zalloc((size_t)n_threads, sizeof *workers);
    struct patience(*patience)[WAIT_KINDS] = tw_mem_map((size_t)n_threads * sizeof *patience);
    if (pool == NULL || workers == NULL || patience == NULL) {
        tw_mem_unmap(pool, sizeof *pool);
        tw_mem_free(workers);
        tw_mem_unmap(patience, (size_t)n_threads * sizeof *patience);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for threads");
    }
    pool->n_threads = n_threads;
    pool->n_spins = n_threads <= tw_cpu_count() ? SPINS_BEFORE_SLEEP : SPINS_WHEN_CROWDED;
    pool->workers = workers;
    pool->patience = patience;
    for (int i = 0; i < n_threads - 1; i++) {
        workers[i] =
            (struct worker){.pool = pool, .index = i + 1, .core = core_for(i + 1, n_threads)};
    }
    int failed = start_workers(pool);
    if (failed != 0) {
        int index = pool->n_started + 1;
        tw_threadpool_free(pool);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "cannot start thread %d: %s",
                            index, strerror(failed));
    }
    *ret_pool = pool;
    return TW_OK;
}

void tw_threadpool_free(struct tw_threadpool *pool)
{
    if (pool == NULL) {
        return;
    }
    pool->quit = true;
    start_region(pool);
    for (int i = 0; i < pool->n_started; i++) {
        pthread_join(pool->workers[i].handle, NULL);
    }
    tw_mem_free(pool->workers);
    tw_mem_unmap(pool->patience, (size_t)pool->n_threads * sizeof *pool->patience);
    tw_mem_unmap(pool, sizeof *pool);
}

void tw_threadpool_share(size_t n, int thread, int n_threads, size_t *ret_begin, size_t *ret_end)
{
    *ret_begin = n * (size_t)thread / (size_t)n_threads;
    *ret_end = n * ((size_t)thread + 1) / (size_t)n_threads;
}
