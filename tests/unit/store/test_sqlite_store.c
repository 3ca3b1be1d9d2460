/* What is particular to a store in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_fixture.h"

static struct tw_error last_error;

static enum tw_status open_status(const char *path, enum tw_db_mode mode)
{
    struct tw_db *db = NULL;
    last_error.text[0] = '\0';
    enum tw_status status = tw_db_open(path, mode, &db, &last_error);
    tw_db_close(db);
    return status;
}

static void assert_says(const char *words)
{
    if (strstr(last_error.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", last_error.text, words);
    }
}

static void put(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* A child that opens the store for writing, says so, and waits to be killed. */
static pid_t start_writer(const char *sql)
{
    int fds[2];
    char byte = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct tw_db *db = NULL;
        bool is_open = tw_db_open(fixture_address(), TW_DB_WRITE, &db, NULL) == TW_OK &&
                       tw_db_execute(db, sql, NULL) == TW_OK;
        if (write(fds[1], is_open ? "y" : "n", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(fds[0]);
    close(fds[1]);
    return child;
}

static void end_writer(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void only_its_owner_may_read_a_new_store_and_what_is_beside_it(void **state)
{
    (void)state;
    mode_t old = umask(0);
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I) %S");
    static const char *const names[] = {"books.db", "books.db-wal", "books.db-shm",
                                        "books.db.lock"};
    for (size_t i = 0; i < 4; i++) {
        struct stat st;
        assert_int_equal(stat(names[i], &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    umask(old);
    tw_db_close(db);
    assert_int_equal(size_of("books.db-wal"), -1); /* a store that was closed is one file */
}

static void a_second_writer_is_refused_with_the_process_that_writes(void **state)
{
    (void)state;
    char words[32];
    pid_t child = start_writer("CREATE TABLE t(id %I) %S");
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_ERR_USAGE);
    snprintf(words, sizeof(words), "process %d writes", (int)child);
    assert_says(words);
    assert_int_equal(symlink("books.db", "other.db"), 0);
    assert_int_equal(open_status("other.db", TW_DB_WRITE), TW_ERR_USAGE); /* by any name */
    assert_says(words);
    assert_int_equal(open_status("other.db", TW_DB_READ), TW_OK);
    end_writer(child);
    struct tw_db *db = fixture_open(TW_DB_WRITE); /* a dead process has no lock */
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM t"), 0);
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_ERR_USAGE);
    assert_says("this process");
    tw_db_close(db);
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_OK);
}

static void a_file_with_several_names_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_OK);
    assert_int_equal(link("books.db", "other.db"), 0);
    assert_int_equal(open_status("other.db", TW_DB_WRITE), TW_ERR_USAGE);
    assert_says("hard links");
    unlink("other.db");
}

static void what_is_no_store_is_refused_and_left_as_it_was(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof(text));
    put("books.db", text, sizeof(text));
    for (enum tw_db_mode mode = TW_DB_WRITE; mode <= TW_DB_READ; mode++) {
        assert_int_equal(open_status(fixture_address(), mode), TW_ERR_FORMAT);
        assert_says("is no SQLite file");
        assert_says("backup");
    }
    assert_int_equal(size_of("books.db"), sizeof(text));
    assert_int_equal(size_of("books.db.lock"), -1);
    sqlite3 *other = NULL;
    int status;
    pid_t child = fork();
    if (child == 0) { /* it leaves its log */
        int code = sqlite3_open("foreign.db", &other);
        if (code == SQLITE_OK) {
            code = sqlite3_exec(other, "PRAGMA journal_mode = WAL; CREATE TABLE t(a)", NULL, NULL,
                                NULL);
        }
        _exit(code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    long n_log = size_of("foreign.db-wal");
    assert_true(n_log > 0);
    for (enum tw_db_mode mode = TW_DB_WRITE; mode <= TW_DB_READ; mode++) {
        assert_int_equal(open_status("foreign.db", mode), TW_ERR_FORMAT);
        assert_says("another program's");
    }
    assert_int_equal(size_of("foreign.db.lock"), -1);
    assert_int_equal(size_of("foreign.db-wal"), n_log);
    assert_int_equal(open_status(".", TW_DB_WRITE), TW_ERR_IO);
    assert_int_equal(open_status("/dev/null", TW_DB_WRITE), TW_ERR_IO);
    assert_int_equal(open_status("missing/books.db", TW_DB_WRITE), TW_ERR_NOT_FOUND);
}

static void a_damaged_file_breaks_the_store_with_a_remedy(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I PRIMARY KEY, s TEXT) %S");
    fixture_execute(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                        "2000) INSERT INTO t SELECT i, 'a row of some length' FROM n");
    tw_db_close(db);
    FILE *f = fopen("books.db", "r+b");
    assert_int_equal(fseek(f, 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096 * 8; i++) {
        fputc(0xa5, f);
    }
    fclose(f);
    db = fixture_open(TW_DB_WRITE);
    struct tw_db_statement *sum = NULL;
    bool is_row = false;
    assert_int_equal(tw_db_prepare(db, "SELECT sum(length(s)) FROM t", &sum, NULL), TW_OK);
    assert_int_equal(tw_db_query(sum, NULL, 0, NULL), TW_OK);
    assert_int_equal(tw_db_next(sum, &is_row, &last_error), TW_ERR_FORMAT);
    assert_says("is damaged");
    assert_says("backup");
    assert_true(tw_db_is_broken(db));
    assert_int_equal(tw_db_execute(db, "DELETE FROM t", &last_error), TW_ERR_IO);
    assert_says("opened again");
    tw_db_finalize(sum);
    tw_db_close(db);
}

static void a_reader_makes_no_file_and_needs_one_with_something_in_it(void **state)
{
    (void)state;
    assert_int_equal(open_status(fixture_address(), TW_DB_READ), TW_ERR_NOT_FOUND);
    assert_int_equal(size_of("books.db"), -1);
    put("books.db", "", 0);
    assert_int_equal(open_status(fixture_address(), TW_DB_READ), TW_ERR_FORMAT);
    assert_says("nothing in it");
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_OK); /* an empty one is new */
}

