/* tiny_model.h: small models with known weights, as a GGUF file and as a Hugging Face folder.
 *
 * A weight is a function of its tensor's GGUF name and its place there, and a multiple of 1/64
 * below 2 in size, so that it is exact in F32, F16 and BF16. Both forms hold the same model.
 */
#ifndef TW_TEST_TINY_MODEL_H
#define TW_TEST_TINY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "model/gguf_write.h"
#include "tensor/dtype.h"

struct tiny_model {
    const char *arch;
    uint32_t n_layers, n_embed, n_heads, n_kv_heads, head_dim, n_ffn, n_vocab;
    uint32_t n_experts, n_experts_used, n_expert_ffn; /* qwen3moe; otherwise 0 */
    bool tied;
    bool llama3_rope;           /* in the folder; a GGUF file then has rope_freqs.weight */
    enum tw_dtype matrix_dtype; /* F32, F16 or BF16 */
    bool up_is_half;            /* ffn_up.weight is F16 whatever the others are */
    bool short_names;           /* in the folder names lack "model." */
    int pooling;                /* pooling_type of a GGUF file; 0: not said */
    /* What the tests of refusals change; may be NULL. */
    const char *left_out;           /* GGUF name of a tensor that is not written */
    const char *left_out_of_folder; /* the same in the folder's spelling, of a single expert */
    const char *extra;              /* GGUF name of an additional vector of n_embed */
};

/* llama, qwen2, qwen3 or qwen3moe with two layers and rows of 64. */
struct tiny_model tiny_model_of(const char *arch);

float tiny_weight(const char *gguf_name, uint64_t i);

/* One tensor of the model. */
struct tiny_tensor {
    char gguf_name[64];
    char hf_name[96];           /* of experts: with %u for the expert */
    uint64_t n_columns, n_rows; /* n_rows 1: a vector; rows of all experts */
    uint64_t n_experts;         /* 1: not of experts, or of a single one */
    enum tw_dtype dtype;
    uint32_t rotated_heads; /* q and k: heads in it; otherwise 0 */
};

/* The i-th, false behind the last. */
bool tiny_tensor_at(const struct tiny_model *model, size_t i, struct tiny_tensor *ret_tensor);

/* Its name in a folder, of one expert where it is of experts. */
enum { TINY_NAME_BYTES = 128 };
const char *tiny_hf_name(const struct tiny_tensor *tensor, uint32_t expert,
                         char ret_name[TINY_NAME_BYTES]);

/* The metadata alone, and the whole file. */
void tiny_put_metadata(const struct tiny_model *model, struct tw_gguf_writer *writer);
void tiny_write_gguf(const struct tiny_model *model, const char *path);

/* What config.json says; the caller frees it. */
json_t *tiny_config(const struct tiny_model *model);

/* Makes folder with config.json and n_files safetensors files (with an index when above 1);
 * experts of one tensor are spread over all files. */
void tiny_write_folder(const struct tiny_model *model, const char *folder, int n_files);

#endif
