/* jinja_syntax.h: a template's source as tokens and as a tree.
 *
 *     source --lexer--> data, {{, name, operator, ... --parser--> statements and expressions
 *
 * White space is cut as trim_blocks and lstrip_blocks say: a newline behind a block goes, blanks
 * before one at the beginning of a line go; "-" takes all white space on its side, "+" keeps it.
 *
 * Invariants: 1. The tree is never changed after parsing. 2. Names are interned: equal names are
 * one pointer. 3. An unknown filter or test is refused at once, but for those under an "if", which
 * are refused when they are reached.
 * Ownership: tree and names lie in the parser's arena. Threads: one per parser.
 * Errors: TW_ERR_FORMAT and TW_ERR_LIMIT with the line in the text.
 */
#ifndef TW_TEXT_JINJA_SYNTAX_H
#define TW_TEXT_JINJA_SYNTAX_H

#include "text/jinja_value.h"

enum tw_jinja_token_type {
    TW_JINJA_TOKEN_END = 0,
    TW_JINJA_TOKEN_DATA,
    TW_JINJA_TOKEN_BLOCK_BEGIN,
    TW_JINJA_TOKEN_BLOCK_END,
    TW_JINJA_TOKEN_PRINT_BEGIN,
    TW_JINJA_TOKEN_PRINT_END,
    TW_JINJA_TOKEN_NAME,
    TW_JINJA_TOKEN_STRING,
    TW_JINJA_TOKEN_INT,
    TW_JINJA_TOKEN_REAL,
    TW_JINJA_TOKEN_OPERATOR
};

struct tw_jinja_token {
    enum tw_jinja_token_type type;
    uint32_t line;
    int op;                      /* TW_JINJA_OP of an operator */
    struct tw_bytes text;        /* of data and names */
    struct tw_jinja_value value; /* of literals */
};

/* An operator is its characters: '+', '/' << 8 | '/', ... */
#define TW_JINJA_OP(a, b) ((a) << 8 | (b))

struct tw_jinja_lexer {
    struct tw_jinja *j;
    struct tw_bytes source; /* newlines are \n */
    size_t at;
    uint32_t line;
    bool line_starting; /* what is before `at` ends with a newline */
    bool opens;         /* the tag was found, but its beginning not given yet */
    int state;
    char open[TW_LIMIT_JINJA_NESTING]; /* brackets that are open, as their closing ones */
    size_t n_open;
};

/* Copies the source, with newlines as they count. */
struct tw_jinja_lexer tw_jinja_lexer(struct tw_jinja *j, const char *source, size_t source_bytes);
/* TW_JINJA_TOKEN_END after the last one and after a failure. */
struct tw_jinja_token tw_jinja_lex(struct tw_jinja_lexer *lexer);
/* The value of a literal, quotes included. */
struct tw_jinja_value tw_jinja_unquote(struct tw_jinja *j, const char *text, size_t n_bytes);

struct tw_jinja_name {
    const char *text;
    size_t n_bytes;
    struct tw_jinja_name *next; /* in the table */
};

/* What stands in the fields a to e of each kind; lists are chained by `next`. */
enum tw_jinja_node_kind {
    TW_JINJA_NODE_DATA = 0, /* value */
    TW_JINJA_NODE_OUTPUT,   /* a: expression */
    TW_JINJA_NODE_IF,       /* a: test, b: body, c: else, d: the next elif, an IF */
    TW_JINJA_NODE_FOR, /* a: target, b: source, c: test, d: body, e: else, name: "loop"; flag */
    TW_JINJA_NODE_SET, /* a: target, b: expression */
    TW_JINJA_NODE_SET_BLOCK,    /* a: target, b: filters around an INNER node, c: body */
    TW_JINJA_NODE_FILTER_BLOCK, /* b: filters around an INNER node, c: body */
    TW_JINJA_NODE_WITH,         /* a: SETs, b: body */
    TW_JINJA_NODE_MACRO,        /* name, a: PARAMETERs, b: body, op: TW_JINJA_USES_* */
    TW_JINJA_NODE_CALL_BLOCK,   /* a: CALL, b: MACRO without a name */
    TW_JINJA_NODE_BREAK,
    TW_JINJA_NODE_CONTINUE,
    TW_JINJA_NODE_PARAMETER, /* name, a: default */
    TW_JINJA_NODE_CONST,     /* value */
    TW_JINJA_NODE_INNER,     /* the text of the block around the filters */
    TW_JINJA_NODE_NAME,      /* name */
    TW_JINJA_NODE_FIELD,     /* a namespace's, as a target: name, b: NAME of the field */
    TW_JINJA_NODE_TUPLE,     /* a: items */
    TW_JINJA_NODE_LIST,      /* a: items */
    TW_JINJA_NODE_DICT,      /* a: PAIRs */
    TW_JINJA_NODE_PAIR,      /* a: key, b: value */
    TW_JINJA_NODE_ATTRIBUTE, /* a: object, name */
    TW_JINJA_NODE_ITEM,      /* a: object, b: key */
    TW_JINJA_NODE_SLICE,     /* a: object, b, c, d: from, to, stride */
    TW_JINJA_NODE_CALL,      /* a: function, b: ARGUMENTs */
    TW_JINJA_NODE_FILTER,    /* a: value, b: ARGUMENTs, name, builtin */
    TW_JINJA_NODE_TEST,      /* a: value, b: ARGUMENTs, name, builtin */
    TW_JINJA_NODE_ARGUMENT,  /* a: value, name or NULL, op: '*' or TW_JINJA_OP('*', '*') or 0 */
    TW_JINJA_NODE_NOT,       /* a */
    TW_JINJA_NODE_SIGN,      /* a, op: '-' or '+' */
    TW_JINJA_NODE_BINARY,    /* a, b, op */
    TW_JINJA_NODE_JOIN,      /* a: values, joined by ~ */
    TW_JINJA_NODE_COMPARE,   /* a: value, b: OPERANDs */
    TW_JINJA_NODE_OPERAND,   /* a: value, op; 'i' is in, 'n' not in */
    TW_JINJA_NODE_AND,       /* a, b */
    TW_JINJA_NODE_OR,        /* a, b */
    TW_JINJA_NODE_CHOICE     /* a: test, b: if true, c: else */
};

