#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "remote/request_rewrite.h"

static struct tw_rewrite_terms terms_of(const char *kind)
{
    return (struct tw_rewrite_terms){.model = "org/Model-8B",
                                     .n_answer_tokens = 512,
                                     .n_answers = 2,
                                     .is_chat = true,
                                     .counts_on = tw_server_kind_named(kind)->counts_on,
                                     .kind = tw_server_kind_named(kind)};
}

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

static void the_model_is_the_servers_and_what_shapes_an_answer_stays(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
    expect("{\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\\n\"}],\"model\":\"house\","
           "\"temperature\":0.1,\"seed\":9223372036854775807,\"top_k\":20,\"tools\":[{}],"
           "\"response_format\":{\"a\":[null,true]},\"max_tokens\":7}",
           &plain,
           "{\"model\":\"org/"
           "Model-8B\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\xa9\\n\"}],"
           "\"temperature\":0.1,\"seed\":9223372036854775807,\"top_k\":20,\"tools\":[{}],"
           "\"response_format\":{\"a\":[null,true]},\"max_tokens\":7}");
}

static void no_more_is_asked_for_than_was_granted(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
    const struct tw_rewrite_terms modern = terms_of("openai");
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
    const struct tw_rewrite_terms terms = {.model = "e", .kind = tw_server_kind_named("openai")};
    expect("{\"input\":[\"a\"],\"encoding_format\":\"base64\"}", &terms,
           "{\"model\":\"e\",\"input\":[\"a\"],\"encoding_format\":\"base64\"}");
}

static void more_answers_than_granted_are_refused(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
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
    for (int kind = 0; kind < 2; kind++) { /* whoever knows that name or does not */
        const struct tw_rewrite_terms terms = terms_of(kind == 0 ? "llama.cpp" : "sglang");
        const char *limit = kind == 0 ? "max_tokens" : "max_completion_tokens";
        char wanted[120];
        snprintf(wanted, sizeof wanted, "{\"model\":\"org/Model-8B\",\"n\":2,\"%s\":512}", limit);
        expect("{\"n_cmpl\":2}", &terms, wanted);
        expect("{\"n\":1,\"n_cmpl\":2}", &terms, wanted);
        expect("{\"n\":2,\"n_cmpl\":1}", &terms, wanted);
        expect("{\"n\":2,\"n_cmpl\":null}", &terms, wanted);
    }
    assert_int_equal(rewrite("[]", &plain, &asked, &out, &error), TW_ERR_USAGE);
    tw_buf_free(&out);
}

static void a_stream_is_always_asked_for_its_usage(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
    const struct tw_rewrite_terms counting = terms_of("vllm");
    expect("{\"stream\":true}", &plain,
           "{\"model\":\"org/Model-8B\",\"stream\":true,\"max_tokens\":512,"
           "\"stream_options\":{\"include_usage\":true}}");
    expect("{\"stream\":true,\"stream_options\":{\"include_usage\":false,\"other\":1}}", &counting,
           "{\"model\":\"org/Model-8B\",\"stream\":true,\"max_completion_tokens\":512,"
           "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}}");
    expect("{\"stream\":false,\"stream_options\":{\"include_usage\":true}}", &counting,
           "{\"model\":\"org/Model-8B\",\"stream\":false,\"max_completion_tokens\":512}");
}

