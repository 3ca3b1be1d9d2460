/* remote_client.h: requests to servers with OpenAI's API, thousands at once, on one thread.
 *
 *     tw_remote_submit -> WAITING  [in the client's queue, a moment]
 *     WAITING -> ASKED             [on a new connection or a kept one; the request is sent]
 *     ASKED   -> ANSWERING         [sink.head, then sink.body as often as something comes]
 *     ANSWERING -> PAUSED          [sink.body says so: the server is not read, and so must wait]
 *     PAUSED  -> ANSWERING         [tw_remote_resume: the same bytes come again]
 *     any     -> ENDED             [sink.end, once, the last call]
 *
 * HTTP/1.1 with connections that are kept. Nothing comes from the environment: no proxy, no netrc,
 * no cookies; redirects are refusals, since a server that sends requests elsewhere would decide
 * where they run. With a pinned CA the system's is not believed.
 *
 * Invariants:
 * 1. Of a call that was submitted, sink.end comes exactly once, and nothing of it comes later.
 * 2. A call may be done again elsewhere (may_retry) only if no byte of an answer (a status of 2xx)
 *    reached its sink. head alone is none: who passes it on waits for the first byte of the body.
 * 3. A cancelled call's connection is closed, not read to its end: the server notices.
 * 4. An answer that is no stream has at most TW_LIMIT_REMOTE_ANSWER_BYTES.
 * 5. Deadlines hold whatever a server does: to connect, to the first byte, between bytes (not while
 *    paused), and in all.
 *
 * Ownership: submit takes the body; texts are copied. A call belongs to client and caller: the
 * caller gives it back with tw_remote_call_release. A backend that is dropped stays for the calls
 * that it has. The client outlives its backends' last use by others.
 * Threads: submit, cancel, resume, release and all of backends from any, sinks included. Sinks and
 * notices run on the client's thread, with no lock held, and must not block.
 * Errors: TW_ERR_USAGE for a URL that is none and for files that are not as they should be,
 * TW_ERR_LIMIT for more calls than TW_LIMIT_REMOTE_CALLS, TW_ERR_CANCELLED once the client stops,
 * TW_ERR_MEMORY, TW_ERR_IO.
 */
#ifndef TW_REMOTE_REMOTE_CLIENT_H
#define TW_REMOTE_REMOTE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "remote/server_metrics.h"

struct tw_remote_client;
struct tw_remote_backend;
struct tw_remote_call;

enum tw_status tw_remote_client_start(struct tw_remote_client **ret_client, struct tw_error *error);
/* What runs ends as cancelled, before this returns. Not from a sink. NULL is allowed. */
void tw_remote_client_stop(struct tw_remote_client *client);
/* Stops it, too; by then all calls and backends are given back. NULL is allowed. */
void tw_remote_client_free(struct tw_remote_client *client);

/* ---- servers ---- */

/* What is known of a server's health; from polls, so as old as checked_ns says. */
struct tw_remote_health {
    bool is_known;       /* it was looked at once */
    bool is_alive;       /* it answers, and says that it can */
    bool has_load;       /* and it publishes metrics that are in load */
    int64_t checked_ns;  /* on the monotonic clock */
    uint32_t n_failures; /* looks in a row that failed */
    struct tw_server_load load;
    char reason[TW_LIMIT_REMOTE_REASON_BYTES]; /* why it is not alive */
};

struct tw_remote_config {
    const char *url;        /* "https://host:port", with or without "/v1" and a slash at its end */
    const char *ca_path;    /* PEM of the only authorities to believe; NULL: the system's */
    const char *connect_to; /* "192.0.2.1:8000", "[2001:db8::1]:8000": where it is; certificate and
                               Host are the URL's; NULL: by the URL's name */
    const char *resolved;   /* "host:port:address,address": what the URL's name stands for; NULL:
                               it is looked up */
    const char
        *key_path; /* a file of the key alone, for its owner alone; read anew when it changes;
                             NULL: none is sent */
    uint32_t connect_ms, first_byte_ms, idle_ms, whole_ms; /* 0: the default's */
    uint32_t poll_ms; /* between looks at its health; 0: none */
    /* After each look; may be NULL. */
    void (*notice)(void *context, const struct tw_remote_health *health);
    /* Of one that was added: it was dropped, its calls have ended, and no notice comes any more.
     * May be NULL. */
    void (*gone)(void *context);
    void *notice_context;
};
struct tw_remote_config tw_remote_defaults(void);

