/* What would break if an export could be changed in a byte, or differ from the store it is of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_fixture.h"
#include "base/rng.h"
#include "hub/audit_export.h"

enum { N_RECORDS = 640, TEXT_BYTES = 4 << 20 };

/* A log of N_RECORDS, exported whole, and its last checkpoint. */
static struct log_of_tests {
    char folder[256];
    struct tw_db *db;
    struct tw_audit_public_key key;
    struct tw_audit_checkpoint kept;
    struct tw_buf text;
} made;

static void export_range(int64_t first_seq, int64_t last_seq, struct tw_buf *ret_text)
{
    struct tw_error error = {0};
    tw_buf_init(ret_text, TEXT_BYTES);
    if (tw_audit_export(made.db, AUDIT_LOG, first_seq, last_seq, collect_lines, ret_text, &error) !=
        TW_OK) {
        fail_msg("%s", error.text);
    }
}

static int make_log(void **state)
{
    (void)state;
    make_folder(made.folder);
    made.db = open_store(made.folder);
    struct tw_audit_key *key = open_key(made.folder, "key", AUDIT_KEY_PEM);
    struct tw_audit_log *log = open_log(made.db, key);
    made.key = tw_audit_key_public(key);
    append_requests(made.db, log, N_RECORDS);
    export_range(1, INT64_MAX, &made.text);
    tw_audit_log_close(log);
    tw_audit_key_free(key);
    return tw_audit_log_last_checkpoint(made.db, AUDIT_LOG, &made.kept, NULL) == TW_OK ? 0 : -1;
}

static int remove_log(void **state)
{
    (void)state;
    tw_buf_free(&made.text);
    tw_db_close(made.db);
    remove_folder(made.folder);
    return 0;
}

