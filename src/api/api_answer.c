/* Answers, and refusals in the form that OpenAI's clients read. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api_refusals.h"
#include "api/api_state.h"

#define HEARTBEAT ": waiting\n\n"

static void set_error(struct tw_api_error *error, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void set_error(struct tw_api_error *error, const char *format, va_list arguments)
{
    vsnprintf(error->message, sizeof error->message, format, arguments);
}

bool tw_api_refuse(struct tw_api_error *error, const char *param, const char *format, ...)
{
    *error = (struct tw_api_error){.http_status = 400, .type = "invalid_request_error"};
    snprintf(error->param, sizeof error->param, "%s", param != NULL ? param : "");
    va_list arguments;
    va_start(arguments, format);
    set_error(error, format, arguments);
    va_end(arguments);
    return false;
}

bool tw_api_refuse_status(struct tw_api_error *error, int http_status, const char *type,
                          const char *code, const char *format, ...)
{
    *error = (struct tw_api_error){.http_status = http_status, .type = type, .code = code};
    va_list arguments;
    va_start(arguments, format);
    set_error(error, format, arguments);
    va_end(arguments);
    return false;
}

bool tw_api_refuse_memory(struct tw_api_error *error)
{
    return tw_api_refuse_status(error, 503, "server_error", "out_of_memory",
                                "no memory for this request; try again later");
}

bool tw_api_refuse_error(struct tw_api_error *error, const struct tw_error *cause,
                         const char *param)
{
    switch (cause->status) {
    case TW_ERR_MEMORY:
        return tw_api_refuse_status(error, 503, "server_error", "out_of_memory", "%s", cause->text);
    case TW_ERR_CANCELLED:
        return tw_api_refuse_status(error, 503, "server_error", NULL, "%s", cause->text);
    case TW_ERR_IO:
        return tw_api_refuse_status(error, 500, "server_error", NULL, "%s", cause->text);
    case TW_ERR_DENIED:
        return tw_api_refuse_status(error, 403, "permission_error", "denied", "%s", cause->text);
    case TW_OK:
    case TW_ERR_USAGE:
    case TW_ERR_NOT_FOUND:
    case TW_ERR_FORMAT:
    case TW_ERR_UNSUPPORTED:
    case TW_ERR_LIMIT:
    case TW_ERR_MISSED:
    case TW_STATUS_COUNT:
        break;
    }
    return tw_api_refuse(error, param, "%s", cause->text);
}

void tw_api_refuse_failure(struct tw_api_error *error, const struct tw_error *cause)
{
    if (cause == NULL) {
        tw_api_refuse_status(error, 503, "server_error", NULL, "the server is shutting down");
    } else if (cause->status == TW_ERR_LIMIT) {
        tw_api_refuse_status(error, 429, "rate_limit_error", "queue_full", "%s", cause->text);
    } else if (cause->status == TW_ERR_MEMORY || cause->status == TW_ERR_CANCELLED) {
        tw_api_refuse_error(error, cause, NULL);
    } else {
        tw_api_refuse_status(error, 500, "server_error", NULL, "%s", cause->text);
    }
}

static void put_text_or_null(struct tw_json_writer *writer, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        tw_json_put_text(writer, key, text);
    } else {
        tw_json_put_null(writer, key);
    }
}

void tw_api_write_error(struct tw_buf *out, const struct tw_api_error *error)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "error");
    tw_json_object_begin(&writer);
    tw_json_put_text(&writer, "message", error->message);
    tw_json_put_text(&writer, "type", error->type);
    put_text_or_null(&writer, "param", error->param);
    put_text_or_null(&writer, "code", error->code);
    tw_json_object_end(&writer);
    tw_json_object_end(&writer);
}

static void send(struct tw_api *api, struct tw_http_request *http, int status,
                 const struct tw_http_header *headers, size_t n_headers, const struct tw_buf *body)
{
    tw_api_metrics_count_answer(&api->metrics, status);
    tw_http_answer(http, status, headers, n_headers, body->size_bytes > 0 ? body->data : "",
                   body->size_bytes);
    tw_http_release(http);
}

void tw_api_answer_error(struct tw_api *api, struct tw_http_request *http,
                         const struct tw_api_error *error)
{
    /* Clients of OpenAI try again by themselves after 429 and 503; they obey retry-after. */
    const bool must_wait = error->code != NULL && strcmp(error->code, "too_many_wrong_keys") == 0;
    const struct tw_http_header headers[] = {{"Content-Type", "application/json"},
                                             {"Retry-After", must_wait ? "60" : "1"}};
    const bool may_retry = error->http_status == 429 || error->http_status == 503;
    struct tw_buf body;
    tw_buf_init(&body, TW_LIMIT_API_ERROR_BYTES);
    tw_api_write_error(&body, error);
    send(api, http, error->http_status, headers, may_retry ? 2 : 1, &body);
    tw_buf_free(&body);
}

static void answer(struct tw_api *api, struct tw_http_request *http,
                   const struct tw_http_header *headers, size_t n_headers,
                   const struct tw_buf *body)
{
    if (body->failed) {
        struct tw_api_error error;
        tw_api_refuse_status(&error, 500, "server_error", NULL, "the answer is too large");
        tw_api_answer_error(api, http, &error);
        return;
    }
    send(api, http, 200, headers, n_headers, body);
}

void tw_api_answer_json(struct tw_api *api, struct tw_http_request *http, const struct tw_buf *body)
{
    tw_api_answer_text(api, http, "application/json", body);
}

