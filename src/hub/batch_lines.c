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

enum { PIECE_ROWS = TW_LIMIT_BATCH_PIECE_LINES / 4 };

/* A row as it is stored. */
struct sealed_line {
    int64_t line;
    struct tw_subject subject;
    struct tw_buf sealed;
};

/* Rows are copied while the connection is held, and told when others may have it. */
struct reading {
    struct tw_batches *batches;
    int64_t project, file;
    struct sealed_line lines[PIECE_ROWS];
    size_t n_lines, n_bytes;
    bool has_failed;           /* memory */
    struct tw_subject subject; /* of key */
    struct tw_subject_key *key;
    tw_batch_line_fn told;
    void *context;
    int64_t last;
    int64_t absent; /* line whose key is not here, behind which nothing was told; 0: none */
};

static bool keep_line(void *context, struct tw_db_statement *row)
{
    struct reading *reading = context;
    struct sealed_line *line = &reading->lines[reading->n_lines++];
    size_t n_bytes = 0, n_sealed = 0;
    const void *bytes = tw_db_column_bytes(row, 1, &n_bytes);
    const void *sealed = tw_db_column_bytes(row, 2, &n_sealed);
    line->line = tw_db_column_integer(row, 0);
    if (n_bytes == sizeof line->subject.bytes) {
        memcpy(line->subject.bytes, bytes, n_bytes);
    }
    tw_buf_init(&line->sealed, TW_LIMIT_DB_VALUE_BYTES);
    tw_buf_append(&line->sealed, sealed, n_sealed);
    reading->n_bytes += n_sealed;
    reading->has_failed = line->sealed.failed;
    return !reading->has_failed && reading->n_lines < PIECE_ROWS &&
           reading->n_bytes < TW_LIMIT_BATCH_PIECE_BYTES;
}

/* The key of a line: as a rule that of the one before. NULL: it was erased. */
static enum tw_status find_key(struct reading *reading, const struct tw_subject *subject,
                               struct tw_subject_key **ret_key, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (reading->key == NULL || memcmp(subject, &reading->subject, sizeof *subject) != 0) {
        tw_subject_key_give_back(reading->key);
        reading->key = NULL;
        reading->subject = *subject;
        status = tw_subject_keys_find(reading->batches->hub->content.keys, subject,
                                      reading->project, &reading->key, error);
    }
    *ret_key = reading->key;
    return status == TW_ERR_NOT_FOUND ? TW_OK : status;
}

static enum tw_status tell_line(struct reading *reading, const struct sealed_line *line,
                                bool *ret_goes_on, struct tw_error *error)
{
    struct tw_subject_key *key = NULL;
    struct tw_buf plain;
    *ret_goes_on = false;
    enum tw_status status = find_key(reading, &line->subject, &key, error);
    if (status != TW_OK) {
        return status;
    }
    tw_buf_init(&plain, TW_LIMIT_DB_VALUE_BYTES);
    status = key == NULL
                 ? TW_ERR_NOT_FOUND
                 : tw_subject_key_unseal(key, tw_batch_line_number(reading->file, line->line),
                                         line->sealed.data, line->sealed.size_bytes, &plain, error);
    if (status == TW_OK) {
        *ret_goes_on = reading->told(reading->context, line->line, plain.data, plain.size_bytes);
        reading->last = line->line;
    } else if (status == TW_ERR_NOT_FOUND || status == TW_ERR_FORMAT) {
        reading->absent = line->line; /* TW_ERR_FORMAT: there is another key of the subject */
        status = TW_OK;
    }
    tw_buf_free(&plain);
    return status;
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
                                         tw_db_integer(PIECE_ROWS)};
    enum tw_status status =
        tw_batch_rows(batches,
                      "SELECT line, subject, sealed FROM batch_line WHERE file = ? AND line > ?"
                      " ORDER BY line LIMIT ?",
                      values, COUNT(values), keep_line, &reading, error);
    if (status == TW_OK && reading.has_failed) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for lines");
    }
    bool goes_on = true;
    for (size_t i = 0; i < reading.n_lines; i++) {
        if (status == TW_OK && goes_on) {
            status = tell_line(&reading, &reading.lines[i], &goes_on, error);
        }
        tw_buf_free(&reading.lines[i].sealed);
    }
    tw_subject_key_give_back(reading.key);
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

/* Of what was erased while it ran nothing is kept: sealed stays empty. False: no memory, which must
 * not be stored, since an empty row reads as one that was sealed elsewhere. */
static bool seal(struct tw_hub_line *line, int64_t file, struct tw_buf *plain)
{
    tw_buf_append_text(plain, "\n");
    tw_buf_clear(&line->sealed);
    line->n_bytes = (int64_t)plain->size_bytes;
    const bool is_sealed =
        !plain->failed && tw_subject_key_seal(line->key, tw_batch_line_number(file, line->line),
                                              plain->data, plain->size_bytes, &line->sealed);
    const bool has_failed = plain->failed || line->sealed.failed;
    if (!is_sealed || has_failed) {
        tw_buf_clear(&line->sealed);
    }
    return !has_failed;
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
    seal(line, line->output, &plain); /* without memory it has no answer that could be kept */
    tw_buf_free(&plain);
}

/* By whoever has the batch, while it is worked on: false where that is over. */
static const char COUNT_LINE[] =
    "UPDATE batch SET n_completed = n_completed + ?, prompt_tokens = prompt_tokens + ?,"
    " cached_tokens = cached_tokens + ?, answer_tokens = answer_tokens + ?,"
    " output_bytes = output_bytes + ?, amount_nano = amount_nano + ? WHERE id = ? AND hub = ? AND "
    "ended_ns = 0 RETURNING id";

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
                                 int64_t cost_nano, struct tw_error *error)
{
    struct tw_hub_line *line = ticket->request.line;
    const struct tw_hub_usage *usage = &ticket->usage;
    const bool has_answer = line->sealed.size_bytes > 0 && !line->sealed.failed;
    bool is_ours = false;
    if (!has_answer && ticket->n_paid_tokens == 0) {
        return TW_OK;
    }
    int64_t id = 0;
    const struct tw_db_value values[] = {tw_db_integer(has_answer ? 1 : 0),
                                         tw_db_integer((int64_t)usage->n_prompt_tokens),
                                         tw_db_integer((int64_t)usage->n_cached_tokens),
                                         tw_db_integer((int64_t)usage->n_answer_tokens),
                                         tw_db_integer(has_answer ? line->n_bytes : 0),
                                         tw_db_integer(cost_nano),
                                         tw_db_integer(line->batch),
                                         tw_db_integer(hub->ledger.self)};
    enum tw_status status =
        tw_batch_number(hub->db, COUNT_LINE, values, COUNT(values), &is_ours, &id, error);
    if (status == TW_OK && is_ours && has_answer) {
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
    bool is_sealed = true;
    for (size_t i = 0; is_sealed && i < n; i++) {
        struct tw_buf plain;
        tw_buf_init(&plain, errors[i].body_bytes + 2 * HEAD_BYTES);
        write_error(&errors[i], &plain);
        is_sealed = seal(errors[i].line, batch->errors, &plain);
        tw_buf_free(&plain);
    }
    return is_sealed ? tw_batch_write(batches, store_errors, &storing, error)
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for lines");
}
