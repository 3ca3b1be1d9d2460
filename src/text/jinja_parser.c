#include <stdio.h>
#include <string.h>

#include "text/jinja_run.h"

static struct tw_jinja_node *parse_expression(struct tw_jinja_parser *p);
static struct tw_jinja_node *parse_until(struct tw_jinja_parser *p, const char *const *ends);

/* ---- tokens, names, nodes ---- */

static void advance(struct tw_jinja_parser *p)
{
    p->current = p->has_following ? p->following : tw_jinja_lex(&p->lexer);
    p->has_following = false;
    if (tw_jinja_failed(p->j)) {
        p->current.type = TW_JINJA_TOKEN_END;
    } else {
        p->j->line = p->current.line;
    }
}

static const struct tw_jinja_token *look(struct tw_jinja_parser *p)
{
    if (!p->has_following) {
        p->following = tw_jinja_lex(&p->lexer);
        p->has_following = true;
        p->j->line = p->current.line;
    }
    return &p->following;
}

static bool token_is(const struct tw_jinja_token *token, const char *name)
{
    return token->type == TW_JINJA_TOKEN_NAME && token->text.size_bytes == strlen(name) &&
           memcmp(token->text.data, name, token->text.size_bytes) == 0;
}

static bool at_name(const struct tw_jinja_parser *p, const char *name)
{
    return token_is(&p->current, name);
}

static bool at_op(const struct tw_jinja_parser *p, int op)
{
    return p->current.type == TW_JINJA_TOKEN_OPERATOR && p->current.op == op;
}

static bool skip_name(struct tw_jinja_parser *p, const char *name)
{
    bool is_there = at_name(p, name);
    if (is_there) {
        advance(p);
    }
    return is_there;
}

static bool skip_op(struct tw_jinja_parser *p, int op)
{
    bool is_there = at_op(p, op);
    if (is_there) {
        advance(p);
    }
    return is_there;
}

static void unexpected(struct tw_jinja_parser *p, const char *wanted)
{
    const struct tw_jinja_token *token = &p->current;
    char text[80] = "the template ends";
    if (token->type == TW_JINJA_TOKEN_NAME) {
        snprintf(text, sizeof text, "there is '%.*s'",
                 (int)(token->text.size_bytes < 40 ? token->text.size_bytes : 40),
                 token->text.data);
    } else if (token->type == TW_JINJA_TOKEN_OPERATOR) {
        snprintf(text, sizeof text, "there is '%.*s%c'", token->op > 255,
                 &(char){(char)(token->op >> 8)}, token->op & 255);
    } else if (token->type != TW_JINJA_TOKEN_END) {
        snprintf(text, sizeof text, "%s",
                 token->type == TW_JINJA_TOKEN_BLOCK_END   ? "the tag ends"
                 : token->type == TW_JINJA_TOKEN_PRINT_END ? "the expression ends"
                                                           : "there is a literal");
    }
    tw_jinja_fail(p->j, "%s where %s is expected", text, wanted);
}

static void expect_op(struct tw_jinja_parser *p, int op)
{
    if (!skip_op(p, op)) {
        unexpected(p, (char[]){'\'', (char)op, '\'', '\0'});
    }
}

static void expect_end(struct tw_jinja_parser *p, enum tw_jinja_token_type type)
{
    if (p->current.type != type) {
        unexpected(p, type == TW_JINJA_TOKEN_BLOCK_END ? "'%}'" : "'}}'");
        return;
    }
    advance(p);
}

static const struct tw_jinja_name *intern(struct tw_jinja_parser *p, struct tw_bytes text)
{
    struct tw_jinja_name **bucket =
        &p->names[tw_bytes_hash(text.data, text.size_bytes) % TW_JINJA_NAME_BUCKETS];
    for (const struct tw_jinja_name *name = *bucket; name != NULL; name = name->next) {
        if (tw_bytes_equal((struct tw_bytes){name->text, name->n_bytes}, text)) {
            return name;
        }
    }
    if (p->n_names++ == TW_LIMIT_JINJA_NAMES) {
        tw_jinja_fail_limit(p->j, "more than %d different names", TW_LIMIT_JINJA_NAMES);
    }
    struct tw_jinja_name *name = tw_jinja_alloc(p->j, 1, sizeof *name);
    char *copy = tw_jinja_alloc(p->j, text.size_bytes + 1, 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text.data, text.size_bytes);
    *name = (struct tw_jinja_name){copy, text.size_bytes, *bucket};
    *bucket = name;
    return name;
}

