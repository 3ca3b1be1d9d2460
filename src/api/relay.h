/* relay.h: requests for models that other servers have: passed on, and their answers passed back.
 *
 *     tw_api_relay -> ASKED     [the hub, with an upper bound of the prompt]
 *     ASKED        -> SENT      [to a server that has the model; again to another one while no byte
 *                                of an answer came]
 *     SENT         -> PASSING   [a stream begins with the first byte; what is not on record yet
 *                                waits, as of our own models (api_gate.h)]
 *     any          -> SETTLED   [what the server reported]
 *
 * How many tokens there are is known by the server alone. Reserved is what cannot be exceeded: a
 * token a byte of the request, and the answer's limit, which is sent along. Settled is what the
 * server said last. Where it said nothing, the request's bound is paid, and of the answer a token
 * for each part that came.
 *
 * Threads: one of its own looks after clients that leave or do not read; the rest runs where
 * completion.c's does, and on the remote client's thread.
 */
#ifndef TW_API_RELAY_H
#define TW_API_RELAY_H

#include "api/api_state.h"

/* The servers of a model, and the thread. Without remote servers nothing is started. */
enum tw_status tw_api_relays_start(struct tw_api *api, struct tw_error *error);
/* After the remote client was stopped, which ends what runs. */
void tw_api_relays_stop(struct tw_api *api);

/* Whether a server has the model that a body asks for. Of a name that a body does not give, none
 * has it. */
bool tw_api_relay_takes(struct tw_api *api, const json_t *body);

bool tw_api_remote_has(const struct tw_api_remote *remote, const char *model);

/* For the numbers of how calls ended. */
void tw_api_relays_count(struct tw_api *api, enum tw_remote_end end);

void tw_api_relay(struct tw_api *api, const struct tw_api_call *call);

#endif
