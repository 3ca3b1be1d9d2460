#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/limits.h"
#include "synth_files.h"

#define HEADER_BYTES (16u << 20)

static enum tw_status in_folder(const char *folder, const char *name, char ret_path[4096],
                                struct tw_error *error)
{
    int n = snprintf(ret_path, 4096, "%s/%s", folder, name);
    if (n < 0 || n >= 4096) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the path is too long");
    }
    return TW_OK;
}

static enum tw_status write_text(const char *folder, const char *name, const struct tw_buf *text,
                                 struct tw_error *error)
{
    char path[4096];
    struct tw_file_writer *writer;
    enum tw_status status = in_folder(folder, name, path, error);
    if (status == TW_OK && text->failed) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", name);
    }
    if (status == TW_OK) {
        status = tw_file_writer_open(path, &writer, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = tw_file_writer_write(writer, text->data, text->size_bytes, error);
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    return tw_file_writer_commit(writer, error);
}

/* ---- config.json and its companions ---- */

static void put_rope_scaling(struct tw_json_writer *json, const struct tw_rope_shape *rope)
{
    if (rope->scaling == TW_ROPE_SCALING_NONE) {
        return;
    }
    bool is_yarn = rope->scaling == TW_ROPE_SCALING_YARN;
    tw_json_key(json, "rope_scaling");
    tw_json_object_begin(json);
    tw_json_put_text(json, "rope_type", is_yarn ? "yarn" : "llama3");
    tw_json_put_double(json, "factor", rope->factor);
    tw_json_put_int(json, "original_max_position_embeddings",
                    (int64_t)rope->original_context_tokens);
    if (is_yarn) {
        tw_json_put_double(json, "beta_fast", rope->beta_fast);
        tw_json_put_double(json, "beta_slow", rope->beta_slow);
    } else {
        tw_json_put_double(json, "low_freq_factor", rope->low_freq_factor);
        tw_json_put_double(json, "high_freq_factor", rope->high_freq_factor);
    }
    tw_json_object_end(json);
}

static const char *class_name(const char *arch)
{
    return strcmp(arch, "qwen2") == 0      ? "Qwen2ForCausalLM"
           : strcmp(arch, "qwen3") == 0    ? "Qwen3ForCausalLM"
           : strcmp(arch, "qwen3moe") == 0 ? "Qwen3MoeForCausalLM"
                                           : "LlamaForCausalLM";
}

/* The decimal that stands for a float setting, not the double nearest to the float. */
static double decimal(float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)value);
    return strtod(text, NULL);
}

/* A tokenizer.json need not have either. */
static void put_ends(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    if (vocab->bos >= 0) {
        tw_json_put_int(json, "bos_token_id", vocab->bos);
    }
    if (vocab->eos >= 0) {
        tw_json_put_int(json, "eos_token_id", vocab->eos);
    }
}

static void put_config(struct tw_json_writer *json, const struct synth_plan *plan,
                       const struct synth_vocab *vocab, enum tw_dtype dtype)
{
    const struct tw_model_shape *shape = &plan->shape;
    tw_json_object_begin(json);
    tw_json_key(json, "architectures");
    tw_json_array_begin(json);
    tw_json_text(json, class_name(shape->arch));
    tw_json_array_end(json);
    bool has_experts = shape->n_experts != 0;
    tw_json_put_text(json, "model_type", has_experts ? "qwen3_moe" : shape->arch);
    if (has_experts) {
        tw_json_put_int(json, "num_experts", shape->n_experts);
        tw_json_put_int(json, "num_experts_per_tok", shape->n_experts_used);
        tw_json_put_int(json, "moe_intermediate_size", shape->n_expert_ffn);
        tw_json_put_bool(json, "norm_topk_prob", shape->experts_are_normed);
    }
    tw_json_put_text(json, "hidden_act", "silu");
    tw_json_put_int(json, "num_hidden_layers", shape->n_layers);
    tw_json_put_int(json, "hidden_size", shape->n_embed);
    tw_json_put_int(json, "num_attention_heads", shape->n_heads);
    tw_json_put_int(json, "num_key_value_heads", shape->n_kv_heads);
    tw_json_put_int(json, "head_dim", shape->head_dim);
    tw_json_put_int(json, "intermediate_size", shape->n_ffn);
    tw_json_put_int(json, "vocab_size", shape->n_vocab);
    tw_json_put_int(json, "max_position_embeddings", shape->n_context_tokens);
    tw_json_put_double(json, "rms_norm_eps", decimal(shape->rms_eps));
    tw_json_put_double(json, "rope_theta", shape->rope.freq_base);
    put_rope_scaling(json, &shape->rope);
    tw_json_put_bool(json, "tie_word_embeddings", shape->tied_head);
    put_ends(json, vocab);
    tw_json_put_text(json, "torch_dtype",
                     dtype == TW_DTYPE_F32   ? "float32"
                     : dtype == TW_DTYPE_F16 ? "float16"
                                             : "bfloat16");
    tw_json_object_end(json);
}

