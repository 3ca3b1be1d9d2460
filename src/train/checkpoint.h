/* checkpoint.h: where a training run stands, as one file that is always whole.
 *
 *     "TWTRAIN1" | header | history [n_history] | weights | m | v | checksum of all before
 *     (little-endian; history rows are struct tw_train_point, arrays are f32 [n_values])
 *
 * Invariants: 1. The file is replaced whole (base/file.h): a kill at any moment leaves the last
 * one. 2. A file whose checksum, size, version or history is off is refused, never half-read.
 * 3. Data order, learning rate and initial weights are functions of the recipe and the step, so
 * weights, moments and the step are all there is to a run's state.
 * Threads: one at a time. Errors: those of base/file.h; TW_ERR_FORMAT for damage; TW_ERR_USAGE when
 * the file belongs to another recipe or other data.
 */
#ifndef TW_TRAIN_CHECKPOINT_H
#define TW_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* One step of the run, for the plot and the report. step: its place in the history. loss is finite;
 * valid_loss: NaN where there is none. */
struct tw_train_point {
    uint32_t step;
    float loss, valid_loss, learning_rate, gradient_norm;
};

struct tw_train_state {
    uint64_t fingerprint; /* of recipe and data */
    uint64_t n_values;    /* of each array */
    float *weights, *m, *v;
    uint32_t n_history; /* steps done: one point each */
    uint32_t history_capacity;
    struct tw_train_point *history;
    double seconds; /* of work so far */
};

enum tw_status tw_checkpoint_write(const char *path, const struct tw_train_state *state,
                                   struct tw_error *error);

/* Fills a state whose fingerprint, n_values, arrays and history_capacity are set. */
enum tw_status tw_checkpoint_read(const char *path, struct tw_train_state *state,
                                  struct tw_error *error);

/* The same from memory; name goes into messages. */
enum tw_status tw_checkpoint_parse(const void *bytes, size_t n_bytes, const char *name,
                                   struct tw_train_state *state, struct tw_error *error);

#endif
