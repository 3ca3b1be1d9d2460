#define _GNU_SOURCE /* qsort_r */
#include "hub/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "hub/usage_keys.h"

enum { NANO = 1000000000 };

/* A report in the making. */
struct maker {
    struct tw_usage *usage;
    struct tw_db *db;
    struct tw_usage_row **table; /* [n_slots], a power of two: rows by their keys */
    size_t n_slots;
    size_t room, text_room; /* of rows and texts */
    /* The last window of each kind of time: entries come nearly in its order. */
    struct tw_period windows[TW_PERIOD_COUNT];
};

static enum tw_status too_many(const char *what, size_t n, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "the report has more than %zu %s, or memory is lacking; ask for a shorter "
                        "period or for fewer dimensions",
                        n, what);
}

/* ---- keys of a row ---- */

static enum tw_status text_number(struct maker *maker, const char *text, int64_t *ret_number,
                                  struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    for (size_t i = 0; i < usage->n_texts; i++) {
        if (strcmp(usage->texts[i], text) == 0) {
            *ret_number = (int64_t)i;
            return TW_OK;
        }
    }
    if (usage->n_texts == maker->text_room) {
        const size_t room = maker->text_room != 0 ? 2 * maker->text_room : 16;
        const char **texts = room <= TW_LIMIT_USAGE_MODELS
                                 ? tw_mem_realloc(usage->texts, room, sizeof *texts)
                                 : NULL;
        if (texts == NULL) {
            return too_many("models", TW_LIMIT_USAGE_MODELS, error);
        }
        usage->texts = texts;
        maker->text_room = room;
    }
    const char *copy = tw_arena_strndup(&usage->arena, text, strlen(text));
    if (copy == NULL) {
        return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    *ret_number = (int64_t)usage->n_texts;
    usage->texts[usage->n_texts++] = copy;
    return TW_OK;
}

static int64_t window_start(struct maker *maker, enum tw_period_kind kind, int64_t at_s)
{
    struct tw_period *window = &maker->windows[kind];
    if (at_s < window->starts_s || at_s >= window->ends_s) {
        *window = tw_period_at(kind, maker->usage->wish.zone, at_s);
    }
    return window->starts_s;
}

static enum tw_status key_in(struct maker *maker, enum tw_usage_dimension dimension,
                             const struct tw_usage_settlement *settlement,
                             const struct tw_report_holder *holder, int64_t *ret_key,
                             struct tw_error *error)
{
    const int64_t at_s = settlement->at_ns / NANO;
    switch (dimension) {
    case TW_USAGE_ORG:
    case TW_USAGE_TEAM:
    case TW_USAGE_PROJECT:
    case TW_USAGE_KEY:
        *ret_key = holder->above[dimension]->id;
        break;
    case TW_USAGE_USER:
        *ret_key = holder->user != NULL ? holder->user->id : 0;
        break;
    case TW_USAGE_MODEL:
        return text_number(maker, settlement->model, ret_key, error);
    case TW_USAGE_CLASS:
        return text_number(maker, settlement->class, ret_key, error);
    case TW_USAGE_PRICE:
        *ret_key = settlement->price;
        break;
    case TW_USAGE_HOUR:
        *ret_key = tw_usage_hour_key(maker->usage->wish.zone, at_s);
        break;
    case TW_USAGE_DAY:
        *ret_key = window_start(maker, TW_PERIOD_DAY, at_s);
        break;
    case TW_USAGE_WEEK:
        *ret_key = window_start(maker, TW_PERIOD_WEEK, at_s);
        break;
    case TW_USAGE_MONTH:
        *ret_key = window_start(maker, TW_PERIOD_MONTH, at_s);
        break;
    case TW_USAGE_DIMENSIONS:
        break;
    }
    return TW_OK;
}

/* ---- rows ---- */

static struct tw_usage_row **slot_of(struct maker *maker, const int64_t *keys)
{
    const size_t n_bytes = maker->usage->wish.n_by * sizeof *keys;
    size_t slot = tw_hash_of(keys, n_bytes, 0) & (maker->n_slots - 1);
    while (maker->table[slot] != NULL && memcmp(maker->table[slot]->keys, keys, n_bytes) != 0) {
        slot = (slot + 1) & (maker->n_slots - 1);
    }
    return &maker->table[slot];
}

/* Room for one row more; the table is at most half full. */
static enum tw_status make_room(struct maker *maker, struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    if (usage->n_rows < maker->room) {
        return TW_OK;
    }
    const size_t room = maker->room != 0 ? 2 * maker->room : 64;
    if (room > TW_LIMIT_USAGE_ROWS) {
        return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    struct tw_usage_row **rows = tw_mem_realloc(usage->rows, room, sizeof *rows);
    usage->rows = rows != NULL ? rows : usage->rows;
    struct tw_usage_row **table = tw_mem_zalloc(2 * room, sizeof *table);
    if (rows == NULL || table == NULL) {
        tw_mem_free(table);
        return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    tw_mem_free(maker->table);
    maker->table = table;
    maker->n_slots = 2 * room;
    maker->room = room;
    for (size_t i = 0; i < usage->n_rows; i++) {
        *slot_of(maker, usage->rows[i]->keys) = usage->rows[i];
    }
    return TW_OK;
}

static enum tw_status find_row(struct maker *maker, const int64_t *keys,
                               struct tw_usage_row **ret_row, struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    enum tw_status status = make_room(maker, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_usage_row **slot = slot_of(maker, keys);
    if (*slot == NULL) {
        struct tw_usage_row *row = tw_arena_alloc(&usage->arena, 1, sizeof *row);
        if (row == NULL) {
            return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
        }
        memcpy(row->keys, keys, sizeof row->keys);
        *slot = row;
        usage->rows[usage->n_rows++] = row;
    }
    *ret_row = *slot;
    return TW_OK;
}

static enum tw_status add_sums(struct tw_usage_sums *sums, const struct tw_usage_sums *item,
                               struct tw_error *error)
{
    bool overflows = __builtin_add_overflow(sums->n_requests, item->n_requests, &sums->n_requests);
    overflows |=
        __builtin_add_overflow(sums->input_tokens, item->input_tokens, &sums->input_tokens);
    overflows |=
        __builtin_add_overflow(sums->cached_tokens, item->cached_tokens, &sums->cached_tokens);
    overflows |=
        __builtin_add_overflow(sums->output_tokens, item->output_tokens, &sums->output_tokens);
    overflows |= __builtin_add_overflow(sums->amount_nano, item->amount_nano, &sums->amount_nano);
    return overflows ? tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                    "a sum is larger than 2^63 - 1; ask for a shorter period")
                     : TW_OK;
}

/* Ascending, each once. */
static enum tw_status add_version(struct maker *maker, struct tw_usage_versions *versions,
                                  int64_t version, struct tw_error *error)
{
    size_t at = versions->n;
    while (at > 0 && versions->items[at - 1] >= version) {
        at--;
    }
    if (at < versions->n && versions->items[at] == version) {
        return TW_OK;
    }
    if (versions->n == TW_LIMIT_USAGE_VERSIONS) {
        versions->has_more = true;
        return TW_OK;
    }
    /* Most rows have one or two: powers of two of room, the old ones are left in the arena. */
    if ((versions->n & (versions->n - 1)) == 0) {
        int64_t *items = tw_arena_alloc(&maker->usage->arena,
                                        versions->n != 0 ? 2 * versions->n : 1, sizeof *items);
        if (items == NULL) {
            return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
        }
        if (versions->n != 0) {
            memcpy(items, versions->items, versions->n * sizeof *items);
        }
        versions->items = items;
    }
    memmove(versions->items + at + 1, versions->items + at,
            (versions->n - at) * sizeof *versions->items);
    versions->items[at] = version;
    versions->n++;
    return TW_OK;
}

static enum tw_status count(struct maker *maker, const struct tw_usage_settlement *settlement,
                            struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    const struct tw_report_holder *holder = tw_report_names_find(&usage->names, settlement->key);
    if (holder == NULL || holder->kind != TW_REPORT_KEY) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books are damaged: entry %lld is of key %lld, which is not there; "
                            "restore a backup",
                            (long long)settlement->entry, (long long)settlement->key);
    }
    if (!holder->is_chosen) {
        return TW_OK;
    }
    int64_t keys[TW_USAGE_DIMENSIONS] = {0};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < usage->wish.n_by; i++) {
        status = key_in(maker, usage->wish.by[i], settlement, holder, &keys[i], error);
    }
    struct tw_usage_row *row = NULL;
    if (status == TW_OK) {
        status = find_row(maker, keys, &row, error);
    }
    if (status == TW_OK) {
        status = add_sums(&row->sums, &settlement->sums, error);
    }
    if (status == TW_OK) {
        status = add_version(maker, &row->versions, settlement->price, error);
    }
    if (status == TW_OK) {
        status = add_sums(&usage->total, &settlement->sums, error);
    }
    if (status == TW_OK && usage->wish.each != NULL) {
        status = usage->wish.each(usage->wish.each_context, settlement, error);
    }
    usage->first_entry = usage->first_entry != 0 ? usage->first_entry : settlement->entry;
    usage->last_entry = settlement->entry;
    return status;
}

