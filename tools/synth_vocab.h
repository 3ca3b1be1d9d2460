/* synth_vocab.h: the vocabulary of a synthetic model: a small one made here, or a tokenizer.json.
 *
 * Built-in, byte-level BPE:  256 bytes | merges of common words | specials | unused up to n_vocab
 * Built-in, SentencePiece:   <unk> <s> </s> | 256 bytes | letters | pieces | unused
 * tokenizer.json:            as it says | unused up to n_vocab
 *
 * Ownership: the vocabulary owns its strings. Threads: any may read.
 * Errors: TW_ERR_FORMAT for a tokenizer.json without BPE vocabulary and merges; TW_ERR_LIMIT when
 * it has more tokens than the model's n_vocab.
 */
#ifndef TW_TOOLS_SYNTH_VOCAB_H
#define TW_TOOLS_SYNTH_VOCAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "synth_presets.h"
#include "text/tokenizer.h"

struct synth_vocab {
    enum synth_words words;
    struct tw_arena arena;
    uint32_t n_tokens;
    struct tw_bytes *tokens; /* [n_tokens] */
    uint8_t *kinds;          /* [n_tokens] enum tw_token_kind */
    float *scores;           /* [n_tokens]; SentencePiece only */
    uint32_t n_merges;
    struct tw_bytes *merges; /* "left right"; BPE only */
    tw_token bos, eos, unknown;
    bool add_bos;
    const char *pre_name;      /* tokenizer.ggml.pre */
    const char *chat_template; /* empty for SentencePiece */
};

/* path: a tokenizer.json, or NULL for the built-in vocabulary of `words`. */
enum tw_status synth_vocab_create(const char *path, enum synth_words words, uint32_t n_vocab,
                                  struct synth_vocab *ret_vocab, struct tw_error *error);
void synth_vocab_free(struct synth_vocab *vocab);

/* The built-in vocabulary as the text of a tokenizer.json. False when the buffer reached its
 * bound. */
bool synth_vocab_to_json(const struct synth_vocab *vocab, struct tw_buf *out);

#endif
