#include "app/plan_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/published.h"

enum { SHOWN_OPTIONS = 10, SHOWN_BARS = 8, SHOWN_REFUSED = 6 };

/* Money in a scenario's currency, short: 1.2k, 3.45M, 1.2bn. */
static const char *money(const struct tw_plan *plan, double usd, char text[32])
{
    const double value = usd / plan->currency_usd.typical, size = fabs(value);
    if (!isfinite(value)) {
        snprintf(text, 32, "-");
    } else if (size >= 1e9) {
        snprintf(text, 32, "%.2fbn", value / 1e9);
    } else if (size >= 1e6) {
        snprintf(text, 32, "%.2fM", value / 1e6);
    } else if (size >= 1e4) {
        snprintf(text, 32, "%.1fk", value / 1e3);
    } else {
        snprintf(text, 32, size >= 100 ? "%.0f" : size >= 1 ? "%.2f" : "%.3g", value);
    }
    return text;
}

static const char *money_range(const struct tw_plan *plan, struct tw_range r, char text[80])
{
    char a[32], b[32], c[32];
    snprintf(text, 80, "%s (%s .. %s)", money(plan, r.typical, a), money(plan, r.low, b),
             money(plan, r.high, c));
    return text;
}

static void put_number_range(struct tw_buf *out, struct tw_range r)
{
    tw_buf_append_format(out, "%.3g (%.3g .. %.3g)", r.typical, r.low, r.high);
}

/* ---- parts ---- */

static void put_targets(const struct tw_plan_slo *slo, struct tw_buf *out)
{
    const char *comma = "";
    tw_buf_append_format(out, "    targets for %g%% of requests:", slo->percentile);
    if (slo->ttft_s > 0) {
        tw_buf_append_format(out, " first token within %.0f ms", slo->ttft_s * 1000);
        comma = ",";
    }
    if (slo->tpot_s > 0) {
        tw_buf_append_format(out, "%s each further one within %.0f ms", comma, slo->tpot_s * 1000);
        comma = ",";
    }
    if (slo->latency_s > 0) {
        tw_buf_append_format(out, "%s the whole answer within %.1f s", comma, slo->latency_s);
    }
    tw_buf_append_text(out, "\n");
}

static void put_use_cases(const struct tw_plan *plan, uint32_t model, struct tw_buf *out)
{
    const struct tw_scenario *s = plan->scenario;
    for (uint32_t i = 0; i < s->n_cases; i++) {
        if (s->case_models[i] != model) {
            continue;
        }
        tw_buf_append_format(out, "    %s (%s): ", s->case_names[i], s->case_kinds[i]);
        if (s->case_users[i] > 0) {
            tw_buf_append_format(out, "%.9g users, ", s->case_users[i]);
        }
        tw_buf_append_format(out, "%.3g requests/s at the peak; %s data\n",
                             s->cases[i].rate_requests_s, s->classes[s->case_classes[i]].name);
    }
}

static void put_question(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_scenario *s = plan->scenario;
    char text[32];
    tw_buf_append_format(out, "Plan: %s\n", s->name);
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_service *service = &plan->services[i];
        const struct tw_cost_demand *d = &service->demand;
        double month = 0;
        for (uint32_t k = 0; k < d->n_classes; k++) {
            month += d->hours[k] * d->load[k];
        }
        tw_buf_append_format(
            out,
            "  %s on %s; at the peak %.3g requests/s of %.0f tokens in and %.0f out; %.4g "
            "million tokens a month\n",
            service->model->name, service->engine->name, service->summary.rate_requests_s,
            service->summary.input_mean, service->summary.output_mean, month * d->million_tokens_h);
        put_use_cases(plan, i, out);
        put_targets(&service->model->slo, out);
    }
    tw_buf_append_format(out, "  %u months; money in %s, before tax", s->n_months, s->currency);
    if (plan->currency != NULL) {
        snprintf(text, sizeof text, "%.4g", plan->currency_usd.typical);
        tw_buf_append_format(out, "; 1 %s = %s USD (%s, %s)", s->currency, text,
                             plan->currency->source, plan->currency->date);
    }
    tw_buf_append_text(out, "\n\n");
}

