/* hub_schema.h: the tables of the books, as steps that only go forward.
 *
 *     holder       organisations, teams, projects and keys: a tree, each row with its parent
 *     secret       what a key or a person shows: a keyed hash, never the secret itself
 *     person       users, and person_role what they may do in which part of the tree
 *     price        versions; a row is never changed
 *     budget       what a holder may use in a period; budget_window: what it has used
 *     account      four kinds, each with what was debited and credited so far
 *     entry        the ledger: append-only, one debit and one credit a row
 *     reservation  requests that have not ended; gone when they are settled
 *     hub_process  the hubs, and when each wrote last: one that is silent is dead
 *     audit, checkpoint   audit_log.h
 *     books        one row: the currency, the last moment that was recorded, the next numbers, and
 *                  who wrote last. Whoever writes locks it first, so groups of several hubs come
 *                  one after the other, and what a hub remembers is good while it wrote last.
 *     batch_file, batch_line, batch   batch.h
 *     directory_change  which rows of holders, persons, secrets, prices and budgets were changed,
 *                  in the order in which it happened: whoever has them in memory reads those again
 *                  that changed since. There are always the last TW_LIMIT_HUB_CHANGES.
 *
 * Every column that ends in _ns is wall time since 1970 in nanoseconds, _nano is a billionth of
 * the currency. Steps are never edited once released.
 */
#ifndef TW_HUB_HUB_SCHEMA_H
#define TW_HUB_HUB_SCHEMA_H

#include "store/db.h"

enum tw_status tw_hub_schema_migrate(struct tw_db *db, struct tw_error *error);

#endif
