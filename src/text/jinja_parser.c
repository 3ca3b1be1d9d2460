#include <stdio.h>
#include <string.h>

#include "text/jinja_builtins.h"
#include "text/jinja_syntax.h"

/* ---- tokens, names, nodes ---- */

void tw_jinja_advance(struct tw_jinja_parser *p)
{
    p->current = p->has_following ? p->following : tw_jinja_lex(&p->lexer);
    p->has_following = false;
    if (tw_jinja_failed(p->j)) {
        p->current.type = TW_JINJA_TOKEN_END;
    } else {
        p->j->line = p->current.line;
    }
}

const struct tw_jinja_token *tw_jinja_look(struct tw_jinja_parser *p)
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

bool tw_jinja_at_name(const struct tw_jinja_parser *p, const char *name)
{
    return token_is(&p->current, name);
}

bool tw_jinja_at_op(const struct tw_jinja_parser *p, int op)
{
    return p->current.type == TW_JINJA_TOKEN_OPERATOR && p->current.op == op;
}

bool tw_jinja_skip_name(struct tw_jinja_parser *p, const char *name)
{
    bool is_there = tw_jinja_at_name(p, name);
    if (is_there) {
        tw_jinja_advance(p);
    }
    return is_there;
}

bool tw_jinja_skip_op(struct tw_jinja_parser *p, int op)
{
    bool is_there = tw_jinja_at_op(p, op);
    if (is_there) {
        tw_jinja_advance(p);
    }
    return is_there;
}

void tw_jinja_unexpected(struct tw_jinja_parser *p, const char *wanted)
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

void tw_jinja_expect_op(struct tw_jinja_parser *p, int op)
{
    if (!tw_jinja_skip_op(p, op)) {
        tw_jinja_unexpected(p, (char[]){'\'', (char)op, '\'', '\0'});
    }
}

static void expect_end(struct tw_jinja_parser *p, enum tw_jinja_token_type type)
{
    if (p->current.type != type) {
        tw_jinja_unexpected(p, type == TW_JINJA_TOKEN_BLOCK_END ? "'%}'" : "'}}'");
        return;
    }
    tw_jinja_advance(p);
}

const struct tw_jinja_name *tw_jinja_intern(struct tw_jinja_parser *p, struct tw_bytes text)
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

const struct tw_jinja_name *tw_jinja_expect_name(struct tw_jinja_parser *p)
{
    if (p->current.type != TW_JINJA_TOKEN_NAME) {
        tw_jinja_unexpected(p, "a name");
        return NULL;
    }
    const struct tw_jinja_name *name = tw_jinja_intern(p, p->current.text);
    tw_jinja_advance(p);
    return name;
}

struct tw_jinja_node *tw_jinja_node(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                    uint32_t line)
{
    if (p->n_nodes++ == TW_LIMIT_JINJA_NODES) {
        tw_jinja_fail_limit(p->j, "more than %u parts in its syntax", TW_LIMIT_JINJA_NODES);
    }
    struct tw_jinja_node *node = tw_jinja_alloc(p->j, 1, sizeof *node);
    /* A node to write into after a failure, so that nobody has to ask. */
    node = node != NULL ? node : &p->nowhere;
    *node = (struct tw_jinja_node){.kind = kind, .line = line};
    return node;
}

bool tw_jinja_nest(struct tw_jinja_parser *p)
{
    if (p->nesting == TW_LIMIT_JINJA_NESTING) {
        tw_jinja_fail_limit(p->j, "expressions or blocks lie deeper than %d in one another",
                            TW_LIMIT_JINJA_NESTING);
    }
    p->nesting++;
    return !tw_jinja_failed(p->j);
}

/* ---- blocks ---- */

static struct tw_jinja_node *parse_until(struct tw_jinja_parser *p, const char *const *ends);

/* The rest of a tag, the statements behind it, and the tag that ends them, up to its name. */
static struct tw_jinja_node *parse_body(struct tw_jinja_parser *p, const char *const *ends,
                                        bool is_soft)
{
    const struct tw_jinja_node *unknown = p->unknown;
    bool was_soft = p->is_soft;
    tw_jinja_skip_op(p, ':');
    expect_end(p, TW_JINJA_TOKEN_BLOCK_END);
    p->is_soft = is_soft;
    struct tw_jinja_node *body = parse_until(p, ends);
    p->is_soft = was_soft;
    p->unknown = unknown;
    if (p->current.type == TW_JINJA_TOKEN_END && !tw_jinja_failed(p->j)) {
        tw_jinja_fail(p->j, "the template ends before {%% %s %%}", ends[0]);
    }
    return body;
}

