/* drafter.h: what may come next in a text that repeats itself: a guess that costs little to check.
 *
 *     prompt  ... Order 4711 was sent ...      answer so far  {"order": "4711
 *     the end of the answer was there before:  47 | 11   ->  what followed it there: was sent ...
 *
 * Answers copy: names and numbers of the prompt, lines of the code that is to be changed, the frame
 * of the record before. The draft is what followed the last place where the end of the text stood
 * before; the longest such end counts (up to 8 tokens, at least 2: one alone is everywhere), of
 * equal ones the latest. The engine computes a draft together with the text's last token, samples
 * as always, and keeps the draft as far as it says what was sampled (docs/determinism.md). So a
 * draft can never change an answer, only the number of steps it takes (Saxena 2023, prompt lookup
 * decoding; verified as in Leviathan et al. 2023, arXiv 2211.17192, in its exact form).
 *
 * How long it is depends on how often the tokens guessed last were right, r:
 *
 *     r^n >= 1/8, n <= 3     but the step's rows must stay within four, which cost what one costs
 *     15 where r >= 15/16    a text that is being copied: sixteen rows cost less than three
 *     0 below 1/8            but every 16th time one token, to see whether it has become better
 *
 * Four rows are one tile of a product; a decoding step waits for weights from memory, and what a
 * row costs beyond them is about an eighth of it (bench/engine/step_rates.c, decode at batch 1, 4,
 * 8 and 16).
 *
 * Invariants: the same calls give the same drafts; nothing is allocated; a search looks at the last
 * TW_LIMIT_DRAFT_SEARCH_TOKENS, some 10 us where attention reads as many rows in each layer. (An
 * index by n-grams would find the same at the price of memory for each sequence.)
 * Ownership: a plain struct of a sequence's answer. Threads: one at a time. No errors.
 */
#ifndef TW_ENGINE_DRAFTER_H
#define TW_ENGINE_DRAFTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "text/tokenizer.h"

struct tw_drafter {
    double rate;       /* r */
    uint32_t n_passed; /* times without a draft since the last one */
};

struct tw_drafter tw_drafter_begin(void);

/* Guesses what follows tokens [n_tokens] into ret_draft [TW_LIMIT_DRAFT_TOKENS], and says how much
 * that is: often nothing. n_decoding: texts in a step like this one, at least 1. */
uint32_t tw_drafter_guess(struct tw_drafter *drafter, const tw_token *tokens, size_t n_tokens,
                          uint32_t n_decoding, tw_token *ret_draft);

/* Of n_drafted tokens that were computed the first n_right were right. */
void tw_drafter_learn(struct tw_drafter *drafter, uint32_t n_drafted, uint32_t n_right);

#endif
