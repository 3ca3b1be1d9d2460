#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "plan/plan_state.h"

enum { WORKLOAD_REQUESTS = 6000, MOST_SIZED = 5, MOST_TRIED = 9, MOST_CANDIDATES = 256 };

void tw_plan_free(struct tw_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    for (uint32_t i = 0; i < plan->n_options; i++) {
        tw_mem_free(plan->options[i].result);
    }
    tw_mem_free(plan->options);
    tw_mem_free(plan->sizings);
    tw_workload_free(&plan->workload);
    tw_prices_free(plan->prices);
    tw_catalogue_free(plan->catalogue);
    tw_mem_free(plan);
}

/* ---- who asks ---- */

static double mean_cached(const struct tw_workload *workload, const struct tw_scenario *scenario)
{
    return scenario->cached_share >= 0 ? scenario->cached_share
                                       : tw_workload_summarise(workload).shared_share;
}

static enum tw_status make_workload(struct tw_plan *plan, struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    enum tw_status status;
    if (s->trace != NULL) {
        status = tw_workload_read_file(s->trace, 0, &plan->workload, error);
        if (status == TW_ERR_NOT_FOUND) {
            return tw_scenario_wrong(s, "trace", error,
                                     "there is no file '%.100s': a path is seen from where the "
                                     "command runs",
                                     s->trace);
        }
        if (status == TW_OK) {
            for (uint32_t i = 0; i < plan->workload.n_requests; i++) {
                struct tw_plan_request *request = &plan->workload.requests[i];
                request->arrival_ns = (uint64_t)((double)request->arrival_ns / s->trace_factor);
            }
            plan->workload.duration_s /= s->trace_factor;
        }
    } else {
        status = tw_workload_make(s->cases, s->n_cases, WORKLOAD_REQUESTS, s->seed + 1,
                                  &plan->workload, error);
    }
    if (status != TW_OK) {
        return status;
    }
    plan->summary = tw_workload_summarise(&plan->workload);
    if (!(plan->workload.duration_s > 0)) {
        return tw_scenario_wrong(s, s->trace != NULL ? "trace" : "use-cases", error,
                                 "all requests come at one moment: there is no rate to plan for");
    }
    plan->cached_share = mean_cached(&plan->workload, s);
    plan->demand = s->demand;
    plan->demand.million_tokens_h = plan->workload.n_requests / plan->workload.duration_s *
                                    (plan->summary.input_mean + plan->summary.output_mean) * 3600 /
                                    1e6;
    return TW_OK;
}

/* ---- names ---- */

/* The catalogue's own words with the scenario's line. */
static enum tw_status at_line(const struct tw_plan *plan, const char *path, enum tw_status status,
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
    double usd_per_work; /* a guess, to try the likely ones first */
};

static bool is_named(const struct tw_scenario_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The least that a device costs an hour: bought over its life, or rented. */
static double least_usd_h(const struct tw_plan *plan, const char *device)
{
    struct tw_range usd;
    double least = INFINITY;
    if (tw_prices_bought(plan->prices, device, &usd)) {
        least = usd.typical / (plan->scenario->life_months * 730.5);
    }
    for (uint32_t i = 0; i < tw_prices_n_rents(plan->prices); i++) {
        const struct tw_price_rent rent = tw_prices_rent_at(plan->prices, i);
        if (strcasecmp(rent.device, device) == 0) {
            least = fmin(least, rent.device_usd_h.typical);
        }
    }
    return least;
}

/* What decoding costs if memory is all that counts: dollars an hour for each byte a second that is
 * left beside the weights. */
static double guess_cost(const struct tw_plan *plan, const struct tw_plant *plant)
{
    const double weights = tw_plan_weights_bytes(plant->model, plant->weights);
    const double memory = plant->device->memory_bytes.typical * 0.85;
    double n = 1;
    while (n < 16 && n * memory < weights * 1.15) {
        n *= 2;
    }
    if (n * memory < weights) {
        return INFINITY;
    }
    const double rate = plant->device->ops_s[plant->weights->rate].typical;
    const double work = n *
                        sqrt(plant->device->bandwidth_bytes_s.typical *
                             fmax(1, rate > 0 ? rate : plant->device->ops_s[0].typical)) *
                        sqrt(16 / plant->weights->bits);
    return n * least_usd_h(plan, plant->device->name) / work;
}

static int by_guess(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->usd_per_work > y->usd_per_work) - (x->usd_per_work < y->usd_per_work);
}

