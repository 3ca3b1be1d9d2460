/* http_server.h: HTTP/1.1 for a few thousand clients at once, on libmicrohttpd.
 *
 * A request is given to the handler as a whole, head and body, and is answered from any thread:
 *
 *     RECEIVING -> HANDLED   [the handler, on an I/O thread]
 *     HANDLED   -> ANSWERED  [tw_http_answer: status, headers and the whole body]
 *     HANDLED   -> STREAMING [tw_http_stream_begin]
 *     STREAMING -> ANSWERED  [tw_http_stream_end]
 *     any       -> GONE      [the client closed, a deadline passed, or it read too slowly]
 *
 * Deadlines are absolute, not times without activity: a head or body that arrives byte by byte does
 * not hold a connection for longer than its deadline. libmicrohttpd does not look at a connection
 * that waits for its answer, so a thread of ours watches all of them for EPOLLRDHUP. A client that
 * closes its sending side counts as gone, as with Go's net/http: to tell it from one that left, one
 * would have to write to it.
 *
 * Invariants:
 * 1. The handler is called at most once a request, and not for one that is malformed or too large.
 * 2. After GONE calls on the request do nothing; it stays valid until it is released.
 * 3. A stream never holds more than stream_bytes. One that holds something of which its client
 *    takes nothing for stall_seconds is ended, and so is a finished answer that is not read within
 *    answer_seconds. Others do not notice.
 *
 * Ownership: the handler gets one reference and whoever answers gives it back with
 * tw_http_release, once, after its last call. What is passed in is copied.
 * Threads: the handler runs on several threads at once and must not block. Calls on one request
 * come from one thread at a time, tw_http_is_gone and tw_http_pending_bytes from any.
 * Errors: TW_ERR_IO for addresses that cannot be used; for certificates those of net/tls.h.
 */
#ifndef TW_NET_HTTP_SERVER_H
#define TW_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_http_server;
struct tw_http_request;

typedef void (*tw_http_handler_fn)(void *context, struct tw_http_request *request);

struct tw_http_config {
    const char *host; /* a numeric IPv4 or IPv6 address */
    uint16_t port;    /* 0: any free one */
    /* A listening socket instead, which the server closes at its end; -1: none. Draining leaves it
     * as it is, since it may have other owners, unless it is said that there are none. */
    int listen_fd;
    bool listens_alone;
    uint32_t n_threads;
    /* Beyond it requests are answered with 503 by the handler's asking tw_http_is_crowded;
     * TW_LIMIT_HTTP_SPARE_CONNECTIONS later connections wait until others leave. */
    uint32_t max_connections;
    size_t head_bytes, body_bytes;
    size_t all_bodies_bytes;                /* of all requests together; beyond it 503 */
    uint32_t head_seconds, body_seconds;    /* from the connection's or head's beginning */
    uint32_t idle_seconds;                  /* between two requests */
    uint32_t answer_seconds;                /* for a finished answer to be read, streamed or not */
    size_t stream_bytes;                    /* of one stream, not taken by its client */
    uint32_t stall_seconds;                 /* in which such a client takes nothing */
    const char *tls_cert_pem, *tls_key_pem; /* texts (net/tls.h), copied; both NULL: no TLS */
    tw_http_handler_fn handler;
    /* Whether a request's body is worth to be kept, asked when its head is there; what it may use
     * is what "within the handler" may. The handler is called in either case. NULL: all are. */
    bool (*keeps_body)(void *context, struct tw_http_request *request);
    void *context;
};

/* 127.0.0.1:8080, 2 threads, the bounds of base/limits.h. */
struct tw_http_config tw_http_defaults(void);

/* Whether it is an address to listen on: TW_ERR_USAGE otherwise. */
enum tw_status tw_http_check_address(const char *host, struct tw_error *error);

enum tw_status tw_http_server_start(const struct tw_http_config *config,
                                    struct tw_http_server **ret_server, struct tw_error *error);

/* A listening socket at that address, to be given as listen_fd. TW_ERR_USAGE, TW_ERR_IO. */
enum tw_status tw_http_listen(const char *host, uint16_t port, int *ret_fd, struct tw_error *error);

/* A listening socket of the file system at that path, for its owner alone (mode 0600), to be given
 * as listen_fd; one that a process which is gone has left there is replaced. The caller removes the
 * path in the end. TW_ERR_LIMIT for a path that is too long, TW_ERR_USAGE where somebody listens
 * there, TW_ERR_IO. */
enum tw_status tw_http_listen_local(const char *path, int *ret_fd, struct tw_error *error);

/* The port that is listened on. */
uint16_t tw_http_server_port(const struct tw_http_server *server);

