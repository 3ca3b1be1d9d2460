/* From a file to a scenario: what the schema cannot say is checked here, each with its line. */
#include "plan/scenario.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "plan/scenario_file.h"

enum tw_status tw_scenario_wrong(const struct tw_scenario *scenario, const char *path,
                                 struct tw_error *error, const char *format, ...)
{
    char what[TW_LIMIT_ERROR_TEXT_BYTES], where[64] = "";
    struct tw_conf_place place;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (tw_conf_find(scenario->text, scenario->text_bytes, path, &place)) {
        snprintf(where, sizeof where, " (line: %zu, column: %zu)", place.line, place.column);
    }
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.50s': %.230s%s", scenario->file,
                        what, where);
}

/* ---- numbers ---- */

static bool parse_number(const char *text, size_t n_bytes, double *ret_number)
{
    json_t *value = NULL;
    while (n_bytes > 0 && text[0] == ' ') {
        text++;
        n_bytes--;
    }
    n_bytes -= n_bytes > 0 && text[0] == '+';
    if (n_bytes == 0 || tw_json_parse(text, n_bytes, "", &value, NULL) != TW_OK) {
        return false;
    }
    const bool is_number = json_is_number(value);
    *ret_number = json_number_value(value);
    json_decref(value);
    return is_number && isfinite(*ret_number);
}

bool tw_scenario_parse_range(const char *text, struct tw_range *ret_range)
{
    double numbers[3];
    size_t n = 0;
    while (n < 3) {
        const char *end = strstr(text, "..");
        const size_t n_bytes = end != NULL ? (size_t)(end - text) : strlen(text);
        if (!parse_number(text, n_bytes, &numbers[n])) {
            return false;
        }
        n++;
        if (end == NULL) {
            break;
        }
        if (n == 3) {
            return false;
        }
        text = end + 2;
    }
    ret_range->low = numbers[0];
    ret_range->high = numbers[n - 1];
    ret_range->typical = n == 3 ? numbers[1] : n == 2 ? (numbers[0] + numbers[1]) / 2 : numbers[0];
    return ret_range->low <= ret_range->typical && ret_range->typical <= ret_range->high;
}

struct reader {
    struct tw_scenario *scenario;
    const struct file_scenario *file;
    struct tw_error *error;
};

static enum tw_status take_range(const struct reader *r, int input, const char *text)
{
    const struct tw_cost_input_row *row = &tw_cost_input_rows[input];
    struct tw_range *range = &r->scenario->ranges[input];
    char path[80];
    *range = row->range;
    if (text == NULL) {
        return TW_OK;
    }
    snprintf(path, sizeof path, "money.%s", row->name);
    if (!tw_scenario_parse_range(text, range)) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "%s: '%.40s' is neither a number nor a range; write 0.2, 0.1..0.3 "
                                 "or 0.1..0.2..0.3, the lowest first",
                                 row->name, text);
    }
    /* Percent for a share, most likely. Who means it writes a range. */
    if (strcmp(row->unit, "a year") == 0 && range->high > 1 && strstr(text, "..") == NULL) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "%s is %.40s, which is %g%% a year; write %g for %g%%, or as a "
                                 "range what is meant so",
                                 row->name, text, 100 * range->high, range->high / 100,
                                 range->high);
    }
    if (range->low < row->least || range->high > row->most) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "%s is %.40s; it lies between %g and %g (%s)", row->name, text,
                                 row->least, row->most, row->unit);
    }
    r->scenario->is_told[input] = true;
    return TW_OK;
}

/* A whole number from 1 to most. */
static enum tw_status take_count(const struct reader *r, const char *group, const char *key,
                                 const uint32_t *from, uint32_t otherwise, uint32_t most,
                                 uint32_t *to)
{
    *to = from != NULL ? *from : otherwise;
    if (*to < 1 || *to > most) {
        char path[64];
        snprintf(path, sizeof path, "%.20s%.40s", group, key);
        return tw_scenario_wrong(r->scenario, path, r->error, "%s is %u; write 1 to %u", key, *to,
                                 most);
    }
    return TW_OK;
}

static enum tw_status take_money(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const struct file_money *money = &r->file->money;
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        enum tw_status status = take_range(r, i, money->value[i]);
        if (status != TW_OK) {
            return status;
        }
    }
    const struct {
        const char *key;
        const uint32_t *from;
        uint32_t otherwise, most, *to;
    } counts[] = {{"life-months", money->life_months, 60, 600, &s->life_months},
                  {"loan-months", money->loan_months, 36, 600, &s->loan_months},
                  {"draws", money->draws, 1000, TW_LIMIT_PLAN_DRAWS, &s->n_draws}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        enum tw_status status = take_count(r, "money.", counts[i].key, counts[i].from,
                                           counts[i].otherwise, counts[i].most, counts[i].to);
        if (status != TW_OK) {
            return status;
        }
    }
    s->life_told = money->life_months != NULL;
    s->seed = money->seed;
    return TW_OK;
}

/* ---- places and classes ---- */

