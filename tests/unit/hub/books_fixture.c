#include "books_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define NANO ((int64_t)1000000000)

static void assert_good(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        fail_msg("%s", error->text);
    }
}

static void empty_database(const char *address)
{
    struct tw_db *db;
    struct tw_error error;
    assert_good(tw_db_open(address, TW_DB_WRITE, &db, &error), &error);
    assert_good(tw_db_execute(db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", &error),
                &error);
    tw_db_close(db);
}

void books_begin(struct books *books)
{
    const char *postgres = getenv("TW_TEST_POSTGRES");
    struct tw_error error;
    *books = (struct books){.folder = "/tmp/tokenworks-books-XXXXXX"};
    if (postgres != NULL && postgres[0] != '\0') {
        snprintf(books->address, sizeof books->address, "%s", postgres);
        books->folder[0] = '\0';
        empty_database(postgres);
    } else {
        assert_non_null(mkdtemp(books->folder));
        snprintf(books->address, sizeof books->address, "%s/books.db", books->folder);
    }
    books->ledger = tw_mem_zalloc(1, sizeof *books->ledger);
    assert_non_null(books->ledger);
    assert_good(tw_db_open(books->address, TW_DB_WRITE, &books->writer, &error), &error);
    assert_good(synth_ledger_begin(books->writer, "EUR", books->ledger, &error), &error);
}

void books_end(struct books *books)
{
    struct tw_error error;
    assert_good(synth_ledger_end(books->ledger, &error), &error);
    tw_mem_free(books->ledger);
    books->ledger = NULL;
    tw_db_close(books->writer);
    books->writer = NULL;
    assert_good(tw_db_open(books->address, TW_DB_READ, &books->db, &error), &error);
}

void books_close(struct books *books)
{
    tw_db_close(books->db);
    if (books->folder[0] != '\0') {
        static const char *const endings[] = {"", "-wal", "-shm", "-lock", ".lock"};
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
            char path[300];
            snprintf(path, sizeof path, "%s%s", books->address, endings[i]);
            unlink(path);
        }
        rmdir(books->folder);
    }
}

/* A third of the keys is nobody's, the others are of users with and without an organisation. */
static void give_users(struct books *books)
{
    struct tw_error error;
    assert_good(
        tw_db_execute(books->writer,
                      "INSERT INTO person (id, org, name, created_ns)"
                      " VALUES (900001, 0, 'root', 0);"
                      "INSERT INTO person (id, org, name, created_ns) SELECT 900002, MIN(id),"
                      " 'ann', 0 FROM holder WHERE kind = 'org';"
                      "INSERT INTO secret (id, holder, person, shown, hash, created_ns)"
                      " SELECT 910000 + id, id, CASE id %% 3 WHEN 0 THEN 0 WHEN 1 THEN 900001"
                      " ELSE 900002 END, 'tw-...', CAST(SUBSTR(id || "
                      "'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh', 1, 32) AS %B), 0 FROM holder"
                      " WHERE kind = 'key'",
                      &error),
        &error);
}

void books_fill(struct books *books, uint64_t seed, int64_t n_requests, int64_t from_s,
                int64_t to_s)
{
    struct tw_error error;
    books_begin(books);
    assert_good(
        synth_ledger_fill(books->ledger, seed, n_requests, from_s * NANO, to_s * NANO, &error),
        &error);
    give_users(books);
    books_end(books);
}

void books_ask(struct books *books, const char *sql, int64_t *ret_values, int n)
{
    struct tw_db_statement *row = NULL;
    struct tw_error error;
    bool has_row = false;
    assert_good(tw_db_prepare(books->db, sql, &row, &error), &error);
    assert_good(tw_db_query(row, NULL, 0, &error), &error);
    assert_good(tw_db_next(row, &has_row, &error), &error);
    assert_true(has_row);
    for (int i = 0; i < n; i++) {
        ret_values[i] = tw_db_column_integer(row, i);
    }
    tw_db_finalize(row);
}
