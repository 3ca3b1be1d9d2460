#include "app/plan_json.h"

#include <math.h>

#include "base/json.h"

void tw_plan_put_range(struct tw_json_writer *w, const char *key, struct tw_range r)
{
    tw_json_key(w, key);
    tw_json_array_begin(w);
    tw_json_double(w, r.low);
    tw_json_double(w, r.typical);
    tw_json_double(w, r.high);
    tw_json_array_end(w);
}

void tw_plan_put_doubles(struct tw_json_writer *w, const char *key, const double *values, size_t n)
{
    tw_json_key(w, key);
    tw_json_array_begin(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_double(w, values[i]);
    }
    tw_json_array_end(w);
}

static void put_inputs(struct tw_json_writer *w, const struct tw_plan *plan)
{
    tw_json_key(w, "inputs");
    tw_json_array_begin(w);
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_cost_input_row *row = &tw_cost_input_rows[i];
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", row->name);
        tw_json_put_text(w, "unit", row->unit);
        tw_json_put_text(w, "about", row->about);
        tw_plan_put_range(w, "range", plan->scenario->ranges[i]);
        tw_json_put_bool(w, "told", plan->scenario->is_told[i]);
        tw_json_put_double(w, "least", row->least);
        tw_json_put_text(w, "measure", row->measure);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

/* Load classes are the same for all models; tokens of one model or of all. */
static void put_demand(struct tw_json_writer *w, const struct tw_cost_demand *d, double million)
{
    tw_json_key(w, "demand");
    tw_json_object_begin(w);
    tw_json_put_uint(w, "months", d->n_months);
    tw_json_put_double(w, "million_tokens_per_peak_h", million);
    tw_plan_put_doubles(w, "hours", d->hours, d->n_classes);
    tw_plan_put_doubles(w, "load", d->load, d->n_classes);
    tw_json_object_end(w);
}

static void put_use_cases(struct tw_json_writer *w, const struct tw_scenario *s, uint32_t model)
{
    tw_json_key(w, "use_cases");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < s->n_cases; i++) {
        const struct tw_use_case *c = &s->cases[i];
        if (s->case_models[i] != model) {
            continue;
        }
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", s->case_names[i]);
        tw_json_put_text(w, "kind", s->case_kinds[i]);
        tw_json_put_double(w, "users", s->case_users[i]);
        tw_json_put_double(w, "requests_per_s", c->rate_requests_s);
        tw_json_put_double(w, "input_tokens", c->input.mean_tokens);
        tw_json_put_double(w, "output_tokens", c->output.mean_tokens);
        tw_json_put_double(w, "arrival_cv", c->arrival_cv);
        tw_json_put_text(w, "data_class", s->classes[s->case_classes[i]].name);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static void put_slo(struct tw_json_writer *w, const struct tw_plan_slo *slo)
{
    tw_json_key(w, "slo");
    tw_json_object_begin(w);
    tw_json_put_double(w, "percentile", slo->percentile);
    tw_json_put_double(w, "ttft_s", slo->ttft_s);
    tw_json_put_double(w, "tpot_s", slo->tpot_s);
    tw_json_put_double(w, "latency_s", slo->latency_s);
    tw_json_object_end(w);
}

static void put_models(struct tw_json_writer *w, const struct tw_plan *plan)
{
    tw_json_key(w, "models");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_services; i++) {
        const struct tw_plan_service *service = &plan->services[i];
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", service->model->name);
        tw_json_put_text(w, "engine", service->engine->name);
        tw_json_put_text(w, "engine_source", service->engine->source);
        tw_json_put_text(w, "engine_date", service->engine->date);
        if (service->n_sizings > 0) {
            const struct tw_plan_model *model = plan->sizings[service->first_sizing].plant.model;
            tw_json_put_text(w, "source", model->source);
            tw_json_put_text(w, "date", model->date);
        }
        tw_json_put_double(w, "peak_requests_per_s", service->summary.rate_requests_s);
        tw_json_put_double(w, "input_tokens_mean", service->summary.input_mean);
        tw_json_put_double(w, "output_tokens_mean", service->summary.output_mean);
        tw_json_put_double(w, "arrival_cv", service->summary.arrival_cv);
        tw_json_put_double(w, "cached_share", service->cached_share);
        put_slo(w, &service->model->slo);
        put_demand(w, &service->demand, service->demand.million_tokens_h);
        put_use_cases(w, plan->scenario, i);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static void put_sizing(struct tw_json_writer *w, const struct tw_sizing *s)
{
    tw_json_object_begin(w);
    tw_json_put_text(w, "model", s->plant.model->name);
    tw_json_put_text(w, "device", s->plant.device->name);
    tw_json_put_text(w, "device_source", s->plant.device->source);
    tw_json_put_text(w, "device_date", s->plant.device->date);
    tw_json_put_text(w, "weights", s->plant.weights->name);
    tw_json_put_bool(w, "meets", s->meets);
    if (!s->meets) {
        tw_json_put_text(w, "why_not", s->why_not);
    }
    tw_json_put_uint(w, "devices_per_replica", s->plant.n_tensor);
    tw_json_put_uint(w, "replicas", s->plant.n_replicas);
    tw_json_put_double(w, "memory_bytes", s->memory.total_bytes);
    tw_json_put_double(w, "usable_bytes", s->memory.usable_bytes);
    tw_json_put_double(w, "weights_bytes", s->memory.weights_bytes);
    tw_json_put_double(w, "activation_bytes", s->memory.activation_bytes);
    tw_json_put_double(w, "other_bytes", s->memory.other_bytes);
    tw_json_put_double(w, "kv_bytes", s->memory.kv_bytes);
    tw_json_put_uint(w, "kv_tokens", s->memory.n_kv_tokens);
    tw_json_put_double(w, "sequences_at_full_context", s->memory.n_full_sequences);
    tw_json_put_double(w, "ttft_p50_s", s->at_peak.ttft_s.p50);
    tw_json_put_double(w, "ttft_s", s->at_peak.at_percentile_ttft_s);
    tw_json_put_double(w, "tpot_s", s->at_peak.at_percentile_tpot_s);
    tw_json_put_double(w, "latency_s", s->at_peak.at_percentile_latency_s);
    tw_json_put_double(w, "busy_share", s->at_peak.busy_share);
    tw_json_put_double(w, "output_tokens_per_s", s->at_peak.output_tokens_s);
    tw_plan_put_range(w, "capacity_factor", s->capacity_factor);
    tw_json_key(w, "curve");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < s->n_curve; i++) {
        tw_json_object_begin(w);
        tw_json_put_double(w, "load", s->curve[i].load);
        tw_json_put_double(w, "ttft_s", s->curve[i].ttft_s);
        tw_json_put_double(w, "ttft_p50_s", s->curve[i].ttft_p50_s);
        tw_json_put_double(w, "tpot_s", s->curve[i].tpot_s);
        tw_json_put_double(w, "latency_s", s->curve[i].latency_s);
        tw_json_put_double(w, "busy_share", s->curve[i].busy_share);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_object_end(w);
}

/* What cost.h reads, by its names. */
static void put_cost(struct tw_json_writer *w, const struct tw_cost_option *c, bool has_staff)
{
    tw_json_key(w, "cost");
    tw_json_object_begin(w);
    tw_json_put_int(w, "kind", c->kind);
    tw_plan_put_doubles(w, "replicas", c->capacity.replicas, c->capacity.n_points);
    tw_plan_put_doubles(w, "load", c->capacity.load, c->capacity.n_points);
    tw_json_put_double(w, "devices_per_replica", c->devices_per_replica);
    tw_json_put_double(w, "unit_devices", c->unit_devices);
    tw_json_put_double(w, "spare_replicas", c->spare_replicas);
    tw_json_put_double(w, "fixed_replicas", c->fixed_replicas);
    tw_json_put_bool(w, "sheds_tail", c->sheds_tail);
    tw_json_put_double(w, "device_usd", c->device_usd);
    tw_json_put_double(w, "device_usd_h", c->device_usd_h);
    tw_json_put_uint(w, "life_months", c->life_months);
    tw_json_put_uint(w, "term_months", c->term_months);
    tw_json_put_uint(w, "loan_months", c->loan_months);
    tw_json_put_double(w, "provisioned_w", c->provisioned_w);
    tw_json_put_double(w, "idle_w", c->idle_w);
    tw_json_put_double(w, "busy_w", c->busy_w);
    tw_json_put_double(w, "needs_staff", has_staff ? 1 : 0);
    tw_json_put_double(w, "tail_usd_per_million_tokens", c->tail_usd_per_million_tokens);
    tw_json_object_end(w);
}

static void put_total(struct tw_json_writer *w, const struct tw_cost_result *r)
{
    const struct tw_cost_month *t = &r->total;
    tw_json_key(w, "total_usd");
    tw_json_object_begin(w);
    tw_json_put_double(w, "capex", t->capex);
    tw_json_put_double(w, "loan", t->loan);
    tw_json_put_double(w, "maintenance", t->maintenance);
    tw_json_put_double(w, "energy", t->energy);
    tw_json_put_double(w, "space", t->space);
    tw_json_put_double(w, "staff", t->staff);
    tw_json_put_double(w, "software", t->software);
    tw_json_put_double(w, "rent", t->rent);
    tw_json_put_double(w, "tail", t->tail);
    tw_json_put_double(w, "sold", t->sold);
    tw_json_put_double(w, "paid", t->paid);
    tw_json_put_double(w, "left", r->left_usd);
    tw_json_object_end(w);
}

static void put_api(struct tw_json_writer *w, const struct tw_price_api *api)
{
    tw_json_key(w, "api");
    tw_json_object_begin(w);
    tw_json_put_text(w, "name", api->name);
    tw_json_put_text(w, "provider", api->provider);
    tw_json_put_text(w, "home", api->home);
    tw_json_put_text(w, "currency", api->currency);
    tw_plan_put_range(w, "currency_usd", api->currency_usd);
    tw_json_put_double(w, "batch_discount", api->batch_discount);
    tw_json_put_text(w, "source", api->source);
    tw_json_put_text(w, "date", api->date);
    tw_json_key(w, "tiers");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < api->n_tiers; i++) {
        tw_json_object_begin(w);
        tw_json_put_double(w, "from_tokens", api->tiers[i].from_tokens);
        tw_json_put_double(w, "input_usd_per_million", api->tiers[i].input_usd);
        tw_json_put_double(w, "cached_usd_per_million", api->tiers[i].cached_usd);
        tw_json_put_double(w, "output_usd_per_million", api->tiers[i].output_usd);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_object_end(w);
}

static const char *place_name(const struct tw_plan *plan, int place)
{
    return place >= 0 ? plan->scenario->places[place].name : "";
}

static void put_part(struct tw_json_writer *w, const struct tw_plan *plan,
                     const struct tw_plan_way *way, bool has_staff)
{
    tw_json_object_begin(w);
    tw_json_put_text(w, "model", plan->services[way->service].model->name);
    tw_json_put_uint(w, "at", way->service);
    tw_json_put_text(w, "name", way->name);
    tw_json_put_text(w, "kind", tw_cost_kind_name(way->cost.kind));
    tw_json_put_text(w, "place", place_name(plan, way->place));
    tw_json_put_text(w, "tail_place", place_name(plan, way->tail_place));
    tw_json_put_double(w, "seal_score", way->seal_score);
    tw_json_put_int(w, "sizing", way->sizing == TW_PLAN_NONE ? -1 : (int64_t)way->sizing);
    tw_json_put_text(w, "price_source", way->price_source);
    tw_json_put_text(w, "price_date", way->price_date);
    if (way->api.name != NULL) {
        put_api(w, &way->api);
    }
    tw_json_key(w, "factors");
    tw_json_array_begin(w);
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        const struct tw_range r = tw_plan_range(plan, way, i);
        tw_json_array_begin(w);
        tw_json_double(w, r.low);
        tw_json_double(w, r.typical);
        tw_json_double(w, r.high);
        tw_json_array_end(w);
    }
    tw_json_array_end(w);
    put_cost(w, &way->cost, has_staff);
    tw_json_object_end(w);
}

static void put_drawn(struct tw_json_writer *w, const struct tw_plan_option *o)
{
    tw_plan_put_range(w, "npv_usd_range", o->npv_usd);
    tw_plan_put_range(w, "usd_per_million_tokens_range", o->usd_per_million_tokens);
    tw_plan_put_range(w, "break_even_months", o->break_even_months);
    tw_plan_put_range(w, "utilisation_range", o->utilisation);
    tw_plan_put_range(w, "kwh_per_million_tokens_range", o->kwh_per_million_tokens);
    tw_plan_put_range(w, "co2_kg_per_million_tokens_range", o->co2_kg_per_million_tokens);
    tw_json_put_double(w, "pays_share", o->pays_share);
    tw_json_put_double(w, "best_share", o->best_share);
}

static void put_option(struct tw_json_writer *w, const struct tw_plan *plan,
                       const struct tw_plan_option *o)
{
    const struct tw_cost_result *r = o->result;
    tw_json_object_begin(w);
    tw_json_put_text(w, "name", o->name);
    tw_json_put_text(w, "kind", tw_plan_kind_name(o));
    tw_json_put_bool(w, "admitted", o->blocked == 0);
    if (o->blocked != 0) {
        tw_json_put_text(w, "why_not", o->why_not);
    }
    tw_json_put_double(w, "seal_score", o->seal_score);
    tw_json_put_double(w, "npv_usd", r->npv_usd);
    tw_json_put_double(w, "usd_per_million_tokens", r->usd_per_million_tokens);
    if (o->is_drawn) {
        put_drawn(w, o);
    }
    if (o->driver >= 0) {
        tw_json_put_text(w, "driver", tw_cost_input_rows[o->driver].name);
        tw_json_put_double(w, "driver_share", o->driver_share);
        tw_json_put_text(w, "measure", tw_cost_input_rows[o->driver].measure);
    }
    tw_json_put_double(w, "utilisation", r->utilisation);
    tw_json_put_double(w, "replicas", r->total.replicas);
    tw_json_put_double(w, "devices", r->total.devices);
    tw_json_put_double(w, "tokens_million", r->total.tokens_million);
    tw_json_put_double(w, "tail_tokens_million", r->total.tail_tokens_million);
    tw_json_put_double(w, "kwh_per_million_tokens", r->kwh_per_million_tokens);
    tw_json_put_double(w, "co2_kg_per_million_tokens", r->co2_kg_per_million_tokens);
    tw_json_key(w, "parts");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_services; i++) {
        put_part(w, plan, &plan->ways[o->ways[i]], o->staffed == i);
    }
    tw_json_array_end(w);
    put_total(w, r);
    tw_json_key(w, "cumulative_usd");
    tw_json_array_begin(w);
    for (uint32_t m = 0; m < r->n_months; m++) {
        tw_json_double(w, r->months[m].cumulative);
    }
    tw_json_array_end(w);
    tw_json_object_end(w);
}

static void put_rules(struct tw_json_writer *w, const struct tw_plan *plan)
{
    tw_json_key(w, "rules");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        tw_json_object_begin(w);
        tw_json_put_text(w, "class", plan->scenario->classes[plan->rules[i].class].name);
        tw_json_put_double(w, "usd", plan->rules[i].usd);
        tw_json_put_text(w, "instead", plan->options[plan->rules[i].instead].name);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_put_double(w, "all_rules_usd", plan->all_rules_usd);
    tw_json_put_text(w, "without_rules", plan->options[plan->without_rules].name);
}

static void put_places(struct tw_json_writer *w, const struct tw_plan *plan)
{
    const struct tw_scenario *s = plan->scenario;
    tw_json_key(w, "places");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < s->n_places; i++) {
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", s->places[i].name);
        tw_json_key(w, "seal");
        tw_json_array_begin(w);
        for (int k = 0; k < TW_SEAL_OBJECTIVES; k++) {
            tw_json_uint(w, s->places[i].seal.level[k]);
        }
        tw_json_array_end(w);
        tw_json_put_double(w, "score", tw_seal_score(&s->places[i].seal));
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_put_bool(w, "places_told", s->places_told);
}

static void put_option_name(struct tw_json_writer *w, const struct tw_plan *plan, const char *key,
                            uint32_t option)
{
    if (option != TW_PLAN_NONE) {
        tw_json_put_text(w, key, plan->options[option].name);
    }
}

void tw_plan_json(const struct tw_plan *plan, struct tw_buf *out)
{
    const struct tw_scenario *s = plan->scenario;
    struct tw_json_writer writer, *w = &writer;
    tw_json_begin(w, out);
    tw_json_object_begin(w);
    tw_json_put_text(w, "scenario", s->name);
    tw_json_put_text(w, "day", s->day);
    tw_json_put_text(w, "currency", s->currency);
    tw_plan_put_range(w, "currency_usd", plan->currency_usd);
    tw_json_put_text(w, "unit_of_usd",
                     "US dollars, whatever the currency: divide by currency_usd for it");
    tw_json_put_text(w, "currency_source", plan->currency != NULL ? plan->currency->source : "");
    tw_json_put_text(w, "currency_date", plan->currency != NULL ? plan->currency->date : "");
    put_models(w, plan);
    put_demand(w, &plan->services[0].demand, tw_plan_million_tokens_h(plan));
    put_inputs(w, plan);
    put_places(w, plan);
    tw_json_put_text(w, "answer", plan->options[plan->best].name);
    tw_json_put_bool(w, "keep_buying_tokens", plan->options[plan->best].kind == TW_COST_TOKENS);
    tw_json_put_double(w, "advantage_usd", plan->advantage_usd);
    tw_json_put_double(w, "flip_load", plan->flip_load);
    tw_json_put_double(w, "flip_utilisation", plan->flip_utilisation);
    put_option_name(w, plan, "flip_option", plan->flip_option);
    put_option_name(w, plan, "always_cheaper", plan->always_cheaper);
    put_option_name(w, plan, "runner_up", plan->runner_up);
    put_option_name(w, plan, "tokens", plan->tokens);
    put_rules(w, plan);
    tw_json_key(w, "tornado");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_bars; i++) {
        tw_json_object_begin(w);
        tw_json_put_text(w, "input", tw_cost_input_rows[plan->bars[i].input].name);
        tw_json_put_double(w, "at_low_usd", plan->bars[i].at_low_usd);
        tw_json_put_double(w, "at_high_usd", plan->bars[i].at_high_usd);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_key(w, "sizings");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_sizings; i++) {
        put_sizing(w, &plan->sizings[i]);
    }
    tw_json_array_end(w);
    tw_json_key(w, "options");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < plan->n_options; i++) {
        put_option(w, plan, &plan->options[i]);
    }
    tw_json_array_end(w);
    tw_json_put_uint(w, "life_months", s->life_months);
    tw_json_put_uint(w, "loan_months", s->loan_months);
    tw_json_put_uint(w, "spare_replicas", s->n_spare_replicas);
    tw_json_put_uint(w, "draws", s->n_draws);
    tw_json_put_uint(w, "seed", plan->seed);
    tw_json_put_uint(w, "simulations", plan->n_simulations);
    tw_json_object_end(w);
}