static enum tw_status copy_name(const struct reader *r, const char *path, const char *from,
                                char to[TW_LIMIT_PLAN_NAME_BYTES])
{
    if (strlen(from) >= TW_LIMIT_PLAN_NAME_BYTES || from[0] == '\0') {
        return tw_scenario_wrong(r->scenario, path, r->error, "a name has 1 to %d bytes",
                                 TW_LIMIT_PLAN_NAME_BYTES - 1);
    }
    snprintf(to, TW_LIMIT_PLAN_NAME_BYTES, "%s", from);
    return TW_OK;
}

/* One level for all objectives, or eight. */
static enum tw_status take_seal(const struct reader *r, const char *path, const uint32_t *levels,
                                unsigned n, struct tw_seal *ret_seal)
{
    if (n != 1 && n != TW_SEAL_OBJECTIVES) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "there are %u levels; write one for all, or %d: strategic, legal, "
                                 "data, operational, supply, technology, security, environment",
                                 n, TW_SEAL_OBJECTIVES);
    }
    for (unsigned i = 0; i < TW_SEAL_OBJECTIVES; i++) {
        const uint32_t level = levels[n == 1 ? 0 : i];
        if (level > TW_SEAL_MOST) {
            return tw_scenario_wrong(r->scenario, path, r->error,
                                     "a SEAL level of %u; levels are 0 to %d", level, TW_SEAL_MOST);
        }
        ret_seal->level[i] = (uint8_t)level;
    }
    return TW_OK;
}

static enum tw_status take_place(const struct reader *r, unsigned i)
{
    static const struct {
        const char *word;
        unsigned bit;
    } kinds[] = {{"owned", TW_PLACE_OWNED},
                 {"colocated", TW_PLACE_COLOCATED},
                 {"rented", TW_PLACE_RENTED},
                 {"api", TW_PLACE_API}};
    const struct file_place *from = &r->file->places[i];
    struct tw_place *place = &r->scenario->places[i];
    char path[64];
    snprintf(path, sizeof path, "places.%u.name", i);
    enum tw_status status = copy_name(r, path, from->name, place->name);
    for (unsigned k = 0; status == TW_OK && k < from->holds_count; k++) {
        unsigned bit = 0;
        for (unsigned w = 0; w < 4; w++) {
            bit |= strcmp(kinds[w].word, from->holds[k]) == 0 ? kinds[w].bit : 0;
        }
        snprintf(path, sizeof path, "places.%u.holds.%u", i, k);
        if (bit == 0) {
            return tw_scenario_wrong(r->scenario, path, r->error,
                                     "a place holds owned, colocated, rented or api; not '%.40s'",
                                     from->holds[k]);
        }
        place->holds |= bit;
    }
    if (status == TW_OK && from->home != NULL) {
        snprintf(path, sizeof path, "places.%u.home", i);
        status = copy_name(r, path, from->home, place->home);
    }
    snprintf(path, sizeof path, "places.%u.seal", i);
    return status == TW_OK ? take_seal(r, path, from->seal, from->seal_count, &place->seal)
                           : status;
}

static enum tw_status find_place(const struct reader *r, const char *path, const char *name,
                                 uint32_t *ret_place)
{
    const char *names[TW_LIMIT_PLAN_PLACES + 1] = {NULL};
    for (uint32_t i = 0; i < r->scenario->n_places; i++) {
        names[i] = r->scenario->places[i].name;
        if (strcmp(names[i], name) == 0) {
            *ret_place = i;
            return TW_OK;
        }
    }
    const char *guess = tw_suggest_word(name, names);
    return tw_scenario_wrong(r->scenario, path, r->error, "there is no place '%.60s'%s%.60s", name,
                             guess != NULL ? "; did you mean " : ": name it under places",
                             guess != NULL ? guess : "");
}

/* A list that stands in the file and holds nothing: nobody knows whether nothing or all is meant,
 * and of data it must not be all. */
static enum tw_status check_empty(const struct reader *r, const char *path, const char *key,
                                  unsigned n, const char *remedy)
{
    struct tw_conf_place place;
    if (n > 0 || !tw_conf_find(r->scenario->text, r->scenario->text_bytes, path, &place)) {
        return TW_OK;
    }
    return tw_scenario_wrong(r->scenario, path, r->error, "%s is empty: %s", key, remedy);
}

static enum tw_status take_class(const struct reader *r, unsigned i)
{
    const struct file_class *from = &r->file->classes[i];
    struct tw_data_class *class = &r->scenario->classes[i];
    char path[64];
    snprintf(path, sizeof path, "data-classes.%u.name", i);
    enum tw_status status = copy_name(r, path, from->name, class->name);
    if (status == TW_OK) {
        snprintf(path, sizeof path, "data-classes.%u.may-go", i);
        status = check_empty(r, path, "may-go", from->may_go_count,
                             "name the places, or leave the key out for anywhere");
    }
    if (status == TW_OK) {
        snprintf(path, sizeof path, "data-classes.%u.seal-at-least", i);
        status = check_empty(r, path, "seal-at-least", from->seal_count,
                             "write a level, or leave the key out for any");
    }
    class->may_go = from->may_go_count == 0 ? UINT64_MAX : 0;
    for (unsigned k = 0; status == TW_OK && k < from->may_go_count; k++) {
        uint32_t place = 0;
        snprintf(path, sizeof path, "data-classes.%u.may-go.%u", i, k);
        status = find_place(r, path, from->may_go[k], &place);
        class->may_go |= UINT64_C(1) << place;
    }
    if (status == TW_OK && from->seal_count > 0) {
        snprintf(path, sizeof path, "data-classes.%u.seal-at-least", i);
        status = take_seal(r, path, from->seal, from->seal_count, &class->least);
    }
    return status;
}

