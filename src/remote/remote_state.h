/* remote_state.h: what the files of the client share; for no one else.
 *
 * lock guards the queue, the list of backends, what is known of their health, and the counts. A
 * call's fields below `easy` belong to the client's thread, and to the submitter before that.
 */
#ifndef TW_REMOTE_REMOTE_STATE_H
#define TW_REMOTE_REMOTE_STATE_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "remote/remote_client.h"

enum tw_remote_step { TW_REMOTE_LOOK_HEALTH = 0, TW_REMOTE_LOOK_MODELS, TW_REMOTE_LOOK_METRICS };

/* A look at a server's health: one call after another. */
struct tw_remote_look {
    bool is_running;
    enum tw_remote_step step;
    bool has_no_health;     /* /health is not there: /v1/models instead */
    int64_t due_ns;         /* the next one */
    int64_t metrics_due_ns; /* not before: they were not there */
    struct tw_remote_health found;
    struct tw_metrics_reader reader;
};

struct tw_remote_backend {
    struct tw_remote_client *client;
    struct tw_remote_config config; /* its texts are below */
    char *url, *ca_path, *key_path;
    char *ca_spelling;                        /* the path as libcurl gets it */
    struct curl_slist *connect_to, *resolved; /* NULL: none */
    atomic_uint references; /* whoever added it, its calls, the list while it is not dropped */
    struct tw_remote_backend *next;
    bool is_dropped;
    struct tw_remote_health health;
    struct tw_remote_look look; /* of the client's thread, as what follows */
    char *key;                  /* as read from its file */
    struct stat key_stat;       /* of that file */
};

enum { CALL_SUBMIT = 1, CALL_CANCEL = 2, CALL_RESUME = 4 };

struct tw_remote_call {
    struct tw_remote_client *client;
    struct tw_remote_backend *backend;
    atomic_uint references;
    unsigned pending; /* CALL_ bits, under the lock, while it is queued */
    struct tw_remote_call *next_queued;
    char url[TW_LIMIT_REMOTE_URL_BYTES * 2];
    char request_id[TW_LIMIT_HTTP_ID_BYTES + 1];
    bool is_post;
    struct tw_buf body;
    struct tw_remote_sink sink;
    int64_t submitted_ns;
    uint32_t whole_ms;
    CURL *easy; /* NULL: not begun, or ended */
    struct curl_slist *headers;
    char curl_text[CURL_ERROR_SIZE];
    struct tw_remote_call *previous, *next; /* of those that run */
    struct tw_remote_head head;
    size_t head_bytes;
    bool has_head, head_is_too_long, body_is_too_long, is_paused, was_stopped, has_ended;
    bool is_whole; /* says the sink: what comes is of no use any more */
    uint64_t n_body_bytes;
    int64_t first_byte_ns, last_byte_ns;
};

struct tw_remote_client {
    pthread_t thread;
    int epoll_fd, wake_fd;
    CURLM *multi;
    int64_t timer_ns; /* when libcurl wants to be called; INT64_MAX: not */
    struct tw_remote_call *running;
    uint32_t n_running;
    CURL *spares[TW_LIMIT_REMOTE_SPARE];
    uint32_t n_spares;
    int64_t swept_ns;
    pthread_mutex_t lock;
    bool is_stopping, has_thread;
    struct tw_remote_call *first_queued, **last_queued;
    struct tw_remote_backend *backends;
    struct tw_remote_usage usage;
};

/* remote_backend.c */
void tw_remote_backend_hold(struct tw_remote_backend *backend);
void tw_remote_backend_let_go(struct tw_remote_backend *backend);
/* The key as it is now; NULL where none is sent. */
enum tw_status tw_remote_backend_key(struct tw_remote_backend *backend, const char **ret_key,
                                     struct tw_error *error);

/* remote_look.c: begins the looks that are due; when the next one is, INT64_MAX for never. */
int64_t tw_remote_look_around(struct tw_remote_client *client, int64_t now_ns);

/* remote_transfer.c: on the client's thread. */
void tw_remote_transfer_begin(struct tw_remote_call *call);
/* The transfer has ended; code as libcurl says. */
void tw_remote_transfer_end(struct tw_remote_call *call, CURLcode code);
/* We end it; reason is a sentence. */
void tw_remote_transfer_stop(struct tw_remote_call *call, enum tw_remote_end end,
                             const char *reason);
void tw_remote_transfer_resume(struct tw_remote_call *call);
/* Whether a deadline has passed: then it is stopped. */
void tw_remote_transfer_check(struct tw_remote_call *call, int64_t now_ns);

/* remote_client.c */
void tw_remote_client_wake(struct tw_remote_client *client);

#endif
