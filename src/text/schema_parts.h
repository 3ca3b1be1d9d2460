/* schema_parts.h: the inside of the schema compiler, for its files alone.
 *
 * Schemas are numbered as they are met; a set of schemas that must all hold is a sorted set of such
 * numbers, kept once in `sets` ("a conjunction", named by its id). Expanding a conjunction follows
 * $ref, allOf, anyOf and oneOf and gives alternatives: conjunctions of schemas whose own keywords,
 * these four left aside, say everything.
 *
 *     schema_expand.c    alternatives         schema_keywords.c  keywords, places, errors
 *     schema_value.c     values by type       schema_object.c    objects
 *     schema_disjoint.c  oneOf                schema_format.c    formats as patterns
 *
 * Rules are written from a queue, so that recursion of a schema is no recursion here.
 */
#ifndef TW_TEXT_SCHEMA_PARTS_H
#define TW_TEXT_SCHEMA_PARTS_H

#include "text/number_range.h"
#include "text/schema.h"
#include "text/set_index.h"

enum {
    TW_TYPE_NULL = 1,
    TW_TYPE_BOOLEAN = 2,
    TW_TYPE_INTEGER = 4,
    TW_TYPE_FRACTION = 8, /* a number that need not be an integer */
    TW_TYPE_STRING = 16,
    TW_TYPE_ARRAY = 32,
    TW_TYPE_OBJECT = 64,
    TW_TYPE_ANY = 127
};

/* What a queued rule writes; its other number is a conjunction, or a value's number. */
enum tw_schema_rule {
    TW_SCHEMA_STRING,
    TW_SCHEMA_ENUM_STRINGS, /* those of a conjunction with enum or const */
    TW_SCHEMA_ARRAY,
    TW_SCHEMA_OBJECT,
    TW_SCHEMA_LITERAL /* a string, array or object as it stands */
};

struct tw_schema_cell {
    uint32_t value, next; /* next: cell plus one; 0 ends */
};

/* A schema on its way into an alternative, and what brought it in. */
struct tw_schema_item {
    uint32_t schema, parent; /* parent: item plus one */
};

struct tw_schema_span {
    uint32_t first, n, is_known;
};

struct tw_schema_compiler {
    struct tw_grammar *grammar;
    struct tw_budget *budget;
    struct tw_arena arena; /* parsed patterns */
    const json_t *root;
    struct tw_error *error;
    enum tw_status status;
    struct tw_list values;       /* const json_t *, by number */
    struct tw_list slots;        /* uint32_t, hash of values: number plus one */
    struct tw_set_index sets;    /* conjunctions */
    struct tw_list spans;        /* struct tw_schema_span by conjunction: its alternatives */
    struct tw_list alternatives; /* uint32_t, conjunctions */
    struct tw_set_index queue;   /* {enum tw_schema_rule, number} */
    struct tw_list rules;        /* uint32_t, the rule of each in the queue */
    struct tw_list cells;        /* struct tw_schema_cell, work space of expanding */
    struct tw_list items;        /* struct tw_schema_item, likewise */
    int n_expanding;             /* expansions that wait for each other */
};

/* ---- keywords ---- */

/* False after any failure: callers stop. */
bool tw_schema_goes_on(const struct tw_schema_compiler *c);

/* The first failure is kept: "schema, #/the/place/keyword: ...". */
void tw_schema_fail(struct tw_schema_compiler *c, enum tw_status status, const json_t *schema,
                    const char *keyword, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Every keyword is known, and those that are lists, objects or schemas are such. */
void tw_schema_check(struct tw_schema_compiler *c, const json_t *schema);

/* The schema a "#/..." reference means, or NULL after a failure. */
const json_t *tw_schema_resolve(struct tw_schema_compiler *c, const json_t *schema);

/* A count such as maxItems: combined into *count as the larger (is_least) or smaller one. */
void tw_schema_read_count(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                          bool is_least, uint32_t *count);

/* ---- numbers for values, conjunctions ---- */

uint32_t tw_schema_number(struct tw_schema_compiler *c, const json_t *value);
const json_t *tw_schema_value(const struct tw_schema_compiler *c, uint32_t number);

/* numbers is sorted in place. TW_SET_NONE when the budget is used up. */
uint32_t tw_schema_conjunction(struct tw_schema_compiler *c, uint32_t *numbers, uint32_t n);

/* Schema i of a conjunction, NULL behind the last. */
const json_t *tw_schema_at(const struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i);

/* Of the alternatives of a conjunction, the ids; valid until the next call that expands. */
const uint32_t *tw_schema_expand(struct tw_schema_compiler *c, uint32_t conjunction,
                                 uint32_t *ret_n);

/* Whether no value is allowed by both. False: not proved. */
bool tw_schema_are_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth);

/* ---- what a conjunction of plain schemas says ---- */

int tw_schema_types(struct tw_schema_compiler *c, uint32_t conjunction);
bool tw_schema_has(const struct tw_schema_compiler *c, uint32_t conjunction, const char *keyword);
struct tw_number_range tw_schema_number_range(struct tw_schema_compiler *c, uint32_t conjunction,
                                              int types);

/* About what it costs to compare a value with another one, in steps. */
uint64_t tw_schema_weight(const json_t *value);

/* The values of enum and const that nothing else in the conjunction forbids: appends numbers.
 * False where there is neither keyword. */
bool tw_schema_enum(struct tw_schema_compiler *c, uint32_t conjunction, struct tw_list *values);

/* A format as a pattern that the whole string matches, or NULL. */
const char *tw_schema_format_pattern(const char *name);

struct tw_char_dfa tw_schema_pattern(struct tw_schema_compiler *c, const json_t *schema,
                                     const char *keyword, struct tw_bytes pattern, bool is_search);

/* ---- grammar ---- */

/* The number of the rule that writes this; it is queued where it is new. */
uint32_t tw_schema_rule_for(struct tw_schema_compiler *c, enum tw_schema_rule kind,
                            uint32_t number);

void tw_schema_add_value(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                         uint32_t to);
void tw_schema_add_literal(struct tw_schema_compiler *c, const json_t *value, uint32_t from,
                           uint32_t to);
/* A byte, then perhaps a space. */
void tw_schema_add_spaced(struct tw_schema_compiler *c, uint32_t from, uint32_t to, char byte);

/* The body of an object's rule. */
void tw_schema_write_object(struct tw_schema_compiler *c, uint32_t conjunction,
                            struct tw_grammar_rule rule);

#endif
