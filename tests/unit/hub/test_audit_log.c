/* What would break if a group that failed left a trace in the log, or a log could be gone on with
 * that is not what was signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "audit_fixture.h"
#include "base/clock.h"
#include "hub/audit_export.h"

struct books {
    char folder[256];
    struct tw_db *db;
    struct tw_audit_key *key;
    struct tw_audit_public_key public_key;
    struct tw_audit_log *log;
};

static int open_books(void **state)
{
    static struct books books;
    make_folder(books.folder);
    books.db = open_store(books.folder);
    books.key = open_key(books.folder, "key", AUDIT_KEY_PEM);
    books.public_key = tw_audit_key_public(books.key);
    books.log = open_log(books.db, books.key);
    *state = &books;
    return 0;
}

static int close_books(void **state)
{
    struct books *books = *state;
    tw_audit_log_close(books->log);
    tw_audit_key_free(books->key);
    tw_db_close(books->db);
    remove_folder(books->folder);
    return 0;
}

static struct tw_audit_report verify(struct books *books)
{
    struct tw_audit_report report = {0};
    struct tw_audit_verify_options options = {.key = &books->public_key};
    struct tw_error error = {0};
    if (tw_audit_verify_store(books->db, AUDIT_LOG, &options, &report, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return report;
}

static void append_one(struct books *books, int64_t at_ns)
{
    assert_int_equal(tw_audit_log_append(books->log, at_ns, "hub.started", "{}", 2, NULL), TW_OK);
}

static void what_was_appended_verifies(void **state)
{
    struct books *books = *state;
    struct tw_audit_report report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.n_records, 0);
    append_requests(books->db, books->log, 640);
    report = verify(books);
    assert_string_equal(report.text, "");
    assert_int_equal(report.n_records, 640);
    assert_int_equal(report.first_seq, 1);
    assert_int_equal(report.last_seq, 640);
    assert_int_equal(report.n_checkpoints, 7);
    assert_int_equal(report.signed_seq, 625);
    assert_int_equal(report.n_unsigned, 15);
    assert_int_equal(tw_audit_log_seq(books->log), 640);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 625);
}

static void a_group_that_was_rolled_back_leaves_nothing(void **state)
{
    struct books *books = *state;
    append_requests(books->db, books->log, 30);
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    append_one(books, AUDIT_START + TW_SECOND_NS);
    append_one(books, AUDIT_START + TW_SECOND_NS);
    assert_int_equal(tw_audit_log_sign(books->log, AUDIT_START + TW_SECOND_NS, NULL), TW_OK);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 32);
    tw_db_rollback(books->db);
    assert_int_equal(tw_audit_log_reload(books->log, NULL), TW_OK);
    assert_int_equal(tw_audit_log_seq(books->log), 30);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 25);
    append_requests(books->db, books->log, 30);
    assert_int_equal(verify(books).fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(verify(books).last_seq, 60);
}

/* A store may say at the commit only that a record was refused. */
static void after_a_failure_the_log_is_read_again(void **state)
{
    struct books *books = *state;
    struct tw_error error;
    struct tw_audit_log *other = open_log(books->db, books->key);
    append_requests(books->db, books->log, 3);
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    enum tw_status status = tw_audit_log_append(other, AUDIT_START, "hub.started", "{}", 2, &error);
    assert_true(status != TW_OK || tw_db_is_postgres(books->db));
    assert_int_not_equal(tw_db_commit(books->db, &error), TW_OK);
    if (status != TW_OK) {
        assert_int_equal(tw_audit_log_append(other, AUDIT_START, "hub.started", "{}", 2, &error),
                         TW_ERR_IO);
        assert_non_null(strstr(error.text, "must be read again"));
        assert_int_equal(tw_audit_log_sign(other, AUDIT_START, &error), TW_ERR_IO);
        assert_int_equal(tw_audit_log_seal(other, AUDIT_START, &error), TW_ERR_IO);
    }
    assert_int_equal(tw_audit_log_reload(other, &error), TW_OK);
    append_requests(books->db, other, 3);
    assert_int_equal(tw_audit_log_seq(other), 6);
    assert_int_equal(verify(books).fault, TW_AUDIT_FAULT_NONE);
    tw_audit_log_close(other);
}

static void a_time_that_goes_back_becomes_that_of_the_record_before(void **state)
{
    struct books *books = *state;
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    append_one(books, AUDIT_START + 5);
    append_one(books, AUDIT_START + 3);
    assert_int_equal(tw_audit_log_sign(books->log, AUDIT_START, NULL), TW_OK);
    assert_int_equal(tw_db_commit(books->db, NULL), TW_OK);
    assert_int_equal(verify(books).fault, TW_AUDIT_FAULT_NONE);
    struct tw_audit_checkpoint last;
    assert_int_equal(tw_audit_log_last_checkpoint(books->db, AUDIT_LOG, &last, NULL), TW_OK);
    assert_int_equal(last.at_ns, AUDIT_START + 5);
}

