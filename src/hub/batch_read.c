#include <stdio.h>
#include <string.h>

#include "hub/batch_state.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

const char tw_batch_columns[] =
    "SELECT b.id, b.name, b.project, b.api_key, b.status, b.endpoint, b.data_class, b.input,"
    " b.output, b.errors, b.metadata, b.faults, b.created_ns, b.expires_ns, b.started_ns,"
    " b.finalizing_ns, b.ended_ns, b.cancelling_ns, b.n_total, b.n_completed, b.n_failed,"
    " b.prompt_tokens, b.cached_tokens, b.answer_tokens, i.name, o.name, e.name,"
    " i.data_class, b.amount_nano, (SELECT currency FROM books) FROM batch b"
    " LEFT JOIN batch_file i ON i.id = b.input AND i.project = b.project"
    " LEFT JOIN batch_file o ON o.id = b.output AND o.project = b.project AND o.is_ready = 1"
    " AND o.ended_ns IS NULL"
    " LEFT JOIN batch_file e ON e.id = b.errors AND e.project = b.project AND e.is_ready = 1"
    " AND e.ended_ns IS NULL";

static void take_text(struct tw_db_statement *row, int column, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s", tw_db_column_text(row, column));
}

static enum tw_batch_status status_of(const char *name)
{
    for (int i = 0; i < TW_BATCH_STATUS_COUNT; i++) {
        if (strcmp(name, tw_batch_status_name((enum tw_batch_status)i)) == 0) {
            return (enum tw_batch_status)i;
        }
    }
    return TW_BATCH_FAILED;
}

void tw_batch_take_row(struct tw_db_statement *row, struct tw_batch *ret_batch)
{
    struct tw_batch *batch = ret_batch;
    *batch = (struct tw_batch){.id = tw_db_column_integer(row, 0),
                               .project = tw_db_column_integer(row, 2),
                               .key = tw_db_column_integer(row, 3),
                               .status = status_of(tw_db_column_text(row, 4)),
                               .input = tw_db_column_integer(row, 7),
                               .output = tw_db_column_integer(row, 8),
                               .errors = tw_db_column_integer(row, 9),
                               .created_ns = tw_db_column_integer(row, 12),
                               .expires_ns = tw_db_column_integer(row, 13),
                               .started_ns = tw_db_column_integer(row, 14),
                               .finalizing_ns = tw_db_column_integer(row, 15),
                               .ended_ns = tw_db_column_integer(row, 16),
                               .cancelling_ns = tw_db_column_integer(row, 17),
                               .n_total = tw_db_column_integer(row, 18),
                               .n_completed = tw_db_column_integer(row, 19),
                               .n_failed = tw_db_column_integer(row, 20),
                               .n_prompt_tokens = tw_db_column_integer(row, 21),
                               .n_cached_tokens = tw_db_column_integer(row, 22),
                               .n_answer_tokens = tw_db_column_integer(row, 23),
                               .amount_nano = tw_db_column_integer(row, 28)};
    take_text(row, 1, batch->name, sizeof batch->name);
    take_text(row, 5, batch->endpoint, sizeof batch->endpoint);
    take_text(row, 6, batch->data_class, sizeof batch->data_class);
    take_text(row, 10, batch->metadata, sizeof batch->metadata);
    take_text(row, 11, batch->faults, sizeof batch->faults);
    take_text(row, 24, batch->input_name, sizeof batch->input_name);
    take_text(row, 25, batch->output_name, sizeof batch->output_name);
    take_text(row, 26, batch->errors_name, sizeof batch->errors_name);
    take_text(row, 27, batch->file_class, sizeof batch->file_class);
    take_text(row, 29, batch->currency, sizeof batch->currency);
}

int64_t tw_batch_project(const struct tw_hub_caller *caller)
{
    return tw_holder_above(caller->key, TW_HOLDER_PROJECT)->id;
}

