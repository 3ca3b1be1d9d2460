/* The side of libmicrohttpd: its daemon, and what it calls. */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/http_state.h"

struct tw_http_config tw_http_defaults(void)
{
    return (struct tw_http_config){
        .host = "127.0.0.1",
        .port = 8080,
        .listen_fd = -1,
        .n_threads = 2,
        .max_connections = TW_LIMIT_HTTP_CONNECTIONS,
        .head_bytes = TW_LIMIT_HTTP_HEAD_BYTES,
        .body_bytes = TW_LIMIT_HTTP_BODY_BYTES,
        .all_bodies_bytes = TW_LIMIT_HTTP_ALL_BODIES_BYTES,
        .head_seconds = TW_LIMIT_HTTP_HEAD_SECONDS,
        .body_seconds = TW_LIMIT_HTTP_BODY_SECONDS,
        .idle_seconds = TW_LIMIT_HTTP_IDLE_SECONDS,
        .answer_seconds = TW_LIMIT_HTTP_ANSWER_SECONDS,
        .stream_bytes = TW_LIMIT_HTTP_STREAM_BYTES,
        .stall_seconds = TW_LIMIT_HTTP_STALL_SECONDS,
    };
}

/* ---- connections ---- */

/* Pieces of a stream go out as they come. The system takes little ahead of its client, so that one
 * that reads slowly is seen to read, and one that does not is seen before megabytes are held. */
static void set_up_socket(int fd)
{
    const int on = 1, unsent_bytes = TW_LIMIT_HTTP_UNSENT_BYTES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct tw_http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        set_up_socket(info->connect_fd);
        server->n_connections++;
        struct tw_http_slot *slot = tw_http_slot_take(server, info->connect_fd);
        *socket_context = slot;
        if (slot != NULL) {
            tw_http_slot_phase(slot, HTTP_HEAD, NULL);
        } else { /* nobody would watch it: libmicrohttpd sees its end and closes it */
            shutdown(info->connect_fd, SHUT_RDWR);
        }
    } else {
        server->n_connections--;
        if (*socket_context != NULL) {
            tw_http_slot_free(*socket_context);
        }
    }
}

static struct tw_http_slot *slot_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

/* The request line is there: from here on the head has its own deadline. */
static void *on_request_line(void *context, const char *line, struct MHD_Connection *connection)
{
    (void)context;
    (void)line;
    struct tw_http_slot *slot = slot_of(connection);
    if (slot != NULL) {
        tw_http_slot_phase(slot, HTTP_HEAD, NULL);
    }
    return NULL;
}

/* ---- requests ---- */

struct framing {
    unsigned n_lengths, n_encodings, n_hosts, n_wrong;
};

/* A name with a space behind it is one that others read (RFC 9112, 5.1), and we would not. */
static bool is_token(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name);
}

static enum MHD_Result count_framing(void *context, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct framing *framing = context;
    const bool is_encoding = strcasecmp(name, "Transfer-Encoding") == 0;
    (void)kind;
    framing->n_wrong += !is_token(name);
    framing->n_wrong += is_encoding && (value == NULL || strcasecmp(value, "chunked") != 0);
    framing->n_lengths += strcasecmp(name, "Content-Length") == 0;
    framing->n_encodings += is_encoding;
    framing->n_hosts += strcasecmp(name, "Host") == 0;
    return MHD_YES;
}

/* 0, or the status with which to refuse. Two lengths, or a length and an encoding, are how one
 * request is hidden in another (RFC 9112, 6.1 and 6.3). */
static int check_head(const struct tw_http_server *server, struct MHD_Connection *connection)
{
    struct framing framing = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_framing, &framing);
    if (framing.n_wrong > 0 || framing.n_lengths + framing.n_encodings > 1 || framing.n_hosts > 1) {
        return MHD_HTTP_BAD_REQUEST;
    }
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (length != NULL && (strlen(length) > TW_LIMIT_HTTP_LENGTH_DIGITS ||
                           strtoul(length, NULL, 10) > server->config.body_bytes)) {
        return MHD_HTTP_CONTENT_TOO_LARGE;
    }
    return 0;
}

static enum MHD_Result begin_request(struct tw_http_loop *loop, struct MHD_Connection *connection,
                                     const char *url, const char *method, void **request_context)
{
    struct tw_http_server *server = loop->server;
    struct tw_http_slot *slot = slot_of(connection);
    if (slot == NULL) {
        return MHD_NO;
    }
    struct tw_http_request *request = tw_http_request_create(loop, slot, connection, method, url);
    if (request == NULL) {
        return MHD_NO;
    }
    *request_context = request;
    server->n_requests++;
    request->refusal = check_head(server, connection);
    request->keeps_body =
        request->refusal == 0 && (server->config.keeps_body == NULL ||
                                  server->config.keeps_body(server->config.context, request));
    tw_http_slot_phase(slot, HTTP_BODY, request);
    return MHD_YES;
}

static enum MHD_Result queue_reply(struct tw_http_request *request)
{
    if (request->reply == HTTP_WHOLE) {
        tw_http_slot_phase(request->slot, HTTP_ANSWER, request);
    }
    struct MHD_Response *response = request->response;
    request->response = NULL;
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response); /* libmicrohttpd has its own reference */
    return result;
}

