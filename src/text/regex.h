/* regex.h: regular expressions as JSON Schema's `pattern` has them, parsed into a tree.
 *
 * The dialect is ECMA 262 with the u flag, less what no automaton can do:
 *
 *     a  .  [a-z]  [^a-z]  \d \D \w \W \s \S  \n \t \r \f \v \0 \cX \xHH \uHHHH \u{H..}
 *     (x) (?:x) (?<name>x)  x|y  x* x+ x? x{n} x{n,} x{n,m}, each also lazy  ^  $
 *
 * \d and \w are ASCII, \s is Unicode white space, . is all but line ends. A lazy quantifier matches
 * the same texts as a greedy one. Refused by name: back references, look-around, \b, \p, flags.
 *
 * Ownership: the tree lies in the arena and refers to nothing else. Threads: any.
 * Errors, with the offset in the pattern: TW_ERR_FORMAT, TW_ERR_UNSUPPORTED, TW_ERR_LIMIT
 * (TW_LIMIT_REGEX_DEPTH, TW_LIMIT_REGEX_REPEAT, TW_LIMIT_PATTERN_BYTES), TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_REGEX_H
#define TW_TEXT_REGEX_H

#include "base/arena.h"
#include "base/status.h"
#include "text/bytes.h"

enum tw_regex_kind {
    TW_REGEX_SET = 0,  /* one character out of ranges; none where there are none */
    TW_REGEX_SEQUENCE, /* all children, in order; without children the empty text */
    TW_REGEX_CHOICE,   /* one of the children */
    TW_REGEX_REPEAT,   /* the one child, least to most times */
    TW_REGEX_BEGIN,    /* ^ */
    TW_REGEX_END       /* $ */
};

#define TW_REGEX_NO_END UINT32_MAX

struct tw_char_range {
    uint32_t low, high; /* code points, both inside; surrogates among them never match */
};

struct tw_regex {
    enum tw_regex_kind kind;
    struct tw_regex *first_child, *next; /* next: among the parent's children */
    uint32_t least, most;                /* TW_REGEX_REPEAT; most may be TW_REGEX_NO_END */
    const struct tw_char_range *ranges;  /* [n_ranges] sorted, apart from each other */
    uint32_t n_ranges;
};

/* pattern: UTF-8. */
enum tw_status tw_regex_parse(struct tw_bytes pattern, struct tw_arena *arena,
                              const struct tw_regex **ret_regex, struct tw_error *error);

/* The tree that matches exactly this text (valid UTF-8). NULL: no memory. */
const struct tw_regex *tw_regex_literal(struct tw_bytes text, struct tw_arena *arena);

#endif
