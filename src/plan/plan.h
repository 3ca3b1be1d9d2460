/* plan.h: an answer to a scenario: the options, what each costs and how sure that is.
 *
 *     scenario + catalogue + prices
 *         --> for each model: workload --> sizings of candidate devices (sizing.h)
 *                             --> ways to serve it (own, rent, buy tokens, mix) with their costs
 *         --> options: a way for each model, without what a data class forbids --> costs (cost.h)
 *         --> the cheapest; tornado, random draws, the load at which the answer flips, the price of
 *             each rule
 *
 * A scenario of one model has an option for each way. With several, machines are of one model each;
 * options are the cheapest combinations: of any ways, of one kind of way for all, on one kind of
 * device for all, with one rule less, and the best one with another way for one of the models.
 * The persons that a plant needs whatever its size are counted once.
 *
 * Random draws take every input from its range (triangular, one draw for all options, so that what
 * is common to them cancels) and reuse the simulations: a draw changes what a replica serves by a
 * factor, not the simulation.
 *
 * Invariants:
 * 1. Nothing that a data class forbids is recommended, whatever it costs.
 * 2. A range holds its typical value. The same scenario and seed give the same plan.
 *
 * Ownership: the plan owns catalogue, prices, workloads and lists until tw_plan_free; the scenario
 * is the caller's and must outlive it. Threads: one makes, any number read.
 * Errors: TW_ERR_FORMAT with the scenario's line for names that are not known, and where no option
 * is left, with a reason; TW_ERR_LIMIT for more than TW_LIMIT_PLAN_WAYS; TW_ERR_MEMORY.
 */
#ifndef TW_PLAN_PLAN_H
#define TW_PLAN_PLAN_H

#include "plan/prices.h"
#include "plan/scenario.h"
#include "plan/sizing.h"

#define TW_PLAN_NONE UINT32_MAX

/* One of the scenario's models with those who ask it. */
struct tw_plan_service {
    const struct tw_scenario_model *model;
    const struct tw_plan_engine *engine;
    struct tw_workload workload;
    struct tw_workload_summary summary;
    double cached_share; /* of input tokens */
    struct tw_cost_demand demand;
    double class_shares[TW_LIMIT_PLAN_CLASSES]; /* of its tokens */
    uint32_t first_sizing, n_sizings;
};

/* A way to serve one model. */
struct tw_plan_way {
    char name[160];
    uint32_t service;
    struct tw_cost_option cost;
    uint32_t sizing; /* of sizings, or TW_PLAN_NONE */
    const struct tw_plan_device *device;
    struct tw_price_api api; /* name NULL: none */
    int place, tail_place;   /* -1: none */
    uint32_t blocked;        /* a bit for each data class that forbids it; 0: it may be had */
    char why_not[200];
    double seal_score;
    const char *price_source, *price_date; /* of its machines, or of its tokens */
    double npv_usd, bare_npv_usd;          /* bare: staff-base is counted at another plant */
};

/* Ways of different kinds together. */
#define TW_PLAN_MIXED TW_COST_KINDS

struct tw_plan_option {
    char name[512];
    int kind;                            /* enum tw_cost_kind, or TW_PLAN_MIXED */
    uint32_t ways[TW_LIMIT_PLAN_MODELS]; /* of plan.ways, one for each service */
    uint32_t staffed;                    /* the service whose plant has staff-base */
    uint32_t blocked;                    /* as of its ways */
    const char *why_not;
    double seal_score;             /* the lowest of its ways */
    struct tw_cost_result *result; /* at typical inputs */
    /* From the draws, 5% and 95%; of the options that were drawn. */
    bool is_drawn;
    struct tw_range npv_usd, usd_per_million_tokens, break_even_months, utilisation,
        kwh_per_million_tokens, co2_kg_per_million_tokens;
    double pays_share;   /* of the draws in which it breaks even with the cheapest tokens */
    double best_share;   /* of the draws in which it is the cheapest */
    int driver;          /* the input that moves its cost most, or -1 */
    double driver_share; /* of the typical cost, from its low to its high */
};

struct tw_plan_bar {
    int input;
    double at_low_usd, at_high_usd; /* advantage over the runner-up: positive, it stays the best */
};

struct tw_plan_rule {
    uint32_t class;
    double usd;       /* cheapest with all rules less cheapest without this one */
    uint32_t instead; /* the option that would be had then */
};

struct tw_plan {
    const struct tw_scenario *scenario;
    struct tw_catalogue *catalogue;
    struct tw_prices *prices;
    struct tw_plan_service services[TW_LIMIT_PLAN_MODELS];
    uint32_t n_services;
    struct tw_range currency_usd;
    const struct tw_fact *currency; /* its row of the prices; NULL: dollars */
    struct tw_sizing *sizings;      /* [n_sizings], service after service */
    uint32_t n_sizings;
    struct tw_plan_way *ways; /* [n_ways] */
    uint32_t n_ways;
    struct tw_plan_option *options; /* [n_options], those that may be had first, cheapest first */
    uint32_t n_options, n_admitted;
    /* Of options. runner_up: the cheapest of another kind, or where there is none the next. */
    uint32_t best, runner_up, tokens;        /* tokens: the cheapest, those that may be had first */
    double advantage_usd;                    /* of the best over the runner-up */
    struct tw_plan_bar bars[TW_COST_INPUTS]; /* largest first */
    uint32_t n_bars;
    /* The load, as a factor, and the utilisation, at which bought machines (flip_option) and tokens
     * cost the same with the plant as it was bought. flip_load NAN: nowhere up to its capacity;
     * then always_cheaper says which of the two is. */
    double flip_load, flip_utilisation;
    uint32_t flip_option, always_cheaper; /* TW_PLAN_NONE: nothing to compare */
    struct tw_plan_rule rules[TW_LIMIT_PLAN_CLASSES];
    uint32_t n_rules;
    double all_rules_usd; /* cheapest that may be had less cheapest of all */
    uint32_t without_rules;
    uint32_t n_simulations, n_evaluations;
    uint64_t seed;
};

enum tw_status tw_plan_make(const struct tw_scenario *scenario, struct tw_plan **ret_plan,
                            struct tw_error *error);
/* NULL is allowed. */
void tw_plan_free(struct tw_plan *plan);

const char *tw_plan_kind_name(const struct tw_plan_option *option);
/* All tokens of an hour at the peak, in millions; load classes are the same for all services. */
double tw_plan_million_tokens_h(const struct tw_plan *plan);

/* A way's inputs at the scenario's ranges and its own: where in each range, 0..1; 0.5 is not the
 * typical value but the middle of the triangle's area. NULL: all typical. */
void tw_plan_inputs(const struct tw_plan *plan, const struct tw_plan_way *way, const double *where,
                    double *ret_in);
/* A way's range of an input: its own for factors, the scenario's for the rest. */
struct tw_range tw_plan_range(const struct tw_plan *plan, const struct tw_plan_way *way, int input);
/* What an option costs; in [n_services], a row of inputs for each of its ways. */
void tw_plan_evaluate(struct tw_plan *plan, const struct tw_plan_option *option,
                      const double in[][TW_COST_INPUTS], struct tw_cost_result *ret_result);

#endif
