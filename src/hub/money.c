#include "hub/money.h"

#include <stdio.h>
#include <string.h>

enum { MILLION = 1000000 };

__extension__ typedef unsigned __int128 wide;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of a text that may be long and anything. */
static enum tw_status bad_amount(const char *text, enum tw_status status, const char *what,
                                 struct tw_error *error)
{
    return tw_error_set(error, status, TW_NO_POSITION, "'%.40s' is no amount: %s", text, what);
}

/* amount * 10 + digit, away from 0: int64_t reaches one further on the negative side. */
static bool add_digit(int64_t *amount, bool is_negative, char c)
{
    const int64_t digit = is_negative ? -(c - '0') : c - '0';
    return !__builtin_mul_overflow(*amount, (int64_t)10, amount) &&
           !__builtin_add_overflow(*amount, digit, amount);
}

enum tw_status tw_money_parse(const char *text, int64_t *ret_nano, struct tw_error *error)
{
    const bool is_negative = text[0] == '-';
    const char *const first = text + is_negative, *at = first;
    int64_t amount = 0;
    bool fits = true;
    int n_decimals = 0;
    for (; is_digit(*at); at++) {
        fits = fits && add_digit(&amount, is_negative, *at);
    }
    const bool has_units = at > first;
    const bool has_point = has_units && *at == '.';
    at += has_point;
    for (; has_point && is_digit(*at); at++, n_decimals++) {
        fits = fits && (n_decimals >= TW_MONEY_DECIMALS || add_digit(&amount, is_negative, *at));
    }
    if (!has_units || (has_point && n_decimals == 0) || *at != '\0') {
        return bad_amount(text, TW_ERR_FORMAT,
                          "write digits, with a point before decimals, such as 12.50", error);
    }
    if (n_decimals > TW_MONEY_DECIMALS) {
        return bad_amount(text, TW_ERR_FORMAT, "it has more than nine decimals", error);
    }
    for (; n_decimals < TW_MONEY_DECIMALS; n_decimals++) {
        fits = fits && add_digit(&amount, is_negative, '0');
    }
    if (!fits) {
        return bad_amount(text, TW_ERR_LIMIT, "amounts go to about 9.2 billion", error);
    }
    *ret_nano = amount;
    return TW_OK;
}

static uint64_t size_of(int64_t amount_nano)
{
    return amount_nano < 0 ? 0 - (uint64_t)amount_nano : (uint64_t)amount_nano;
}

void tw_money_print(int64_t amount_nano, char ret_text[TW_MONEY_TEXT_BYTES])
{
    uint64_t rest = size_of(amount_nano) % TW_MONEY_NANO;
    int n_decimals = rest == 0 ? 0 : TW_MONEY_DECIMALS;
    for (; n_decimals > 0 && rest % 10 == 0; rest /= 10) {
        n_decimals--;
    }
    tw_money_print_fixed(amount_nano, n_decimals, ret_text);
}

void tw_money_print_fixed(int64_t amount_nano, int n_decimals, char ret_text[TW_MONEY_TEXT_BYTES])
{
    uint64_t unit = 1; /* of the last decimal, in nano-units */
    for (int i = n_decimals; i < TW_MONEY_DECIMALS; i++) {
        unit *= 10;
    }
    const uint64_t per_unit = TW_MONEY_NANO / unit;
    const uint64_t rounded = (size_of(amount_nano) + unit / 2) / unit;
    const char *sign = amount_nano < 0 && rounded > 0 ? "-" : "";
    const unsigned long long whole = rounded / per_unit, rest = rounded % per_unit;
    if (n_decimals == 0) {
        snprintf(ret_text, TW_MONEY_TEXT_BYTES, "%s%llu", sign, whole);
    } else {
        snprintf(ret_text, TW_MONEY_TEXT_BYTES, "%s%llu.%0*llu", sign, whole, n_decimals, rest);
    }
}

bool tw_money_is_currency(const char *code)
{
    int n = 0;
    while (code[n] >= 'A' && code[n] <= 'Z') {
        n++;
    }
    return n == 3 && code[n] == '\0';
}

static bool is_price(const struct tw_money_prices *prices)
{
    return prices->input_nano >= 0 && prices->cached_nano >= 0 && prices->output_nano >= 0;
}

static wide product(int64_t a, int64_t b)
{
    return (wide)a * (wide)b;
}

/* Up to three products of int64_t fit into 128 bits, with room for the rounding. */
static enum tw_status round_up(wide millionths, int64_t *ret_nano, struct tw_error *error)
{
    const wide nano = (millionths + (MILLION - 1)) / MILLION;
    if (nano > INT64_MAX) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "what these tokens cost at these prices is more than an amount can "
                            "hold, about 9.2 billion");
    }
    *ret_nano = (int64_t)nano;
    return TW_OK;
}

static enum tw_status bad_counts(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "counts of tokens and prices cannot be negative");
}

enum tw_status tw_money_cost(const struct tw_token_counts *counts,
                             const struct tw_money_prices *prices, int64_t *ret_nano,
                             struct tw_error *error)
{
    if (!is_price(prices) || counts->input < 0 || counts->cached < 0 || counts->output < 0) {
        return bad_counts(error);
    }
    return round_up(product(counts->input, prices->input_nano) +
                        product(counts->cached, prices->cached_nano) +
                        product(counts->output, prices->output_nano),
                    ret_nano, error);
}

static wide prompt_millionths(const struct tw_money_prices *prices, int64_t prompt_tokens)
{
    return product(prompt_tokens, prices->input_nano > prices->cached_nano ? prices->input_nano
                                                                           : prices->cached_nano);
}

enum tw_status tw_money_worst_cost(const struct tw_money_prices *prices, int64_t prompt_tokens,
                                   int64_t n_answers, int64_t max_output_tokens, int64_t *ret_nano,
                                   struct tw_error *error)
{
    int64_t output_tokens;
    if (!is_price(prices) || prompt_tokens < 0 || n_answers < 1 || max_output_tokens < 0) {
        return bad_counts(error);
    }
    if (__builtin_mul_overflow(n_answers, max_output_tokens, &output_tokens)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the answers together would have more tokens than can be counted");
    }
    return round_up(prompt_millionths(prices, prompt_tokens) +
                        product(output_tokens, prices->output_nano),
                    ret_nano, error);
}

/* ceil(x / 1e6) <= amount is the same as x <= amount * 1e6. */
int64_t tw_money_most_output(const struct tw_money_prices *prices, int64_t prompt_tokens,
                             int64_t n_answers, int64_t amount_nano)
{
    if (!is_price(prices) || prompt_tokens < 0 || n_answers < 1 || amount_nano < 0) {
        return -1;
    }
    const wide prompt = prompt_millionths(prices, prompt_tokens);
    const wide amount = product(amount_nano, MILLION);
    if (prompt > amount) {
        return -1;
    }
    const int64_t countable = INT64_MAX / n_answers;
    const wide of_one = product(n_answers, prices->output_nano);
    if (of_one == 0 || (amount - prompt) / of_one > (wide)countable) {
        return countable;
    }
    return (int64_t)((amount - prompt) / of_one);
}
