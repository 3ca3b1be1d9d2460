/* bpe.h: the symbols of one word, merged until no pair is left.
 *
 *     l o w e r  --(best rank, leftmost)-->  lo w e r  -->  lo w er  -->  low er  -->  lower
 *
 * Two algorithms with one result: short words rescan an array of ranks, which stays in the first
 * cache; long ones use a queue, so that a word of n symbols takes O(n log n) whatever it holds.
 *
 * Ownership: symbols are merged in place; the scratch keeps its memory between words.
 * Threads: one scratch each. Errors: false when memory for a long word could not be had.
 */
#ifndef TW_TEXT_BPE_H
#define TW_TEXT_BPE_H

#include "text/merges.h"

/* Words of up to so many symbols are merged by scanning. */
#define TW_BPE_SHORT_SYMBOLS 64

struct tw_bpe_node;
struct tw_bpe_entry;

/* Zero-initialise it. */
struct tw_bpe_scratch {
    struct tw_bpe_node *nodes;
    struct tw_bpe_entry *queue;
    size_t n_queue;
    size_t capacity_nodes;
};

/* n_symbols < 2^31. *ret_n: how many are left. */
bool tw_bpe_merge(const struct tw_merges *merges, struct tw_bpe_scratch *scratch, int32_t *symbols,
                  size_t n_symbols, size_t *ret_n);

void tw_bpe_scratch_free(struct tw_bpe_scratch *scratch);

#endif
