#define _GNU_SOURCE /* struct ucred */
/* What the handler's side does with a request. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_state.h"

#define CHUNK_BYTES 16384

/* An id is repeated in headers and logs: nothing that could mean something there. */
static bool is_fit_id(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.:";
    size_t n = text != NULL ? strlen(text) : 0;
    return n > 0 && n <= TW_LIMIT_HTTP_ID_BYTES && strspn(text, allowed) == n;
}

static void choose_id(struct tw_http_request *request, const char *wanted)
{
    if (is_fit_id(wanted)) {
        memcpy(request->id, wanted, strlen(wanted) + 1);
        return;
    }
    unsigned char bytes[16] = {0};
    ssize_t n = getrandom(bytes, sizeof bytes, 0);
    (void)n; /* cannot fail for 16 bytes; zeros would still be an id */
    memcpy(request->id, "req_", 4);
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(request->id + 4 + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void find_peer(struct tw_http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    if (address != NULL && address->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, address, sizeof in4);
        inet_ntop(AF_INET, &in4.sin_addr, request->peer, sizeof request->peer);
    } else if (address != NULL && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, request->peer, sizeof request->peer);
    }
}

struct tw_http_request *tw_http_request_create(struct tw_http_loop *loop, struct tw_http_slot *slot,
                                               struct MHD_Connection *connection,
                                               const char *method, const char *path)
{
    struct tw_http_server *server = loop->server;
    struct tw_http_request *request = tw_mem_zalloc(1, sizeof *request);
    char *copy = request != NULL ? tw_mem_strndup(path, strlen(path)) : NULL;
    if (copy == NULL) {
        tw_mem_free(request);
        return NULL;
    }
    request->server = server;
    request->loop = loop;
    request->slot = slot;
    request->connection = connection;
    request->n_references = 1;
    request->path = copy;
    snprintf(request->method, sizeof request->method, "%s", method);
    find_peer(request);
    choose_id(request, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"));
    tw_buf_init(&request->body, server->config.body_bytes);
    tw_buf_init(&request->stream, server->config.stream_bytes);
    pthread_mutex_init(&request->lock, NULL);
    return request;
}

/* The other reference is that of who asked, and stays. */
static void tell_unanswered(struct tw_http_request *request)
{
    pthread_mutex_lock(&request->lock);
    tw_http_answered_fn answered = request->answered;
    request->answered = NULL;
    pthread_mutex_unlock(&request->lock);
    if (answered != NULL) {
        answered(request->answered_context, 0, NULL, 0, NULL, 0);
    }
}

void tw_http_release(struct tw_http_request *request)
{
    if (request->server == NULL) {
        tell_unanswered(request);
    }
    if (atomic_fetch_sub(&request->n_references, 1) > 1) {
        return;
    }
    pthread_mutex_destroy(&request->lock);
    tw_buf_free(&request->body);
    tw_buf_free(&request->stream);
    tw_mem_free(request->heartbeat);
    tw_mem_free(request->path);
    tw_mem_free(request);
}

struct tw_http_request *tw_http_own_create(const char *path, const char *id, const void *body,
                                           size_t body_bytes, tw_http_answered_fn answered,
                                           void *context)
{
    struct tw_http_request *request = tw_mem_zalloc(1, sizeof *request);
    if (request == NULL) {
        return NULL;
    }
    request->n_references = 2;
    request->path = tw_mem_strndup(path, strlen(path));
    request->answered = answered;
    request->answered_context = context;
    request->is_handled = true;
    snprintf(request->method, sizeof request->method, "POST");
    choose_id(request, id);
    tw_buf_init(&request->body, body_bytes);
    pthread_mutex_init(&request->lock, NULL);
    if (request->path == NULL || !tw_buf_append(&request->body, body, body_bytes)) {
        request->answered = NULL;
        tw_http_release(request);
        tw_http_release(request);
        return NULL;
    }
    return request;
}

void tw_http_own_abandon(struct tw_http_request *request)
{
    request->is_gone = true;
}

void tw_http_wake(struct tw_http_request *request)
{
    if (request->is_suspended) {
        request->is_suspended = false;
        MHD_resume_connection(request->connection);
        tw_http_loop_wake(request->loop);
    }
}

void tw_http_mark_gone(struct tw_http_request *request)
{
    if (!request->is_gone) {
        request->is_gone = true;
        request->server->n_gone++;
        tw_http_wake(request);
    }
}

/* ---- answers ---- */

static void add_headers(struct tw_http_request *request, struct MHD_Response *response,
                        const struct tw_http_header *headers, size_t n_headers)
{
    for (size_t i = 0; i < n_headers; i++) {
        MHD_add_response_header(response, headers[i].name, headers[i].value);
    }
    MHD_add_response_header(response, "X-Request-Id", request->id);
    if (request->server->is_draining) {
        MHD_add_response_header(response, "Connection", "close");
    }
}

/* Under the lock: the response, which may be NULL for want of memory, waits to be queued. */
static void reply_with(struct tw_http_request *request, enum tw_http_reply reply, int status,
                       struct MHD_Response *response)
{
    if (response == NULL) {
        tw_http_mark_gone(request);
        return;
    }
    request->reply = reply;
    request->status = status;
    request->response = response;
    tw_http_wake(request);
}

static bool may_reply(const struct tw_http_request *request)
{
    return !request->is_gone && request->reply == HTTP_NO_REPLY && request->connection != NULL;
}

static void answer(struct tw_http_request *request, int status,
                   const struct tw_http_header *headers, size_t n_headers, const void *body,
                   size_t body_bytes)
{
    union {
        const void *in;
        void *out;
    } bytes = {body}; /* libmicrohttpd takes what it copies without const */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body_bytes, bytes.out, MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        add_headers(request, response, headers, n_headers);
    }
    reply_with(request, HTTP_WHOLE, status, response);
}

