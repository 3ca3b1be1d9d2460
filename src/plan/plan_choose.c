/* Options out of ways, their order, the answer, and what each rule for data costs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_state.h"

const char *tw_plan_kind_name(const struct tw_plan_option *option)
{
    return option->kind == TW_PLAN_MIXED ? "mixed"
                                         : tw_cost_kind_name((enum tw_cost_kind)option->kind);
}

void tw_plan_evaluate(struct tw_plan *plan, const struct tw_plan_option *option,
                      const double in[][TW_COST_INPUTS], struct tw_cost_result *ret_result)
{
    struct tw_cost_result part;
    plan->n_evaluations++;
    if (plan->n_services > 1) {
        memset(ret_result, 0, sizeof *ret_result);
    }
    for (uint32_t i = 0; i < plan->n_services; i++) {
        struct tw_cost_option cost = plan->ways[option->ways[i]].cost;
        cost.needs_staff = i == option->staffed ? 1 : 0;
        if (plan->n_services == 1) {
            tw_cost_evaluate(&plan->services[i].demand, &cost, in[i], ret_result);
            return;
        }
        tw_cost_evaluate(&plan->services[i].demand, &cost, in[i], &part);
        tw_cost_add(ret_result, &part);
    }
}

/* ---- combinations ---- */

static double staff_share(const struct tw_plan *plan, const struct tw_plan_way *way)
{
    double in[TW_COST_INPUTS];
    if (way->cost.capacity.n_points == 0) {
        return 0;
    }
    tw_plan_inputs(plan, way, NULL, in);
    return tw_cost_staff_share(way->cost.kind, in);
}

static void name_option(const struct tw_plan *plan, struct tw_plan_option *option)
{
    size_t n = 0;
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *way = &plan->ways[option->ways[i]];
        const int added =
            plan->n_services == 1
                ? snprintf(option->name, sizeof option->name, "%s", way->name)
                : snprintf(option->name + n, sizeof option->name - n, "%s%.40s: %s",
                           i > 0 ? "; " : "", plan->services[i].model->name, way->name);
        n += (size_t)added;
        if (n >= sizeof option->name) {
            return;
        }
    }
}

/* What follows from its ways; false: there is no memory, or no room. */
static bool add_option(struct tw_plan *plan, const uint32_t *ways)
{
    for (uint32_t i = 0; i < plan->n_options; i++) {
        if (memcmp(plan->options[i].ways, ways, plan->n_services * sizeof *ways) == 0) {
            return true;
        }
    }
    if (plan->n_options == TW_LIMIT_PLAN_OPTIONS) {
        return false;
    }
    struct tw_plan_option *option = &plan->options[plan->n_options];
    double in[TW_LIMIT_PLAN_MODELS][TW_COST_INPUTS], most_staff = -1;
    memset(option, 0, sizeof *option);
    option->result = tw_mem_zalloc(1, sizeof *option->result);
    if (option->result == NULL) {
        return false;
    }
    plan->n_options++;
    option->driver = -1;
    option->seal_score = INFINITY;
    option->why_not = "";
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *way = &plan->ways[ways[i]];
        const double share = staff_share(plan, way);
        option->ways[i] = ways[i];
        option->kind =
            i == 0 || option->kind == (int)way->cost.kind ? (int)way->cost.kind : TW_PLAN_MIXED;
        option->staffed = share > most_staff ? i : option->staffed;
        most_staff = fmax(most_staff, share);
        if (way->blocked != 0 && option->blocked == 0) {
            option->why_not = way->why_not;
        }
        option->blocked |= way->blocked;
        option->seal_score = fmin(option->seal_score, way->seal_score);
        tw_plan_inputs(plan, way, NULL, in[i]);
    }
    name_option(plan, option);
    tw_plan_evaluate(plan, option, (const double(*)[TW_COST_INPUTS])in, option->result);
    return true;
}

/* Which ways may be taken. */
struct filter {
    uint32_t rules; /* data classes whose rules hold */
    int kind;       /* -1: any */
    const struct tw_plan_device *device;
    uint32_t service, way; /* another than this way for the service; TW_PLAN_NONE: any */
};

static bool passes(const struct tw_plan *plan, uint32_t at, const struct filter *f)
{
    const struct tw_plan_way *way = &plan->ways[at];
    return (way->blocked & f->rules) == 0 && (f->kind < 0 || (int)way->cost.kind == f->kind) &&
           (f->device == NULL || way->device == f->device) &&
           (way->service != f->service || at != f->way);
}

/* The cheapest way for each model among those whose plant needs no more staff than most; what they
 * cost without the staff that plants share. INFINITY: there is none for some model. */
static double cheapest_ways(const struct tw_plan *plan, const struct filter *f, double most_staff,
                            uint32_t ret_ways[TW_LIMIT_PLAN_MODELS])
{
    double sum = 0;
    for (uint32_t i = 0; i < plan->n_services; i++) {
        double least = INFINITY;
        for (uint32_t at = 0; at < plan->n_ways; at++) {
            const struct tw_plan_way *way = &plan->ways[at];
            if (way->service == i && passes(plan, at, f) && way->bare_npv_usd < least &&
                staff_share(plan, way) <= most_staff) {
                least = way->bare_npv_usd;
                ret_ways[i] = at;
            }
        }
        sum += least;
    }
    return sum;
}

