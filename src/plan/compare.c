#include "plan/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "plan/compare_state.h"

enum { MOST_DRAWS = 1000 };
#define J_PER_KWH 3.6e6

static const struct {
    const char *name, *unit;
    bool is_money;
} row_names[TW_COMPARE_ROWS] = {
    [TW_COMPARE_REQUESTS] = {"requests", "", false},
    [TW_COMPARE_INPUT] = {"prompt tokens", "million", false},
    [TW_COMPARE_OUTPUT] = {"output tokens", "million", false},
    [TW_COMPARE_INPUT_MEAN] = {"prompt of a request", "tokens", false},
    [TW_COMPARE_OUTPUT_MEAN] = {"answer of a request", "tokens", false},
    [TW_COMPARE_CACHED_SHARE] = {"cached of the prompt", "share", false},
    [TW_COMPARE_PEAK] = {"busiest usual hour", "requests/s", false},
    [TW_COMPARE_BUSIEST] = {"busiest hour of all", "requests/s", false},
    [TW_COMPARE_UTILISATION] = {"utilisation", "share", false},
    [TW_COMPARE_WATTS] = {"mean power", "W", false},
    [TW_COMPARE_KWH] = {"energy", "kWh", false},
    [TW_COMPARE_KWH_MILLION] = {"energy of a million tokens", "kWh", false},
    [TW_COMPARE_CO2_MILLION] = {"CO2e of a million tokens", "kg", false},
    [TW_COMPARE_COST_MILLION] = {"cost of a million tokens", "", true},
};

const char *tw_compare_verdict_name(enum tw_compare_verdict verdict)
{
    static const char *const names[] = {"not known", "as planned", "below", "above"};
    return names[verdict];
}

/* ---- what is planned ---- */

/* One random draw, or the typical inputs, over the time that is compared. */
struct planned {
    double requests, input, output, peak, utilisation, watts, kwh, kwh_million, co2_million, cost;
};

/* The option with the plant of its month. */
static struct tw_cost_option plant_of(const struct tw_compare_wish *wish)
{
    const struct tw_plan_option *option = &wish->plan->options[wish->option];
    struct tw_cost_option cost = tw_compare_way(wish)->cost;
    const uint32_t n = option->result->n_months, at = wish->month <= n ? wish->month - 1 : n - 1;
    if (cost.capacity.n_points > 0 && !(cost.fixed_replicas > 0)) {
        cost.fixed_replicas = option->result->months[at].replicas - cost.spare_replicas;
    }
    return cost;
}

/* A demand of the hours that lie in the time, as if these were a month. */
static struct tw_cost_demand window_of(const struct tw_actual *actual, const double *load,
                                       double million_tokens_h)
{
    struct tw_cost_demand demand = {.n_months = 1, .million_tokens_h = million_tokens_h};
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        if (actual->hour_seconds[i] > 0) {
            demand.hours[demand.n_classes] = actual->hour_seconds[i] / 3600;
            demand.load[demand.n_classes++] = load[i];
        }
    }
    return demand;
}

static double load_seconds(const struct tw_actual *actual, const double *load)
{
    double sum = 0;
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        sum += actual->hour_seconds[i] * load[i];
    }
    return sum;
}

static double million_h(const struct tw_compare_load *load)
{
    return load->requests_s * (load->input_mean + load->output_mean) * 3600 / 1e6;
}

struct evaluation {
    const struct tw_comparison *c;
    struct tw_cost_option option;
    struct tw_compare_load load;
    struct tw_cost_demand window, month;
    struct tw_cost_result *result;
};

