/* shape.h: the numbers that make a transformer: what an architecture reads from a model's files.
 *
 * The planner needs shapes without weights, so this header knows no tensors. Units: dimensions are
 * elements, context is tokens.
 */
#ifndef TW_MODEL_SHAPE_H
#define TW_MODEL_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

enum tw_rope_scaling {
    TW_ROPE_SCALING_NONE = 0,
    TW_ROPE_SCALING_LINEAR,
    TW_ROPE_SCALING_YARN,  /* Peng et al. 2023, arXiv 2309.00071 */
    TW_ROPE_SCALING_LLAMA3 /* per-frequency factors, Llama 3.1 */
};

struct tw_rope_shape {
    double freq_base;
    enum tw_rope_scaling scaling;
    double factor;                            /* context multiplier; 1 without scaling */
    double original_context_tokens;           /* YaRN, llama3 */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* YaRN; 32 and 1 where the file is silent */
    double attention_factor;                  /* YaRN; 0: tw_arch_yarn_magnitude of factor */
    uint32_t n_dims;                          /* rotated dimensions of a head, even */
    bool interleaved; /* pairs (2i, 2i+1) as in Llama GGUF files; otherwise (i, i + n_dims/2) */
};

struct tw_model_shape {
    char arch[32]; /* "llama", "qwen2", "qwen3", "qwen3moe" */
    uint32_t n_layers;
    uint32_t n_embed;
    uint32_t n_heads;
    uint32_t n_kv_heads; /* divides n_heads */
    uint32_t head_dim;   /* even */
    uint32_t n_ffn;
    uint32_t n_vocab;
    uint32_t n_context_tokens; /* that the model was trained for */
    float rms_eps;
    struct tw_rope_shape rope;
    bool has_qkv_bias;
    bool has_qk_norm;
    /* A mixture of experts: each layer has n_experts feed-forwards of width n_expert_ffn, of
     * which a token takes n_experts_used. n_experts 0: one feed-forward of width n_ffn. */
    uint32_t n_experts, n_experts_used, n_expert_ffn;
    bool experts_are_normed; /* the weights of those taken add up to 1 */
    bool tied_head;          /* the output head is the token embedding */
};

#endif
