/* approval.h: two people for what one should not change alone: prices, the policy, the models.
 *
 *     approval set --two-people                 from now on:
 *     price set ... (ann)  -> proposal 7 -> approval approve 7 (bob)  -> it is done, as bob's
 *                                        -> approval reject 7
 *
 * A proposal is the command itself. It is given by one user and done when another one, whose roles
 * allow it as well, approves it; until then, and a week behind, nothing has happened. So is each
 * command that would let one person be two (a role), and that which ends all this. A secret is
 * replaced by its user alone: whoever is shown another's would be two.
 *
 * What a server runs by stands in files; the books hold the digest of what was approved, and a
 * server with those books starts with nothing else.
 *
 * Invariants: 1. Who proposed does not approve. Keys do not count, nor does whoever has the
 * machine: both are users of the books. 2. What is done is what was proposed, by its digest.
 * Threads: tw_approval_check any; the rest the writer's.
 */
#ifndef TW_HUB_APPROVAL_H
#define TW_HUB_APPROVAL_H

#include "base/json.h"
#include "base/status.h"
#include "store/db.h"

struct tw_hub;
struct tw_hub_change;

/* Of what a server is started with: "policy" or "models". TW_ERR_DENIED where two people approve
 * here and have approved something else. digest: NULL where it has none. */
enum tw_status tw_approval_check(struct tw_hub *hub, const char *what, const char *digest,
                                 struct tw_error *error);
/* The same of books that nobody needs to have open. */
enum tw_status tw_approval_check_db(struct tw_db *db, const char *what, const char *digest,
                                    struct tw_error *error);

/* The digest of some bytes, hexadecimal. */
enum { TW_APPROVAL_DIGEST_BYTES = 65 };
void tw_approval_digest(const char *bytes, size_t n_bytes,
                        char ret_digest[TW_APPROVAL_DIGEST_BYTES]);

/* ---- within the hub ---- */

/* Makes a proposal of a change that needs two; *ret_is_proposed: it did, and this was all. */
enum tw_status tw_approval_propose(struct tw_hub_change *change, bool *ret_is_proposed,
                                   struct tw_error *error);
/* Of "approval approve": puts the proposal's command into its place. */
enum tw_status tw_approval_take(struct tw_hub_change *change, struct tw_error *error);
/* Behind that command, in the same group: the proposal has ended. */
enum tw_status tw_approval_end(struct tw_hub_change *change, struct tw_error *error);

/* TW_ERR_DENIED where two people approve and somebody else than its user (change->about) asks for a
 * new secret in the place of one that was given. */
enum tw_status tw_approval_guard_secret(struct tw_hub_change *change, struct tw_error *error);
/* TW_ERR_USAGE where two people approve and without change->about fewer than two owners could. */
enum tw_status tw_approval_guard_owners(struct tw_hub_change *change, struct tw_error *error);

enum tw_status tw_change_approve(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_reject(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_use(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_set_approval(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_approvals(struct tw_hub_change *change, struct tw_error *error);

#endif
