#include "plan/sizing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    REQUESTS_PER_REPLICA = 400,
    LEAST_REQUESTS = 500,
    MOST_REQUESTS = 4000,
    ALONE = 200,
    MOST_ADDED = 16
};
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

/* What a replica would serve if every step were as full as it can be: all rows that have room
 * decode, and beside them so much of prompts is read as takes their places. A short simulation does
 * not see an overload whose queue is still short, so nothing beyond eight tenths of this is
 * tried. */
static double bound_load(const struct sizer *s, const struct tw_step_cost *cost)
{
    const struct tw_plant *plant = &s->out->plant;
    /* Stages compute as many batches at once, which share the pages. */
    const double n_batches = plant->n_pipeline;
    const double room =
        (double)s->out->memory.n_kv_tokens / n_batches / (s->input_mean + s->output_mean);
    const double read = s->input_mean * (1 - s->shared_share); /* of each prompt */
    const double most = plant->engine->step_tokens * s->output_mean / fmax(1, read);
    const double rows = fmax(1, fmin(fmin(room, most), plant->engine->n_sequences));
    const double prompts = rows / s->output_mean; /* a step */
    const double context = rows * (s->input_mean + s->output_mean / 2);
    const struct tw_step_work work = {
        .n_tokens = (uint64_t)(rows + prompts * read),
        .n_rows = (uint64_t)(rows + prompts),
        .n_results = (uint64_t)(rows + prompts),
        .n_context_tokens = context + prompts * s->input_mean,
        .n_window_tokens = cost->n_window > 0 ? fmin(context, rows * cost->n_window) : context,
        .n_attended = context + prompts * read * (s->input_mean - read / 2)};
    const double rate = s->workload->n_requests / fmax(1e-9, s->workload->duration_s);
    return 0.8 * n_batches * prompts / tw_step_parts(cost, &work).total_s / rate;
}

/* ---- how much so many serve ---- */

/* Loads are tried on one grid whatever the targets are, from the bound down, and what meets strict
 * targets meets loose ones. So looser targets never find a smaller load. */
#define GRID_STEPS 64  /* of a bisection: to a quarter of the load above */
#define GRID_MOST  384 /* steps down; a request is as good as alone then */

static double grid_load(const struct sizer *s, uint32_t n_replicas, int step)
{
    return n_replicas * s->bound * exp2(-2.0 * step / GRID_STEPS);
}

static enum tw_status try_load(struct sizer *s, uint32_t n_replicas, int step, bool *ret_enough)
{
    struct tw_plan_result result;
    enum tw_status status = simulate(s, n_replicas, grid_load(s, n_replicas, step), &result);
    *ret_enough = status == TW_OK && is_enough(&result);
    return status;
}

/* A request at a time: targets that are missed so are missed under any load. */
static enum tw_status try_alone(struct sizer *s, bool *ret_enough)
{
    struct tw_workload few = *s->workload;
    few.n_requests = few.n_requests < ALONE ? few.n_requests : ALONE;
    struct tw_plant plant = s->out->plant;
    plant.n_replicas = 1;
    struct tw_plan_result result;
    const struct tw_simulation simulation = {
        .plant = &plant, .workload = &few, .slo = *s->slo, .n_clients = 1};
    s->out->n_simulations++;
    enum tw_status status = tw_simulate(&simulation, &result, NULL, s->error);
    *ret_enough = status == TW_OK && result.meets_slo;
    return status;
}

