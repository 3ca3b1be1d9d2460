/* token_mask.h: which tokens may come at a place of an automaton.
 *
 *     the trie is walked together with the automaton:
 *         byte may not come  ->  its whole subtree is skipped
 *         the frame ends     ->  the rest of the token depends on who called: an exit
 *
 * What happens inside a frame depends on the state alone, so it is computed once for a state and
 * kept: a bit for each token, and the list of exits. A mask is then a copy of the bits, with each
 * exit's subtree walked on from the caller. All strings of a schema share their states, so the one
 * costly walk, that of "inside of a string", is made once.
 *
 * Invariants: 1. A token is admissible when the automaton can take all its bytes; an end token when
 * it accepts. 2. A mask is a function of automaton, trie and walk: what is kept changes nothing.
 * Ownership: a masker refers to automaton and trie, which must outlive it. Threads: one at a time
 * per masker. Errors: TW_ERR_MEMORY; TW_ERR_UNSUPPORTED where no token can come and the text is not
 * complete. Limits: TW_LIMIT_MASK_CACHE_BYTES.
 */
#ifndef TW_TEXT_TOKEN_MASK_H
#define TW_TEXT_TOKEN_MASK_H

#include "text/automaton.h"
#include "text/token_trie.h"

struct tw_masker;

enum tw_status tw_masker_create(const struct tw_automaton *automaton,
                                const struct tw_token_trie *trie, struct tw_masker **ret_masker,
                                struct tw_error *error);
/* NULL is allowed. */
void tw_masker_free(struct tw_masker *masker);

/* Of the masks below: 64 tokens in each. */
size_t tw_masker_words(const struct tw_masker *masker);

/* Bit t % 64 of mask[t / 64] is set for every admissible token t and for no other. The mask is the
 * masker's and valid until the next call. */
enum tw_status tw_masker_fill(struct tw_masker *masker, const struct tw_walk *walk,
                              const uint64_t **ret_mask, struct tw_error *error);

const struct tw_automaton *tw_masker_automaton(const struct tw_masker *masker);
const struct tw_token_trie *tw_masker_trie(const struct tw_masker *masker);

#endif
