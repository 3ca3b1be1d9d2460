#include "hub/charges.h"

#include <assert.h>

static const char *const NAMES[TW_DIRECTIONS] = {"input", "cached", "output"};

const char *tw_direction_name(enum tw_direction direction)
{
    return NAMES[direction];
}

static enum tw_status add_charge(struct tw_charges *charges, enum tw_direction direction,
                                 int64_t n_tokens, int64_t price_nano, struct tw_exact *sum,
                                 struct tw_error *error)
{
    if (n_tokens == 0) {
        return TW_OK;
    }
    struct tw_charge *charge = &charges->items[charges->n++];
    *charge =
        (struct tw_charge){.direction = direction, .n_tokens = n_tokens, .price_nano = price_nano};
    enum tw_status status = tw_exact_cost(n_tokens, price_nano, &charge->cost, error);
    return status == TW_OK ? tw_exact_add(sum, &charge->cost, error) : status;
}

enum tw_status tw_charges_of(const struct tw_usage *usage, const struct tw_usage_row *row,
                             struct tw_charges *ret_charges, struct tw_error *error)
{
    assert(row->versions.n == 1);
    const struct tw_usage_price *price = tw_usage_price_of(usage, row->versions.items[0]);
    const struct tw_usage_sums *sums = &row->sums;
    struct tw_charges charges = {0};
    struct tw_exact sum = {0};
    const struct tw_exact amount = tw_exact_of_nano(sums->amount_nano);
    enum tw_status status = add_charge(&charges, TW_DIRECTION_INPUT, sums->input_tokens,
                                       price->input_nano, &sum, error);
    if (status == TW_OK) {
        status = add_charge(&charges, TW_DIRECTION_CACHED, sums->cached_tokens, price->cached_nano,
                            &sum, error);
    }
    if (status == TW_OK) {
        status = add_charge(&charges, TW_DIRECTION_OUTPUT, sums->output_tokens, price->output_nano,
                            &sum, error);
    }
    if (status == TW_OK) {
        status = tw_exact_rest(&amount, &sum, &charges.rounding, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (charges.rounding.nano >= sums->n_requests) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books have amounts above what %lld requests cost at price version "
                            "%lld; run 'ledger check'",
                            (long long)sums->n_requests, (long long)price->version);
    }
    *ret_charges = charges;
    return TW_OK;
}
