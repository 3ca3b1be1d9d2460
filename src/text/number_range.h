/* number_range.h: JSON numbers between bounds, as digits.
 *
 *     12..305  ->  1 [2-9] | [2-9][0-9] | [12][0-9][0-9] | 30[0-5]
 *
 * A number being written is compared with a bound digit by digit: below, equal so far, or above.
 * The writer's state is the place in the number with one such comparison for each bound, and the
 * remainder where a multiple is asked for.
 *
 * How numbers are written: integers without point or exponent; no "-0"; an exponent of at most two
 * digits, and only where nothing bounds the number; at most TW_NUMBER_DIGITS digits on each side of
 * the point, more only where a bound has them.
 * Threads: any. Errors: those of the grammar's budget.
 */
#ifndef TW_TEXT_NUMBER_RANGE_H
#define TW_TEXT_NUMBER_RANGE_H

#include "base/json.h"
#include "text/grammar.h"

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

struct tw_number_range {
    bool has_low, has_high;
    bool is_low_open, is_high_open; /* the bound itself is outside */
    bool is_integer;
    uint32_t multiple_of; /* at least 1; more than 1 for integers only */
    struct tw_decimal low, high;
};

void tw_grammar_add_number(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                           const struct tw_number_range *range);

#endif