static struct planned evaluate(struct evaluation *e, const double *where)
{
    const struct tw_compare_wish *wish = &e->c->wish;
    const struct tw_plan_way *way = tw_compare_way(wish);
    double in[TW_COST_INPUTS];
    struct planned p;
    tw_plan_inputs(wish->plan, way, where, in);
    tw_cost_evaluate(&e->month, &way->cost, in, e->result);
    p.cost = e->result->usd_per_million_tokens;
    in[TW_COST_LOAD] *= pow(1 + in[TW_COST_GROWTH], (wish->month - 1) / 12.0);
    in[TW_COST_GROWTH] = 0;
    const double peak = e->load.requests_s * in[TW_COST_LOAD];
    p.peak = peak;
    p.requests = peak * load_seconds(wish->actual, wish->plan->scenario->hour_load);
    p.input = p.requests * e->load.input_mean / 1e6;
    p.output = p.requests * e->load.output_mean / 1e6;
    p.utilisation = p.watts = p.kwh = p.kwh_million = p.co2_million = NAN;
    if (e->option.capacity.n_points > 0) {
        tw_cost_evaluate(&e->window, &e->option, in, e->result);
        p.utilisation = e->result->utilisation;
        p.kwh = e->result->total.kwh;
        p.watts = p.kwh * J_PER_KWH / e->c->window_s;
        p.kwh_million = e->result->kwh_per_million_tokens;
        p.co2_million = e->result->co2_kg_per_million_tokens;
    }
    return p;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* 5% and 95% of the draws of one figure, around what is typical. */
static struct tw_range range_of(const struct planned *draws, uint32_t n, size_t offset,
                                double typical, double *scratch)
{
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&scratch[i], (const char *)&draws[i] + offset, sizeof *scratch);
    }
    if (!isfinite(typical)) {
        return tw_range_exact(NAN);
    }
    qsort(scratch, n, sizeof *scratch, by_value);
    return (struct tw_range){fmin(scratch[n / 20], typical), typical,
                             fmax(scratch[n - 1 - n / 20], typical)};
}

static void set_ranges(struct tw_comparison *c, const struct planned *typical,
                       const struct planned *draws, uint32_t n, double *scratch)
{
#define RANGE(row, member)                                                                         \
    c->rows[row].planned =                                                                         \
        range_of(draws, n, offsetof(struct planned, member), typical->member, scratch)
    RANGE(TW_COMPARE_REQUESTS, requests);
    RANGE(TW_COMPARE_INPUT, input);
    RANGE(TW_COMPARE_OUTPUT, output);
    RANGE(TW_COMPARE_PEAK, peak);
    RANGE(TW_COMPARE_UTILISATION, utilisation);
    RANGE(TW_COMPARE_WATTS, watts);
    RANGE(TW_COMPARE_KWH, kwh);
    RANGE(TW_COMPARE_KWH_MILLION, kwh_million);
    RANGE(TW_COMPARE_CO2_MILLION, co2_million);
    RANGE(TW_COMPARE_COST_MILLION, cost);
#undef RANGE
}

static enum tw_status plan_rows(struct tw_comparison *c, double *ret_requests,
                                struct tw_error *error)
{
    const struct tw_plan *plan = c->wish.plan;
    const uint32_t wanted = plan->scenario->n_draws, n = wanted < MOST_DRAWS ? wanted : MOST_DRAWS;
    struct planned *draws = tw_mem_zalloc(n, sizeof *draws);
    double *scratch = tw_mem_zalloc(n, sizeof *scratch);
    struct tw_cost_result *result = tw_mem_zalloc(1, sizeof *result);
    enum tw_status status = TW_OK;
    if (draws == NULL || scratch == NULL || result == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    } else {
        struct evaluation e = {.c = c,
                               .option = plant_of(&c->wish),
                               .load = tw_compare_load_of(plan),
                               .month = plan->services[0].demand,
                               .result = result};
        e.window = window_of(c->wish.actual, plan->scenario->hour_load, million_h(&e.load));
        for (uint32_t i = 0; i < n; i++) {
            double where[TW_COST_INPUTS];
            for (int k = 0; k < TW_COST_INPUTS; k++) {
                where[k] = tw_rng_uniform(plan->seed, (uint64_t)i * TW_COST_INPUTS + (uint64_t)k);
            }
            draws[i] = evaluate(&e, where);
        }
        const struct planned typical = evaluate(&e, NULL);
        set_ranges(c, &typical, draws, n, scratch);
        c->rows[TW_COMPARE_INPUT_MEAN].planned = tw_range_exact(e.load.input_mean);
        c->rows[TW_COMPARE_OUTPUT_MEAN].planned = tw_range_exact(e.load.output_mean);
        c->rows[TW_COMPARE_CACHED_SHARE].planned = tw_range_exact(plan->services[0].cached_share);
        c->replicas = e.option.fixed_replicas;
        *ret_requests = typical.requests;
    }
    tw_mem_free(draws);
    tw_mem_free(scratch);
    tw_mem_free(result);
    return status;
}

