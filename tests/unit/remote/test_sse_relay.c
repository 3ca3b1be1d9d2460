/* Streams as vLLM, SGLang, llama.cpp, tokenworks and a service write them, cut anywhere. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "remote/sse_relay.h"

struct relayed {
    struct tw_buf out;
    struct tw_answer_seen seen;
    bool is_done;
    uint64_t n_comments;
};

/* cut: where the first piece ends; step: how long the others are; 0: one. */
static struct relayed relay(const char *bytes, size_t n_bytes, size_t cut, size_t step,
                            const struct tw_answer_terms *terms)
{
    struct tw_sse_relay relay;
    struct relayed relayed;
    tw_buf_init(&relayed.out, 1 << 22);
    tw_sse_relay_init(&relay, terms);
    size_t at = 0;
    while (at < n_bytes) {
        size_t n = at == 0 && cut > 0 ? cut : step > 0 ? step : n_bytes;
        n = n < n_bytes - at ? n : n_bytes - at;
        assert_int_equal(tw_sse_relay_push(&relay, bytes + at, n, &relayed.out, NULL), TW_OK);
        at += n;
    }
    assert_int_equal(tw_sse_relay_end(&relay, &relayed.out, NULL), TW_OK);
    tw_buf_append(&relayed.out, "", 1);
    relayed.seen = relay.seen;
    relayed.is_done = relay.is_done;
    relayed.n_comments = relay.n_comments;
    tw_sse_relay_free(&relay);
    return relayed;
}

static struct relayed relay_text(const char *text, enum tw_usage_form usage)
{
    return relay(text, strlen(text), 0, 0, &(struct tw_answer_terms){.usage = usage});
}

static struct tw_buf record(const char *name)
{
    char path[512];
    struct tw_buf text;
    snprintf(path, sizeof path, "%s/%s", TW_REMOTE_RECORDS, name);
    assert_int_equal(tw_file_read(path, 1 << 20, &text, NULL), TW_OK);
    return text;
}

static const struct expected {
    const char *record;
    uint64_t n_prompt, n_cached, n_completion, n_reasoning;
    const char *text; /* all that the answer brings, thought and calls included */
    enum tw_answer_finish finish;
    bool is_done, has_error, has_calls;
} records[] = {
    {"vllm_chat.sse", 21, 16, 9, 0,
     "Let me think.Gr\xc3\xbc\xc3\x9f"
     "e\n\"quoted\" end",
     TW_ANSWER_STOP, true, false, false},
    {"vllm_tools.sse", 160, 0, 23, 0, "weather{\"city\": \"K\xc3\xb6ln\"}", TW_ANSWER_TOOL_CALLS,
     true, false, true},
    {"vllm_dies.sse", 0, 0, 0, 0, "ab", TW_ANSWER_GOES_ON, true, true, false},
    {"sglang_chat.sse", 14, 0, 12, 5, "Hmm, yes.The answer is 4.", TW_ANSWER_STOP, true, false,
     false},
    {"sglang_aborts.sse", 0, 0, 0, 0, "begun", TW_ANSWER_GOES_ON, true, true, false},
    {"llamacpp_chat.sse", 9, 8, 2, 0, "One two", TW_ANSWER_LENGTH, true, false, false},
    {"tokenworks_chat.sse", 5, 0, 1, 0, "Hello", TW_ANSWER_STOP, true, false, false},
    {"cloud_chat.sse", 3, 0, 1, 0, "Yes", TW_ANSWER_FILTER, true, false, false},
    {"vllm_cut.sse", 4, 0, 2, 0, "abc", TW_ANSWER_GOES_ON, false, false, false},
};
enum { N_RECORDS = sizeof records / sizeof records[0] };

/* Counts events that are objects, and looks at each; the last one with choices is kept. */
struct shape {
    int n_objects, n_usages, n_nulls, n_bare_usages;
};

