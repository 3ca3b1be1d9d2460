/* admission.h: where a request may run, by the policy, before anything is made of it.
 *
 *     body, header, who asks -> class -> rule -> zones | a refusal, which is on record
 *
 * Without a policy every zone is allowed. What was decided is noted in the request's route, which
 * its record gets (hub/audit_record.h).
 *
 * Ownership: an admission belongs to whoever has the call, until the request's record is written;
 * it keeps the policy that it was decided by. Threads: any; of one admission one at a time.
 */
#ifndef TW_API_ADMISSION_H
#define TW_API_ADMISSION_H

#include "api/api_state.h"
#include "policy/redact.h"

struct tw_api_admission {
    struct tw_audit_route route;
    uint32_t least_trust; /* of a zone; 0: any */
    uint64_t zones;       /* where it may run, of the policy's: bits; all without a policy */
    uint64_t redact;      /* detectors whose findings must not leave: bits */
    struct tw_api_policy *policy;           /* NULL: there is none */
    char model[TW_LIMIT_SERVED_NAME_BYTES]; /* that it is for, by its own name; "": none */
    char class[TW_LIMIT_POLICY_NAME_BYTES], rule[TW_LIMIT_POLICY_NAME_BYTES];
    char class_reason[256];
    char version[TW_POLICY_SHORT_VERSION_BYTES];
    char denied[TW_LIMIT_ERROR_TEXT_BYTES]; /* "": it is allowed */
};

/* From now on, or no more, the hub gives nothing a name that the policy in use tells apart. */
void tw_api_admission_guard(struct tw_api *api, bool is_there);

/* Decides on a call whose body is read. False: it was refused, and the call is done with. */
bool tw_api_admit(struct tw_api *api, struct tw_api_call *call);
/* Answers a call that nothing was made of with an error, and frees all that it has. */
void tw_api_refuse_call(struct tw_api *api, const struct tw_api_call *call,
                        const struct tw_api_error *error);
void tw_api_admission_free(struct tw_api_admission *admission); /* NULL is allowed */

/* For the record of what runs here; NULL where there is no policy. */
const struct tw_audit_route *tw_api_admission_route(const struct tw_api_admission *admission);

/* NULL: there is none. */
const struct tw_policy *tw_api_admission_policy(const struct tw_api_admission *admission);

/* Whether a zone is among those allowed. */
bool tw_api_admission_allows(const struct tw_api_admission *admission, const char *zone);
/* How much a zone is trusted, more is more; without a policy all are alike. */
uint32_t tw_api_admission_trust(const struct tw_api_admission *admission, const char *zone);

/* Of a call for another model in place of one that was admitted, by the same policy, asked anew:
 * where it may run, of zones that are trusted at least so much. NULL: nowhere, or no memory. */
struct tw_api_admission *tw_api_admission_again(struct tw_api *api, const struct tw_api_call *call,
                                                const struct tw_api_admission *first,
                                                uint32_t least_trust);

#endif