static const struct tw_jinja_name *expect_name(struct tw_jinja_parser *p)
{
    if (p->current.type != TW_JINJA_TOKEN_NAME) {
        unexpected(p, "a name");
        return NULL;
    }
    const struct tw_jinja_name *name = intern(p, p->current.text);
    advance(p);
    return name;
}

static struct tw_jinja_node *new_node(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind)
{
    if (p->n_nodes++ == TW_LIMIT_JINJA_NODES) {
        tw_jinja_fail_limit(p->j, "more than %u parts in its syntax", TW_LIMIT_JINJA_NODES);
    }
    struct tw_jinja_node *node = tw_jinja_alloc(p->j, 1, sizeof *node);
    node = node != NULL ? node : &p->nowhere; /* so that nobody has to ask */
    *node = (struct tw_jinja_node){.kind = kind, .line = p->current.line};
    return node;
}

static bool nest(struct tw_jinja_parser *p)
{
    if (p->nesting == TW_LIMIT_JINJA_NESTING) {
        tw_jinja_fail_limit(p->j, "expressions or blocks lie deeper than %d in one another",
                            TW_LIMIT_JINJA_NESTING);
    }
    p->nesting++;
    return !tw_jinja_failed(p->j);
}

/* ---- values ---- */

static struct tw_jinja_node *pair_node(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                       struct tw_jinja_node *a, struct tw_jinja_node *b)
{
    struct tw_jinja_node *node = new_node(p, kind);
    node->a = a;
    node->b = b;
    return node;
}

static struct tw_jinja_node *parse_literal(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_CONST);
    node->value = p->current.value;
    /* Counted once, so that threads that render find it done. */
    if (node->value.kind == TW_JINJA_STRING) {
        tw_jinja_chars(p->j, node->value.string);
    }
    advance(p);
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
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_NAME);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (skip_name(p, words[i].name)) {
            node->kind = TW_JINJA_NODE_CONST;
            node->value =
                (struct tw_jinja_value){.kind = words[i].kind, .boolean = words[i].is_true};
            return node;
        }
    }
    node->name = expect_name(p);
    return node;
}

/* Items up to the closing bracket, a comma behind the last one allowed. (a) is a, (a,) a tuple. */
static struct tw_jinja_node *parse_items(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                         char close)
{
    struct tw_jinja_node *node = new_node(p, kind), **next = &node->a;
    bool has_comma = false;
    advance(p);
    while (!at_op(p, close) && !tw_jinja_failed(p->j)) {
        struct tw_jinja_node *item = parse_expression(p);
        if (kind == TW_JINJA_NODE_DICT) {
            expect_op(p, ':');
            item = pair_node(p, TW_JINJA_NODE_PAIR, item, parse_expression(p));
        }
        *next = item;
        next = &item->next;
        if (!skip_op(p, ',')) {
            break;
        }
        has_comma = true;
    }
    expect_op(p, close);
    return kind == TW_JINJA_NODE_TUPLE && !has_comma && node->a != NULL ? node->a : node;
}

static struct tw_jinja_node *parse_primary(struct tw_jinja_parser *p)
{
    if (p->current.type == TW_JINJA_TOKEN_NAME) {
        return parse_name(p);
    }
    if (p->current.type == TW_JINJA_TOKEN_LITERAL) {
        return parse_literal(p);
    }
    if (at_op(p, '[')) {
        return parse_items(p, TW_JINJA_NODE_LIST, ']');
    }
    if (at_op(p, '{')) {
        return parse_items(p, TW_JINJA_NODE_DICT, '}');
    }
    if (at_op(p, '(')) {
        return parse_items(p, TW_JINJA_NODE_TUPLE, ')');
    }
    unexpected(p, "an expression");
    return new_node(p, TW_JINJA_NODE_CONST);
}

/* ---- behind a value: .name [key] (arguments) |filter is test ---- */