static enum tw_status add_device(struct tw_plan *plan, const struct tw_plant *base,
                                 const struct tw_plan_device *device,
                                 struct candidate candidates[MOST_CANDIDATES], uint32_t *n,
                                 struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    const uint32_t n_weights = s->weights.n > 0 ? s->weights.n : 1;
    struct candidate best = {.usd_per_work = INFINITY};
    for (uint32_t w = 0; w < n_weights; w++) {
        struct candidate c = {.plant = *base};
        const char *name = s->weights.n > 0 ? s->weights.items[w] : base->model->format;
        c.plant.weights = tw_number_format_find(name);
        if (c.plant.weights == NULL && s->weights.n == 0) {
            c.plant.weights = tw_number_format_find("bf16");
        }
        if (c.plant.weights == NULL) {
            char path[32];
            snprintf(path, sizeof path, "weights.%u", w);
            return tw_scenario_wrong(s, path, error,
                                     "there is no format '%.40s': write bf16, fp8, int8, int4, "
                                     "nvfp4, mxfp4, q8_0, q4_k ...",
                                     name);
        }
        c.plant.device = device;
        c.usd_per_work = guess_cost(plan, &c.plant);
        best = c.usd_per_work < best.usd_per_work || best.plant.device == NULL ? c : best;
    }
    if (*n < MOST_CANDIDATES) {
        candidates[(*n)++] = best;
    }
    return TW_OK;
}

static enum tw_status find_base(struct tw_plan *plan, struct tw_plant *ret_base,
                                struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    struct tw_error cause = {0};
    enum tw_status status = tw_catalogue_model(plan->catalogue, s->model, &ret_base->model, &cause);
    if (status != TW_OK) {
        return at_line(plan, "model", status, &cause, error);
    }
    status = tw_catalogue_engine(plan->catalogue, s->engine, &ret_base->engine, &cause);
    if (status != TW_OK) {
        return at_line(plan, "engine", status, &cause, error);
    }
    ret_base->kv = tw_number_format_find(s->kv);
    if (ret_base->kv == NULL) {
        return tw_scenario_wrong(s, "kv", error, "there is no format '%.40s': write bf16 or fp8",
                                 s->kv);
    }
    ret_base->n_context_tokens = s->n_context_tokens;
    return TW_OK;
}

static enum tw_status find_candidates(struct tw_plan *plan,
                                      struct candidate candidates[MOST_CANDIDATES], uint32_t *ret_n,
                                      struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    struct tw_plant base = {0};
    struct tw_error cause = {0};
    enum tw_status status = find_base(plan, &base, error);
    for (uint32_t i = 0; status == TW_OK && i < s->devices.n; i++) {
        const struct tw_plan_device *device = NULL;
        char path[32];
        snprintf(path, sizeof path, "devices.%u", i);
        status = tw_catalogue_device(plan->catalogue, s->devices.items[i], &device, &cause);
        if (status != TW_OK) {
            return at_line(plan, path, status, &cause, error);
        }
        if (!isfinite(least_usd_h(plan, device->name))) {
            return tw_scenario_wrong(s, path, error,
                                     "no price is known for %.60s: add a row %.60s,bought_usd,... "
                                     "to a file under prices",
                                     device->name, device->name);
        }
        status = add_device(plan, &base, device, candidates, ret_n, error);
    }
    for (uint32_t i = 0;
         status == TW_OK && s->devices.n == 0 && i < tw_catalogue_n_devices(plan->catalogue); i++) {
        const struct tw_plan_device *device = tw_catalogue_device_at(plan->catalogue, i);
        if (isfinite(least_usd_h(plan, device->name))) {
            status = add_device(plan, &base, device, candidates, ret_n, error);
        }
    }
    if (status == TW_OK) {
        qsort(candidates, *ret_n, sizeof *candidates, by_guess);
    }
    return status;
}

