/* scenario.h: what somebody wants to know, from one YAML file (docs/formats/scenario.md).
 *
 *     text -[schema]-> keys -[checks, defaults]-> struct tw_scenario, or a sentence with its line
 *
 * Names of models, devices and APIs are checked by who has their tables (plan.h), which says by
 * tw_scenario_wrong at which line a name stands.
 *
 * Invariants: every number is finite and in its bounds; loads add up to one peak; a scenario that
 * was read can be planned or is refused with a reason.
 * Ownership: the scenario owns its text and lists until tw_scenario_free. Threads: any number read.
 * Errors: TW_ERR_FORMAT with line and remedy; TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_PLAN_SCENARIO_H
#define TW_PLAN_SCENARIO_H

#include "plan/cost.h"
#include "plan/simulator.h"
#include "plan/sovereignty.h"
#include "plan/workload.h"

struct tw_scenario_names {
    const char *items[TW_LIMIT_PLAN_NAMES];
    uint32_t n;
};

/* A model that is asked for, and what is good enough for it. */
struct tw_scenario_model {
    const char *name, *kv, *engine;
    struct tw_scenario_names weights, devices, apis;
    /* Where each stands in the file, for messages: "models.0.devices". */
    char name_path[48], kv_path[48], engine_path[48], weights_path[48], devices_path[48],
        apis_path[48];
    struct tw_plan_slo slo;
    uint32_t n_context_tokens;
};

struct tw_scenario {
    char *text; /* as it was read */
    size_t text_bytes;
    char file[128]; /* for messages */
    const char *name;
    uint32_t n_months;
    char currency[8];

    struct tw_use_case *cases; /* [n_cases]; rates at the peak hour */
    const char **case_names;
    const char **case_kinds;
    double *case_users;     /* 0: told as requests a second */
    uint32_t *case_classes; /* of classes */
    uint32_t *case_models;  /* of models */
    uint32_t n_cases;
    const char *trace;            /* a file, or NULL */
    uint32_t trace_class;         /* of its data */
    uint32_t trace_model;         /* that answers it */
    double trace_factor;          /* requests, as a factor on the trace's */
    double cached_share;          /* of input tokens, as an API counts them; < 0: as simulated */
    double batch_share;           /* of requests that may wait for a batch */
    struct tw_cost_demand demand; /* its million_tokens_h is filled by who knows the workload */
    /* Load of each hour of a working day, and behind these of a free one; the highest is 1. */
    double hour_load[TW_LIMIT_PLAN_LOAD_CLASSES];

    struct tw_scenario_model models[TW_LIMIT_PLAN_MODELS];
    uint32_t n_models; /* each answers a use case, or the trace */
    struct tw_scenario_names rents;
    bool kinds[TW_COST_KINDS]; /* that are wanted */
    uint32_t n_spare_replicas; /* of each model */
    const char *day;           /* "office", "evening", "flat" or "hours" */

    struct tw_place places[TW_LIMIT_PLAN_PLACES];
    uint32_t n_places;
    bool places_told; /* by the scenario, not by default */
    struct tw_data_class classes[TW_LIMIT_PLAN_CLASSES];
    uint32_t n_classes; /* at least one: "any", which may go anywhere */

    struct tw_range ranges[TW_COST_INPUTS];
    bool is_told[TW_COST_INPUTS]; /* by the scenario, not by default */
    uint32_t life_months, loan_months, n_draws;
    bool life_told;
    uint64_t seed;
    struct tw_scenario_names price_files, catalogue_files;
    void *conf; /* what the texts above point into */
};

enum tw_status tw_scenario_read(const char *text, size_t text_bytes, const char *file,
                                struct tw_scenario **ret_scenario, struct tw_error *error);
enum tw_status tw_scenario_load(const char *path, struct tw_scenario **ret_scenario,
                                struct tw_error *error);
/* Drops the other models, and what they answer. model: below n_models. */
void tw_scenario_keep_model(struct tw_scenario *scenario, uint32_t model);
/* NULL is allowed. */
void tw_scenario_free(struct tw_scenario *scenario);

/* TW_ERR_FORMAT with the line of what stands at path ("devices.0"). */
enum tw_status tw_scenario_wrong(const struct tw_scenario *scenario, const char *path,
                                 struct tw_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "0.12", "0.1..0.2" or "0.1..0.12..0.2". False: it is none of these. */
bool tw_scenario_parse_range(const char *text, struct tw_range *ret_range);

#endif
