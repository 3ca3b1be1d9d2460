/* A SQLite store over a file system that fails at its n-th call, for every n of a workload: what a
 * commit said is there is there afterwards, and what it refused is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faulty_vfs.h"
#include "sqlite_workload.h"

static char folder[64];
static char path[100];

static void clean(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char name[400];
        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            unlink(name);
        }
    }
    closedir(dir);
}

/* In memory where that is possible: thousands of syncs are not what is tested here. */
static int enter(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "%s/tokenworks-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/books.db", folder);
    return 0;
}

static int leave(void **state)
{
    (void)state;
    clean();
    return rmdir(folder);
}

/* The workload in a child under the plan; true where its call came. */
static bool work(const struct workload *workload, const struct faulty_plan *plan,
                 struct workload_report *report, long *ret_calls)
{
    int report_fds[2], calls_fds[2];
    long calls[2] = {0, 0};
    assert_int_equal(pipe(report_fds), 0);
    assert_int_equal(pipe(calls_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        faulty_vfs_plan(plan);
        workload_run(workload, report_fds[1]);
        calls[0] = faulty_vfs_calls();
        calls[1] = faulty_vfs_failed();
        _exit(write(calls_fds[1], calls, sizeof(calls)) == sizeof(calls) ? 0 : 1);
    }
    close(report_fds[1]);
    close(calls_fds[1]);
    memset(report, 0, sizeof(*report));
    workload_listen(report_fds[0], report);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
        read(calls_fds[0], calls, sizeof(calls)) != sizeof(calls)) {
        fail_msg("the child died with %d at call %ld", status, plan->at_call);
    }
    close(report_fds[0]);
    close(calls_fds[0]);
    *ret_calls = calls[0];
    return calls[1] != 0;
}

struct outcome {
    long n_runs, n_full, n_broken, n_unknown;
};

/* Of the calls that could fail every which does: all of them in the long suite. */
static long every = 1;

/* Every call of the workload fails once, in a file of its own. */
static struct outcome fail_each_call(struct workload workload, struct faulty_plan plan, long stride)
{
    struct outcome outcome = {.n_runs = 0};
    struct workload_report report;
    long n_calls = 0;
    int last = 0;
    bool is_hit = true;
    for (long at = 1; is_hit; at += stride * every) {
        clean();
        plan.at_call = at;
        is_hit = work(&workload, &plan, &report, &n_calls);
        const char *problem = workload_check(&workload, &report, &last);
        if (problem != NULL) {
            fail_msg("kinds %d, code %d, call %ld%s: %s", plan.kinds, plan.code, at,
                     plan.stays ? " and on" : "", problem);
        }
        outcome.n_runs++;
        outcome.n_full += report.n_full;
        outcome.n_broken += report.n_broken;
        for (int i = 0; i < WORKLOAD_TRANSACTIONS; i++) {
            outcome.n_unknown += report.fates[i] == FATE_UNKNOWN;
        }
    }
    return outcome;
}

/* Twelve small transactions, the store opened three times. */
static struct workload small(bool leaves)
{
    return (struct workload){
        .path = path, .n = 12, .n_rows = 2, .row_bytes = 3000, .n_restarts = 2, .leaves = leaves};
}

/* A few that fill the log twice, so that it is brought into the file while the store works. */
static struct workload large(void)
{
    return (struct workload){
        .path = path, .n = 20, .n_rows = 1, .row_bytes = 250000, .leaves = true};
}

static void a_full_disk_refuses_what_it_cannot_hold_and_breaks_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct faulty_plan plan = {
            .kinds = FAULTY_WRITE, .code = SQLITE_FULL, .stays = (i & 1) != 0};
        struct outcome outcome = fail_each_call(small((i & 2) != 0), plan, 1);
        assert_true(outcome.n_runs > 50 / every);
        assert_true(outcome.n_full > 30 / every);
        assert_int_equal(outcome.n_broken, 0);
        assert_int_equal(outcome.n_unknown, 0);
    }
}

static void a_write_that_fails_breaks_the_store_and_leaves_nothing_of_its_transaction(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct faulty_plan plan = {
            .kinds = FAULTY_WRITE, .code = SQLITE_IOERR_WRITE, .stays = (i & 1) != 0};
        struct outcome outcome = fail_each_call(small((i & 2) != 0), plan, 1);
        assert_true(outcome.n_broken > 30 / every);
        if (!plan.stays) {
            assert_int_equal(outcome.n_unknown, 0);
        }
    }
}