/* Where own machines and tokens change places. */
static void put_flip(const struct tw_plan *plan, struct tw_buf *out)
{
    if (plan->flip_option == TW_PLAN_NONE) {
        return;
    }
    const struct tw_plan_option *bought = &plan->options[plan->flip_option];
    const struct tw_plan_option *tokens = &plan->options[plan->tokens];
    if (isfinite(plan->flip_load)) {
        tw_buf_append_format(out,
                             "  The answer flips at %.0f%% utilisation, %.2g x the planned load: "
                             "below it tokens cost less than %s, above it more\n",
                             100 * plan->flip_utilisation, plan->flip_load, bought->name);
    } else if (tokens->blocked != 0 && plan->always_cheaper == plan->tokens) {
        tw_buf_append_format(out,
                             "  %s would be cheaper at any utilisation, but the rules forbid "
                             "them\n",
                             tokens->name);
        return;
    } else {
        const bool is_bought = plan->always_cheaper == plan->flip_option;
        tw_buf_append_format(out,
                             "  It does not flip: at any utilisation up to 100%% the cheaper is "
                             "%s, beside %s\n",
                             is_bought ? bought->name : tokens->name,
                             is_bought ? tokens->name : bought->name);
    }
    if (tokens->blocked != 0) {
        tw_buf_append_text(out, "  (those tokens are compared only: the rules for data forbid "
                                "them)\n");
    }
}

static const char *verb(const struct tw_plan_option *option)
{
    static const char *const verbs[TW_COST_KINDS + 1] = {
        [TW_COST_OWNED] = "buy",
        [TW_COST_COLOCATED] = "buy, and colocate",
        [TW_COST_RENTED] = "rent on demand",
        [TW_COST_RESERVED] = "rent for a term",
        [TW_COST_TOKENS] = "keep buying tokens",
        [TW_COST_HYBRID] = "own the base load, buy tokens for the rest",
        [TW_PLAN_MIXED] = "mix",
    };
    return verbs[option->kind];
}

/* One way a line where there are several models. */
static void put_ways(const struct tw_plan *plan, const struct tw_plan_option *option,
                     const char *indent, struct tw_buf *out)
{
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *way = &plan->ways[option->ways[i]];
        if (plan->n_services == 1) {
            tw_buf_append_format(out, "%s%s\n", i > 0 ? indent : "", way->name);
        } else {
            tw_buf_append_format(out, "%s%s: %s\n", i > 0 ? indent : "",
                                 plan->services[i].model->name, way->name);
        }
    }
}

static void put_answer(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_plan_option *best = &plan->options[plan->best];
    char text[80];
    tw_buf_append_format(out, "Answer: %s.\n  ", verb(best));
    put_ways(plan, best, "  ", out);
    tw_buf_append_format(out, "  It costs %s %s over %u months at present value",
                         plan->scenario->currency, money_range(plan, best->npv_usd, text),
                         plan->scenario->n_months);
    tw_buf_append_format(out, " and is the cheapest in %.0f%% of %u random draws\n",
                         100 * best->best_share, plan->scenario->n_draws);
    if (plan->runner_up != TW_PLAN_NONE) {
        tw_buf_append_format(out, "  The best other way costs %s %s more: %s\n",
                             plan->scenario->currency, money(plan, plan->advantage_usd, text),
                             plan->options[plan->runner_up].name);
    } else {
        tw_buf_append_text(out, "  There is no other way to compare it with\n");
    }
    uint32_t oftenest = plan->best;
    for (uint32_t i = 0; i < plan->n_admitted; i++) {
        oftenest = plan->options[i].best_share > plan->options[oftenest].best_share ? i : oftenest;
    }
    if (oftenest != plan->best) {
        tw_buf_append_format(out,
                             "  Too close to tell: %s is the cheapest more often, in %.0f%%. What "
                             "would tell them apart stands under 'hangs on'\n",
                             plan->options[oftenest].name,
                             100 * plan->options[oftenest].best_share);
    }
    put_flip(plan, out);
    if (plan->tokens == TW_PLAN_NONE) {
        tw_buf_append_text(out, "  Tokens of an API were not compared: name some under apis "
                                "(--api), see tokenworks plan catalogue prices\n");
    }
    tw_buf_append_text(out, "\n");
}

