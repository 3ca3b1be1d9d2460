/* Content in the store: a row for each request whose project stores it. Rows are emptied, never
 * deleted: what is left of one says that there was content, and why there is none any more. */
#include <string.h>

#include "base/mem.h"
#include "hub/hub_state.h"

#define COUNT(values)  (sizeof(values) / sizeof *(values))
#define FOLDER         "subjects"
#define FOLLOWED       64   /* erasures that one read brings */
#define SWEPT          4096 /* erasures that one look through the folder knows */
#define HOLDERS_A_LOOK 1024

static const char INSERT[] =
    "INSERT INTO content (request, client_id, org, team, project, erasures, at_ns, subject, sealed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char END[] = "UPDATE content SET ended_ns = ?, ended = ?, subject = NULL,"
                          " sealed = NULL WHERE request = ?";
static const char ERASURES[] = "SELECT number, subject, scope FROM erasure WHERE number > ?"
                               " ORDER BY number LIMIT ?";
static const char UNFINISHED[] =
    "SELECT number, subject, scope FROM erasure WHERE is_done = 0 ORDER BY number LIMIT 1";
static const char ERASED[] =
    "SELECT request FROM content WHERE subject = ? AND ended_ns IS NULL AND erasures < ?"
    " AND (CAST(? AS %I) = 0 OR org = ? OR team = ? OR project = ?) LIMIT ?";
static const char EXPIRED[] =
    "SELECT request FROM content WHERE project = ? AND at_ns <= ? AND ended_ns IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM legal_hold AS h WHERE h.subject = content.subject"
    " AND h.released_ns IS NULL"
    " AND h.scope IN (0, content.org, content.team, content.project))"
    " ORDER BY at_ns LIMIT ?";

/* ---- erasures ---- */

struct erasure {
    struct tw_subject subject;
    int64_t number, scope;
};

static void take_subject(struct tw_db_statement *row, int column, struct tw_subject *ret_subject)
{
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(row, column, &n_bytes);
    *ret_subject = (struct tw_subject){{0}};
    if (n_bytes == sizeof ret_subject->bytes) {
        memcpy(ret_subject->bytes, bytes, n_bytes);
    }
}

static enum tw_status read_erasures(struct tw_hub *hub, const char *sql,
                                    const struct tw_db_value *values, size_t n_values,
                                    struct erasure *ret_erasures, size_t most, size_t *ret_n,
                                    struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    size_t n = 0;
    enum tw_status status = tw_db_prepare(hub->db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_query(row, values, n_values, error);
    }
    while (status == TW_OK && has_row && n < most) {
        status = tw_db_next(row, &has_row, error);
        if (status == TW_OK && has_row) {
            ret_erasures[n].number = tw_db_column_integer(row, 0);
            take_subject(row, 1, &ret_erasures[n].subject);
            ret_erasures[n++].scope = tw_db_column_integer(row, 2);
        }
    }
    tw_db_finalize(row);
    *ret_n = n;
    return status;
}

static enum tw_status read_later(struct tw_hub *hub, int64_t after, struct erasure *ret_erasures,
                                 size_t most, size_t *ret_n, struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(after), tw_db_integer((int64_t)most)};
    return read_erasures(hub, ERASURES, values, COUNT(values), ret_erasures, most, ret_n, error);
}

static bool is_below(const struct tw_holder *holder, int64_t scope)
{
    while (scope != 0 && holder != NULL && holder->id != scope) {
        holder = holder->parent;
    }
    return scope == 0 || holder != NULL;
}

static void take_number(struct tw_hub *hub, int64_t number)
{
    if (number > hub->content.n_erasures) {
        hub->content.n_erasures = number;
        tw_subject_keys_set_erasures(hub->content.keys, number);
    }
}

