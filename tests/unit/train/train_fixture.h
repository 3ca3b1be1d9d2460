/* train_fixture.h: small tokenizers trained on the spot, and files that vanish again.
 *
 * Ownership: a trained fixture owns its description until it is freed. Errors: a failed step ends
 * the test.
 */
#ifndef TW_TEST_TRAIN_FIXTURE_H
#define TW_TEST_TRAIN_FIXTURE_H

#include "train/bpe_train.h"

struct trained {
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    struct tw_bpe_report report;
    struct tw_tokenizer *tokenizer;
};

/* Learns at most n_tokens tokens from one text. */
void trained_init(struct trained *trained, const char *text, size_t n_tokens);
void trained_free(struct trained *trained);

/* The ids of text as "1 2 3", in memory that the next call reuses. flags: TW_ENCODE_*. */
const char *trained_ids(const struct tw_tokenizer *tokenizer, const char *text, size_t text_bytes,
                        int flags);

/* A file in the test's temporary folder, removed by the caller with unlink; the path is reused by
 * the next call with the same name. */
const char *trained_file(const char *name, const char *content);

#endif
