#include "plan/plant.h"

#include <math.h>
#include <string.h>

#include "plan/model_shape.h"

#define GIB 1073741824.0

static double whole_up(double x)
{
    return ceil(x - 1e-9);
}

double tw_plan_low_is_bad(const struct tw_plant *plant, struct tw_range r)
{
    return plant->outlook == TW_PLAN_TYPICAL       ? r.typical
           : plant->outlook == TW_PLAN_PESSIMISTIC ? r.low
                                                   : r.high;
}

double tw_plan_high_is_bad(const struct tw_plant *plant, struct tw_range r)
{
    return plant->outlook == TW_PLAN_TYPICAL       ? r.typical
           : plant->outlook == TW_PLAN_PESSIMISTIC ? r.high
                                                   : r.low;
}

/* ---- KV ---- */

/* Of one layer on one device. A head is on one device at least: fewer heads than devices are
 * repeated. A latent is one for all heads, so every device has it. */
static double layer_token_bytes(const struct tw_plan_model *m, const struct tw_number_format *kv,
                                uint32_t n_tensor)
{
    const double bytes = kv->bits / 8;
    if (m->n_kv_latent > 0) {
        return (m->n_kv_latent + m->n_rope_latent) * bytes;
    }
    return 2.0 * whole_up((double)m->n_kv_heads / n_tensor) * m->head_dim * bytes;
}

double tw_plan_kv_token_bytes(const struct tw_plan_model *m, const struct tw_number_format *kv,
                              uint32_t n_tensor)
{
    return (m->n_layers - m->n_state_layers) * layer_token_bytes(m, kv, n_tensor);
}

double tw_plan_kv_sequence_bytes(const struct tw_plan_model *m, const struct tw_number_format *kv,
                                 uint32_t n_tensor, uint64_t n_tokens)
{
    const double n_full = m->n_layers - m->n_window_layers - m->n_state_layers;
    const double n = (double)n_tokens;
    const double n_seen = m->n_window > 0 && n > m->n_window ? m->n_window : n;
    return layer_token_bytes(m, kv, n_tensor) * (n_full * n + m->n_window_layers * n_seen) +
           m->state_bytes / n_tensor;
}

/* ---- weights ---- */

static double bytes_at(double n_parameters, double bits)
{
    return n_parameters * bits / 8;
}

/* GPU formats leave the embedding and the head in bf16 (and mxfp4 all but the experts); those of
 * GGUF files have all matrices. */
struct weight_bytes {
    double layers, experts, head, embedding;
};

static struct weight_bytes weight_bytes(const struct tw_plan_model *m,
                                        const struct tw_number_format *format)
{
    const struct tw_plan_parts p = tw_plan_model_parts(m);
    const double counted = p.dense + p.experts + p.head + p.embedding + p.norms;
    const double other = m->n_parameters > counted ? m->n_parameters - counted : 0;
    const double wide = format->bits > 16 ? format->bits : 16;
    const double head_bits = format->has_all ? format->bits : wide;
    const double dense_bits = format->experts_only && p.experts > 0 ? 16 : format->bits;
    return (struct weight_bytes){
        .layers = bytes_at(p.dense, dense_bits) + bytes_at(p.norms + other, wide),
        .experts = bytes_at(p.experts, format->bits),
        .head = bytes_at(p.head, head_bits),
        .embedding = bytes_at(p.embedding, head_bits),
    };
}

double tw_plan_weights_bytes(const struct tw_plan_model *m, const struct tw_number_format *format)
{
    if (m->weights_bytes > 0 && strcmp(m->format, format->name) == 0) {
        return m->weights_bytes;
    }
    const struct weight_bytes b = weight_bytes(m, format);
    return b.layers + b.experts + b.head + b.embedding;
}

/* On the fullest device: of pipeline stages the last, or the first, which has a table of words
 * beside its layers. */
static double device_weights(const struct tw_plant *plant)
{
    const struct tw_plan_model *m = plant->model;
    const struct weight_bytes b = weight_bytes(m, plant->weights);
    const double total = b.layers + b.experts + b.head + b.embedding;
    const double scale = tw_plan_weights_bytes(m, plant->weights) / total;
    if (plant->n_pipeline <= 1) {
        return total * scale / plant->n_tensor;
    }
    const double share = whole_up((double)m->n_layers / plant->n_pipeline) / m->n_layers;
    return ((b.layers + b.experts) * share + b.head) * scale / plant->n_tensor;
}

/* ---- what fits ---- */

