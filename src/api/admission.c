#include "api/admission.h"

#include <stdio.h>
#include <string.h>

#include "api/api_refusals.h"
#include "api/relay.h"
#include "base/mem.h"
#include "hub/content.h"
#include "policy/classify.h"

/* A refusal on its way into the books. */
struct denial {
    struct tw_api *api;
    struct tw_api_call call;
    struct tw_hub_ticket ticket;
    char model[TW_LIMIT_SERVED_NAME_BYTES];
};

/* ---- policies in use ---- */

struct tw_api_policy {
    const struct tw_policy *policy;
    atomic_uint n_users;
};

static void drop_policy(struct tw_api_policy *policy)
{
    if (policy != NULL && atomic_fetch_sub(&policy->n_users, 1) == 1) {
        tw_policy_free((struct tw_policy *)(uintptr_t)policy->policy);
        tw_mem_free(policy);
    }
}

static struct tw_api_policy *take_policy(struct tw_api *api)
{
    pthread_mutex_lock(&api->lock);
    struct tw_api_policy *policy = api->policy;
    if (policy != NULL) {
        atomic_fetch_add(&policy->n_users, 1);
    }
    pthread_mutex_unlock(&api->lock);
    return policy;
}

/* Every zone that there is must be in the policy: one that it does not know could never be used. */
static enum tw_status check_zones(const struct tw_api *api, const struct tw_policy *policy,
                                  struct tw_error *error)
{
    const struct tw_api_config *config = &api->config;
    if (config->hub == NULL && tw_policy_asks_who(policy)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the policy has rules or floors for organisations and projects, which "
                            "only books know: give --books, or take them out");
    }
    for (size_t i = 0; i <= config->n_remotes; i++) {
        const char *zone = i < config->n_remotes ? config->remotes[i].zone : config->zone;
        if ((i < config->n_remotes || config->n_models > 0) &&
            tw_policy_find_zone(policy, zone) == TW_POLICY_NONE) {
            return tw_error_set(
                error, TW_ERR_USAGE, TW_NO_POSITION,
                "the policy has no zone '%.60s', in which %s%.60s is: add it to the "
                "policy's zones, or give %s another zone",
                zone, i < config->n_remotes ? "the backend " : "this server",
                i < config->n_remotes ? config->remotes[i].name : "",
                i < config->n_remotes ? "the backend" : "this server");
        }
    }
    return TW_OK;
}

enum tw_status tw_api_set_policy(struct tw_api *api, struct tw_policy *policy,
                                 struct tw_error *error)
{
    enum tw_status status = policy != NULL ? check_zones(api, policy, error) : TW_OK;
    struct tw_api_policy *next = NULL;
    if (status == TW_OK && policy != NULL) {
        next = tw_mem_zalloc(1, sizeof *next);
        status = next != NULL
                     ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a policy");
    }
    if (status != TW_OK) {
        return status;
    }
    if (next != NULL) {
        next->policy = policy;
        next->n_users = 1;
    }
    pthread_mutex_lock(&api->lock);
    struct tw_api_policy *before = api->policy;
    api->policy = next;
    pthread_mutex_unlock(&api->lock);
    drop_policy(before);
    return TW_OK;
}

/* ---- deciding ---- */

static uint64_t zone_bit(const struct tw_policy *policy, const char *zone)
{
    const int number = tw_policy_find_zone(policy, zone);
    return number == TW_POLICY_NONE ? 0 : UINT64_C(1) << number;
}

/* Where the model is that a body asks for, of zones that are trusted so much. */
static uint64_t zones_of(const struct tw_api *api, const struct tw_policy *policy,
                         const json_t *body, uint32_t least_trust)
{
    uint64_t zones = 0;
    if (!tw_api_relay_takes(api, body)) {
        zones = zone_bit(policy, api->config.zone);
    }
    for (size_t i = 0; i < api->config.n_remotes; i++) {
        if (tw_api_remote_has(&api->config.remotes[i],
                              json_string_value(json_object_get(body, "model")))) {
            zones |= zone_bit(policy, api->config.remotes[i].zone);
        }
    }
    for (size_t i = 0; i < policy->n_zones; i++) {
        zones &= policy->zones[i].trust < least_trust ? ~(UINT64_C(1) << i) : UINT64_MAX;
    }
    return zones;
}

/* What raised the class to what it is. */
static void say_reason(const struct tw_policy *policy, const struct tw_classified *classified,
                       struct tw_api_admission *admission)
{
    char sentence[TW_CLASSIFY_SENTENCE_BYTES];
    for (size_t i = 0; i < classified->n_reasons; i++) {
        if (classified->reasons[i].class == classified->rank.class) {
            tw_classify_say(policy, &classified->reasons[i], sentence);
            snprintf(admission->class_reason, sizeof admission->class_reason, "%s", sentence);
            return;
        }
    }
}