/* The reply where there is one, otherwise the connection waits for it. */
static enum MHD_Result reply_or_wait(struct tw_http_request *request)
{
    enum MHD_Result result = MHD_YES;
    pthread_mutex_lock(&request->lock);
    struct MHD_Response *response = request->response;
    if (request->is_gone) {
        result = MHD_NO;
    } else if (response == NULL) {
        MHD_suspend_connection(request->connection);
        request->is_suspended = true;
    }
    pthread_mutex_unlock(&request->lock);
    /* Outside of the lock: the slots' lock comes before it, and nobody else queues. */
    return result == MHD_YES && response != NULL ? queue_reply(request) : result;
}

static enum MHD_Result refuse(struct tw_http_request *request, int status)
{
    pthread_mutex_lock(&request->lock);
    tw_http_refuse(request, status);
    pthread_mutex_unlock(&request->lock);
    return request->response != NULL ? queue_reply(request) : MHD_NO;
}

/* 0, or the status with which to refuse. Bodies are bounded one by one and all together: many
 * clients with bodies that are allowed could otherwise fill the memory. */
static int take_body(struct tw_http_request *request, const char *bytes, size_t n_bytes)
{
    struct tw_http_server *server = request->server;
    if (n_bytes > server->config.body_bytes - request->body.size_bytes) {
        tw_http_drop_body(request);
        return MHD_HTTP_CONTENT_TOO_LARGE;
    }
    const size_t n_all = atomic_fetch_add(&server->n_body_bytes, n_bytes) + n_bytes;
    if (n_all > server->config.all_bodies_bytes || !tw_buf_append(&request->body, bytes, n_bytes)) {
        server->n_body_bytes -= n_bytes;
        tw_http_drop_body(request);
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    request->n_counted_bytes += n_bytes;
    return 0;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request_context)
{
    struct tw_http_loop *loop = context;
    struct tw_http_server *server = loop->server;
    (void)version;
    if (*request_context == NULL) {
        enum MHD_Result result = begin_request(loop, connection, url, method, request_context);
        struct tw_http_request *begun = *request_context;
        return begun != NULL && begun->refusal != 0 ? refuse(begun, begun->refusal) : result;
    }
    struct tw_http_request *request = *request_context;
    if (*upload_bytes > 0) {
        if (request->keeps_body && request->refusal == 0) {
            request->refusal = take_body(request, upload, *upload_bytes);
        }
        *upload_bytes = 0;
        return MHD_YES;
    }
    if (request->refusal != 0) {
        return refuse(request, request->refusal);
    }
    if (!request->is_handled) {
        tw_http_slot_phase(request->slot, HTTP_HANDLED, request);
        pthread_mutex_lock(&request->lock);
        request->is_handled = true;
        request->n_references++;
        pthread_mutex_unlock(&request->lock);
        server->config.handler(server->config.context, request);
    }
    return reply_or_wait(request);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct tw_http_request *request = *request_context;
    (void)context;
    (void)connection;
    if (request == NULL) {
        return;
    }
    struct tw_http_server *server = request->server;
    *request_context = NULL;
    tw_http_slot_phase(request->slot, HTTP_IDLE, NULL);
    pthread_mutex_lock(&request->lock);
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !request->is_gone) {
        request->is_gone = true;
        server->n_gone += request->is_handled;
    }
    server->n_streams -= request->reply == HTTP_STREAM;
    request->is_suspended = false;
    request->connection = NULL;
    struct MHD_Response *unsent = request->response; /* the client left before it was queued */
    request->response = NULL;
    pthread_mutex_unlock(&request->lock);
    if (unsent != NULL) {
        MHD_destroy_response(unsent); /* a stream's refers to the request: it would keep it */
    }
    server->n_requests--;
    tw_http_uncount_body(request); /* the handler's side may still be reading it */
    tw_http_release(request);
}

/* ---- starting and stopping ---- */

static enum tw_status parse_address(const struct tw_http_config *config,
                                    struct sockaddr_storage *ret_address, struct tw_error *error)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(config->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(config->port)};
    memset(ret_address, 0, sizeof *ret_address);
    if (inet_pton(AF_INET, config->host, &in4.sin_addr) == 1) {
        memcpy(ret_address, &in4, sizeof in4);
    } else if (inet_pton(AF_INET6, config->host, &in6.sin6_addr) == 1) {
        memcpy(ret_address, &in6, sizeof in6);
    } else {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "host '%.60s' is no address: give one such as 127.0.0.1, 0.0.0.0 or "
                            "::1",
                            config->host);
    }
    return TW_OK;
}

enum tw_status tw_http_check_address(const char *host, struct tw_error *error)
{
    struct sockaddr_storage address;
    return parse_address(&(struct tw_http_config){.host = host}, &address, error);
}