static enum tw_status size_all(struct tw_plan *plan, struct tw_error *error)
{
    struct candidate *candidates = tw_mem_zalloc(MOST_CANDIDATES, sizeof *candidates);
    uint32_t n = 0;
    enum tw_status status = candidates == NULL ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                              "no memory for a plan")
                                               : find_candidates(plan, candidates, &n, error);
    const struct tw_scenario *s = plan->scenario;
    const uint32_t most = s->devices.n > 0 ? n : MOST_SIZED;
    uint32_t n_good = 0;
    plan->sizings = tw_mem_zalloc(n + 1, sizeof *plan->sizings);
    if (status == TW_OK && plan->sizings == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    for (uint32_t i = 0;
         status == TW_OK && i < n && n_good < most && (s->devices.n > 0 || i < MOST_TRIED); i++) {
        struct tw_sizing *sizing = &plan->sizings[plan->n_sizings++];
        status = tw_sizing_find(&candidates[i].plant, &plan->workload, &plan->scenario->slo, sizing,
                                error);
        plan->n_simulations += sizing->n_simulations;
        n_good += sizing->meets;
    }
    tw_mem_free(candidates);
    return status;
}

/* ---- options ---- */

/* By the share of tokens of each data class. */
static void class_shares(const struct tw_scenario *s, double ret_shares[TW_LIMIT_PLAN_CLASSES])
{
    double sum = 0;
    memset(ret_shares, 0, TW_LIMIT_PLAN_CLASSES * sizeof *ret_shares);
    for (uint32_t i = 0; i < s->n_cases; i++) {
        const double tokens = s->cases[i].rate_requests_s *
                              (s->cases[i].input.mean_tokens + s->cases[i].output.mean_tokens);
        ret_shares[s->case_classes[i]] += tokens;
        sum += tokens;
    }
    if (s->n_cases == 0) {
        ret_shares[s->trace_class] = sum = 1;
    }
    for (uint32_t i = 0; i < s->n_classes; i++) {
        ret_shares[i] /= sum;
    }
}

/* The classes in use that may not go to a place; place < 0: there is none for such an option. */
static uint32_t classes_refused(const struct tw_scenario *s, int place, char why[200])
{
    double shares[TW_LIMIT_PLAN_CLASSES];
    uint32_t refused = 0;
    class_shares(s, shares);
    for (uint32_t c = 0; c < s->n_classes; c++) {
        int objective = -1;
        if (!(shares[c] > 0) || (place >= 0 && tw_data_class_admits(&s->classes[c], s->places,
                                                                    (uint32_t)place, &objective))) {
            continue;
        }
        if (refused == 0 && why != NULL && place < 0) {
            snprintf(why, 200, "no place holds it");
        } else if (refused == 0 && why != NULL && objective >= 0) {
            snprintf(why, 200, "%.60s data: %.60s has SEAL-%u for '%s', at least SEAL-%u is asked",
                     s->classes[c].name, s->places[place].name,
                     s->places[place].seal.level[objective], tw_seal_names[objective],
                     s->classes[c].least.level[objective]);
        } else if (refused == 0 && why != NULL) {
            snprintf(why, 200, "%.60s data may not go to %.60s", s->classes[c].name,
                     s->places[place].name);
        }
        refused |= 1u << c;
    }
    return refused;
}

