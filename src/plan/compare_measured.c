/* The scenario with what was measured in it: as a structure, for a plan, and as a text to paste. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "plan/compare_state.h"

enum { DAY_HOURS = 24 };
#define MOST_WEEKEND    10
#define MOST_REQUESTS_S 1e7
#define LEAST_CV        0.01
#define MOST_CV         20

/* As many digits as a text to paste has: what is planned again is what it says. */
static double rounded(double value, int n_digits)
{
    if (!(fabs(value) > 0) || !isfinite(value)) {
        return value;
    }
    const double unit = pow(10, floor(log10(fabs(value))) + 1 - n_digits);
    return unit >= 1 ? round(value / unit) * unit : round(value * (1 / unit)) / (1 / unit);
}

const struct tw_plan_way *tw_compare_way(const struct tw_compare_wish *wish)
{
    return &wish->plan->ways[wish->plan->options[wish->option].ways[0]];
}

struct tw_compare_load tw_compare_load_of(const struct tw_plan *plan)
{
    const struct tw_scenario *s = plan->scenario;
    const struct tw_workload_summary *summary = &plan->services[0].summary;
    struct tw_compare_load load = {summary->rate_requests_s, summary->input_mean,
                                   summary->output_mean};
    double rate = 0, input = 0, output = 0;
    for (uint32_t i = 0; i < s->n_cases; i++) {
        rate += s->cases[i].rate_requests_s;
        input += s->cases[i].rate_requests_s * s->cases[i].input.mean_tokens;
        output += s->cases[i].rate_requests_s * s->cases[i].output.mean_tokens;
    }
    if (s->n_cases > 0) {
        load = (struct tw_compare_load){rate, input / rate, output / rate};
    }
    return load;
}

/* ---- the week ---- */

static double rate_of(const struct tw_actual *actual, uint32_t hour)
{
    return actual->hour_seconds[hour] > 0 ? actual->hour_requests[hour] / actual->hour_seconds[hour]
                                          : 0;
}

/* A usual week as a scenario says it: a day's hours, and one factor for all of a free day. False:
 * no working day has any load, which hours cannot say. */
static bool find_week(struct tw_comparison *c)
{
    double working = 0, free_days = 0, most = 0;
    for (uint32_t h = 0; h < DAY_HOURS; h++) {
        working += rate_of(c->wish.actual, h);
        free_days += rate_of(c->wish.actual, h + DAY_HOURS);
        most = fmax(most, rate_of(c->wish.actual, h));
    }
    if (!(working > 0) || free_days > MOST_WEEKEND * working) {
        return false;
    }
    c->weekend = rounded(free_days / working, 4);
    for (uint32_t h = 0; h < DAY_HOURS; h++) {
        c->hours[h] = round(1e4 * rate_of(c->wish.actual, h) / most) / 1e4;
    }
    c->peak_requests_s = most * fmax(1, c->weekend);
    return true;
}

static void set_week(const struct tw_comparison *c, struct tw_scenario *s)
{
    const double most = fmax(1, c->weekend);
    s->demand.n_classes = TW_ACTUAL_HOURS;
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        s->hour_load[i] = c->hours[i % DAY_HOURS] * (i < DAY_HOURS ? 1 : c->weekend) / most;
        s->demand.load[i] = s->hour_load[i];
        s->demand.hours[i] = 730.5 / DAY_HOURS * (i < DAY_HOURS ? 5 / 7.0 : 2 / 7.0);
    }
}

/* ---- use cases ---- */

static double variation(double sum, double squares, double n, double otherwise)
{
    const double mean = sum / n, variance = squares / n - mean * mean;
    if (n < 2 || !(mean > 0)) {
        return otherwise;
    }
    return rounded(fmin(MOST_CV, fmax(LEAST_CV, sqrt(fmax(0, variance)) / mean)), 4);
}

static void set_length(struct tw_length *length, double mean, double cv)
{
    length->kind = TW_LENGTH_LOGNORMAL;
    length->mean_tokens = fmin(TW_LIMIT_PLAN_CONTEXT_TOKENS / 16.0, fmax(1, rounded(mean, 6)));
    length->cv = cv;
    length->least_tokens = 0;
    length->most_tokens = (uint32_t)(8 * length->mean_tokens) + 1;
}

static void set_prefix(struct tw_use_case *use, double tokens)
{
    use->prefix_tokens = (uint32_t)floor(fmin(fmax(0, tokens), use->input.mean_tokens));
    use->n_prefixes = use->prefix_tokens == 0 ? 0 : use->n_prefixes > 0 ? use->n_prefixes : 1;
}

