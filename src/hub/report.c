#include "hub/report.h"

#include <stdio.h>
#include <string.h>

#include "hub/change.h"
#include "hub/ledger_check.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define DEFAULT_ROWS  100

/* ---- without a hub ---- */

bool tw_report_needs_tables_only(const struct tw_hub_verb *verb)
{
    return verb->run == tw_report_check_ledger || verb->run == tw_report_show_usage ||
           verb->run == tw_report_show_invoice;
}

enum tw_status tw_report_of_tables(struct tw_db *db, const struct tw_hub_verb *verb, json_t *fields,
                                   int64_t now_ns, json_t **ret_answer, struct tw_error *error)
{
    struct tw_hub_change change = {
        .verb = verb, .db = db, .now_ns = now_ns, .answer = json_object()};
    enum tw_status status = tw_commands_read(verb, fields, now_ns, change.values, error);
    if (status == TW_OK) {
        status = verb->run(&change, error);
    }
    if (status == TW_OK && change.answer == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the answer");
    }
    if (status == TW_OK) {
        *ret_answer = change.answer;
    } else {
        json_decref(change.answer);
    }
    return status;
}

/* ---- the ledger ---- */

enum tw_status tw_report_check_ledger(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_ledger_summary summary;
    enum tw_status status = tw_ledger_check(change->db, &summary, error);
    if (status != TW_OK) {
        return status;
    }
    json_t *answer = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "balances", 1, "entries",
        (json_int_t)summary.n_entries, "requests", (json_int_t)summary.n_requests, "open",
        (json_int_t)summary.n_open, "windows", (json_int_t)summary.n_windows, "settled",
        tw_change_json_money(summary.settled_nano), "settled_tokens",
        (json_int_t)summary.settled_tokens, "held", tw_change_json_money(summary.held_nano));
    json_decref(change->answer);
    change->answer = answer;
    return TW_OK;
}

/* Rows of a query, latest first, until so many were taken. */
typedef bool (*take_fn)(struct tw_hub_change *change, struct tw_db_statement *row, json_t *rows);

struct latest {
    const char *last,
        *part;        /* the last number below one; the rows from a number to before another */
    const char *name; /* of the rows in the answer */
    take_fn take;
};

/* Parts by their numbers, each a query of its own: whatever is looked for, none takes long. */
static enum tw_status take_part(struct tw_hub_change *change, const struct latest *latest,
                                struct tw_db_statement *part, int64_t end, json_t *rows,
                                int64_t *n_left, struct tw_error *error)
{
    const int64_t first = end > TW_LIMIT_REPORT_PART ? end - TW_LIMIT_REPORT_PART : 0;
    const struct tw_db_value values[] = {
        tw_db_integer(first), tw_db_integer(end),
        tw_db_integer(tw_change_integer(change, "since", 0)),
        tw_db_integer(tw_change_integer(change, "until", INT64_MAX))};
    bool has_row = true;
    enum tw_status status = tw_db_query(part, values, COUNT(values), error);
    while (status == TW_OK && has_row && *n_left > 0) {
        status = tw_db_next(part, &has_row, error);
        *n_left -= status == TW_OK && has_row && latest->take(change, part, rows);
    }
    return status;
}

static enum tw_status take_latest(struct tw_hub_change *change, const struct latest *latest,
                                  struct tw_error *error)
{
    struct tw_db_statement *last = NULL, *part = NULL;
    json_t *rows = tw_change_rows(change, latest->name);
    int64_t n_left = tw_change_integer(change, "most", DEFAULT_ROWS), end = INT64_MAX;
    enum tw_status status = tw_db_prepare(change->db, latest->last, &last, error);
    if (status == TW_OK) {
        status = tw_db_prepare(change->db, latest->part, &part, error);
    }
    while (status == TW_OK && n_left > 0 && end > 0) {
        const struct tw_db_value below = tw_db_integer(end);
        bool has_row = false;
        status = tw_db_first(last, &below, 1, &has_row, error);
        /* behind the last one below; 0, which ends it, where there is none */
        end = status == TW_OK && !tw_db_column_is_null(last, 0) ? tw_db_column_integer(last, 0) + 1
                                                                : 0;
        if (status == TW_OK && end > 0) {
            status = take_part(change, latest, part, end, rows, &n_left, error);
            end = end > TW_LIMIT_REPORT_PART ? end - TW_LIMIT_REPORT_PART : 0;
        }
    }
    tw_db_finalize(part);
    tw_db_finalize(last);
    return status;
}

