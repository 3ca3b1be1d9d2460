#include <string.h>

#include "text/jinja_run.h"

/* ---- attributes and items ---- */

static struct tw_jinja_value loop_attribute(struct tw_jinja *j, const struct tw_jinja_loop *loop,
                                            struct tw_jinja_value name)
{
    const struct tw_jinja_value *items = loop->items->items;
    size_t n = loop->items->n_items;
    int64_t i = (int64_t)loop->i, left = (int64_t)n - i;
    const struct {
        const char *name;
        struct tw_jinja_value value;
    } rows[] = {
        {"index0", tw_jinja_int(i)},
        {"index", tw_jinja_int(i + 1)},
        {"revindex0", tw_jinja_int(left - 1)},
        {"revindex", tw_jinja_int(left)},
        {"length", tw_jinja_int((int64_t)n)},
        {"first", tw_jinja_bool(i == 0)},
        {"last", tw_jinja_bool(left == 1)},
        {"previtem", i > 0 ? items[i - 1] : tw_jinja_undefined("loop.previtem")},
        {"nextitem", left > 1 ? items[i + 1] : tw_jinja_undefined("loop.nextitem")},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        if (tw_jinja_string_is(name, rows[k].name)) {
            return rows[k].value;
        }
    }
    const struct tw_jinja_string *s = tw_jinja_string_argument(j, name);
    return tw_jinja_fail(j, "unknown field '%.*s' of loop",
                         (int)(s->size_bytes < 60 ? s->size_bytes : 60), s->data);
}

static bool is_indexed(struct tw_jinja_value object)
{
    return object.kind == TW_JINJA_LIST || object.kind == TW_JINJA_TUPLE ||
           object.kind == TW_JINJA_STRING;
}

/* The name of what is missing, for a later error. */
static struct tw_jinja_value missing(struct tw_jinja *j, struct tw_jinja_value key)
{
    if (key.kind != TW_JINJA_STRING) {
        return tw_jinja_undefined("an item that is not there");
    }
    char *name = tw_jinja_alloc(j, key.string->size_bytes + 1, 1);
    if (name != NULL && key.string->size_bytes > 0) {
        memcpy(name, key.string->data, key.string->size_bytes);
    }
    return tw_jinja_undefined(name);
}

struct tw_jinja_value tw_jinja_item(struct tw_jinja *j, struct tw_jinja_value object,
                                    struct tw_jinja_value key)
{
    if (tw_jinja_failed(j) || object.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, object);
    }
    if (object.kind == TW_JINJA_LOOP) {
        return loop_attribute(j, object.loop, key);
    }
    if (object.kind == TW_JINJA_DICT || object.kind == TW_JINJA_NAMESPACE) {
        const struct tw_jinja_value *found = tw_jinja_lookup(j, object.dict, key);
        return found != NULL ? *found : missing(j, key);
    }
    if (!is_indexed(object) || !tw_jinja_is_whole(key)) {
        return missing(j, key);
    }
    int64_t n = tw_jinja_length(j, object), i = tw_jinja_as_int(key);
    i += i < 0 ? n : 0;
    if (tw_jinja_failed(j) || i < 0 || i >= n) {
        return missing(j, key);
    }
    if (object.kind != TW_JINJA_STRING) {
        return object.list->items[i];
    }
    uint32_t code;
    size_t at = tw_jinja_offset(j, object.string, (size_t)i);
    return tw_jinja_part(j, object, at, tw_jinja_char(object.string, at, &code));
}

/* One end of a slice, as Python counts it: from the end, if negative; within least and most. */
static int64_t slice_end(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_none,
                         int64_t n, bool backwards)
{
    if (value.kind == TW_JINJA_NONE) {
        return if_none;
    }
    int64_t i = tw_jinja_int_argument(j, value, 0), least = backwards ? -1 : 0;
    i += i < 0 ? n : 0;
    return i < least ? least : i > n + least ? n + least : i;
}

