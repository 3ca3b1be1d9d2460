/* What db.h promises of both stores: the same list of tests for each, named by the argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store_fixture.h"

#define VALUES(...)                                                                                \
    (struct tw_db_value[])                                                                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define COUNT(...) (sizeof(VALUES(__VA_ARGS__)) / sizeof(struct tw_db_value))
#define RUN(statement, ...)                                                                        \
    tw_db_run(statement, VALUES(__VA_ARGS__), COUNT(__VA_ARGS__), &last_error)
#define QUERY(statement, ...)                                                                      \
    tw_db_query(statement, VALUES(__VA_ARGS__), COUNT(__VA_ARGS__), &last_error)

static struct tw_error last_error;

static void assert_row(struct tw_db_statement *statement)
{
    bool is_row = false;
    assert_int_equal(tw_db_next(statement, &is_row, &last_error), TW_OK);
    assert_true(is_row);
}

static void assert_no_row(struct tw_db_statement *statement)
{
    bool is_row = true;
    assert_int_equal(tw_db_next(statement, &is_row, &last_error), TW_OK);
    assert_false(is_row);
}

static void assert_says(const char *words)
{
    if (strstr(last_error.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", last_error.text, words);
    }
}

static struct tw_db *open_with_pairs(void)
{
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE pair(id %I PRIMARY KEY, name TEXT UNIQUE, value %I) %S");
    return db;
}

static void values_of_every_kind_come_back_as_they_were(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY, i %I, s TEXT, b %B) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(?, ?, ?, ?)");
    static const unsigned char bytes[] = {0, 1, 255, '\'', '\\', 0};
    static const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN};
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(RUN(put, tw_db_integer(i), tw_db_integer(numbers[i]),
                             tw_db_text("gr\xc3\xbc\xc3\x9f 'x' \\ %I ?"),
                             tw_db_bytes(bytes, sizeof(bytes))),
                         TW_OK);
    }
    assert_int_equal(RUN(put, tw_db_integer(4), tw_db_null(), tw_db_text(NULL), tw_db_null()),
                     TW_OK);
    assert_int_equal(
        RUN(put, tw_db_integer(5), tw_db_integer(5), tw_db_text(""), tw_db_bytes(NULL, 0)), TW_OK);
    tw_db_finalize(put);
    struct tw_db_statement *get = fixture_prepare(db, "SELECT i, s, b FROM t ORDER BY id");
    assert_int_equal(tw_db_query(get, NULL, 0, NULL), TW_OK);
    size_t size_bytes = 0;
    for (int i = 0; i < 4; i++) {
        assert_row(get);
        assert_int_equal(tw_db_column_integer(get, 0), numbers[i]);
        assert_string_equal(tw_db_column_text(get, 1), "gr\xc3\xbc\xc3\x9f 'x' \\ %I ?");
        const void *data = tw_db_column_bytes(get, 2, &size_bytes);
        assert_int_equal(size_bytes, sizeof(bytes));
        assert_memory_equal(data, bytes, sizeof(bytes));
        assert_false(tw_db_column_is_null(get, 0));
    }
    assert_row(get);
    for (int i = 0; i < 3; i++) {
        assert_true(tw_db_column_is_null(get, i));
    }
    assert_int_equal(tw_db_column_integer(get, 0), 0);
    assert_string_equal(tw_db_column_text(get, 1), "");
    tw_db_column_bytes(get, 2, &size_bytes);
    assert_int_equal(size_bytes, 0);
    assert_row(get);
    for (int i = 0; i < 3; i++) {
        assert_false(tw_db_column_is_null(get, i));
    }
    assert_string_equal(tw_db_column_text(get, 1), "");
    assert_string_equal(tw_db_column_text(get, 0), ""); /* of another kind */
    assert_no_row(get);
    assert_no_row(get);
    tw_db_finalize(get);
    tw_db_close(db);
}