static void put_months(const struct tw_plan *plan, const struct tw_plan_option *o,
                       struct tw_buf *out)
{
    const struct tw_range r = o->break_even_months;
    if (plan->tokens == TW_PLAN_NONE) {
        return;
    }
    tw_buf_append_text(out, "     ");
    if (plan->options[plan->tokens].blocked != 0) {
        tw_buf_append_text(out, "beside tokens that are forbidden: ");
    }
    if (!isfinite(r.typical)) {
        tw_buf_append_text(out, "is not paid back against tokens");
    } else if (r.typical <= 0) {
        tw_buf_append_text(out, "is cheaper than tokens from the first month");
    } else {
        tw_buf_append_format(out, "paid back against tokens after %.1f months", r.typical);
        if (isfinite(r.low)) {
            tw_buf_append_format(out, " (%.1f .. %.1f)", r.low, r.high);
        }
    }
    tw_buf_append_format(out, "; paid back in %.0f%% of draws\n", 100 * o->pays_share);
}

/* What is paid over the horizon, largest first, undiscounted. */
static void put_parts(const struct tw_plan *plan, const struct tw_plan_option *o,
                      struct tw_buf *out)
{
    const struct tw_cost_month *t = &o->result->total;
    const struct {
        const char *name;
        double usd;
    } parts[] = {{"machines", t->capex}, {"loans", t->loan},         {"rent", t->rent},
                 {"tokens", t->tail},    {"staff", t->staff},        {"energy", t->energy},
                 {"space", t->space},    {"repair", t->maintenance}, {"licences", t->software}};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    bool done[PARTS] = {false};
    char text[32];
    tw_buf_append_format(out, "     pays %s in all:", money(plan, t->paid, text));
    for (int n = 0; n < PARTS; n++) {
        int next = -1;
        for (int i = 0; i < PARTS; i++) {
            if (!done[i] && (next < 0 || parts[i].usd > parts[next].usd)) {
                next = i;
            }
        }
        done[next] = true;
        if (parts[next].usd > 0) {
            tw_buf_append_format(out, "%s %s %s", n > 0 ? "," : "", parts[next].name,
                                 money(plan, parts[next].usd, text));
        }
    }
    if (t->sold + o->result->left_usd > 0) {
        tw_buf_append_format(out, "; machines bring %s back",
                             money(plan, t->sold + o->result->left_usd, text));
    }
    tw_buf_append_text(out, "\n");
}

static void put_places(const struct tw_plan *plan, const struct tw_plan_option *o,
                       struct tw_buf *out)
{
    tw_buf_append_format(out, "SEAL score %.0f of 100 (", o->seal_score);
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_way *way = &plan->ways[o->ways[i]];
        const struct tw_place *places = plan->scenario->places;
        tw_buf_append_format(out, "%s%s", i > 0 ? ", " : "",
                             way->place >= 0 ? places[way->place].name : "no place");
        if (way->tail_place >= 0) {
            tw_buf_append_format(out, " and %s", places[way->tail_place].name);
        }
    }
    tw_buf_append_text(out, ")");
}

static void put_option(const struct tw_plan *plan, uint32_t at, struct tw_buf *out)
{
    const struct tw_plan_option *o = &plan->options[at];
    const struct tw_cost_result *r = o->result;
    char a[80], b[80];
    tw_buf_append_format(out, "%3u. ", at + 1);
    put_ways(plan, o, "     ", out);
    tw_buf_append_format(out, "     present cost %s; a million tokens %s; cheapest in %.0f%%\n",
                         money_range(plan, o->npv_usd, a),
                         money_range(plan, o->usd_per_million_tokens, b), 100 * o->best_share);
    put_parts(plan, o, out);
    if (o->kind != TW_COST_TOKENS) {
        put_months(plan, o, out);
        tw_buf_append_format(out, "     utilisation %.0f%% (%.0f .. %.0f); ", 100 * r->utilisation,
                             100 * o->utilisation.low, 100 * o->utilisation.high);
        put_number_range(out, o->kwh_per_million_tokens);
        tw_buf_append_text(out, " kWh and ");
        put_number_range(out, o->co2_kg_per_million_tokens);
        tw_buf_append_text(out, " kg CO2e a million tokens\n");
    }
    if (r->total.tail_tokens_million > 0 && o->kind != TW_COST_TOKENS) {
        tw_buf_append_format(out, "     %.1f%% of all tokens are bought\n",
                             100 * r->total.tail_tokens_million / r->total.tokens_million);
    }
    tw_buf_append_text(out, "     ");
    put_places(plan, o, out);
    if (o->driver >= 0) {
        tw_buf_append_format(out, "; widest by %s (%.0f%%); surer by: %s",
                             tw_cost_input_rows[o->driver].name, 100 * o->driver_share,
                             tw_cost_input_rows[o->driver].measure);
    }
    tw_buf_append_text(out, "\n");
}

