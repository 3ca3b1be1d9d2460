#include "plan/scenario_file.h"

#include "plan/sovereignty.h"

#define OPTIONAL   ((enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL))
#define NAME_BYTES (TW_LIMIT_PLAN_NAME_BYTES - 1)
#define TEXT(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, flags, struct type, member, 1, NAME_BYTES)
#define MAY                           CYAML_FLAG_OPTIONAL
#define NUMBER(key, type, member)     CYAML_FIELD_FLOAT(key, MAY, struct type, member)
#define COUNT(key, type, member)      CYAML_FIELD_UINT(key, MAY, struct type, member)
/* NULL where it is not said, since 0 is said wrongly. */
#define COUNT_TOLD(key, type, member) CYAML_FIELD_UINT_PTR(key, OPTIONAL, struct type, member)
#define LIST(key, type, member, value, most)                                                       \
    CYAML_FIELD_SEQUENCE(key, OPTIONAL, struct type, member, value, 0, most)

static const cyaml_schema_value_t name_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, NAME_BYTES)};
static const cyaml_schema_value_t path_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_PLAN_PATH_BYTES)};
static const cyaml_schema_value_t level_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_value_t load_value = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

static const cyaml_schema_field_t case_fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, file_use_case, name),
    TEXT("kind", OPTIONAL, file_use_case, kind),
    TEXT("data-class", OPTIONAL, file_use_case, class),
    TEXT("model", OPTIONAL, file_use_case, model),
    NUMBER("users", file_use_case, users),
    NUMBER("requests-per-s", file_use_case, requests_s),
    NUMBER("active-share", file_use_case, active_share),
    NUMBER("requests-per-active-user-minute", file_use_case, requests_minute),
    NUMBER("peak-factor", file_use_case, peak_factor),
    NUMBER("input-tokens", file_use_case, input_tokens),
    NUMBER("output-tokens", file_use_case, output_tokens),
    NUMBER("input-cv", file_use_case, input_cv),
    NUMBER("output-cv", file_use_case, output_cv),
    NUMBER("arrival-cv", file_use_case, arrival_cv),
    COUNT("shared-prefix-tokens", file_use_case, prefix_tokens),
    COUNT("prefixes", file_use_case, prefixes),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t case_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_use_case, case_fields)};

static const cyaml_schema_field_t place_fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, file_place, name),
    TEXT("home", OPTIONAL, file_place, home),
    CYAML_FIELD_SEQUENCE("holds", CYAML_FLAG_POINTER, struct file_place, holds, &name_value, 1, 4),
    CYAML_FIELD_SEQUENCE("seal", CYAML_FLAG_POINTER, struct file_place, seal, &level_value, 1,
                         TW_SEAL_OBJECTIVES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t place_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_place, place_fields)};

static const cyaml_schema_field_t class_fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, file_class, name),
    LIST("may-go", file_class, may_go, &name_value, TW_LIMIT_PLAN_PLACES),
    LIST("seal-at-least", file_class, seal, &level_value, TW_SEAL_OBJECTIVES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t class_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_class, class_fields)};

static const cyaml_schema_field_t slo_fields[] = {
    NUMBER("percentile", file_slo, percentile),
    NUMBER("ttft-ms", file_slo, ttft_ms),
    NUMBER("tpot-ms", file_slo, tpot_ms),
    NUMBER("latency-s", file_slo, latency_s),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t model_fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, file_model, name),
    LIST("weights", file_model, weights, &name_value, TW_LIMIT_PLAN_NAMES),
    TEXT("kv", OPTIONAL, file_model, kv),
    TEXT("engine", OPTIONAL, file_model, engine),
    LIST("devices", file_model, devices, &name_value, TW_LIMIT_PLAN_NAMES),
    LIST("apis", file_model, apis, &name_value, TW_LIMIT_PLAN_NAMES),
    COUNT("context-tokens", file_model, context_tokens),
    CYAML_FIELD_MAPPING("slo", CYAML_FLAG_OPTIONAL, struct file_model, slo, slo_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t model_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_model, model_fields)};

