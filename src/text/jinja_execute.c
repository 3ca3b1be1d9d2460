#include <string.h>

#include "text/jinja_builtins.h"

static void execute_one(struct tw_jinja *j, const struct tw_jinja_node *node);

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
        size_t capacity = scope->capacity != 0 ? 2 * scope->capacity : 4;
        struct tw_jinja_variable *grown = tw_jinja_alloc(j, capacity, sizeof *grown);
        if (grown == NULL) {
            return;
        }
        if (scope->n_variables > 0) {
            memcpy(grown, scope->variables, scope->n_variables * sizeof *grown);
        }
        scope->variables = grown;
        scope->capacity = capacity;
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

static void assign_items(struct tw_jinja *j, const struct tw_jinja_node *target,
                         struct tw_jinja_value value);

static void assign(struct tw_jinja *j, const struct tw_jinja_node *target,
                   struct tw_jinja_value value)
{
    if (target->kind == TW_JINJA_NODE_NAME) {
        tw_jinja_set(j, j->scope, target->name, value);
    } else if (target->kind == TW_JINJA_NODE_TUPLE) {
        assign_items(j, target, value);
    } else {
        struct tw_jinja_value space = tw_jinja_get(j, target->name);
        if (space.kind != TW_JINJA_NAMESPACE) {
            tw_jinja_fail(j, "'%.60s' is no namespace: only fields of a namespace() can be set",
                          target->name->text);
            return;
        }
        struct tw_jinja_value key =
            tw_jinja_string(j, target->b->name->text, target->b->name->n_bytes, false);
        if (!tw_jinja_failed(j)) {
            tw_jinja_put_pair(j, space.dict, key, value);
        }
    }
}

static void assign_items(struct tw_jinja *j, const struct tw_jinja_node *target,
                         struct tw_jinja_value value)
{
    struct tw_jinja_iterator it = tw_jinja_iterate(j, value);
    struct tw_jinja_value item;
    for (const struct tw_jinja_node *n = target->a; n != NULL; n = n->next) {
        if (!tw_jinja_next(j, &it, &item)) {
            tw_jinja_fail(j, "there are more names than values to assign");
            return;
        }
        assign(j, n, item);
    }
    if (tw_jinja_next(j, &it, &item)) {
        tw_jinja_fail(j, "there are more values than names to assign them to");
    }
}

/* ---- loops ---- */

/* The next item that passes the loop's test. */
static bool next_item(struct tw_jinja *j, struct tw_jinja_loop *loop,
                      struct tw_jinja_value *ret_item)
{
    const struct tw_jinja_node *node = loop->node;
    if (loop->drained.n_taken < loop->drained.n_items) {
        *ret_item = loop->drained.items[loop->drained.n_taken++];
        return true;
    }
    while (tw_jinja_next(j, &loop->iterator, ret_item)) {
        if (node->c == NULL) {
            return true;
        }
        struct tw_jinja_scope *scope = j->scope;
        j->scope = tw_jinja_open_scope(j, loop->scope);
        assign(j, node->a, *ret_item);
        bool passes = !tw_jinja_failed(j) && tw_jinja_truth(tw_jinja_evaluate(j, node->c));
        j->scope = scope;
        if (passes) {
            return true;
        }
    }
    return false;
}

/* ABSENT behind the last one. */
static struct tw_jinja_value peek(struct tw_jinja *j, struct tw_jinja_loop *loop)
{
    struct tw_jinja_value item;
    if (!loop->has_after) {
        loop->has_after = next_item(j, loop, &item);
        loop->after = loop->has_after ? item : (struct tw_jinja_value){.kind = TW_JINJA_ABSENT};
    }
    return loop->after;
}

static int64_t loop_length(struct tw_jinja *j, struct tw_jinja_loop *loop)
{
    if (loop->n_items >= 0) {
        return loop->n_items;
    }
    int64_t n = loop->node->c == NULL ? tw_jinja_length(j, loop->iterator.source) : -1;
    if (n < 0) {
        struct tw_jinja_list rest = {.items = NULL};
        struct tw_jinja_value item;
        while (next_item(j, loop, &item)) {
            tw_jinja_append(j, &rest, item);
        }
        loop->drained = rest;
        n = (int64_t)rest.n_items + loop->index0 + 1 + loop->has_after;
    }
    loop->n_items = n;
    return n;
}

