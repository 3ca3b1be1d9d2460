#include "hub/audit_rows.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* A page of records is a run of so many numbers; where it has more rows some share one, and those
 * that are read show it. */
enum { PAGE_NUMBERS = 100, PAGE_RECORDS = 2 * PAGE_NUMBERS, PAGE_CHECKPOINTS = 256 };

/* Two pages at a time: checkpoints, which are small and all read at once, and records up to the
 * last of those, which are read row by row. So at no time are two queries open, which not every
 * store has on one connection. */
struct tw_audit_rows {
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    struct tw_db *db;
    struct tw_db_statement *read_records, *read_checkpoints;
    int64_t last_seq, last_checkpoint_seq; /* of those that were there at the beginning */
    bool has_records;

    struct tw_audit_row page[PAGE_CHECKPOINTS];
    int n_page, page_at;
    int64_t page_from_seq; /* where the next page begins */
    bool is_last_page;

    bool is_open;                /* a page of records is being read */
    bool has_record;             /* one of it waits in record */
    bool is_drained;             /* there are no more up to until_seq */
    int64_t from_seq, until_seq; /* where the next page of records begins, and all of them end */
    int64_t page_until_seq;
    int n_in_page;
    struct tw_audit_row record;
};

/* Texts as bytes, in the words of each store: as texts they would end with their first zero. */
static const char sqlite_records_sql[] =
    "SELECT seq, at_ns, CAST(kind AS BLOB), CAST(body AS BLOB), hash FROM audit "
    "WHERE log = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?";
static const char postgres_records_sql[] =
    "SELECT seq, at_ns, convert_to(kind, 'UTF8'), convert_to(body, 'UTF8'), hash FROM audit "
    "WHERE log = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?";
static const char checkpoints_sql[] =
    "SELECT seq, number, at_ns, hash, signature FROM checkpoint "
    "WHERE log = ? AND seq >= ? AND seq <= ? ORDER BY seq, number LIMIT ?";
static const char last_record_sql[] = "SELECT max(seq) FROM audit "
                                      "WHERE log = ? AND seq >= ? AND seq <= ?";
static const char next_record_sql[] = "SELECT min(seq) FROM audit "
                                      "WHERE log = ? AND seq >= ? AND seq <= ?";
static const char last_checkpoint_sql[] = "SELECT max(seq) FROM checkpoint "
                                          "WHERE log = ? AND seq >= ? AND seq <= ?";