/* Names as in cost_inputs.c. */
#define MONEY(key, input) TEXT(key, OPTIONAL, file_money, value[input])
static const cyaml_schema_field_t money_fields[] = {
    MONEY("load", TW_COST_LOAD),
    MONEY("capacity", TW_COST_CAPACITY),
    MONEY("power", TW_COST_POWER),
    MONEY("hardware-price", TW_COST_HARDWARE),
    MONEY("rent-price", TW_COST_RENT),
    MONEY("api-price", TW_COST_API),
    MONEY("growth", TW_COST_GROWTH),
    MONEY("hardware-drift", TW_COST_HARDWARE_DRIFT),
    MONEY("rent-drift", TW_COST_RENT_DRIFT),
    MONEY("api-drift", TW_COST_API_DRIFT),
    MONEY("energy-drift", TW_COST_ENERGY_DRIFT),
    MONEY("staff-drift", TW_COST_STAFF_DRIFT),
    MONEY("discount-rate", TW_COST_DISCOUNT),
    MONEY("residual-share", TW_COST_RESIDUAL),
    MONEY("maintenance-share", TW_COST_MAINTENANCE),
    MONEY("financed-share", TW_COST_FINANCED),
    MONEY("interest-rate", TW_COST_INTEREST),
    MONEY("energy-usd-per-kwh", TW_COST_ENERGY_USD_KWH),
    MONEY("pue", TW_COST_PUE),
    MONEY("staff-usd-per-year", TW_COST_STAFF_USD_YEAR),
    MONEY("staff-base", TW_COST_STAFF_BASE),
    MONEY("staff-per-device", TW_COST_STAFF_DEVICE),
    MONEY("staff-colocated-share", TW_COST_STAFF_COLOCATED),
    MONEY("staff-rented-share", TW_COST_STAFF_RENTED),
    MONEY("space-usd-per-kw-month", TW_COST_SPACE_USD_KW),
    MONEY("colocation-usd-per-kw-month", TW_COST_COLO_USD_KW),
    MONEY("network-share", TW_COST_NETWORK_SHARE),
    MONEY("software-usd-per-device-year", TW_COST_SOFTWARE_USD),
    MONEY("co2-kg-per-kwh", TW_COST_CO2_KG_KWH),
    COUNT_TOLD("life-months", file_money, life_months),
    COUNT_TOLD("loan-months", file_money, loan_months),
    COUNT_TOLD("draws", file_money, draws),
    COUNT("seed", file_money, seed),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, file_scenario, name),
    TEXT("currency", OPTIONAL, file_scenario, currency),
    COUNT_TOLD("horizon-months", file_scenario, horizon_months),
    LIST("use-cases", file_scenario, cases, &case_value, TW_LIMIT_PLAN_USE_CASES),
    CYAML_FIELD_STRING_PTR("trace", OPTIONAL, struct file_scenario, trace, 1,
                           TW_LIMIT_PLAN_PATH_BYTES),
    TEXT("trace-class", OPTIONAL, file_scenario, trace_class),
    NUMBER("trace-factor", file_scenario, trace_factor),
    TEXT("day", OPTIONAL, file_scenario, day),
    LIST("hours", file_scenario, hours, &load_value, 24),
    CYAML_FIELD_FLOAT_PTR("weekend", OPTIONAL, struct file_scenario, weekend),
    CYAML_FIELD_FLOAT_PTR("cached-share", OPTIONAL, struct file_scenario, cached_share),
    NUMBER("batch-share", file_scenario, batch_share),
    CYAML_FIELD_MAPPING("slo", CYAML_FLAG_OPTIONAL, struct file_scenario, slo, slo_fields),
    TEXT("model", OPTIONAL, file_scenario, model),
    LIST("models", file_scenario, models, &model_value, TW_LIMIT_PLAN_MODELS),
    LIST("weights", file_scenario, weights, &name_value, TW_LIMIT_PLAN_NAMES),
    TEXT("kv", OPTIONAL, file_scenario, kv),
    TEXT("engine", OPTIONAL, file_scenario, engine),
    LIST("devices", file_scenario, devices, &name_value, TW_LIMIT_PLAN_NAMES),
    LIST("rents", file_scenario, rents, &name_value, TW_LIMIT_PLAN_NAMES),
    LIST("apis", file_scenario, apis, &name_value, TW_LIMIT_PLAN_NAMES),
    LIST("options", file_scenario, options, &name_value, TW_COST_KINDS),
    COUNT("spare-replicas", file_scenario, spare_replicas),
    COUNT("context-tokens", file_scenario, context_tokens),
    LIST("places", file_scenario, places, &place_value, TW_LIMIT_PLAN_PLACES),
    LIST("data-classes", file_scenario, classes, &class_value, TW_LIMIT_PLAN_CLASSES),
    CYAML_FIELD_MAPPING("money", CYAML_FLAG_OPTIONAL, struct file_scenario, money, money_fields),
    LIST("prices", file_scenario, price_files, &path_value, TW_LIMIT_PLAN_NAMES),
    LIST("catalogue", file_scenario, catalogue_files, &path_value, TW_LIMIT_PLAN_NAMES),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t tw_scenario_file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_scenario, fields)};
