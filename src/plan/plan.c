#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "plan/plan_state.h"

#define MOST_TIME_NS 9e18 /* what is later comes then: a clock of 64 bits ends there */

enum { WORKLOAD_REQUESTS = 6000, MOST_SIZED = 5, MOST_TRIED = 9, MOST_CANDIDATES = 256 };

void tw_plan_free(struct tw_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    for (uint32_t i = 0; i < plan->n_options; i++) {
        tw_mem_free(plan->options[i].result);
    }
    for (uint32_t i = 0; i < plan->n_services; i++) {
        tw_workload_free(&plan->services[i].workload);
    }
    tw_mem_free(plan->options);
    tw_mem_free(plan->ways);
    tw_mem_free(plan->sizings);
    tw_prices_free(plan->prices);
    tw_catalogue_free(plan->catalogue);
    tw_mem_free(plan);
}

/* ---- who asks ---- */

static enum tw_status read_trace(const struct tw_scenario *s, struct tw_plan_service *service,
                                 struct tw_error *error)
{
    struct tw_workload *workload = &service->workload;
    enum tw_status status = tw_workload_read_file(s->trace, 0, workload, error);
    if (status == TW_ERR_NOT_FOUND) {
        return tw_scenario_wrong(s, "trace", error,
                                 "there is no file '%.100s': a path is seen from where the "
                                 "command runs",
                                 s->trace);
    }
    for (uint32_t i = 0; status == TW_OK && i < workload->n_requests; i++) {
        struct tw_plan_request *request = &workload->requests[i];
        request->arrival_ns =
            (uint64_t)fmin(MOST_TIME_NS, (double)request->arrival_ns / s->trace_factor);
    }
    workload->duration_s /= s->trace_factor;
    service->class_shares[s->trace_class] = 1;
    return status;
}

