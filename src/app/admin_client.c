#include "app/admin_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "app/books_place.h"

#define URL_BYTES    160
#define HEADER_BYTES 512

struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    struct tw_buf request, answer;
    long http_status;
};

static size_t on_data(char *data, size_t size, size_t n, void *context)
{
    struct exchange *exchange = context;
    return tw_buf_append(&exchange->answer, data, size * n) ? size * n : 0;
}

static bool add_header(struct exchange *exchange, const char *line)
{
    struct curl_slist *longer = curl_slist_append(exchange->headers, line);
    if (longer != NULL) {
        exchange->headers = longer;
    }
    return longer != NULL;
}

static bool prepare(struct exchange *exchange, const char *secret, json_t *fields)
{
    char line[HEADER_BYTES];
    struct tw_json_writer writer;
    tw_buf_init(&exchange->request, TW_LIMIT_ADMIN_BODY_BYTES);
    tw_buf_init(&exchange->answer, TW_LIMIT_ADMIN_ANSWER_BYTES);
    tw_json_begin(&writer, &exchange->request);
    tw_json_value(&writer, fields);
    exchange->easy = curl_easy_init();
    bool is_good = exchange->easy != NULL && !exchange->request.failed &&
                   add_header(exchange, "Content-Type: application/json") &&
                   add_header(exchange, "Expect:");
    if (is_good && secret != NULL) {
        const int n = snprintf(line, sizeof line, "Authorization: Bearer %s", secret);
        is_good =
            n < (int)sizeof line && strpbrk(secret, "\r\n") == NULL && add_header(exchange, line);
    }
    return is_good;
}

static CURLcode perform(struct exchange *exchange, const char *socket_path, const char *group,
                        const char *verb)
{
    char url[URL_BYTES];
    snprintf(url, sizeof url, "http://localhost/admin/v1/%.60s/%.60s", group, verb);
    curl_easy_setopt(exchange->easy, CURLOPT_URL, url);
    curl_easy_setopt(exchange->easy, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(exchange->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, exchange->request.data);
    curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE, (long)exchange->request.size_bytes);
    curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_NOSIGNAL, 1L);
    CURLcode code = curl_easy_perform(exchange->easy);
    if (code == CURLE_OK) {
        curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &exchange->http_status);
    }
    return code;
}

/* The status of an error is its code, by name. */
static enum tw_status read_error(const json_t *answer, struct tw_error *error)
{
    const json_t *body = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *code = json_string_value(json_object_get(body, "code"));
    enum tw_status status = TW_ERR_IO;
    for (int i = TW_OK + 1; code != NULL && i < TW_STATUS_COUNT; i++) {
        status = strcmp(code, tw_status_name((enum tw_status)i)) == 0 ? (enum tw_status)i : status;
    }
    return tw_error_set(error, status, TW_NO_POSITION, "%s",
                        message != NULL ? message : "the server refuses without a reason");
}

static enum tw_status read_answer(const struct exchange *exchange, json_t **ret_answer,
                                  struct tw_error *error)
{
    json_t *answer = NULL;
    enum tw_status status =
        tw_json_parse(exchange->answer.size_bytes > 0 ? exchange->answer.data : "",
                      exchange->answer.size_bytes, "the server's answer", &answer, error);
    if (status != TW_OK) {
        return status;
    }
    if (exchange->http_status == 200 && json_is_object(answer)) {
        *ret_answer = answer;
        return TW_OK;
    }
    status = read_error(answer, error);
    json_decref(answer);
    return status;
}

enum tw_status tw_admin_client_ask(const char *socket_path, const char *secret, const char *group,
                                   const char *verb, json_t *fields, bool *ret_is_there,
                                   json_t **ret_answer, struct tw_error *error)
{
    struct exchange exchange = {.easy = NULL};
    enum tw_status status = TW_OK;
    CURLcode code = CURLE_COULDNT_CONNECT;
    if (strlen(socket_path) < TW_BOOKS_SOCKET_BYTES) {
        status = prepare(&exchange, secret, fields)
                     ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                    "the command or the secret is too long to be sent");
        if (status == TW_OK) {
            code = perform(&exchange, socket_path, group, verb);
        }
    }
    if (status == TW_OK && code == CURLE_OK) {
        *ret_is_there = true;
        status = read_answer(&exchange, ret_answer, error);
    } else if (status == TW_OK && code == CURLE_COULDNT_CONNECT) {
        *ret_is_there = false;
    } else if (status == TW_OK) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                              "the server at '%.120s' does not answer: %s", socket_path,
                              curl_easy_strerror(code));
    }
    curl_easy_cleanup(exchange.easy);
    curl_slist_free_all(exchange.headers);
    tw_buf_free(&exchange.request);
    tw_buf_free(&exchange.answer);
    return status;
}