/* The i-th of names of one kind, each as far from the last as an item of its list is large. */
static enum tw_status check_new(const struct reader *r, const char *list, const char *names,
                                size_t item_bytes, unsigned i)
{
    for (unsigned k = 0; k < i; k++) {
        if (strcmp(names + k * item_bytes, names + i * item_bytes) == 0) {
            char path[64];
            snprintf(path, sizeof path, "%.40s.%u.name", list, i);
            return tw_scenario_wrong(r->scenario, path, r->error,
                                     "'%.60s' stands here twice; rename one of them",
                                     names + i * item_bytes);
        }
    }
    return TW_OK;
}

static enum tw_status take_sovereignty(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    enum tw_status status = TW_OK;
    s->n_places = r->file->places_count;
    s->places_told = s->n_places > 0;
    for (unsigned i = 0; status == TW_OK && i < s->n_places; i++) {
        status = take_place(r, i);
        status = status == TW_OK ? check_new(r, "places", s->places[0].name, sizeof s->places[0], i)
                                 : status;
    }
    if (s->n_places == 0) {
        s->n_places = tw_places_by_default(s->places);
    }
    s->n_classes = r->file->classes_count;
    for (unsigned i = 0; status == TW_OK && i < s->n_classes; i++) {
        status = take_class(r, i);
        status = status == TW_OK
                     ? check_new(r, "data-classes", s->classes[0].name, sizeof s->classes[0], i)
                     : status;
    }
    if (s->n_classes == 0) {
        s->n_classes = 1;
        s->classes[0] = (struct tw_data_class){.name = "any", .may_go = UINT64_MAX};
    }
    return status;
}

static enum tw_status find_class(const struct reader *r, const char *path, const char *name,
                                 uint32_t *ret_class)
{
    const char *names[TW_LIMIT_PLAN_CLASSES + 1] = {NULL};
    if (name == NULL) {
        *ret_class = 0;
        return r->scenario->n_classes == 1
                   ? TW_OK
                   : tw_scenario_wrong(r->scenario, path, r->error,
                                       "there are several data classes: add data-class");
    }
    for (uint32_t i = 0; i < r->scenario->n_classes; i++) {
        names[i] = r->scenario->classes[i].name;
        if (strcmp(names[i], name) == 0) {
            *ret_class = i;
            return TW_OK;
        }
    }
    const char *guess = tw_suggest_word(name, names);
    return tw_scenario_wrong(r->scenario, path, r->error, "there is no data class '%.60s'%s%.60s",
                             name, guess != NULL ? "; did you mean " : ": name it",
                             guess != NULL ? guess : "");
}

/* ---- models ---- */

static enum tw_status take_targets(const struct reader *r, const char *path,
                                   const struct file_slo *slo, struct tw_plan_slo *ret_slo)
{
    const double p = slo->percentile > 0 ? slo->percentile : 95;
    const struct {
        const char *key;
        double value, most;
    } numbers[] = {{"ttft-ms", slo->ttft_ms, 1e8},
                   {"tpot-ms", slo->tpot_ms, 1e8},
                   {"latency-s", slo->latency_s, 1e6}};
    if (slo->percentile != 0 && !(slo->percentile >= 50 && slo->percentile <= 99.99)) {
        char at[80];
        snprintf(at, sizeof at, "%.40s.percentile", path);
        return tw_scenario_wrong(r->scenario, at, r->error,
                                 "percentile is %g; write 50 to 99.99, such as 95 for 95%% of "
                                 "requests",
                                 slo->percentile);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!(numbers[i].value >= 0 && numbers[i].value <= numbers[i].most)) {
            char at[80];
            snprintf(at, sizeof at, "%.40s.%s", path, numbers[i].key);
            return tw_scenario_wrong(r->scenario, at, r->error, "%s is %g; write above 0 to %g",
                                     numbers[i].key, numbers[i].value, numbers[i].most);
        }
    }
    if (slo->latency_s > 0 && slo->ttft_ms > 0 && slo->ttft_ms / 1000 >= slo->latency_s) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "the first token may take %g ms and the whole answer %g s: the "
                                 "answer must be given longer than its first token",
                                 slo->ttft_ms, slo->latency_s);
    }
    const bool has_any = slo->ttft_ms > 0 || slo->tpot_ms > 0 || slo->latency_s > 0;
    ret_slo->percentile = p;
    ret_slo->ttft_s = has_any ? slo->ttft_ms / 1000 : 1;
    ret_slo->tpot_s = has_any ? slo->tpot_ms / 1000 : 0.05;
    ret_slo->latency_s = slo->latency_s;
    return TW_OK;
}

