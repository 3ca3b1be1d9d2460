#include "app/policy_ask.h"

enum list { ZONES = 0, DETECTORS, CLASSES };

static void put_list(const struct tw_policy *policy, enum list list, uint64_t bits,
                     struct tw_buf *out)
{
    const size_t n = list == ZONES       ? policy->n_zones
                     : list == DETECTORS ? policy->n_detectors
                                         : policy->n_classes;
    const char *between = "";
    for (size_t i = 0; i < n; i++) {
        if ((bits >> i & 1) != 0) {
            const char *name = list == ZONES       ? policy->zones[i].name
                               : list == DETECTORS ? policy->detectors[i].name
                                                   : policy->classes[i];
            tw_buf_append_format(out, "%s%s", between, name);
            between = ", ";
        }
    }
    tw_buf_append_text(out, between[0] == '\0' ? "none" : "");
}

void tw_policy_list_zones(const struct tw_policy *policy, uint64_t zones, struct tw_buf *out)
{
    put_list(policy, ZONES, zones, out);
}

void tw_policy_list_detectors(const struct tw_policy *policy, uint64_t detectors,
                              struct tw_buf *out)
{
    put_list(policy, DETECTORS, detectors, out);
}

void tw_policy_list_classes(const struct tw_policy *policy, uint32_t classes, struct tw_buf *out)
{
    put_list(policy, CLASSES, classes, out);
}

static enum tw_status take_zones(const struct tw_policy *policy, const struct tw_policy_ask *ask,
                                 uint64_t *ret_zones, struct tw_error *error)
{
    uint64_t zones = ask->n_zones == 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < ask->n_zones; i++) {
        const int zone = tw_policy_find_zone(policy, ask->zones[i]);
        if (zone == TW_POLICY_NONE) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "the policy has no zone '%.60s'; 'policy check' lists them",
                                ask->zones[i]);
        }
        zones |= UINT64_C(1) << zone;
    }
    *ret_zones = zones;
    return TW_OK;
}

/* On a command line an unknown class is a mistake; in the books it would count as the highest. */
static enum tw_status check_class(const struct tw_policy *policy, const char *name,
                                  struct tw_error *error)
{
    if (name != NULL && tw_policy_find_class(policy, name) == TW_POLICY_NONE) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the policy has no class '%.60s'; 'policy check' lists them", name);
    }
    return TW_OK;
}

enum tw_status tw_policy_answer_ask(const struct tw_policy *policy, const struct tw_policy_ask *ask,
                                    struct tw_policy_answer *ret_answer, struct tw_error *error)
{
    const struct tw_classify_request request = {
        .who = ask->who, .floors = {ask->floor}, .header = ask->header, .body = ask->body};
    const char *model = json_string_value(json_object_get(ask->body, "model"));
    struct tw_policy_question question = {.who = ask->who,
                                          .model = ask->model != NULL ? ask->model : model};
    enum tw_status status = take_zones(policy, ask, &question.zones, error);
    status = status == TW_OK ? check_class(policy, ask->floor, error) : status;
    if (status == TW_OK) {
        status = tw_classify(policy, &request, &ret_answer->classified, error);
    }
    if (status != TW_OK) {
        return status;
    }
    question.rank = ret_answer->classified.rank;
    ret_answer->question = question;
    tw_policy_decide(policy, &question, &ret_answer->decision);
    return TW_OK;
}
