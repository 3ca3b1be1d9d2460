#include "hub/batch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub/batch_state.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

const char *tw_batch_status_name(enum tw_batch_status status)
{
    static const char *const names[TW_BATCH_STATUS_COUNT] = {
        [TW_BATCH_VALIDATING] = "validating",   [TW_BATCH_FAILED] = "failed",
        [TW_BATCH_IN_PROGRESS] = "in_progress", [TW_BATCH_FINALIZING] = "finalizing",
        [TW_BATCH_COMPLETED] = "completed",     [TW_BATCH_EXPIRED] = "expired",
        [TW_BATCH_CANCELLING] = "cancelling",   [TW_BATCH_CANCELLED] = "cancelled"};
    return names[status];
}

/* ---- opening ---- */

enum tw_status tw_batches_open(struct tw_hub *hub, const struct tw_batches_config *config,
                               struct tw_batches **ret_batches, struct tw_error *error)
{
    struct tw_batches *batches = tw_mem_zalloc(1, sizeof *batches);
    if (batches == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for batches");
    }
    batches->hub = hub;
    batches->config = *config;
    if (batches->config.project_bytes <= 0) {
        batches->config.project_bytes = TW_LIMIT_BATCH_PROJECT_BYTES;
    }
    if (batches->config.project_files <= 0) {
        batches->config.project_files = TW_LIMIT_BATCH_PROJECT_FILES;
    }
    pthread_mutex_init(&batches->lock, NULL);
    *ret_batches = batches;
    return TW_OK;
}

void tw_batches_close(struct tw_batches *batches)
{
    if (batches == NULL) {
        return;
    }
    tw_db_close(batches->db);
    pthread_mutex_destroy(&batches->lock);
    tw_mem_free(batches);
}

/* ---- on the writer's thread ---- */

struct writing {
    struct tw_hub_op op; /* first: the writer gives it back */
    tw_batch_write_fn run;
    void *context;
    enum tw_status status;
    struct tw_error error;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
};

static bool is_refusal(enum tw_status status)
{
    return status == TW_ERR_USAGE || status == TW_ERR_LIMIT || status == TW_ERR_NOT_FOUND ||
           status == TW_ERR_DENIED || status == TW_ERR_MISSED;
}

static void apply(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct writing *writing = (struct writing *)op;
    writing->status = writing->run(hub, writing->context, &writing->error);
    if (writing->status != TW_OK && !is_refusal(writing->status)) {
        tw_hub_fail_group(hub, writing->status, &writing->error);
    }
}

static void done(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct writing *writing = (struct writing *)op;
    pthread_mutex_lock(&writing->lock);
    if (status == TW_ERR_CANCELLED) {
        writing->status = tw_error_set(&writing->error, TW_ERR_CANCELLED, TW_NO_POSITION,
                                       "the server is shutting down");
    } else if (status != TW_OK) {
        writing->status = status;
        writing->error = hub->group_error;
    }
    writing->is_done = true;
    pthread_cond_signal(&writing->wake);
    pthread_mutex_unlock(&writing->lock);
}

enum tw_status tw_batch_write(struct tw_batches *batches, tw_batch_write_fn run, void *context,
                              struct tw_error *error)
{
    struct writing writing = {
        .op = {.apply = apply, .done = done, .is_alone = true}, .run = run, .context = context};
    pthread_mutex_init(&writing.lock, NULL);
    pthread_cond_init(&writing.wake, NULL);
    tw_hub_enqueue(batches->hub, &writing.op);
    pthread_mutex_lock(&writing.lock);
    while (!writing.is_done) {
        pthread_cond_wait(&writing.wake, &writing.lock);
    }
    pthread_mutex_unlock(&writing.lock);
    pthread_cond_destroy(&writing.wake);
    pthread_mutex_destroy(&writing.lock);
    if (writing.status != TW_OK) {
        *error = writing.error;
    }
    return writing.status;
}

enum tw_status tw_batch_run(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                            size_t n, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, values, n, error);
    }
    tw_db_finalize(statement);
    return status;
}

enum tw_status tw_batch_number(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                               size_t n, bool *ret_row, int64_t *ret_number, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    enum tw_status status = tw_db_prepare(db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, values, n, ret_row, error);
    }
    if (status == TW_OK && *ret_row) {
        *ret_number = tw_db_column_integer(row, 0);
    }
    tw_db_finalize(row);
    return status;
}

/* A number that must be there, as a count is. */
static enum tw_status count(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                            size_t n, int64_t *ret_number, struct tw_error *error)
{
    bool has_row = false;
    *ret_number = 0;
    return tw_batch_number(db, sql, values, n, &has_row, ret_number, error);
}