/* What could not be read is read by another connection next time. */
enum tw_status tw_batch_rows(struct tw_batches *batches, const char *sql,
                             const struct tw_db_value *values, size_t n, tw_batch_row_fn take,
                             void *context, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    pthread_mutex_lock(&batches->lock);
    enum tw_status status = TW_OK;
    if (batches->db == NULL) {
        status = tw_db_open(batches->hub->config.address, TW_DB_READ, &batches->db, error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(batches->db, sql, &row, error);
    }
    if (status == TW_OK) {
        status = tw_db_query(row, values, n, error);
    }
    while (status == TW_OK && has_row) {
        status = tw_db_next(row, &has_row, error);
        has_row = status == TW_OK && has_row && take(context, row);
    }
    tw_db_finalize(row);
    if (status != TW_OK) {
        tw_db_close(batches->db);
        batches->db = NULL;
    }
    pthread_mutex_unlock(&batches->lock);
    return status;
}

/* ---- files ---- */

#define FILE_COLUMNS                                                                               \
    "SELECT id, name, purpose, filename, n_bytes, n_lines, created_ns, expires_ns, data_class"     \
    " FROM batch_file WHERE project = ? AND is_ready = 1 AND ended_ns IS NULL AND expires_ns > ?"

struct files {
    struct tw_batch_file *files;
    size_t n, most;
};

static bool take_file(void *context, struct tw_db_statement *row)
{
    struct files *files = context;
    struct tw_batch_file *file = &files->files[files->n++];
    *file = (struct tw_batch_file){.id = tw_db_column_integer(row, 0),
                                   .n_bytes = tw_db_column_integer(row, 4),
                                   .n_lines = tw_db_column_integer(row, 5),
                                   .created_ns = tw_db_column_integer(row, 6),
                                   .expires_ns = tw_db_column_integer(row, 7)};
    take_text(row, 1, file->name, sizeof file->name);
    take_text(row, 2, file->purpose, sizeof file->purpose);
    take_text(row, 3, file->filename, sizeof file->filename);
    take_text(row, 8, file->data_class, sizeof file->data_class);
    return files->n < files->most;
}

enum tw_status tw_batches_find_file(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                    const char *name, struct tw_batch_file *ret_file,
                                    struct tw_error *error)
{
    struct tw_batch_file file;
    struct files files = {.files = &file, .most = 1};
    const struct tw_db_value values[] = {tw_db_integer(tw_batch_project(caller)),
                                         tw_db_integer(tw_hub_now_ns(batches->hub)),
                                         tw_db_text(name)};
    enum tw_status status = tw_batch_rows(batches, FILE_COLUMNS " AND name = ?", values,
                                          COUNT(values), take_file, &files, error);
    if (status == TW_OK && files.n == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there is no file '%.60s'; GET /v1/files lists those there are", name);
    }
    if (status == TW_OK) {
        *ret_file = file;
    }
    return status;
}

enum tw_status tw_batches_list_files(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                     const char *after, const char *purpose, bool ascends,
                                     size_t most, struct tw_batch_file *ret_files, size_t *ret_n,
                                     struct tw_error *error)
{
    struct files files = {.files = ret_files, .most = most};
    struct tw_batch_file first = {.id = ascends ? 0 : INT64_MAX};
    enum tw_status status =
        after != NULL ? tw_batches_find_file(batches, caller, after, &first, error) : TW_OK;
    const struct tw_db_value values[] = {tw_db_integer(tw_batch_project(caller)),
                                         tw_db_integer(tw_hub_now_ns(batches->hub)),
                                         tw_db_integer(first.id),
                                         tw_db_text(purpose != NULL ? purpose : ""),
                                         tw_db_text(purpose != NULL ? purpose : ""),
                                         tw_db_integer((int64_t)most)};
    if (status == TW_OK) {
        status = tw_batch_rows(batches,
                               ascends ? FILE_COLUMNS " AND id > ? AND (CAST(? AS TEXT) = ''"
                                                      " OR purpose = ?) ORDER BY id LIMIT ?"
                                       : FILE_COLUMNS " AND id < ? AND (CAST(? AS TEXT) = ''"
                                                      " OR purpose = ?) ORDER BY id DESC LIMIT ?",
                               values, COUNT(values), take_file, &files, error);
    }
    *ret_n = files.n;
    return status;
}

/* ---- batches ---- */

struct batches {
    struct tw_batch *batches;
    size_t n, most;
};

static bool take_batch(void *context, struct tw_db_statement *row)
{
    struct batches *batches = context;
    tw_batch_take_row(row, &batches->batches[batches->n++]);
    return batches->n < batches->most;
}

enum tw_status tw_batches_find(struct tw_batches *batches, const struct tw_hub_caller *caller,
                               const char *name, struct tw_batch *ret_batch, struct tw_error *error)
{
    struct batches found = {.batches = ret_batch, .most = 1};
    const struct tw_db_value values[] = {tw_db_integer(tw_batch_project(caller)), tw_db_text(name)};
    char sql[TW_BATCH_SQL_BYTES];
    snprintf(sql, sizeof sql, "%s WHERE b.project = ? AND b.name = ?", tw_batch_columns);
    enum tw_status status =
        tw_batch_rows(batches, sql, values, COUNT(values), take_batch, &found, error);
    if (status == TW_OK && found.n == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there is no batch '%.60s'; GET /v1/batches lists those there are",
                            name);
    }
    return status;
}