static struct tw_jinja_node *parse_last_body(struct tw_jinja_parser *p, const char *end,
                                             bool is_soft)
{
    struct tw_jinja_node *body = parse_body(p, (const char *const[]){end, NULL}, is_soft);
    tw_jinja_advance(p);
    return body;
}

static void check_target(struct tw_jinja_parser *p, const struct tw_jinja_node *target)
{
    if (target->kind == TW_JINJA_NODE_TUPLE) {
        for (const struct tw_jinja_node *n = target->a; n != NULL && !tw_jinja_failed(p->j);
             n = n->next) {
            if (n->kind != TW_JINJA_NODE_NAME && n->kind != TW_JINJA_NODE_TUPLE) {
                tw_jinja_fail(p->j, "only names can be assigned to");
            } else {
                check_target(p, n);
            }
        }
    } else if (target->kind != TW_JINJA_NODE_NAME && target->kind != TW_JINJA_NODE_FIELD) {
        tw_jinja_fail(p->j, "only names can be assigned to");
    }
}

static struct tw_jinja_node *parse_target(struct tw_jinja_parser *p, const char *end_name,
                                          bool with_field)
{
    struct tw_jinja_node *target;
    int uses = p->uses;
    if (with_field && tw_jinja_look(p)->type == TW_JINJA_TOKEN_OPERATOR &&
        tw_jinja_look(p)->op == '.') {
        target = tw_jinja_node(p, TW_JINJA_NODE_FIELD, p->current.line);
        target->name = tw_jinja_expect_name(p);
        tw_jinja_advance(p);
        target->b = tw_jinja_node(p, TW_JINJA_NODE_NAME, p->current.line);
        target->b->name = tw_jinja_expect_name(p);
    } else {
        target = tw_jinja_parse_tuple(p, true, false, end_name, false);
        check_target(p, target);
    }
    p->uses = uses;
    return target;
}

static struct tw_jinja_node *parse_set(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_SET, p->current.line);
    tw_jinja_advance(p);
    node->a = parse_target(p, NULL, true);
    if (tw_jinja_skip_op(p, '=')) {
        node->b = tw_jinja_parse_tuple(p, false, false, NULL, false);
        return node;
    }
    node->kind = TW_JINJA_NODE_SET_BLOCK;
    node->b = tw_jinja_parse_filters(p, tw_jinja_node(p, TW_JINJA_NODE_INNER, node->line), false);
    node->c = parse_last_body(p, "endset", false);
    return node;
}

static struct tw_jinja_node *parse_filter_block(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_FILTER_BLOCK, p->current.line);
    tw_jinja_advance(p);
    node->b = tw_jinja_parse_filters(p, tw_jinja_node(p, TW_JINJA_NODE_INNER, node->line), true);
    node->c = parse_last_body(p, "endfilter", false);
    return node;
}

static struct tw_jinja_node *parse_for(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_FOR, p->current.line);
    tw_jinja_advance(p);
    node->a = parse_target(p, "in", false);
    for (const struct tw_jinja_node *n = node->a->kind == TW_JINJA_NODE_TUPLE ? node->a->a
                                                                              : node->a;
         n != NULL && !tw_jinja_failed(p->j); n = n->next) {
        if (n->name == tw_jinja_intern(p, tw_bytes_of("loop"))) {
            tw_jinja_fail(p->j, "a loop's own variable cannot be named 'loop'");
        }
    }
    if (!tw_jinja_skip_name(p, "in")) {
        tw_jinja_unexpected(p, "'in'");
    }
    node->b = tw_jinja_parse_tuple(p, false, true, "recursive", false);
    if (tw_jinja_skip_name(p, "if")) {
        node->c = tw_jinja_parse_expression(p);
    }
    node->flag = tw_jinja_skip_name(p, "recursive");
    node->name = tw_jinja_intern(p, tw_bytes_of("loop"));
    p->n_loops++;
    node->d = parse_body(p, (const char *const[]){"endfor", "else", NULL}, false);
    p->n_loops--;
    bool has_else = tw_jinja_at_name(p, "else");
    tw_jinja_advance(p);
    if (has_else) {
        node->e = parse_last_body(p, "endfor", false);
    }
    return node;
}

