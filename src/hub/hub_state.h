/* hub_state.h: the inside of the hub, for its own files alone.
 *
 *     hub.c          opening, closing, questions
 *     hub_writer.c   the queue and the groups
 *     hub_request.c  what a ticket does: reserve, cover, settle
 *     ledger.c       the rows of these
 *     holder_rates.c rates of holders, which all hubs of the store share
 *     hub_recover.c  what another process left open, and this one could not end
 *     hub_link.c     among others on PostgreSQL: hears what they change
 *     hub_command.c  a command from its JSON to its answer; hub_refusal.c puts refusals on record
 *     content.c      what a request brings and is answered, until it is settled
 *     hub_content.c  the rows of that; what is too old, and what was erased
 *
 * What the writer owns: db, statements, ledger, audit, and everything in the directory that is not
 * atomic, except while it is changed, which is done under directory.lock.
 */
#ifndef TW_HUB_HUB_STATE_H
#define TW_HUB_HUB_STATE_H

#include <pthread.h>
#include <sodium.h>

#include "hub/audit_log.h"
#include "hub/audit_record.h"
#include "hub/content.h"
#include "hub/directory.h"
#include "hub/hub.h"
#include "hub/ledger.h"
#include "hub/subject_keys.h"
#include "store/db.h"

/* The open budgets above a key, each in the window of an instant. */
struct tw_hub_path {
    struct tw_spending_step steps[TW_LIMIT_HUB_PATH];
    struct tw_hub_window *windows[TW_LIMIT_HUB_PATH];
    size_t n;
};

/* How a reservation ended. */
struct tw_hub_ending {
    struct tw_holder *key;
    const struct tw_hub_ticket *ticket; /* NULL: another process had it */
    enum tw_audit_kind kind;
    int64_t n_input_tokens, n_cached_tokens, n_output_tokens; /* input: without the cached */
    /* What was counted, where not all of it could be paid; otherwise 0. */
    int64_t n_reported_prompt_tokens, n_reported_output_tokens;
    const char *finish;
    int64_t cost_nano; /* that tw_hub_end_reservation found */
};

/* For its record. */
struct tw_hub_record {
    const struct tw_reservation *reservation;
    const struct tw_hub_ending *ending;
    int64_t cost_nano;
    struct tw_audit_budget budgets[TW_LIMIT_HUB_PATH];
};

/* ---- content ---- */

enum { TW_CONTENT_HASH_BYTES = 32 };

enum tw_content_state {
    TW_CONTENT_NOT_KEPT = 0,
    TW_CONTENT_KEPT,
    TW_CONTENT_TOO_LARGE,
    TW_CONTENT_ERASED /* the subject was, while the request ran */
};

struct tw_content_answer {
    crypto_generichash_state hash;
    unsigned char digest[TW_CONTENT_HASH_BYTES]; /* in the end */
    bool is_hashed;                              /* the text is not remembered */
    struct tw_buf text;
    uint64_t n_tokens;
    const char *finish;
};

struct tw_content {
    struct tw_hub *hub;
    struct tw_hub_caller caller;
    int64_t project;
    enum tw_content_state state;
    struct tw_subject_key *key; /* NULL until the subject is named */
    unsigned char body_hash[TW_CONTENT_HASH_BYTES];
    struct tw_buf body, terms;
    struct tw_content_answer *answers; /* [n_answers] */
    size_t n_answers;
    size_t n_bytes; /* remembered of body and answers */
    /* By tw_content_close. */
    bool is_committed;
    unsigned char commitment[TW_CONTENT_HASH_BYTES];
    unsigned char tag[TW_SUBJECT_TAG_BYTES];
    struct tw_buf sealed;
};

/* Before the settlement of a ticket is queued: hashes, and seals what is to be stored. */
void tw_content_close(struct tw_content *content, const struct tw_hub_ticket *ticket);
/* hashes: of the body and of each answer. */
void tw_content_commit(const unsigned char *salt, const unsigned char *hashes, size_t n_hashes,
                       unsigned char ret_commitment[TW_CONTENT_HASH_BYTES]);
/* For the record; NULL: nothing is stored of such requests. */
const char *tw_content_state_name(const struct tw_content *content);

/* What the hub knows of content; the writer's, but for the keys. */
struct tw_hub_content {
    struct tw_subject_keys *keys;
    struct tw_db_statement *insert;
    int64_t n_erasures;  /* that were followed */
    int64_t n_noted;     /* and those of this group, which may fail */
    bool has_unfinished; /* an erasure may have rows left */
    bool has_aging;      /* a project keeps content for a time only */
    int64_t tend_ns;     /* when to look for what is too old */
    int64_t retry_ns;    /* a group failed: nothing of this before */
    size_t next_holder;  /* where that goes on */
};

/* Numbers of requests. */
struct tw_hub_requests {
    int64_t *at; /* [n] */
    size_t n, room;
};

struct tw_hub_rates {
    struct tw_db_statement *read, *write, *count;
    struct tw_holder *dirty; /* by next_dirty_rates */
};

