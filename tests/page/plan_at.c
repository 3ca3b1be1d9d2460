/* A scenario's plan at settings of a report's sliders: plan_at SCENARIO, then an object of inputs a
 * line on stdin, and for each a line with what every option comes to. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "plan/plan.h"

/* The cheapest tokens at these inputs: those that may be had, or else those that may not. */
static const struct tw_cost_result *find_tokens(const struct tw_plan *plan,
                                                const struct tw_cost_result *results)
{
    const struct tw_cost_result *best = NULL;
    for (uint32_t i = 0; i < plan->n_options; i++) {
        if (i == plan->n_admitted && best != NULL) {
            break;
        }
        if (plan->options[i].kind == TW_COST_TOKENS &&
            (best == NULL || results[i].npv_usd < best->npv_usd)) {
            best = &results[i];
        }
    }
    return best;
}

static void put_all(struct tw_plan *plan, const double *in, struct tw_json_writer *w)
{
    static struct tw_cost_result results[TW_LIMIT_PLAN_OPTIONS];
    double rows[TW_LIMIT_PLAN_MODELS][TW_COST_INPUTS];
    for (uint32_t i = 0; i < plan->n_services; i++) {
        memcpy(rows[i], in, sizeof rows[i]);
    }
    for (uint32_t i = 0; i < plan->n_options; i++) {
        tw_plan_evaluate(plan, &plan->options[i], (const double(*)[TW_COST_INPUTS])rows,
                         &results[i]);
    }
    const struct tw_cost_result *tokens = find_tokens(plan, results);
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_options; i++) {
        const struct tw_cost_result *r = &results[i];
        double months = -1;
        if (tokens != NULL && !tw_cost_break_even(r, tokens, &months)) {
            months = -1;
        }
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", plan->options[i].name);
        tw_json_put_double(w, "npv_usd", r->npv_usd);
        tw_json_put_double(w, "usd_per_million_tokens", r->usd_per_million_tokens);
        tw_json_put_double(w, "utilisation", r->utilisation);
        tw_json_put_double(w, "kwh_per_million_tokens", r->kwh_per_million_tokens);
        tw_json_put_double(w, "co2_kg_per_million_tokens", r->co2_kg_per_million_tokens);
        tw_json_put_double(w, "paid_usd", r->total.paid);
        tw_json_put_double(w, "paid_back", months);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static bool read_inputs(const char *line, double *in)
{
    json_t *tree = json_loads(line, 0, NULL);
    bool is_good = json_is_object(tree);
    for (int i = 0; is_good && i < TW_COST_INPUTS; i++) {
        const json_t *value = json_object_get(tree, tw_cost_input_rows[i].name);
        is_good = value == NULL || json_is_number(value);
        in[i] = value != NULL ? json_number_value(value) : in[i];
    }
    json_decref(tree);
    return is_good;
}

int main(int argc, char **argv)
{
    struct tw_scenario *scenario = NULL;
    struct tw_plan *plan = NULL;
    struct tw_error error;
    char line[8192];
    if (argc != 2 || tw_scenario_load(argv[1], &scenario, &error) != TW_OK ||
        tw_plan_make(scenario, &plan, &error) != TW_OK) {
        fprintf(stderr, "plan_at: %s\n", argc == 2 ? error.text : "usage: plan_at SCENARIO");
        tw_scenario_free(scenario);
        return 1;
    }
    int code = 0;
    while (code == 0 && fgets(line, sizeof line, stdin) != NULL) {
        double in[TW_COST_INPUTS];
        struct tw_buf out;
        struct tw_json_writer w;
        tw_cost_typical(scenario->ranges, in);
        code = read_inputs(line, in) ? 0 : 1;
        tw_buf_init(&out, 1u << 24);
        tw_json_begin(&w, &out);
        put_all(plan, in, &w);
        fprintf(stdout, "%.*s\n", (int)out.size_bytes, out.data);
        fflush(stdout);
        tw_buf_free(&out);
    }
    tw_plan_free(plan);
    tw_scenario_free(scenario);
    return code;
}