static void take_names(char **from, unsigned n, struct tw_scenario_names *to)
{
    to->n = 0;
    for (unsigned i = 0; i < n; i++) {
        to->items[to->n++] = from[i];
    }
}

/* A list that says one name twice would make one option twice. */
static enum tw_status check_twice(const struct reader *r, const char *path,
                                  const struct tw_scenario_names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (strcasecmp(names->items[i], names->items[k]) == 0) {
                char at[80];
                snprintf(at, sizeof at, "%.60s.%u", path, i);
                return tw_scenario_wrong(r->scenario, at, r->error,
                                         "'%.60s' stands here twice; remove one of them",
                                         names->items[i]);
            }
        }
    }
    return TW_OK;
}

/* What the scenario says for all of its models. */
static enum tw_status common_model(const struct reader *r, struct tw_scenario_model *ret_model)
{
    const struct file_scenario *file = r->file;
    struct tw_scenario_model m = {.kv = file->kv != NULL ? file->kv : "bf16",
                                  .engine = file->engine != NULL ? file->engine : "vllm",
                                  .name_path = "model",
                                  .kv_path = "kv",
                                  .engine_path = "engine",
                                  .weights_path = "weights",
                                  .devices_path = "devices",
                                  .apis_path = "apis",
                                  .n_context_tokens = file->context_tokens};
    take_names(file->weights, file->weights_count, &m.weights);
    take_names(file->devices, file->devices_count, &m.devices);
    take_names(file->apis, file->apis_count, &m.apis);
    enum tw_status status = take_targets(r, "slo", &file->slo, &m.slo);
    status = status == TW_OK ? check_twice(r, "weights", &m.weights) : status;
    status = status == TW_OK ? check_twice(r, "devices", &m.devices) : status;
    status = status == TW_OK ? check_twice(r, "apis", &m.apis) : status;
    *ret_model = m;
    return status;
}

static enum tw_status check_context(const struct reader *r, const char *path, uint32_t n_tokens)
{
    return n_tokens <= TW_LIMIT_PLAN_CONTEXT_TOKENS
               ? TW_OK
               : tw_scenario_wrong(r->scenario, path, r->error,
                                   "context-tokens is %u; write at most %u", n_tokens,
                                   TW_LIMIT_PLAN_CONTEXT_TOKENS);
}

/* One of the list: what it does not say is as the scenario has it for all. */
static enum tw_status take_model(const struct reader *r, unsigned i,
                                 const struct tw_scenario_model *common)
{
    const struct file_model *from = &r->file->models[i];
    struct tw_scenario *s = r->scenario;
    struct tw_scenario_model *m = &s->models[s->n_models];
    char path[48];
    enum tw_status status = TW_OK;
    *m = *common;
    m->name = from->name;
    snprintf(m->name_path, sizeof m->name_path, "models.%u.name", i);
    for (uint32_t k = 0; k < s->n_models; k++) {
        if (strcasecmp(s->models[k].name, from->name) == 0) {
            return tw_scenario_wrong(s, m->name_path, r->error,
                                     "'%.60s' stands here twice; remove one of them", from->name);
        }
    }
    const struct {
        const char *key;
        char **items;
        unsigned n;
        struct tw_scenario_names *to;
        char *path;
    } lists[] = {{"weights", from->weights, from->weights_count, &m->weights, m->weights_path},
                 {"devices", from->devices, from->devices_count, &m->devices, m->devices_path},
                 {"apis", from->apis, from->apis_count, &m->apis, m->apis_path}};
    for (size_t k = 0; status == TW_OK && k < sizeof lists / sizeof lists[0]; k++) {
        if (lists[k].n > 0) {
            take_names(lists[k].items, lists[k].n, lists[k].to);
            snprintf(lists[k].path, sizeof m->weights_path, "models.%u.%s", i, lists[k].key);
            status = check_twice(r, lists[k].path, lists[k].to);
        }
    }
    if (from->kv != NULL) {
        m->kv = from->kv;
        snprintf(m->kv_path, sizeof m->kv_path, "models.%u.kv", i);
    }
    if (from->engine != NULL) {
        m->engine = from->engine;
        snprintf(m->engine_path, sizeof m->engine_path, "models.%u.engine", i);
    }
    m->n_context_tokens = from->context_tokens > 0 ? from->context_tokens : m->n_context_tokens;
    snprintf(path, sizeof path, "models.%u.slo", i);
    if (status == TW_OK && (from->slo.percentile != 0 || from->slo.ttft_ms != 0 ||
                            from->slo.tpot_ms != 0 || from->slo.latency_s != 0)) {
        status = take_targets(r, path, &from->slo, &m->slo);
    }
    snprintf(path, sizeof path, "models.%u.context-tokens", i);
    status = status == TW_OK ? check_context(r, path, m->n_context_tokens) : status;
    s->n_models++;
    return status;
}