static void sums_counts_and_comparisons_are_integers(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "INSERT INTO pair VALUES(1, 'a', 4000000000), (2, 'b', 6000000000),"
                        "(3, 'c', -9000000000000000000)");
    assert_int_equal(fixture_number(db, "SELECT sum(value) FROM pair"),
                     10000000000 - 9000000000000000000);
    assert_int_equal(fixture_number(db, "SELECT sum(value) FROM pair WHERE id < 3"), 10000000000);
    assert_int_equal(fixture_number(db, "SELECT sum(value) FROM pair WHERE id < 0"), 0);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 3);
    assert_int_equal(fixture_number(db, "SELECT id = 2 FROM pair WHERE id = 2"), 1);
    assert_int_equal(fixture_number(db, "SELECT 7 / 2"), 3);
    struct tw_db_statement *s = fixture_prepare(db, "SELECT ? + value FROM pair WHERE name = ?");
    assert_int_equal(QUERY(s, tw_db_integer(1), tw_db_text("a")), TW_OK);
    assert_row(s);
    assert_int_equal(tw_db_column_integer(s, 0), 4000000001);
    tw_db_finalize(s);
    tw_db_close(db);
}

static enum tw_status status_of_query(struct tw_db *db, const char *sql)
{
    struct tw_db_statement *s = NULL;
    bool is_row = false;
    enum tw_status status = tw_db_prepare(db, sql, &s, &last_error);
    if (status == TW_OK) {
        status = tw_db_query(s, NULL, 0, &last_error);
    }
    if (status == TW_OK) {
        status = tw_db_next(s, &is_row, &last_error);
    }
    tw_db_finalize(s);
    return status;
}

static void a_number_that_is_no_integer_of_64_bits_is_an_error(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "INSERT INTO pair VALUES(1, 'a', 9000000000000000000),"
                        "(2, 'b', 9000000000000000000)");
    assert_int_not_equal(status_of_query(db, "SELECT sum(value) FROM pair"), TW_OK);
    assert_int_not_equal(status_of_query(db, "SELECT 0.5"), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 2);
    tw_db_close(db);
}

static void signs_are_replaced_outside_of_quotes_and_comments_only(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "INSERT INTO pair VALUES(1, '%I ? ''%B', 5) -- %Q ? \n"
                        "; /* ? %Q ' */ INSERT INTO pair VALUES(2, '--', 7 %% 4)");
    assert_int_equal(fixture_number(db, "SELECT value FROM pair WHERE id = 2"), 3);
    struct tw_db_statement *s = fixture_prepare(
        db, "SELECT name /* ? */ FROM pair WHERE name = '%I ? ''%B' AND id = ? -- ?\n %L");
    assert_int_equal(QUERY(s, tw_db_integer(1)), TW_OK);
    assert_row(s);
    assert_string_equal(tw_db_column_text(s, 0), "%I ? '%B");
    tw_db_finalize(s);
    assert_int_equal(tw_db_prepare(db, "SELECT %Q", &s, &last_error), TW_ERR_USAGE);
    assert_says("%Q");
    tw_db_close(db);
}

static void what_was_committed_is_there_after_opening_again(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(?, NULL, ?)");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    for (int64_t i = 0; i < 2500; i++) {
        assert_int_equal(RUN(put, tw_db_integer(i), tw_db_integer(i * i)), TW_OK);
    }
    assert_int_equal(tw_db_commit(db, &last_error), TW_OK);
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(RUN(put, tw_db_integer(-1), tw_db_integer(0)), TW_OK);
    tw_db_finalize(put);
    tw_db_close(db);
    db = fixture_open(TW_DB_WRITE);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 2500);
    assert_int_equal(fixture_number(db, "SELECT value FROM pair WHERE id = 2499"), 2499 * 2499);
    tw_db_close(db);
}

static void what_was_rolled_back_is_not_there_and_the_store_goes_on(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(?, NULL, 0)");
    tw_db_rollback(db); /* nothing is open: nothing happens */
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    RUN(put, tw_db_integer(7));
    RUN(put, tw_db_integer(7)); /* an error that is not looked at */
    tw_db_rollback(db);
    assert_false(tw_db_is_broken(db));
    for (int64_t i = 0; i < 3; i++) {
        assert_int_equal(tw_db_begin(db, NULL), TW_OK);
        assert_int_equal(RUN(put, tw_db_integer(i)), TW_OK);
        if (i != 1) {
            assert_int_equal(tw_db_commit(db, NULL), TW_OK);
        }
        tw_db_rollback(db);
    }
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 2);
    assert_int_equal(fixture_number(db, "SELECT sum(id) FROM pair"), 2);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void a_transaction_sees_its_own_rows_in_between(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(?, NULL, ?)");
    struct tw_db_statement *add =
        fixture_prepare(db, "UPDATE pair SET value = value + ? WHERE id = ? RETURNING value");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    for (int64_t i = 0; i < 10; i++) {
        assert_int_equal(RUN(put, tw_db_integer(i), tw_db_integer(0)), TW_OK);
        assert_int_equal(RUN(add, tw_db_integer(1), tw_db_integer(0)), TW_OK); /* rows dropped */
        assert_int_equal(QUERY(add, tw_db_integer(1), tw_db_integer(0)), TW_OK);
        assert_row(add);
        assert_int_equal(tw_db_column_integer(add, 0), 2 * (i + 1));
        assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), i + 1);
    }
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT value FROM pair WHERE id = 0"), 20);
    tw_db_finalize(put);
    tw_db_finalize(add);
    tw_db_close(db);
}

