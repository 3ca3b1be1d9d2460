/* tokenizer.h: text to token ids and back.
 *
 * Two families: byte-level BPE (GPT-2, Llama 3, Qwen) and SentencePiece with byte fallback
 * (Llama 1 and 2). A tokenizer is made from a neutral description (struct tw_tokenizer_spec) that
 * the model layer fills from a GGUF file, or that is read from a Hugging Face tokenizer.json.
 *
 *     text --[added tokens]--> pieces --[normalise]--[added tokens]--[pre-tokenise]--> words
 *     words --[BPE|SPM]--> ids
 *     ids  --[token bytes]--> bytes --[struct tw_detokenizer]--> whole UTF-8 characters
 *
 * Invariants: 1. Without TW_ENCODE_SPECIAL no control or unknown token comes out of text, whatever
 * the text says: a user cannot inject <|im_start|>. (Two exceptions, neither of which text can
 * choose: the unknown token where the vocabulary cannot spell a byte; and a byte's own token, which
 * is plain whatever the file calls it.) 2. Encoding reads any bytes; invalid UTF-8 is no error.
 * 3. decode(encode(text)) == text for byte-level BPE that has all 256 bytes and neither normaliser
 * nor space prefix nor a step that removes, nor tokens that strip. Bytes a vocabulary without
 * unknown token cannot spell are left out, as its authors' own tokenizer does.
 * Ownership: the tokenizer copies what it keeps. Threads: any number may use one tokenizer;
 * tw_tokenizer_add_end before that.
 * Limits: TW_LIMIT_VOCAB_TOKENS, TW_LIMIT_TOKEN_BYTES, TW_LIMIT_BPE_MERGES, TW_LIMIT_TEXT_BYTES,
 * TW_LIMIT_TOKENIZER_STEPS, TW_LIMIT_ADDED_TOKEN_BYTES, TW_LIMIT_SPM_PIECE_BYTES.
 */
#ifndef TW_TEXT_TOKENIZER_H
#define TW_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "text/bytes.h"
#include "text/normalise.h"
#include "text/pretokenize.h"

typedef int32_t tw_token;
#define TW_TOKEN_NONE ((tw_token)-1)

enum tw_tokenizer_family { TW_TOKENIZER_BPE = 0, TW_TOKENIZER_SPM };

/* How byte-level BPE cuts text into words before merging. */
enum tw_pretokenizer {
    TW_PRETOKENIZER_GPT2 = 0,
    TW_PRETOKENIZER_LLAMA3,
    TW_PRETOKENIZER_QWEN2,
    TW_PRETOKENIZER_PATTERN /* any other pattern, through PCRE2 */
};

/* The numbers are those of GGUF's tokenizer.ggml.token_type. */
enum tw_token_kind {
    TW_TOKEN_NORMAL = 1,
    TW_TOKEN_UNKNOWN = 2,
    TW_TOKEN_CONTROL = 3,      /* special: recognised only where the caller allows it */
    TW_TOKEN_USER_DEFINED = 4, /* always recognised in text, as one token */
    TW_TOKEN_UNUSED = 5,
    TW_TOKEN_BYTE = 6
};

/* A token that is looked for in the text itself. The flags are Hugging Face's. */
struct tw_added_token {
    tw_token id;
    struct tw_bytes text;
    bool is_special;  /* only where the caller allows it */
    bool strip_left;  /* takes the spaces before it */
    bool strip_right; /* takes the spaces behind it */
    bool normalised;  /* looked for in the normalised text */
    bool single_word; /* not inside a word */
};

struct tw_tokenizer_spec {
    enum tw_tokenizer_family family;
    size_t n_tokens;
    const struct tw_bytes *tokens; /* [n_tokens] as in the file: byte-level alphabet or U+2581 */
    const uint8_t *kinds;          /* [n_tokens] enum tw_token_kind, or NULL: all normal */
    const float *scores;           /* [n_tokens] SPM without merges only */
    size_t n_merges;
    const struct tw_bytes *merges; /* [n_merges] "left right", best first; SPM: instead of scores */
    enum tw_pretokenizer pretokenizer;
    const char *pattern;   /* TW_PRETOKENIZER_PATTERN only */
    bool normalise_nfc;    /* BPE: Unicode NFC first (Qwen2's tokenizer.json asks for it) */
    bool ignore_merges;    /* BPE: a word that is a token is taken whole (Llama 3) */
    bool add_space_prefix; /* SPM: " " before the text, and dropped again by the detokenizer */
    bool remove_extra_whitespaces; /* SPM: runs of spaces become one, none at either end */
    bool fuse_unknown;             /* several unknown characters in a row are one unknown token */
    tw_token bos, eos, unknown;    /* TW_TOKEN_NONE where there is none */
    bool add_bos, add_eos;         /* what TW_ENCODE_BOS_EOS does */

    /* What a tokenizer.json says in more detail; each array, where it is not NULL, takes the place
     * of what stands in brackets. */
    const struct tw_added_token *added; /* [control, unknown and user-defined kinds] */
    size_t n_added;
    const struct tw_normalise_step *normalise; /* [normalise_nfc; the SPM options above] */
    size_t n_normalise;
    const struct tw_pretokenize_step *cuts; /* [pretokenizer, pattern]; patterns not compiled */
    size_t n_cuts;
};

struct tw_tokenizer;

enum tw_status tw_tokenizer_create(const struct tw_tokenizer_spec *spec,
                                   struct tw_tokenizer **ret_tokenizer, struct tw_error *error);

