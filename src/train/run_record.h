/* run_record.h: what a checkpoint keeps beside numbers: whose it is, and which files are its own.
 *
 *     recipe, data, first weights --> "model.layers 2\n" ... "data.train #5b0c...\n"
 *     files that the run writes   --> "/a/out.gguf\0/a/loss.svg\0"
 *
 * The recipe's lines are all that decides what the weights become, and no path: numbers in the
 * shortest form, data and a model to start from as hashes.
 * A run may replace a file that it has made, and one where nothing is. What was there before it is
 * somebody else's, unless the user says otherwise.
 *
 * Threads: one at a time. Errors: TW_ERR_USAGE for somebody else's file; TW_ERR_NOT_FOUND where a
 * file's folder is not; TW_ERR_MEMORY.
 */
#ifndef TW_TRAIN_RUN_RECORD_H
#define TW_TRAIN_RUN_RECORD_H

#include "base/buf.h"
#include "train/dataset.h"
#include "train/parameters.h"
#include "train/train_config.h"

/* Appends the lines. weights: the first ones, which count where the recipe names a start. */
enum tw_status tw_run_record_recipe(const struct tw_train_config *config,
                                    const struct tw_parameters *parameters, const float *weights,
                                    const struct tw_dataset *data, struct tw_buf *recipe,
                                    struct tw_error *error);

/* Makes a path the run's own. path: NULL is one already. force: whoever made what is there.
 * *ret_is_new is set where it was not on the list. */
enum tw_status tw_run_record_claim(struct tw_buf *outputs, const char *path, bool force,
                                   bool *ret_is_new, struct tw_error *error);

#endif