static void rows_can_be_written_while_others_are_read(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "CREATE TABLE copy(id %I PRIMARY KEY, name TEXT) %S;"
                        "INSERT INTO pair VALUES(1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
    struct tw_db_statement *get = fixture_prepare(db, "SELECT id, name FROM pair ORDER BY id");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO copy VALUES(?, ?)");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(tw_db_query(get, NULL, 0, NULL), TW_OK);
    for (int i = 0; i < 3; i++) {
        assert_row(get);
        assert_int_equal(RUN(put, tw_db_integer(tw_db_column_integer(get, 0)),
                             tw_db_text(tw_db_column_text(get, 1))),
                         TW_OK);
    }
    assert_no_row(get);
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM copy WHERE name = 'c'"), 1);
    tw_db_finalize(get);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void a_query_that_is_begun_again_or_left_begins_anew(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "INSERT INTO pair VALUES(1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
    struct tw_db_statement *get =
        fixture_prepare(db, "SELECT id FROM pair WHERE id > ? ORDER BY id");
    assert_int_equal(QUERY(get, tw_db_integer(0)), TW_OK);
    assert_row(get);
    assert_int_equal(QUERY(get, tw_db_integer(1)), TW_OK);
    assert_row(get);
    assert_int_equal(tw_db_column_integer(get, 0), 2);
    assert_int_equal(tw_db_begin(db, NULL), TW_OK); /* gives it up */
    assert_no_row(get);
    assert_int_equal(tw_db_column_integer(get, 0), 0);
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    tw_db_finalize(get);
    tw_db_close(db);
}

static void the_first_error_of_a_transaction_ends_it(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(?, ?, 0)");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(RUN(put, tw_db_integer(1), tw_db_text("a")), TW_OK);
    /* A store may say so now or later. */
    enum tw_status status = RUN(put, tw_db_integer(1), tw_db_text("b"));
    assert_true(status == TW_OK || status == TW_ERR_USAGE);
    RUN(put, tw_db_integer(2), tw_db_text("c"));
    last_error.text[0] = '\0';
    assert_int_equal(status_of_query(db, "SELECT 1"), TW_ERR_USAGE);
    assert_int_equal(tw_db_execute(db, "SELECT 1", &last_error), TW_ERR_USAGE);
    last_error.text[0] = '\0';
    assert_int_equal(tw_db_commit(db, &last_error), TW_ERR_USAGE);
    assert_says(fixture_is_postgres() ? "unique" : "UNIQUE");
    assert_false(tw_db_is_broken(db));
    assert_false(tw_db_should_retry(db));
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 0);
    assert_int_equal(RUN(put, tw_db_integer(1), tw_db_text("a")), TW_OK);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void an_error_that_comes_late_is_the_commits(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(db, "CREATE TABLE child(pair %I REFERENCES pair(id) DEFERRABLE INITIALLY "
                        "DEFERRED) %S");
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO child VALUES(?)");
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    assert_int_equal(RUN(put, tw_db_integer(77)), TW_OK);
    assert_int_equal(tw_db_commit(db, &last_error), TW_ERR_USAGE);
    assert_false(tw_db_is_broken(db));
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM child"), 0);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void what_the_schema_forbids_is_usage_and_what_it_lacks_is_format(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    fixture_execute(
        db, "CREATE TABLE child(pair %I NOT NULL REFERENCES pair(id), n %I CHECK(n > 0)) %S");
    static const char *const forbidden[] = {
        "INSERT INTO child VALUES(5, 1)", /* no such pair */
        "INSERT INTO child VALUES(NULL, 1)",
        "INSERT INTO pair VALUES(1, 'a', 0), (1, 'b', 0)",
        "INSERT INTO pair VALUES(1, 'a', 'x')",
    };
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        assert_int_equal(tw_db_execute(db, forbidden[i], &last_error), TW_ERR_USAGE);
        assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 0);
    }
    struct tw_db_statement *s = NULL;
    assert_int_equal(tw_db_prepare(db, "SELECT 1 FROM nothing", &s, &last_error), TW_ERR_FORMAT);
    assert_says("nothing");
    assert_int_equal(tw_db_prepare(db, "SELECT nothing FROM pair", &s, &last_error), TW_ERR_FORMAT);
    assert_int_equal(tw_db_prepare(db, "SELEC 1", &s, &last_error), TW_ERR_FORMAT);
    assert_int_equal(tw_db_prepare(db, "SELECT 1; SELECT 2", &s, &last_error), TW_ERR_FORMAT);
    assert_null(s);
    tw_db_close(db);
}

