/* merges.h: which two neighbouring symbols become one, and in what order of preference.
 *
 * A symbol is a token id (>= 0) or, for a character that is no token, tw_merges_raw_symbol() of it
 * (< -1). A pair has a rank; the lowest goes first, and of equal ranks the leftmost.
 *
 *     byte-level BPE: from the file's list; rank = place in the list
 *     SentencePiece:  every way to cut a piece in two; rank = order of the piece's score
 *
 * Invariants: 1. Every merged id is plain (tw_vocab_is_plain). 2. Its text is the texts of the two
 * put together. Threads: any number may read, and merge with a scratch each.
 * Errors: TW_ERR_FORMAT (names the pair), TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_MERGES_H
#define TW_TEXT_MERGES_H

#include "text/vocab.h"

struct tw_merge_slot {
    int32_t left, right;
    uint32_t rank;
    int32_t merged; /* + 1; 0: the slot is free */
};

/* Most pairs that are looked up do not exist. The filter, a bit for each hash, is small enough for
 * the second cache and says so without touching the slots: it has 4 bits for a slot, 8 or more for
 * a pair. */
struct tw_merges {
    struct tw_merge_slot *slots; /* [mask + 1] */
    uint64_t *filter;            /* [(mask + 1) / 16] */
    size_t mask;
    size_t n_pairs;
    bool cuts_at_marks; /* no pair joins U+2581 to what stands before it, unless that is U+2581 */
};

enum tw_status tw_merges_init(struct tw_merges *merges, const struct tw_vocab *vocab,
                              const struct tw_tokenizer_spec *spec, struct tw_error *error);
void tw_merges_free(struct tw_merges *merges);

static inline uint64_t tw_merges_hash(int32_t left, int32_t right)
{
    return tw_bytes_mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right, 0);
}

/* The bit of a hash: from its upper half, since its lower one picks the slot. */
static inline size_t tw_merges_bit(const struct tw_merges *merges, uint64_t hash)
{
    return (hash >> 32) & (4 * merges->mask + 3);
}

/* NULL when the two stay apart. */
static inline const struct tw_merge_slot *tw_merges_find(const struct tw_merges *merges,
                                                         int32_t left, int32_t right)
{
    uint64_t hash = tw_merges_hash(left, right);
    size_t bit = tw_merges_bit(merges, hash);
    if ((merges->filter[bit / 64] >> bit % 64 & 1) == 0) {
        return NULL;
    }
    for (size_t at = hash & merges->mask;; at = (at + 1) & merges->mask) {
        const struct tw_merge_slot *slot = &merges->slots[at];
        if (slot->merged == 0) {
            return NULL;
        }
        if (slot->left == left && slot->right == right) {
            return slot;
        }
    }
}

/* The symbol of a character (SentencePiece): its token, or a raw one. */
int32_t tw_merges_symbol(const struct tw_vocab *vocab, struct tw_bytes character, uint32_t code);
static inline bool tw_merges_is_raw(int32_t symbol)
{
    return symbol < TW_TOKEN_NONE;
}

#endif