static struct tw_plan_option *add_option(struct tw_plan *plan)
{
    if (plan->n_options == TW_LIMIT_PLAN_OPTIONS) {
        return NULL;
    }
    struct tw_plan_option *option = &plan->options[plan->n_options];
    memset(option, 0, sizeof *option);
    option->result = tw_mem_zalloc(1, sizeof *option->result);
    if (option->result == NULL) {
        return NULL;
    }
    option->sizing = TW_PLAN_NONE;
    option->place = option->tail_place = -1;
    option->driver = -1;
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        option->cost.factor[i] = tw_range_exact(1);
    }
    plan->n_options++;
    return option;
}

static struct tw_range relative(struct tw_range r)
{
    return r.typical > 0 ? tw_range_times(r, 1 / r.typical) : tw_range_exact(1);
}

static void find_place(struct tw_plan *plan, struct tw_plan_option *option, enum tw_place_kind kind,
                       const char *home)
{
    const struct tw_scenario *s = plan->scenario;
    option->place = tw_place_find(s->places, s->n_places, kind, home);
    option->blocked = classes_refused(s, option->place, option->why_not);
    option->seal_score = option->place >= 0 ? tw_seal_score(&s->places[option->place].seal) : 0;
}

static void cost_option(struct tw_plan *plan, struct tw_plan_option *option)
{
    double in[TW_COST_INPUTS];
    tw_plan_inputs(plan, option, NULL, in);
    plan->n_evaluations++;
    tw_cost_evaluate(&plan->demand, &option->cost, in, option->result);
}

/* What every option with a plant has in common. */
static struct tw_plan_option *add_plant(struct tw_plan *plan, uint32_t at, enum tw_cost_kind kind)
{
    struct tw_plan_option *option = add_option(plan);
    if (option == NULL) {
        return NULL;
    }
    const struct tw_sizing *sizing = &plan->sizings[at];
    const struct tw_plan_device *device = sizing->plant.device;
    const uint32_t per_replica = sizing->plant.n_tensor * sizing->plant.n_pipeline;
    option->sizing = at;
    option->device = device;
    option->cost.kind = kind;
    option->cost.capacity = sizing->capacity;
    option->cost.devices_per_replica = per_replica;
    option->cost.spare_replicas = plan->scenario->n_spare_replicas;
    option->cost.life_months = plan->scenario->life_months;
    option->cost.loan_months = plan->scenario->loan_months;
    option->cost.provisioned_w =
        fmax(device->power_w.typical + device->host_w.typical, sizing->busy_w / per_replica);
    option->cost.idle_w = sizing->idle_w;
    option->cost.busy_w = sizing->busy_w;
    option->cost.needs_staff = kind == TW_COST_RENTED || kind == TW_COST_RESERVED ? 0.5
                               : kind == TW_COST_COLOCATED                        ? 0.8
                                                                                  : 1;
    option->cost.factor[TW_COST_CAPACITY] = sizing->capacity_factor;
    return option;
}

static void name_plant(struct tw_plan_option *option, const struct tw_sizing *sizing,
                       const char *where, double n_replicas)
{
    snprintf(option->name, sizeof option->name, "%.0f x %s%s, %s, %s",
             n_replicas * option->cost.devices_per_replica, sizing->plant.device->name,
             option->cost.devices_per_replica > 1 ? " (tensor parallel)" : "",
             sizing->plant.weights->name, where);
}

static const struct tw_fact *bought_fact(const struct tw_plan *plan, const char *device)
{
    return tw_facts_find(tw_prices_facts(plan->prices), device, "bought_usd");
}

static struct tw_plan_option *add_bought(struct tw_plan *plan, uint32_t at, enum tw_cost_kind kind)
{
    struct tw_range usd;
    const struct tw_sizing *sizing = &plan->sizings[at];
    const char *device = sizing->plant.device->name;
    struct tw_plan_option *option = NULL;
    if (!tw_prices_bought(plan->prices, device, &usd) ||
        (option = add_plant(plan, at, kind)) == NULL) {
        return NULL;
    }
    option->cost.device_usd = usd.typical;
    option->cost.factor[TW_COST_HARDWARE] = relative(usd);
    option->price_source = bought_fact(plan, device)->source;
    option->price_date = bought_fact(plan, device)->date;
    find_place(plan, option, kind == TW_COST_COLOCATED ? TW_PLACE_COLOCATED : TW_PLACE_OWNED, NULL);
    name_plant(option, sizing, kind == TW_COST_COLOCATED ? "colocated" : "owned",
               sizing->plant.n_replicas + option->cost.spare_replicas);
    return option;
}

