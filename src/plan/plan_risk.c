/* How sure a plan is: random draws over all ranges, one input at a time, and where it flips. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "plan/plan_state.h"

struct tw_range tw_plan_range(const struct tw_plan *plan, const struct tw_plan_option *option,
                              int input)
{
    const struct tw_range common = plan->scenario->ranges[input];
    if (input >= TW_COST_FACTORS || plan->scenario->is_told[input]) {
        return common;
    }
    if (input == TW_COST_LOAD || input == TW_COST_POWER) {
        return common;
    }
    return option->cost.factor[input];
}

/* The inverse of a triangular distribution. */
static double triangle(struct tw_range r, double u)
{
    const double width = r.high - r.low;
    if (!(width > 0)) {
        return r.typical;
    }
    const double at = (r.typical - r.low) / width;
    return u < at ? r.low + sqrt(u * width * (r.typical - r.low))
                  : r.high - sqrt((1 - u) * width * (r.high - r.typical));
}

void tw_plan_inputs(const struct tw_plan *plan, const struct tw_plan_option *option,
                    const double *where, double *ret_in)
{
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_range range = tw_plan_range(plan, option, i);
        ret_in[i] = where != NULL ? triangle(range, where[i]) : range.typical;
    }
}

static void evaluate(struct tw_plan *plan, const struct tw_plan_option *option, const double *in,
                     struct tw_cost_result *ret_result)
{
    plan->n_evaluations++;
    tw_cost_evaluate(&plan->demand, &option->cost, in, ret_result);
}

/* ---- random draws ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct tw_range quantiles(double *values, uint32_t n, double typical)
{
    qsort(values, n, sizeof *values, by_value);
    struct tw_range r = {values[n / 20], typical, values[n - 1 - n / 20]};
    r.low = fmin(r.low, typical);
    r.high = fmax(r.high, typical);
    return r;
}

struct draws {
    uint32_t n;
    double *npv, *per_million, *months; /* [n] of each option, one after another */
    uint32_t *n_paying;
    struct tw_cost_result result, tokens;
};

enum { DRAWN_OPTIONS = 10 };

static void draw(struct tw_plan *plan, struct draws *d, uint32_t at, uint32_t n_options)
{
    double where[TW_COST_INPUTS], in[TW_COST_INPUTS];
    uint32_t best = 0;
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        where[i] = tw_rng_uniform(plan->seed, (uint64_t)at * TW_COST_INPUTS + (uint64_t)i);
    }
    if (plan->tokens != TW_PLAN_NONE) {
        tw_plan_inputs(plan, &plan->options[plan->tokens], where, in);
        evaluate(plan, &plan->options[plan->tokens], in, &d->tokens);
    }
    for (uint32_t o = 0; o < n_options; o++) {
        tw_plan_inputs(plan, &plan->options[o], where, in);
        evaluate(plan, &plan->options[o], in, &d->result);
        d->npv[o * d->n + at] = d->result.npv_usd;
        d->per_million[o * d->n + at] = d->result.usd_per_million_tokens;
        best = d->result.npv_usd < d->npv[best * d->n + at] ? o : best;
        double months = 0;
        if (plan->tokens != TW_PLAN_NONE && o != plan->tokens &&
            tw_cost_break_even(&d->result, &d->tokens, &months)) {
            d->months[o * d->n + d->n_paying[o]++] = months;
        }
    }
    plan->options[best].best_share += 1.0 / d->n;
}

static void take_draws(struct tw_plan *plan, struct draws *d, uint32_t n_options)
{
    for (uint32_t at = 0; at < d->n; at++) {
        draw(plan, d, at, n_options);
    }
    for (uint32_t o = 0; o < n_options; o++) {
        struct tw_plan_option *option = &plan->options[o];
        option->npv_usd = quantiles(&d->npv[o * d->n], d->n, option->result->npv_usd);
        option->usd_per_million_tokens =
            quantiles(&d->per_million[o * d->n], d->n, option->result->usd_per_million_tokens);
        option->pays_share = (double)d->n_paying[o] / d->n;
        double months = NAN;
        const bool pays =
            plan->tokens != TW_PLAN_NONE && o != plan->tokens &&
            tw_cost_break_even(option->result, plan->options[plan->tokens].result, &months);
        if (d->n_paying[o] > 0 && pays) {
            option->break_even_months = quantiles(&d->months[o * d->n], d->n_paying[o], months);
        } else {
            option->break_even_months = (struct tw_range){NAN, pays ? months : NAN, NAN};
        }
    }
}

static enum tw_status draw_all(struct tw_plan *plan, struct tw_error *error)
{
    struct draws *d = tw_mem_zalloc(1, sizeof *d);
    const uint32_t n_options = plan->n_admitted < DRAWN_OPTIONS ? plan->n_admitted : DRAWN_OPTIONS;
    enum tw_status status = TW_OK;
    if (d != NULL) {
        d->n = plan->scenario->n_draws;
        d->npv = tw_mem_alloc((size_t)n_options * d->n, sizeof *d->npv);
        d->per_million = tw_mem_alloc((size_t)n_options * d->n, sizeof *d->per_million);
        d->months = tw_mem_alloc((size_t)n_options * d->n, sizeof *d->months);
        d->n_paying = tw_mem_zalloc(n_options, sizeof *d->n_paying);
    }
    if (d == NULL || d->npv == NULL || d->per_million == NULL || d->months == NULL ||
        d->n_paying == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for random draws");
    } else {
        take_draws(plan, d, n_options);
    }
    if (d != NULL) {
        tw_mem_free(d->npv);
        tw_mem_free(d->per_million);
        tw_mem_free(d->months);
        tw_mem_free(d->n_paying);
    }
    tw_mem_free(d);
    return status;
}

