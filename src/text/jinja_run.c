#include "text/jinja_run.h"

#include <string.h>

/* ---- scopes ---- */

struct tw_jinja_scope *tw_jinja_open_scope(struct tw_jinja *j, struct tw_jinja_scope *outer)
{
    struct tw_jinja_scope *scope = tw_jinja_alloc(j, 1, sizeof *scope);
    if (scope != NULL) {
        scope->outer = outer;
    }
    return scope;
}

void tw_jinja_set(struct tw_jinja *j, struct tw_jinja_scope *scope,
                  const struct tw_jinja_name *name, struct tw_jinja_value value)
{
    if (tw_jinja_failed(j)) {
        return;
    }
    for (size_t i = 0; i < scope->n_variables; i++) {
        if (scope->variables[i].name == name) {
            scope->variables[i].value = value;
            return;
        }
    }
    if (scope->n_variables == scope->capacity) {
        void *grown =
            tw_jinja_enlarge(j, scope->variables, scope->n_variables, scope->n_variables + 2,
                             sizeof *scope->variables, &scope->capacity);
        if (grown == NULL) {
            return;
        }
        scope->variables = grown;
    }
    scope->variables[scope->n_variables++] = (struct tw_jinja_variable){name, value};
}

struct tw_jinja_value tw_jinja_get(struct tw_jinja *j, const struct tw_jinja_name *name)
{
    for (const struct tw_jinja_scope *s = j->scope; s != NULL; s = s->outer) {
        for (size_t i = 0; i < s->n_variables; i++) {
            if (s->variables[i].name == name) {
                return s->variables[i].value;
            }
        }
        if (!tw_jinja_step(j, 1 + s->n_variables / 16)) {
            break;
        }
    }
    return tw_jinja_undefined(name->text);
}

static void assign_field(struct tw_jinja *j, const struct tw_jinja_node *target,
                         struct tw_jinja_value value)
{
    struct tw_jinja_value space = tw_jinja_get(j, target->name);
    const struct tw_jinja_name *field = target->b->name;
    struct tw_jinja_value key = tw_jinja_string(j, field->text, field->n_bytes, false);
    if (space.kind != TW_JINJA_NAMESPACE) {
        tw_jinja_fail(j, "'%.60s' is no namespace: only fields of a namespace() can be set",
                      target->name->text);
        return;
    }
    tw_jinja_put_pair(j, space.dict, key, value);
}

static void assign(struct tw_jinja *j, const struct tw_jinja_node *target,
                   struct tw_jinja_value value)
{
    if (target->kind == TW_JINJA_NODE_NAME) {
        tw_jinja_set(j, j->scope, target->name, value);
        return;
    }
    if (target->kind == TW_JINJA_NODE_FIELD) {
        assign_field(j, target, value);
        return;
    }
    struct tw_jinja_value items = tw_jinja_collect(j, value, TW_JINJA_TUPLE);
    size_t i = 0;
    for (const struct tw_jinja_node *n = target->a; n != NULL && !tw_jinja_failed(j);
         n = n->next, i++) {
        if (i < items.list->n_items) {
            tw_jinja_set(j, j->scope, n->name, items.list->items[i]);
        }
    }
    if (!tw_jinja_failed(j) && i != items.list->n_items) {
        tw_jinja_fail(j, "%zu values for %zu names", items.list->n_items, i);
    }
}

/* ---- loops ---- */

/* The items that pass the loop's test. */
static struct tw_jinja_value loop_items(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_scope *outer = j->scope;
    struct tw_jinja_value all = tw_jinja_collect(j, tw_jinja_evaluate(j, node->b), TW_JINJA_LIST);
    if (node->c == NULL) {
        return all;
    }
    struct tw_jinja_value chosen = tw_jinja_list(j, TW_JINJA_LIST);
    for (size_t i = 0; !tw_jinja_failed(j) && i < all.list->n_items; i++) {
        j->scope = tw_jinja_open_scope(j, outer);
        assign(j, node->a, all.list->items[i]);
        if (!tw_jinja_failed(j) && tw_jinja_truth(tw_jinja_evaluate(j, node->c))) {
            tw_jinja_append(j, chosen.list, all.list->items[i]);
        }
    }
    j->scope = outer;
    return chosen;
}

