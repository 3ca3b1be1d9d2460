/* token_trie.h: the tokens of a vocabulary by the bytes they stand for.
 *
 *     "a" "an" "and" "b"     nodes, each before its children:  a  n  d  b
 *                            end (behind the last of its own): 3  3  3  4
 *
 * One array, walked from the front; what follows a byte that may not come is skipped in one step.
 *
 * In it are the tokens that have text of their own: not the special ones, which are never
 * admissible in constrained text, and not those without bytes.
 * Ownership: copies what it needs of the tokenizer except which tokens end an answer: the tokenizer
 * must outlive it. Threads: any number may read. Errors: TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_TOKEN_TRIE_H
#define TW_TEXT_TOKEN_TRIE_H

#include "text/tokenizer.h"

struct tw_trie_node {
    uint32_t end;   /* of the nodes below it */
    tw_token token; /* the first one that ends here, or TW_TOKEN_NONE */
    uint16_t depth; /* bytes down to here: 1 for a first byte */
    uint8_t byte;
};

struct tw_token_trie {
    struct tw_trie_node *nodes; /* [n_nodes] */
    uint32_t n_nodes;
    uint32_t n_vocab;      /* rows of logits have so many numbers */
    tw_token *same;        /* [n_vocab] another token of the same bytes, or TW_TOKEN_NONE */
    uint32_t most_bytes;   /* of a token */
    uint32_t most_nesting; /* frames that a token may open at once, at most */
    tw_token ends[TW_LIMIT_END_TOKENS + 8];
    uint32_t n_ends;
    const struct tw_tokenizer *tokenizer;
};

/* n_vocab: of the model, at least the size of the tokenizer is used. */
enum tw_status tw_token_trie_create(const struct tw_tokenizer *tokenizer, size_t n_vocab,
                                    struct tw_token_trie **ret_trie, struct tw_error *error);
/* NULL is allowed. */
void tw_token_trie_free(struct tw_token_trie *trie);

#endif
