#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/limits.h"
#include "base/threadpool.h"

static const int pool_sizes[] = {1, 2, 3, 8, 33};
enum { POOL_SIZES = sizeof pool_sizes / sizeof pool_sizes[0], MOST_THREADS = 33 };

static struct tw_threadpool *pool_of(int n_threads)
{
    struct tw_threadpool *pool = NULL;
    assert_int_equal(tw_threadpool_create(n_threads, &pool, NULL), TW_OK);
    assert_int_equal(tw_threadpool_size(pool), n_threads);
    return pool;
}

struct visits {
    int count[MOST_THREADS]; /* plain: each thread has its own */
    int n_threads;
};

static void visit(void *context, int thread, int n_threads)
{
    struct visits *visits = context;
    visits->count[thread]++;
    if (thread == 0) {
        visits->n_threads = n_threads;
    }
}

static void every_thread_runs_the_function_once_a_region(void **state)
{
    (void)state;
    for (int p = 0; p < POOL_SIZES; p++) {
        int n_regions = pool_sizes[p] <= 8 ? 2000 : 100;
        struct visits visits = {0};
        struct tw_threadpool *pool = pool_of(pool_sizes[p]);
        for (int i = 0; i < n_regions; i++) {
            tw_threadpool_run(pool, visit, &visits);
        }
        tw_threadpool_free(pool);
        assert_int_equal(visits.n_threads, pool_sizes[p]);
        for (int t = 0; t < pool_sizes[p]; t++) {
            assert_int_equal(visits.count[t], n_regions);
        }
    }
}

/* Phase by phase, each thread writes its cell and then reads everybody's: a barrier that lets one
 * through early, or that does not publish plain writes, shows as a wrong cell. */
struct relay {
    struct tw_threadpool *pool;
    int n_phases;
    uint32_t cells[2][MOST_THREADS];
    _Atomic int n_wrong;
};

static void relay(void *context, int thread, int n_threads)
{
    struct relay *r = context;
    for (int phase = 0; phase < r->n_phases; phase++) {
        r->cells[phase & 1][thread] = (uint32_t)(phase * 1000 + thread);
        tw_threadpool_barrier(r->pool, thread);
        for (int t = 0; t < n_threads; t++) {
            if (r->cells[phase & 1][t] != (uint32_t)(phase * 1000 + t)) {
                atomic_fetch_add(&r->n_wrong, 1);
            }
        }
    }
}

static void a_barrier_holds_all_and_shows_what_was_written_before_it(void **state)
{
    (void)state;
    for (int p = 0; p < POOL_SIZES; p++) {
        static struct relay r;
        r = (struct relay){.pool = pool_of(pool_sizes[p]),
                           .n_phases = pool_sizes[p] <= 8 ? 1000 : 60};
        for (int i = 0; i < 3; i++) {
            tw_threadpool_run(r.pool, relay, &r);
        }
        tw_threadpool_free(r.pool);
        assert_int_equal(r.n_wrong, 0);
    }
}

static int64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void an_idle_pool_uses_no_processor(void **state)
{
    (void)state;
    struct visits visits = {0};
    struct tw_threadpool *pool = pool_of(8);
    const struct timespec idle = {.tv_nsec = 300000000};
    tw_threadpool_run(pool, visit, &visits);
    int64_t used = INT64_MAX;
    for (int i = 0; i < 10 && used >= 3000000; i++) { /* on a busy machine they are late asleep */
        int64_t before = process_cpu_ns();
        nanosleep(&idle, NULL);
        used = process_cpu_ns() - before;
    }
    tw_threadpool_run(pool, visit, &visits); /* and it wakes up again */
    tw_threadpool_free(pool);
    assert_int_equal(visits.count[7], 2);
    assert_true(used < 3000000); /* one spinning worker would use a hundred times that */
}

static void sleepers_are_woken_at_whatever_moment_they_fell_asleep(void **state)
{
    (void)state;
    enum { REGIONS = 300 };
    for (int n_threads = 2; n_threads <= 3; n_threads++) {
        struct visits visits = {0};
        struct tw_threadpool *pool = pool_of(n_threads);
        for (int i = 0; i < REGIONS; i++) {
            const struct timespec pause = {.tv_nsec =
                                               i % 40 * 10000}; /* around the spinning time */
            tw_threadpool_run(pool, visit, &visits);
            nanosleep(&pause, NULL);
        }
        tw_threadpool_free(pool);
        assert_int_equal(visits.count[n_threads - 1], REGIONS);
    }
}

