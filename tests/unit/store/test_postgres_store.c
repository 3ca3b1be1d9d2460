/* What is particular to a store in PostgreSQL, with a server in TW_TEST_POSTGRES. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store_fixture.h"

static struct tw_error last_error;

static void assert_says(const char *words)
{
    if (strstr(last_error.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", last_error.text, words);
    }
}

/* Statements that PostgreSQL allows outside of transactions only. */
static void run_alone(struct tw_db *db, const char *sql)
{
    struct tw_db_statement *statement = fixture_prepare(db, sql);
    if (tw_db_run(statement, NULL, 0, &last_error) != TW_OK) {
        fail_msg("%s: %s", sql, last_error.text);
    }
    tw_db_finalize(statement);
}

static void assert_text(struct tw_db *db, const char *sql, const char *text)
{
    struct tw_db_statement *statement = fixture_prepare(db, sql);
    bool is_row = false;
    assert_int_equal(tw_db_query(statement, NULL, 0, NULL), TW_OK);
    assert_int_equal(tw_db_next(statement, &is_row, NULL), TW_OK);
    assert_string_equal(tw_db_column_text(statement, 0), text);
    tw_db_finalize(statement);
}

/* Ends the connection of db from another one. */
static void cut(struct tw_db *db)
{
    char sql[80];
    int64_t process = fixture_number(db, "SELECT pg_backend_pid()");
    struct tw_db *other = fixture_open(TW_DB_WRITE);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 5000)", (int)process);
    assert_int_equal(fixture_number(other, sql), 1);
    tw_db_close(other);
}

static void a_lost_connection_breaks_the_store_and_another_one_works(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(1)");
    cut(db);
    assert_int_equal(tw_db_run(put, NULL, 0, &last_error), TW_ERR_IO);
    assert_says("the connection to PostgreSQL is lost");
    assert_true(tw_db_is_broken(db));
    assert_false(tw_db_should_retry(db));
    assert_int_equal(tw_db_begin(db, &last_error), TW_ERR_IO);
    assert_says("PostgreSQL has to be reached again: the connection to PostgreSQL is lost");
    tw_db_finalize(put);
    tw_db_close(db);
    db = fixture_open(TW_DB_WRITE);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM t"), 0);
    tw_db_close(db);
}

static void a_store_that_is_reached_again_has_all_its_statements(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(?)");
    struct tw_db_statement *get = fixture_prepare(db, "SELECT count(*) FROM t");
    const struct tw_db_value values[] = {tw_db_integer(1), tw_db_integer(2)};
    bool has_row = false;
    assert_int_equal(tw_db_run(put, &values[0], 1, NULL), TW_OK);
    assert_int_equal(tw_db_reconnect(db, NULL), TW_OK); /* nothing is wrong: nothing is done */
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(tw_db_run(put, &values[1], 1, NULL), TW_OK);
    cut(db);
    assert_int_equal(tw_db_commit(db, NULL), TW_ERR_IO);
    assert_int_equal(tw_db_reconnect(db, &last_error), TW_OK);
    assert_false(tw_db_is_broken(db));
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(tw_db_run(put, &values[1], 1, NULL), TW_OK);
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    assert_int_equal(tw_db_first(get, NULL, 0, &has_row, NULL), TW_OK);
    assert_int_equal(tw_db_column_integer(get, 0), 2);
    assert_text(db, "SELECT current_setting('synchronous_commit')", "on");
    tw_db_finalize(put);
    tw_db_finalize(get);
    tw_db_close(db);
}

/* As long as it takes, the server's process is stopped: its machine takes what is sent, and nobody
 * answers. */