static void make_name(const char *prefix, char ret_name[TW_BATCH_NAME_BYTES])
{
    unsigned char bytes[12];
    char hex[2 * sizeof bytes + 1];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(hex, sizeof hex, bytes, sizeof bytes);
    snprintf(ret_name, TW_BATCH_NAME_BYTES, "%s%s", prefix, hex);
}

/* ---- files ---- */

static const char INSERT_FILE[] =
    "INSERT INTO batch_file (id, name, project, purpose, filename, n_bytes, n_lines, created_ns,"
    " expires_ns, data_class, is_ready, ended_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)";

static enum tw_status insert_file(struct tw_hub *hub, int64_t project, struct tw_batch_file *file,
                                  struct tw_error *error)
{
    file->id = hub->ledger.books.next_id++; /* never again: batches name files that are gone */
    const struct tw_db_value values[] = {
        tw_db_integer(file->id),         tw_db_text(file->name),
        tw_db_integer(project),          tw_db_text(file->purpose),
        tw_db_text(file->filename),      tw_db_integer(file->n_bytes),
        tw_db_integer(file->n_lines),    tw_db_integer(file->created_ns),
        tw_db_integer(file->expires_ns), tw_db_text(file->data_class),
    };
    return tw_batch_run(hub->db, INSERT_FILE, values, COUNT(values), error);
}

/* A project that keeps content for a time keeps its files no longer. */
static int64_t lifetime_ns(struct tw_hub *hub, int64_t project, int64_t lifetime_s)
{
    const struct tw_holder *holder = tw_directory_holder(&hub->directory, project);
    const int64_t keep_ns = holder != NULL ? holder->settings.keep_content_ns : 0;
    const int64_t most_s = lifetime_s > 0 && lifetime_s < TW_LIMIT_BATCH_FILE_SECONDS
                               ? lifetime_s
                               : TW_LIMIT_BATCH_FILE_SECONDS;
    const int64_t ns = most_s * TW_SECOND_NS;
    return keep_ns > 0 && keep_ns < ns ? keep_ns : ns;
}

struct adding {
    struct tw_batches *batches;
    struct tw_batch_file *file;
    int64_t project, lifetime_s;
};

static enum tw_status begin_file(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct adding *adding = context;
    struct tw_batch_file *file = adding->file;
    const struct tw_batches_config *config = &adding->batches->config;
    const struct tw_db_value project = tw_db_integer(adding->project);
    int64_t n_files = 0, n_bytes = 0;
    /* Those that were deleted count until their lines are gone, or deleting and sending again would
     * fill the disk. */
    enum tw_status status = count(hub->db, "SELECT COUNT(*) FROM batch_file WHERE project = ?",
                                  &project, 1, &n_files, error);
    if (status == TW_OK) {
        status = count(hub->db,
                       "SELECT CAST(COALESCE(SUM(n_bytes), 0) AS %I) FROM batch_file"
                       " WHERE project = ?",
                       &project, 1, &n_bytes, error);
    }
    if (status == TW_OK && n_files >= config->project_files) {
        return tw_error_set(
            error, TW_ERR_LIMIT, TW_NO_POSITION,
            "the project has %lld files, and may have %lld: delete some (they count "
            "until their lines are gone)",
            (long long)n_files, (long long)config->project_files);
    }
    if (status == TW_OK && n_bytes + file->n_bytes > config->project_bytes) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the project's files have %lld bytes, and may have %lld with this one: "
                            "delete some (they count until their lines are gone)",
                            (long long)n_bytes, (long long)config->project_bytes);
    }
    file->created_ns = hub->now_ns;
    file->expires_ns = hub->now_ns + lifetime_ns(hub, adding->project, adding->lifetime_s);
    return status == TW_OK ? insert_file(hub, adding->project, file, error) : status;
}

/* Lines that are sealed and on their way. */
struct piece {
    int64_t file, project, first;
    struct {
        struct tw_subject_key *key;
        struct tw_buf sealed;
    } lines[TW_LIMIT_BATCH_PIECE_LINES];
    size_t n, n_bytes;
};

static void empty_piece(struct piece *piece)
{
    for (size_t i = 0; i < piece->n; i++) {
        tw_subject_key_give_back(piece->lines[i].key);
        tw_buf_free(&piece->lines[i].sealed);
    }
    piece->first += (int64_t)piece->n;
    piece->n = 0;
    piece->n_bytes = 0;
}

static enum tw_status write_piece(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct piece *piece = context;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < piece->n; i++) {
        status =
            tw_batch_insert_line(hub->db, piece->file, piece->first + (int64_t)i, piece->project,
                                 piece->lines[i].key, &piece->lines[i].sealed, error);
    }
    return status;
}