/* loop.cycle(a, b) and loop.changed(a) are methods. */
static struct tw_jinja_value cycle(struct tw_jinja *j, struct tw_jinja_value *a,
                                   struct tw_jinja_arguments *arguments)
{
    const struct tw_jinja_list *list = &arguments->list;
    return list->n_items == 0
               ? tw_jinja_fail(j, "loop.cycle needs something to go through")
               : list->items[(size_t)(a[0].loop->index0 < 0 ? 0 : a[0].loop->index0) %
                             list->n_items];
}

static struct tw_jinja_value changed(struct tw_jinja *j, struct tw_jinja_value *a,
                                     struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_loop *loop = a[0].loop;
    struct tw_jinja_value now = tw_jinja_list(j, TW_JINJA_TUPLE);
    if (tw_jinja_failed(j)) {
        return now;
    }
    *now.list = arguments->list;
    bool differs = !tw_jinja_equal(j, loop->changed, now);
    loop->changed = now;
    return tw_jinja_bool(differs);
}

static struct tw_jinja_value loop_method(struct tw_jinja *j, struct tw_jinja_value self,
                                         const char *name)
{
    static const struct tw_jinja_builtin rows[] = {{"cycle", cycle, NULL, 0},
                                                   {"changed", changed, NULL, 0}};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            struct tw_jinja_value value = {.kind = TW_JINJA_METHOD, .method = NULL};
            value.method = tw_jinja_alloc(j, 1, sizeof *value.method);
            if (value.method != NULL) {
                *value.method = (struct tw_jinja_method){self, &rows[i]};
                return value;
            }
        }
    }
    return tw_jinja_undefined(name);
}

struct tw_jinja_value tw_jinja_loop_attribute(struct tw_jinja *j, struct tw_jinja_loop *loop,
                                              struct tw_jinja_value self, const char *name)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index0", loop->index0},
                   {"index", loop->index0 + 1},
                   {"depth0", loop->depth0},
                   {"depth", loop->depth0 + 1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return tw_jinja_int(numbers[i].value);
        }
    }
    if (strcmp(name, "first") == 0) {
        return tw_jinja_bool(loop->index0 == 0);
    }
    if (strcmp(name, "last") == 0) {
        return tw_jinja_bool(peek(j, loop).kind == TW_JINJA_ABSENT);
    }
    if (strcmp(name, "length") == 0) {
        return tw_jinja_int(loop_length(j, loop));
    }
    if (strcmp(name, "revindex") == 0 || strcmp(name, "revindex0") == 0) {
        return tw_jinja_int(loop_length(j, loop) - loop->index0 - (name[8] == '0'));
    }
    if (strcmp(name, "previtem") == 0) {
        return loop->index0 > 0 ? loop->before : tw_jinja_undefined("loop.previtem");
    }
    if (strcmp(name, "nextitem") == 0) {
        struct tw_jinja_value next = peek(j, loop);
        return next.kind != TW_JINJA_ABSENT ? next : tw_jinja_undefined("loop.nextitem");
    }
    return loop_method(j, self, name);
}

static bool advance_loop(struct tw_jinja *j, struct tw_jinja_loop *loop)
{
    struct tw_jinja_value item = peek(j, loop);
    if (item.kind == TW_JINJA_ABSENT || tw_jinja_failed(j)) {
        return false;
    }
    loop->has_after = false;
    loop->before = loop->current;
    loop->current = item;
    loop->index0++;
    return true;
}

static void run_loop(struct tw_jinja *j, const struct tw_jinja_node *node,
                     struct tw_jinja_scope *outer, struct tw_jinja_value source, int64_t depth0)
{
    struct tw_jinja_loop *loop = tw_jinja_alloc(j, 1, sizeof *loop);
    if (loop == NULL) {
        return;
    }
    *loop = (struct tw_jinja_loop){
        .node = node, .scope = outer, .index0 = -1, .depth0 = depth0, .n_items = -1};
    loop->changed.kind = TW_JINJA_ABSENT;
    loop->iterator = tw_jinja_iterate(j, source);
    struct tw_jinja_scope *before = j->scope;
    bool completed = false; /* an iteration, to its end: this is what "else" looks at */
    while (!tw_jinja_failed(j) && advance_loop(j, loop)) {
        j->scope = tw_jinja_open_scope(j, outer);
        tw_jinja_set(j, j->scope, node->name,
                     (struct tw_jinja_value){.kind = TW_JINJA_LOOP, .loop = loop});
        assign(j, node->a, loop->current);
        tw_jinja_execute(j, node->d);
        bool ends = j->leaving == TW_JINJA_BREAK;
        completed = completed || j->leaving == TW_JINJA_STAY;
        j->leaving = TW_JINJA_STAY;
        if (ends) {
            break;
        }
    }
    if (!completed && node->e != NULL && !tw_jinja_failed(j)) {
        j->scope = tw_jinja_open_scope(j, outer);
        tw_jinja_execute(j, node->e);
    }
    j->scope = before;
}

