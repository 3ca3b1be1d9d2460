/* Whole answers and refusals, as servers write them (records/). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "remote/answer_scan.h"

static struct tw_buf record(const char *name)
{
    char path[512];
    struct tw_buf text;
    snprintf(path, sizeof path, "%s/%s", TW_REMOTE_RECORDS, name);
    assert_int_equal(tw_file_read(path, 1 << 20, &text, NULL), TW_OK);
    return text;
}

static const struct tw_answer_terms terms = {.model = "house \"a\"", .id = "chatcmpl-ours"};

/* What is written is the record with other names. */
static void expect_renamed(const struct tw_buf *in, const struct tw_buf *out)
{
    json_t *was, *is;
    assert_int_equal(tw_json_parse(in->data, in->size_bytes, "in", &was, NULL), TW_OK);
    assert_int_equal(tw_json_parse(out->data, out->size_bytes, "out", &is, NULL), TW_OK);
    assert_string_equal(json_string_value(json_object_get(is, "model")), terms.model);
    assert_string_equal(json_string_value(json_object_get(is, "id")), terms.id);
    json_object_set_new(was, "model", json_string(terms.model));
    json_object_set_new(was, "id", json_string(terms.id));
    assert_true(json_equal(was, is));
    json_decref(was);
    json_decref(is);
}

static struct tw_answer_seen scan(const char *name)
{
    struct tw_buf in = record(name), out;
    struct tw_answer_seen seen = {0};
    tw_buf_init(&out, 1 << 20);
    assert_true(tw_answer_scan_whole(in.data, in.size_bytes, &terms, &seen, &out));
    expect_renamed(&in, &out);
    assert_true(seen.usage.is_known && !seen.error.is_there);
    tw_buf_free(&in);
    tw_buf_free(&out);
    return seen;
}

static void a_whole_answer_is_counted_and_renamed(void **state)
{
    (void)state;
    struct tw_answer_seen seen = scan("vllm_whole.json");
    assert_int_equal(seen.usage.n_prompt_tokens, 12);
    assert_int_equal(seen.usage.n_completion_tokens, 2);
    assert_int_equal(seen.n_text_bytes, 2);
    assert_int_equal(seen.finish[0], TW_ANSWER_STOP);
    assert_false(seen.has_calls);
    seen = scan("sglang_whole.json");
    assert_int_equal(seen.usage.n_completion_tokens, 17);
    assert_int_equal(seen.usage.n_reasoning_tokens, 4);
    assert_int_equal(seen.n_text_bytes, strlen("so") + strlen("f") + strlen("{\"a\": 1}"));
    assert_int_equal(seen.finish[0], TW_ANSWER_TOOL_CALLS);
    assert_true(seen.has_calls);
    seen = scan("embeddings.json");
    assert_int_equal(seen.usage.n_prompt_tokens, 6);
    assert_int_equal(seen.usage.n_completion_tokens, 0);
}

static void numbers_of_an_answer_go_through_byte_by_byte(void **state)
{
    (void)state;
    struct tw_answer_seen seen = {0};
    struct tw_buf out;
    const char *in = "{\"model\":\"a\",\"x\":1.50e-07,\"y\":123456789012345678901}";
    tw_buf_init(&out, 1 << 10);
    assert_true(
        tw_answer_scan_whole(in, strlen(in), &(struct tw_answer_terms){.model = "b"}, &seen, &out));
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, "{\"model\":\"b\",\"x\":1.50e-07,\"y\":123456789012345678901}");
    tw_buf_free(&out);
}

static void what_was_cached_is_hidden_and_counted_all_the_same(void **state)
{
    (void)state;
    const char *in = "{\"model\":\"m\",\"choices\":[],\"timings\":{\"cache_n\":8},\"usage\":{"
                     "\"prompt_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":8},"
                     "\"prompt_cache_hit_tokens\":8,\"completion_tokens\":1}}";
    const struct tw_answer_terms hiding = {.usage = TW_USAGE_ALL, .hides_cached = true};
    struct tw_answer_seen seen = {0};
    struct tw_buf out;
    tw_buf_init(&out, 1 << 10);
    assert_true(tw_answer_scan_whole(in, strlen(in), &hiding, &seen, &out));
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, "{\"model\":\"m\",\"choices\":[],\"usage\":{"
                                  "\"prompt_tokens\":9,\"completion_tokens\":1}}");
    assert_int_equal(seen.usage.n_cached_tokens, 8);
    tw_buf_free(&out);
}

static void an_error_is_understood_in_every_form(void **state)
{
    (void)state;
    const struct {
        const char *record;
        uint32_t code;
        const char *text, *type;
    } rows[] = {
        {"vllm_404.json", 404, "The model `x` does not exist.", "NotFoundError"},
        {"sglang_400.json", 400,
         "Requested token count exceeds the model's maximum context length.", "BadRequestError"},
        {"llamacpp_503.json", 503, "Loading model", "unavailable_error"},
        {"fastapi_422.json", 0, "Unsupported Media Type", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_buf in = record(rows[i].record);
        struct tw_answer_error error;
        tw_answer_scan_error(in.data, in.size_bytes, &error);
        assert_true(error.is_there);
        assert_int_equal(error.code, rows[i].code);
        assert_string_equal(error.text, rows[i].text);
        assert_string_equal(error.type, rows[i].type);
        tw_buf_free(&in);
    }
    struct tw_answer_error error;
    tw_answer_scan_error("upstream\x1b[2J gone", 17, &error);
    assert_string_equal(error.text, "upstream?[2J gone");
    tw_answer_scan_error("", 0, &error);
    assert_true(error.is_there);
}

static void an_error_or_a_page_with_a_good_status_is_no_answer(void **state)
{
    (void)state;
    const char *const bad[] = {"{\"object\":\"error\",\"message\":\"no\"}", "{\"error\":{}}",
                               "<html>busy</html>", "", "{\"id\":"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tw_answer_seen seen = {0};
        struct tw_buf out;
        tw_buf_init(&out, 1 << 10);
        assert_false(tw_answer_scan_whole(bad[i], strlen(bad[i]), &terms, &seen, &out));
        assert_true(seen.error.is_there);
        assert_int_equal(out.size_bytes, 0);
        tw_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_is_counted_and_renamed),
        cmocka_unit_test(numbers_of_an_answer_go_through_byte_by_byte),
        cmocka_unit_test(what_was_cached_is_hidden_and_counted_all_the_same),
        cmocka_unit_test(an_error_is_understood_in_every_form),
        cmocka_unit_test(an_error_or_a_page_with_a_good_status_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
