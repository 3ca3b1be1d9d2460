/* exact.h: amounts of money finer than a nano-unit, and their text. No float anywhere.
 *
 *     tokens x price of a million tokens = an amount in millionths of a nano-unit
 *
 *     struct tw_exact:   nano . millionths        1 = 1e9 nano; 0 <= millionths < 1e6
 *     as text:           12.345678901234567       up to 15 digits behind the point
 *
 * The ledger's amounts are whole nano-units, rounded up once an entry; the parts that an entry is
 * made of are not. Here are the parts, and what the rounding added.
 *
 * Amounts are never negative. Threads: any. Errors: TW_ERR_LIMIT beyond 2^63 nano-units,
 * TW_ERR_FORMAT for a count or a price below zero.
 */
#ifndef TW_HUB_EXACT_H
#define TW_HUB_EXACT_H

#include <stdint.h>

#include "base/status.h"

#define TW_EXACT_TEXT_BYTES 40
enum { TW_EXACT_MOST_PLACES = 15 };

struct tw_exact {
    int64_t nano;
    int64_t millionths; /* of a nano-unit */
};

struct tw_exact tw_exact_of_nano(int64_t nano);
/* What so many tokens cost at a price of a million. */
enum tw_status tw_exact_cost(int64_t n_tokens, int64_t price_nano, struct tw_exact *ret_cost,
                             struct tw_error *error);
enum tw_status tw_exact_add(struct tw_exact *sum, const struct tw_exact *item,
                            struct tw_error *error);
/* whole - part, where that is not below zero: TW_ERR_FORMAT. */
enum tw_status tw_exact_rest(const struct tw_exact *whole, const struct tw_exact *part,
                             struct tw_exact *ret_rest, struct tw_error *error);

/* Digits behind the point that it needs, at least two: 2 .. TW_EXACT_MOST_PLACES. */
int tw_exact_places(const struct tw_exact *value);
/* With so many digits behind the point, which must be enough. */
void tw_exact_write(const struct tw_exact *value, int n_places, char ret_text[TW_EXACT_TEXT_BYTES]);
/* With as many as it needs. */
void tw_exact_write_short(const struct tw_exact *value, char ret_text[TW_EXACT_TEXT_BYTES]);

#endif
