#include "plan/plant_search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* More replicas than this are simulated as so many under their share of the load: less pooling, so
 * a little worse than the whole, and requests enough for each. */
#define SIMULATED  4u
#define ALONE      200u /* requests that are tried one at a time */
#define MOST_TRIES 64

struct memo {
    uint32_t option, n_replicas;
    int32_t rate_steps;
    struct tw_plan_result result;
};

struct tw_plant_search {
    struct tw_plant_question question;
    struct tw_workload_summary summary;
    struct tw_plant_option *options;
    uint32_t n_options;
    struct memo *memos;
    uint32_t n_memos, memos_capacity;
    uint32_t n_simulations;
};

/* Loads on a grid of 2 %, so that Monte Carlo meets what was simulated before. */
static int32_t rate_steps_of(double rate_factor)
{
    return (int32_t)lround(log(rate_factor) / log(1.02));
}

static double rate_of_steps(int32_t steps)
{
    return pow(1.02, steps);
}

/* ---- simulating ---- */

static void scale(struct tw_plan_result *result, double factor)
{
    double *const rates[] = {&result->output_tokens_s,    &result->requests_s,
                             &result->goodput_requests_s, &result->power_w,
                             &result->energy_j,           &result->queue_mean,
                             &result->in_system_mean};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        *rates[i] *= factor;
    }
}

static enum tw_status simulate(struct tw_plant_search *search, const struct tw_plant *plant,
                               double rate_factor, struct tw_plan_result *ret_result,
                               struct tw_error *error)
{
    struct tw_plant part = *plant;
    part.n_replicas = plant->n_replicas < SIMULATED ? plant->n_replicas : SIMULATED;
    const double share = (double)part.n_replicas / plant->n_replicas;
    const struct tw_simulation simulation = {.plant = &part,
                                             .workload = search->question.workload,
                                             .slo = search->question.slo,
                                             .rate_factor = rate_factor * share};
    search->n_simulations++;
    enum tw_status status = tw_simulate(&simulation, ret_result, NULL, error);
    if (status == TW_OK) {
        scale(ret_result, 1 / share);
    }
    return status;
}

/* The same, from what is known where it is. */
static enum tw_status look_up(struct tw_plant_search *search, uint32_t option,
                              const struct tw_plant *plant, int32_t rate_steps,
                              struct tw_plan_result *ret_result, struct tw_error *error)
{
    for (uint32_t i = 0; i < search->n_memos; i++) {
        const struct memo *memo = &search->memos[i];
        if (memo->option == option && memo->n_replicas == plant->n_replicas &&
            memo->rate_steps == rate_steps) {
            *ret_result = memo->result;
            return TW_OK;
        }
    }
    enum tw_status status = simulate(search, plant, rate_of_steps(rate_steps), ret_result, error);
    if (status != TW_OK) {
        return status;
    }
    if (search->n_memos == search->memos_capacity) {
        const uint32_t n = search->memos_capacity == 0 ? 64 : 2 * search->memos_capacity;
        struct memo *memos = tw_mem_realloc(search->memos, n, sizeof *memos);
        if (memos == NULL) {
            return TW_OK; /* it is only forgotten */
        }
        search->memos = memos;
        search->memos_capacity = n;
    }
    search->memos[search->n_memos++] =
        (struct memo){option, plant->n_replicas, rate_steps, *ret_result};
    return TW_OK;
}

/* ---- how many ---- */

/* Fewer cannot carry the load: the whole batch full, nothing ever waiting for anything. */
static uint32_t fewest(const struct tw_plant_search *search, const struct tw_plant *plant,
                       double rate_factor)
{
    struct tw_step_cost cost;
    struct tw_plan_memory memory;
    if (tw_step_cost_make(plant, &cost, NULL) != TW_OK ||
        tw_plan_fit(plant, &memory, NULL) != TW_OK) {
        return 1;
    }
    const struct tw_workload_summary *s = &search->summary;
    const double context = s->input_mean + s->output_mean / 2;
    double rows = (double)memory.n_kv_tokens / (context > 1 ? context : 1);
    const double most = plant->n_sequences > 0 ? plant->n_sequences : plant->engine->n_sequences;
    rows = rows < 1 ? 1 : rows > most ? most : rows;
    const double computed = s->input_mean * (1 - s->shared_share);
    const double request_s =
        (cost.token_s * computed +
         tw_step_decode_s(&cost, (uint32_t)rows, context) / rows * s->output_mean) /
        plant->n_pipeline;
    const double need = s->rate_requests_s * rate_factor * request_s * 0.8;
    return need < 1 ? 1 : need > 1e6 ? 1000000 : (uint32_t)need;
}

static uint32_t next_count(uint32_t n)
{
    const uint32_t more = (uint32_t)(n * 1.08);
    return more > n + 1 ? more : n + 1;
}

static uint32_t most_replicas(const struct tw_plant_search *search, const struct tw_plant *plant)
{
    return search->question.most_devices / (plant->n_tensor * plant->n_pipeline);
}