/* Whether it is a URL to send requests to: http or https, no user, query or fragment. */
enum tw_status tw_remote_check_url(const char *url, struct tw_error *error);

enum tw_status tw_remote_backend_add(struct tw_remote_client *client,
                                     const struct tw_remote_config *config,
                                     struct tw_remote_backend **ret_backend,
                                     struct tw_error *error);
/* No more looks at its health; one that runs may still end with its notice, so the notice's context
 * stays until `gone`. What it answers goes on. NULL is allowed. */
void tw_remote_backend_drop(struct tw_remote_backend *backend);
struct tw_remote_health tw_remote_backend_health(struct tw_remote_backend *backend);

/* ---- calls ---- */

enum tw_remote_end {
    TW_REMOTE_WHOLE = 0,
    TW_REMOTE_REFUSED,       /* a status other than 2xx; its body came as any other */
    TW_REMOTE_NOT_CONNECTED, /* no such host, nobody there, or not in time */
    TW_REMOTE_NOT_TRUSTED,   /* TLS: another certificate than we believe, or none */
    TW_REMOTE_NO_ANSWER,     /* in time: no byte of a body came */
    TW_REMOTE_STALLED,       /* bytes came, then none in time, or not all of them */
    TW_REMOTE_CUT,           /* the connection ended before the answer did */
    TW_REMOTE_MALFORMED,     /* no HTTP, or more of it than bounds allow */
    TW_REMOTE_UNUSABLE,      /* our side: its key or CA cannot be read, no memory */
    TW_REMOTE_CANCELLED,     /* by tw_remote_cancel, by the sink, or by the client's end */
    TW_REMOTE_END_COUNT
};
/* "whole", "refused", ... for records and metrics. */
const char *tw_remote_end_name(enum tw_remote_end end);

struct tw_remote_head {
    int status;
    uint32_t retry_after_s; /* 0: not said, or a date */
    bool is_stream;         /* text/event-stream */
    char content_type[TW_LIMIT_REMOTE_VALUE_BYTES];
    char request_id[TW_LIMIT_REMOTE_VALUE_BYTES]; /* X-Request-Id; "" where there is none */
};

struct tw_remote_result {
    enum tw_remote_end end;
    bool may_retry; /* elsewhere: invariant 2, and nothing says that others will refuse it too */
    bool was_asked; /* the server was connected and sent the request, or a part of it */
    int status;     /* of HTTP; 0: none came */
    uint32_t retry_after_s;
    uint64_t n_body_bytes;
    int64_t first_byte_ns; /* since it was submitted; 0: none came */
    int64_t took_ns;
    const char *reason; /* a sentence, "" for a whole answer; names hosts and files: for logs */
};

/* LAST: taken, and the answer is whole. What comes behind it is dropped; the connection is kept
 * where it ends the answer within TW_LIMIT_REMOTE_TAIL_MS. However it ends, the end is WHOLE. */
enum tw_remote_take { TW_REMOTE_TAKEN = 0, TW_REMOTE_LAST, TW_REMOTE_PAUSE, TW_REMOTE_STOP };

struct tw_remote_sink {
    void *context;
    void (*head)(void *context, const struct tw_remote_head *head);
    /* PAUSE: not taken. They come again after tw_remote_resume, perhaps together with more. */
    enum tw_remote_take (*body)(void *context, const char *bytes, size_t n_bytes);
    void (*end)(void *context, const struct tw_remote_result *result);
};

struct tw_remote_request {
    struct tw_remote_backend *backend;
    const char *path;       /* "/v1/chat/completions" */
    struct tw_buf *body;    /* JSON of a POST, moved on success; NULL: a GET */
    const char *request_id; /* sent as X-Request-Id; NULL: none */
    uint32_t whole_ms;      /* 0: the backend's */
    struct tw_remote_sink sink;
};

enum tw_status tw_remote_submit(struct tw_remote_client *client,
                                const struct tw_remote_request *request,
                                struct tw_remote_call **ret_call, struct tw_error *error);
/* Both may come too late, and then do nothing. */
void tw_remote_cancel(struct tw_remote_call *call);
void tw_remote_resume(struct tw_remote_call *call);
/* NULL is allowed. */
void tw_remote_call_release(struct tw_remote_call *call);

struct tw_remote_usage {
    uint32_t n_calls, n_paused;
    uint64_t n_submitted, n_ended[TW_REMOTE_END_COUNT];
};
struct tw_remote_usage tw_remote_client_usage(struct tw_remote_client *client);

#endif
