#include "model/hf_write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/arch.h"
#include "model/safetensors_write.h"
#include "tensor/f16.h"

enum { PATH_BYTES = 4096, CHUNK_VALUES = 4096 };

#define JSON_FILE_BYTES ((size_t)1 << 20)

/* ---- config.json ---- */

static void put_token(struct tw_json_writer *json, const char *key, tw_token token)
{
    tw_json_key(json, key);
    if (token == TW_TOKEN_NONE) {
        tw_json_null(json);
    } else {
        tw_json_int(json, token);
    }
}

/* A float as people write it: 1e-06 rather than 9.999999974752427e-07, when that is the same. */
static double plain(float value)
{
    double scale = pow(10.0, 5 - floor(log10((double)value)));
    double rounded = round((double)value * scale) / scale;
    return (float)rounded == value ? rounded : (double)value;
}

static const char *torch_name(enum tw_dtype dtype)
{
    assert(dtype == TW_DTYPE_F32 || dtype == TW_DTYPE_F16 || dtype == TW_DTYPE_BF16);
    return dtype == TW_DTYPE_F32 ? "float32" : dtype == TW_DTYPE_F16 ? "float16" : "bfloat16";
}

static void put_sizes(struct tw_json_writer *json, const struct tw_model_shape *shape)
{
    tw_json_put_uint(json, "head_dim", shape->head_dim);
    tw_json_put_text(json, "hidden_act", "silu");
    tw_json_put_uint(json, "hidden_size", shape->n_embed);
    tw_json_put_double(json, "initializer_range", 0.02);
    tw_json_put_uint(json, "intermediate_size", shape->n_ffn);
    tw_json_put_uint(json, "max_position_embeddings", shape->n_context_tokens);
    tw_json_put_uint(json, "max_window_layers", shape->n_layers);
    tw_json_put_text(json, "model_type", shape->arch);
    tw_json_put_uint(json, "num_attention_heads", shape->n_heads);
    tw_json_put_uint(json, "num_hidden_layers", shape->n_layers);
    tw_json_put_uint(json, "num_key_value_heads", shape->n_kv_heads);
}

void tw_hf_write_config(const struct tw_hf_model *model, struct tw_buf *buf)
{
    const struct tw_model_shape *shape = model->shape;
    struct tw_json_writer json;
    tw_json_begin(&json, buf);
    tw_json_object_begin(&json);
    tw_json_key(&json, "architectures");
    tw_json_array_begin(&json);
    tw_json_text(&json, tw_arch_find(shape->arch, strlen(shape->arch))->hf_class);
    tw_json_array_end(&json);
    tw_json_put_bool(&json, "attention_bias", false);
    tw_json_put_double(&json, "attention_dropout", 0.0);
    tw_json_put_null(&json, "bos_token_id");
    put_token(&json, "eos_token_id", model->eos);
    put_sizes(&json, shape);
    put_token(&json, "pad_token_id", model->pad);
    tw_json_put_double(&json, "rms_norm_eps", plain(shape->rms_eps));
    tw_json_put_null(&json, "rope_scaling");
    tw_json_put_double(&json, "rope_theta", shape->rope.freq_base);
    tw_json_put_null(&json, "sliding_window");
    tw_json_put_bool(&json, "tie_word_embeddings", shape->tied_head);
    tw_json_put_text(&json, "torch_dtype", torch_name(model->dtype));
    tw_json_put_bool(&json, "use_cache", true);
    tw_json_put_bool(&json, "use_sliding_window", false);
    tw_json_put_uint(&json, "vocab_size", shape->n_vocab);
    tw_json_object_end(&json);
}

void tw_hf_write_generation_config(const struct tw_hf_model *model, struct tw_buf *buf)
{
    struct tw_json_writer json;
    tw_json_begin(&json, buf);
    tw_json_object_begin(&json);
    tw_json_key(&json, "eos_token_id");
    tw_json_array_begin(&json);
    if (model->eos != TW_TOKEN_NONE) {
        tw_json_int(&json, model->eos);
    }
    if (model->pad != TW_TOKEN_NONE && model->pad != model->eos) {
        tw_json_int(&json, model->pad);
    }
    tw_json_array_end(&json);
    put_token(&json, "pad_token_id", model->pad);
    tw_json_object_end(&json);
}

/* ---- model.safetensors ---- */

/* A tensor of the model: a row of the architecture's table in a layer. */
struct place {
    const struct tw_arch_tensor *row;
    uint32_t layer;
    uint64_t columns, rows;
    char name[TW_ARCH_NAME_BYTES];
};

typedef enum tw_status (*place_fn)(const struct tw_hf_model *model,
                                   struct tw_safetensors_writer *writer, const struct place *place,
                                   struct tw_error *error);

static enum tw_status for_each_tensor(const struct tw_hf_model *model,
                                      struct tw_safetensors_writer *writer, place_fn fn,
                                      struct tw_error *error)
{
    const struct tw_model_shape *shape = model->shape;
    const struct tw_arch *arch = tw_arch_find(shape->arch, strlen(shape->arch));
    enum tw_status status = TW_OK;
    for (const struct tw_arch_tensor *row = arch->tensors; row->gguf_name != NULL; row++) {
        uint32_t n = tw_arch_tensor_is_needed(row, shape) ? tw_arch_tensor_layers(row, shape) : 0;
        for (uint32_t layer = 0; layer < n && status == TW_OK; layer++) {
            struct place place = {.row = row, .layer = layer};
            tw_arch_tensor_size(row, shape, &place.columns, &place.rows);
            tw_arch_tensor_hf_name(row, layer, place.name);
            status = fn(model, writer, &place, error);
        }
    }
    return status;
}

