#include "text/jinja_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

/* ---- failure, work, memory ---- */

static void fail(struct tw_jinja *j, enum tw_status status, const char *format, va_list arguments)
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

/* ---- making ---- */

struct tw_jinja_value tw_jinja_undefined(const char *name)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_UNDEFINED, .name = name};
}

struct tw_jinja_value tw_jinja_none(void)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_NONE};
}

struct tw_jinja_value tw_jinja_bool(bool value)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_BOOL, .boolean = value};
}

struct tw_jinja_value tw_jinja_int(int64_t value)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_INT, .integer = value};
}

struct tw_jinja_value tw_jinja_real(double value)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_REAL, .real = value};
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

static void *enlarge(struct tw_jinja *j, void *old, size_t n, size_t item_bytes, size_t *capacity)
{
    size_t larger = *capacity != 0 ? 2 * *capacity : 4;
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

void tw_jinja_append(struct tw_jinja *j, struct tw_jinja_list *list, struct tw_jinja_value item)
{
    if (!tw_jinja_step(j, 1)) {
        return;
    }
    if (list->n_items == list->capacity) {
        void *items = enlarge(j, list->items, list->n_items, sizeof *list->items, &list->capacity);
        if (items == NULL) {
            return;
        }
        list->items = items;
    }
    list->items[list->n_items++] = item;
}

struct tw_jinja_value tw_jinja_pair(struct tw_jinja *j, struct tw_jinja_value first,
                                    struct tw_jinja_value second)
{
    struct tw_jinja_value pair = tw_jinja_list(j, TW_JINJA_TUPLE);
    if (!tw_jinja_failed(j)) {
        tw_jinja_append(j, pair.list, first);
        tw_jinja_append(j, pair.list, second);
    }
    return pair;
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

struct tw_jinja_value *tw_jinja_lookup_text(const struct tw_jinja_dict *dict, const char *key)
{
    for (size_t i = 0; i < dict->n_pairs; i++) {
        if (tw_jinja_string_is(dict->pairs[i].key, key)) {
            return &dict->pairs[i].value;
        }
    }
    return NULL;
}

static void add_pair(struct tw_jinja *j, struct tw_jinja_dict *dict, struct tw_jinja_value key,
                     struct tw_jinja_value value)
{
    if (dict->n_pairs == dict->capacity) {
        void *pairs = enlarge(j, dict->pairs, dict->n_pairs, sizeof *dict->pairs, &dict->capacity);
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
    if (!tw_jinja_hashable(j, key)) {
        tw_jinja_fail(j, "a list or dict cannot be the key of a dict; use a text");
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
    if (j->copies_texts) {
        char *copy = tw_jinja_alloc(j, n_bytes + 1, 1);
        if (copy == NULL) {
            return tw_jinja_undefined(NULL);
        }
        memcpy(copy, text, n_bytes);
        text = copy;
    }
    return tw_jinja_string(j, text, n_bytes, is_input);
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
        return tw_jinja_real(json_real_value(json));
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

/* ---- going through ---- */

bool tw_jinja_can_iterate(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_UNDEFINED ||
           (value.kind >= TW_JINJA_STRING && value.kind <= TW_JINJA_DICT);
}

struct tw_jinja_iterator tw_jinja_iterate(struct tw_jinja *j, struct tw_jinja_value source)
{
    if (!tw_jinja_can_iterate(source)) {
        tw_jinja_fail(j, "there is nothing to go through here: a list, dict or text is needed");
    }
    return (struct tw_jinja_iterator){.source = source};
}

static bool next_char(struct tw_jinja *j, struct tw_jinja_iterator *it,
                      struct tw_jinja_value *ret_item)
{
    const struct tw_jinja_string *s = it->source.string;
    if (it->at >= s->size_bytes) {
        return false;
    }
    uint32_t code;
    size_t n = tw_utf8_decode(s->data + it->at, s->size_bytes - it->at, &code);
    *ret_item = tw_jinja_part(j, it->source, it->at, n);
    ret_item->is_markup = false;
    it->at += n;
    return true;
}

bool tw_jinja_next(struct tw_jinja *j, struct tw_jinja_iterator *it,
                   struct tw_jinja_value *ret_item)
{
    struct tw_jinja_value source = it->source;
    if (!tw_jinja_step(j, 1)) {
        return false;
    }
    if (source.kind == TW_JINJA_STRING) {
        return next_char(j, it, ret_item);
    }
    if (source.kind == TW_JINJA_DICT) {
        if (it->at < source.dict->n_pairs) {
            *ret_item = source.dict->pairs[it->at++].key;
            return true;
        }
        return false;
    }
    if (!tw_jinja_can_iterate(source) || source.kind == TW_JINJA_UNDEFINED) {
        return false;
    }
    size_t *at = source.kind == TW_JINJA_STREAM ? &source.list->n_taken : &it->at;
    if (*at >= source.list->n_items) {
        return false;
    }
    *ret_item = source.list->items[(*at)++];
    return true;
}

struct tw_jinja_value tw_jinja_collect(struct tw_jinja *j, struct tw_jinja_value source,
                                       enum tw_jinja_kind kind)
{
    struct tw_jinja_value list = tw_jinja_list(j, kind), item;
    struct tw_jinja_iterator it = tw_jinja_iterate(j, source);
    while (tw_jinja_next(j, &it, &item)) {
        tw_jinja_append(j, list.list, item);
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
    case TW_JINJA_RANGE:
    case TW_JINJA_VIEW:
        return (int64_t)value.list->n_items;
    case TW_JINJA_DICT:
        return (int64_t)value.dict->n_pairs;
    default:
        return -1;
    }
}