void tw_api_answer_text(struct tw_api *api, struct tw_http_request *http, const char *content_type,
                        const struct tw_buf *body)
{
    const struct tw_http_header headers[] = {{"Content-Type", content_type}};
    answer(api, http, headers, 1, body);
}

void tw_api_answer_completion(struct tw_api *api, struct tw_http_request *http,
                              const struct tw_buf *body, const char *unknown,
                              const struct tw_hub_shown *rates)
{
    struct tw_http_header headers[2 + TW_API_RATE_HEADERS] = {{"Content-Type", "application/json"}};
    struct tw_api_rate_headers rate_headers;
    size_t n = 1;
    if (unknown[0] != '\0') {
        headers[n++] = (struct tw_http_header){"X-Unknown-Parameters", unknown};
    }
    tw_api_rate_headers(rates, &rate_headers);
    for (size_t i = 0; i < rate_headers.n; i++) {
        headers[n++] = rate_headers.headers[i];
    }
    answer(api, http, headers, n, body);
}

void tw_api_begin_stream(struct tw_api *api, struct tw_http_request *http, const char *unknown,
                         const struct tw_hub_shown *rates)
{
    struct tw_http_header headers[4 + TW_API_RATE_HEADERS] = {
        {"Content-Type", "text/event-stream; charset=utf-8"},
        {"Cache-Control", "no-cache"},
        {"X-Accel-Buffering", "no"}}; /* a proxy must pass it on as it comes */
    struct tw_api_rate_headers rate_headers;
    size_t n = 3;
    if (unknown[0] != '\0') {
        headers[n++] = (struct tw_http_header){"X-Unknown-Parameters", unknown};
    }
    tw_api_rate_headers(rates, &rate_headers);
    for (size_t i = 0; i < rate_headers.n; i++) {
        headers[n++] = rate_headers.headers[i];
    }
    tw_http_stream_begin(http, 200, headers, n, HEARTBEAT, api->config.heartbeat_seconds);
}

/* What a client may not have it need not see, and what it may try again, when. */
void tw_api_answer_refusal(struct tw_api *api, struct tw_http_request *http,
                           const struct tw_api_error *error, const struct tw_hub_ticket *ticket)
{
    struct tw_http_header headers[3 + TW_API_RATE_HEADERS] = {{"Content-Type", "application/json"}};
    struct tw_api_rate_headers rate_headers;
    struct tw_buf body;
    char retry_after[24];
    size_t n = 1;
    const bool may_retry = error->http_status == 503 ||
                           (error->http_status == 429 && ticket->refusal != TW_HUB_REFUSED_BUDGET &&
                            ticket->retry_after_ms != INT64_MAX);
    if (may_retry) {
        snprintf(retry_after, sizeof retry_after, "%lld",
                 (long long)(ticket->retry_after_ms / 1000 + 1));
        headers[n++] = (struct tw_http_header){"Retry-After", retry_after};
    } else if (error->http_status == 429) { /* OpenAI's clients try 429 again without this */
        headers[n++] = (struct tw_http_header){"x-should-retry", "false"};
    }
    tw_api_rate_headers(&ticket->shown, &rate_headers);
    for (size_t i = 0; i < rate_headers.n; i++) {
        headers[n++] = rate_headers.headers[i];
    }
    tw_buf_init(&body, TW_LIMIT_API_ERROR_BYTES);
    tw_api_write_error(&body, error);
    send(api, http, error->http_status, headers, n, &body);
    tw_buf_free(&body);
}

static bool is_called(const struct tw_api_served *model, const char *name)
{
    bool is_it = strcmp(model->name, name) == 0;
    for (size_t i = 0; !is_it && i < model->n_aliases; i++) {
        is_it = strcmp(model->aliases[i], name) == 0;
    }
    return is_it;
}

bool tw_api_may_use(struct tw_api *api, const struct tw_api_served *model,
                    const struct tw_api_tenant *tenant)
{
    return api->config.hub == NULL || tenant->caller.key == NULL ||
           tw_hub_may_use_model(api->config.hub, &tenant->caller, model->name);
}

/* Without a name: the first one that somebody may have. */
static const struct tw_api_served *default_model(struct tw_api *api,
                                                 const struct tw_api_tenant *tenant)
{
    size_t i = 0;
    while (i < api->config.n_models && !tw_api_may_use(api, &api->models[i], tenant)) {
        i++;
    }
    return i < api->config.n_models ? &api->models[i] : NULL;
}

const struct tw_api_served *tw_api_find_model(struct tw_api *api, const json_t *body,
                                              const struct tw_api_tenant *tenant,
                                              struct tw_api_error *error)
{
    const json_t *name = json_object_get(body, "model");
    if (name == NULL || json_is_null(name)) {
        const struct tw_api_served *model = default_model(api, tenant);
        if (model == NULL) {
            tw_api_refuse_status(error, 404, "invalid_request_error", "model_not_found",
                                 "this key may use none of the models here");
        }
        return model;
    }
    if (!json_is_string(name)) {
        tw_api_refuse(error, "model", "'model' must be a string");
        return NULL;
    }
    for (size_t i = 0; i < api->config.n_models; i++) {
        if (is_called(&api->models[i], json_string_value(name)) &&
            tw_api_may_use(api, &api->models[i], tenant)) {
            return &api->models[i];
        }
    }
    tw_api_refuse_status(error, 404, "invalid_request_error", "model_not_found",
                         "there is no model '%.100s' here; GET /v1/models lists those there are",
                         json_string_value(name));
    snprintf(error->param, sizeof error->param, "model");
    return NULL;
}
