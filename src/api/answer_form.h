/* answer_form.h: the form that a request prescribes for its answer.
 *
 *     response_format     {"type": "json_object"} or {"type": "json_schema", "json_schema": {...}}
 *     structured_outputs  {"json" | "regex" | "choice" | "json_object"}: vLLM's
 *     guided_json, guided_regex, guided_choice: the same, older; json_schema: llama.cpp's
 *
 * What is enforced is in docs/structured-output.md; what cannot be is refused. Compiling may take
 * tens of milliseconds: on a preparing thread.
 *
 * Ownership: the form owns what it has; the backend must outlive it. Threads: made and freed by one
 * at a time; the masker is the backend's thread's from the submission on.
 */
#ifndef TW_API_ANSWER_FORM_H
#define TW_API_ANSWER_FORM_H

#include "api/api_state.h"

/* Zero-initialise it. */
struct tw_api_form {
    struct tw_automaton *automaton;
    struct tw_masker *masker; /* NULL: any text */
};

bool tw_api_form_read(struct tw_api_form *form, const json_t *body,
                      const struct tw_backend *backend, struct tw_api_error *error);
void tw_api_form_free(struct tw_api_form *form);

#endif