/* To other hubs on the same PostgreSQL; the link's thread's, but for stop_fd. */
struct tw_hub_link {
    struct tw_db *db;
    struct tw_db_statement *read_change;
    int64_t next_change; /* of the books, when it was read last */
    bool is_listening;
    pthread_t thread;
    int stop_fd; /* an eventfd, and there is a thread; -1: none */
};

struct tw_hub {
    struct tw_hub_config config;
    tw_hub_tells_apart_fn tells_apart; /* NULL: any name may be given anew */
    void *tells_apart_context;
    char *address;               /* the configuration's */
    tw_hub_server_fn server_run; /* NULL: no server has the hub */
    void *server_context;
    struct tw_db *db;
    struct tw_directory directory;
    struct tw_ledger ledger;
    struct tw_audit_key *audit_key;
    struct tw_audit_log *audit;
    struct tw_audit_body body;   /* of the record that is written */
    struct tw_refusals refusals; /* to whoever has the machine */
    struct tw_hub_content content;
    int64_t now_ns;                /* books' time of the group */
    atomic_int_least64_t ahead_ns; /* the store's clock before this hub's own; 0: it has none */
    int64_t first_new_id;          /* what the group makes has numbers from here on */
    uint32_t n_projects;           /* that the scheduler knows */
    int64_t n_recovered;           /* requests that were left open by others */
    int64_t recover_at_ns;         /* monotonic: when it looks after other hubs again */
    bool has_changed;              /* the group has a change of the directory */
    bool was_told;                 /* of the failure: config.failed */
    atomic_bool is_broken;         /* the store is: everything is refused */
    int64_t reconnect_at_ns;       /* monotonic: not before */
    struct tw_error group_error;   /* of the group: the first thing that went wrong in it */
    enum tw_status group_status;

    /* Requests that ended when the store could not be written: they are settled when it can. And
     * those that were refused because it is not known whether their reservation is there: they are
     * released before anything else, while their numbers are nobody else's in this hub. */
    struct tw_hub_requests owed, doubted;
    int64_t owed_at_ns; /* monotonic: when that is tried next */

    struct tw_hub_rates rates;
    struct tw_db_statement *notify; /* PostgreSQL alone */
    struct tw_hub_link link;

    /* Of lists, which read beside the writer; whoever makes one holds the lock. */
    pthread_mutex_t list_lock;
    struct tw_directory listed;

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct tw_hub_op *first, **last;
    bool is_called; /* a group is to be made even where nothing waits */
    bool stops, has_ended;
};

/* Hands an operation to the writer. */
void tw_hub_enqueue(struct tw_hub *hub, struct tw_hub_op *op);
void *tw_hub_write(void *hub); /* the writer's thread */
/* Has the writer look at the store. */
void tw_hub_call(struct tw_hub *hub);
/* Within an operation: something could not be written, so the group will not be committed. */
void tw_hub_fail_group(struct tw_hub *hub, enum tw_status status, const struct tw_error *error);
/* Begins and ends a group by hand, before there is a writer. */
enum tw_status tw_hub_begin_group(struct tw_hub *hub, struct tw_error *error);
/* What was refused is released first, and what may help is tried again. */
enum tw_status tw_hub_begin(struct tw_hub *hub, struct tw_error *error);
enum tw_status tw_hub_end_group(struct tw_hub *hub, struct tw_error *error);

/* ---- hub_request.c ---- */

/* entry: of the reservation; budgets that were made later know nothing of it. */
enum tw_status tw_hub_find_path(struct tw_hub *hub, struct tw_holder *key, int64_t at_ns,
                                int64_t entry, struct tw_hub_path *ret_path,
                                struct tw_error *error);
void tw_hub_touch_path(struct tw_hub *hub, const struct tw_hub_path *path);
enum tw_status tw_hub_end_reservation(struct tw_hub *hub, const struct tw_reservation *reservation,
                                      struct tw_hub_ending *ending, struct tw_error *error);

/* ---- hub_beyond.c ---- */

/* Sets what is to be settled of what was used; the reservation is made larger for it where it must
 * and may be. */
enum tw_status tw_hub_reserve_beyond(struct tw_hub *hub, struct tw_reservation *reservation,
                                     const struct tw_hub_usage *usage, struct tw_hub_ending *ending,
                                     struct tw_error *error);

/* ---- holder_rates.c: in a group ---- */

enum tw_status tw_hub_open_rates(struct tw_hub *hub, struct tw_error *error);
void tw_hub_close_rates(struct tw_hub *hub);
/* One request of n_tokens, counted with all above the key that have limits, or refused; n_requests
 * is 0 where it takes the place of one that was counted. */
enum tw_status tw_hub_try_rates(struct tw_hub *hub, struct tw_holder *key, int64_t n_requests,
                                int64_t n_tokens, struct tw_hub_ticket *ticket,
                                struct tw_error *error);
/* One that was counted runs no more, and did not use so many; n_requests is 1 where somebody else
 * refused it. */
