/* How many audit records a second are appended and verified, beside what their hashes cost:
 *
 *     audit_rates FOLDER [RECORDS]
 *
 * FOLDER takes a new SQLite file, or TW_TEST_POSTGRES names a store that is emptied. Records are
 * those of requests, about a kilobyte each, in transactions of 100, each of them durable; and the
 * same without a wait for the disk at the end of each (one transaction), which is the processor's
 * part. Shares are those of the plain hash of the same bytes: what the best code could reach. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "hub/audit_export.h"
#include "hub/audit_log.h"
#include "hub/audit_record.h"
#include "hub/audit_verify.h"

enum { GROUP_RECORDS = 100, PLAIN_BYTES = 1 << 20, PLAIN_ROUNDS = 500 };

#define START_NS ((int64_t)1800000000000000000)

static struct tw_error error;

static void must(enum tw_status status)
{
    if (status != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
}

static double seconds_since(int64_t start_ns)
{
    return (double)(tw_clock_monotonic_ns() - start_ns) / 1e9;
}

/* Bytes a second of BLAKE2b over a text that stays in a cache. */
static double hash_rate(void)
{
    static unsigned char bytes[PLAIN_BYTES];
    unsigned char hash[32];
    int64_t start_ns = tw_clock_monotonic_ns();
    for (int i = 0; i < PLAIN_ROUNDS; i++) {
        crypto_generichash(hash, sizeof hash, bytes, PLAIN_BYTES, NULL, 0);
        memcpy(bytes, hash, sizeof hash);
    }
    return (double)PLAIN_BYTES * PLAIN_ROUNDS / seconds_since(start_ns);
}

static void make_body(struct tw_audit_body *body, int64_t n)
{
    static const unsigned char commitment[32] = {1, 2, 3};
    char request[40];
    snprintf(request, sizeof request, "req-%032lld", (long long)n);
    struct tw_audit_budget budgets[3] = {{7, START_NS / 1000000000, 5000000 - n, 4999000 - n},
                                         {8, START_NS / 1000000000, 7000000 - n, 6999000 - n},
                                         {9, START_NS / 1000000000, 9000000 - n, 8999000 - n}};
    struct tw_audit_sampling sampling = {.temperature = 0.7,
                                         .top_p = 0.95,
                                         .min_p = 0.05,
                                         .repetition_penalty = 1.1,
                                         .top_k = 40,
                                         .max_tokens = 512,
                                         .seed = (uint64_t)n * 0x9e3779b97f4a7c15u};
    struct tw_audit_request record = {
        .request = request,
        .org = 1,
        .team = 2,
        .project = 3,
        .user = 4,
        .key = 5,
        .model = "qwen2.5-0.5b-instruct-q4_k_m",
        .model_digest = "cee449c25f9618795d7606a837b2385cc76f613f95a3c57f1c4f51b9842424bc",
        .build = "0.1.0",
        .isa = "avx512",
        .price_class = "standard",
        .sampling = &sampling,
        .prompt_tokens = 700,
        .cached_tokens = 512,
        .output_tokens = 200,
        .price = 12,
        .cost_nano = 123456789,
        .budgets = budgets,
        .n_budgets = 3,
        .finish = "stop",
        .commitment = commitment,
        .commitment_bytes = sizeof commitment,
    };
    must(tw_audit_body_request(body, &record, &error));
}

static void print_rate(const char *what, int64_t n, double seconds, double plain_seconds)
{
    printf("%-42s %9.0f records/s, %5.2f us each, %5.1f%% of the plain hash\n", what,
           (double)n / seconds, seconds * 1e6 / (double)n, 100.0 * plain_seconds / seconds);
    fflush(stdout);
}

/* Appends n records; returns the seconds, and the bytes of the bodies. */
static double append(struct tw_db *db, struct tw_audit_log *log, int64_t n, int64_t n_in_group,
                     size_t *ret_bytes)
{
    struct tw_audit_body body;
    size_t n_bytes = 0;
    tw_audit_body_init(&body);
    int64_t start_ns = tw_clock_monotonic_ns();
    for (int64_t i = 0; i < n; i++) {
        int64_t at_ns = START_NS + (tw_clock_monotonic_ns() - start_ns);
        if (i % n_in_group == 0) {
            must(tw_db_begin(db, &error));
        }
        make_body(&body, i);
        n_bytes += body.buf.size_bytes;
        must(tw_audit_log_append(log, at_ns, tw_audit_kind_name(TW_AUDIT_REQUEST_SETTLED),
                                 body.buf.data, body.buf.size_bytes, &error));
        if (i % n_in_group == n_in_group - 1 || i == n - 1) {
            must(tw_audit_log_seal(log, at_ns, &error));
            must(tw_db_commit(db, &error));
        }
    }
    tw_audit_body_free(&body);
    *ret_bytes = n_bytes;
    return seconds_since(start_ns);
}