/* ---- one input at a time ---- */

static double npv_with(struct tw_plan *plan, const struct tw_plan_option *option, int input,
                       bool is_high, struct tw_cost_result *scratch)
{
    double in[TW_COST_INPUTS];
    tw_plan_inputs(plan, option, NULL, in);
    const struct tw_range range = tw_plan_range(plan, option, input);
    in[input] = is_high ? range.high : range.low;
    evaluate(plan, option, in, scratch);
    return scratch->usd_per_million_tokens;
}

static void find_driver(struct tw_plan *plan, struct tw_plan_option *option,
                        struct tw_cost_result *scratch)
{
    option->driver = -1;
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_range range = tw_plan_range(plan, option, i);
        if (range.high > range.low) {
            const double moved = fabs(npv_with(plan, option, i, true, scratch) -
                                      npv_with(plan, option, i, false, scratch)) /
                                 fmax(1e-12, option->result->usd_per_million_tokens);
            if (moved > option->driver_share) {
                option->driver_share = moved;
                option->driver = i;
            }
        }
    }
}

static double advantage(struct tw_plan *plan, int input, bool is_high,
                        struct tw_cost_result *scratch)
{
    const uint32_t pair[2] = {plan->best, plan->runner_up};
    double npv[2];
    for (int i = 0; i < 2; i++) {
        const struct tw_plan_option *option = &plan->options[pair[i]];
        double in[TW_COST_INPUTS];
        tw_plan_inputs(plan, option, NULL, in);
        const struct tw_range range = tw_plan_range(plan, option, input);
        in[input] = is_high ? range.high : range.low;
        evaluate(plan, option, in, scratch);
        npv[i] = scratch->npv_usd;
    }
    return npv[1] - npv[0];
}

static double width(const struct tw_plan_bar *bar)
{
    return fabs(bar->at_high_usd - bar->at_low_usd);
}

static void make_tornado(struct tw_plan *plan, struct tw_cost_result *scratch)
{
    if (plan->runner_up == TW_PLAN_NONE) {
        return;
    }
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_plan_bar bar = {i, advantage(plan, i, false, scratch),
                                        advantage(plan, i, true, scratch)};
        if (width(&bar) < 1e-9 * fabs(plan->advantage_usd) + 1e-9) {
            continue;
        }
        uint32_t at = plan->n_bars++;
        for (; at > 0 && width(&plan->bars[at - 1]) < width(&bar); at--) {
            plan->bars[at] = plan->bars[at - 1];
        }
        plan->bars[at] = bar;
    }
}

/* ---- where it flips ---- */

/* Bought machines less tokens at a load, with the plant as it is bought today. */
static double difference(struct tw_plan *plan, const struct tw_plan_option *bought, double load,
                         struct tw_cost_result *scratch, double *ret_utilisation)
{
    struct tw_plan_option fixed = *bought;
    double in[TW_COST_INPUTS];
    fixed.cost.fixed_replicas = bought->result->months[0].replicas - bought->cost.spare_replicas;
    tw_plan_inputs(plan, &fixed, NULL, in);
    in[TW_COST_LOAD] = load;
    in[TW_COST_GROWTH] = 0;
    evaluate(plan, &fixed, in, scratch);
    const double npv = scratch->npv_usd;
    *ret_utilisation = scratch->utilisation;
    const struct tw_plan_option *tokens = &plan->options[plan->tokens];
    tw_plan_inputs(plan, tokens, NULL, in);
    in[TW_COST_LOAD] = load;
    in[TW_COST_GROWTH] = 0;
    evaluate(plan, tokens, in, scratch);
    return npv - scratch->npv_usd;
}

static void find_flip(struct tw_plan *plan, struct tw_cost_result *scratch)
{
    uint32_t at = 0;
    while (at < plan->n_options && (plan->options[at].cost.kind != TW_COST_OWNED &&
                                    plan->options[at].cost.kind != TW_COST_COLOCATED)) {
        at++;
    }
    if (at == plan->n_options || plan->tokens == TW_PLAN_NONE) {
        return;
    }
    const struct tw_plan_option *bought = &plan->options[at];
    const double n = bought->result->months[0].replicas - bought->cost.spare_replicas;
    double low = 1e-4, high = tw_cost_capacity_of(&bought->cost.capacity, n), ignored = 0;
    if (difference(plan, bought, low, scratch, &ignored) <= 0 ||
        difference(plan, bought, high, scratch, &ignored) >= 0) {
        return;
    }
    for (int i = 0; i < 50; i++) {
        const double middle = sqrt(low * high);
        if (difference(plan, bought, middle, scratch, &plan->flip_utilisation) > 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    plan->flip_load = high;
    plan->flip_option = at;
}

enum tw_status tw_plan_risk(struct tw_plan *plan, struct tw_error *error)
{
    struct tw_cost_result *scratch = tw_mem_alloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    plan->flip_load = plan->flip_utilisation = NAN;
    plan->flip_option = TW_PLAN_NONE;
    for (uint32_t i = 0; i < plan->n_admitted && i < DRAWN_OPTIONS; i++) {
        find_driver(plan, &plan->options[i], scratch);
    }
    make_tornado(plan, scratch);
    find_flip(plan, scratch);
    tw_mem_free(scratch);
    return draw_all(plan, error);
}