static void execute_for(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_scope *outer = j->scope;
    struct tw_jinja_value items = loop_items(j, node);
    struct tw_jinja_loop *loop = tw_jinja_alloc(j, 1, sizeof *loop);
    if (tw_jinja_failed(j)) {
        return;
    }
    loop->items = items.list;
    for (; loop->i < items.list->n_items && !tw_jinja_failed(j); loop->i++) {
        j->scope = tw_jinja_open_scope(j, outer);
        tw_jinja_set(j, j->scope, node->name,
                     (struct tw_jinja_value){.kind = TW_JINJA_LOOP, .loop = loop});
        assign(j, node->a, items.list->items[loop->i]);
        tw_jinja_execute(j, node->d);
        bool ends = j->leaving == TW_JINJA_BREAK;
        j->leaving = TW_JINJA_STAY;
        if (ends) {
            break;
        }
    }
    if (items.list->n_items == 0) {
        j->scope = tw_jinja_open_scope(j, outer);
        tw_jinja_execute(j, node->e);
    }
    j->scope = outer;
}

/* ---- blocks whose output is caught: set, filter, macros ---- */

/* Runs statements in a scope, with their output in *b. */
static void catch_output(struct tw_jinja *j, struct tw_jinja_scope *scope,
                         const struct tw_jinja_node *statements, struct tw_jinja_builder *b)
{
    struct tw_jinja_builder *out = j->out;
    struct tw_jinja_scope *before = j->scope;
    j->out = b;
    j->scope = scope;
    tw_jinja_execute(j, statements);
    j->scope = before;
    j->out = out;
}

/* node->b are filters around the text of node->c. */
static struct tw_jinja_value filtered_block(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_builder b = tw_jinja_builder(j), *out = j->out;
    catch_output(j, tw_jinja_open_scope(j, j->scope), node->c, &b);
    j->out = &b;
    struct tw_jinja_value value = tw_jinja_evaluate(j, node->b);
    j->out = out;
    return value;
}

static struct tw_jinja_value macro_value(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value value = {.kind = TW_JINJA_MACRO, .macro = NULL};
    value.macro = tw_jinja_alloc(j, 1, sizeof *value.macro);
    if (value.macro == NULL) {
        return tw_jinja_undefined(NULL);
    }
    *value.macro = (struct tw_jinja_macro){node, j->scope};
    return value;
}

/* Parameters by position, by name, by default. j->scope is the macro's. */
static void bind_parameters(struct tw_jinja *j, const struct tw_jinja_node *macro,
                            const struct tw_jinja_arguments *arguments)
{
    size_t n = 0, n_named = 0;
    for (const struct tw_jinja_node *p = macro->a; p != NULL && !tw_jinja_failed(j);
         p = p->next, n++) {
        struct tw_jinja_value name = tw_jinja_string(j, p->name->text, p->name->n_bytes, false);
        const struct tw_jinja_value *named = tw_jinja_failed(j) || arguments->named.n_pairs == 0
                                                 ? NULL
                                                 : tw_jinja_lookup(j, &arguments->named, name);
        if (n < arguments->list.n_items) {
            tw_jinja_set(j, j->scope, p->name, arguments->list.items[n]);
        } else if (named != NULL) {
            tw_jinja_set(j, j->scope, p->name, *named);
            n_named++;
        } else {
            tw_jinja_set(j, j->scope, p->name,
                         p->a != NULL ? tw_jinja_evaluate(j, p->a)
                                      : tw_jinja_undefined(p->name->text));
        }
    }
    if (arguments->list.n_items > n || arguments->named.n_pairs > n_named) {
        tw_jinja_fail(j, "the macro '%.60s' does not take %s", macro->name->text,
                      arguments->list.n_items > n ? "so many arguments"
                                                  : "an argument of this name");
    }
}