enum tw_status tw_hub_end_rates(struct tw_hub *hub, struct tw_holder *key, int64_t n_requests,
                                int64_t n_tokens, struct tw_error *error);
void tw_hub_show_rates(struct tw_hub *hub, struct tw_holder *key, struct tw_hub_shown *ret_shown);
/* What has changed, into its rows. */
enum tw_status tw_hub_write_rates(struct tw_hub *hub, struct tw_error *error);
void tw_hub_forget_rates(struct tw_hub *hub);

/* ---- hub_record.c: what goes into the audit log ---- */

enum tw_status tw_hub_record_start(struct tw_hub *hub, struct tw_error *error);
enum tw_status tw_hub_record_stop(struct tw_hub *hub, struct tw_error *error);
enum tw_status tw_hub_record_refusal(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                     struct tw_error *error);
enum tw_status tw_hub_record_crossed(struct tw_hub *hub, const struct tw_hub_window *window,
                                     struct tw_error *error);
/* Before the settlement changes the windows, and behind it. */
void tw_hub_record_before(struct tw_hub_record *record, const struct tw_hub_path *path);
enum tw_status tw_hub_record_end(struct tw_hub *hub, struct tw_hub_record *record,
                                 const struct tw_hub_path *path, struct tw_error *error);

/* What somebody did with a file, or with a batch and its file; texts may be NULL. */
struct tw_hub_deed {
    const struct tw_hub_caller *caller;
    const char *batch, *endpoint, *file;
    int64_t n_lines, n_bytes; /* 0: not said */
};
enum tw_status tw_hub_record_deed(struct tw_hub *hub, enum tw_audit_kind kind,
                                  const struct tw_hub_deed *deed, struct tw_error *error);

/* ---- hub_recover.c ---- */

/* Settles what another process left open, at its watermark. In a group. */
enum tw_status tw_hub_recover(struct tw_hub *hub, struct tw_error *error);
/* A request of this hub that could not be settled: it is to be, at its watermark. */
void tw_hub_owe(struct tw_hub *hub, int64_t request);
/* Settles those, in a group of their own, where it is time to try. */
void tw_hub_settle_owed(struct tw_hub *hub);
/* A reservation of this hub that is there or not; nothing was sent of it. */
void tw_hub_doubt(struct tw_hub *hub, int64_t request);
/* Releases those that are there. Before a group. */
enum tw_status tw_hub_release_doubted(struct tw_hub *hub, struct tw_error *error);

/* ---- hub_link.c ---- */

/* A thread that wakes the writer when another hub has changed something. */
enum tw_status tw_hub_link_start(struct tw_hub *hub, struct tw_error *error);
void tw_hub_link_stop(struct tw_hub *hub);

/* ---- hub_content.c: in a group, but for opening ---- */

/* Erases keys that are older than their subject's erasure: behind the first group, since that may
 * take its time, and before the first request. */
enum tw_status tw_hub_open_content(struct tw_hub *hub, struct tw_error *error);
void tw_hub_close_content(struct tw_hub *hub);
/* The row of a settled request, where there is to be one. */
enum tw_status tw_hub_store_content(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                    struct tw_error *error);
/* Erases the keys of what other hubs have erased. */
enum tw_status tw_hub_follow_erasures(struct tw_hub *hub, struct tw_error *error);
/* Writes an erasure; its number. The keys are erased behind the commit: */
enum tw_status tw_hub_note_erasure(struct tw_hub *hub, const struct tw_subject *subject,
                                   const struct tw_holder *scope, int64_t *ret_number,
                                   struct tw_error *error);
enum tw_status tw_hub_erase_keys(struct tw_hub *hub, const struct tw_subject *subject,
                                 const struct tw_holder *scope, int64_t number, size_t *ret_n_keys,
                                 struct tw_error *error);
/* Empties a few rows of what was erased or is too old. */
enum tw_status tw_hub_tend_content(struct tw_hub *hub, struct tw_error *error);
/* Whether that is due at some time, and then when; INT64_MAX: there is nothing to tend. */
int64_t tw_hub_tend_ns(const struct tw_hub *hub);

/* ---- batch_lines.c ---- */

/* In the group that settles the ticket, before it is: of a line whose batch another hub has, or
 * that has ended, nothing is paid, since no result will be there. */
enum tw_status tw_hub_check_line(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                                 struct tw_error *error);
/* Behind it: the result of the line, and what it cost. */
enum tw_status tw_hub_store_line(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                 int64_t cost_nano, struct tw_error *error);

/* ---- hub.c ---- */

/* The path of a file beside the store. */
enum tw_status tw_hub_path(const struct tw_hub_config *config, const char *name,
                           char ret_path[TW_LIMIT_HUB_FILE_BYTES], struct tw_error *error);

/* Brings the directory to the books' last change, and announces projects that are new in it. */
enum tw_status tw_hub_update_directory(struct tw_hub *hub, struct tw_error *error);
/* The time of all hubs of the store, between groups; from any thread. */
int64_t tw_hub_now_ns(struct tw_hub *hub);

#endif