static void add_rented(struct tw_plan *plan, uint32_t at)
{
    const struct tw_scenario *s = plan->scenario;
    const char *device = plan->sizings[at].plant.device->name;
    for (uint32_t i = 0; i < tw_prices_n_rents(plan->prices); i++) {
        const struct tw_price_rent rent = tw_prices_rent_at(plan->prices, i);
        const enum tw_cost_kind kind = rent.term_months > 0 ? TW_COST_RESERVED : TW_COST_RENTED;
        if (strcasecmp(rent.device, device) != 0 || !s->kinds[kind] ||
            (s->rents.n > 0 && !is_named(&s->rents, rent.name) &&
             !is_named(&s->rents, rent.provider))) {
            continue;
        }
        struct tw_plan_option *option = add_plant(plan, at, kind);
        if (option == NULL) {
            return;
        }
        char where[100];
        option->cost.device_usd_h = rent.device_usd_h.typical;
        option->cost.term_months = (uint32_t)rent.term_months;
        option->cost.factor[TW_COST_RENT] = relative(rent.device_usd_h);
        option->price_source = rent.source;
        option->price_date = rent.date;
        find_place(plan, option, TW_PLACE_RENTED, rent.home);
        snprintf(where, sizeof where, rent.term_months > 0 ? "%.40s for %.0f months" : "%.40s",
                 rent.provider, rent.term_months);
        name_plant(option, &plan->sizings[at], where,
                   plan->sizings[at].plant.n_replicas + option->cost.spare_replicas);
        cost_option(plan, option);
    }
}

static void set_api(struct tw_plan *plan, struct tw_plan_option *option,
                    const struct tw_price_api *api)
{
    option->api = *api;
    option->cost.tail_usd_per_million_tokens = tw_price_api_per_million(
        api, &plan->workload, plan->cached_share, plan->scenario->batch_share);
    option->cost.factor[TW_COST_API] = relative(api->currency_usd);
}

static void add_tokens(struct tw_plan *plan, const struct tw_price_api *api)
{
    struct tw_plan_option *option = add_option(plan);
    if (option == NULL) {
        return;
    }
    option->cost.kind = TW_COST_TOKENS;
    set_api(plan, option, api);
    option->price_source = api->source;
    option->price_date = api->date;
    snprintf(option->name, sizeof option->name, "tokens of %.60s (%.40s)", api->name,
             api->provider);
    find_place(plan, option, TW_PLACE_API, api->home);
    cost_option(plan, option);
}

/* The number of own replicas that costs least when the rest is bought as tokens. What may not go to
 * the API must have room at home. */
