#include "tiny_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "byte_builder.h"
#include "tensor/f16.h"

struct tiny_model tiny_model_of(const char *arch)
{
    struct tiny_model model = {.arch = arch,
                               .n_layers = 2,
                               .n_embed = 64,
                               .n_heads = 4,
                               .n_kv_heads = 2,
                               .head_dim = 16,
                               .n_ffn = 96,
                               .n_vocab = 40,
                               .matrix_dtype = TW_DTYPE_F32};
    if (strncmp(arch, "qwen3", 5) == 0) {
        model.head_dim = 32; /* not n_embed / n_heads */
    }
    if (strcmp(arch, "qwen3moe") == 0) {
        model.n_experts = 5;
        model.n_experts_used = 2;
        model.n_expert_ffn = 32;
    }
    return model;
}

float tiny_weight(const char *gguf_name, uint64_t i)
{
    uint64_t h = 1469598103934665603u;
    for (const char *p = gguf_name; *p != '\0'; p++) {
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    }
    h = (h ^ i) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    return (float)((int)(h >> 56) - 128) / 64.0f;
}

enum {
    VECTOR = 1,
    ROTATED = 2,
    LAYER = 4,
    BIAS = 8,
    QK_NORM = 16,
    HEAD = 32,
    DENSE = 64,   /* not in models with experts */
    ROUTER = 128, /* only there, and F32 in GGUF files */
    EXPERTS = 256
};

/* Spelled out here, not taken from the tables under test. */
static const struct {
    const char *gguf_name;
    const char *hf_name;
    /* e: embed, f: ffn, v: vocab, q, k: heads, h: one head, n: experts, x: their ffn, 1 */
    char columns, rows;
    int flags;
} tensor_rows[] = {
    {"token_embd.weight", "model.embed_tokens.weight", 'e', 'v', 0},
    {"output_norm.weight", "model.norm.weight", 'e', '1', VECTOR},
    {"output.weight", "lm_head.weight", 'e', 'v', HEAD},
    {"attn_norm.weight", "input_layernorm.weight", 'e', '1', LAYER | VECTOR},
    {"attn_q.weight", "self_attn.q_proj.weight", 'e', 'q', LAYER | ROTATED},
    {"attn_k.weight", "self_attn.k_proj.weight", 'e', 'k', LAYER | ROTATED},
    {"attn_v.weight", "self_attn.v_proj.weight", 'e', 'k', LAYER},
    {"attn_q.bias", "self_attn.q_proj.bias", 'q', '1', LAYER | VECTOR | BIAS},
    {"attn_k.bias", "self_attn.k_proj.bias", 'k', '1', LAYER | VECTOR | BIAS},
    {"attn_v.bias", "self_attn.v_proj.bias", 'k', '1', LAYER | VECTOR | BIAS},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", 'h', '1', LAYER | VECTOR | QK_NORM},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", 'h', '1', LAYER | VECTOR | QK_NORM},
    {"attn_output.weight", "self_attn.o_proj.weight", 'q', 'e', LAYER},
    {"ffn_norm.weight", "post_attention_layernorm.weight", 'e', '1', LAYER | VECTOR},
    {"ffn_gate.weight", "mlp.gate_proj.weight", 'e', 'f', LAYER | DENSE},
    {"ffn_up.weight", "mlp.up_proj.weight", 'e', 'f', LAYER | DENSE},
    {"ffn_down.weight", "mlp.down_proj.weight", 'f', 'e', LAYER | DENSE},
    {"ffn_gate_inp.weight", "mlp.gate.weight", 'e', 'n', LAYER | ROUTER},
    {"ffn_gate_exps.weight", "mlp.experts.%u.gate_proj.weight", 'e', 'x', LAYER | EXPERTS},
    {"ffn_up_exps.weight", "mlp.experts.%u.up_proj.weight", 'e', 'x', LAYER | EXPERTS},
    {"ffn_down_exps.weight", "mlp.experts.%u.down_proj.weight", 'x', 'e', LAYER | EXPERTS},
};

enum { N_TENSOR_ROWS = sizeof tensor_rows / sizeof tensor_rows[0] };

static uint64_t dim_size(const struct tiny_model *model, char dim)
{
    switch (dim) {
    case 'e':
        return model->n_embed;
    case 'f':
        return model->n_ffn;
    case 'v':
        return model->n_vocab;
    case 'q':
        return (uint64_t)model->n_heads * model->head_dim;
    case 'k':
        return (uint64_t)model->n_kv_heads * model->head_dim;
    case 'h':
        return model->head_dim;
    case 'n':
        return model->n_experts;
    case 'x':
        return model->n_expert_ffn;
    default:
        return 1;
    }
}

