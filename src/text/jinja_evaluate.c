#include <limits.h>

#include "text/jinja_builtins.h"

static struct tw_jinja_value evaluate_items(struct tw_jinja *j, const struct tw_jinja_node *node,
                                            enum tw_jinja_kind kind)
{
    struct tw_jinja_value list = tw_jinja_list(j, kind);
    for (const struct tw_jinja_node *n = node->a; n != NULL && !tw_jinja_failed(j); n = n->next) {
        tw_jinja_append(j, list.list, tw_jinja_evaluate(j, n));
    }
    return list;
}

static struct tw_jinja_value evaluate_dict(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value dict = tw_jinja_dict(j);
    for (const struct tw_jinja_node *n = node->a; n != NULL && !tw_jinja_failed(j); n = n->next) {
        struct tw_jinja_value key = tw_jinja_evaluate(j, n->a);
        struct tw_jinja_value value = tw_jinja_evaluate(j, n->b);
        if (!tw_jinja_failed(j)) {
            tw_jinja_put_pair(j, dict.dict, key, value);
        }
    }
    return dict;
}

/* ---- calls ---- */

static void spread_dict(struct tw_jinja *j, struct tw_jinja_dict *named,
                        struct tw_jinja_value value)
{
    if (value.kind != TW_JINJA_DICT) {
        tw_jinja_fail(j, "'**' needs a dict of arguments");
        return;
    }
    for (size_t i = 0; i < value.dict->n_pairs && !tw_jinja_failed(j); i++) {
        struct tw_jinja_pair pair = value.dict->pairs[i];
        if (pair.key.kind != TW_JINJA_STRING || tw_jinja_lookup(j, named, pair.key) != NULL) {
            tw_jinja_fail(j, "'**' needs names that are not given yet");
        }
        tw_jinja_put_pair(j, named, pair.key, pair.value);
    }
}

struct tw_jinja_arguments tw_jinja_arguments(struct tw_jinja *j, const struct tw_jinja_node *list)
{
    struct tw_jinja_arguments arguments = {.list = {.items = NULL}};
    for (const struct tw_jinja_node *n = list; n != NULL && !tw_jinja_failed(j); n = n->next) {
        struct tw_jinja_value value = tw_jinja_evaluate(j, n->a), item;
        if (n->name != NULL) {
            struct tw_jinja_value key = tw_jinja_string(j, n->name->text, n->name->n_bytes, false);
            if (!tw_jinja_failed(j) && tw_jinja_lookup(j, &arguments.named, key) != NULL) {
                tw_jinja_fail(j, "the argument '%.60s' is given twice", n->name->text);
            }
            if (!tw_jinja_failed(j)) {
                tw_jinja_put_pair(j, &arguments.named, key, value);
            }
        } else if (n->op == 0) {
            tw_jinja_append(j, &arguments.list, value);
        } else if (n->op == '*') {
            struct tw_jinja_iterator it = tw_jinja_iterate(j, value);
            while (tw_jinja_next(j, &it, &item)) {
                tw_jinja_append(j, &arguments.list, item);
            }
        } else {
            spread_dict(j, &arguments.named, value);
        }
    }
    return arguments;
}

static struct tw_jinja_value evaluate_call(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value function = tw_jinja_evaluate(j, node->a);
    struct tw_jinja_arguments arguments = tw_jinja_arguments(j, node->b);
    j->line = node->line;
    return tw_jinja_call(j, function, &arguments);
}

/* Filters and tests. */
static struct tw_jinja_value evaluate_builtin(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    j->line = node->line;
    if (node->builtin == NULL) {
        return tw_jinja_fail(j, "there is no %s '%.60s'",
                             node->kind == TW_JINJA_NODE_TEST ? "test" : "filter",
                             node->name->text);
    }
    struct tw_jinja_value self = tw_jinja_evaluate(j, node->a);
    struct tw_jinja_arguments arguments = tw_jinja_arguments(j, node->b);
    j->line = node->line;
    return tw_jinja_run_builtin(j, node->builtin, self, &arguments);
}

/* ---- operators ---- */

static bool compare(struct tw_jinja *j, int op, struct tw_jinja_value a, struct tw_jinja_value b)
{
    switch (op) {
    case TW_JINJA_OP('=', '='):
        return tw_jinja_equal(j, a, b);
    case TW_JINJA_OP('!', '='):
        return !tw_jinja_equal(j, a, b);
    case 'i':
        return tw_jinja_contains(j, b, a);
    case 'n':
        return !tw_jinja_contains(j, b, a);
    default:
        break;
    }
    int order = tw_jinja_order(j, a, b);
    if (order == INT_MIN) {
        return false;
    }
    return op == '<'                     ? order < 0
           : op == '>'                   ? order > 0
           : op == TW_JINJA_OP('<', '=') ? order <= 0
                                         : order >= 0;
}

