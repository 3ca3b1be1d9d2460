/* Any bytes as an evaluation file: what is accepted is complete, can be scored with any answer, and
 * what its rows say as answers gives scores that add up. */
#include <assert.h>
#include <string.h>

#include "app/eval_score.h"
#include "fuzz_target.h"

static void check_scores(const struct tw_eval_row *row, const char *answer, size_t answer_bytes)
{
    struct tw_eval_scores scores;
    enum tw_status status = tw_eval_score(row, answer, answer_bytes, &scores, NULL);
    assert(status == TW_OK);
    (void)status;
    for (enum tw_eval_score_id id = TW_EVAL_VALID; id < TW_EVAL_SCORE_COUNT; id++) {
        struct tw_eval_share share = scores.shares[id];
        struct tw_eval_interval interval = tw_eval_share_interval(share);
        assert(share.right <= share.of);
        assert(share.of == 0 || tw_eval_kinds_have(1u << row->kind, id));
        assert(interval.low >= 0.0 && interval.low <= interval.high && interval.high <= 1.0);
    }
    assert(scores.shares[TW_EVAL_PASSED].of == 1);
    assert(scores.shares[TW_EVAL_CALL].right <= scores.shares[TW_EVAL_NAME].right);
    assert(scores.shares[TW_EVAL_OBJECTS].right <= scores.shares[TW_EVAL_VALID].right);
}

/* The answer that a row of this kind asks for must be right. */
static void check_expected(const struct tw_eval_row *row)
{
    struct tw_buf buf;
    struct tw_json_writer writer;
    struct tw_eval_scores scores;
    tw_buf_init(&buf, (size_t)64 << 20);
    tw_json_begin(&writer, &buf);
    if (row->kind == TW_EVAL_JSON) {
        tw_json_value(&writer, json_object_get(row->expect, "value"));
    } else if (row->kind == TW_EVAL_TOOL_CALL) {
        tw_buf_append_text(&buf, "<tool_call>{\"name\":");
        tw_json_value(&writer, json_object_get(row->expect, "name"));
        tw_buf_append_text(&buf, ",\"arguments\":");
        tw_json_begin(&writer, &buf);
        tw_json_value(&writer, json_object_get(row->expect, "arguments"));
        tw_buf_append_text(&buf, "}</tool_call>");
    } else if (row->kind == TW_EVAL_EXACT) {
        const json_t *text = json_array_get(json_object_get(row->expect, "any"), 0);
        tw_buf_append(&buf, json_string_value(text), json_string_length(text));
    }
    assert(!buf.failed);
    enum tw_status status = tw_eval_score(row, buf.data, buf.size_bytes, &scores, NULL);
    assert(status == TW_OK);
    assert(row->kind == TW_EVAL_CONTAINS || scores.shares[TW_EVAL_PASSED].right == 1);
    (void)status;
    tw_buf_free(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_eval_rows rows = {0};
    struct tw_error error = {0};
    if (tw_eval_rows_parse((const char *)data, size, "fuzz.jsonl", &rows, &error) != TW_OK) {
        assert(strstr(error.text, "fuzz.jsonl") != NULL && error.status != TW_ERR_MEMORY);
        tw_eval_rows_free(&rows);
        return 0;
    }
    assert(rows.n_rows > 0 && rows.n_tasks > 0);
    for (size_t i = 0; i < rows.n_rows; i++) {
        const struct tw_eval_row *row = &rows.rows[i];
        const json_t *messages = row->messages;
        const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
        const json_t *content = json_object_get(last, "content");
        assert(row->task < rows.n_tasks && row->kind < TW_EVAL_KIND_COUNT);
        check_scores(row, json_string_value(content), json_string_length(content));
        check_scores(row, "", 0);
        check_expected(row);
    }
    tw_eval_rows_select(&rows, NULL, 0, 1, NULL);
    assert(rows.n_rows == rows.n_tasks);
    tw_eval_rows_free(&rows);
    return 0;
}