/* ---- what was ---- */

static void set_actual(struct tw_comparison *c, enum tw_compare_row_name row, double value,
                       const char *basis)
{
    c->rows[row].actual = value;
    snprintf(c->rows[row].basis, sizeof c->rows[row].basis, "%s", basis);
}

static void load_rows(struct tw_comparison *c)
{
    const struct tw_actual *a = c->wish.actual;
    set_actual(c, TW_COMPARE_REQUESTS, a->n_requests, "books");
    set_actual(c, TW_COMPARE_INPUT, a->input_tokens / 1e6, "books");
    set_actual(c, TW_COMPARE_OUTPUT, a->output_tokens / 1e6, "books");
    set_actual(c, TW_COMPARE_INPUT_MEAN, a->input_tokens / a->n_requests, "books");
    set_actual(c, TW_COMPARE_OUTPUT_MEAN, a->output_tokens / a->n_requests, "books");
    set_actual(c, TW_COMPARE_CACHED_SHARE,
               a->input_tokens > 0 ? a->cached_tokens / a->input_tokens : 0, "books");
    set_actual(c, TW_COMPARE_PEAK, c->peak_requests_s,
               c->has_week ? "books, mean of that hour" : "books, at the planned hours");
    set_actual(c, TW_COMPARE_BUSIEST,
               a->busiest_seconds > 0 ? a->busiest_requests / a->busiest_seconds : NAN, "books");
}

/* The planned plant at the load of each hour that was measured. */
struct modelled {
    struct tw_cost_option option;
    struct tw_cost_demand window;
    struct tw_compare_load load;
    double in[TW_COST_INPUTS];
    struct tw_cost_result result;
    double idle_kwh;
};

static double tail_price(const struct tw_comparison *c, double otherwise)
{
    const char *name = tw_compare_way(&c->wish)->api.name;
    const double tokens = c->tokens_million;
    for (uint32_t i = 0; name != NULL && i < c->n_clouds; i++) {
        if (strcmp(c->clouds[i].api->name, name) == 0) {
            return tokens > 0 ? c->clouds[i].usd / tokens : otherwise;
        }
    }
    return otherwise;
}

static bool model_plant(struct tw_comparison *c, struct modelled *m)
{
    const struct tw_compare_wish *wish = &c->wish;
    const struct tw_actual *a = wish->actual;
    const struct tw_sizing *sizing = tw_compare_sizing(c);
    double load[TW_ACTUAL_HOURS];
    m->option = plant_of(wish);
    m->load = (struct tw_compare_load){c->peak_requests_s, a->input_tokens / a->n_requests,
                                       a->output_tokens / a->n_requests};
    tw_plan_inputs(wish->plan, tw_compare_way(wish), NULL, m->in);
    m->in[TW_COST_LOAD] = 1;
    m->in[TW_COST_GROWTH] = 0;
    m->option.tail_usd_per_million_tokens = tail_price(c, m->option.tail_usd_per_million_tokens);
    if (m->option.capacity.n_points == 0) {
        return true;
    }
    if (sizing == NULL) {
        return false;
    }
    m->option.capacity = sizing->capacity;
    m->option.devices_per_replica = sizing->plant.n_tensor * sizing->plant.n_pipeline;
    m->option.idle_w = sizing->idle_w;
    m->option.busy_w = sizing->busy_w;
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        load[i] = a->hour_seconds[i] > 0
                      ? a->hour_requests[i] / a->hour_seconds[i] / c->peak_requests_s
                      : 0;
    }
    m->window = window_of(a, load, million_h(&m->load));
    tw_cost_evaluate(&m->window, &m->option, m->in, &m->result);
    const double ready = m->option.fixed_replicas + m->option.spare_replicas;
    m->idle_kwh = ready * m->option.idle_w * m->in[TW_COST_POWER] * m->in[TW_COST_PUE] *
                  c->window_s / J_PER_KWH;
    return true;
}

