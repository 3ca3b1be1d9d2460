/* vocab.h: the tokens of a vocabulary, what they spell, and how to find them.
 *
 *     id -> text   the entry as in the file ("Ġthe", "▁the", "<0x0A>", "<|im_end|>")
 *     id -> bytes  what it stands for in output (" the", " the", "\n", "<|im_end|>")
 *     text -> id   any entry by its text; the last one wins where a file has it twice
 *     word -> id   what merging may end at: byte-level BPE by output bytes, SentencePiece by text
 *
 * Invariant: control, unknown and byte tokens are never found as words, so that no plain text can
 * spell one. The one exception is stated in tokenizer.h (a single byte's token stays usable).
 * Ownership: the vocabulary copies its texts. Threads: any number may read.
 * Errors: TW_ERR_LIMIT, TW_ERR_MEMORY, TW_ERR_FORMAT.
 */
#ifndef TW_TEXT_VOCAB_H
#define TW_TEXT_VOCAB_H

#include "text/tokenizer.h"

/* Open addressing with linear probing; a slot is (hash's upper half, id + 1), 0 when free. Slots
 * are visited in no order: in huge pages they cost no walk of the page tables. */
struct tw_token_map {
    uint64_t *slots; /* [mask + 1] */
    size_t mask;
};

struct tw_vocab {
    enum tw_tokenizer_family family;
    size_t n_tokens;
    struct tw_bytes *texts; /* [n_tokens] */
    struct tw_bytes *bytes; /* [n_tokens] */
    uint8_t *kinds;         /* [n_tokens] enum tw_token_kind */
    char *blob;             /* what texts and bytes point into */
    struct tw_token_map by_text;
    struct tw_token_map by_word;
    tw_token byte_ids[256]; /* the token of a single byte, or TW_TOKEN_NONE */
};

/* On failure *vocab may be half filled; tw_vocab_free puts that right. */
enum tw_status tw_vocab_init(struct tw_vocab *vocab, const struct tw_tokenizer_spec *spec,
                             struct tw_error *error);
void tw_vocab_free(struct tw_vocab *vocab);

tw_token tw_vocab_find_text(const struct tw_vocab *vocab, struct tw_bytes text);
/* Says that a text will be looked for soon. */
void tw_vocab_prefetch_text(const struct tw_vocab *vocab, struct tw_bytes text);
tw_token tw_vocab_find_word(const struct tw_vocab *vocab, struct tw_bytes word);

/* The same for a word whose tw_bytes_hash is known. */
tw_token tw_vocab_find_hashed(const struct tw_vocab *vocab, struct tw_bytes word, uint64_t hash);

/* Whether merging may produce it. */
bool tw_vocab_is_plain(const struct tw_vocab *vocab, tw_token id);

#endif
