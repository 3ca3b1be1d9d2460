/* jinja_value.h: the values of a template at work, and where every byte of a string came from.
 *
 *     undefined none bool int real string | list tuple | dict namespace
 *     loop macro function                 | absent: an argument that was not given
 *
 * A string carries spans: stretches of bytes that the template wrote or that came with the data.
 * Strings are made by a builder only, which copies the spans of what is put into it, so that no
 * operation can lose them. Numbers, lists and dicts have one mark for the whole.
 *
 *     '<|im_start|>' + message.role + '\n' + message.content
 *     [ template    ] [ word        ][tpl.] [ data          ]
 *
 * Invariants: 1. Strings never change; a list or dict is shared by all who hold it, as in Python.
 * 2. After a failure every operation does nothing and gives undefined, so that callers look at
 * tw_jinja_failed where they loop or have an effect, not after each step. 3. Everything lives in
 * the arena of one rendering. 4. Work is counted where it is done, so that none is free.
 * Threads: one at a time per struct tw_jinja.
 * Errors: the first one stays, with the template's line. Limits: TW_LIMIT_JINJA_*.
 */
#ifndef TW_TEXT_JINJA_VALUE_H
#define TW_TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer.h"

enum tw_jinja_kind {
    TW_JINJA_UNDEFINED = 0,
    TW_JINJA_NONE,
    TW_JINJA_BOOL,
    TW_JINJA_INT,
    TW_JINJA_REAL,
    TW_JINJA_STRING,
    TW_JINJA_LIST,
    TW_JINJA_TUPLE,
    TW_JINJA_DICT,
    TW_JINJA_NAMESPACE,
    TW_JINJA_LOOP,
    TW_JINJA_MACRO,
    TW_JINJA_FUNCTION,
    TW_JINJA_ABSENT
};

struct tw_jinja_value {
    uint8_t kind;
    bool is_input; /* came with the data; of strings, the spans count instead */
    union {
        bool boolean;
        int64_t integer;
        double real;      /* finite */
        const char *name; /* of what is undefined, or NULL */
        struct tw_jinja_string *string;
        struct tw_jinja_list *list; /* tuple, too */
        struct tw_jinja_dict *dict; /* namespace, too */
        const struct tw_jinja_loop *loop;
        struct tw_jinja_macro *macro;
        const struct tw_jinja_builtin *function;
    };
};

struct tw_jinja_string {
    const char *data;
    size_t size_bytes;
    size_t n_chars;                   /* SIZE_MAX: not counted yet */
    const struct tw_text_span *spans; /* [n_spans]; the last one may reach beyond the string */
    size_t n_spans;
    struct tw_jinja_builder *owner; /* that + may still append to, or NULL */
};

struct tw_jinja_list {
    struct tw_jinja_value *items;
    size_t n_items, capacity;
};

struct tw_jinja_pair {
    struct tw_jinja_value key, value;
};

struct tw_jinja_dict {
    struct tw_jinja_pair *pairs; /* in the order they were put in */
    size_t n_pairs, capacity;
};

enum tw_jinja_leaving { TW_JINJA_STAY = 0, TW_JINJA_BREAK, TW_JINJA_CONTINUE };

/* One rendering. */
struct tw_jinja {
    struct tw_arena arena;
    enum tw_status status;
    struct tw_error *error; /* may be NULL */
    uint32_t line;          /* of what is at work */
    uint64_t n_steps;
    int depth, n_calls;
    const struct tm *now; /* or NULL: there is no date */
    struct tw_jinja_builder *out;
    struct tw_jinja_scope *scope;
    enum tw_jinja_leaving leaving; /* a break or continue on its way to its loop */
};

/* ---- failure, work, memory ---- */

static inline bool tw_jinja_failed(const struct tw_jinja *j)
{
    return j->status != TW_OK;
}

