/* Loading: files -> checked shape -> weights packed on the device -> work space. */
#include "model/model.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/arch.h"
#include "model/decoder.h"
#include "model/weights.h"

enum { DEFAULT_MAX_ROWS = 512, DEFAULT_MAX_OUTPUTS = 64, SAMPLE_TOKENS = 4096 };

struct loader {
    struct tw_model *model;
    const struct tw_model_options *options;
    uint64_t done_bytes, total_bytes;
    struct tw_error *error;
};

static const struct tw_tensor_view *find(const struct loader *loader, const char *format,
                                         uint32_t layer)
{
    char name[TW_LIMIT_MODEL_NAME_BYTES];
    snprintf(name, sizeof name, "blk.%u.%s", layer, format);
    return tw_model_files_find(loader->model->files, name);
}

/* Tells how far it is; whoever is told may have it stop. */
static enum tw_status count(struct loader *loader, uint64_t n_bytes)
{
    loader->done_bytes += n_bytes;
    if (loader->options->progress != NULL &&
        !loader->options->progress(loader->options->progress_context, loader->done_bytes,
                                   loader->total_bytes)) {
        return tw_error_set(loader->error, TW_ERR_CANCELLED, TW_NO_POSITION,
                            "stopped while the model was loaded");
    }
    return TW_OK;
}

/* While packed weights are written. */
static bool goes_on(void *context)
{
    return count(context, 0) == TW_OK;
}

/* What of a tensor a token goes through: of experts those that it takes. */
static uint64_t used_share(const struct tw_model *model, const struct tw_tensor_view *view,
                           uint64_t n)
{
    return view->shape[2] > 1 ? n / model->shape.n_experts * model->shape.n_experts_used : n;
}

static void count_products(struct tw_model *model, const struct tw_tensor_view *view)
{
    const uint64_t n =
        used_share(model, view,
                   (uint64_t)view->shape[0] * (uint64_t)view->shape[1] * (uint64_t)view->shape[2]);
    if (tw_dtype_traits(view->dtype)->block_elements > 1) {
        model->products.quantised += n;
    } else {
        model->products.floats += n;
    }
}

static struct tw_matrix_source source_of(const struct tw_tensor_view *view)
{
    return (struct tw_matrix_source){.dtype = view->dtype,
                                     .n_rows = (size_t)view->shape[1],
                                     .n_columns = (size_t)view->shape[0],
                                     .data = view->data,
                                     .n_experts = (size_t)view->shape[2],
                                     .experts = view->slices};
}

/* Norms and biases, of any element type, as f32 on the device. NULL view: nothing, and no error. */
static enum tw_status load_vector(struct loader *loader, const struct tw_tensor_view *view,
                                  const uint32_t *row_map, struct tw_device_buffer **ret_buffer)
{
    if (view == NULL) {
        return TW_OK;
    }
    size_t n = (size_t)view->shape[0];
    float *values = tw_mem_alloc(2 * n, sizeof *values);
    if (values == NULL) {
        return tw_error_set(loader->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for '%s'",
                            view->name);
    }
    tw_dtype_traits(view->dtype)->dequantise(view->data, values + n, n);
    for (size_t i = 0; i < n; i++) {
        values[i] = values[n + (row_map != NULL ? row_map[i] : i)];
    }
    struct tw_device *device = loader->model->device;
    enum tw_status status =
        tw_device_buffer_create(device, n * sizeof *values, ret_buffer, loader->error);
    if (status == TW_OK) {
        tw_device_buffer_write(*ret_buffer, 0, values, n * sizeof *values);
        status = count(loader, view->size_bytes);
    }
    tw_mem_free(values);
    return status;
}

/* Packed, or there already: on to the next. */
static enum tw_status finish_tensor(struct loader *loader, const struct tw_tensor_view *view)
{
    count_products(loader->model, view);
    for (uint64_t i = 0; i < view->shape[2]; i++) {
        tw_file_map_release(tw_tensor_slice(view, i), tw_tensor_slice_bytes(view));
    }
    return count(loader, view->size_bytes);
}

static enum tw_status load_matrix(struct loader *loader, const struct tw_tensor_view *view,
                                  const uint32_t *row_map, struct tw_device_matrix **ret_matrix)
{
    struct tw_matrix_source source = source_of(view);
    source.row_map = row_map;
    enum tw_status status = tw_weights_matrix(loader->model->weights, view->name, NULL, 0, &source,
                                              NULL, ret_matrix, loader->error);
    if (status == TW_OK) {
        loader->model->weight_bytes +=
            used_share(loader->model, view, tw_device_matrix_bytes(*ret_matrix));
        status = finish_tensor(loader, view);
    }
    return status;
}