/* a < b < c: each value is computed once, and no more of them than it takes. */
static struct tw_jinja_value evaluate_comparison(struct tw_jinja *j,
                                                 const struct tw_jinja_node *node)
{
    struct tw_jinja_value left = tw_jinja_evaluate(j, node->a);
    bool holds = true;
    for (const struct tw_jinja_node *n = node->b; holds && n != NULL && !tw_jinja_failed(j);
         n = n->next) {
        struct tw_jinja_value right = tw_jinja_evaluate(j, n->a);
        j->line = node->line;
        holds = !tw_jinja_failed(j) && compare(j, n->op, left, right);
        left = right;
    }
    return tw_jinja_bool(holds);
}

static struct tw_jinja_value evaluate_join(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    for (const struct tw_jinja_node *n = node->a; n != NULL && !tw_jinja_failed(j); n = n->next) {
        tw_jinja_put_value(&b, tw_jinja_evaluate(j, n));
    }
    return tw_jinja_built(&b);
}

static struct tw_jinja_value evaluate_choice(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    if (tw_jinja_truth(tw_jinja_evaluate(j, node->a))) {
        return tw_jinja_evaluate(j, node->b);
    }
    return node->c != NULL ? tw_jinja_evaluate(j, node->c)
                           : tw_jinja_undefined("an 'if' without 'else'");
}

static struct tw_jinja_value evaluate_slice(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    const struct tw_jinja_node *const nodes[] = {node->b, node->c, node->d};
    struct tw_jinja_value object = tw_jinja_evaluate(j, node->a), ends[3];
    for (int i = 0; i < 3; i++) {
        ends[i] = nodes[i] != NULL ? tw_jinja_evaluate(j, nodes[i]) : tw_jinja_none();
    }
    return tw_jinja_slice(j, object, ends[0], ends[1], ends[2]);
}

static struct tw_jinja_value evaluate_operation(struct tw_jinja *j,
                                                const struct tw_jinja_node *node)
{
    struct tw_jinja_value a = tw_jinja_evaluate(j, node->a), b = a;
    switch ((int)node->kind) {
    case TW_JINJA_NODE_NOT:
        return tw_jinja_bool(!tw_jinja_truth(a));
    case TW_JINJA_NODE_SIGN:
        return tw_jinja_sign(j, node->op, a);
    case TW_JINJA_NODE_AND:
        return tw_jinja_truth(a) ? tw_jinja_evaluate(j, node->b) : a;
    case TW_JINJA_NODE_OR:
        return tw_jinja_truth(a) ? a : tw_jinja_evaluate(j, node->b);
    case TW_JINJA_NODE_ATTRIBUTE:
        j->line = node->line;
        return tw_jinja_attribute(j, a, node->name->text, node->name->n_bytes);
    default:
        b = tw_jinja_evaluate(j, node->b);
        j->line = node->line;
        return node->kind == TW_JINJA_NODE_ITEM ? tw_jinja_item(j, a, b)
                                                : tw_jinja_operate(j, node->op, a, b);
    }
}

static struct tw_jinja_value evaluate_node(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    switch ((int)node->kind) {
    case TW_JINJA_NODE_CONST:
        return node->value;
    case TW_JINJA_NODE_INNER:
        return tw_jinja_built(j->out);
    case TW_JINJA_NODE_NAME:
        return tw_jinja_get(j, node->name);
    case TW_JINJA_NODE_TUPLE:
        return evaluate_items(j, node, TW_JINJA_TUPLE);
    case TW_JINJA_NODE_LIST:
        return evaluate_items(j, node, TW_JINJA_LIST);
    case TW_JINJA_NODE_DICT:
        return evaluate_dict(j, node);
    case TW_JINJA_NODE_SLICE:
        return evaluate_slice(j, node);
    case TW_JINJA_NODE_CALL:
        return evaluate_call(j, node);
    case TW_JINJA_NODE_FILTER:
    case TW_JINJA_NODE_TEST:
        return evaluate_builtin(j, node);
    case TW_JINJA_NODE_JOIN:
        return evaluate_join(j, node);
    case TW_JINJA_NODE_COMPARE:
        return evaluate_comparison(j, node);
    case TW_JINJA_NODE_CHOICE:
        return evaluate_choice(j, node);
    default:
        return evaluate_operation(j, node);
    }
}

struct tw_jinja_value tw_jinja_evaluate(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    if (!tw_jinja_enter(j)) {
        return tw_jinja_undefined(NULL);
    }
    struct tw_jinja_value value = evaluate_node(j, node);
    tw_jinja_leave(j);
    return tw_jinja_failed(j) ? tw_jinja_undefined(NULL) : value;
}