/* (value, name=value), or the names of a macro's parameters: (name, name=default). */
static struct tw_jinja_node *parse_arguments(struct tw_jinja_parser *p,
                                             enum tw_jinja_node_kind kind)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    bool has_named = false;
    expect_op(p, '(');
    while (!at_op(p, ')') && !tw_jinja_failed(p->j)) {
        struct tw_jinja_node *node = new_node(p, kind);
        const struct tw_jinja_token *following = look(p);
        bool is_named = p->current.type == TW_JINJA_TOKEN_NAME &&
                        following->type == TW_JINJA_TOKEN_OPERATOR && following->op == '=';
        if (is_named || kind == TW_JINJA_NODE_PARAMETER) {
            node->name = expect_name(p);
        }
        if (is_named) {
            advance(p);
        } else if (has_named) {
            tw_jinja_fail(p->j, "a plain argument behind one with a name");
        }
        if (is_named || kind == TW_JINJA_NODE_ARGUMENT) {
            node->a = parse_expression(p);
        }
        has_named = has_named || is_named;
        *next = node;
        next = &node->next;
        if (!skip_op(p, ',')) {
            break;
        }
    }
    expect_op(p, ')');
    return first;
}

static struct tw_jinja_node *parse_bracket(struct tw_jinja_parser *p, struct tw_jinja_node *object)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_ITEM), *parts[3] = {NULL};
    advance(p);
    for (int i = 0; i < 3; i++) {
        if (!at_op(p, ':') && !at_op(p, ']')) {
            parts[i] = parse_expression(p);
        }
        if (i == 2 || !skip_op(p, ':')) {
            break;
        }
        node->kind = TW_JINJA_NODE_SLICE;
    }
    node->a = object;
    node->b = parts[0];
    node->c = parts[1];
    node->d = parts[2];
    if (node->kind == TW_JINJA_NODE_ITEM && node->b == NULL) {
        unexpected(p, "a key or a number");
    }
    expect_op(p, ']');
    return node;
}

static struct tw_jinja_node *parse_call(struct tw_jinja_parser *p, struct tw_jinja_node *function)
{
    struct tw_jinja_node *node = pair_node(p, TW_JINJA_NODE_CALL, function, NULL);
    node->b = parse_arguments(p, TW_JINJA_NODE_ARGUMENT);
    return node;
}

static struct tw_jinja_node *parse_postfix(struct tw_jinja_parser *p, struct tw_jinja_node *node)
{
    while (!tw_jinja_failed(p->j)) {
        if (skip_op(p, '.')) {
            node = pair_node(p, TW_JINJA_NODE_ATTRIBUTE, node, NULL);
            node->name = expect_name(p);
        } else if (at_op(p, '[')) {
            node = parse_bracket(p, node);
        } else if (at_op(p, '(')) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

static struct tw_jinja_node *parse_builtin(struct tw_jinja_parser *p, struct tw_jinja_node *value,
                                           int use)
{
    struct tw_jinja_node *node = pair_node(p, TW_JINJA_NODE_BUILTIN, value, NULL);
    const struct tw_jinja_name *name = expect_name(p);
    if (!tw_jinja_failed(p->j)) {
        node->builtin = tw_jinja_find_builtin(use, name->text, name->n_bytes);
        if (node->builtin == NULL) {
            p->j->line = node->line;
            tw_jinja_fail(p->j, "unknown %s '%.60s'", use == TW_JINJA_IS_TEST ? "test" : "filter",
                          name->text);
        }
    }
    if (at_op(p, '(')) {
        node->b = parse_arguments(p, TW_JINJA_NODE_ARGUMENT);
    }
    return node;
}

/* is_first: without a bar before it. */
static struct tw_jinja_node *parse_filters(struct tw_jinja_parser *p, struct tw_jinja_node *value,
                                           bool is_first)
{
    while (is_first || skip_op(p, '|')) {
        is_first = false;
        value = parse_builtin(p, value, TW_JINJA_IS_FILTER);
    }
    return value;
}

static bool at_test_argument(const struct tw_jinja_parser *p)
{
    static const char *const words[] = {"else", "or", "and", "if", "in", "not", "is"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (at_name(p, words[i])) {
            return false;
        }
    }
    return p->current.type == TW_JINJA_TOKEN_NAME || p->current.type == TW_JINJA_TOKEN_LITERAL ||
           at_op(p, '[') || at_op(p, '{');
}

static struct tw_jinja_node *parse_test(struct tw_jinja_parser *p, struct tw_jinja_node *value)
{
    bool is_negated = skip_name(p, "not");
    struct tw_jinja_node *node = parse_builtin(p, value, TW_JINJA_IS_TEST);
    if (node->b == NULL && at_test_argument(p)) {
        node->b = new_node(p, TW_JINJA_NODE_ARGUMENT);
        node->b->a = parse_postfix(p, parse_primary(p));
    }
    return is_negated ? pair_node(p, TW_JINJA_NODE_NOT, node, NULL) : node;
}

/* ---- operators ---- */

static struct tw_jinja_node *parse_unary(struct tw_jinja_parser *p, bool with_filters)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_SIGN);
    if (!nest(p)) {
        return node;
    }
    if (at_op(p, '-') || at_op(p, '+')) {
        node->op = p->current.op;
        advance(p);
        node->a = parse_unary(p, false);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    while (with_filters && !tw_jinja_failed(p->j)) {
        if (at_op(p, '|')) {
            node = parse_filters(p, node, false);
        } else if (skip_name(p, "is")) {
            node = parse_test(p, node);
        } else {
            break;
        }
    }
    p->nesting--;
    return node;
}

/* How tightly an operator binds; "not" stands between and and comparisons. */
enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_SUM, LEVEL_JOIN, LEVEL_PRODUCT };