/* Query and key rows (and their biases) may have to be put into the order RoPE expects. */
static enum tw_status load_rotated(struct loader *loader, const struct tw_tensor_view *weight,
                                   const struct tw_tensor_view *bias, uint32_t n_heads,
                                   struct tw_device_matrix **ret_matrix,
                                   struct tw_device_buffer **ret_bias)
{
    uint32_t *map = NULL;
    if (weight->rows_are_half_split) {
        map = tw_mem_alloc((size_t)weight->shape[1], sizeof *map);
        if (map == NULL) {
            return tw_error_set(loader->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for '%s'",
                                weight->name);
        }
        tw_tensor_row_map(weight, n_heads, map);
    }
    enum tw_status status = load_matrix(loader, weight, map, ret_matrix);
    if (status == TW_OK) {
        status = load_vector(loader, bias, map, ret_bias);
    }
    tw_mem_free(map);
    return status;
}

static enum tw_status load_attention(struct loader *loader, uint32_t i,
                                     struct tw_decoder_layer *layer)
{
    const struct tw_model_shape *shape = &loader->model->shape;
    enum tw_status status =
        load_vector(loader, find(loader, "attn_norm.weight", i), NULL, &layer->attn_norm);
    if (status == TW_OK) {
        status =
            load_rotated(loader, find(loader, "attn_q.weight", i), find(loader, "attn_q.bias", i),
                         shape->n_heads, &layer->q, &layer->q_bias);
    }
    if (status == TW_OK) {
        status =
            load_rotated(loader, find(loader, "attn_k.weight", i), find(loader, "attn_k.bias", i),
                         shape->n_kv_heads, &layer->k, &layer->k_bias);
    }
    if (status == TW_OK) {
        status = load_matrix(loader, find(loader, "attn_v.weight", i), NULL, &layer->v);
    }
    if (status == TW_OK) {
        status = load_vector(loader, find(loader, "attn_v.bias", i), NULL, &layer->v_bias);
    }
    if (status == TW_OK && shape->has_qk_norm) {
        status = load_vector(loader, find(loader, "attn_q_norm.weight", i), NULL, &layer->q_norm);
    }
    if (status == TW_OK && shape->has_qk_norm) {
        status = load_vector(loader, find(loader, "attn_k_norm.weight", i), NULL, &layer->k_norm);
    }
    if (status == TW_OK) {
        status =
            load_matrix(loader, find(loader, "attn_output.weight", i), NULL, &layer->attn_output);
    }
    return status;
}

/* Gate and up as one. */
static enum tw_status load_interleaved(struct loader *loader, const struct tw_tensor_view *gate,
                                       const struct tw_tensor_view *up,
                                       struct tw_device_matrix **ret_matrix)
{
    struct tw_model *model = loader->model;
    struct tw_matrix_source first = source_of(gate), second = source_of(up);
    enum tw_status status = tw_weights_matrix(model->weights, gate->name, up->name, 0, &first,
                                              &second, ret_matrix, loader->error);
    if (status == TW_OK) {
        model->weight_bytes += used_share(model, gate, tw_device_matrix_bytes(*ret_matrix));
        status = finish_tensor(loader, gate);
    }
    return status == TW_OK ? finish_tensor(loader, up) : status;
}

static enum tw_status load_gate_up(struct loader *loader, const struct tw_tensor_view *gate,
                                   const struct tw_tensor_view *up, struct tw_decoder_layer *layer)
{
    if (gate->dtype == up->dtype) {
        return load_interleaved(loader, gate, up, &layer->gate_up);
    }
    enum tw_status status = load_matrix(loader, gate, NULL, &layer->gate);
    return status == TW_OK ? load_matrix(loader, up, NULL, &layer->up) : status;
}

static enum tw_status load_feed_forward(struct loader *loader, uint32_t i,
                                        struct tw_decoder_layer *layer)
{
    bool has_experts = loader->model->shape.n_experts != 0;
    const struct tw_tensor_view *gate =
        find(loader, has_experts ? "ffn_gate_exps.weight" : "ffn_gate.weight", i);
    const struct tw_tensor_view *up =
        find(loader, has_experts ? "ffn_up_exps.weight" : "ffn_up.weight", i);
    const struct tw_tensor_view *down =
        find(loader, has_experts ? "ffn_down_exps.weight" : "ffn_down.weight", i);
    enum tw_status status = TW_OK;
    if (has_experts) {
        status = load_matrix(loader, find(loader, "ffn_gate_inp.weight", i), NULL, &layer->router);
    }
    if (status == TW_OK) {
        status = load_gate_up(loader, gate, up, layer);
    }
    return status == TW_OK ? load_matrix(loader, down, NULL, &layer->down) : status;
}

