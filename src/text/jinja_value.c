#include "text/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

/* ---- failure, work, memory ---- */

__attribute__((format(printf, 3, 0))) static void fail(struct tw_jinja *j, enum tw_status status,
                                                       const char *format, va_list arguments)
{
    if (tw_jinja_failed(j)) {
        return;
    }
    char text[TW_LIMIT_ERROR_TEXT_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    j->status =
        tw_error_set(j->error, status, TW_NO_POSITION, "chat template, line %u: %s", j->line, text);
}

struct tw_jinja_value tw_jinja_fail(struct tw_jinja *j, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(j, TW_ERR_FORMAT, format, arguments);
    va_end(arguments);
    return tw_jinja_undefined(NULL);
}

struct tw_jinja_value tw_jinja_fail_limit(struct tw_jinja *j, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(j, TW_ERR_LIMIT, format, arguments);
    va_end(arguments);
    return tw_jinja_undefined(NULL);
}

struct tw_jinja_value tw_jinja_fail_undefined(struct tw_jinja *j, struct tw_jinja_value value)
{
    return tw_jinja_fail(j, "'%.80s' is undefined; the template needs it",
                         value.name != NULL ? value.name : "a value");
}

bool tw_jinja_step(struct tw_jinja *j, uint64_t n_steps)
{
    j->n_steps += n_steps;
    if (j->n_steps > TW_LIMIT_JINJA_STEPS) {
        tw_jinja_fail_limit(j, "more than %d steps of work; give it fewer or shorter messages",
                            TW_LIMIT_JINJA_STEPS);
    }
    return !tw_jinja_failed(j);
}

bool tw_jinja_enter(struct tw_jinja *j)
{
    if (!tw_jinja_step(j, 1)) {
        return false;
    }
    if (j->depth == TW_LIMIT_JINJA_DEPTH) {
        tw_jinja_fail_limit(j, "expressions, calls or values lie deeper than %d in one another",
                            TW_LIMIT_JINJA_DEPTH);
        return false;
    }
    j->depth++;
    return true;
}

void tw_jinja_leave(struct tw_jinja *j)
{
    j->depth--;
}

void *tw_jinja_alloc(struct tw_jinja *j, size_t n, size_t item_bytes)
{
    if (tw_jinja_failed(j)) {
        return NULL;
    }
    void *block = tw_arena_alloc(&j->arena, n > 0 ? n : 1, item_bytes);
    if (block == NULL) {
        tw_jinja_fail_limit(j,
                            "it takes more than %zu bytes of memory, or more than there are; "
                            "give it fewer or shorter messages",
                            TW_LIMIT_JINJA_MEMORY_BYTES);
    }
    return block;
}

void *tw_jinja_enlarge(struct tw_jinja *j, const void *old, size_t n, size_t wanted,
                       size_t item_bytes, size_t *capacity)
{
    size_t larger = *capacity * 2 > wanted ? *capacity * 2 : wanted;
    larger = larger > 64 / item_bytes ? larger : 64 / item_bytes;
    void *block = tw_jinja_alloc(j, larger, item_bytes);
    if (block == NULL) {
        return NULL;
    }
    if (n > 0) {
        memcpy(block, old, n * item_bytes);
    }
    *capacity = larger;
    return block;
}

/* ---- making ---- */

struct tw_jinja_value tw_jinja_real(struct tw_jinja *j, double value)
{
    return isfinite(value) ? (struct tw_jinja_value){.kind = TW_JINJA_REAL, .real = value}
                           : tw_jinja_fail_limit(j, "a number is too large");
}

struct tw_jinja_value tw_jinja_list(struct tw_jinja *j, enum tw_jinja_kind kind)
{
    struct tw_jinja_value value = {.kind = (uint8_t)kind, .list = NULL};
    value.list = tw_jinja_alloc(j, 1, sizeof *value.list);
    return value.list != NULL ? value : tw_jinja_undefined(NULL);
}

struct tw_jinja_value tw_jinja_dict(struct tw_jinja *j)
{
    struct tw_jinja_value value = {.kind = TW_JINJA_DICT, .dict = NULL};
    value.dict = tw_jinja_alloc(j, 1, sizeof *value.dict);
    return value.dict != NULL ? value : tw_jinja_undefined(NULL);
}

void tw_jinja_append(struct tw_jinja *j, struct tw_jinja_list *list, struct tw_jinja_value item)
{
    if (!tw_jinja_step(j, 1)) {
        return;
    }
    if (list->n_items == list->capacity) {
        void *items = tw_jinja_enlarge(j, list->items, list->n_items, list->n_items + 1,
                                       sizeof *list->items, &list->capacity);
        if (items == NULL) {
            return;
        }
        list->items = items;
    }
    list->items[list->n_items++] = item;
}

struct tw_jinja_value *tw_jinja_lookup(struct tw_jinja *j, const struct tw_jinja_dict *dict,
                                       struct tw_jinja_value key)
{
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(j, i % 8 == 7); i++) {
        if (tw_jinja_equal(j, dict->pairs[i].key, key)) {
            return &dict->pairs[i].value;
        }
    }
    return NULL;
}