struct tw_jinja_value tw_jinja_slice(struct tw_jinja *j, struct tw_jinja_value object,
                                     const struct tw_jinja_value ends[3])
{
    if (tw_jinja_failed(j) || !is_indexed(object)) {
        return object.kind == TW_JINJA_UNDEFINED
                   ? tw_jinja_fail_undefined(j, object)
                   : tw_jinja_fail(j, "only a list or a text can be cut");
    }
    int64_t step = ends[2].kind == TW_JINJA_NONE ? 1 : tw_jinja_int_argument(j, ends[2], 1);
    if (step == 0) {
        return tw_jinja_fail(j, "the stride of a slice must not be 0");
    }
    int64_t n = tw_jinja_length(j, object);
    int64_t i = slice_end(j, ends[0], step > 0 ? 0 : n - 1, n, step < 0);
    int64_t end = slice_end(j, ends[1], step > 0 ? n : -1, n, step < 0);
    if (object.kind == TW_JINJA_STRING && step == 1) {
        size_t begin = tw_jinja_offset(j, object.string, (size_t)i);
        size_t stop = tw_jinja_offset(j, object.string, (size_t)(end > i ? end : i));
        return tw_jinja_failed(j) ? object : tw_jinja_part(j, object, begin, stop - begin);
    }
    struct tw_jinja_value list =
        object.kind == TW_JINJA_STRING ? tw_jinja_collect(j, object, TW_JINJA_LIST) : object;
    struct tw_jinja_value result = tw_jinja_list(j, object.kind);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    while (!tw_jinja_failed(j) && (step > 0 ? i < end : i > end)) {
        if (object.kind == TW_JINJA_STRING) {
            tw_jinja_put_value(&b, list.list->items[i]);
        } else {
            tw_jinja_append(j, result.list, list.list->items[i]);
        }
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    result.is_input = object.is_input;
    return object.kind == TW_JINJA_STRING ? tw_jinja_built(&b) : result;
}

/* ---- arithmetic ---- */

/* As Python does it: the rest has the sign of b. */
static bool divide_ints(int op, int64_t a, int64_t b, int64_t *ret_value)
{
    if (b == -1) {
        *ret_value = 0;
        return op == '%' || !__builtin_sub_overflow((int64_t)0, a, ret_value);
    }
    int64_t rest = a % b;
    bool corrects = rest != 0 && (rest < 0) != (b < 0);
    *ret_value = op == '%' ? rest + (corrects ? b : 0) : a / b - corrects;
    return true;
}

static struct tw_jinja_value operate_ints(struct tw_jinja *j, int op, int64_t a, int64_t b)
{
    int64_t value = 0;
    bool fits = op == '+'   ? !__builtin_add_overflow(a, b, &value)
                : op == '-' ? !__builtin_sub_overflow(a, b, &value)
                : op == '*' ? !__builtin_mul_overflow(a, b, &value)
                            : divide_ints(op, a, b, &value);
    return fits ? tw_jinja_int(value) : tw_jinja_fail_limit(j, "a number has more than 64 bits");
}

static struct tw_jinja_value operate_numbers(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                             struct tw_jinja_value b)
{
    double x = tw_jinja_as_real(a), y = tw_jinja_as_real(b);
    if ((op == '/' || op == '%' || op == TW_JINJA_OP('/', '/')) && y == 0) {
        return tw_jinja_fail(j, "a division by zero");
    }
    struct tw_jinja_value value;
    if (op != '/' && tw_jinja_is_whole(a) && tw_jinja_is_whole(b)) {
        value = operate_ints(j, op, tw_jinja_as_int(a), tw_jinja_as_int(b));
    } else if (op == '%' || op == TW_JINJA_OP('/', '/')) {
        return tw_jinja_fail(j, "%% and // are for whole numbers");
    } else {
        value = tw_jinja_real(j, op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y);
    }
    value.is_input = a.is_input || b.is_input;
    return value;
}

static struct tw_jinja_value repeat(struct tw_jinja *j, struct tw_jinja_value text, int64_t n)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    for (int64_t i = 0; i < n && tw_jinja_step(j, 1); i++) {
        tw_jinja_put_value(&b, text);
    }
    return tw_jinja_built(&b);
}

static struct tw_jinja_value add_lists(struct tw_jinja *j, struct tw_jinja_value a,
                                       struct tw_jinja_value b)
{
    struct tw_jinja_value list = tw_jinja_collect(j, a, a.kind);
    for (size_t i = 0; !tw_jinja_failed(j) && i < b.list->n_items; i++) {
        tw_jinja_append(j, list.list, b.list->items[i]);
    }
    list.is_input = a.is_input || b.is_input;
    return list;
}

