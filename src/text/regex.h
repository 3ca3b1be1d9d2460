/* regex.h: regular expressions as JSON Schema's `pattern` has them.
 *
 * The dialect is ECMA 262 with the u flag, less what no automaton can do:
 *
 *     a  .  [a-z]  [^a-z]  \d \D \w \W \s \S  \n \t \r \f \v \0 \cX \xHH \uHHHH \u{H..}
 *     (x) (?:x) (?<name>x)  x|y  x* x+ x? x{n} x{n,} x{n,m}, each also lazy  ^  $
 *
 * \d and \w are ASCII, \s is Unicode white space, . is all but line ends. A lazy quantifier matches
 * the same texts as a greedy one. Refused by name: back references, look-around, \b, \p, flags.
 *
 * Threads: one at a time. Errors, with the offset in the pattern: TW_ERR_FORMAT,
 * TW_ERR_UNSUPPORTED, TW_ERR_LIMIT (TW_LIMIT_REGEX_DEPTH, TW_LIMIT_REGEX_REPEAT,
 * TW_LIMIT_PATTERN_BYTES); those of the budget stay in it.
 */
#ifndef TW_TEXT_REGEX_H
#define TW_TEXT_REGEX_H

#include "text/expr.h"

/* The texts that match as a whole. pattern: UTF-8. */
enum tw_status tw_regex_parse(struct tw_bytes pattern, struct tw_exprs *exprs, tw_expr *ret_expr,
                              struct tw_error *error);

#endif
