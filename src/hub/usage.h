/* usage.h: what was used in a period, by whatever one asks: sums over the ledger's settlements.
 *
 *     settlements of [from, to)  ->  chosen by holder and model  ->  a row for each combination of
 *     the dimensions that were asked for  ->  sorted
 *
 * A settlement belongs to the instant at which it was booked. The books' time never goes back, so
 * a period that has ended never changes.
 *
 * Invariants:
 * 1. The total is the sum of the rows, and of the entries that were chosen, to the unit: nothing is
 *    rounded, nothing is left out.
 * 2. Rows come in one order, whatever the store gives: by the dimensions in their order, names by
 *    their bytes, holders of one path by their numbers.
 * 3. All of it is one state of the store: that of its beginning. It is read in short transactions,
 *    so that the store's log does not grow while it is made.
 *
 * Ownership: the report's own until tw_usage_free; its zone is the caller's and must outlive it.
 * Threads: any that has the database; a report does not change.
 * Errors: those of db.h; TW_ERR_NOT_FOUND for a path that is not there; TW_ERR_LIMIT for more than
 * TW_LIMIT_USAGE_ROWS rows or a sum beyond 64 bits; TW_ERR_FORMAT for books that are damaged.
 */
#ifndef TW_HUB_USAGE_H
#define TW_HUB_USAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "hub/period.h"
#include "hub/report_names.h"

/* The first four are enum tw_report_kind. */
enum tw_usage_dimension {
    TW_USAGE_ORG = 0,
    TW_USAGE_TEAM,
    TW_USAGE_PROJECT,
    TW_USAGE_KEY,
    TW_USAGE_USER, /* whose key it is; 0 and "" of a key that is nobody's */
    TW_USAGE_MODEL,
    TW_USAGE_CLASS,
    TW_USAGE_PRICE,
    TW_USAGE_HOUR,
    TW_USAGE_DAY,
    TW_USAGE_WEEK,
    TW_USAGE_MONTH,
    TW_USAGE_DIMENSIONS
};

struct tw_usage_sums {
    int64_t n_requests;
    int64_t input_tokens, cached_tokens, output_tokens; /* input: without the cached */
    int64_t amount_nano;
};

/* One of the settlements that were chosen, as the ledger has it. */
struct tw_usage_settlement {
    int64_t entry, at_ns, key, price;
    const char *model, *class;
    struct tw_usage_sums sums;
};
typedef enum tw_status (*tw_usage_each_fn)(void *context,
                                           const struct tw_usage_settlement *settlement,
                                           struct tw_error *error);

struct tw_usage_wish {
    enum tw_usage_dimension by[TW_USAGE_DIMENSIONS]; /* [n_by], none twice */
    size_t n_by;
    struct tw_period period;
    const struct tw_zone *zone;
    const char *in;    /* a holder's path; NULL: all */
    const char *model; /* NULL: all */
    struct tw_report_viewer viewer;
    tw_usage_each_fn each; /* called for each, in the order of the ledger; NULL: nobody */
    void *each_context;
};

/* A version of a price, as its row in the books; all 0 for what was free. */
struct tw_usage_price {
    int64_t version;
    int64_t input_nano, cached_nano, output_nano; /* a million tokens */
};

/* The versions that a row was settled at, ascending. */
struct tw_usage_versions {
    int64_t *items; /* [n] */
    size_t n;
    bool has_more; /* than TW_LIMIT_USAGE_VERSIONS */
};

struct tw_usage_row {
    int64_t keys[TW_USAGE_DIMENSIONS]; /* [n_by]: numbers of holders, of names, instants */
    struct tw_usage_sums sums;
    struct tw_usage_versions versions;
};

struct tw_usage {
    struct tw_usage_wish wish; /* texts copied */
    struct tw_arena arena;
    struct tw_report_names names;
    char currency[4];
    int64_t last_ns;            /* the books' time */
    struct tw_usage_row **rows; /* [n_rows] */
    size_t n_rows;
    struct tw_usage_sums total;
    int64_t first_entry, last_entry; /* of those that were chosen; 0 where there is none */
    const char **texts;              /* [n_texts]: names of models and classes */
    size_t n_texts;
    struct tw_usage_price *prices; /* [n_prices], by version: those of all rows */
    size_t n_prices;
};

/* "project" ... or NULL at the end: for a list of them. */
const char *tw_usage_dimension_name(enum tw_usage_dimension dimension);
/* "project,model,day". TW_ERR_USAGE for another word, and for one that comes twice. */
enum tw_status tw_usage_parse_dimensions(const char *text, struct tw_usage_wish *wish,
                                         struct tw_error *error);

enum tw_status tw_usage_read(struct tw_db *db, const struct tw_usage_wish *wish,
                             struct tw_usage **ret_usage, struct tw_error *error);
/* NULL is allowed. */
void tw_usage_free(struct tw_usage *usage);

#define TW_USAGE_LABEL_BYTES 80
/* What a row has in a dimension, as text: the report's own, or written into scratch. */
const char *tw_usage_label(const struct tw_usage *usage, const struct tw_usage_row *row, size_t i,
                           char scratch[TW_USAGE_LABEL_BYTES]);
/* Never NULL for the versions of its rows. */
const struct tw_usage_price *tw_usage_price_of(const struct tw_usage *usage, int64_t version);

#endif
