/* bpe_train.h: a byte-level BPE vocabulary learnt from the words of a corpus.
 *
 * Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units", 2016, on
 * bytes as GPT-2 has it: the most frequent pair of neighbours becomes a token, again and again.
 *
 *     ids 0..255            the bytes, in the order of the alphabet (byte_alphabet.h): "!" is 0
 *     ids 256..             what merges made, in their order
 *     then                  <|endoftext|> <|im_start|> <|im_end|> (special), and <tool_call>
 *                           </tool_call> <tool_response> </tool_response> (not special)
 *
 * The rule, exactly: the count of a pair is how often its tokens stand side by side in all words,
 * overlapping places included. The highest count goes first; of equal counts the lower id on the
 * left, then the lower id on the right. A pair is passed over when it occurs once, when its text
 * is a token already, or when it has more than TW_LIMIT_TRAINED_TOKEN_BYTES bytes. Merging goes
 * through a word from the left. Training ends when the vocabulary is full or no pair is left.
 *
 * Invariant: the result depends on the counts of the words alone, not on their order.
 * Ownership: the description lies in the caller's arena. Threads: one for each call.
 * Errors: TW_ERR_USAGE for a size out of range; those of bpe_pairs.h; TW_ERR_MEMORY.
 */
#ifndef TW_TRAIN_BPE_TRAIN_H
#define TW_TRAIN_BPE_TRAIN_H

#include "base/arena.h"
#include "base/status.h"
#include "text/tokenizer.h"
#include "train/word_counts.h"

enum { TW_BPE_ADDED_TOKENS = 7, TW_BPE_LEAST_TOKENS = 256 + TW_BPE_ADDED_TOKENS };

/* The added tokens, with ids counted from the first of them: what tw_word_counts_create needs. */
const struct tw_added_token *tw_bpe_train_added(void);

typedef void (*tw_bpe_progress_fn)(void *context, uint64_t done, uint64_t total);

struct tw_bpe_report {
    uint64_t text_bytes;    /* of the corpus */
    uint64_t corpus_tokens; /* of the corpus, added ones included, with this vocabulary */
    size_t n_words;         /* distinct */
    size_t n_merges;        /* fewer than asked for when the corpus has no more pairs */
};

/* n_tokens: TW_BPE_LEAST_TOKENS or more, added tokens included. The description is complete for
 * tw_tokenizer_create and for tokenizer_json_write.h. progress may be NULL. */
enum tw_status tw_bpe_train(const struct tw_word_counts *counts, size_t n_tokens,
                            tw_bpe_progress_fn progress, void *progress_context,
                            struct tw_arena *arena, struct tw_tokenizer_spec *ret_spec,
                            struct tw_bpe_report *ret_report, struct tw_error *error);

#endif
