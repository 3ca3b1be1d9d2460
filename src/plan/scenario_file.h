/* scenario_file.h: the keys of a scenario's file, for scenario.c alone.
 *
 * Ownership: libcyaml's, by tw_conf_parse and tw_conf_free. Threads: any. Errors: none.
 */
#ifndef TW_PLAN_SCENARIO_FILE_H
#define TW_PLAN_SCENARIO_FILE_H

#include <cyaml/cyaml.h>

#include "plan/cost.h"

struct file_use_case {
    char *name, *kind, *class, *model;
    double users, requests_s, active_share, requests_minute, peak_factor;
    double input_tokens, output_tokens, input_cv, output_cv, arrival_cv;
    uint32_t prefix_tokens, prefixes;
};

struct file_place {
    char *name, *home;
    char **holds;
    uint32_t *seal;
    unsigned holds_count, seal_count;
};

struct file_class {
    char *name;
    char **may_go;
    uint32_t *seal;
    unsigned may_go_count, seal_count;
};

struct file_slo {
    double percentile, ttft_ms, tpot_ms, latency_s;
};

struct file_model {
    char *name, *kv, *engine;
    char **weights, **devices, **apis;
    struct file_slo slo;
    uint32_t context_tokens;
    unsigned weights_count, devices_count, apis_count;
};

struct file_money {
    char *value[TW_COST_INPUTS];
    uint32_t *life_months, *loan_months, *draws;
    uint32_t seed;
};

struct file_scenario {
    char *name, *currency, *trace, *trace_class, *day, *model, *kv, *engine;
    uint32_t *horizon_months;
    uint32_t spare_replicas, context_tokens;
    double trace_factor, batch_share;
    double *weekend, *cached_share, *hours;
    struct file_use_case *cases;
    struct file_model *models;
    struct file_place *places;
    struct file_class *classes;
    struct file_slo slo;
    struct file_money money;
    char **weights, **devices, **rents, **apis, **options, **price_files, **catalogue_files;
    unsigned hours_count, cases_count, models_count, places_count, classes_count, weights_count,
        devices_count, rents_count, apis_count, options_count, price_files_count,
        catalogue_files_count;
};

extern const cyaml_schema_value_t tw_scenario_file_schema;

#endif
