/* directory.h: who there is: the tree of holders, their secrets, budgets and prices, in memory.
 *
 *     organisation > team > project > key      each a holder, with its parent
 *
 *     tw_directory_update: the rows that changed since the last time (directory_change), or all
 *
 * The tables are the truth; this is what the hub decides by without asking them. The writer has
 * one, which follows each change; lists have another one, which follows what is committed. Items
 * are never freed before the directory is, so a pointer to one stays good without a count; there
 * are at most TW_LIMIT_HUB_ITEMS. Windows of budgets are read when somebody wants one, and are good
 * until tw_directory_forget_sums.
 *
 * Invariants:
 * 1. A holder's parent is of the kind above its own, and is loaded before it.
 * 2. What a secret opens is decided by its keyed hash alone: it is found by it, and then compared
 *    again in constant time. Without the pepper (a file beside the store) nobody can make one.
 * 3. is_open of a holder goes from true to false, and back only where the group that closed it was
 *    not committed; whoever gave the command was told so.
 *
 * Threads: tw_directory_find_secret, and everything marked atomic, from any; the rest by the
 * writer, which holds the lock while it changes what find_secret reads. Readers who want more hold
 * the lock for reading.
 */
#ifndef TW_HUB_DIRECTORY_H
#define TW_HUB_DIRECTORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/secret.h"
#include "hub/period.h"
#include "hub/price.h"
#include "hub/rate_limit.h"
#include "hub/spending.h"
#include "hub/subject_keys.h"
#include "store/db.h"

#define TW_DIRECTORY_HASH_BYTES   32
#define TW_DIRECTORY_SECRET_BYTES 64
#define TW_DIRECTORY_SHOWN_BYTES  20

enum tw_holder_kind { TW_HOLDER_ORG = 0, TW_HOLDER_TEAM, TW_HOLDER_PROJECT, TW_HOLDER_KEY };
#define TW_HOLDER_KINDS   4
#define TW_HOLDER_CLASSES 3 /* of priority, as enum tw_priority_class of the scheduler has them */

/* What a holder is allowed beside its budgets; 0 and NULL: no bound of its own. */
struct tw_holder_settings {
    int64_t weight; /* of a project: its part of the machine */
    int64_t priority_class;
    const char *models; /* a name a line */
    int64_t max_context_tokens;
    int64_t default_answer_tokens;
    struct tw_rate_limits rates;
    bool may_use_special;
    bool stores_content;     /* of a project: what was asked and answered, encrypted */
    int64_t keep_content_ns; /* so long; 0: until it is erased */
};

struct tw_hub_budget;

struct tw_hub_window {
    int64_t starts_s, ends_s;
    struct tw_spending_window sums;
    struct tw_spending_window replayed; /* for ledger_check.h */
    bool was_crossed;
    bool is_stored, is_dirty; /* has a row; differs from it */
    struct tw_hub_budget *budget;
    struct tw_hub_window *next, *next_dirty;
};

struct tw_hub_budget {
    int64_t id;
    const char *name;
    struct tw_holder *holder;
    struct tw_spending_budget facts;
    enum tw_period_kind period;
    struct tw_zone *zone;
    int64_t since_entry;
    int64_t until_entry; /* INT64_MAX: it is open */
    bool is_open;
    struct tw_hub_window *windows; /* the latest first; not all of them need be there */
    int64_t sums_epoch;            /* the directory's, when they were read */
    struct tw_hub_budget *next;    /* of the same holder */
};

struct tw_hub_account {
    int64_t id;
    int64_t debit_nano, credit_nano, debit_tokens, credit_tokens;
    int64_t replayed[4]; /* the same, for ledger_check.h */
    int64_t sums_epoch;  /* the ledger's, when it was read */
    bool is_dirty;
    struct tw_hub_account *next_dirty;
};