static struct tw_jinja_node *parse_if(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    bool goes_on = true;
    while (goes_on && !tw_jinja_failed(p->j)) {
        struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_IF, p->current.line);
        *next = node;
        next = &node->d;
        tw_jinja_advance(p);
        node->a = tw_jinja_parse_tuple(p, false, true, NULL, false);
        node->b = parse_body(p, (const char *const[]){"endif", "else", "elif", NULL}, true);
        goes_on = tw_jinja_at_name(p, "elif");
        if (tw_jinja_skip_name(p, "else")) {
            node->c = parse_last_body(p, "endif", true);
        } else if (!goes_on) {
            tw_jinja_advance(p);
        }
    }
    return first;
}

static struct tw_jinja_node *parse_with(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_WITH, p->current.line);
    struct tw_jinja_node **next = &node->a;
    tw_jinja_advance(p);
    while (p->current.type != TW_JINJA_TOKEN_BLOCK_END && !tw_jinja_failed(p->j)) {
        if (next != &node->a) {
            tw_jinja_expect_op(p, ',');
        }
        struct tw_jinja_node *set = tw_jinja_node(p, TW_JINJA_NODE_SET, p->current.line);
        set->a = parse_target(p, NULL, false);
        tw_jinja_expect_op(p, '=');
        set->b = tw_jinja_parse_expression(p);
        *next = set;
        next = &set->next;
    }
    node->b = parse_last_body(p, "endwith", false);
    return node;
}

/* {% generation %} marks what the model said. It is a scope of its own and no more. */
static struct tw_jinja_node *parse_generation(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_WITH, p->current.line);
    int n_loops = p->n_loops;
    p->n_loops = 0;
    tw_jinja_advance(p);
    node->b = parse_last_body(p, "endgeneration", false);
    p->n_loops = n_loops;
    return node;
}

static struct tw_jinja_node *parse_parameters(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    bool has_default = false;
    tw_jinja_expect_op(p, '(');
    while (!tw_jinja_at_op(p, ')') && !tw_jinja_failed(p->j)) {
        if (first != NULL) {
            tw_jinja_expect_op(p, ',');
        }
        struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_PARAMETER, p->current.line);
        node->name = tw_jinja_expect_name(p);
        if (tw_jinja_skip_op(p, '=')) {
            node->a = tw_jinja_parse_expression(p);
            has_default = true;
        } else if (has_default) {
            tw_jinja_fail(p->j, "a parameter without a default behind one that has one");
        }
        *next = node;
        next = &node->next;
    }
    tw_jinja_expect_op(p, ')');
    return first;
}

/* The body of what can be called: its own loops, and what it uses of its caller. */
static void parse_macro_body(struct tw_jinja_parser *p, struct tw_jinja_node *macro,
                             const char *end)
{
    int n_loops = p->n_loops, uses = p->uses;
    p->n_loops = 0;
    p->uses = 0;
    macro->b = parse_last_body(p, end, false);
    macro->op = p->uses;
    p->n_loops = n_loops;
    p->uses |= uses;
}

static struct tw_jinja_node *parse_macro(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_MACRO, p->current.line);
    tw_jinja_advance(p);
    node->name = tw_jinja_expect_name(p);
    node->a = parse_parameters(p);
    parse_macro_body(p, node, "endmacro");
    return node;
}

static struct tw_jinja_node *parse_call_block(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_CALL_BLOCK, p->current.line);
    tw_jinja_advance(p);
    node->b = tw_jinja_node(p, TW_JINJA_NODE_MACRO, node->line);
    if (tw_jinja_at_op(p, '(')) {
        node->b->a = parse_parameters(p);
    }
    node->a = tw_jinja_parse_expression(p);
    if (!tw_jinja_failed(p->j) && node->a->kind != TW_JINJA_NODE_CALL) {
        tw_jinja_fail(p->j, "a call block needs a call");
    }
    parse_macro_body(p, node->b, "endcall");
    return node;
}