/* The number of a model, which is new where nobody has named it. */
static enum tw_status add_model(const struct reader *r, const char *path, const char *name,
                                uint32_t *ret_model)
{
    struct tw_scenario *s = r->scenario;
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (strcasecmp(s->models[i].name, name) == 0) {
            *ret_model = i;
            return TW_OK;
        }
    }
    if (s->n_models == TW_LIMIT_PLAN_MODELS) {
        return tw_scenario_wrong(s, path, r->error,
                                 "a scenario has at most %d models; make one of each part",
                                 TW_LIMIT_PLAN_MODELS);
    }
    struct tw_scenario_model *m = &s->models[s->n_models];
    enum tw_status status = common_model(r, m);
    m->name = name;
    snprintf(m->name_path, sizeof m->name_path, "%.47s", path);
    *ret_model = s->n_models++;
    return status;
}

static enum tw_status take_models(const struct reader *r)
{
    const struct file_scenario *file = r->file;
    struct tw_scenario_model common;
    uint32_t ignored;
    enum tw_status status = check_context(r, "context-tokens", file->context_tokens);
    status = status == TW_OK ? common_model(r, &common) : status;
    for (unsigned i = 0; status == TW_OK && i < file->models_count; i++) {
        status = take_model(r, i, &common);
    }
    if (status == TW_OK && file->model != NULL) {
        status = add_model(r, "model", file->model, &ignored);
    }
    return status;
}

/* The model of a use case (path: its key) or of the trace. */
static enum tw_status find_model(const struct reader *r, const char *path, const char *name,
                                 uint32_t *ret_model)
{
    struct tw_scenario *s = r->scenario;
    name = name != NULL ? name : r->file->model;
    if (name == NULL && s->n_models == 1) {
        name = s->models[0].name;
    }
    if (name == NULL && s->n_models > 1) {
        return tw_scenario_wrong(s, path, r->error,
                                 "there are several models: add the model of this use case");
    }
    return name != NULL ? add_model(r, path, name, ret_model)
                        : tw_scenario_wrong(s, path, r->error,
                                            "no model is named: add model, one of `tokenworks "
                                            "plan catalogue models`");
}

/* What nobody asks for would be planned for nothing. */
static enum tw_status check_asked(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    for (uint32_t m = 0; m < s->n_models; m++) {
        bool is_asked = s->n_cases == 0 && m == s->trace_model;
        for (uint32_t i = 0; i < s->n_cases; i++) {
            is_asked = is_asked || s->case_models[i] == m;
        }
        if (!is_asked) {
            return tw_scenario_wrong(s, s->models[m].name_path, r->error,
                                     "no use case has the model '%.60s': write it under one, or "
                                     "remove it here",
                                     s->models[m].name);
        }
    }
    return TW_OK;
}

/* ---- who asks ---- */

/* What people of a kind of use usually do; llm-d-planner's table of use cases (Apache-2.0, April
 * 2026), which gives its research. Each is where a scenario gives no number of its own. */
static const struct use_default {
    const char *kind;
    double active_share, requests_minute, peak_factor, input_tokens, output_tokens, arrival_cv;
} use_defaults[] = {
    {"chat", 0.20, 0.4, 2.0, 512, 256, 1},
    {"code-completion", 0.25, 2.0, 2.5, 512, 256, 2},
    {"code-generation", 0.15, 0.3, 2.0, 1024, 1024, 1},
    {"translation", 0.15, 0.2, 1.8, 512, 256, 1},
    {"content", 0.20, 0.5, 2.2, 512, 256, 1.6},
    {"summaries", 0.15, 0.2, 1.8, 4096, 512, 1},
    {"documents", 0.20, 1.0, 2.5, 4096, 512, 1.5},
    {"long-summaries", 0.10, 0.1, 1.5, 10240, 1536, 1},
    {"research", 0.10, 0.03, 2.5, 10240, 1536, 0.5},
};

static double or_else(double value, double otherwise)
{
    return value > 0 ? value : otherwise;
}

static enum tw_status check_case(const struct reader *r, unsigned i,
                                 const struct file_use_case *from)
{
    const struct {
        const char *key;
        double value, most;
    } numbers[] = {
        {"users", from->users, 1e10},
        {"requests-per-s", from->requests_s, 1e7},
        {"active-share", from->active_share, 1},
        {"requests-per-active-user-minute", from->requests_minute, 1e4},
        {"peak-factor", from->peak_factor, 1e3},
        {"input-tokens", from->input_tokens, TW_LIMIT_PLAN_CONTEXT_TOKENS},
        {"output-tokens", from->output_tokens, TW_LIMIT_PLAN_CONTEXT_TOKENS},
        {"input-cv", from->input_cv, 20},
        {"output-cv", from->output_cv, 20},
        {"arrival-cv", from->arrival_cv, 100},
    };
    char path[80];
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
        if (!isfinite(numbers[k].value) || numbers[k].value < 0 ||
            numbers[k].value > numbers[k].most) {
            snprintf(path, sizeof path, "use-cases.%u.%s", i, numbers[k].key);
            return tw_scenario_wrong(r->scenario, path, r->error, "%s is %g; write 0 to %g",
                                     numbers[k].key, numbers[k].value, numbers[k].most);
        }
    }
    snprintf(path, sizeof path, "use-cases.%u", i);
    if ((from->users > 0) == (from->requests_s > 0)) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "'%.40s' needs either users or requests-per-s, above 0",
                                 from->name);
    }
    return TW_OK;
}