static void put_options(const struct tw_plan *plan, struct tw_buf *out)
{
    tw_buf_append_format(out,
                         "Options, cheapest first; money in %s, typical (5%% .. 95%% of the "
                         "draws):\n",
                         plan->scenario->currency);
    for (uint32_t i = 0; i < plan->n_admitted && i < SHOWN_OPTIONS; i++) {
        put_option(plan, i, out);
    }
    if (plan->n_admitted > SHOWN_OPTIONS) {
        tw_buf_append_format(out, "     and %u more, dearer (--json, --csv)\n",
                             plan->n_admitted - SHOWN_OPTIONS);
    }
    tw_buf_append_text(out, "\n");
}

static void put_machine(const struct tw_sizing *s, struct tw_buf *out)
{
    tw_buf_append_format(out, "  %s, %s: ", s->plant.device->name, s->plant.weights->name);
    if (!s->meets) {
        tw_buf_append_format(out, "no: %s\n", s->why_not);
        return;
    }
    tw_buf_append_format(
        out,
        "%u replica%s of %u device%s (each serves %.2f .. %.2f of that)\n"
        "     first token %.0f ms, further %.1f ms; %.0f%% busy; a device has %.1f GB: weights "
        "%.1f, KV %.1f for %.0f texts of full length\n",
        s->plant.n_replicas, s->plant.n_replicas == 1 ? "" : "s", s->plant.n_tensor,
        s->plant.n_tensor == 1 ? "" : "s", s->capacity_factor.low, s->capacity_factor.high,
        1000 * s->at_peak.at_percentile_ttft_s, 1000 * s->at_peak.at_percentile_tpot_s,
        100 * s->at_peak.busy_share, s->memory.total_bytes / 1e9, s->memory.weights_bytes / 1e9,
        s->memory.kv_bytes / 1e9, s->memory.n_full_sequences);
}

static void put_machines(const struct tw_plan *plan, struct tw_buf *out)
{
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_service *service = &plan->services[i];
        tw_buf_append_format(out,
                             "Machines for %s at the peak, simulated at the targets' "
                             "percentile:\n",
                             service->model->name);
        for (uint32_t k = 0; k < service->n_sizings; k++) {
            put_machine(&plan->sizings[service->first_sizing + k], out);
        }
    }
    tw_buf_append_text(out, "\n");
}

static void put_tornado(const struct tw_plan *plan, struct tw_buf *out)
{
    char a[32], b[32];
    if (plan->n_bars == 0) {
        return;
    }
    tw_buf_append_format(out,
                         "What the answer hangs on: %s saved against the best other way, at the "
                         "low and the high end of each input:\n",
                         plan->scenario->currency);
    for (uint32_t i = 0; i < plan->n_bars && i < SHOWN_BARS; i++) {
        const struct tw_plan_bar *bar = &plan->bars[i];
        const struct tw_range r = plan->scenario->ranges[bar->input];
        char range[64] = "each option's own range";
        if (r.high > r.low) {
            snprintf(range, sizeof range, "%g .. %g %s", r.low, r.high,
                     tw_cost_input_rows[bar->input].unit);
        }
        tw_buf_append_format(out, "  %-28s %-26s %10s .. %-10s%s\n",
                             tw_cost_input_rows[bar->input].name, range,
                             money(plan, bar->at_low_usd, a), money(plan, bar->at_high_usd, b),
                             bar->at_low_usd < 0 || bar->at_high_usd < 0 ? " flips" : "");
    }
    tw_buf_append_text(out, "\n");
}

