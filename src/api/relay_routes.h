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
    uint64_t n_least_tokens;    /* of a text: what it has for sure */
    struct tw_api_fleet *fleet; /* of the last choice, whose server stays as long as the trip */
    uint64_t *hashes;           /* of the prompt's beginning */
    uint32_t zone_trusts[TW_LIMIT_ROUTE_ZONES];
};

struct tw_api_trip_terms {
    const json_t *body;
    const char *model; /* what the client calls it, which stays */
    const struct tw_api_tenant *tenant;
    bool makes_answers;
    uint64_t n_answer_tokens, n_answers; /* each at most; 0: not said */
};

/* False: no memory. */
bool tw_api_trip_begin(struct tw_api_trip *trip, const struct tw_api *api,
                       const struct tw_api_trip_terms *terms);
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
/* What its place may be taken by has at least this trust: that of its first choice, or, where there
 * was none, the least of where it could have run. */
uint32_t tw_api_trip_floor(const struct tw_api_trip *trip, struct tw_api *api,
                           const struct tw_api_admission *admission);
/* Of what it needs, what no server of its model that it may go to can do: bits. */
uint32_t tw_api_trip_lacks(const struct tw_api_trip *trip, struct tw_api *api,
                           const struct tw_api_admission *admission);
void tw_api_trip_first(struct tw_api_trip *trip, struct tw_api *api);
void tw_api_trip_end(struct tw_api_trip *trip, struct tw_api *api, enum tw_outcome outcome);

#endif