struct tw_jinja_value tw_jinja_operate(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                       struct tw_jinja_value b)
{
    if (tw_jinja_failed(j)) {
        return a;
    }
    if (op == '~') {
        a = tw_jinja_str(j, a);
        b = tw_jinja_str(j, b);
        return tw_jinja_failed(j) ? a : tw_jinja_join_two(j, a, b);
    }
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        return operate_numbers(j, op, a, b);
    }
    if (op == '+' && a.kind == b.kind && a.kind == TW_JINJA_STRING) {
        return tw_jinja_join_two(j, a, b);
    }
    if (op == '+' && a.kind == b.kind && is_indexed(a)) {
        return add_lists(j, a, b);
    }
    if (op == '*' && a.kind == TW_JINJA_STRING && tw_jinja_is_whole(b)) {
        return repeat(j, a, tw_jinja_as_int(b));
    }
    if (a.kind == TW_JINJA_UNDEFINED || b.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a.kind == TW_JINJA_UNDEFINED ? a : b);
    }
    return tw_jinja_fail(j,
                         "'%.*s%c' does not go with values of these kinds; numbers, or two "
                         "texts or lists for +, are expected",
                         op > 255, &(char){(char)(op >> 8)}, op & 255);
}

/* ---- expressions ---- */

static struct tw_jinja_value evaluate_items(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value list =
        tw_jinja_list(j, node->kind == TW_JINJA_NODE_LIST ? TW_JINJA_LIST : TW_JINJA_TUPLE);
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
        tw_jinja_put_pair(j, dict.dict, key, tw_jinja_evaluate(j, n->b));
    }
    return dict;
}

static struct tw_jinja_arguments evaluate_arguments(struct tw_jinja *j,
                                                    const struct tw_jinja_node *list)
{
    struct tw_jinja_arguments arguments = {.list = {.items = NULL}};
    for (const struct tw_jinja_node *n = list; n != NULL && !tw_jinja_failed(j); n = n->next) {
        struct tw_jinja_value value = tw_jinja_evaluate(j, n->a);
        if (n->name == NULL) {
            tw_jinja_append(j, &arguments.list, value);
            continue;
        }
        struct tw_jinja_value key = tw_jinja_string(j, n->name->text, n->name->n_bytes, false);
        size_t n_before = arguments.named.n_pairs;
        tw_jinja_put_pair(j, &arguments.named, key, value);
        if (arguments.named.n_pairs == n_before) {
            tw_jinja_fail(j, "the argument '%.60s' is given twice", n->name->text);
        }
    }
    return arguments;
}

static struct tw_jinja_value attribute(struct tw_jinja *j, const struct tw_jinja_node *node,
                                       struct tw_jinja_value object)
{
    j->line = node->line;
    return tw_jinja_item(j, object,
                         tw_jinja_string(j, node->name->text, node->name->n_bytes, false));
}

/* object.name(...): a method, or what the object has under this name. */
static struct tw_jinja_value call_method(struct tw_jinja *j, const struct tw_jinja_node *node,
                                         struct tw_jinja_value object,
                                         struct tw_jinja_arguments *arguments)
{
    static const struct {
        uint8_t kind;
        int use;
        const char *name;
    } rows[] = {{TW_JINJA_STRING, TW_JINJA_OF_TEXT, "text"},
                {TW_JINJA_LIST, TW_JINJA_OF_LIST, "list"},
                {TW_JINJA_DICT, TW_JINJA_OF_DICT, "dict"}};
    const struct tw_jinja_name *name = node->name;
    struct tw_jinja_value function = attribute(j, node, object);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !tw_jinja_failed(j); i++) {
        if (object.kind != rows[i].kind) {
            continue;
        }
        const struct tw_jinja_builtin *builtin =
            tw_jinja_find_builtin(rows[i].use, name->text, name->n_bytes);
        if (builtin != NULL) {
            return tw_jinja_run_builtin(j, builtin, object, arguments);
        }
        if (function.kind == TW_JINJA_UNDEFINED) {
            return tw_jinja_fail(j, "unknown method '%.60s' of a %s", name->text, rows[i].name);
        }
    }
    return tw_jinja_call(j, function, arguments);
}