static void add_hybrid(struct tw_plan *plan, uint32_t at, const struct tw_price_api *api)
{
    const struct tw_scenario *s = plan->scenario;
    const struct tw_sizing *sizing = &plan->sizings[at];
    double shares[TW_LIMIT_PLAN_CLASSES], may_leave = 1;
    if (sizing->plant.n_replicas < 2) {
        return;
    }
    struct tw_plan_option *option = add_bought(plan, at, TW_COST_HYBRID);
    if (option == NULL) {
        return;
    }
    set_api(plan, option, api);
    option->tail_place = tw_place_find(s->places, s->n_places, TW_PLACE_API, api->home);
    const uint32_t refused = classes_refused(s, option->tail_place, NULL);
    class_shares(s, shares);
    for (uint32_t c = 0; c < s->n_classes; c++) {
        may_leave -= (refused >> c & 1) != 0 ? shares[c] : 0;
    }
    if (may_leave <= 1e-9) {
        option->blocked |= refused;
        snprintf(option->why_not, sizeof option->why_not, "no data may go to the API");
        may_leave = 1;
    }
    const double least = tw_cost_replicas_for(&sizing->capacity, 1 - may_leave);
    double best_n = 0, best_npv = INFINITY;
    option->cost.sheds_tail = true;
    const double n_all = sizing->plant.n_replicas, step = fmax(1, floor(n_all / 24));
    for (double n = fmax(1, may_leave < 1 ? least : 1); n < n_all; n += step) {
        option->cost.fixed_replicas = n;
        cost_option(plan, option);
        if (option->result->npv_usd < best_npv) {
            best_npv = option->result->npv_usd;
            best_n = n;
        }
    }
    if (best_n == 0) {
        tw_mem_free(option->result);
        plan->n_options--;
        return;
    }
    option->cost.fixed_replicas = best_n;
    cost_option(plan, option);
    char where[100];
    snprintf(where, sizeof where, "owned + tail of %.60s", api->name);
    name_plant(option, sizing, where, best_n + option->cost.spare_replicas);
    if (option->tail_place >= 0) {
        option->seal_score =
            fmin(option->seal_score, tw_seal_score(&s->places[option->tail_place].seal));
    }
}

static enum tw_status take_apis(struct tw_plan *plan, struct tw_price_api *ret_apis, uint32_t *n,
                                struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    for (uint32_t i = 0; i < s->apis.n; i++) {
        char path[32];
        struct tw_error cause = {0};
        snprintf(path, sizeof path, "apis.%u", i);
        enum tw_status status =
            tw_prices_api(plan->prices, s->apis.items[i], &ret_apis[*n], &cause);
        if (status != TW_OK) {
            return at_line(plan, path, status, &cause, error);
        }
        (*n)++;
    }
    return TW_OK;
}