static struct tw_audit_report verify_text(const char *text, size_t n_bytes,
                                          const struct tw_audit_checkpoint *kept)
{
    struct tw_audit_verify_options options = {.key = &made.key, .kept = kept};
    struct tw_audit_report report = {0};
    struct tw_error error = {0};
    if (tw_audit_verify_text(text, n_bytes, &options, &report, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return report;
}

static void assert_line(const struct tw_audit_line *line, const char *want)
{
    struct tw_audit_line parsed;
    struct tw_buf buf;
    tw_buf_init(&buf, TW_LIMIT_AUDIT_LINE_BYTES);
    assert_true(tw_audit_line_write(line, &buf));
    assert_int_equal(buf.size_bytes, strlen(want) + 1);
    assert_memory_equal(buf.data, want, strlen(want));
    assert_int_equal(tw_audit_line_parse(buf.data, buf.size_bytes - 1, &parsed, NULL), TW_OK);
    assert_int_equal(parsed.kind, line->kind);
    assert_int_equal(parsed.first_seq, line->first_seq);
    assert_string_equal(parsed.log, line->log);
    assert_int_equal(parsed.record.seq, line->record.seq);
    assert_int_equal(parsed.record.at_ns, line->record.at_ns);
    assert_int_equal(parsed.record.body_bytes, line->record.body_bytes);
    assert_memory_equal(parsed.record.body, line->record.body, line->record.body_bytes);
    assert_memory_equal(&parsed.record.hash, &line->record.hash, sizeof parsed.record.hash);
    assert_memory_equal(&parsed.checkpoint, &line->checkpoint, sizeof parsed.checkpoint);
    assert_int_equal(parsed.last_seq, line->last_seq);
    tw_audit_line_free(&parsed);
    tw_buf_free(&buf);
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void every_line_reads_back_as_it_was(void **state)
{
    (void)state;
    static const char body[] = "{\"a\":\"\\u0007\xc3\xa9\"}\0behind";
    struct tw_audit_line head = {.kind = TW_AUDIT_LINE_HEAD, .log = "a-1", .first_seq = 7};
    struct tw_audit_line record = {.kind = TW_AUDIT_LINE_RECORD,
                                   .record = {.seq = 7,
                                              .at_ns = -1,
                                              .kind = "x.y",
                                              .kind_bytes = 3,
                                              .body = body,
                                              .body_bytes = sizeof body - 1}};
    struct tw_audit_line checkpoint = {.kind = TW_AUDIT_LINE_CHECKPOINT,
                                       .checkpoint = {.number = 2, .seq = 7, .at_ns = 9}};
    struct tw_audit_line end = {
        .kind = TW_AUDIT_LINE_END, .n_records = 1, .n_checkpoints = 1, .last_seq = 7};
    record.record.hash.bytes[0] = 0xfe;
    assert_line(&head, "{\"export\":\"tokenworks-audit-1\",\"first\":7,\"log\":\"a-1\","
                       "\"previous\":\"" ZEROS "\"}");
    assert_line(&record, "{\"at_ns\":-1,\"body\":\"{\\\"a\\\":\\\"\\\\u0007\xc3\xa9\\\"}"
                         "\\u0000behind\",\"hash\":\"fe000000000000000000000000000000000000000000"
                         "00000000000000000000\",\"kind\":\"x.y\",\"seq\":7}");
    assert_line(&checkpoint, "{\"at_ns\":9,\"checkpoint\":2,\"hash\":\"" ZEROS "\",\"seq\":7,"
                             "\"signature\":\"" ZEROS ZEROS "\"}");
    assert_line(&end, "{\"checkpoints\":1,\"end\":7,\"records\":1}");
}

static void assert_no_line(const char *text)
{
    struct tw_audit_line line;
    assert_int_equal(tw_audit_line_parse(text, strlen(text), &line, NULL), TW_ERR_FORMAT);
}

static void a_line_that_nobody_would_write_is_refused(void **state)
{
    (void)state;
    assert_no_line("");
    assert_no_line("{}");
    assert_no_line("[]");
    assert_no_line("{\"checkpoints\":1,\"end\":7,\"records\":1} ");
    assert_no_line("{\"checkpoints\":1, \"end\":7,\"records\":1}");
    assert_no_line("{\"checkpoints\":1,\"records\":1,\"end\":7}");
    assert_no_line("{\"checkpoints\":1,\"end\":7,\"end\":7,\"records\":1}");
    assert_no_line("{\"checkpoints\":1,\"end\":7,\"records\":1,\"x\":1}");
    assert_no_line("{\"checkpoints\":1,\"end\":7,\"records\":1.0}");
    assert_no_line("{\"checkpoints\":1,\"end\":7,\"records\":18446744073709551617}");
    assert_no_line("{\"export\":\"tokenworks-audit-1\",\"first\":7,\"log\":\"\",\"previous\":"
                   "\"" ZEROS "\"}");
    assert_no_line("{\"export\":\"tokenworks-audit-2\",\"first\":7,\"log\":\"a\",\"previous\":"
                   "\"" ZEROS "\"}");
    assert_no_line("{\"at_ns\":1,\"body\":\"\\u0061\",\"hash\":\"" ZEROS "\",\"kind\":\"x\","
                   "\"seq\":7}");
    assert_no_line("{\"at_ns\":1,\"body\":[1],\"hash\":\"" ZEROS "\",\"kind\":\"x\",\"seq\":7}");
    assert_no_line("{\"at_ns\":1,\"body\":\"\",\"hash\":\"" ZEROS "00\",\"kind\":\"x\",\"seq\":7}");
}

static void an_export_verifies_and_is_always_the_same(void **state)
{
    (void)state;
    struct tw_buf again;
    struct tw_audit_report report = verify_text(made.text.data, made.text.size_bytes, &made.kept);
    assert_string_equal(report.text, "");
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.n_records, N_RECORDS);
    assert_int_equal(report.n_checkpoints, 7);
    assert_int_equal(report.n_unsigned, 15);
    export_range(1, INT64_MAX, &again);
    assert_int_equal(again.size_bytes, made.text.size_bytes);
    assert_memory_equal(again.data, made.text.data, again.size_bytes);
    tw_buf_free(&again);
}

static void a_log_without_records_is_an_export_too(void **state)
{
    (void)state;
    struct tw_buf text;
    struct tw_error error;
    tw_buf_init(&text, TEXT_BYTES);
    assert_int_equal(tw_audit_export(made.db, "empty", 1, INT64_MAX, collect_lines, &text, &error),
                     TW_OK);
    struct tw_audit_report report = verify_text(text.data, text.size_bytes, NULL);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.n_records, 0);
    tw_buf_free(&text);
}

static void a_range_goes_on_to_the_next_checkpoint(void **state)
{
    (void)state;
    struct tw_buf text;
    export_range(30, 120, &text);
    struct tw_audit_report report = verify_text(text.data, text.size_bytes, NULL);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.first_seq, 30);
    assert_int_equal(report.last_seq, 125);
    assert_int_equal(report.n_records, 96);
    assert_int_equal(report.n_unsigned, 0);
    tw_buf_free(&text);
    export_range(630, 635, &text);
    report = verify_text(text.data, text.size_bytes, NULL);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.last_seq, 635);
    assert_int_equal(report.n_unsigned, 6);
    tw_buf_free(&text);
}