enum { TW_JINJA_USES_CALLER = 1, TW_JINJA_USES_VARARGS = 2, TW_JINJA_USES_KWARGS = 4 };

struct tw_jinja_node {
    enum tw_jinja_node_kind kind;
    uint32_t line;
    int op;
    bool flag;
    const struct tw_jinja_name *name;
    struct tw_jinja_node *a, *b, *c, *d, *e, *next;
    struct tw_jinja_value value;
    const struct tw_jinja_builtin *builtin;
};

enum { TW_JINJA_NAME_BUCKETS = 256 };

struct tw_jinja_parser {
    struct tw_jinja *j;
    struct tw_jinja_lexer lexer;
    struct tw_jinja_token current, following;
    bool has_following;
    struct tw_jinja_name *names[TW_JINJA_NAME_BUCKETS];
    size_t n_names, n_nodes;
    int nesting, n_loops;
    bool is_soft; /* under an if: unknown filters wait until they are reached */
    int uses;     /* TW_JINJA_USES_* of what was parsed */
    const struct tw_jinja_node *unknown; /* the first filter or test that is not known */
    struct tw_jinja_node nowhere;
};

/* NULL after a failure or for an empty template: see tw_jinja_failed. */
struct tw_jinja_node *tw_jinja_parse(struct tw_jinja_parser *parser);

/* For the two files of the parser. */
const struct tw_jinja_name *tw_jinja_intern(struct tw_jinja_parser *p, struct tw_bytes text);
struct tw_jinja_node *tw_jinja_node(struct tw_jinja_parser *p, enum tw_jinja_node_kind kind,
                                    uint32_t line);
void tw_jinja_advance(struct tw_jinja_parser *p);
const struct tw_jinja_token *tw_jinja_look(struct tw_jinja_parser *p);
bool tw_jinja_at_name(const struct tw_jinja_parser *p, const char *name);
bool tw_jinja_at_op(const struct tw_jinja_parser *p, int op);
bool tw_jinja_skip_name(struct tw_jinja_parser *p, const char *name);
bool tw_jinja_skip_op(struct tw_jinja_parser *p, int op);
void tw_jinja_expect_op(struct tw_jinja_parser *p, int op);
const struct tw_jinja_name *tw_jinja_expect_name(struct tw_jinja_parser *p);
void tw_jinja_unexpected(struct tw_jinja_parser *p, const char *wanted);
bool tw_jinja_nest(struct tw_jinja_parser *p);
/* simplified: names and literals only; no_choice: no "if" behind it; end_name: of a tuple. */
struct tw_jinja_node *tw_jinja_parse_tuple(struct tw_jinja_parser *p, bool simplified,
                                           bool no_choice, const char *end_name,
                                           bool in_parentheses);
struct tw_jinja_node *tw_jinja_parse_expression(struct tw_jinja_parser *p);
/* Filters behind `value`: with is_inline, the first one without a bar before it. */
struct tw_jinja_node *tw_jinja_parse_filters(struct tw_jinja_parser *p, struct tw_jinja_node *value,
                                             bool is_inline);

#endif