/* ---- CSV ---- */

static void put_quoted(struct tw_buf *out, const char *text)
{
    tw_buf_append(out, "\"", 1);
    for (const char *c = text; *c != '\0'; c++) {
        tw_buf_append(out, c, 1);
        if (*c == '"') {
            tw_buf_append(out, "\"", 1);
        }
    }
    tw_buf_append(out, "\"", 1);
}

void tw_plan_csv(const struct tw_plan *plan, struct tw_buf *out)
{
    tw_buf_append_text(out, "option,kind,admitted,month,devices,capex_usd,loan_usd,"
                            "maintenance_usd,energy_usd,space_usd,staff_usd,software_usd,rent_usd,"
                            "tail_usd,sold_usd,cumulative_usd,tokens_million,tail_tokens_million,"
                            "kwh\n");
    for (uint32_t o = 0; o < plan->n_options; o++) {
        const struct tw_plan_option *option = &plan->options[o];
        for (uint32_t i = 0; i < option->result->n_months; i++) {
            const struct tw_cost_month *m = &option->result->months[i];
            put_quoted(out, option->name);
            tw_buf_append_format(
                out,
                ",%s,%d,%u,%g,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.6f,%.6f,"
                "%.3f\n",
                tw_plan_kind_name(option), option->blocked == 0, i + 1, m->devices, m->capex,
                m->loan, m->maintenance, m->energy, m->space, m->staff, m->software, m->rent,
                m->tail, m->sold, m->cumulative, m->tokens_million, m->tail_tokens_million, m->kwh);
        }
    }
}