static void a_sync_that_fails_breaks_the_store_and_leaves_nothing_of_its_transaction(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct faulty_plan plan = {
            .kinds = FAULTY_SYNC, .code = SQLITE_IOERR_FSYNC, .stays = (i & 1) != 0};
        struct outcome outcome = fail_each_call(small((i & 2) != 0), plan, 1);
        assert_true(outcome.n_broken > 11 / every);
        assert_int_equal(outcome.n_unknown, 0);
    }
}

static void a_failure_of_any_other_kind_loses_nothing(void **state)
{
    (void)state;
    static const int kinds[] = {FAULTY_TRUNCATE, FAULTY_SHARE, FAULTY_DELETE, FAULTY_READ,
                                FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE | FAULTY_SHARE |
                                    FAULTY_DELETE | FAULTY_READ};
    for (size_t i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct faulty_plan plan = {.kinds = kinds[i / 2], .stays = i % 2 != 0};
        fail_each_call(small(true), plan, 1);
    }
}

static void what_fails_while_the_log_is_brought_into_the_file_loses_nothing(void **state)
{
    (void)state;
    static const struct {
        int kind, code, stride;
    } rows[] = {
        {FAULTY_SYNC, SQLITE_IOERR_FSYNC, 1},
        {FAULTY_WRITE, SQLITE_FULL, 71},
        {FAULTY_WRITE, SQLITE_IOERR_WRITE, 73},
        {FAULTY_TRUNCATE, SQLITE_IOERR_TRUNCATE, 1},
    };
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct faulty_plan plan = {
            .kinds = rows[i / 2].kind, .code = rows[i / 2].code, .stays = i % 2 != 0};
        fail_each_call(large(), plan, rows[i / 2].stride);
    }
}

/* A disk that stopped has of what was not synced any part. */
static void a_machine_that_stops_at_any_call_keeps_what_was_committed(void **state)
{
    (void)state;
    struct workload_report report;
    long n_calls = 0;
    int last = 0;
    bool is_hit = true;
    long n_kept = 0;
    struct workload workload = small(true);
    for (long at = 1; is_hit; at += every) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct faulty_plan plan = {.kinds = FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE,
                                       .at_call = at,
                                       .stays = true,
                                       .keeps_durable = true};
            clean();
            is_hit = work(&workload, &plan, &report, &n_calls);
            if (!is_hit) {
                break;
            }
            assert_true(faulty_vfs_restart(path, seed + 1));
            /* What was refused while the machine stopped may have reached the disk or not. */
            for (int i = 0; i < WORKLOAD_TRANSACTIONS; i++) {
                bool is_refused = report.fates[i] == FATE_REFUSED;
                report.fates[i] = is_refused ? FATE_UNKNOWN : report.fates[i];
                n_kept += report.fates[i] == FATE_KEPT;
            }
            const char *problem = workload_check(&workload, &report, &last);
            if (problem != NULL) {
                fail_msg("stopped at call %ld, seed %d: %s", at, (int)seed, problem);
            }
        }
    }
    assert_true(n_kept > 500 / every);
}

/* Without faults: the log of a store at work does not grow beyond what it holds before it is
 * brought into the file. */
static void the_log_stays_short(void **state)
{
    (void)state;
    struct workload_report report;
    struct workload workload = large();
    long n_calls = 0;
    int last = 0;
    struct stat st;
    struct faulty_plan none = {.kinds = FAULTY_SYNC};
    workload.n = 60;
    assert_false(work(&workload, &none, &report, &n_calls));
    char name[140];
    snprintf(name, sizeof(name), "%s-wal", path);
    assert_int_equal(stat(name, &st), 0);
    assert_true(st.st_size > 1000 * 4096 && st.st_size < 1400 * 4200);
    assert_null(workload_check(&workload, &report, &last));
    assert_int_equal(last, 59);
    assert_true(n_calls >= 60); /* each commit was synced */
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const char *wanted = getenv("TW_FAULTS_EVERY");
    every = wanted != NULL ? strtol(wanted, NULL, 10) : 1;
    if (every < 1) {
        return 2;
    }
    if (!faulty_vfs_install()) {
        return 2;
    }
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_log_stays_short),
        IN_FOLDER(a_full_disk_refuses_what_it_cannot_hold_and_breaks_nothing),
        IN_FOLDER(a_write_that_fails_breaks_the_store_and_leaves_nothing_of_its_transaction),
        IN_FOLDER(a_sync_that_fails_breaks_the_store_and_leaves_nothing_of_its_transaction),
        IN_FOLDER(a_failure_of_any_other_kind_loses_nothing),
        IN_FOLDER(what_fails_while_the_log_is_brought_into_the_file_loses_nothing),
        IN_FOLDER(a_machine_that_stops_at_any_call_keeps_what_was_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
