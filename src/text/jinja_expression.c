#include <string.h>

#include "text/jinja_builtins.h"
#include "text/jinja_syntax.h"

static struct tw_jinja_node *parse_or(struct tw_jinja_parser *p);
static struct tw_jinja_node *parse_unary(struct tw_jinja_parser *p, bool with_filters);

static struct tw_jinja_node *binary(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                    uint32_t line, struct tw_jinja_node *a, struct tw_jinja_node *b)
{
    struct tw_jinja_node *node = tw_jinja_node(p, kind, line);
    node->a = a;
    node->b = b;
    return node;
}

/* ---- literals, lists, calls ---- */

static struct tw_jinja_node *constant(struct tw_jinja_parser *p, struct tw_jinja_value value)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_CONST, p->current.line);
    node->value = value;
    return node;
}

static struct tw_jinja_node *parse_strings(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = constant(p, p->current.value);
    tw_jinja_advance(p);
    if (p->current.type == TW_JINJA_TOKEN_STRING) {
        struct tw_jinja_builder b = tw_jinja_builder(p->j);
        tw_jinja_put_value(&b, node->value);
        for (; p->current.type == TW_JINJA_TOKEN_STRING; tw_jinja_advance(p)) {
            tw_jinja_put_value(&b, p->current.value);
        }
        node->value = tw_jinja_built(&b);
    }
    /* Counted once, so that threads that render find it done. */
    if (!tw_jinja_failed(p->j)) {
        tw_jinja_chars(p->j, node->value.string);
    }
    return node;
}

static struct tw_jinja_node *parse_name(struct tw_jinja_parser *p)
{
    static const struct {
        const char *name;
        uint8_t kind;
        bool is_true;
    } words[] = {{"true", TW_JINJA_BOOL, true},   {"True", TW_JINJA_BOOL, true},
                 {"false", TW_JINJA_BOOL, false}, {"False", TW_JINJA_BOOL, false},
                 {"none", TW_JINJA_NONE, false},  {"None", TW_JINJA_NONE, false}};
    static const char *const used[] = {"caller", "varargs", "kwargs"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (tw_jinja_at_name(p, words[i].name)) {
            struct tw_jinja_node *node = constant(
                p, (struct tw_jinja_value){.kind = words[i].kind, .boolean = words[i].is_true});
            tw_jinja_advance(p);
            return node;
        }
    }
    for (int i = 0; i < 3; i++) {
        p->uses |= tw_jinja_at_name(p, used[i]) ? 1 << i : 0;
    }
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_NAME, p->current.line);
    node->name = tw_jinja_expect_name(p);
    return node;
}

/* [a, b] or {k: v}: items up to the closing bracket, a comma behind the last one allowed. */
static struct tw_jinja_node *parse_items(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                         char close)
{
    struct tw_jinja_node *node = tw_jinja_node(p, kind, p->current.line), **next = &node->a;
    tw_jinja_advance(p);
    while (!tw_jinja_at_op(p, close) && !tw_jinja_failed(p->j)) {
        if (next != &node->a) {
            tw_jinja_expect_op(p, ',');
            if (tw_jinja_at_op(p, close)) {
                break;
            }
        }
        struct tw_jinja_node *item = tw_jinja_parse_expression(p);
        if (kind == TW_JINJA_NODE_DICT) {
            tw_jinja_expect_op(p, ':');
            item = binary(p, TW_JINJA_NODE_PAIR, item->line, item, tw_jinja_parse_expression(p));
        }
        *next = item;
        next = &item->next;
    }
    tw_jinja_expect_op(p, close);
    return node;
}

static bool is_tuple_end(const struct tw_jinja_parser *p, const char *end_name)
{
    return p->current.type == TW_JINJA_TOKEN_PRINT_END ||
           p->current.type == TW_JINJA_TOKEN_BLOCK_END || tw_jinja_at_op(p, ')') ||
           (end_name != NULL && tw_jinja_at_name(p, end_name));
}