static struct shape shape_of(const struct tw_buf *out, const char *model)
{
    struct shape shape = {0};
    const char *at = out->data;
    while ((at = strstr(at, "data: {")) != NULL) {
        const char *end = strstr(at, "\n\n");
        json_t *object;
        assert_non_null(end);
        assert_int_equal(tw_json_parse(at + 6, (size_t)(end - at) - 6, "event", &object, NULL),
                         TW_OK);
        const json_t *usage = json_object_get(object, "usage");
        const bool is_bare = json_array_size(json_object_get(object, "choices")) == 0;
        shape.n_objects++;
        shape.n_usages += json_is_object(usage);
        shape.n_nulls += json_is_null(usage);
        shape.n_bare_usages += is_bare && json_is_object(usage);
        if (model != NULL) {
            assert_string_equal(json_string_value(json_object_get(object, "model")), model);
        }
        json_decref(object);
        at = end;
    }
    return shape;
}

static void every_servers_stream_is_read_for_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RECORDS; i++) {
        const struct expected *e = &records[i];
        struct tw_buf in = record(e->record);
        struct relayed r = relay(in.data, in.size_bytes, 0, 0, &(struct tw_answer_terms){0});
        assert_int_equal(r.seen.usage.is_known, e->n_prompt > 0);
        assert_int_equal(r.seen.usage.n_prompt_tokens, e->n_prompt);
        assert_int_equal(r.seen.usage.n_cached_tokens, e->n_cached);
        assert_int_equal(r.seen.usage.n_completion_tokens, e->n_completion);
        assert_int_equal(r.seen.usage.n_reasoning_tokens, e->n_reasoning);
        assert_int_equal(r.seen.n_text_bytes, strlen(e->text));
        assert_int_equal(r.seen.finish[0], e->finish);
        assert_int_equal(r.is_done, e->is_done);
        assert_int_equal(r.seen.error.is_there, e->has_error);
        assert_int_equal(r.seen.has_calls, e->has_calls);
        assert_null(strstr(r.out.data, "\"error\""));
        assert_int_equal(strstr(r.out.data, "data: [DONE]\n\n") != NULL, e->is_done);
        tw_buf_free(&in);
        tw_buf_free(&r.out);
    }
}

static struct tw_buf with_other_lines(const struct tw_buf *in, const char *line_end)
{
    struct tw_buf out;
    tw_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < in->size_bytes; i++) {
        if (in->data[i] == '\n') {
            tw_buf_append_text(&out, line_end);
        } else {
            tw_buf_append(&out, &in->data[i], 1);
        }
    }
    return out;
}

static void expect_same(const struct relayed *a, const struct relayed *b)
{
    assert_string_equal(a->out.data, b->out.data);
    assert_memory_equal(&a->seen, &b->seen, sizeof a->seen);
    assert_int_equal(a->is_done, b->is_done);
    assert_int_equal(a->n_comments, b->n_comments);
}

static void a_stream_may_be_cut_at_every_byte_and_have_any_line_ends(void **state)
{
    (void)state;
    static const char *const line_ends[] = {"\n", "\r\n", "\r"};
    const struct tw_answer_terms terms = {.model = "house", .id = "x", .usage = TW_USAGE_LAST};
    for (size_t i = 0; i < N_RECORDS; i++) {
        struct tw_buf plain = record(records[i].record);
        struct relayed whole = relay(plain.data, plain.size_bytes, 0, 0, &terms);
        for (size_t l = 0; l < 3; l++) {
            struct tw_buf in = with_other_lines(&plain, line_ends[l]);
            for (size_t cut = 0; cut < in.size_bytes; cut++) {
                struct relayed cut_once = relay(in.data, in.size_bytes, cut, 0, &terms);
                expect_same(&whole, &cut_once);
                tw_buf_free(&cut_once.out);
            }
            for (size_t step = 1; step < 9; step++) {
                struct relayed pieces = relay(in.data, in.size_bytes, 0, step, &terms);
                expect_same(&whole, &pieces);
                tw_buf_free(&pieces.out);
            }
            tw_buf_free(&in);
        }
        tw_buf_free(&whole.out);
        tw_buf_free(&plain);
    }
}

