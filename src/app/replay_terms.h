/* replay_terms.h: what a stored request says of how its answers were made, from what 'content show'
 * gives (api/api_content.h, hub/content.h).
 *
 * Ownership: texts point into the JSON it was read from, which must outlive it; the rest is its
 * own. Threads: one at a time. Errors: TW_ERR_FORMAT for what is not of that form,
 * TW_ERR_UNSUPPORTED, with a sentence that begins "not comparable", for what is stored without
 * being enough to make an answer again.
 */
#ifndef TW_APP_REPLAY_TERMS_H
#define TW_APP_REPLAY_TERMS_H

#include "base/json.h"
#include "engine/engine.h"
#include "text/prescribed_form.h"

struct tw_replay_answer {
    size_t prompt; /* a place in prompts */
    uint64_t seed, max_tokens;
    /* As it was given. */
    struct tw_bytes text;
    const char *finish;
    uint64_t n_tokens;
    bool is_cut; /* its client left: the text is a beginning */
};

struct tw_replay_prompt {
    tw_token *tokens; /* [n_tokens] */
    size_t n_tokens;
};

struct tw_replay_terms {
    /* What must be the same; never NULL. */
    const char *model_digest, *build, *isa, *pack, *kv;
    struct tw_prescribed_form form;  /* without a tool_form */
    struct tw_generation generation; /* without seed and max_tokens, which are the answers' */
    struct tw_logit_bias *biases;
    struct tw_bytes *stops;
    struct tw_replay_prompt *prompts; /* [n_prompts] */
    size_t n_prompts;
    struct tw_replay_answer *answers; /* [n_answers] */
    size_t n_answers;
};

enum tw_status tw_replay_terms_read(const json_t *content, struct tw_replay_terms *ret_terms,
                                    struct tw_error *error);
void tw_replay_terms_free(struct tw_replay_terms *terms);

#endif
