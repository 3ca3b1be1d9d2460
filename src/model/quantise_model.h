/* quantise_model.h: writes a model anew as one GGUF file, its weights in another format.
 *
 *     GGUF (split too) or folder --[tensor by tensor: rows to f32, f32 to blocks]--> out.gguf
 *
 * A mix says which block format each tensor gets. Norms, biases and other vectors are F32, and so
 * are the routers of experts. The output head (the embedding where the head is tied) is Q6_K in
 * every mix of less than 8 bits. Q4_K_M and Q5_K_M give attn_v and ffn_down of some layers Q6_K;
 * Q4_K_S gives Q5_K to attn_v of the first four layers and to ffn_down of the first eighth; Q5_K_S
 * is even. ffn_down_exps is treated as ffn_down. Beside exactly eight experts attn_v and attn_k are
 * Q8_0 in every mix of blocks, and attn_output is Q5_K in Q4_K_S and Q4_K_M. Rows that 256 does not
 * divide fall back from Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0, and rows that 32 does not divide
 * to F16. These are the rules of other GGUF tools, so that files of one name hold the same formats.
 * Threads: rows are spread over n_threads; the result does not depend on their number.
 * Errors: those of opening, reading and writing; TW_ERR_FORMAT for weights that are not finite or
 * do not fit. Nothing appears at out_path then.
 */
#ifndef TW_MODEL_QUANTISE_MODEL_H
#define TW_MODEL_QUANTISE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"
#include "model/shape.h"
#include "model/tensors.h"
#include "tensor/dtype.h"

enum tw_model_mix {
    TW_MODEL_MIX_KEEP = 0, /* matrices as they are */
    TW_MODEL_MIX_F32,
    TW_MODEL_MIX_F16,
    TW_MODEL_MIX_BF16,
    TW_MODEL_MIX_Q8_0,
    TW_MODEL_MIX_Q4_0,
    TW_MODEL_MIX_Q4_1,
    TW_MODEL_MIX_Q5_0,
    TW_MODEL_MIX_Q5_1,
    TW_MODEL_MIX_Q4_K_S,
    TW_MODEL_MIX_Q4_K_M,
    TW_MODEL_MIX_Q5_K_S,
    TW_MODEL_MIX_Q5_K_M,
    TW_MODEL_MIX_Q6_K,
    TW_MODEL_MIX_COUNT
};

/* "keep", "Q4_K_M". */
const char *tw_model_mix_name(enum tw_model_mix mix);
/* Without regard to case; Q4_K and Q5_K are short for Q4_K_M and Q5_K_M. False for a name we do not
 * know. */
bool tw_model_mix_from_name(const char *name, enum tw_model_mix *ret_mix);

/* The number of the mix under general.file_type. Of KEEP: that of files of dtype. */
uint32_t tw_model_mix_file_type(enum tw_model_mix mix, enum tw_dtype dtype);

/* What the mix makes of a tensor (name, dtype and shape are read) of a model of that shape. */
enum tw_dtype tw_model_mix_dtype(enum tw_model_mix mix, const struct tw_model_shape *shape,
                                 const struct tw_tensor_view *tensor);

/* Told while a file is written, on the calling thread; total_bytes is constant. False stops:
 * TW_ERR_CANCELLED, and what was begun is removed. */
typedef bool (*tw_model_writing_fn)(void *context, uint64_t done_bytes, uint64_t total_bytes);

/* n_threads: 0 for as many as there are cores. progress may be NULL; its bytes are the source's. */
enum tw_status tw_model_quantise(const char *in_path, const char *out_path, enum tw_model_mix mix,
                                 int n_threads, tw_model_writing_fn progress,
                                 void *progress_context, struct tw_error *error);

#endif
