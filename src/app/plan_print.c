#include "app/plan_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/published.h"

enum { SHOWN_OPTIONS = 10, SHOWN_BARS = 8, SHOWN_REFUSED = 6 };

/* Money in a scenario's currency, short: 1.2k, 3.45M. */
static const char *money(const struct tw_plan *plan, double usd, char text[32])
{
    const double value = usd / plan->currency_usd.typical, size = fabs(value);
    if (!isfinite(value)) {
        snprintf(text, 32, "-");
    } else if (size >= 1e9) {
        snprintf(text, 32, "%.2fG", value / 1e9);
    } else if (size >= 1e6) {
        snprintf(text, 32, "%.2fM", value / 1e6);
    } else if (size >= 1e4) {
        snprintf(text, 32, "%.1fk", value / 1e3);
    } else {
        snprintf(text, 32, size >= 100 ? "%.0f" : "%.3g", value);
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

static void put_months(const struct tw_plan_option *o, struct tw_buf *out)
{
    const struct tw_range r = o->break_even_months;
    if (isfinite(r.low) && isfinite(r.typical)) {
        tw_buf_append_format(out, "%.1f (%.1f .. %.1f)", r.typical, r.low, r.high);
    } else if (isfinite(r.typical)) {
        tw_buf_append_format(out, "%.1f", r.typical);
    } else {
        tw_buf_append_text(out, "never");
    }
}

/* ---- parts ---- */

static void put_question(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_scenario *s = plan->scenario;
    double month = 0;
    for (uint32_t i = 0; i < plan->demand.n_classes; i++) {
        month += plan->demand.hours[i] * plan->demand.load[i];
    }
    tw_buf_append_format(out, "Plan: %s\n", s->name);
    tw_buf_append_format(out,
                         "  %s on %s; at the peak %.3g requests/s of %.0f tokens in and %.0f out; "
                         "%.4g million tokens a month\n",
                         s->model, s->engine, plan->summary.rate_requests_s,
                         plan->summary.input_mean, plan->summary.output_mean,
                         month * plan->demand.million_tokens_h);
    tw_buf_append_format(out, "  targets at the %.0fth percentile:", s->slo.percentile);
    if (s->slo.ttft_s > 0) {
        tw_buf_append_format(out, " first token %.0f ms", s->slo.ttft_s * 1000);
    }
    if (s->slo.tpot_s > 0) {
        tw_buf_append_format(out, " each further one %.0f ms", s->slo.tpot_s * 1000);
    }
    if (s->slo.latency_s > 0) {
        tw_buf_append_format(out, " whole answer %.0f s", s->slo.latency_s);
    }
    tw_buf_append_format(out, "; %u months; money in %s\n\n", s->n_months, s->currency);
}

static void put_answer(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_plan_option *best = &plan->options[plan->best];
    char text[80];
    tw_buf_append_text(out, best->cost.kind == TW_COST_TOKENS ? "Answer: keep buying tokens.\n"
                                                              : "Answer: ");
    tw_buf_append_format(out, "%s%s\n", best->cost.kind == TW_COST_TOKENS ? "  " : "", best->name);
    tw_buf_append_format(out, "  It is the cheapest in %.0f%% of %u random draws",
                         100 * best->best_share, plan->scenario->n_draws);
    if (plan->runner_up != TW_PLAN_NONE) {
        tw_buf_append_format(out, "; the next other way costs %s more: %s",
                             money(plan, plan->advantage_usd, text),
                             plan->options[plan->runner_up].name);
    }
    tw_buf_append_text(out, "\n");
    uint32_t oftenest = plan->best;
    for (uint32_t i = 0; i < plan->n_admitted; i++) {
        oftenest = plan->options[i].best_share > plan->options[oftenest].best_share ? i : oftenest;
    }
    if (oftenest != plan->best) {
        tw_buf_append_format(
            out,
            "  Most often the cheapest, in %.0f%%, is %s: the two are too close to "
            "tell apart before the inputs below are known better\n",
            100 * plan->options[oftenest].best_share, plan->options[oftenest].name);
    }
    if (isfinite(plan->flip_load)) {
        tw_buf_append_format(out,
                             "  %s and tokens cost the same at %.0f%% utilisation (%.2g x the "
                             "planned load); above that it is cheaper\n",
                             plan->options[plan->flip_option].name, 100 * plan->flip_utilisation,
                             plan->flip_load);
    } else if (plan->tokens != TW_PLAN_NONE && plan->n_sizings > 0) {
        tw_buf_append_text(out,
                           "  At no utilisation of the plant do it and tokens change places\n");
    }
    tw_buf_append_text(out, "\n");
}

static void put_options(const struct tw_plan *plan, struct tw_buf *out)
{
    char a[80], b[80];
    tw_buf_append_text(out, "Options, cheapest first (typical, and 5% .. 95% of the draws):\n");
    for (uint32_t i = 0; i < plan->n_admitted && i < SHOWN_OPTIONS; i++) {
        const struct tw_plan_option *o = &plan->options[i];
        tw_buf_append_format(out, "%3u. %s\n", i + 1, o->name);
        tw_buf_append_format(out, "     present cost %s; a million tokens %s\n",
                             money_range(plan, o->npv_usd, a),
                             money_range(plan, o->usd_per_million_tokens, b));
        if (o->cost.kind != TW_COST_TOKENS) {
            tw_buf_append_text(out, "     paid back against tokens in months: ");
            put_months(o, out);
            tw_buf_append_format(out, ", in %.0f%% of draws; utilisation %.0f%%; ",
                                 100 * o->pays_share, 100 * o->result->utilisation);
            tw_buf_append_format(out, "%.3g kWh, %.3g kg CO2e a million tokens\n",
                                 o->result->kwh_per_million_tokens,
                                 o->result->co2_kg_per_million_tokens);
        }
        if (o->cost.kind == TW_COST_HYBRID) {
            tw_buf_append_format(out, "     %.1f%% of tokens are bought\n",
                                 100 * o->result->total.tail_tokens_million /
                                     o->result->total.tokens_million);
        }
        if (o->driver >= 0) {
            tw_buf_append_format(out, "     widest by %s (%.0f%%); surer by: %s\n",
                                 tw_cost_input_rows[o->driver].name, 100 * o->driver_share,
                                 tw_cost_input_rows[o->driver].measure);
        }
    }
    if (plan->n_admitted > SHOWN_OPTIONS) {
        tw_buf_append_format(out, "     and %u more (--json, --csv)\n",
                             plan->n_admitted - SHOWN_OPTIONS);
    }
    tw_buf_append_text(out, "\n");
}

static void put_machines(const struct tw_plan *plan, struct tw_buf *out)
{
    tw_buf_append_text(out, "Machines at the peak, simulated:\n");
    for (uint32_t i = 0; i < plan->n_sizings; i++) {
        const struct tw_sizing *s = &plan->sizings[i];
        if (!s->meets) {
            tw_buf_append_format(out, "  %s, %s: no: %s\n", s->plant.device->name,
                                 s->plant.weights->name, s->why_not);
            continue;
        }
        tw_buf_append_format(out,
                             "  %s, %s: %u replicas of %u; first token %.0f ms, further %.1f ms; "
                             "%.0f%% busy; weights %.1f, KV %.1f of %.1f GB a card; %.0f full "
                             "contexts; serves %.2f .. %.2f of that\n",
                             s->plant.device->name, s->plant.weights->name, s->plant.n_replicas,
                             s->plant.n_tensor, 1000 * s->at_peak.at_percentile_ttft_s,
                             1000 * s->at_peak.at_percentile_tpot_s, 100 * s->at_peak.busy_share,
                             s->memory.weights_bytes / 1e9, s->memory.kv_bytes / 1e9,
                             s->memory.total_bytes / 1e9, s->memory.n_full_sequences,
                             s->capacity_factor.low, s->capacity_factor.high);
    }
    tw_buf_append_text(out, "\n");
}

static void put_tornado(const struct tw_plan *plan, struct tw_buf *out)
{
    char a[32], b[32];
    if (plan->n_bars == 0) {
        return;
    }
    tw_buf_append_format(out, "What the answer hangs on (advantage over %s):\n",
                         plan->options[plan->runner_up].name);
    for (uint32_t i = 0; i < plan->n_bars && i < SHOWN_BARS; i++) {
        const struct tw_plan_bar *bar = &plan->bars[i];
        const struct tw_range r = plan->scenario->ranges[bar->input];
        char range[40] = "each option's own range";
        if (r.high > r.low) {
            snprintf(range, sizeof range, "%g .. %g", r.low, r.high);
        }
        tw_buf_append_format(out, "  %-28s %-24s %10s .. %-10s%s\n",
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
    tw_buf_append_text(out, "Gone by the rules for data:\n");
    for (uint32_t i = plan->n_admitted, n = 0; i < plan->n_options && n < SHOWN_REFUSED; i++, n++) {
        tw_buf_append_format(out, "  %s: %s\n", plan->options[i].name, plan->options[i].why_not);
    }
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        tw_buf_append_format(out, "  the rule for %s data costs %s\n",
                             plan->scenario->classes[plan->rules[i].class].name,
                             money(plan, plan->rules[i].usd, a));
    }
    tw_buf_append_format(out, "  all rules together cost %s: without them %s\n\n",
                         money(plan, plan->all_rules_usd, a),
                         plan->options[plan->without_rules].name);
}

static void put_assumptions(const struct tw_plan *plan, struct tw_buf *out)
{
    tw_buf_append_text(out, "Assumed (change under money:): ");
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_range r = plan->scenario->ranges[i];
        if (!plan->scenario->is_told[i] && i >= TW_COST_FACTORS) {
            tw_buf_append_format(out, r.high > r.low ? "%s %g (%g .. %g); " : "%s %g; ",
                                 tw_cost_input_rows[i].name, r.typical, r.low, r.high);
        }
    }
    tw_buf_append_text(out, "\nPrices: ");
    for (uint32_t i = 0; i < plan->n_admitted && i < SHOWN_OPTIONS; i++) {
        tw_buf_append_format(out, "%s%u: %s, %s", i > 0 ? "; " : "", i + 1,
                             plan->options[i].price_source, plan->options[i].price_date);
    }
    tw_buf_append_format(out,
                         "\n%u simulations; before tax; energy of bought tokens is not "
                         "published and not counted\n",
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

static void put_cells(enum tw_published_reading reading, struct tw_buf *out)
{
    for (uint32_t m = 0; m < TW_PUBLISHED_MODELS; m++) {
        tw_buf_append_format(out, "  %-16s", tw_published_models[m]);
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            double months;
            if (tw_published_recompute(m, a, reading, &months)) {
                tw_buf_append_format(out, "%15.2f", months);
            } else {
                tw_buf_append_format(out, "%15s", "never");
            }
        }
        tw_buf_append_text(out, "\n");
    }
}

void tw_plan_print_published(struct tw_buf *out)
{
    double worst = 0;
    tw_buf_append_text(out, "arXiv 2509.18101, months until own machines have cost less\n");
    for (int r = 0; r < TW_PUBLISHED_READINGS; r++) {
        tw_buf_append_format(out, "%-18s", tw_published_reading_names[r]);
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            tw_buf_append_format(out, "%15s", tw_published_apis[a]);
        }
        tw_buf_append_text(out, "\n");
        put_cells((enum tw_published_reading)r, out);
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
    tw_buf_append_text(out, "\nLenovo Press LP2368\n");
    for (uint32_t i = 0; i < tw_published_n_figures(); i++) {
        const struct tw_published_figure f = tw_published_figure_at(i);
        tw_buf_append_format(out, "  %-46s %-12s %12.6g %12.6g  %s\n", f.what, f.unit, f.published,
                             f.recomputed, f.why);
    }
}

void tw_plan_print_prices(const struct tw_prices *prices, struct tw_buf *out)
{
    const struct tw_facts *facts = tw_prices_facts(prices);
    for (uint32_t i = 0; i < tw_facts_count(facts); i++) {
        const struct tw_fact *f = tw_facts_at(facts, i);
        tw_buf_append_format(out, "%-28s %-28s %12s", f->name, f->field, f->text);
        if (f->is_number && f->number.high > f->number.low) {
            tw_buf_append_format(out, " (%g .. %g)", f->number.low, f->number.high);
        }
        tw_buf_append_format(out, "  %s, %s\n", f->source, f->date);
    }
}