/* ---- reading ---- */

static enum tw_status query_row(struct tw_db_statement *statement, const struct tw_db_value *values,
                                size_t n, bool *ret_row, struct tw_error *error)
{
    enum tw_status status = tw_db_query(statement, values, n, error);
    return status == TW_OK ? tw_db_next(statement, ret_row, error) : status;
}

static enum tw_status read_books(struct maker *maker, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status =
        tw_db_prepare(maker->db, "SELECT currency, last_ns FROM books", &row, error);
    if (status == TW_OK) {
        status = query_row(row, NULL, 0, &has_row, error);
    }
    if (status == TW_OK && !has_row) {
        status =
            tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                         "the store has no row of the books: it was damaged; restore a backup");
    }
    if (status == TW_OK) {
        snprintf(maker->usage->currency, sizeof maker->usage->currency, "%s",
                 tw_db_column_text(row, 0));
        maker->usage->last_ns = tw_db_column_integer(row, 1);
    }
    tw_db_finalize(row);
    return status;
}

static enum tw_status take_settlement(struct maker *maker, struct tw_db_statement *row,
                                      struct tw_error *error)
{
    const struct tw_usage_settlement settlement = {
        .entry = tw_db_column_integer(row, 0),
        .at_ns = tw_db_column_integer(row, 1),
        .key = tw_db_column_integer(row, 2),
        .price = tw_db_column_integer(row, 3),
        .model = tw_db_column_text(row, 4),
        .class = tw_db_column_text(row, 5),
        .sums = {.n_requests = 1,
                 .input_tokens = tw_db_column_integer(row, 6),
                 .cached_tokens = tw_db_column_integer(row, 7),
                 .output_tokens = tw_db_column_integer(row, 8),
                 .amount_nano = tw_db_column_integer(row, 9)}};
    return count(maker, &settlement, error);
}