static void add_pair(struct tw_jinja *j, struct tw_jinja_dict *dict, struct tw_jinja_value key,
                     struct tw_jinja_value value)
{
    if (dict->n_pairs == dict->capacity) {
        void *pairs = tw_jinja_enlarge(j, dict->pairs, dict->n_pairs, dict->n_pairs + 1,
                                       sizeof *dict->pairs, &dict->capacity);
        if (pairs == NULL) {
            return;
        }
        dict->pairs = pairs;
    }
    dict->pairs[dict->n_pairs++] = (struct tw_jinja_pair){key, value};
}

void tw_jinja_put_pair(struct tw_jinja *j, struct tw_jinja_dict *dict, struct tw_jinja_value key,
                       struct tw_jinja_value value)
{
    if (tw_jinja_failed(j) || key.kind < TW_JINJA_NONE || key.kind > TW_JINJA_STRING) {
        tw_jinja_fail(j, "the key of a dict must be a text or a number");
        return;
    }
    struct tw_jinja_value *old = tw_jinja_lookup(j, dict, key);
    if (old != NULL) {
        *old = value;
    } else {
        add_pair(j, dict, key, value);
    }
}

/* ---- from JSON ---- */

/* A template makes markers of roles: '<|' + message.role + '|>'. Words of this list say nothing
 * that the template does not say itself, so that they may. */
static bool names_a_role(const char *key, const json_t *value)
{
    static const char *const roles[] = {"system",  "user",     "assistant",
                                        "tool",    "function", "developer",
                                        "ipython", "model",    "environment"};
    for (size_t i = 0; strcmp(key, "role") == 0 && i < sizeof roles / sizeof *roles; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), roles[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct tw_jinja_value json_text(struct tw_jinja *j, const char *text, size_t n_bytes,
                                       bool is_input)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    tw_jinja_put(&b, text, n_bytes, is_input);
    return tw_jinja_built(&b);
}

static struct tw_jinja_value dict_from_json(struct tw_jinja *j, const json_t *json, bool is_input)
{
    struct tw_jinja_value dict = tw_jinja_dict(j);
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *it = json_object_iter(object); it != NULL && tw_jinja_step(j, 1);
         it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *item = json_object_iter_value(it);
        add_pair(j, dict.dict, json_text(j, key, json_object_iter_key_len(it), is_input),
                 tw_jinja_from_json(j, item, is_input && !names_a_role(key, item)));
    }
    return dict;
}

