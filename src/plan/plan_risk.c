/* How sure a plan is: random draws over all ranges, one input at a time, and where it flips. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "plan/plan_state.h"

struct tw_range tw_plan_range(const struct tw_plan *plan, const struct tw_plan_way *way, int input)
{
    const struct tw_range common = plan->scenario->ranges[input];
    if (input >= TW_COST_FACTORS || plan->scenario->is_told[input]) {
        return common;
    }
    if (input == TW_COST_LOAD || input == TW_COST_POWER) {
        return common;
    }
    return way->cost.factor[input];
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

void tw_plan_inputs(const struct tw_plan *plan, const struct tw_plan_way *way, const double *where,
                    double *ret_in)
{
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_range range = tw_plan_range(plan, way, i);
        ret_in[i] = where != NULL ? triangle(range, where[i]) : range.typical;
    }
}

/* ---- an option at other inputs ---- */

struct setting {
    const double *where; /* of each range; NULL: typical */
    int input;           /* at an end of its range; -1: none */
    bool is_high;
    double load; /* > 0: this load, without growth */
};

static void evaluate(struct tw_plan *plan, const struct tw_plan_option *option,
                     const struct setting *setting, struct tw_cost_result *ret_result)
{
    double in[TW_LIMIT_PLAN_MODELS][TW_COST_INPUTS];
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *way = &plan->ways[option->ways[i]];
        tw_plan_inputs(plan, way, setting->where, in[i]);
        if (setting->input >= 0) {
            const struct tw_range range = tw_plan_range(plan, way, setting->input);
            in[i][setting->input] = setting->is_high ? range.high : range.low;
        }
        if (setting->load > 0) {
            in[i][TW_COST_LOAD] = setting->load;
            in[i][TW_COST_GROWTH] = 0;
        }
    }
    tw_plan_evaluate(plan, option, (const double(*)[TW_COST_INPUTS])in, ret_result);
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

/* Figures of an option that get ranges. */
enum { NPV = 0, PER_MILLION, UTILISATION, KWH, CO2, FIGURES };

struct draws {
    uint32_t n;
    double *figures;             /* [n] of each figure of each option, one after another */
    double *months;              /* [n] of each option: those of the draws that break even */
    uint32_t *n_paying, *n_best; /* draws of each option */
    struct tw_cost_result result, tokens;
};

enum { DRAWN_OPTIONS = 10 };

static double *figure_of(const struct draws *d, uint32_t option, int figure)
{
    return &d->figures[((size_t)option * FIGURES + (size_t)figure) * d->n];
}

static void draw(struct tw_plan *plan, struct draws *d, uint32_t at, uint32_t n_options)
{
    double where[TW_COST_INPUTS], least = INFINITY;
    const struct setting setting = {where, -1, false, 0};
    uint32_t best = 0;
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        where[i] = tw_rng_uniform(plan->seed, (uint64_t)at * TW_COST_INPUTS + (uint64_t)i);
    }
    if (plan->tokens != TW_PLAN_NONE) {
        evaluate(plan, &plan->options[plan->tokens], &setting, &d->tokens);
    }
    for (uint32_t o = 0; o < n_options; o++) {
        const struct tw_cost_result *r = &d->result;
        evaluate(plan, &plan->options[o], &setting, &d->result);
        figure_of(d, o, NPV)[at] = r->npv_usd;
        figure_of(d, o, PER_MILLION)[at] = r->usd_per_million_tokens;
        figure_of(d, o, UTILISATION)[at] = r->utilisation;
        figure_of(d, o, KWH)[at] = r->kwh_per_million_tokens;
        figure_of(d, o, CO2)[at] = r->co2_kg_per_million_tokens;
        if (r->npv_usd < least) {
            least = r->npv_usd;
            best = o;
        }
        double months = 0;
        if (plan->tokens != TW_PLAN_NONE && o != plan->tokens &&
            tw_cost_break_even(r, &d->tokens, &months)) {
            d->months[o * d->n + d->n_paying[o]++] = months;
        }
    }
    d->n_best[best]++;
}

static void take_draws(struct tw_plan *plan, struct draws *d, uint32_t n_options)
{
    for (uint32_t at = 0; at < d->n; at++) {
        draw(plan, d, at, n_options);
    }
    for (uint32_t o = 0; o < n_options; o++) {
        struct tw_plan_option *option = &plan->options[o];
        const struct tw_cost_result *r = option->result;
        const double values[FIGURES] = {r->npv_usd, r->usd_per_million_tokens, r->utilisation,
                                        r->kwh_per_million_tokens, r->co2_kg_per_million_tokens};
        struct tw_range *const ranges[FIGURES] = {
            &option->npv_usd, &option->usd_per_million_tokens, &option->utilisation,
            &option->kwh_per_million_tokens, &option->co2_kg_per_million_tokens};
        for (int f = 0; f < FIGURES; f++) {
            *ranges[f] = quantiles(figure_of(d, o, f), d->n, values[f]);
        }
        option->is_drawn = true;
        option->pays_share = (double)d->n_paying[o] / d->n;
        option->best_share = (double)d->n_best[o] / d->n;
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
        d->figures = tw_mem_alloc((size_t)n_options * FIGURES * d->n, sizeof *d->figures);
        d->months = tw_mem_alloc((size_t)n_options * d->n, sizeof *d->months);
        d->n_paying = tw_mem_zalloc(n_options, sizeof *d->n_paying);
        d->n_best = tw_mem_zalloc(n_options, sizeof *d->n_best);
    }
    if (d == NULL || d->figures == NULL || d->months == NULL || d->n_paying == NULL ||
        d->n_best == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for random draws");
    } else {
        take_draws(plan, d, n_options);
    }
    if (d != NULL) {
        tw_mem_free(d->figures);
        tw_mem_free(d->months);
        tw_mem_free(d->n_paying);
        tw_mem_free(d->n_best);
    }
    tw_mem_free(d);
    return status;
}