static enum tw_status add_line(struct tw_batches *batches, const struct tw_hub_caller *caller,
                               const struct tw_batch_upload *upload, struct piece *piece,
                               const char *text, size_t n_bytes, struct tw_error *error)
{
    struct tw_buf user;
    struct tw_buf *sealed = &piece->lines[piece->n].sealed;
    struct tw_subject_key **key = &piece->lines[piece->n].key;
    const int64_t line = piece->first + (int64_t)piece->n;
    tw_buf_init(&user, TW_LIMIT_SUBJECT_BYTES);
    upload->user(text, n_bytes, &user);
    enum tw_status status =
        tw_batch_line_key(batches, caller, user.data, user.size_bytes, key, error);
    tw_buf_free(&user);
    if (status != TW_OK) {
        return status;
    }
    tw_buf_init(sealed, TW_LIMIT_DB_VALUE_BYTES);
    piece->n++;
    piece->n_bytes += n_bytes;
    if (!tw_subject_key_seal(*key, tw_batch_line_number(piece->file, line), text, n_bytes,
                             sealed) ||
        sealed->failed) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a line");
    }
    return TW_OK;
}

static enum tw_status add_lines(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                const struct tw_batch_upload *upload, struct piece *piece,
                                struct tw_error *error)
{
    enum tw_status status = TW_OK;
    size_t at = 0;
    while (status == TW_OK && at < upload->text_bytes) {
        const char *end = memchr(upload->text + at, '\n', upload->text_bytes - at);
        const size_t n =
            end != NULL ? (size_t)(end - (upload->text + at)) + 1 : upload->text_bytes - at;
        status = add_line(batches, caller, upload, piece, upload->text + at, n, error);
        at += n;
        if (status == TW_OK &&
            (piece->n == TW_LIMIT_BATCH_PIECE_LINES || at == upload->text_bytes ||
             piece->n_bytes >= TW_LIMIT_BATCH_PIECE_BYTES)) {
            status = tw_batch_write(batches, write_piece, piece, error);
            empty_piece(piece);
        }
    }
    empty_piece(piece);
    return status;
}

/* Its lines, counted; a line that is too long is refused before anything is written. */
static enum tw_status count_lines(const struct tw_batch_upload *upload, int64_t *ret_n_lines,
                                  struct tw_error *error)
{
    size_t at = 0;
    int64_t n = 0;
    while (at < upload->text_bytes) {
        const char *end = memchr(upload->text + at, '\n', upload->text_bytes - at);
        const size_t next = end != NULL ? (size_t)(end - upload->text) + 1 : upload->text_bytes;
        n++;
        if (next - at > TW_LIMIT_BATCH_LINE_BYTES) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "line %lld has %zu bytes; a request in a file may have %zu",
                                (long long)n, next - at, TW_LIMIT_BATCH_LINE_BYTES);
        }
        at = next;
    }
    if (n == 0 || n > TW_LIMIT_BATCH_LINES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the file has %lld lines; it must have 1 to %d, one request each",
                            (long long)n, TW_LIMIT_BATCH_LINES);
    }
    *ret_n_lines = n;
    return TW_OK;
}

/* A file, and who does something with it. */
struct held_file {
    const struct tw_hub_caller *caller;
    struct tw_batch_file file;
};

static enum tw_status record_file(struct tw_hub *hub, enum tw_audit_kind kind,
                                  const struct held_file *held, struct tw_error *error)
{
    const struct tw_hub_deed deed = {.caller = held->caller,
                                     .file = held->file.name,
                                     .n_lines = held->file.n_lines,
                                     .n_bytes = held->file.n_bytes};
    return tw_hub_record_deed(hub, kind, &deed, error);
}

static enum tw_status finish_file(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct held_file *held = context;
    const struct tw_db_value id = tw_db_integer(held->file.id);
    enum tw_status status =
        tw_batch_run(hub->db, "UPDATE batch_file SET is_ready = 1 WHERE id = ?", &id, 1, error);
    return status == TW_OK ? record_file(hub, TW_AUDIT_FILE_ADDED, held, error) : status;
}

static enum tw_status end_file(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct held_file *held = context;
    const struct tw_db_value values[] = {tw_db_integer(hub->now_ns), tw_db_integer(held->file.id)};
    return tw_batch_run(hub->db, "UPDATE batch_file SET ended_ns = ? WHERE id = ?", values,
                        COUNT(values), error);
}