static void a_server_that_is_stopped_is_lost_in_time_and_found_again(void **state)
{
    static char text[3 << 20];
    (void)state;
    memset(text, 'x', sizeof text);
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I, text TEXT) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(?, ?)");
    struct tw_db_statement *count = fixture_prepare(db, "SELECT count(*) FROM t");
    const struct tw_db_value small[] = {tw_db_integer(1), tw_db_text("x")};
    const struct tw_db_value large[] = {
        tw_db_integer(1), {.kind = TW_DB_TEXT, .data = text, .size_bytes = sizeof text}};
    for (int kind = 0; kind < 4; kind++) {
        const pid_t server = (pid_t)fixture_number(db, "SELECT pg_backend_pid()");
        enum tw_status status = TW_OK;
        bool has_row = false;
        tw_db_set_patience(db, 200);
        assert_int_equal(kill(server, SIGSTOP), 0);
        const int64_t begin_ns = tw_clock_monotonic_ns();
        if (kind == 0) { /* a question */
            status = tw_db_first(count, NULL, 0, &has_row, &last_error);
        } else if (kind == 1) { /* a commit */
            assert_int_equal(tw_db_begin(db, NULL), TW_OK);
            assert_int_equal(tw_db_run(put, small, 2, NULL), TW_OK);
            status = tw_db_commit(db, &last_error);
            assert_says("it is not known whether the last transaction is kept");
        } else if (kind == 2) { /* more than its socket takes */
            assert_int_equal(tw_db_begin(db, NULL), TW_OK);
            status = tw_db_run(put, large, 2, &last_error);
            tw_db_rollback(db);
        } else { /* what goes outside of the pipeline */
            status = tw_db_listen(db, &last_error);
        }
        assert_int_equal(status, TW_ERR_IO);
        assert_says("no answer came in 200 ms");
        assert_true(tw_db_is_broken(db));
        assert_in_range(tw_clock_monotonic_ns() - begin_ns, 190000000, INT64_C(10000000000));
        tw_db_set_patience(db, TW_LIMIT_DB_ANSWER_MS);
        assert_int_equal(tw_db_reconnect(db, &last_error), TW_OK); /* another process answers */
        assert_int_equal(kill(server, SIGCONT), 0);
        assert_int_equal(tw_db_first(count, NULL, 0, &has_row, NULL), TW_OK);
    }
    tw_db_finalize(put);
    tw_db_finalize(count);
    tw_db_close(db);
}

static void a_statement_that_takes_too_long_is_given_up_by_the_server_too(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE), *report = NULL;
    assert_text(db, "SELECT current_setting('statement_timeout')", "11s");
    tw_db_close(db);
    assert_int_equal(tw_db_open(fixture_address(), TW_DB_REPORT, &report, &last_error), TW_OK);
    assert_text(report, "SELECT current_setting('statement_timeout')", "10min");
    assert_text(report, "SELECT current_setting('default_transaction_read_only')", "on");
    tw_db_close(report);
}

static bool hears(struct tw_db *db, int stop_fd, int timeout_ms)
{
    bool was_told = false;
    assert_int_equal(tw_db_wait(db, stop_fd, timeout_ms, &was_told, NULL), TW_OK);
    return was_told;
}

static void what_one_says_the_others_hear_at_its_commit(void **state)
{
    const int stop_fd = eventfd(1, EFD_CLOEXEC);
    (void)state;
    struct tw_db *speaker = fixture_open(TW_DB_WRITE), *listener = fixture_open(TW_DB_READ);
    struct tw_db_statement *notify = fixture_prepare(speaker, tw_db_notify_sql);
    assert_int_equal(tw_db_listen(listener, NULL), TW_OK);
    assert_int_equal(tw_db_begin(speaker, NULL), TW_OK);
    assert_int_equal(tw_db_run(notify, NULL, 0, NULL), TW_OK);
    assert_int_equal(fixture_number(speaker, "SELECT 1"), 1); /* the server has it */
    assert_false(hears(listener, -1, 100));
    assert_int_equal(tw_db_commit(speaker, NULL), TW_OK);
    assert_true(hears(listener, -1, 10000));
    assert_false(hears(listener, stop_fd, 60000)); /* it is to stop */
    assert_int_equal(tw_db_run(notify, NULL, 0, NULL), TW_OK);
    assert_int_equal(fixture_number(listener, "SELECT 1"), 1); /* it may come with an answer */
    assert_true(hears(listener, -1, 10000));
    cut(listener);
    bool was_told = false;
    while (tw_db_wait(listener, -1, 10000, &was_told, &last_error) == TW_OK) {
        assert_false(was_told); /* the server's farewell comes first */
    }
    assert_int_equal(last_error.status, TW_ERR_IO);
    assert_int_equal(tw_db_reconnect(listener, NULL), TW_OK);
    assert_int_equal(tw_db_listen(listener, NULL), TW_OK);
    assert_int_equal(tw_db_run(notify, NULL, 0, NULL), TW_OK);
    assert_true(hears(listener, -1, 10000));
    tw_db_finalize(notify);
    tw_db_close(speaker);
    tw_db_close(listener);
    close(stop_fd);
}

