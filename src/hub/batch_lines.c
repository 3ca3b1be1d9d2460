#include <stdio.h>
#include <string.h>

#include "hub/batch_state.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define LINE_BITS     20 /* more than TW_LIMIT_BATCH_LINES has */
#define HEAD_BYTES    4096

/* ---- sealing ---- */

int64_t tw_batch_line_number(int64_t file, int64_t line)
{
    return -(file << LINE_BITS | line);
}

enum tw_status tw_batch_line_key(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const char *user, size_t user_bytes,
                                 struct tw_subject_key **ret_key, struct tw_error *error)
{
    struct tw_subject_keys *keys = batches->hub->content.keys;
    struct tw_holder *project = tw_holder_above(caller->key, TW_HOLDER_PROJECT);
    const struct tw_person *person = caller->secret->person;
    char number[24];
    const int64_t id = person != NULL ? person->id : project->id;
    const int n = snprintf(number, sizeof number, "%lld", (long long)id);
    const struct tw_subject subject =
        user_bytes > 0
            ? tw_subject_of(keys, TW_SUBJECT_USER, user, user_bytes)
            : tw_subject_of(keys, person != NULL ? TW_SUBJECT_PERSON : TW_SUBJECT_PROJECT, number,
                            (size_t)n);
    return tw_subject_keys_take(keys, &subject, project->id,
                                user_bytes > 0 ? &project->new_subjects : NULL,
                                tw_hub_now_ns(batches->hub), ret_key, error);
}

enum tw_status tw_batch_insert_line(struct tw_db *db, int64_t file, int64_t line, int64_t project,
                                    struct tw_subject_key *key, const struct tw_buf *sealed,
                                    struct tw_error *error)
{
    const struct tw_subject *subject = tw_subject_key_subject(key);
    const struct tw_db_value values[] = {tw_db_integer(file), tw_db_integer(line),
                                         tw_db_integer(project),
                                         tw_db_bytes(subject->bytes, sizeof subject->bytes),
                                         tw_db_bytes(sealed->data, sealed->size_bytes)};
    return tw_batch_run(
        db, "INSERT INTO batch_line (file, line, project, subject, sealed) VALUES (?, ?, ?, ?, ?)",
        values, COUNT(values), error);
}

/* ---- reading ---- */

struct reading {
    struct tw_batches *batches;
    int64_t project, file;
    struct tw_subject subject; /* of key */
    struct tw_subject_key *key;
    tw_batch_line_fn told;
    void *context;
    int64_t last;
    int64_t absent; /* line whose key is not here, behind which nothing was read; 0: none */
    size_t n_bytes;
    enum tw_status status;
    struct tw_error error;
};

/* The key of a row: as a rule that of the one before. NULL: it was erased. */
static enum tw_status find_key(struct reading *reading, struct tw_db_statement *row,
                               struct tw_subject_key **ret_key)
{
    struct tw_subject subject = {{0}};
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(row, 1, &n_bytes);
    if (n_bytes == sizeof subject.bytes) {
        memcpy(subject.bytes, bytes, n_bytes);
    }
    enum tw_status status = TW_OK;
    if (reading->key == NULL || memcmp(&subject, &reading->subject, sizeof subject) != 0) {
        tw_subject_key_give_back(reading->key);
        reading->key = NULL;
        reading->subject = subject;
        status = tw_subject_keys_find(reading->batches->hub->content.keys, &subject,
                                      reading->project, &reading->key, &reading->error);
    }
    *ret_key = reading->key;
    return status == TW_ERR_NOT_FOUND ? TW_OK : status;
}