struct infix {
    int op;
    const char *word; /* or NULL */
    int level;
};

static const struct infix *operator_here(struct tw_jinja_parser *p)
{
    static const struct infix operators[] = {
        {TW_JINJA_OR, "or", LEVEL_OR},
        {TW_JINJA_AND, "and", LEVEL_AND},
        {TW_JINJA_IN, "in", LEVEL_COMPARE},
        {TW_JINJA_NOT_IN, "not", LEVEL_COMPARE},
        {TW_JINJA_OP('=', '='), NULL, LEVEL_COMPARE},
        {TW_JINJA_OP('!', '='), NULL, LEVEL_COMPARE},
        {'<', NULL, LEVEL_COMPARE},
        {'>', NULL, LEVEL_COMPARE},
        {TW_JINJA_OP('<', '='), NULL, LEVEL_COMPARE},
        {TW_JINJA_OP('>', '='), NULL, LEVEL_COMPARE},
        {'+', NULL, LEVEL_SUM},
        {'-', NULL, LEVEL_SUM},
        {'~', NULL, LEVEL_JOIN},
        {'*', NULL, LEVEL_PRODUCT},
        {'/', NULL, LEVEL_PRODUCT},
        {TW_JINJA_OP('/', '/'), NULL, LEVEL_PRODUCT},
        {'%', NULL, LEVEL_PRODUCT},
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const struct infix *o = &operators[i];
        if (o->word != NULL ? at_name(p, o->word) : at_op(p, o->op)) {
            return o->op != TW_JINJA_NOT_IN || token_is(look(p), "in") ? o : NULL;
        }
    }
    return NULL;
}

/* Operators of a level and of those that bind more tightly. */
static struct tw_jinja_node *parse_operators(struct tw_jinja_parser *p, int level)
{
    struct tw_jinja_node *left;
    if (level <= LEVEL_NOT && at_name(p, "not")) {
        left = new_node(p, TW_JINJA_NODE_NOT);
        advance(p);
        if (nest(p)) {
            left->a = parse_operators(p, LEVEL_NOT);
            p->nesting--;
        }
    } else {
        left = parse_unary(p, true);
    }
    const struct infix *o, *before = NULL;
    while (!tw_jinja_failed(p->j) && (o = operator_here(p)) != NULL && o->level >= level) {
        struct tw_jinja_node *node = pair_node(p, TW_JINJA_NODE_BINARY, left, NULL);
        if (before != NULL && before->level == LEVEL_COMPARE && o->level == LEVEL_COMPARE) {
            tw_jinja_fail(p->j, "two comparisons in a row; write 'and' between them");
        }
        advance(p);
        if (o->op == TW_JINJA_NOT_IN) {
            advance(p);
        }
        node->op = o->op;
        node->b = parse_operators(p, o->level + 1);
        left = node;
        before = o;
    }
    return left;
}