/* A number of the rows from_seq to until_seq, INT64_MIN where there is none. */
static enum tw_status read_extent(const struct tw_audit_rows *rows, const char *sql,
                                  int64_t from_seq, int64_t until_seq, int64_t *ret_seq,
                                  bool *ret_is_any, struct tw_error *error)
{
    struct tw_db_value values[] = {tw_db_text(rows->log), tw_db_integer(from_seq),
                                   tw_db_integer(until_seq)};
    struct tw_db_statement *statement;
    bool is_row = false;
    enum tw_status status = tw_db_prepare(rows->db, sql, &statement, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_db_query(statement, values, sizeof values / sizeof values[0], error);
    status = status == TW_OK ? tw_db_next(statement, &is_row, error) : status;
    if (status == TW_OK && is_row) {
        *ret_is_any = !tw_db_column_is_null(statement, 0);
        *ret_seq = *ret_is_any ? tw_db_column_integer(statement, 0) : INT64_MIN;
    }
    tw_db_finalize(statement);
    return status;
}

/* Checkpoints first: what is written in between is a record behind those, never a checkpoint
 * without its record. */
static enum tw_status settle_extent(struct tw_audit_rows *rows, int64_t last_seq,
                                    struct tw_error *error)
{
    bool has_checkpoints;
    enum tw_status status = read_extent(rows, last_checkpoint_sql, rows->from_seq, last_seq,
                                        &rows->last_checkpoint_seq, &has_checkpoints, error);
    if (status == TW_OK) {
        status = read_extent(rows, last_record_sql, rows->from_seq, last_seq, &rows->last_seq,
                             &rows->has_records, error);
    }
    return status;
}

enum tw_status tw_audit_rows_open(struct tw_db *db, const char *log, int64_t first_seq,
                                  int64_t last_seq, struct tw_audit_rows **ret_rows,
                                  struct tw_error *error)
{
    struct tw_audit_rows *rows = tw_mem_zalloc(1, sizeof *rows);
    if (rows == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read an audit log");
    }
    snprintf(rows->log, sizeof rows->log, "%s", log);
    rows->db = db;
    rows->from_seq = first_seq;
    rows->page_from_seq = first_seq;
    rows->is_drained = true;
    const char *sql = tw_db_is_postgres(db) ? postgres_records_sql : sqlite_records_sql;
    enum tw_status status = settle_extent(rows, last_seq, error);
    if (status == TW_OK) {
        status = tw_db_prepare(db, sql, &rows->read_records, error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(db, checkpoints_sql, &rows->read_checkpoints, error);
    }
    if (status != TW_OK) {
        tw_audit_rows_close(rows);
        return status;
    }
    *ret_rows = rows;
    return TW_OK;
}

void tw_audit_rows_close(struct tw_audit_rows *rows)
{
    if (rows != NULL) {
        tw_db_finalize(rows->read_records);
        tw_db_finalize(rows->read_checkpoints);
        tw_mem_free(rows);
    }
}

static bool take_bytes(struct tw_db_statement *statement, int column, unsigned char *ret_bytes,
                       size_t wanted_bytes)
{
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(statement, column, &n_bytes);
    if (n_bytes != wanted_bytes) {
        return false;
    }
    memcpy(ret_bytes, bytes, n_bytes);
    return true;
}

static void take_checkpoint(struct tw_audit_rows *rows, struct tw_audit_row *ret_row)
{
    struct tw_db_statement *statement = rows->read_checkpoints;
    struct tw_audit_row row = {.is_checkpoint = true};
    struct tw_audit_checkpoint *to = &row.checkpoint;
    memcpy(to->log, rows->log, sizeof to->log);
    to->seq = tw_db_column_integer(statement, 0);
    to->number = tw_db_column_integer(statement, 1);
    to->at_ns = tw_db_column_integer(statement, 2);
    row.is_whole = take_bytes(statement, 3, to->hash.bytes, sizeof to->hash.bytes) &&
                   take_bytes(statement, 4, to->signature.bytes, sizeof to->signature.bytes);
    *ret_row = row;
}

static const char *take_text(struct tw_db_statement *statement, int column, size_t *ret_bytes)
{
    const char *text = tw_db_column_bytes(statement, column, ret_bytes);
    return text != NULL ? text : "";
}

static void take_record(struct tw_audit_rows *rows, struct tw_audit_row *ret_row)
{
    struct tw_db_statement *statement = rows->read_records;
    struct tw_audit_row row = {.is_checkpoint = false};
    struct tw_audit_record *to = &row.record;
    to->seq = tw_db_column_integer(statement, 0);
    to->at_ns = tw_db_column_integer(statement, 1);
    to->kind = take_text(statement, 2, &to->kind_bytes);
    to->body = take_text(statement, 3, &to->body_bytes);
    row.is_whole = take_bytes(statement, 4, to->hash.bytes, sizeof to->hash.bytes);
    *ret_row = row;
}

static enum tw_status begin_page(struct tw_audit_rows *rows, struct tw_db_statement *statement,
                                 int64_t from_seq, int64_t until_seq, int n_at_most,
                                 struct tw_error *error)
{
    struct tw_db_value values[] = {tw_db_text(rows->log), tw_db_integer(from_seq),
                                   tw_db_integer(until_seq), tw_db_integer(n_at_most)};
    return tw_db_query(statement, values, sizeof values / sizeof values[0], error);
}

/* Leaves those of the last number to the next page, since there may be more of it; returns the last
 * number of this page. */
static int64_t end_full_page(struct tw_audit_rows *rows)
{
    const int64_t last_seq = rows->page[rows->n_page - 1].checkpoint.seq;
    int n_kept = rows->n_page;
    while (n_kept > 0 && rows->page[n_kept - 1].checkpoint.seq == last_seq) {
        n_kept--;
    }
    rows->n_page = n_kept > 0 ? n_kept : rows->n_page;
    return rows->page[rows->n_page - 1].checkpoint.seq;
}

static enum tw_status load_checkpoints(struct tw_audit_rows *rows, struct tw_error *error)
{
    bool is_row = true;
    enum tw_status status = begin_page(rows, rows->read_checkpoints, rows->page_from_seq,
                                       rows->last_checkpoint_seq, PAGE_CHECKPOINTS, error);
    rows->n_page = 0;
    rows->page_at = 0;
    while (status == TW_OK && is_row) {
        status = tw_db_next(rows->read_checkpoints, &is_row, error);
        if (status == TW_OK && is_row && rows->n_page < PAGE_CHECKPOINTS) {
            take_checkpoint(rows, &rows->page[rows->n_page++]);
        }
    }
    if (status != TW_OK) {
        return status;
    }
    rows->is_last_page = rows->n_page < PAGE_CHECKPOINTS;
    rows->until_seq = rows->last_seq;
    if (!rows->is_last_page) {
        int64_t seq = end_full_page(rows);
        rows->until_seq = seq < rows->last_seq ? seq : rows->last_seq;
        rows->is_last_page = seq == INT64_MAX;
        rows->page_from_seq = seq + (seq < INT64_MAX ? 1 : 0);
    }
    rows->is_drained = !rows->has_records || rows->from_seq > rows->until_seq;
    return TW_OK;
}

/* A run of numbers that nobody has is stepped over. */
static enum tw_status skip_gap(struct tw_audit_rows *rows, struct tw_error *error)
{
    int64_t seq = INT64_MIN;
    bool is_any = false;
    enum tw_status status =
        read_extent(rows, next_record_sql, rows->from_seq, rows->until_seq, &seq, &is_any, error);
    if (status == TW_OK) {
        rows->is_drained = !is_any;
        rows->from_seq = is_any ? seq : rows->from_seq;
    }
    return status;
}

static enum tw_status end_page(struct tw_audit_rows *rows, struct tw_error *error)
{
    rows->is_open = false;
    rows->is_drained = rows->page_until_seq >= rows->until_seq;
    rows->from_seq = rows->page_until_seq + (rows->page_until_seq < INT64_MAX ? 1 : 0);
    return rows->n_in_page == 0 && !rows->is_drained ? skip_gap(rows, error) : TW_OK;
}

/* The next record of the pages, where there is one. */
static enum tw_status load_record(struct tw_audit_rows *rows, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (!rows->is_open) {
        bool is_last = (uint64_t)rows->until_seq - (uint64_t)rows->from_seq < PAGE_NUMBERS;
        rows->page_until_seq = is_last ? rows->until_seq : rows->from_seq + (PAGE_NUMBERS - 1);
        status = begin_page(rows, rows->read_records, rows->from_seq, rows->page_until_seq,
                            PAGE_RECORDS, error);
        rows->n_in_page = 0;
        rows->is_open = status == TW_OK;
    }
    if (status == TW_OK) {
        status = tw_db_next(rows->read_records, &rows->has_record, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (!rows->has_record) {
        return end_page(rows, error);
    }
    take_record(rows, &rows->record);
    rows->n_in_page++;
    return TW_OK;
}

enum tw_status tw_audit_rows_next(struct tw_audit_rows *rows, bool *ret_there,
                                  struct tw_audit_row *ret_row, struct tw_error *error)
{
    for (;;) {
        enum tw_status status = TW_OK;
        bool has_checkpoint = rows->page_at < rows->n_page;
        const struct tw_audit_row *checkpoint = &rows->page[has_checkpoint ? rows->page_at : 0];
        if (!rows->has_record && !rows->is_drained) {
            status = load_record(rows, error);
        } else if (rows->has_record &&
                   (!has_checkpoint || rows->record.record.seq <= checkpoint->checkpoint.seq)) {
            *ret_row = rows->record;
            rows->has_record = false;
            *ret_there = true;
            return TW_OK;
        } else if (has_checkpoint) {
            *ret_row = *checkpoint;
            rows->page_at++;
            *ret_there = true;
            return TW_OK;
        } else if (rows->is_last_page) {
            *ret_there = false;
            return TW_OK;
        } else {
            status = load_checkpoints(rows, error);
        }
        if (status != TW_OK) {
            return status;
        }
    }
}