/* All settlements from an entry on, of a page of the ledger, which has nothing behind last. */
static enum tw_status read_page(struct maker *maker, struct tw_db_statement *page, int64_t first,
                                int64_t last, struct tw_error *error)
{
    const struct tw_usage_wish *wish = &maker->usage->wish;
    const int64_t end =
        last - first < TW_LIMIT_REPORT_PART ? last + 1 : first + TW_LIMIT_REPORT_PART;
    const struct tw_db_value values[] = {
        tw_db_integer(first), tw_db_integer(end), tw_db_integer(wish->period.starts_s * NANO),
        tw_db_integer(wish->period.ends_s * NANO), tw_db_text(wish->model)};
    bool has_row = true;
    enum tw_status status = tw_db_query(page, values, wish->model != NULL ? 5 : 4, error);
    while (status == TW_OK && has_row) {
        status = tw_db_next(page, &has_row, error);
        if (status == TW_OK && has_row) {
            status = take_settlement(maker, page, error);
        }
    }
    return status;
}

/* Goes through the ledger by its numbers, a page at a time: a store may keep all rows of a query in
 * memory. Up to the last entry that is there at the beginning: entries do not change, so all pages
 * together are what one transaction would see. The plus keeps the index of times out of the pages,
 * where it would only lead astray. */