/* The use cases of one model, together. */
static enum tw_status make_requests(const struct tw_scenario *s, uint32_t model,
                                    struct tw_plan_service *service, struct tw_error *error)
{
    struct tw_use_case *cases = tw_mem_alloc(s->n_cases + 1, sizeof *cases);
    uint32_t n = 0;
    double sum = 0;
    if (cases == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    for (uint32_t i = 0; i < s->n_cases; i++) {
        if (s->case_models[i] == model) {
            const struct tw_use_case *c = &s->cases[i];
            const double tokens =
                c->rate_requests_s * (c->input.mean_tokens + c->output.mean_tokens);
            service->class_shares[s->case_classes[i]] += tokens;
            sum += tokens;
            cases[n++] = *c;
        }
    }
    for (uint32_t i = 0; i < s->n_classes; i++) {
        service->class_shares[i] /= sum;
    }
    enum tw_status status = tw_workload_make(cases, n, WORKLOAD_REQUESTS, s->seed + 1 + model,
                                             &service->workload, error);
    tw_mem_free(cases);
    return status;
}

static enum tw_status make_service(struct tw_plan *plan, uint32_t model, struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    struct tw_plan_service *service = &plan->services[plan->n_services++];
    service->model = &s->models[model];
    enum tw_status status =
        s->trace != NULL ? read_trace(s, service, error) : make_requests(s, model, service, error);
    if (status != TW_OK) {
        return status;
    }
    const struct tw_workload *workload = &service->workload;
    service->summary = tw_workload_summarise(workload);
    if (!(workload->duration_s > 0)) {
        return tw_scenario_wrong(s, s->trace != NULL ? "trace" : "use-cases", error,
                                 "all requests come at one moment: there is no rate to plan for");
    }
    service->cached_share = s->cached_share >= 0 ? s->cached_share : service->summary.shared_share;
    service->demand = s->demand;
    service->demand.million_tokens_h =
        workload->n_requests / workload->duration_s *
        (service->summary.input_mean + service->summary.output_mean) * 3600 / 1e6;
    return TW_OK;
}

double tw_plan_million_tokens_h(const struct tw_plan *plan)
{
    double sum = 0;
    for (uint32_t i = 0; i < plan->n_services; i++) {
        sum += plan->services[i].demand.million_tokens_h;
    }
    return sum;
}

/* ---- names ---- */

/* The catalogue's own words with the scenario's line. */
enum tw_status tw_plan_at_line(const struct tw_plan *plan, const char *path, enum tw_status status,
                               const struct tw_error *cause, struct tw_error *error)
{
    if (status != TW_ERR_NOT_FOUND) {
        *error = *cause;
        return status;
    }
    return tw_scenario_wrong(plan->scenario, path, error, "%.190s", cause->text);
}

struct candidate {
    struct tw_plant plant;
    /* Guesses, to try the likely ones first: for a large load and for a small one. */
    double usd_per_work, usd_h_least;
};

/* The least that n devices cost an hour, whole servers: bought over their life, or rented. */
static double least_usd_h(const struct tw_plan *plan, const char *device, double n)
{
    struct tw_range usd;
    double least = INFINITY;
    if (tw_prices_bought(plan->prices, device, &usd)) {
        const double unit = tw_prices_sold_in(plan->prices, device);
        least = ceil(n / unit) * unit * usd.typical / (plan->scenario->life_months * 730.5);
    }
    for (uint32_t i = 0; i < tw_prices_n_rents(plan->prices); i++) {
        const struct tw_price_rent rent = tw_prices_rent_at(plan->prices, i);
        if (strcasecmp(rent.device, device) == 0) {
            least =
                fmin(least, ceil(n / rent.n_devices) * rent.n_devices * rent.device_usd_h.typical);
        }
    }
    return least;
}

/* What decoding costs if memory is all that counts: dollars an hour for each byte a second that is
 * left beside the weights; and what the least plant costs an hour. */
static void guess_cost(const struct tw_plan *plan, struct candidate *c)
{
    enum { MANY = 10000 };
    const struct tw_plant *plant = &c->plant;
    const double weights = tw_plan_weights_bytes(plant->model, plant->weights);
    const double memory = plant->device->memory_bytes.typical * 0.85;
    double n = 1;
    while (n < 16 && n * memory < weights * 1.15) {
        n *= 2;
    }
    c->usd_per_work = c->usd_h_least = INFINITY;
    if (n * memory < weights) {
        return;
    }
    const double rate = plant->device->ops_s[plant->weights->rate].typical;
    const double work = sqrt(plant->device->bandwidth_bytes_s.typical *
                             fmax(1, rate > 0 ? rate : plant->device->ops_s[0].typical)) *
                        sqrt(16 / plant->weights->bits);
    c->usd_per_work = least_usd_h(plan, plant->device->name, MANY) / MANY / work;
    c->usd_h_least = least_usd_h(plan, plant->device->name, n);
}

static int by_work(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->usd_per_work > y->usd_per_work) - (x->usd_per_work < y->usd_per_work);
}

/* Good ones for large loads and for small ones in turn. */
static void order_candidates(struct candidate *candidates, uint32_t n)
{
    qsort(candidates, n, sizeof *candidates, by_work);
    for (uint32_t at = 1; at < n; at += 2) {
        uint32_t least = at;
        for (uint32_t i = at + 1; i < n; i++) {
            least = candidates[i].usd_h_least < candidates[least].usd_h_least ? i : least;
        }
        const struct candidate taken = candidates[least];
        memmove(&candidates[at + 1], &candidates[at], (least - at) * sizeof *candidates);
        candidates[at] = taken;
    }
}

