/* Writes random options, demands and inputs with what cost.c makes of them, as JSON: what a
 * report's page must come to as well. */
#include <stdio.h>

#include "base/json.h"
#include "base/rng.h"
#include "plan/cost.h"

enum { CASES = 140 };

static uint64_t drawn;

static double between(double low, double high)
{
    return low + (high - low) * tw_rng_uniform(11, drawn++);
}

static uint32_t whole(uint32_t most)
{
    return (uint32_t)between(0, most + 0.999);
}

static void put_list(struct tw_json_writer *w, const char *key, const double *values, size_t n)
{
    tw_json_key(w, key);
    tw_json_array_begin(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_double(w, values[i]);
    }
    tw_json_array_end(w);
}

static struct tw_cost_demand make_demand(void)
{
    struct tw_cost_demand d = {.n_classes = 3, .n_months = 6 + whole(60)};
    for (int i = 0; i < 3; i++) {
        d.hours[i] = between(50, 400);
        d.load[i] = i == 0 ? 1 : between(0, 1);
    }
    d.million_tokens_h = between(0.1, 50);
    return d;
}

static struct tw_cost_option make_option(uint32_t kind)
{
    struct tw_cost_option o = {
        .kind = (enum tw_cost_kind)kind,
        .devices_per_replica = 1 + whole(7),
        .unit_devices = whole(8),
        .spare_replicas = whole(2),
        .device_usd = between(1000, 50000),
        .device_usd_h = between(0.5, 8),
        .life_months = 12 + whole(60),
        .term_months = 12,
        .loan_months = 12 + whole(48),
        .provisioned_w = between(300, 1500),
        .idle_w = between(100, 500),
        .busy_w = between(500, 3000),
        .needs_staff = between(0, 1),
        .tail_usd_per_million_tokens = between(0.05, 20),
    };
    if (kind != TW_COST_TOKENS) {
        o.capacity.n_points = 2;
        o.capacity.replicas[0] = 1;
        o.capacity.load[0] = between(0.05, 0.5);
        o.capacity.replicas[1] = 2 + whole(9);
        o.capacity.load[1] = o.capacity.load[0] * o.capacity.replicas[1] * between(1, 1.2);
    }
    if (kind == TW_COST_HYBRID) {
        o.fixed_replicas = 1 + whole(1);
        o.sheds_tail = true;
    }
    return o;
}

static void put_option(struct tw_json_writer *w, const struct tw_cost_option *o)
{
    tw_json_key(w, "cost");
    tw_json_object_begin(w);
    tw_json_put_int(w, "kind", o->kind);
    put_list(w, "replicas", o->capacity.replicas, o->capacity.n_points);
    put_list(w, "load", o->capacity.load, o->capacity.n_points);
    tw_json_put_double(w, "devices_per_replica", o->devices_per_replica);
    tw_json_put_double(w, "unit_devices", o->unit_devices);
    tw_json_put_double(w, "spare_replicas", o->spare_replicas);
    tw_json_put_double(w, "fixed_replicas", o->fixed_replicas);
    tw_json_put_bool(w, "sheds_tail", o->sheds_tail);
    tw_json_put_double(w, "device_usd", o->device_usd);
    tw_json_put_double(w, "device_usd_h", o->device_usd_h);
    tw_json_put_uint(w, "life_months", o->life_months);
    tw_json_put_uint(w, "term_months", o->term_months);
    tw_json_put_uint(w, "loan_months", o->loan_months);
    tw_json_put_double(w, "provisioned_w", o->provisioned_w);
    tw_json_put_double(w, "idle_w", o->idle_w);
    tw_json_put_double(w, "busy_w", o->busy_w);
    tw_json_put_double(w, "needs_staff", o->needs_staff);
    tw_json_put_double(w, "tail_usd_per_million_tokens", o->tail_usd_per_million_tokens);
    tw_json_object_end(w);
}

static void put_demand(struct tw_json_writer *w, const struct tw_cost_demand *d)
{
    tw_json_key(w, "demand");
    tw_json_object_begin(w);
    tw_json_put_uint(w, "months", d->n_months);
    tw_json_put_double(w, "million_tokens_per_peak_h", d->million_tokens_h);
    put_list(w, "hours", d->hours, d->n_classes);
    put_list(w, "load", d->load, d->n_classes);
    tw_json_object_end(w);
}

static void put_case(struct tw_json_writer *w, uint32_t i)
{
    const uint32_t n_parts = 1 + i % 2;
    struct tw_cost_demand d[2];
    struct tw_cost_option o[2];
    struct tw_cost_result r = {0}, tokens;
    double in[TW_COST_INPUTS], months = 0;
    tw_json_object_begin(w);
    tw_json_key(w, "parts");
    tw_json_array_begin(w);
    for (uint32_t k = 0; k < n_parts; k++) {
        d[k] = make_demand();
        d[k].n_months = d[0].n_months;
        o[k] = make_option((i / 2 + k) % TW_COST_KINDS);
        tw_json_object_begin(w);
        put_demand(w, &d[k]);
        put_option(w, &o[k]);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_key(w, "inputs");
    tw_json_object_begin(w);
    for (int k = 0; k < TW_COST_INPUTS; k++) {
        const struct tw_range range = tw_cost_input_rows[k].range;
        in[k] = k < TW_COST_FACTORS         ? between(0.3, 3)
                : range.high > range.low    ? between(range.low, range.high)
                : k == TW_COST_FINANCED     ? between(0, 1)
                : k == TW_COST_SOFTWARE_USD ? between(0, 5000)
                                            : between(-0.2, 0.6);
        tw_json_put_double(w, tw_cost_input_rows[k].name, in[k]);
    }
    tw_json_object_end(w);
    for (uint32_t k = 0; k < n_parts; k++) {
        struct tw_cost_result part;
        tw_cost_evaluate(&d[k], &o[k], in, &part);
        tw_cost_add(&r, &part);
    }
    const struct tw_cost_option bought = make_option(TW_COST_TOKENS);
    tw_cost_evaluate(&d[0], &bought, in, &tokens);
    const bool pays = tw_cost_break_even(&r, &tokens, &months);
    tw_json_key(w, "tokens");
    tw_json_object_begin(w);
    put_option(w, &bought);
    tw_json_object_end(w);
    tw_json_put_double(w, "break_even", pays ? months : -1);
    tw_json_put_double(w, "npv_usd", r.npv_usd);
    tw_json_put_double(w, "usd_per_million_tokens", r.usd_per_million_tokens);
    tw_json_put_double(w, "utilisation", r.utilisation);
    tw_json_put_double(w, "co2_kg_per_million_tokens", r.co2_kg_per_million_tokens);
    tw_json_put_double(w, "kwh_per_million_tokens", r.kwh_per_million_tokens);
    tw_json_put_double(w, "paid_usd", r.total.paid);
    tw_json_put_double(w, "devices", r.total.devices);
    tw_json_object_end(w);
}

int main(void)
{
    struct tw_buf out;
    struct tw_json_writer w;
    tw_buf_init(&out, 1u << 24);
    tw_json_begin(&w, &out);
    tw_json_array_begin(&w);
    for (uint32_t i = 0; i < CASES; i++) {
        put_case(&w, i);
    }
    tw_json_array_end(&w);
    fwrite(out.data, 1, out.size_bytes, stdout);
    tw_buf_free(&out);
    return 0;
}