/* One case takes all that was measured; several are scaled alike, since books know no cases. */
static void set_cases(const struct tw_comparison *c, struct tw_scenario *s)
{
    const struct tw_scenario *planned = c->wish.plan->scenario;
    const struct tw_actual *a = c->wish.actual;
    const struct tw_compare_load load = tw_compare_load_of(c->wish.plan);
    const double n = a->n_requests, input = a->input_tokens / n, output = a->output_tokens / n;
    const double cached = a->cached_tokens / n;
    if (s->n_cases == 1) {
        struct tw_use_case *use = &s->cases[0];
        use->rate_requests_s = rounded(c->peak_requests_s, 6);
        set_length(&use->input, input,
                   variation(a->input_tokens, a->input_squares, n, use->input.cv));
        set_length(&use->output, output,
                   variation(a->output_tokens, a->output_squares, n, use->output.cv));
        set_prefix(use, cached);
        return;
    }
    for (uint32_t i = 0; i < s->n_cases; i++) {
        const struct tw_use_case *from = &planned->cases[i];
        struct tw_use_case *use = &s->cases[i];
        use->rate_requests_s =
            rounded(from->rate_requests_s * c->peak_requests_s / load.requests_s, 6);
        set_length(&use->input, from->input.mean_tokens * input / load.input_mean, from->input.cv);
        set_length(&use->output, from->output.mean_tokens * output / load.output_mean,
                   from->output.cv);
        set_prefix(use, use->input.mean_tokens * cached / fmax(1, input));
    }
}

static enum tw_status copy_cases(struct tw_scenario *s, const struct tw_scenario *planned,
                                 struct tw_error *error)
{
    const bool is_trace = planned->n_cases == 0;
    const uint32_t n = is_trace ? 1 : planned->n_cases;
    s->n_cases = n;
    s->trace = NULL;
    s->trace_factor = 1;
    s->cases = tw_mem_zalloc(n, sizeof *s->cases);
    s->case_names = tw_mem_zalloc(n, sizeof *s->case_names);
    s->case_kinds = tw_mem_zalloc(n, sizeof *s->case_kinds);
    s->case_users = tw_mem_zalloc(n, sizeof *s->case_users);
    s->case_classes = tw_mem_zalloc(n, sizeof *s->case_classes);
    s->case_models = tw_mem_zalloc(n, sizeof *s->case_models);
    if (s->cases == NULL || s->case_names == NULL || s->case_kinds == NULL ||
        s->case_users == NULL || s->case_classes == NULL || s->case_models == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    }
    if (is_trace) {
        s->cases[0] = (struct tw_use_case){.arrivals = TW_ARRIVAL_GAMMA,
                                           .arrival_cv = 1,
                                           .input = {.cv = 0.7},
                                           .output = {.cv = 0.7}};
        s->case_names[0] = "measured";
        s->case_kinds[0] = "chat";
        s->case_classes[0] = planned->trace_class;
        return TW_OK;
    }
    memcpy(s->cases, planned->cases, n * sizeof *s->cases);
    memcpy(s->case_names, planned->case_names, n * sizeof *s->case_names);
    memcpy(s->case_kinds, planned->case_kinds, n * sizeof *s->case_kinds);
    memcpy(s->case_classes, planned->case_classes, n * sizeof *s->case_classes);
    return TW_OK;
}

/* ---- all of it ---- */

const struct tw_sizing *tw_compare_sizing(const struct tw_comparison *c)
{
    const struct tw_plan *plan = c->wish.plan;
    const uint32_t at = tw_compare_way(&c->wish)->sizing;
    for (uint32_t i = 0; at != TW_PLAN_NONE && c->again != NULL && i < c->again->n_sizings; i++) {
        const struct tw_sizing *sizing = &c->again->sizings[i], *old = &plan->sizings[at];
        if (sizing->meets && strcmp(sizing->plant.device->name, old->plant.device->name) == 0 &&
            strcmp(sizing->plant.weights->name, old->plant.weights->name) == 0) {
            return sizing;
        }
    }
    return NULL;
}