static bool take_line(void *context, struct tw_db_statement *row)
{
    struct reading *reading = context;
    struct tw_subject_key *key = NULL;
    struct tw_buf plain;
    size_t n_sealed = 0;
    const int64_t line = tw_db_column_integer(row, 0);
    const void *sealed = tw_db_column_bytes(row, 2, &n_sealed);
    reading->status = find_key(reading, row, &key);
    if (reading->status != TW_OK) {
        return false;
    }
    tw_buf_init(&plain, TW_LIMIT_DB_VALUE_BYTES);
    enum tw_status status =
        key == NULL ? TW_ERR_NOT_FOUND
                    : tw_subject_key_unseal(key, tw_batch_line_number(reading->file, line), sealed,
                                            n_sealed, &plain, &reading->error);
    bool goes_on = false;
    if (status == TW_OK) {
        goes_on = reading->told(reading->context, line, plain.data, plain.size_bytes);
        reading->last = line;
        reading->n_bytes += n_sealed;
    } else if (status == TW_ERR_NOT_FOUND || status == TW_ERR_FORMAT) {
        reading->absent = line; /* TW_ERR_FORMAT: there is another key of the subject */
    } else {
        reading->status = status;
    }
    tw_buf_free(&plain);
    return goes_on && reading->n_bytes < TW_LIMIT_BATCH_PIECE_BYTES;
}

static bool take_any(void *context, struct tw_db_statement *row)
{
    (void)row;
    *(bool *)context = true;
    return false;
}

/* A line without its key was erased, or is another hub's. */
static enum tw_status tell_absent(struct reading *reading, struct tw_error *error)
{
    bool is_erased = false;
    const struct tw_db_value subject =
        tw_db_bytes(reading->subject.bytes, sizeof reading->subject.bytes);
    enum tw_status status =
        tw_batch_rows(reading->batches, "SELECT number FROM erasure WHERE subject = ? LIMIT 1",
                      &subject, 1, take_any, &is_erased, error);
    if (status == TW_OK && !is_erased) {
        return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                            "line %lld of a file is sealed with a key that this hub has not: where "
                            "there are several hubs, their folder 'subjects' must be the same",
                            (long long)reading->absent);
    }
    if (status == TW_OK) {
        reading->told(reading->context, reading->absent, NULL, 0);
        reading->last = reading->absent;
    }
    return status;
}

enum tw_status tw_batches_read_lines(struct tw_batches *batches, int64_t project, int64_t file,
                                     int64_t after, tw_batch_line_fn told, void *context,
                                     int64_t *ret_last, struct tw_error *error)
{
    struct reading reading = {.batches = batches,
                              .project = project,
                              .file = file,
                              .told = told,
                              .context = context,
                              .last = after};
    const struct tw_db_value values[] = {tw_db_integer(file), tw_db_integer(after),
                                         tw_db_integer(TW_LIMIT_BATCH_PIECE_LINES / 4)};
    enum tw_status status =
        tw_batch_rows(batches,
                      "SELECT line, subject, sealed FROM batch_line WHERE file = ? AND line > ?"
                      " ORDER BY line LIMIT ?",
                      values, COUNT(values), take_line, &reading, error);
    tw_subject_key_give_back(reading.key);
    if (status == TW_OK && reading.status != TW_OK) {
        *error = reading.error;
        status = reading.status;
    }
    if (status == TW_OK && reading.absent != 0) {
        status = tell_absent(&reading, error);
    }
    *ret_last = reading.last;
    return status;
}

struct marks {
    bool *done;
    size_t n_lines;
};

static bool mark(void *context, struct tw_db_statement *row)
{
    const struct marks *marks = context;
    const int64_t line = tw_db_column_integer(row, 0);
    if (line > 0 && (size_t)line <= marks->n_lines) {
        marks->done[line - 1] = true;
    }
    return true;
}

enum tw_status tw_batches_mark_done(struct tw_batches *batches, const struct tw_batch *batch,
                                    bool *done, size_t n_lines, struct tw_error *error)
{
    struct marks marks = {.done = done, .n_lines = n_lines};
    const struct tw_db_value values[] = {tw_db_integer(batch->output),
                                         tw_db_integer(batch->errors)};
    return tw_batch_rows(batches, "SELECT line FROM batch_line WHERE file IN (?, ?)", values,
                         COUNT(values), mark, &marks, error);
}

