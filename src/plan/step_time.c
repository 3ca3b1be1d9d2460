#include "plan/step_time.h"

#include <math.h>

#include "plan/model_shape.h"

static double kept_up(const struct tw_plant *plant, enum tw_plan_rate rate)
{
    return tw_plan_low_is_bad(plant, plant->device->ops_s[rate]) *
           tw_plan_low_is_bad(plant, plant->device->sustained[rate]);
}

/* What the device does in a second with weights of a format: its own rate, or bf16's where it has
 * none, as kernels then widen the weights first. */
static double ops_s(const struct tw_plant *plant, enum tw_plan_rate rate)
{
    return fmax(kept_up(plant, rate), kept_up(plant, TW_PLAN_RATE_BF16)) *
           tw_plan_low_is_bad(plant, plant->engine->compute_share);
}

/* Of one token and layer on one device, in bytes: what is written and read again between products,
 * kernel by kernel, of a layer with grouped heads and a gated feed-forward, in bf16. Norms with
 * their residuals read two states and write two (one quantised), each on every device whole; the
 * products read quantised inputs and write wide outputs; rotating reads and writes queries and
 * keys, attention reads and writes heads, and its output is quantised; the gate reads two rows and
 * writes a quantised one. With experts, a token's state is copied to each it chose, and their
 * outputs are gathered. */
static double activation_bytes(const struct tw_plan_model *m, double n_tensor)
{
    const double d = m->n_embed, heads = (double)m->n_heads * m->head_dim;
    const double n_mixed = m->n_experts > 0 ? m->n_layers - m->n_dense_layers : 0;
    const double ffn =
        ((m->n_layers - n_mixed) * m->n_ffn +
         n_mixed * (m->n_experts_used + m->n_shared_experts) * (double)m->n_expert_ffn) /
        m->n_layers;
    const double experts = n_mixed / m->n_layers * (2 + 2.5 * m->n_experts_used) * d;
    const double whole = 2 * 3.5 * d + 2 * 0.5 * d + 2 * d + experts;
    const double split = 6.5 * heads + 5 * ffn;
    return 2 * (whole + split / n_tensor);
}

static double wire_s(const struct tw_plant *plant, double n_bytes)
{
    return n_bytes / (tw_plan_low_is_bad(plant, plant->device->link_bytes_s) *
                      tw_plan_low_is_bad(plant, plant->engine->link_share));
}

/* Two all-reduces a layer with tensor parallelism, one message a boundary of stages. */
static void add_collectives(const struct tw_plant *plant, struct tw_step_cost *cost)
{
    const struct tw_plan_model *m = plant->model;
    const double n = plant->n_tensor, token_bytes = 2.0 * m->n_embed;
    const double latency = tw_plan_high_is_bad(plant, plant->engine->reduce_s);
    if (n > 1) {
        cost->reduce_s += 2.0 * m->n_layers * latency;
        cost->reduce_token_s += 2.0 * m->n_layers * wire_s(plant, 2 * (n - 1) / n * token_bytes);
    }
    if (plant->n_pipeline > 1) {
        cost->reduce_s += (plant->n_pipeline - 1) * latency;
        cost->reduce_token_s += (plant->n_pipeline - 1) * wire_s(plant, token_bytes / n);
    }
}

/* Of the whole model: with pipeline stages a step passes through all of them. */
static void add_roofline(const struct tw_plant *plant, struct tw_step_cost *cost)
{
    const struct tw_plan_model *m = plant->model;
    const struct tw_plan_parts p = tw_plan_model_parts(m);
    const double n = plant->n_tensor;
    const double bytes_s = tw_plan_low_is_bad(plant, plant->device->bandwidth_bytes_s) *
                           tw_plan_low_is_bad(plant, plant->engine->bandwidth_share) * n;
    const double all = tw_plan_weights_bytes(m, plant->weights);
    const double experts = p.experts * plant->weights->bits / 8;
    const double embedding =
        (m->tied_head ? 0 : p.head) * (plant->weights->has_all ? plant->weights->bits / 8 : 2);
    const double linear = ops_s(plant, plant->weights->rate) * n;
    const double wide = ops_s(plant, TW_PLAN_RATE_BF16) * n;
    cost->token_s = 2 * (p.dense + p.n_mixed_layers * m->n_experts_used * p.expert) / linear;
    cost->result_s = 2 * p.head / wide;
    cost->attended_s =
        4.0 * m->n_heads *
        (m->n_kv_latent > 0 ? m->n_kv_latent + 0.5 * m->n_rope_latent : m->head_dim) *
        (m->n_layers - m->n_state_layers) /
        (wide * tw_plan_low_is_bad(plant, plant->engine->attention_share));
    cost->activation_s = m->n_layers * activation_bytes(m, n) * n / bytes_s *
                         tw_plan_high_is_bad(plant, plant->engine->passes);
    cost->weights_s = (all - experts - embedding) / bytes_s;
    cost->experts_s = experts / bytes_s;
    cost->expert_share = m->n_experts > 0 ? (double)m->n_experts_used / m->n_experts : 0;
    const double layer = tw_plan_kv_token_bytes(m, plant->kv, plant->n_tensor) * n /
                         (m->n_layers > m->n_state_layers ? m->n_layers - m->n_state_layers : 1) /
                         bytes_s;
    cost->context_read_s = layer * (m->n_layers - m->n_window_layers - m->n_state_layers);
    cost->context_s = fmax(cost->context_read_s, cost->attended_s);
    cost->window_s = layer * m->n_window_layers;
    cost->n_window = m->n_window_layers > 0 ? m->n_window : 0;
}

