/* policy_write.h: the canonical form of a policy, and its version.
 *
 * One line of JSON with every part in a fixed order, names in place of numbers, and nothing that is
 * not set: {"classes":[...],"floor":...,"unread":...,"zones":[...],"detectors":[...],
 * "rules":[...]}.
 * docs/formats/policy.md has it. Not for others than policy_file.c.
 */
#ifndef TW_POLICY_POLICY_WRITE_H
#define TW_POLICY_POLICY_WRITE_H

#include "policy/policy.h"

/* Fills canonical, version and short_version. False: no memory. */
bool tw_policy_seal(struct tw_policy *policy);

#endif
