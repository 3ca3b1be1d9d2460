/* api.h: the OpenAI API over models, whether or not they are in memory.
 *
 *     GET  /health /ready /metrics /v1/models /v1/models/{id}
 *     POST /v1/chat/completions /v1/completions /v1/embeddings
 *          /tokenize /detokenize /apply-template
 *
 * GET is answered on the HTTP server's threads, which therefore never wait. POST goes to a few
 * threads of our own that parse, check and tokenise, and from there to a backend, whose thread
 * writes the answer as it comes:
 *
 *     handler -> QUEUED [a preparing thread] -> SUBMITTED [the backend] -> answered
 *
 * Models that other servers have are asked of them (relay.h).
 *
 * Errors have OpenAI's form; docs/serve.md lists them.
 *
 * Ownership: names are copied; tw_api_stop says in which order all is taken down.
 * Threads: tw_api_handle from any; the rest from one.
 */
#ifndef TW_API_API_H
#define TW_API_API_H

#include "api/api_keys.h"
#include "backend/backend.h"
#include "hub/batch.h"
#include "hub/hub.h"
#include "net/http_server.h"
#include "policy/policy.h"
#include "remote/remote_client.h"
#include "remote/server_kind.h"
#include "route/router.h"

struct tw_api;

struct tw_api_model {
    const char *name;     /* what clients call it; copied */
    char *const *aliases; /* [n_aliases], other names for it, which outlive the API */
    size_t n_aliases;
    struct tw_backend *backend;
    /* For the record, or NULL; they outlive the API. */
    const char *digest;                 /* of its files: hub/model_digest.h */
    const char *kv_type, *pack_version; /* what else its answers are made with */
};

/* A model that another server has. */
struct tw_api_remote_model {
    const char *name;     /* what clients call it; no model of ours has it */
    const char *upstream; /* what the server calls it */
    uint32_t n_context_tokens;
    uint32_t abilities;            /* TW_SERVER_ bits */
    struct tw_route_prices prices; /* what the server costs us, which is not what clients pay */
};

/* Another server. */
struct tw_api_remote {
    const char *name, *zone;           /* for records and the log */
    const char *entry;                 /* what clients are told: several may be of one entry */
    struct tw_remote_backend *backend; /* NULL: it is known, and has no address now */
    const struct tw_api_remote_model *models; /* [n_models] */
    size_t n_models;
    uint32_t rank;             /* of those of its entry: 0 is asked first, then 1, ... */
    uint32_t weight;           /* how much it can do beside others; 0: 1 */
    uint32_t canary_per_mille; /* of the requests that it could get; 0: it gets its share */
    uint32_t most_in_flight;   /* of our requests at once; 0: no bound */
    const struct tw_server_kind *kind;
    bool shares_prefixes;      /* between tenants, who are told what was cached */
    const char *const *passed; /* [n_passed] members of requests that it gets beside its kind's */
    size_t n_passed;
    bool is_draining; /* what it answers goes on, and it gets nothing new */
};

/* All other servers at a time. Items and what they point to stay until they are released. */
struct tw_api_remotes {
    const struct tw_api_remote *items; /* [n_items], at most TW_LIMIT_REMOTES */
    size_t n_items;
    void (*release)(void *context); /* nobody has hold of them any more; NULL: nothing to do */
    void *context;
};

/* Models that may take a model's place, when none of its servers can answer now. */
struct tw_api_fallback {
    const char *model;
    const char *const *others; /* [n_others], the first one first */
    size_t n_others;
};

/* Which of several servers is the best one for some. */
struct tw_api_preference {
    const char *const *who; /* [n_who] "organisation/team/project", or a part from its beginning */
    size_t n_who;
    enum tw_route_pick pick;
};

/* What whoever runs the server should know of a request that another server had, and clients must
 * not be told: it names hosts, files and what is behind. */
struct tw_api_relay_note {
    const char *request_id, *backend;
    const char *sent_id; /* by which the backend knows it; "": by the same, or it does not */
    const char *what;    /* a sentence without details */
    const char *detail;  /* of the connection, or what the server says; "": there are none */
    int status;          /* of HTTP; 0: none */
    /* Where a server counts more than was reserved; otherwise 0. */
    uint64_t n_reserved_tokens, n_reported_tokens;
    uint64_t n_unpaid_tokens; /* of those, that no budget had left */
};

