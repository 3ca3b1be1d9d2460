#include "plan/sizing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REQUESTS_PER_REPLICA = 400, LEAST_REQUESTS = 500, MOST_REQUESTS = 4000 };
#define MOST_WAIT_S  10.0
#define LEAST_SPAN_S 5.0
#define MOST_TOKENS  1e6

struct sizer {
    struct tw_sizing *out;
    const struct tw_workload *workload;
    const struct tw_plan_slo *slo;
    struct tw_error *error;
    double input_mean, output_mean;
    double shared_share; /* of input tokens that a cache may have */
    double bound;        /* load that one replica's arithmetic allows, whatever the targets */
};

/* So many replicas at a load; a short piece of the workload is enough for few. */
static enum tw_status simulate(struct sizer *s, uint32_t n_replicas, double load,
                               struct tw_plan_result *ret_result)
{
    struct tw_workload piece = *s->workload;
    struct tw_plant plant = s->out->plant;
    plant.n_replicas = n_replicas;
    uint32_t wanted = n_replicas * REQUESTS_PER_REPLICA;
    wanted = wanted < LEAST_REQUESTS ? LEAST_REQUESTS : wanted;
    /* Long enough for a queue to show. */
    const double rate = piece.n_requests / fmax(1e-9, piece.duration_s) * load;
    wanted = rate * LEAST_SPAN_S > wanted ? (uint32_t)fmin(1e6, rate * LEAST_SPAN_S) : wanted;
    wanted = wanted > MOST_REQUESTS ? MOST_REQUESTS : wanted;
    /* Pages of long texts take the time of a simulation. */
    const double room = MOST_TOKENS / (s->input_mean + s->output_mean);
    wanted = wanted > room ? (uint32_t)fmax(200, room) : wanted;
    if (piece.n_requests > wanted) {
        piece.duration_s *= (double)wanted / piece.n_requests;
        piece.n_requests = wanted;
    }
    const struct tw_simulation simulation = {
        .plant = &plant,
        .workload = &piece,
        .slo = *s->slo,
        .rate_factor = load,
        .trim_share = 0.1,
    };
    s->out->n_simulations++;
    return tw_simulate(&simulation, ret_result, NULL, s->error);
}

static bool is_enough(const struct tw_plan_result *result)
{
    return result->meets_slo && result->n_refused == 0 && result->queue_s.p95 <= MOST_WAIT_S;
}

