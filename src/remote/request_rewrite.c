#include "remote/request_rewrite.h"

#include <stdio.h>
#include <string.h>

#include "remote/request_limits.h"

/* Members that are written by their own rules. */
static bool is_written(const char *key)
{
    return strcmp(key, "model") == 0 || strcmp(key, "stream_options") == 0 ||
           strcmp(key, "n") == 0 || strcmp(key, "n_cmpl") == 0 || tw_request_is_limit(key);
}

/* One server's name for the number of answers is every server's `n`: what is reserved is asked. */
static void write_count(struct tw_json_writer *json, const json_t *request)
{
    const json_t *n = json_object_get(request, "n"), *other = json_object_get(request, "n_cmpl");
    if (json_is_integer(other) && json_integer_value(other) > json_integer_value(n)) {
        n = other;
    }
    if (n != NULL) {
        tw_json_key(json, "n");
        tw_json_value(json, n);
    }
}

/* A salt that a client chose would let it into what others have cached, however it is called. */
static bool is_passed(const char *key, const struct tw_rewrite_terms *terms)
{
    if (strcmp(key, "cache_salt") == 0 || strcmp(key, "extra_key") == 0) {
        return false;
    }
    for (size_t i = 0; i < terms->n_passed; i++) {
        if (strcmp(key, terms->passed[i]) == 0) {
            return true;
        }
    }
    return tw_server_kind_member(terms->kind, key) == TW_MEMBER_PASSED;
}

static void name_left_out(struct tw_rewrite_asked *asked, const char *key)
{
    const size_t n = strlen(asked->left_out), n_key = strlen(key);
    static const char fit[] = "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    if (n_key > 0 && strspn(key, fit) == n_key && n + n_key + 3 < sizeof asked->left_out) {
        snprintf(asked->left_out + n, sizeof asked->left_out - n, "%s%s", n > 0 ? ", " : "", key);
    }
}

/* The least of what the client asks for and of what was granted. */
static void write_limit(struct tw_json_writer *json, uint64_t n_asked_tokens,
                        const struct tw_rewrite_terms *terms)
{
    const uint64_t limit = n_asked_tokens != 0 && n_asked_tokens < terms->n_answer_tokens
                               ? n_asked_tokens
                               : terms->n_answer_tokens;
    if (terms->n_answer_tokens == 0 || limit == TW_REWRITE_NO_LIMIT) {
        return;
    }
    tw_json_put_uint(json,
                     terms->is_chat && terms->kind->knows_new_limit ? "max_completion_tokens"
                                                                    : "max_tokens",
                     limit);
}

static void write_stream_options(struct tw_json_writer *json, const struct tw_rewrite_terms *terms)
{
    tw_json_key(json, "stream_options");
    tw_json_object_begin(json);
    tw_json_put_bool(json, "include_usage", true);
    if (terms->counts_on) {
        tw_json_put_bool(json, "continuous_usage_stats", true);
    }
    tw_json_object_end(json);
}

static struct tw_rewrite_asked asked_of(const json_t *request)
{
    const json_t *options = json_object_get(request, "stream_options");
    struct tw_rewrite_asked asked = {.is_stream = json_is_true(json_object_get(request, "stream"))};
    if (json_is_true(json_object_get(options, "include_usage"))) {
        asked.usage = json_is_true(json_object_get(options, "continuous_usage_stats"))
                          ? TW_USAGE_ALL
                          : TW_USAGE_LAST;
    }
    return asked;
}

static enum tw_status read_limits(const json_t *request, const struct tw_rewrite_terms *terms,
                                  struct tw_request_limits *ret_limits, struct tw_error *error)
{
    const char *member;
    enum tw_status status =
        tw_request_limits_read(request, terms->n_answer_tokens != 0, ret_limits, &member, error);
    if (status == TW_OK && terms->n_answers > 0 && ret_limits->n_answers > terms->n_answers) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the request asks for %llu answers, and %llu were granted",
                            (unsigned long long)ret_limits->n_answers,
                            (unsigned long long)terms->n_answers);
    }
    return status;
}

enum tw_status tw_request_rewrite(const json_t *request, const struct tw_rewrite_terms *terms,
                                  struct tw_rewrite_asked *ret_asked, struct tw_buf *out,
                                  struct tw_error *error)
{
    const char *key;
    json_t *value;
    struct tw_json_writer json;
    if (!json_is_object(request)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the body must be a JSON object");
    }
    struct tw_request_limits limits;
    enum tw_status status = read_limits(request, terms, &limits, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_rewrite_asked asked = asked_of(request);
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "model", terms->model);
    json_object_foreach ((json_t *)(uintptr_t)request, key, value) {
        if (is_written(key)) {
            continue;
        }
        if (is_passed(key, terms)) {
            tw_json_key(&json, key);
            tw_json_value(&json, value);
        } else if (tw_server_kind_member(terms->kind, key) == TW_MEMBER_UNKNOWN) {
            name_left_out(&asked, key);
        }
    }
    write_count(&json, request);
    write_limit(&json, limits.n_answer_tokens, terms);
    if (asked.is_stream) {
        write_stream_options(&json, terms);
    }
    if (terms->cache_salt != NULL) {
        tw_json_put_text(&json, "cache_salt", terms->cache_salt);
    }
    tw_json_object_end(&json);
    if (out->failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the request is too large to be passed on");
    }
    *ret_asked = asked;
    return TW_OK;
}