/* ---- one input at a time ---- */

static bool is_wide(const struct tw_plan *plan, const struct tw_plan_option *option, int input)
{
    bool wide = false;
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_range r = tw_plan_range(plan, &plan->ways[option->ways[i]], input);
        wide = wide || r.high > r.low;
    }
    return wide;
}

static double per_million_at(struct tw_plan *plan, const struct tw_plan_option *option, int input,
                             bool is_high, struct tw_cost_result *scratch)
{
    evaluate(plan, option, &(struct setting){NULL, input, is_high, 0}, scratch);
    return scratch->usd_per_million_tokens;
}

static void find_driver(struct tw_plan *plan, struct tw_plan_option *option,
                        struct tw_cost_result *scratch)
{
    option->driver = -1;
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        if (is_wide(plan, option, i)) {
            const double moved = fabs(per_million_at(plan, option, i, true, scratch) -
                                      per_million_at(plan, option, i, false, scratch)) /
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
    const struct setting setting = {NULL, input, is_high, 0};
    evaluate(plan, &plan->options[plan->best], &setting, scratch);
    const double best = scratch->npv_usd;
    evaluate(plan, &plan->options[plan->runner_up], &setting, scratch);
    return scratch->npv_usd - best;
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

/* Bought machines as they are today less tokens, at a load that does not grow. The plan has the
 * ways of fixed in the place of its own meanwhile. */
static double difference(struct tw_plan *plan, const struct tw_plan_option *bought, double load,
                         struct tw_cost_result *scratch, double *ret_utilisation)
{
    const struct setting setting = {NULL, -1, false, load};
    double fixed[TW_LIMIT_PLAN_MODELS];
    for (uint32_t i = 0; i < plan->n_services; i++) {
        struct tw_cost_option *cost = &plan->ways[bought->ways[i]].cost;
        fixed[i] = cost->fixed_replicas;
        cost->fixed_replicas = tw_cost_replicas_for(&cost->capacity, 1);
    }
    evaluate(plan, bought, &setting, scratch);
    for (uint32_t i = 0; i < plan->n_services; i++) {
        plan->ways[bought->ways[i]].cost.fixed_replicas = fixed[i];
    }
    const double npv = scratch->npv_usd;
    *ret_utilisation = scratch->utilisation;
    evaluate(plan, &plan->options[plan->tokens], &setting, scratch);
    return npv - scratch->npv_usd;
}

/* The load at which the first of the plants is full. */
static double full_load(const struct tw_plan *plan, const struct tw_plan_option *bought)
{
    double load = INFINITY;
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_cost_option *cost = &plan->ways[bought->ways[i]].cost;
        const double n = tw_cost_devices_for(cost, tw_cost_replicas_for(&cost->capacity, 1)) /
                         cost->devices_per_replica;
        load = fmin(load, tw_cost_capacity_of(&cost->capacity, floor(n + 1e-9)));
    }
    return load;
}

static void find_flip(struct tw_plan *plan, struct tw_cost_result *scratch)
{
    uint32_t at = 0;
    while (at < plan->n_admitted && plan->options[at].kind != TW_COST_OWNED &&
           plan->options[at].kind != TW_COST_COLOCATED) {
        at++;
    }
    if (at == plan->n_admitted || plan->tokens == TW_PLAN_NONE) {
        return;
    }
    const struct tw_plan_option *bought = &plan->options[at];
    double low = 1e-4, high = full_load(plan, bought), ignored = 0;
    plan->flip_option = at;
    if (difference(plan, bought, low, scratch, &ignored) <= 0) {
        plan->always_cheaper = at;
        return;
    }
    if (difference(plan, bought, high, scratch, &ignored) >= 0) {
        plan->always_cheaper = plan->tokens;
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
}

enum tw_status tw_plan_risk(struct tw_plan *plan, struct tw_error *error)
{
    struct tw_cost_result *scratch = tw_mem_alloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    plan->flip_load = plan->flip_utilisation = NAN;
    plan->flip_option = plan->always_cheaper = TW_PLAN_NONE;
    for (uint32_t i = 0; i < plan->n_admitted && i < DRAWN_OPTIONS; i++) {
        find_driver(plan, &plan->options[i], scratch);
    }
    make_tornado(plan, scratch);
    find_flip(plan, scratch);
    tw_mem_free(scratch);
    return draw_all(plan, error);
}
