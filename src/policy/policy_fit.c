#include "policy/policy_fit.h"

#include <string.h>

enum tw_status tw_policy_fit_zone(const struct tw_policy *policy, const char *zone,
                                  const char *backend, struct tw_error *error)
{
    const bool is_remote = backend != NULL;
    if (tw_policy_find_zone(policy, zone) != TW_POLICY_NONE) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "the policy has no zone '%.60s', in which %s%.60s is: add it to the "
                        "policy's zones, or give %s another zone",
                        zone, is_remote ? "the backend " : "this server", is_remote ? backend : "",
                        is_remote ? "the backend" : "this server");
}

enum tw_status tw_policy_fit_people(const struct tw_policy *policy, tw_policy_has_path_fn has_path,
                                    void *context, struct tw_error *error)
{
    if (has_path == NULL && tw_policy_asks_who(policy)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the policy has rules or floors for organisations and projects, which "
                            "only books know: give --books, or take them out");
    }
    for (size_t i = 0; has_path != NULL && i < policy->n_floors; i++) {
        const struct tw_policy_words *who = &policy->floors[i].who;
        for (size_t k = 0; k < who->n_words; k++) {
            if (strchr(who->words[k], '*') == NULL && !has_path(context, who->words[k])) {
                return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                    "the policy has a floor for '%.80s', and the books have nobody "
                                    "of that name: make it first, or write the name that it has "
                                    "now",
                                    who->words[k]);
            }
        }
    }
    return TW_OK;
}