enum tw_status tw_batches_add_file(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                   const struct tw_batch_upload *upload,
                                   struct tw_batch_file *ret_file, struct tw_error *error)
{
    struct held_file held = {.caller = caller,
                             .file = {.purpose = "batch", .n_bytes = (int64_t)upload->text_bytes}};
    struct tw_batch_file *file = &held.file;
    struct adding adding = {.batches = batches,
                            .file = file,
                            .project = tw_batch_project(caller),
                            .lifetime_s = upload->lifetime_s};
    struct tw_error other;
    make_name("file-", file->name);
    snprintf(file->filename, sizeof file->filename, "%s", upload->filename);
    snprintf(file->data_class, sizeof file->data_class, "%s", upload->data_class);
    struct piece *piece = tw_mem_zalloc(1, sizeof *piece);
    if (piece == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a file");
    }
    enum tw_status status = count_lines(upload, &file->n_lines, error);
    if (status == TW_OK) {
        status = tw_batch_write(batches, begin_file, &adding, error);
    }
    if (status == TW_OK) {
        *piece = (struct piece){.file = file->id, .project = adding.project, .first = 1};
        status = add_lines(batches, caller, upload, piece, error);
        if (status == TW_OK) {
            status = tw_batch_write(batches, finish_file, &held, error);
        }
        if (status != TW_OK) {
            tw_batch_write(batches, end_file, &held, &other); /* or, in the end, by its age */
        }
    }
    tw_mem_free(piece);
    if (status == TW_OK) {
        *ret_file = *file;
    }
    return status;
}

/* Whether a batch that has not ended needs it. */
static enum tw_status delete_file(struct tw_hub *hub, void *context, struct tw_error *error)
{
    struct held_file *held = context;
    const struct tw_db_value id = tw_db_integer(held->file.id);
    const struct tw_db_value values[] = {id, id, id};
    int64_t n = 0;
    enum tw_status status = count(hub->db,
                                  "SELECT COUNT(*) FROM batch WHERE ended_ns = 0"
                                  " AND (input = ? OR output = ? OR errors = ?)",
                                  values, COUNT(values), &n, error);
    if (status == TW_OK && n > 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a batch is working on the file '%s': cancel it first, or wait",
                            held->file.name);
    }
    if (status == TW_OK) {
        status = end_file(hub, held, error);
    }
    return status == TW_OK ? record_file(hub, TW_AUDIT_FILE_DELETED, held, error) : status;
}

enum tw_status tw_batches_delete_file(struct tw_batches *batches,
                                      const struct tw_hub_caller *caller, const char *name,
                                      struct tw_error *error)
{
    struct held_file held = {.caller = caller};
    enum tw_status status = tw_batches_find_file(batches, caller, name, &held.file, error);
    return status == TW_OK ? tw_batch_write(batches, delete_file, &held, error) : status;
}

/* ---- batches ---- */

struct creating {
    const struct tw_hub_caller *caller;
    const struct tw_batch_order *order;
    struct tw_batch *batch;
};

static enum tw_status record_batch(struct tw_hub *hub, enum tw_audit_kind kind,
                                   const struct tw_hub_caller *caller, const struct tw_batch *batch,
                                   struct tw_error *error)
{
    const struct tw_hub_deed deed = {.caller = caller,
                                     .batch = batch->name,
                                     .endpoint = batch->endpoint,
                                     .file = batch->input_name};
    return tw_hub_record_deed(hub, kind, &deed, error);
}

static const char INSERT_BATCH[] =
    "INSERT INTO batch (id, name, project, api_key, status, endpoint, data_class, input, output,"
    " errors, metadata, faults, created_ns, expires_ns, started_ns, finalizing_ns, ended_ns,"
    " cancelling_ns, n_total, n_completed, n_failed, prompt_tokens, cached_tokens, answer_tokens,"
    " output_bytes, error_bytes, hub) VALUES (?, ?, ?, ?, 'validating', ?, ?, ?, 0, 0, ?, '', ?, ?,"
    " 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)";