static void a_connection_lost_in_a_transaction_is_told_at_its_commit(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(1)");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    cut(db);
    assert_int_equal(tw_db_run(put, NULL, 0, &last_error), TW_OK); /* not asked yet */
    assert_int_equal(tw_db_commit(db, &last_error), TW_ERR_IO);
    assert_says("it is not known whether the last transaction is kept");
    assert_true(tw_db_is_broken(db));
    tw_db_finalize(put);
    tw_db_close(db);
}

static void errors_of_the_server_have_the_status_of_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        enum tw_status status;
        bool should_retry, is_broken;
    } rows[] = {
        {"40001", TW_ERR_IO, true, false},           {"40P01", TW_ERR_IO, true, false},
        {"55P03", TW_ERR_IO, true, false},           {"53100", TW_ERR_IO, false, false},
        {"54000", TW_ERR_LIMIT, false, false},       {"22003", TW_ERR_USAGE, false, false},
        {"23505", TW_ERR_USAGE, false, false},       {"42P01", TW_ERR_FORMAT, false, false},
        {"0A000", TW_ERR_UNSUPPORTED, false, false}, {"57014", TW_ERR_IO, false, false},
        {"58030", TW_ERR_IO, false, true},           {"XX001", TW_ERR_FORMAT, false, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char sql[120];
        struct tw_db *db = fixture_open(TW_DB_WRITE);
        snprintf(sql, sizeof(sql), "DO 'BEGIN RAISE EXCEPTION ''so'' USING ERRCODE = ''%s''; END'",
                 rows[i].state);
        assert_int_equal(tw_db_execute(db, sql, &last_error), rows[i].status);
        assert_says("so");
        assert_says(rows[i].state);
        assert_int_equal(tw_db_should_retry(db), rows[i].should_retry);
        assert_int_equal(tw_db_is_broken(db), rows[i].is_broken);
        if (!rows[i].is_broken) {
            assert_int_equal(fixture_number(db, "SELECT 5"), 5);
            assert_false(tw_db_should_retry(db));
        }
        tw_db_close(db);
    }
}

static enum tw_status add(struct tw_db *db, int id)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "UPDATE t SET n = n + 1 WHERE id = %d", id);
    return tw_db_execute(db, sql, &last_error);
}

/* Locks row 1, then row 2, while the other has 2 and wants 1; begins anew while it should. The
 * number of times that it had to. */
static int add_both(struct tw_db *db, int first, int second, int told_fd, int hear_fd)
{
    int n_retries = 0;
    for (;; n_retries++) {
        char byte = 'x';
        enum tw_status status = tw_db_begin(db, &last_error);
        if (status == TW_OK) {
            status = add(db, first);
        }
        if (status == TW_OK && n_retries == 0 &&
            (write(told_fd, &byte, 1) != 1 || read(hear_fd, &byte, 1) != 1)) {
            return -1;
        }
        if (status == TW_OK) {
            status = add(db, second);
        }
        if (status == TW_OK && tw_db_commit(db, &last_error) == TW_OK) {
            return n_retries;
        }
        bool should_retry = tw_db_should_retry(db);
        tw_db_rollback(db);
        if (!should_retry) {
            return -1;
        }
    }
}

