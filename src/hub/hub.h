/* hub.h: who may have which tokens, what they cost, and the proof.
 *
 *     tw_hub_open -> { tw_hub_authenticate -> tw_hub_reserve -> { tw_hub_cover ... }
 *                      -> tw_hub_settle } -> tw_hub_stop -> tw_hub_close
 *
 * A request is a ticket that the caller owns:
 *
 *     NEW -> ASKED [tw_hub_reserve] -> GRANTED [it is durable] -> ENDED [tw_hub_settle] -> DONE
 *                                   -> REFUSED
 *
 * One thread, the writer, owns the store. What is asked of it waits in a queue; it takes all that
 * waits, decides, writes and commits it in one transaction, and then calls back, in order. So a
 * call back with TW_OK means: it is durable. The first byte of an answer waits for the grant, and
 * no token is sent that is not covered: tw_hub_cover moves the durable watermark up, at most
 * TW_LIMIT_HUB_AHEAD_TOKENS ahead of what was sent.
 *
 * Invariants:
 * 1. Of a hard budget, spent + reserved never exceeds what there is. What is granted can be paid in
 *    every budget on the path of the key, whatever happens at once.
 * 2. What a ticket reserved is settled once: exactly, when it ends, and with what a server counted
 *    beyond it, as far as every hard budget has it left then; at the watermark, where the
 *    store could not be written then, as soon as it can, or when the hub is opened after a process
 *    that did not end it.
 * 3. No durable record, no token: where the store fails, everything is refused (TW_ERR_IO) until
 *    the hub is opened again, or has reached PostgreSQL again, which it tries every second. What
 *    was on its way then and refused is not in the books afterwards, or costs nothing.
 * 4. After tw_hub_command of a revocation has been called back, no ticket is granted for that key,
 *    and tw_hub_may_go_on is false for those that are. Other hubs on the same PostgreSQL follow as
 *    soon as they hear of it, within TW_LIMIT_HUB_POLL_MS where they hear nothing.
 * 5. Each request that was granted or refused, and each change, has one record in the audit log,
 *    in the same transaction. So has each change that was refused, and each command that the roles
 *    of who gave it do not allow: of one caller at most TW_LIMIT_HUB_REFUSALS in an hour, since
 *    refusals cost nothing; how many were left out stands in the caller's next record.
 *
 * Ownership: a ticket and what it points to belong to the caller, and stay until the call back.
 * Threads: any; call backs come on the writer's thread and must not block.
 */
#ifndef TW_HUB_HUB_H
#define TW_HUB_HUB_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "hub/audit_record.h"
#include "hub/price.h"
#include "hub/rate_limit.h"

struct tw_hub;
struct tw_content;
struct tw_holder;
struct tw_hub_line;
struct tw_secret;

struct tw_hub_config {
    const char *address;              /* of the store: a file, or postgres://... */
    const char *folder;               /* of pepper and signing key; NULL: beside the file */
    const char *currency;             /* of new books; NULL: EUR. Of others: theirs, or refused */
    const char *const *models;        /* that are served, ends with NULL; NULL: nobody knows */
    const char *zone_folder;          /* of IANA zones; NULL: the system's */
    const char *build, *isa_level;    /* for the records */
    const char *policy, *served;      /* of a server, for the record of its start: the version of
                                       * its policy, the digest of its models; NULL: none */
    int64_t (*now_ns)(void *context); /* wall time; of hubs that share a store the store's counts */
    /* Told of each project, before a key of it is good and whenever it changes; NULL: nobody.
     * On the writer's thread, but for those that are there when the hub is opened. */
    void (*project)(void *context, uint32_t number, uint32_t weight, int priority_class);
    void *project_context;
    /* Told why nothing can be put on record, once for each failure behind a success, and with NULL
     * when it can be again; on the writer's thread. NULL: nobody. */
    void (*failed)(void *context, const struct tw_error *error);
    void *context; /* of now_ns and failed */
    bool is_brief; /* for one command: start and end are no records, where nothing was left open */
    bool keeps_own_time; /* now_ns counts also where the store has a clock: books of another time */
};

/* Guards the process (base/secret.h), so that no core file has the books' keys. Locks the store,
 * makes or migrates the tables, settles what another process left open, loads the directory and
 * starts the writer. */
enum tw_status tw_hub_open(const struct tw_hub_config *config, struct tw_hub **ret_hub,
                           struct tw_error *error);
/* Ends the writer when all that waits is done and called back; what is asked from here on is
 * refused at once, on the asking thread. What is reserved stays so until the next opening, or until
 * another hub on the same PostgreSQL settles it, which is then at once. NULL is allowed. */