/* What staff-base costs beside a plant whose kind needs so much of it. */
static double staff_usd(const struct tw_plan *plan, double share)
{
    for (uint32_t at = 0; share > 0 && at < plan->n_ways; at++) {
        if (fabs(staff_share(plan, &plan->ways[at]) - share) < 1e-12) {
            return plan->ways[at].npv_usd - plan->ways[at].bare_npv_usd;
        }
    }
    return share > 0 ? INFINITY : 0;
}

/* The cheapest combination becomes an option. Since the plants share their staff, each amount of it
 * is tried with what is cheapest then. */
static bool add_cheapest(struct tw_plan *plan, const struct filter *f)
{
    const double shares[] = {0, plan->scenario->ranges[TW_COST_STAFF_RENTED].typical,
                             plan->scenario->ranges[TW_COST_STAFF_COLOCATED].typical, 1};
    uint32_t best[TW_LIMIT_PLAN_MODELS] = {0}, now[TW_LIMIT_PLAN_MODELS] = {0};
    double least = INFINITY;
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const double usd = cheapest_ways(plan, f, shares[i], now) + staff_usd(plan, shares[i]);
        if (usd < least) {
            least = usd;
            memcpy(best, now, sizeof best);
        }
    }
    return !isfinite(least) || add_option(plan, best);
}

static bool combine(struct tw_plan *plan)
{
    struct filter any = {UINT32_MAX, -1, NULL, TW_PLAN_NONE, TW_PLAN_NONE};
    bool is_good = add_cheapest(plan, &any);
    const uint32_t n_best = plan->n_options;
    /* Without one rule, and without any. */
    for (uint32_t c = 0; c <= plan->scenario->n_classes; c++) {
        any.rules = c < plan->scenario->n_classes ? ~(1u << c) : 0;
        is_good = is_good && add_cheapest(plan, &any);
    }
    for (int rules = 0; rules < 2; rules++) {
        any.rules = rules == 0 ? UINT32_MAX : 0;
        for (any.kind = 0; any.kind < TW_COST_KINDS; any.kind++) {
            is_good = is_good && add_cheapest(plan, &any);
            for (uint32_t i = 0; i < plan->services[0].n_sizings; i++) {
                any.device = plan->sizings[plan->services[0].first_sizing + i].plant.device;
                is_good = is_good && add_cheapest(plan, &any);
            }
            any.device = NULL;
        }
    }
    /* The best but for one model. */
    any.rules = UINT32_MAX;
    for (uint32_t i = 0; n_best > 0 && i < plan->n_services; i++) {
        any.service = i;
        any.way = plan->options[0].ways[i];
        for (any.kind = -1; any.kind < TW_COST_KINDS; any.kind++) {
            uint32_t ways[TW_LIMIT_PLAN_MODELS], others[TW_LIMIT_PLAN_MODELS];
            memcpy(ways, plan->options[0].ways, sizeof ways);
            for (uint32_t k = 0; k < plan->n_services; k++) {
                others[k] = TW_PLAN_NONE;
            }
            cheapest_ways(plan, &any, 1, others);
            if (others[i] != TW_PLAN_NONE) {
                ways[i] = others[i];
                is_good = is_good && add_option(plan, ways);
            }
        }
    }
    return is_good;
}

static enum tw_status make_options(struct tw_plan *plan, struct tw_error *error)
{
    bool is_good = true;
    plan->options = tw_mem_zalloc(TW_LIMIT_PLAN_OPTIONS, sizeof *plan->options);
    if (plan->options == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    if (plan->n_services > 1) {
        is_good = combine(plan);
    } else {
        for (uint32_t at = 0; is_good && at < plan->n_ways; at++) {
            is_good = add_option(plan, &at);
        }
    }
    if (!is_good && plan->n_options < TW_LIMIT_PLAN_OPTIONS) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a plan");
    }
    return is_good ? TW_OK
                   : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                  "the scenario makes more than %d options: name fewer devices, "
                                  "rents or apis",
                                  TW_LIMIT_PLAN_OPTIONS);
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

/* Why no device serves a model, of each device; whether one does. */
static bool why_devices(const struct tw_plan *plan, const struct tw_plan_service *service,
                        char ret_why[120])
{
    size_t n = 0;
    bool is_served = false;
    snprintf(ret_why, 120, "no price was found for any");
    for (uint32_t i = 0; i < service->n_sizings; i++) {
        const struct tw_sizing *sizing = &plan->sizings[service->first_sizing + i];
        is_served = is_served || sizing->meets;
        if (!sizing->meets && n < 119) {
            const bool is_named = service->n_sizings > 1;
            n += (size_t)snprintf(ret_why + n, 120 - n, "%s%s%s%.70s", n > 0 ? "; " : "",
                                  is_named ? sizing->plant.device->name : "", is_named ? ": " : "",
                                  sizing->why_not);
        }
    }
    return is_served;
}

