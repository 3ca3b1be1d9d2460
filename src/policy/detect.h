/* detect.h: what a policy's detectors find in a text, built in or of the organisation. */
#ifndef TW_POLICY_DETECT_H
#define TW_POLICY_DETECT_H

#include "policy/policy.h"

/* The bytes [begin, end) of the text are a finding of that detector. */
typedef void (*tw_detect_found)(void *context, unsigned detector, size_t begin, size_t end);

/* What the detectors of a request may still do, and do it with. */
struct tw_detect_work {
    struct tw_expression_work expressions;
    uint64_t n_steps[TW_LIMIT_POLICY_DETECTORS];
};
void tw_detect_begin(struct tw_detect_work *work);
void tw_detect_end(struct tw_detect_work *work);

/* detectors: bits of those that are asked. Any bytes are a text; expressions see those of invalid
 * UTF-8 as question marks. *ret_failed: bits of those that could not look at all of it
 * (TW_ERR_LIMIT, TW_ERR_MEMORY of expression.h), whose findings are not complete. */
void tw_detect(const struct tw_policy *policy, struct tw_detect_work *work, uint64_t detectors,
               const char *text, size_t text_bytes, tw_detect_found found, void *context,
               uint64_t *ret_failed);

#endif
