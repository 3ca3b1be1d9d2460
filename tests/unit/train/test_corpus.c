/* The rows of a data file, and the texts of a corpus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "train/corpus.h"
#include "train/rows.h"
#include "train/word_counts.h"
#include "train_fixture.h"

static enum tw_status note_row(void *context, const struct tw_row *row, struct tw_error *error)
{
    struct tw_buf *out = context;
    (void)error;
    tw_buf_append_format(out, "%d", (int)row->line);
    if (row->messages == NULL) {
        tw_buf_append_format(out, " text '%.*s'", (int)row->text.size_bytes, row->text.data);
    }
    for (size_t i = 0; i < row->n_messages; i++) {
        tw_buf_append_format(out, " %s '%.*s'", row->messages[i].role,
                             (int)row->messages[i].content.size_bytes,
                             row->messages[i].content.data);
    }
    tw_buf_append_text(out, "\n");
    return TW_OK;
}

static void rows_come_in_order_with_what_they_hold(void **state)
{
    (void)state;
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    const char *lines =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
        "\"content\": \"u\\n\", \"more\": 1}], \"task\": \"x\"}\n\n  \r\n"
        "{\"text\": \"plain\"}";
    assert_int_equal(tw_rows_read(tw_bytes_of(lines), "f", note_row, &out, NULL), TW_OK);
    assert_true(tw_buf_append(&out, "", 1));
    assert_string_equal(out.data, "1 system 's' user 'u\n'\n4 text 'plain'\n");
    tw_buf_free(&out);
}

static void assert_bad(const char *lines, enum tw_status status, const char *part)
{
    struct tw_buf out;
    struct tw_error error;
    tw_buf_init(&out, 4096);
    assert_int_equal(tw_rows_read(tw_bytes_of(lines), "f.jsonl", note_row, &out, &error), status);
    assert_memory_equal(error.text, "f.jsonl:2: ", 11);
    assert_non_null(strstr(error.text, part));
    tw_buf_free(&out);
}

static void what_is_wrong_with_a_row_is_said_with_file_and_line(void **state)
{
    (void)state;
    assert_bad("\n{\"text\": ", TW_ERR_FORMAT, "JSON");
    assert_bad("{\"text\": \"a\"}\n[]", TW_ERR_FORMAT, "an object with \"messages\"");
    assert_bad("\n{\"text\": 5}", TW_ERR_FORMAT, "\"text\"");
    assert_bad("\n{\"messages\": {}}", TW_ERR_FORMAT, "a list");
    assert_bad("\n{\"messages\": []}", TW_ERR_FORMAT, "0 messages");
    assert_bad("\n{\"messages\": [{\"role\": \"tool\", \"content\": \"\"}]}", TW_ERR_FORMAT,
               "'tool'; expected system, user or assistant");
    assert_bad("\n{\"messages\": [{\"role\": \"user\\u0000s\", \"content\": \"\"}]}", TW_ERR_FORMAT,
               "expected system, user or assistant");
    assert_bad("\n{\"messages\": [{\"role\": \"user\"}]}", TW_ERR_FORMAT, "message 1 lacks");
    assert_bad("\n{\"messages\": [7]}", TW_ERR_FORMAT, "message 1 lacks");
}

static void a_conversation_of_too_many_messages_is_refused(void **state)
{
    (void)state;
    static const char message[] = "{\"role\": \"user\", \"content\": \"\"},";
    struct tw_buf lines;
    tw_buf_init(&lines, 1 << 20);
    tw_buf_append_text(&lines, "\n{\"messages\": [");
    for (int i = 0; i < TW_LIMIT_DATA_MESSAGES; i++) {
        tw_buf_append_text(&lines, message);
    }
    tw_buf_append_text(&lines, "{\"role\": \"user\", \"content\": \"\"}]}");
    assert_true(tw_buf_append(&lines, "", 1));
    assert_bad(lines.data, TW_ERR_LIMIT, "4097 messages");
    tw_buf_free(&lines);
}

static void a_line_beyond_the_bound_is_refused_before_it_is_read(void **state)
{
    (void)state;
    size_t n = (size_t)TW_LIMIT_DATA_LINE_BYTES + 2;
    char *lines = malloc(n + 1);
    assert_non_null(lines);
    memset(lines, 'x', n);
    lines[0] = '\n';
    lines[n] = '\0';
    assert_bad(lines, TW_ERR_LIMIT, "at most 67108864");
    free(lines);
}

static enum tw_status note_text(void *context, struct tw_bytes text, uint64_t done_bytes,
                                struct tw_error *error)
{
    struct tw_buf *out = context;
    (void)error;
    tw_buf_append(out, text.data, text.size_bytes);
    tw_buf_append_format(out, "|%d|", (int)done_bytes);
    return TW_OK;
}

static void the_texts_of_rows_are_what_a_chat_encodes(void **state)
{
    (void)state;
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    const char *path = trained_file(
        "a.jsonl", "{\"text\": \"t\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, "
                   "{\"role\": \"assistant\", \"content\": \"yes\"}]}\n");
    assert_int_equal(tw_corpus_read(path, note_text, &out, NULL), TW_OK);
    unlink(path);
    assert_true(tw_buf_append(&out, "", 1));
    assert_string_equal(out.data, "t|14|user\nhi|105|assistant\nyes|105|");
    tw_buf_free(&out);
}

static enum tw_status count_text(void *context, struct tw_bytes text, uint64_t done_bytes,
                                 struct tw_error *error)
{
    (void)done_bytes;
    return tw_word_counts_add(context, text, error);
}

static void assert_same_counts(const struct tw_word_counts *a, const struct tw_word_counts *b)
{
    assert_int_equal(tw_word_counts_n_words(a), tw_word_counts_n_words(b));
    for (size_t i = 0; i < tw_word_counts_n_words(a); i++) {
        assert_true(tw_bytes_equal(tw_word_counts_word(a, i), tw_word_counts_word(b, i)));
        assert_int_equal(tw_word_counts_count(a, i), tw_word_counts_count(b, i));
    }
}

/* A little more than a piece, with the place where it may be cut moved through all lines. */
static void make_text(struct tw_buf *text, unsigned shift)
{
    static const char *const lines[] = {"a word\n", "another  \n  and\n", "\n\n b\n", "C,\r\nD;\n",
                                        "'s\nx\t\n"};
    tw_buf_clear(text);
    for (unsigned i = 0; i < shift; i++) {
        tw_buf_append_text(text, "x");
    }
    for (unsigned i = 0; text->size_bytes < TW_LIMIT_CORPUS_PIECE_BYTES + 200; i++) {
        tw_buf_append_text(text, lines[(i + i / 5) % 5]);
    }
    assert_true(tw_buf_append(text, "", 1));
}

