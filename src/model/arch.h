/* arch.h: the architectures: one table row and one file (arch_<name>.c) each.
 *
 *     config.json or GGUF keys --[common numbers, then arch->read]--> struct tw_model_shape
 *     shape, arch->tensors --> names and shapes of every tensor the decoder reads
 *
 * The decoder is one program for all rows: RMS norm, attention with grouped heads and RoPE, gated
 * SiLU feed-forward. What a row may vary is in struct tw_model_shape (bias on q, k and v; norms of
 * q and k; tied head; RoPE; one feed-forward or a mixture of experts). Everything else a file may
 * ask for is refused by its name; nothing is ignored silently, neither a setting nor a tensor.
 * Adding one: write arch_<name>.c with a constant struct tw_arch, put it into arch_table.c.
 * Threads: any. Errors: TW_ERR_UNSUPPORTED for what we do not compute, TW_ERR_FORMAT for numbers
 * that contradict each other, TW_ERR_LIMIT, TW_ERR_NOT_FOUND for a missing key or tensor.
 */
#ifndef TW_MODEL_ARCH_H
#define TW_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "model/shape.h"
#include "model/tensors.h"

/* ---- where numbers come from ---- */

/* Either GGUF metadata (files; keys get the prefix "<arch>.") or a JSON object. */
struct tw_arch_source {
    const char *arch;
    const struct tw_model_files *files; /* used when config is NULL */
    const json_t *config;
};

/* The number under gguf_key or hf_key, whichever the source has names for; either may be NULL.
 * Booleans are 0 and 1. An absent (or null) number sets *ret_found to false and leaves *ret_value;
 * a value of another kind is TW_ERR_FORMAT. */
enum tw_status tw_arch_number(const struct tw_arch_source *source, const char *gguf_key,
                              const char *hf_key, double *ret_value, bool *ret_found,
                              struct tw_error *error);

/* The same for text; the view is as long-lived as the source. */
enum tw_status tw_arch_text(const struct tw_arch_source *source, const char *gguf_key,
                            const char *hf_key, struct tw_bytes *ret_value, bool *ret_found,
                            struct tw_error *error);

/* The same for a whole number from 1 to limit. An absent one is TW_ERR_NOT_FOUND if it is required,
 * and otherwise leaves *ret_size. */
enum tw_status tw_arch_size(const struct tw_arch_source *source, const char *gguf_key,
                            const char *hf_key, uint32_t limit, bool is_required,
                            uint32_t *ret_size, struct tw_error *error);

/* Refuses when the number is there and neither of the two harmless values. what: in words. */
enum tw_status tw_arch_refuse(const struct tw_arch_source *source, const char *gguf_key,
                              const char *hf_key, double harmless, double also_harmless,
                              const char *what, struct tw_error *error);

/* The same for each row of a table. */
struct tw_arch_refusal {
    const char *gguf_key, *hf_key;
    double harmless, also_harmless;
    const char *what;
};
enum tw_status tw_arch_refuse_all(const struct tw_arch_source *source,
                                  const struct tw_arch_refusal *rows, size_t n_rows,
                                  struct tw_error *error);

/* ---- tensors ---- */

enum tw_arch_dim {
    TW_ARCH_DIM_NONE = 0, /* a vector has no rows */
    TW_ARCH_DIM_EMBED,
    TW_ARCH_DIM_VOCAB,
    TW_ARCH_DIM_FFN,
    TW_ARCH_DIM_Q,  /* n_heads * head_dim */
    TW_ARCH_DIM_KV, /* n_kv_heads * head_dim */
    TW_ARCH_DIM_HEAD,
    TW_ARCH_DIM_ROPE_PAIRS, /* n_dims / 2 */
    TW_ARCH_DIM_EXPERTS,
    TW_ARCH_DIM_EXPERT_FFN
};

enum tw_arch_need {
    TW_ARCH_NEED_ALWAYS = 0,
    TW_ARCH_NEED_UNTIED,   /* unless shape.tied_head */
    TW_ARCH_NEED_QKV_BIAS, /* with shape.has_qkv_bias */
    TW_ARCH_NEED_QK_NORM,  /* with shape.has_qk_norm */
    TW_ARCH_NEED_OPTIONAL
};

/* %u in a name stands for the layer; the second one, in HF names of experts, for the expert. */
struct tw_arch_tensor {
    const char *gguf_name;
    const char *hf_name; /* NULL where HF files have no such tensor */
    enum tw_arch_dim columns;
    enum tw_arch_dim rows;
    enum tw_arch_need need;
    bool rotated; /* rows of q or k heads: their order depends on the file's RoPE convention */
    /* A matrix for each expert: one tensor of three dimensions in GGUF files, of which the last
     * counts experts; a tensor for each in HF files. */
    bool of_experts;
};

/* ---- the table ---- */

