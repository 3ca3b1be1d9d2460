#define _GNU_SOURCE
#include "app/eval_score.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "text/bytes.h"

#define CALL_BEGIN "<tool_call>"
#define CALL_END   "</tool_call>"

static const struct {
    const char *name;
    unsigned kinds; /* that have it */
} score_rows[TW_EVAL_SCORE_COUNT] = {
    [TW_EVAL_VALID] = {"valid", 1u << TW_EVAL_JSON},
    [TW_EVAL_FIELDS] = {"fields", 1u << TW_EVAL_JSON},
    [TW_EVAL_OBJECTS] = {"objects", 1u << TW_EVAL_JSON},
    [TW_EVAL_NAME] = {"name", 1u << TW_EVAL_TOOL_CALL},
    [TW_EVAL_CALL] = {"call", 1u << TW_EVAL_TOOL_CALL},
    [TW_EVAL_RIGHT] = {"right", 1u << TW_EVAL_CONTAINS | 1u << TW_EVAL_EXACT},
    [TW_EVAL_PASSED] = {"passed", (1u << TW_EVAL_KIND_COUNT) - 1},
};

const char *tw_eval_score_name(enum tw_eval_score_id id)
{
    assert(id >= TW_EVAL_VALID && id < TW_EVAL_SCORE_COUNT);
    return score_rows[id].name;
}

bool tw_eval_kinds_have(unsigned kinds, enum tw_eval_score_id id)
{
    return (kinds & score_rows[id].kinds) != 0;
}

/* ---- JSON values ---- */

/* A double beside an integer is not rounded into equality: 2^53 + 1 is not 2^53. */
static bool equal_mixed(json_int_t integer, double real)
{
    return real >= -0x1p63 && real < 0x1p63 && floor(real) == real && (json_int_t)real == integer;
}

static bool equal_numbers(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        return json_integer_value(a) == json_integer_value(b);
    }
    if (json_is_integer(a)) {
        return equal_mixed(json_integer_value(a), json_real_value(b));
    }
    if (json_is_integer(b)) {
        return equal_mixed(json_integer_value(b), json_real_value(a));
    }
    return json_real_value(a) == json_real_value(b);
}

static bool equal_values(const json_t *a, const json_t *b);

static bool equal_objects(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *item;
    bool equal = json_object_size(a) == json_object_size(b);
    json_object_foreach ((json_t *)(uintptr_t)a, key, item) {
        equal = equal && equal_values(item, json_object_get(b, key));
    }
    return equal;
}

static bool equal_arrays(const json_t *a, const json_t *b)
{
    bool equal = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; equal && i < json_array_size(a); i++) {
        equal = equal_values(json_array_get(a, i), json_array_get(b, i));
    }
    return equal;
}

/* b may be NULL. Recurses as deep as the parser allowed. */
static bool equal_values(const json_t *a, const json_t *b)
{
    if (b == NULL) {
        return false;
    }
    if (json_is_number(a) && json_is_number(b)) {
        return equal_numbers(a, b);
    }
    if (json_typeof(a) != json_typeof(b)) {
        return false;
    }
    if (json_is_object(a)) {
        return equal_objects(a, b);
    }
    return json_is_array(a) ? equal_arrays(a, b) : json_equal(a, b);
}

/* ---- texts ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct tw_bytes trim(struct tw_bytes text)
{
    while (text.size_bytes > 0 && is_space(text.data[0])) {
        text.data++;
        text.size_bytes--;
    }
    while (text.size_bytes > 0 && is_space(text.data[text.size_bytes - 1])) {
        text.size_bytes--;
    }
    return text;
}

static struct tw_bytes text_of(const json_t *string)
{
    return (struct tw_bytes){json_string_value(string), json_string_length(string)};
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool equal_texts(struct tw_bytes a, struct tw_bytes b)
{
    bool equal = a.size_bytes == b.size_bytes;
    for (size_t i = 0; equal && i < a.size_bytes; i++) {
        equal = lower(a.data[i]) == lower(b.data[i]);
    }
    return equal;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_in_word(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* Does the number with the digit at `at` go on at `next`, or behind the point or comma there? */
static bool goes_on(struct tw_bytes text, size_t at, size_t next, size_t behind)
{
    if (next >= text.size_bytes || !is_digit(text.data[at])) {
        return false;
    }
    bool is_point = text.data[next] == '.' || text.data[next] == ',';
    return is_digit(text.data[next]) ||
           (is_point && behind < text.size_bytes && is_digit(text.data[behind]));
}