static void put_rules(const struct tw_plan *plan, struct tw_buf *out)
{
    char a[32];
    if (plan->n_admitted == plan->n_options) {
        return;
    }
    tw_buf_append_text(out, "Gone by the rules for data, before their cost was counted:\n");
    uint32_t n = 0;
    for (uint32_t i = plan->n_admitted; i < plan->n_options && n < SHOWN_REFUSED; i++, n++) {
        tw_buf_append_format(out, "  %s: %s\n", plan->options[i].name, plan->options[i].why_not);
    }
    if (plan->n_options - plan->n_admitted > n) {
        tw_buf_append_format(out, "  and %u more (--json)\n",
                             plan->n_options - plan->n_admitted - n);
    }
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        tw_buf_append_format(out, "  The rule for %s data costs %s %s",
                             plan->scenario->classes[plan->rules[i].class].name,
                             plan->scenario->currency, money(plan, plan->rules[i].usd, a));
        tw_buf_append_format(out, plan->rules[i].usd > 0 ? ": without it alone, %s\n" : "\n",
                             plan->options[plan->rules[i].instead].name);
    }
    if (plan->n_rules > 1) {
        tw_buf_append_format(out, "  All rules together cost %s %s: without them, %s\n",
                             plan->scenario->currency, money(plan, plan->all_rules_usd, a),
                             plan->options[plan->without_rules].name);
    }
    tw_buf_append_text(out, "\n");
}

struct seen {
    const char *sources[2 * SHOWN_OPTIONS * TW_LIMIT_PLAN_MODELS];
    uint32_t n;
};

static void put_source(struct seen *seen, const char *what, const char *source, const char *date,
                       struct tw_buf *out)
{
    for (uint32_t i = 0; i < seen->n; i++) {
        if (strcmp(seen->sources[i], source) == 0) {
            return;
        }
    }
    seen->sources[seen->n++] = source;
    tw_buf_append_format(out, "  %s: %s, %s\n", what, source, date);
}

static void put_sources(const struct tw_plan *plan, struct tw_buf *out)
{
    struct seen seen = {.n = 0};
    tw_buf_append_text(out, "Prices from:\n");
    for (uint32_t i = 0; i < plan->n_admitted && i < SHOWN_OPTIONS; i++) {
        for (uint32_t k = 0; k < plan->n_services; k++) {
            const struct tw_plan_way *way = &plan->ways[plan->options[i].ways[k]];
            if (way->device != NULL) {
                put_source(&seen, way->device->name, way->price_source, way->price_date, out);
            }
            if (way->api.name != NULL) {
                put_source(&seen, way->api.name, way->api.source, way->api.date, out);
            }
        }
    }
}

/* Where the simulation's numbers are from. */
static void put_catalogue(const struct tw_plan *plan, struct tw_buf *out)
{
    tw_buf_append_text(out, "Machines, models and engines from:\n");
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_service *service = &plan->services[i];
        const struct tw_plan_engine *engine = service->engine;
        for (uint32_t k = 0; k < service->n_sizings; k++) {
            const struct tw_plant *plant = &plan->sizings[service->first_sizing + k].plant;
            if (k == 0) {
                tw_buf_append_format(out, "  %s: %s, %s\n  %s: %s, %s\n", plant->model->name,
                                     plant->model->source, plant->model->date, engine->name,
                                     engine->source, engine->date);
            }
            tw_buf_append_format(out, "  %s: %s, %s\n", plant->device->name, plant->device->source,
                                 plant->device->date);
        }
    }
}

static void put_assumptions(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_scenario *s = plan->scenario;
    tw_buf_append_text(out, "Assumed, since the scenario does not say it (money: changes it):\n");
    for (int i = TW_COST_FACTORS; i < TW_COST_INPUTS; i++) {
        const struct tw_cost_input_row *row = &tw_cost_input_rows[i];
        if (s->is_told[i]) {
            continue;
        }
        char range[64] = "";
        if (s->ranges[i].high > s->ranges[i].low) {
            snprintf(range, sizeof range, " (%g .. %g)", s->ranges[i].low, s->ranges[i].high);
        }
        char value[96];
        snprintf(value, sizeof value, "%g%s %s", s->ranges[i].typical, range, row->unit);
        tw_buf_append_format(out, "  %-30s %-34s %s\n", row->name, value, row->about);
    }
    if (!s->life_told) {
        tw_buf_append_format(out, "  %-30s %-34u %s\n", "life-months", s->life_months,
                             "until a machine is replaced");
    }
    tw_buf_append_format(out, "  load over a day: %s; ", s->day);
    tw_buf_append_text(out, s->places_told
                                ? "SEAL levels of places: the scenario's\n"
                                : "SEAL levels of places: of their kinds, not of a provider\n");
    put_sources(plan, out);
    if (plan->n_sizings > 0) {
        put_catalogue(plan, out);
    }
    tw_buf_append_format(out,
                         "%u simulations. Energy and CO2e of bought tokens are not published and "
                         "not counted.\n",
                         plan->n_simulations);
}

