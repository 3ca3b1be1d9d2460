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

/* Another server. All of it outlives the API. */
struct tw_api_remote {
    const char *name, *zone; /* for records and messages */
    struct tw_remote_backend *backend;
    const struct tw_api_remote_model *models; /* [n_models] */
    size_t n_models;
    uint32_t weight;           /* how much it can do beside others; 0: 1 */
    uint32_t canary_per_mille; /* of the requests that it could get; 0: it gets its share */
    uint32_t most_in_flight;   /* of our requests at once; 0: no bound */
    const struct tw_server_kind *kind;
    bool shares_prefixes;      /* between tenants, who are told what was cached */
    const char *const *passed; /* [n_passed] members of requests that it gets beside its kind's */
    size_t n_passed;
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

struct tw_api_config {
    const struct tw_api_model *models; /* [n_models]; the first is the default */
    size_t n_models;
    const struct tw_api_remote *remotes; /* [n_remotes], at most TW_LIMIT_REMOTES */
    size_t n_remotes;
    struct tw_remote_client *remote_client;  /* theirs */
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

/* Why model i's own chat template cannot be used, or "". */
const char *tw_api_template_note(const struct tw_api *api, size_t i);

/* For /metrics: the server the API answers for. */
void tw_api_set_server(struct tw_api *api, const struct tw_http_server *server);

/* From here on new requests get 503; those that run go on. */
void tw_api_drain(struct tw_api *api);
/* Ends the preparing threads; what is queued gets 503. Then the backends and the remote client are
 * stopped, which answers what they have; then the HTTP server, whose threads ask the backends for
 * their numbers until the end; then the API is freed, and the backends last. */
void tw_api_stop(struct tw_api *api);

/* After the HTTP server was stopped. NULL is allowed. */
void tw_api_free(struct tw_api *api);

#endif