static void usage_comes_only_to_those_who_asked_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_RECORDS; i++) {
        struct tw_buf in = record(records[i].record);
        struct tw_answer_terms terms = {.model = "house", .usage = TW_USAGE_NONE};
        struct relayed none = relay(in.data, in.size_bytes, 0, 0, &terms);
        struct shape shape = shape_of(&none.out, "house");
        assert_int_equal(shape.n_usages + shape.n_nulls, 0);
        assert_null(strstr(none.out.data, "org/Model"));
        terms.usage = TW_USAGE_LAST;
        struct relayed last = relay(in.data, in.size_bytes, 0, 0, &terms);
        shape = shape_of(&last.out, "house");
        /* vLLM counts on: also with the piece that ends the choice. */
        assert_int_equal(shape.n_usages > 0, records[i].is_done && !records[i].has_error);
        assert_true(shape.n_usages <= 2 && shape.n_bare_usages <= 1);
        assert_memory_equal(&none.seen, &last.seen, sizeof none.seen);
        tw_buf_free(&none.out);
        tw_buf_free(&last.out);
        tw_buf_free(&in);
    }
}

static void what_is_not_ours_goes_through_byte_by_byte(void **state)
{
    (void)state;
    struct relayed r = relay_text("data: {\"x\" : 1.50, \"choices\":[{\"index\":0,\"delta\":{}}],"
                                  "\"y\":\"\\u00e9\"}\n\ndata: [DONE]\n\n",
                                  TW_USAGE_ALL);
    assert_string_equal(r.out.data, "data: {\"x\" : 1.50, \"choices\":[{\"index\":0,\"delta\":{}}],"
                                    "\"y\":\"\\u00e9\"}\n\ndata: [DONE]\n\n");
    tw_buf_free(&r.out);
}

static void an_event_may_have_several_lines_and_odd_fields(void **state)
{
    (void)state;
    struct relayed r = relay_text("\xef\xbb\xbf"
                                  "retry: 100\nid: 3\ndata:{\"choices\":\ndata:[]}\n"
                                  "nonsense\n\n\n\n:x\ndata\n\ndata: words\n\n",
                                  TW_USAGE_ALL);
    assert_string_equal(r.out.data, "data: {\"choices\": []}\n\n:x\n\ndata: words\n\n");
    assert_int_equal(r.seen.n_odd, 1);
    assert_int_equal(r.seen.n_text_bytes, 5);
    assert_int_equal(r.n_comments, 1);
    assert_false(r.is_done);
    tw_buf_free(&r.out);
    r = relay_text("data:{\"choices\":\r\ndata:[]}\r\n\r\n", TW_USAGE_ALL);
    assert_string_equal(r.out.data, "data: {\"choices\": []}\n\n");
    tw_buf_free(&r.out);
}

static void nothing_comes_behind_done(void **state)
{
    (void)state;
    struct relayed r =
        relay_text("data: [DONE]\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n: x\n", TW_USAGE_ALL);
    assert_string_equal(r.out.data, "data: [DONE]\n\n");
    assert_true(r.is_done);
    tw_buf_free(&r.out);
}

static void an_error_event_is_an_error_whatever_its_data(void **state)
{
    (void)state;
    struct relayed r = relay_text("event: error\ndata: {\"message\":\"gone\",\"code\":502}\n\n"
                                  "data: {\"choices\":[]}\n\n",
                                  TW_USAGE_ALL);
    assert_true(r.seen.error.is_there);
    assert_string_equal(r.seen.error.text, "gone");
    assert_int_equal(r.seen.error.code, 502);
    assert_string_equal(r.out.data, "data: {\"choices\":[]}\n\n");
    tw_buf_free(&r.out);
}

