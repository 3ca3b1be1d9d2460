/* eval_score.h: how right an answer is, and how sure a share of right answers is.
 *
 *     kind       scores (right of how many)
 *     json       valid: 1 if the whole answer is one JSON object
 *                fields: equal ones, of those expected and those too many
 *                objects: 1 if all fields are equal and none is too many
 *     tool_call  name: 1 if there is exactly one call, with the right name
 *                call: 1 if its arguments are right as well and nothing stands around it
 *     contains   right
 *     exact      right
 *     all kinds  passed: objects, call or right, whichever the kind has
 *
 * White space around an answer never counts. JSON values are equal as values: 12 is 12.0, "12" is
 * not; the order of keys does not matter; of a key that comes twice the last one counts. Upper and
 * lower case are told apart in JSON, not in contains and exact, there for the letters A to Z alone.
 *
 * A text of contains begins where a word begins, and where it ends with a digit the number ends
 * with it: "male" is not in "female", "14" not in "114", "14.5" or "1,140"; "core" is in "cores".
 *
 * Pure. Threads: any. Errors: TW_ERR_MEMORY only; any answer can be scored.
 */
#ifndef TW_APP_EVAL_SCORE_H
#define TW_APP_EVAL_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/eval_rows.h"

enum tw_eval_score_id {
    TW_EVAL_VALID = 0,
    TW_EVAL_FIELDS,
    TW_EVAL_OBJECTS,
    TW_EVAL_NAME,
    TW_EVAL_CALL,
    TW_EVAL_RIGHT,
    TW_EVAL_PASSED,
    TW_EVAL_SCORE_COUNT
};

struct tw_eval_share {
    uint64_t right, of;
};

/* Of one answer or of many; a score that no row has is 0 of 0. */
struct tw_eval_scores {
    struct tw_eval_share shares[TW_EVAL_SCORE_COUNT];
};

/* "valid", "fields", ... */
const char *tw_eval_score_name(enum tw_eval_score_id id);

/* Whether rows of these kinds (1u << kind, together) have the score. */
bool tw_eval_kinds_have(unsigned kinds, enum tw_eval_score_id id);

/* The answer's text is without the end token and with the spelling of all other special tokens. */
enum tw_status tw_eval_score(const struct tw_eval_row *row, const char *answer, size_t answer_bytes,
                             struct tw_eval_scores *ret_scores, struct tw_error *error);

void tw_eval_scores_add(struct tw_eval_scores *sum, const struct tw_eval_scores *more);

/* 0 of 0 is 0: what was never tried was not reached. */
double tw_eval_share_value(struct tw_eval_share share);

/* Wilson's 95% interval: where the share of all such questions probably lies, given these. Unlike
 * the plain one it stays within 0 and 1 and means something for 0 of 20, too. 0 of 0: 0 to 1. */
struct tw_eval_interval {
    double low, high;
};
struct tw_eval_interval tw_eval_share_interval(struct tw_eval_share share);

#endif