/* From a parsed tokenizer.json and, where there is one, tokenizer_config.json (or NULL). What the
 * files ask for and we do not know is TW_ERR_UNSUPPORTED with the name of it. */
enum tw_status tw_tokenizer_from_json(const json_t *tokenizer_json, const json_t *config_json,
                                      struct tw_tokenizer **ret_tokenizer, struct tw_error *error);

/* The description alone, e.g. to write it into another format. Arrays lie in the arena, texts in
 * the arena and in the two JSON trees; both must outlive it. */
enum tw_status tw_tokenizer_spec_from_json(const json_t *tokenizer_json, const json_t *config_json,
                                           struct tw_arena *arena,
                                           struct tw_tokenizer_spec *ret_spec,
                                           struct tw_error *error);

/* NULL is allowed. */
void tw_tokenizer_free(struct tw_tokenizer *tokenizer);

enum {
    TW_ENCODE_SPECIAL = 1, /* special tokens in the text become their ids */
    TW_ENCODE_BOS_EOS = 2  /* add what the model asks for (add_bos, add_eos) */
};

/* A growing list of token ids; zero-initialise it, free with tw_token_list_free. */
struct tw_token_list {
    tw_token *ids;
    size_t n_tokens;
    size_t capacity_tokens;
    size_t most_tokens; /* encoding ends with TW_ERR_LIMIT beyond it; 0: no such bound */
    bool is_full;       /* it did */
};

bool tw_token_list_push(struct tw_token_list *list, tw_token id);
void tw_token_list_free(struct tw_token_list *list);

/* Appends the ids of text to *list. flags: TW_ENCODE_*. Errors: TW_ERR_LIMIT, TW_ERR_MEMORY; ids
 * appended before the failure are taken back. */
enum tw_status tw_tokenizer_encode(const struct tw_tokenizer *tokenizer, const char *text,
                                   size_t text_bytes, int flags, struct tw_token_list *list,
                                   struct tw_error *error);

/* A stretch of a text, from the end of the one before. */
struct tw_text_span {
    size_t end_bytes;
    bool is_input; /* written by somebody who may not write special tokens */
};

/* The same for a text in which special tokens count only where they lie within one span that is
 * not input. All else is as if the whole text were encoded with TW_ENCODE_SPECIAL: what lies
 * between two special tokens is one piece. The last span ends with the text. */
enum tw_status tw_tokenizer_encode_spans(const struct tw_tokenizer *tokenizer, const char *text,
                                         size_t text_bytes, const struct tw_text_span *spans,
                                         size_t n_spans, struct tw_token_list *list,
                                         struct tw_error *error);

size_t tw_tokenizer_size(const struct tw_tokenizer *tokenizer);
tw_token tw_tokenizer_bos(const struct tw_tokenizer *tokenizer);
tw_token tw_tokenizer_eos(const struct tw_tokenizer *tokenizer);
bool tw_tokenizer_adds_bos(const struct tw_tokenizer *tokenizer);

/* What id stands for as output bytes; empty for ids outside the vocabulary and, unless
 * with_special, for special tokens. SPM: U+2581 is already a space. Valid as long as the tokenizer.
 */
struct tw_bytes tw_tokenizer_token_bytes(const struct tw_tokenizer *tokenizer, tw_token id,
                                         bool with_special);

/* The token's own spelling in the vocabulary, for listings. */
struct tw_bytes tw_tokenizer_token_text(const struct tw_tokenizer *tokenizer, tw_token id);

enum tw_token_kind tw_tokenizer_token_kind(const struct tw_tokenizer *tokenizer, tw_token id);

/* The id whose vocabulary entry is exactly text, or TW_TOKEN_NONE. */
tw_token tw_tokenizer_find(const struct tw_tokenizer *tokenizer, const char *text,
                           size_t text_bytes);

/* Tokens that end an answer: eos, and of these the vocabulary has as control or user-defined
 * tokens: <|im_end|> <|eot_id|> <|eom_id|> <|end_of_text|> <|endoftext|> </s>. */
bool tw_tokenizer_ends_generation(const struct tw_tokenizer *tokenizer, tw_token id);
/* Adds one to that set, e.g. from generation_config.json. TW_ERR_USAGE outside the vocabulary,
 * TW_ERR_LIMIT beyond TW_LIMIT_END_TOKENS. */
enum tw_status tw_tokenizer_add_end(struct tw_tokenizer *tokenizer, tw_token id);

/* Streaming detokenisation: push ids, get bytes that end at a character boundary.
 *
 *     EMPTY --push--> bytes of whole characters out; at most 3 bytes of an unfinished one are kept
 *           --finish-> the kept bytes come out as U+FFFD
 *
 * Bytes that cannot become valid UTF-8 come out as U+FFFD at once. SPM drops the space it put
 * before the first word when it added one at the start (drop_leading_space). */
struct tw_detokenizer {
    const struct tw_tokenizer *tokenizer;
    bool with_special;
    bool drop_leading_space;
    unsigned char kept[4];
    int n_kept;
};

void tw_detokenizer_init(struct tw_detokenizer *detokenizer, const struct tw_tokenizer *tokenizer,
                         bool with_special);
/* Appends to *out. False when out reached its bound. */
bool tw_detokenizer_push(struct tw_detokenizer *detokenizer, tw_token id, struct tw_buf *out);
bool tw_detokenizer_finish(struct tw_detokenizer *detokenizer, struct tw_buf *out);

#endif