/* What the model says of the covered time alone: idle by time, the rest by tokens. */
static double modelled_in_cover(const struct tw_comparison *c, const struct modelled *m)
{
    const struct tw_actual *a = c->wish.actual;
    const double tokens = a->input_tokens + a->output_tokens;
    const double share = tokens > 0 ? a->metered_tokens / tokens : 0;
    const double idle_kwh = fmin(m->idle_kwh, m->result.total.kwh);
    return idle_kwh * c->measured_share + (m->result.total.kwh - idle_kwh) * share;
}

static void measured_energy(struct tw_comparison *c, struct modelled *m, bool is_modelled)
{
    const struct tw_compare_wish *wish = &c->wish;
    const double covered_s = (double)wish->cover->covered_ns * 1e-9;
    const double pue = m->in[TW_COST_PUE], million = wish->actual->metered_tokens / 1e6;
    const double kwh = c->measured_kwh * pue, watts = kwh * J_PER_KWH / covered_s;
    char basis[96];
    snprintf(basis, sizeof basis, "%s, %.4g%% of the time, x PUE %g",
             wish->is_wall ? "measured at the wall" : "counters", 100 * c->measured_share, pue);
    set_actual(c, TW_COMPARE_WATTS, watts, basis);
    set_actual(c, TW_COMPARE_KWH_MILLION, million > 0 ? kwh / million : NAN, basis);
    set_actual(c, TW_COMPARE_CO2_MILLION,
               million > 0 ? kwh / million * m->in[TW_COST_CO2_KG_KWH] : NAN, basis);
    set_actual(c, TW_COMPARE_KWH, watts * c->window_s / J_PER_KWH,
               c->measured_share > 0.9995 ? basis : "counters; where they have gaps, their mean");
    const double expected = is_modelled ? modelled_in_cover(c, m) : NAN;
    if (expected > 0) {
        c->power_factor = m->in[TW_COST_POWER] * kwh / expected;
        m->in[TW_COST_POWER] = c->power_factor;
    }
}

static void energy_rows(struct tw_comparison *c, struct modelled *m, bool is_modelled)
{
    const bool has_plant = is_modelled && m->option.capacity.n_points > 0;
    c->modelled_kwh = c->measured_kwh = c->power_factor = NAN;
    if (has_plant) {
        static const char modelled[] = "modelled at the measured load";
        c->modelled_kwh = m->result.total.kwh;
        const double all = m->result.total.tokens_million + m->result.total.lost_tokens_million;
        c->lost_share = all > 0 ? m->result.total.lost_tokens_million / all : 0;
        set_actual(c, TW_COMPARE_UTILISATION, m->result.utilisation,
                   "measured load, simulated capacity");
        set_actual(c, TW_COMPARE_KWH, c->modelled_kwh, modelled);
        set_actual(c, TW_COMPARE_WATTS, c->modelled_kwh * J_PER_KWH / c->window_s, modelled);
        set_actual(c, TW_COMPARE_KWH_MILLION, m->result.kwh_per_million_tokens, modelled);
        set_actual(c, TW_COMPARE_CO2_MILLION, m->result.co2_kg_per_million_tokens, modelled);
    }
    const struct tw_meter_cover *cover = c->wish.cover;
    if (cover != NULL && cover->covered_ns > 0) {
        const double covered_s = (double)cover->covered_ns * 1e-9;
        c->measured_share = covered_s / c->window_s;
        c->measured_kwh = (cover->joules + c->wish.unmetered_w * covered_s) / J_PER_KWH;
        measured_energy(c, m, has_plant);
    }
}

/* What the option costs over its horizon if the measured load stays as it is. */
static enum tw_status cost_row(struct tw_comparison *c, struct modelled *m, struct tw_error *error)
{
    struct tw_cost_result *result = tw_mem_zalloc(1, sizeof *result);
    struct tw_cost_demand month = c->measured.demand;
    if (result == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    }
    month.million_tokens_h = million_h(&m->load);
    tw_cost_evaluate(&month, &m->option, m->in, result);
    set_actual(c, TW_COMPARE_COST_MILLION, result->usd_per_million_tokens,
               m->option.capacity.n_points > 0 ? "this plant, if the load stays"
                                               : "these tokens, if the load stays");
    tw_mem_free(result);
    return TW_OK;
}

