/* api_batches.h: /v1/files and /v1/batches, and the lines of batches as requests.
 *
 *     GET  /v1/files /v1/files/{id} /v1/files/{id}/content   POST /v1/files   DELETE /v1/files/{id}
 *     GET  /v1/batches /v1/batches/{id}   POST /v1/batches /v1/batches/{id}/cancel
 *
 * Calls go to a thread of their own, the desk, since they wait for the store. Another one, the
 * runner, takes the lines of this hub's batches and gives each to the same preparing threads that
 * clients' requests go to, as a request of our own (net/http_server.h):
 *
 *     line -> WAITING -> RUNNING -> its result is written by the settlement     (hub/batch.h)
 *                                -> 429, 503, ...: WAITING again, for longer and longer
 *                                -> refused: an error of the batch
 *
 * In the scheduler they are of a tenant that is the project's batches, in the class IDLE: it gets
 * what others leave. At most batch_lines of them run at once, of all batches together.
 *
 * Without a hub there are none of both: the calls are refused.
 *
 * Threads: tw_api_desk_take from any, tw_api_batches_start, _drain, _stop, _free from one.
 */
#ifndef TW_API_API_BATCHES_H
#define TW_API_API_BATCHES_H

#include "api/api_state.h"
#include "hub/batch.h"

struct tw_api_batches;

enum tw_status tw_api_batches_start(struct tw_api *api, struct tw_error *error);
/* No line is begun from here on; those that run go on. */
void tw_api_batches_drain(struct tw_api_batches *batches);
/* Lines that run, and are answered by the time the API is freed. */
uint32_t tw_api_batches_running(const struct tw_api_batches *batches);
/* Ends both threads; whoever waits gets 503, and lines that run are cut off. NULL is allowed, as
 * for those above. */
void tw_api_batches_stop(struct tw_api_batches *batches);
/* When nothing runs any more. */
void tw_api_batches_free(struct tw_api_batches *batches);

/* A call on its way to the desk. */
struct tw_api_desk_call {
    struct tw_api *api;
    struct tw_api_batches *batches;
    struct tw_http_request *http;
    struct tw_api_tenant tenant;
    void (*run)(struct tw_api_desk_call *call); /* answers it */
    char name[TW_BATCH_NAME_BYTES];             /* of a file or batch, in the path; "" */
    char verb[16];                              /* behind it; "" */
    char after[TW_BATCH_NAME_BYTES], limit[16], purpose[16], order[8];
    char content_type[256];
    char data_class[TW_LIMIT_POLICY_NAME_BYTES];
    uint32_t n_data_classes; /* tw_api_data_class */
    struct tw_api_desk_call *next;
};

/* Within the handler. base: the path without what is about one of them. */
void tw_api_desk_take(struct tw_api *api, struct tw_http_request *http, const char *base,
                      void (*run)(struct tw_api_desk_call *call),
                      const struct tw_api_tenant *tenant);

void tw_api_desk_add_file(struct tw_api_desk_call *call);
void tw_api_desk_list_files(struct tw_api_desk_call *call);
void tw_api_desk_get_file(struct tw_api_desk_call *call); /* or its content */
void tw_api_desk_delete_file(struct tw_api_desk_call *call);
void tw_api_desk_create_batch(struct tw_api_desk_call *call);
void tw_api_desk_list_batches(struct tw_api_desk_call *call);
void tw_api_desk_get_batch(struct tw_api_desk_call *call);
void tw_api_desk_cancel_batch(struct tw_api_desk_call *call);

/* ---- for the three files of this alone ---- */

/* Whom a line names, as a tw_batch_user_fn: of a request in a file. */
void tw_api_batch_user(const char *line, size_t line_bytes, struct tw_buf *ret_user);

struct tw_api_batches {
    struct tw_api *api;
    struct tw_batches *store;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake_desk, wake_runner;
    struct tw_api_desk_call *calls, **calls_end;
    uint32_t n_calls;
    bool stops, is_draining, has_news; /* news: for the runner */
    atomic_uint n_running;
    struct tw_api_download *downloads; /* the desk's */
    uint32_t n_downloads;
    pthread_t desk, runner;
    bool has_desk, has_runner;
    struct tw_api_runner *run; /* the runner's */
};

/* batch_desk.c, batch_runner.c */
void *tw_api_desk(void *batches);
void *tw_api_runner(void *batches);
struct tw_api_runner *tw_api_runner_create(struct tw_api_batches *batches); /* NULL: no memory */
void tw_api_runner_free(struct tw_api_runner *runner);
/* Continues the answer of a file that is being read; false: it has ended. */
bool tw_api_desk_go_on(struct tw_api_batches *batches);
void tw_api_desk_end_downloads(struct tw_api_batches *batches);

#endif