static struct tw_jinja_value call_macro(struct tw_jinja *j, const struct tw_jinja_macro *macro,
                                        const struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_scope *before = j->scope, *scope = tw_jinja_open_scope(j, macro->scope);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    if (j->n_calls == TW_LIMIT_JINJA_CALLS) {
        return tw_jinja_fail_limit(j, "macros call each other more than %d deep",
                                   TW_LIMIT_JINJA_CALLS);
    }
    if (tw_jinja_failed(j)) {
        return tw_jinja_undefined(NULL);
    }
    j->n_calls++;
    j->scope = scope;
    bind_parameters(j, macro->node, arguments);
    j->scope = before;
    catch_output(j, scope, macro->node->b, &b);
    j->n_calls--;
    return tw_jinja_built(&b);
}

struct tw_jinja_value tw_jinja_call(struct tw_jinja *j, struct tw_jinja_value function,
                                    struct tw_jinja_arguments *arguments)
{
    if (!tw_jinja_step(j, 1)) {
        return tw_jinja_undefined(NULL);
    }
    switch (function.kind) {
    case TW_JINJA_MACRO:
        return call_macro(j, function.macro, arguments);
    case TW_JINJA_FUNCTION:
        return tw_jinja_run_builtin(j, function.function,
                                    (struct tw_jinja_value){.kind = TW_JINJA_ABSENT}, arguments);
    case TW_JINJA_UNDEFINED:
        return tw_jinja_fail(j, "'%.80s' is undefined and cannot be called",
                             function.name != NULL ? function.name : "a function");
    default:
        return tw_jinja_fail(j, "only a macro, a function or a method can be called");
    }
}

/* ---- statements ---- */

static void put_output(struct tw_jinja *j, struct tw_jinja_value value)
{
    tw_jinja_put_value(j->out, value);
    if (j->out->size_bytes > TW_LIMIT_JINJA_OUTPUT_BYTES) {
        tw_jinja_fail_limit(j, "it writes more than %u bytes", TW_LIMIT_JINJA_OUTPUT_BYTES);
    }
}

static void execute_one(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    switch ((int)node->kind) {
    case TW_JINJA_NODE_DATA:
        put_output(j, node->value);
        return;
    case TW_JINJA_NODE_OUTPUT:
        put_output(j, tw_jinja_evaluate(j, node->a));
        return;
    case TW_JINJA_NODE_IF:
        tw_jinja_execute(j, tw_jinja_truth(tw_jinja_evaluate(j, node->a)) ? node->b : node->c);
        return;
    case TW_JINJA_NODE_FOR:
        execute_for(j, node);
        return;
    case TW_JINJA_NODE_SET:
        assign(j, node->a, tw_jinja_evaluate(j, node->b));
        return;
    case TW_JINJA_NODE_MACRO:
        tw_jinja_set(j, j->scope, node->name, macro_value(j, node));
        return;
    case TW_JINJA_NODE_LEAVE:
        j->leaving = (enum tw_jinja_leaving)node->op;
        return;
    default:
        break;
    }
    struct tw_jinja_value value = filtered_block(j, node);
    if (tw_jinja_failed(j) || j->leaving != TW_JINJA_STAY) {
        return;
    }
    if (node->kind == TW_JINJA_NODE_SET_BLOCK) {
        assign(j, node->a, value);
    } else {
        put_output(j, value);
    }
}

void tw_jinja_execute(struct tw_jinja *j, const struct tw_jinja_node *statements)
{
    if (statements == NULL || !tw_jinja_enter(j)) {
        return;
    }
    for (const struct tw_jinja_node *n = statements;
         n != NULL && !tw_jinja_failed(j) && j->leaving == TW_JINJA_STAY; n = n->next) {
        j->line = n->line;
        if (tw_jinja_step(j, 1)) {
            execute_one(j, n);
        }
    }
    tw_jinja_leave(j);
}