static enum tw_status load_layer(struct loader *loader, uint32_t i)
{
    struct tw_decoder_layer *layer = &loader->model->layers[i];
    enum tw_status status = load_attention(loader, i, layer);
    if (status == TW_OK) {
        status = load_vector(loader, find(loader, "ffn_norm.weight", i), NULL, &layer->ffn_norm);
    }
    return status == TW_OK ? load_feed_forward(loader, i, layer) : status;
}

static enum tw_status load_ends(struct loader *loader)
{
    struct tw_model *model = loader->model;
    const struct tw_tensor_view *embedding = tw_model_files_find(model->files, "token_embd.weight");
    const struct tw_tensor_view *output =
        model->shape.tied_head ? embedding : tw_model_files_find(model->files, "output.weight");
    struct tw_matrix_source source = source_of(embedding);
    enum tw_status status =
        tw_device_table_create(model->device, &source, &model->embedding, loader->error);
    if (status == TW_OK && output != embedding) {
        /* read from where it lies: nothing to wait for */
        status = count(loader, embedding->size_bytes);
    }
    if (status == TW_OK) {
        status = load_vector(loader, tw_model_files_find(model->files, "output_norm.weight"), NULL,
                             &model->output_norm);
    }
    if (status == TW_OK) {
        status = load_matrix(loader, output, NULL, &model->output);
        model->products = (struct tw_model_products){.head_quantised = model->products.quantised,
                                                     .head_floats = model->products.floats};
    }
    return status;
}

