/* number_range.h: JSON numbers between bounds, as expressions over their digits.
 *
 *     at most 305  ->  [0-9] | [1-9][0-9] | [12][0-9][0-9] | 30[0-5], and what they may go on with
 *
 * How numbers are written: integers without point or exponent; no "-0"; an exponent of at most two
 * digits, and only where nothing bounds the number; at most TW_NUMBER_DIGITS digits on each side of
 * the point, more only where a bound has them.
 * Threads: one at a time. Errors: those of the budget.
 */
#ifndef TW_TEXT_NUMBER_RANGE_H
#define TW_TEXT_NUMBER_RANGE_H

#include "base/json.h"
#include "text/expr.h"

enum { TW_NUMBER_DIGITS = 18, TW_DECIMAL_DIGITS = 24 };

/* A decimal number without needless zeros: 0 has no digits at all. */
struct tw_decimal {
    bool is_negative;
    uint8_t n_whole, n_fraction;
    char whole[TW_DECIMAL_DIGITS], fraction[TW_DECIMAL_DIGITS]; /* '0'..'9' */
};

/* False for what is no number and for more than TW_DECIMAL_DIGITS digits on a side. */
bool tw_decimal_from_json(const json_t *value, struct tw_decimal *ret_decimal);

/* Less than, equal to or greater than 0, as a is less than, equal to or greater than b. */
int tw_decimal_compare(const struct tw_decimal *a, const struct tw_decimal *b);

struct tw_number_bound {
    bool exists, is_open; /* open: the bound itself is outside */
    struct tw_decimal at;
};

struct tw_number_range {
    struct tw_number_bound low, high;
    bool is_integer;
    uint32_t multiple_of; /* at least 1; more than 1 for integers only */
};

/* Whether a number is inside; how it is written does not matter here. */
bool tw_number_range_has(const struct tw_number_range *range, const json_t *value);

tw_expr tw_number_range_expr(struct tw_exprs *exprs, const struct tw_number_range *range);

#endif