/* ---- results ---- */

enum tw_status tw_hub_line_init(struct tw_hub_line *line, struct tw_batches *batches,
                                const struct tw_batch *batch, const struct tw_hub_caller *caller,
                                int64_t number, const char *user, size_t user_bytes,
                                struct tw_error *error)
{
    *line = (struct tw_hub_line){
        .batch = batch->id, .project = batch->project, .output = batch->output, .line = number};
    tw_buf_init(&line->sealed, TW_LIMIT_DB_VALUE_BYTES);
    return tw_batch_line_key(batches, caller, user, user_bytes, &line->key, error);
}

void tw_hub_line_free(struct tw_hub_line *line)
{
    tw_subject_key_give_back(line->key);
    tw_buf_free(&line->sealed);
    *line = (struct tw_hub_line){.key = NULL};
}

static void begin_result(struct tw_json_writer *writer, const struct tw_hub_line *line,
                         struct tw_buf *out)
{
    char id[64];
    snprintf(id, sizeof id, "batch_req_%llx_%lld", (unsigned long long)line->batch,
             (long long)line->line);
    tw_json_begin(writer, out);
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "id", id);
    tw_json_put_text(writer, "custom_id", line->custom_id);
}

static void put_response(struct tw_json_writer *writer, const struct tw_hub_line *line, int status,
                         const char *body, size_t body_bytes)
{
    tw_json_key(writer, "response");
    tw_json_object_begin(writer);
    tw_json_put_int(writer, "status_code", status);
    tw_json_put_text(writer, "request_id", line->request_id);
    tw_json_key(writer, "body");
    tw_buf_append(writer->buf, body, body_bytes);
    writer->needs_comma = true;
    tw_json_object_end(writer);
}

/* Of what was erased while it ran nothing is kept: sealed stays empty. */
static void seal(struct tw_hub_line *line, int64_t file, struct tw_buf *plain)
{
    tw_buf_append_text(plain, "\n");
    tw_buf_clear(&line->sealed);
    line->n_bytes = (int64_t)plain->size_bytes;
    if (plain->failed || !tw_subject_key_seal(line->key, tw_batch_line_number(file, line->line),
                                              plain->data, plain->size_bytes, &line->sealed)) {
        tw_buf_clear(&line->sealed);
    }
}

void tw_hub_line_answer(struct tw_hub_line *line, const struct tw_buf *body)
{
    struct tw_buf plain;
    struct tw_json_writer writer;
    if (body->failed || body->size_bytes > TW_LIMIT_BATCH_RESULT_BYTES) {
        return;
    }
    tw_buf_init(&plain, body->size_bytes + HEAD_BYTES);
    begin_result(&writer, line, &plain);
    put_response(&writer, line, 200, body->data, body->size_bytes);
    tw_json_put_null(&writer, "error");
    tw_json_object_end(&writer);
    seal(line, line->output, &plain);
    tw_buf_free(&plain);
}

/* By whoever has the batch, while it is worked on: false where that is over. */
static const char COUNT_LINE[] =
    "UPDATE batch SET n_completed = n_completed + 1, prompt_tokens = prompt_tokens + ?,"
    " cached_tokens = cached_tokens + ?, answer_tokens = answer_tokens + ?,"
    " output_bytes = output_bytes + ? WHERE id = ? AND hub = ? AND ended_ns = 0 RETURNING id";

static const char HAS_BATCH[] = "SELECT id FROM batch WHERE id = ? AND hub = ? AND ended_ns = 0";

enum tw_status tw_hub_check_line(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                                 struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(ticket->request.line->batch),
                                         tw_db_integer(hub->ledger.self)};
    bool is_ours = false;
    int64_t id = 0;
    enum tw_status status =
        tw_batch_number(hub->db, HAS_BATCH, values, COUNT(values), &is_ours, &id, error);
    if (status == TW_OK && !is_ours) {
        ticket->usage = (struct tw_hub_usage){.finish = "cancelled"};
    }
    return status;
}