static void a_checkpoint_comes_once_a_second_and_at_the_end(void **state)
{
    struct books *books = *state;
    assert_false(tw_audit_log_is_due(books->log, AUDIT_START));
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    append_one(books, AUDIT_START);
    assert_true(tw_audit_log_is_due(books->log, AUDIT_START));
    assert_int_equal(tw_audit_log_seal(books->log, AUDIT_START, NULL), TW_OK);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 1);
    append_one(books, AUDIT_START + 1);
    assert_false(tw_audit_log_is_due(books->log, AUDIT_START + TW_SECOND_NS - 1));
    assert_int_equal(tw_audit_log_seal(books->log, AUDIT_START + TW_SECOND_NS - 1, NULL), TW_OK);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 1);
    assert_int_equal(tw_audit_log_seal(books->log, AUDIT_START + TW_SECOND_NS, NULL), TW_OK);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 2);
    assert_int_equal(tw_audit_log_sign(books->log, AUDIT_START + TW_SECOND_NS, NULL), TW_OK);
    append_one(books, AUDIT_START + TW_SECOND_NS);
    assert_int_equal(tw_audit_log_sign(books->log, AUDIT_START + TW_SECOND_NS, NULL), TW_OK);
    assert_int_equal(tw_db_commit(books->db, NULL), TW_OK);
    struct tw_audit_report report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.n_checkpoints, 3);
    assert_int_equal(report.n_unsigned, 0);
}

static void a_log_of_many_checkpoints_verifies(void **state)
{
    struct books *books = *state;
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    for (int64_t i = 0; i < 700; i++) {
        append_one(books, AUDIT_START + i);
        assert_int_equal(tw_audit_log_sign(books->log, AUDIT_START + i, NULL), TW_OK);
    }
    assert_int_equal(tw_db_commit(books->db, NULL), TW_OK);
    struct tw_audit_report report = verify(books);
    assert_string_equal(report.text, "");
    assert_int_equal(report.n_records, 700);
    assert_int_equal(report.n_checkpoints, 700);
    run_sql(books->db, "DELETE FROM checkpoint WHERE number = 255");
    report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_CHECKPOINT);
    assert_int_equal(report.seq, 256);
}

/* Numbers that somebody wrote into it must not keep a reader busy for as long as they are apart. */
static void numbers_far_apart_are_read_at_once(void **state)
{
    struct books *books = *state;
    append_requests(books->db, books->log, 30);
    run_sql(books->db, "UPDATE audit SET seq = 9223372036854775807 WHERE seq = 30");
    run_sql(books->db, "UPDATE audit SET seq = 4611686018427387904 WHERE seq = 29");
    struct tw_audit_report report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_MISSING);
    assert_int_equal(report.seq, 29);
    struct tw_buf text;
    tw_buf_init(&text, (size_t)1 << 20);
    assert_int_equal(
        tw_audit_export(books->db, AUDIT_LOG, 1, INT64_MAX, collect_lines, &text, NULL), TW_OK);
    assert_true(tw_buf_append(&text, "", 1));
    assert_non_null(strstr(text.data, "\"end\":9223372036854775807,\"records\":30}"));
    run_sql(books->db, "UPDATE audit SET seq = -9223372036854775807 WHERE seq = 28");
    report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_ORDER);
    assert_int_equal(report.seq, -9223372036854775807);
    tw_buf_free(&text);
}

static void a_log_goes_on_where_it_ended(void **state)
{
    struct books *books = *state;
    append_requests(books->db, books->log, 210);
    tw_audit_log_close(books->log);
    books->log = open_log(books->db, books->key);
    assert_int_equal(tw_audit_log_seq(books->log), 210);
    assert_int_equal(tw_audit_log_signed_seq(books->log), 125);
    append_requests(books->db, books->log, 210);
    struct tw_audit_report report = verify(books);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.last_seq, 420);
}

static void assert_not_opened(struct books *books, const struct tw_audit_key *key,
                              enum tw_status want, const char *message)
{
    struct tw_audit_log *log;
    struct tw_error error;
    assert_int_equal(tw_audit_log_open(books->db, AUDIT_LOG, key, &log, &error), want);
    if (strstr(error.text, message) == NULL) {
        fail_msg("'%s' has no '%s'", error.text, message);
    }
}

static void a_log_that_is_not_what_was_signed_is_not_gone_on_with(void **state)
{
    struct books *books = *state;
    struct tw_audit_key *other = open_key(books->folder, "other", NULL);
    append_requests(books->db, books->log, 30);
    assert_not_opened(books, other, TW_ERR_USAGE, "another key");
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    run_sql(books->db, "UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 3) "
                       "WHERE seq = 25");
    assert_not_opened(books, books->key, TW_ERR_FORMAT, "was changed");
    tw_db_rollback(books->db);
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    run_sql(books->db, "DELETE FROM audit WHERE seq = 25");
    assert_not_opened(books, books->key, TW_ERR_FORMAT, "was changed");
    run_sql(books->db, "DELETE FROM audit WHERE seq > 20");
    assert_not_opened(books, books->key, TW_ERR_FORMAT, "was changed");
    tw_db_rollback(books->db);
    tw_audit_log_close(open_log(books->db, books->key));
    tw_audit_key_free(other);
}

