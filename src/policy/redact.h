/* redact.h: what detectors find in a request, replaced by pseudonyms, and put back in its answer.
 *
 *     "Write to anna@example.org"  --apply-->    "Write to <EMAIL_1>"
 *     "To <EMAIL_1>: ..."          --restore-->  "To anna@example.org: ..."
 *
 * One value has one pseudonym in a request, the detector's name in capitals and a number, and one
 * pseudonym one value; none is used that stands in the request already. Texts that are JSON
 * (arguments of tools) stay JSON: their strings, names and numbers are replaced within.
 * What stands across parts of a message becomes one pseudonym in the first of them.
 *
 * Invariants: 1. Behind a successful apply no finding of the detectors asked for is left where it
 * was found. 2. An answer is put back to the same bytes however it is cut into pieces. 3. A
 * restorer holds back no more than the longest pseudonym as it may be written, and only what may
 * still become one.
 * Ownership: a redaction owns what it replaced. A restorer belongs to one text of an answer and
 * must not outlive its redaction.
 * Threads: apply one; restore any number. Errors: TW_ERR_LIMIT where a detector could not look at
 * all of a text or there is too much to replace: the request must not leave then, and its body may
 * be changed in part. TW_ERR_MEMORY.
 */
#ifndef TW_POLICY_REDACT_H
#define TW_POLICY_REDACT_H

#include "base/json.h"
#include "policy/policy.h"

struct tw_redaction;

/* detectors: bits, of a decision. The policy must outlive the redaction. */
enum tw_status tw_redaction_create(const struct tw_policy *policy, uint64_t detectors,
                                   struct tw_redaction **ret_redaction, struct tw_error *error);
/* NULL is allowed. */
void tw_redaction_free(struct tw_redaction *redaction);

/* Replaces in all texts of a request's body, apart from the model's name. */
enum tw_status tw_redaction_apply(struct tw_redaction *redaction, json_t *body,
                                  struct tw_error *error);

/* How many values have a pseudonym; 0: answers need nothing put back. */
size_t tw_redaction_count(const struct tw_redaction *redaction);

/* Puts back in all texts of a whole answer; "arguments" are JSON, and so is content where
 * content_is_json, of an answer whose form was prescribed. */
enum tw_status tw_redaction_restore(const struct tw_redaction *redaction, json_t *answer,
                                    bool content_is_json, struct tw_error *error);

/* ---- an answer in pieces ---- */

/* A pseudonym as it may be written in JSON: each of the two brackets as \u003c. */
enum { TW_RESTORER_HELD_BYTES = TW_LIMIT_POLICY_NAME_BYTES + 32 };

/* One for each text of an answer: the content of each choice, its thought, the arguments of each
 * call. */
struct tw_restorer {
    const struct tw_redaction *redaction;
    bool is_json; /* the text is JSON (arguments): values are written with its escapes */
    char held[TW_RESTORER_HELD_BYTES];
    size_t n_held;
};

void tw_restorer_begin(struct tw_restorer *restorer, const struct tw_redaction *redaction,
                       bool is_json);
/* Appends to out what is certain. Failure shows in out->failed. */
void tw_restorer_push(struct tw_restorer *restorer, const char *piece, size_t piece_bytes,
                      struct tw_buf *out);
/* The text is over: appends what was held back. */
void tw_restorer_end(struct tw_restorer *restorer, struct tw_buf *out);

#endif