enum tw_status tw_hub_store_line(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                 struct tw_error *error)
{
    struct tw_hub_line *line = ticket->request.line;
    const struct tw_hub_usage *usage = &ticket->usage;
    bool is_ours = false;
    if (line->sealed.size_bytes == 0 || line->sealed.failed) {
        return TW_OK; /* it has no answer */
    }
    int64_t id = 0;
    const struct tw_db_value values[] = {tw_db_integer((int64_t)usage->n_prompt_tokens),
                                         tw_db_integer((int64_t)usage->n_cached_tokens),
                                         tw_db_integer((int64_t)usage->n_answer_tokens),
                                         tw_db_integer(line->n_bytes),
                                         tw_db_integer(line->batch),
                                         tw_db_integer(hub->ledger.self)};
    enum tw_status status =
        tw_batch_number(hub->db, COUNT_LINE, values, COUNT(values), &is_ours, &id, error);
    if (status == TW_OK && is_ours) {
        status = tw_batch_insert_line(hub->db, line->output, line->line, line->project, line->key,
                                      &line->sealed, error);
        line->is_stored = status == TW_OK;
    }
    return status;
}

/* ---- lines without an answer ---- */

struct storing {
    const struct tw_batch *batch;
    const struct tw_batch_error *errors;
    size_t n;
};

static enum tw_status store_errors(struct tw_hub *hub, void *context, struct tw_error *error)
{
    const struct storing *storing = context;
    int64_t n_bytes = 0;
    bool is_ours = false;
    int64_t id = 0;
    for (size_t i = 0; i < storing->n; i++) {
        n_bytes += storing->errors[i].line->n_bytes;
    }
    const struct tw_db_value values[] = {tw_db_integer((int64_t)storing->n), tw_db_integer(n_bytes),
                                         tw_db_integer(storing->batch->id),
                                         tw_db_integer(hub->ledger.self)};
    enum tw_status status =
        tw_batch_number(hub->db,
                        "UPDATE batch SET n_failed = n_failed + ?, error_bytes = error_bytes + ?"
                        " WHERE id = ? AND hub = ? AND ended_ns = 0 RETURNING id",
                        values, COUNT(values), &is_ours, &id, error);
    if (status == TW_OK && !is_ours) {
        return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION, "another hub has the batch");
    }
    for (size_t i = 0; status == TW_OK && i < storing->n; i++) {
        const struct tw_hub_line *line = storing->errors[i].line;
        status = tw_batch_insert_line(hub->db, storing->batch->errors, line->line, line->project,
                                      line->key, &line->sealed, error);
    }
    return status;
}

static void write_error(const struct tw_batch_error *from, struct tw_buf *out)
{
    struct tw_json_writer writer;
    begin_result(&writer, from->line, out);
    if (from->http_status != 0) {
        put_response(&writer, from->line, from->http_status, from->body, from->body_bytes);
        tw_json_put_null(&writer, "error");
    } else {
        tw_json_put_null(&writer, "response");
        tw_json_key(&writer, "error");
        tw_json_object_begin(&writer);
        tw_json_put_text(&writer, "code", from->code);
        tw_json_put_text(&writer, "message", from->message);
        tw_json_object_end(&writer);
    }
    tw_json_object_end(&writer);
}

enum tw_status tw_batches_put_errors(struct tw_batches *batches, const struct tw_batch *batch,
                                     const struct tw_batch_error *errors, size_t n,
                                     struct tw_error *error)
{
    struct storing storing = {.batch = batch, .errors = errors, .n = n};
    for (size_t i = 0; i < n; i++) {
        struct tw_buf plain;
        tw_buf_init(&plain, errors[i].body_bytes + 2 * HEAD_BYTES);
        write_error(&errors[i], &plain);
        seal(errors[i].line, batch->errors, &plain);
        tw_buf_free(&plain);
    }
    return tw_batch_write(batches, store_errors, &storing, error);
}