static enum tw_status insert_batch(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct creating *creating = context;
    struct tw_batch *batch = creating->batch;
    const struct tw_db_value project = tw_db_integer(batch->project);
    const struct tw_db_value input[] = {tw_db_integer(batch->input)};
    int64_t n_open = 0, n_there = 0;
    enum tw_status status =
        count(hub->db, "SELECT COUNT(*) FROM batch WHERE project = ? AND ended_ns = 0", &project, 1,
              &n_open, error);
    if (status == TW_OK) { /* it may have been deleted since it was found */
        status = count(hub->db, "SELECT COUNT(*) FROM batch_file WHERE id = ? AND ended_ns IS NULL",
                       input, 1, &n_there, error);
    }
    if (status == TW_OK && n_there == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "there is no file '%.60s'",
                            creating->order->input);
    }
    if (status == TW_OK && n_open >= TW_LIMIT_BATCH_OPEN) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the project has %lld batches that have not ended, and may have %d: "
                            "wait, or cancel some",
                            (long long)n_open, TW_LIMIT_BATCH_OPEN);
    }
    batch->id = hub->ledger.books.next_id++;
    snprintf(batch->currency, sizeof batch->currency, "%s", hub->ledger.books.currency);
    batch->created_ns = hub->now_ns;
    batch->expires_ns = hub->now_ns + creating->order->window_s * TW_SECOND_NS;
    const struct tw_db_value values[] = {
        tw_db_integer(batch->id),         tw_db_text(batch->name),
        tw_db_integer(batch->project),    tw_db_integer(batch->key),
        tw_db_text(batch->endpoint),      tw_db_text(batch->data_class),
        tw_db_integer(batch->input),      tw_db_text(batch->metadata),
        tw_db_integer(batch->created_ns), tw_db_integer(batch->expires_ns)};
    if (status == TW_OK) {
        status = tw_batch_run(hub->db, INSERT_BATCH, values, COUNT(values), error);
    }
    return status == TW_OK
               ? record_batch(hub, TW_AUDIT_BATCH_CREATED, creating->caller, batch, error)
               : status;
}

enum tw_status tw_batches_create(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const struct tw_batch_order *order, struct tw_batch *ret_batch,
                                 struct tw_error *error)
{
    struct tw_batch_file file;
    struct tw_batch batch = {.project = tw_batch_project(caller), .key = caller->key->id};
    struct creating creating = {.caller = caller, .order = order, .batch = &batch};
    enum tw_status status = tw_batches_find_file(batches, caller, order->input, &file, error);
    if (status == TW_OK && strcmp(file.purpose, "batch") != 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "the file '%s' has the purpose '%s': a batch needs one with 'batch'",
                              file.name, file.purpose);
    }
    if (status != TW_OK) {
        return status;
    }
    make_name("batch_", batch.name);
    batch.input = file.id;
    snprintf(batch.input_name, sizeof batch.input_name, "%s", file.name);
    snprintf(batch.endpoint, sizeof batch.endpoint, "%s", order->endpoint);
    snprintf(batch.metadata, sizeof batch.metadata, "%s", order->metadata);
    snprintf(batch.data_class, sizeof batch.data_class, "%s", order->data_class);
    status = tw_batch_write(batches, insert_batch, &creating, error);
    if (status == TW_OK) {
        *ret_batch = batch;
    }
    return status;
}

static enum tw_status cancel(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct creating *cancelling = context;
    struct tw_batch *batch = cancelling->batch;
    int64_t ended_ns = 0;
    bool has_row = false;
    const struct tw_db_value values[] = {tw_db_integer(hub->now_ns), tw_db_integer(batch->id)};
    enum tw_status status = tw_batch_number(
        hub->db,
        "UPDATE batch SET status = 'cancelling', cancelling_ns = ? WHERE id = ? AND ended_ns = 0"
        " AND status IN ('validating', 'in_progress') RETURNING ended_ns",
        values, COUNT(values), &has_row, &ended_ns, error);
    if (status == TW_OK && has_row) {
        batch->status = TW_BATCH_CANCELLING;
        batch->cancelling_ns = hub->now_ns;
        status = record_batch(hub, TW_AUDIT_BATCH_CANCELLED, cancelling->caller, batch, error);
    }
    return status;
}

enum tw_status tw_batches_cancel(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const char *name, struct tw_batch *ret_batch,
                                 struct tw_error *error)
{
    struct tw_batch batch;
    struct creating cancelling = {.caller = caller, .batch = &batch};
    enum tw_status status = tw_batches_find(batches, caller, name, &batch, error);
    if (status == TW_OK && batch.ended_ns != 0 && batch.status != TW_BATCH_CANCELLED) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "the batch '%s' is %s: there is nothing to cancel", batch.name,
                              tw_batch_status_name(batch.status));
    }
    if (status == TW_OK) {
        status = tw_batch_write(batches, cancel, &cancelling, error);
    }
    if (status == TW_OK) {
        *ret_batch = batch;
    }
    return status;
}

/* ---- working on them ---- */

struct claiming {
    size_t most;
};

