/* api_state.h: the inside of the API, for this layer alone.
 *
 * api.c routes requests; completion.c carries one from its fields to the end of its answer.
 */
#ifndef TW_API_API_STATE_H
#define TW_API_API_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "api/api_guesses.h"
#include "api/api_metrics.h"
#include "base/json.h"
#include "text/chat_template.h"
#include "text/tool_calls.h"

struct tw_api_served {
    char *name;
    char *const *aliases; /* [n_aliases] */
    size_t n_aliases;
    struct tw_backend *backend;
    const char *digest, *kv_type, *pack_version; /* for the record, or NULL */
    struct tw_chat_template *chat_template;      /* NULL: the format counts */
    const struct tw_tool_form *tool_form; /* how the template writes calls of tools; or NULL */
    bool thinks;                          /* the template knows <think> */
    char note[TW_LIMIT_ERROR_TEXT_BYTES]; /* why the template cannot be used; "" */
    struct tw_chat_format format;
    int64_t created_s;
};

struct tw_api_admission;
struct tw_api_fleet;
struct tw_api_policy;
struct tw_api_route;

/* Who asks for what. The body belongs to whoever has the call: a reference that two threads give
 * back would be counted by both at once. */
struct tw_api_call {
    struct tw_http_request *http;
    json_t *body;
    struct tw_content *content;         /* the callee's as well; NULL: nothing is to be recorded */
    struct tw_api_admission *admission; /* the same, of an endpoint that has content */
    struct tw_hub_line *line;           /* of a batch; NULL: a client's own request */
    char data_class[TW_LIMIT_POLICY_NAME_BYTES]; /* that the client says its data have */
    char file_class[TW_LIMIT_POLICY_NAME_BYTES]; /* of the file with the line; "" */
    uint32_t n_data_classes;                     /* so many headers said it; UINT32_MAX: too long */
    int64_t arrived_ns;
    struct tw_api_tenant tenant;
    const char
        *asked_model; /* of the configuration: in whose place another one is; NULL: none is */
    size_t n_fallen;  /* others that were thought of for it */
    bool is_again;    /* one that was granted by the hub has ended, and this takes its place */
    const struct tw_api_route *route;
};

/* A POST on its way to a preparing thread; or something else that is to be done on one. */
struct tw_api_task {
    struct tw_api_call call;
    bool is_awaited;            /* and the stage knows */
    void (*run)(void *context); /* NULL: a POST */
    void *context;
    struct tw_api_task *next;
};

struct tw_api_relay_item;

/* What other servers are answering. */
struct tw_api_relays {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct tw_api_relay_item *first;
    bool stops;
    struct tw_router *router; /* NULL: there are no other servers */
    pthread_mutex_t router_lock;
    uint64_t seed; /* of the hashes of prompts */
    bool has_thread;
    pthread_t thread;
    atomic_ullong n_ended[TW_REMOTE_END_COUNT];
};

struct tw_api {
    struct tw_api_config config;
    struct tw_api_served *models; /* [config.n_models] */
    _Atomic(const struct tw_http_server *) server;
    struct tw_api_metrics metrics;
    struct tw_api_guesses guesses; /* of keys, with a hub */
    atomic_bool is_draining;
    int64_t created_s;
    uint64_t seed; /* of domains with a salt: a secret of this process */

    pthread_t *threads; /* [n_threads] */
    uint32_t n_threads;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct tw_api_task *tasks, **tasks_end;
    uint32_t n_tasks;
    uint32_t last_tenant; /* whose task was taken last */
    bool stops;
    struct tw_api_policy *policy; /* NULL: there is none */
    struct tw_api_fleet *fleet;   /* the other servers; fleet.h */

    struct tw_api_relays relays;
    struct tw_api_batches *batches; /* NULL: without a hub */
};

struct tw_api_desk_call;

struct tw_api_route {
    const char *method, *path;
    bool is_beginning; /* of the path, with something behind it */
    bool is_open;      /* without a key */
    bool has_content;  /* its requests are committed to, where there is a hub */
    /* GET: on an I/O thread. POST: on a preparing thread, with the body parsed, which is then the
     * callee's. Either answers, or hands the request on to somebody who will. */
    void (*get)(struct tw_api *api, struct tw_http_request *http,
                const struct tw_api_tenant *tenant);
    void (*post)(struct tw_api *api, const struct tw_api_call *call);
    void (*desk)(struct tw_api_desk_call *call); /* or at the desk: api_batches.h */
};

/* The class that a client says its data have, and how many headers say so; UINT32_MAX: a name that
 * is too long for any. Within the handler. */
