/* What a region of the thread pool costs, on idle cores and beside others who want them:
 *
 *     region_rates [THREADS]
 *
 * Each line: busy processes beside us, work of a thread in a region, time of a region, how many
 * times the work that is, and how much of its processor time the pool worked. With one busy process
 * a core, 2 times is what the scheduler's fairness gives. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/threadpool.h"

enum { MEASURE_NS = 1500000000 };

struct work {
    long n_rounds;
};

static void turn(void *context, int thread, int n_threads)
{
    const struct work *work = context;
    (void)thread;
    (void)n_threads;
    for (long i = 0; i < work->n_rounds; i++) {
        __asm__ volatile("" ::: "memory");
    }
}

/* Rounds a microsecond: the best of several tries, since others may be at work. */
static double calibrate(void)
{
    struct work work = {.n_rounds = 200000};
    double best_ns = 1e18;
    for (int i = 0; i < 50; i++) {
        int64_t start_ns = tw_clock_monotonic_ns();
        turn(&work, 0, 1);
        double ns = (double)(tw_clock_monotonic_ns() - start_ns);
        best_ns = ns < best_ns ? ns : best_ns;
    }
    return (double)work.n_rounds * 1000.0 / best_ns;
}

static pid_t start_busy(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            __asm__ volatile("" ::: "memory");
        }
    }
    return child;
}

static double process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(struct tw_threadpool *pool, double rounds_per_us, int n_busy, int work_us)
{
    struct work work = {.n_rounds = (long)(rounds_per_us * work_us)};
    long n_regions = 0;
    double start_cpu_ns = process_cpu_ns();
    int64_t start_ns = tw_clock_monotonic_ns();
    int64_t end_ns = start_ns;
    while (end_ns - start_ns < MEASURE_NS) {
        for (int i = 0; i < 20; i++) {
            tw_threadpool_run(pool, turn, &work);
        }
        n_regions += 20;
        end_ns = tw_clock_monotonic_ns();
    }
    double region_us = (double)(end_ns - start_ns) / 1000.0 / (double)n_regions;
    printf("%d busy, work %4d us: %9.2f us a region", n_busy, work_us, region_us);
    if (work_us > 0) {
        double work_ns = 1000.0 * work_us * (double)n_regions * tw_threadpool_size(pool);
        printf(", %6.2f times the work, %3.0f%% worked", region_us / work_us,
               100.0 * work_ns / (process_cpu_ns() - start_cpu_ns));
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int works_us[] = {0, 5, 20, 100, 500, 2000};
    int n_threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : tw_cpu_count();
    struct tw_threadpool *pool;
    struct tw_error error;
    if (tw_threadpool_create(n_threads, &pool, &error) != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    double rounds_per_us = calibrate();
    int n_cores = tw_cpu_count();
    pid_t busy[TW_LIMIT_THREADS];
    for (int n_busy = 0; n_busy <= n_cores; n_busy++) {
        for (size_t i = 0; i < sizeof works_us / sizeof works_us[0]; i++) {
            measure(pool, rounds_per_us, n_busy, works_us[i]);
        }
        if (n_busy < n_cores) {
            busy[n_busy] = start_busy();
        }
    }
    for (int i = 0; i < n_cores; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
    tw_threadpool_free(pool);
    return 0;
}
