/* expr.h: sets of texts as expressions, read one character at a time.
 *
 *     ab|ac  --a-->  b|c  --c-->  (the empty text)
 *
 * An expression's derivative by a character is the expression of what may follow it (Brzozowski
 * 1964). Expressions are terms that are kept once, so equal ones have the same number and the
 * derivatives of one are the states of a deterministic automaton. Besides what patterns have there
 * are "both" and "not": a pattern AND a length, all names BUT these, are plain expressions.
 *
 * Invariants: 1. A choice is flat, sorted, and stands before no other term: (a|b)c is ac|bc, which
 * keeps the derivatives of a pattern as few as its places. 2. Anchors: ^ passes only before any
 * character was read (is_start), $ only where none follows; not inside of "not".
 * Ownership: lists of the budget. Threads: one at a time. Errors: those of the budget; after a
 * failure every expression is TW_EXPR_NOTHING.
 */
#ifndef TW_TEXT_EXPR_H
#define TW_TEXT_EXPR_H

#include "text/bytes.h"
#include "text/subset.h"

typedef uint32_t tw_expr;

enum {
    TW_EXPR_NOTHING = 0, /* no text */
    TW_EXPR_EMPTY = 1,   /* the text without characters */
    TW_EXPR_ANY = 2,     /* all texts */
    TW_EXPR_BEGIN = 3,   /* ^ */
    TW_EXPR_END = 4      /* $ */
};

#define TW_EXPR_NO_END    UINT32_MAX
#define TW_EXPR_LAST_CODE 0x10ffffu

struct tw_char_range {
    uint32_t low, high; /* code points, both inside; surrogates among them never match */
};

struct tw_exprs {
    struct tw_budget *budget;
    struct tw_tuples terms; /* {kind, parts...} */
    struct tw_list flags;   /* by term */
    struct tw_list memo;    /* what the walk in progress knows of a term */
    uint32_t n_walks;
    struct tw_list stack; /* work space of whoever puts terms together: leave it as it was */
    struct tw_sweep sweep;
};

/* Where the budget fails already here no other function may be called. */
void tw_exprs_init(struct tw_exprs *exprs, struct tw_budget *budget);

/* One character of the ranges [n], which are sorted and apart from each other. */
tw_expr tw_expr_set(struct tw_exprs *exprs, const struct tw_char_range *ranges, size_t n);
tw_expr tw_expr_char(struct tw_exprs *exprs, uint32_t low, uint32_t high);
tw_expr tw_expr_sequence(struct tw_exprs *exprs, tw_expr a, tw_expr b);
tw_expr tw_expr_repeat(struct tw_exprs *exprs, tw_expr a, uint32_t least, uint32_t most);
tw_expr tw_expr_either(struct tw_exprs *exprs, tw_expr a, tw_expr b);
tw_expr tw_expr_both(struct tw_exprs *exprs, tw_expr a, tw_expr b);
tw_expr tw_expr_not(struct tw_exprs *exprs, tw_expr a);

/* What was pushed on the stack from place `base` on is popped: the sequence, or any one, of it. */
tw_expr tw_expr_pop_sequence(struct tw_exprs *exprs, uint32_t base);
tw_expr tw_expr_pop_choice(struct tw_exprs *exprs, uint32_t base);

/* Exactly this text; valid UTF-8. */
tw_expr tw_expr_text(struct tw_exprs *exprs, struct tw_bytes text);
/* Every text in which this one does not occur, nor U+0000. */
tw_expr tw_expr_without(struct tw_exprs *exprs, struct tw_bytes text);

/* Digits of a number that, read behind digits that leave `rest`, is a multiple. */
tw_expr tw_expr_multiple(struct tw_exprs *exprs, uint32_t multiple_of, uint32_t rest);

/* ---- reading ---- */

bool tw_expr_has_begin(const struct tw_exprs *exprs, tw_expr a);
bool tw_expr_accepts(const struct tw_exprs *exprs, tw_expr a, bool is_start);
tw_expr tw_expr_derive(struct tw_exprs *exprs, tw_expr a, uint32_t code, bool is_start);

/* Fills exprs->sweep so that within a piece all characters have the same derivative; characters in
 * none of the pieces have nothing. */
void tw_expr_cut(struct tw_exprs *exprs, tw_expr a, bool is_start);

/* text: valid UTF-8. */
bool tw_expr_matches(struct tw_exprs *exprs, tw_expr a, struct tw_bytes text);

#endif
