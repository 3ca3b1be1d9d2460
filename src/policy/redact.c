#include "policy/redact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/redact_parts.h"

/* ---- finding spans ---- */

struct spans {
    struct tw_redact_span *items;
    size_t n, capacity;
    bool failed;
};

static void on_found(void *context, unsigned detector, size_t begin, size_t end)
{
    struct spans *spans = context;
    if (spans->n == spans->capacity) {
        const size_t capacity = spans->capacity > 0 ? 2 * spans->capacity : 16;
        struct tw_redact_span *items = tw_mem_realloc(spans->items, capacity, sizeof *items);
        if (items == NULL) {
            spans->failed = true;
            return;
        }
        spans->items = items;
        spans->capacity = capacity;
    }
    spans->items[spans->n++] = (struct tw_redact_span){begin, end, detector};
}

static int by_place(const void *a, const void *b)
{
    const struct tw_redact_span *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end > y->end ? -1 : 1;
    }
    return (x->detector > y->detector) - (x->detector < y->detector);
}

/* Those that overlap become one, of the detector that began first: no part of any is left. */
static void merge(struct spans *spans)
{
    size_t n = 0;
    if (spans->n > 1) {
        qsort(spans->items, spans->n, sizeof *spans->items, by_place);
    }
    for (size_t i = 0; i < spans->n; i++) {
        struct tw_redact_span *last = n > 0 ? &spans->items[n - 1] : NULL;
        if (last == NULL || spans->items[i].begin >= last->end) {
            spans->items[n++] = spans->items[i];
        } else if (spans->items[i].end > last->end) {
            last->end = spans->items[i].end;
        }
    }
    spans->n = n;
}

static enum tw_status find_spans(struct tw_redaction *redaction, const char *text, size_t n,
                                 struct spans *spans, struct tw_error *error)
{
    uint64_t failed;
    tw_detect(redaction->policy, &redaction->work, redaction->detectors, text, n, on_found, spans,
              &failed);
    if (spans->failed) {
        return tw_redact_no_memory(error);
    }
    if (failed != 0) {
        unsigned i = 0;
        while ((failed >> i & 1) == 0) {
            i++;
        }
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the request cannot be redacted: the detector '%s' takes too long for "
                            "one of its texts",
                            redaction->policy->detectors[i].name);
    }
    merge(spans);
    return TW_OK;
}

/* ---- texts ---- */

/* The text with pseudonyms in out, which stays empty where nothing is found. */
static enum tw_status redact_plain(struct tw_redaction *redaction, const char *text, size_t n,
                                   struct tw_buf *out, struct tw_error *error)
{
    struct spans spans = {0};
    enum tw_status status = find_spans(redaction, text, n, &spans, error);
    size_t at = 0;
    for (size_t i = 0; status == TW_OK && i < spans.n; i++) {
        const struct tw_redact_span *span = &spans.items[i];
        const struct tw_pseudonym *pseudonym;
        status = tw_redact_pseudonym(redaction, span->detector, text + span->begin,
                                     span->end - span->begin, &pseudonym, error);
        if (status == TW_OK) {
            tw_buf_append(out, text + at, span->begin - at);
            tw_buf_append_format(out, "<%s>", pseudonym->name);
            at = span->end;
        }
    }
    if (status == TW_OK && spans.n > 0) {
        tw_buf_append(out, text + at, n - at);
        status = out->failed ? tw_redact_no_memory(error) : TW_OK;
    }
    tw_mem_free(spans.items);
    return status;
}

static enum tw_status redact_value(struct tw_redaction *redaction, json_t **value, unsigned level,
                                   unsigned texts_deep, struct tw_error *error);

/* A text that is JSON, as JSON: out stays empty where it is none, or nothing is found. */
static enum tw_status redact_json(struct tw_redaction *redaction, const char *text, size_t n,
                                  unsigned texts_deep, struct tw_buf *out, struct tw_error *error)
{
    json_t *value = tw_redact_parse(text, n, texts_deep);
    if (value == NULL) {
        return TW_OK;
    }
    const uint64_t n_before = redaction->n_replaced;
    enum tw_status status = redact_value(redaction, &value, 3, texts_deep + 1, error);
    if (status == TW_OK && redaction->n_replaced > n_before) {
        struct tw_json_writer json;
        tw_json_begin(&json, out);
        tw_json_value(&json, value);
        status = out->failed ? tw_redact_no_memory(error) : TW_OK;
    }
    json_decref(value);
    return status;
}

