/* answer_form.h: the form that a request prescribes for its answer.
 *
 *     response_format     {"type": "json_object"} or {"type": "json_schema", "json_schema": {...}}
 *     structured_outputs  {"json" | "regex" | "choice" | "json_object"}: vLLM's
 *     guided_json, guided_regex, guided_choice: the same, older; json_schema: llama.cpp's
 *
 * What is enforced is in docs/structured-output.md; what cannot be is refused. Compiling may take
 * tens of milliseconds: on a preparing thread. It comes after the prompt, since where that has
 * begun a thought (text/reasoning.h) the form stands behind its end.
 *
 * Ownership: the form owns what it has; the backend must outlive it. Threads: made and freed by one
 * at a time; the masker is the backend's thread's from the submission on.
 */
#ifndef TW_API_ANSWER_FORM_H
#define TW_API_ANSWER_FORM_H

#include "api/api_state.h"
#include "text/prescribed_form.h"

/* Zero-initialise it. */
struct tw_api_form {
    struct tw_prescribed_form wish;
    char param[64];    /* that asks for it */
    json_t *functions; /* of wish: those that may be called */
    struct tw_automaton *automaton;
    struct tw_masker *masker; /* NULL: any text */
};

/* What a body asks for, but for calls; nothing is compiled. */
bool tw_api_form_read(struct tw_api_form *form, const json_t *body, struct tw_api_error *error);
bool tw_api_form_compile(struct tw_api_form *form, const json_t *body,
                         const struct tw_api_served *model, bool is_thinking,
                         struct tw_api_error *error);
void tw_api_form_free(struct tw_api_form *form);

#endif