static struct tw_jinja_node *parse_expression(struct tw_jinja_parser *p)
{
    if (!nest(p)) {
        return new_node(p, TW_JINJA_NODE_CONST);
    }
    struct tw_jinja_node *node = parse_operators(p, LEVEL_OR);
    while (skip_name(p, "if")) {
        node = pair_node(p, TW_JINJA_NODE_CHOICE, NULL, node);
        node->a = parse_operators(p, LEVEL_OR);
        if (skip_name(p, "else")) {
            node->c = parse_expression(p);
        }
    }
    p->nesting--;
    return node;
}

/* ---- blocks ---- */

/* The rest of a tag, the statements behind it, and the tag that ends them, up to its name. */
static struct tw_jinja_node *parse_body(struct tw_jinja_parser *p, const char *const *ends)
{
    expect_end(p, TW_JINJA_TOKEN_BLOCK_END);
    struct tw_jinja_node *body = parse_until(p, ends);
    if (p->current.type == TW_JINJA_TOKEN_END && !tw_jinja_failed(p->j)) {
        tw_jinja_fail(p->j, "the template ends before {%% %s %%}", ends[0]);
    }
    return body;
}

static struct tw_jinja_node *parse_last_body(struct tw_jinja_parser *p, const char *end)
{
    struct tw_jinja_node *body = parse_body(p, (const char *const[]){end, NULL});
    advance(p);
    return body;
}

/* A name, or several with commas between them. */
static struct tw_jinja_node *parse_target(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *tuple = new_node(p, TW_JINJA_NODE_TUPLE), **next = &tuple->a;
    bool has_bracket = skip_op(p, '(');
    do {
        struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_NAME);
        node->name = expect_name(p);
        *next = node;
        next = &node->next;
    } while (skip_op(p, ',') && !tw_jinja_failed(p->j));
    if (has_bracket) {
        expect_op(p, ')');
    }
    return tuple->a != NULL && tuple->a->next == NULL ? tuple->a : tuple;
}

static struct tw_jinja_node *parse_set(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_SET);
    node->a = parse_target(p);
    if (node->a->kind == TW_JINJA_NODE_NAME && skip_op(p, '.')) {
        node->a->kind = TW_JINJA_NODE_FIELD;
        node->a->b = new_node(p, TW_JINJA_NODE_NAME);
        node->a->b->name = expect_name(p);
    }
    if (!skip_op(p, '=')) {
        node->kind = TW_JINJA_NODE_SET_BLOCK;
        node->b = parse_filters(p, new_node(p, TW_JINJA_NODE_INNER), false);
        node->c = parse_last_body(p, "endset");
        return node;
    }
    node->b = parse_expression(p);
    if (at_op(p, ',')) {
        struct tw_jinja_node *last = node->b;
        node->b = pair_node(p, TW_JINJA_NODE_TUPLE, last, NULL);
        while (skip_op(p, ',')) {
            last = last->next = parse_expression(p);
        }
    }
    return node;
}

static struct tw_jinja_node *parse_filter_block(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_FILTER_BLOCK);
    node->b = parse_filters(p, new_node(p, TW_JINJA_NODE_INNER), true);
    node->c = parse_last_body(p, "endfilter");
    return node;
}

static struct tw_jinja_node *parse_for(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_FOR);
    node->a = parse_target(p);
    if (!skip_name(p, "in")) {
        unexpected(p, "'in'");
    }
    node->b = parse_operators(p, LEVEL_OR);
    if (skip_name(p, "if")) {
        node->c = parse_expression(p);
    }
    node->name = intern(p, tw_bytes_of("loop"));
    p->n_loops++;
    node->d = parse_body(p, (const char *const[]){"endfor", "else", NULL});
    p->n_loops--;
    bool has_else = at_name(p, "else");
    advance(p);
    if (has_else) {
        node->e = parse_last_body(p, "endfor");
    }
    return node;
}

