/* relay_redaction.h: what a rule has replaced in a request, put back in the answer, of another
 * server or of a model here.
 *
 *     body --begin--> body with pseudonyms --model--> events, or an answer --restore--> as it was
 *
 * A stream's texts come in pieces, so each of them (content, thought, refusal and arguments of each
 * call, of each choice) has a restorer of its own, which holds back what may become a pseudonym;
 * what is held when a choice ends goes with its last event.
 *
 * Ownership: the admission outlives it. Threads: one at a time.
 */
#ifndef TW_API_RELAY_REDACTION_H
#define TW_API_RELAY_REDACTION_H

#include "api/admission.h"

struct tw_api_redacted_text;

struct tw_api_redaction {
    struct tw_redaction *redaction; /* NULL: nothing was replaced */
    bool content_is_json;
    struct tw_api_redacted_text *texts; /* [n_texts] of a stream */
    size_t n_texts;
};

/* Replaces in the body, where the admission asks for it. False: it must not leave. */
bool tw_api_redaction_begin(struct tw_api_redaction *redaction,
                            const struct tw_api_admission *admission, json_t *body,
                            struct tw_api_error *error);
void tw_api_redaction_free(struct tw_api_redaction *redaction);

/* Whole events of a stream, or a whole answer, written anew. False: no memory, or no JSON. */
bool tw_api_redaction_restore_events(struct tw_api_redaction *redaction, struct tw_buf *events);
bool tw_api_redaction_restore_whole(struct tw_api_redaction *redaction, struct tw_buf *answer);

#endif