/* The most load that n replicas serve, between two of which the lower is enough. */
static enum tw_status narrow(struct sizer *s, uint32_t n_replicas, int n_steps, double low,
                             double high, double *ret_load)
{
    for (int i = 0; i < n_steps; i++) {
        struct tw_plan_result result;
        const double middle = low > 0 ? sqrt(low * high) : high / 2;
        enum tw_status status = simulate(s, n_replicas, middle, &result);
        if (status != TW_OK) {
            return status;
        }
        if (is_enough(&result)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *ret_load = low;
    return TW_OK;
}

/* What a replica would serve if every step were as full as it can be. A short simulation does not
 * see an overload whose queue is still short, so nothing beyond nine tenths of this is tried. */
static double bound_load(const struct sizer *s, const struct tw_step_cost *cost)
{
    const double context = s->input_mean + s->output_mean / 2;
    const double room = (double)s->out->memory.n_kv_tokens / (s->input_mean + s->output_mean);
    const double rows = fmin(fmax(1, room), s->out->plant.engine->n_sequences);
    const double decode_s = tw_step_decode_s(cost, (uint32_t)rows, context) / rows;
    const uint32_t chunk = s->out->plant.engine->step_tokens;
    const double computed = s->input_mean * (1 - s->shared_share);
    const double prefill_s = tw_step_prefill_s(cost, chunk) / chunk * computed;
    const double rate = s->workload->n_requests / fmax(1e-9, s->workload->duration_s);
    return 0.9 / (fmax(prefill_s, 0) + decode_s * s->output_mean + 1e-9) / rate;
}

static enum tw_status find_one(struct sizer *s, const struct tw_step_cost *cost, double *ret_load)
{
    struct tw_plan_result result;
    double low = 0, high = 0, load = s->bound = bound_load(s, cost);
    for (int i = 0; i < 14 && (low == 0 || high == 0); i++) {
        enum tw_status status = simulate(s, 1, load, &result);
        if (status != TW_OK) {
            return status;
        }
        if (is_enough(&result)) {
            low = load;
            high = load >= s->bound ? load : high;
            load = fmin(s->bound, load * 1.6);
        } else {
            high = load;
            load /= i < 4 ? 1.6 : 4;
        }
    }
    if (low == 0) {
        *ret_load = 0;
        return TW_OK;
    }
    return narrow(s, 1, low < high ? 4 : 0, low, high, ret_load);
}

/* ---- parallelism ---- */

/* Fast enough with one request alone. */
static bool is_fast_alone(const struct sizer *s, const struct tw_step_cost *cost)
{
    const double ttft = cost->request_s + tw_step_prefill_s(cost, (uint32_t)s->input_mean);
    const double tpot = tw_step_decode_s(cost, 1, s->input_mean + s->output_mean);
    return (s->slo->ttft_s <= 0 || ttft <= s->slo->ttft_s) &&
           (s->slo->tpot_s <= 0 || tpot <= s->slo->tpot_s) &&
           (s->slo->latency_s <= 0 || ttft + tpot * s->output_mean <= s->slo->latency_s);
}

static bool find_shape(struct sizer *s, struct tw_step_cost *ret_cost)
{
    static const uint32_t tensors[] = {1, 2, 4, 8, 16};
    struct tw_sizing *out = s->out;
    bool fits = false;
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        struct tw_error why = {0};
        out->plant.n_tensor = tensors[i];
        if (tensors[i] > 1 && tensors[i] > out->plant.device->n_linked) {
            break;
        }
        if (tw_plan_fit(&out->plant, &out->memory, &why) != TW_OK ||
            tw_step_cost_make(&out->plant, ret_cost, &why) != TW_OK) {
            if (!fits) {
                snprintf(out->why_not, sizeof out->why_not, "%s", why.text);
            }
            continue;
        }
        fits = true;
        if (is_fast_alone(s, ret_cost)) {
            return true;
        }
        snprintf(out->why_not, sizeof out->why_not,
                 "one request alone is slower than the targets allow (%.0f ms a token)",
                 1000 * tw_step_decode_s(ret_cost, 1, s->input_mean + s->output_mean));
    }
    return false;
}

/* What an outlook does to a replica: time of an average request in a batch like the simulated. */
static double request_s(const struct sizer *s, enum tw_plan_outlook outlook)
{
    struct tw_plant plant = s->out->plant;
    struct tw_step_cost cost;
    plant.outlook = outlook;
    if (tw_step_cost_make(&plant, &cost, NULL) != TW_OK) {
        return 0;
    }
    const double rows = fmax(1, s->out->at_peak.decode_rows_mean);
    return tw_step_prefill_s(&cost, (uint32_t)s->input_mean) +
           s->output_mean *
               tw_step_decode_s(&cost, (uint32_t)rows, s->input_mean + s->output_mean / 2) / rows;
}

static void find_range(struct sizer *s)
{
    const double typical = request_s(s, TW_PLAN_TYPICAL), bad = request_s(s, TW_PLAN_PESSIMISTIC),
                 good = request_s(s, TW_PLAN_OPTIMISTIC);
    s->out->capacity_factor = tw_range_exact(1);
    if (typical > 0 && bad > 0 && good > 0) {
        s->out->capacity_factor.low = fmin(1, typical / bad);
        s->out->capacity_factor.high = fmax(1, typical / good);
    }
}

/* ---- many replicas ---- */

static enum tw_status find_many(struct sizer *s, double one)
{
    struct tw_sizing *out = s->out;
    struct tw_cost_capacity *capacity = &out->capacity;
    const double needed = ceil(1 / one - 1e-9);
    const uint32_t n = needed > TW_LIMIT_PLAN_SIZED_REPLICAS ? TW_LIMIT_PLAN_SIZED_REPLICAS
                                                             : (uint32_t)fmax(1, needed);
    double together = one * n;
    enum tw_status status = TW_OK;
    if (n > 1) {
        struct tw_plan_result result;
        double low = one, high = 0, load = one * n;
        for (int i = 0; status == TW_OK && i < 4 && high == 0; i++) {
            status = simulate(s, n, load, &result);
            if (status == TW_OK && is_enough(&result)) {
                low = load;
                high = load >= s->bound * n ? load : 0;
                load = fmin(s->bound * n, load * 1.1);
            } else {
                high = load;
            }
        }
        status = status == TW_OK && high > low ? narrow(s, n, 3, low, high, &low) : status;
        together = fmax(low, one);
    }
    capacity->n_points = n > 1 && together > one ? 2 : 1;
    capacity->replicas[0] = 1;
    capacity->load[0] = one;
    capacity->replicas[1] = n;
    capacity->load[1] = together;
    out->plant.n_replicas =
        (uint32_t)fmin(TW_LIMIT_PLAN_DEVICES, tw_cost_replicas_for(capacity, 1));
    return status;
}

static enum tw_status find_curve(struct sizer *s, const struct tw_step_cost *cost)
{
    static const double shares[TW_SIZING_CURVE] = {0.15, 0.3, 0.5, 0.7, 0.85, 1, 1.12, 1.3};
    struct tw_sizing *out = s->out;
    const uint32_t n = out->plant.n_replicas > TW_LIMIT_PLAN_SIZED_REPLICAS
                           ? TW_LIMIT_PLAN_SIZED_REPLICAS
                           : out->plant.n_replicas;
    const double whole = (double)n / out->plant.n_replicas;
    const double most = tw_cost_capacity_of(&out->capacity, n);
    struct tw_plan_result result;
    enum tw_status status = simulate(s, n, whole, &out->at_peak);
    for (int i = 0; status == TW_OK && i < TW_SIZING_CURVE; i++) {
        status = simulate(s, n, most * shares[i], &result);
        out->curve[out->n_curve++] = (struct tw_sizing_point){
            .load = most * shares[i] / whole,
            .ttft_s = result.at_percentile_ttft_s,
            .tpot_s = result.at_percentile_tpot_s,
            .latency_s = result.at_percentile_latency_s,
            .ttft_p50_s = result.ttft_s.p50,
            .busy_share = result.busy_share,
        };
        if (shares[i] == 1) {
            out->busy_w = result.power_w / n;
        }
    }
    out->idle_w = cost->idle_w;
    out->busy_w = fmax(out->busy_w, out->idle_w);
    return status;
}

enum tw_status tw_sizing_find(const struct tw_plant *plant, const struct tw_workload *workload,
                              const struct tw_plan_slo *slo, struct tw_sizing *ret_sizing,
                              struct tw_error *error)
{
    const struct tw_workload_summary summary = tw_workload_summarise(workload);
    struct sizer s = {
        ret_sizing,           workload, slo, error, summary.input_mean, summary.output_mean,
        summary.shared_share, 0};
    struct tw_step_cost cost;
    double one = 0;
    memset(ret_sizing, 0, sizeof *ret_sizing);
    ret_sizing->plant = *plant;
    ret_sizing->plant.n_pipeline = 1;
    ret_sizing->plant.n_replicas = 1;
    if (ret_sizing->plant.n_context_tokens == 0) {
        ret_sizing->plant.n_context_tokens = summary.total_most;
    }
    if (!find_shape(&s, &cost)) {
        return TW_OK;
    }
    enum tw_status status = find_one(&s, &cost, &one);
    if (status != TW_OK || one <= 0) {
        snprintf(ret_sizing->why_not, sizeof ret_sizing->why_not,
                 "under any load more than %g%% of requests miss the targets",
                 100 - slo->percentile);
        return status;
    }
    status = find_many(&s, one);
    status = status == TW_OK ? find_curve(&s, &cost) : status;
    if (status == TW_OK) {
        find_range(&s);
        ret_sizing->meets = true;
        ret_sizing->why_not[0] = '\0';
    }
    return status;
}