static void a_deadlock_is_tried_again_and_both_succeed(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY, n %I) %S;"
                        "INSERT INTO t VALUES(1, 0), (2, 0)");
    int there[2], back[2];
    assert_int_equal(pipe(there), 0);
    assert_int_equal(pipe(back), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tw_db *own = NULL;
        bool is_open = tw_db_open(fixture_address(), TW_DB_WRITE, &own, NULL) == TW_OK;
        _exit(is_open ? add_both(own, 2, 1, there[1], back[0]) : 99);
    }
    int n_retries = add_both(db, 1, 2, back[1], there[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_in_range(n_retries, 0, 5);
    assert_in_range(WEXITSTATUS(status), 0, 5);
    assert_in_range(n_retries + WEXITSTATUS(status), 1, 10); /* a second one may follow */
    assert_int_equal(fixture_number(db, "SELECT sum(n) FROM t"), 4);
    tw_db_close(db);
}

static void rows_that_are_locked_wait_for_the_one_who_has_them(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY, n %I) %S; INSERT INTO t VALUES(1, 0)");
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] != 0) {
            continue;
        }
        struct tw_db *own = NULL;
        struct tw_db_statement *get = NULL, *set = NULL;
        bool works = tw_db_open(fixture_address(), TW_DB_WRITE, &own, NULL) == TW_OK &&
                     tw_db_prepare(own, "SELECT n FROM t WHERE id = 1 %L", &get, NULL) == TW_OK &&
                     tw_db_prepare(own, "UPDATE t SET n = ? WHERE id = 1", &set, NULL) == TW_OK;
        for (int k = 0; works && k < 50; k++) {
            bool is_row = false;
            works = tw_db_begin(own, NULL) == TW_OK && tw_db_query(get, NULL, 0, NULL) == TW_OK &&
                    tw_db_next(get, &is_row, NULL) == TW_OK && is_row;
            struct tw_db_value value = tw_db_integer(tw_db_column_integer(get, 0) + 1);
            works = works && tw_db_run(set, &value, 1, NULL) == TW_OK &&
                    tw_db_commit(own, NULL) == TW_OK;
        }
        _exit(works ? 0 : 1);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(fixture_number(db, "SELECT n FROM t"), 200);
    tw_db_close(db);
}

static void processes_that_migrate_at_once_make_each_step_once(void **state)
{
    (void)state;
    static const char *const steps[] = {
        "CREATE TABLE a(id %I PRIMARY KEY, n %I) %S; INSERT INTO a VALUES(1, 0)",
        "UPDATE a SET n = n + 1",
        "UPDATE a SET n = n + 10",
        "UPDATE a SET n = n + 100",
        "CREATE TABLE b(id %I) %S",
    };
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct tw_db *own = NULL;
            bool works = tw_db_open(fixture_address(), TW_DB_WRITE, &own, NULL) == TW_OK &&
                         tw_db_migrate(own, steps, 5, NULL) == TW_OK;
            _exit(works ? 0 : 1);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    assert_int_equal(fixture_number(db, "SELECT n FROM a"), 111);
    tw_db_close(db);
}

static void a_session_is_durable_whatever_the_server_would_have(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "ALTER ROLE tokenworks SET synchronous_commit = off;"
                        "ALTER ROLE tokenworks SET standard_conforming_strings = off;"
                        "ALTER ROLE tokenworks SET default_transaction_isolation = serializable");
    tw_db_close(db);
    db = fixture_open(TW_DB_WRITE);
    assert_text(db, "SELECT current_setting('synchronous_commit')", "on");
    assert_text(db, "SELECT current_setting('standard_conforming_strings')", "on");
    assert_text(db, "SELECT current_setting('transaction_isolation')", "read committed");
    assert_text(db, "SELECT current_setting('client_encoding')", "UTF8");
    assert_text(db, "SELECT 'a\\b'", "a\\b");
    fixture_execute(db, "ALTER ROLE tokenworks RESET ALL");
    fixture_execute(db, "ALTER ROLE tokenworks SET synchronous_commit = remote_apply");
    tw_db_close(db);
    db = fixture_open(TW_DB_WRITE);
    assert_text(db, "SELECT current_setting('synchronous_commit')", "remote_apply");
    fixture_execute(db, "ALTER ROLE tokenworks RESET ALL");
    tw_db_close(db);
}