static void judge(struct tw_compare_row *row)
{
    const struct tw_range r = row->planned;
    if (!isfinite(r.typical) || !isfinite(row->actual)) {
        return;
    }
    /* Where a scenario has no range, a tenth is none of its business. */
    const double low = r.low < r.typical || r.high > r.typical ? r.low : 0.9 * r.typical;
    const double high = r.low < r.typical || r.high > r.typical ? r.high : 1.1 * r.typical;
    row->verdict = row->actual < low    ? TW_COMPARE_BELOW
                   : row->actual > high ? TW_COMPARE_ABOVE
                                        : TW_COMPARE_WITHIN;
}

/* ---- all of it ---- */

static void cloud_rows(struct tw_comparison *c)
{
    const struct tw_plan *plan = c->wish.plan;
    const struct tw_plan_service *service = &plan->services[0];
    const struct tw_actual *a = c->wish.actual;
    c->n_clouds = a->n_apis;
    for (uint32_t i = 0; i < a->n_apis; i++) {
        c->clouds[i] = (struct tw_compare_cloud){
            .api = &a->apis[i],
            .planned_usd_per_million =
                tw_price_api_per_million(&a->apis[i], &service->workload, service->cached_share,
                                         plan->scenario->batch_share),
            .usd = tw_actual_usd(a, i, true),
            .uncached_usd = tw_actual_usd(a, i, false),
        };
        for (uint32_t w = 0; w < plan->n_ways; w++) {
            const struct tw_plan_way *way = &plan->ways[w];
            c->clouds[i].is_closed |= way->cost.kind == TW_COST_TOKENS && way->blocked != 0 &&
                                      strcmp(way->api.name, a->apis[i].name) == 0;
        }
    }
}

static enum tw_status make(struct tw_comparison *c, struct tw_error *error)
{
    const struct tw_actual *a = c->wish.actual;
    struct modelled *m = tw_mem_zalloc(1, sizeof *m);
    double planned_requests = 0;
    if (m == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    }
    c->window_s = (double)(a->to_ns - a->from_ns) * 1e-9;
    c->tokens_million = (a->input_tokens + a->output_tokens) / 1e6;
    c->charged_usd_per_million =
        c->tokens_million > 0 ? c->wish.charged_usd / c->tokens_million : NAN;
    for (int i = 0; i < TW_COMPARE_ROWS; i++) {
        c->rows[i] = (struct tw_compare_row){.name = row_names[i].name,
                                             .unit = row_names[i].unit,
                                             .is_money = row_names[i].is_money,
                                             .planned = tw_range_exact(NAN),
                                             .actual = NAN};
    }
    cloud_rows(c);
    enum tw_status status = plan_rows(c, &planned_requests, error);
    status = status == TW_OK ? tw_compare_measure(c, planned_requests, error) : status;
    if (status == TW_OK) {
        const bool is_modelled = model_plant(c, m);
        load_rows(c);
        energy_rows(c, m, is_modelled);
        status = is_modelled ? cost_row(c, m, error) : TW_OK;
    }
    if (status == TW_OK) {
        for (int i = 0; i < TW_COMPARE_ROWS; i++) {
            judge(&c->rows[i]);
        }
        tw_compare_find(c);
    }
    tw_mem_free(m);
    return status;
}

enum tw_status tw_compare_make(const struct tw_compare_wish *wish,
                               struct tw_comparison **ret_comparison, struct tw_error *error)
{
    struct tw_comparison *c = tw_mem_zalloc(1, sizeof *c);
    if (c == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    }
    c->wish = *wish;
    enum tw_status status = make(c, error);
    if (status != TW_OK) {
        tw_compare_free(c);
        return status;
    }
    *ret_comparison = c;
    return TW_OK;
}

void tw_compare_free(struct tw_comparison *c)
{
    if (c != NULL) {
        tw_plan_free(c->again);
        tw_mem_free(c->measured.cases);
        tw_mem_free(c->measured.case_names);
        tw_mem_free(c->measured.case_kinds);
        tw_mem_free(c->measured.case_users);
        tw_mem_free(c->measured.case_classes);
        tw_mem_free(c->measured.case_models);
        tw_mem_free(c);
    }
}