static enum tw_status erase_keys(struct tw_hub *hub, const struct erasure *erasure,
                                 size_t *ret_n_keys, struct tw_error *error)
{
    const struct tw_items *holders = &hub->directory.holders;
    enum tw_status status = TW_OK;
    size_t n_keys = 0;
    for (size_t i = 0; status == TW_OK && i < holders->n; i++) {
        const struct tw_holder *holder = holders->at[i];
        bool was_there = false;
        if (holder->kind == TW_HOLDER_PROJECT && is_below(holder, erasure->scope)) {
            status = tw_subject_keys_erase(hub->content.keys, &erasure->subject, holder->id,
                                           erasure->number, &was_there, error);
            n_keys += was_there;
        }
    }
    *ret_n_keys = n_keys;
    return status;
}

enum tw_status tw_hub_erase_keys(struct tw_hub *hub, const struct tw_subject *subject,
                                 const struct tw_holder *scope, int64_t number, size_t *ret_n_keys,
                                 struct tw_error *error)
{
    const struct erasure erasure = {
        .subject = *subject, .number = number, .scope = scope != NULL ? scope->id : 0};
    take_number(hub, number);
    return erase_keys(hub, &erasure, ret_n_keys, error);
}

enum tw_status tw_hub_follow_erasures(struct tw_hub *hub, struct tw_error *error)
{
    struct erasure erasures[FOLLOWED];
    size_t n = hub->content.keys != NULL ? FOLLOWED : 0; /* while it is opened there is more */
    enum tw_status status = TW_OK;
    while (status == TW_OK && n == FOLLOWED) {
        status = read_later(hub, hub->content.n_erasures, erasures, FOLLOWED, &n, error);
        for (size_t i = 0; status == TW_OK && i < n; i++) {
            size_t n_keys;
            take_number(hub, erasures[i].number);
            status = erase_keys(hub, &erasures[i], &n_keys, error);
        }
    }
    return status;
}

enum tw_status tw_hub_note_erasure(struct tw_hub *hub, const struct tw_subject *subject,
                                   const struct tw_holder *scope, int64_t *ret_number,
                                   struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    const int64_t number = hub->content.n_noted + 1;
    const struct tw_db_value values[] = {
        tw_db_integer(number), tw_db_bytes(subject->bytes, sizeof subject->bytes),
        tw_db_integer(scope != NULL ? scope->id : 0), tw_db_integer(hub->now_ns)};
    enum tw_status status = tw_db_prepare(
        hub->db,
        "INSERT INTO erasure (number, subject, scope, at_ns, is_done) VALUES (?, ?, ?, ?, 0)",
        &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, values, COUNT(values), error);
    }
    tw_db_finalize(statement);
    if (status == TW_OK) {
        hub->content.n_noted = number;
        hub->content.has_unfinished = true;
        *ret_number = number;
    }
    return status;
}

/* ---- opening ---- */

/* Some erasures, by subject. */
struct sweep {
    struct tw_hub *hub;
    struct erasure erasures[SWEPT];
    size_t n;
};

static int64_t erased_by(void *context, const struct tw_subject *subject, int64_t project)
{
    const struct sweep *sweep = context;
    const struct tw_holder *holder = NULL;
    int64_t number = 0;
    for (size_t i = 0; i < sweep->n; i++) {
        const struct erasure *erasure = &sweep->erasures[i];
        if (memcmp(&erasure->subject, subject, sizeof *subject) != 0) {
            continue;
        }
        holder = holder != NULL ? holder : tw_directory_holder(&sweep->hub->directory, project);
        if (is_below(holder, erasure->scope) && erasure->number > number) {
            number = erasure->number;
        }
    }
    return number;
}

/* What a backup brought back is erased again. */
static enum tw_status sweep_folder(struct tw_hub *hub, struct tw_error *error)
{
    struct sweep *sweep = tw_mem_zalloc(1, sizeof *sweep);
    enum tw_status status = TW_OK;
    if (sweep == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for erasures");
    }
    sweep->hub = hub;
    do {
        status = read_later(hub, hub->content.n_erasures, sweep->erasures, SWEPT, &sweep->n, error);
        if (status == TW_OK && sweep->n > 0) {
            take_number(hub, sweep->erasures[sweep->n - 1].number);
            status = tw_subject_keys_sweep(hub->content.keys, erased_by, sweep, error);
        }
    } while (status == TW_OK && sweep->n == SWEPT);
    tw_mem_free(sweep);
    return status;
}