/* New connections get another certificate; those there are go on. For a server that has one. On an
 * error everything stays as it was. */
enum tw_status tw_http_server_set_certificate(struct tw_http_server *server, const char *cert_pem,
                                              const char *key_pem, struct tw_error *error);

/* Whether the two texts are a certificate and its key. */
enum tw_status tw_http_check_certificate(const char *cert_pem, const char *key_pem,
                                         struct tw_error *error);

/* No new connections from here on: they are refused, or wait at a socket that was passed. What is
 * being answered goes on, and its connection is closed afterwards. */
void tw_http_server_drain(struct tw_http_server *server);

struct tw_http_usage {
    uint32_t n_connections;
    uint32_t n_requests; /* received and not yet answered in full */
    uint32_t n_streams;  /* among them */
    uint64_t n_refused;  /* malformed, too large or too slow */
    uint64_t n_gone;     /* clients that left before the end of their answer */
};
struct tw_http_usage tw_http_server_usage(const struct tw_http_server *server);

/* Requests that are not answered become GONE; the handler's side must have released all before the
 * server is freed. NULL is allowed. */
void tw_http_server_stop(struct tw_http_server *server);

/* ---- within the handler ---- */

const char *tw_http_method(const struct tw_http_request *request); /* "POST" */
const char *tw_http_path(const struct tw_http_request *request);   /* decoded, without query */
/* NULL where there is none. Valid within the handler only. */
const char *tw_http_header(const struct tw_http_request *request, const char *name);
/* How many of that name there are. Valid within the handler only. */
size_t tw_http_header_count(const struct tw_http_request *request, const char *name);
/* The client's address, numeric, without port; "" where there is none. Valid within the handler
 * only. */
const char *tw_http_peer(const struct tw_http_request *request);
/* Of a socket of the file system: who the client's process was when it connected. False for other
 * sockets. Valid within the handler only. */
bool tw_http_peer_user(const struct tw_http_request *request, uint32_t *ret_uid);
/* A value of the query, decoded; NULL where it is not there. Valid within the handler only. */
const char *tw_http_argument(const struct tw_http_request *request, const char *name);
/* More connections than max_connections: only what matters then should be answered. */
bool tw_http_is_crowded(const struct tw_http_request *request);

/* ---- until the release ---- */

/* Not NUL-terminated. */
const char *tw_http_body(const struct tw_http_request *request, size_t *ret_bytes);
/* Frees the body before the request is released. Its bytes count against the server's bound until
 * the request ends, since what was made of them takes memory, too. */
void tw_http_free_body(struct tw_http_request *request);
/* The client's X-Request-Id where it is fit to be one, otherwise a random one. */
const char *tw_http_id(const struct tw_http_request *request);

struct tw_http_header {
    const char *name, *value;
};

/* The whole answer. Content-Length, Date and X-Request-Id are added. */
void tw_http_answer(struct tw_http_request *request, int status,
                    const struct tw_http_header *headers, size_t n_headers, const void *body,
                    size_t body_bytes);

/* An answer of unknown length. heartbeat is sent whenever nothing was for heartbeat_seconds;
 * NULL: never. */
void tw_http_stream_begin(struct tw_http_request *request, int status,
                          const struct tw_http_header *headers, size_t n_headers,
                          const char *heartbeat, uint32_t heartbeat_seconds);
void tw_http_stream_write(struct tw_http_request *request, const void *bytes, size_t n_bytes);
void tw_http_stream_end(struct tw_http_request *request);
/* Ends it so that its client sees that something is missing. */
void tw_http_stream_cut(struct tw_http_request *request);

bool tw_http_is_gone(const struct tw_http_request *request);
/* Written to the stream and not yet taken by the client's socket. */
size_t tw_http_pending_bytes(const struct tw_http_request *request);

void tw_http_release(struct tw_http_request *request);

/* ---- requests of our own ---- */

/* Told of an answer, once: on the thread that answers, which must not wait; status 0: it was
 * released without one. The body is valid until the return. */
typedef void (*tw_http_answered_fn)(void *context, int status, const struct tw_http_header *headers,
                                    size_t n_headers, const void *body, size_t body_bytes);

/* A request that no client sent, for the same handler's side: it is HANDLED, without headers, and
 * not counted among a server's. id as a client's; the body is copied. Who makes it has one
 * reference, and whoever answers it the other. It has no streams. NULL: no memory. */
struct tw_http_request *tw_http_own_create(const char *path, const char *id, const void *body,
                                           size_t body_bytes, tw_http_answered_fn answered,
                                           void *context);
/* Nobody waits for its answer any more: it is GONE. */
void tw_http_own_abandon(struct tw_http_request *request);

#endif
