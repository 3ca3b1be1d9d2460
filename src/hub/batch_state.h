/* batch_state.h: the inside of batches, for their own files and for who exports lines.
 *
 *     batch.c         what is written: files, batches, their states
 *     batch_read.c    what is read: names, lists
 *     batch_lines.c   lines: sealed, written, read; results
 */
#ifndef TW_HUB_BATCH_STATE_H
#define TW_HUB_BATCH_STATE_H

#include <pthread.h>

#include "hub/batch.h"
#include "hub/hub_state.h"

struct tw_batches {
    struct tw_hub *hub;
    struct tw_batches_config config;
    pthread_mutex_t lock; /* of what follows */
    struct tw_db *db;     /* that only reads; NULL: not open */
};

/* Runs something in a group of its own on the writer's thread, and waits until it is durable. What
 * it gives as TW_ERR_USAGE, _LIMIT, _NOT_FOUND, _DENIED or _MISSED is a refusal: nothing was
 * written. */
typedef enum tw_status (*tw_batch_write_fn)(struct tw_hub *hub, void *context,
                                            struct tw_error *error);
enum tw_status tw_batch_write(struct tw_batches *batches, tw_batch_write_fn run, void *context,
                              struct tw_error *error);

/* One statement with its parameters; with ret_row its first row's first column. */
enum tw_status tw_batch_run(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                            size_t n, struct tw_error *error);
enum tw_status tw_batch_number(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                               size_t n, bool *ret_row, int64_t *ret_number,
                               struct tw_error *error);

/* ---- batch_read.c ---- */

/* The columns of a batch, and a row of them. */
enum { TW_BATCH_SQL_BYTES = 2048 }; /* for them with what is asked of them */
extern const char tw_batch_columns[];
void tw_batch_take_row(struct tw_db_statement *row, struct tw_batch *ret_batch);
/* Reads rows with a statement from the reader's database, which is opened where it is not. */
typedef bool (*tw_batch_row_fn)(void *context, struct tw_db_statement *row);
enum tw_status tw_batch_rows(struct tw_batches *batches, const char *sql,
                             const struct tw_db_value *values, size_t n, tw_batch_row_fn take,
                             void *context, struct tw_error *error);
int64_t tw_batch_project(const struct tw_hub_caller *caller);

/* ---- batch_lines.c ---- */

/* The key of whom a line is about; the caller gives it back. */
enum tw_status tw_batch_line_key(struct tw_batches *batches, const struct tw_hub_caller *caller,
                                 const char *user, size_t user_bytes,
                                 struct tw_subject_key **ret_key, struct tw_error *error);
/* What the sealing of a line is bound to: no request has such a number. */
int64_t tw_batch_line_number(int64_t file, int64_t line);
enum tw_status tw_batch_insert_line(struct tw_db *db, int64_t file, int64_t line, int64_t project,
                                    struct tw_subject_key *key, const struct tw_buf *sealed,
                                    struct tw_error *error);

#endif
