/* corpus.h: the texts of a corpus file, one after the other.
 *
 *     name ends in .jsonl   rows of rows.h: a message is the text "role\ncontent", which is the
 *                           piece that chat_format.h encodes; plain text is itself
 *     any other name        one plain text
 *
 * A plain text comes in pieces, cut between a newline and a letter of ASCII, where neither
 * normalisation nor the qwen2 pre-tokenizer joins anything: to a counter of words it is one text.
 *
 * Ownership: a text is valid during the call. Threads: one for each call.
 * Errors: TW_ERR_NOT_FOUND, TW_ERR_IO, those of rows.h, and what the callback returns; each names
 * the file.
 */
#ifndef TW_TRAIN_CORPUS_H
#define TW_TRAIN_CORPUS_H

#include <stdbool.h>

#include "base/status.h"
#include "text/bytes.h"

/* done_bytes: of the file, up to the end of this text or, in JSONL, of the row it is in. */
typedef enum tw_status (*tw_corpus_fn)(void *context, struct tw_bytes text, uint64_t done_bytes,
                                       struct tw_error *error);

enum tw_status tw_corpus_read(const char *path, tw_corpus_fn fn, void *context,
                              struct tw_error *error);

/* Whether a file of this name holds rows. */
bool tw_corpus_is_rows(const char *path);

#endif