void tw_plan_print(const struct tw_plan *plan, struct tw_buf *out)
{
    put_question(plan, out);
    put_answer(plan, out);
    put_options(plan, out);
    if (plan->n_sizings > 0) {
        put_machines(plan, out);
    }
    put_tornado(plan, out);
    put_rules(plan, out);
    put_assumptions(plan, out);
}

/* ---- published ---- */

/* What each reading of the paper computes with; the numbers are those of published.c. */
static const char *const reading_texts[TW_PUBLISHED_READINGS] = {
    [TW_PUBLISHED_HIDDEN] =
        "176 hours a month, 300 W an A100 and 500 W an RTX 5090, Gemini at 7.75 USD a million\n"
        "  tokens: numbers that the paper does not state and that give its table, which stands in\n"
        "  brackets",
    [TW_PUBLISHED_STATED] = "160 hours, 400 W and 575 W, Gemini at its list price: what the paper "
                            "states",
    [TW_PUBLISHED_HOST] =
        "the same, and of a server 3,500 USD and 250 W for each A100 (a workstation: 1,800 USD\n"
        "  and 150 W), PUE 1.4, 8% of the price a year for repair, a quarter of the watts at rest",
    [TW_PUBLISHED_STAFF] = "the same, and a tenth of a person at 130,000 USD a year",
    [TW_PUBLISHED_USED] = "the same, and cards that work 30% of these hours",
};

static void put_cells(enum tw_published_reading reading, struct tw_buf *out)
{
    for (uint32_t m = 0; m < TW_PUBLISHED_MODELS; m++) {
        tw_buf_append_format(out, "  %-16s", tw_published_models[m]);
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            double months;
            char cell[32] = "never";
            if (tw_published_recompute(m, a, reading, &months)) {
                snprintf(cell, sizeof cell, "%.2f", months);
            }
            if (reading == TW_PUBLISHED_HIDDEN) {
                const size_t n = strlen(cell);
                snprintf(cell + n, sizeof cell - n, " (%g)", tw_published_months(m, a));
            }
            tw_buf_append_format(out, "%16s", cell);
        }
        tw_buf_append_text(out, "\n");
    }
}

static void put_figure(double value, struct tw_buf *out)
{
    tw_buf_append_format(out, fabs(value) >= 1e5 ? "%13.0f" : "%13.6g", value);
}

void tw_plan_print_published(struct tw_buf *out)
{
    double worst = 0;
    tw_buf_append_text(
        out, "arXiv 2509.18101: months until own machines have cost less than tokens, for five\n"
             "APIs. The paper buys cards, pays their electricity, and has them work at full speed\n"
             "in all of its hours; never: not within ten years.\n\n");
    for (int r = 0; r < TW_PUBLISHED_READINGS; r++) {
        tw_buf_append_format(out, "%s: %s\n%-18s", tw_published_reading_names[r], reading_texts[r],
                             "");
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            tw_buf_append_format(out, "%16s", tw_published_apis[a]);
        }
        tw_buf_append_text(out, "\n");
        put_cells((enum tw_published_reading)r, out);
        tw_buf_append_text(out, "\n");
    }
    for (uint32_t m = 0; m < TW_PUBLISHED_MODELS; m++) {
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            double months = 0;
            tw_published_recompute(m, a, TW_PUBLISHED_HIDDEN, &months);
            worst = fmax(worst, fabs(months - tw_published_months(m, a)));
        }
    }
    tw_buf_append_format(out, "largest difference to the printed table: %.3f month of %d cells\n",
                         worst, TW_PUBLISHED_MODELS * TW_PUBLISHED_APIS);
    tw_buf_append_format(out, "\nLenovo Press LP2368\n  %-46s %-12s %13s%13s\n", "", "unit",
                         "published", "recomputed");
    for (uint32_t i = 0; i < tw_published_n_figures(); i++) {
        const struct tw_published_figure f = tw_published_figure_at(i);
        tw_buf_append_format(out, "  %-46s %-12s ", f.what, f.unit);
        put_figure(f.published, out);
        put_figure(f.recomputed, out);
        tw_buf_append_format(out, "%s%s\n", f.why[0] != '\0' ? "\n      differs: " : "", f.why);
    }
}
