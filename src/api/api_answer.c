/* Answers, and refusals in the form that OpenAI's clients read. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api_state.h"

#define ERROR_BYTES 4096

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
    tw_buf_init(&body, ERROR_BYTES);
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
                              const struct tw_buf *body, const char *unknown)
{
    const struct tw_http_header headers[] = {{"Content-Type", "application/json"},
                                             {"X-Unknown-Parameters", unknown}};
    answer(api, http, headers, unknown[0] != '\0' ? 2 : 1, body);
}

static bool is_called(const struct tw_api_served *model, const char *name)
{
    bool is_it = strcmp(model->name, name) == 0;
    for (size_t i = 0; !is_it && i < model->n_aliases; i++) {
        is_it = strcmp(model->aliases[i], name) == 0;
    }
    return is_it;
}

const struct tw_api_served *tw_api_find_model(struct tw_api *api, const json_t *body,
                                              struct tw_api_error *error)
{
    const json_t *name = json_object_get(body, "model");
    if (name == NULL || json_is_null(name)) {
        return &api->models[0];
    }
    if (!json_is_string(name)) {
        tw_api_refuse(error, "model", "'model' must be a string");
        return NULL;
    }
    for (size_t i = 0; i < api->config.n_models; i++) {
        if (is_called(&api->models[i], json_string_value(name))) {
            return &api->models[i];
        }
    }
    tw_api_refuse_status(error, 404, "invalid_request_error", "model_not_found",
                         "there is no model '%.100s' here; GET /v1/models lists those there are",
                         json_string_value(name));
    snprintf(error->param, sizeof error->param, "model");
    return NULL;
}
