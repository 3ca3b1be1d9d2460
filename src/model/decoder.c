/* The forward pass of the decoder, as operations on the device's stream. */
#include "model/decoder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/arch.h"

/* Most of a layer: 14 of the attention, 11 of a feed-forward whose gate and up differ in format
 * (12 of one with experts). */
enum { OPERATIONS_PER_LAYER = 14 + 12, OPERATIONS_AROUND = 8 };

uint32_t tw_decoder_operations(const struct tw_model_shape *shape)
{
    return OPERATIONS_PER_LAYER * shape->n_layers + OPERATIONS_AROUND;
}

/* The pair index at which a rotation makes `turns` turns over the original context. */
static double yarn_dimension(const struct tw_rope_shape *rope, double turns)
{
    return rope->n_dims * log(rope->original_context_tokens / (turns * 2 * M_PI)) /
           (2 * log(rope->freq_base));
}

/* YaRN (Peng et al. 2023, section 3.2): high frequencies stay, low ones are stretched by the
 * factor, those between are blended linearly. */
static void blend_yarn(const struct tw_rope_shape *rope, double *frequencies)
{
    double low = floor(yarn_dimension(rope, rope->beta_fast));
    double high = ceil(yarn_dimension(rope, rope->beta_slow));
    low = low > 0 ? low : 0;
    high = high < rope->n_dims - 1 ? high : rope->n_dims - 1;
    double width = high - low > 0.001 ? high - low : 0.001;
    for (uint32_t i = 0; i < rope->n_dims / 2; i++) {
        double ramp = (i - low) / width;
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        double keep = 1 - ramp;
        frequencies[i] = frequencies[i] / rope->factor * (1 - keep) + frequencies[i] * keep;
    }
}

enum tw_status tw_decoder_init_rope(struct tw_model *model, struct tw_error *error)
{
    const struct tw_rope_shape *rope = &model->shape.rope;
    uint32_t n_pairs = rope->n_dims / 2;
    double *frequencies = tw_mem_alloc(n_pairs, sizeof *frequencies);
    float *factors = tw_mem_alloc(n_pairs, sizeof *factors);
    model->rope_frequencies = frequencies;
    if (frequencies == NULL || factors == NULL) {
        tw_mem_free(factors);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for RoPE");
    }
    enum tw_status status = tw_arch_rope_factors(model->files, &model->shape, factors, error);
    if (status != TW_OK) {
        tw_mem_free(factors);
        return status;
    }
    for (uint32_t i = 0; i < n_pairs; i++) {
        frequencies[i] = pow(rope->freq_base, -2.0 * i / rope->n_dims) / (double)factors[i];
    }
    tw_mem_free(factors);
    model->rope_magnitude = 1;
    if (rope->scaling == TW_ROPE_SCALING_LINEAR) {
        for (uint32_t i = 0; i < n_pairs; i++) {
            frequencies[i] /= rope->factor;
        }
    } else if (rope->scaling == TW_ROPE_SCALING_YARN) {
        blend_yarn(rope, frequencies);
        model->rope_magnitude = rope->attention_factor != 0
                                    ? rope->attention_factor
                                    : tw_arch_yarn_magnitude(rope->factor, 1);
    }
    return TW_OK;
}

static enum tw_status check_sequence(const struct tw_model *model, const struct tw_kv_cache *cache,
                                     const struct tw_batch_sequence *sequence,
                                     struct tw_error *error)
{
    if (sequence->n_tokens == 0 || sequence->n_outputs > sequence->n_tokens) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a sequence of %u tokens cannot give %u outputs", sequence->n_tokens,
                            sequence->n_outputs);
    }
    for (uint32_t i = 0; i < sequence->n_tokens; i++) {
        tw_token token = sequence->tokens[i];
        if (token < 0 || (uint32_t)token >= model->shape.n_vocab) {
            return tw_error_set(error, TW_ERR_USAGE, i,
                                "token %d at position %u is outside the vocabulary of %u", token,
                                sequence->first_position + i, model->shape.n_vocab);
        }
    }
    uint32_t last = sequence->first_position + sequence->n_tokens - 1;
    for (uint32_t page = 0; page <= last / TW_KV_PAGE_TOKENS; page++) {
        if (sequence->pages[page] >= cache->n_pages) {
            return tw_error_set(error, TW_ERR_USAGE, page, "page %u of a cache of %u pages",
                                sequence->pages[page], cache->n_pages);
        }
    }
    return TW_OK;
}