void tw_hub_stop(struct tw_hub *hub);
/* Stops it, too. Nobody may have a question or a ticket any more. NULL is allowed. */
void tw_hub_close(struct tw_hub *hub);

/* The books' time, which is that of all hubs of a store. */
int64_t tw_hub_time_ns(struct tw_hub *hub);

/* ---- who asks ---- */

enum tw_hub_verdict {
    TW_HUB_KEY_GOOD = 0,
    TW_HUB_KEY_UNKNOWN,
    TW_HUB_KEY_REVOKED, /* or its project, team or organisation was closed */
    TW_HUB_KEY_EXPIRED
};

struct tw_hub_caller {
    struct tw_holder *key;
    const struct tw_secret *secret; /* one of the key's */
    uint32_t project;               /* a number for the scheduler: of the project */
    uint32_t weight;
    int priority_class; /* as enum tw_priority_class */
    bool may_use_special;
};

/* False: the store is broken, or not reached, so everything would be refused. From any thread. */
bool tw_hub_can_record(const struct tw_hub *hub);

enum tw_hub_verdict tw_hub_authenticate(struct tw_hub *hub, const char *secret,
                                        struct tw_hub_caller *ret_caller);
/* Whether the key is good as ever. Cheap; no lock. */
bool tw_hub_may_go_on(const struct tw_hub_caller *caller);
bool tw_hub_may_use_model(struct tw_hub *hub, const struct tw_hub_caller *caller,
                          const char *model);
/* The number of its project in the books, which is that of all hubs. */
int64_t tw_hub_project_id(const struct tw_hub_caller *caller);
/* "organisation/team/project/key". */
void tw_hub_caller_path(const struct tw_hub_caller *caller, char *ret_path, size_t path_bytes);
/* Whether there is something of a path, open or closed. */
bool tw_hub_has_path(struct tw_hub *hub, const char *path);
/* From now on a name is given anew only where this is false; NULL: always. On the writer's thread;
 * to be set while no command can run. */
typedef bool (*tw_hub_tells_apart_fn)(void *context, const char *path, const char *renamed);
void tw_hub_guard_names(struct tw_hub *hub, tw_hub_tells_apart_fn tells_apart, void *context);
uint32_t tw_hub_max_context_tokens(struct tw_hub *hub, const struct tw_hub_caller *caller);

/* ---- a request ---- */

struct tw_hub_request {
    struct tw_hub_caller caller;
    const char *model;
    const char *client_id; /* of the request, as in answers and logs: for the record */
    enum tw_price_class price_class;
    uint64_t n_prompt_tokens;    /* of all prompts together */
    uint64_t n_answers;          /* 0: none are made, as for embeddings */
    uint64_t max_answer_tokens;  /* of each; 0: the project's default, at most most_answer_tokens */
    uint64_t most_answer_tokens; /* that the context has room for */
    bool is_stream;              /* tokens are sent before the end */
    bool is_again; /* in place of one that was granted and has ended: no other request to rates */
    /* For the record; what is not known is NULL. */
    const char *model_digest;
    const struct tw_audit_sampling *sampling;
    const struct tw_audit_route *route; /* read when a record is written: it may change meanwhile */
    const char *denied;                 /* not NULL: a policy refuses it, with this sentence */
    struct tw_content *content;         /* NULL: nothing is committed to, or stored */
    struct tw_hub_line *line; /* of a batch (batch.h), which has its own prices; NULL: of none */
};

/* What headers show of the rates. */
struct tw_hub_shown {
    bool has_requests, has_tokens; /* such a limit is set */
    struct tw_rate_shown requests, tokens;
};

struct tw_hub_usage {
    uint64_t n_prompt_tokens, n_cached_tokens, n_answer_tokens; /* the prompt's with the cached */
    const char *finish; /* "stop", "length", "cancelled", "failed", ...: for the record */
};

enum tw_hub_refusal {
    TW_HUB_GRANTED = 0,
    TW_HUB_REFUSED_KEY,    /* revoked or expired meanwhile */
    TW_HUB_REFUSED_BUDGET, /* not even the prompt and one token can be paid */
    TW_HUB_REFUSED_RATE,   /* requests or tokens a minute */
    TW_HUB_REFUSED_CONCURRENT,
    TW_HUB_REFUSED_PRICE, /* a money budget, and no price for the model */
    TW_HUB_REFUSED_POLICY,
    TW_HUB_REFUSED_STORE /* it cannot be recorded */
};