void tw_http_answer(struct tw_http_request *request, int status,
                    const struct tw_http_header *headers, size_t n_headers, const void *body,
                    size_t body_bytes)
{
    pthread_mutex_lock(&request->lock);
    tw_http_answered_fn answered = request->answered;
    request->answered = NULL;
    if (answered != NULL) {
        pthread_mutex_unlock(&request->lock);
        answered(request->answered_context, status, headers, n_headers, body, body_bytes);
        return;
    }
    if (may_reply(request)) {
        answer(request, status, headers, n_headers, body, body_bytes);
    }
    pthread_mutex_unlock(&request->lock);
}

void tw_http_refuse(struct tw_http_request *request, int status)
{
    static const struct tw_http_header headers[] = {{"Content-Type", "application/json"},
                                                    {"Connection", "close"}};
    const char *message = "the request is malformed";
    if (status == MHD_HTTP_CONTENT_TOO_LARGE) {
        message = "the body is too large";
    } else if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        message = "the server has no memory for this request at the moment";
    }
    char body[256];
    int n = snprintf(body, sizeof body,
                     "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\","
                     "\"param\":null,\"code\":null}}",
                     message);
    request->server->n_refused++;
    answer(request, status, headers, 2, body, (size_t)n);
}

/* ---- streams ---- */

/* Gives libmicrohttpd what there is, or has it wait. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t out_bytes)
{
    struct tw_http_request *request = context;
    struct tw_buf *stream = &request->stream;
    (void)position;
    ssize_t n = 0;
    pthread_mutex_lock(&request->lock);
    request->n_leaving_bytes = 0; /* it comes back when the socket has what it was given */
    request->n_pending_bytes = stream->size_bytes; /* also what is taken now */
    if (request->is_gone) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (stream->size_bytes > 0) {
        size_t n_taken = stream->size_bytes < out_bytes ? stream->size_bytes : out_bytes;
        memcpy(out, stream->data, n_taken);
        tw_buf_drop_front(stream, n_taken);
        request->n_leaving_bytes = n_taken;
        request->last_taken_ns = tw_clock_monotonic_ns();
        n = (ssize_t)n_taken;
    } else if (request->is_ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        MHD_suspend_connection(request->connection);
        request->is_suspended = true;
    }
    pthread_mutex_unlock(&request->lock);
    return n;
}

static void release_stream(void *context)
{
    tw_http_release(context);
}

