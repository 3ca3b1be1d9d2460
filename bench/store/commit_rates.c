/* How many transactions a store commits in a second, beside how often the disk can be synced.
 *
 *     commit_rates ADDRESS FOLDER [ROUNDS]
 *
 * ADDRESS is a new SQLite file or a PostgreSQL database; FOLDER is on the disk that has its data.
 * Rounds of a second go around: syncs of a file in FOLDER (4 KiB written behind one another, over a
 * megabyte or four, as a log is), then transactions of 1, 10 and 100 rows of about 100 bytes.
 * Prints for each a CSV row: rows of a transaction, the median of transactions a second, of rows
 * and of syncs a second, and the share of the syncs that the transactions reach.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/db.h"

enum { MOST_ROUNDS = 100, N_SIZES = 3, LOG_PAGES = 1000, PAGE_BYTES = 4096 };

static const int sizes[N_SIZES] = {1, 10, 100};

static const char *const steps[] = {
    "CREATE TABLE rate_entry(id %I PRIMARY KEY, at_ns %I NOT NULL, kind TEXT NOT NULL,"
    " request TEXT NOT NULL, debit %I NOT NULL, credit %I NOT NULL, amount_nano %I NOT NULL,"
    " hash %B NOT NULL) %S",
};

struct bench {
    struct tw_db *db;
    struct tw_db_statement *put;
    int64_t next_id;
    int sync_fd;
    char sync_path[4096];
};

static int fail(const struct tw_error *error)
{
    fprintf(stderr, "commit_rates: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

/* Syncs in a second; a negative number where the disk refuses. */
static double sync_rate(const struct bench *b)
{
    static const char page[PAGE_BYTES] = {1};
    int64_t begin_ns = tw_clock_monotonic_ns();
    int64_t passed_ns = 0;
    long n = 0;
    for (; passed_ns < TW_SECOND_NS; n++) {
        if (pwrite(b->sync_fd, page, PAGE_BYTES, n % LOG_PAGES * PAGE_BYTES) != PAGE_BYTES ||
            fdatasync(b->sync_fd) != 0) {
            return -1.0;
        }
        passed_ns = tw_clock_monotonic_ns() - begin_ns;
    }
    return (double)n * (double)TW_SECOND_NS / (double)passed_ns;
}

static enum tw_status transact(struct bench *b, int n_rows, struct tw_error *error)
{
    static const unsigned char hash[32] = {7};
    enum tw_status status = tw_db_begin(b->db, error);
    for (int i = 0; i < n_rows && status == TW_OK; i++) {
        struct tw_db_value values[] = {
            tw_db_integer(b->next_id++), tw_db_integer(tw_clock_wall_ns()),
            tw_db_text("reserve"),       tw_db_text("req-0123456789abcdef"),
            tw_db_integer(17),           tw_db_integer(18),
            tw_db_integer(123456789),    tw_db_bytes(hash, sizeof(hash)),
        };
        status = tw_db_run(b->put, values, sizeof(values) / sizeof(values[0]), error);
    }
    if (status != TW_OK) {
        tw_db_rollback(b->db);
        return status;
    }
    return tw_db_commit(b->db, error);
}

static enum tw_status commit_rate(struct bench *b, int n_rows, double *ret_rate,
                                  struct tw_error *error)
{
    int64_t begin_ns = tw_clock_monotonic_ns();
    int64_t passed_ns = 0;
    long n = 0;
    for (; passed_ns < TW_SECOND_NS; n++) {
        enum tw_status status = transact(b, n_rows, error);
        if (status != TW_OK) {
            return status;
        }
        passed_ns = tw_clock_monotonic_ns() - begin_ns;
    }
    *ret_rate = (double)n * (double)TW_SECOND_NS / (double)passed_ns;
    return TW_OK;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), compare);
    return values[n / 2];
}

static enum tw_status measure(struct bench *b, int n_rounds, struct tw_error *error)
{
    static double commits[N_SIZES][MOST_ROUNDS], syncs[MOST_ROUNDS];
    for (int round = 0; round < n_rounds; round++) {
        syncs[round] = sync_rate(b);
        if (syncs[round] < 0.0) {
            return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot sync '%s'", b->sync_path);
        }
        for (int i = 0; i < N_SIZES; i++) {
            enum tw_status status = commit_rate(b, sizes[i], &commits[i][round], error);
            if (status != TW_OK) {
                return status;
            }
        }
    }
    double sync = median(syncs, n_rounds);
    printf("rows,transactions_per_s,rows_per_s,syncs_per_s,share\n");
    for (int i = 0; i < N_SIZES; i++) {
        double rate = median(commits[i], n_rounds);
        printf("%d,%.0f,%.0f,%.0f,%.2f\n", sizes[i], rate, rate * sizes[i], sync, rate / sync);
    }
    return TW_OK;
}

static enum tw_status prepare(struct bench *b, const char *address, struct tw_error *error)
{
    enum tw_status status = tw_db_open(address, TW_DB_WRITE, &b->db, error);
    if (status == TW_OK) {
        status = tw_db_migrate(b->db, steps, 1, error);
    }
    if (status == TW_OK) {
        status = tw_db_execute(b->db, "DELETE FROM rate_entry", error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(b->db, "INSERT INTO rate_entry VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                               &b->put, error);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct bench b = {.next_id = 0};
    struct tw_error error;
    int n_rounds = argc == 4 ? (int)strtol(argv[3], NULL, 10) : 5;
    if (argc < 3 || argc > 4 || n_rounds < 1 || n_rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: commit_rates ADDRESS FOLDER [ROUNDS]\n");
        return 2;
    }
    snprintf(b.sync_path, sizeof(b.sync_path), "%s/commit_rates.sync", argv[2]);
    b.sync_fd = open(b.sync_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (b.sync_fd < 0) {
        perror(b.sync_path);
        return 1;
    }
    enum tw_status status = prepare(&b, argv[1], &error);
    if (status == TW_OK) {
        status = measure(&b, n_rounds, &error);
    }
    tw_db_finalize(b.put);
    tw_db_close(b.db);
    close(b.sync_fd);
    unlink(b.sync_path);
    return status == TW_OK ? 0 : fail(&error);
}
