/* What handlers of commands use: fields, holders, statements, the record, parts of answers. */
#include "hub/change.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/suggest.h"
#include "hub/money.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define WHEN_BYTES    32

/* ---- fields ---- */

const struct tw_field_value *tw_change_value(const struct tw_hub_change *change, const char *name)
{
    const struct tw_field *field = tw_commands_field(change->verb, name);
    assert(field != NULL);
    return &change->values[field - change->verb->fields];
}

int64_t tw_change_integer(const struct tw_hub_change *change, const char *name, int64_t otherwise)
{
    const struct tw_field_value *value = tw_change_value(change, name);
    return value->is_set ? value->integer : otherwise;
}

/* ---- holders ---- */

const char *tw_change_last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool tw_change_is_below(const struct tw_holder *holder, const struct tw_holder *top)
{
    while (holder != NULL && holder != top) {
        holder = holder->parent;
    }
    return holder == top;
}

/* ---- writing ---- */

void tw_change_begin(struct tw_hub_change *change)
{
    change->has_begun = true;
    change->hub->has_changed = true;
}

enum tw_status tw_change_run(struct tw_hub_change *change, const char *sql,
                             const struct tw_db_value *values, size_t n, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    assert(change->has_begun);
    enum tw_status status = tw_db_prepare(change->db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, values, n, error);
    }
    tw_db_finalize(statement);
    return status;
}

enum tw_status tw_change_touch(struct tw_hub_change *change, enum tw_directory_item item,
                               int64_t id, struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(change->hub->ledger.books.next_change++),
                                         tw_db_integer(item), tw_db_integer(id)};
    return tw_change_run(change, "INSERT INTO directory_change (number, item, id) VALUES (?, ?, ?)",
                         values, COUNT(values), error);
}

enum tw_status tw_change_write(struct tw_hub_change *change, enum tw_directory_item item,
                               int64_t id, const char *sql, const struct tw_db_value *values,
                               size_t n, struct tw_error *error)
{
    enum tw_status status = tw_change_run(change, sql, values, n, error);
    return status == TW_OK ? tw_change_touch(change, item, id, error) : status;
}

int64_t tw_change_next_id(struct tw_hub_change *change)
{
    assert(change->has_begun);
    return change->hub->ledger.books.next_id++;
}

static bool is_same(const struct tw_audit_value *a, const struct tw_audit_value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    return a->kind == TW_AUDIT_ABSENT ||
           (a->kind == TW_AUDIT_INTEGER && a->integer == b->integer) ||
           (a->kind == TW_AUDIT_TEXT && strcmp(a->text, b->text) == 0);
}

static struct tw_audit_value kept(struct tw_hub_change *change, struct tw_audit_value value)
{
    return value.kind == TW_AUDIT_TEXT
               ? tw_audit_text(tw_arena_strndup(&change->texts, value.text, strlen(value.text)))
               : value;
}

void tw_change_note(struct tw_hub_change *change, const char *name, struct tw_audit_value before,
                    struct tw_audit_value after)
{
    if (is_same(&before, &after)) {
        return;
    }
    assert(change->n_changed < TW_LIMIT_AUDIT_CHANGES);
    change->changed[change->n_changed++] = (struct tw_audit_field){
        .name = name, .before = kept(change, before), .after = kept(change, after)};
}

void tw_change_note_integer(struct tw_hub_change *change, const char *name, int64_t before,
                            int64_t after)
{
    tw_change_note(change, name, tw_audit_integer(before), tw_audit_integer(after));
}

void tw_change_note_text(struct tw_hub_change *change, const char *name, const char *before,
                         const char *after)
{
    tw_change_note(change, name, tw_audit_text(before), tw_audit_text(after));
}

enum tw_status tw_change_end_as(struct tw_hub_change *change, enum tw_audit_kind kind,
                                const char *object, struct tw_error *error)
{
    struct tw_hub *hub = change->hub;
    char command[64];
    snprintf(command, sizeof command, "%s %s", change->verb->group, change->verb->verb);
    const struct tw_audit_change record = {.actor = change->actor,
                                           .actor_name = change->actor_name,
                                           .command = command,
                                           .object = object,
                                           .fields = change->changed,
                                           .n_fields = change->n_changed};
    enum tw_status status = tw_audit_body_change(&hub->body, &record, error);
    if (status != TW_OK) {
        return status;
    }
    return tw_audit_log_append(hub->audit, hub->now_ns, tw_audit_kind_name(kind),
                               hub->body.buf.data, hub->body.buf.size_bytes, error);
}