static void several_statements_run_together_are_all_there_or_none(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    assert_int_equal(tw_db_execute(db,
                                   "INSERT INTO pair VALUES(1, 'a', 0);"
                                   "INSERT INTO pair VALUES(1, 'b', 0)",
                                   NULL),
                     TW_ERR_USAGE);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 0);
    fixture_execute(db, "INSERT INTO pair VALUES(1, 'a', 0); INSERT INTO pair VALUES(2, 'b', 0);");
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair"), 2);
    tw_db_close(db);
}

static void text_that_is_no_utf8_or_has_a_nul_is_refused(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(1, ?, 0)");
    assert_int_equal(RUN(put, tw_db_text("a\xff")), TW_ERR_USAGE);
    assert_int_equal(RUN(put, tw_db_text("\xed\xa0\x80")), TW_ERR_USAGE);
    struct tw_db_value with_nul = {.kind = TW_DB_TEXT, .data = "a\0b", .size_bytes = 3};
    assert_int_equal(RUN(put, with_nul), TW_ERR_USAGE);
    struct tw_db_value part = {.kind = TW_DB_TEXT, .data = "abc", .size_bytes = 2};
    assert_int_equal(RUN(put, part), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM pair WHERE name = 'ab'"), 1);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void bounds_are_reached_with_a_sentence(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(b %B) %S");
    char *big = tw_mem_alloc(TW_LIMIT_DB_VALUE_BYTES + 1, 1);
    memset(big, 'x', TW_LIMIT_DB_VALUE_BYTES + 1);
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO t VALUES(?)");
    assert_int_equal(RUN(put, tw_db_bytes(big, TW_LIMIT_DB_VALUE_BYTES + 1)), TW_ERR_LIMIT);
    assert_says("16777216");
    assert_int_equal(RUN(put, tw_db_bytes(big, TW_LIMIT_DB_VALUE_BYTES)), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT length(b) FROM t"), TW_LIMIT_DB_VALUE_BYTES);
    tw_db_finalize(put);
    big[TW_LIMIT_DB_SQL_BYTES] = '\0';
    assert_int_equal(tw_db_execute(db, big, &last_error), TW_ERR_LIMIT);
    tw_mem_free(big);
    char sql[1024] = "SELECT 1 FROM t WHERE length(b) IN(";
    size_t at = strlen(sql);
    for (int i = 0; i <= TW_LIMIT_DB_PARAMETERS; i++) {
        at += (size_t)snprintf(sql + at, sizeof(sql) - at, i == 0 ? "?" : ",?");
    }
    snprintf(sql + at, sizeof(sql) - at, ")");
    assert_int_equal(tw_db_prepare(db, sql, &put, &last_error), TW_ERR_LIMIT);
    assert_says("parameters");
    memmove(sql + at - 2, sql + at, 2);
    put = fixture_prepare(db, sql);
    tw_db_finalize(put);
    tw_db_close(db);
}

static void a_reader_sees_whole_transactions_and_one_state_from_begin_to_commit(void **state)
{
    (void)state;
    struct tw_db *writer = open_with_pairs();
    struct tw_db *reader = fixture_open(TW_DB_READ);
    fixture_execute(writer, "INSERT INTO pair VALUES(1, 'a', 1)");
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 1);
    assert_int_equal(tw_db_begin(writer, NULL), TW_OK);
    fixture_execute(writer, "INSERT INTO pair VALUES(2, 'b', 1)");
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 1);
    assert_int_equal(tw_db_begin(reader, NULL), TW_OK);
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 1);
    fixture_execute(writer, "INSERT INTO pair VALUES(3, 'c', 1)");
    assert_int_equal(tw_db_commit(writer, NULL), TW_OK);
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 1);
    assert_int_equal(tw_db_commit(reader, NULL), TW_OK);
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 3);
    tw_db_close(reader);
    tw_db_close(writer);
}