enum tw_status tw_http_listen(const char *host, uint16_t port, int *ret_fd, struct tw_error *error)
{
    const struct tw_http_config config = {.host = host, .port = port};
    struct sockaddr_storage address;
    enum tw_status status = parse_address(&config, &address, error);
    if (status != TW_OK) {
        return status;
    }
    int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size =
        address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&address, size) != 0 || listen(fd, SOMAXCONN) != 0) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot listen on %s port %u: %s",
                              host, port, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    *ret_fd = fd;
    return TW_OK;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (address.ss_family == AF_INET6) {
        memcpy(&in6, &address, sizeof in6);
        return ntohs(in6.sin6_port);
    }
    memcpy(&in4, &address, sizeof in4);
    return ntohs(in4.sin_port);
}

struct MHD_Daemon *tw_http_daemon_start(struct tw_http_loop *loop, int fd)
{
    const struct tw_http_server *server = loop->server;
    const struct tw_http_config *config = &server->config;
    struct MHD_OptionItem options[3] = {{MHD_OPTION_END, 0, NULL}};
    static char priorities[] = TW_TLS_PRIORITIES;
    union {
        gnutls_certificate_retrieve_function3 *in;
        void *out;
    } retrieve = {tw_tls_retrieve};
    if (server->tls != NULL) {
        options[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, retrieve.out};
        options[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, priorities};
        options[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    return MHD_start_daemon(
        server->tls != NULL ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request, loop,
        MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)((server->n_slots + config->n_threads - 1) / config->n_threads),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, config->head_bytes, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, loop->server,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

enum tw_status tw_http_server_start(const struct tw_http_config *config,
                                    struct tw_http_server **ret_server, struct tw_error *error)
{
    struct tw_http_server *server = tw_mem_zalloc(1, sizeof *server);
    if (server == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a server");
    }
    server->config = *config;
    server->n_slots = config->max_connections + TW_LIMIT_HTTP_SPARE_CONNECTIONS;
    server->epoll_fd = -1;
    server->listen_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    int fd = config->listen_fd;
    enum tw_status status = TW_OK;
    if (config->tls_cert_pem != NULL) {
        status = tw_http_server_set_certificate(server, config->tls_cert_pem, config->tls_key_pem,
                                                error);
    }
    if (status == TW_OK && fd < 0) {
        status = tw_http_listen(config->host, config->port, &fd, error);
    }
    if (status == TW_OK) {
        status = tw_http_watch_start(server, error);
    }
    if (status != TW_OK && fd >= 0) {
        close(fd);
    }
    if (status == TW_OK) {
        server->listen_fd = fd;
        server->port = port_of(fd);
        status = tw_http_loops_start(server, error);
    }
    if (status != TW_OK) {
        tw_http_server_stop(server);
        return status;
    }
    *ret_server = server;
    return TW_OK;
}

enum tw_status tw_http_server_set_certificate(struct tw_http_server *server, const char *cert_pem,
                                              const char *key_pem, struct tw_error *error)
{
    struct tw_tls *tls;
    enum tw_status status = tw_tls_create(cert_pem, key_pem, &tls, error);
    if (status == TW_OK) {
        tw_tls_use(tls, server->tls);
        server->tls = tls;
    }
    return status;
}

enum tw_status tw_http_check_certificate(const char *cert_pem, const char *key_pem,
                                         struct tw_error *error)
{
    struct tw_tls *tls;
    enum tw_status status = tw_tls_create(cert_pem, key_pem, &tls, error);
    if (status == TW_OK) {
        tw_tls_free(tls);
    }
    return status;
}

uint16_t tw_http_server_port(const struct tw_http_server *server)
{
    return server->port;
}

/* The threads may use the socket until they have ended, so it is closed after them. One that was
 * passed may be taken on by somebody else, and those who wait there with it. */
void tw_http_server_drain(struct tw_http_server *server)
{
    if (atomic_exchange(&server->is_draining, true)) {
        return;
    }
    tw_http_loops_quiesce(server);
    if (server->config.listen_fd < 0 || server->config.listens_alone) {
        shutdown(server->listen_fd, SHUT_RDWR);
    }
}

struct tw_http_usage tw_http_server_usage(const struct tw_http_server *server)
{
    return (struct tw_http_usage){
        .n_connections = server->n_connections,
        .n_requests = server->n_requests,
        .n_streams = server->n_streams,
        .n_refused = server->n_refused,
        .n_gone = server->n_gone,
    };
}

/* libmicrohttpd may not be stopped while a connection is suspended. */
static void abandon_requests(struct tw_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->n_slots; i++) {
        struct tw_http_request *request = server->slots[i].request;
        if (request != NULL) {
            pthread_mutex_lock(&request->lock);
            tw_http_mark_gone(request);
            pthread_mutex_unlock(&request->lock);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

void tw_http_server_stop(struct tw_http_server *server)
{
    if (server == NULL) {
        return;
    }
    tw_http_loops_join(server);
    if (server->n_loops > 0) {
        abandon_requests(server);
    }
    tw_http_loops_free(server);
    if (server->listen_fd >= 0) {
        close(server->listen_fd);
    }
    tw_http_watch_stop(server);
    if (server->tls != NULL) {
        tw_tls_end();
        tw_tls_free(server->tls);
    }
    pthread_mutex_destroy(&server->lock);
    tw_mem_free(server);
}