static bool has_row(const struct tiny_model *model, int flags)
{
    bool no_bias = (flags & BIAS) != 0 && strcmp(model->arch, "qwen2") != 0;
    bool no_norm = (flags & QK_NORM) != 0 && strncmp(model->arch, "qwen3", 5) != 0;
    int unfit = model->n_experts != 0 ? DENSE : ROUTER | EXPERTS;
    return !no_bias && !no_norm && !((flags & HEAD) != 0 && model->tied) && (flags & unfit) == 0;
}

static void make_tensor(const struct tiny_model *model, size_t row, uint32_t layer,
                        struct tiny_tensor *ret_tensor)
{
    int flags = tensor_rows[row].flags;
    struct tiny_tensor tensor = {.n_columns = dim_size(model, tensor_rows[row].columns),
                                 .n_rows = dim_size(model, tensor_rows[row].rows),
                                 .n_experts = (flags & EXPERTS) != 0 ? model->n_experts : 1,
                                 .dtype = (flags & (VECTOR | ROUTER)) != 0 ? TW_DTYPE_F32
                                                                           : model->matrix_dtype};
    tensor.n_rows *= tensor.n_experts;
    if (model->up_is_half && strncmp(tensor_rows[row].gguf_name, "ffn_up", 6) == 0) {
        tensor.dtype = TW_DTYPE_F16;
    }
    if ((flags & LAYER) != 0) {
        snprintf(tensor.gguf_name, sizeof tensor.gguf_name, "blk.%u.%s", layer,
                 tensor_rows[row].gguf_name);
        snprintf(tensor.hf_name, sizeof tensor.hf_name, "model.layers.%u.%s", layer,
                 tensor_rows[row].hf_name);
    } else {
        snprintf(tensor.gguf_name, sizeof tensor.gguf_name, "%s", tensor_rows[row].gguf_name);
        snprintf(tensor.hf_name, sizeof tensor.hf_name, "%s", tensor_rows[row].hf_name);
    }
    const size_t n_prefix = strlen("model.");
    if (model->short_names && strncmp(tensor.hf_name, "model.", n_prefix) == 0) {
        memmove(tensor.hf_name, tensor.hf_name + n_prefix, strlen(tensor.hf_name + n_prefix) + 1);
    }
    if ((flags & ROTATED) != 0 && strcmp(model->arch, "llama") == 0) {
        tensor.rotated_heads = tensor_rows[row].rows == 'q' ? model->n_heads : model->n_kv_heads;
    }
    *ret_tensor = tensor;
}

static bool is_left_out(const struct tiny_model *model, const struct tiny_tensor *tensor)
{
    return model->left_out != NULL && strcmp(model->left_out, tensor->gguf_name) == 0;
}

static bool make_extra(const struct tiny_model *model, size_t i, struct tiny_tensor *ret_tensor)
{
    if (i != 0 || model->extra == NULL) {
        return false;
    }
    *ret_tensor = (struct tiny_tensor){
        .n_columns = model->n_embed, .n_rows = 1, .n_experts = 1, .dtype = TW_DTYPE_F32};
    snprintf(ret_tensor->gguf_name, sizeof ret_tensor->gguf_name, "%s", model->extra);
    snprintf(ret_tensor->hf_name, sizeof ret_tensor->hf_name, "%s", model->extra);
    return true;
}

bool tiny_tensor_at(const struct tiny_model *model, size_t i, struct tiny_tensor *ret_tensor)
{
    for (uint32_t layer = 0; layer < model->n_layers; layer++) {
        for (size_t row = 0; row < N_TENSOR_ROWS; row++) {
            bool once = (tensor_rows[row].flags & LAYER) == 0;
            if (!has_row(model, tensor_rows[row].flags) || (once && layer != 0)) {
                continue;
            }
            make_tensor(model, row, layer, ret_tensor);
            if (!is_left_out(model, ret_tensor) && i-- == 0) {
                return true;
            }
        }
    }
    return make_extra(model, i, ret_tensor);
}

const char *tiny_hf_name(const struct tiny_tensor *tensor, uint32_t expert,
                         char ret_name[TINY_NAME_BYTES])
{
    const char *mark = strstr(tensor->hf_name, "%u");
    if (mark == NULL) {
        snprintf(ret_name, TINY_NAME_BYTES, "%s", tensor->hf_name);
    } else {
        snprintf(ret_name, TINY_NAME_BYTES, "%.*s%u%s", (int)(mark - tensor->hf_name),
                 tensor->hf_name, expert, mark + 2);
    }
    return ret_name;
}

static size_t element_bytes(enum tw_dtype dtype)
{
    return dtype == TW_DTYPE_F32 ? 4 : 2;
}

static void put_element(struct builder *b, enum tw_dtype dtype, float value)
{
    uint16_t half = dtype == TW_DTYPE_F16 ? tw_f32_to_f16(value) : tw_f32_to_bf16(value);
    if (dtype == TW_DTYPE_F32) {
        build_f32(b, value);
    } else {
        build_bytes(b, &half, sizeof half);
    }
}