/* Bodies and hashes alone, without a store. */
static double hash_only(int64_t n)
{
    struct tw_audit_body body;
    struct tw_audit_hash head = tw_audit_genesis("bench");
    tw_audit_body_init(&body);
    make_body(&body, 1);
    int64_t start_ns = tw_clock_monotonic_ns();
    for (int64_t i = 0; i < n; i++) {
        struct tw_audit_record record = {.seq = i + 1,
                                         .at_ns = START_NS,
                                         .kind = "request.settled",
                                         .kind_bytes = 15,
                                         .body = body.buf.data,
                                         .body_bytes = body.buf.size_bytes};
        head = tw_audit_record_hash(&head, "bench", &record);
    }
    double seconds = seconds_since(start_ns);
    tw_audit_body_free(&body);
    return seconds;
}

static double make_bodies(int64_t n)
{
    struct tw_audit_body body;
    tw_audit_body_init(&body);
    int64_t start_ns = tw_clock_monotonic_ns();
    for (int64_t i = 0; i < n; i++) {
        make_body(&body, i);
    }
    double seconds = seconds_since(start_ns);
    tw_audit_body_free(&body);
    return seconds;
}

static enum tw_status collect(void *context, const char *lines, size_t n_bytes,
                              struct tw_error *unused)
{
    (void)unused;
    return tw_buf_append(context, lines, n_bytes) ? TW_OK : TW_ERR_MEMORY;
}

static void must_be_good(const struct tw_audit_report *report, int64_t n)
{
    if (report->fault != TW_AUDIT_FAULT_NONE || report->n_records != n) {
        fprintf(stderr, "%s\n", report->text);
        exit(1);
    }
}

static void read_rates(struct tw_db *db, const char *name, const struct tw_audit_key *key,
                       int64_t n, double plain_seconds)
{
    struct tw_audit_public_key public_key = tw_audit_key_public(key);
    struct tw_audit_verify_options options = {.key = &public_key};
    struct tw_audit_report report;
    struct tw_buf text;
    tw_buf_init(&text, (size_t)1 << 32);
    int64_t start_ns = tw_clock_monotonic_ns();
    must(tw_audit_verify_store(db, name, &options, &report, &error));
    must_be_good(&report, n);
    print_rate("verified in the store", n, seconds_since(start_ns), plain_seconds);
    start_ns = tw_clock_monotonic_ns();
    must(tw_audit_export(db, name, 1, INT64_MAX, collect, &text, &error));
    print_rate("exported", n, seconds_since(start_ns), plain_seconds);
    start_ns = tw_clock_monotonic_ns();
    must(tw_audit_verify_text(text.data, text.size_bytes, &options, &report, &error));
    must_be_good(&report, n);
    print_rate("verified in an export", n, seconds_since(start_ns), plain_seconds);
    printf("the export has %.1f MB\n", (double)text.size_bytes / 1e6);
    tw_buf_free(&text);
}

static struct tw_db *open_store(const char *folder)
{
    static const char *const steps[] = {TW_AUDIT_LOG_TABLES};
    char path[600];
    struct tw_db *db;
    const char *address = getenv("TW_TEST_POSTGRES");
    snprintf(path, sizeof path, "%s/audit-rates.db", folder);
    if (tw_file_exists(path)) {
        fprintf(stderr, "'%s' is there already: remove it\n", path);
        exit(1);
    }
    must(tw_db_open(address != NULL ? address : path, TW_DB_WRITE, &db, &error));
    if (tw_db_is_postgres(db)) {
        must(tw_db_execute(db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", &error));
    }
    must(tw_db_migrate(db, steps, 1, &error));
    return db;
}

static void remove_files(const char *folder)
{
    static const char *const names[] = {"audit-rates.db",     "audit-rates.db-wal",
                                        "audit-rates.db-shm", "audit-rates.db.lock",
                                        "audit-rates.key",    "audit-rates.key.pub"};
    char path[600];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    struct tw_audit_key *key;
    struct tw_audit_log *log;
    char path[600];
    size_t n_bytes;
    int64_t n = argc > 2 ? strtoll(argv[2], NULL, 10) : 20000;
    if (argc < 2 || n < 1) {
        fprintf(stderr, "usage: audit_rates FOLDER [RECORDS]\n");
        return 2;
    }
    struct tw_db *db = open_store(argv[1]);
    snprintf(path, sizeof path, "%s/audit-rates.key", argv[1]);
    must(tw_audit_key_open(path, &key, &error));
    must(tw_audit_log_open(db, "durable", key, &log, &error));
    double rate = hash_rate();
    double seconds = append(db, log, n, GROUP_RECORDS, &n_bytes);
    double plain_seconds = (double)n_bytes / rate;
    printf("BLAKE2b: %.0f MB/s; bodies of %zu bytes, %.2f us of it each\n", rate / 1e6,
           n_bytes / (size_t)n, plain_seconds * 1e6 / (double)n);
    print_rate("hashed", n, hash_only(n), plain_seconds);
    print_rate("written as JSON", n, make_bodies(n), plain_seconds);
    print_rate("appended, 100 a transaction", n, seconds, plain_seconds);
    tw_audit_log_close(log);
    must(tw_audit_log_open(db, "once", key, &log, &error));
    print_rate("appended, one transaction", n, append(db, log, n, n, &n_bytes), plain_seconds);
    tw_audit_log_close(log);
    read_rates(db, "durable", key, n, plain_seconds);
    tw_db_close(db);
    tw_audit_key_free(key);
    remove_files(argv[1]);
    return 0;
}