static enum tw_status find_kind(const struct reader *r, unsigned i, const char *kind,
                                const struct use_default **ret_default)
{
    const char *names[sizeof use_defaults / sizeof use_defaults[0] + 1] = {NULL};
    char path[64];
    for (size_t k = 0; k < sizeof use_defaults / sizeof use_defaults[0]; k++) {
        names[k] = use_defaults[k].kind;
        if (kind == NULL || strcmp(kind, names[k]) == 0) {
            *ret_default = &use_defaults[k];
            return TW_OK;
        }
    }
    const char *guess = tw_suggest_word(kind, names);
    snprintf(path, sizeof path, "use-cases.%u.kind", i);
    return tw_scenario_wrong(r->scenario, path, r->error,
                             "there is no kind of use '%.40s'%s%.40s; there are chat, "
                             "code-completion, code-generation, translation, content, summaries, "
                             "documents, long-summaries, research",
                             kind, guess != NULL ? "; did you mean " : "",
                             guess != NULL ? guess : "");
}

static enum tw_status take_case(const struct reader *r, unsigned i)
{
    const struct file_use_case *from = &r->file->cases[i];
    const struct use_default *usual = NULL;
    struct tw_scenario *s = r->scenario;
    char path[64];
    enum tw_status status = check_case(r, i, from);
    status = status == TW_OK ? find_kind(r, i, from->kind, &usual) : status;
    if (status != TW_OK) {
        return status;
    }
    const double people = from->users * or_else(from->active_share, usual->active_share) *
                          or_else(from->requests_minute, usual->requests_minute) / 60 *
                          or_else(from->peak_factor, usual->peak_factor);
    s->case_names[i] = from->name;
    s->case_kinds[i] = usual->kind;
    s->case_users[i] = from->users;
    s->cases[i] = (struct tw_use_case){
        .rate_requests_s = from->users > 0 ? people : from->requests_s,
        .arrivals = TW_ARRIVAL_GAMMA,
        .arrival_cv = or_else(from->arrival_cv, usual->arrival_cv),
        .input = {.kind = TW_LENGTH_LOGNORMAL,
                  .mean_tokens = or_else(from->input_tokens, usual->input_tokens),
                  .cv = or_else(from->input_cv, 0.7)},
        .output = {.kind = TW_LENGTH_LOGNORMAL,
                   .mean_tokens = or_else(from->output_tokens, usual->output_tokens),
                   .cv = or_else(from->output_cv, 0.7)},
        .prefix_tokens = from->prefix_tokens,
        .n_prefixes = from->prefix_tokens > 0 && from->prefixes == 0 ? 1 : from->prefixes,
    };
    s->cases[i].input.most_tokens = (uint32_t)(8 * s->cases[i].input.mean_tokens) + 1;
    s->cases[i].output.most_tokens = (uint32_t)(8 * s->cases[i].output.mean_tokens) + 1;
    if (s->cases[i].rate_requests_s < TW_LIMIT_PLAN_LEAST_RATE) {
        snprintf(path, sizeof path, "use-cases.%u.%s", i,
                 from->users > 0 ? "users" : "requests-per-s");
        return tw_scenario_wrong(s, path, r->error,
                                 "'%.40s' makes %g requests a second at the peak; at least %g can "
                                 "be planned, which is one a day",
                                 from->name, s->cases[i].rate_requests_s, TW_LIMIT_PLAN_LEAST_RATE);
    }
    snprintf(path, sizeof path, "use-cases.%u.shared-prefix-tokens", i);
    if (s->cases[i].prefix_tokens > s->cases[i].input.mean_tokens) {
        return tw_scenario_wrong(s, path, r->error,
                                 "shared-prefix-tokens is %u, more than input-tokens; the prefix "
                                 "is a part of the input",
                                 s->cases[i].prefix_tokens);
    }
    snprintf(path, sizeof path, from->class != NULL ? "use-cases.%u.data-class" : "use-cases.%u",
             i);
    status = find_class(r, path, from->class, &s->case_classes[i]);
    snprintf(path, sizeof path, from->model != NULL ? "use-cases.%u.model" : "use-cases.%u", i);
    return status == TW_OK ? find_model(r, path, from->model, &s->case_models[i]) : status;
}