static void a_plain_text_in_pieces_has_the_words_it_has_in_one(void **state)
{
    (void)state;
    struct tw_buf text;
    tw_buf_init(&text, 4 << 20);
    for (unsigned shift = 0; shift < 50; shift++) {
        struct tw_word_counts *pieces = NULL, *whole = NULL;
        make_text(&text, shift);
        const char *path = trained_file("a.txt", text.data);
        assert_int_equal(tw_word_counts_create(NULL, 0, &pieces, NULL), TW_OK);
        assert_int_equal(tw_word_counts_create(NULL, 0, &whole, NULL), TW_OK);
        assert_int_equal(tw_corpus_read(path, count_text, pieces, NULL), TW_OK);
        assert_int_equal(tw_word_counts_add(whole, tw_bytes_of(text.data), NULL), TW_OK);
        unlink(path);
        assert_true(tw_word_counts_n_words(whole) > 10);
        assert_same_counts(pieces, whole);
        tw_word_counts_free(pieces);
        tw_word_counts_free(whole);
    }
    tw_buf_free(&text);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct tw_error error;
    assert_int_equal(tw_corpus_read("/nowhere/a.jsonl", note_text, NULL, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "/nowhere/a.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_order_with_what_they_hold),
        cmocka_unit_test(what_is_wrong_with_a_row_is_said_with_file_and_line),
        cmocka_unit_test(a_conversation_of_too_many_messages_is_refused),
        cmocka_unit_test(a_line_beyond_the_bound_is_refused_before_it_is_read),
        cmocka_unit_test(the_texts_of_rows_are_what_a_chat_encodes),
        cmocka_unit_test(a_plain_text_in_pieces_has_the_words_it_has_in_one),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
