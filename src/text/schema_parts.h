/* schema_parts.h: the inside of the schema compiler, for its files alone.
 *
 * Schemas are numbered as they are met; a set of schemas that must all hold is a sorted set of such
 * numbers, kept once in `sets` ("a conjunction", named by its id). Expanding a conjunction follows
 * $ref, allOf, anyOf and oneOf and gives alternatives: conjunctions of schemas whose own keywords,
 * these four left aside, say everything.
 *
 *     schema_expand.c    alternatives         schema_keywords.c  keywords, places, errors
 *     schema_value.c     values by type       schema_object.c    objects
 *     schema_disjoint.c  oneOf                schema_scalar.c    types, numbers, strings, enum
 *
 * Rules are written from a queue, so that recursion of a schema is no recursion here.
 */
#ifndef TW_TEXT_SCHEMA_PARTS_H
#define TW_TEXT_SCHEMA_PARTS_H

#include "text/number_range.h"
#include "text/schema.h"

enum {
    TW_TYPE_NULL = 1,
    TW_TYPE_BOOLEAN = 2,
    TW_TYPE_INTEGER = 4,
    TW_TYPE_FRACTION = 8, /* a number that need not be an integer */
    TW_TYPE_NUMBER = TW_TYPE_INTEGER | TW_TYPE_FRACTION,
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

struct tw_schema_compiler {
    struct tw_grammar *grammar;
    struct tw_budget *budget;
    const json_t *root;
    struct tw_error *error;
    enum tw_status status;
    struct tw_tuples values;     /* addresses of json_t, as two halves */
    struct tw_tuples sets;       /* conjunctions */
    struct tw_list spans;        /* by conjunction: its alternatives */
    struct tw_list alternatives; /* uint32_t, conjunctions */
    struct tw_tuples queue;      /* {enum tw_schema_rule, number} */
    struct tw_list rules;        /* uint32_t, the rule of each in the queue */
    struct tw_list stack;        /* uint32_t, schemas of conjunctions being put together */
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

/* Counts such as minItems and maxItems, of all schemas of a conjunction. */
struct tw_schema_counts {
    uint32_t least, most; /* most may be TW_EXPR_NO_END */
};
struct tw_schema_counts tw_schema_read_counts(struct tw_schema_compiler *c, uint32_t conjunction,
                                              const char *least, const char *most);

/* ---- numbers for values, conjunctions ---- */

uint32_t tw_schema_number(struct tw_schema_compiler *c, const json_t *value);
const json_t *tw_schema_value(const struct tw_schema_compiler *c, uint32_t number);

/* Pushes a schema on the stack, NULL being none; makes a conjunction of what was pushed from place
 * `base` on. TW_TUPLE_NONE when the budget is used up. */
void tw_schema_push(struct tw_schema_compiler *c, const json_t *schema);
uint32_t tw_schema_pop(struct tw_schema_compiler *c, uint32_t base);

/* Schema i of a conjunction, NULL behind the last. */
const json_t *tw_schema_at(const struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i);

/* How many alternatives a conjunction has, and one of them. */
uint32_t tw_schema_expand(struct tw_schema_compiler *c, uint32_t conjunction);
uint32_t tw_schema_alternative(const struct tw_schema_compiler *c, uint32_t conjunction,
                               uint32_t i);

/* Whether no value is allowed by both. False: not proved. */
bool tw_schema_are_disjoint(struct tw_schema_compiler *c, uint32_t a, uint32_t b, int depth);

/* ---- what a conjunction of plain schemas says ---- */

bool tw_schema_has_any(const json_t *schema, const char *const *keywords);
extern const char *const tw_schema_string_keywords[], *const tw_schema_array_keywords[],
                                                          *const tw_schema_object_keywords[];

int tw_schema_types(struct tw_schema_compiler *c, uint32_t conjunction);
int tw_schema_type_of(const json_t *value);
struct tw_number_range tw_schema_number_range(struct tw_schema_compiler *c, uint32_t conjunction);
tw_expr tw_schema_strings(struct tw_schema_compiler *c, uint32_t conjunction);

/* The conjunction for the value of a member; NULL: of a member that is not declared. */
uint32_t tw_schema_member(struct tw_schema_compiler *c, uint32_t conjunction, const char *name);

/* About what it costs to compare a value with another one, in steps. */
uint64_t tw_schema_weight(const json_t *value);

/* The values of enum and const that nothing else in the conjunction forbids: appends numbers.
 * False where there is neither keyword. */
bool tw_schema_enum(struct tw_schema_compiler *c, uint32_t conjunction, struct tw_list *values);

/* ---- grammar ---- */

/* The number of the rule that writes this; it is queued where it is new. */
uint32_t tw_schema_rule_for(struct tw_schema_compiler *c, enum tw_schema_rule kind,
                            uint32_t number);

void tw_schema_add_value(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                         uint32_t to);
/* A byte, then perhaps a space. */
void tw_schema_add_spaced(struct tw_schema_compiler *c, uint32_t from, uint32_t to, char byte);
/* A name behind its opening quote, and the colon; where the value begins is returned. names: any
 * name of the expression, where name is NULL. */
uint32_t tw_schema_add_name(struct tw_schema_compiler *c, uint32_t from, const char *name,
                            tw_expr names);

/* The body of an object's rule. */
void tw_schema_write_object(struct tw_schema_compiler *c, uint32_t conjunction,
                            struct tw_grammar_rule rule);

#endif