static uint32_t largest(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static enum tw_status create_rows(struct loader *loader, size_t width,
                                  struct tw_device_buffer **ret_buffer)
{
    return tw_device_buffer_create(loader->model->device,
                                   loader->model->max_rows * width * sizeof(float), ret_buffer,
                                   loader->error);
}

static bool any_split_gate(const struct tw_model *model)
{
    for (uint32_t i = 0; i < model->shape.n_layers; i++) {
        if (model->layers[i].gate_up == NULL) {
            return true;
        }
    }
    return false;
}

static enum tw_status create_host_rows(struct loader *loader)
{
    struct tw_model *model = loader->model;
    model->rows = tw_mem_zalloc(model->max_rows, sizeof *model->rows);
    model->outputs = tw_mem_zalloc(model->max_rows, sizeof *model->outputs);
    model->tables = tw_mem_zalloc(model->max_rows, sizeof *model->tables);
    model->cos_sin_host = tw_mem_zalloc((size_t)model->max_rows * model->shape.rope.n_dims,
                                        sizeof *model->cos_sin_host);
    if (model->rows == NULL || model->outputs == NULL || model->tables == NULL ||
        model->cos_sin_host == NULL) {
        return tw_error_set(loader->error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a batch of %u tokens", model->max_rows);
    }
    return TW_OK;
}

/* Of one feed-forward: experts have their own work space, in the stream. */
static uint32_t ffn_width(const struct tw_model_shape *shape)
{
    return shape->n_experts != 0 ? 0 : shape->n_ffn;
}

static enum tw_status create_feed_forward_rows(struct loader *loader)
{
    struct tw_model *model = loader->model;
    const struct tw_model_shape *shape = &model->shape;
    if (shape->n_experts != 0) {
        return create_rows(loader, shape->n_experts, &model->routing);
    }
    enum tw_status status = create_rows(loader, shape->n_ffn, &model->hidden);
    return status == TW_OK && any_split_gate(model) ? create_rows(loader, shape->n_ffn, &model->up)
                                                    : status;
}

static enum tw_status create_work_space(struct loader *loader)
{
    struct tw_model *model = loader->model;
    const struct tw_model_shape *shape = &model->shape;
    uint32_t q_width = shape->n_heads * shape->head_dim;
    uint32_t kv_width = shape->n_kv_heads * shape->head_dim;
    struct tw_stream_limits limits = {
        .max_rows = model->max_rows,
        .max_width = largest(largest(shape->n_embed, ffn_width(shape)), q_width),
        .max_operations = tw_decoder_operations(shape),
        .max_experts = shape->n_experts,
        .max_experts_used = shape->n_experts_used,
        .max_expert_width = shape->n_expert_ffn,
    };
    enum tw_status status = tw_stream_create(model->device, &limits, &model->stream, loader->error);
    status = status != TW_OK ? status : create_host_rows(loader);
    status = status != TW_OK ? status : create_rows(loader, shape->n_embed, &model->x);
    status = status != TW_OK ? status : create_rows(loader, q_width + 2 * kv_width, &model->qkv);
    status = status != TW_OK ? status : create_rows(loader, q_width, &model->attention);
    status = status != TW_OK ? status : create_feed_forward_rows(loader);
    status = status != TW_OK ? status : create_rows(loader, shape->rope.n_dims, &model->cos_sin);
    if (status == TW_OK) {
        status = tw_device_buffer_create(
            model->device, (size_t)model->max_outputs * shape->n_vocab * sizeof(float),
            &model->logits, loader->error);
    }
    return status;
}

/* Rows of a hundred thousand numbers cost a file a megabyte, and a batch of them gigabytes. */
static enum tw_status check_sizes(struct loader *loader)
{
    const struct tw_model *model = loader->model;
    const struct tw_model_shape *shape = &model->shape;
    for (size_t i = 0; i < tw_model_files_count(model->files); i++) {
        loader->total_bytes += tw_model_files_tensor(model->files, i)->size_bytes;
    }
    uint64_t q_width = (uint64_t)shape->n_heads * shape->head_dim;
    uint64_t kv_width = (uint64_t)shape->n_kv_heads * shape->head_dim;
    uint64_t widest = largest(largest(shape->n_embed, ffn_width(shape)), (uint32_t)q_width);
    uint64_t expert_row = shape->n_experts_used * (3 * (uint64_t)shape->n_expert_ffn + 3);
    uint64_t row = shape->n_embed + 2 * q_width + 2 * kv_width + 2 * (uint64_t)ffn_width(shape) +
                   2 * widest + /* the inputs of products, in two forms */
                   shape->n_experts + expert_row;
    uint64_t n_bytes =
        (row * model->max_rows + (uint64_t)shape->n_vocab * model->max_outputs) * sizeof(float);
    if (shape->n_experts != 0) {
        n_bytes += (uint64_t)tw_device_threads(model->device) *
                   (TW_EXPERT_CHUNK_ROWS * 2 * widest +
                    (uint64_t)model->max_rows * shape->n_experts_used) *
                   sizeof(float);
    }
    n_bytes += SAMPLE_TOKENS / TW_KV_PAGE_TOKENS * tw_kv_page_bytes(shape, TW_DTYPE_F16);
    if (n_bytes > TW_LIMIT_WORK_BYTES + TW_LIMIT_WORK_PER_WEIGHT * loader->total_bytes) {
        return tw_error_set(
            loader->error, TW_ERR_LIMIT, TW_NO_POSITION,
            "batches of %u tokens would take %llu MB of memory beside the model's "
            "%llu MB of weights, which is out of proportion; smaller ones take less",
            model->max_rows, (unsigned long long)(n_bytes >> 20),
            (unsigned long long)(loader->total_bytes >> 20));
    }
    return TW_OK;
}

static enum tw_status load_weights(struct loader *loader)
{
    struct tw_model *model = loader->model;
    model->layers = tw_mem_zalloc(model->shape.n_layers, sizeof *model->layers);
    if (model->layers == NULL) {
        return tw_error_set(loader->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for layers");
    }
    enum tw_status status = tw_weights_begin(model->device, model->files, loader->options->pack,
                                             &model->weights, loader->error);
    status = status != TW_OK ? status : load_ends(loader);
    for (uint32_t i = 0; status == TW_OK && i < model->shape.n_layers; i++) {
        status = load_layer(loader, i);
    }
    return status != TW_OK ? status
                           : tw_weights_finish(model->weights, goes_on, loader, loader->error);
}

static enum tw_status take_tokenizer(struct loader *loader)
{
    struct tw_model *model = loader->model;
    struct tw_error *error = loader->error;
    model->tokenizer = loader->options->tokenizer;
    if (model->tokenizer == NULL) {
        enum tw_status status =
            tw_model_files_tokenizer(model->files, &model->own_tokenizer, error);
        if (status != TW_OK) {
            return status;
        }
        model->tokenizer = model->own_tokenizer;
    }
    size_t n_tokens = tw_tokenizer_size(model->tokenizer);
    if (n_tokens > model->shape.n_vocab) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the tokenizer has %zu tokens, the embedding only %u rows", n_tokens,
                            model->shape.n_vocab);
    }
    return TW_OK;
}

static enum tw_status load_into(struct loader *loader, const char *path)
{
    struct tw_model *model = loader->model;
    struct tw_error *error = loader->error;
    enum tw_status status = tw_model_files_open(path, &model->files, error);
    status = status != TW_OK ? status : tw_model_read_shape(model->files, &model->shape, error);
    status = status != TW_OK ? status : tw_arch_check_tensors(model->files, &model->shape, error);
    status = status != TW_OK ? status : take_tokenizer(loader);
    status =
        status != TW_OK ? status : tw_model_files_pooling(model->files, &model->pooling, error);
    status = status != TW_OK ? status : tw_decoder_init_rope(model, error);
    status = status != TW_OK ? status : check_sizes(loader);
    status = status != TW_OK ? status : load_weights(loader);
    return status != TW_OK ? status : create_work_space(loader);
}

enum tw_status tw_model_load(const char *path, struct tw_device *device,
                             const struct tw_model_options *options, struct tw_model **ret_model,
                             struct tw_error *error)
{
    uint32_t max_rows =
        options->max_batch_tokens != 0 ? options->max_batch_tokens : DEFAULT_MAX_ROWS;
    if (max_rows > TW_LIMIT_BATCH_TOKENS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "a batch of %u tokens: at most %d",
                            max_rows, TW_LIMIT_BATCH_TOKENS);
    }
    struct tw_model *model = tw_mem_zalloc(1, sizeof *model);
    if (model == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a model");
    }
    model->device = device;
    model->max_rows = max_rows;
    model->max_outputs =
        options->max_output_rows != 0 ? options->max_output_rows : DEFAULT_MAX_OUTPUTS;
    struct loader loader = {.model = model, .options = options, .error = error};
    enum tw_status status = load_into(&loader, path);
    if (status != TW_OK) {
        tw_model_free(model);
        return status;
    }
    *ret_model = model;
    return TW_OK;
}