uint32_t tw_api_data_class(const struct tw_http_request *http,
                           char ret_class[TW_LIMIT_POLICY_NAME_BYTES]);

/* Gives a request of our own to the preparing threads; path: one that is posted to. */
void tw_api_ask(struct tw_api *api, const struct tw_api_call *call, const char *path);

/* Does something that takes its time on a preparing thread, for whoever must not wait. It is done
 * in any case: at once where there is no such thread any more, or no memory. */
void tw_api_run(struct tw_api *api, const struct tw_api_tenant *tenant, void (*run)(void *context),
                void *context);

/* Whether somebody waits for a call's answer, and no batch may take cores from those who bring it:
 * for the moments in which they are not computing, between tw_api_expect and tw_api_met. */
bool tw_api_is_awaited(const struct tw_api_call *call);
void tw_api_expect(struct tw_api *api, bool is_awaited);
void tw_api_met(struct tw_api *api, bool is_awaited);

/* Runs a call that was admitted: here, or at another server. */
void tw_api_dispatch(struct tw_api *api, const struct tw_api_call *call);
/* Whether what is queued now is refused. */
bool tw_api_is_stopping(struct tw_api *api);

/* ---- api_answer.c ---- */

/* What a request is refused for. */
struct tw_api_error {
    int http_status;
    const char *type, *code; /* code may be NULL */
    char param[96];          /* "" for none */
    char message[TW_LIMIT_ERROR_TEXT_BYTES];
};

/* Fill *error and give false, so that a refusal is one line. param may be NULL. */
bool tw_api_refuse(struct tw_api_error *error, const char *param, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool tw_api_refuse_memory(struct tw_api_error *error); /* 503 */
bool tw_api_refuse_status(struct tw_api_error *error, int http_status, const char *type,
                          const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* From an error of the layers below; param may be NULL. */
bool tw_api_refuse_error(struct tw_api_error *error, const struct tw_error *cause,
                         const char *param);

/* From a failure that is not the request's fault. cause NULL: we cancelled it. */
void tw_api_refuse_failure(struct tw_api_error *error, const struct tw_error *cause);

/* The error as JSON: {"error":{...}}. */
void tw_api_write_error(struct tw_buf *out, const struct tw_api_error *error);

/* Count, answer, log nothing. All of them give the reference back. */
void tw_api_answer_error(struct tw_api *api, struct tw_http_request *http,
                         const struct tw_api_error *error);
void tw_api_answer_json(struct tw_api *api, struct tw_http_request *http,
                        const struct tw_buf *body);
/* unknown: names of parameters that nobody knows, for a header; "" for none. rates: for headers, or
 * NULL. */
void tw_api_answer_completion(struct tw_api *api, struct tw_http_request *http,
                              const struct tw_buf *body, const char *unknown,
                              const struct tw_hub_shown *rates);
/* The same for the head of a stream. */
void tw_api_begin_stream(struct tw_api *api, struct tw_http_request *http, const char *unknown,
                         const struct tw_hub_shown *rates);
void tw_api_answer_text(struct tw_api *api, struct tw_http_request *http, const char *content_type,
                        const struct tw_buf *body);

/* Whether somebody may have a model at all. */
bool tw_api_may_use(struct tw_api *api, const struct tw_api_served *model,
                    const struct tw_api_tenant *tenant);
/* The model a body asks for: by "model", or the first one where that is missing. NULL: refused. */
const struct tw_api_served *tw_api_find_model(struct tw_api *api, const json_t *body,
                                              const struct tw_api_tenant *tenant,
                                              struct tw_api_error *error);

/* Which of what was computed a request may use again: its tenant's, or everybody's where they
 * share; of those only what had the same `cache_salt`. A salt keeps apart, and lets nobody in. */
bool tw_api_prefix_domain(const struct tw_api *api, const json_t *body,
                          const struct tw_api_tenant *tenant, uint64_t *ret_domain,
                          struct tw_api_error *error);

/* ---- endpoints ---- */

void tw_api_chat_completions(struct tw_api *api, const struct tw_api_call *call);
void tw_api_completions(struct tw_api *api, const struct tw_api_call *call);
void tw_api_embeddings(struct tw_api *api, const struct tw_api_call *call);
void tw_api_tokenize(struct tw_api *api, const struct tw_api_call *call);
void tw_api_detokenize(struct tw_api *api, const struct tw_api_call *call);
void tw_api_apply_template(struct tw_api *api, const struct tw_api_call *call);
void tw_api_metrics_text(struct tw_api *api, struct tw_http_request *http,
                         const struct tw_api_tenant *tenant);

#endif
