/* ledger.h: the rows of the ledger, and what a writer must know of the books to add some.
 *
 *     tw_ledger_begin -> { tw_ledger_reserve | _release | _settle | _cover ... } -> tw_ledger_end
 *
 * Double entry: a row has one account that is debited and one that is credited, with one amount in
 * money and one in tokens, so every row balances in both.
 *
 *     reserve   held(project)  <- obligations     the most that a request may cost; once more, at
 *                                                 its end, where it used more than that
 *     release   obligations    <- held(project)   the same, at its end
 *     settle    usage(project) <- revenue         what it did cost
 *
 * Rows are never changed. The balance of each account is kept beside them; ledger_check.h
 * recomputes it.
 *
 * Threads: the writer's. Errors: those of db.h.
 */
#ifndef TW_HUB_LEDGER_H
#define TW_HUB_LEDGER_H

#include "hub/directory.h"
#include "store/db.h"

/* The row of the whole. */
struct tw_books {
    char currency[4];
    char log[33]; /* of the audit log */
    int64_t created_ns, last_ns;
    int64_t next_id, next_entry, next_request;
    int64_t next_change; /* of directory_change */
    int64_t n_dead;      /* how often requests were taken from a hub that was silent */
    int64_t writer;      /* who wrote last; 0: nothing is remembered */
    int64_t store_ns;    /* the store's own time when this was read; 0: it has none */
};

#define TW_LEDGER_FIRST_ID 3 /* behind the two accounts of the plant */

struct tw_ledger {
    struct tw_db *db;
    int64_t self;    /* a random number of this process */
    int64_t n_dead;  /* of the books, when it was last found that it was not this process */
    bool has_lost;   /* it was: others have settled what it had open */
    bool is_leaving; /* the next group is its last: others need not wait until it seems dead */
    int64_t sums_epoch;
    struct tw_books books;
    struct tw_hub_account obligations, revenue;
    struct tw_hub_account *dirty; /* linked by next_dirty */
    struct tw_db_statement *read_books, *write_books, *insert_entry, *insert_reservation,
        *delete_reservation, *cover, *write_account, *write_window, *insert_window,
        *find_reservation, *find_process, *write_process, *read_account, *find_window;
};

/* A reservation, as its row has it. */
struct tw_reservation {
    int64_t request, entry, price, amount_nano, reserved_ns;
    int64_t n_prompt_tokens, n_output_tokens, watermark_tokens;
    struct tw_holder *key, *project;
    const char *model, *class;
    const char *client_id; /* what the client knows it by */
};

struct tw_settlement {
    int64_t n_input_tokens, n_cached_tokens, n_output_tokens; /* input: without the cached */
    int64_t amount_nano;
};

/* now_ns: of new books, where the store has no clock or keeps_own_time. */
enum tw_status tw_ledger_open(struct tw_db *db, const char *currency, int64_t now_ns,
                              bool keeps_own_time, struct tw_ledger *ret_ledger,
                              struct tw_error *error);
void tw_ledger_close(struct tw_ledger *ledger);

/* Locks the books, and finds out whether others took this process for dead. ret_is_stale: somebody
 * else wrote since, or nothing was read yet. */
enum tw_status tw_ledger_begin(struct tw_ledger *ledger, bool *ret_is_stale,
                               struct tw_error *error);
/* Somebody else may have written sums: accounts are read again before they are used, these two at
 * once: obligations and revenue. */
enum tw_status tw_ledger_forget_sums(struct tw_ledger *ledger, struct tw_error *error);
/* Whether a reservation is still there and this process's, whom others may have taken for dead. */
enum tw_status tw_ledger_owns(struct tw_ledger *ledger, int64_t request, bool *ret_owns,
                              struct tw_error *error);
/* Writes the row of the books, and among other hubs that this process is alive. */
enum tw_status tw_ledger_end(struct tw_ledger *ledger, int64_t now_ns, struct tw_error *error);

/* TW_ERR_LIMIT: the sums would be more than 64 bits hold. Before a reservation is made. */
enum tw_status tw_ledger_check_room(const struct tw_ledger *ledger, int64_t amount_nano,
                                    int64_t tokens, struct tw_error *error);
/* Numbers it (request, entry) and writes it. */
enum tw_status tw_ledger_reserve(struct tw_ledger *ledger, struct tw_reservation *reservation,
                                 struct tw_error *error);
/* Makes it larger, at the end of its request: its row of the open ones stays as it was. */
enum tw_status tw_ledger_reserve_more(struct tw_ledger *ledger, struct tw_reservation *reservation,
                                      int64_t amount_nano, int64_t tokens, int64_t now_ns,
                                      struct tw_error *error);
enum tw_status tw_ledger_cover(struct tw_ledger *ledger, int64_t request, int64_t n_tokens,
                               struct tw_error *error);
/* Releases it and books what it did cost. */
enum tw_status tw_ledger_settle(struct tw_ledger *ledger, const struct tw_reservation *reservation,
                                const struct tw_settlement *settlement, int64_t now_ns,
                                struct tw_error *error);
/* Writes the sums that memory has and the tables have not: windows and accounts. */
enum tw_status tw_ledger_write_sums(struct tw_ledger *ledger, struct tw_directory *directory,
                                    struct tw_error *error);

#endif