/* The most load that n replicas serve within the targets; 0: none. */
static enum tw_status find_most(struct sizer *s, uint32_t n_replicas, double *ret_load)
{
    int bad = -1, good = 0;
    bool enough = false;
    enum tw_status status = try_load(s, n_replicas, good, &enough);
    while (status == TW_OK && !enough && good < GRID_MOST) {
        if (good == GRID_STEPS) {
            bool alone = false;
            status = try_alone(s, &alone);
            if (!alone) {
                break;
            }
        }
        bad = good;
        good += GRID_STEPS;
        status = try_load(s, n_replicas, good, &enough);
    }
    *ret_load = 0;
    if (status != TW_OK || !enough) {
        return status;
    }
    while (status == TW_OK && good - bad > 1) {
        const int middle = bad + (good - bad) / 2;
        status = try_load(s, n_replicas, middle, &enough);
        *(enough ? &good : &bad) = middle;
    }
    *ret_load = grid_load(s, n_replicas, good);
    return status;
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

/* ---- how many replicas ---- */

static void add_point(struct tw_cost_capacity *capacity, uint32_t n_replicas, double load)
{
    capacity->replicas[capacity->n_points] = n_replicas;
    capacity->load[capacity->n_points++] = load;
}

/* The fewest that serve the peak, of which `few` are not enough and `many` are. */
static enum tw_status count_replicas(struct sizer *s, uint32_t few, uint32_t many, uint32_t *ret_n)
{
    while (many - few > 1) {
        const uint32_t middle = few + (many - few) / 2;
        struct tw_plan_result result;
        enum tw_status status = simulate(s, middle, 1, &result);
        if (status != TW_OK) {
            return status;
        }
        *(is_enough(&result) ? &many : &few) = middle;
    }
    *ret_n = many;
    return TW_OK;
}

/* Capacity at the same numbers of replicas whatever the targets are, until one is enough. */
static enum tw_status find_replicas(struct sizer *s)
{
    static const uint32_t counts[] = {1, 4, TW_LIMIT_PLAN_SIZED_REPLICAS};
    struct tw_sizing *out = s->out;
    struct tw_cost_capacity *capacity = &out->capacity;
    /* So few cannot be enough, whatever the targets are: a short simulation would not see it. */
    uint32_t few = (uint32_t)fmin(TW_LIMIT_PLAN_DEVICES, fmax(0, ceil(1 / s->bound - 1e-9) - 1));
    uint32_t n = 0;
    double before = 0;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && before < 1; i++) {
        double load = 0;
        if (i == 1 && counts[1] <= few) {
            continue;
        }
        enum tw_status status = find_most(s, counts[i], &load);
        if (status == TW_OK && i == 0 && load == 0) {
            snprintf(out->why_not, sizeof out->why_not,
                     "under any load more than %g%% of requests miss the targets",
                     100 - s->slo->percentile);
            return TW_OK;
        }
        load = fmax(load, before);
        if (status == TW_OK && load >= 1) {
            status = count_replicas(s, few, counts[i], &n);
        }
        if (status != TW_OK) {
            return status;
        }
        if (n > 0 && n < counts[i]) {
            add_point(capacity, n, 1);
        }
        add_point(capacity, counts[i], load);
        few = few > counts[i] ? few : counts[i];
        before = load;
    }
    out->plant.n_replicas =
        n > 0 ? n : (uint32_t)fmin(TW_LIMIT_PLAN_DEVICES, tw_cost_replicas_for(capacity, 1));
    out->meets = true;
    out->why_not[0] = '\0';
    return TW_OK;
}

/* ---- shapes of replicas ---- */

static uint32_t devices_of(const struct tw_plant *plant)
{
    return plant->n_tensor * plant->n_pipeline;
}

/* One shape; best: what another one needs. Its arithmetic alone may say that it takes as many. */
static enum tw_status try_shape(struct sizer *s, const struct tw_sizing *best, bool *ret_fits)
{
    struct tw_sizing *out = s->out;
    struct tw_step_cost cost;
    struct tw_error why = {0};
    *ret_fits = tw_plan_fit(&out->plant, &out->memory, &why) == TW_OK &&
                tw_step_cost_make(&out->plant, &cost, &why) == TW_OK;
    if (!*ret_fits) {
        snprintf(out->why_not, sizeof out->why_not, "%s", why.text);
        return TW_OK;
    }
    if (!is_fast_alone(s, &cost)) {
        snprintf(out->why_not, sizeof out->why_not,
                 "one request alone is slower than the targets allow (%.0f ms a token)",
                 1000 * tw_step_decode_s(&cost, 1, s->input_mean + s->output_mean));
        return TW_OK;
    }
    s->bound = bound_load(s, &cost);
    const double least = fmax(1, ceil(1 / s->bound - 1e-9)) * devices_of(&out->plant);
    if (best->meets && least >= (double)best->plant.n_replicas * devices_of(&best->plant)) {
        return TW_OK;
    }
    return find_replicas(s);
}

/* From one device up to all that are linked; where those do not hold it, two stages of so many. A
 * larger shape may need fewer devices in all: weights that are held once leave room for texts. */