static void a_last_event_without_its_empty_line_counts_if_it_is_whole(void **state)
{
    (void)state;
    struct relayed r = relay_text("data: {\"choices\":[]}", TW_USAGE_ALL);
    assert_string_equal(r.out.data, "data: {\"choices\":[]}\n\n");
    tw_buf_free(&r.out);
    r = relay_text("data: {\"choices\":[]}\n\ndata: [DONE]", TW_USAGE_ALL);
    assert_true(r.is_done);
    tw_buf_free(&r.out);
    r = relay_text("data: {\"choices\":[", TW_USAGE_ALL);
    assert_string_equal(r.out.data, "");
    assert_int_equal(r.seen.n_odd, 0);
    tw_buf_free(&r.out);
}

static void an_event_without_end_meets_the_bound(void **state)
{
    (void)state;
    struct tw_sse_relay relay;
    struct tw_buf out;
    struct tw_error error;
    enum tw_status status = TW_OK;
    char *block = calloc(1, 65536);
    memset(block, 'x', 65536);
    tw_buf_init(&out, 1 << 20);
    tw_sse_relay_init(&relay, &(struct tw_answer_terms){0});
    assert_int_equal(tw_sse_relay_push(&relay, "data: ", 6, &out, &error), TW_OK);
    for (int i = 0; i < 65 && status == TW_OK; i++) {
        status = tw_sse_relay_push(&relay, block, 65536, &out, &error);
    }
    assert_int_equal(status, TW_ERR_LIMIT);
    assert_int_equal(tw_sse_relay_push(&relay, "\n\n", 2, &out, &error), TW_ERR_LIMIT);
    assert_int_equal(out.size_bytes, 0);
    tw_sse_relay_free(&relay);
    tw_buf_free(&out);
    free(block);
}

/* Were it not, four megabytes of empty lines would take minutes. */
static void what_a_stream_costs_grows_with_its_length_only(void **state)
{
    (void)state;
    static const char *const lines[] = {"\r", "\n", "data: {}\r\r", "data:[[[[\n", ":\r", "data\r"};
    const size_t n_bytes = 4 << 20;
    char *bytes = malloc(n_bytes);
    for (size_t l = 0; l < sizeof lines / sizeof lines[0]; l++) {
        struct tw_sse_relay relay;
        struct tw_buf out;
        struct tw_error error;
        const size_t n_line = strlen(lines[l]);
        for (size_t i = 0; i < n_bytes; i++) {
            bytes[i] = lines[l][i % n_line];
        }
        tw_buf_init(&out, (size_t)64 << 20);
        tw_sse_relay_init(&relay, &(struct tw_answer_terms){0});
        assert_int_equal(tw_sse_relay_push(&relay, bytes, n_bytes, &out, &error), TW_OK);
        assert_int_equal(tw_sse_relay_end(&relay, &out, &error), TW_OK);
        tw_sse_relay_free(&relay);
        tw_buf_free(&out);
    }
    free(bytes);
}

static void choices_end_each_by_itself(void **state)
{
    (void)state;
    struct relayed r = relay_text(
        "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"weird\"}]}\n\n"
        "data: {\"choices\":[{\"index\":900,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        TW_USAGE_ALL);
    assert_int_equal(r.seen.n_finished, 2);
    assert_int_equal(r.seen.finish[1], TW_ANSWER_STOP);
    assert_int_equal(r.seen.finish[0], TW_ANSWER_OTHER);
    tw_buf_free(&r.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_servers_stream_is_read_for_what_it_says),
        cmocka_unit_test(a_stream_may_be_cut_at_every_byte_and_have_any_line_ends),
        cmocka_unit_test(usage_comes_only_to_those_who_asked_for_it),
        cmocka_unit_test(what_is_not_ours_goes_through_byte_by_byte),
        cmocka_unit_test(an_event_may_have_several_lines_and_odd_fields),
        cmocka_unit_test(nothing_comes_behind_done),
        cmocka_unit_test(an_error_event_is_an_error_whatever_its_data),
        cmocka_unit_test(a_last_event_without_its_empty_line_counts_if_it_is_whole),
        cmocka_unit_test(an_event_without_end_meets_the_bound),
        cmocka_unit_test(what_a_stream_costs_grows_with_its_length_only),
        cmocka_unit_test(choices_end_each_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
