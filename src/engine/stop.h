/* stop.h: when an answer ends: an end token, a stop string, or the number of tokens allowed.
 *
 * Stop strings are looked for in the stream of text, across the borders of tokens. Text that may
 * turn out to be the beginning of one is held back:
 *
 *     push("Hello <st")  -> out "Hello ", held "<st"
 *     push("art")        -> out "<start", held ""          it was something else after all
 *     push("<stop>xyz")  -> out "",  MATCHED, "xyz" is dropped with the stop string
 *
 * Invariants:
 * 1. What comes out is the text up to the first place where any stop string is complete; no part of
 *    that stop string comes out, whatever the pieces in which the text arrived.
 * 2. Of stop strings complete at the same place the longest counts.
 * 3. No more is held back than the longest end of the text that begins a stop string.
 * 4. Whole characters in, whole characters out: a stop string does not begin inside a character.
 *
 * Ownership: a matcher copies its strings. Threads: one at a time per matcher.
 * Limits: TW_LIMIT_STOP_STRINGS, TW_LIMIT_STOP_STRING_BYTES.
 */
#ifndef TW_ENGINE_STOP_H
#define TW_ENGINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "text/tokenizer.h"

/* ---- stop strings ---- */

struct tw_stop_matcher;

/* strings: [n_strings], each neither empty nor beginning inside a character. n_strings may be 0.
 * Errors: TW_ERR_USAGE for a string that breaks this or a limit, TW_ERR_MEMORY. */
enum tw_status tw_stop_matcher_create(const struct tw_bytes *strings, size_t n_strings,
                                      struct tw_stop_matcher **ret_matcher, struct tw_error *error);
void tw_stop_matcher_free(struct tw_stop_matcher *matcher);

/* Appends to *out what of the text may be shown. True when a stop string is complete: nothing that
 * is pushed afterwards comes out. A full *out shows in out->failed. */
bool tw_stop_matcher_push(struct tw_stop_matcher *matcher, const char *text, size_t text_bytes,
                          struct tw_buf *out);

/* The text is over: what was held back comes out. */
void tw_stop_matcher_finish(struct tw_stop_matcher *matcher, struct tw_buf *out);

/* ---- the whole rule for one answer ---- */

enum tw_finish {
    TW_FINISH_NONE = 0,  /* goes on */
    TW_FINISH_STOP,      /* an end token or a stop string */
    TW_FINISH_LENGTH,    /* max_tokens, or the model's context is full */
    TW_FINISH_CANCELLED, /* by the caller */
    TW_FINISH_ERROR,     /* see the error that comes with it */
    TW_FINISH_COUNT
};

/* "stop", "length", "cancelled", "error"; "" for NONE. */
const char *tw_finish_name(enum tw_finish finish);

struct tw_stop_rules {
    const struct tw_bytes *strings; /* [n_strings] */
    size_t n_strings;
    uint64_t max_tokens;    /* 0: no bound */
    bool ignore_end_tokens; /* end tokens are tokens like others and have no text */
    bool show_special;      /* special tokens show their spelling in the text */
};

/* tokens --[end token?]--> detokenise --[stop string?]--> text --[as many as allowed?] */
struct tw_stop;

/* The tokenizer must outlive the object. Errors as tw_stop_matcher_create. */
enum tw_status tw_stop_create(const struct tw_stop_rules *rules,
                              const struct tw_tokenizer *tokenizer, struct tw_stop **ret_stop,
                              struct tw_error *error);
void tw_stop_free(struct tw_stop *stop);

/* Takes the next token and appends its text to *out. When this ends the answer, the reason comes
 * back and everything that may be shown is in *out. Must not be called again after that. */
enum tw_finish tw_stop_push(struct tw_stop *stop, tw_token token, struct tw_buf *out);

/* Ends the answer from outside: what was held back comes out. Once only; not after a reason. */
void tw_stop_finish(struct tw_stop *stop, struct tw_buf *out);

#endif