struct tw_holder {
    int64_t id;
    enum tw_holder_kind kind;
    struct tw_holder *parent; /* NULL of an organisation */
    const char *name;
    int64_t created_ns;
    atomic_bool is_open;
    struct tw_holder_settings settings;
    char *models; /* settings.models, with room; read under the lock, or by the writer */
    size_t models_room_bytes;
    struct tw_hub_budget *budgets;
    struct tw_secret *secrets; /* of a key, the latest first */
    struct tw_holder *next_of_name, *next_changed;
    bool is_changed;            /* is in directory.changed */
    struct tw_rate_state rates; /* where it has such limits; as its row has it: */
    int64_t rates_epoch;        /* the directory's sums_epoch, when it was read */
    bool has_dirty_rates;       /* differs from its row; is in the list of such */
    struct tw_holder *next_dirty_rates;
    struct tw_hub_account held, usage;    /* of a project */
    struct tw_subject_quota new_subjects; /* of a project: users that are named the first time */
    /* What the scheduler was told of a project: until then no key of it is good. */
    atomic_bool is_announced;
    uint32_t number; /* from 1 on, in this process */
    int64_t announced_weight, announced_class;
};

enum tw_role {
    TW_ROLE_OWNER = 0,
    TW_ROLE_FINANCE,
    TW_ROLE_AUDITOR,
    TW_ROLE_OPERATOR,
    TW_ROLE_MEMBER
};
#define TW_ROLES 5

struct tw_grant {
    enum tw_role role;
    const struct tw_holder *scope; /* NULL: everything */
    struct tw_grant *next;
};

/* What was refused to somebody within an hour: so much of it is on record. */
struct tw_refusals {
    int64_t since_ns;
    uint32_t n;
    int64_t n_left_out;
};

struct tw_person {
    int64_t id;
    const struct tw_holder *org; /* NULL: of the whole installation */
    const char *name;
    int64_t created_ns;
    atomic_bool is_open;
    struct tw_grant *grants;
    struct tw_refusals refusals; /* the writer's */
    struct tw_secret *secrets;   /* its own, not those of its keys; the latest first */
};

/* What is shown to open something: of a key, or of a person. */
struct tw_secret {
    int64_t id;
    struct tw_holder *key;    /* or NULL */
    struct tw_person *person; /* of a key: whose it is, or NULL */
    const char *shown;
    unsigned char hash[TW_DIRECTORY_HASH_BYTES];
    int64_t created_ns;
    atomic_int_least64_t expires_ns; /* 0: never */
    atomic_bool is_open;
    struct tw_secret *next_of_bucket, *next_of_owner;
};

/* Pointers to items that begin with their number, in the order of these. */
struct tw_items {
    void **at; /* [n] */
    size_t n, room;
};

struct tw_directory {
    unsigned char *pepper; /* [TW_DIRECTORY_HASH_BYTES] */
    pthread_rwlock_t lock;
    struct tw_arena arena;
    struct tw_items holders, persons, secrets, budgets;
    struct tw_secret **buckets; /* [n_buckets], by the hash */
    size_t n_buckets;
    struct tw_holder **names; /* [n_names], by the name and the parent */
    size_t n_names;
    struct tw_holder *changed; /* that were read, until somebody takes them out; by next_changed */
    int64_t seen_change;       /* the next one is not in yet; 0: nothing was read */
    int64_t sums_epoch;
    struct tw_price_table prices;
    struct tw_hub_window *dirty, *free_windows;
    struct tw_grant *free_grants;
    const char *zone_folder; /* NULL: the system's */
};

enum tw_status tw_directory_init(struct tw_directory *directory, struct tw_error *error);
void tw_directory_free(struct tw_directory *directory);

/* The kinds of rows, in the order in which they refer to one another; numbers of the table
 * directory_change. With a person come the roles. */
enum tw_directory_item {
    TW_DIRECTORY_HOLDER = 0,
    TW_DIRECTORY_PERSON,
    TW_DIRECTORY_SECRET,
    TW_DIRECTORY_PRICE,
    TW_DIRECTORY_BUDGET
};

/* Reads what has changed of the tables, where next_change is that of the books: what is new is
 * added, what has changed is changed. All of it, where nothing was read yet or too much changed. */
