/* text_fixture.h: small vocabularies for tests of the text layer.
 *
 *     ids 0..255             the bytes, in byte order
 *     ids 256..              the results of the given merges, in order
 *     then                   the given special and user-defined tokens
 *
 * Ownership: everything lies in the fixture; tokenizers made from it copy.
 */
#ifndef TW_TEST_TEXT_FIXTURE_H
#define TW_TEST_TEXT_FIXTURE_H

#include "text/tokenizer.h"

enum { FIXTURE_TOKENS = 1024, FIXTURE_TEXT_BYTES = 65536 };

struct text_fixture {
    struct tw_tokenizer_spec spec;
    struct tw_bytes tokens[FIXTURE_TOKENS];
    uint8_t kinds[FIXTURE_TOKENS];
    float scores[FIXTURE_TOKENS];
    struct tw_bytes merges[FIXTURE_TOKENS];
    char text[FIXTURE_TEXT_BYTES];
    size_t text_used;
};

/* All 256 bytes as a byte-level vocabulary without merges. */
void text_fixture_bpe(struct text_fixture *fixture);

/* "left right" in plain bytes, e.g. "t h"; adds the merge and the token it makes. */
void text_fixture_merge(struct text_fixture *fixture, const char *left, const char *right);

/* "<unk>" "<s>" "</s>" and the 256 byte tokens "<0x00>".. : a SentencePiece vocabulary. */
void text_fixture_spm(struct text_fixture *fixture);

/* Adds a token; its id. */
tw_token text_fixture_token(struct text_fixture *fixture, const char *text, enum tw_token_kind kind,
                            float score);

struct tw_tokenizer *text_fixture_create(const struct text_fixture *fixture);

/* The ids of text as "1 2 3", in memory that the next call reuses. */
const char *text_fixture_ids(const struct tw_tokenizer *tokenizer, const char *text,
                             size_t text_bytes, int flags);

/* What the ids of text decode to, special tokens included, NUL-terminated; reused likewise. */
const char *text_fixture_round(const struct tw_tokenizer *tokenizer, const char *text,
                               size_t text_bytes, size_t *ret_n_bytes);

#endif