static enum tw_status announce(const struct tw_hf_model *model,
                               struct tw_safetensors_writer *writer, const struct place *place,
                               struct tw_error *error)
{
    const uint64_t shape[] = {place->columns, place->rows};
    (void)error;
    tw_safetensors_add_tensor(writer, place->name, model->dtype, shape,
                              place->row->rows == TW_ARCH_DIM_NONE ? 1 : 2);
    return TW_OK;
}

/* Rounds to nearest even. */
static void to_halves(enum tw_dtype dtype, const float *values, size_t n, uint16_t *ret_halves)
{
    for (size_t i = 0; i < n; i++) {
        ret_halves[i] =
            dtype == TW_DTYPE_F16 ? tw_f32_to_f16(values[i]) : tw_f32_to_bf16(values[i]);
    }
}

static enum tw_status write_tensor(const struct tw_hf_model *model,
                                   struct tw_safetensors_writer *writer, const struct place *place,
                                   struct tw_error *error)
{
    uint64_t n_values = place->columns * place->rows;
    const float *values = model->tensor(model->tensor_context, place->name, n_values);
    if (values == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "there is no tensor '%s'",
                            place->name);
    }
    if (model->dtype == TW_DTYPE_F32) {
        return tw_safetensors_writer_data(writer, values, n_values * sizeof *values, error);
    }
    enum tw_status status = TW_OK;
    for (uint64_t at = 0; at < n_values && status == TW_OK; at += CHUNK_VALUES) {
        uint16_t halves[CHUNK_VALUES];
        size_t n = n_values - at < CHUNK_VALUES ? (size_t)(n_values - at) : CHUNK_VALUES;
        to_halves(model->dtype, values + at, n, halves);
        status = tw_safetensors_writer_data(writer, halves, n * sizeof *halves, error);
    }
    return status;
}

enum tw_status tw_hf_write_weights(const char *path, const struct tw_hf_model *model,
                                   struct tw_error *error)
{
    struct tw_safetensors_writer *writer = NULL;
    enum tw_status status = tw_safetensors_writer_open(path, &writer, error);
    if (status == TW_OK) {
        status = for_each_tensor(model, writer, announce, error);
    }
    if (status == TW_OK) {
        status = tw_safetensors_writer_begin(writer, error);
    }
    if (status == TW_OK) {
        status = for_each_tensor(model, writer, write_tensor, error);
    }
    if (status == TW_OK) {
        return tw_safetensors_writer_commit(writer, error);
    }
    tw_safetensors_writer_abort(writer);
    return status;
}

/* ---- the folder ---- */

static enum tw_status join(const char *folder, const char *name, char ret_path[PATH_BYTES],
                           struct tw_error *error)
{
    int n = snprintf(ret_path, PATH_BYTES, "%s/%s", folder, name);
    if (n < 0 || n >= PATH_BYTES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the path '%.100s...' is too long",
                            folder);
    }
    return TW_OK;
}

static enum tw_status write_bytes(const char *folder, const char *name, struct tw_bytes bytes,
                                  struct tw_error *error)
{
    char path[PATH_BYTES];
    struct tw_file_writer *writer = NULL;
    enum tw_status status = join(folder, name, path, error);
    if (status == TW_OK) {
        status = tw_file_writer_open(path, &writer, error);
    }
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, bytes.data, bytes.size_bytes, error);
        if (status == TW_OK) {
            return tw_file_writer_commit(writer, error);
        }
        tw_file_writer_abort(writer);
    }
    return status;
}

static enum tw_status write_json(const char *folder, const char *name,
                                 const struct tw_hf_model *model,
                                 void (*fill)(const struct tw_hf_model *, struct tw_buf *),
                                 struct tw_error *error)
{
    struct tw_buf buf;
    tw_buf_init(&buf, JSON_FILE_BYTES);
    fill(model, &buf);
    tw_buf_append_text(&buf, "\n");
    enum tw_status status =
        buf.failed ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", name)
                   : write_bytes(folder, name, (struct tw_bytes){buf.data, buf.size_bytes}, error);
    tw_buf_free(&buf);
    return status;
}

static enum tw_status check_shape(const struct tw_model_shape *shape, struct tw_error *error)
{
    if (strcmp(shape->arch, tw_arch_qwen3.name) != 0 || shape->has_qkv_bias ||
        !shape->has_qk_norm || shape->rope.scaling != TW_ROPE_SCALING_NONE) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a Hugging Face folder is written for %s without RoPE scaling only, "
                            "not for this %.31s",
                            tw_arch_qwen3.name, shape->arch);
    }
    return TW_OK;
}

static enum tw_status write_weights_into(const char *folder, const struct tw_hf_model *model,
                                         struct tw_error *error)
{
    char path[PATH_BYTES];
    enum tw_status status = join(folder, "model.safetensors", path, error);
    return status == TW_OK ? tw_hf_write_weights(path, model, error) : status;
}

enum tw_status tw_hf_write_folder(const char *path, const struct tw_hf_model *model,
                                  struct tw_error *error)
{
    enum tw_status status = check_shape(model->shape, error);
    if (status == TW_OK) {
        status = tw_file_make_directory(path, error);
    }
    if (status == TW_OK && model->tokenizer_json.size_bytes != 0) {
        status = write_bytes(path, "tokenizer.json", model->tokenizer_json, error);
    }
    if (status == TW_OK && model->tokenizer_config.size_bytes != 0) {
        status = write_bytes(path, "tokenizer_config.json", model->tokenizer_config, error);
    }
    if (status == TW_OK) {
        status =
            write_json(path, "generation_config.json", model, tw_hf_write_generation_config, error);
    }
    if (status == TW_OK) {
        status = write_weights_into(path, model, error);
    }
    return status == TW_OK ? write_json(path, "config.json", model, tw_hf_write_config, error)
                           : status;
}
