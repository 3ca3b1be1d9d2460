/* normalise.h: what is done to a text before it is cut into words.
 *
 *     text --step 0--> text --step 1--> ... --> text
 *
 * Invariants: 1. A step that changes nothing copies nothing. 2. Invalid UTF-8 passes through byte
 * for byte. 3. Time is linear in the text (runs of combining marks included) for given steps.
 * Ownership: steps refer to memory of the caller; results lie in the text or in the scratch and
 * are valid until its next use. Threads: one scratch each.
 * Errors: TW_ERR_LIMIT (TW_LIMIT_NORMALISED_*), TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_NORMALISE_H
#define TW_TEXT_NORMALISE_H

#include "base/buf.h"
#include "base/status.h"
#include "text/bytes.h"

enum tw_normalise_kind {
    TW_NORMALISE_NFC = 0,     /* Unicode normalisation form C */
    TW_NORMALISE_PREPEND,     /* `to` before a text that is not empty */
    TW_NORMALISE_REPLACE,     /* every `from` (not empty) becomes `to` */
    TW_NORMALISE_TRIM_SPACES, /* runs of U+0020 become one, none at either end */
    TW_NORMALISE_KIND_COUNT
};

struct tw_normalise_step {
    enum tw_normalise_kind kind;
    struct tw_bytes from; /* REPLACE only */
    struct tw_bytes to;   /* PREPEND and REPLACE only */
};

/* Memory one thread normalises with; zero-initialise it. */
struct tw_normalise_scratch {
    struct tw_buf out[2]; /* steps write into them in turn */
    int32_t *codes;       /* [2 * capacity_codes]: a segment being composed, and its sorted copy */
    size_t capacity_codes;
};

enum tw_status tw_normalise(const struct tw_normalise_step *steps, size_t n_steps,
                            struct tw_normalise_scratch *scratch, struct tw_bytes text,
                            struct tw_bytes *ret_text, struct tw_error *error);

void tw_normalise_scratch_free(struct tw_normalise_scratch *scratch);

#endif
