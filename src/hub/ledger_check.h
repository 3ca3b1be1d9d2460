/* ledger_check.h: whether the books balance: everything that is kept as a sum, made again from the
 * entries.
 *
 * The entries are read once, from the first to the last, as if they happened now:
 *
 *     reserve -> OPEN [-> reserve more] -> release -> RELEASED -> settle -> gone    each request
 *
 * and their accounts and the windows of the budgets above their keys are summed beside. Then the
 * sums are compared with those that are kept. What is found out:
 *
 *     entries        numbers without gaps, in the order of time; each request reserved once, or
 *                    once more right before it is released, and
 *                    released and settled at most once, by the amount reserved and by no more
 *     prices         a settlement's amount is that of its tokens at the version it names, rounded
 *                    up once
 *     accounts       debits and credits of each; what is held is what the plant owes
 *     windows        spent and reserved of each budget, in the period of the reservation, from the
 *                    entry on with which it was made
 *     reservations   those that are open are the requests that are not settled
 *
 * Reads only, so it can run beside a hub: sums and reservations of one moment, and the entries that
 * were there then, in short transactions. Memory: the directory's, and
 * a few hundred bytes for each request that is open at once.
 * Threads: any that has the database. Errors: TW_ERR_MISSED where something differs: the sentence
 * says what, and of which row; those of db.h.
 */
#ifndef TW_HUB_LEDGER_CHECK_H
#define TW_HUB_LEDGER_CHECK_H

#include "store/db.h"

struct tw_ledger_summary {
    int64_t n_entries, n_requests, n_open, n_windows;
    int64_t settled_nano, settled_tokens, held_nano;
};

/* ret_summary is filled where nothing differs. */
enum tw_status tw_ledger_check(struct tw_db *db, struct tw_ledger_summary *ret_summary,
                               struct tw_error *error);

#endif
