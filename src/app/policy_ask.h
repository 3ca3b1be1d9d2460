/* policy_ask.h: a question to a policy, from a command line or a file of cases, and its answer.
 *
 *     request + what is known of it --tw_policy_ask--> class with its reasons, decision
 *
 * Threads: one at a time.
 */
#ifndef TW_APP_POLICY_ASK_H
#define TW_APP_POLICY_ASK_H

#include "policy/classify.h"

/* What is not known is NULL; no zones mean all. */
struct tw_policy_ask {
    json_t *body; /* the caller's */
    const char *floor, *header, *who, *model;
    const char *const *zones; /* [n_zones] */
    size_t n_zones;
};

/* The model's name in it is the body's. */
struct tw_policy_answer {
    struct tw_classified classified;
    struct tw_policy_question question;
    struct tw_policy_decision decision;
};

/* The model is that of the body where none is given. TW_ERR_USAGE for a class or a zone that the
 * policy does not have. */
enum tw_status tw_policy_answer_ask(const struct tw_policy *policy, const struct tw_policy_ask *ask,
                                    struct tw_policy_answer *ret_answer, struct tw_error *error);

/* Names of the zones, detectors or classes whose bits are set, with ", " between them; "none". */
void tw_policy_list_zones(const struct tw_policy *policy, uint64_t zones, struct tw_buf *out);
void tw_policy_list_detectors(const struct tw_policy *policy, uint64_t detectors,
                              struct tw_buf *out);
void tw_policy_list_classes(const struct tw_policy *policy, uint32_t classes, struct tw_buf *out);

#endif
