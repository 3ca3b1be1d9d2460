/* batch.h: files of requests, and batches that work through them, in the books.
 *
 *     file:    tw_batches_add_file: its lines, sealed one by one -> READY -> ended or expired: the
 *              lines go, a piece at a time
 *     batch:   VALIDATING -> FAILED                                    its file has faults
 *              VALIDATING -> IN_PROGRESS -> FINALIZING -> COMPLETED    each line has its result
 *              IN_PROGRESS -> EXPIRED                                  its window is over
 *              VALIDATING, IN_PROGRESS -> CANCELLING -> CANCELLED
 *
 * A line becomes a request of the key that asked for the batch, with a tw_hub_line in its
 * tw_hub_request: it has the class "batch" of prices, and its result is written in the transaction
 * that settles it. So a line whose result is there is paid once, and one whose is not was not paid;
 * what no request came of (tw_batches_put_errors) has a result alone.
 *
 * Invariants:
 * 1. One hub works on a batch: its number stands in the batch's row, and another one takes it over
 *    when that one is dead (hub_recover.c). A result by who lost it is not written.
 * 2. A line has at most one result: in the batch's output, or among its errors.
 * 3. Lines are sealed with the keys of the subjects that they name, as content is
 *    (subject_keys.h): with an erased key they are gone, wherever copies of the store are.
 * 4. A project sees its own files and batches, and nothing of others.
 *
 * Ownership: tw_batches ends before its hub. A tw_hub_line belongs to who runs it, until the call
 * back of the settlement. Threads: any; calls wait for the store, so none of them comes from the
 * hub's writer or from a thread that others wait for.
 * Errors: TW_ERR_NOT_FOUND for a name that the project does not have; TW_ERR_LIMIT for the bounds
 * of limits.h; TW_ERR_USAGE for what cannot be done in a batch's or file's state; TW_ERR_IO,
 * TW_ERR_MEMORY; TW_ERR_MISSED: another hub has the batch, or the keys of its lines.
 */
#ifndef TW_HUB_BATCH_H
#define TW_HUB_BATCH_H

#include "hub/hub.h"

enum { TW_BATCH_NAME_BYTES = 40, TW_BATCH_FILE_NAME_BYTES = 256 };

struct tw_batch_file {
    int64_t id;
    char name[TW_BATCH_NAME_BYTES]; /* "file-..." */
    char purpose[16];               /* "batch" or "batch_output" */
    char filename[TW_BATCH_FILE_NAME_BYTES];
    char data_class[TW_LIMIT_POLICY_NAME_BYTES]; /* that its client gave; "" */
    int64_t n_bytes, n_lines, created_ns, expires_ns;
};

enum tw_batch_status {
    TW_BATCH_VALIDATING = 0,
    TW_BATCH_FAILED,
    TW_BATCH_IN_PROGRESS,
    TW_BATCH_FINALIZING,
    TW_BATCH_COMPLETED,
    TW_BATCH_EXPIRED,
    TW_BATCH_CANCELLING,
    TW_BATCH_CANCELLED,
    TW_BATCH_STATUS_COUNT
};
/* "validating", ... */
const char *tw_batch_status_name(enum tw_batch_status status);

struct tw_batch {
    int64_t id, project, key; /* of the project and of the key that asked for it: holders */
    char name[TW_BATCH_NAME_BYTES];
    enum tw_batch_status status;
    char endpoint[32];
    char data_class[TW_LIMIT_POLICY_NAME_BYTES]; /* that its client gave; "" */
    char file_class[TW_LIMIT_POLICY_NAME_BYTES]; /* that its input was sent with; "" */
    int64_t input, output, errors;               /* files; 0: not there */
    char input_name[TW_BATCH_NAME_BYTES], output_name[TW_BATCH_NAME_BYTES],
        errors_name[TW_BATCH_NAME_BYTES];         /* "": there is none, or not yet */
    char metadata[TW_LIMIT_BATCH_METADATA_BYTES]; /* JSON */
    char faults[TW_LIMIT_BATCH_FAULTS_BYTES];     /* of its file: a JSON list; "" */
    int64_t created_ns, expires_ns, started_ns, finalizing_ns, ended_ns, cancelling_ns; /* or 0 */
    int64_t n_total, n_completed, n_failed;
    /* Of every request that was settled for it, also of those whose answer could not be kept. */
    int64_t n_prompt_tokens, n_cached_tokens, n_answer_tokens, amount_nano;
    char currency[4];
};

struct tw_batches_config {
    int64_t project_bytes, project_files; /* that one project may have; 0: those of limits.h */
};

struct tw_batches;

enum tw_status tw_batches_open(struct tw_hub *hub, const struct tw_batches_config *config,
                               struct tw_batches **ret_batches, struct tw_error *error);
/* NULL is allowed. */
void tw_batches_close(struct tw_batches *batches);

/* ---- files ---- */

/* Whom a line names: its text is put into ret_user, which is left empty where it names nobody. */
typedef void (*tw_batch_user_fn)(const char *line, size_t line_bytes, struct tw_buf *ret_user);

struct tw_batch_upload {
    const char *filename;
    const char *text; /* lines, each with its newline but perhaps the last one */
    size_t text_bytes;
    const char *data_class; /* "": none was given */
    int64_t lifetime_s;     /* 0: TW_LIMIT_BATCH_FILE_SECONDS */
    tw_batch_user_fn user;
};
/* It is there when this returns, or nothing of it. */
enum tw_status tw_batches_add_file(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                   const struct tw_batch_upload *upload,
                                   struct tw_batch_file *ret_file, struct tw_error *error);