/* Gives undefined, for callers that fail and return in one line. */
struct tw_jinja_value tw_jinja_fail(struct tw_jinja *j, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct tw_jinja_value tw_jinja_fail_limit(struct tw_jinja *j, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says that a value is undefined and by what name. */
struct tw_jinja_value tw_jinja_fail_undefined(struct tw_jinja *j, struct tw_jinja_value value);

/* Counts work; false when there was a failure or there is too much of it. */
bool tw_jinja_step(struct tw_jinja *j, uint64_t n_steps);
/* Around recursion; leave only if enter was true. */
bool tw_jinja_enter(struct tw_jinja *j);
void tw_jinja_leave(struct tw_jinja *j);

/* NULL after a failure. Zeroed. */
void *tw_jinja_alloc(struct tw_jinja *j, size_t n, size_t item_bytes);
/* A larger block with the first n items of the old one, at least `wanted`; NULL after a failure. */
void *tw_jinja_enlarge(struct tw_jinja *j, const void *old, size_t n, size_t wanted,
                       size_t item_bytes, size_t *capacity);

/* ---- strings ---- */

struct tw_jinja_builder {
    struct tw_jinja *j;
    char *data;
    size_t size_bytes, capacity_bytes;
    struct tw_text_span *spans;
    size_t n_spans, capacity_spans;
};

struct tw_jinja_builder tw_jinja_builder(struct tw_jinja *j);
void tw_jinja_put(struct tw_jinja_builder *b, const char *data, size_t n_bytes, bool is_input);
void tw_jinja_put_text(struct tw_jinja_builder *b, const char *text, bool is_input);
void tw_jinja_put_code(struct tw_jinja_builder *b, uint32_t code, bool is_input);
/* A part of a string, with its spans. */
void tw_jinja_put_part(struct tw_jinja_builder *b, const struct tw_jinja_string *string,
                       size_t from, size_t n_bytes);
/* As str() shows it. */
void tw_jinja_put_value(struct tw_jinja_builder *b, struct tw_jinja_value value);
struct tw_jinja_value tw_jinja_built(struct tw_jinja_builder *b);

/* The bytes are not copied. */
struct tw_jinja_value tw_jinja_string(struct tw_jinja *j, const char *data, size_t n_bytes,
                                      bool is_input);
struct tw_jinja_value tw_jinja_part(struct tw_jinja *j, struct tw_jinja_value string, size_t from,
                                    size_t n_bytes);
struct tw_jinja_value tw_jinja_str(struct tw_jinja *j, struct tw_jinja_value value);
/* Whether the byte came with the data. */
bool tw_jinja_is_input(const struct tw_jinja_string *string, size_t at);
bool tw_jinja_has_input(const struct tw_jinja_string *string);
/* The character at a byte, and its length. */
size_t tw_jinja_char(const struct tw_jinja_string *string, size_t at, uint32_t *ret_code);
size_t tw_jinja_chars(struct tw_jinja *j, struct tw_jinja_string *string);
/* Of the character with that number, at most n_chars. */
size_t tw_jinja_offset(struct tw_jinja *j, struct tw_jinja_string *string, size_t n_chars);
/* Of `what` in string from there on, or SIZE_MAX. */
size_t tw_jinja_find(struct tw_jinja *j, const struct tw_jinja_string *string, size_t from,
                     const struct tw_jinja_string *what);
bool tw_jinja_string_is(struct tw_jinja_value value, const char *text);
/* a + b of two strings. */
struct tw_jinja_value tw_jinja_join_two(struct tw_jinja *j, struct tw_jinja_value a,
                                        struct tw_jinja_value b);
/* What str.isspace says. */
bool tw_jinja_is_space(uint32_t code);

/* ---- other values ---- */

static inline struct tw_jinja_value tw_jinja_undefined(const char *name)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_UNDEFINED, .name = name};
}

static inline struct tw_jinja_value tw_jinja_none(void)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_NONE};
}

static inline struct tw_jinja_value tw_jinja_bool(bool value)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_BOOL, .boolean = value};
}

static inline struct tw_jinja_value tw_jinja_int(int64_t value)
{
    return (struct tw_jinja_value){.kind = TW_JINJA_INT, .integer = value};
}

/* Fails where it is not finite. */
struct tw_jinja_value tw_jinja_real(struct tw_jinja *j, double value);
struct tw_jinja_value tw_jinja_list(struct tw_jinja *j, enum tw_jinja_kind kind);
struct tw_jinja_value tw_jinja_dict(struct tw_jinja *j);
void tw_jinja_append(struct tw_jinja *j, struct tw_jinja_list *list, struct tw_jinja_value item);
/* NULL where there is none. */
struct tw_jinja_value *tw_jinja_lookup(struct tw_jinja *j, const struct tw_jinja_dict *dict,
                                       struct tw_jinja_value key);
/* Fails for keys that are lists, dicts or undefined. */
void tw_jinja_put_pair(struct tw_jinja *j, struct tw_jinja_dict *dict, struct tw_jinja_value key,
                       struct tw_jinja_value value);
/* Marked as data, but for the words that name a role: see jinja.h. */
struct tw_jinja_value tw_jinja_from_json(struct tw_jinja *j, const json_t *json, bool is_input);
/* A number's text, e.g. 12 or 1.5e3; undefined where it is none. */
struct tw_jinja_value tw_jinja_number(struct tw_jinja *j, const char *text, size_t n_bytes);

bool tw_jinja_can_iterate(struct tw_jinja_value value);
/* The items of a list, the keys of a dict, the characters of a text, as a new list or tuple. */
struct tw_jinja_value tw_jinja_collect(struct tw_jinja *j, struct tw_jinja_value source,
                                       enum tw_jinja_kind kind);
/* -1 where Python has no len(). */
int64_t tw_jinja_length(struct tw_jinja *j, struct tw_jinja_value value);

/* ---- comparing ---- */

bool tw_jinja_truth(struct tw_jinja_value value);
bool tw_jinja_equal(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b);
/* op is ==, !=, <, <=, >, >=, in (TW_JINJA_IN) or not in, as in jinja_syntax.h. */
bool tw_jinja_compare(struct tw_jinja *j, int op, struct tw_jinja_value a, struct tw_jinja_value b);
bool tw_jinja_contains(struct tw_jinja *j, struct tw_jinja_value set, struct tw_jinja_value item);
bool tw_jinja_is_number(struct tw_jinja_value value); /* bool, int, real */
bool tw_jinja_is_whole(struct tw_jinja_value value);  /* bool, int */
int64_t tw_jinja_as_int(struct tw_jinja_value whole);
double tw_jinja_as_real(struct tw_jinja_value number);

/* ---- printing: jinja_print.c ---- */

struct tw_jinja_json_style {
    bool ensure_ascii, is_indented;
    struct tw_jinja_value indent; /* of one level, a string */
    struct tw_jinja_value item_separator, key_separator;
};

void tw_jinja_put_json(struct tw_jinja_builder *b, struct tw_jinja_value value,
                       const struct tw_jinja_json_style *style);

#endif
