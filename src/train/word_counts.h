/* word_counts.h: the distinct words of a corpus, and how often each occurs.
 *
 *     text --[cut at added tokens]--[NFC]--[qwen2 pre-tokenizer]--> words --> word, count
 *
 * The words are those that a tokenizer with these steps would merge, so that a corpus of any size
 * is as large as its vocabulary to whoever learns merges from it.
 *
 * Invariants: 1. No word holds an added token's text, special or not. 2. Words are numbered in the
 * order in which they are first met. 3. Texts are cut on their own: none continues in the next.
 * Ownership: words live as long as the counts, and move when a text is added. Threads: one at a
 * time. Errors: TW_ERR_LIMIT (TW_LIMIT_CORPUS_WORDS, TW_LIMIT_CORPUS_WORD_BYTES,
 * TW_LIMIT_TEXT_BYTES), TW_ERR_MEMORY; the counts are then good for nothing but to be freed.
 */
#ifndef TW_TRAIN_WORD_COUNTS_H
#define TW_TRAIN_WORD_COUNTS_H

#include "base/status.h"
#include "text/tokenizer.h"

struct tw_word_counts;

/* added: where texts are cut; its texts must outlive the counts. */
enum tw_status tw_word_counts_create(const struct tw_added_token *added, size_t n_added,
                                     struct tw_word_counts **ret_counts, struct tw_error *error);
/* NULL is allowed. */
void tw_word_counts_free(struct tw_word_counts *counts);

enum tw_status tw_word_counts_add(struct tw_word_counts *counts, struct tw_bytes text,
                                  struct tw_error *error);

size_t tw_word_counts_n_words(const struct tw_word_counts *counts);
struct tw_bytes tw_word_counts_word(const struct tw_word_counts *counts, size_t word);
uint64_t tw_word_counts_count(const struct tw_word_counts *counts, size_t word);

/* Of all distinct words together. */
size_t tw_word_counts_word_bytes(const struct tw_word_counts *counts);
/* Of all texts, as they were given. */
uint64_t tw_word_counts_text_bytes(const struct tw_word_counts *counts);
/* Added tokens that were met. */
uint64_t tw_word_counts_n_added(const struct tw_word_counts *counts);

#endif
