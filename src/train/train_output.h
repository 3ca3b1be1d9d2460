/* train_output.h: what a training run leaves: a Hugging Face folder, and a GGUF file made from it.
 *
 *     recipe, weights --> folder/{config,generation_config,tokenizer,tokenizer_config}.json
 *                         folder/model.safetensors (f32)
 *     folder          --> GGUF, weights of the recipe's type (model/convert.h)
 *
 * <|im_end|> ends an answer, where the vocabulary has none <|endoftext|>, which also fills batches.
 * Threads: one at a time. Errors: those of files; TW_ERR_USAGE for a type we do not write.
 */
#ifndef TW_TRAIN_TRAIN_OUTPUT_H
#define TW_TRAIN_TRAIN_OUTPUT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "train/parameters.h"
#include "train/train_config.h"

/* Files that the folder carries along as they were when the run began: the weights were made for
 * these, whatever becomes of the files meanwhile. */
struct tw_train_texts {
    struct tw_buf tokenizer;     /* tokenizer.json */
    struct tw_buf chat_template; /* as C text, or empty where the recipe names none */
};

/* Before the work is done: reads them, and sees that the output's type is known. */
enum tw_status tw_train_texts_read(const struct tw_train_config *config,
                                   struct tw_train_texts *ret_texts, struct tw_error *error);
void tw_train_texts_free(struct tw_train_texts *texts);

/* The same for the places: makes the folder (its parent must be there) unless it exists; a file can
 * be made where the checkpoint and the GGUF file are to be, and takes no needed file's place.
 * A chat template of another model in the folder would be taken for this one's: TW_ERR_USAGE. */
enum tw_status tw_train_output_prepare(const struct tw_train_config *config,
                                       const char *checkpoint_path, struct tw_error *error);

/* The same for a tokenizer.json that is to go into a GGUF file: TW_ERR_UNSUPPORTED. */
enum tw_status tw_train_output_check_tokenizer(const json_t *tokenizer, struct tw_error *error);

/* TW_ERR_USAGE where a file written to path would replace one that the run reads, or one that it
 * keeps in its folder. */
enum tw_status tw_train_output_check_path(const struct tw_train_config *config, const char *path,
                                          struct tw_error *error);

enum tw_status tw_train_output_write(const struct tw_train_config *config,
                                     const struct tw_train_texts *texts,
                                     const struct tw_parameters *parameters, const float *weights,
                                     struct tw_error *error);

enum tw_status tw_train_output_gguf(const struct tw_train_config *config, int n_threads,
                                    struct tw_error *error);

#endif