/* *ret_text is NULL where nothing is found; otherwise the caller frees it. */
static enum tw_status redact_text(struct tw_redaction *redaction, const char *text, size_t n,
                                  unsigned texts_deep, char **ret_text, size_t *ret_bytes,
                                  struct tw_error *error)
{
    struct tw_buf as_json, plain;
    tw_buf_init(&as_json, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_buf_init(&plain, TW_LIMIT_POLICY_TEXT_BYTES);
    enum tw_status status = redact_json(redaction, text, n, texts_deep, &as_json, error);
    const bool is_json = as_json.size_bytes > 0;
    if (status == TW_OK) {
        status = redact_plain(redaction, is_json ? as_json.data : text,
                              is_json ? as_json.size_bytes : n, &plain, error);
    }
    struct tw_buf *result = plain.size_bytes > 0 ? &plain : is_json ? &as_json : NULL;
    *ret_text = NULL;
    if (status == TW_OK && result != NULL) {
        *ret_text = tw_mem_strndup(result->data, result->size_bytes);
        *ret_bytes = result->size_bytes;
        status = *ret_text != NULL ? TW_OK : tw_redact_no_memory(error);
    }
    tw_buf_free(&as_json);
    tw_buf_free(&plain);
    return status;
}

/* ---- values ---- */

static enum tw_status redact_string(struct tw_redaction *redaction, json_t *string,
                                    unsigned texts_deep, struct tw_error *error)
{
    char *text;
    size_t n;
    enum tw_status status = redact_text(redaction, json_string_value(string),
                                        json_string_length(string), texts_deep, &text, &n, error);
    if (status == TW_OK && text != NULL && json_string_setn(string, text, n) != 0) {
        status = tw_redact_no_memory(error);
    }
    tw_mem_free(text);
    return status;
}

/* A number that is one becomes a text. */
static enum tw_status redact_integer(struct tw_redaction *redaction, json_t **value,
                                     unsigned texts_deep, struct tw_error *error)
{
    char digits[24], *text;
    size_t n;
    const int n_digits =
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(*value));
    enum tw_status status =
        redact_text(redaction, digits, (size_t)n_digits, texts_deep, &text, &n, error);
    if (status == TW_OK && text != NULL) {
        json_t *string = json_stringn(text, n);
        if (string != NULL) {
            json_decref(*value);
            *value = string;
        } else {
            status = tw_redact_no_memory(error);
        }
    }
    tw_mem_free(text);
    return status;
}

static enum tw_status redact_array(struct tw_redaction *redaction, json_t *array, unsigned level,
                                   unsigned texts_deep, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < json_array_size(array); i++) {
        json_t *value = json_incref(json_array_get(array, i));
        status = redact_value(redaction, &value, level + 1, texts_deep, error);
        if (json_array_set_new(array, i, value) != 0 && status == TW_OK) {
            status = tw_redact_no_memory(error);
        }
    }
    return status;
}

/* One field into the object that is made; names of fields are texts, too. */
static enum tw_status redact_field(struct tw_redaction *redaction, const char *key, json_t *value,
                                   unsigned level, unsigned texts_deep, json_t *out,
                                   struct tw_error *error)
{
    char *name = NULL;
    size_t n;
    enum tw_status status = TW_OK;
    json_incref(value);
    if (level > 0 || strcmp(key, "model") != 0) {
        status =
            redact_text(redaction, key, strlen(key), TW_LIMIT_POLICY_TEXTS_DEEP, &name, &n, error);
        if (status == TW_OK) {
            status = redact_value(redaction, &value, level + 1, texts_deep, error);
        }
    }
    if (json_object_set_new(out, name != NULL ? name : key, value) != 0 && status == TW_OK) {
        status = tw_redact_no_memory(error);
    }
    tw_mem_free(name);
    return status;
}

/* Made anew, so that fields keep their order whatever becomes of their names. */
static enum tw_status redact_object(struct tw_redaction *redaction, json_t *object, unsigned level,
                                    unsigned texts_deep, struct tw_error *error)
{
    json_t *out = json_object(), *value;
    const char *key;
    enum tw_status status = out != NULL ? TW_OK : tw_redact_no_memory(error);
    json_object_foreach (object, key, value) {
        if (status == TW_OK) {
            status = redact_field(redaction, key, value, level, texts_deep, out, error);
        }
    }
    if (status == TW_OK &&
        (json_object_clear(object) != 0 || json_object_update(object, out) != 0)) {
        status = tw_redact_no_memory(error);
    }
    json_decref(out);
    return status;
}

static enum tw_status redact_value(struct tw_redaction *redaction, json_t **value, unsigned level,
                                   unsigned texts_deep, struct tw_error *error)
{
    switch (json_typeof(*value)) {
    case JSON_STRING:
        return redact_string(redaction, *value, texts_deep, error);
    case JSON_INTEGER: /* those at 1 are parameters */
        return level > 1 ? redact_integer(redaction, value, texts_deep, error) : TW_OK;
    case JSON_OBJECT:
        return redact_object(redaction, *value, level, texts_deep, error);
    case JSON_ARRAY:
        return redact_array(redaction, *value, level, texts_deep, error);
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return TW_OK;
}

/* ---- numbers that are taken ---- */

/* The largest n of what may be read as <..._n>, with the bracket plain or as an escape. */
static void survey_text(struct tw_redaction *redaction, const char *text, size_t n)
{
    for (const char *at = text; (at = memchr(at, '_', n - (size_t)(at - text))) != NULL;) {
        const char *end = text + n;
        uint32_t value = 0;
        int n_digits = 0;
        for (at++; at < end && *at >= '0' && *at <= '9' && n_digits < 10; at++, n_digits++) {
            value = n_digits < 9 ? value * 10 + (uint32_t)(*at - '0') : 0;
        }
        if (at < end && (*at == '>' || *at == '\\') && value > redaction->n_taken) {
            redaction->n_taken = value;
        }
    }
}

static void survey(struct tw_redaction *redaction, const json_t *value, unsigned texts_deep)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        const size_t n = json_string_length(value);
        survey_text(redaction, text, n);
        json_t *inner = tw_redact_parse(text, n, texts_deep);
        if (inner != NULL) {
            survey(redaction, inner, texts_deep + 1);
            json_decref(inner);
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        survey_text(redaction, key, strlen(key));
        survey(redaction, item, texts_deep);
    }
    json_array_foreach (value, i, item) {
        survey(redaction, item, texts_deep);
    }
}

enum tw_status tw_redaction_apply(struct tw_redaction *redaction, json_t *body,
                                  struct tw_error *error)
{
    survey(redaction, body, 0);
    json_incref(body);
    json_t *same = body; /* an object or an array stays the same value */
    enum tw_status status = redact_value(redaction, &same, 0, 0, error);
    json_decref(same);
    return status;
}
