/* jinja_syntax.h: a template's source as tokens and as a tree.
 *
 *     source --lexer--> data, {{, name, operator, ... --parser--> statements and expressions
 *
 * White space is cut as trim_blocks and lstrip_blocks say: a newline behind a block goes, blanks
 * before one at the beginning of a line go; "-" takes all white space on its side, "+" keeps it.
 *
 * Invariants: 1. The tree is never changed after parsing. 2. Names are interned: equal names are
 * one pointer. 3. An unknown statement, filter or test is refused at once.
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
    TW_JINJA_TOKEN_LITERAL, /* a text or a number */
    TW_JINJA_TOKEN_OPERATOR
};

struct tw_jinja_token {
    enum tw_jinja_token_type type;
    uint32_t line;
    int op;                      /* of an operator */
    struct tw_bytes text;        /* of data and names */
    struct tw_jinja_value value; /* of literals */
};

/* An operator is its characters: '+', TW_JINJA_OP('=', '='), or a word. */
#define TW_JINJA_OP(a, b) ((a) << 8 | (b))
enum { TW_JINJA_OR = 1, TW_JINJA_AND, TW_JINJA_IN, TW_JINJA_NOT_IN };

struct tw_jinja_lexer {
    struct tw_jinja *j;
    struct tw_bytes source; /* newlines are \n */
    size_t at;
    uint32_t line;
    bool line_starting; /* what is before `at` ends with a newline */
    bool opens;         /* the tag was found, but its beginning not given yet */
    int state;
    size_t n_open; /* brackets */
};

/* Copies the source, with newlines as they count. */
struct tw_jinja_lexer tw_jinja_lexer(struct tw_jinja *j, const char *source, size_t source_bytes);
/* TW_JINJA_TOKEN_END after the last one and after a failure. */
struct tw_jinja_token tw_jinja_lex(struct tw_jinja_lexer *lexer);

struct tw_jinja_name {
    const char *text;
    size_t n_bytes;
    struct tw_jinja_name *next; /* in the table */
};

/* What stands in the fields a to e of each kind; lists are chained by `next`. */
enum tw_jinja_node_kind {
    TW_JINJA_NODE_DATA = 0,     /* value */
    TW_JINJA_NODE_OUTPUT,       /* a: expression */
    TW_JINJA_NODE_IF,           /* a: test, b: body, c: else; an elif is an IF there */
    TW_JINJA_NODE_FOR,          /* a: target, b: source, c: test, d: body, e: else, name: "loop" */
    TW_JINJA_NODE_SET,          /* a: target, b: expression */
    TW_JINJA_NODE_SET_BLOCK,    /* a: target, b: filters around an INNER node, c: body */
    TW_JINJA_NODE_FILTER_BLOCK, /* b: filters around an INNER node, c: body */
    TW_JINJA_NODE_MACRO,        /* name, a: PARAMETERs, b: body */
    TW_JINJA_NODE_LEAVE,        /* op: TW_JINJA_BREAK or TW_JINJA_CONTINUE */
    TW_JINJA_NODE_PARAMETER,    /* name, a: default */
    TW_JINJA_NODE_CONST,        /* value */
    TW_JINJA_NODE_INNER,        /* the text of the block around the filters */
    TW_JINJA_NODE_NAME,         /* name */
    TW_JINJA_NODE_FIELD,        /* a namespace's, as a target: name, b: NAME of the field */
    TW_JINJA_NODE_TUPLE,        /* a: items */
    TW_JINJA_NODE_LIST,         /* a: items */
    TW_JINJA_NODE_DICT,         /* a: PAIRs */
    TW_JINJA_NODE_PAIR,         /* a: key, b: value */
    TW_JINJA_NODE_ATTRIBUTE,    /* a: object, name */
    TW_JINJA_NODE_ITEM,         /* a: object, b: key */
    TW_JINJA_NODE_SLICE,        /* a: object, b, c, d: from, to, stride */
    TW_JINJA_NODE_CALL,         /* a: function, b: ARGUMENTs */
    TW_JINJA_NODE_BUILTIN,      /* a filter or test; a: value, b: ARGUMENTs, builtin */
    TW_JINJA_NODE_ARGUMENT,     /* a: value, name or NULL */
    TW_JINJA_NODE_NOT,          /* a */
    TW_JINJA_NODE_SIGN,         /* a, op: '-' or '+' */
    TW_JINJA_NODE_BINARY,       /* a, b, op */
    TW_JINJA_NODE_CHOICE        /* a: test, b: if true, c: else */
};

struct tw_jinja_node {
    enum tw_jinja_node_kind kind;
    uint32_t line;
    int op;
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
    struct tw_jinja_node nowhere; /* to write into after a failure */
};

/* NULL after a failure or for an empty template: see tw_jinja_failed. */
struct tw_jinja_node *tw_jinja_parse(struct tw_jinja_parser *parser);

#endif