static enum tw_status find_shape(struct sizer *s, struct tw_sizing *best)
{
    static const struct {
        uint32_t n_tensor, n_pipeline;
    } shapes[] = {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {16, 1}, {0, 2}};
    struct tw_sizing tried, none = *best;
    bool any_fits = false;
    uint32_t most_tensor = 1, n_simulations = 0;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < sizeof shapes / sizeof shapes[0]; i++) {
        const bool has_stages = shapes[i].n_pipeline > 1;
        const uint32_t n_tensor = has_stages ? most_tensor : shapes[i].n_tensor;
        if ((has_stages && (any_fits || best->plant.engine->is_ours)) ||
            (n_tensor > 1 && n_tensor > best->plant.device->n_linked)) {
            continue;
        }
        bool fits = false;
        tried = none;
        tried.plant.n_tensor = most_tensor = n_tensor;
        tried.plant.n_pipeline = shapes[i].n_pipeline;
        s->out = &tried;
        status = try_shape(s, best, &fits);
        n_simulations += tried.n_simulations;
        const bool is_better =
            tried.meets &&
            (!best->meets || (double)tried.plant.n_replicas * devices_of(&tried.plant) <
                                 (double)best->plant.n_replicas * devices_of(&best->plant));
        if (is_better || (!best->meets && (fits || !any_fits))) {
            *best = tried;
        }
        any_fits = any_fits || fits;
    }
    s->out = best;
    best->n_simulations = n_simulations;
    return status;
}

/* The peak as it will be served, by the replicas that stand there then, or by a part of them with
 * its part of the load. */
static enum tw_status simulate_peak(struct sizer *s, uint32_t *ret_n, double *ret_whole)
{
    struct tw_sizing *out = s->out;
    *ret_n = out->plant.n_replicas > TW_LIMIT_PLAN_SIZED_REPLICAS ? TW_LIMIT_PLAN_SIZED_REPLICAS
                                                                  : out->plant.n_replicas;
    *ret_whole = (double)*ret_n / out->plant.n_replicas;
    return simulate(s, *ret_n, *ret_whole, &out->at_peak);
}

/* Loads of the grid are above the peak or below it, and a plant larger than what is simulated lies
 * on a line: whether the peak itself is served is seen here, and replicas are added until it is. */
static enum tw_status judge_peak(struct sizer *s)
{
    struct tw_sizing *out = s->out;
    uint32_t n;
    double whole;
    enum tw_status status = simulate_peak(s, &n, &whole);
    for (int i = 0; status == TW_OK && !is_enough(&out->at_peak) && i < MOST_ADDED; i++) {
        const uint32_t more = out->plant.n_replicas / 64;
        out->plant.n_replicas += more > 0 ? more : 1;
        status = simulate_peak(s, &n, &whole);
    }
    out->meets = status == TW_OK && is_enough(&out->at_peak) &&
                 out->plant.n_replicas <= TW_LIMIT_PLAN_DEVICES;
    if (!out->meets) {
        snprintf(out->why_not, sizeof out->why_not,
                 "at the peak more than %g%% of requests miss the targets, even on %u replicas",
                 100 - s->slo->percentile, out->plant.n_replicas);
        return status;
    }
    /* So many are needed for a load of 1, then, and no fewer. */
    const double most = tw_cost_capacity_of(&out->capacity, out->plant.n_replicas);
    if (tw_cost_replicas_for(&out->capacity, 1) < out->plant.n_replicas) {
        for (uint32_t i = 0; i < out->capacity.n_points; i++) {
            out->capacity.load[i] /= most;
        }
    }
    return TW_OK;
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
    enum tw_status status = TW_OK;
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
    memset(ret_sizing, 0, sizeof *ret_sizing);
    ret_sizing->plant = *plant;
    ret_sizing->plant.n_replicas = 1;
    if (ret_sizing->plant.n_context_tokens == 0) {
        ret_sizing->plant.n_context_tokens = summary.total_most;
    }
    enum tw_status status = find_shape(&s, ret_sizing);
    if (status != TW_OK || !ret_sizing->meets) {
        return status;
    }
    struct tw_step_cost cost;
    status = judge_peak(&s);
    if (status != TW_OK || !ret_sizing->meets) {
        return status;
    }
    status = tw_step_cost_make(&ret_sizing->plant, &cost, error);
    status = status == TW_OK ? find_curve(&s, &cost) : status;
    find_range(&s);
    return status;
}
