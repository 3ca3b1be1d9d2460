/* start_weights.h: the weights of a model on disk as the beginning of a training run.
 *
 *     GGUF file or Hugging Face folder --[checked, dequantised]--> the array of parameters.h
 *
 * The model must have the recipe's shape, and the vocabulary must be the recipe's token for token:
 * other tokens in the same places would make nonsense of every row. Weights that are f32 in the
 * file (as `tokenworks train` writes its folder) come through unchanged.
 *
 * Threads: any. Errors: those of model/tensors.h; TW_ERR_USAGE where the model is another one, with
 * the first difference.
 */
#ifndef TW_TRAIN_START_WEIGHTS_H
#define TW_TRAIN_START_WEIGHTS_H

#include "text/tokenizer.h"
#include "train/parameters.h"

enum tw_status tw_start_weights_read(const char *path, const struct tw_parameters *parameters,
                                     const struct tw_tokenizer *tokenizer, float *ret_weights,
                                     struct tw_error *error);

#endif
