/* bpe_pairs.h: the neighbouring pairs of all words, how often each occurs, and where.
 *
 * A word is a run of cells, one for each byte; a token of n bytes has its id in its first and in
 * its last cell, so that both neighbours are found from either side. A cell without a token parts
 * words.
 *
 *     cells   |  l  o  w  |  l  o  w  e  r  |        (l, o): 2 words' counts, at both l
 *     merged  | lo lo  w  | lo lo  w  e  r  |        (lo, w) instead of (l, o) and (o, w)
 *
 * Every place of a pair is in a list that runs through the cells themselves, so that a merge costs
 * time for the places it changes and no memory but for new pairs.
 *
 * Invariants: 1. A pair's count is the sum of the counts of the words at its places; overlapping
 * places all count. 2. A pair's places are in ascending order; merging takes them from the left.
 * 3. A pair that holds token t gets places only while t is being made: afterwards its count only
 * falls. Ownership: the pairs own everything; the words are copied. Threads: one at a time.
 * Errors: TW_ERR_LIMIT (TW_LIMIT_TRAINED_PAIRS), TW_ERR_MEMORY.
 */
#ifndef TW_TRAIN_BPE_PAIRS_H
#define TW_TRAIN_BPE_PAIRS_H

#include "base/status.h"
#include "text/tokenizer.h"
#include "train/word_counts.h"

struct tw_bpe_pair {
    tw_token left, right;
    uint64_t count;
    uint32_t first, last; /* places: cells of the left token; 0 where there is none */
};

struct tw_bpe_pairs {
    struct tw_bpe_pair *pairs; /* [n_pairs] in the order in which they appeared */
    size_t n_pairs, capacity_pairs;
    uint32_t *slots; /* [mask + 1] pair + 1, 0 is free */
    size_t mask;
    size_t n_cells;
    tw_token *symbols;         /* [n_cells] */
    uint32_t *words;           /* [n_cells] */
    uint32_t *next, *previous; /* [n_cells] place of the same pair, or 0 */
    uint64_t *word_counts;     /* [words] */
    uint32_t *token_bytes;     /* [capacity_tokens] */
    size_t n_tokens, capacity_tokens;
};

/* byte_ids: [256] the tokens of single bytes, 0 to 255 in some order. n_tokens: how many there may
 * be, made ones included. On failure as on success tw_bpe_pairs_free is due. */
enum tw_status tw_bpe_pairs_init(struct tw_bpe_pairs *self, const struct tw_word_counts *counts,
                                 const tw_token byte_ids[256], size_t n_tokens,
                                 struct tw_error *error);
void tw_bpe_pairs_free(struct tw_bpe_pairs *self);

/* Every place of the pair becomes the next token id, which is self->n_tokens before the call. The
 * pairs this brings are those from the old n_pairs on. */
enum tw_status tw_bpe_pairs_merge(struct tw_bpe_pairs *self, size_t pair, struct tw_error *error);

/* Tokens in the words as they are, each word as often as it occurs. */
uint64_t tw_bpe_pairs_count_tokens(const struct tw_bpe_pairs *self);

#endif
