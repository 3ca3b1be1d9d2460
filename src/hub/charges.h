/* charges.h: what a row of usage is made of: tokens of three directions at one version of a price.
 *
 *     input tokens  x price   +   cached x price   +   output x price   +   rounding   =   amount
 *     \____________________ exact, to 15 digits ____________________/       (what the ledger has)
 *
 * The ledger rounds the cost of a request up to a whole nano-unit, once for all three directions.
 * So no direction has a rounding of its own: it is a part of its own, of less than a nano-unit a
 * request.
 *
 * Threads: any. Errors: TW_ERR_FORMAT where the amount of a row cannot come from its tokens and its
 * price: the books are damaged. TW_ERR_LIMIT.
 */
#ifndef TW_HUB_CHARGES_H
#define TW_HUB_CHARGES_H

#include "hub/exact.h"
#include "hub/usage.h"

enum tw_direction { TW_DIRECTION_INPUT = 0, TW_DIRECTION_CACHED, TW_DIRECTION_OUTPUT };
enum { TW_DIRECTIONS = 3 };

struct tw_charge {
    enum tw_direction direction;
    int64_t n_tokens;
    int64_t price_nano; /* a million tokens */
    struct tw_exact cost;
};

struct tw_charges {
    struct tw_charge items[TW_DIRECTIONS]; /* [n], those with tokens */
    size_t n;
    struct tw_exact rounding;
};

/* "input", "cached", "output". */
const char *tw_direction_name(enum tw_direction direction);

/* The row must have been settled at one version, as it is where price is among the dimensions. */
enum tw_status tw_charges_of(const struct tw_usage *usage, const struct tw_usage_row *row,
                             struct tw_charges *ret_charges, struct tw_error *error);

#endif