static enum tw_status claim(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct claiming *claiming = context;
    const int64_t alive_ns =
        tw_db_is_postgres(hub->db) ? hub->now_ns - TW_LIMIT_HUB_LEASE_NS : INT64_MAX;
    const struct tw_db_value self = tw_db_integer(hub->ledger.self);
    int64_t n_own = 0;
    enum tw_status status =
        count(hub->db, "SELECT COUNT(*) FROM batch WHERE ended_ns = 0 AND hub = ?", &self, 1,
              &n_own, error);
    if (status != TW_OK || n_own >= (int64_t)claiming->most) {
        return status;
    }
    const struct tw_db_value values[] = {self, self, tw_db_integer(alive_ns),
                                         tw_db_integer((int64_t)claiming->most - n_own)};
    return tw_batch_run(
        hub->db,
        "UPDATE batch SET hub = ? WHERE id IN (SELECT b.id FROM batch b WHERE b.ended_ns = 0"
        " AND b.hub <> ? AND NOT EXISTS (SELECT 1 FROM hub_process p WHERE p.id = b.hub"
        " AND p.seen_ns > ?) ORDER BY b.id LIMIT ?)",
        values, COUNT(values), error);
}

struct own {
    struct tw_batch *batches;
    size_t n, most;
};

static bool take_own(void *context, struct tw_db_statement *row)
{
    struct own *own = context;
    tw_batch_take_row(row, &own->batches[own->n++]);
    return own->n < own->most;
}

/* How many wait for somebody who works on them: without any of those nothing is written. */
static bool take_count(void *context, struct tw_db_statement *row)
{
    *(int64_t *)context = tw_db_column_integer(row, 0);
    return false;
}

enum tw_status tw_batches_claim(struct tw_batches *batches, size_t most,
                                struct tw_batch *ret_batches, size_t *ret_n, struct tw_error *error)
{
    struct claiming claiming = {.most = most};
    struct own own = {.batches = ret_batches, .most = most};
    const struct tw_db_value self = tw_db_integer(batches->hub->ledger.self);
    char sql[TW_BATCH_SQL_BYTES];
    int64_t n_others = 0;
    enum tw_status status =
        tw_batch_rows(batches, "SELECT COUNT(*) FROM batch WHERE ended_ns = 0 AND hub <> ?", &self,
                      1, take_count, &n_others, error);
    if (status == TW_OK && n_others > 0) {
        status = tw_batch_write(batches, claim, &claiming, error);
    }
    snprintf(sql, sizeof sql, "%s WHERE b.ended_ns = 0 AND b.hub = ? ORDER BY b.id",
             tw_batch_columns);
    if (status == TW_OK) {
        status = tw_batch_rows(batches, sql, &self, 1, take_own, &own, error);
    }
    *ret_n = own.n;
    return status;
}

static enum tw_status give_back(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct tw_batch *batch = context;
    const struct tw_db_value values[] = {tw_db_integer(batch->id), tw_db_integer(hub->ledger.self)};
    return tw_batch_run(hub->db,
                        "UPDATE batch SET hub = 0 WHERE id = ? AND hub = ? AND ended_ns = 0",
                        values, COUNT(values), error);
}

enum tw_status tw_batches_give_back(struct tw_batches *batches, struct tw_batch *batch,
                                    struct tw_error *error)
{
    return tw_batch_write(batches, give_back, batch, error);
}

static bool take_one(void *context, struct tw_db_statement *row)
{
    tw_batch_take_row(row, context);
    return false;
}

enum tw_status tw_batches_look(struct tw_batches *batches, struct tw_batch *batch,
                               struct tw_error *error)
{
    const struct tw_db_value id = tw_db_integer(batch->id);
    char sql[TW_BATCH_SQL_BYTES];
    snprintf(sql, sizeof sql, "%s WHERE b.id = ?", tw_batch_columns);
    return tw_batch_rows(batches, sql, &id, 1, take_one, batch, error);
}

struct step {
    struct tw_batch *batch;
    int64_t n_lines;
    const char *faults;
    enum tw_batch_status status;
};

static enum tw_status missed(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION, "another hub works on the batch");
}

/* Its results: rows of files that nobody sees before it has ended. */
static enum tw_status make_results(struct tw_hub *hub, const struct tw_batch *batch,
                                   int64_t ret_files[2], struct tw_error *error)
{
    struct tw_batch_file files[2] = {{.purpose = "batch_output"}, {.purpose = "batch_output"}};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < 2; i++) {
        make_name("file-", files[i].name);
        snprintf(files[i].filename, sizeof files[i].filename, "%s_%s.jsonl", batch->name,
                 i == 0 ? "output" : "error");
        files[i].created_ns = hub->now_ns;
        files[i].expires_ns = INT64_MAX; /* until the batch has ended */
        status = insert_file(hub, batch->project, &files[i], error);
        ret_files[i] = files[i].id;
    }
    return status;
}

