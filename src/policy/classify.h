/* classify.h: the data class of a request, and why it is that.
 *
 *     floors of its key and project, header, detectors --> the highest
 *
 * Detectors read every text of the body: messages, what tools were asked and answered, prompts,
 * inputs, descriptions of tools, names of fields, numbers, and what is within texts that are JSON;
 * texts of one message that stand in several parts are read joined as well. What is not known to be
 * read so (a part of another type or with another field, a field of the body or of a message that
 * is not listed, prompts that are token ids or objects, URLs that hold data) has the policy's class
 * for that.
 *
 * Invariants: 1. One more source never makes a class lower; no client can go below what is known
 * otherwise. 2. What goes wrong raises: a detector that could not look at all of a text, JSON in
 * texts in texts deeper than TW_LIMIT_POLICY_TEXTS_DEEP, and a floor that the policy does
 * not have, count as the highest class. 3. Reasons say
 * where, never what.
 * Threads: any number with one policy. Errors: TW_ERR_USAGE for a header with no class of the
 * policy in it, with a sentence for the client.
 */
#ifndef TW_POLICY_CLASSIFY_H
#define TW_POLICY_CLASSIFY_H

#include "base/json.h"
#include "policy/policy.h"

/* By which a client says of what class its request is. */
#define TW_CLASSIFY_HEADER "x-tokenworks-data-class"

enum tw_classify_source {
    TW_CLASSIFY_POLICY_FLOOR = 0, /* that every request has */
    TW_CLASSIFY_FLOOR,            /* of the key, or of what it is in */
    TW_CLASSIFY_HEADER_VALUE,
    TW_CLASSIFY_DETECTOR,
    TW_CLASSIFY_UNREAD, /* no detector can read it */
    TW_CLASSIFY_FAILED, /* it could not be looked at as a whole */
    TW_CLASSIFY_SOURCE_COUNT
};

enum {
    TW_CLASSIFY_PLACE_BYTES = 48,
    TW_CLASSIFY_FLOORS = 4,
    TW_CLASSIFY_REASONS = TW_CLASSIFY_FLOORS + 6 + 2 * TW_LIMIT_POLICY_DETECTORS
};

struct tw_classify_reason {
    enum tw_classify_source source;
    unsigned class;
    int detector;                        /* or TW_POLICY_NONE */
    uint64_t n;                          /* how often, for a detector */
    char place[TW_CLASSIFY_PLACE_BYTES]; /* the first: "messages[2].content"; "" for the others */
};

struct tw_classified {
    struct tw_policy_rank rank;
    struct tw_classify_reason reasons[TW_CLASSIFY_REASONS]; /* [n_reasons] */
    size_t n_reasons;
};

/* What is not known is NULL. */
struct tw_classify_request {
    const char *floors[TW_CLASSIFY_FLOORS]; /* classes, of organisation, team, project and key */
    const char *who;                        /* "organisation/team/project/key" */
    const char *header;                     /* the value of TW_CLASSIFY_HEADER */
    const char *file_header; /* the same, that the file came with in which the request was */
    const json_t *body;      /* of the request, as it came */
};

enum tw_status tw_classify(const struct tw_policy *policy,
                           const struct tw_classify_request *request,
                           struct tw_classified *ret_classified, struct tw_error *error);

/* "confidential: email in messages[2].content, 3 times". */
enum { TW_CLASSIFY_SENTENCE_BYTES = 256 };
void tw_classify_say(const struct tw_policy *policy, const struct tw_classify_reason *reason,
                     char ret_sentence[TW_CLASSIFY_SENTENCE_BYTES]);

/* "floor", "header", "detector", "unread", "failed"; of the policy's floor "policy". */
const char *tw_classify_source_name(enum tw_classify_source source);

/* Whether a field of a body is a parameter: its number is no text, and is not looked at. */
bool tw_classify_is_parameter(const char *field);

#endif
