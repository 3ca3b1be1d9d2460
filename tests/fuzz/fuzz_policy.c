/* Any bytes as a policy: one whose decisions keep what policy.h promises, or a reason. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "fuzz_target.h"
#include "policy/classify.h"

static void check_decision(const struct tw_policy *policy,
                           const struct tw_policy_question *question)
{
    struct tw_policy_decision d;
    tw_policy_decide(policy, question, &d);
    assert(d.is_allowed == (d.zones != 0) && d.is_allowed == (d.sentence[0] == '\0'));
    assert((d.zones & ~question->zones) == 0);
    if (d.rule == TW_POLICY_NONE) {
        assert(!d.is_allowed);
        return;
    }
    const struct tw_policy_rule *rule = &policy->rules[d.rule];
    assert((rule->classes >> question->rank.class & 1) != 0);
    assert((d.zones & ~rule->zones) == 0 && (d.redact & ~rule->redact) == 0);
    assert(tw_policy_rule_fits(policy, (size_t)d.rule, question) == TW_POLICY_FITS);
}

static void check_policy(const struct tw_policy *policy)
{
    assert(policy->n_classes > 0 && policy->n_zones > 0);
    assert(policy->floor < policy->n_classes && policy->unread < policy->n_classes);
    json_t *canonical = NULL;
    assert(tw_json_parse(policy->canonical, strlen(policy->canonical), "", &canonical, NULL) ==
           TW_OK);
    json_t *body = json_pack("{s:s}", "prompt", "anna@example.org 4111 1111 1111 1111");
    const struct tw_classify_request request = {.floors = {policy->classes[0]}, .body = body};
    struct tw_classified classified;
    assert(tw_classify(policy, &request, &classified, NULL) == TW_OK);
    assert(classified.rank.class >= policy->floor && classified.rank.class < policy->n_classes);
    for (unsigned class = 0; class < policy->n_classes; class ++) {
        struct tw_policy_question question = {
            .rank = {class, class, 0}, .who = "acme/legal/chat", .model = "qwen", .zones = 5};
        check_decision(policy, &question);
        question.zones = UINT64_MAX;
        question.who = NULL;
        question.model = NULL;
        check_decision(policy, &question);
    }
    json_decref(body);
    json_decref(canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_policy *policy = NULL;
    struct tw_error error = {0};
    const enum tw_status status =
        tw_policy_read((const char *)data, size, "policy", &policy, &error);
    if (status == TW_OK) {
        check_policy(policy);
    } else {
        assert(policy == NULL && strncmp(error.text, "'policy': ", 10) == 0);
    }
    tw_policy_free(policy);
    return 0;
}
