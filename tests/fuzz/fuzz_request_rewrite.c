/* Any JSON as a client's request: what is made of it never asks for more than was granted, and what
 * is read of its limits is the same before and after. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "remote/request_limits.h"
#include "remote/request_rewrite.h"

static void check_limit(const json_t *made, const char *name, json_int_t most)
{
    const json_t *value = json_object_get(made, name);
    assert(value == NULL || (json_is_integer(value) && json_integer_value(value) <= most));
}

static void check_limits(const json_t *request, const json_t *made)
{
    struct tw_request_limits before, after;
    const char *member;
    struct tw_error error;
    const enum tw_status first = tw_request_limits_read(request, true, &before, &member, &error);
    const enum tw_status then = tw_request_limits_read(made, true, &after, &member, &error);
    assert(first == TW_OK && then == TW_OK);
    assert(after.n_answers <= before.n_answers && after.n_answers <= 4);
    assert(after.n_prompts == before.n_prompts && after.n_unread_parts == before.n_unread_parts);
    assert(before.n_answer_tokens == 0 || after.n_answer_tokens <= before.n_answer_tokens);
}

static void check_made(const json_t *request, const struct tw_buf *out,
                       const struct tw_rewrite_asked *asked)
{
    json_t *made = NULL;
    struct tw_error error;
    const enum tw_status status = tw_json_parse(out->data, out->size_bytes, "out", &made, &error);
    assert(status == TW_OK || status == TW_ERR_LIMIT);
    if (status != TW_OK) {
        return;
    }
    check_limits(request, made);
    check_limit(made, "max_tokens", 512);
    check_limit(made, "max_completion_tokens", 512);
    assert(json_object_get(made, "n_predict") == NULL && json_object_get(made, "user") == NULL);
    const json_t *salt = json_object_get(made, "cache_salt");
    assert(strcmp(json_string_value(salt), "ours/") == 0);
    assert(strcmp(json_string_value(json_object_get(made, "model")), "m") == 0);
    const json_t *options = json_object_get(made, "stream_options");
    assert(asked->is_stream == json_is_true(json_object_get(options, "include_usage")));
    json_decref(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tw_rewrite_terms terms = {.model = "m",
                                           .n_answer_tokens = 512,
                                           .n_answers = 4,
                                           .is_chat = true,
                                           .counts_on = true,
                                           .kind = tw_server_kind_named("vllm"),
                                           .cache_salt = "ours/"};
    struct tw_rewrite_asked asked;
    struct tw_error error;
    struct tw_buf out;
    json_t *json = NULL;
    if (tw_json_parse((const char *)data, size, "request", &json, &error) != TW_OK) {
        return 0;
    }
    tw_buf_init(&out, (size_t)64 << 20);
    if (tw_request_rewrite(json, &terms, &asked, &out, &error) == TW_OK) {
        check_made(json, &out, &asked);
    }
    tw_buf_free(&out);
    json_decref(json);
    return 0;
}