static enum tw_status nothing_serves(const struct tw_plan *plan,
                                     const struct tw_plan_service *service, struct tw_error *error)
{
    char why[120];
    if (why_devices(plan, service, why)) {
        return tw_scenario_wrong(plan->scenario, "options", error,
                                 "none of these options has a price for %.60s: add apis for "
                                 "tokens, rows of prices for machines, or other options",
                                 service->model->name);
    }
    const struct tw_scenario_model *model = service->model;
    return tw_scenario_wrong(plan->scenario,
                             model->devices.n > 0 ? model->devices_path : model->name_path, error,
                             "no device serves %.40s within the targets (%s): loosen the "
                             "targets, name other devices or formats, or add apis",
                             model->name, why);
}

/* The places for machines that all of a model's data may go to, and which the options ask for. */
static bool machine_places(const struct tw_plan *plan, const struct tw_plan_service *service,
                           char ret_names[60])
{
    const struct tw_scenario *s = plan->scenario;
    const unsigned wanted =
        (s->kinds[TW_COST_OWNED] || s->kinds[TW_COST_HYBRID] ? TW_PLACE_OWNED : 0) |
        (s->kinds[TW_COST_COLOCATED] ? TW_PLACE_COLOCATED : 0) |
        (s->kinds[TW_COST_RENTED] || s->kinds[TW_COST_RESERVED] ? TW_PLACE_RENTED : 0);
    size_t n = 0;
    ret_names[0] = '\0';
    for (uint32_t p = 0; p < s->n_places; p++) {
        bool is_open = (s->places[p].holds & wanted) != 0;
        int objective;
        for (uint32_t c = 0; c < s->n_classes; c++) {
            is_open = is_open && (!(service->class_shares[c] > 0) ||
                                  tw_data_class_admits(&s->classes[c], s->places, p, &objective));
        }
        if (is_open && n < 59) {
            n += (size_t)snprintf(ret_names + n, 60 - n, "%s%s", n > 0 ? ", " : "",
                                  s->places[p].name);
        }
    }
    return n > 0;
}

/* A model whose every way is forbidden. Where its data may go and machines could stand, they fail
 * for another reason than the rule, and that is said first. */
static enum tw_status nothing_free(const struct tw_plan *plan,
                                   const struct tw_plan_service *service,
                                   const struct tw_plan_way *way, struct tw_error *error)
{
    const struct tw_scenario *s = plan->scenario;
    const struct tw_scenario_model *model = service->model;
    char places[60], why[120];
    if (!machine_places(plan, service, places)) {
        return tw_scenario_wrong(s, "data-classes", error,
                                 "no option may be had: %.150s; loosen the class, or name a place "
                                 "it may go to",
                                 way->why_not);
    }
    if (why_devices(plan, service, why)) {
        return tw_scenario_wrong(s, "data-classes", error,
                                 "no option may be had: no machines for %s have a price, and "
                                 "%.110s; add rows of prices, or loosen the class",
                                 places, way->why_not);
    }
    return tw_scenario_wrong(s, model->devices.n > 0 ? model->devices_path : model->name_path,
                             error,
                             "at %s no device serves %.30s within the targets (%.80s), and %.60s: "
                             "loosen the targets, or name other devices",
                             places, model->name, why, way->why_not);
}

static enum tw_status nothing_left(const struct tw_plan *plan, struct tw_error *error)
{
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *first = NULL;
        bool is_free = false;
        for (uint32_t at = 0; at < plan->n_ways; at++) {
            const struct tw_plan_way *way = &plan->ways[at];
            first = way->service == i && first == NULL ? way : first;
            is_free = is_free || (way->service == i && way->blocked == 0);
        }
        if (first == NULL) {
            return nothing_serves(plan, &plan->services[i], error);
        }
        if (!is_free) {
            return nothing_free(plan, &plan->services[i], first, error);
        }
    }
    return tw_scenario_wrong(plan->scenario, "data-classes", error,
                             "no option may be had: the rules for data leave none");
}

enum tw_status tw_plan_choose(struct tw_plan *plan, struct tw_error *error)
{
    enum tw_status status = make_options(plan, error);
    if (status != TW_OK) {
        return status;
    }
    qsort(plan->options, plan->n_options, sizeof *plan->options, by_cost);
    while (plan->n_admitted < plan->n_options && plan->options[plan->n_admitted].blocked == 0) {
        plan->n_admitted++;
    }
    if (plan->n_admitted == 0) {
        return nothing_left(plan, error);
    }
    plan->best = 0;
    plan->tokens = TW_PLAN_NONE;
    plan->runner_up = plan->n_admitted > 1 ? 1 : TW_PLAN_NONE;
    for (uint32_t i = plan->n_admitted; i-- > 0;) {
        if (plan->options[i].kind != plan->options[0].kind) {
            plan->runner_up = i;
        }
    }
    for (uint32_t i = plan->n_options; i-- > 0;) {
        if (plan->options[i].kind == TW_COST_TOKENS &&
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
    return TW_OK;
}