static enum tw_status take_cases(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const unsigned n = r->file->cases_count;
    s->trace = r->file->trace;
    s->trace_factor = or_else(r->file->trace_factor, 1);
    if ((n > 0) == (s->trace != NULL)) {
        return tw_scenario_wrong(s, n > 0 ? "trace" : "name", r->error,
                                 "a scenario has either use-cases or a trace");
    }
    if (!(s->trace_factor >= 1e-6 && s->trace_factor <= 1e6) || r->file->trace_factor < 0) {
        return tw_scenario_wrong(s, "trace-factor", r->error,
                                 "trace-factor is %g; write 0.000001 to 1000000",
                                 r->file->trace_factor);
    }
    s->cases = tw_mem_zalloc(n + 1, sizeof *s->cases);
    s->case_names = tw_mem_zalloc(n + 1, sizeof *s->case_names);
    s->case_kinds = tw_mem_zalloc(n + 1, sizeof *s->case_kinds);
    s->case_users = tw_mem_zalloc(n + 1, sizeof *s->case_users);
    s->case_classes = tw_mem_zalloc(n + 1, sizeof *s->case_classes);
    s->case_models = tw_mem_zalloc(n + 1, sizeof *s->case_models);
    if (s->cases == NULL || s->case_names == NULL || s->case_classes == NULL ||
        s->case_kinds == NULL || s->case_users == NULL || s->case_models == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a scenario");
    }
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        status = take_case(r, i);
        s->n_cases++;
    }
    if (status == TW_OK && s->trace != NULL) {
        status = find_class(r, "trace-class", r->file->trace_class, &s->trace_class);
        status = status == TW_OK ? find_model(r, "trace", NULL, &s->trace_model) : status;
    }
    return status;
}

/* ---- the day ---- */

static const double office_day[24] = {.05, .03, .03, .03, .03, .05, .1,  .3, .65, .9, 1,  .95,
                                      .75, .85, .95, .9,  .8,  .55, .35, .2, .15, .1, .1, .05};
static const double evening_day[24] = {.35, .2, .12, .1, .1,  .12, .2, .35, .45, .5, .55, .6,
                                       .65, .6, .6,  .6, .65, .7,  .8, .9,  1,   1,  .85, .55};

static enum tw_status take_day(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    struct tw_cost_demand *demand = &s->demand;
    const char *word = r->file->day != NULL ? r->file->day : "office";
    const bool is_flat = strcmp(word, "flat") == 0, is_own = r->file->hours_count > 0;
    if (!is_flat && strcmp(word, "evening") != 0 && strcmp(word, "office") != 0) {
        return tw_scenario_wrong(s, "day", r->error,
                                 "there is no day '%.40s'; write office, evening or flat, or "
                                 "hours: with 24 numbers",
                                 word);
    }
    if (is_own && r->file->day != NULL) {
        return tw_scenario_wrong(s, "hours", r->error,
                                 "day and hours both say how a day goes; remove one of them");
    }
    s->day = is_own ? "hours" : word;
    const double *day = strcmp(word, "evening") == 0 ? evening_day : office_day;
    const double weekend = r->file->weekend != NULL                   ? *r->file->weekend
                           : day == office_day && !is_flat && !is_own ? 0.15
                                                                      : 1;
    if (is_own && r->file->hours_count != 24) {
        return tw_scenario_wrong(s, "hours", r->error, "hours has %u numbers; a day has 24",
                                 r->file->hours_count);
    }
    if (!(weekend >= 0 && weekend <= 10)) {
        return tw_scenario_wrong(s, "weekend", r->error, "weekend is %g; write 0 to 10", weekend);
    }
    demand->n_classes = 48;
    double most = 0;
    for (unsigned i = 0; i < 48; i++) {
        double load = is_own ? r->file->hours[i % 24] : is_flat ? 1 : day[i % 24];
        if (!(load >= 0 && load <= 1e9)) {
            return tw_scenario_wrong(s, "hours", r->error, "an hour's load is %g; write 0 or more",
                                     load);
        }
        load *= i < 24 ? 1 : weekend;
        demand->load[i] = load;
        demand->hours[i] = 730.5 / 24 * (i < 24 ? 5 / 7.0 : 2 / 7.0);
        most = fmax(most, load);
    }
    if (!(most > 0)) {
        return tw_scenario_wrong(s, "hours", r->error, "no hour has any load: write one above 0");
    }
    /* Hours of one load are one class. */
    unsigned n = 0;
    for (unsigned i = 0; i < 48; i++) {
        unsigned same = 0;
        s->hour_load[i] = demand->load[i] / most;
        while (same < n && demand->load[same] != s->hour_load[i]) {
            same++;
        }
        const double hours = demand->hours[i];
        demand->load[same] = s->hour_load[i];
        demand->hours[same] = same == n ? hours : demand->hours[same] + hours;
        n += same == n;
    }
    demand->n_classes = n;
    return TW_OK;
}

/* ---- the rest ---- */

static enum tw_status take_kinds(const struct reader *r)
{
    static const char *const words[TW_COST_KINDS] = {"owned",    "colocated", "on-demand",
                                                     "reserved", "tokens",    "hybrid"};
    struct tw_scenario *s = r->scenario;
    enum tw_status status = check_empty(r, "options", "options", r->file->options_count,
                                        "name some, or leave the key out for all");
    status = status == TW_OK ? check_empty(r, "rents", "rents", r->file->rents_count,
                                           "name providers, or leave the key out for all; options "
                                           "says that nothing is rented")
                             : status;
    if (status != TW_OK) {
        return status;
    }
    for (unsigned k = 0; k < TW_COST_KINDS; k++) {
        s->kinds[k] = r->file->options_count == 0;
    }
    for (unsigned i = 0; i < r->file->options_count; i++) {
        unsigned found = TW_COST_KINDS;
        for (unsigned k = 0; k < TW_COST_KINDS; k++) {
            found = strcmp(words[k], r->file->options[i]) == 0 ? k : found;
        }
        if (found == TW_COST_KINDS) {
            char path[32];
            snprintf(path, sizeof path, "options.%u", i);
            return tw_scenario_wrong(s, path, r->error,
                                     "'%.40s' is none of owned, colocated, on-demand, reserved, "
                                     "tokens, hybrid",
                                     r->file->options[i]);
        }
        s->kinds[found] = true;
    }
    return TW_OK;
}

