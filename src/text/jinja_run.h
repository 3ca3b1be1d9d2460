/* jinja_run.h: a template's tree at work: statements, expressions, calls, and what is built in.
 *
 *     scope of an iteration -> scope of a macro's call -> ... -> scope of the template
 *
 * A name is looked for from the innermost scope outwards. Loops, macros and blocks that are set or
 * filtered open one; "if" does not. What is set in a scope is gone with it.
 *
 * What is built in has a row each. Arguments are put in their places by position or name; a[0] is
 * what the filter or test is applied to, or the method's object.
 *
 *     {"indent", FILTER, indent, 0, "width first blank", 0}: {{ text | indent(2, first=true) }}
 *                                                            a = {text, 2, true, absent}
 *
 * Invariants: those of jinja_value.h. Threads: one per struct tw_jinja; the rows are constant.
 * Errors: a wrong number of arguments, an unknown name of one, a kind that a row cannot take.
 * Limits: TW_LIMIT_JINJA_DEPTH, TW_LIMIT_JINJA_CALLS, TW_LIMIT_JINJA_STEPS.
 */
#ifndef TW_TEXT_JINJA_RUN_H
#define TW_TEXT_JINJA_RUN_H

#include "text/jinja_syntax.h"

struct tw_jinja_arguments {
    struct tw_jinja_list list;
    struct tw_jinja_dict named;
};

struct tw_jinja_variable {
    const struct tw_jinja_name *name;
    struct tw_jinja_value value;
};

struct tw_jinja_scope {
    struct tw_jinja_scope *outer;
    struct tw_jinja_variable *variables;
    size_t n_variables, capacity;
};

struct tw_jinja_macro {
    const struct tw_jinja_node *node;
    struct tw_jinja_scope *scope; /* where it stands */
};

struct tw_jinja_loop {
    const struct tw_jinja_list *items;
    size_t i;
};

/* ---- jinja_run.c ---- */

void tw_jinja_execute(struct tw_jinja *j, const struct tw_jinja_node *statements);
struct tw_jinja_scope *tw_jinja_open_scope(struct tw_jinja *j, struct tw_jinja_scope *outer);
void tw_jinja_set(struct tw_jinja *j, struct tw_jinja_scope *scope,
                  const struct tw_jinja_name *name, struct tw_jinja_value value);
struct tw_jinja_value tw_jinja_get(struct tw_jinja *j, const struct tw_jinja_name *name);
struct tw_jinja_value tw_jinja_call(struct tw_jinja *j, struct tw_jinja_value function,
                                    struct tw_jinja_arguments *arguments);

/* ---- jinja_evaluate.c ---- */

struct tw_jinja_value tw_jinja_evaluate(struct tw_jinja *j, const struct tw_jinja_node *node);
/* object.name and object[key]; undefined where there is none. */
struct tw_jinja_value tw_jinja_item(struct tw_jinja *j, struct tw_jinja_value object,
                                    struct tw_jinja_value key);
/* Ends and stride of a slice may be none. */
struct tw_jinja_value tw_jinja_slice(struct tw_jinja *j, struct tw_jinja_value object,
                                     const struct tw_jinja_value ends[3]);
struct tw_jinja_value tw_jinja_operate(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                       struct tw_jinja_value b);

/* ---- jinja_builtins.c ---- */

/* What a row is. */
enum {
    TW_JINJA_IS_FILTER = 1,
    TW_JINJA_IS_TEST = 2,
    TW_JINJA_IS_FUNCTION = 4,
    TW_JINJA_OF_TEXT = 8,  /* a method of texts; */
    TW_JINJA_OF_LIST = 16, /* of lists; */
    TW_JINJA_OF_DICT = 32, /* of dicts */
    TW_JINJA_AS_TEXT = 64  /* a[0] is made a text before */
};

enum { TW_JINJA_MOST_PARAMETERS = 4 };

struct tw_jinja_builtin {
    const char *name;
    int uses;
    struct tw_jinja_value (*run)(struct tw_jinja *j, int variant, struct tw_jinja_value *a,
                                 struct tw_jinja_arguments *arguments);
    int variant;            /* what rows of one function differ in */
    const char *parameters; /* names with a space between them, "." of one that is not named; NULL:
                             * the row takes the arguments as they are */
    int n_required;
};

#define TW_JINJA_ROW(name)                                                                         \
    static struct tw_jinja_value name(                                                             \
        struct tw_jinja *j __attribute__((unused)), int variant __attribute__((unused)),           \
        struct tw_jinja_value *a __attribute__((unused)),                                          \
        struct tw_jinja_arguments *arguments __attribute__((unused)))

/* A row that has one of the uses; or NULL. */
const struct tw_jinja_builtin *tw_jinja_find_builtin(int uses, const char *name, size_t n_bytes);
struct tw_jinja_value tw_jinja_run_builtin(struct tw_jinja *j,
                                           const struct tw_jinja_builtin *builtin,
                                           struct tw_jinja_value self,
                                           struct tw_jinja_arguments *arguments);
/* The rows: jinja_texts.c and jinja_sequences.c. */
extern const struct tw_jinja_builtin tw_jinja_text_rows[], tw_jinja_sequence_rows[];

/* For rows: an argument as what it must be, or a failure. */
bool tw_jinja_is_given(struct tw_jinja_value value); /* neither absent nor none */
int64_t tw_jinja_int_argument(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_absent);
struct tw_jinja_string *tw_jinja_string_argument(struct tw_jinja *j, struct tw_jinja_value value);
/* A text in lower case. */
struct tw_jinja_value tw_jinja_lower(struct tw_jinja *j, struct tw_jinja_value text);

#endif
