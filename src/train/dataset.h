/* dataset.h: training documents as tokens, each token with whether it is to be learnt.
 *
 *     {"messages": ...}  <|im_start|> user \n What? <|im_end|> \n <|im_start|> assistant \n
 *                        Yes <|im_end|> \n
 *                        ^^^ ^^^^^^^^^^  targets: what the assistant says, and that it ends
 *     {"text": ...}      text <|endoftext|>
 *                             all but the first token are targets
 *
 * A conversation is rendered by text/chat_format.h as a chat does it: markers go in as token ids,
 * an answer is encoded on its own behind the header that asks for it, everything else as one piece
 * with its role. What messages say is plain text; tokens that are added and not special, such as
 * <tool_call>, are recognised in it.
 *
 * Invariants: 1. is_target[i] says that token i is to be predicted from the tokens before it in
 * its document; the first one never is. 2. Every document has at least one target and at most
 * n_context_tokens tokens; longer ones are counted and left out. 3. Documents keep the order of
 * files and rows. 4. Rows before a bad one stay.
 * Ownership: the tokenizer of the format must outlive the dataset. Threads: one while documents
 * are added; then any number may read.
 * Errors: those of rows.h; TW_ERR_FORMAT (no assistant message, nothing to learn), with file and
 * line; TW_ERR_UNSUPPORTED for conversations with a tokenizer that has no markers; TW_ERR_LIMIT
 * (TW_LIMIT_DATASET_TOKENS, TW_LIMIT_DATASET_DOCUMENTS); TW_ERR_MEMORY.
 */
#ifndef TW_TRAIN_DATASET_H
#define TW_TRAIN_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/chat_format.h"

struct tw_dataset;

enum { TW_DATASET_PLACE_BYTES = 160 };

struct tw_dataset_report {
    uint64_t n_documents;
    uint64_t n_tokens;                          /* of them together */
    uint64_t n_targets;                         /* of these */
    uint64_t n_skipped;                         /* documents longer than the context */
    uint64_t n_rows;                            /* read, skipped ones included */
    uint64_t shortest_tokens;                   /* of the shortest document, skipped ones too */
    uint64_t longest_tokens;                    /* of the longest document, skipped ones included */
    char first_skipped[TW_DATASET_PLACE_BYTES]; /* "file:line", empty when none was */
};

/* format: for conversations, and for its tokenizer; copied. */
enum tw_status tw_dataset_create(const struct tw_chat_format *format, uint32_t n_context_tokens,
                                 struct tw_dataset **ret_dataset, struct tw_error *error);
/* NULL is allowed. */
void tw_dataset_free(struct tw_dataset *dataset);

/* Adds the rows of a JSONL file, which must have one: TW_ERR_FORMAT. */
enum tw_status tw_dataset_add_file(struct tw_dataset *dataset, const char *path,
                                   struct tw_error *error);

/* Adds rows that lie in memory. name goes into messages. */
enum tw_status tw_dataset_add_rows(struct tw_dataset *dataset, struct tw_bytes lines,
                                   const char *name, struct tw_error *error);

const struct tw_dataset_report *tw_dataset_report(const struct tw_dataset *dataset);
uint32_t tw_dataset_n_context(const struct tw_dataset *dataset);
/* The token that ends a plain text, which is also what fills a row: <|endoftext|>, or the one that
 * ends an answer where the vocabulary has none. */
tw_token tw_dataset_end_of_text(const struct tw_dataset *dataset);

size_t tw_dataset_n_documents(const struct tw_dataset *dataset);
uint32_t tw_dataset_document_tokens(const struct tw_dataset *dataset, size_t document);

/* Writes that many ids and marks. */
void tw_dataset_copy(const struct tw_dataset *dataset, size_t document, int32_t *ret_tokens,
                     uint8_t *ret_is_target);

#endif
