/* arch_rows.h: rows of struct tw_arch_tensor that architectures have in common, for their tables.
 *
 *     tensors[] = { ENDS, QKV, what is particular, ATTN_OUTPUT, DENSE_FFN, END }
 *
 * Each macro stands for whole rows, so that a table shows at a glance what tells its architecture
 * apart. Order counts: it is that of the tables.
 */
#ifndef TW_MODEL_ARCH_ROWS_H
#define TW_MODEL_ARCH_ROWS_H

#include "model/arch.h"

#define TW_ARCH_ROW(gguf, hf, columns, rows, need)                                                 \
    {                                                                                              \
        gguf, hf, TW_ARCH_DIM_##columns, TW_ARCH_DIM_##rows, TW_ARCH_NEED_##need, false, false     \
    }
/* rotated: whether rows are in another order in files of the other RoPE convention. */
#define TW_ARCH_HEADS_ROW(gguf, hf, rows, rotated)                                                 \
    {                                                                                              \
        gguf, hf, TW_ARCH_DIM_EMBED, TW_ARCH_DIM_##rows, TW_ARCH_NEED_ALWAYS, rotated, false       \
    }
#define TW_ARCH_EXPERTS_ROW(gguf, hf, columns, rows)                                               \
    {                                                                                              \
        gguf, hf, TW_ARCH_DIM_##columns, TW_ARCH_DIM_##rows, TW_ARCH_NEED_ALWAYS, false, true      \
    }

#define TW_ARCH_ROWS_ENDS                                                                          \
    TW_ARCH_ROW("token_embd.weight", "model.embed_tokens.weight", EMBED, VOCAB, ALWAYS),           \
        TW_ARCH_ROW("output_norm.weight", "model.norm.weight", EMBED, NONE, ALWAYS),               \
        TW_ARCH_ROW("output.weight", "lm_head.weight", EMBED, VOCAB, UNTIED)

#define TW_ARCH_ROWS_QKV(rotated)                                                                  \
    TW_ARCH_ROW("blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight", EMBED, NONE,  \
                ALWAYS),                                                                           \
        TW_ARCH_HEADS_ROW("blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight", Q,    \
                          rotated),                                                                \
        TW_ARCH_HEADS_ROW("blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", KV,   \
                          rotated),                                                                \
        TW_ARCH_HEADS_ROW("blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", KV,   \
                          false)

#define TW_ARCH_ROWS_QK_NORM                                                                       \
    TW_ARCH_ROW("blk.%u.attn_q_norm.weight", "model.layers.%u.self_attn.q_norm.weight", HEAD,      \
                NONE, QK_NORM),                                                                    \
        TW_ARCH_ROW("blk.%u.attn_k_norm.weight", "model.layers.%u.self_attn.k_norm.weight", HEAD,  \
                    NONE, QK_NORM)

/* And the norm of what follows. */
#define TW_ARCH_ROWS_ATTN_OUTPUT                                                                   \
    TW_ARCH_ROW("blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight", Q, EMBED,  \
                ALWAYS),                                                                           \
        TW_ARCH_ROW("blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight",   \
                    EMBED, NONE, ALWAYS)

#define TW_ARCH_ROWS_DENSE_FFN                                                                     \
    TW_ARCH_ROW("blk.%u.ffn_gate.weight", "model.layers.%u.mlp.gate_proj.weight", EMBED, FFN,      \
                ALWAYS),                                                                           \
        TW_ARCH_ROW("blk.%u.ffn_up.weight", "model.layers.%u.mlp.up_proj.weight", EMBED, FFN,      \
                    ALWAYS),                                                                       \
        TW_ARCH_ROW("blk.%u.ffn_down.weight", "model.layers.%u.mlp.down_proj.weight", FFN, EMBED,  \
                    ALWAYS)

#define TW_ARCH_ROWS_END TW_ARCH_ROW(NULL, NULL, NONE, NONE, ALWAYS)

#endif
