#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "remote/remote_state.h"

#define MS_NS INT64_C(1000000)

const char *tw_remote_end_name(enum tw_remote_end end)
{
    static const char *const names[TW_REMOTE_END_COUNT] = {
        [TW_REMOTE_WHOLE] = "whole",
        [TW_REMOTE_REFUSED] = "refused",
        [TW_REMOTE_NOT_CONNECTED] = "not_connected",
        [TW_REMOTE_NOT_TRUSTED] = "not_trusted",
        [TW_REMOTE_NO_ANSWER] = "no_answer",
        [TW_REMOTE_STALLED] = "stalled",
        [TW_REMOTE_CUT] = "cut",
        [TW_REMOTE_MALFORMED] = "malformed",
        [TW_REMOTE_UNUSABLE] = "unusable",
        [TW_REMOTE_CANCELLED] = "cancelled",
    };
    return names[end];
}

/* ---- what comes ---- */

static bool is_good(const struct tw_remote_call *call)
{
    return call->head.status >= 200 && call->head.status < 300;
}

/* The value of a line of that name, without spaces around it. */
static bool header_value(const char *line, size_t n_bytes, const char *name,
                         char ret_value[TW_LIMIT_REMOTE_VALUE_BYTES])
{
    const size_t n_name = strlen(name);
    if (n_bytes <= n_name || line[n_name] != ':' || strncasecmp(line, name, n_name) != 0) {
        return false;
    }
    size_t begin = n_name + 1;
    while (begin < n_bytes && (line[begin] == ' ' || line[begin] == '\t')) {
        begin++;
    }
    while (n_bytes > begin && (unsigned char)line[n_bytes - 1] <= ' ') {
        n_bytes--;
    }
    size_t n = n_bytes - begin;
    n = n < TW_LIMIT_REMOTE_VALUE_BYTES ? n : TW_LIMIT_REMOTE_VALUE_BYTES - 1;
    for (size_t i = 0; i < n; i++) {
        const char c = line[begin + i];
        ret_value[i] = c >= ' ' && c < 0x7f ? c : '?';
    }
    ret_value[n] = '\0';
    return true;
}

static uint32_t seconds_of(const char *text)
{
    uint32_t seconds = 0;
    for (; *text >= '0' && *text <= '9' && seconds <= TW_LIMIT_REMOTE_RETRY_S; text++) {
        seconds = seconds * 10 + (uint32_t)(*text - '0');
    }
    return *text != '\0'                       ? 0
           : seconds > TW_LIMIT_REMOTE_RETRY_S ? TW_LIMIT_REMOTE_RETRY_S
                                               : seconds;
}

static void take_header(struct tw_remote_call *call, const char *line, size_t n_bytes)
{
    char value[TW_LIMIT_REMOTE_VALUE_BYTES];
    if (header_value(line, n_bytes, "content-type", call->head.content_type)) {
        call->head.is_stream = strncasecmp(call->head.content_type, "text/event-stream", 17) == 0;
    } else if (header_value(line, n_bytes, "retry-after", value)) {
        call->head.retry_after_s = seconds_of(value);
    } else {
        (void)header_value(line, n_bytes, "x-request-id", call->head.request_id);
    }
}

/* A head that says "go on" (1xx) is none of an answer; lines behind the body are of no use. */
static size_t on_header(char *line, size_t size, size_t n_bytes, void *context)
{
    struct tw_remote_call *call = context;
    long status = 0;
    (void)size; /* 1, says the library */
    call->head_bytes += n_bytes;
    if (call->head_bytes > TW_LIMIT_REMOTE_HEAD_BYTES) {
        call->head_is_too_long = true;
        return 0;
    }
    if (call->has_head) {
        return n_bytes;
    }
    if (n_bytes >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        call->head = (struct tw_remote_head){0};
    } else if (line[0] != '\r' && line[0] != '\n') {
        take_header(call, line, n_bytes);
    } else {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->head.status = (int)status;
        if (status >= 200) {
            call->has_head = true;
            call->last_byte_ns = tw_clock_monotonic_ns();
            call->sink.head(call->sink.context, &call->head);
        }
    }
    return n_bytes;
}

