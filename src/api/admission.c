#include "api/admission.h"

#include <stdio.h>
#include <string.h>

#include "api/api_refusals.h"
#include "api/fleet.h"
#include "api/relay.h"
#include "api/relay_routes.h"
#include "base/mem.h"
#include "hub/content.h"
#include "policy/classify.h"
#include "policy/policy_fit.h"

/* A refusal on its way into the books. */
struct denial {
    struct tw_api *api;
    struct tw_api_call call;
    struct tw_hub_ticket ticket;
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

/* A tw_policy_has_path_fn. */
static bool has_path(void *context, const char *path)
{
    return tw_hub_has_path(context, path);
}

/* A tw_hub_tells_apart_fn. */
static bool tells_apart(void *context, const char *path, const char *renamed)
{
    struct tw_api *api = context;
    pthread_mutex_lock(&api->lock);
    const bool tells =
        api->policy != NULL && tw_policy_tells_apart(api->policy->policy, path, renamed);
    pthread_mutex_unlock(&api->lock);
    return tells;
}

void tw_api_admission_guard(struct tw_api *api, bool is_there)
{
    if (api->config.hub != NULL) {
        tw_hub_guard_names(api->config.hub, is_there ? tells_apart : NULL, api);
    }
}

static enum tw_status check_fit(const struct tw_api *api, const struct tw_policy *policy,
                                const struct tw_api_remotes *remotes, struct tw_error *error)
{
    const struct tw_api_config *config = &api->config;
    enum tw_status status =
        tw_policy_fit_people(policy, config->hub != NULL ? has_path : NULL, config->hub, error);
    for (size_t i = 0; status == TW_OK && i < remotes->n_items; i++) {
        status = tw_policy_fit_zone(policy, remotes->items[i].zone, remotes->items[i].entry, error);
    }
    return status == TW_OK && config->n_models > 0
               ? tw_policy_fit_zone(policy, config->zone, NULL, error)
               : status;
}

static enum tw_status make_policy(struct tw_policy *policy, struct tw_api_policy **ret_policy,
                                  struct tw_error *error)
{
    *ret_policy = policy != NULL ? tw_mem_zalloc(1, sizeof **ret_policy) : NULL;
    if (policy != NULL && *ret_policy == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a policy");
    }
    if (policy != NULL) {
        (*ret_policy)->policy = policy;
        (*ret_policy)->n_users = 1;
    }
    return TW_OK;
}

/* Both at once: whoever reads one sees the other. */
static void install(struct tw_api *api, const struct tw_api_change *change,
                    struct tw_api_policy *policy, struct tw_api_fleet *fleet)
{
    struct tw_api_policy *old_policy = NULL;
    struct tw_api_fleet *old_fleet = NULL;
    pthread_mutex_lock(&api->lock);
    if (change->sets_policy) {
        old_policy = api->policy;
        api->policy = policy;
    }
    if (change->sets_remotes) {
        old_fleet = api->fleet;
        api->fleet = fleet;
    }
    pthread_mutex_unlock(&api->lock);
    drop_policy(old_policy);
    tw_api_fleet_drop(old_fleet);
}

static enum tw_status check_change(struct tw_api *api, const struct tw_api_change *change,
                                   struct tw_error *error)
{
    struct tw_api_policy *now = take_policy(api);
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    const struct tw_policy *policy = change->sets_policy ? change->policy
                                     : now != NULL       ? now->policy
                                                         : NULL;
    const struct tw_api_remotes *remotes =
        change->sets_remotes ? &change->remotes : &fleet->remotes;
    enum tw_status status = policy != NULL ? check_fit(api, policy, remotes, error) : TW_OK;
    tw_api_fleet_drop(fleet);
    drop_policy(now);
    return status;
}

enum tw_status tw_api_change(struct tw_api *api, const struct tw_api_change *change,
                             struct tw_error *error)
{
    struct tw_api_policy *policy = NULL;
    struct tw_api_fleet *fleet = NULL;
    enum tw_status status = check_change(api, change, error);
    if (status == TW_OK && change->sets_policy) {
        status = make_policy(change->policy, &policy, error);
    }
    if (status == TW_OK && change->sets_remotes) {
        fleet = tw_api_fleet_make(&change->remotes);
        status = fleet != NULL ? TW_OK
                               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                              "no memory for other servers");
    }
    if (status == TW_OK && change->agree != NULL) {
        status = change->agree(change->agree_context, error);
    }
    /* Routes and fleet are changed under one lock, in which requests choose. */
    pthread_mutex_lock(&api->relays.router_lock);
    if (status == TW_OK && change->sets_remotes) {
        status = tw_api_routes_set(api, &change->remotes, error);
    }
    if (status == TW_OK) {
        install(api, change, policy, fleet);
    }
    pthread_mutex_unlock(&api->relays.router_lock);
    if (status != TW_OK) {
        tw_mem_free(policy);
        tw_mem_free(fleet);
    }
    return status;
}

