#include <stdio.h>

#include "base/mem.h"
#include "model/gguf_write.h"
#include "synth_files.h"

struct gguf_maker {
    struct tw_gguf_writer *writer;
    const char *arch;
    char key[96];
};

static const char *arch_key(struct gguf_maker *maker, const char *key)
{
    snprintf(maker->key, sizeof maker->key, "%s.%s", maker->arch, key);
    return maker->key;
}

static void put_rope(struct gguf_maker *maker, const struct tw_rope_shape *rope)
{
    struct tw_gguf_writer *writer = maker->writer;
    tw_gguf_put_u32(writer, arch_key(maker, "rope.dimension_count"), rope->n_dims);
    tw_gguf_put_f32(writer, arch_key(maker, "rope.freq_base"), (float)rope->freq_base);
    if (rope->scaling == TW_ROPE_SCALING_YARN) {
        tw_gguf_put_text(writer, arch_key(maker, "rope.scaling.type"), "yarn");
        tw_gguf_put_f32(writer, arch_key(maker, "rope.scaling.factor"), (float)rope->factor);
        tw_gguf_put_u32(writer, arch_key(maker, "rope.scaling.original_context_length"),
                        (uint32_t)rope->original_context_tokens);
    }
}

static void put_shape(struct gguf_maker *maker, const struct synth_plan *plan)
{
    struct tw_gguf_writer *writer = maker->writer;
    const struct tw_model_shape *shape = &plan->shape;
    tw_gguf_put_text(writer, "general.architecture", shape->arch);
    tw_gguf_put_text(writer, "general.name", plan->preset->name);
    tw_gguf_put_u32(writer, "general.file_type", plan->dequantised ? 0 : plan->file_type);
    tw_gguf_put_u32(writer, "general.quantization_version", 2);
    tw_gguf_put_u32(writer, arch_key(maker, "block_count"), shape->n_layers);
    tw_gguf_put_u32(writer, arch_key(maker, "context_length"), shape->n_context_tokens);
    tw_gguf_put_u32(writer, arch_key(maker, "embedding_length"), shape->n_embed);
    tw_gguf_put_u32(writer, arch_key(maker, "feed_forward_length"), shape->n_ffn);
    tw_gguf_put_u32(writer, arch_key(maker, "attention.head_count"), shape->n_heads);
    tw_gguf_put_u32(writer, arch_key(maker, "attention.head_count_kv"), shape->n_kv_heads);
    tw_gguf_put_u32(writer, arch_key(maker, "attention.key_length"), shape->head_dim);
    tw_gguf_put_u32(writer, arch_key(maker, "attention.value_length"), shape->head_dim);
    tw_gguf_put_f32(writer, arch_key(maker, "attention.layer_norm_rms_epsilon"), shape->rms_eps);
    tw_gguf_put_u32(writer, arch_key(maker, "vocab_size"), shape->n_vocab);
    if (shape->n_experts != 0) {
        tw_gguf_put_u32(writer, arch_key(maker, "expert_count"), shape->n_experts);
        tw_gguf_put_u32(writer, arch_key(maker, "expert_used_count"), shape->n_experts_used);
        tw_gguf_put_u32(writer, arch_key(maker, "expert_feed_forward_length"), shape->n_expert_ffn);
    }
    if (plan->pooling != TW_POOLING_NONE) {
        tw_gguf_put_u32(writer, arch_key(maker, "pooling_type"), plan->pooling);
    }
    put_rope(maker, &shape->rope);
}

static void put_strings(struct tw_gguf_writer *writer, const char *key,
                        const struct tw_bytes *texts, uint64_t n)
{
    tw_gguf_put_strings(writer, key, n);
    for (uint64_t i = 0; i < n; i++) {
        tw_gguf_put_item(writer, texts[i].data, texts[i].size_bytes);
    }
}

