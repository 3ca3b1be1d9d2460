/* relay_fallback.h: another model in place of one that no server can answer with now.
 *
 *     {"model": "large"} -> no server of it can, and no byte of an answer came
 *                        -> {"model": "medium"}, a call of its own: the policy is asked anew, never
 *                           for less trust; who may use it, what it costs, what is on record and
 *                           the answer's `model` are those of the model that serves
 *
 * Threads: any.
 */
#ifndef TW_API_RELAY_FALLBACK_H
#define TW_API_RELAY_FALLBACK_H

#include "api/api_state.h"

/* Whether another model may take this one's place. */
bool tw_api_has_fallbacks(const struct tw_api *api, const struct tw_api_call *call);

/* Takes up a call again with the next model that its key and the policy allow, on a preparing
 * thread. body: of the call, as it came, which is taken. The rest of the call stays the caller's,
 * but for its connection. False: there is none; then nothing is taken. */
bool tw_api_fall_back(struct tw_api *api, const struct tw_api_call *call, json_t *body,
                      uint32_t least_trust);

#endif