/* Counts are tried in one order whatever the targets are, from a bound that does not know them. So
 * the first that meets strict targets meets loose ones, too, which never need more. */
static enum tw_status find_count(struct tw_plant_search *search, uint32_t option,
                                 struct tw_plant *plant, int32_t rate_steps,
                                 struct tw_plant_option *ret, struct tw_error *error)
{
    const uint32_t most = most_replicas(search, plant);
    plant->n_replicas = 1;
    uint32_t n = fewest(search, plant, rate_of_steps(rate_steps));
    ret->meets = false;
    for (int i = 0; i < MOST_TRIES && n <= most; i++, n = next_count(n)) {
        plant->n_replicas = n;
        enum tw_status status = look_up(search, option, plant, rate_steps, &ret->result, error);
        if (status != TW_OK) {
            return status;
        }
        ret->plant = *plant;
        if (ret->result.meets_slo) {
            ret->meets = true;
            break;
        }
    }
    ret->n_total_devices = (ret->plant.n_replicas + search->question.n_spare_replicas) *
                           plant->n_tensor * plant->n_pipeline;
    if (!ret->meets) {
        snprintf(ret->why_not, sizeof ret->why_not,
                 "the load needs more than %u devices; allow more, or loosen the targets",
                 search->question.most_devices);
    }
    return TW_OK;
}

/* ---- shapes ---- */

/* A request at a time: targets that are missed so are missed however many replicas there are. */
static enum tw_status meets_alone(struct tw_plant_search *search, struct tw_plant *plant,
                                  struct tw_plant_option *option, bool *ret_meets,
                                  struct tw_error *error)
{
    struct tw_workload few = *search->question.workload;
    few.n_requests = few.n_requests < ALONE ? few.n_requests : ALONE;
    struct tw_plan_result result;
    const struct tw_simulation simulation = {
        .plant = plant, .workload = &few, .slo = search->question.slo, .n_clients = 1};
    plant->n_replicas = 1;
    search->n_simulations++;
    enum tw_status status = tw_simulate(&simulation, &result, NULL, error);
    if (status != TW_OK) {
        return status;
    }
    *ret_meets = result.meets_slo;
    if (!result.meets_slo) {
        option->result = result;
        snprintf(option->why_not, sizeof option->why_not,
                 "even alone a request takes %.0f ms to its first token and %.1f ms a token (at "
                 "the percentile of the targets): no number of replicas is enough",
                 result.at_percentile_ttft_s * 1e3, result.at_percentile_tpot_s * 1e3);
    }
    return TW_OK;
}

static bool is_better(const struct tw_plant_option *a, const struct tw_plant_option *b)
{
    if (a->meets != b->meets) {
        return a->meets;
    }
    return a->meets && (a->n_total_devices != b->n_total_devices
                            ? a->n_total_devices < b->n_total_devices
                            : a->result.ttft_s.mean < b->result.ttft_s.mean);
}

/* One shape of replica: n_tensor x n_pipeline. */
static enum tw_status try_shape(struct tw_plant_search *search, uint32_t number,
                                struct tw_plant *plant, struct tw_plant_option *best,
                                bool *ret_fits, struct tw_error *error)
{
    struct tw_plant_option option = {.plant = *plant};
    struct tw_error why;
    plant->n_replicas = 1;
    *ret_fits = tw_plan_fit(plant, &option.memory, &why) == TW_OK;
    if (!*ret_fits) {
        if (best->plant.n_tensor == 0) {
            snprintf(best->why_not, sizeof best->why_not, "%s", why.text);
        }
        return TW_OK;
    }
    bool meets = false;
    enum tw_status status = meets_alone(search, plant, &option, &meets, error);
    if (status == TW_OK && meets) {
        status = find_count(search, number, plant, rate_steps_of(search->question.rate_factor),
                            &option, error);
    }
    if (status == TW_OK && (best->plant.n_tensor == 0 || is_better(&option, best))) {
        *best = option;
    }
    return status;
}

/* From the fewest devices that hold it; then twice and four times as many, as a faster replica may
 * be what the targets want. */
static enum tw_status search_option(struct tw_plant_search *search, uint32_t number,
                                    struct tw_plant *plant, struct tw_error *error)
{
    struct tw_plant_option best = {.plant = *plant};
    best.plant.n_tensor = 0; /* nothing yet */
    uint32_t n_fit = 0;
    enum tw_status status = TW_OK;
    for (uint32_t pp = 1; pp <= 16 && n_fit == 0 && status == TW_OK; pp *= 2) {
        for (uint32_t tp = pp == 1                       ? 1
                           : plant->device->n_linked < 8 ? plant->device->n_linked
                                                         : 8;
             tp <= 8 && tp <= plant->device->n_linked && n_fit < 3 && status == TW_OK; tp *= 2) {
            bool fits = false;
            plant->n_tensor = tp;
            plant->n_pipeline = pp;
            if ((uint64_t)tp * pp > search->question.most_devices) {
                break;
            }
            /* A larger shape in place of one that meets the targets takes as many devices or more,
             * unless it shares them better: one look is enough. */
            status = try_shape(search, number, plant, &best, &fits, error);
            n_fit += fits ? (best.meets ? 2 : 1) : 0;
        }
    }
    if (best.plant.n_tensor == 0) {
        best.plant = *plant;
        best.plant.n_tensor = best.plant.n_pipeline = best.plant.n_replicas = 0;
    }
    search->options[number] = best;
    return status;
}