enum tw_status tw_directory_update(struct tw_directory *directory, struct tw_db *db,
                                   int64_t next_change, struct tw_error *error);
/* All accounts and all windows that ever were: for ledger_check.h. */
struct tw_directory_plant {
    struct tw_hub_account *obligations, *revenue;
};
enum tw_status tw_directory_load_sums(struct tw_directory *directory, struct tw_db *db,
                                      const struct tw_directory_plant *plant,
                                      struct tw_error *error);
/* Somebody else may have written sums: windows are read again before they are used. */
void tw_directory_forget_sums(struct tw_directory *directory);

/* Takes out what has a number from first_id on: it was loaded within a transaction that was rolled
 * back, so it never was, and the numbers will be given away again. Pointers to it stay good, and
 * none of it is open. What else the transaction changed is to be read again: seen_change is 0. */
void tw_directory_forget(struct tw_directory *directory, int64_t first_id);

/* 256 random bits as text, with its hash and the beginning that is shown. The text is to be shown
 * once and then wiped. prefix: "tw-" of a key, "tw-user-" of a person. */
struct tw_new_secret {
    char text[TW_DIRECTORY_SECRET_BYTES];
    char shown[TW_DIRECTORY_SHOWN_BYTES];
    unsigned char hash[TW_DIRECTORY_HASH_BYTES];
};
void tw_directory_make_secret(const struct tw_directory *directory, const char *prefix,
                              struct tw_new_secret *ret_secret);
/* The keyed hash is of the secret's SHA-256, so that files with those can be taken over. */
void tw_directory_hash_digest(const struct tw_directory *directory,
                              const struct tw_secret_hash *digest,
                              unsigned char ret_hash[TW_DIRECTORY_HASH_BYTES]);
void tw_directory_hash_secret(const struct tw_directory *directory, const char *text,
                              unsigned char ret_hash[TW_DIRECTORY_HASH_BYTES]);

/* NULL: nobody's. From any thread. */
struct tw_secret *tw_directory_find_secret(struct tw_directory *directory, const char *text);

/* The open holder of that name below parent (NULL: an organisation); NULL: none. The writer's, or
 * under the lock. */
struct tw_holder *tw_directory_child(const struct tw_directory *directory,
                                     const struct tw_holder *parent, const char *name,
                                     size_t name_bytes);
/* Where the first item of that number, or of a higher one, stands. */
size_t tw_directory_place(const struct tw_items *items, int64_t id);
struct tw_holder *tw_directory_holder(const struct tw_directory *directory, int64_t id);
struct tw_person *tw_directory_person(const struct tw_directory *directory, int64_t id);
struct tw_hub_budget *tw_directory_budget(const struct tw_directory *directory, int64_t id);

/* The window of a budget that an instant falls into: from memory, or from the tables; made, with
 * what it carries over from the one before, where there is none yet. rows:
 * tw_directory_window_sql, prepared. */
extern const char tw_directory_window_sql[];
enum tw_status tw_directory_window(struct tw_directory *directory, struct tw_db_statement *rows,
                                   struct tw_hub_budget *budget, int64_t at_ns,
                                   struct tw_hub_window **ret_window, struct tw_error *error);
/* It differs from its row now. */
void tw_directory_touch(struct tw_directory *directory, struct tw_hub_window *window);

const char *tw_holder_kind_name(enum tw_holder_kind kind);
/* Of settings.priority_class. */
const char *tw_holder_class_name(int64_t priority_class);
const char *tw_role_name(enum tw_role role);
/* The holder above of a kind, or itself. NULL: none. */
struct tw_holder *tw_holder_above(struct tw_holder *holder, enum tw_holder_kind kind);
/* It and all above are open. From any thread. */
bool tw_holder_is_open(const struct tw_holder *holder);
/* "acme/research/chat/ci": names from the top. */
void tw_holder_write_path(const struct tw_holder *holder, char *ret_path, size_t path_bytes);

#endif