struct tw_hub_ticket;
/* status: whether it is durable. */
typedef void (*tw_hub_done_fn)(void *context, struct tw_hub_ticket *ticket, enum tw_status status);

/* An operation in the writer's queue; for this layer alone. */
struct tw_hub_op {
    void (*apply)(struct tw_hub *hub, struct tw_hub_op *op);
    void (*done)(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status);
    struct tw_hub_op *next;
    bool is_alone; /* in its group: where it fails, nobody else does */
};

struct tw_hub_ticket {
    /* What the caller reads after a call back. */
    enum tw_hub_refusal refusal;
    char reason[TW_LIMIT_ERROR_TEXT_BYTES]; /* of a refusal, or of what bounds the answer */
    uint64_t max_answer_tokens;             /* of each answer */
    bool is_clamped;                        /* by a budget: reason names it */
    int64_t retry_after_ms;                 /* of a rate; INT64_MAX: never */
    struct tw_hub_shown shown;              /* for headers */
    int64_t number;                         /* of the request in the ledger */
    uint64_t n_paid_tokens; /* behind its settlement; less than it used: see above */
    atomic_uint_least64_t n_covered_tokens; /* durable watermark */

    /* The hub's own. */
    struct tw_hub_request request;
    struct tw_hub_usage usage;
    struct tw_hub_op op, cover_op;
    tw_hub_done_fn done, cover_done;
    void *context, *cover_context;
    int64_t entry, price, amount_nano, reserved_ns;
    uint64_t n_reserved_answer_tokens, cover_tokens;
    bool is_open;
    bool is_lost; /* another hub has settled it */
};

/* Asks for it; the call back says whether it was granted (ticket->refusal). What is refused for a
 * rate is called back as well, from the writer. */
void tw_hub_reserve(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                    const struct tw_hub_request *request, tw_hub_done_fn done, void *context);
/* Moves the watermark to n_tokens (of all answers together), at most to what is reserved. One at a
 * time for a ticket. TW_ERR_MISSED, here and below: the hub was silent for so long that another one
 * has settled the request. */
void tw_hub_cover(struct tw_hub *hub, struct tw_hub_ticket *ticket, uint64_t n_tokens,
                  tw_hub_done_fn done, void *context);
/* The end of a granted ticket. Where usage is more than was reserved, what is beyond is reserved as
 * well, if no hard budget forbids it; what is not is in the record as reported and not paid. */
void tw_hub_settle(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                   const struct tw_hub_usage *usage, tw_hub_done_fn done, void *context);

/* ---- changes and questions ---- */

/* Who gives a command. */
struct tw_hub_actor {
    int64_t person;   /* 0: whoever has the machine */
    const char *name; /* for the record */
};

/* A command of commands.h with its fields, {"group": "key", "verb": "list", "fields": {...}}, which
 * becomes the hub's. The answer is an object, which becomes the callee's, or error is why not. A
 * change is answered on the writer's thread; a list and a report are made, and answered, on the
 * caller's thread, and take their time; where the roles do not allow it, it is answered on the
 * writer's. Of what cannot be put on record, and so was not done, the error is TW_ERR_IO and begins
 * with TW_HUB_NOT_RECORDED. */
#define TW_HUB_NOT_RECORDED "it cannot be put on record now, so it was not done"

typedef void (*tw_hub_answer_fn)(void *context, enum tw_status status, json_t *answer,
                                 const struct tw_error *error);
void tw_hub_command(struct tw_hub *hub, const struct tw_hub_actor *actor, json_t *command,
                    tw_hub_answer_fn answer, void *context);

/* What a running server does at a command of the group "backend", on the thread of reports; name:
 * of a backend, or NULL; what is to be told goes into the answer, an object. What changes something
 * finds out whether it can, has the change put on record (tw_hub_server_record), and does it; what
 * it refuses is put on record for it. It is set before the first command comes, and not called
 * behind the end of the admin API. */
struct tw_hub_change;
typedef enum tw_status (*tw_hub_server_fn)(void *context, struct tw_hub_change *command,
                                           const char *verb, const char *name, json_t *answer,
                                           struct tw_error *error);
/* What is another afterwards, or may be; NULL: there is none. */
struct tw_hub_server_field {
    const char *name, *before, *after;
};
/* Waits until it is there. With an error nothing may be done. */
enum tw_status tw_hub_server_record(struct tw_hub_change *command,
                                    const struct tw_hub_server_field *fields, size_t n_fields,
                                    struct tw_error *error);
void tw_hub_set_server(struct tw_hub *hub, tw_hub_server_fn run, void *context);

#endif
