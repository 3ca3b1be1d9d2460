/* synth_ledger.h: books with a made-up past, written row by row.
 *
 *     synth_ledger_begin -> { _holder | _price } -> { _reserve -> _settle } -> synth_ledger_end
 *
 * What a hub would have written, by other code than the hub's: for tests of what reads the books,
 * and to try it without waiting for a month of use. All in one transaction; in memory is one
 * account a project.
 *
 * Threads: one at a time. Errors: those of db.h, and TW_ERR_LIMIT for more than SYNTH_HOLDERS.
 */
#ifndef TW_TOOLS_SYNTH_LEDGER_H
#define TW_TOOLS_SYNTH_LEDGER_H

#include "store/db.h"

enum { SYNTH_HOLDERS = 256, SYNTH_PRICES = 64 };

struct synth_holder {
    int64_t id, parent;
    char kind[8];
    int64_t held, usage; /* of a project: its accounts */
};

struct synth_price {
    int64_t id, project, input_nano, cached_nano, output_nano, valid_from_ns;
    const char *model, *class;
};

/* debit and credit, in money and tokens. */
struct synth_balance {
    int64_t debit_nano, credit_nano, debit_tokens, credit_tokens;
};

struct synth_ledger {
    struct tw_db *db;
    struct tw_db_statement *insert_entry;
    int64_t next_id, next_entry, next_request, last_ns;
    struct synth_holder holders[SYNTH_HOLDERS];
    size_t n_holders;
    struct synth_price prices[SYNTH_PRICES];
    size_t n_prices;
    struct synth_balance balances[4 * SYNTH_HOLDERS]; /* by the account's number */
};

struct synth_request {
    int64_t key;
    const char *model, *class;
    int64_t price;
    int64_t reserved_ns;
    int64_t most_output_tokens, prompt_tokens;
    /* Of synth_ledger_reserve. */
    int64_t number, entry, amount_nano;
};

enum tw_status synth_ledger_begin(struct tw_db *db, const char *currency,
                                  struct synth_ledger *ret_ledger, struct tw_error *error);
/* kind: org, team, project, key. The parent of an organisation is 0. */
enum tw_status synth_ledger_holder(struct synth_ledger *ledger, const char *kind, int64_t parent,
                                   const char *name, int64_t *ret_id, struct tw_error *error);
/* Numbers it; texts must outlive the ledger. */
enum tw_status synth_ledger_price(struct synth_ledger *ledger, struct synth_price *price,
                                  struct tw_error *error);
/* The version that a request has by the rules of price.h; 0: free. */
int64_t synth_ledger_find_price(const struct synth_ledger *ledger, int64_t project,
                                const char *model, const char *class, int64_t at_ns);
int64_t synth_ledger_project_of(const struct synth_ledger *ledger, int64_t key);

enum tw_status synth_ledger_reserve(struct synth_ledger *ledger, struct synth_request *request,
                                    struct tw_error *error);
/* Its end; tokens within what was reserved. */
enum tw_status synth_ledger_settle(struct synth_ledger *ledger, const struct synth_request *request,
                                   int64_t at_ns, int64_t input_tokens, int64_t cached_tokens,
                                   int64_t output_tokens, struct tw_error *error);
/* One that stays open gets its row. */
enum tw_status synth_ledger_leave_open(struct synth_ledger *ledger,
                                       const struct synth_request *request, struct tw_error *error);
/* Balances, the row of the books, and the commit. Frees, whatever it returns. */
enum tw_status synth_ledger_end(struct synth_ledger *ledger, struct tw_error *error);

/* Two organisations with teams, projects, keys and prices, and n requests of theirs within
 * [from_ns, to_ns), a function of the seed. Some are left open. */
enum tw_status synth_ledger_fill(struct synth_ledger *ledger, uint64_t seed, int64_t n_requests,
                                 int64_t from_ns, int64_t to_ns, struct tw_error *error);

#endif