static bool take_entry(struct tw_hub_change *change, struct tw_db_statement *row, json_t *rows)
{
    struct tw_directory *directory = change->directory;
    const char *path = tw_change_value(change, "path")->text;
    char key_path[TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1)] = "";
    pthread_rwlock_rdlock(&directory->lock);
    const struct tw_holder *key = tw_directory_holder(directory, tw_db_column_integer(row, 6));
    const bool is_seen = key != NULL ? tw_change_may_see(change, key) : change->person == NULL;
    if (key != NULL) {
        tw_holder_write_path(key, key_path, sizeof key_path);
    }
    pthread_rwlock_unlock(&directory->lock);
    const size_t n = path != NULL ? strlen(path) : 0;
    if (!is_seen || (n > 0 && (strncmp(key_path, path, n) != 0 ||
                               (key_path[n] != '/' && key_path[n] != '\0')))) {
        return false;
    }
    json_t *out = tw_change_row(change, rows);
    tw_change_put(change, out, "entry", json_integer(tw_db_column_integer(row, 0)));
    tw_change_put(change, out, "at", tw_change_json_when(tw_db_column_integer(row, 1)));
    tw_change_put(change, out, "kind", json_string(tw_db_column_text(row, 2)));
    tw_change_put(change, out, "request", json_integer(tw_db_column_integer(row, 3)));
    tw_change_put(change, out, "debit", json_string(tw_db_column_text(row, 4)));
    tw_change_put(change, out, "credit", json_string(tw_db_column_text(row, 5)));
    tw_change_put(change, out, "key", json_string(key_path));
    tw_change_put(change, out, "amount", tw_change_json_money(tw_db_column_integer(row, 7)));
    tw_change_put(change, out, "tokens", json_integer(tw_db_column_integer(row, 8)));
    tw_change_put(change, out, "model", json_string(tw_db_column_text(row, 9)));
    tw_change_put(change, out, "class", json_string(tw_db_column_text(row, 10)));
    tw_change_put(change, out, "price", json_integer(tw_db_column_integer(row, 11)));
    return true;
}

/* The plus keeps the index of times out: numbers are in the order of time. */
enum tw_status tw_report_list_entries(struct tw_hub_change *change, struct tw_error *error)
{
    static const struct latest entries = {
        .last = "SELECT MAX(id) FROM entry WHERE id < ?",
        .part = "SELECT entry.id, entry.at_ns, entry.kind, entry.request, debit.kind,"
                " credit.kind, entry.api_key, entry.amount_nano, entry.tokens, entry.model,"
                " entry.class, entry.price FROM entry"
                " JOIN account AS debit ON debit.id = entry.debit"
                " JOIN account AS credit ON credit.id = entry.credit"
                " WHERE entry.id >= ? AND entry.id < ? AND +entry.at_ns >= ?"
                " AND +entry.at_ns < ? ORDER BY entry.id DESC",
        .name = "entries",
        .take = take_entry};
    return take_latest(change, &entries, error);
}

/* ---- the audit log ---- */

/* Of what the policy decided about a request; of other records there is nothing. */
static bool has_route(const struct tw_hub_change *change, const json_t *body, const char *name)
{
    const struct tw_field_value *wanted = tw_change_value(change, name);
    const char *value = json_string_value(json_object_get(json_object_get(body, "route"), name));
    return !wanted->is_set || (value != NULL && strcmp(value, wanted->text) == 0);
}

static bool take_record(struct tw_hub_change *change, struct tw_db_statement *row, json_t *rows)
{
    const struct tw_field_value *kind = tw_change_value(change, "kind");
    if (kind->is_set && strcmp(kind->text, tw_db_column_text(row, 2)) != 0) {
        return false;
    }
    const char *text = tw_db_column_text(row, 3);
    json_t *body = json_loads(text, 0, NULL);
    if (!has_route(change, body, "class") || !has_route(change, body, "zone")) {
        json_decref(body);
        return false;
    }
    json_t *out = tw_change_row(change, rows);
    tw_change_put(change, out, "seq", json_integer(tw_db_column_integer(row, 0)));
    tw_change_put(change, out, "at", tw_change_json_when(tw_db_column_integer(row, 1)));
    tw_change_put(change, out, "kind", json_string(tw_db_column_text(row, 2)));
    tw_change_put(change, out, "body", body != NULL ? body : json_string(text));
    return true;
}

enum tw_status tw_report_list_records(struct tw_hub_change *change, struct tw_error *error)
{
    static const struct latest records = {
        .last = "SELECT MAX(seq) FROM audit WHERE log = (SELECT log FROM books WHERE id = 1)"
                " AND seq < ?",
        .part = "SELECT seq, at_ns, kind, body FROM audit"
                " WHERE log = (SELECT log FROM books WHERE id = 1) AND seq >= ? AND seq < ?"
                " AND +at_ns >= ? AND +at_ns < ? ORDER BY seq DESC",
        .name = "records",
        .take = take_record};
    return take_latest(change, &records, error);
}
