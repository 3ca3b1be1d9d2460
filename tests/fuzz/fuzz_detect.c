/* Any bytes as an expression (the first line) and a text (the rest): what is found lies within the
 * text; and as a request, what is redacted comes back the same, however it is cut. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "fuzz_target.h"
#include "policy/classify.h"
#include "policy/detect.h"
#include "policy/redact.h"

enum { BOUND_BYTES = 64 << 20 };

struct text {
    const char *data;
    size_t n;
};

static void on_found(void *context, unsigned detector, size_t begin, size_t end)
{
    const struct text *text = context;
    assert(detector < TW_BUILTIN_COUNT + 1 && begin < end && end <= text->n);
}

/* All that is built in and, where it can be read, the expression. */
static struct tw_policy *make_policy(const char *expression, size_t n)
{
    struct tw_policy *policy = NULL;
    struct tw_buf text;
    struct tw_json_writer json; /* a string of JSON is one of YAML, too */
    tw_buf_init(&text, BOUND_BYTES);
    tw_buf_append_text(&text, "zones: [{name: z, trust: 1}]\nrules: []\ndetectors:\n");
    for (unsigned i = 0; i < TW_BUILTIN_COUNT; i++) {
        tw_buf_append_format(&text, "- {find: %s, class: internal}\n", tw_builtin_names[i]);
    }
    const size_t n_builtin = text.size_bytes;
    tw_buf_append_text(&text, "- {name: own, class: restricted, pattern: ");
    tw_json_begin(&json, &text);
    tw_json_string(&json, expression, n);
    tw_buf_append_text(&text, "}\n");
    if (tw_policy_read(text.data, text.size_bytes, "", &policy, NULL) != TW_OK) {
        assert(tw_policy_read(text.data, n_builtin, "", &policy, NULL) == TW_OK);
    }
    tw_buf_free(&text);
    return policy;
}

/* In two pieces at every eleventh place, and whole. */
static void check_restored(const struct tw_redaction *redaction, const char *sent, size_t n_sent,
                           struct text text)
{
    for (size_t cut = 0; cut <= n_sent; cut += 11) {
        struct tw_restorer restorer;
        struct tw_buf out;
        tw_buf_init(&out, BOUND_BYTES);
        tw_restorer_begin(&restorer, redaction, false);
        tw_restorer_push(&restorer, sent, cut, &out);
        tw_restorer_push(&restorer, sent + cut, n_sent - cut, &out);
        tw_restorer_end(&restorer, &out);
        assert(out.size_bytes == text.n &&
               (text.n == 0 || memcmp(out.data, text.data, text.n) == 0));
        tw_buf_free(&out);
    }
}

static void check_redaction(const struct tw_policy *policy, struct text text)
{
    json_t *string = json_stringn(text.data, text.n); /* NULL where it is no UTF-8 */
    json_t *body = string != NULL ? json_pack("{s:o}", "prompt", string) : NULL;
    struct tw_redaction *redaction = NULL;
    assert(tw_redaction_create(policy, (UINT64_C(1) << policy->n_detectors) - 1, &redaction,
                               NULL) == TW_OK);
    json_t *inner = NULL; /* what is JSON is written anew */
    const bool is_json =
        body != NULL && tw_json_parse(text.data, text.n, "", &inner, NULL) == TW_OK;
    if (body != NULL && tw_redaction_apply(redaction, body, NULL) == TW_OK && !is_json) {
        check_restored(redaction, json_string_value(string), json_string_length(string), text);
    }
    tw_redaction_free(redaction);
    json_decref(inner);
    json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    const size_t n_expression = newline != NULL ? (size_t)(newline - data) : 0;
    const size_t begin = newline != NULL ? n_expression + 1 : 0;
    const struct text text = {(const char *)data + begin, size - begin};
    struct tw_policy *policy = make_policy((const char *)data, n_expression);
    struct tw_detect_work work;
    uint64_t failed;
    tw_detect_begin(&work);
    tw_detect(policy, &work, UINT64_MAX, text.data, text.n, on_found, (void *)(uintptr_t)&text,
              &failed);
    tw_detect_end(&work);
    check_redaction(policy, text);
    tw_policy_free(policy);
    return 0;
}
