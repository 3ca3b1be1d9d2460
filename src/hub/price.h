/* price.h: which price a request has: all versions of all prices, in memory.
 *
 * A price is for a project or for all, for a model or for all, for a class of service, and from an
 * instant on. It never changes: another one with a later instant takes its place, and requests that
 * began before are settled at the version that they began with.
 *
 *     find(project, model, class, now):   (project, model) | (project, *) | (all, model) | (all, *)
 *     the first of these four that has a price of that class which is valid by now, and of its
 *     valid ones the one with the latest valid_from_ns, of equals the highest version; where none
 *     of the four has one of another class than "standard", the same of "standard"
 *
 * Invariants:
 * 1. find never gives a price whose valid_from_ns lies behind now, and always gives one: where
 *    there is none, the free one, whose version is TW_PRICE_FREE.
 * 2. A version names one price for ever; pointers that were given stay valid until the table's end.
 *
 * Ownership: the table copies what is added. Threads: one at a time.
 * Errors: TW_ERR_USAGE for a version that is there already or not positive, a negative price, a
 * model without a name; TW_ERR_LIMIT (TW_LIMIT_HUB_PRICES, TW_LIMIT_SERVED_NAME_BYTES);
 * TW_ERR_MEMORY.
 */
#ifndef TW_HUB_PRICE_H
#define TW_HUB_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/money.h"

#define TW_PRICE_ALL_PROJECTS 0
#define TW_PRICE_ALL_MODELS   "*"
#define TW_PRICE_FREE         0 /* the version of what has no price */

enum tw_price_class { TW_PRICE_STANDARD = 0, TW_PRICE_BATCH, TW_PRICE_CLASS_COUNT };

struct tw_price {
    int64_t version;   /* at least 1; first, as the number of every item of a directory */
    int64_t project;   /* or TW_PRICE_ALL_PROJECTS */
    const char *model; /* or TW_PRICE_ALL_MODELS */
    enum tw_price_class price_class;
    struct tw_money_prices prices;
    int64_t valid_from_ns;
};

/* "standard", "batch". */
const char *tw_price_class_name(enum tw_price_class price_class);
/* False for any other word. */
bool tw_price_class_parse(const char *name, enum tw_price_class *ret_class);

struct tw_price_table {
    struct tw_price **by_rule;    /* [n], in the order in which they are looked up */
    struct tw_price **by_version; /* [n] */
    size_t n, room;
};

void tw_price_table_init(struct tw_price_table *table);
/* It is then as after tw_price_table_init. */
void tw_price_table_free(struct tw_price_table *table);
enum tw_status tw_price_table_add(struct tw_price_table *table, const struct tw_price *price,
                                  struct tw_error *error);
/* Takes versions out again, from a number on: they were never durable. */
void tw_price_table_forget(struct tw_price_table *table, int64_t first_version);

/* Never NULL. */
const struct tw_price *tw_price_find(const struct tw_price_table *table, int64_t project,
                                     const char *model, enum tw_price_class price_class,
                                     int64_t now_ns);
/* NULL for a version that is not there; TW_PRICE_FREE always is. */
const struct tw_price *tw_price_of_version(const struct tw_price_table *table, int64_t version);

#endif