void tw_http_stream_begin(struct tw_http_request *request, int status,
                          const struct tw_http_header *headers, size_t n_headers,
                          const char *heartbeat, uint32_t heartbeat_seconds)
{
    pthread_mutex_lock(&request->lock);
    if (may_reply(request)) {
        request->n_references++; /* of the response */
        struct MHD_Response *response = MHD_create_response_from_callback(
            MHD_SIZE_UNKNOWN, CHUNK_BYTES, read_stream, request, release_stream);
        if (response != NULL) {
            add_headers(request, response, headers, n_headers);
        } else {
            request->n_references--;
        }
        request->heartbeat =
            heartbeat != NULL ? tw_mem_strndup(heartbeat, strlen(heartbeat)) : NULL;
        request->heartbeat_seconds = heartbeat_seconds;
        request->last_write_ns = tw_clock_monotonic_ns();
        request->server->n_streams += response != NULL;
        reply_with(request, HTTP_STREAM, status, response);
    }
    pthread_mutex_unlock(&request->lock);
}

bool tw_http_stream_append(struct tw_http_request *request, const void *bytes, size_t n_bytes,
                           int64_t now_ns)
{
    if (request->n_pending_bytes == 0) {
        request->last_taken_ns = now_ns;
    }
    const bool fits = tw_buf_append(&request->stream, bytes, n_bytes);
    request->n_pending_bytes = request->stream.size_bytes + request->n_leaving_bytes;
    request->last_write_ns = now_ns;
    return fits;
}

void tw_http_stream_write(struct tw_http_request *request, const void *bytes, size_t n_bytes)
{
    pthread_mutex_lock(&request->lock);
    if (!request->is_gone && !request->is_ended && n_bytes > 0) {
        if (!tw_http_stream_append(request, bytes, n_bytes, tw_clock_monotonic_ns())) {
            tw_http_mark_gone(request);
        }
        tw_http_wake(request);
    }
    pthread_mutex_unlock(&request->lock);
}

void tw_http_stream_end(struct tw_http_request *request)
{
    pthread_mutex_lock(&request->lock);
    request->is_ended = true;
    tw_http_wake(request);
    pthread_mutex_unlock(&request->lock);
}

void tw_http_stream_cut(struct tw_http_request *request)
{
    pthread_mutex_lock(&request->lock);
    if (request->server != NULL) {
        tw_http_mark_gone(request);
    }
    pthread_mutex_unlock(&request->lock);
}

/* ---- looking ---- */

bool tw_http_is_gone(const struct tw_http_request *request)
{
    return request->is_gone;
}

size_t tw_http_pending_bytes(const struct tw_http_request *request)
{
    return request->n_pending_bytes;
}

const char *tw_http_method(const struct tw_http_request *request)
{
    return request->method;
}

const char *tw_http_path(const struct tw_http_request *request)
{
    return request->path;
}

const char *tw_http_header(const struct tw_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct header_count {
    const char *name;
    size_t n;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    struct header_count *count = context;
    (void)kind;
    (void)value;
    count->n += strcasecmp(key, count->name) == 0;
    return MHD_YES;
}

size_t tw_http_header_count(const struct tw_http_request *request, const char *name)
{
    struct header_count count = {.name = name};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &count);
    return count.n;
}

const char *tw_http_argument(const struct tw_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *tw_http_peer(const struct tw_http_request *request)
{
    return request->peer;
}

bool tw_http_peer_user(const struct tw_http_request *request, uint32_t *ret_uid)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred who;
    int domain = AF_UNSPEC;
    socklen_t size = sizeof who, domain_size = sizeof domain;
    if (info == NULL ||
        getsockopt(info->connect_fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) != 0 ||
        domain != AF_UNIX ||
        getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
        return false;
    }
    *ret_uid = who.uid;
    return true;
}

bool tw_http_is_crowded(const struct tw_http_request *request)
{
    return request->server->n_connections > request->server->config.max_connections;
}

const char *tw_http_body(const struct tw_http_request *request, size_t *ret_bytes)
{
    *ret_bytes = request->body.size_bytes;
    return request->body.size_bytes > 0 ? request->body.data : "";
}

void tw_http_uncount_body(struct tw_http_request *request)
{
    request->server->n_body_bytes -= atomic_exchange(&request->n_counted_bytes, 0);
}

void tw_http_drop_body(struct tw_http_request *request)
{
    tw_http_uncount_body(request);
    tw_buf_free(&request->body);
}

void tw_http_free_body(struct tw_http_request *request)
{
    tw_buf_free(&request->body);
}

const char *tw_http_id(const struct tw_http_request *request)
{
    return request->id;
}
