/* convert.h: a Hugging Face folder becomes one GGUF file that other programs load too.
 *
 *     config.json             -> <arch>.* keys; llama3 RoPE scaling -> rope_freqs.weight
 *     tokenizer.json & config -> tokenizer.ggml.* keys, tokenizer.chat_template
 *     *.safetensors           -> tensors under their GGUF names, q and k rows in GGUF's order
 *
 * Threads and errors as in quantise_model.h. TW_ERR_UNSUPPORTED, by name, for a pre-tokenizer that
 * GGUF has no word for.
 */
#ifndef TW_MODEL_CONVERT_H
#define TW_MODEL_CONVERT_H

#include "base/status.h"
#include "model/gguf_write.h"
#include "model/quantise_model.h"
#include "model/shape.h"
#include "model/tensors.h"
#include "text/tokenizer.h"

/* mix: TW_MODEL_MIX_KEEP leaves the matrices in the folder's type. */
enum tw_status tw_model_convert(const char *folder_path, const char *out_path,
                                enum tw_model_mix mix, int n_threads, tw_model_writing_fn progress,
                                void *progress_context, struct tw_error *error);

/* Everything a GGUF file says about such a folder's model, file type excepted. */
enum tw_status tw_convert_put_metadata(const struct tw_model_files *files,
                                       const struct tw_model_shape *shape,
                                       struct tw_gguf_writer *writer, struct tw_error *error);

/* The part of it about the tokenizer and the chat template (convert_tokenizer.c). */
enum tw_status tw_convert_put_tokenizer(const struct tw_model_files *files,
                                        const struct tw_model_shape *shape,
                                        struct tw_gguf_writer *writer, struct tw_error *error);

/* Whether GGUF has words for all of the tokenizer: TW_ERR_UNSUPPORTED. */
enum tw_status tw_convert_check_tokenizer(const struct tw_tokenizer_spec *spec,
                                          struct tw_error *error);

#endif
