/* trainer.h: a training run: from a recipe and chat data to a model in a folder.
 *
 *     open [resumes from a checkpoint, if there is one] -> step, ... -> save -> export -> close
 *
 * A step takes rows_per_step rows of packed documents, adds up the gradients of all of them, each
 * target weighing 1 / (targets of the whole step), clips, and lets AdamW change the weights.
 *
 * Invariants: 1. Weights after step n are a function of recipe and data: not of how often the run
 * was interrupted, of the number of threads or the instruction set. 2. The checkpoint on disk is
 * always whole; at most checkpoint_every steps are done again after a kill. 3. One trainer at a
 * time takes steps into a folder (base/file.h says where that is not sure). 4. Files are read while
 * opening and not again: what happens to them later changes nothing. 5. Weights that are no numbers
 * are not written: the last good checkpoint stays.
 * Ownership: config and device must outlive it. Threads: one at a time. It asks for no time: who
 * measures tells it (tw_trainer_spent).
 * Errors: those of files and data; TW_ERR_USAGE for a folder that another trainer uses, and for a
 * recipe that goes through the data more than TW_LIMIT_PACKING_EPOCHS times; TW_ERR_FORMAT when the
 * loss or a weight is no longer a number.
 */
#ifndef TW_TRAIN_TRAINER_H
#define TW_TRAIN_TRAINER_H

#include "device/device.h"
#include "train/checkpoint.h"
#include "train/dataset.h"
#include "train/parameters.h"
#include "train/train_config.h"

struct tw_trainer;

enum tw_trainer_purpose {
    TW_TRAINER_STEPS = 0,
    TW_TRAINER_EXPORT /* no steps and no checkpoint: another may take steps meanwhile */
};

struct tw_trainer_info {
    uint64_t n_weights, n_vocab;
    struct tw_dataset_report data; /* of the training data */
    uint64_t n_valid_documents;
    uint32_t first_step;   /* where the run goes on */
    uint64_t memory_bytes; /* that a run takes, but for what is small beside the rest */
};

struct tw_trainer_report {
    struct tw_train_point point;
    uint64_t n_tokens; /* of this step */
    double operations; /* of products, those of a validation too */
};

enum tw_status tw_trainer_open(const struct tw_train_config *config, struct tw_device *device,
                               enum tw_trainer_purpose purpose, struct tw_trainer **ret_trainer,
                               struct tw_error *error);
/* NULL is allowed. */
void tw_trainer_close(struct tw_trainer *trainer);

struct tw_trainer_info tw_trainer_info(const struct tw_trainer *trainer);
/* Steps, points and weights so far; valid until the next call. */
const struct tw_train_state *tw_trainer_state(const struct tw_trainer *trainer);
/* Where each weight is, and what is learnt from. */
const struct tw_parameters *tw_trainer_parameters(const struct tw_trainer *trainer);
const struct tw_dataset *tw_trainer_data(const struct tw_trainer *trainer);
bool tw_trainer_is_done(const struct tw_trainer *trainer);

/* One step, with validation and checkpoint where the recipe wants them; not when it is done. */
enum tw_status tw_trainer_step(struct tw_trainer *trainer, struct tw_trainer_report *ret_report,
                               struct tw_error *error);
/* Time that the last step took, for the record. */
void tw_trainer_spent(struct tw_trainer *trainer, double seconds);

/* Writes the checkpoint now. */
enum tw_status tw_trainer_save(struct tw_trainer *trainer, struct tw_error *error);

/* Writes the weights as they are now: the Hugging Face folder and, where the recipe names one, the
 * GGUF file. */
enum tw_status tw_trainer_export(struct tw_trainer *trainer, struct tw_error *error);

#endif
