#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

/* ---- names ---- */

/* Reads a layer number as the files write it: decimal, no leading zeros. */
static const char *scan_layer(const char *text, uint32_t *ret_layer)
{
    uint32_t layer = 0;
    const char *p = text;
    while (*p >= '0' && *p <= '9' && p - text < 5) {
        layer = layer * 10 + (uint32_t)(*p++ - '0');
    }
    if (p == text || (text[0] == '0' && p - text > 1)) {
        return NULL;
    }
    *ret_layer = layer;
    return p;
}

static bool matches(const char *pattern, const char *name, uint32_t ret_numbers[2])
{
    uint32_t numbers[2] = {0, 0};
    size_t n = 0;
    while (*pattern != '\0') {
        if (pattern[0] == '%' && pattern[1] == 'u') {
            name = scan_layer(name, &numbers[n++]);
            if (name == NULL) {
                return false;
            }
            pattern += 2;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    memcpy(ret_numbers, numbers, sizeof numbers);
    return *name == '\0';
}

const struct tw_arch_tensor *tw_arch_match_expert(const struct tw_arch *arch, const char *name,
                                                  bool is_gguf, uint32_t *ret_layer,
                                                  uint32_t *ret_expert)
{
    for (const struct tw_arch_tensor *row = arch->tensors; row->gguf_name != NULL; row++) {
        const char *pattern = is_gguf ? row->gguf_name : row->hf_name;
        uint32_t numbers[2];
        if (pattern != NULL && matches(pattern, name, numbers)) {
            *ret_layer = numbers[0];
            *ret_expert = numbers[1];
            return row;
        }
    }
    return NULL;
}

const struct tw_arch_tensor *tw_arch_match(const struct tw_arch *arch, const char *name,
                                           bool is_gguf, uint32_t *ret_layer)
{
    uint32_t expert = 0;
    return tw_arch_match_expert(arch, name, is_gguf, ret_layer, &expert);
}

static void put_layer(const char *pattern, uint32_t layer, char ret_name[TW_ARCH_NAME_BYTES])
{
    const char *mark = strstr(pattern, "%u");
    if (mark == NULL) {
        snprintf(ret_name, TW_ARCH_NAME_BYTES, "%s", pattern);
    } else {
        snprintf(ret_name, TW_ARCH_NAME_BYTES, "%.*s%" PRIu32 "%s", (int)(mark - pattern), pattern,
                 layer, mark + 2);
    }
}

void tw_arch_tensor_name(const struct tw_arch_tensor *row, uint32_t layer,
                         char ret_name[TW_ARCH_NAME_BYTES])
{
    put_layer(row->gguf_name, layer, ret_name);
}

void tw_arch_tensor_hf_name(const struct tw_arch_tensor *row, uint32_t layer,
                            char ret_name[TW_ARCH_NAME_BYTES])
{
    put_layer(row->hf_name, layer, ret_name);
}

/* ---- shapes ---- */

static uint64_t dim_size(const struct tw_model_shape *shape, enum tw_arch_dim dim)
{
    switch (dim) {
    case TW_ARCH_DIM_NONE:
        return 1;
    case TW_ARCH_DIM_EMBED:
        return shape->n_embed;
    case TW_ARCH_DIM_VOCAB:
        return shape->n_vocab;
    case TW_ARCH_DIM_FFN:
        return shape->n_ffn;
    case TW_ARCH_DIM_Q:
        return (uint64_t)shape->n_heads * shape->head_dim;
    case TW_ARCH_DIM_KV:
        return (uint64_t)shape->n_kv_heads * shape->head_dim;
    case TW_ARCH_DIM_HEAD:
        return shape->head_dim;
    case TW_ARCH_DIM_ROPE_PAIRS:
        return shape->rope.n_dims / 2;
    case TW_ARCH_DIM_EXPERTS:
        return shape->n_experts;
    case TW_ARCH_DIM_EXPERT_FFN:
        return shape->n_expert_ffn;
    }
    return 0;
}

bool tw_arch_tensor_is_needed(const struct tw_arch_tensor *row, const struct tw_model_shape *shape)
{
    switch (row->need) {
    case TW_ARCH_NEED_ALWAYS:
        return true;
    case TW_ARCH_NEED_UNTIED:
        return !shape->tied_head;
    case TW_ARCH_NEED_QKV_BIAS:
        return shape->has_qkv_bias;
    case TW_ARCH_NEED_QK_NORM:
        return shape->has_qk_norm;
    case TW_ARCH_NEED_OPTIONAL:
        return false;
    }
    return false;
}

uint32_t tw_arch_tensor_layers(const struct tw_arch_tensor *row, const struct tw_model_shape *shape)
{
    return strstr(row->gguf_name, "%u") != NULL ? shape->n_layers : 1;
}

void tw_arch_tensor_size(const struct tw_arch_tensor *row, const struct tw_model_shape *shape,
                         uint64_t *ret_columns, uint64_t *ret_rows)
{
    *ret_columns = dim_size(shape, row->columns);
    *ret_rows = dim_size(shape, row->rows);
}

static enum tw_status check_tensor(const struct tw_arch_tensor *row,
                                   const struct tw_tensor_view *tensor,
                                   const struct tw_model_shape *shape, struct tw_error *error)
{
    uint64_t columns = dim_size(shape, row->columns);
    uint64_t rows = dim_size(shape, row->rows);
    uint64_t n_experts = row->of_experts ? shape->n_experts : 1;
    if (tensor->shape[0] != columns || tensor->shape[1] != rows || tensor->shape[2] != n_experts ||
        tensor->shape[3] != 1) {
        char third[32] = "";
        if (row->of_experts) {
            snprintf(third, sizeof third, ", %" PRIu64, n_experts);
        }
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tensor '%s' is [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                            "]; the model's numbers ask for [%" PRIu64 ", %" PRIu64 "%s]",
                            tensor->name, tensor->shape[0], tensor->shape[1], tensor->shape[2],
                            tensor->shape[3], columns, rows, third);
    }
    bool is_float = tensor->dtype == TW_DTYPE_F32 || tensor->dtype == TW_DTYPE_F16 ||
                    tensor->dtype == TW_DTYPE_BF16;
    if (row->rows == TW_ARCH_DIM_NONE && !is_float) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "tensor '%s' has type %s; vectors are read as F32, F16 or BF16",
                            tensor->name, tw_dtype_traits(tensor->dtype)->name);
    }
    return TW_OK;
}