static enum tw_status add_device(struct tw_plan *plan, const struct tw_plan_service *service,
                                 const struct tw_plant *base, const struct tw_plan_device *device,
                                 struct candidate candidates[MOST_CANDIDATES], uint32_t *n,
                                 struct tw_error *error)
{
    const struct tw_scenario_names *weights = &service->model->weights;
    const uint32_t n_weights = weights->n > 0 ? weights->n : 1;
    struct candidate best = {.usd_per_work = INFINITY};
    for (uint32_t w = 0; w < n_weights; w++) {
        struct candidate c = {.plant = *base};
        const char *name = weights->n > 0 ? weights->items[w] : base->model->format;
        c.plant.weights = tw_number_format_find(name);
        if (c.plant.weights == NULL && weights->n == 0) {
            c.plant.weights = tw_number_format_find("bf16");
        }
        if (c.plant.weights == NULL) {
            char path[64];
            snprintf(path, sizeof path, "%s.%u", service->model->weights_path, w);
            return tw_scenario_wrong(plan->scenario, path, error,
                                     "there is no format '%.40s': write bf16, fp8, int8, int4, "
                                     "nvfp4, mxfp4, q8_0, q4_k ...",
                                     name);
        }
        c.plant.device = device;
        guess_cost(plan, &c);
        best = c.usd_per_work < best.usd_per_work || best.plant.device == NULL ? c : best;
    }
    if (*n == MOST_CANDIDATES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d devices have a price: name those to try under devices",
                            MOST_CANDIDATES);
    }
    candidates[(*n)++] = best;
    return TW_OK;
}

static enum tw_status find_base(struct tw_plan *plan, struct tw_plan_service *service,
                                struct tw_plant *ret_base, struct tw_error *error)
{
    const struct tw_scenario_model *m = service->model;
    struct tw_error cause = {0};
    enum tw_status status = tw_catalogue_model(plan->catalogue, m->name, &ret_base->model, &cause);
    if (status != TW_OK) {
        return tw_plan_at_line(plan, m->name_path, status, &cause, error);
    }
    status = tw_catalogue_engine(plan->catalogue, m->engine, &ret_base->engine, &cause);
    if (status != TW_OK) {
        return tw_plan_at_line(plan, m->engine_path, status, &cause, error);
    }
    service->engine = ret_base->engine;
    ret_base->kv = tw_number_format_find(m->kv);
    if (ret_base->kv == NULL) {
        return tw_scenario_wrong(plan->scenario, m->kv_path, error,
                                 "there is no format '%.40s': write bf16 or fp8", m->kv);
    }
    const uint32_t known = ret_base->model->n_context_tokens;
    if (known > 0 && m->n_context_tokens > known) {
        return tw_scenario_wrong(plan->scenario, "context-tokens", error,
                                 "context-tokens is %u, but %.40s reads %u at most: give it a row "
                                 "of your own under catalogue if it reads more",
                                 m->n_context_tokens, m->name, known);
    }
    ret_base->n_context_tokens = m->n_context_tokens;
    return TW_OK;
}

static enum tw_status find_candidates(struct tw_plan *plan, struct tw_plan_service *service,
                                      struct candidate candidates[MOST_CANDIDATES], uint32_t *ret_n,
                                      struct tw_error *error)
{
    const struct tw_scenario_names *devices = &service->model->devices;
    struct tw_plant base = {0};
    struct tw_error cause = {0};
    enum tw_status status = find_base(plan, service, &base, error);
    for (uint32_t i = 0; status == TW_OK && i < devices->n; i++) {
        const struct tw_plan_device *device = NULL;
        char path[64];
        snprintf(path, sizeof path, "%s.%u", service->model->devices_path, i);
        status = tw_catalogue_device(plan->catalogue, devices->items[i], &device, &cause);
        if (status != TW_OK) {
            return tw_plan_at_line(plan, path, status, &cause, error);
        }
        if (!isfinite(least_usd_h(plan, device->name, 1))) {
            return tw_scenario_wrong(plan->scenario, path, error,
                                     "no price is known for %.60s: add a row %.60s,bought_usd,... "
                                     "to a file under prices",
                                     device->name, device->name);
        }
        status = add_device(plan, service, &base, device, candidates, ret_n, error);
    }
    for (uint32_t i = 0;
         status == TW_OK && devices->n == 0 && i < tw_catalogue_n_devices(plan->catalogue); i++) {
        const struct tw_plan_device *device = tw_catalogue_device_at(plan->catalogue, i);
        if (isfinite(least_usd_h(plan, device->name, 1))) {
            status = add_device(plan, service, &base, device, candidates, ret_n, error);
        }
    }
    if (status == TW_OK) {
        order_candidates(candidates, *ret_n);
    }
    return status;
}