static enum tw_status make_options(struct tw_plan *plan, struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    struct tw_price_api apis[TW_LIMIT_PLAN_NAMES];
    uint32_t n_apis = 0;
    plan->options = tw_mem_zalloc(TW_LIMIT_PLAN_OPTIONS, sizeof *plan->options);
    if (plan->options == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    enum tw_status status = take_apis(plan, apis, &n_apis, error);
    if (status != TW_OK) {
        return status;
    }
    for (uint32_t i = 0; s->kinds[TW_COST_TOKENS] && i < n_apis; i++) {
        add_tokens(plan, &apis[i]);
    }
    for (uint32_t at = 0; at < plan->n_sizings; at++) {
        if (!plan->sizings[at].meets) {
            continue;
        }
        for (int k = TW_COST_OWNED; k <= TW_COST_COLOCATED; k++) {
            struct tw_plan_option *option =
                s->kinds[k] ? add_bought(plan, at, (enum tw_cost_kind)k) : NULL;
            if (option != NULL) {
                cost_option(plan, option);
            }
        }
        for (uint32_t i = 0; s->kinds[TW_COST_HYBRID] && i < n_apis; i++) {
            add_hybrid(plan, at, &apis[i]);
        }
    }
    for (uint32_t at = 0; at < plan->n_sizings; at++) {
        if (plan->sizings[at].meets) {
            add_rented(plan, at);
        }
    }
    return TW_OK;
}

/* ---- the answer ---- */

static int by_cost(const void *a, const void *b)
{
    const struct tw_plan_option *x = a, *y = b;
    if ((x->blocked != 0) != (y->blocked != 0)) {
        return x->blocked != 0 ? 1 : -1;
    }
    return (x->result->npv_usd > y->result->npv_usd) - (x->result->npv_usd < y->result->npv_usd);
}

static uint32_t cheapest(const struct tw_plan *plan, uint32_t blocked_by)
{
    uint32_t best = TW_PLAN_NONE;
    for (uint32_t i = 0; i < plan->n_options; i++) {
        const struct tw_plan_option *option = &plan->options[i];
        if ((option->blocked & blocked_by) == 0 &&
            (best == TW_PLAN_NONE ||
             option->result->npv_usd < plan->options[best].result->npv_usd)) {
            best = i;
        }
    }
    return best;
}

static void price_rules(struct tw_plan *plan)
{
    const double best = plan->options[plan->best].result->npv_usd;
    plan->without_rules = cheapest(plan, 0);
    plan->all_rules_usd = best - plan->options[plan->without_rules].result->npv_usd;
    for (uint32_t c = 0; c < plan->scenario->n_classes; c++) {
        const uint32_t instead = cheapest(plan, UINT32_MAX & ~(1u << c));
        plan->rules[plan->n_rules++] =
            (struct tw_plan_rule){c, best - plan->options[instead].result->npv_usd, instead};
    }
}

static enum tw_status nothing_left(const struct tw_plan *plan, struct tw_error *error)
{
    const char *why = "no price was found for any";
    if (plan->n_options > 0) {
        return tw_scenario_wrong(plan->scenario, "data-classes", error,
                                 "no option may be had: %.150s; loosen the class, or name a place "
                                 "it may go to",
                                 plan->options[0].why_not);
    }
    for (uint32_t i = 0; i < plan->n_sizings; i++) {
        why = !plan->sizings[i].meets ? plan->sizings[i].why_not : why;
    }
    return tw_scenario_wrong(plan->scenario, plan->scenario->devices.n > 0 ? "devices" : "model",
                             error,
                             "no device serves %.40s within the targets (%.110s): loosen the "
                             "targets, name other devices or formats, or add apis",
                             plan->scenario->model, why);
}

static enum tw_status choose(struct tw_plan *plan, struct tw_error *error)
{
    qsort(plan->options, plan->n_options, sizeof *plan->options, by_cost);
    while (plan->n_admitted < plan->n_options && plan->options[plan->n_admitted].blocked == 0) {
        plan->n_admitted++;
    }
    if (plan->n_admitted == 0) {
        return nothing_left(plan, error);
    }
    plan->best = 0;
    plan->runner_up = plan->tokens = TW_PLAN_NONE;
    for (uint32_t i = plan->n_admitted; i-- > 0;) {
        if (plan->options[i].cost.kind != plan->options[0].cost.kind) {
            plan->runner_up = i;
        }
    }
    for (uint32_t i = plan->n_options; i-- > 0;) {
        if (plan->options[i].cost.kind == TW_COST_TOKENS &&
            (i < plan->n_admitted || plan->tokens == TW_PLAN_NONE ||
             plan->tokens >= plan->n_admitted)) {
            plan->tokens = i;
        }
    }
    if (plan->runner_up != TW_PLAN_NONE) {
        plan->advantage_usd =
            plan->options[plan->runner_up].result->npv_usd - plan->options[0].result->npv_usd;
    }
    price_rules(plan);
    return tw_plan_risk(plan, error);
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
    enum tw_status status = tw_catalogue_open(scenario->catalogue_files.items,
                                              scenario->catalogue_files.n, &plan->catalogue, error);
    if (status == TW_OK) {
        status = tw_prices_open(scenario->price_files.items, scenario->price_files.n, &plan->prices,
                                error);
    }
    if (status == TW_OK) {
        status = tw_prices_currency(plan->prices, scenario->currency, &plan->currency_usd, &cause);
        status = status == TW_OK
                     ? TW_OK
                     : tw_scenario_wrong(scenario, "currency", error, "%.190s", cause.text);
    }
    status = status == TW_OK ? make_workload(plan, error) : status;
    status = status == TW_OK ? size_all(plan, error) : status;
    status = status == TW_OK ? make_options(plan, error) : status;
    status = status == TW_OK ? choose(plan, error) : status;
    if (status != TW_OK) {
        tw_plan_free(plan);
        return status;
    }
    *ret_plan = plan;
    return TW_OK;
}