/* Is text [begin, end) there as itself, not as a piece of another word or number? Where it ends
 * with a letter the word may go on. Places before the text are beyond its end, being unsigned. */
static bool stands_alone(struct tw_bytes text, size_t begin, size_t end)
{
    bool cuts_word = begin > 0 && is_in_word(text.data[begin]) && is_in_word(text.data[begin - 1]);
    return !cuts_word && !goes_on(text, begin, begin - 1, begin - 2) &&
           !goes_on(text, end - 1, end, end + 1);
}

static bool contains(struct tw_bytes text, struct tw_bytes part)
{
    for (size_t at = 0; at + part.size_bytes <= text.size_bytes; at++) {
        if (equal_texts((struct tw_bytes){text.data + at, part.size_bytes}, part) &&
            stands_alone(text, at, at + part.size_bytes)) {
            return true;
        }
    }
    return false;
}

static bool contains_any(struct tw_bytes text, const json_t *parts)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        if (contains(text, text_of(json_array_get(parts, i)))) {
            return true;
        }
    }
    return false;
}

static bool is_right_contains(const json_t *expect, struct tw_bytes answer)
{
    const json_t *all = json_object_get(expect, "all");
    bool right = !contains_any(answer, json_object_get(expect, "none"));
    for (size_t i = 0; right && i < json_array_size(all); i++) {
        right = contains_any(answer, json_array_get(all, i));
    }
    return right;
}

/* What counts of a text in an exact comparison. */
static struct tw_bytes without_full_stop(struct tw_bytes text)
{
    text = trim(text);
    if (text.size_bytes > 0 && text.data[text.size_bytes - 1] == '.') {
        text.size_bytes--;
    }
    return text;
}

static bool is_right_exact(const json_t *expect, struct tw_bytes answer)
{
    const json_t *any = json_object_get(expect, "any");
    struct tw_bytes text = without_full_stop(answer);
    bool right = false;
    for (size_t i = 0; !right && i < json_array_size(any); i++) {
        right = equal_texts(text, without_full_stop(text_of(json_array_get(any, i))));
    }
    return right;
}

/* ---- scores ---- */

/* *ret_value: the object that the text is, or NULL where it is none. The caller frees it. */
static enum tw_status parse_object(struct tw_bytes text, json_t **ret_value, struct tw_error *error)
{
    json_t *value = NULL;
    if (tw_json_parse(text.data, text.size_bytes, "an answer", &value, error) == TW_ERR_MEMORY) {
        return TW_ERR_MEMORY;
    }
    if (value != NULL && !json_is_object(value)) {
        json_decref(value);
        value = NULL;
    }
    *ret_value = value;
    return TW_OK;
}

static void set(struct tw_eval_scores *scores, enum tw_eval_score_id id, bool right)
{
    scores->shares[id] = (struct tw_eval_share){right ? 1 : 0, 1};
}

static enum tw_status score_json(const json_t *expect, struct tw_bytes answer,
                                 struct tw_eval_scores *scores, struct tw_error *error)
{
    const json_t *expected = json_object_get(expect, "value");
    struct tw_eval_share fields = {0, json_object_size(expected)};
    json_t *found;
    enum tw_status status = parse_object(trim(answer), &found, error);
    if (status != TW_OK) {
        return status;
    }
    const char *key;
    json_t *item;
    json_object_foreach ((json_t *)(uintptr_t)expected, key, item) {
        fields.right += equal_values(item, json_object_get(found, key)) ? 1 : 0;
    }
    json_object_foreach (found, key, item) {
        fields.of += json_object_get(expected, key) == NULL ? 1 : 0;
    }
    scores->shares[TW_EVAL_FIELDS] = fields;
    set(scores, TW_EVAL_VALID, found != NULL);
    set(scores, TW_EVAL_OBJECTS, found != NULL && fields.right == fields.of);
    json_decref(found);
    return TW_OK;
}

static bool is_at(const char *at, size_t n_bytes, const char *tag)
{
    return n_bytes >= strlen(tag) && memcmp(at, tag, strlen(tag)) == 0;
}

/* What stands between the first opening and the last closing tag; empty where they are not there or
 * another call begins behind them. Two calls between them, or one in another, leave a tag outside
 * of a JSON string: that is no JSON object. */
