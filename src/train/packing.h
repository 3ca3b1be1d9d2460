/* packing.h: documents put into rows of one length, epoch after epoch, for training.
 *
 *     epoch 0: row 0 |doc 7 |doc 2      |doc 9 |pad|  row 1 ...  row n-1   epoch 1: row n ...
 *
 * A row holds whole documents one after the other. Whoever computes it keeps attention inside of
 * each, and begins positions at 0 with each; the tail that no document fits into is padding, which
 * is no target.
 *
 * The rule, exactly: documents of epoch e are shuffled (from the last place i to the first, with
 * the place floor(r * (i + 1) / 2^64), r being the first two words, low one first, of tw_rng_block
 * at seed ^ 0x7061636b and e * 2^32 + i), and taken in this order. Each goes into that open row in
 * which it leaves the least room, of equals the one opened first; if it fits in none, a row is
 * opened. Before a 65th would be open, the fullest is closed, of equals the one opened first. At
 * the end of the epoch the open ones are closed in the order in which they were opened. Rows are
 * numbered as they are closed, through all epochs.
 *
 * Invariants: 1. Every document is in exactly one row of an epoch. 2. Row r is a function of
 * dataset, row length, seed and r alone: a run that goes on at any row gets the rows it would have
 * got. 3. document_starts ascends, begins with 0 and ends with n_tokens.
 * Ownership: the dataset must outlive the packing and not change; a row's arrays are the row's.
 * Threads: one at a time. Errors: at creation only: TW_ERR_FORMAT without documents,
 * TW_ERR_MEMORY. More than TW_LIMIT_PACKING_EPOCHS epochs are the caller's mistake.
 */
#ifndef TW_TRAIN_PACKING_H
#define TW_TRAIN_PACKING_H

#include <stdint.h>

#include "base/status.h"
#include "train/dataset.h"

struct tw_packing;

/* n_context_tokens: of a row; at least the dataset's. */
enum tw_status tw_packing_create(const struct tw_dataset *dataset, uint32_t n_context_tokens,
                                 uint64_t seed, struct tw_packing **ret_packing,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_packing_free(struct tw_packing *packing);

struct tw_packing_epoch {
    uint64_t epoch;
    uint64_t first_row;
    uint64_t n_rows;
    uint64_t n_tokens; /* that are no padding: of n_rows * n_context_tokens */
};

/* Steps through the epochs before it when they have not just been seen. */
void tw_packing_epoch(struct tw_packing *packing, uint64_t epoch,
                      struct tw_packing_epoch *ret_epoch);

/* The epoch a row is in. */
void tw_packing_epoch_of_row(struct tw_packing *packing, uint64_t row,
                             struct tw_packing_epoch *ret_epoch);

struct tw_packed_row {
    int32_t *tokens;           /* [n_context_tokens], padding included */
    uint8_t *is_target;        /* [n_context_tokens] to be predicted from the tokens before it */
    uint32_t n_tokens;         /* without padding */
    uint32_t n_targets;        /* of these */
    uint32_t *document_starts; /* [n_documents + 1] */
    uint32_t n_documents;
};

/* A row to be filled; its arrays are as large as any row of the packing needs. */
enum tw_status tw_packed_row_init(struct tw_packed_row *row, uint32_t n_context_tokens,
                                  struct tw_error *error);
void tw_packed_row_free(struct tw_packed_row *row);

void tw_packing_row(struct tw_packing *packing, uint64_t row, struct tw_packed_row *ret_row);

#endif