static void set_paused(struct tw_remote_call *call, bool is_paused)
{
    call->is_paused = is_paused;
    pthread_mutex_lock(&call->client->lock);
    call->client->usage.n_paused += is_paused ? 1u : UINT32_MAX;
    pthread_mutex_unlock(&call->client->lock);
}

static size_t on_body(char *bytes, size_t size, size_t n_bytes, void *context)
{
    struct tw_remote_call *call = context;
    (void)size; /* 1, says the library */
    if (n_bytes == 0 || call->is_whole) {
        return n_bytes;
    }
    if (!call->head.is_stream &&
        call->n_body_bytes + n_bytes > (uint64_t)TW_LIMIT_REMOTE_ANSWER_BYTES) {
        call->body_is_too_long = true;
        return 0;
    }
    const enum tw_remote_take take = call->sink.body(call->sink.context, bytes, n_bytes);
    if (take == TW_REMOTE_STOP) {
        call->was_stopped = true;
        return 0;
    }
    call->last_byte_ns = tw_clock_monotonic_ns();
    if (call->first_byte_ns == 0) {
        call->first_byte_ns = call->last_byte_ns;
    }
    if (take == TW_REMOTE_PAUSE) {
        set_paused(call, true);
        return CURL_WRITEFUNC_PAUSE;
    }
    call->is_whole = take == TW_REMOTE_LAST;
    call->n_body_bytes += n_bytes;
    return n_bytes;
}

/* ---- begin ---- */

static bool add_line(struct tw_remote_call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->headers, line);
    if (more == NULL) {
        return false;
    }
    call->headers = more;
    return true;
}

static enum tw_status add_key(struct tw_remote_call *call, struct tw_error *error)
{
    const char *key;
    char line[TW_LIMIT_REMOTE_KEY_BYTES + 32];
    enum tw_status status = tw_remote_backend_key(call->backend, &key, error);
    if (status != TW_OK || key == NULL) {
        return status;
    }
    (void)snprintf(line, sizeof line, "Authorization: Bearer %s", key);
    const bool was_added = add_line(call, line);
    tw_secret_wipe(line, sizeof line);
    return was_added ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a call");
}

static enum tw_status add_lines(struct tw_remote_call *call, struct tw_error *error)
{
    char line[TW_LIMIT_HTTP_ID_BYTES + 32];
    bool has_all = add_line(call, "User-Agent: tokenworks");
    if (call->is_post) {
        /* No "Expect": servers behind us take a body, and waiting for leave is a round trip. */
        has_all = has_all && add_line(call, "Content-Type: application/json") &&
                  add_line(call, "Expect:");
    }
    if (call->request_id[0] != '\0') {
        (void)snprintf(line, sizeof line, "X-Request-Id: %s", call->request_id);
        has_all = has_all && add_line(call, line);
    }
    return has_all ? add_key(call, error)
                   : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a call");
}

static CURL *take_easy(struct tw_remote_client *client)
{
    return client->n_spares > 0 ? client->spares[--client->n_spares] : curl_easy_init();
}

static bool set_options(struct tw_remote_call *call)
{
    CURL *easy = call->easy;
    const struct tw_remote_backend *backend = call->backend;
    bool is_set = true;
#define SET(option, value) is_set = curl_easy_setopt(easy, option, value) == CURLE_OK && is_set
    SET(CURLOPT_URL, call->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)backend->config.connect_ms);
    SET(CURLOPT_HTTPHEADER, call->headers);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->curl_text);
    if (backend->ca_path != NULL) {
        SET(CURLOPT_CAINFO, backend->ca_spelling);
        SET(CURLOPT_CAPATH, NULL); /* the system's folder is not believed beside it */
    }
    SET(CURLOPT_CONNECT_TO, backend->connect_to);
    SET(CURLOPT_RESOLVE, backend->resolved);
    if (call->is_post) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size_bytes);
        SET(CURLOPT_POSTFIELDS, call->body.size_bytes > 0 ? call->body.data : "");
    }
