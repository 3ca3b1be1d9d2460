/* From a file to a scenario: what the schema cannot say is checked here, each with its line. */
#include "plan/scenario.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.60s': %.200s%s", scenario->file,
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
    if (range->low < row->least || range->high > row->most) {
        return tw_scenario_wrong(r->scenario, path, r->error,
                                 "%s is %.40s; it lies between %g and %g (%s)", row->name, text,
                                 row->least, row->most, row->unit);
    }
    r->scenario->is_told[input] = true;
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
    s->life_months = money->life_months > 0 ? money->life_months : 60;
    s->loan_months = money->loan_months > 0 ? money->loan_months : 36;
    s->n_draws = money->draws > 0 ? money->draws : 1000;
    s->seed = money->seed;
    if (s->life_months > 600 || s->loan_months > 600) {
        return tw_scenario_wrong(s, "money", r->error,
                                 "life-months and loan-months are 600 at most");
    }
    if (s->n_draws > TW_LIMIT_PLAN_DRAWS) {
        return tw_scenario_wrong(s, "money.draws", r->error, "draws is %u; at most %d", s->n_draws,
                                 TW_LIMIT_PLAN_DRAWS);
    }
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

static enum tw_status take_class(const struct reader *r, unsigned i)
{
    const struct file_class *from = &r->file->classes[i];
    struct tw_data_class *class = &r->scenario->classes[i];
    char path[64];
    snprintf(path, sizeof path, "data-classes.%u.name", i);
    enum tw_status status = copy_name(r, path, from->name, class->name);
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

static enum tw_status take_sovereignty(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    enum tw_status status = TW_OK;
    s->n_places = r->file->places_count;
    for (unsigned i = 0; status == TW_OK && i < s->n_places; i++) {
        status = take_place(r, i);
    }
    if (s->n_places == 0) {
        s->n_places = tw_places_by_default(s->places);
    }
    s->n_classes = r->file->classes_count;
    for (unsigned i = 0; status == TW_OK && i < s->n_classes; i++) {
        status = take_class(r, i);
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
    snprintf(path, sizeof path, "use-cases.%u.shared-prefix-tokens", i);
    if (s->cases[i].prefix_tokens > s->cases[i].input.mean_tokens) {
        return tw_scenario_wrong(s, path, r->error,
                                 "shared-prefix-tokens is %u, more than input-tokens; the prefix "
                                 "is a part of the input",
                                 s->cases[i].prefix_tokens);
    }
    snprintf(path, sizeof path, "use-cases.%u.data-class", i);
    return find_class(r, from->class != NULL ? path : "use-cases", from->class,
                      &s->case_classes[i]);
}

static enum tw_status take_cases(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const unsigned n = r->file->cases_count;
    s->trace = r->file->trace;
    s->trace_factor = or_else(r->file->trace_factor, 1);
    if ((n > 0) == (s->trace != NULL)) {
        return tw_scenario_wrong(s, "name", r->error, "a scenario has either use-cases or a trace");
    }
    if (!isfinite(r->file->trace_factor) || r->file->trace_factor < 0 ||
        r->file->trace_factor > 1e6) {
        return tw_scenario_wrong(s, "trace-factor", r->error, "trace-factor is 0 to 1000000");
    }
    s->cases = tw_mem_zalloc(n + 1, sizeof *s->cases);
    s->case_names = tw_mem_zalloc(n + 1, sizeof *s->case_names);
    s->case_classes = tw_mem_zalloc(n + 1, sizeof *s->case_classes);
    if (s->cases == NULL || s->case_names == NULL || s->case_classes == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a scenario");
    }
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        status = take_case(r, i);
        s->n_cases++;
    }
    if (status == TW_OK && s->trace != NULL) {
        status = find_class(r, "trace-class", r->file->trace_class, &s->trace_class);
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

static void take_names(char **from, unsigned n, struct tw_scenario_names *to)
{
    for (unsigned i = 0; i < n; i++) {
        to->items[to->n++] = from[i];
    }
}

static enum tw_status take_kinds(const struct reader *r)
{
    static const char *const words[TW_COST_KINDS] = {"owned",    "colocated", "on-demand",
                                                     "reserved", "tokens",    "hybrid"};
    struct tw_scenario *s = r->scenario;
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

static enum tw_status take_targets(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const struct file_slo *slo = &r->file->slo;
    const double p = slo->percentile > 0 ? slo->percentile : 95;
    if (!(p > 0 && p <= 100)) {
        return tw_scenario_wrong(s, "slo.percentile", r->error,
                                 "percentile is %g; write above 0 to 100", p);
    }
    if (!(slo->ttft_ms >= 0 && slo->tpot_ms >= 0 && slo->latency_s >= 0)) {
        return tw_scenario_wrong(s, "slo", r->error, "a target is a time of 0 or more");
    }
    const bool has_any = slo->ttft_ms > 0 || slo->tpot_ms > 0 || slo->latency_s > 0;
    s->slo.percentile = p;
    s->slo.ttft_s = has_any ? slo->ttft_ms / 1000 : 1;
    s->slo.tpot_s = has_any ? slo->tpot_ms / 1000 : 0.05;
    s->slo.latency_s = slo->latency_s;
    return TW_OK;
}

static enum tw_status take_plain(const struct reader *r)
{
    struct tw_scenario *s = r->scenario;
    const struct file_scenario *file = r->file;
    s->name = file->name;
    s->n_months = file->horizon_months > 0 ? file->horizon_months : 36;
    if (s->n_months > TW_LIMIT_PLAN_MONTHS) {
        return tw_scenario_wrong(s, "horizon-months", r->error,
                                 "horizon-months is %u; write 1 to %d", s->n_months,
                                 TW_LIMIT_PLAN_MONTHS);
    }
    s->demand.n_months = s->n_months;
    snprintf(s->currency, sizeof s->currency, "%.7s",
             file->currency != NULL ? file->currency : "USD");
    s->model = file->model;
    s->kv = file->kv != NULL ? file->kv : "bf16";
    s->engine = file->engine != NULL ? file->engine : "vllm";
    s->n_spare_replicas = file->spare_replicas;
    s->n_context_tokens = file->context_tokens;
    if (s->n_spare_replicas > 1000 || s->n_context_tokens > TW_LIMIT_PLAN_CONTEXT_TOKENS) {
        return tw_scenario_wrong(s, "spare-replicas", r->error,
                                 "spare-replicas is at most 1000, context-tokens at most %u",
                                 TW_LIMIT_PLAN_CONTEXT_TOKENS);
    }
    s->batch_share = file->batch_share;
    s->cached_share = file->cached_share != NULL ? *file->cached_share : -1;
    if (!(s->batch_share >= 0 && s->batch_share <= 1) || !(s->cached_share <= 1)) {
        return tw_scenario_wrong(s, "batch-share", r->error,
                                 "batch-share and cached-share are shares: write 0 to 1");
    }
    take_names(file->weights, file->weights_count, &s->weights);
    take_names(file->devices, file->devices_count, &s->devices);
    take_names(file->rents, file->rents_count, &s->rents);
    take_names(file->apis, file->apis_count, &s->apis);
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
    status = status == TW_OK ? take_targets(&r) : status;
    status = status == TW_OK ? take_kinds(&r) : status;
    status = status == TW_OK ? take_day(&r) : status;
    status = status == TW_OK ? take_sovereignty(&r) : status;
    status = status == TW_OK ? take_cases(&r) : status;
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
    tw_mem_free(scenario->case_classes);
    tw_mem_free(scenario);
}