static struct tw_jinja_value any_from_json(struct tw_jinja *j, const json_t *json, bool is_input)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return dict_from_json(j, json, is_input);
    case JSON_ARRAY: {
        struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
        for (size_t i = 0; !tw_jinja_failed(j) && i < json_array_size(json); i++) {
            tw_jinja_append(j, list.list, tw_jinja_from_json(j, json_array_get(json, i), is_input));
        }
        return list;
    }
    case JSON_STRING:
        return json_text(j, json_string_value(json), json_string_length(json), is_input);
    case JSON_INTEGER:
        return tw_jinja_int(json_integer_value(json));
    case JSON_REAL:
        return tw_jinja_real(j, json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return tw_jinja_bool(json_is_true(json));
    case JSON_NULL:
        break;
    }
    return tw_jinja_none();
}

struct tw_jinja_value tw_jinja_from_json(struct tw_jinja *j, const json_t *json, bool is_input)
{
    if (!tw_jinja_enter(j)) {
        return tw_jinja_undefined(NULL);
    }
    struct tw_jinja_value value = any_from_json(j, json, is_input);
    tw_jinja_leave(j);
    value.is_input = is_input;
    return value;
}

struct tw_jinja_value tw_jinja_number(struct tw_jinja *j, const char *text, size_t n_bytes)
{
    struct tw_jinja_value value = tw_jinja_undefined(NULL);
    struct tw_error error;
    json_t *json = NULL;
    if (!tw_jinja_step(j, 1 + n_bytes / 16)) {
        return value;
    }
    bool is_digits = n_bytes > 0;
    for (size_t i = 0; i < n_bytes; i++) {
        is_digits = is_digits && ((text[i] >= '0' && text[i] <= '9') || (i == 0 && text[i] == '-'));
    }
    if (tw_json_parse(text, n_bytes, "number", &json, &error) != TW_OK) {
        return is_digits && n_bytes > 18 ? tw_jinja_fail_limit(j, "a number has more than 64 bits")
                                         : value;
    }
    if (json_is_number(json)) {
        value = tw_jinja_from_json(j, json, false);
    }
    json_decref(json);
    return value;
}

/* ---- going through ---- */

bool tw_jinja_can_iterate(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_UNDEFINED ||
           (value.kind >= TW_JINJA_STRING && value.kind <= TW_JINJA_DICT);
}

struct tw_jinja_value tw_jinja_collect(struct tw_jinja *j, struct tw_jinja_value source,
                                       enum tw_jinja_kind kind)
{
    struct tw_jinja_value list = tw_jinja_list(j, kind);
    if (!tw_jinja_can_iterate(source)) {
        return tw_jinja_fail(j,
                             "there is nothing to go through here: a list, dict or text is needed");
    }
    if (source.kind == TW_JINJA_STRING) {
        uint32_t code;
        for (size_t at = 0, n; at < source.string->size_bytes && !tw_jinja_failed(j); at += n) {
            n = tw_jinja_char(source.string, at, &code);
            tw_jinja_append(j, list.list, tw_jinja_part(j, source, at, n));
        }
    } else if (source.kind == TW_JINJA_DICT) {
        for (size_t i = 0; i < source.dict->n_pairs && !tw_jinja_failed(j); i++) {
            tw_jinja_append(j, list.list, source.dict->pairs[i].key);
        }
    } else if (source.kind != TW_JINJA_UNDEFINED) {
        for (size_t i = 0; i < source.list->n_items && !tw_jinja_failed(j); i++) {
            tw_jinja_append(j, list.list, source.list->items[i]);
        }
    }
    list.is_input = source.is_input;
    return list;
}

int64_t tw_jinja_length(struct tw_jinja *j, struct tw_jinja_value value)
{
    switch (value.kind) {
    case TW_JINJA_UNDEFINED:
        return 0;
    case TW_JINJA_STRING:
        return (int64_t)tw_jinja_chars(j, value.string);
    case TW_JINJA_LIST:
    case TW_JINJA_TUPLE:
        return (int64_t)value.list->n_items;
    case TW_JINJA_DICT:
        return (int64_t)value.dict->n_pairs;
    default:
        return -1;
    }
}