static void a_reader_never_brings_the_log_into_the_file(void **state)
{
    (void)state;
    pid_t child = start_writer("CREATE TABLE t(id %I) %S; INSERT INTO t VALUES(1), (2)");
    end_writer(child);
    long n_file = size_of("books.db"), n_log = size_of("books.db-wal");
    assert_true(n_log > 0);
    for (int i = 0; i < 2; i++) {
        struct tw_db *reader = fixture_open(TW_DB_READ);
        assert_int_equal(fixture_number(reader, "SELECT count(*) FROM t"), 2);
        tw_db_close(reader); /* the last that has it open */
        assert_int_equal(size_of("books.db"), n_file);
        assert_int_equal(size_of("books.db-wal"), n_log);
    }
    /* Somebody who is refused the lock makes none either. */
    child = start_writer("INSERT INTO t VALUES(3)");
    n_file = size_of("books.db");
    n_log = size_of("books.db-wal");
    assert_int_equal(open_status(fixture_address(), TW_DB_WRITE), TW_ERR_USAGE);
    end_writer(child);
    assert_int_equal(size_of("books.db"), n_file);
    assert_int_equal(size_of("books.db-wal"), n_log);
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM t"), 3);
    tw_db_close(db);
    assert_int_equal(size_of("books.db-wal"), -1);
}

static void a_reader_in_the_process_of_the_writer_disturbs_nobody(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I) %S");
    for (int i = 0; i < 3; i++) {
        struct tw_db *reader = fixture_open(TW_DB_READ);
        fixture_execute(db, "INSERT INTO t VALUES(1)");
        assert_int_equal(fixture_number(reader, "SELECT count(*) FROM t"), i + 1);
        tw_db_close(reader);
        pid_t child = fork();
        if (child == 0) { /* the locks of our connection are still there for others */
            sqlite3 *other = NULL;
            sqlite3_open("books.db", &other);
            sqlite3_busy_timeout(other, 0);
            int code = sqlite3_exec(other, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
            _exit(code == SQLITE_BUSY ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    tw_db_close(db);
}

static void a_writer_waits_for_a_program_that_is_soon_done(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "CREATE TABLE t(id %I) %S");
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *other = NULL;
        sqlite3_open("books.db", &other);
        sqlite3_exec(other, "BEGIN IMMEDIATE; INSERT INTO t VALUES(7)", NULL, NULL, NULL);
        bool told = write(fds[1], "y", 1) == 1;
        usleep(200000);
        _exit(told && sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : 1);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(tw_db_begin(db, &last_error), TW_OK);
    assert_int_equal(fixture_number(db, "SELECT count(*) FROM t"), 1);
    assert_int_equal(tw_db_commit(db, NULL), TW_OK);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    close(fds[0]);
    close(fds[1]);
    tw_db_close(db);
}

static void the_connection_is_as_safe_as_sqlite_can_be_set(void **state)
{
    (void)state;
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    assert_int_equal(fixture_number(db, "PRAGMA synchronous"), 3);
    assert_int_equal(fixture_number(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(fixture_number(db, "PRAGMA secure_delete"), 1);
    assert_int_equal(fixture_number(db, "PRAGMA trusted_schema"), 0);
    assert_int_equal(fixture_number(db, "PRAGMA cell_size_check"), 1);
    assert_int_equal(fixture_number(db, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(fixture_number(db, "PRAGMA mmap_size"), 0);
    static const char *const refused[] = {
        "SELECT load_extension('x')",
        "ATTACH 'other.db' AS other",
        "SELECT \"no such column\"",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = ''",
    };
    fixture_execute(db, "CREATE TABLE t(id %I) %S");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (tw_db_execute(db, refused[i], NULL) == TW_OK) {
            fail_msg("'%s' works", refused[i]);
        }
    }
    tw_db_close(db);
    assert_int_equal(size_of("other.db"), -1);
}

static void names_that_mean_something_to_sqlite_are_files(void **state)
{
    (void)state;
    static const char *const names[] = {":memory:", "file:a?mode=memory", "a b%20'\"?", "-x"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(open_status(names[i], TW_DB_WRITE), TW_OK);
        assert_true(size_of(names[i]) > 0);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, fixture_enter, fixture_leave)

int main(void)
{
    if (!fixture_choose("sqlite")) {
        return 2;
    }
    const struct CMUnitTest tests[] = {
        IN_FOLDER(only_its_owner_may_read_a_new_store_and_what_is_beside_it),
        IN_FOLDER(a_second_writer_is_refused_with_the_process_that_writes),
        IN_FOLDER(a_file_with_several_names_is_refused),
        IN_FOLDER(what_is_no_store_is_refused_and_left_as_it_was),
        IN_FOLDER(a_damaged_file_breaks_the_store_with_a_remedy),
        IN_FOLDER(a_reader_makes_no_file_and_needs_one_with_something_in_it),
        IN_FOLDER(a_reader_never_brings_the_log_into_the_file),
        IN_FOLDER(a_reader_in_the_process_of_the_writer_disturbs_nobody),
        IN_FOLDER(a_writer_waits_for_a_program_that_is_soon_done),
        IN_FOLDER(the_connection_is_as_safe_as_sqlite_can_be_set),
        IN_FOLDER(names_that_mean_something_to_sqlite_are_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
