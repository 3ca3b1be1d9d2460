#include "policy/classify.h"

#include <stdio.h>
#include <string.h>

#include "policy/classify_parts.h"

const char *tw_classify_source_name(enum tw_classify_source source)
{
    static const char *const names[] = {"policy",   "floor",  "header",
                                        "detector", "unread", "failed"};
    return names[source];
}

/* ---- reasons ---- */

void tw_classify_add(struct tw_classified *out, enum tw_classify_source source, unsigned class,
                     int detector, const char *place)
{
    out->rank.class = class > out->rank.class ? class : out->rank.class;
    if (source == TW_CLASSIFY_DETECTOR) {
        out->rank.found |= UINT64_C(1) << detector;
    } else if (class > out->rank.by_others) {
        out->rank.by_others = class;
    }
    const bool is_of_text = source >= TW_CLASSIFY_DETECTOR;
    for (size_t i = 0; is_of_text && i < out->n_reasons; i++) {
        struct tw_classify_reason *reason = &out->reasons[i];
        if (reason->source == source && reason->detector == detector) {
            reason->n++;
            return;
        }
    }
    struct tw_classify_reason *reason = &out->reasons[out->n_reasons++];
    *reason =
        (struct tw_classify_reason){.source = source, .class = class, .detector = detector, .n = 1};
    snprintf(reason->place, sizeof reason->place, "%s", place);
}

void tw_classify_say(const struct tw_policy *policy, const struct tw_classify_reason *reason,
                     char ret_sentence[TW_CLASSIFY_SENTENCE_BYTES])
{
    static const char *const whys[] = {"every request is at least that",
                                       "its key or project is at least that",
                                       "the client said so",
                                       "",
                                       "no detector can read",
                                       "could not look at all of"};
    const char *name =
        reason->detector != TW_POLICY_NONE ? policy->detectors[reason->detector].name : "";
    int n = snprintf(ret_sentence, TW_CLASSIFY_SENTENCE_BYTES, "%s: %s%s",
                     policy->classes[reason->class], name,
                     reason->source == TW_CLASSIFY_FAILED && name[0] != '\0' ? " " : "");
    n += snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, "%s",
                  whys[reason->source]);
    if (reason->place[0] != '\0') {
        n += snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, "%s%s",
                      reason->source == TW_CLASSIFY_DETECTOR ? " in " : " ", reason->place);
    }
    if (reason->n > 1) {
        snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, ", %llu times",
                 (unsigned long long)reason->n);
    }
}

/* ---- all sources ---- */

static enum tw_status unknown_class(const struct tw_policy *policy, const char *name,
                                    struct tw_error *error)
{
    char list[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < policy->n_classes && n < sizeof list; i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "",
                              policy->classes[i]);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        TW_CLASSIFY_HEADER ": '%.40s' is not one of %s", name, list);
}

static enum tw_status take_header(const struct tw_policy *policy, const char *value,
                                  struct tw_classified *out, struct tw_error *error)
{
    char name[TW_LIMIT_POLICY_NAME_BYTES];
    value += strspn(value, " \t");
    size_t n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        n--;
    }
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : 0, value);
    const int class = tw_policy_find_class(policy, name);
    if (class == TW_POLICY_NONE) {
        return unknown_class(policy, value, error);
    }
    tw_classify_add(out, TW_CLASSIFY_HEADER_VALUE, (unsigned)class, TW_POLICY_NONE, "");
    return TW_OK;
}

/* Of a class that is kept somewhere, and that the policy may have no more. */
static void take_floor(const struct tw_policy *policy, const char *name, struct tw_classified *out)
{
    const int class = tw_policy_find_class(policy, name);
    const bool is_known_class = class != TW_POLICY_NONE;
    tw_classify_add(
        out, TW_CLASSIFY_FLOOR, is_known_class ? (unsigned)class : (unsigned)policy->n_classes - 1,
        TW_POLICY_NONE, is_known_class ? "" : "(a class that the policy does not have)");
}

enum tw_status tw_classify(const struct tw_policy *policy,
                           const struct tw_classify_request *request,
                           struct tw_classified *ret_classified, struct tw_error *error)
{
    ret_classified->rank = (struct tw_policy_rank){0};
    ret_classified->n_reasons = 0;
    tw_classify_add(ret_classified, TW_CLASSIFY_POLICY_FLOOR, policy->floor, TW_POLICY_NONE, "");
    const unsigned floor = tw_policy_floor_of(policy, request->who);
    if (floor > policy->floor) {
        tw_classify_add(ret_classified, TW_CLASSIFY_FLOOR, floor, TW_POLICY_NONE, "");
    }
    for (size_t i = 0; i < TW_CLASSIFY_FLOORS; i++) {
        if (request->floors[i] != NULL) {
            take_floor(policy, request->floors[i], ret_classified);
        }
    }
    const char *const headers[] = {request->header, request->file_header};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        enum tw_status status =
            headers[i] != NULL ? take_header(policy, headers[i], ret_classified, error) : TW_OK;
        if (status != TW_OK) {
            return status;
        }
    }
    if (request->body != NULL) {
        tw_classify_body(policy, request->body, ret_classified);
    }
    return TW_OK;
}