enum tw_status tw_step_cost_make(const struct tw_plant *plant, struct tw_step_cost *ret_cost,
                                 struct tw_error *error)
{
    struct tw_plan_memory memory;
    enum tw_status status = tw_plan_fit(plant, &memory, error);
    if (status != TW_OK) {
        return status;
    }
    const struct tw_plan_engine *engine = plant->engine;
    const double n_devices = (double)plant->n_tensor * plant->n_pipeline;
    const double host = tw_plan_high_is_bad(plant, plant->device->host_w);
    struct tw_step_cost cost = {
        .fixed_s = tw_plan_high_is_bad(plant, engine->step_s) +
                   plant->model->n_layers * tw_plan_high_is_bad(plant, engine->layer_s),
        .overlap = tw_plan_low_is_bad(plant, engine->overlap),
        .row_s = tw_plan_high_is_bad(plant, engine->row_s),
        .request_s = tw_plan_high_is_bad(plant, engine->request_s),
        .idle_w = n_devices * (tw_plan_high_is_bad(plant, plant->device->idle_w) + 0.6 * host),
        .busy_w = n_devices * (tw_plan_high_is_bad(plant, plant->device->power_w) + host),
    };
    add_roofline(plant, &cost);
    add_collectives(plant, &cost);
    *ret_cost = cost;
    return TW_OK;
}

/* Of the experts: the share that at least one of n tokens takes, if all are as likely. */
static double touched(double share, double n)
{
    return share > 0 ? 1 - exp(n * log1p(-share)) : 0;
}

/* Of two things that a step's kernels do partly at once: a power mean between their sum (overlap 0)
 * and the longer one (overlap 1). Kernels differ in which of the two holds them up, and each ramps
 * up and down, so that the sum is nearer where both take as long, and the longer one elsewhere. */
static double join(double a, double b, double overlap)
{
    const double most = a > b ? a : b, least = a > b ? b : a;
    if (overlap <= 0 || most <= 0) {
        return most + least;
    }
    const double power = overlap < 0.98 ? 1 / (1 - overlap) : 50;
    return most * pow(1 + pow(least / most, power), 1 / power);
}

/* All that does not depend on contexts. */
static struct tw_step_parts steady_parts(const struct tw_step_cost *c, const struct tw_step_work *w)
{
    const double n = (double)w->n_tokens;
    struct tw_step_parts parts = {
        .fixed_s = c->fixed_s + c->row_s * (double)w->n_rows,
        .compute_s = c->token_s * n + c->result_s * (double)w->n_results,
        .memory_s = c->weights_s + c->experts_s * touched(c->expert_share, n),
        .link_s = c->reduce_s + c->reduce_token_s * n,
    };
    const double activation_s = c->activation_s * n;
    parts.total_s = parts.fixed_s + parts.link_s +
                    join(parts.compute_s, parts.memory_s, c->overlap) + activation_s;
    parts.memory_s += activation_s;
    return parts;
}

/* The first token that sees a position reads its keys and values, further ones of the same step
 * only compute with them. */
struct tw_step_parts tw_step_parts(const struct tw_step_cost *c, const struct tw_step_work *w)
{
    struct tw_step_parts parts = steady_parts(c, w);
    const double n_more = w->n_attended - w->n_context_tokens;
    parts.total_s += c->window_s * w->n_window_tokens;
    parts.total_s += c->context_s * w->n_context_tokens;
    parts.total_s += n_more > 0 ? c->attended_s * n_more : 0;
    parts.compute_s += c->attended_s * w->n_attended;
    parts.memory_s += c->window_s * w->n_window_tokens + c->context_read_s * w->n_context_tokens;
    return parts;
}

struct tw_step_line tw_step_line_of(const struct tw_step_cost *c, const struct tw_step_work *w)
{
    const struct tw_step_parts parts = steady_parts(c, w);
    return (struct tw_step_line){
        .fixed_s = parts.total_s + c->window_s * w->n_window_tokens,
        .token_s = c->context_s,
        .compute_s = parts.compute_s,
        .compute_token_s = c->attended_s,
    };
}

uint64_t tw_step_ns(const struct tw_step_cost *cost, const struct tw_step_work *work)
{
    return (uint64_t)(tw_step_parts(cost, work).total_s * 1e9 + 0.5);
}

double tw_step_decode_s(const struct tw_step_cost *cost, uint32_t n_sequences,
                        double n_context_tokens)
{
    const double sum = n_sequences * n_context_tokens;
    const double seen =
        cost->n_window > 0 && n_context_tokens > cost->n_window ? cost->n_window : n_context_tokens;
    const struct tw_step_work work = {.n_tokens = n_sequences,
                                      .n_rows = n_sequences,
                                      .n_results = n_sequences,
                                      .n_context_tokens = sum,
                                      .n_window_tokens = n_sequences * seen,
                                      .n_attended = sum};
    return tw_step_parts(cost, &work).total_s;
}

double tw_step_prefill_s(const struct tw_step_cost *cost, uint32_t n_tokens)
{
    const double n = n_tokens;
    const struct tw_step_work work = {.n_tokens = n_tokens,
                                      .n_rows = 1,
                                      .n_results = 1,
                                      .n_context_tokens = n,
                                      .n_window_tokens = n,
                                      .n_attended = n * (n + 1) / 2};
    return tw_step_parts(cost, &work).total_s;
}
