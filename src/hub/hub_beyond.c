/* What a request used beyond what was reserved for it, as a server of somebody else counts it: as
 * much of it as every hard budget has left is reserved as well, before all of it is settled. */
#include "base/clock.h"
#include "hub/hub_state.h"

/* What is to be paid: the part that was reserved, and so much more. */
struct counts {
    uint64_t n_prompt, n_cached, n_output;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the prompt first. */
static struct counts add_tokens(struct counts base, const struct counts *used, uint64_t n_more)
{
    const uint64_t n_prompt = least(n_more, used->n_prompt - base.n_prompt);
    base.n_prompt += n_prompt;
    base.n_output += n_more - n_prompt;
    base.n_cached = least(used->n_cached, base.n_prompt);
    return base;
}

/* False: more than can be counted. */
static bool cost_of(const struct counts *counts, const struct tw_price *price,
                    struct tw_spending_amount *ret_cost)
{
    struct tw_error error;
    const struct tw_token_counts tokens = {.input = (int64_t)(counts->n_prompt - counts->n_cached),
                                           .cached = (int64_t)counts->n_cached,
                                           .output = (int64_t)counts->n_output};
    ret_cost->tokens = (int64_t)(counts->n_prompt + counts->n_output);
    return tw_money_cost(&tokens, &price->prices, &ret_cost->money_nano, &error) == TW_OK;
}

static struct tw_spending_amount missing(struct tw_spending_amount cost,
                                         const struct tw_reservation *reservation)
{
    const int64_t money_nano = cost.money_nano - reservation->amount_nano;
    const int64_t tokens =
        cost.tokens - reservation->n_prompt_tokens - reservation->n_output_tokens;
    return (struct tw_spending_amount){.money_nano = money_nano > 0 ? money_nano : 0,
                                       .tokens = tokens > 0 ? tokens : 0};
}

/* What hard budgets have left. What a period that is over had left may have been carried into the
 * next one, and is not there twice. */
static struct tw_spending_amount left_in(const struct tw_hub *hub, const struct tw_hub_path *path)
{
    struct tw_spending_amount left = {.money_nano = INT64_MAX, .tokens = INT64_MAX};
    for (size_t i = 0; i < path->n; i++) {
        const struct tw_spending_budget *budget = path->steps[i].budget;
        const bool is_over = path->windows[i]->ends_s <= hub->now_ns / TW_SECOND_NS;
        int64_t here = tw_spending_available(budget, path->steps[i].window);
        here = here < 0 || (is_over && budget->rolls_over) ? 0 : here;
        int64_t *least = budget->unit == TW_SPENDING_MONEY ? &left.money_nano : &left.tokens;
        *least = budget->is_hard && here < *least ? here : *least;
    }
    return left;
}

static bool is_payable(const struct counts *counts, const struct tw_price *price,
                       const struct tw_reservation *reservation, struct tw_spending_amount left)
{
    struct tw_spending_amount cost;
    if (!cost_of(counts, price, &cost)) {
        return false;
    }
    const struct tw_spending_amount more = missing(cost, reservation);
    return more.money_nano <= left.money_nano && more.tokens <= left.tokens;
}

/* The most that can be paid. */
static struct counts fit(struct counts base, const struct counts *used,
                         const struct tw_price *price, const struct tw_reservation *reservation,
                         struct tw_spending_amount left)
{
    uint64_t low = 0;
    uint64_t high = used->n_prompt - base.n_prompt + used->n_output - base.n_output;
    while (low < high) {
        const uint64_t middle = low + (high - low + 1) / 2;
        const struct counts counts = add_tokens(base, used, middle);
        if (is_payable(&counts, price, reservation, left)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return add_tokens(base, used, low);
}

/* In the books' sums and in the windows'; false: they cannot count it. */
static bool has_room(struct tw_hub *hub, const struct tw_hub_path *path,
                     struct tw_spending_amount more)
{
    struct tw_error error;
    return tw_ledger_check_room(&hub->ledger, more.money_nano, more.tokens, &error) == TW_OK &&
           tw_spending_reserve(path->steps, path->n, more, &error) == TW_OK;
}

static enum tw_status reserve_more(struct tw_hub *hub, struct tw_reservation *reservation,
                                   const struct tw_price *price, const struct counts *used,
                                   struct counts *counts, struct tw_error *error)
{
    struct tw_hub_path path;
    struct tw_spending_amount cost;
    const struct counts base = *counts;
    enum tw_status status = tw_hub_find_path(hub, reservation->key, reservation->reserved_ns,
                                             reservation->entry, &path, error);
    if (status != TW_OK) {
        return status;
    }
    *counts = fit(base, used, price, reservation, left_in(hub, &path));
    if (!cost_of(counts, price, &cost)) {
        *counts = base;
        return TW_OK;
    }
    const struct tw_spending_amount more = missing(cost, reservation);
    if (more.money_nano == 0 && more.tokens == 0) {
        return TW_OK;
    }
    if (!has_room(hub, &path, more)) {
        *counts = base;
        return TW_OK;
    }
    tw_hub_touch_path(hub, &path);
    return tw_ledger_reserve_more(&hub->ledger, reservation, more.money_nano, more.tokens,
                                  hub->now_ns, error);
}

enum tw_status tw_hub_reserve_beyond(struct tw_hub *hub, struct tw_reservation *reservation,
                                     const struct tw_hub_usage *usage, struct tw_hub_ending *ending,
                                     struct tw_error *error)
{
    const struct tw_price *price = tw_price_of_version(&hub->directory.prices, reservation->price);
    const uint64_t n_prompt = least(usage->n_prompt_tokens, TW_LIMIT_HUB_USED_TOKENS);
    const struct counts used = {.n_prompt = n_prompt,
                                .n_cached = least(usage->n_cached_tokens, n_prompt),
                                .n_output =
                                    least(usage->n_answer_tokens, TW_LIMIT_HUB_USED_TOKENS)};
    struct counts counts = {.n_prompt = least(n_prompt, (uint64_t)reservation->n_prompt_tokens),
                            .n_output =
                                least(used.n_output, (uint64_t)reservation->n_output_tokens)};
    counts.n_cached = least(used.n_cached, counts.n_prompt);
    enum tw_status status = TW_OK;
    if (price != NULL && (counts.n_prompt < used.n_prompt || counts.n_output < used.n_output)) {
        status = reserve_more(hub, reservation, price, &used, &counts, error);
    }
    ending->n_input_tokens = (int64_t)(counts.n_prompt - counts.n_cached);
    ending->n_cached_tokens = (int64_t)counts.n_cached;
    ending->n_output_tokens = (int64_t)counts.n_output;
    if (counts.n_prompt < used.n_prompt || counts.n_output < used.n_output) {
        ending->n_reported_prompt_tokens = (int64_t)used.n_prompt;
        ending->n_reported_output_tokens = (int64_t)used.n_output;
    }
    return status;
}
