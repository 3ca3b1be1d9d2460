#include "policy/redact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/classify_parts.h"
#include "policy/joined_parts.h"
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

static enum tw_status refuse_slow(const struct tw_redaction *redaction, uint64_t failed,
                                  struct tw_error *error)
{
    unsigned i = 0;
    while ((failed >> i & 1) == 0) {
        i++;
    }
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "the request cannot be redacted: the detector '%s' takes too long for one "
                        "of its texts",
                        redaction->policy->detectors[i].name);
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
        return refuse_slow(redaction, failed, error);
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
    json_t *value;
    enum tw_status status = tw_redact_parse(text, n, texts_deep, &value, error);
    if (value == NULL) {
        return status;
    }
    const uint64_t n_before = redaction->n_replaced;
    status = redact_value(redaction, &value, 3, texts_deep + 1, error);
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

/* A number that is one becomes a text. A sign is no part of it. */
static enum tw_status redact_number(struct tw_redaction *redaction, json_t **value,
                                    struct tw_error *error)
{
    char digits[TW_CLASSIFY_DIGITS], *text = NULL;
    size_t n = 0;
    const size_t n_digits = tw_classify_digits(*value, digits), n_sign = digits[0] == '-';
    bool has_sign = false;
    enum tw_status status = redact_text(redaction, digits, n_digits, 0, &text, &n, error);
    if (status == TW_OK && text == NULL && n_sign > 0) {
        has_sign = true;
        status = redact_text(redaction, digits + 1, n_digits - 1, 0, &text, &n, error);
    }
    if (status == TW_OK && text != NULL) {
        json_t *string = json_sprintf("%s%.*s", has_sign ? "-" : "", (int)n, text);
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
    const bool is_left = level == 0 && (strcmp(key, "model") == 0 ||
                                        (json_is_number(value) && tw_classify_is_parameter(key)));
    json_incref(value);
    if (!is_left) {
        status = redact_text(redaction, key, strlen(key), texts_deep, &name, &n, error);
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
    case JSON_INTEGER:
    case JSON_REAL:
        return redact_number(redaction, value, error);
    case JSON_OBJECT:
        return redact_object(redaction, *value, level, texts_deep, error);
    case JSON_ARRAY:
        return redact_array(redaction, *value, level, texts_deep, error);
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return TW_OK;
}

/* ---- what stands across parts ---- */

/* The last first, so that places before it stay what they are. */
static enum tw_status replace_across(struct tw_redaction *redaction, json_t *parts,
                                     const char *between, const struct spans *spans,
                                     struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = TW_OK;
    tw_buf_init(&text, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_parts_join(parts, between, &text);
    for (size_t i = spans->n; status == TW_OK && i > 0; i--) {
        const struct tw_redact_span *span = &spans->items[i - 1];
        const struct tw_pseudonym *pseudonym = NULL;
        char name[TW_PSEUDONYM_BYTES + 2];
        status = text.failed
                     ? tw_redact_no_memory(error)
                     : tw_redact_pseudonym(redaction, span->detector, text.data + span->begin,
                                           span->end - span->begin, &pseudonym, error);
        if (status == TW_OK) {
            snprintf(name, sizeof name, "<%s>", pseudonym->name);
            status = tw_parts_replace(parts, between, span->begin, span->end, name)
                         ? TW_OK
                         : tw_redact_no_memory(error);
        }
    }
    tw_buf_free(&text);
    return status;
}

static enum tw_status redact_parts(struct tw_redaction *redaction, json_t *parts,
                                   struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && tw_parts_betweens[i] != NULL; i++) {
        struct spans spans = {0};
        uint64_t failed;
        tw_parts_detect(redaction->policy, &redaction->work, redaction->detectors, parts,
                        tw_parts_betweens[i], on_found, &spans, &failed);
        status = spans.failed  ? tw_redact_no_memory(error)
                 : failed != 0 ? refuse_slow(redaction, failed, error)
                               : TW_OK;
        merge(&spans);
        if (status == TW_OK && spans.n > 0) {
            status = replace_across(redaction, parts, tw_parts_betweens[i], &spans, error);
        }
        tw_mem_free(spans.items);
    }
    return status;
}

/* Before each part alone: what is found in one may be the end of something longer. */
static enum tw_status redact_all_parts(struct tw_redaction *redaction, const json_t *value,
                                       struct tw_error *error)
{
    const char *key;
    json_t *item;
    size_t i;
    enum tw_status status = TW_OK;
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        if (status == TW_OK && json_is_array(item) && tw_parts_are_in(key)) {
            status = redact_parts(redaction, item, error);
        }
        status = status == TW_OK ? redact_all_parts(redaction, item, error) : status;
    }
    json_array_foreach (value, i, item) {
        status = status == TW_OK ? redact_all_parts(redaction, item, error) : status;
    }
    return status;
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
        json_t *inner; /* what cannot be read fails when it is to be replaced in */
        if (tw_redact_parse(text, n, texts_deep, &inner, NULL) == TW_OK && inner != NULL) {
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
    enum tw_status status = redact_all_parts(redaction, body, error);
    status = status == TW_OK ? redact_value(redaction, &same, 0, 0, error) : status;
    json_decref(same);
    return status;
}