static enum tw_status begin(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct step *step = context;
    const struct tw_batch *batch = step->batch;
    bool has_row = false;
    int64_t id = 0, files[2] = {0, 0};
    const bool is_bad = step->faults != NULL;
    enum tw_status status = is_bad ? TW_OK : make_results(hub, batch, files, error);
    const struct tw_db_value values[] = {
        tw_db_text(tw_batch_status_name(is_bad ? TW_BATCH_FAILED : TW_BATCH_IN_PROGRESS)),
        tw_db_text(is_bad ? step->faults : ""),
        tw_db_integer(is_bad ? 0 : hub->now_ns),
        tw_db_integer(is_bad ? hub->now_ns : 0),
        tw_db_integer(step->n_lines),
        tw_db_integer(files[0]),
        tw_db_integer(files[1]),
        tw_db_integer(batch->id),
        tw_db_integer(hub->ledger.self)};
    if (status == TW_OK) {
        status = tw_batch_number(
            hub->db,
            "UPDATE batch SET status = ?, faults = ?, started_ns = ?, ended_ns = ?, n_total = ?,"
            " output = ?, errors = ? WHERE id = ? AND hub = ? AND status = 'validating'"
            " RETURNING id",
            values, COUNT(values), &has_row, &id, error);
    }
    if (status == TW_OK && !has_row && !is_bad) { /* cancelled or lost: the files go with it */
        const struct tw_db_value ids[] = {tw_db_integer(files[0]), tw_db_integer(files[1])};
        status = tw_batch_run(hub->db, "DELETE FROM batch_file WHERE id IN (?, ?)", ids, 2, error);
    }
    return status;
}

enum tw_status tw_batches_begin(struct tw_batches *batches, struct tw_batch *batch, int64_t n_lines,
                                const char *faults, struct tw_error *error)
{
    struct step step = {.batch = batch, .n_lines = n_lines, .faults = faults};
    enum tw_status status = tw_batch_write(batches, begin, &step, error);
    return status == TW_OK ? tw_batches_look(batches, batch, error) : status;
}

/* A file with its lines counted is seen from now on; an empty one is not needed. */
static enum tw_status show_file(struct tw_hub *hub, const struct tw_batch *batch, int64_t file,
                                const char *bytes, const char *lines, struct tw_error *error)
{
    char sql[512];
    const struct tw_db_value values[] = {
        tw_db_integer(batch->id), tw_db_integer(batch->id),
        tw_db_integer(hub->now_ns + lifetime_ns(hub, batch->project, 0)),
        tw_db_integer(hub->now_ns), tw_db_integer(file)};
    snprintf(sql, sizeof sql,
             "UPDATE batch_file SET n_bytes = (SELECT %s FROM batch WHERE id = ?),"
             " n_lines = (SELECT %s FROM batch WHERE id = ?), expires_ns = ?, created_ns = ?,"
             " is_ready = 1 WHERE id = ?",
             bytes, lines);
    return tw_batch_run(hub->db, sql, values, COUNT(values), error);
}

static const char DROP_EMPTY[] = "UPDATE batch_file SET ended_ns = ? WHERE id = ? AND n_lines = 0";
static const char FORGET_EMPTY[] =
    "UPDATE batch SET output = CASE WHEN n_completed = 0 THEN 0 ELSE output END,"
    " errors = CASE WHEN n_failed = 0 THEN 0 ELSE errors END WHERE id = ?";

static enum tw_status show_results(struct tw_hub *hub, const struct tw_batch *batch,
                                   struct tw_error *error)
{
    const int64_t files[] = {batch->output, batch->errors};
    const struct tw_db_value id = tw_db_integer(batch->id);
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < 2; i++) {
        const struct tw_db_value values[] = {tw_db_integer(hub->now_ns), tw_db_integer(files[i])};
        status = show_file(hub, batch, files[i], i == 0 ? "output_bytes" : "error_bytes",
                           i == 0 ? "n_completed" : "n_failed", error);
        if (status == TW_OK) {
            status = tw_batch_run(hub->db, DROP_EMPTY, values, COUNT(values), error);
        }
    }
    return status == TW_OK ? tw_batch_run(hub->db, FORGET_EMPTY, &id, 1, error) : status;
}