static struct tw_jinja_node *parse_if(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    bool goes_on = true;
    while (goes_on && !tw_jinja_failed(p->j)) {
        struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_IF);
        *next = node;
        next = &node->c;
        node->a = parse_expression(p);
        node->b = parse_body(p, (const char *const[]){"endif", "else", "elif", NULL});
        goes_on = at_name(p, "elif");
        bool has_else = at_name(p, "else");
        advance(p);
        if (has_else) {
            node->c = parse_last_body(p, "endif");
        }
    }
    return first;
}

static struct tw_jinja_node *parse_macro(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_MACRO);
    int n_loops = p->n_loops;
    p->n_loops = 0;
    node->name = expect_name(p);
    node->a = parse_arguments(p, TW_JINJA_NODE_PARAMETER);
    node->b = parse_last_body(p, "endmacro");
    p->n_loops = n_loops;
    return node;
}

/* Marks what the model said, for those who train: the statements are as if it were not there. */
static struct tw_jinja_node *parse_generation(struct tw_jinja_parser *p)
{
    return parse_last_body(p, "endgeneration");
}

static struct tw_jinja_node *parse_leave(struct tw_jinja_parser *p, enum tw_jinja_leaving leaving)
{
    struct tw_jinja_node *node = new_node(p, TW_JINJA_NODE_LEAVE);
    node->op = (int)leaving;
    if (p->n_loops == 0) {
        tw_jinja_fail(p->j, "break and continue are for loops");
    }
    return node;
}

static struct tw_jinja_node *parse_break(struct tw_jinja_parser *p)
{
    return parse_leave(p, TW_JINJA_BREAK);
}

static struct tw_jinja_node *parse_continue(struct tw_jinja_parser *p)
{
    return parse_leave(p, TW_JINJA_CONTINUE);
}

static struct tw_jinja_node *parse_statement(struct tw_jinja_parser *p)
{
    static const struct {
        const char *name;
        struct tw_jinja_node *(*parse)(struct tw_jinja_parser *p);
    } rows[] = {
        {"if", parse_if},
        {"for", parse_for},
        {"set", parse_set},
        {"macro", parse_macro},
        {"break", parse_break},
        {"filter", parse_filter_block},
        {"continue", parse_continue},
        {"generation", parse_generation},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (skip_name(p, rows[i].name)) {
            return rows[i].parse(p);
        }
    }
    const struct tw_bytes text = p->current.text;
    if (p->current.type == TW_JINJA_TOKEN_NAME) {
        tw_jinja_fail(p->j, "unknown statement '%.*s'",
                      (int)(text.size_bytes < 60 ? text.size_bytes : 60), text.data);
    }
    unexpected(p, "a statement");
    return NULL;
}

static struct tw_jinja_node *parse_piece(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node;
    if (p->current.type == TW_JINJA_TOKEN_DATA) {
        node = new_node(p, TW_JINJA_NODE_DATA);
        node->value =
            tw_jinja_string(p->j, p->current.text.data, p->current.text.size_bytes, false);
        advance(p);
        return node;
    }
    if (p->current.type == TW_JINJA_TOKEN_PRINT_BEGIN) {
        node = new_node(p, TW_JINJA_NODE_OUTPUT);
        advance(p);
        node->a = parse_expression(p);
        expect_end(p, TW_JINJA_TOKEN_PRINT_END);
        return node;
    }
    node = parse_statement(p);
    expect_end(p, TW_JINJA_TOKEN_BLOCK_END);
    return node;
}

/* Up to a tag that begins with one of the names, or to the end of the template. */
static struct tw_jinja_node *parse_until(struct tw_jinja_parser *p, const char *const *ends)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    if (!nest(p)) {
        return NULL;
    }
    while (p->current.type != TW_JINJA_TOKEN_END && !tw_jinja_failed(p->j)) {
        if (p->current.type == TW_JINJA_TOKEN_BLOCK_BEGIN) {
            advance(p);
            for (size_t i = 0; ends != NULL && ends[i] != NULL; i++) {
                if (at_name(p, ends[i])) {
                    p->nesting--;
                    return first;
                }
            }
        }
        *next = parse_piece(p);
        while (*next != NULL && !tw_jinja_failed(p->j)) {
            next = &(*next)->next;
        }
    }
    p->nesting--;
    return first;
}

struct tw_jinja_node *tw_jinja_parse(struct tw_jinja_parser *p)
{
    advance(p);
    return parse_until(p, NULL);
}
