#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "remote/request_limits.h"

static enum tw_status read(const char *request, bool makes_answers,
                           struct tw_request_limits *ret_limits, const char **ret_member,
                           struct tw_error *error)
{
    json_t *json;
    assert_int_equal(tw_json_parse(request, strlen(request), "request", &json, NULL), TW_OK);
    enum tw_status status =
        tw_request_limits_read(json, makes_answers, ret_limits, ret_member, error);
    json_decref(json);
    return status;
}

static struct tw_request_limits good(const char *request, bool makes_answers)
{
    struct tw_request_limits limits;
    const char *member = "";
    struct tw_error error;
    if (read(request, makes_answers, &limits, &member, &error) != TW_OK) {
        fail_msg("%s: %s", request, error.text);
    }
    assert_null(member);
    return limits;
}

static void the_least_of_an_answer_under_any_name_counts(void **state)
{
    (void)state;
    const struct {
        const char *request;
        uint64_t n;
    } rows[] = {{"{}", 0},
                {"{\"max_tokens\":null}", 0},
                {"{\"max_tokens\":-1,\"n_predict\":-1}", 0},
                {"{\"max_tokens\":7}", 7},
                {"{\"max_completion_tokens\":7}", 7},
                {"{\"n_predict\":7}", 7},
                {"{\"max_tokens\":9,\"max_completion_tokens\":-1,\"n_predict\":8}", 8},
                {"{\"max_tokens\":2147483647}", INT32_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(good(rows[i].request, true).n_answer_tokens, rows[i].n);
    }
}

static void answers_are_prompts_times_the_most_under_any_name(void **state)
{
    (void)state;
    const struct {
        const char *request;
        uint64_t n_prompts, n_answers;
    } rows[] = {{"{}", 1, 1},
                {"{\"n\":null,\"prompt\":null}", 1, 1},
                {"{\"n\":3}", 1, 3},
                {"{\"n\":2,\"best_of\":5}", 1, 5},
                {"{\"n\":2,\"n_cmpl\":4}", 1, 4},
                {"{\"prompt\":\"a\"}", 1, 1},
                {"{\"prompt\":[1,2,3],\"n\":2}", 1, 2},
                {"{\"prompt\":[1,\"a\"]}", 1, 1},
                {"{\"prompt\":[\"a\",\"b\"],\"n\":2}", 2, 4},
                {"{\"prompt\":[[1],[2],[3]]}", 3, 3},
                {"{\"prompt\":[1,[2,3]]}", 2, 2},
                {"{\"prompt\":[]}", 1, 1},
                {"{\"prompt\":\"a\",\"prompt_embeds\":[\"x\",\"y\"]}", 3, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tw_request_limits limits = good(rows[i].request, true);
        assert_int_equal(limits.n_prompts, rows[i].n_prompts);
        assert_int_equal(limits.n_answers, rows[i].n_answers);
    }
    const struct tw_request_limits limits = good("{\"input\":[\"a\",\"b\"],\"n\":-5}", false);
    assert_int_equal(limits.n_prompts, 2);
    assert_int_equal(limits.n_answers, 0);
}

static void parts_that_are_no_text_are_counted(void **state)
{
    (void)state;
#define SAYS(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
    const struct {
        const char *request;
        uint64_t n;
    } rows[] = {
        {SAYS("\"x\""), 0},
        {SAYS("[{\"type\":\"text\",\"text\":\"x\"},\"y\"]"), 0},
        {SAYS("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://a/b\"}}]"), 1},
        {SAYS("[{\"type\":\"text\",\"text\":\"x\",\"image_url\":{\"url\":\"http://a/b\"}}]"), 1},
        {SAYS("[{\"image\":\"http://a/b\"},{\"type\":\"video_url\"},{\"type\":5}]"), 3},
        {SAYS("{\"type\":\"input_audio\"}"), 1},
        {"{\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}]}", 1},
        {"{\"prompt\":{\"prompt_string\":\"x\",\"multimodal_data\":[\"a\",\"b\"]}}", 2},
        {"{\"prompt\":[{\"prompt_string\":\"x\",\"multimodal_data\":[\"a\"]},\"y\"]}", 1},
        {"{\"input\":[{\"text\":\"a\"},{\"image\":\"http://a/b\"}]}", 1},
        {"{\"image_data\":[\"a\",\"b\",\"c\"]}", 3},
        {"{\"messages\":[1,{\"content\":null}],\"prompt\":5}", 0}};
#undef SAYS
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(good(rows[i].request, true).n_unread_parts, rows[i].n);
    }
}

static void what_is_no_count_is_refused_by_its_name(void **state)
{
    (void)state;
    const char *const rows[][2] = {{"{\"max_tokens\":0}", "max_tokens"},
                                   {"{\"max_completion_tokens\":0}", "max_completion_tokens"},
                                   {"{\"n_predict\":-2}", "n_predict"},
                                   {"{\"max_tokens\":1.5}", "max_tokens"},
                                   {"{\"max_tokens\":\"5\"}", "max_tokens"},
                                   {"{\"max_tokens\":true}", "max_tokens"},
                                   {"{\"max_tokens\":2147483648}", "max_tokens"},
                                   {"{\"n\":0}", "n"},
                                   {"{\"n\":-1}", "n"},
                                   {"{\"n\":129}", "n"},
                                   {"{\"best_of\":0}", "best_of"},
                                   {"{\"n_cmpl\":0}", "n_cmpl"},
                                   {"{\"prompt\":[\"a\",\"b\"],\"n\":65}", "n"},
                                   {"{\"chat_template\":\"x\"}", "chat_template"},
                                   {"{\"chat_template\":{}}", "chat_template"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_request_limits limits;
        const char *member;
        struct tw_error error;
        assert_int_equal(read(rows[i][0], true, &limits, &member, &error), TW_ERR_USAGE);
        assert_string_equal(member, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_an_answer_under_any_name_counts),
        cmocka_unit_test(answers_are_prompts_times_the_most_under_any_name),
        cmocka_unit_test(parts_that_are_no_text_are_counted),
        cmocka_unit_test(what_is_no_count_is_refused_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
