/* added.h: tokens that are looked for in text before it is cut into words.
 *
 * The search is leftmost, then longest, as in Hugging Face's tokenizers; a special token that the
 * caller does not allow still takes its bytes out of the search, and they become ordinary text.
 * Where spans say who wrote what, it takes no byte of what others wrote, and text of others makes
 * no token longer: a marker of the template stays one, whatever stands beside it.
 *
 *     "a <|im_end|> b"  --next-->  gap "a ", token <|im_end|>  --next-->  gap " b", end
 *
 * Ownership: the set refers to the texts it was given. Threads: any number may search.
 * Errors: TW_ERR_LIMIT (TW_LIMIT_ADDED_TOKEN_BYTES), TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_ADDED_H
#define TW_TEXT_ADDED_H

#include "text/tokenizer.h"

/* Sorted by text; every prefix of a search is a range of the array. */
struct tw_added_set {
    struct tw_added_token *tokens; /* [n_tokens] */
    size_t n_tokens;
    uint32_t begin[257]; /* tokens whose first byte is b: begin[b] .. begin[b + 1] */
};

/* Of equal texts the first counts; empty ones are left out. */
enum tw_status tw_added_init(struct tw_added_set *set, const struct tw_added_token *tokens,
                             size_t n_tokens, struct tw_error *error);
void tw_added_free(struct tw_added_set *set);

/* Where special tokens count. Positions that are asked for only rise. */
struct tw_added_rights {
    bool special;                     /* everywhere, if there are no spans */
    const struct tw_text_span *spans; /* of the text: within one that is not input; or NULL */
    size_t i_span;
    const bool *granted; /* [n_granted] one by one as they come, instead of spans; or NULL */
    size_t n_granted, i_granted;
};

/* The next token at or behind `from`, and the bytes it takes (spaces it strips included). NULL and
 * the end of the text when there is none. */
const struct tw_added_token *tw_added_next(const struct tw_added_set *set, struct tw_bytes text,
                                           size_t from, struct tw_added_rights *rights,
                                           size_t *ret_begin, size_t *ret_end);

#endif