static struct tw_jinja_node *parse_primary(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node;
    switch ((int)p->current.type) {
    case TW_JINJA_TOKEN_NAME:
        return parse_name(p);
    case TW_JINJA_TOKEN_STRING:
        return parse_strings(p);
    case TW_JINJA_TOKEN_INT:
    case TW_JINJA_TOKEN_REAL:
        node = constant(p, p->current.value);
        tw_jinja_advance(p);
        return node;
    default:
        break;
    }
    if (tw_jinja_at_op(p, '[')) {
        return parse_items(p, TW_JINJA_NODE_LIST, ']');
    }
    if (tw_jinja_at_op(p, '{')) {
        return parse_items(p, TW_JINJA_NODE_DICT, '}');
    }
    if (tw_jinja_skip_op(p, '(')) {
        node = tw_jinja_parse_tuple(p, false, false, NULL, true);
        tw_jinja_expect_op(p, ')');
        return node;
    }
    tw_jinja_unexpected(p, "a value");
    return tw_jinja_node(p, TW_JINJA_NODE_CONST, p->current.line);
}

struct tw_jinja_node *tw_jinja_parse_tuple(struct tw_jinja_parser *p, bool simplified,
                                           bool no_choice, const char *end_name,
                                           bool in_parentheses)
{
    struct tw_jinja_node *tuple = tw_jinja_node(p, TW_JINJA_NODE_TUPLE, p->current.line);
    struct tw_jinja_node **next = &tuple->a;
    bool is_tuple = false;
    if (!tw_jinja_nest(p)) {
        return tuple;
    }
    while (!tw_jinja_failed(p->j)) {
        if (next != &tuple->a) {
            tw_jinja_expect_op(p, ',');
        }
        if (is_tuple_end(p, end_name)) {
            break;
        }
        struct tw_jinja_node *item = simplified  ? parse_primary(p)
                                     : no_choice ? parse_or(p)
                                                 : tw_jinja_parse_expression(p);
        *next = item;
        next = &item->next;
        if (!tw_jinja_at_op(p, ',')) {
            break;
        }
        is_tuple = true;
    }
    p->nesting--;
    if (is_tuple || (tuple->a == NULL && in_parentheses)) {
        return tuple;
    }
    if (tuple->a == NULL) {
        tw_jinja_unexpected(p, "an expression");
        return tuple;
    }
    return tuple->a;
}

/* One argument: a value, name=value, *values or **values. */
static struct tw_jinja_node *parse_argument(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_ARGUMENT, p->current.line);
    if (tw_jinja_at_op(p, '*') || tw_jinja_at_op(p, TW_JINJA_OP('*', '*'))) {
        node->op = p->current.op;
        tw_jinja_advance(p);
    } else if (p->current.type == TW_JINJA_TOKEN_NAME &&
               tw_jinja_look(p)->type == TW_JINJA_TOKEN_OPERATOR && tw_jinja_look(p)->op == '=') {
        node->name = tw_jinja_expect_name(p);
        tw_jinja_advance(p);
    }
    node->a = tw_jinja_parse_expression(p);
    return node;
}

static struct tw_jinja_node *parse_arguments(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    bool has_named = false, has_list = false, has_dict = false;
    tw_jinja_expect_op(p, '(');
    while (!tw_jinja_at_op(p, ')') && !tw_jinja_failed(p->j)) {
        if (first != NULL) {
            tw_jinja_expect_op(p, ',');
            if (tw_jinja_at_op(p, ')')) {
                break;
            }
        }
        struct tw_jinja_node *node = parse_argument(p);
        bool is_named = node->name != NULL, is_list = node->op == '*', is_dict = node->op > '*';
        bool is_plain = !is_named && !is_list && !is_dict;
        if (has_dict || (is_list && has_list) || (is_plain && (has_named || has_list))) {
            tw_jinja_fail(p->j, "arguments in a wrong order: plain ones come first");
        }
        has_named = has_named || is_named;
        has_list = has_list || is_list;
        has_dict = is_dict;
        *next = node;
        next = &node->next;
    }
    tw_jinja_expect_op(p, ')');
    return first;
}