static void put_token_text(struct tw_json_writer *json, const char *key,
                           const struct synth_vocab *vocab, tw_token token)
{
    tw_json_key(json, key);
    if (token < 0) {
        tw_json_null(json);
    } else {
        tw_json_string(json, vocab->tokens[token].data, vocab->tokens[token].size_bytes);
    }
}

static void put_tokenizer_config(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    bool is_qwen = vocab->words == SYNTH_WORDS_QWEN;
    tw_json_object_begin(json);
    tw_json_put_text(json, "tokenizer_class",
                     is_qwen                           ? "Qwen2Tokenizer"
                     : vocab->words == SYNTH_WORDS_SPM ? "LlamaTokenizer"
                                                       : "PreTrainedTokenizerFast");
    tw_json_put_bool(json, "add_bos_token", vocab->add_bos);
    put_token_text(json, "bos_token", vocab, is_qwen ? TW_TOKEN_NONE : vocab->bos);
    put_token_text(json, "eos_token", vocab, vocab->eos);
    put_token_text(json, "unk_token", vocab, vocab->unknown);
    if (vocab->chat_template[0] != '\0') {
        tw_json_put_text(json, "chat_template", vocab->chat_template);
    }
    tw_json_object_end(json);
}

static void put_generation_config(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    tw_json_object_begin(json);
    put_ends(json, vocab);
    tw_json_put_bool(json, "do_sample", false);
    tw_json_object_end(json);
}

static enum tw_status write_texts(const char *folder, const struct synth_plan *plan,
                                  const struct synth_vocab *vocab, const char *tokenizer_path,
                                  enum tw_dtype dtype, struct tw_error *error)
{
    struct tw_buf text;
    struct tw_json_writer json;
    tw_buf_init(&text, TW_LIMIT_MODEL_JSON_BYTES);
    tw_json_begin(&json, &text);
    put_config(&json, plan, vocab, dtype);
    enum tw_status status = write_text(folder, "config.json", &text, error);
    if (status == TW_OK) {
        tw_buf_clear(&text);
        tw_json_begin(&json, &text);
        put_tokenizer_config(&json, vocab);
        status = write_text(folder, "tokenizer_config.json", &text, error);
    }
    if (status == TW_OK) {
        tw_buf_clear(&text);
        tw_json_begin(&json, &text);
        put_generation_config(&json, vocab);
        status = write_text(folder, "generation_config.json", &text, error);
    }
    if (status == TW_OK && tokenizer_path != NULL) {
        tw_buf_free(&text);
        status = tw_file_read(tokenizer_path, TW_LIMIT_MODEL_JSON_BYTES, &text, error);
    } else if (status == TW_OK) {
        tw_buf_clear(&text);
        synth_vocab_to_json(vocab, &text);
    }
    if (status == TW_OK) {
        status = write_text(folder, "tokenizer.json", &text, error);
    }
    tw_buf_free(&text);
    return status;
}

/* ---- model.safetensors ---- */

static const char *safetensors_type(enum tw_dtype dtype)
{
    return dtype == TW_DTYPE_F32 ? "F32" : dtype == TW_DTYPE_F16 ? "F16" : "BF16";
}

static size_t tensor_bytes(const struct synth_tensor *tensor, enum tw_dtype dtype)
{
    return tensor->n_rows * tw_dtype_row_bytes(dtype, tensor->n_columns);
}