enum tw_status tw_change_end(struct tw_hub_change *change, const char *object,
                             struct tw_error *error)
{
    const struct tw_db_value first =
        tw_db_integer(change->hub->ledger.books.next_change - TW_LIMIT_HUB_CHANGES);
    enum tw_status status = tw_change_end_as(change, TW_AUDIT_CONFIG_CHANGED, object, error);
    if (status == TW_OK) {
        status = tw_change_run(change, "DELETE FROM directory_change WHERE number < ?", &first, 1,
                               error);
    }
    return status == TW_OK ? tw_hub_update_directory(change->hub, error) : status;
}

/* ---- lists ---- */

enum tw_status tw_change_find_top(struct tw_hub_change *change, struct tw_holder **ret_top,
                                  struct tw_error *error)
{
    const struct tw_field *field = tw_commands_field(change->verb, "path");
    const char *path = field != NULL ? change->values[field - change->verb->fields].text : NULL;
    *ret_top = NULL;
    return path != NULL ? tw_change_find_holder(change, path, ret_top, error) : TW_OK;
}

bool tw_change_is_listed(const struct tw_hub_change *change, const struct tw_holder *holder,
                         const struct tw_holder *top)
{
    return tw_change_is_below(holder, top) &&
           (tw_holder_is_open(holder) || tw_change_integer(change, "all", 0) != 0) &&
           tw_change_may_see(change, holder);
}

struct tw_change_page tw_change_page_begin(struct tw_hub_change *change, const char *rows,
                                           const struct tw_items *items)
{
    const int64_t after = tw_change_integer(change, "after", 0);
    return (struct tw_change_page){
        .change = change,
        .rows = tw_change_rows(change, rows),
        .first = tw_directory_place(items, after == INT64_MAX ? after : after + 1),
        .n_most = (size_t)tw_change_integer(change, "most", TW_LIMIT_HUB_LIST_ROWS)};
}

bool tw_change_page_has_room(const struct tw_change_page *page)
{
    return page->change->answer != NULL && json_array_size(page->rows) < page->n_most;
}

json_t *tw_change_page_row(struct tw_change_page *page, int64_t id)
{
    page->next = id;
    return tw_change_row(page->change, page->rows);
}

void tw_change_page_end(struct tw_change_page *page, bool has_more)
{
    tw_change_put(page->change, page->change->answer, "next",
                  has_more ? json_integer(page->next) : json_null());
}

/* ---- answers ---- */

void tw_change_put(struct tw_hub_change *change, json_t *object, const char *name, json_t *value)
{
    if (object == NULL || value == NULL || json_object_set_new(object, name, value) != 0) {
        json_decref(change->answer);
        change->answer = NULL;
    }
}

json_t *tw_change_rows(struct tw_hub_change *change, const char *name)
{
    tw_change_put(change, change->answer, name, json_array());
    return json_object_get(change->answer, name);
}

void tw_change_warn(struct tw_hub_change *change, const char *format, ...)
{
    char text[TW_LIMIT_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *list = json_object_get(change->answer, "warnings");
    list = list != NULL ? list : tw_change_rows(change, "warnings");
    if (list != NULL) {
        json_array_append_new(list, json_string(text));
    }
}

void tw_change_warn_model(struct tw_hub_change *change, const char *name)
{
    const char *const *models = change->hub->config.models;
    bool is_served = models == NULL || strcmp(name, TW_PRICE_ALL_MODELS) == 0;
    for (size_t i = 0; !is_served && models[i] != NULL; i++) {
        is_served = strcmp(models[i], name) == 0;
    }
    if (is_served) {
        return;
    }
    const char *guess = tw_suggest_word(name, models);
    tw_change_warn(change, "no model '%.60s' is served here%s%s%s", name,
                   guess != NULL ? "; did you mean '" : "", guess != NULL ? guess : "",
                   guess != NULL ? "'?" : "");
}

/* NULL where memory lacked before: then there is no answer to put it into. */
json_t *tw_change_row(struct tw_hub_change *change, json_t *rows)
{
    json_t *row = change->answer != NULL ? json_object() : NULL;
    if (row != NULL && json_array_append_new(rows, row) != 0) {
        json_decref(change->answer);
        change->answer = NULL;
        row = NULL;
    }
    return row;
}

json_t *tw_change_json_text(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

json_t *tw_change_json_path(const struct tw_holder *holder)
{
    char path[TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1)];
    if (holder == NULL) {
        return json_null();
    }
    tw_holder_write_path(holder, path, sizeof path);
    return json_string(path);
}

json_t *tw_change_json_when(int64_t at_ns)
{
    char text[WHEN_BYTES];
    const time_t at_s = (time_t)(at_ns / TW_SECOND_NS);
    struct tm parts;
    if (at_ns == 0 || gmtime_r(&at_s, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        return json_null();
    }
    return json_string(text);
}

json_t *tw_change_json_money(int64_t amount_nano)
{
    char text[TW_MONEY_TEXT_BYTES];
    tw_money_print(amount_nano, text);
    return json_string(text);
}