/* Lays the sequences out as rows. The sizes were the caller's choice, so they are its error. */
static enum tw_status build_batch(struct tw_model *model, const struct tw_kv_cache *cache,
                                  const struct tw_batch_sequence *sequences, uint32_t n_sequences,
                                  struct tw_device_batch *ret_batch, struct tw_error *error)
{
    uint32_t n_rows = 0, n_outputs = 0;
    for (uint32_t s = 0; s < n_sequences; s++) {
        const struct tw_batch_sequence *sequence = &sequences[s];
        enum tw_status status = check_sequence(model, cache, sequence, error);
        if (status != TW_OK) {
            return status;
        }
        if (sequence->n_tokens > model->max_rows - n_rows) {
            return tw_error_set(error, TW_ERR_LIMIT, s, "a batch may have %u tokens",
                                model->max_rows);
        }
        for (uint32_t i = 0; i < sequence->n_tokens; i++) {
            if (i >= sequence->n_tokens - sequence->n_outputs) {
                model->outputs[n_outputs++] = n_rows;
            }
            model->rows[n_rows++] = (struct tw_device_row){
                .token = sequence->tokens[i],
                .position = sequence->first_position + i,
                .table = s,
            };
        }
        model->tables[s] = sequence->pages;
    }
    *ret_batch = (struct tw_device_batch){.n_rows = n_rows,
                                          .rows = model->rows,
                                          .tables = model->tables,
                                          .n_outputs = n_outputs,
                                          .outputs = model->outputs};
    return TW_OK;
}

/* Angles in double: a position of 100,000 times a frequency near 1 leaves f32 four digits. */
static void fill_cos_sin(struct tw_model *model, const struct tw_device_batch *batch)
{
    uint32_t n_pairs = model->shape.rope.n_dims / 2;
    for (uint32_t n = 0; n < batch->n_rows; n++) {
        float *cosines = model->cos_sin_host + (size_t)n * 2 * n_pairs;
        for (uint32_t i = 0; i < n_pairs; i++) {
            double angle = batch->rows[n].position * model->rope_frequencies[i];
            cosines[i] = (float)(cos(angle) * model->rope_magnitude);
            cosines[n_pairs + i] = (float)(sin(angle) * model->rope_magnitude);
        }
    }
    tw_device_buffer_write(model->cos_sin, 0, model->cos_sin_host,
                           (size_t)batch->n_rows * 2 * n_pairs * sizeof(float));
}

static void put_attention(struct tw_model *model, struct tw_kv_cache *cache, uint32_t index)
{
    struct tw_stream *stream = model->stream;
    const struct tw_model_shape *shape = &model->shape;
    const struct tw_decoder_layer *layer = &model->layers[index];
    uint32_t q_width = shape->n_heads * shape->head_dim;
    uint32_t kv_width = shape->n_kv_heads * shape->head_dim;
    uint32_t stride = q_width + 2 * kv_width;
    enum tw_epilogue epilogue = shape->has_qkv_bias ? TW_EPILOGUE_BIAS : TW_EPILOGUE_STORE;
    struct tw_rope_op rope = {.n_dims = shape->rope.n_dims,
                              .interleaved = shape->rope.interleaved,
                              .cos_sin = model->cos_sin};

    tw_stream_prepare(stream, model->x, shape->n_embed, layer->attn_norm, shape->rms_eps, false);
    tw_stream_barrier(stream);
    tw_stream_matmul(stream, layer->q, epilogue, layer->q_bias, model->qkv, 0, stride);
    tw_stream_matmul(stream, layer->k, epilogue, layer->k_bias, model->qkv, q_width, stride);
    tw_stream_matmul(stream, layer->v, epilogue, layer->v_bias, model->qkv, q_width + kv_width,
                     stride);
    tw_stream_barrier(stream);
    tw_stream_rope_append(stream, model->qkv, shape->n_heads, layer->q_norm, layer->k_norm,
                          shape->rms_eps, &rope, cache->pages, &cache->shape, index);
    tw_stream_barrier(stream);
    tw_stream_attention(stream, model->qkv, shape->n_heads, cache->pages, &cache->shape, index,
                        model->attention);
    tw_stream_barrier(stream);
    tw_stream_prepare(stream, model->attention, q_width, NULL, 0, false);
    tw_stream_barrier(stream);
    tw_stream_matmul(stream, layer->attn_output, TW_EPILOGUE_ADD, NULL, model->x, 0,
                     shape->n_embed);
    tw_stream_barrier(stream);
}

static void put_feed_forward(struct tw_model *model, uint32_t index)
{
    struct tw_stream *stream = model->stream;
    const struct tw_model_shape *shape = &model->shape;
    const struct tw_decoder_layer *layer = &model->layers[index];
    tw_stream_prepare(stream, model->x, shape->n_embed, layer->ffn_norm, shape->rms_eps, false);
    tw_stream_barrier(stream);
    if (layer->gate_up != NULL) {
        tw_stream_matmul(stream, layer->gate_up, TW_EPILOGUE_SILU_MUL, NULL, model->hidden, 0,
                         shape->n_ffn);
    } else {
        tw_stream_matmul(stream, layer->gate, TW_EPILOGUE_STORE, NULL, model->hidden, 0,
                         shape->n_ffn);
        tw_stream_matmul(stream, layer->up, TW_EPILOGUE_STORE, NULL, model->up, 0, shape->n_ffn);
        tw_stream_barrier(stream);
        tw_stream_silu_mul(stream, model->hidden, model->up, shape->n_ffn);
    }
    tw_stream_barrier(stream);
    tw_stream_prepare(stream, model->hidden, shape->n_ffn, NULL, 0, false);
    tw_stream_barrier(stream);
    tw_stream_matmul(stream, layer->down, TW_EPILOGUE_ADD, NULL, model->x, 0, shape->n_embed);
    tw_stream_barrier(stream);
}