/* Experts are tensors of their own, one behind the other. */
static void put_entry(struct tw_json_writer *json, const struct synth_tensor *tensor,
                      uint64_t expert, enum tw_dtype dtype, size_t *offset)
{
    uint64_t n = tensor->n_experts != 0 ? tensor->n_experts : 1;
    const char *mark = strstr(tensor->hf_name, "%u");
    char name[128];
    if (mark != NULL) {
        snprintf(name, sizeof name, "%.*s%u%s", (int)(mark - tensor->hf_name), tensor->hf_name,
                 (unsigned)expert, mark + 2);
    } else {
        snprintf(name, sizeof name, "%s", tensor->hf_name);
    }
    tw_json_key(json, name);
    tw_json_object_begin(json);
    tw_json_put_text(json, "dtype", safetensors_type(dtype));
    tw_json_key(json, "shape");
    tw_json_array_begin(json);
    if (!tensor->is_vector) {
        tw_json_int(json, (int64_t)(tensor->n_rows / n));
    }
    tw_json_int(json, (int64_t)tensor->n_columns);
    tw_json_array_end(json);
    tw_json_key(json, "data_offsets");
    tw_json_array_begin(json);
    tw_json_int(json, (int64_t)*offset);
    *offset += tensor_bytes(tensor, dtype) / n;
    tw_json_int(json, (int64_t)*offset);
    tw_json_array_end(json);
    tw_json_object_end(json);
}

static void put_header(struct tw_json_writer *json, const struct synth_plan *plan,
                       enum tw_dtype dtype)
{
    size_t offset = 0;
    tw_json_object_begin(json);
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        const struct synth_tensor *tensor = &plan->tensors[i];
        uint64_t n = tensor->n_experts != 0 ? tensor->n_experts : 1;
        for (uint64_t expert = 0; tensor->hf_name[0] != '\0' && expert < n; expert++) {
            put_entry(json, tensor, expert, dtype, &offset);
        }
    }
    tw_json_object_end(json);
}

static enum tw_status write_bytes(void *context, const void *bytes, size_t n_bytes,
                                  struct tw_error *error)
{
    return tw_file_writer_write(context, bytes, n_bytes, error);
}

/* The header's length is a multiple of 8, spaces at its end, so that data is aligned. */
static enum tw_status write_header(struct tw_file_writer *writer, const struct synth_plan *plan,
                                   enum tw_dtype dtype, struct tw_error *error)
{
    struct tw_buf header;
    struct tw_json_writer json;
    tw_buf_init(&header, HEADER_BYTES);
    tw_json_begin(&json, &header);
    put_header(&json, plan, dtype);
    while (!header.failed && header.size_bytes % 8 != 0) {
        tw_buf_append(&header, " ", 1);
    }
    uint64_t length = header.size_bytes;
    enum tw_status status =
        header.failed ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory") : TW_OK;
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, &length, sizeof length, error);
    }
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, header.data, header.size_bytes, error);
    }
    tw_buf_free(&header);
    return status;
}

static enum tw_status write_tensors(struct tw_file_writer *writer, const struct synth_plan *plan,
                                    enum tw_dtype dtype, struct synth_rows *rows,
                                    struct tw_error *error)
{
    struct synth_sink sink = {write_bytes, writer};
    enum tw_status status = write_header(writer, plan, dtype, error);
    for (uint32_t i = 0; i < plan->n_tensors && status == TW_OK; i++) {
        if (plan->tensors[i].hf_name[0] != '\0') {
            status = synth_rows_write(rows, &plan->tensors[i], dtype, true, &sink, error);
        }
    }
    return status;
}

static enum tw_status write_safetensors(const char *folder, const struct synth_plan *plan,
                                        enum tw_dtype dtype, struct synth_rows *rows,
                                        struct tw_error *error)
{
    char path[4096];
    struct tw_file_writer *writer;
    enum tw_status status = in_folder(folder, "model.safetensors", path, error);
    if (status == TW_OK) {
        status = tw_file_writer_open(path, &writer, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = write_tensors(writer, plan, dtype, rows, error);
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    return tw_file_writer_commit(writer, error);
}

enum tw_status synth_write_hf(const char *path, const struct synth_plan *plan,
                              const struct synth_vocab *vocab, const char *tokenizer_path,
                              enum tw_dtype dtype, struct synth_rows *rows, struct tw_error *error)
{
    if (tw_dtype_traits(dtype)->block_elements != 1) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a Hugging Face folder holds F32, F16 or BF16, not %s",
                            tw_dtype_traits(dtype)->name);
    }
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "%s: %s", path, strerror(errno));
    }
    enum tw_status status = write_texts(path, plan, vocab, tokenizer_path, dtype, error);
    return status == TW_OK ? write_safetensors(path, plan, dtype, rows, error) : status;
}