static void execute_for(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    run_loop(j, node, j->scope, tw_jinja_evaluate(j, node->b), 0);
}

/* ---- blocks that are caught ---- */

/* Runs statements in a scope of their own, with their output in *b. */
static void catch_output(struct tw_jinja *j, const struct tw_jinja_node *statements,
                         struct tw_jinja_builder *b)
{
    struct tw_jinja_builder *out = j->out;
    struct tw_jinja_scope *scope = j->scope;
    *b = tw_jinja_builder(j);
    j->out = b;
    j->scope = tw_jinja_open_scope(j, scope);
    tw_jinja_execute(j, statements);
    j->scope = scope;
    j->out = out;
}

/* node->b are filters around the text of node->c. */
static struct tw_jinja_value filtered_block(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_builder b, *out = j->out;
    catch_output(j, node->c, &b);
    if (tw_jinja_failed(j) || j->leaving != TW_JINJA_STAY) {
        return tw_jinja_undefined(NULL);
    }
    j->out = &b;
    struct tw_jinja_value value = tw_jinja_evaluate(j, node->b);
    j->out = out;
    return value;
}

/* ---- macros and calls ---- */

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

/* Takes a named argument out; ABSENT where there is none. */
static struct tw_jinja_value take_named(struct tw_jinja_dict *named, const char *name)
{
    for (size_t i = 0; i < named->n_pairs; i++) {
        if (tw_jinja_string_is(named->pairs[i].key, name)) {
            struct tw_jinja_value value = named->pairs[i].value;
            named->n_pairs--;
            memmove(named->pairs + i, named->pairs + i + 1,
                    (named->n_pairs - i) * sizeof *named->pairs);
            return value;
        }
    }
    return (struct tw_jinja_value){.kind = TW_JINJA_ABSENT};
}

/* Parameters by position, by name, by default. j->scope is the macro's. */
static size_t bind_parameters(struct tw_jinja *j, const struct tw_jinja_node *macro,
                              struct tw_jinja_arguments *arguments)
{
    size_t n = 0;
    for (const struct tw_jinja_node *p = macro->a; p != NULL && !tw_jinja_failed(j);
         p = p->next, n++) {
        struct tw_jinja_value value = n < arguments->list.n_items
                                          ? arguments->list.items[n]
                                          : take_named(&arguments->named, p->name->text);
        if (value.kind == TW_JINJA_ABSENT) {
            value = p->a != NULL ? tw_jinja_evaluate(j, p->a) : tw_jinja_undefined(p->name->text);
        }
        tw_jinja_set(j, j->scope, p->name, value);
    }
    return n;
}

/* What is left over: caller, varargs, kwargs where the body uses them, otherwise a failure. */
static void bind_rest(struct tw_jinja *j, const struct tw_jinja_macro *macro, size_t n_bound,
                      struct tw_jinja_arguments *arguments)
{
    const struct tw_jinja_node *node = macro->node;
    struct tw_jinja_value varargs = tw_jinja_list(j, TW_JINJA_TUPLE), kwargs = tw_jinja_dict(j);
    struct tw_jinja_value caller = tw_jinja_undefined("caller");
    if (node->op & TW_JINJA_USES_CALLER) {
        struct tw_jinja_value given = take_named(&arguments->named, "caller");
        caller = given.kind != TW_JINJA_ABSENT ? given : caller;
    }
    for (size_t i = n_bound; i < arguments->list.n_items && !tw_jinja_failed(j); i++) {
        tw_jinja_append(j, varargs.list, arguments->list.items[i]);
    }
    if (tw_jinja_failed(j)) {
        return;
    }
    *kwargs.dict = arguments->named;
    bool too_many = varargs.list->n_items > 0 && (node->op & TW_JINJA_USES_VARARGS) == 0;
    bool unknown = kwargs.dict->n_pairs > 0 && (node->op & TW_JINJA_USES_KWARGS) == 0;
    if (too_many || unknown) {
        tw_jinja_fail(j, "the macro '%.60s' does not take %s",
                      node->name != NULL ? node->name->text : "caller",
                      too_many ? "so many arguments" : "an argument of this name");
    }
    const struct tw_jinja_value values[] = {caller, varargs, kwargs};
    for (int i = 0; i < 3; i++) {
        if ((node->op & 1 << i) != 0) {
            tw_jinja_set(j, j->scope, j->special[i], values[i]);
        }
    }
}