static struct tw_jinja_node *parse_leave(struct tw_jinja_parser *p)
{
    bool is_break = tw_jinja_at_name(p, "break");
    struct tw_jinja_node *node =
        tw_jinja_node(p, is_break ? TW_JINJA_NODE_BREAK : TW_JINJA_NODE_CONTINUE, p->current.line);
    if (p->n_loops == 0) {
        tw_jinja_fail(p->j, "'%s' is outside of a loop", is_break ? "break" : "continue");
    }
    tw_jinja_advance(p);
    return node;
}

static struct tw_jinja_node *parse_print(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    tw_jinja_advance(p);
    while (p->current.type != TW_JINJA_TOKEN_BLOCK_END && !tw_jinja_failed(p->j)) {
        if (first != NULL) {
            tw_jinja_expect_op(p, ',');
        }
        struct tw_jinja_node *node = tw_jinja_node(p, TW_JINJA_NODE_OUTPUT, p->current.line);
        node->a = tw_jinja_parse_expression(p);
        *next = node;
        next = &node->next;
    }
    return first;
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
        {"with", parse_with},
        {"call", parse_call_block},
        {"filter", parse_filter_block},
        {"print", parse_print},
        {"generation", parse_generation},
        {"break", parse_leave},
        {"continue", parse_leave},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (tw_jinja_at_name(p, rows[i].name)) {
            return rows[i].parse(p);
        }
    }
    tw_jinja_unexpected(p, "a statement that is known here, such as if, for, set or macro,");
    return NULL;
}

static struct tw_jinja_node *parse_piece(struct tw_jinja_parser *p)
{
    struct tw_jinja_node *node;
    if (p->current.type == TW_JINJA_TOKEN_DATA) {
        node = tw_jinja_node(p, TW_JINJA_NODE_DATA, p->current.line);
        node->value =
            tw_jinja_string(p->j, p->current.text.data, p->current.text.size_bytes, false);
        tw_jinja_advance(p);
        return node;
    }
    if (p->current.type == TW_JINJA_TOKEN_PRINT_BEGIN) {
        tw_jinja_advance(p);
        node = tw_jinja_node(p, TW_JINJA_NODE_OUTPUT, p->current.line);
        node->a = tw_jinja_parse_tuple(p, false, false, NULL, false);
        expect_end(p, TW_JINJA_TOKEN_PRINT_END);
        return node;
    }
    node = parse_statement(p);
    expect_end(p, TW_JINJA_TOKEN_BLOCK_END);
    return node;
}

/* See invariant 3. */
static void check_known(struct tw_jinja_parser *p)
{
    if (p->unknown != NULL && !p->is_soft && !tw_jinja_failed(p->j)) {
        p->j->line = p->unknown->line;
        tw_jinja_fail(p->j, "there is no %s '%.60s'",
                      p->unknown->kind == TW_JINJA_NODE_TEST ? "test" : "filter",
                      p->unknown->name->text);
    }
    p->unknown = NULL;
}

/* Up to a tag that begins with one of the names, or to the end of the template. */
static struct tw_jinja_node *parse_until(struct tw_jinja_parser *p, const char *const *ends)
{
    struct tw_jinja_node *first = NULL, **next = &first;
    if (!tw_jinja_nest(p)) {
        return NULL;
    }
    while (p->current.type != TW_JINJA_TOKEN_END && !tw_jinja_failed(p->j)) {
        if (p->current.type == TW_JINJA_TOKEN_BLOCK_BEGIN) {
            tw_jinja_advance(p);
            for (size_t i = 0; ends != NULL && ends[i] != NULL; i++) {
                if (tw_jinja_at_name(p, ends[i])) {
                    p->nesting--;
                    return first;
                }
            }
        }
        *next = parse_piece(p);
        check_known(p);
        while (*next != NULL && !tw_jinja_failed(p->j)) {
            next = &(*next)->next;
        }
    }
    p->nesting--;
    return first;
}

struct tw_jinja_node *tw_jinja_parse(struct tw_jinja_parser *p)
{
    tw_jinja_advance(p);
    return parse_until(p, NULL);
}