static enum tw_status finish(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct step *step = context;
    const struct tw_batch *batch = step->batch;
    const bool ends = step->status != TW_BATCH_FINALIZING;
    bool has_row = false;
    int64_t id = 0;
    const struct tw_db_value values[] = {tw_db_text(tw_batch_status_name(step->status)),
                                         tw_db_integer(ends ? 0 : hub->now_ns),
                                         tw_db_integer(ends ? hub->now_ns : 0),
                                         tw_db_integer(batch->id), tw_db_integer(hub->ledger.self)};
    enum tw_status status = tw_batch_number(
        hub->db,
        "UPDATE batch SET status = ?, finalizing_ns = finalizing_ns + ?, ended_ns = ?"
        " WHERE id = ? AND hub = ? AND ended_ns = 0 RETURNING id",
        values, COUNT(values), &has_row, &id, error);
    if (status == TW_OK && !has_row) {
        return missed(error);
    }
    return status == TW_OK && ends && batch->output != 0 ? show_results(hub, batch, error) : status;
}

enum tw_status tw_batches_finish(struct tw_batches *batches, struct tw_batch *batch,
                                 enum tw_batch_status status, struct tw_error *error)
{
    struct step step = {.batch = batch, .status = status};
    enum tw_status done = tw_batch_write(batches, finish, &step, error);
    return done == TW_OK ? tw_batches_look(batches, batch, error) : done;
}

/* ---- what is to go ---- */

/* Whoever must be kept stays until that is over. */
#define IS_NOT_HELD                                                                                \
    " AND NOT EXISTS (SELECT 1 FROM legal_hold h WHERE h.subject = l.subject AND h.released_ns"    \
    " IS NULL AND (h.scope IN (0, l.project) OR h.scope IN (SELECT t.id FROM holder p"             \
    " JOIN holder t ON t.id = p.parent WHERE p.id = l.project) OR h.scope IN (SELECT t.parent"     \
    " FROM holder p JOIN holder t ON t.id = p.parent WHERE p.id = l.project)))"

static const char EXPIRE[] =
    "UPDATE batch_file SET ended_ns = ? WHERE id IN (SELECT f.id FROM batch_file f"
    " WHERE f.ended_ns IS NULL AND (f.expires_ns <= ? OR (f.is_ready = 0 AND f.created_ns <= ?"
    " AND f.purpose = 'batch')) AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.ended_ns = 0"
    " AND b.input = f.id) LIMIT ?)";
static const char DELETE_LINES[] =
    "DELETE FROM batch_line WHERE (file, line) IN (SELECT l.file, l.line FROM batch_line l"
    " JOIN batch_file f ON f.id = l.file WHERE f.ended_ns IS NOT NULL" IS_NOT_HELD " LIMIT ?)";
static const char DELETE_FILES[] =
    "DELETE FROM batch_file WHERE id IN (SELECT f.id FROM batch_file f WHERE f.ended_ns IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM batch_line l WHERE l.file = f.id) LIMIT ?)";
static const char HAS_DUE[] =
    "SELECT COUNT(*) FROM batch_file f WHERE (f.ended_ns IS NULL AND (f.expires_ns <= ?"
    " OR (f.is_ready = 0 AND f.created_ns <= ? AND f.purpose = 'batch')) AND NOT EXISTS (SELECT 1"
    " FROM batch b WHERE b.ended_ns = 0 AND b.input = f.id)) OR (f.ended_ns IS NOT NULL AND (NOT"
    " EXISTS (SELECT 1 FROM batch_line l WHERE l.file = f.id) OR EXISTS (SELECT 1 FROM batch_line l"
    " WHERE l.file = f.id" IS_NOT_HELD ")))";

static enum tw_status tend(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct tw_db_value most = tw_db_integer(TW_LIMIT_BATCH_PIECE_LINES);
    const struct tw_db_value values[] = {tw_db_integer(hub->now_ns), tw_db_integer(hub->now_ns),
                                         tw_db_integer(hub->now_ns - TW_LIMIT_BATCH_UPLOAD_NS),
                                         most};
    (void)context;
    enum tw_status status = tw_batch_run(hub->db, EXPIRE, values, COUNT(values), error);
    if (status == TW_OK) {
        status = tw_batch_run(hub->db, DELETE_LINES, &most, 1, error);
    }
    return status == TW_OK ? tw_batch_run(hub->db, DELETE_FILES, &most, 1, error) : status;
}

enum tw_status tw_batches_tend(struct tw_batches *batches, bool *ret_has_more,
                               struct tw_error *error)
{
    const int64_t now_ns = tw_hub_now_ns(batches->hub);
    const struct tw_db_value values[] = {tw_db_integer(now_ns),
                                         tw_db_integer(now_ns - TW_LIMIT_BATCH_UPLOAD_NS)};
    int64_t n_due = 0;
    enum tw_status status =
        tw_batch_rows(batches, HAS_DUE, values, COUNT(values), take_count, &n_due, error);
    *ret_has_more = n_due > 0;
    return status == TW_OK && n_due > 0 ? tw_batch_write(batches, tend, NULL, error) : status;
}