enum tw_status tw_api_set_policy(struct tw_api *api, struct tw_policy *policy,
                                 struct tw_error *error)
{
    const struct tw_api_change change = {.sets_policy = true, .policy = policy};
    return tw_api_change(api, &change, error);
}

/* ---- deciding ---- */

static uint64_t zone_bit(const struct tw_policy *policy, const char *zone)
{
    const int number = tw_policy_find_zone(policy, zone);
    return number == TW_POLICY_NONE ? 0 : UINT64_C(1) << number;
}

/* Where the model is that a body asks for, of zones that are trusted so much. */
static uint64_t zones_of(struct tw_api *api, const struct tw_policy *policy, const json_t *body,
                         uint32_t least_trust)
{
    const char *model = json_string_value(json_object_get(body, "model"));
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    uint64_t zones = 0;
    for (size_t i = 0; model != NULL && i < fleet->remotes.n_items; i++) {
        const struct tw_api_remote *remote = &fleet->remotes.items[i];
        zones |= tw_api_remote_has(remote, model) ? zone_bit(policy, remote->zone) : 0;
    }
    tw_api_fleet_drop(fleet);
    if (!tw_api_relay_takes(api, body)) {
        zones = zone_bit(policy, api->config.zone);
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

/* Rules name models, not what clients call them or leave out. */
static bool find_model(struct tw_api *api, const struct tw_api_call *call, bool is_here,
                       const char **ret_model, struct tw_api_error *error)
{
    if (!is_here) {
        *ret_model = json_string_value(json_object_get(call->body, "model"));
        return true;
    }
    const struct tw_api_served *model = tw_api_find_model(api, call->body, &call->tenant, error);
    if (model != NULL) {
        *ret_model = model->name;
    }
    return model != NULL;
}

static bool decide(struct tw_api *api, const struct tw_api_call *call,
                   struct tw_api_admission *admission, struct tw_api_error *error)
{
    const struct tw_policy *policy = admission->policy->policy;
    const bool is_here = !tw_api_relay_takes(api, call->body);
    const char *model = NULL;
    struct tw_classified classified;
    struct tw_policy_decision decision;
    struct tw_error cause;
    char who[TW_LIMIT_HUB_SHOWN_BYTES] = "";
    if (api->config.hub != NULL) {
        tw_hub_caller_path(&call->tenant.caller, who, sizeof who);
    }
    const struct tw_classify_request request = {
        .who = who[0] != '\0' ? who : NULL,
        .header = call->n_data_classes > 0 ? call->data_class : NULL,
        .file_header = call->file_class[0] != '\0' ? call->file_class : NULL,
        .body = call->body};
    if (call->n_data_classes > 1) {
        return tw_api_refuse(error, NULL,
                             TW_CLASSIFY_HEADER ": give it once, with the name of one class");
    }
    if (!find_model(api, call, is_here, &model, error)) {
        return false;
    }
    if (tw_classify(policy, &request, &classified, &cause) != TW_OK) {
        return tw_api_refuse(error, NULL, "%s", cause.text);
    }
    const struct tw_policy_question question = {
        .rank = classified.rank,
        .who = request.who,
        .model = model,
        .zones = zones_of(api, policy, call->body, admission->least_trust)};
    tw_policy_decide(policy, &question, &decision);
    snprintf(admission->model, sizeof admission->model, "%s", model != NULL ? model : "");
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
    struct tw_api_error error;
    if (denial == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return;
    }
    denial->api = api;
    denial->call = *call;
    const struct tw_hub_request request = {.caller = call->tenant.caller,
                                           .model = call->admission->model,
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