/* ---- behind a value: .name [key] (arguments) |filter is test ---- */

static struct tw_jinja_node *parse_key(struct tw_jinja_parser *p, struct tw_jinja_node *object,
                                       uint32_t line)
{
    struct tw_jinja_node *parts[3] = {NULL};
    bool is_slice = false;
    for (int i = 0; i < 3; i++) {
        if (!tw_jinja_at_op(p, ':') && !tw_jinja_at_op(p, ']') && !tw_jinja_at_op(p, ',')) {
            parts[i] = tw_jinja_parse_expression(p);
        }
        if (!tw_jinja_at_op(p, ':') || i == 2) {
            break;
        }
        tw_jinja_advance(p);
        is_slice = true;
    }
    struct tw_jinja_node *node =
        binary(p, is_slice ? TW_JINJA_NODE_SLICE : TW_JINJA_NODE_ITEM, line, object, parts[0]);
    node->c = parts[1];
    node->d = parts[2];
    if (!is_slice && parts[0] == NULL) {
        tw_jinja_unexpected(p, "a key or a number");
    }
    return node;
}

/* object[a, b] looks for a tuple. */
static struct tw_jinja_node *parse_bracket(struct tw_jinja_parser *p, struct tw_jinja_node *object)
{
    uint32_t line = p->current.line;
    tw_jinja_advance(p);
    struct tw_jinja_node *node = parse_key(p, object, line);
    if (tw_jinja_at_op(p, ',') && node->kind == TW_JINJA_NODE_ITEM) {
        struct tw_jinja_node *tuple = tw_jinja_node(p, TW_JINJA_NODE_TUPLE, line);
        tuple->a = node->b;
        node->b = tuple;
        for (struct tw_jinja_node *last = tuple->a; tw_jinja_skip_op(p, ',');) {
            last = last->next = tw_jinja_parse_expression(p);
        }
    }
    tw_jinja_expect_op(p, ']');
    return node;
}

static struct tw_jinja_node *parse_dot(struct tw_jinja_parser *p, struct tw_jinja_node *object)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_ATTRIBUTE, p->current.line);
    node->a = object;
    tw_jinja_advance(p);
    if (p->current.type == TW_JINJA_TOKEN_INT) {
        node->kind = TW_JINJA_NODE_ITEM;
        node->b = constant(p, p->current.value);
        tw_jinja_advance(p);
    } else {
        node->name = tw_jinja_expect_name(p);
    }
    return node;
}

static struct tw_jinja_node *parse_call(struct tw_jinja_parser *p, struct tw_jinja_node *function)
{
    uint32_t line = p->current.line;
    return binary(p, TW_JINJA_NODE_CALL, line, function, parse_arguments(p));
}

static struct tw_jinja_node *parse_postfix(struct tw_jinja_parser *p, struct tw_jinja_node *node)
{
    for (;;) {
        if (tw_jinja_at_op(p, '.')) {
            node = parse_dot(p, node);
        } else if (tw_jinja_at_op(p, '[')) {
            node = parse_bracket(p, node);
        } else if (tw_jinja_at_op(p, '(')) {
            node = parse_call(p, node);
        } else {
            return node;
        }
    }
}

/* The name may have dots; of what we know, none has. */
static void parse_builtin(struct tw_jinja_parser *p, struct tw_jinja_node *node,
                          const struct tw_jinja_builtin *(*find)(struct tw_bytes name))
{
    struct tw_bytes name = p->current.text;
    node->name = tw_jinja_expect_name(p);
    while (tw_jinja_skip_op(p, '.')) {
        node->name = tw_jinja_expect_name(p);
        name.size_bytes = 0;
    }
    node->builtin = tw_jinja_failed(p->j) ? NULL : find(name);
    if (node->builtin == NULL && p->unknown == NULL && !tw_jinja_failed(p->j)) {
        p->unknown = node;
    }
}

