/* synth_files.h: a planned model as files: one GGUF file, or a Hugging Face folder.
 *
 * Both hold the same weights for the same seed and plan, each in its own order of rows.
 * Errors: those of the file system; TW_ERR_UNSUPPORTED for block formats in a Hugging Face folder.
 */
#ifndef TW_TOOLS_SYNTH_FILES_H
#define TW_TOOLS_SYNTH_FILES_H

#include "synth_rows.h"
#include "synth_vocab.h"
#include "synth_weights.h"

enum tw_status synth_write_gguf(const char *path, const struct synth_plan *plan,
                                const struct synth_vocab *vocab, struct synth_rows *rows,
                                struct tw_error *error);

/* path: a folder, made when it is not there. dtype: F32, F16 or BF16. tokenizer_path: the
 * tokenizer.json to copy, or NULL for the built-in vocabulary. */
enum tw_status synth_write_hf(const char *path, const struct synth_plan *plan,
                              const struct synth_vocab *vocab, const char *tokenizer_path,
                              enum tw_dtype dtype, struct synth_rows *rows, struct tw_error *error);

#endif
