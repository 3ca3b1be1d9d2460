#include "hub/exact.h"

#include <assert.h>
#include <stdio.h>

enum { NANO = 1000000000, MILLION = 1000000 };

struct tw_exact tw_exact_of_nano(int64_t nano)
{
    return (struct tw_exact){.nano = nano};
}

static enum tw_status too_large(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "an amount is larger than %lld units of the currency; ask for a shorter "
                        "period or for a part",
                        (long long)(INT64_MAX / NANO));
}

enum tw_status tw_exact_cost(int64_t n_tokens, int64_t price_nano, struct tw_exact *ret_cost,
                             struct tw_error *error)
{
    __extension__ typedef unsigned __int128 wide;
    if (n_tokens < 0 || price_nano < 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books have a count of %lld tokens at a price of %lld, and neither "
                            "may be below zero; run 'ledger check'",
                            (long long)n_tokens, (long long)price_nano);
    }
    const wide product = (wide)n_tokens * (wide)price_nano;
    if (product / MILLION > INT64_MAX) {
        return too_large(error);
    }
    *ret_cost = (struct tw_exact){.nano = (int64_t)(product / MILLION),
                                  .millionths = (int64_t)(product % MILLION)};
    return TW_OK;
}

enum tw_status tw_exact_add(struct tw_exact *sum, const struct tw_exact *item,
                            struct tw_error *error)
{
    const int64_t millionths = sum->millionths + item->millionths;
    int64_t nano;
    if (__builtin_add_overflow(sum->nano, item->nano, &nano) ||
        __builtin_add_overflow(nano, millionths / MILLION, &nano)) {
        return too_large(error);
    }
    *sum = (struct tw_exact){.nano = nano, .millionths = millionths % MILLION};
    return TW_OK;
}

enum tw_status tw_exact_rest(const struct tw_exact *whole, const struct tw_exact *part,
                             struct tw_exact *ret_rest, struct tw_error *error)
{
    struct tw_exact rest = {.nano = whole->nano - part->nano,
                            .millionths = whole->millionths - part->millionths};
    if (rest.millionths < 0) {
        rest.millionths += MILLION;
        rest.nano--;
    }
    if (rest.nano < 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books have amounts below what their tokens cost; run 'ledger "
                            "check'");
    }
    *ret_rest = rest;
    return TW_OK;
}

/* The digits behind the point as one number of 15. */
static int64_t fraction_of(const struct tw_exact *value)
{
    return value->nano % NANO * MILLION + value->millionths;
}

int tw_exact_places(const struct tw_exact *value)
{
    int64_t fraction = fraction_of(value);
    int n_places = TW_EXACT_MOST_PLACES;
    while (n_places > 2 && fraction % 10 == 0) {
        fraction /= 10;
        n_places--;
    }
    return n_places;
}

void tw_exact_write(const struct tw_exact *value, int n_places, char ret_text[TW_EXACT_TEXT_BYTES])
{
    assert(n_places >= tw_exact_places(value) && n_places <= TW_EXACT_MOST_PLACES);
    int64_t fraction = fraction_of(value);
    for (int i = n_places; i < TW_EXACT_MOST_PLACES; i++) {
        fraction /= 10;
    }
    snprintf(ret_text, TW_EXACT_TEXT_BYTES, "%lld.%0*lld", (long long)(value->nano / NANO),
             n_places, (long long)fraction);
}

void tw_exact_write_short(const struct tw_exact *value, char ret_text[TW_EXACT_TEXT_BYTES])
{
    tw_exact_write(value, tw_exact_places(value), ret_text);
}