static void put_experts(struct tw_model *model, uint32_t index)
{
    struct tw_stream *stream = model->stream;
    const struct tw_model_shape *shape = &model->shape;
    const struct tw_decoder_layer *layer = &model->layers[index];
    const struct tw_expert_choice choice = {.n_experts = shape->n_experts,
                                            .n_used = shape->n_experts_used,
                                            .is_normed = shape->experts_are_normed};
    tw_stream_prepare(stream, model->x, shape->n_embed, layer->ffn_norm, shape->rms_eps, false);
    tw_stream_barrier(stream);
    tw_stream_matmul(stream, layer->router, TW_EPILOGUE_STORE, NULL, model->routing, 0,
                     shape->n_experts);
    tw_stream_barrier(stream);
    tw_stream_route(stream, model->routing, &choice);
    tw_stream_barrier(stream);
    tw_stream_experts(stream, layer->gate_up != NULL ? layer->gate_up : layer->gate, layer->up,
                      layer->down, model->x);
    tw_stream_barrier(stream);
}

/* The next outputs, as many as there is room for. */
static void put_head(struct tw_model *model, const struct tw_device_batch *batch)
{
    tw_stream_prepare(model->stream, model->x, model->shape.n_embed, model->output_norm,
                      model->shape.rms_eps, true);
    tw_stream_barrier(model->stream);
    tw_stream_matmul(model->stream, model->output, TW_EPILOGUE_STORE, NULL, model->logits, 0,
                     model->shape.n_vocab);
    model->n_outputs_done += batch->n_outputs;
}

static uint32_t next_outputs(const struct tw_model *model)
{
    uint32_t n_left = model->n_outputs - model->n_outputs_done;
    return n_left < model->max_outputs ? n_left : model->max_outputs;
}

enum tw_status tw_model_forward(struct tw_model *model, struct tw_kv_cache *cache,
                                const struct tw_batch_sequence *sequences, uint32_t n_sequences,
                                const atomic_uint *n_waited_for, const float **ret_logits,
                                struct tw_error *error)
{
    if (n_sequences > model->max_rows) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a batch may have %u sequences, not %u", model->max_rows, n_sequences);
    }
    struct tw_device_batch batch;
    enum tw_status status = build_batch(model, cache, sequences, n_sequences, &batch, error);
    if (status != TW_OK) {
        return status;
    }
    model->n_rows = batch.n_rows;
    model->n_outputs = batch.n_outputs;
    model->n_outputs_done = 0;
    batch.n_outputs = next_outputs(model);
    fill_cos_sin(model, &batch);
    struct tw_stream *stream = model->stream;
    tw_stream_begin(stream, &batch);
    tw_stream_embed(stream, model->embedding, model->x);
    tw_stream_barrier(stream);
    for (uint32_t i = 0; i < model->shape.n_layers; i++) {
        put_attention(model, cache, i);
        if (model->shape.n_experts != 0) {
            put_experts(model, i);
        } else {
            put_feed_forward(model, i);
        }
    }
    if (batch.n_outputs != 0) {
        put_head(model, &batch);
    }
    if (!tw_stream_run_unless(stream, n_waited_for)) {
        return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION, "others are waited for");
    }
    *ret_logits = tw_device_buffer_read(model->logits);
    return TW_OK;
}

const float *tw_model_more_logits(struct tw_model *model)
{
    const struct tw_device_batch batch = {.n_rows = model->n_rows,
                                          .n_outputs = next_outputs(model),
                                          .outputs = model->outputs + model->n_outputs_done};
    assert(batch.n_outputs > 0);
    tw_stream_begin(model->stream, &batch);
    put_head(model, &batch);
    tw_stream_run(model->stream);
    return tw_device_buffer_read(model->logits);
}

const float *tw_model_states(struct tw_model *model)
{
    const struct tw_device_batch batch = {.n_rows = model->n_rows};
    tw_stream_begin(model->stream, &batch);
    tw_stream_norm(model->stream, model->x, model->shape.n_embed, model->output_norm,
                   model->shape.rms_eps);
    tw_stream_run(model->stream);
    model->n_outputs_done = model->n_outputs; /* the head would see rows with the norm twice */
    return tw_device_buffer_read(model->x);
}