static void a_reader_writes_nothing(void **state)
{
    (void)state;
    struct tw_db *writer = open_with_pairs();
    struct tw_db *reader = fixture_open(TW_DB_READ);
    struct tw_db_statement *put = fixture_prepare(reader, "INSERT INTO pair VALUES(1, NULL, 1)");
    assert_int_equal(tw_db_run(put, NULL, 0, &last_error), TW_ERR_USAGE);
    assert_int_equal(tw_db_execute(reader, "DROP TABLE pair", &last_error), TW_ERR_USAGE);
    assert_false(tw_db_is_broken(reader));
    assert_int_equal(fixture_number(reader, "SELECT count(*) FROM pair"), 0);
    tw_db_finalize(put);
    tw_db_close(reader);
    tw_db_close(writer);
}

static const char *const steps[] = {
    "CREATE TABLE a(id %I PRIMARY KEY) %S; INSERT INTO a VALUES(1)",
    "ALTER TABLE a ADD COLUMN name TEXT; UPDATE a SET name = 'x'",
    "CREATE TABLE b(id %I PRIMARY KEY, bytes %B) %S",
};

static void a_schema_goes_up_step_by_step_and_once_only(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    assert_int_equal(tw_db_migrate(db, steps, 0, NULL), TW_OK);
    for (size_t n = 1; n <= 3; n++) {
        assert_int_equal(tw_db_migrate(db, steps, n, NULL), TW_OK);
        assert_int_equal(tw_db_migrate(db, steps, n, NULL), TW_OK);
        assert_int_equal(fixture_number(db, "SELECT version FROM schema_version"), (int64_t)n);
    }
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM a WHERE name = 'x'"), 1);
    assert_int_equal(tw_db_migrate(db, steps, 2, &last_error), TW_ERR_UNSUPPORTED);
    assert_says("version 3");
    assert_says("up to 2");
    tw_db_close(db);
}

static void a_step_that_fails_leaves_the_version_before_it(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "CREATE TABLE a(id %I PRIMARY KEY) %S",
        "CREATE TABLE c(id %I PRIMARY KEY) %S; INSERT INTO missing VALUES(1)",
    };
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    assert_int_equal(tw_db_migrate(db, wrong, 2, &last_error), TW_ERR_FORMAT);
    assert_says("version 2 of the store's schema");
    assert_int_equal(fixture_number(db, "SELECT version FROM schema_version"), 1);
    assert_int_not_equal(status_of_query(db, "SELECT 1 FROM c"), TW_OK);
    tw_db_close(db);
}

static void a_reader_needs_the_very_version(void **state)
{
    (void)state;
    struct tw_db *writer = fixture_open(TW_DB_WRITE);
    assert_int_equal(tw_db_migrate(writer, steps, 2, NULL), TW_OK);
    struct tw_db *reader = fixture_open(TW_DB_READ);
    assert_int_equal(tw_db_migrate(reader, steps, 2, NULL), TW_OK);
    assert_int_equal(tw_db_migrate(reader, steps, 3, &last_error), TW_ERR_UNSUPPORTED);
    assert_says("version 2");
    assert_int_equal(tw_db_migrate(reader, steps, 1, &last_error), TW_ERR_UNSUPPORTED);
    tw_db_close(reader);
    tw_db_close(writer);
}