struct tw_jinja_node *tw_jinja_parse_filters(struct tw_jinja_parser *p, struct tw_jinja_node *value,
                                             bool is_inline)
{
    while (is_inline || tw_jinja_skip_op(p, '|')) {
        is_inline = false;
        struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_FILTER, p->current.line);
        node->a = value;
        parse_builtin(p, node, tw_jinja_find_filter);
        if (tw_jinja_at_op(p, '(')) {
            node->b = parse_arguments(p);
        }
        value = node;
    }
    return value;
}

static bool at_test_argument(const struct tw_jinja_parser *p)
{
    enum tw_jinja_token_type type = p->current.type;
    if (tw_jinja_at_name(p, "else") || tw_jinja_at_name(p, "or") || tw_jinja_at_name(p, "and")) {
        return false;
    }
    return type == TW_JINJA_TOKEN_NAME || type == TW_JINJA_TOKEN_STRING ||
           type == TW_JINJA_TOKEN_INT || type == TW_JINJA_TOKEN_REAL || tw_jinja_at_op(p, '[') ||
           tw_jinja_at_op(p, '{');
}

static struct tw_jinja_node *parse_test(struct tw_jinja_parser *p, struct tw_jinja_node *value)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_TEST, p->current.line);
    node->a = value;
    tw_jinja_advance(p);
    bool is_negated = tw_jinja_skip_name(p, "not");
    parse_builtin(p, node, tw_jinja_find_test);
    if (tw_jinja_at_op(p, '(')) {
        node->b = parse_arguments(p);
    } else if (at_test_argument(p)) {
        if (tw_jinja_at_name(p, "is")) {
            tw_jinja_fail(p->j, "two tests in a row; write 'and' between them");
        }
        node->b = tw_jinja_node(p, TW_JINJA_NODE_ARGUMENT, p->current.line);
        node->b->a = parse_postfix(p, parse_primary(p));
    }
    return is_negated ? binary(p, TW_JINJA_NODE_NOT, node->line, node, NULL) : node;
}

/* ---- operators, by how tightly they bind ---- */

