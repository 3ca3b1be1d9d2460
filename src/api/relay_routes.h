/* relay_routes.h: which of the other servers a request is sent to, by route/router.h.
 *
 * Threads: any; a router is used by one at a time. Ownership: a route lives with its request.
 */
#ifndef TW_API_RELAY_ROUTES_H
#define TW_API_RELAY_ROUTES_H

#include "api/admission.h"
#include "route/router.h"

enum tw_status tw_api_routes_open(struct tw_api *api, struct tw_error *error);
void tw_api_routes_close(struct tw_api *api);
/* With router_lock held: they are the fleet before it is left. On an error the old ones stay. */
enum tw_status tw_api_routes_set(struct tw_api *api, const struct tw_api_remotes *remotes,
                                 struct tw_error *error);

/* Of one request: what it needs, and where it was. */
struct tw_api_trip {
    struct tw_route_request request;
    struct tw_route_trip trip;
    struct tw_route_ride ride;
    bool is_riding, has_first;
    struct tw_api_fleet *fleet; /* of the last choice, whose server stays as long as the trip */
    uint64_t *hashes;           /* of the prompt's beginning */
};

/* body: of the request; model: what the client calls it, which stays. False: no memory. */
bool tw_api_trip_begin(struct tw_api_trip *trip, const struct tw_api *api, const json_t *body,
                       const char *model, uint32_t tenant, uint64_t n_answer_tokens);
void tw_api_trip_free(struct tw_api_trip *trip);

/* The next server, where the admission lets it go; NULL, and the verdict: there is none. Nothing
 * is taken: another request may come first. */
const struct tw_api_remote *tw_api_trip_next(struct tw_api_trip *trip, struct tw_api *api,
                                             const struct tw_api_admission *admission,
                                             enum tw_route_verdict *ret_verdict);
/* The same, and it is sent there. */
const struct tw_api_remote *tw_api_trip_ride(struct tw_api_trip *trip, struct tw_api *api,
                                             const struct tw_api_admission *admission,
                                             enum tw_route_verdict *ret_verdict);
void tw_api_trip_first(struct tw_api_trip *trip, struct tw_api *api);
void tw_api_trip_end(struct tw_api_trip *trip, struct tw_api *api, enum tw_outcome outcome);

#endif