static void free_layer(struct tw_decoder_layer *layer)
{
    tw_device_buffer_free(layer->attn_norm);
    tw_device_buffer_free(layer->ffn_norm);
    tw_device_buffer_free(layer->q_norm);
    tw_device_buffer_free(layer->k_norm);
    tw_device_buffer_free(layer->q_bias);
    tw_device_buffer_free(layer->k_bias);
    tw_device_buffer_free(layer->v_bias);
    tw_device_matrix_free(layer->q);
    tw_device_matrix_free(layer->k);
    tw_device_matrix_free(layer->v);
    tw_device_matrix_free(layer->attn_output);
    tw_device_matrix_free(layer->router);
    tw_device_matrix_free(layer->gate_up);
    tw_device_matrix_free(layer->gate);
    tw_device_matrix_free(layer->up);
    tw_device_matrix_free(layer->down);
}

void tw_model_free(struct tw_model *model)
{
    if (model == NULL) {
        return;
    }
    for (uint32_t i = 0; model->layers != NULL && i < model->shape.n_layers; i++) {
        free_layer(&model->layers[i]);
    }
    tw_mem_free(model->layers);
    tw_device_table_free(model->embedding);
    tw_device_buffer_free(model->output_norm);
    tw_device_matrix_free(model->output);
    tw_stream_free(model->stream);
    tw_device_buffer_free(model->x);
    tw_device_buffer_free(model->qkv);
    tw_device_buffer_free(model->attention);
    tw_device_buffer_free(model->hidden);
    tw_device_buffer_free(model->up);
    tw_device_buffer_free(model->routing);
    tw_device_buffer_free(model->cos_sin);
    tw_device_buffer_free(model->logits);
    tw_mem_free(model->rope_frequencies);
    tw_mem_free(model->rows);
    tw_mem_free(model->outputs);
    tw_mem_free(model->tables);
    tw_mem_free(model->cos_sin_host);
    tw_tokenizer_free(model->own_tokenizer);
    tw_weights_end(model->weights);
    tw_model_files_close(model->files);
    tw_mem_free(model);
}

const struct tw_model_shape *tw_model_shape(const struct tw_model *model)
{
    return &model->shape;
}

enum tw_pooling tw_model_pooling(const struct tw_model *model)
{
    return model->pooling;
}

const struct tw_tokenizer *tw_model_tokenizer(const struct tw_model *model)
{
    return model->tokenizer;
}

struct tw_bytes tw_model_chat_template(const struct tw_model *model)
{
    return tw_model_files_chat_template(model->files);
}

uint64_t tw_model_weight_bytes(const struct tw_model *model)
{
    return model->weight_bytes;
}

struct tw_model_products tw_model_products(const struct tw_model *model)
{
    return model->products;
}