static enum tw_status check_split(const struct tw_plant *plant, struct tw_error *error)
{
    const struct tw_plan_model *m = plant->model;
    const uint32_t n = plant->n_tensor;
    if (n == 0 || plant->n_pipeline == 0 || plant->n_pipeline > m->n_layers) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "%s has %u layers: it cannot run in %u pipeline stages", m->name,
                            m->n_layers, plant->n_pipeline);
    }
    if (m->n_heads % n != 0 || m->n_vocab % n != 0 ||
        (m->n_kv_heads % n != 0 && n % m->n_kv_heads != 0)) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "%s has %u heads (%u for keys) and %u words: %u devices cannot share "
                            "them evenly; take 1, 2, 4 or 8",
                            m->name, m->n_heads, m->n_kv_heads, m->n_vocab, n);
    }
    if (n > plant->device->n_linked) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "tensor parallelism over %u of %s: their link joins %u; use pipeline "
                            "stages beyond that",
                            n, plant->device->name, plant->device->n_linked);
    }
    return TW_OK;
}

static void fill_pool(const struct tw_plant *plant, struct tw_plan_memory *memory)
{
    const struct tw_plan_model *m = plant->model;
    const uint32_t page_tokens =
        plant->page_tokens > 0 ? plant->page_tokens : plant->engine->page_tokens;
    const double share =
        whole_up((double)m->n_layers / plant->n_pipeline) / m->n_layers; /* of the layers */
    const uint64_t n_context = plant->n_context_tokens > 0 ? plant->n_context_tokens : 1;
    const uint64_t n_whole = (n_context + page_tokens - 1) / page_tokens * page_tokens;
    const double sequence =
        share * tw_plan_kv_sequence_bytes(m, plant->kv, plant->n_tensor, n_whole);
    memory->kv_token_bytes = share * tw_plan_kv_token_bytes(m, plant->kv, plant->n_tensor);
    const double average = sequence / (double)n_whole; /* windows and states counted */
    const double pool = memory->kv_bytes > 0 ? memory->kv_bytes : 0;
    memory->n_kv_tokens = (uint64_t)(pool / (average * page_tokens)) * page_tokens;
    memory->n_full_sequences = pool / sequence;
    if (plant->n_kv_tokens > 0) {
        memory->n_kv_tokens = plant->n_kv_tokens;
        memory->n_full_sequences = (double)plant->n_kv_tokens / (double)n_whole;
    }
}

enum tw_status tw_plan_fit(const struct tw_plant *plant, struct tw_plan_memory *ret_memory,
                           struct tw_error *error)
{
    const struct tw_plan_engine *engine = plant->engine;
    enum tw_status status = check_split(plant, error);
    if (status != TW_OK) {
        return status;
    }
    const double n_sequences = plant->n_sequences > 0 ? plant->n_sequences : engine->n_sequences;
    struct tw_plan_memory memory = {
        .total_bytes = tw_plan_low_is_bad(plant, plant->device->memory_bytes),
        .weights_bytes = device_weights(plant),
        .activation_bytes =
            tw_plan_high_is_bad(plant, engine->activation_bytes) +
            n_sequences * plant->model->n_vocab * tw_plan_high_is_bad(plant, engine->logit_bytes),
        .other_bytes = tw_plan_high_is_bad(plant, plant->n_tensor > 1 ? engine->other_parallel_bytes
                                                                      : engine->other_bytes),
    };
    memory.usable_bytes = memory.total_bytes * engine->memory_share;
    memory.kv_bytes =
        memory.usable_bytes - memory.weights_bytes - memory.activation_bytes - memory.other_bytes;
    fill_pool(plant, &memory);
    *ret_memory = memory;
    if (memory.n_full_sequences >= 1) {
        return TW_OK;
    }
    const double short_bytes = memory.weights_bytes + memory.activation_bytes + memory.other_bytes +
                               plant->n_context_tokens * memory.kv_token_bytes -
                               memory.usable_bytes;
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "%s in %s on %u x %s is %.1f GiB short a device (weights %.1f, engine "
                        "%.1f, usable %.1f) for one text of %u tokens: take more devices, a "
                        "smaller format or a shorter context",
                        plant->model->name, plant->weights->name,
                        plant->n_tensor * plant->n_pipeline, plant->device->name, short_bytes / GIB,
                        memory.weights_bytes / GIB,
                        (memory.activation_bytes + memory.other_bytes) / GIB,
                        memory.usable_bytes / GIB, plant->n_context_tokens);
}
