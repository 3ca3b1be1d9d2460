/* money.h: amounts of money as whole nano-units, and what tokens cost.
 *
 * A nano-unit is a billionth of the one currency that books are kept in; int64_t holds nine billion
 * units. Prices are nano-units a million tokens, so a token may cost less than a nano-unit. What
 * tokens cost is summed exactly in 128 bits and rounded up once:
 *
 *     cost = ceil((input x price + cached x price + output x price) / 1,000,000)
 *
 * Invariants:
 * 1. tw_money_parse(tw_money_print(x)) is x, for every x.
 * 2. A cost never falls when a count or a price rises.
 * 3. tw_money_most_output(..., x) is the largest number of tokens an answer which
 *    tw_money_worst_cost does not price above x.
 *
 * Pure; threads: any.
 * Errors: TW_ERR_FORMAT for a text that is no amount, and for a negative count or price;
 * TW_ERR_LIMIT for an amount beyond int64_t.
 */
#ifndef TW_HUB_MONEY_H
#define TW_HUB_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define TW_MONEY_NANO ((int64_t)1000000000) /* nano-units in a unit */

enum { TW_MONEY_DECIMALS = 9, TW_MONEY_TEXT_BYTES = 24 };

/* "12.50", "0.000000001", "-3": an optional minus, digits, and up to nine digits behind a point.
 * Nothing else: no plus, spaces, commas, exponents, no point without digits on both sides. */
enum tw_status tw_money_parse(const char *text, int64_t *ret_nano, struct tw_error *error);
/* As short as it goes: "12.5", "0", "-0.000000001". */
void tw_money_print(int64_t amount_nano, char ret_text[TW_MONEY_TEXT_BYTES]);
/* With exactly n_decimals (0..9), rounded to the nearest, halves away from zero: "12.50". */
void tw_money_print_fixed(int64_t amount_nano, int n_decimals, char ret_text[TW_MONEY_TEXT_BYTES]);

/* Whether it has the form of an ISO 4217 code: three capital letters. */
bool tw_money_is_currency(const char *code);

/* Nano-units a million tokens. */
struct tw_money_prices {
    int64_t input_nano, cached_nano, output_nano;
};

/* Of one request. A token of the prompt is counted as input or as cached, not as both. */
struct tw_token_counts {
    int64_t input, cached, output;
};

enum tw_status tw_money_cost(const struct tw_token_counts *counts,
                             const struct tw_money_prices *prices, int64_t *ret_nano,
                             struct tw_error *error);

/* What a request costs at most: its prompt at the dearer of the two prices, and n_answers (at least
 * 1) of max_output_tokens each. */
enum tw_status tw_money_worst_cost(const struct tw_money_prices *prices, int64_t prompt_tokens,
                                   int64_t n_answers, int64_t max_output_tokens, int64_t *ret_nano,
                                   struct tw_error *error);

/* The most output tokens of each of n_answers (at least 1) with which such a request costs no more
 * than amount_nano; at most INT64_MAX / n_answers. -1 where the prompt alone costs more. */
int64_t tw_money_most_output(const struct tw_money_prices *prices, int64_t prompt_tokens,
                             int64_t n_answers, int64_t amount_nano);

#endif
