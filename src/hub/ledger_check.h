/* ledger_check.h: whether the books balance: everything that is kept as a sum, from the rows.
 *
 * Reads only, over one state of the store, so it can run beside a hub. What it compares:
 *
 *     accounts       debits and credits of every account are those of its entries
 *     plant          held is what the plant owes, usage is what it earned, in money and tokens
 *     requests       each was reserved once, and ended at most once, by a release of the same
 *                    amount and one settlement of no more
 *     reservations   those that are open are the requests without an end
 *     prices         a settlement's amount is that of its tokens at the version it names, rounded
 *                    up once, and the version held when it was reserved
 *     windows        spent and reserved of each budget are those of the entries on its path since
 *                    it was made, in the period in which they were reserved
 *     time           entries are in the order of their time
 *
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
