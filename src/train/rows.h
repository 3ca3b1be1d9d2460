/* rows.h: training data, one JSON object a line.
 *
 *     {"messages": [{"role": "user", "content": "..."}, ...], ...}   a conversation
 *     {"text": "...", ...}                                           plain text
 *
 * Roles are system, user and assistant. Other keys mean nothing here; a row with both kinds is a
 * conversation. Empty lines are passed over.
 *
 * Ownership: what a row points at is valid during the call. Threads: any.
 * Errors: TW_ERR_FORMAT (no JSON, no row of these kinds, an unknown role) and what the callback
 * returns, both with name and line in front; TW_ERR_LIMIT (TW_LIMIT_DATA_LINE_BYTES,
 * TW_LIMIT_DATA_MESSAGES); TW_ERR_MEMORY.
 */
#ifndef TW_TRAIN_ROWS_H
#define TW_TRAIN_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/bytes.h"

struct tw_row_message {
    const char *role; /* "system", "user" or "assistant" */
    struct tw_bytes content;
};

struct tw_row {
    uint64_t line;                         /* from 1 */
    size_t end_bytes;                      /* where the next line begins, or the end */
    const struct tw_row_message *messages; /* [n_messages], NULL for plain text */
    size_t n_messages;                     /* at least 1 */
    struct tw_bytes text;                  /* plain text */
};

typedef enum tw_status (*tw_row_fn)(void *context, const struct tw_row *row,
                                    struct tw_error *error);

/* Calls fn for each row of the text in order. name: the file's, for messages. */
enum tw_status tw_rows_read(struct tw_bytes text, const char *name, tw_row_fn fn, void *context,
                            struct tw_error *error);

#endif