enum tw_status tw_hub_open_content(struct tw_hub *hub, struct tw_error *error)
{
    char path[TW_LIMIT_HUB_FILE_BYTES];
    enum tw_status status = tw_hub_path(&hub->config, FOLDER, path, error);
    if (status == TW_OK) {
        status = tw_subject_keys_open(path, hub->directory.pepper, &hub->content.keys, error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(hub->db, INSERT, &hub->content.insert, error);
    }
    hub->content.has_unfinished = true; /* until a look finds nothing */
    return status == TW_OK ? sweep_folder(hub, error) : status;
}

void tw_hub_close_content(struct tw_hub *hub)
{
    tw_db_finalize(hub->content.insert);
    tw_subject_keys_close(hub->content.keys);
    hub->content = (struct tw_hub_content){.keys = NULL};
}

/* ---- rows ---- */

enum tw_status tw_hub_store_content(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                    struct tw_error *error)
{
    const struct tw_content *content = ticket->request.content;
    struct tw_holder *key = ticket->request.caller.key;
    if (content == NULL || content->state != TW_CONTENT_KEPT) {
        return TW_OK;
    }
    const struct tw_subject *subject = tw_subject_key_subject(content->key);
    const struct tw_db_value values[] = {
        tw_db_integer(ticket->number),
        tw_db_text(ticket->request.client_id),
        tw_db_integer(tw_holder_above(key, TW_HOLDER_ORG)->id),
        tw_db_integer(tw_holder_above(key, TW_HOLDER_TEAM)->id),
        tw_db_integer(content->project),
        tw_db_integer(tw_subject_key_erasures(content->key)),
        tw_db_integer(hub->now_ns),
        tw_db_bytes(subject->bytes, sizeof subject->bytes),
        tw_db_bytes(content->sealed.data, content->sealed.size_bytes)};
    return tw_db_run(hub->content.insert, values, COUNT(values), error);
}

/* Requests whose rows are to be emptied. */
struct piece {
    int64_t requests[TW_LIMIT_CONTENT_PIECE];
    size_t n;
};

static enum tw_status read_piece(struct tw_hub *hub, const char *sql,
                                 const struct tw_db_value *values, size_t n_values,
                                 struct piece *ret_piece, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    ret_piece->n = 0;
    enum tw_status status = tw_db_prepare(hub->db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_query(row, values, n_values, error);
    }
    while (status == TW_OK && has_row && ret_piece->n < TW_LIMIT_CONTENT_PIECE) {
        status = tw_db_next(row, &has_row, error);
        if (status == TW_OK && has_row) {
            ret_piece->requests[ret_piece->n++] = tw_db_column_integer(row, 0);
        }
    }
    tw_db_finalize(row);
    return status;
}

static enum tw_status empty_rows(struct tw_hub *hub, const struct piece *piece, const char *why,
                                 struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status = piece->n > 0 ? tw_db_prepare(hub->db, END, &statement, error) : TW_OK;
    for (size_t i = 0; status == TW_OK && i < piece->n; i++) {
        const struct tw_db_value values[] = {tw_db_integer(hub->now_ns), tw_db_text(why),
                                             tw_db_integer(piece->requests[i])};
        status = tw_db_run(statement, values, COUNT(values), error);
    }
    tw_db_finalize(statement);
    return status;
}

static enum tw_status finish_erasure(struct tw_hub *hub, int64_t number, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    const struct tw_db_value value = tw_db_integer(number);
    enum tw_status status = tw_db_prepare(
        hub->db, "UPDATE erasure SET is_done = 1 WHERE number = ?", &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, &value, 1, error);
    }
    tw_db_finalize(statement);
    return status;
}