/* Half-split files keep the even rows of a head (in GGUF's order) before the odd ones. */
static uint64_t gguf_row(const struct tiny_tensor *tensor, uint64_t row, bool half_split)
{
    if (tensor->rotated_heads == 0 || !half_split) {
        return row;
    }
    uint64_t head_rows = tensor->n_rows / tensor->rotated_heads;
    uint64_t in_head = row % head_rows;
    uint64_t half = head_rows / 2;
    return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

/* Rows [first, end). */
static void build_rows(struct builder *b, const struct tiny_tensor *tensor, uint64_t first,
                       uint64_t end, bool half_split)
{
    for (uint64_t row = first; row < end; row++) {
        uint64_t place = gguf_row(tensor, row, half_split);
        for (uint64_t column = 0; column < tensor->n_columns; column++) {
            put_element(b, tensor->dtype,
                        tiny_weight(tensor->gguf_name, place * tensor->n_columns + column));
        }
    }
}

/* ---- GGUF ---- */

void tiny_put_metadata(const struct tiny_model *model, struct tw_gguf_writer *writer)
{
    const struct {
        const char *suffix;
        uint32_t value;
    } rows[] = {
        {"block_count", model->n_layers},          {"context_length", 256},
        {"embedding_length", model->n_embed},      {"feed_forward_length", model->n_ffn},
        {"attention.head_count", model->n_heads},  {"attention.head_count_kv", model->n_kv_heads},
        {"attention.key_length", model->head_dim}, {"attention.value_length", model->head_dim},
    };
    char key[64];
    tw_gguf_put_text(writer, "general.architecture", model->arch);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", model->arch, rows[i].suffix);
        tw_gguf_put_u32(writer, key, rows[i].value);
    }
    if (model->pooling != 0) {
        snprintf(key, sizeof key, "%s.pooling_type", model->arch);
        tw_gguf_put_u32(writer, key, (uint32_t)model->pooling);
    }
    for (int i = 0; model->n_experts != 0 && i < 3; i++) {
        static const char *const suffixes[] = {"expert_count", "expert_used_count",
                                               "expert_feed_forward_length"};
        const uint32_t values[] = {model->n_experts, model->n_experts_used, model->n_expert_ffn};
        snprintf(key, sizeof key, "%s.%s", model->arch, suffixes[i]);
        tw_gguf_put_u32(writer, key, values[i]);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", model->arch);
    tw_gguf_put_f32(writer, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", model->arch);
    tw_gguf_put_f32(writer, key, 500000.0f);
}

static void write_tensors(const struct tiny_model *model, struct tw_gguf_writer *writer)
{
    struct tiny_tensor tensor;
    for (size_t i = 0; tiny_tensor_at(model, i, &tensor); i++) {
        struct builder b = {0};
        build_rows(&b, &tensor, 0, tensor.n_rows, false);
        enum tw_status status = tw_gguf_writer_data(writer, b.data, b.size_bytes, NULL);
        assert(status == TW_OK);
        builder_free(&b);
    }
}

void tiny_write_gguf(const struct tiny_model *model, const char *path)
{
    struct tw_gguf_writer *writer = NULL;
    enum tw_status status = tw_gguf_writer_open(path, &writer, NULL);
    assert(status == TW_OK);
    tiny_put_metadata(model, writer);
    struct tiny_tensor tensor;
    for (size_t i = 0; tiny_tensor_at(model, i, &tensor); i++) {
        uint64_t n = tensor.n_experts;
        uint64_t shape[4] = {tensor.n_columns, tensor.n_rows / n, n, 1};
        tw_gguf_add_tensor(writer, tensor.gguf_name, tensor.dtype, shape);
    }
    status = tw_gguf_writer_begin(writer, NULL);
    assert(status == TW_OK);
    write_tensors(model, writer);
    status = tw_gguf_writer_commit(writer, NULL);
    assert(status == TW_OK);
}

/* ---- folders ---- */

static const char *class_of(const char *arch)
{
    return strcmp(arch, "llama") == 0   ? "LlamaForCausalLM"
           : strcmp(arch, "qwen2") == 0 ? "Qwen2ForCausalLM"
           : strcmp(arch, "qwen3") == 0 ? "Qwen3ForCausalLM"
                                        : "Qwen3MoeForCausalLM";
}

json_t *tiny_config(const struct tiny_model *model)
{
    json_t *config = json_pack(
        "{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:s}", "model_type",
        model->n_experts != 0 ? "qwen3_moe" : model->arch, "architectures", class_of(model->arch),
        "num_hidden_layers", (int)model->n_layers, "hidden_size", (int)model->n_embed,
        "num_attention_heads", (int)model->n_heads, "num_key_value_heads", (int)model->n_kv_heads,
        "head_dim", (int)model->head_dim, "intermediate_size", (int)model->n_ffn, "vocab_size",
        (int)model->n_vocab, "max_position_embeddings", 256, "rms_norm_eps", 1e-5, "rope_theta",
        500000.0, "tie_word_embeddings", model->tied, "hidden_act", "silu");
    assert(config != NULL);
    if (model->n_experts != 0) {
        json_object_update_new(config,
                               json_pack("{s:i, s:i, s:i, s:b}", "num_experts",
                                         (int)model->n_experts, "num_experts_per_tok",
                                         (int)model->n_experts_used, "moe_intermediate_size",
                                         (int)model->n_expert_ffn, "norm_topk_prob", 1));
    }
    if (model->llama3_rope) {
        json_object_set_new(config, "rope_scaling",
                            json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor",
                                      8.0, "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                                      "original_max_position_embeddings", 64));
    }
    return config;
}

static void write_json(const json_t *value, const char *path)
{
    char *text = json_dumps(value, 0);
    assert(text != NULL);
    write_text(path, text);
    free(text);
}

/* One entry of a file's header, and its data: an expert, or a whole tensor. */
static void write_entry(const struct tiny_model *model, const struct tiny_tensor *tensor,
                        uint32_t expert, struct builder *data, json_t *header)
{
    char name[TINY_NAME_BYTES];
    struct tiny_tensor written = *tensor;
    uint64_t n_rows = tensor->n_rows / tensor->n_experts;
    bool is_router = strstr(tensor->gguf_name, "ffn_gate_inp") != NULL;
    size_t begin = data->size_bytes;
    if (tensor->n_rows == 1 || is_router) {
        written.dtype = model->matrix_dtype;
    }
    build_rows(data, &written, expert * n_rows, (expert + 1) * n_rows, true);
    json_t *shape = tensor->n_rows == 1
                        ? json_pack("[I]", (json_int_t)tensor->n_columns)
                        : json_pack("[I,I]", (json_int_t)n_rows, (json_int_t)tensor->n_columns);
    json_object_set_new(header, tiny_hf_name(tensor, expert, name),
                        json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                                  tw_dtype_traits(written.dtype)->name, "shape", shape,
                                  "data_offsets", (json_int_t)begin, (json_int_t)data->size_bytes));
    assert(data->size_bytes - begin == n_rows * tensor->n_columns * element_bytes(written.dtype));
}

/* File `part` of n: the tensors whose number modulo n it is. */
static void write_part(const struct tiny_model *model, const char *path, const char *name,
                       size_t part, size_t n, json_t *weight_map)
{
    struct builder data = {0};
    json_t *header = json_object();
    struct tiny_tensor tensor;
    for (size_t i = 0; tiny_tensor_at(model, i, &tensor); i++) {
        for (uint32_t expert = 0; expert < tensor.n_experts; expert++) {
            char hf_name[TINY_NAME_BYTES];
            tiny_hf_name(&tensor, expert, hf_name);
            bool is_left_out = model->left_out_of_folder != NULL &&
                               strcmp(model->left_out_of_folder, hf_name) == 0;
            if ((i + expert) % n == part && !is_left_out) {
                write_entry(model, &tensor, expert, &data, header);
                json_object_set_new(weight_map, hf_name, json_string(name));
            }
        }
    }
    char *text = json_dumps(header, 0);
    size_t text_bytes = (strlen(text) + 7) / 8 * 8;
    struct builder file = {0};
    build_u64(&file, text_bytes);
    build_bytes(&file, text, strlen(text));
    while (file.size_bytes < 8 + text_bytes) {
        build_bytes(&file, " ", 1);
    }
    build_bytes(&file, data.data, data.size_bytes);
    builder_write(&file, path);
    builder_free(&file);
    builder_free(&data);
    free(text);
    json_decref(header);
}

void tiny_write_folder(const struct tiny_model *model, const char *folder, int n_files)
{
    char path[256];
    char name[64];
    mkdir(folder, 0777);
    json_t *config = tiny_config(model);
    snprintf(path, sizeof path, "%s/config.json", folder);
    write_json(config, path);
    json_decref(config);
    json_t *weight_map = json_object();
    for (int i = 0; i < n_files; i++) {
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i + 1, n_files);
        snprintf(path, sizeof path, "%s/%s", folder, n_files == 1 ? "model.safetensors" : name);
        write_part(model, path, name, (size_t)i, (size_t)n_files, weight_map);
    }
    if (n_files > 1) {
        json_t *index = json_pack("{s:{}, s:O}", "metadata", "weight_map", weight_map);
        snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
        write_json(index, path);
        json_decref(index);
    }
    json_decref(weight_map);
}