static void shares_cover_everything_once_and_are_even(void **state)
{
    (void)state;
    static const size_t totals[] = {0, 1, 2, 7, 64, 1000, 151936, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        for (int n_threads = 1; n_threads <= TW_LIMIT_THREADS;
             n_threads += n_threads < 9 ? 1 : 41) {
            size_t expected_begin = 0;
            for (int t = 0; t < n_threads; t++) {
                size_t begin, end;
                tw_threadpool_share(totals[i], t, n_threads, &begin, &end);
                assert_int_equal(begin, expected_begin);
                assert_in_range(end - begin, totals[i] / (size_t)n_threads,
                                totals[i] / (size_t)n_threads + 1);
                expected_begin = end;
            }
            assert_int_equal(expected_begin, totals[i]);
        }
    }
}

static void a_senseless_number_of_threads_is_refused(void **state)
{
    (void)state;
    struct tw_threadpool *pool = NULL;
    struct tw_error error;
    assert_int_equal(tw_threadpool_create(0, &pool, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_threadpool_create(-1, &pool, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_threadpool_create(TW_LIMIT_THREADS + 1, &pool, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "257"));
    assert_null(pool);
    tw_threadpool_free(NULL);
}

static void a_pool_that_never_ran_goes_away(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        tw_threadpool_free(pool_of(4));
    }
}

static void look_at_mask(void *context, int thread, int n_threads)
{
    _Atomic int *n_open_to_interrupts = context;
    sigset_t mask;
    (void)n_threads;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (thread != 0 && (!sigismember(&mask, SIGINT) || sigismember(&mask, SIGBUS))) {
        atomic_fetch_add(n_open_to_interrupts, 1);
    }
}

static void interrupts_go_to_the_caller_and_faults_to_their_thread(void **state)
{
    (void)state;
    _Atomic int n_wrong = 0;
    sigset_t mask;
    struct tw_threadpool *pool = pool_of(3);
    tw_threadpool_run(pool, look_at_mask, &n_wrong);
    tw_threadpool_free(pool);
    assert_int_equal(n_wrong, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGINT));
}

static int64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct toil {
    _Alignas(64) int64_t used_ns;
};

/* Some 20 us of work. */
static void toil(void *context, int thread, int n_threads)
{
    struct toil *self = (struct toil *)context + thread;
    int64_t start_ns = thread_cpu_ns();
    (void)n_threads;
    for (int i = 0; i < 60000; i++) {
        __asm__ volatile("" ::: "memory");
    }
    self->used_ns += thread_cpu_ns() - start_ns;
}

/* How much of its processor time a pool spends on work while each core has a process that wants all
 * of it. Spinning as on an idle machine takes most. */
static double toil_share(struct tw_threadpool *pool)
{
    struct toil toils[MOST_THREADS] = {0};
    int64_t start_ns = process_cpu_ns();
    for (int i = 0; i < 4000; i++) {
        tw_threadpool_run(pool, toil, toils);
    }
    int64_t used_ns = process_cpu_ns() - start_ns;
    int64_t toil_ns = 0;
    for (int i = 0; i < tw_threadpool_size(pool); i++) {
        toil_ns += toils[i].used_ns;
    }
    return (double)toil_ns / (double)used_ns;
}

static void beside_busy_processes_time_is_not_spun_away(void **state)
{
    (void)state;
    enum { MOST_BUSY = 16 };
    pid_t busy[MOST_BUSY];
    int n_busy = tw_cpu_count();
    if (n_busy < 2 || n_busy > MOST_BUSY) {
        print_message("# not tested: one processor, or very many\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    for (int i = 0; i < n_busy; i++) {
        busy[i] = fork();
        if (busy[i] == 0) {
            for (;;) {
                __asm__ volatile("" ::: "memory");
            }
        }
    }
    struct tw_threadpool *pool = pool_of(n_busy);
    double share = 0;
    for (int i = 0; i < 3 && share < 0.5; i++) { /* others may be at it, too */
        share = toil_share(pool);
    }
    tw_threadpool_free(pool);
    for (int i = 0; i < n_busy; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
    if (share < 0.5) {
        fail_msg("of the time it had, the pool worked %.0f%%", 100 * share);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_the_function_once_a_region),
        cmocka_unit_test(a_barrier_holds_all_and_shows_what_was_written_before_it),
        cmocka_unit_test(an_idle_pool_uses_no_processor),
        cmocka_unit_test(sleepers_are_woken_at_whatever_moment_they_fell_asleep),
        cmocka_unit_test(shares_cover_everything_once_and_are_even),
        cmocka_unit_test(a_senseless_number_of_threads_is_refused),
        cmocka_unit_test(a_pool_that_never_ran_goes_away),
        cmocka_unit_test(beside_busy_processes_time_is_not_spun_away),
        cmocka_unit_test(interrupts_go_to_the_caller_and_faults_to_their_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