static struct tw_jinja_value evaluate_call(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    bool is_method = node->a->kind == TW_JINJA_NODE_ATTRIBUTE;
    struct tw_jinja_value object = tw_jinja_evaluate(j, is_method ? node->a->a : node->a);
    struct tw_jinja_arguments arguments = evaluate_arguments(j, node->b);
    j->line = node->line;
    return is_method ? call_method(j, node->a, object, &arguments)
                     : tw_jinja_call(j, object, &arguments);
}

static struct tw_jinja_value evaluate_builtin(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value self = tw_jinja_evaluate(j, node->a);
    struct tw_jinja_arguments arguments = evaluate_arguments(j, node->b);
    j->line = node->line;
    return tw_jinja_run_builtin(j, node->builtin, self, &arguments);
}

static struct tw_jinja_value evaluate_slice(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    const struct tw_jinja_node *const nodes[] = {node->b, node->c, node->d};
    struct tw_jinja_value object = tw_jinja_evaluate(j, node->a), ends[3];
    for (int i = 0; i < 3; i++) {
        ends[i] = nodes[i] != NULL ? tw_jinja_evaluate(j, nodes[i]) : tw_jinja_none();
    }
    j->line = node->line;
    return tw_jinja_slice(j, object, ends);
}

static struct tw_jinja_value evaluate_choice(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    if (tw_jinja_truth(tw_jinja_evaluate(j, node->a))) {
        return tw_jinja_evaluate(j, node->b);
    }
    return node->c != NULL ? tw_jinja_evaluate(j, node->c)
                           : tw_jinja_undefined("an 'if' without 'else'");
}

static struct tw_jinja_value evaluate_sign(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value value = tw_jinja_evaluate(j, node->a);
    if (value.kind == TW_JINJA_REAL) {
        value.real = node->op == '-' ? -value.real : value.real;
        return value;
    }
    return tw_jinja_operate(j, node->op, tw_jinja_int(0), value);
}

static struct tw_jinja_value evaluate_binary(struct tw_jinja *j, const struct tw_jinja_node *node)
{
    struct tw_jinja_value a = tw_jinja_evaluate(j, node->a);
    if (node->op == TW_JINJA_AND || node->op == TW_JINJA_OR) {
        return tw_jinja_truth(a) == (node->op == TW_JINJA_AND) ? tw_jinja_evaluate(j, node->b) : a;
    }
    struct tw_jinja_value b = tw_jinja_evaluate(j, node->b);
    j->line = node->line;
    if (tw_jinja_failed(j)) {
        return a;
    }
    bool computes =
        node->op == TW_JINJA_OP('/', '/') ||
        (node->op > TW_JINJA_NOT_IN && node->op < 256 && strchr("+-*/%~", node->op) != NULL);
    return computes ? tw_jinja_operate(j, node->op, a, b)
                    : tw_jinja_bool(tw_jinja_compare(j, node->op, a, b));
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
    case TW_JINJA_NODE_LIST:
        return evaluate_items(j, node);
    case TW_JINJA_NODE_DICT:
        return evaluate_dict(j, node);
    case TW_JINJA_NODE_ATTRIBUTE:
        return attribute(j, node, tw_jinja_evaluate(j, node->a));
    case TW_JINJA_NODE_SLICE:
        return evaluate_slice(j, node);
    case TW_JINJA_NODE_CALL:
        return evaluate_call(j, node);
    case TW_JINJA_NODE_BUILTIN:
        return evaluate_builtin(j, node);
    case TW_JINJA_NODE_NOT:
        return tw_jinja_bool(!tw_jinja_truth(tw_jinja_evaluate(j, node->a)));
    case TW_JINJA_NODE_SIGN:
        return evaluate_sign(j, node);
    case TW_JINJA_NODE_BINARY:
        return evaluate_binary(j, node);
    case TW_JINJA_NODE_CHOICE:
        return evaluate_choice(j, node);
    default:
        break;
    }
    struct tw_jinja_value object = tw_jinja_evaluate(j, node->a);
    struct tw_jinja_value key = tw_jinja_evaluate(j, node->b);
    j->line = node->line;
    return tw_jinja_item(j, object, key);
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