struct tw_api_config {
    const struct tw_api_model *models; /* [n_models]; the first is the default */
    size_t n_models;
    struct tw_remote_client *remote_client;  /* NULL: there will never be other servers */
    const struct tw_api_fallback *fallbacks; /* [n_fallbacks] */
    size_t n_fallbacks;
    const struct tw_api_preference *preferences; /* [n_preferences], the first that fits counts */
    size_t n_preferences;
    const char *zone; /* in which our own models run */
    uint32_t n_preparing_threads;
    bool checks_host;         /* refuse a Host that is not this machine (DNS rebinding) */
    const char *const *hosts; /* allowed beside localhost and loopback addresses; ends with NULL */
    uint32_t heartbeat_seconds;
    struct tw_api_keys *keys; /* NULL: everybody may ask, or the hub knows; not owned */
    struct tw_hub *hub;       /* NULL: nothing is counted; not owned */
    struct tw_stage *stage;   /* the models'; learns the tenants */
    bool shares_prefixes;     /* also between tenants, who can then notice it */
    /* On the remote client's thread, the hub's writer or a preparing one; NULL: nobody is told. */
    void (*relay_note)(const struct tw_api_relay_note *note);
    struct tw_batches_config batches; /* with a hub */
    uint32_t batch_lines;             /* of batches, that run at once; 0: 8 */
};

enum tw_status tw_api_create(const struct tw_api_config *config, struct tw_api **ret_api,
                             struct tw_error *error);

/* A tw_http_handler_fn; context: the API. */
void tw_api_handle(void *context, struct tw_http_request *request);
/* For tw_http_config.keeps_body: of requests that will be refused by their heads nothing is kept,
 * or strangers could fill the memory that bodies share. */
bool tw_api_keeps_body(void *context, struct tw_http_request *request);

/* For tw_hub_config: tells the models' scheduler of a project; context: the stage. */
void tw_api_take_project(void *stage, uint32_t number, uint32_t weight, int priority_class);

/* Reads the keys again; the models know their tenants before the first of them can ask. On an error
 * keys, weights and classes stay as they were. */
enum tw_status tw_api_reload_keys(struct tw_api *api, struct tw_error *error);

/* Which requests may run where, from now on; what was admitted before stays so. On success the
 * policy is the API's. NULL: every request anywhere. */
enum tw_status tw_api_set_policy(struct tw_api *api, struct tw_policy *policy,
                                 struct tw_error *error);

/* Policy and other servers, changed together: all of it holds, or nothing changed. Requests that
 * were admitted before keep their policy, and where they were sent. Servers that are no longer
 * among the remotes answer what they have and get nothing new; one of the same name keeps what
 * is known of it. On success what is set is the API's. Changes come one at a time. */
struct tw_api_change {
    bool sets_policy, sets_remotes;
    struct tw_policy *policy; /* NULL: none */
    struct tw_api_remotes remotes;
    /* Asked last, when nothing but memory can refuse it any more: an error, and nothing changes.
     * NULL: nobody. */
    enum tw_status (*agree)(void *context, struct tw_error *error);
    void *agree_context;
};
enum tw_status tw_api_change(struct tw_api *api, const struct tw_api_change *change,
                             struct tw_error *error);

/* How another server stands, for people. */
struct tw_api_standing {
    const char *name, *zone; /* as long as the remotes are */
    bool has_address, is_draining, is_alive;
    const char *breaker; /* "closed", "open", "half-open" */
    uint32_t n_in_flight, n_waiting;
    bool has_load;
    double kv_share, token_ns; /* 0: not seen yet */
    uint64_t n_chosen, n_failed;
    char reason[TW_LIMIT_REMOTE_REASON_BYTES]; /* why it is not alive; "" */
};
/* Calls back for each of them, in their order. */
void tw_api_each_remote(struct tw_api *api,
                        void (*tell)(void *context, const struct tw_api_standing *standing),
                        void *context);

/* Why model i's own chat template cannot be used, or "". */
const char *tw_api_template_note(const struct tw_api *api, size_t i);

/* For /metrics: the server the API answers for. */
void tw_api_set_server(struct tw_api *api, const struct tw_http_server *server);

/* From here on new requests get 503; those that run go on. */
void tw_api_drain(struct tw_api *api);
/* Lines of batches that run: nobody sees them at the HTTP server. */
uint32_t tw_api_batch_lines(const struct tw_api *api);
/* Ends the preparing threads; what is queued gets 503. Then the backends and the remote client are
 * stopped, which answers what they have; then the HTTP server, whose threads ask the backends for
 * their numbers until the end; then the API is freed, and the backends last. */
void tw_api_stop(struct tw_api *api);

/* After the HTTP server was stopped. NULL is allowed. */
void tw_api_free(struct tw_api *api);

#endif