/* Token kinds are 32-bit integers in a file. */
static enum tw_status put_kinds(struct tw_gguf_writer *writer, const struct synth_vocab *vocab,
                                struct tw_error *error)
{
    int32_t *kinds = tw_mem_alloc(vocab->n_tokens, sizeof *kinds);
    if (kinds == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for token kinds");
    }
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        kinds[i] = vocab->kinds[i];
    }
    tw_gguf_put_array(writer, "tokenizer.ggml.token_type", TW_GGUF_INT32, kinds, vocab->n_tokens);
    tw_mem_free(kinds);
    return TW_OK;
}

static enum tw_status put_vocab(struct tw_gguf_writer *writer, const struct synth_vocab *vocab,
                                struct tw_error *error)
{
    bool is_spm = vocab->words == SYNTH_WORDS_SPM;
    tw_gguf_put_text(writer, "tokenizer.ggml.model", is_spm ? "llama" : "gpt2");
    tw_gguf_put_text(writer, "tokenizer.ggml.pre", vocab->pre_name);
    put_strings(writer, "tokenizer.ggml.tokens", vocab->tokens, vocab->n_tokens);
    if (is_spm) {
        tw_gguf_put_array(writer, "tokenizer.ggml.scores", TW_GGUF_FLOAT32, vocab->scores,
                          vocab->n_tokens);
        tw_gguf_put_u32(writer, "tokenizer.ggml.unknown_token_id", (uint32_t)vocab->unknown);
    } else {
        put_strings(writer, "tokenizer.ggml.merges", vocab->merges, vocab->n_merges);
    }
    if (vocab->bos >= 0) {
        tw_gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", (uint32_t)vocab->bos);
    }
    if (vocab->eos >= 0) {
        tw_gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", (uint32_t)vocab->eos);
    }
    tw_gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", vocab->add_bos);
    if (vocab->chat_template[0] != '\0') {
        tw_gguf_put_text(writer, "tokenizer.chat_template", vocab->chat_template);
    }
    return put_kinds(writer, vocab, error);
}

static void add_tensors(struct tw_gguf_writer *writer, const struct synth_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        const struct synth_tensor *tensor = &plan->tensors[i];
        uint64_t n = tensor->n_experts != 0 ? tensor->n_experts : 1;
        uint64_t shape[TW_TENSOR_DIMS] = {tensor->n_columns, tensor->n_rows / n, n, 1};
        tw_gguf_add_tensor(writer, tensor->name, synth_file_dtype(plan, tensor), shape);
    }
}

static enum tw_status write_bytes(void *context, const void *bytes, size_t n_bytes,
                                  struct tw_error *error)
{
    return tw_gguf_writer_data(context, bytes, n_bytes, error);
}

static enum tw_status write_all(struct gguf_maker *maker, const struct synth_plan *plan,
                                const struct synth_vocab *vocab, struct synth_rows *rows,
                                struct tw_error *error)
{
    put_shape(maker, plan);
    enum tw_status status = put_vocab(maker->writer, vocab, error);
    if (status == TW_OK) {
        add_tensors(maker->writer, plan);
        status = tw_gguf_writer_begin(maker->writer, error);
    }
    struct synth_sink sink = {write_bytes, maker->writer};
    for (uint32_t i = 0; i < plan->n_tensors && status == TW_OK; i++) {
        const struct synth_tensor *tensor = &plan->tensors[i];
        status =
            synth_rows_write(rows, tensor, synth_file_dtype(plan, tensor), false, &sink, error);
    }
    return status;
}

enum tw_status synth_write_gguf(const char *path, const struct synth_plan *plan,
                                const struct synth_vocab *vocab, struct synth_rows *rows,
                                struct tw_error *error)
{
    struct gguf_maker maker = {.arch = plan->shape.arch};
    enum tw_status status = tw_gguf_writer_open(path, &maker.writer, error);
    if (status != TW_OK) {
        return status;
    }
    status = write_all(&maker, plan, vocab, rows, error);
    if (status != TW_OK) {
        tw_gguf_writer_abort(maker.writer);
        return status;
    }
    return tw_gguf_writer_commit(maker.writer, error);
}
