/* A process that writes is killed at a random moment, a hundred times, on one file: whatever its
 * commits said is there is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sqlite_workload.h"

#define KILLS        100
#define MOST_WAIT_MS 20

static void wait_ns(long ns)
{
    struct timespec time = {.tv_sec = 0, .tv_nsec = ns};
    nanosleep(&time, NULL);
}

/* Its first transaction is the one after those of which something is known. */
static int first_free(const struct workload_report *report)
{
    int first = 0;
    for (int i = 0; i < WORKLOAD_TRANSACTIONS; i++) {
        first = report->fates[i] != FATE_NONE ? i + 1 : first;
    }
    return first;
}

/* Killed so long after its first report, or after its start, so that opening is hit as well. */
static void work_until_killed(const struct workload *workload, struct workload_report *report,
                              bool waits_for_report, long ns)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        workload_run(workload, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    if (waits_for_report) {
        struct pollfd first = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(poll(&first, 1, 30000), 1);
    }
    wait_ns(ns);
    kill(child, SIGKILL);
    workload_listen(fds[0], report);
    close(fds[0]);
    int status;
    waitpid(child, &status, 0);
}

static void whatever_a_killed_writer_was_told_is_kept_is_there(void **state)
{
    (void)state;
    char folder[] = "/tmp/tokenworks-test-XXXXXX";
    char path[64];
    static struct workload_report report;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/books.db", folder);
    unsigned seed = 12345;
    int n_kept = 0, n_cut = 0;
    for (int i = 0; i < KILLS; i++) {
        struct workload workload = {.path = path, .n_rows = 1, .row_bytes = 20000};
        workload.first = first_free(&report);
        if (workload.first > WORKLOAD_TRANSACTIONS - 100) {
            memset(&report, 0, sizeof(report));
            workload.first = 0;
            unlink(path);
        }
        workload.n = WORKLOAD_TRANSACTIONS - workload.first;
        seed = seed * 1103515245u + 12345u;
        work_until_killed(&workload, &report, i % 4 != 0,
                          (long)(seed >> 8) % (MOST_WAIT_MS * 1000000L));
        int last = -1, n_before = first_free(&report);
        for (int k = workload.first; k < n_before; k++) {
            n_kept += report.fates[k] == FATE_KEPT;
        }
        const char *problem = workload_check(&workload, &report, &last);
        if (problem != NULL) {
            fail_msg("kill %d: %s", i, problem);
        }
        /* One more may be there, whose child did not get to say so. */
        assert_true(last < n_before + 1);
        if (last == n_before) {
            report.fates[last] = FATE_KEPT;
            n_cut++;
        }
    }
    print_message("# %d commits were reported, %d were there and not reported\n", n_kept, n_cut);
    assert_true(n_kept >= KILLS * 3 / 4);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char name[400];
        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            unlink(name);
        }
    }
    closedir(dir);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_a_killed_writer_was_told_is_kept_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