static enum tw_status size_service(struct tw_plan *plan, struct tw_plan_service *service,
                                   struct candidate *candidates, struct tw_error *error)
{
    const bool is_told = service->model->devices.n > 0;
    uint32_t n = 0, n_good = 0;
    enum tw_status status = find_candidates(plan, service, candidates, &n, error);
    if (status != TW_OK) {
        return status;
    }
    const uint32_t most = is_told ? n : MOST_SIZED;
    struct tw_sizing *grown =
        tw_mem_realloc(plan->sizings, plan->n_sizings + n + 1, sizeof *plan->sizings);
    if (grown == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    plan->sizings = grown;
    service->first_sizing = plan->n_sizings;
    for (uint32_t i = 0; status == TW_OK && i < n && n_good < most && (is_told || i < MOST_TRIED);
         i++) {
        struct tw_sizing *sizing = &plan->sizings[plan->n_sizings++];
        status = tw_sizing_find(&candidates[i].plant, &service->workload, &service->model->slo,
                                sizing, error);
        plan->n_simulations += sizing->n_simulations;
        n_good += sizing->meets;
        service->n_sizings++;
    }
    return status;
}

static enum tw_status size_all(struct tw_plan *plan, struct tw_error *error)
{
    struct candidate *candidates = tw_mem_alloc(MOST_CANDIDATES, sizeof *candidates);
    enum tw_status status = candidates == NULL ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                              "no memory for a plan")
                                               : TW_OK;
    for (uint32_t i = 0; status == TW_OK && i < plan->n_services; i++) {
        status = size_service(plan, &plan->services[i], candidates, error);
    }
    tw_mem_free(candidates);
    return status;
}

/* Files that a scenario names are there. */
static enum tw_status check_files(const struct tw_scenario *s, const char *key,
                                  const struct tw_scenario_names *files, struct tw_error *error)
{
    for (uint32_t i = 0; i < files->n; i++) {
        if (!tw_file_exists(files->items[i])) {
            char path[48];
            snprintf(path, sizeof path, "%s.%u", key, i);
            return tw_scenario_wrong(s, path, error,
                                     "there is no file '%.100s': a path is seen from where the "
                                     "command runs",
                                     files->items[i]);
        }
    }
    return TW_OK;
}

enum tw_status tw_plan_make(const struct tw_scenario *scenario, struct tw_plan **ret_plan,
                            struct tw_error *error)
{
    struct tw_plan *plan = tw_mem_zalloc(1, sizeof *plan);
    struct tw_error cause = {0};
    if (plan == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    plan->scenario = scenario;
    plan->seed = scenario->seed;
    enum tw_status status = check_files(scenario, "catalogue", &scenario->catalogue_files, error);
    status =
        status == TW_OK ? check_files(scenario, "prices", &scenario->price_files, error) : status;
    if (status == TW_OK) {
        status = tw_catalogue_open(scenario->catalogue_files.items, scenario->catalogue_files.n,
                                   &plan->catalogue, error);
    }
    if (status == TW_OK) {
        status = tw_prices_open(scenario->price_files.items, scenario->price_files.n, &plan->prices,
                                error);
    }
    if (status == TW_OK) {
        status = tw_prices_check_devices(plan->prices, plan->catalogue, error);
    }
    if (status == TW_OK) {
        status = tw_prices_currency(plan->prices, scenario->currency, &plan->currency_usd, &cause);
        status = status == TW_OK
                     ? TW_OK
                     : tw_scenario_wrong(scenario, "currency", error, "%.190s", cause.text);
        plan->currency = tw_prices_currency_fact(plan->prices, scenario->currency);
    }
    for (uint32_t i = 0; status == TW_OK && i < scenario->n_models; i++) {
        status = make_service(plan, i, error);
    }
    status = status == TW_OK ? size_all(plan, error) : status;
    status = status == TW_OK ? tw_plan_find_ways(plan, error) : status;
    status = status == TW_OK ? tw_plan_choose(plan, error) : status;
    status = status == TW_OK ? tw_plan_risk(plan, error) : status;
    if (status != TW_OK) {
        tw_plan_free(plan);
        return status;
    }
    *ret_plan = plan;
    return TW_OK;
}