static enum tw_status take_plain(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const struct file_scenario *file = r->file;
    s->name = file->name;
    enum tw_status status = take_count(r, "", "horizon-months", file->horizon_months, 36,
                                       TW_LIMIT_PLAN_MONTHS, &s->n_months);
    if (status != TW_OK) {
        return status;
    }
    s->demand.n_months = s->n_months;
    snprintf(s->currency, sizeof s->currency, "%.7s",
             file->currency != NULL ? file->currency : "USD");
    s->n_spare_replicas = file->spare_replicas;
    if (s->n_spare_replicas > 1000) {
        return tw_scenario_wrong(s, "spare-replicas", r->error,
                                 "spare-replicas is %u; write at most 1000", s->n_spare_replicas);
    }
    s->batch_share = file->batch_share;
    s->cached_share = file->cached_share != NULL ? *file->cached_share : -1;
    if (!(s->batch_share >= 0 && s->batch_share <= 1)) {
        return tw_scenario_wrong(s, "batch-share", r->error,
                                 "batch-share is %g, and a share of one: write 0 to 1",
                                 s->batch_share);
    }
    if (file->cached_share != NULL && !(s->cached_share >= 0 && s->cached_share <= 1)) {
        return tw_scenario_wrong(s, "cached-share", r->error,
                                 "cached-share is %g, and a share of one: write 0 to 1",
                                 s->cached_share);
    }
    take_names(file->rents, file->rents_count, &s->rents);
    take_names(file->price_files, file->price_files_count, &s->price_files);
    take_names(file->catalogue_files, file->catalogue_files_count, &s->catalogue_files);
    return TW_OK;
}

enum tw_status tw_scenario_read(const char *text, size_t text_bytes, const char *file,
                                struct tw_scenario **ret_scenario, struct tw_error *error)
{
    struct tw_scenario *s = tw_mem_zalloc(1, sizeof *s);
    void *conf = NULL;
    if (s == NULL || (s->text = tw_mem_strndup(text != NULL ? text : "", text_bytes)) == NULL) {
        tw_mem_free(s);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a scenario");
    }
    s->text_bytes = text_bytes;
    snprintf(s->file, sizeof s->file, "%.100s", file);
    enum tw_status status =
        tw_conf_parse(s->text, text_bytes, file, &tw_scenario_file_schema, &conf, error);
    s->conf = conf;
    const struct reader r = {s, conf, error};
    status = status == TW_OK ? take_plain(&r) : status;
    status = status == TW_OK ? take_kinds(&r) : status;
    status = status == TW_OK ? take_models(&r) : status;
    status = status == TW_OK ? take_day(&r) : status;
    status = status == TW_OK ? take_sovereignty(&r) : status;
    status = status == TW_OK ? take_cases(&r) : status;
    status = status == TW_OK ? check_asked(&r) : status;
    status = status == TW_OK ? take_money(&r) : status;
    if (status != TW_OK) {
        tw_scenario_free(s);
        return status;
    }
    *ret_scenario = s;
    return TW_OK;
}

enum tw_status tw_scenario_load(const char *path, struct tw_scenario **ret_scenario,
                                struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(path, TW_LIMIT_PLAN_SCENARIO_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_scenario_read(buf.data, buf.size_bytes, path, ret_scenario, error);
    tw_buf_free(&buf);
    return status;
}

void tw_scenario_keep_model(struct tw_scenario *scenario, uint32_t model)
{
    struct tw_scenario *s = scenario;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_cases; i++) {
        if (s->case_models[i] == model) {
            s->cases[n] = s->cases[i];
            s->case_names[n] = s->case_names[i];
            s->case_kinds[n] = s->case_kinds[i];
            s->case_users[n] = s->case_users[i];
            s->case_classes[n] = s->case_classes[i];
            s->case_models[n++] = 0;
        }
    }
    s->n_cases = n;
    s->trace = s->trace_model == model ? s->trace : NULL;
    s->trace_model = 0;
    s->models[0] = s->models[model];
    s->n_models = 1;
}

void tw_scenario_free(struct tw_scenario *scenario)
{
    if (scenario == NULL) {
        return;
    }
    if (scenario->conf != NULL) {
        tw_conf_free(&tw_scenario_file_schema, scenario->conf);
    }
    tw_mem_free(scenario->text);
    tw_mem_free(scenario->cases);
    tw_mem_free(scenario->case_names);
    tw_mem_free(scenario->case_kinds);
    tw_mem_free(scenario->case_users);
    tw_mem_free(scenario->case_classes);
    tw_mem_free(scenario->case_models);
    tw_mem_free(scenario);
}