static void logs_of_one_store_are_apart(void **state)
{
    struct books *books = *state;
    struct tw_audit_log *other;
    struct tw_audit_report report;
    struct tw_audit_verify_options options = {.key = &books->public_key};
    assert_int_equal(tw_audit_log_open(books->db, "other", books->key, &other, NULL), TW_OK);
    append_requests(books->db, books->log, 150);
    append_requests(books->db, other, 140);
    append_requests(books->db, books->log, 50);
    assert_int_equal(verify(books).last_seq, 200);
    assert_int_equal(verify(books).fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(tw_audit_verify_store(books->db, "other", &options, &report, NULL), TW_OK);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.last_seq, 140);
    run_sql(books->db, "UPDATE audit SET log = 'third' WHERE log = 'other'");
    run_sql(books->db, "UPDATE checkpoint SET log = 'third' WHERE log = 'other'");
    assert_int_equal(tw_audit_verify_store(books->db, "third", &options, &report, NULL), TW_OK);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_HASH);
    assert_int_equal(report.seq, 1);
    tw_audit_log_close(other);
}

static void the_last_checkpoint_can_be_kept(void **state)
{
    struct books *books = *state;
    struct tw_audit_checkpoint kept;
    struct tw_audit_checkpoint loaded;
    struct tw_error error;
    struct tw_buf text;
    char path[300];
    assert_int_equal(tw_audit_log_last_checkpoint(books->db, AUDIT_LOG, &kept, &error),
                     TW_ERR_NOT_FOUND);
    append_requests(books->db, books->log, 300);
    assert_int_equal(tw_audit_log_last_checkpoint(books->db, AUDIT_LOG, &kept, &error), TW_OK);
    assert_int_equal(kept.seq, tw_audit_log_signed_seq(books->log));
    assert_true(tw_audit_checkpoint_verify(&kept, &books->public_key));
    tw_buf_init(&text, 4096);
    assert_true(tw_audit_checkpoint_write(&kept, &text) && tw_buf_append(&text, "", 1));
    snprintf(path, sizeof path, "%s/kept", books->folder);
    write_text(path, text.data, 0644);
    tw_buf_free(&text);
    assert_int_equal(tw_audit_checkpoint_load(path, &loaded, &error), TW_OK);
    assert_memory_equal(&loaded, &kept, sizeof kept);
}

static void a_time_leads_to_its_record(void **state)
{
    struct books *books = *state;
    int64_t seq = 0;
    assert_int_equal(tw_audit_log_seq_at(books->db, AUDIT_LOG, AUDIT_START, &seq, NULL), TW_OK);
    assert_int_equal(seq, 1);
    append_requests(books->db, books->log, 77);
    for (int64_t i = 1; i <= 77; i++) {
        int64_t at_ns = AUDIT_START + i * 10000000;
        assert_int_equal(tw_audit_log_seq_at(books->db, AUDIT_LOG, at_ns, &seq, NULL), TW_OK);
        assert_int_equal(seq, i);
        assert_int_equal(tw_audit_log_seq_at(books->db, AUDIT_LOG, at_ns + 1, &seq, NULL), TW_OK);
        assert_int_equal(seq, i + 1);
    }
    assert_int_equal(tw_audit_log_seq_at(books->db, AUDIT_LOG, 0, &seq, NULL), TW_OK);
    assert_int_equal(seq, 1);
}

static void a_body_that_is_too_long_is_refused(void **state)
{
    struct books *books = *state;
    static char body[TW_LIMIT_AUDIT_BODY_BYTES + 1];
    struct tw_error error;
    memset(body, ' ', sizeof body);
    assert_int_equal(
        tw_audit_log_append(books->log, AUDIT_START, "hub.started", body, sizeof body, &error),
        TW_ERR_LIMIT);
    assert_int_equal(tw_db_begin(books->db, NULL), TW_OK);
    assert_int_equal(
        tw_audit_log_append(books->log, AUDIT_START, "hub.started", body, sizeof body - 1, &error),
        TW_OK);
    assert_int_equal(tw_db_commit(books->db, NULL), TW_OK);
    assert_int_equal(verify(books).fault, TW_AUDIT_FAULT_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_books, close_books)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_appended_verifies),
        TEST(a_group_that_was_rolled_back_leaves_nothing),
        TEST(after_a_failure_the_log_is_read_again),
        TEST(a_time_that_goes_back_becomes_that_of_the_record_before),
        TEST(a_checkpoint_comes_once_a_second_and_at_the_end),
        TEST(a_log_of_many_checkpoints_verifies),
        TEST(numbers_far_apart_are_read_at_once),
        TEST(a_log_goes_on_where_it_ended),
        TEST(a_log_that_is_not_what_was_signed_is_not_gone_on_with),
        TEST(logs_of_one_store_are_apart),
        TEST(the_last_checkpoint_can_be_kept),
        TEST(a_time_leads_to_its_record),
        TEST(a_body_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