static enum tw_status read_pages(struct maker *maker, struct tw_db_statement *first,
                                 struct tw_db_statement *page, struct tw_error *error)
{
    const struct tw_period *period = &maker->usage->wish.period;
    const struct tw_db_value times[] = {tw_db_integer(period->starts_s * NANO),
                                        tw_db_integer(period->ends_s * NANO)};
    struct tw_db_statement *range = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(
        maker->db, "SELECT MIN(id), MAX(id) FROM entry WHERE at_ns >= ? AND at_ns < ?", &range,
        error);
    if (status == TW_OK) {
        status = query_row(range, times, 2, &has_row, error);
    }
    const bool is_empty = status != TW_OK || !has_row || tw_db_column_is_null(range, 0);
    int64_t next = is_empty ? 1 : tw_db_column_integer(range, 0);
    const int64_t last = is_empty ? 0 : tw_db_column_integer(range, 1);
    tw_db_finalize(range);
    while (status == TW_OK && next <= last) {
        const struct tw_db_value from = tw_db_integer(next);
        status = query_row(first, &from, 1, &has_row, error);
        if (status == TW_OK) {
            next = tw_db_column_integer(first, 0);
            status = read_page(maker, page, next, last, error);
        }
        if (status == TW_OK) { /* as short as they are many: none holds up the store's log */
            tw_db_rollback(maker->db);
            status = tw_db_begin(maker->db, error);
        }
        if (__builtin_add_overflow(next, TW_LIMIT_REPORT_PART, &next)) {
            break;
        }
    }
    return status;
}

#define PAGE                                                                                       \
    "SELECT id, at_ns, api_key, price, model, class, input_tokens, cached_tokens, output_tokens,"  \
    " amount_nano FROM entry WHERE id >= ? AND id < ? AND kind = 'settle'"                         \
    " AND +at_ns >= ? AND +at_ns < ?"

static enum tw_status read_settlements(struct maker *maker, struct tw_error *error)
{
    struct tw_db_statement *first = NULL, *page = NULL;
    enum tw_status status =
        tw_db_prepare(maker->db, "SELECT MIN(id) FROM entry WHERE id >= ?", &first, error);
    if (status == TW_OK) {
        status = tw_db_prepare(maker->db,
                               maker->usage->wish.model != NULL ? PAGE " AND model = ? ORDER BY id"
                                                                : PAGE " ORDER BY id",
                               &page, error);
    }
    if (status == TW_OK) {
        status = read_pages(maker, first, page, error);
    }
    tw_db_finalize(page);
    tw_db_finalize(first);
    return status;
}

/* ---- prices ---- */

static int compare_numbers(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Every version of every row once, ascending. */
static enum tw_status collect_versions(struct tw_usage *usage, int64_t **ret_items, size_t *ret_n,
                                       struct tw_error *error)
{
    size_t n = 0, n_kept = 0;
    for (size_t i = 0; i < usage->n_rows; i++) {
        n += usage->rows[i]->versions.n;
    }
    int64_t *items = tw_mem_alloc(n + 1, sizeof *items);
    if (items == NULL) {
        return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    n = 0;
    for (size_t i = 0; i < usage->n_rows; i++) {
        const struct tw_usage_versions *versions = &usage->rows[i]->versions;
        memcpy(items + n, versions->items, versions->n * sizeof *items);
        n += versions->n;
    }
    qsort(items, n, sizeof *items, compare_numbers);
    for (size_t i = 0; i < n; i++) {
        if (n_kept == 0 || items[n_kept - 1] != items[i]) {
            items[n_kept++] = items[i];
        }
    }
    *ret_items = items;
    *ret_n = n_kept;
    return TW_OK;
}

static enum tw_status read_price(struct tw_db_statement *statement, int64_t version,
                                 struct tw_usage_price *ret_price, struct tw_error *error)
{
    const struct tw_db_value value = tw_db_integer(version);
    bool has_row = false;
    *ret_price = (struct tw_usage_price){.version = version};
    if (version == 0) { /* free: no row */
        return TW_OK;
    }
    enum tw_status status = query_row(statement, &value, 1, &has_row, error);
    if (status != TW_OK) {
        return status;
    }
    if (!has_row) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books are damaged: there are entries at price version %lld, which "
                            "is not there; restore a backup",
                            (long long)version);
    }
    ret_price->input_nano = tw_db_column_integer(statement, 0);
    ret_price->cached_nano = tw_db_column_integer(statement, 1);
    ret_price->output_nano = tw_db_column_integer(statement, 2);
    return TW_OK;
}

static enum tw_status read_prices(struct maker *maker, struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    struct tw_db_statement *statement = NULL;
    int64_t *versions = NULL;
    size_t n = 0;
    enum tw_status status = collect_versions(usage, &versions, &n, error);
    if (status == TW_OK) {
        status = tw_db_prepare(
            maker->db, "SELECT input_nano, cached_nano, output_nano FROM price WHERE id = ?",
            &statement, error);
    }
    if (status == TW_OK) {
        usage->prices = tw_arena_alloc(&usage->arena, n + 1, sizeof *usage->prices);
        status = usage->prices != NULL ? TW_OK : too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        status = read_price(statement, versions[i], &usage->prices[i], error);
        usage->n_prices = i + 1;
    }
    tw_mem_free(versions);
    tw_db_finalize(statement);
    return status;
}

