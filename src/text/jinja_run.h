/* jinja_run.h: a template's tree at work: statements, expressions, calls.
 *
 *     scope of an iteration -> scope of a macro's call -> ... -> scope of the template
 *
 * A name is looked for from the innermost scope outwards. Loops, macros and blocks that are set or
 * filtered open one; "if" does not. What is set in a scope is gone with it.
 *
 * Invariants: those of jinja_value.h. Threads: one per struct tw_jinja.
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
    const struct tw_jinja_node *node;
    struct tw_jinja_scope *scope; /* outside of the loop */
    struct tw_jinja_iterator iterator;
    int64_t index0; /* -1 before the first item */
    int64_t depth0;
    int64_t n_items; /* -1: not counted yet */
    struct tw_jinja_value before, current, after;
    bool has_after;               /* `after` was taken from the iterator already */
    struct tw_jinja_list drained; /* taken to count them */
    struct tw_jinja_value changed;
};

/* ---- jinja_execute.c ---- */
void tw_jinja_execute(struct tw_jinja *j, const struct tw_jinja_node *statements);
struct tw_jinja_scope *tw_jinja_open_scope(struct tw_jinja *j, struct tw_jinja_scope *outer);
void tw_jinja_set(struct tw_jinja *j, struct tw_jinja_scope *scope,
                  const struct tw_jinja_name *name, struct tw_jinja_value value);
struct tw_jinja_value tw_jinja_get(struct tw_jinja *j, const struct tw_jinja_name *name);
struct tw_jinja_value tw_jinja_call(struct tw_jinja *j, struct tw_jinja_value function,
                                    struct tw_jinja_arguments *arguments);
struct tw_jinja_value tw_jinja_loop_attribute(struct tw_jinja *j, struct tw_jinja_loop *loop,
                                              struct tw_jinja_value self, const char *name);

/* ---- jinja_evaluate.c ---- */
struct tw_jinja_value tw_jinja_evaluate(struct tw_jinja *j, const struct tw_jinja_node *node);
struct tw_jinja_arguments tw_jinja_arguments(struct tw_jinja *j, const struct tw_jinja_node *list);

/* ---- jinja_operate.c ---- */
struct tw_jinja_value tw_jinja_attribute(struct tw_jinja *j, struct tw_jinja_value object,
                                         const char *name, size_t n_bytes);
struct tw_jinja_value tw_jinja_item(struct tw_jinja *j, struct tw_jinja_value object,
                                    struct tw_jinja_value key);
struct tw_jinja_value tw_jinja_slice(struct tw_jinja *j, struct tw_jinja_value object,
                                     struct tw_jinja_value from, struct tw_jinja_value to,
                                     struct tw_jinja_value stride);
struct tw_jinja_value tw_jinja_operate(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                       struct tw_jinja_value b);
struct tw_jinja_value tw_jinja_sign(struct tw_jinja *j, int op, struct tw_jinja_value value);
/* Says that a value is undefined and by what name. */
struct tw_jinja_value tw_jinja_fail_undefined(struct tw_jinja *j, struct tw_jinja_value value);

#endif