static void ranges_join_where_a_checkpoint_was_kept(void **state)
{
    (void)state;
    struct tw_buf text;
    struct tw_error error;
    struct tw_audit_report report;
    struct tw_audit_verify_options options = {.key = &made.key, .kept = &made.kept};
    export_range(626, INT64_MAX, &text);
    assert_int_equal(made.kept.seq, 625);
    report = verify_text(text.data, text.size_bytes, &made.kept);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    const size_t n_bytes = text.size_bytes;
    tw_buf_append(&text, "", 1); /* ends it as a string */
    assert_false(text.failed);
    char *previous = strstr(text.data, "\"previous\":\"") + strlen("\"previous\":\"");
    *previous = *previous == '0' ? '1' : '0';
    report = verify_text(text.data, n_bytes, &made.kept);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_REWRITTEN);
    assert_int_equal(report.seq, 625);
    tw_buf_free(&text);
    export_range(627, INT64_MAX, &text);
    assert_int_equal(tw_audit_verify_text(text.data, text.size_bytes, &options, &report, &error),
                     TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "begin with 627"));
    tw_buf_free(&text);
}

static void a_range_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct tw_buf text;
    struct tw_error error;
    tw_buf_init(&text, TEXT_BYTES);
    assert_int_equal(
        tw_audit_export(made.db, AUDIT_LOG, N_RECORDS + 2, INT64_MAX, collect_lines, &text, &error),
        TW_ERR_NOT_FOUND);
    assert_int_equal(tw_audit_export(made.db, AUDIT_LOG, 0, 5, collect_lines, &text, &error),
                     TW_ERR_USAGE);
    assert_int_equal(tw_audit_export(made.db, AUDIT_LOG, 9, 5, collect_lines, &text, &error),
                     TW_ERR_USAGE);
    assert_int_equal(
        tw_audit_export(made.db, AUDIT_LOG, N_RECORDS + 1, INT64_MAX, collect_lines, &text, &error),
        TW_OK);
    assert_int_equal(verify_text(text.data, text.size_bytes, NULL).n_records, 0);
    tw_buf_free(&text);
}

/* The line of a byte, from 1. */
static uint64_t line_of(const char *text, size_t at)
{
    uint64_t line = 1;
    for (size_t i = 0; i < at; i++) {
        line += text[i] == '\n';
    }
    return line;
}

static void no_byte_of_an_export_can_be_changed(void **state)
{
    (void)state;
    struct tw_buf text;
    export_range(1, 60, &text);
    for (uint64_t i = 0; i < 1500; i++) {
        uint32_t words[4];
        tw_rng_block(17, i, words);
        size_t at = i < 300 ? i : words[0] % text.size_bytes;
        char old = text.data[at];
        text.data[at] = (char)(old ^ 1 << words[1] % 8);
        struct tw_audit_report report = verify_text(text.data, text.size_bytes, NULL);
        text.data[at] = old;
        uint64_t line = line_of(text.data, at);
        assert_int_not_equal(report.fault, TW_AUDIT_FAULT_NONE);
        /* A first line that promises another beginning is found out by the second. */
        assert_true(report.line == line || (line == 1 && report.line == 2));
        assert_true(report.text[0] != '\0');
    }
    tw_buf_free(&text);
}