static struct tw_bytes inside_call(struct tw_bytes text)
{
    const struct tw_bytes none = {"", 0};
    const char *text_end = text.data + text.size_bytes;
    const char *begin = memmem(text.data, text.size_bytes, CALL_BEGIN, strlen(CALL_BEGIN));
    if (begin == NULL) {
        return none;
    }
    begin += strlen(CALL_BEGIN);
    const char *end = text_end;
    while (end > begin && !is_at(end, (size_t)(text_end - end), CALL_END)) {
        if (is_at(end, (size_t)(text_end - end), CALL_BEGIN)) {
            return none;
        }
        end--;
    }
    return (struct tw_bytes){begin, (size_t)(end - begin)};
}

static enum tw_status score_call(const json_t *expect, struct tw_bytes answer,
                                 struct tw_eval_scores *scores, struct tw_error *error)
{
    struct tw_bytes text = trim(answer);
    struct tw_bytes inside = inside_call(text);
    bool alone = inside.size_bytes + strlen(CALL_BEGIN) + strlen(CALL_END) == text.size_bytes;
    json_t *call;
    enum tw_status status = parse_object(inside, &call, error);
    if (status != TW_OK) {
        return status;
    }
    bool name = call != NULL &&
                equal_values(json_object_get(expect, "name"), json_object_get(call, "name"));
    bool arguments = call != NULL && equal_values(json_object_get(expect, "arguments"),
                                                  json_object_get(call, "arguments"));
    set(scores, TW_EVAL_NAME, name);
    set(scores, TW_EVAL_CALL, name && arguments && alone && json_object_size(call) == 2);
    json_decref(call);
    return TW_OK;
}

enum tw_status tw_eval_score(const struct tw_eval_row *row, const char *answer, size_t answer_bytes,
                             struct tw_eval_scores *ret_scores, struct tw_error *error)
{
    static const enum tw_eval_score_id passing[TW_EVAL_KIND_COUNT] = {
        [TW_EVAL_JSON] = TW_EVAL_OBJECTS,
        [TW_EVAL_TOOL_CALL] = TW_EVAL_CALL,
        [TW_EVAL_CONTAINS] = TW_EVAL_RIGHT,
        [TW_EVAL_EXACT] = TW_EVAL_RIGHT,
    };
    struct tw_bytes text = {answer_bytes > 0 ? answer : "", answer_bytes};
    struct tw_eval_scores scores = {0};
    enum tw_status status = TW_OK;
    switch (row->kind) {
    case TW_EVAL_JSON:
        status = score_json(row->expect, text, &scores, error);
        break;
    case TW_EVAL_TOOL_CALL:
        status = score_call(row->expect, text, &scores, error);
        break;
    case TW_EVAL_CONTAINS:
        set(&scores, TW_EVAL_RIGHT, is_right_contains(row->expect, text));
        break;
    case TW_EVAL_EXACT:
        set(&scores, TW_EVAL_RIGHT, is_right_exact(row->expect, text));
        break;
    case TW_EVAL_KIND_COUNT:
        assert(false);
    }
    if (status == TW_OK) {
        scores.shares[TW_EVAL_PASSED] = scores.shares[passing[row->kind]];
        *ret_scores = scores;
    }
    return status;
}

/* ---- shares ---- */

void tw_eval_scores_add(struct tw_eval_scores *sum, const struct tw_eval_scores *more)
{
    for (int i = 0; i < TW_EVAL_SCORE_COUNT; i++) {
        sum->shares[i].right += more->shares[i].right;
        sum->shares[i].of += more->shares[i].of;
    }
}

double tw_eval_share_value(struct tw_eval_share share)
{
    return share.of > 0 ? (double)share.right / (double)share.of : 0.0;
}

/* E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927. */
struct tw_eval_interval tw_eval_share_interval(struct tw_eval_share share)
{
    const double z = 1.959963984540054; /* 97.5% of a normal distribution lie below */
    if (share.of == 0) {
        return (struct tw_eval_interval){0.0, 1.0};
    }
    double n = (double)share.of;
    double p = tw_eval_share_value(share);
    double middle = p + z * z / (2.0 * n);
    double half = z * sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
    double scale = 1.0 + z * z / n;
    /* At the ends the terms are equal and rounding alone would decide. */
    return (struct tw_eval_interval){share.right == 0 ? 0.0 : (middle - half) / scale,
                                     share.right == share.of ? 1.0 : (middle + half) / scale};
}
