/* policy_fit.h: whether a policy can be the one of a server: what the policy names is there, and
 * what is there the policy names.
 *
 *     each place where models run -> tw_policy_fit_zone
 *     whom books have             -> tw_policy_fit_people
 *
 * Threads: any. Errors: TW_ERR_USAGE, with what to write instead.
 */
#ifndef TW_POLICY_POLICY_FIT_H
#define TW_POLICY_POLICY_FIT_H

#include "policy/policy.h"

/* A zone that the policy does not know could never be used. backend: which is there; NULL: this
 * server. */
enum tw_status tw_policy_fit_zone(const struct tw_policy *policy, const char *zone,
                                  const char *backend, struct tw_error *error);

/* Whether the books have somebody of that path. */
typedef bool (*tw_policy_has_path_fn)(void *context, const char *path);

/* A floor that holds for nobody is a mistake, or somebody's name was changed. has_path NULL: there
 * are no books, and nobody has a name. */
enum tw_status tw_policy_fit_people(const struct tw_policy *policy, tw_policy_has_path_fn has_path,
                                    void *context, struct tw_error *error);

#endif
