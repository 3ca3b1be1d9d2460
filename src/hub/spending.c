#include "hub/spending.h"

#include <assert.h>
#include <string.h>

__extension__ typedef __int128 wide;

static const char *const UNIT_NAMES[] = {
    [TW_SPENDING_MONEY] = "money",
    [TW_SPENDING_TOKENS] = "tokens",
};

const char *tw_spending_unit_name(enum tw_spending_unit unit)
{
    return UNIT_NAMES[unit];
}

bool tw_spending_unit_parse(const char *name, enum tw_spending_unit *ret_unit)
{
    for (int i = 0; i < (int)(sizeof UNIT_NAMES / sizeof *UNIT_NAMES); i++) {
        if (strcmp(name, UNIT_NAMES[i]) == 0) {
            *ret_unit = (enum tw_spending_unit)i;
            return true;
        }
    }
    return false;
}

static int64_t amount_of(const struct tw_spending_step *step, struct tw_spending_amount amount)
{
    return step->budget->unit == TW_SPENDING_MONEY ? amount.money_nano : amount.tokens;
}

static int64_t saturate(wide number)
{
    return number > INT64_MAX ? INT64_MAX : number < INT64_MIN ? INT64_MIN : (int64_t)number;
}

static wide allowed(const struct tw_spending_budget *budget,
                    const struct tw_spending_window *window)
{
    return (wide)budget->limit + window->carried;
}

int64_t tw_spending_available(const struct tw_spending_budget *budget,
                              const struct tw_spending_window *window)
{
    return saturate(allowed(budget, window) - window->spent - window->reserved);
}

bool tw_spending_is_passed(const struct tw_spending_budget *budget,
                           const struct tw_spending_window *window)
{
    return window->spent > allowed(budget, window);
}

/* The most output tokens of each answer; -1 where the prompt alone is too much. */
static int64_t most_output(const struct tw_spending_step *step,
                           const struct tw_spending_request *request)
{
    const int64_t available = tw_spending_available(step->budget, step->window);
    if (step->budget->unit == TW_SPENDING_MONEY) {
        return tw_money_most_output(request->prices, request->prompt_tokens, request->n_answers,
                                    available);
    }
    return available < request->prompt_tokens
               ? -1
               : (available - request->prompt_tokens) / request->n_answers;
}

static bool is_unpriced(const struct tw_spending_step *path, size_t n_steps,
                        const struct tw_spending_request *request, size_t *ret_step)
{
    for (size_t i = 0; request->prices == NULL && i < n_steps; i++) {
        if (path[i].budget->unit == TW_SPENDING_MONEY) {
            *ret_step = i;
            return true;
        }
    }
    return false;
}

static enum tw_status worst_case(const struct tw_spending_request *request,
                                 int64_t max_output_tokens, struct tw_spending_amount *ret_amount,
                                 struct tw_error *error)
{
    struct tw_spending_amount amount = {0};
    const wide tokens = request->prompt_tokens + (wide)request->n_answers * (wide)max_output_tokens;
    if (tokens > INT64_MAX) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the request may have more tokens than can be counted");
    }
    amount.tokens = (int64_t)tokens;
    enum tw_status status =
        request->prices == NULL
            ? TW_OK
            : tw_money_worst_cost(request->prices, request->prompt_tokens, request->n_answers,
                                  max_output_tokens, &amount.money_nano, error);
    if (status == TW_OK) {
        *ret_amount = amount;
    }
    return status;
}

enum tw_status tw_spending_clamp(const struct tw_spending_step *path, size_t n_steps,
                                 const struct tw_spending_request *request,
                                 struct tw_spending_decision *ret_decision, struct tw_error *error)
{
    assert(n_steps <= TW_LIMIT_HUB_PATH);
    assert(request->prompt_tokens >= 0 && request->n_answers >= 1 &&
           request->max_output_tokens >= 0);
    struct tw_spending_decision decision = {.decided_by = TW_SPENDING_NOBODY};
    int64_t most = request->max_output_tokens;
    if (is_unpriced(path, n_steps, request, &decision.decided_by)) {
        decision.verdict = TW_SPENDING_UNPRICED;
        *ret_decision = decision;
        return TW_OK;
    }
    for (size_t i = 0; i < n_steps; i++) {
        const int64_t here = path[i].budget->is_hard ? most_output(&path[i], request) : INT64_MAX;
        if (here < most) {
            most = here;
            decision.decided_by = i;
        }
    }
    if (most < (request->max_output_tokens > 0 ? 1 : 0)) {
        decision.verdict = TW_SPENDING_REFUSED;
        *ret_decision = decision;
        return TW_OK;
    }
    enum tw_status status = worst_case(request, most, &decision.amount, error);
    if (status == TW_OK) {
        decision.verdict =
            most < request->max_output_tokens ? TW_SPENDING_CLAMPED : TW_SPENDING_FITS;
        decision.max_output_tokens = most;
        *ret_decision = decision;
    }
    return status;
}

enum tw_status tw_spending_reserve(const struct tw_spending_step *path, size_t n_steps,
                                   struct tw_spending_amount amount, struct tw_error *error)
{
    assert(n_steps <= TW_LIMIT_HUB_PATH);
    assert(amount.money_nano >= 0 && amount.tokens >= 0);
    for (size_t i = 0; i < n_steps; i++) {
        const struct tw_spending_window *window = path[i].window;
        if ((wide)window->spent + window->reserved + amount_of(&path[i], amount) > INT64_MAX) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "a budget's window cannot count more than it has by now");
        }
    }
    for (size_t i = 0; i < n_steps; i++) {
        path[i].window->reserved += amount_of(&path[i], amount);
    }
    return TW_OK;
}

enum tw_status tw_spending_settle(const struct tw_spending_step *path, size_t n_steps,
                                  struct tw_spending_amount reserved,
                                  struct tw_spending_amount cost, struct tw_error *error)
{
    assert(n_steps <= TW_LIMIT_HUB_PATH);
    if (cost.money_nano < 0 || cost.tokens < 0 || cost.money_nano > reserved.money_nano ||
        cost.tokens > reserved.tokens) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a request cannot cost more than was reserved for it");
    }
    for (size_t i = 0; i < n_steps; i++) {
        if (path[i].window->reserved < amount_of(&path[i], reserved)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "a budget's window has less reserved than this request; it was "
                                "settled before, or the books were changed by something else");
        }
    }
    for (size_t i = 0; i < n_steps; i++) {
        path[i].window->reserved -= amount_of(&path[i], reserved);
        path[i].window->spent += amount_of(&path[i], cost);
    }
    return TW_OK;
}

static wide least(wide a, wide b)
{
    return a < b ? a : b;
}

int64_t tw_spending_carry(const struct tw_spending_budget *budget,
                          const struct tw_spending_window *window, int64_t n_empty)
{
    if (!budget->is_hard || !budget->rolls_over || budget->period == TW_PERIOD_TOTAL) {
        return 0;
    }
    const wide most = least((wide)budget->limit * TW_LIMIT_HUB_CARRY, INT64_MAX);
    const int64_t available = tw_spending_available(budget, window);
    wide carried = available > 0 ? least(available, most) : 0;
    for (; n_empty > 0 && carried < most; n_empty--) {
        carried = least(carried + budget->limit, most);
    }
    return (int64_t)carried;
}