static void no_bit_of_the_last_line_can_be_changed(void **state)
{
    (void)state;
    struct tw_buf text;
    export_range(1, 30, &text);
    for (size_t i = 0; i < 45 * 8; i++) {
        char *byte = &text.data[text.size_bytes - 1 - i / 8];
        *byte = (char)(*byte ^ 1 << i % 8);
        assert_int_equal(verify_text(text.data, text.size_bytes, NULL).fault, TW_AUDIT_FAULT_LINE);
        *byte = (char)(*byte ^ 1 << i % 8);
    }
    tw_buf_free(&text);
}

static void an_export_that_ends_early_or_late_is_noticed(void **state)
{
    (void)state;
    struct tw_buf text;
    export_range(1, 60, &text);
    for (uint64_t i = 0; i < 400; i++) {
        uint32_t words[4];
        tw_rng_block(18, i, words);
        size_t n_bytes = i < 200 ? text.size_bytes - 1 - i : words[0] % text.size_bytes;
        struct tw_audit_report report = verify_text(text.data, n_bytes, NULL);
        assert_int_equal(report.fault, TW_AUDIT_FAULT_LINE);
        assert_int_equal(report.line, line_of(text.data, n_bytes));
    }
    assert_true(tw_buf_append_text(&text, "\n"));
    struct tw_audit_report report = verify_text(text.data, text.size_bytes, NULL);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_LINE);
    assert_non_null(strstr(report.text, "behind its end"));
    tw_buf_free(&text);
}

static void a_kept_checkpoint_of_another_log_or_key_is_refused(void **state)
{
    (void)state;
    struct tw_audit_checkpoint kept = made.kept;
    struct tw_audit_verify_options options = {.key = &made.key, .kept = &kept};
    struct tw_audit_report report;
    struct tw_error error;
    kept.log[0] = 'z';
    assert_int_equal(
        tw_audit_verify_text(made.text.data, made.text.size_bytes, &options, &report, &error),
        TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "is of the log z"));
    kept = made.kept;
    kept.at_ns++;
    assert_int_equal(tw_audit_verify_store(made.db, AUDIT_LOG, &options, &report, &error),
                     TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "not signed by this key"));
}

static void an_export_is_verified_from_its_file(void **state)
{
    (void)state;
    char path[300];
    struct tw_audit_verify_options options = {.key = &made.key, .kept = &made.kept};
    struct tw_audit_report report;
    struct tw_error error;
    char *text = tw_buf_append(&made.text, "", 1) ? made.text.data : NULL;
    assert_non_null(text);
    made.text.size_bytes--;
    snprintf(path, sizeof path, "%s/export", made.folder);
    write_text(path, text, 0644);
    assert_int_equal(tw_audit_verify_file(path, &options, &report, &error), TW_OK);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_NONE);
    assert_int_equal(report.n_records, N_RECORDS);
    write_text(path, "", 0644);
    assert_int_equal(tw_audit_verify_file(path, &options, &report, &error), TW_OK);
    assert_int_equal(report.fault, TW_AUDIT_FAULT_LINE);
    snprintf(path, sizeof path, "%s/nothing", made.folder);
    assert_int_equal(tw_audit_verify_file(path, &options, &report, &error), TW_ERR_NOT_FOUND);
}

static void every_fault_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (enum tw_audit_fault i = 0; i < TW_AUDIT_FAULT_COUNT; i++) {
        for (enum tw_audit_fault j = 0; j < i; j++) {
            assert_string_not_equal(tw_audit_fault_name(i), tw_audit_fault_name(j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_reads_back_as_it_was),
        cmocka_unit_test(a_line_that_nobody_would_write_is_refused),
        cmocka_unit_test(an_export_verifies_and_is_always_the_same),
        cmocka_unit_test(a_log_without_records_is_an_export_too),
        cmocka_unit_test(a_range_goes_on_to_the_next_checkpoint),
        cmocka_unit_test(ranges_join_where_a_checkpoint_was_kept),
        cmocka_unit_test(a_range_that_is_not_there_is_refused),
        cmocka_unit_test(no_byte_of_an_export_can_be_changed),
        cmocka_unit_test(no_bit_of_the_last_line_can_be_changed),
        cmocka_unit_test(an_export_that_ends_early_or_late_is_noticed),
        cmocka_unit_test(a_kept_checkpoint_of_another_log_or_key_is_refused),
        cmocka_unit_test(an_export_is_verified_from_its_file),
        cmocka_unit_test(every_fault_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, make_log, remove_log);
}