/* What has no key any more. */
static enum tw_status tend_erased(struct tw_hub *hub, struct tw_error *error)
{
    struct erasure erasure;
    struct piece piece;
    size_t n = 0;
    enum tw_status status = read_erasures(hub, UNFINISHED, NULL, 0, &erasure, 1, &n, error);
    hub->content.has_unfinished = n > 0;
    if (status != TW_OK || n == 0) {
        return status;
    }
    const struct tw_db_value scope = tw_db_integer(erasure.scope);
    const struct tw_db_value values[] = {
        tw_db_bytes(erasure.subject.bytes, sizeof erasure.subject.bytes),
        tw_db_integer(erasure.number),
        scope,
        scope,
        scope,
        scope,
        tw_db_integer(TW_LIMIT_CONTENT_PIECE)};
    status = read_piece(hub, ERASED, values, COUNT(values), &piece, error);
    if (status == TW_OK) {
        status = empty_rows(hub, &piece, "erased", error);
    }
    return status == TW_OK && piece.n < TW_LIMIT_CONTENT_PIECE
               ? finish_erasure(hub, erasure.number, error)
               : status;
}

static enum tw_status record_expired(struct tw_hub *hub, int64_t project, const struct piece *piece,
                                     struct tw_error *error)
{
    struct tw_audit_body *body = &hub->body;
    tw_audit_body_begin(body);
    tw_audit_body_put_int(body, "project", project);
    tw_audit_body_list_begin(body, "requests");
    for (size_t i = 0; i < piece->n; i++) {
        tw_audit_body_put_int(body, NULL, piece->requests[i]);
    }
    tw_audit_body_list_end(body);
    enum tw_status status = tw_audit_body_end(body, error);
    return status == TW_OK ? tw_audit_log_append(hub->audit, hub->now_ns,
                                                 tw_audit_kind_name(TW_AUDIT_CONTENT_EXPIRED),
                                                 body->buf.data, body->buf.size_bytes, error)
                           : status;
}

static enum tw_status tend_project(struct tw_hub *hub, const struct tw_holder *project,
                                   bool *ret_has_more, struct tw_error *error)
{
    struct piece piece;
    const struct tw_db_value values[] = {
        tw_db_integer(project->id), tw_db_integer(hub->now_ns - project->settings.keep_content_ns),
        tw_db_integer(TW_LIMIT_CONTENT_PIECE)};
    enum tw_status status = read_piece(hub, EXPIRED, values, COUNT(values), &piece, error);
    if (status == TW_OK && piece.n > 0) {
        status = empty_rows(hub, &piece, "expired", error);
    }
    if (status == TW_OK && piece.n > 0) {
        status = record_expired(hub, project->id, &piece, error);
    }
    *ret_has_more = piece.n == TW_LIMIT_CONTENT_PIECE;
    return status;
}

/* A part of the projects; where all were looked at the next look is later. */
static enum tw_status tend_aged(struct tw_hub *hub, struct tw_error *error)
{
    const struct tw_items *holders = &hub->directory.holders;
    struct tw_hub_content *content = &hub->content;
    enum tw_status status = TW_OK;
    int n_projects = 0;
    bool has_more = false;
    for (int i = 0; status == TW_OK && !has_more && i < HOLDERS_A_LOOK &&
                    n_projects < TW_LIMIT_CONTENT_PROJECTS && content->next_holder < holders->n;
         i++) {
        const struct tw_holder *holder = holders->at[content->next_holder];
        if (holder->kind == TW_HOLDER_PROJECT && holder->settings.keep_content_ns > 0) {
            status = tend_project(hub, holder, &has_more, error);
            n_projects++;
        }
        content->next_holder += !has_more;
    }
    if (content->next_holder >= holders->n) {
        content->next_holder = 0;
        content->tend_ns = hub->now_ns + TW_LIMIT_CONTENT_TEND_NS;
    }
    return status;
}

int64_t tw_hub_tend_ns(const struct tw_hub *hub)
{
    const struct tw_hub_content *content = &hub->content;
    const int64_t due_ns = content->has_unfinished ? 0
                           : content->has_aging    ? content->tend_ns
                                                   : INT64_MAX;
    return due_ns > content->retry_ns ? due_ns : content->retry_ns;
}

enum tw_status tw_hub_tend_content(struct tw_hub *hub, struct tw_error *error)
{
    return hub->content.has_unfinished ? tend_erased(hub, error) : tend_aged(hub, error);
}