static int compare_prices(const void *version, const void *price)
{
    return compare_numbers(version, &((const struct tw_usage_price *)price)->version);
}

const struct tw_usage_price *tw_usage_price_of(const struct tw_usage *usage, int64_t version)
{
    return bsearch(&version, usage->prices, usage->n_prices, sizeof *usage->prices, compare_prices);
}

/* ---- the order ---- */

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct tw_usage *usage = context;
    const struct tw_usage_row *x = *(struct tw_usage_row *const *)a;
    const struct tw_usage_row *y = *(struct tw_usage_row *const *)b;
    int order = 0;
    for (size_t i = 0; order == 0 && i < usage->wish.n_by; i++) {
        if (x->keys[i] != y->keys[i]) {
            char scratch_x[TW_USAGE_LABEL_BYTES], scratch_y[TW_USAGE_LABEL_BYTES];
            /* Prices and times are in the order of their numbers, all others of their names. */
            order = usage->wish.by[i] < TW_USAGE_PRICE
                        ? strcmp(tw_usage_label(usage, x, i, scratch_x),
                                 tw_usage_label(usage, y, i, scratch_y))
                        : 0;
            order = order != 0 ? order : compare_numbers(&x->keys[i], &y->keys[i]);
        }
    }
    return order;
}

/* ---- all of it ---- */

static enum tw_status copy_wish(struct tw_usage *usage, const struct tw_usage_wish *wish,
                                struct tw_error *error)
{
    usage->wish = *wish;
    if (wish->in != NULL) {
        usage->wish.in = tw_arena_strndup(&usage->arena, wish->in, strlen(wish->in));
    }
    if (wish->model != NULL) {
        usage->wish.model = tw_arena_strndup(&usage->arena, wish->model, strlen(wish->model));
    }
    const bool is_whole = (wish->in == NULL) == (usage->wish.in == NULL) &&
                          (wish->model == NULL) == (usage->wish.model == NULL);
    return is_whole ? TW_OK : too_many("rows", TW_LIMIT_USAGE_ROWS, error);
}

static enum tw_status read_all(struct maker *maker, struct tw_error *error)
{
    struct tw_usage *usage = maker->usage;
    enum tw_status status = read_books(maker, error);
    if (status == TW_OK) {
        status = tw_report_names_read(maker->db, &usage->names, error);
    }
    if (status == TW_OK) {
        status = tw_report_names_choose(&usage->names, usage->wish.in, &usage->wish.viewer, error);
    }
    if (status == TW_OK) {
        status = read_settlements(maker, error);
    }
    if (status == TW_OK) {
        status = read_prices(maker, error);
    }
    return status;
}

enum tw_status tw_usage_read(struct tw_db *db, const struct tw_usage_wish *wish,
                             struct tw_usage **ret_usage, struct tw_error *error)
{
    struct maker maker = {.usage = tw_mem_zalloc(1, sizeof *maker.usage), .db = db};
    if (maker.usage == NULL) {
        return too_many("rows", TW_LIMIT_USAGE_ROWS, error);
    }
    tw_arena_init(&maker.usage->arena, TW_LIMIT_REPORT_BYTES);
    enum tw_status status = copy_wish(maker.usage, wish, error);
    if (status == TW_OK) {
        status = tw_db_begin(db, error);
    }
    if (status == TW_OK) {
        status = read_all(&maker, error);
        tw_db_rollback(db);
    }
    tw_mem_free(maker.table);
    if (status != TW_OK) {
        tw_usage_free(maker.usage);
        return status;
    }
    if (maker.usage->n_rows != 0) {
        qsort_r(maker.usage->rows, maker.usage->n_rows, sizeof *maker.usage->rows, compare_rows,
                maker.usage);
    }
    *ret_usage = maker.usage;
    return TW_OK;
}

void tw_usage_free(struct tw_usage *usage)
{
    if (usage == NULL) {
        return;
    }
    tw_report_names_free(&usage->names);
    tw_mem_free(usage->rows);
    tw_mem_free(usage->texts);
    tw_arena_clear(&usage->arena);
    tw_mem_free(usage);
}