static void a_server_that_may_lose_what_it_promised_is_refused(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    struct tw_db *other = NULL;
    run_alone(db, "ALTER SYSTEM SET fsync = off");
    run_alone(db, "SELECT 1 FROM pg_reload_conf()");
    enum tw_status status = TW_OK;
    for (int i = 0; i < 100 && status == TW_OK; i++) {
        usleep(20000);
        status = tw_db_open(fixture_address(), TW_DB_WRITE, &other, &last_error);
        if (status == TW_OK) {
            tw_db_close(other);
        }
    }
    assert_int_equal(status, TW_ERR_UNSUPPORTED);
    assert_says("set fsync = on");
    assert_int_equal(tw_db_open(fixture_address(), TW_DB_READ, &other, NULL), TW_OK);
    tw_db_close(other);
    run_alone(db, "ALTER SYSTEM RESET fsync");
    run_alone(db, "SELECT 1 FROM pg_reload_conf()");
    for (int i = 0; i < 100 && status != TW_OK; i++) {
        usleep(20000);
        status = tw_db_open(fixture_address(), TW_DB_WRITE, &other, &last_error);
    }
    assert_int_equal(status, TW_OK);
    tw_db_close(other);
    tw_db_close(db);
}

static void a_database_that_is_no_utf8_is_refused(void **state)
{
    (void)state;
    char address[600] = "postgres:///ascii";
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    struct tw_db *other = NULL;
    run_alone(db, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
    snprintf(address + strlen(address), sizeof(address) - strlen(address), "%s",
             strchr(fixture_address(), '?'));
    assert_int_equal(tw_db_open(address, TW_DB_WRITE, &other, &last_error), TW_ERR_UNSUPPORTED);
    assert_says("SQL_ASCII");
    run_alone(db, "DROP DATABASE ascii");
    tw_db_close(db);
}

static void a_wrong_password_is_not_repeated(void **state)
{
    (void)state;
    struct tw_db *other = NULL;
    char address[600];
    snprintf(address, sizeof(address), "postgres://nobody:secret@/postgres?%.*s",
             (int)strcspn(strchr(fixture_address(), '?') + 1, "&"),
             strchr(fixture_address(), '?') + 1);
    assert_int_equal(tw_db_open(address, TW_DB_WRITE, &other, &last_error), TW_ERR_IO);
    assert_says("nobody");
    assert_null(strstr(last_error.text, "secret"));
}

static void a_query_that_gives_too_much_is_refused_before_memory_is(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    struct tw_db_statement *s =
        fixture_prepare(db, "SELECT repeat('x', 1000000) FROM generate_series(1, 300)");
    assert_int_equal(tw_db_query(s, NULL, 0, &last_error), TW_ERR_LIMIT);
    assert_says("256 MB");
    tw_db_finalize(s);
    assert_int_equal(fixture_number(db, "SELECT 7"), 7);
    tw_db_close(db);
}

#define OF_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_enter, fixture_leave)

int main(void)
{
    if (!fixture_choose("postgres")) {
        fprintf(stderr, "test_postgres_store: no TW_TEST_POSTGRES\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        OF_STORE(a_lost_connection_breaks_the_store_and_another_one_works),
        OF_STORE(a_store_that_is_reached_again_has_all_its_statements),
        OF_STORE(a_server_that_is_stopped_is_lost_in_time_and_found_again),
        OF_STORE(a_statement_that_takes_too_long_is_given_up_by_the_server_too),
        OF_STORE(what_one_says_the_others_hear_at_its_commit),
        OF_STORE(a_connection_lost_in_a_transaction_is_told_at_its_commit),
        OF_STORE(errors_of_the_server_have_the_status_of_their_kind),
        OF_STORE(a_deadlock_is_tried_again_and_both_succeed),
        OF_STORE(rows_that_are_locked_wait_for_the_one_who_has_them),
        OF_STORE(processes_that_migrate_at_once_make_each_step_once),
        OF_STORE(a_session_is_durable_whatever_the_server_would_have),
        OF_STORE(a_server_that_may_lose_what_it_promised_is_refused),
        OF_STORE(a_database_that_is_no_utf8_is_refused),
        OF_STORE(a_wrong_password_is_not_repeated),
        OF_STORE(a_query_that_gives_too_much_is_refused_before_memory_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
