#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "remote/request_rewrite.h"

static const char *const hidden[] = {"x_limits", "subject"};
static const struct tw_rewrite_terms plain = {.model = "org/Model-8B",
                                              .n_answer_tokens = 512,
                                              .n_answers = 2,
                                              .is_chat = true,
                                              .hidden = hidden,
                                              .n_hidden = 2};

static enum tw_status rewrite(const char *request, const struct tw_rewrite_terms *terms,
                              struct tw_rewrite_asked *ret_asked, struct tw_buf *out,
                              struct tw_error *error)
{
    json_t *json;
    assert_int_equal(tw_json_parse(request, strlen(request), "request", &json, NULL), TW_OK);
    tw_buf_init(out, 1 << 16);
    enum tw_status status = tw_request_rewrite(json, terms, ret_asked, out, error);
    tw_buf_append(out, "", 1);
    json_decref(json);
    return status;
}

static void expect(const char *request, const struct tw_rewrite_terms *terms, const char *wanted)
{
    struct tw_rewrite_asked asked;
    struct tw_buf out;
    assert_int_equal(rewrite(request, terms, &asked, &out, NULL), TW_OK);
    assert_string_equal(out.data, wanted);
    tw_buf_free(&out);
}

static void the_model_is_the_servers_and_what_is_not_known_stays(void **state)
{
    (void)state;
    expect("{\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\\n\"}],\"model\":\"house\","
           "\"temperature\":0.1,\"seed\":9223372036854775807,\"top_k\":20,\"tools\":[{}],"
           "\"guided\":{\"a\":[null,true]},\"max_tokens\":7}",
           &plain,
           "{\"model\":\"org/"
           "Model-8B\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\xa9\\n\"}],"
           "\"temperature\":0.1,\"seed\":9223372036854775807,\"top_k\":20,\"tools\":[{}],"
           "\"guided\":{\"a\":[null,true]},\"max_tokens\":7}");
}

static void no_more_is_asked_for_than_was_granted(void **state)
{
    (void)state;
    struct tw_rewrite_terms modern = plain;
    modern.knows_new_limit = true;
    expect("{}", &plain, "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
    expect("{\"max_tokens\":100000}", &plain, "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
    expect("{\"max_tokens\":-1}", &plain, "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
    expect("{\"max_tokens\":null,\"n_predict\":3}", &plain,
           "{\"model\":\"org/Model-8B\",\"max_tokens\":3}");
    expect("{\"max_tokens\":9,\"max_completion_tokens\":8}", &modern,
           "{\"model\":\"org/Model-8B\",\"max_completion_tokens\":8}");
    expect("{\"max_tokens\":1,\"max_tokens\":900}", &plain,
           "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
}

static void embeddings_have_no_limit_of_an_answer(void **state)
{
    (void)state;
    const struct tw_rewrite_terms terms = {.model = "e"};
    expect("{\"input\":[\"a\"],\"encoding_format\":\"base64\"}", &terms,
           "{\"model\":\"e\",\"input\":[\"a\"],\"encoding_format\":\"base64\"}");
}

static void more_answers_than_granted_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"{\"n\":3}",
                               "{\"n\":0}",
                               "{\"n\":-1}",
                               "{\"n\":\"2\"}",
                               "{\"best_of\":20}",
                               "{\"n\":1.5}",
                               "{\"n_cmpl\":3}",
                               "{\"max_tokens\":0}",
                               "{\"max_tokens\":1e9}",
                               "{\"n_predict\":-2}",
                               "{\"chat_template\":\"x\"}",
                               "{\"n\":2,\"prompt\":[\"a\",\"b\"]}"};
    struct tw_rewrite_asked asked;
    struct tw_buf out;
    struct tw_error error;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rewrite(bad[i], &plain, &asked, &out, &error), TW_ERR_USAGE);
        tw_buf_free(&out);
    }
    expect("{\"n\":2}", &plain, "{\"model\":\"org/Model-8B\",\"n\":2,\"max_tokens\":512}");
    assert_int_equal(rewrite("[]", &plain, &asked, &out, &error), TW_ERR_USAGE);
    tw_buf_free(&out);
}

static void a_stream_is_always_asked_for_its_usage(void **state)
{
    (void)state;
    struct tw_rewrite_terms counting = plain;
    counting.counts_on = true;
    expect("{\"stream\":true}", &plain,
           "{\"model\":\"org/Model-8B\",\"stream\":true,\"max_tokens\":512,"
           "\"stream_options\":{\"include_usage\":true}}");
    expect(
        "{\"stream\":true,\"stream_options\":{\"include_usage\":false,\"other\":1}}", &counting,
        "{\"model\":\"org/Model-8B\",\"stream\":true,\"max_tokens\":512,"
        "\"stream_options\":{\"other\":1,\"include_usage\":true,\"continuous_usage_stats\":true}}");
    expect("{\"stream\":false,\"stream_options\":{\"include_usage\":true}}", &counting,
           "{\"model\":\"org/Model-8B\",\"stream\":false,\"max_tokens\":512}");
}

static void what_the_client_asked_of_usage_is_remembered(void **state)
{
    (void)state;
    const struct {
        const char *request;
        bool is_stream;
        enum tw_usage_form usage;
    } rows[] = {
        {"{}", false, TW_USAGE_NONE},
        {"{\"stream\":true}", true, TW_USAGE_NONE},
        {"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", true, TW_USAGE_LAST},
        {"{\"stream\":true,\"stream_options\":{\"include_usage\":true,"
         "\"continuous_usage_stats\":true}}",
         true, TW_USAGE_ALL},
        {"{\"stream\":true,\"stream_options\":null}", true, TW_USAGE_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_rewrite_asked asked;
        struct tw_buf out;
        assert_int_equal(rewrite(rows[i].request, &plain, &asked, &out, NULL), TW_OK);
        assert_int_equal(asked.is_stream, rows[i].is_stream);
        assert_int_equal(asked.usage, rows[i].usage);
        tw_buf_free(&out);
    }
}

static void our_own_members_and_a_clients_salt_do_not_leave_the_house(void **state)
{
    (void)state;
    struct tw_rewrite_terms salted = plain;
    salted.cache_salt = "project-7";
    expect("{\"x_limits\":{},\"subject\":\"somebody\",\"cache_salt\":\"of another\"}", &plain,
           "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
    expect("{\"cache_salt\":\"of another\"}", &salted,
           "{\"model\":\"org/Model-8B\",\"max_tokens\":512,\"cache_salt\":\"project-7\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_the_servers_and_what_is_not_known_stays),
        cmocka_unit_test(no_more_is_asked_for_than_was_granted),
        cmocka_unit_test(embeddings_have_no_limit_of_an_answer),
        cmocka_unit_test(more_answers_than_granted_are_refused),
        cmocka_unit_test(a_stream_is_always_asked_for_its_usage),
        cmocka_unit_test(what_the_client_asked_of_usage_is_remembered),
        cmocka_unit_test(our_own_members_and_a_clients_salt_do_not_leave_the_house),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
