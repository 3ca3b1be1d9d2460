/* Ways to serve each model: own machines, rented ones, tokens, or own ones and tokens for the rest,
 * each at the place that its data would go to. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "plan/plan_state.h"

/* What is made at the moment. */
struct maker {
    struct tw_plan *plan;
    struct tw_plan_service *service;
    uint32_t at; /* of services */
    bool is_full;
};

static bool is_named(const struct tw_scenario_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcasecmp(names->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The classes in use that may not go to a place; place < 0: there is none for such an option. */
static uint32_t classes_refused(const struct maker *m, int place, char why[200])
{
    const struct tw_scenario *s = m->plan->scenario;
    const double *shares = m->service->class_shares;
    uint32_t refused = 0;
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

static struct tw_plan_way *add_way(struct maker *m)
{
    struct tw_plan *plan = m->plan;
    if (plan->n_ways == TW_LIMIT_PLAN_WAYS) {
        m->is_full = true;
        return NULL;
    }
    struct tw_plan_way *way = &plan->ways[plan->n_ways];
    memset(way, 0, sizeof *way);
    way->service = m->at;
    way->sizing = TW_PLAN_NONE;
    way->place = way->tail_place = -1;
    way->cost.needs_staff = 1;
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        way->cost.factor[i] = tw_range_exact(1);
    }
    plan->n_ways++;
    return way;
}

static struct tw_range relative(struct tw_range r)
{
    return r.typical > 0 ? tw_range_times(r, 1 / r.typical) : tw_range_exact(1);
}

static void find_place(const struct maker *m, struct tw_plan_way *way, enum tw_place_kind kind,
                       const char *home)
{
    const struct tw_scenario *s = m->plan->scenario;
    way->place = tw_place_find(s->places, s->n_places, kind, home);
    way->blocked = classes_refused(m, way->place, way->why_not);
    way->seal_score = way->place >= 0 ? tw_seal_score(&s->places[way->place].seal) : 0;
}

/* With staff-base and without. */
static void cost_way(const struct maker *m, struct tw_plan_way *way)
{
    struct tw_plan *plan = m->plan;
    struct tw_cost_option bare = way->cost;
    struct tw_cost_result result;
    double in[TW_COST_INPUTS];
    tw_plan_inputs(plan, way, NULL, in);
    plan->n_evaluations++;
    tw_cost_evaluate(&m->service->demand, &way->cost, in, &result);
    way->npv_usd = way->bare_npv_usd = result.npv_usd;
    if (way->cost.capacity.n_points > 0 && plan->n_services > 1) {
        bare.needs_staff = 0;
        tw_cost_evaluate(&m->service->demand, &bare, in, &result);
        way->bare_npv_usd = result.npv_usd;
    }
}

/* What every way with a plant has in common. */
static struct tw_plan_way *add_plant(struct maker *m, uint32_t at, enum tw_cost_kind kind)
{
    const struct tw_plan *plan = m->plan;
    struct tw_plan_way *way = add_way(m);
    if (way == NULL) {
        return NULL;
    }
    const struct tw_sizing *sizing = &plan->sizings[at];
    const struct tw_plan_device *device = sizing->plant.device;
    const uint32_t per_replica = sizing->plant.n_tensor * sizing->plant.n_pipeline;
    way->sizing = at;
    way->device = device;
    way->cost.kind = kind;
    way->cost.capacity = sizing->capacity;
    way->cost.devices_per_replica = per_replica;
    way->cost.spare_replicas = plan->scenario->n_spare_replicas;
    way->cost.life_months = plan->scenario->life_months;
    way->cost.loan_months = plan->scenario->loan_months;
    way->cost.provisioned_w =
        fmax(device->power_w.typical + device->host_w.typical, sizing->busy_w / per_replica);
    way->cost.idle_w = sizing->idle_w;
    way->cost.busy_w = sizing->busy_w;
    way->cost.factor[TW_COST_CAPACITY] = sizing->capacity_factor;
    return way;
}

static void name_plant(struct tw_plan_way *way, const struct tw_sizing *sizing, const char *where,
                       double n_replicas)
{
    char parallel[64] = "";
    const double spare = way->cost.spare_replicas;
    if (way->cost.devices_per_replica > 1 && spare > 0) {
        snprintf(parallel, sizeof parallel, " (%.0f a replica; %.0f spare)",
                 way->cost.devices_per_replica, spare);
    } else if (way->cost.devices_per_replica > 1) {
        snprintf(parallel, sizeof parallel, " (%.0f a replica)", way->cost.devices_per_replica);
    } else if (spare > 0) {
        snprintf(parallel, sizeof parallel, " (%.0f spare)", spare);
    }
    snprintf(way->name, sizeof way->name, "%.0f x %s%s, %s, %s",
             tw_cost_devices_for(&way->cost, n_replicas), sizing->plant.device->name, parallel,
             sizing->plant.weights->name, where);
}

static const struct tw_fact *bought_fact(const struct tw_plan *plan, const char *device)
{
    return tw_facts_find(tw_prices_facts(plan->prices), device, "bought_usd");
}

static struct tw_plan_way *add_bought(struct maker *m, uint32_t at, enum tw_cost_kind kind)
{
    struct tw_range usd;
    const struct tw_plan *plan = m->plan;
    const struct tw_sizing *sizing = &plan->sizings[at];
    const char *device = sizing->plant.device->name;
    struct tw_plan_way *way = NULL;
    if (!tw_prices_bought(plan->prices, device, &usd) || (way = add_plant(m, at, kind)) == NULL) {
        return NULL;
    }
    way->cost.device_usd = usd.typical;
    way->cost.unit_devices = tw_prices_sold_in(plan->prices, device);
    way->cost.factor[TW_COST_HARDWARE] = relative(usd);
    way->price_source = bought_fact(plan, device)->source;
    way->price_date = bought_fact(plan, device)->date;
    find_place(m, way, kind == TW_COST_COLOCATED ? TW_PLACE_COLOCATED : TW_PLACE_OWNED, NULL);
    name_plant(way, sizing, kind == TW_COST_COLOCATED ? "colocated" : "owned",
               sizing->plant.n_replicas + way->cost.spare_replicas);
    return way;
}

static void add_rented(struct maker *m, uint32_t at)
{
    const struct tw_plan *plan = m->plan;
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
        struct tw_plan_way *way = add_plant(m, at, kind);
        if (way == NULL) {
            return;
        }
        char where[100];
        way->cost.device_usd_h = rent.device_usd_h.typical;
        way->cost.unit_devices = rent.n_devices;
        way->cost.term_months = (uint32_t)rent.term_months;
        way->cost.factor[TW_COST_RENT] = relative(rent.device_usd_h);
        way->price_source = rent.source;
        way->price_date = rent.date;
        find_place(m, way, TW_PLACE_RENTED, rent.home);
        snprintf(where, sizeof where, rent.term_months > 0 ? "%.40s for %.0f months" : "%.40s",
                 rent.provider, rent.term_months);
        name_plant(way, &plan->sizings[at], where,
                   plan->sizings[at].plant.n_replicas + way->cost.spare_replicas);
        cost_way(m, way);
    }
}

static void set_api(struct maker *m, struct tw_plan_way *way, const struct tw_price_api *api)
{
    way->api = *api;
    way->cost.tail_usd_per_million_tokens = tw_price_api_per_million(
        api, &m->service->workload, m->service->cached_share, m->plan->scenario->batch_share);
    way->cost.factor[TW_COST_API] = relative(api->currency_usd);
}

static void add_tokens(struct maker *m, const struct tw_price_api *api)
{
    struct tw_plan_way *way = add_way(m);
    if (way == NULL) {
        return;
    }
    way->cost.kind = TW_COST_TOKENS;
    set_api(m, way, api);
    way->price_source = api->source;
    way->price_date = api->date;
    snprintf(way->name, sizeof way->name, "tokens of %.60s (%.40s)", api->name, api->provider);
    find_place(m, way, TW_PLACE_API, api->home);
    cost_way(m, way);
}

/* A mix that costs more than its own machines alone or its tokens alone is none: the number that
 * costs least is all or nothing. */
static bool is_worse_than_pure(const struct maker *m, const struct tw_plan_way *hybrid)
{
    for (uint32_t i = 0; i < m->plan->n_ways; i++) {
        const struct tw_plan_way *way = &m->plan->ways[i];
        const bool is_same_tokens =
            way->cost.kind == TW_COST_TOKENS && strcmp(way->api.name, hybrid->api.name) == 0;
        const bool is_same_plant = way->cost.kind == TW_COST_OWNED && way->sizing == hybrid->sizing;
        if (way->service == m->at && (is_same_tokens || is_same_plant) &&
            (way->blocked & ~hybrid->blocked) == 0 && way->npv_usd <= hybrid->npv_usd) {
            return true;
        }
    }
    return false;
}

/* The number of own replicas that costs least when the rest is bought as tokens. What may not go to
 * the API must have room at home. */
static void add_hybrid(struct maker *m, uint32_t at, const struct tw_price_api *api)
{
    struct tw_plan *plan = m->plan;
    const struct tw_scenario *s = plan->scenario;
    const struct tw_sizing *sizing = &plan->sizings[at];
    double may_leave = 1;
    if (sizing->plant.n_replicas < 2) {
        return;
    }
    struct tw_plan_way *way = add_bought(m, at, TW_COST_HYBRID);
    if (way == NULL) {
        return;
    }
    set_api(m, way, api);
    way->tail_place = tw_place_find(s->places, s->n_places, TW_PLACE_API, api->home);
    const uint32_t refused = classes_refused(m, way->tail_place, NULL);
    for (uint32_t c = 0; c < s->n_classes; c++) {
        may_leave -= (refused >> c & 1) != 0 ? m->service->class_shares[c] : 0;
    }
    if (may_leave <= 1e-9) {
        way->blocked |= refused;
        snprintf(way->why_not, sizeof way->why_not, "no data may go to the API");
        may_leave = 1;
    }
    const double least = tw_cost_replicas_for(&sizing->capacity, 1 - may_leave);
    double best_n = 0, best_npv = INFINITY;
    way->cost.sheds_tail = true;
    const double n_all = sizing->plant.n_replicas, step = fmax(1, floor(n_all / 24));
    for (double n = fmax(1, may_leave < 1 ? least : 1); n < n_all; n += step) {
        way->cost.fixed_replicas = n;
        cost_way(m, way);
        if (way->npv_usd < best_npv) {
            best_npv = way->npv_usd;
            best_n = n;
        }
    }
    if (best_n == 0) {
        plan->n_ways--;
        return;
    }
    way->cost.fixed_replicas = best_n;
    cost_way(m, way);
    char where[100];
    snprintf(where, sizeof where, "owned + tail of %.60s", api->name);
    name_plant(way, sizing, where, best_n + way->cost.spare_replicas);
    if (way->tail_place >= 0) {
        way->seal_score = fmin(way->seal_score, tw_seal_score(&s->places[way->tail_place].seal));
    }
    if (is_worse_than_pure(m, way)) {
        plan->n_ways--;
    }
}

static enum tw_status take_apis(const struct maker *m, struct tw_price_api *ret_apis,
                                struct tw_error *error)
{
    const struct tw_scenario_model *model = m->service->model;
    for (uint32_t i = 0; i < model->apis.n; i++) {
        char path[64];
        struct tw_error cause = {0};
        snprintf(path, sizeof path, "%s.%u", model->apis_path, i);
        enum tw_status status =
            tw_prices_api(m->plan->prices, model->apis.items[i], &ret_apis[i], &cause);
        if (status != TW_OK) {
            return tw_plan_at_line(m->plan, path, status, &cause, error);
        }
    }
    return TW_OK;
}

static enum tw_status find_ways(struct maker *m, struct tw_error *error)
{
    const struct tw_plan *plan = m->plan;
    const struct tw_scenario *s = plan->scenario;
    struct tw_price_api apis[TW_LIMIT_PLAN_NAMES];
    const uint32_t n_apis = m->service->model->apis.n;
    const uint32_t first = m->service->first_sizing, end = first + m->service->n_sizings;
    enum tw_status status = take_apis(m, apis, error);
    if (status != TW_OK) {
        return status;
    }
    for (uint32_t i = 0; s->kinds[TW_COST_TOKENS] && i < n_apis; i++) {
        add_tokens(m, &apis[i]);
    }
    for (uint32_t at = first; at < end; at++) {
        if (!plan->sizings[at].meets) {
            continue;
        }
        for (int k = TW_COST_OWNED; k <= TW_COST_COLOCATED; k++) {
            struct tw_plan_way *way = s->kinds[k] ? add_bought(m, at, (enum tw_cost_kind)k) : NULL;
            if (way != NULL) {
                cost_way(m, way);
            }
        }
        add_rented(m, at);
        for (uint32_t i = 0; s->kinds[TW_COST_HYBRID] && i < n_apis; i++) {
            add_hybrid(m, at, &apis[i]);
        }
    }
    return TW_OK;
}

/* A rental that is named and is none of the table's. */
static enum tw_status check_rents(const struct tw_plan *plan, struct tw_error *error)
{
    const struct tw_scenario_names *rents = &plan->scenario->rents;
    for (uint32_t k = 0; k < rents->n; k++) {
        bool is_known = false;
        for (uint32_t i = 0; i < tw_prices_n_rents(plan->prices); i++) {
            const struct tw_price_rent rent = tw_prices_rent_at(plan->prices, i);
            is_known = is_known || strcasecmp(rents->items[k], rent.name) == 0 ||
                       strcasecmp(rents->items[k], rent.provider) == 0;
        }
        if (!is_known) {
            char path[32];
            snprintf(path, sizeof path, "rents.%u", k);
            return tw_scenario_wrong(plan->scenario, path, error,
                                     "nobody rents out '%.60s': write a provider or a row of "
                                     "`tokenworks plan catalogue prices --filter usd_per_h`",
                                     rents->items[k]);
        }
    }
    return TW_OK;
}

enum tw_status tw_plan_find_ways(struct tw_plan *plan, struct tw_error *error)
{
    plan->ways = tw_mem_zalloc(TW_LIMIT_PLAN_WAYS, sizeof *plan->ways);
    if (plan->ways == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    enum tw_status status = check_rents(plan, error);
    for (uint32_t i = 0; status == TW_OK && i < plan->n_services; i++) {
        struct maker m = {plan, &plan->services[i], i, false};
        status = find_ways(&m, error);
        if (status == TW_OK && m.is_full) {
            status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                  "the scenario makes more than %d ways to serve its models: name "
                                  "fewer devices, rents or apis",
                                  TW_LIMIT_PLAN_WAYS);
        }
    }
    return status;
}