enum tw_status tw_batches_list(struct tw_batches *batches, const struct tw_hub_caller *caller,
                               const char *after, size_t most, struct tw_batch *ret_batches,
                               size_t *ret_n, struct tw_error *error)
{
    struct batches found = {.batches = ret_batches, .most = most};
    int64_t before = INT64_MAX;
    enum tw_status status = TW_OK;
    char sql[TW_BATCH_SQL_BYTES];
    if (after != NULL) {
        status = tw_batches_find(batches, caller, after, &ret_batches[0], error);
        before = ret_batches[0].id;
    }
    const struct tw_db_value values[] = {tw_db_integer(tw_batch_project(caller)),
                                         tw_db_integer(before), tw_db_integer((int64_t)most)};
    snprintf(sql, sizeof sql, "%s WHERE b.project = ? AND b.id < ? ORDER BY b.id DESC LIMIT ?",
             tw_batch_columns);
    if (status == TW_OK) {
        status = tw_batch_rows(batches, sql, values, COUNT(values), take_batch, &found, error);
    }
    *ret_n = found.n;
    return status;
}

enum tw_status tw_batches_caller(struct tw_batches *batches, const struct tw_batch *batch,
                                 struct tw_hub_caller *ret_caller, struct tw_error *error)
{
    struct tw_hub *hub = batches->hub;
    const int64_t now_ns = tw_hub_now_ns(hub);
    struct tw_hub_caller caller = {.key = NULL};
    pthread_rwlock_rdlock(&hub->directory.lock);
    struct tw_holder *key = tw_directory_holder(&hub->directory, batch->key);
    const struct tw_holder *project = key != NULL ? tw_holder_above(key, TW_HOLDER_PROJECT) : NULL;
    for (const struct tw_secret *secret = project != NULL ? key->secrets : NULL; secret != NULL;
         secret = secret->next_of_owner) {
        const int64_t expires_ns = secret->expires_ns;
        if (secret->is_open && (expires_ns == 0 || expires_ns > now_ns) && tw_holder_is_open(key) &&
            project->is_announced) {
            caller = (struct tw_hub_caller){.key = key,
                                            .secret = secret,
                                            .project = project->number,
                                            .weight = (uint32_t)project->settings.weight,
                                            .priority_class = (int)project->settings.priority_class,
                                            .may_use_special = key->settings.may_use_special};
            break;
        }
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    if (caller.key == NULL) {
        return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                            "the key that asked for the batch was revoked, or has expired");
    }
    *ret_caller = caller;
    return TW_OK;
}