static bool decide(struct tw_api *api, const struct tw_api_call *call,
                   struct tw_api_admission *admission, struct tw_api_error *error)
{
    const struct tw_policy *policy = admission->policy->policy;
    struct tw_classified classified;
    struct tw_policy_decision decision;
    struct tw_error cause;
    char who[TW_LIMIT_HUB_SHOWN_BYTES] = "";
    if (api->config.hub != NULL) {
        tw_hub_caller_path(&call->tenant.caller, who, sizeof who);
    }
    const struct tw_classify_request request = {
        .who = who[0] != '\0' ? who : NULL,
        .header = call->data_class[0] != '\0' ? call->data_class : NULL,
        .body = call->body};
    if (tw_classify(policy, &request, &classified, &cause) != TW_OK) {
        return tw_api_refuse(error, NULL, "%s", cause.text);
    }
    const bool is_here = !tw_api_relay_takes(api, call->body);
    const char *model = json_string_value(json_object_get(call->body, "model"));
    const struct tw_policy_question question = {
        .rank = classified.rank,
        .who = request.who,
        .model = model != NULL || api->config.n_models == 0 ? model : api->models[0].name,
        .zones = zones_of(api, policy, call->body, admission->least_trust),
        .cannot_redact = is_here}; /* our own engine gets a request as it is */
    tw_policy_decide(policy, &question, &decision);
    admission->zones = decision.zones;
    admission->redact = decision.redact;
    snprintf(admission->class, sizeof admission->class, "%s",
             policy->classes[classified.rank.class]);
    snprintf(admission->rule, sizeof admission->rule, "%s",
             decision.rule != TW_POLICY_NONE ? policy->rules[decision.rule].name : "none");
    snprintf(admission->version, sizeof admission->version, "%s", policy->short_version);
    say_reason(policy, &classified, admission);
    admission->route = (struct tw_audit_route){.class = admission->class,
                                               .class_reason = admission->class_reason,
                                               .policy = admission->version,
                                               .rule = admission->rule,
                                               .zone = is_here ? api->config.zone : NULL};
    if (!decision.is_allowed) {
        snprintf(admission->denied, sizeof admission->denied, "%s", decision.sentence);
    }
    return true;
}

/* ---- refusing ---- */

static void end_call(const struct tw_api_call *call)
{
    tw_api_admission_free(call->admission);
    tw_content_free(call->content);
    json_decref(call->body);
}

void tw_api_refuse_call(struct tw_api *api, const struct tw_api_call *call,
                        const struct tw_api_error *error)
{
    tw_api_answer_error(api, call->http, error);
    end_call(call);
}

/* A tw_hub_done_fn: the refusal is on record, or cannot be. */
static void recorded(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct denial *denial = context;
    struct tw_api_error error;
    (void)status;
    tw_api_refuse_ticket(&error, ticket);
    tw_api_answer_refusal(denial->api, denial->call.http, &error, ticket);
    end_call(&denial->call);
    tw_mem_free(denial);
}

static void record_denial(struct tw_api *api, const struct tw_api_call *call)
{
    struct denial *denial = tw_mem_zalloc(1, sizeof *denial);
    const char *model = json_string_value(json_object_get(call->body, "model"));
    struct tw_api_error error;
    if (denial == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return;
    }
    denial->api = api;
    denial->call = *call;
    snprintf(denial->model, sizeof denial->model, "%s", model != NULL ? model : "");
    const struct tw_hub_request request = {.caller = call->tenant.caller,
                                           .model = denial->model,
                                           .client_id = tw_http_id(call->http),
                                           .route = &call->admission->route,
                                           .denied = call->admission->denied};
    tw_hub_reserve(api->config.hub, &denial->ticket, &request, recorded, denial);
}

bool tw_api_admit(struct tw_api *api, struct tw_api_call *call)
{
    struct tw_api_error error;
    struct tw_api_admission *admission = tw_mem_zalloc(1, sizeof *admission);
    call->admission = admission;
    if (admission == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return false;
    }
    admission->zones = UINT64_MAX;
    admission->policy = take_policy(api);
    if (admission->policy == NULL) {
        return true;
    }
    if (!decide(api, call, admission, &error)) {
        tw_api_refuse_call(api, call, &error);
        return false;
    }
    if (admission->denied[0] == '\0') {
        return true;
    }
    if (api->config.hub != NULL) {
        record_denial(api, call);
    } else {
        tw_api_refuse_policy(&error, admission->denied);
        tw_api_refuse_call(api, call, &error);
    }
    return false;
}

void tw_api_admission_free(struct tw_api_admission *admission)
{
    if (admission != NULL) {
        drop_policy(admission->policy);
        tw_mem_free(admission);
    }
}

const struct tw_audit_route *tw_api_admission_route(const struct tw_api_admission *admission)
{
    return admission->policy != NULL || admission->route.instead_of != NULL ? &admission->route
                                                                            : NULL;
}

const struct tw_policy *tw_api_admission_policy(const struct tw_api_admission *admission)
{
    return admission->policy != NULL ? admission->policy->policy : NULL;
}

bool tw_api_admission_allows(const struct tw_api_admission *admission, const char *zone)
{
    return admission->policy == NULL ||
           (zone_bit(admission->policy->policy, zone) & admission->zones) != 0;
}

uint32_t tw_api_admission_trust(const struct tw_api_admission *admission, const char *zone)
{
    const struct tw_policy *policy = tw_api_admission_policy(admission);
    const int number = policy != NULL ? tw_policy_find_zone(policy, zone) : TW_POLICY_NONE;
    return number != TW_POLICY_NONE ? policy->zones[number].trust : 0;
}

struct tw_api_admission *tw_api_admission_again(struct tw_api *api, const struct tw_api_call *call,
                                                const struct tw_api_admission *first,
                                                uint32_t least_trust)
{
    struct tw_api_error error;
    struct tw_api_admission *admission = tw_mem_zalloc(1, sizeof *admission);
    if (admission == NULL) {
        return NULL;
    }
    admission->zones = UINT64_MAX;
    admission->least_trust = least_trust;
    admission->policy = first->policy;
    bool is_allowed = true;
    if (admission->policy != NULL) {
        atomic_fetch_add(&admission->policy->n_users, 1);
        is_allowed = decide(api, call, admission, &error) && admission->denied[0] == '\0';
    }
    if (is_allowed) {
        admission->route.instead_of = call->asked_model;
        return admission;
    }
    tw_api_admission_free(admission);
    return NULL;
}
