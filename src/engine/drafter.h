/* drafter.h: what may come next in a text that repeats itself: a guess that costs little to check.
 *
 *     prompt  ... Order 4711 was sent ...      answer so far  {"order": "4711
 *     the end of the answer was there before:  47 | 11   ->  what followed it there: was sent ...
 *
 * Answers copy: names and numbers of the prompt, lines of the code that is to be changed, the frame
 * of the record before. The draft is what followed the last place where the end of the text stood
 * before: where the most of it did, up to 8 tokens, and of equal places the latest. The engine
 * computes a draft together with the text's last token, samples as always, and keeps the draft as
 * far as it says what was sampled (docs/determinism.md). So a draft never changes an answer, only
 * the number of steps it takes. (Prompt lookup, Saxena 2023; the exact form of the check in
 * Leviathan et al. 2023, arXiv 2211.17192.)
 *
 * How long it is depends on how often the guesses of an answer were right so far, r. That is known
 * apart for places where 1, 2, 3, or at least 4 tokens were the same; one token says little in most
 * texts, but in an answer that copies it saves the most steps:
 *
 *     r^n >= 1/8, n <= 3    if the step's rows stay within four, which cost little more than one
 *     15 where r >= 15/16   a text that is being copied: sixteen rows cost less than three
 *     0 below 1/8           but every 16th time one token, to see whether it has become better
 *
 * A decoding step waits for weights from memory. Four rows are one tile of a product, and beyond
 * them a row costs about an eighth of a step (`tokenworks bench engine --batch 1,4,8,16`).
 *
 * Invariants: 1. The same calls give the same drafts. 2. Nothing is allocated. 3. A search looks at
 * the last TW_LIMIT_DRAFT_SEARCH_TOKENS tokens, mostly with one comparison each: some 10 us, where
 * attention reads as many keys and values in each layer. (An index of the places would find the
 * same for memory of every sequence.)
 * Ownership: a plain struct of a sequence's answer. Threads: one at a time. No errors.
 */
#ifndef TW_ENGINE_DRAFTER_H
#define TW_ENGINE_DRAFTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "text/tokenizer.h"

enum { TW_DRAFTER_RATES = 4 };

struct tw_drafter {
    double rates[TW_DRAFTER_RATES]; /* r, by the length of the match less one */
    uint32_t last;                  /* place in rates of the last draft */
    uint32_t n_passed;              /* places found since a low rate was looked at */
};

struct tw_drafter tw_drafter_begin(void);

/* Guesses what follows tokens [n_tokens], at least one, into ret_draft [TW_LIMIT_DRAFT_TOKENS], and
 * says how much that is: often nothing. n_decoding: texts that the next step goes on with, about;
 * at least 1. */
uint32_t tw_drafter_guess(struct tw_drafter *drafter, const tw_token *tokens, size_t n_tokens,
                          uint32_t n_decoding, tw_token *ret_draft);

/* Of n_drafted tokens that were computed the first n_right were right. */
void tw_drafter_learn(struct tw_drafter *drafter, uint32_t n_drafted, uint32_t n_right);

#endif
