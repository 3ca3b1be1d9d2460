/* api_content.h: what the books are told of the content of a request (hub/content.h): whom it is
 * about, and the terms of its answers, from which they can be made again:
 *
 *     {"answers": [{"max_tokens", "prompt", "seed"}], "form", "kv", "only_prompt", "pack",
 *      "parameters": {...}, "prompts": [[token, ...], ...]}
 *
 * seed is a string, since it has 64 bits; prompt is a place in prompts; form, where one was
 * prescribed, is {"is_thinking", "kind", "may_repeat", "value"} (text/prescribed_form.h).
 */
#ifndef TW_API_API_CONTENT_H
#define TW_API_API_CONTENT_H

#include "api/api_state.h"
#include "hub/content.h"
#include "text/prescribed_form.h"

struct tw_api_terms {
    const struct tw_api_served *model;
    const struct tw_token_list *prompts; /* [n_prompts], each with as many answers */
    size_t n_prompts, n_answers;
    const struct tw_prescribed_form *form; /* of nothing: any text */
    const struct tw_generation *(*generation)(const void *context, size_t answer);
    const void *context;
};

/* By 'safety_identifier' or 'user' of a body, or else by the key. False: refused. */
bool tw_api_content_name(struct tw_content *content, const json_t *body,
                         struct tw_api_error *error);
bool tw_api_content_begin(struct tw_content *content, size_t n_answers, struct tw_api_error *error);
/* Begins the answers, too. */
bool tw_api_content_terms(struct tw_content *content, const struct tw_api_terms *terms,
                          struct tw_api_error *error);

/* For the record of a request. */
struct tw_audit_sampling tw_api_content_sampling(const struct tw_generation *generation);

#endif
