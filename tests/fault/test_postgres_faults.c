/* A PostgreSQL store whose connection is cut at any byte: what a commit said is there is there,
 * what it refused is not, and where that cannot be known the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postgres_proxy.h"
#include "store/db.h"

#define TRANSACTIONS 4

static char folder[] = "/tmp/tokenworks-test-XXXXXX";
static char server_socket[100];
static char proxy_address[160];

static struct tw_db *open_directly(void)
{
    struct tw_db *db = NULL;
    struct tw_error error;
    if (tw_db_open(getenv("TW_TEST_POSTGRES"), TW_DB_WRITE, &db, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return db;
}

static int64_t number_of(struct tw_db *db, const char *sql)
{
    struct tw_db_statement *statement = NULL;
    bool is_row = false;
    assert_int_equal(tw_db_prepare(db, sql, &statement, NULL), TW_OK);
    assert_int_equal(tw_db_query(statement, NULL, 0, NULL), TW_OK);
    assert_int_equal(tw_db_next(statement, &is_row, NULL), TW_OK);
    int64_t number = tw_db_column_integer(statement, 0);
    tw_db_finalize(statement);
    return number;
}

enum fate { NOT_TRIED = 0, KEPT, REFUSED, UNKNOWN };

/* One statement and its transaction; NULL where the statement is not there. */
static enum tw_status transact(struct tw_db *db, struct tw_db_statement *put,
                               struct tw_db_statement *get, int number, struct tw_error *error)
{
    enum tw_status status = tw_db_begin(db, error);
    for (int i = 0; i < 3 && status == TW_OK; i++) {
        struct tw_db_value values[] = {tw_db_integer(number), tw_db_integer(i)};
        status = tw_db_run(put, values, 2, error);
    }
    struct tw_db_value value = tw_db_integer(number);
    bool is_row = false;
    if (status == TW_OK) {
        status = tw_db_query(get, &value, 1, error);
    }
    if (status == TW_OK) {
        status = tw_db_next(get, &is_row, error);
    }
    if (status != TW_OK) {
        tw_db_rollback(db);
        return status;
    }
    assert_int_equal(tw_db_column_integer(get, 0), 3);
    return tw_db_commit(db, error);
}

/* Through the proxy, up to the first error. */
static void work(enum fate *fates)
{
    struct tw_db *db = NULL;
    struct tw_db_statement *put = NULL, *get = NULL;
    struct tw_error error = {.text = ""};
    if (tw_db_open(proxy_address, TW_DB_WRITE, &db, &error) != TW_OK) {
        assert_int_equal(error.status, TW_ERR_IO);
        return;
    }
    if (tw_db_prepare(db, "INSERT INTO item VALUES(?, ?)", &put, &error) == TW_OK &&
        tw_db_prepare(db, "SELECT count(*) FROM item WHERE number = ?", &get, &error) == TW_OK) {
        for (int i = 0; i < TRANSACTIONS && error.text[0] == '\0'; i++) {
            enum tw_status status = transact(db, put, get, i, &error);
            bool is_unknown = strstr(error.text, "not known") != NULL;
            fates[i] = status == TW_OK ? KEPT : is_unknown ? UNKNOWN : REFUSED;
        }
    }
    if (error.text[0] != '\0') {
        assert_int_equal(error.status, TW_ERR_IO);
        assert_true(tw_db_is_broken(db));
        assert_int_equal(tw_db_begin(db, NULL), TW_ERR_IO);
    }
    tw_db_finalize(put);
    tw_db_finalize(get);
    tw_db_close(db);
}

static void empty(struct tw_db *direct)
{
    assert_int_equal(tw_db_execute(direct,
                                   "DROP TABLE IF EXISTS item; CREATE TABLE item("
                                   "number %I, row %I, PRIMARY KEY(number, row))",
                                   NULL),
                     TW_OK);
}

struct outcome {
    int n_kept, n_refused, n_unknown, n_unknown_kept;
};

static void compare(struct tw_db *direct, const enum fate *fates, long at, struct outcome *outcome)
{
    /* What the server still has to do for the connection that was cut. */
    while (number_of(direct, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = "
                             "'client backend' AND pid <> pg_backend_pid()") != 0) {
        usleep(1000);
    }
    for (int i = 0; i < TRANSACTIONS; i++) {
        char sql[80];
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM item WHERE number = %d", i);
        int64_t n = number_of(direct, sql);
        bool is_right = fates[i] == KEPT ? n == 3 : fates[i] == UNKNOWN ? n == 3 || n == 0 : n == 0;
        if (!is_right) {
            fail_msg("cut at byte %ld: transaction %d was reported as %d and has %d rows", at, i,
                     (int)fates[i], (int)n);
        }
        outcome->n_kept += fates[i] == KEPT;
        outcome->n_refused += fates[i] == REFUSED;
        outcome->n_unknown += fates[i] == UNKNOWN;
        outcome->n_unknown_kept += fates[i] == UNKNOWN && n == 3;
    }
}

