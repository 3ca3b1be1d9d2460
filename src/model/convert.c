#include "model/convert.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/hf_folder.h"

enum { KEY_BYTES = 128 };

static const char *arch_key(const struct tw_model_shape *shape, const char *suffix,
                            char ret_key[KEY_BYTES])
{
    snprintf(ret_key, KEY_BYTES, "%s.%s", shape->arch, suffix);
    return ret_key;
}

static void put_sizes(const struct tw_model_shape *shape, struct tw_gguf_writer *writer)
{
    const struct {
        const char *suffix;
        uint32_t value;
    } rows[] = {
        {"block_count", shape->n_layers},
        {"context_length", shape->n_context_tokens},
        {"embedding_length", shape->n_embed},
        {"feed_forward_length", shape->n_ffn},
        {"attention.head_count", shape->n_heads},
        {"attention.head_count_kv", shape->n_kv_heads},
        {"attention.key_length", shape->head_dim},
        {"attention.value_length", shape->head_dim},
        {"rope.dimension_count", shape->rope.n_dims},
        {"vocab_size", shape->n_vocab},
    };
    char key[KEY_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tw_gguf_put_u32(writer, arch_key(shape, rows[i].suffix, key), rows[i].value);
    }
    tw_gguf_put_f32(writer, arch_key(shape, "attention.layer_norm_rms_epsilon", key),
                    shape->rms_eps);
}

/* Readers take weights that add up to 1 for granted. */
static void put_experts(const struct tw_model_shape *shape, struct tw_gguf_writer *writer)
{
    char key[KEY_BYTES];
    if (shape->n_experts == 0) {
        return;
    }
    tw_gguf_put_u32(writer, arch_key(shape, "expert_count", key), shape->n_experts);
    tw_gguf_put_u32(writer, arch_key(shape, "expert_used_count", key), shape->n_experts_used);
    tw_gguf_put_u32(writer, arch_key(shape, "expert_feed_forward_length", key),
                    shape->n_expert_ffn);
    if (!shape->experts_are_normed) {
        tw_gguf_put_bool(writer, arch_key(shape, "expert_weights_norm", key), false);
    }
}

/* Readers multiply attn_factor with what they derive from the factor themselves. */
static void put_yarn(const struct tw_model_shape *shape, struct tw_gguf_writer *writer)
{
    const struct tw_rope_shape *rope = &shape->rope;
    char key[KEY_BYTES];
    tw_gguf_put_u32(writer, arch_key(shape, "rope.scaling.original_context_length", key),
                    (uint32_t)rope->original_context_tokens);
    tw_gguf_put_f32(writer, arch_key(shape, "rope.scaling.yarn_beta_fast", key),
                    (float)rope->beta_fast);
    tw_gguf_put_f32(writer, arch_key(shape, "rope.scaling.yarn_beta_slow", key),
                    (float)rope->beta_slow);
    if (rope->attention_factor != 0) {
        double derived = tw_arch_yarn_magnitude(rope->factor, 1);
        tw_gguf_put_f32(writer, arch_key(shape, "rope.scaling.attn_factor", key),
                        (float)(rope->attention_factor / derived));
    }
}

static void put_rope(const struct tw_model_shape *shape, struct tw_gguf_writer *writer)
{
    const struct tw_rope_shape *rope = &shape->rope;
    char key[KEY_BYTES];
    tw_gguf_put_f32(writer, arch_key(shape, "rope.freq_base", key), (float)rope->freq_base);
    bool is_linear = rope->scaling == TW_ROPE_SCALING_LINEAR;
    bool is_yarn = rope->scaling == TW_ROPE_SCALING_YARN;
    if (is_linear || is_yarn) {
        tw_gguf_put_text(writer, arch_key(shape, "rope.scaling.type", key),
                         is_yarn ? "yarn" : "linear");
        tw_gguf_put_f32(writer, arch_key(shape, "rope.scaling.factor", key), (float)rope->factor);
    }
    if (is_yarn) {
        put_yarn(shape, writer);
    }
}

/* The folder's own name; "." and the like say nothing. */
static void put_name(const struct tw_model_files *files, struct tw_gguf_writer *writer)
{
    const char *path = tw_hf_folder_path(tw_model_files_folder(files));
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    if (end > begin && path[begin] != '.') {
        tw_gguf_put_string(writer, "general.name", path + begin, end - begin);
    }
}

static enum tw_status put_pooling(const struct tw_model_files *files,
                                  const struct tw_model_shape *shape, struct tw_gguf_writer *writer,
                                  struct tw_error *error)
{
    char key[KEY_BYTES];
    enum tw_pooling pooling;
    enum tw_status status = tw_model_files_pooling(files, &pooling, error);
    if (status == TW_OK && pooling != TW_POOLING_NONE) {
        tw_gguf_put_u32(writer, arch_key(shape, "pooling_type", key), pooling);
    }
    return status;
}

enum tw_status tw_convert_put_metadata(const struct tw_model_files *files,
                                       const struct tw_model_shape *shape,
                                       struct tw_gguf_writer *writer, struct tw_error *error)
{
    tw_gguf_put_text(writer, "general.architecture", shape->arch);
    tw_gguf_put_text(writer, "general.type", "model");
    put_name(files, writer);
    put_sizes(shape, writer);
    put_experts(shape, writer);
    put_rope(shape, writer);
    enum tw_status status = put_pooling(files, shape, writer, error);
    return status != TW_OK ? status : tw_convert_put_tokenizer(files, shape, writer, error);
}

enum tw_status tw_model_convert(const char *folder_path, const char *out_path,
                                enum tw_model_mix mix, int n_threads, tw_model_writing_fn progress,
                                void *progress_context, struct tw_error *error)
{
    if (!tw_file_exists(folder_path)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "'%s' is not there",
                            folder_path);
    }
    if (!tw_file_is_directory(folder_path)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%s' is not a folder with a config.json", folder_path);
    }
    return tw_model_quantise(folder_path, out_path, mix, n_threads, progress, progress_context,
                             error);
}