static struct tw_jinja_node *parse_unary(struct tw_jinja_parser *p, bool with_filters)
{
    struct tw_jinja_node *node;
    if (!tw_jinja_nest(p)) {
        return tw_jinja_node(p, TW_JINJA_NODE_CONST, p->current.line);
    }
    if (tw_jinja_at_op(p, '-') || tw_jinja_at_op(p, '+')) {
        node = tw_jinja_node(p, TW_JINJA_NODE_SIGN, p->current.line);
        node->op = p->current.op;
        tw_jinja_advance(p);
        node->a = parse_unary(p, false);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    while (with_filters) {
        if (tw_jinja_at_op(p, '|')) {
            node = tw_jinja_parse_filters(p, node, false);
        } else if (tw_jinja_at_name(p, "is")) {
            node = parse_test(p, node);
        } else if (tw_jinja_at_op(p, '(')) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    p->nesting--;
    return node;
}

/* Operators of one level, from the left. ops: up to four, 0 where fewer. */
static struct tw_jinja_node *parse_level(struct tw_jinja_parser *p, const int ops[4],
                                         struct tw_jinja_node *(*parse)(struct tw_jinja_parser *p))
{
    struct tw_jinja_node *left = parse(p);
    for (;;) {
        int op = p->current.type == TW_JINJA_TOKEN_OPERATOR ? p->current.op : 0;
        if (op == 0 || (op != ops[0] && op != ops[1] && op != ops[2] && op != ops[3])) {
            return left;
        }
        uint32_t line = p->current.line;
        tw_jinja_advance(p);
        left = binary(p, TW_JINJA_NODE_BINARY, line, left, parse(p));
        left->op = op;
    }
}

static struct tw_jinja_node *parse_operand(struct tw_jinja_parser *p)
{
    return parse_unary(p, true);
}

static struct tw_jinja_node *parse_power(struct tw_jinja_parser *p)
{
    return parse_level(p, (const int[4]){TW_JINJA_OP('*', '*')}, parse_operand);
}

static struct tw_jinja_node *parse_product(struct tw_jinja_parser *p)
{
    return parse_level(p, (const int[4]){'*', '/', TW_JINJA_OP('/', '/'), '%'}, parse_power);
}

static struct tw_jinja_node *parse_join(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = parse_product(p);
    if (!tw_jinja_at_op(p, '~')) {
        return first;
    }
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_JOIN, p->current.line);
    node->a = first;
    while (tw_jinja_skip_op(p, '~')) {
        first = first->next = parse_product(p);
    }
    return node;
}

static struct tw_jinja_node *parse_sum(struct tw_jinja_parser *p)
{
    return parse_level(p, (const int[4]){'+', '-'}, parse_join);
}

/* Takes a comparison's operator; 0 where there is none. */
static int take_comparison(struct tw_jinja_parser *p)
{
    int op = p->current.type == TW_JINJA_TOKEN_OPERATOR ? p->current.op : 0;
    bool is_not_in = tw_jinja_at_name(p, "not") && tw_jinja_look(p)->type == TW_JINJA_TOKEN_NAME &&
                     tw_bytes_equal(tw_jinja_look(p)->text, tw_bytes_of("in"));
    if (is_not_in) {
        tw_jinja_advance(p);
        op = 'n';
    } else if (tw_jinja_at_name(p, "in")) {
        op = 'i';
    } else if (op != '<' && op != '>' && op != TW_JINJA_OP('<', '=') &&
               op != TW_JINJA_OP('>', '=') && op != TW_JINJA_OP('=', '=') &&
               op != TW_JINJA_OP('!', '=')) {
        return 0;
    }
    tw_jinja_advance(p);
    return op;
}

static struct tw_jinja_node *parse_comparison(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = parse_sum(p), *node = NULL, **next = NULL;
    for (int op; (op = take_comparison(p)) != 0;) {
        if (node == NULL) {
            node = binary(p, TW_JINJA_NODE_COMPARE, p->current.line, first, NULL);
            next = &node->b;
        }
        struct tw_jinja_node *operand =
            binary(p, TW_JINJA_NODE_OPERAND, p->current.line, parse_sum(p), NULL);
        operand->op = op;
        *next = operand;
        next = &operand->next;
    }
    return node != NULL ? node : first;
}

static struct tw_jinja_node *parse_not(struct tw_jinja_parser *p)
{
    if (!tw_jinja_at_name(p, "not")) {
        return parse_comparison(p);
    }
    uint32_t line = p->current.line;
    if (!tw_jinja_nest(p)) {
        return tw_jinja_node(p, TW_JINJA_NODE_CONST, line);
    }
    tw_jinja_advance(p);
    struct tw_jinja_node *node = binary(p, TW_JINJA_NODE_NOT, line, parse_not(p), NULL);
    p->nesting--;
    return node;
}

static struct tw_jinja_node *parse_and(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *left = parse_not(p);
    while (tw_jinja_skip_name(p, "and")) {
        left = binary(p, TW_JINJA_NODE_AND, p->current.line, left, parse_not(p));
    }
    return left;
}

static struct tw_jinja_node *parse_or(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *left = parse_and(p);
    while (tw_jinja_skip_name(p, "or")) {
        left = binary(p, TW_JINJA_NODE_OR, p->current.line, left, parse_and(p));
    }
    return left;
}

struct tw_jinja_node *tw_jinja_parse_expression(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_CONST, p->current.line);
    const struct tw_jinja_node *unknown = p->unknown;
    if (!tw_jinja_nest(p)) {
        return node;
    }
    node = parse_or(p);
    while (tw_jinja_skip_name(p, "if")) {
        struct tw_jinja_node *choice =
            binary(p, TW_JINJA_NODE_CHOICE, p->current.line, parse_or(p), node);
        if (tw_jinja_skip_name(p, "else")) {
            choice->c = tw_jinja_parse_expression(p);
        }
        node = choice;
        p->unknown = unknown;
    }
    p->nesting--;
    return node;
}