#undef SET
    return is_set;
}

void tw_remote_transfer_begin(struct tw_remote_call *call)
{
    struct tw_remote_client *client = call->client;
    struct tw_error error;
    call->next = client->running;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    client->running = call;
    client->n_running++;
    if (add_lines(call, &error) != TW_OK) {
        tw_remote_transfer_stop(call, TW_REMOTE_UNUSABLE, error.text);
        return;
    }
    call->easy = take_easy(client);
    if (call->easy == NULL || !set_options(call) ||
        curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        tw_remote_transfer_stop(call, TW_REMOTE_UNUSABLE, "no memory for a call");
    }
}

/* ---- end ---- */

static void put_away(struct tw_remote_client *client, CURL *easy)
{
    curl_multi_remove_handle(client->multi, easy); /* closes what was not read to its end */
    if (client->n_spares < TW_LIMIT_REMOTE_SPARE) {
        curl_easy_reset(easy);
        client->spares[client->n_spares++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

static void free_lines(struct tw_remote_call *call)
{
    for (struct curl_slist *line = call->headers; line != NULL; line = line->next) {
        tw_secret_wipe(line->data, strlen(line->data)); /* one has the key */
    }
    curl_slist_free_all(call->headers);
    call->headers = NULL;
}

/* What the same request would meet everywhere is not worth another try. */
static bool is_of_the_request(int status)
{
    return status == 400 || status == 413 || status == 414 || status == 415 || status == 422;
}

static bool may_retry(const struct tw_remote_call *call, enum tw_remote_end end)
{
    if (end == TW_REMOTE_WHOLE || end == TW_REMOTE_CANCELLED) {
        return false;
    }
    /* A paused sink has seen bytes that it did not take. */
    if (is_good(call) && call->first_byte_ns != 0) {
        return false;
    }
    return end != TW_REMOTE_REFUSED || !is_of_the_request(call->head.status);
}

static void unlink_call(struct tw_remote_call *call)
{
    struct tw_remote_client *client = call->client;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        client->running = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    client->n_running--;
}

/* Whether anything of the request went out. */
static bool was_asked(CURL *easy)
{
    long n_bytes = 0;
    return easy != NULL && curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &n_bytes) == CURLE_OK &&
           n_bytes > 0;
}

void tw_remote_transfer_stop(struct tw_remote_call *call, enum tw_remote_end end,
                             const char *reason)
{
    struct tw_remote_client *client = call->client;
    const int64_t now_ns = tw_clock_monotonic_ns();
    const bool has_asked = was_asked(call->easy);
    end = call->is_whole ? TW_REMOTE_WHOLE : end; /* whatever became of the connection */
    if (call->easy != NULL) {
        put_away(client, call->easy);
        call->easy = NULL;
    }
    free_lines(call);
    tw_buf_free(&call->body);
    unlink_call(call);
    call->has_ended = true;
    const struct tw_remote_result result = {
        .end = end,
        .may_retry = may_retry(call, end),
        .was_asked = has_asked,
        .status = call->has_head ? call->head.status : 0,
        .retry_after_s = call->head.retry_after_s,
        .n_body_bytes = call->n_body_bytes,
        .first_byte_ns = call->first_byte_ns != 0 ? call->first_byte_ns - call->submitted_ns : 0,
        .took_ns = now_ns - call->submitted_ns,
        .reason = end != TW_REMOTE_WHOLE ? reason : "",
    };
    pthread_mutex_lock(&client->lock);
    client->usage.n_calls--;
    client->usage.n_paused -= call->is_paused;
    client->usage.n_ended[end]++;
    pthread_mutex_unlock(&client->lock);
    call->sink.end(call->sink.context, &result);
    tw_remote_call_release(call);
}

static enum tw_remote_end end_of(const struct tw_remote_call *call, CURLcode code)
{
    if (code == CURLE_OK) {
        return is_good(call) ? TW_REMOTE_WHOLE : TW_REMOTE_REFUSED;
    }
    if (call->was_stopped) {
        return TW_REMOTE_CANCELLED;
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
        code == CURLE_OPERATION_TIMEDOUT) {
        return TW_REMOTE_NOT_CONNECTED; /* the only deadline that libcurl has is to connect */
    }
    if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
        code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
        code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR ||
        code == CURLE_SSL_INVALIDCERTSTATUS) {
        return TW_REMOTE_NOT_TRUSTED;
    }
    if (code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT) {
        return TW_REMOTE_UNUSABLE;
    }
    return code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
                   code == CURLE_PARTIAL_FILE
               ? TW_REMOTE_CUT
               : TW_REMOTE_MALFORMED;
}

void tw_remote_transfer_end(struct tw_remote_call *call, CURLcode code)
{
    char reason[TW_LIMIT_REMOTE_REASON_BYTES + CURL_ERROR_SIZE] = "";
    const enum tw_remote_end end = end_of(call, code);
    const char *text = call->curl_text[0] != '\0' ? call->curl_text : curl_easy_strerror(code);
    if (end == TW_REMOTE_REFUSED) {
        (void)snprintf(reason, sizeof reason, "the server answered with status %d",
                       call->head.status);
    } else if (call->head_is_too_long) {
        (void)snprintf(reason, sizeof reason, "the head of the answer is longer than %d bytes",
                       TW_LIMIT_REMOTE_HEAD_BYTES);
    } else if (call->body_is_too_long) {
        (void)snprintf(reason, sizeof reason, "the answer is longer than %zu bytes",
                       TW_LIMIT_REMOTE_ANSWER_BYTES);
    } else if (end == TW_REMOTE_CANCELLED) {
        (void)snprintf(reason, sizeof reason, "the call was cancelled");
    } else if (end != TW_REMOTE_WHOLE) {
        (void)snprintf(reason, sizeof reason, "%s", text);
    }
    tw_remote_transfer_stop(call, end, reason);
}

/* ---- in between ---- */

void tw_remote_transfer_resume(struct tw_remote_call *call)
{
    if (!call->is_paused || call->easy == NULL) {
        return;
    }
    set_paused(call, false);
    call->last_byte_ns = tw_clock_monotonic_ns();
    curl_easy_pause(call->easy, CURLPAUSE_CONT); /* may call on_body */
}

void tw_remote_transfer_check(struct tw_remote_call *call, int64_t now_ns)
{
    const struct tw_remote_config *config = &call->backend->config;
    const bool has_bytes = call->first_byte_ns != 0;
    if (call->is_whole) {
        if (now_ns - call->last_byte_ns > TW_LIMIT_REMOTE_TAIL_MS * MS_NS) {
            tw_remote_transfer_stop(call, TW_REMOTE_WHOLE, "");
        }
    } else if (now_ns - call->submitted_ns > (int64_t)call->whole_ms * MS_NS) {
        tw_remote_transfer_stop(call, has_bytes ? TW_REMOTE_STALLED : TW_REMOTE_NO_ANSWER,
                                "the answer took longer than it may");
    } else if (!has_bytes && now_ns - call->submitted_ns > (int64_t)config->first_byte_ms * MS_NS) {
        tw_remote_transfer_stop(call, TW_REMOTE_NO_ANSWER, "no answer came in time");
    } else if (has_bytes && !call->is_paused &&
               now_ns - call->last_byte_ns > (int64_t)config->idle_ms * MS_NS) {
        tw_remote_transfer_stop(call, TW_REMOTE_STALLED,
                                "the server began to answer and then sent nothing in time");
    }
}
