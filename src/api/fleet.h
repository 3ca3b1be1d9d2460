/* fleet.h: the other servers as they are at a time. A change makes a new fleet; who was sent to a
 * server of an old one keeps that until the end.
 *
 * Threads: any. Ownership: tw_api_fleet_take is paired with tw_api_fleet_drop; the last one gives
 * back what the servers are made of (tw_api_remotes.release).
 */
#ifndef TW_API_FLEET_H
#define TW_API_FLEET_H

#include "api/api_state.h"

struct tw_api_fleet {
    struct tw_api_remotes remotes;
    atomic_uint n_users;
};

/* NULL: no memory; then nothing is released. */
struct tw_api_fleet *tw_api_fleet_make(const struct tw_api_remotes *remotes);
/* The one that there is now; never NULL. */
struct tw_api_fleet *tw_api_fleet_take(struct tw_api *api);
/* NULL is allowed. */
void tw_api_fleet_drop(struct tw_api_fleet *fleet);

#endif
