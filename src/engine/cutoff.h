/* cutoff.h: where top-k and top-p cut a row: the last token they keep, without sorting the row.
 *
 *     best ... | ... | ... | ... worst         buckets of equal width in (logit - max) / T,
 *       count, mass of each bucket             each contiguous in the order of selection.h
 *               ^ the cut falls in here: only this bucket is put in order
 *
 * Top-k keeps the k best tokens. Top-p keeps the shortest list of best tokens whose mass reaches
 * its share of what top-k left. Masses are sums of weights by bucket in index order, buckets in
 * order, so they are the same bits everywhere. Tokens of weight 0 are never kept.
 *
 * Pure; nothing allocates. O(n), and O(m log m) for the m tokens of the bucket that is cut; of the
 * row as a whole there is one walk that only compares, where the cut falls among the likely tokens.
 */
#ifndef TW_ENGINE_CUTOFF_H
#define TW_ENGINE_CUTOFF_H

#include <stddef.h>
#include <stdint.h>

#include "engine/selection.h"
#include "engine/softmax.h"

enum { TW_CUTOFF_BUCKETS = 4096 };

/* A row and its weights as tw_softmax.weights gave them with `least` 0. */
struct tw_cutoff_row {
    const float *logits;  /* [n] clean */
    const float *weights; /* [n] */
    size_t n;
    float max; /* finite */
    float inverse_temperature;
    double total; /* of the weights */
    const struct tw_softmax *softmax;
};

struct tw_cutoff_workspace {
    uint32_t counts[TW_CUTOFF_BUCKETS];
    double masses[TW_CUTOFF_BUCKETS];
    struct tw_candidate *candidates; /* [n] */
    uint32_t *near;                  /* [n] after a find: tokens, ascending, all that are kept */
    size_t n_near;                   /* and some that are not */
};

/* The worst token that is kept. top_k: 0 is off; top_p: 0..1, 1 is off. */
struct tw_candidate tw_cutoff_find(const struct tw_cutoff_row *row, uint32_t top_k, double top_p,
                                   struct tw_cutoff_workspace *workspace);

#endif