static struct tw_jinja_value call_macro(struct tw_jinja *j, const struct tw_jinja_macro *macro,
                                        struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_scope *scope = j->scope;
    struct tw_jinja_builder b, *out = j->out;
    if (j->n_calls == TW_LIMIT_JINJA_CALLS) {
        return tw_jinja_fail_limit(j, "macros call each other more than %d deep",
                                   TW_LIMIT_JINJA_CALLS);
    }
    j->n_calls++;
    b = tw_jinja_builder(j);
    j->scope = tw_jinja_open_scope(j, macro->scope);
    if (j->scope != NULL) {
        size_t n = bind_parameters(j, macro->node, arguments);
        bind_rest(j, macro, n, arguments);
        j->out = &b;
        tw_jinja_execute(j, macro->node->b);
    }
    j->out = out;
    j->scope = scope;
    j->n_calls--;
    return tw_jinja_built(&b);
}

/* loop(items) of a recursive loop: its text for other items, one deeper. */
static struct tw_jinja_value call_loop(struct tw_jinja *j, const struct tw_jinja_loop *loop,
                                       const struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_builder b = tw_jinja_builder(j), *out = j->out;
    if (!loop->node->flag || arguments->list.n_items != 1 || arguments->named.n_pairs != 0) {
        return tw_jinja_fail(j, "only a loop that is 'recursive' can be called, with its items");
    }
    j->out = &b;
    run_loop(j, loop->node, loop->scope, arguments->list.items[0], loop->depth0 + 1);
    j->out = out;
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
    case TW_JINJA_LOOP:
        return call_loop(j, function.loop, arguments);
    case TW_JINJA_METHOD:
    case TW_JINJA_FUNCTION:
        return tw_jinja_run_builtin(j, function.method->builtin, function.method->self, arguments);
    case TW_JINJA_UNDEFINED:
        return tw_jinja_fail(j, "'%.80s' is undefined and cannot be called",
                             function.name != NULL ? function.name : "a function");
    default:
        return tw_jinja_fail(j, "only a macro, a function or a method can be called");
    }
}

static void execute_call_block(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value function = tw_jinja_evaluate(j, node->a->a);
    struct tw_jinja_arguments arguments = tw_jinja_arguments(j, node->a->b);
    struct tw_jinja_value caller = macro_value(j, node->b);
    struct tw_jinja_value key = tw_jinja_string(j, "caller", 6, false);
    if (!tw_jinja_failed(j)) {
        tw_jinja_put_pair(j, &arguments.named, key, caller);
        tw_jinja_put_value(j->out, tw_jinja_call(j, function, &arguments));
    }
}

/* ---- statements ---- */

static void execute_if(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    for (; node != NULL && !tw_jinja_failed(j); node = node->d) {
        if (tw_jinja_truth(tw_jinja_evaluate(j, node->a))) {
            tw_jinja_execute(j, node->b);
            return;
        }
        if (node->c != NULL) {
            tw_jinja_execute(j, node->c);
            return;
        }
    }
}

/* The values are those of the scope outside. */
static void execute_with(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_scope *outer = j->scope, *inner = tw_jinja_open_scope(j, outer);
    for (const struct tw_jinja_node *n = node->a; n != NULL && !tw_jinja_failed(j); n = n->next) {
        struct tw_jinja_value value = tw_jinja_evaluate(j, n->b);
        j->scope = inner;
        assign(j, n->a, value);
        j->scope = outer;
    }
    j->scope = inner;
    tw_jinja_execute(j, node->b);
    j->scope = outer;
}

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
        execute_if(j, node);
        return;
    case TW_JINJA_NODE_FOR:
        execute_for(j, node);
        return;
    case TW_JINJA_NODE_SET:
        assign(j, node->a, tw_jinja_evaluate(j, node->b));
        return;
    case TW_JINJA_NODE_WITH:
        execute_with(j, node);
        return;
    case TW_JINJA_NODE_MACRO:
        tw_jinja_set(j, j->scope, node->name, macro_value(j, node));
        return;
    case TW_JINJA_NODE_CALL_BLOCK:
        execute_call_block(j, node);
        return;
    case TW_JINJA_NODE_BREAK:
        j->leaving = TW_JINJA_BREAK;
        return;
    case TW_JINJA_NODE_CONTINUE:
        j->leaving = TW_JINJA_CONTINUE;
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
    if (!tw_jinja_enter(j)) {
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
