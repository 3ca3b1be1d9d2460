/* hf_write.h: a Hugging Face model folder from a shape and f32 weights.
 *
 *     tokenizer.json, tokenizer_config.json   as given
 *     generation_config.json                  the tokens that end an answer
 *     model.safetensors                       every tensor the architecture needs, in dtype
 *     config.json                             all numbers of the shape; written last
 *
 * hf_folder.h reads it back with the same numbers, weights in F32 bit for bit; model/convert.h
 * makes a GGUF file of it. Architectures: qwen3 without RoPE scaling.
 *
 * Invariant: a folder that had no config.json gets one only when everything else is there, so that
 * an interrupted write leaves no model. Into a folder that has one, files are replaced one by one.
 * Ownership: nothing is kept. Threads: one for each folder.
 * Errors: TW_ERR_UNSUPPORTED, TW_ERR_NOT_FOUND (a tensor the caller does not have), TW_ERR_IO,
 * TW_ERR_MEMORY.
 */
#ifndef TW_MODEL_HF_WRITE_H
#define TW_MODEL_HF_WRITE_H

#include "base/buf.h"
#include "base/status.h"
#include "model/shape.h"
#include "tensor/dtype.h"
#include "text/tokenizer.h"

/* The tensor of a Hugging Face name, rows one after the other, [n_values]; NULL when there is none.
 * Asked for once for each tensor; the values are read before the next is asked for. */
typedef const float *(*tw_hf_tensor_fn)(void *context, const char *name, uint64_t n_values);

struct tw_hf_model {
    const struct tw_model_shape *shape;
    enum tw_dtype dtype; /* of the weights in the file: F32, F16 or BF16 */
    tw_token eos, pad;   /* both end an answer; TW_TOKEN_NONE where there is none */
    struct tw_bytes tokenizer_json, tokenizer_config; /* the files; empty ones are not written */
    tw_hf_tensor_fn tensor;
    void *tensor_context;
};

/* Makes the folder where it is missing; the one it is in must be there. */
enum tw_status tw_hf_write_folder(const char *path, const struct tw_hf_model *model,
                                  struct tw_error *error);

/* The parts of it. The shape is one that tw_hf_write_folder would not refuse. */
void tw_hf_write_config(const struct tw_hf_model *model, struct tw_buf *buf);
void tw_hf_write_generation_config(const struct tw_hf_model *model, struct tw_buf *buf);
enum tw_status tw_hf_write_weights(const char *path, const struct tw_hf_model *model,
                                   struct tw_error *error);

#endif