static struct outcome cut_everywhere(bool to_client, long n_bytes, long stride)
{
    struct outcome outcome = {.n_kept = 0};
    struct tw_db *direct = open_directly();
    for (long at = 0; at < n_bytes; at += stride) {
        enum fate fates[TRANSACTIONS] = {NOT_TRIED};
        struct proxy proxy;
        struct proxy_cut cut = {.to_client_bytes = to_client ? at : -1,
                                .to_server_bytes = to_client ? -1 : at};
        empty(direct);
        assert_true(proxy_start(server_socket, folder, cut, &proxy));
        work(fates);
        proxy_end(&proxy, folder);
        compare(direct, fates, at, &outcome);
    }
    tw_db_close(direct);
    return outcome;
}

static struct proxy_count count_bytes(void)
{
    enum fate fates[TRANSACTIONS] = {NOT_TRIED};
    struct proxy proxy;
    struct outcome outcome = {.n_kept = 0};
    struct tw_db *direct = open_directly();
    empty(direct);
    assert_true(proxy_start(server_socket, folder, (struct proxy_cut){-1, -1}, &proxy));
    work(fates);
    struct proxy_count count = proxy_end(&proxy, folder);
    compare(direct, fates, -1, &outcome);
    assert_int_equal(outcome.n_kept, TRANSACTIONS);
    tw_db_close(direct);
    return count;
}

static void a_client_that_hears_no_more_knows_what_it_does_not_know(void **state)
{
    (void)state;
    struct outcome outcome = cut_everywhere(true, count_bytes().to_client_bytes, 7);
    assert_true(outcome.n_kept > 50);
    assert_true(outcome.n_refused > 10);
    assert_true(outcome.n_unknown > 5);
    assert_true(outcome.n_unknown_kept > 0);
}

static void a_client_that_is_not_heard_any_more_loses_no_commit(void **state)
{
    (void)state;
    struct outcome outcome = cut_everywhere(false, count_bytes().to_server_bytes, 7);
    assert_true(outcome.n_kept > 50);
    assert_true(outcome.n_refused > 10);
}

/* Round trips of a transaction of n rows. */
static long round_trips(int n_transactions, int n_rows)
{
    struct proxy proxy;
    struct tw_db *db = NULL;
    struct tw_db_statement *put = NULL;
    struct tw_db *direct = open_directly();
    empty(direct);
    tw_db_close(direct);
    assert_true(proxy_start(server_socket, folder, (struct proxy_cut){-1, -1}, &proxy));
    assert_int_equal(tw_db_open(proxy_address, TW_DB_WRITE, &db, NULL), TW_OK);
    assert_int_equal(tw_db_prepare(db, "INSERT INTO item VALUES(?, ?)", &put, NULL), TW_OK);
    for (int i = 0; i < n_transactions; i++) {
        assert_int_equal(tw_db_begin(db, NULL), TW_OK);
        for (int k = 0; k < n_rows; k++) {
            struct tw_db_value values[] = {tw_db_integer(i), tw_db_integer(k)};
            assert_int_equal(tw_db_run(put, values, 2, NULL), TW_OK);
        }
        assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    }
    tw_db_finalize(put);
    tw_db_close(db);
    return proxy_end(&proxy, folder).n_round_trips;
}

static void a_transaction_of_hundreds_of_rows_is_one_round_trip(void **state)
{
    (void)state;
    long n_none = round_trips(0, 0);
    assert_true(n_none > 0);
    assert_int_equal(round_trips(1, 900) - n_none, 1);
    assert_int_equal(round_trips(5, 300) - n_none, 5);
}

int main(void)
{
    const char *server = getenv("TW_TEST_POSTGRES");
    const char *host = server != NULL ? strstr(server, "host=") : NULL;
    if (host == NULL || mkdtemp(folder) == NULL) {
        fprintf(stderr, "test_postgres_faults: no TW_TEST_POSTGRES\n");
        return 2;
    }
    snprintf(server_socket, sizeof(server_socket), "%.*s/.s.PGSQL.5432",
             (int)strcspn(host + 5, "&"), host + 5);
    snprintf(proxy_address, sizeof(proxy_address),
             "postgres:///postgres?host=%s&port=5432&user=tokenworks&gssencmode=disable", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transaction_of_hundreds_of_rows_is_one_round_trip),
        cmocka_unit_test(a_client_that_hears_no_more_knows_what_it_does_not_know),
        cmocka_unit_test(a_client_that_is_not_heard_any_more_loses_no_commit),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return n_failed;
}