enum tw_status tw_compare_measure(struct tw_comparison *c, double planned_requests,
                                  struct tw_error *error)
{
    const struct tw_plan *plan = c->wish.plan;
    const struct tw_actual *a = c->wish.actual;
    struct tw_scenario *s = &c->measured;
    *s = *plan->scenario;
    s->cases = NULL;
    s->case_names = NULL;
    s->case_kinds = NULL;
    s->case_users = NULL;
    s->case_classes = NULL;
    s->case_models = NULL;
    c->has_week = tw_actual_has_week(a) && find_week(c);
    if (c->has_week) {
        set_week(c, s);
    } else {
        const double planned_peak = c->rows[TW_COMPARE_PEAK].planned.typical;
        c->peak_requests_s = planned_requests > 0 ? planned_peak * a->n_requests / planned_requests
                                                  : a->n_requests / c->window_s;
    }
    c->peak_requests_s = fmin(c->peak_requests_s, MOST_REQUESTS_S);
    enum tw_status status = copy_cases(s, plan->scenario, error);
    if (status != TW_OK) {
        return status;
    }
    set_cases(c, s);
    s->cached_share = rounded(a->cached_tokens / fmax(1, a->input_tokens), 4);
    s->batch_share = rounded(a->n_batch / a->n_requests, 4);
    /* The load is what was measured: a factor of the scenario on its own is in it. */
    struct tw_range *factor = &s->ranges[TW_COST_LOAD];
    *factor = tw_range_times(*factor, 1 / factor->typical);
    struct tw_error cause = {0};
    status = tw_plan_make(s, &c->again, &cause);
    if (status == TW_ERR_MEMORY) {
        *error = cause;
        return status;
    }
    if (status != TW_OK) {
        struct tw_compare_finding *finding = &c->findings[c->n_findings++];
        finding->about = "plan";
        snprintf(finding->text, sizeof finding->text,
                 "with the measured load no plan can be made: %.230s", cause.text);
    }
    return TW_OK;
}

/* ---- as a text ---- */

static void put_case(const struct tw_scenario *s, uint32_t i, struct tw_buf *out)
{
    const struct tw_use_case *use = &s->cases[i];
    tw_buf_append_text(out, "  - name: '");
    for (const char *c = s->case_names[i]; *c != '\0'; c++) {
        tw_buf_append(out, c, 1);
        tw_buf_append_text(out, *c == '\'' ? "'" : "");
    }
    tw_buf_append_format(out, "'\n    requests-per-s: %.6g\n", use->rate_requests_s);
    tw_buf_append_format(out, "    input-tokens: %.6g\n    input-cv: %.4g\n",
                         use->input.mean_tokens, use->input.cv);
    tw_buf_append_format(out, "    output-tokens: %.6g\n    output-cv: %.4g\n",
                         use->output.mean_tokens, use->output.cv);
    tw_buf_append_format(out, "    arrival-cv: %.4g\n", use->arrival_cv);
    if (use->prefix_tokens > 0) {
        tw_buf_append_format(out, "    shared-prefix-tokens: %u\n    prefixes: %u\n",
                             use->prefix_tokens, use->n_prefixes);
    }
    if (s->n_classes > 1) {
        tw_buf_append_format(out, "    data-class: '%s'\n", s->classes[s->case_classes[i]].name);
    }
}

static void put_factors(const struct tw_comparison *c, struct tw_buf *out)
{
    const struct tw_scenario *s = &c->measured;
    const struct tw_range load = s->ranges[TW_COST_LOAD];
    const struct tw_cost_input_row *power = &tw_cost_input_rows[TW_COST_POWER];
    const bool has_load = s->is_told[TW_COST_LOAD];
    const bool has_power = c->power_factor >= power->least && c->power_factor <= power->most;
    if (!has_load && !has_power) {
        return;
    }
    tw_buf_append_text(out, "money:   # beside what the scenario has there\n");
    if (has_load) {
        tw_buf_append_format(out, "  load: %.6g..%.6g..%.6g\n", load.low, load.typical, load.high);
    }
    if (has_power) {
        tw_buf_append_format(out, "  power: %.4g\n", c->power_factor);
    }
}

void tw_compare_write_scenario(const struct tw_comparison *c, struct tw_buf *out)
{
    const struct tw_scenario *s = &c->measured;
    tw_buf_append_text(out, "use-cases:\n");
    for (uint32_t i = 0; i < s->n_cases; i++) {
        put_case(s, i, out);
    }
    if (c->has_week) {
        tw_buf_append_text(out, "hours: [");
        for (uint32_t h = 0; h < DAY_HOURS; h++) {
            tw_buf_append_format(out, "%s%.4g", h > 0 ? ", " : "", c->hours[h]);
        }
        tw_buf_append_format(out, "]\nweekend: %.4g\n", c->weekend);
    }
    tw_buf_append_format(out, "cached-share: %.4g\nbatch-share: %.4g\n", s->cached_share,
                         s->batch_share);
    put_factors(c, out);
}