static void what_the_client_asked_of_usage_is_remembered(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
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

static void a_salt_is_ours_or_there_is_none(void **state)
{
    (void)state;
    const struct tw_rewrite_terms plain = terms_of("llama.cpp");
    static const char *const passed[] = {"cache_salt", "extra_key"};
    struct tw_rewrite_terms salted = terms_of("sglang");
    salted.cache_salt = "tenant-7/";
    salted.passed = passed;
    salted.n_passed = 2;
    expect("{\"cache_salt\":\"of another\",\"extra_key\":\"1\"}", &plain,
           "{\"model\":\"org/Model-8B\",\"max_tokens\":512}");
    expect("{\"cache_salt\":\"of another\",\"extra_key\":\"1\"}", &salted,
           "{\"model\":\"org/Model-8B\",\"max_completion_tokens\":512,"
           "\"cache_salt\":\"tenant-7/\"}");
}

/* Each picks something of the server that is not the answer: who has it, which files and adapters,
 * whose turn it is, where it sends what it has computed. */
static const char *const harmful[] = {"user",
                                      "metadata",
                                      "store",
                                      "service_tier",
                                      "bootstrap_host",
                                      "bootstrap_port",
                                      "bootstrap_room",
                                      "custom_logit_processor",
                                      "lora_path",
                                      "lora",
                                      "priority",
                                      "kv_transfer_params",
                                      "web_search_options",
                                      "id_slot",
                                      "return_hidden_states",
                                      "cache_prompt",
                                      "rid",
                                      "session_params",
                                      "mm_processor_kwargs",
                                      "vllm_xargs",
                                      "max_new_tokens",
                                      "speculative.n_max",
                                      "data_parallel_rank"};

static void nothing_leaves_that_is_not_known_to_shape_an_answer(void **state)
{
    (void)state;
    static const char *const kinds[] = {"openai", "vllm", "sglang", "llama.cpp", "tokenworks"};
    for (size_t k = 0; k < 5; k++) {
        for (size_t i = 0; i < sizeof harmful / sizeof harmful[0]; i++) {
            const struct tw_rewrite_terms terms = terms_of(kinds[k]);
            json_t *request = json_pack("{s:[], s:{s:i}}", "messages", harmful[i], "a", 1);
            struct tw_rewrite_asked asked;
            struct tw_buf out;
            tw_buf_init(&out, 1 << 16);
            assert_int_equal(tw_request_rewrite(request, &terms, &asked, &out, NULL), TW_OK);
            tw_buf_append(&out, "", 1);
            assert_null(strstr(out.data, harmful[i]));
            const bool is_kept = tw_server_kind_member(terms.kind, harmful[i]) == TW_MEMBER_KEPT;
            assert_string_equal(asked.left_out, is_kept ? "" : harmful[i]);
            tw_buf_free(&out);
            json_decref(request);
        }
    }
}

static void what_a_kind_does_not_know_is_left_out_and_named(void **state)
{
    (void)state;
    static const char *const passed[] = {"x_vendor"};
    struct tw_rewrite_terms terms = terms_of("openai");
    terms.passed = passed;
    terms.n_passed = 1;
    struct tw_rewrite_asked asked;
    struct tw_buf out;
    assert_int_equal(rewrite("{\"x_vendor\":1,\"top_k\":3,\"lora_path\":\"/etc\",\"user\":\"a\","
                             "\"b\\r\\nX: y\":1}",
                             &terms, &asked, &out, NULL),
                     TW_OK);
    assert_string_equal(out.data, "{\"model\":\"org/Model-8B\",\"x_vendor\":1,"
                                  "\"max_completion_tokens\":512}");
    assert_string_equal(asked.left_out, "top_k, lora_path");
    tw_buf_free(&out);
    terms = terms_of("vllm");
    assert_int_equal(rewrite("{\"top_k\":3}", &terms, &asked, &out, NULL), TW_OK);
    assert_non_null(strstr(out.data, "\"top_k\":3"));
    assert_string_equal(asked.left_out, "");
    tw_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_the_servers_and_what_shapes_an_answer_stays),
        cmocka_unit_test(no_more_is_asked_for_than_was_granted),
        cmocka_unit_test(embeddings_have_no_limit_of_an_answer),
        cmocka_unit_test(more_answers_than_granted_are_refused),
        cmocka_unit_test(a_stream_is_always_asked_for_its_usage),
        cmocka_unit_test(what_the_client_asked_of_usage_is_remembered),
        cmocka_unit_test(a_salt_is_ours_or_there_is_none),
        cmocka_unit_test(nothing_leaves_that_is_not_known_to_shape_an_answer),
        cmocka_unit_test(what_a_kind_does_not_know_is_left_out_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