enum tw_status tw_batches_find_file(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                    const char *name, struct tw_batch_file *ret_file,
                                    struct tw_error *error);
/* Up to most files behind the one named (NULL: from the first), the latest first or last.
 * purpose: NULL for any. */
enum tw_status tw_batches_list_files(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                     const char *after, const char *purpose, bool ascends,
                                     size_t most, struct tw_batch_file *ret_files, size_t *ret_n,
                                     struct tw_error *error);
/* TW_ERR_USAGE for one that a batch is working on. */
enum tw_status tw_batches_delete_file(struct tw_batches *batches,
                                      const struct tw_hub_caller *caller, const char *name,
                                      struct tw_error *error);

/* A line with its newline; it is valid until the return. NULL: it was erased. False: enough. */
typedef bool (*tw_batch_line_fn)(void *context, int64_t line, const char *text, size_t text_bytes);
/* A piece of a file's lines behind one, in their order; *ret_last: the last one that was told, or
 * after where there are no more. */
enum tw_status tw_batches_read_lines(struct tw_batches *batches, int64_t project, int64_t file,
                                     int64_t after, tw_batch_line_fn told, void *context,
                                     int64_t *ret_last, struct tw_error *error);

/* ---- batches ---- */

struct tw_batch_order {
    const char *input, *endpoint, *metadata, *data_class;
    int64_t window_s;
};
enum tw_status tw_batches_create(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const struct tw_batch_order *order, struct tw_batch *ret_batch,
                                 struct tw_error *error);
enum tw_status tw_batches_find(struct tw_batches *batches, const struct tw_hub_caller *caller,
                               const char *name, struct tw_batch *ret_batch,
                               struct tw_error *error);
/* The latest first. */
enum tw_status tw_batches_list(struct tw_batches *batches, const struct tw_hub_caller *caller,
                               const char *after, size_t most, struct tw_batch *ret_batches,
                               size_t *ret_n, struct tw_error *error);
enum tw_status tw_batches_cancel(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const char *name, struct tw_batch *ret_batch,
                                 struct tw_error *error);

/* ---- for who works on them ---- */

/* Takes over up to most batches that have no living hub, those that wait longest first, and gives
 * all that are this hub's and have not ended. */
enum tw_status tw_batches_claim(struct tw_batches *batches, size_t most,
                                struct tw_batch *ret_batches, size_t *ret_n,
                                struct tw_error *error);
/* Its status, as it is now. */
enum tw_status tw_batches_look(struct tw_batches *batches, struct tw_batch *batch,
                               struct tw_error *error);
/* For another hub, which can read its lines. */
enum tw_status tw_batches_give_back(struct tw_batches *batches, struct tw_batch *batch,
                                    struct tw_error *error);
/* Its file was read: it has so many lines, or faults (a JSON list; NULL: none). */
enum tw_status tw_batches_begin(struct tw_batches *batches, struct tw_batch *batch, int64_t n_lines,
                                const char *faults, struct tw_error *error);
/* Marks the lines that have results: done[line - 1], of n_lines. */
enum tw_status tw_batches_mark_done(struct tw_batches *batches, const struct tw_batch *batch,
                                    bool *done, size_t n_lines, struct tw_error *error);
enum tw_status tw_batches_finish(struct tw_batches *batches, struct tw_batch *batch,
                                 enum tw_batch_status status, struct tw_error *error);
/* Who asked for it, by a secret of the key that is good. TW_ERR_DENIED: there is none. */
enum tw_status tw_batches_caller(struct tw_batches *batches, const struct tw_batch *batch,
                                 struct tw_hub_caller *ret_caller, struct tw_error *error);
/* A piece of what has expired or ended goes; *ret_has_more: call again. */
enum tw_status tw_batches_tend(struct tw_batches *batches, bool *ret_has_more,
                               struct tw_error *error);

/* A line that runs. */
struct tw_hub_line {
    int64_t batch, project, output, line;
    const char *custom_id; /* and these outlive it */
    const char *request_id;
    struct tw_subject_key *key; /* of whom it is about */
    struct tw_buf sealed;       /* its result, from tw_hub_line_answer on */
    int64_t n_bytes;            /* of that, before it was sealed */
    bool is_stored;             /* by the settlement */
};
/* user: whom it names; 0 bytes: nobody. */
enum tw_status tw_hub_line_init(struct tw_hub_line *line, struct tw_batches *batches,
                                const struct tw_batch *batch, const struct tw_hub_caller *caller,
                                int64_t number, const char *user, size_t user_bytes,
                                struct tw_error *error);
void tw_hub_line_free(struct tw_hub_line *line);
/* Before the settlement: the body of its answer, as JSON. */
void tw_hub_line_answer(struct tw_hub_line *line, const struct tw_buf *body);

/* A line that no answer came of. */
struct tw_batch_error {
    struct tw_hub_line *line;
    int http_status;  /* 0: it was never asked */
    const char *body; /* of the answer, as JSON; NULL with 0 */
    size_t body_bytes;
    const char *code, *message; /* with 0 */
};
enum tw_status tw_batches_put_errors(struct tw_batches *batches, const struct tw_batch *batch,
                                     const struct tw_batch_error *errors, size_t n,
                                     struct tw_error *error);

#endif
