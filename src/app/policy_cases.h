/* policy_cases.h: what a policy is to decide, written down as cases, and whether it does.
 *
 *     cases:
 *       - {name: a mail address stays here, text: Write to anna@example.org,
 *          expect: {class: confidential, zones: [house]}}
 *
 * docs/formats/policy.md has the keys. Threads: one at a time. Errors: those of conf.h, and
 * TW_ERR_FORMAT or TW_ERR_USAGE with the case's number for what it cannot mean.
 */
#ifndef TW_APP_POLICY_CASES_H
#define TW_APP_POLICY_CASES_H

#include "base/buf.h"
#include "policy/policy.h"

struct tw_policy_cases {
    size_t n_passed, n_failed;
};

/* Reads the cases and asks the policy each; a line for each goes to out. Requests in files of their
 * own are seen from the folder of the cases. */
enum tw_status tw_policy_cases_run(const struct tw_policy *policy, const char *path,
                                   struct tw_buf *out, struct tw_policy_cases *ret_cases,
                                   struct tw_error *error);

#endif