static int compare_options(const void *a, const void *b)
{
    const struct tw_plant_option *x = a, *y = b;
    return is_better(x, y) ? -1 : is_better(y, x);
}

/* Options are sorted at the end, so what is remembered follows them. */
static void sort_options(struct tw_plant_search *search)
{
    qsort(search->options, search->n_options, sizeof *search->options, compare_options);
    search->n_memos = 0;
    for (uint32_t i = 0; i < search->n_options && i < search->memos_capacity; i++) {
        const struct tw_plant_option *option = &search->options[i];
        if (option->meets) {
            search->memos[search->n_memos++] =
                (struct memo){i, option->plant.n_replicas,
                              rate_steps_of(search->question.rate_factor), option->result};
        }
    }
}

static enum tw_status search_all(struct tw_plant_search *search, struct tw_error *error)
{
    const struct tw_plant_question *q = &search->question;
    enum tw_status status = TW_OK;
    uint32_t number = 0;
    for (uint32_t d = 0; d < q->n_devices; d++) {
        for (uint32_t w = 0; w < q->n_weights && status == TW_OK; w++, number++) {
            struct tw_plant plant = {.model = q->model,
                                     .device = q->devices[d],
                                     .engine = q->engine,
                                     .weights = q->weights[w],
                                     .kv = q->kv,
                                     .n_replicas = 1,
                                     .n_context_tokens = q->n_context_tokens,
                                     .outlook = q->outlook};
            status = search_option(search, number, &plant, error);
        }
    }
    return status;
}

enum tw_status tw_plant_search(const struct tw_plant_question *question,
                               struct tw_plant_search **ret_search, struct tw_error *error)
{
    struct tw_plant_search *search = tw_mem_zalloc(1, sizeof *search);
    const uint32_t n = question->n_devices * question->n_weights;
    if (search != NULL) {
        search->options = tw_mem_zalloc(n, sizeof *search->options);
    }
    if (search == NULL || search->options == NULL) {
        tw_plant_search_free(search);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a search");
    }
    search->n_options = n;
    search->question = *question;
    search->summary = tw_workload_summarise(question->workload);
    struct tw_plant_question *q = &search->question;
    q->rate_factor = q->rate_factor > 0 ? q->rate_factor : 1;
    q->n_context_tokens =
        q->n_context_tokens > 0 ? q->n_context_tokens : search->summary.total_most;
    q->most_devices = q->most_devices > 0 ? q->most_devices : TW_LIMIT_PLAN_DEVICES;
    enum tw_status status = search_all(search, error);
    if (status != TW_OK) {
        tw_plant_search_free(search);
        return status;
    }
    sort_options(search);
    *ret_search = search;
    return TW_OK;
}

uint32_t tw_plant_search_n(const struct tw_plant_search *search)
{
    return search->n_options;
}

const struct tw_plant_option *tw_plant_search_option(const struct tw_plant_search *search,
                                                     uint32_t i)
{
    return &search->options[i];
}

enum tw_status tw_plant_search_at(struct tw_plant_search *search, uint32_t i, double rate_factor,
                                  uint32_t n_replicas, struct tw_plant_option *ret_option,
                                  struct tw_error *error)
{
    struct tw_plant_option option = search->options[i];
    if (option.plant.n_tensor == 0 || !(rate_factor > 0)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "an option that does not fit, or a load of %g", rate_factor);
    }
    const int32_t steps = rate_steps_of(rate_factor);
    enum tw_status status;
    if (n_replicas == 0) {
        status = find_count(search, i, &option.plant, steps, &option, error);
    } else {
        option.plant.n_replicas = n_replicas;
        status = look_up(search, i, &option.plant, steps, &option.result, error);
        option.meets = status == TW_OK && option.result.meets_slo;
        option.n_total_devices = (n_replicas + search->question.n_spare_replicas) *
                                 option.plant.n_tensor * option.plant.n_pipeline;
    }
    if (status == TW_OK) {
        *ret_option = option;
    }
    return status;
}

uint32_t tw_plant_search_n_simulations(const struct tw_plant_search *search)
{
    return search->n_simulations;
}

void tw_plant_search_free(struct tw_plant_search *search)
{
    if (search != NULL) {
        tw_mem_free(search->options);
        tw_mem_free(search->memos);
        tw_mem_free(search);
    }
}
