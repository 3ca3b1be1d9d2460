/* tokenizer_json_write.h: a byte-level tokenizer as the two files that Hugging Face's tools read.
 *
 *     struct tw_tokenizer_spec --> tokenizer.json          vocabulary, merges, added tokens, steps
 *                              --> tokenizer_config.json   who ends an answer, the chat template
 *
 * The form is that of Qwen2: NFC, one Split by the pre-tokenizer's expression, ByteLevel.
 * Invariant: tw_tokenizer_from_json of what is written gives the tokenizer of the description.
 * The description (assertions): byte-level BPE with one of the hand-written pre-tokenizers, kinds
 * and added tokens listed; every added token is a token of another kind than normal; texts end
 * with a NUL that is not counted.
 * Threads: any. Errors: none but the buffer's (buf->failed).
 */
#ifndef TW_TEXT_TOKENIZER_JSON_WRITE_H
#define TW_TEXT_TOKENIZER_JSON_WRITE_H

#include "base/buf.h"
#include "text/tokenizer.h"

void tw_tokenizer_json_write(const struct tw_tokenizer_spec *spec, struct tw_buf *buf);

struct tw_tokenizer_config {
    const char *class_name;    /* "Qwen2Tokenizer" */
    const char *eos, *pad;     /* ends an answer; fills a batch; NULL where no token does */
    const char *chat_template; /* Jinja, or NULL */
    uint32_t n_context_tokens; /* model_max_length */
};

void tw_tokenizer_config_write(const struct tw_tokenizer_spec *spec,
                               const struct tw_tokenizer_config *config, struct tw_buf *buf);

#endif
