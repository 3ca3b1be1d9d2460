/* policy_replay.h: what another policy would have decided of requests that books have on record.
 *
 *     records of a period --by key, model, class, outcome--> groups --the new policy--> changes
 *
 * What a record has is its class and one reason for it, who asked for which model, and where it ran
 * or that it was refused. What it has not is the request: so detectors of the new policy find
 * nothing, and a class stays what it was then, unless the new policy has a higher floor. Where it
 * could have run is what zones the model ran in, by the records of the period; where it never ran,
 * any.
 *
 * Threads: one at a time. Errors: those of the store; TW_ERR_LIMIT beyond TW_LIMIT_POLICY_GROUPS.
 */
#ifndef TW_APP_POLICY_REPLAY_H
#define TW_APP_POLICY_REPLAY_H

#include "base/buf.h"
#include "hub/period.h"
#include "policy/policy.h"
#include "store/db.h"

/* n_changed: requests, of n_requests that have a class on record. */
struct tw_policy_replayed {
    int64_t n_requests, n_changed;
};

/* Appends a table, or one JSON object. n_wide: characters of a line; 0: any number. */
enum tw_status tw_policy_replay(const struct tw_policy *policy, struct tw_db *db,
                                const struct tw_period *period, bool as_json, size_t n_wide,
                                struct tw_buf *out, struct tw_policy_replayed *ret_replayed,
                                struct tw_error *error);

#endif
