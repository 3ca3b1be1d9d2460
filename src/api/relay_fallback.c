#include "api/relay_fallback.h"

#include <string.h>

#include "api/admission.h"
#include "base/mem.h"
#include "hub/content.h"

struct again {
    struct tw_api *api;
    struct tw_api_call call;
};

static const char *model_of(const struct tw_api_call *call)
{
    const char *name = json_string_value(json_object_get(call->body, "model"));
    return call->asked_model != NULL ? call->asked_model : name != NULL ? name : "";
}

/* Those of the model that the client asked for, however many have taken its place by now. */
static const struct tw_api_fallback *fallback_of(const struct tw_api *api,
                                                 const struct tw_api_call *call)
{
    for (size_t i = 0; i < api->config.n_fallbacks; i++) {
        if (strcmp(api->config.fallbacks[i].model, model_of(call)) == 0) {
            return &api->config.fallbacks[i];
        }
    }
    return NULL;
}

bool tw_api_has_fallbacks(const struct tw_api *api, const struct tw_api_call *call)
{
    const struct tw_api_fallback *fallback = fallback_of(api, call);
    return fallback != NULL && call->n_fallen < fallback->n_others;
}

/* What is committed to is the request that will be run. */
static bool make_content(struct tw_api *api, struct tw_api_call *call)
{
    struct tw_buf text;
    struct tw_json_writer json;
    struct tw_error error;
    call->content = NULL;
    if (api->config.hub == NULL) {
        return true;
    }
    tw_buf_init(&text, TW_LIMIT_HTTP_BODY_BYTES * 2);
    tw_json_begin(&json, &text);
    tw_json_value(&json, call->body);
    const bool is_made =
        !text.failed && tw_content_create(api->config.hub, &call->tenant.caller, text.data,
                                          text.size_bytes, &call->content, &error) == TW_OK;
    tw_buf_free(&text);
    return is_made;
}

static void run(void *context)
{
    struct again *again = context;
    tw_api_dispatch(again->api, &again->call);
    tw_mem_free(again);
}

/* Whether the call, whose model was replaced, may be made; then it has all that it needs. */
static bool prepare(struct tw_api *api, struct tw_api_call *call,
                    const struct tw_api_admission *first, uint32_t least_trust)
{
    const char *name = json_string_value(json_object_get(call->body, "model"));
    if (api->config.hub != NULL &&
        !tw_hub_may_use_model(api->config.hub, &call->tenant.caller, name)) {
        return false;
    }
    call->admission = tw_api_admission_again(api, call, first, least_trust);
    if (call->admission == NULL) {
        return false;
    }
    if (!make_content(api, call)) {
        tw_api_admission_free(call->admission);
        return false;
    }
    return true;
}

bool tw_api_fall_back(struct tw_api *api, const struct tw_api_call *call, json_t *body,
                      uint32_t least_trust)
{
    const struct tw_api_fallback *fallback = fallback_of(api, call);
    struct again *again = fallback != NULL ? tw_mem_zalloc(1, sizeof *again) : NULL;
    if (again == NULL || tw_api_is_stopping(api)) {
        tw_mem_free(again);
        return false;
    }
    *again = (struct again){api, *call};
    again->call.body = body;
    again->call.asked_model = fallback->model;
    while (again->call.n_fallen < fallback->n_others) {
        const char *other = fallback->others[again->call.n_fallen++];
        if (json_object_set_new(body, "model", json_string(other)) == 0 &&
            prepare(api, &again->call, call->admission, least_trust)) {
            tw_api_run(api, &call->tenant, run, again);
            return true;
        }
    }
    tw_mem_free(again);
    return false;
}