struct tw_arch {
    const char *name;     /* general.architecture and shape.arch */
    const char *hf_type;  /* model_type of config.json */
    const char *hf_class; /* what config.json's architectures must name */
    /* RoPE pairs (2i, 2i+1) in GGUF files; HF files of it have half-split rows of q and k. */
    bool interleaved_rope;
    bool has_experts;                     /* others refuse files that have some */
    const struct tw_arch_tensor *tensors; /* ends with a NULL name */
    /* Fills and checks what is particular; the common numbers are in *shape already. */
    enum tw_status (*read)(const struct tw_arch_source *source, struct tw_model_shape *shape,
                           struct tw_error *error);
};

extern const struct tw_arch tw_arch_llama;
extern const struct tw_arch tw_arch_qwen2;
extern const struct tw_arch tw_arch_qwen3;
extern const struct tw_arch tw_arch_qwen3moe;

/* NULL for a name we do not know. */
const struct tw_arch *tw_arch_find(const char *name, size_t name_bytes);

/* TW_ERR_UNSUPPORTED lists the names we know. */
enum tw_status tw_arch_of_config(const json_t *config, const struct tw_arch **ret_arch,
                                 struct tw_error *error);
enum tw_status tw_arch_of_files(const struct tw_model_files *files, const struct tw_arch **ret_arch,
                                struct tw_error *error);

/* The numbers every architecture has, checked against limits.h and each other, and what none of
 * them may ask for; then arch->read. n_vocab stays 0 for GGUF (the embedding says it). */
enum tw_status tw_arch_read_shape(const struct tw_arch *arch, const struct tw_arch_source *source,
                                  struct tw_model_shape *ret_shape, struct tw_error *error);

/* Part of it: *rope, for heads of head_dim and a context of n_context_tokens. */
enum tw_status tw_arch_read_rope(const struct tw_arch_source *source, uint32_t head_dim,
                                 uint32_t n_context_tokens, struct tw_rope_shape *rope,
                                 struct tw_error *error);

/* YaRN's factor on cosines and sines for a context `factor` times as long, 1 + 0.1 log(factor)
 * (Peng et al. 2023, section 3.4), with the logarithm `strength` times as strong. */
double tw_arch_yarn_magnitude(double factor, double strength);

/* What qwen3 is read with, and its relatives: norms on the heads of q and k, a head size that must
 * be said, and no bias on attention projections. */
enum tw_status tw_arch_read_qwen3(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                  struct tw_error *error);

/* The shape a config.json describes, without any tensor. */
enum tw_status tw_arch_read_config(const json_t *config, struct tw_model_shape *ret_shape,
                                   struct tw_error *error);

/* Every tensor the decoder reads is there with the right shape and a usable type, and there is no
 * tensor that it would not read. */
enum tw_status tw_arch_check_tensors(const struct tw_model_files *files,
                                     const struct tw_model_shape *shape, struct tw_error *error);

/* The row of arch->tensors for a Hugging Face (or, with is_gguf, a GGUF) name, and its layer (0
 * where it has none). NULL for names the architecture does not have. */
const struct tw_arch_tensor *tw_arch_match(const struct tw_arch *arch, const char *name,
                                           bool is_gguf, uint32_t *ret_layer);

/* The same, with the expert that a Hugging Face name counts (0 where it counts none). */
const struct tw_arch_tensor *tw_arch_match_expert(const struct tw_arch *arch, const char *name,
                                                  bool is_gguf, uint32_t *ret_layer,
                                                  uint32_t *ret_expert);

/* The row's GGUF name for a layer. */
enum { TW_ARCH_NAME_BYTES = 64 };
void tw_arch_tensor_name(const struct tw_arch_tensor *row, uint32_t layer,
                         char ret_name[TW_ARCH_NAME_BYTES]);

/* The same in Hugging Face's spelling; the row has one, and is not of experts. */
void tw_arch_tensor_hf_name(const struct tw_arch_tensor *row, uint32_t layer,
                            char ret_name[TW_ARCH_NAME_BYTES]);

/* Whether a model of this shape must have the tensor, how many layers have one (1 where it belongs
 * to none), and its size. A vector has one row; rows of experts are those of one. */
bool tw_arch_tensor_is_needed(const struct tw_arch_tensor *row, const struct tw_model_shape *shape);
uint32_t tw_arch_tensor_layers(const struct tw_arch_tensor *row,
                               const struct tw_model_shape *shape);
void tw_arch_tensor_size(const struct tw_arch_tensor *row, const struct tw_model_shape *shape,
                         uint64_t *ret_columns, uint64_t *ret_rows);

/* What the rotation frequency of each pair is divided by: the tensor rope_freqs.weight where there
 * is one, computed for llama3 scaling from config.json, otherwise 1. ret_factors: [n_dims / 2]. */
enum tw_status tw_arch_rope_factors(const struct tw_model_files *files,
                                    const struct tw_model_shape *shape, float *ret_factors,
                                    struct tw_error *error);

#endif
