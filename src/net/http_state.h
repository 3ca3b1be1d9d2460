/* http_state.h: the inside of the HTTP server, for this layer alone.
 *
 * http_server.c is what libmicrohttpd calls, http_loop.c are the threads that call it,
 * http_request.c answers requests, http_watch.c looks after deadlines, heartbeats and clients that
 * leave.
 *
 * Locks: a request's lock, and the slots' lock; the slots' lock is taken first. Neither is held
 * across a call of the handler. MHD_resume_connection is called under the request's lock: that is
 * what makes "suspended" and the suspension one thing.
 */
#ifndef TW_NET_HTTP_STATE_H
#define TW_NET_HTTP_STATE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/limits.h"
#include "net/http_server.h"
#include "net/tls.h"

#define HTTP_METHOD_MAX 16
#define HTTP_PEER_BYTES 64

/* What a connection is waiting for; each phase has its deadline. */
enum tw_http_phase { HTTP_FREE = 0, HTTP_HEAD, HTTP_BODY, HTTP_HANDLED, HTTP_ANSWER, HTTP_IDLE };

/* A connection. Slots are found by number and generation, because a descriptor of a closed
 * connection may already belong to another one when its event is read. */
struct tw_http_slot {
    struct tw_http_server *server;
    int fd;
    uint32_t generation;
    enum tw_http_phase phase;
    int64_t deadline_ns; /* 0: none */
    bool has_hung_up;    /* the client closed, perhaps before its request was handled */
    struct tw_http_request *request;
    uint32_t next_free;
};

enum tw_http_reply { HTTP_NO_REPLY = 0, HTTP_WHOLE, HTTP_STREAM };

struct tw_http_request {
    struct tw_http_server *server;
    struct tw_http_loop *loop; /* whose thread has its connection */
    struct tw_http_slot *slot;
    atomic_int n_references;
    char method[HTTP_METHOD_MAX];
    char *path;
    char id[TW_LIMIT_HTTP_ID_BYTES + 1];
    char peer[HTTP_PEER_BYTES];
    bool keeps_body;
    struct tw_buf body;
    atomic_size_t n_counted_bytes; /* of it, in the server's sum */
    int refusal; /* status of an answer that is due before the handler is called */

    pthread_mutex_t lock;              /* of what follows */
    struct MHD_Connection *connection; /* NULL: libmicrohttpd is done with the request */
    bool is_handled;                   /* the handler was called */
    bool is_suspended;
    enum tw_http_reply reply;
    struct MHD_Response *response; /* until it is queued */
    int status;
    atomic_bool is_gone;

    struct tw_buf stream;   /* bytes that the socket has not taken */
    size_t n_leaving_bytes; /* given to libmicrohttpd, which may not have sent them */
    atomic_size_t n_pending_bytes;
    bool is_ended;
    char *heartbeat;
    uint32_t heartbeat_seconds;
    tw_http_answered_fn answered; /* of a request of our own, whose server is NULL */
    void *answered_context;
    int64_t last_write_ns;
    int64_t
        last_taken_ns; /* when the client took something, or there was first something to take */
};

struct tw_http_loop {
    struct tw_http_server *server;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the daemon's */
    int wake_fd;
    atomic_bool is_woken; /* and has not looked yet: no need to write again */
    int quiesced_fd;      /* not listened on any more, to be closed at the end; -1: none */
    pthread_t thread;
    bool has_thread;
};

struct tw_http_server {
    struct tw_http_config config;
    struct tw_http_loop *loops; /* [n_loops] */
    uint32_t n_loops;
    atomic_bool loops_stop;
    int listen_fd;
    struct tw_tls *tls; /* NULL: no TLS */
    uint16_t port;
    atomic_bool is_draining;
    pthread_t watcher;
    bool has_watcher;
    atomic_bool stops;
    int epoll_fd;

    pthread_mutex_t lock;       /* of the slots */
    struct tw_http_slot *slots; /* [n_slots] */
    uint32_t n_slots, first_free;

    atomic_uint n_connections, n_requests, n_streams;
    atomic_ullong n_refused, n_gone;
    atomic_size_t n_body_bytes; /* of all requests */
};

/* ---- http_server.c ---- */

/* libmicrohttpd's side of a loop, listening on fd; NULL where it does not start. */
struct MHD_Daemon *tw_http_daemon_start(struct tw_http_loop *loop, int fd);

/* ---- http_loop.c ---- */

/* Threads that run until the join; their daemons end with the free. */
enum tw_status tw_http_loops_start(struct tw_http_server *server, struct tw_error *error);
void tw_http_loops_quiesce(struct tw_http_server *server);
void tw_http_loops_join(struct tw_http_server *server);
void tw_http_loops_free(struct tw_http_server *server);
/* Has its thread look at what was resumed. Costs a system call for the first of many. */
void tw_http_loop_wake(struct tw_http_loop *loop);

/* ---- http_request.c ---- */

struct tw_http_request *tw_http_request_create(struct tw_http_loop *loop, struct tw_http_slot *slot,
                                               struct MHD_Connection *connection,
                                               const char *method, const char *path);
/* The body counts no longer among all bodies. */
void tw_http_uncount_body(struct tw_http_request *request);
/* And frees it. */
void tw_http_drop_body(struct tw_http_request *request);
/* Under the lock. An answer of our own, as JSON in OpenAI's form. */
void tw_http_refuse(struct tw_http_request *request, int status);
/* Under the lock. Lets libmicrohttpd look at the request again. */
void tw_http_wake(struct tw_http_request *request);
/* Under the lock. Puts bytes into the stream; false where they do not fit. */
bool tw_http_stream_append(struct tw_http_request *request, const void *bytes, size_t n_bytes,
                           int64_t now_ns);
/* Under the lock. Nothing more will reach the client; the watcher ends its connection. */
void tw_http_mark_gone(struct tw_http_request *request);

/* ---- http_watch.c ---- */

enum tw_status tw_http_watch_start(struct tw_http_server *server, struct tw_error *error);
void tw_http_watch_stop(struct tw_http_server *server);
/* A slot for a connection that was accepted; NULL when it cannot be watched. */
struct tw_http_slot *tw_http_slot_take(struct tw_http_server *server, int fd);
void tw_http_slot_free(struct tw_http_slot *slot);
/* Enters a phase, whose deadline begins now. request: what the slot is about; NULL for none. */
void tw_http_slot_phase(struct tw_http_slot *slot, enum tw_http_phase phase,
                        struct tw_http_request *request);
/* What a slot is called in events: its number, and which of its connections is meant. */
uint64_t tw_http_slot_key(const struct tw_http_slot *slot);
/* The client has closed, at least its sending side. The key may be that of an older connection. */
void tw_http_hang_up(struct tw_http_server *server, uint64_t key);

#endif