/* Counts what it found into *n_found. */
static enum tw_status check_row(const struct tw_model_files *files,
                                const struct tw_arch_tensor *row, uint32_t layer,
                                const struct tw_model_shape *shape, size_t *n_found,
                                struct tw_error *error)
{
    bool needed = tw_arch_tensor_is_needed(row, shape);
    if (!needed && row->need != TW_ARCH_NEED_OPTIONAL) {
        return TW_OK;
    }
    char name[TW_ARCH_NAME_BYTES];
    tw_arch_tensor_name(row, layer, name);
    const struct tw_tensor_view *tensor = tw_model_files_find(files, name);
    if (tensor == NULL) {
        return !needed ? TW_OK
                       : tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                      "the model has no tensor '%s'", name);
    }
    ++*n_found;
    return check_tensor(row, tensor, shape, error);
}

/* Some tensor is there that check_row never asked for: say which. */
static enum tw_status refuse_unread(const struct tw_model_files *files, const struct tw_arch *arch,
                                    const struct tw_model_shape *shape, struct tw_error *error)
{
    for (size_t i = 0; i < tw_model_files_count(files); i++) {
        const char *name = tw_model_files_tensor(files, i)->name;
        uint32_t layer = 0;
        const struct tw_arch_tensor *row = tw_arch_match(arch, name, true, &layer);
        bool is_read = row != NULL && layer < shape->n_layers &&
                       (tw_arch_tensor_is_needed(row, shape) || row->need == TW_ARCH_NEED_OPTIONAL);
        if (!is_read) {
            return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "the model has a tensor '%s', which %s models do not use", name,
                                arch->name);
        }
    }
    return TW_OK;
}

enum tw_status tw_arch_check_tensors(const struct tw_model_files *files,
                                     const struct tw_model_shape *shape, struct tw_error *error)
{
    const struct tw_arch *arch = tw_arch_find(shape->arch, strlen(shape->arch));
    size_t n_found = 0;
    for (const struct tw_arch_tensor *row = arch->tensors; row->gguf_name != NULL; row++) {
        uint32_t n = tw_arch_tensor_layers(row, shape);
        for (uint32_t layer = 0; layer < n; layer++) {
            enum tw_status status = check_row(files, row, layer, shape, &n_found, error);
            if (status != TW_OK) {
                return status;
            }
        }
    }
    if (n_found != tw_model_files_count(files)) {
        return refuse_unread(files, arch, shape, error);
    }
    return TW_OK;
}