static void addresses_that_make_no_sense_are_refused_without_their_passwords(void **state)
{
    (void)state;
    struct tw_db *db = NULL;
    static const char *const wrong[] = {
        "",
        "mysql://u:secret@host/db",
        "postgress://u:secret@host/db",
        "postgres://u:secret@secret@host/db",
        "postgres://u:secret/secret@host/db",
        "postgres://u:12/secret@host/db",
        "postgres://u:sec?ret@secret@host/db",
        "postgres://u:secret/a?b@host/db",
        "postgres://u:secret/db?connect_timeout=1",
        "postgres://u:secret%zz@host/db",
        "postgres://u:secret@[host/db",
        "postgres://u:x@host/db?password=secret&nonsense=secret",
        "postgres://u:x@host/db?password=secret%00",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (tw_db_open(wrong[i], TW_DB_WRITE, &db, &last_error) != TW_ERR_USAGE) {
            fail_msg("%s: %s", wrong[i], last_error.text);
        }
        assert_null(strstr(last_error.text, "secret"));
    }
    assert_int_equal(
        tw_db_open("postgres://u:secret?&=@%2Fnowhere/db", TW_DB_WRITE, &db, &last_error),
        TW_ERR_IO);
    assert_says("/nowhere");
    assert_null(strstr(last_error.text, "secret"));
    assert_null(db);
}

static void one_statement_runs_a_thousand_times_with_other_values(void **state)
{
    (void)state;
    struct tw_db *db = open_with_pairs();
    struct tw_db_statement *put = fixture_prepare(db, "INSERT INTO pair VALUES(?, ?, ?)");
    struct tw_db_statement *get = fixture_prepare(db, "SELECT name, value FROM pair WHERE id = ?");
    char name[32];
    assert_int_equal(tw_db_begin(db, NULL), TW_OK);
    for (int64_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "name %d", (int)i); /* gone when the store sends it later */
        assert_int_equal(RUN(put, tw_db_integer(i), tw_db_text(name),
                             i % 3 == 0 ? tw_db_null() : tw_db_integer(-i)),
                         TW_OK);
        memset(name, 'x', sizeof(name));
    }
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    for (int64_t i = 0; i < 1000; i += 37) {
        assert_int_equal(QUERY(get, tw_db_integer(i)), TW_OK);
        assert_row(get);
        snprintf(name, sizeof(name), "name %d", (int)i);
        assert_string_equal(tw_db_column_text(get, 0), name);
        assert_int_equal(tw_db_column_is_null(get, 1), i % 3 == 0);
        assert_int_equal(tw_db_column_integer(get, 1), i % 3 == 0 ? 0 : -i);
        assert_no_row(get);
    }
    tw_db_finalize(put);
    tw_db_finalize(get);
    tw_db_close(db);
}

#define OF_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_enter, fixture_leave)

int main(int argc, char **argv)
{
    if (argc != 2 || !fixture_choose(argv[1])) {
        fprintf(stderr, "usage: test_db sqlite | postgres (with TW_TEST_POSTGRES)\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        OF_STORE(values_of_every_kind_come_back_as_they_were),
        OF_STORE(sums_counts_and_comparisons_are_integers),
        OF_STORE(a_number_that_is_no_integer_of_64_bits_is_an_error),
        OF_STORE(signs_are_replaced_outside_of_quotes_and_comments_only),
        OF_STORE(what_was_committed_is_there_after_opening_again),
        OF_STORE(what_was_rolled_back_is_not_there_and_the_store_goes_on),
        OF_STORE(a_transaction_sees_its_own_rows_in_between),
        OF_STORE(rows_can_be_written_while_others_are_read),
        OF_STORE(a_query_that_is_begun_again_or_left_begins_anew),
        OF_STORE(the_first_error_of_a_transaction_ends_it),
        OF_STORE(an_error_that_comes_late_is_the_commits),
        OF_STORE(what_the_schema_forbids_is_usage_and_what_it_lacks_is_format),
        OF_STORE(several_statements_run_together_are_all_there_or_none),
        OF_STORE(text_that_is_no_utf8_or_has_a_nul_is_refused),
        OF_STORE(bounds_are_reached_with_a_sentence),
        OF_STORE(a_reader_sees_whole_transactions_and_one_state_from_begin_to_commit),
        OF_STORE(a_reader_writes_nothing),
        OF_STORE(a_schema_goes_up_step_by_step_and_once_only),
        OF_STORE(a_step_that_fails_leaves_the_version_before_it),
        OF_STORE(a_reader_needs_the_very_version),
        OF_STORE(addresses_that_make_no_sense_are_refused_without_their_passwords),
        OF_STORE(one_statement_runs_a_thousand_times_with_other_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
