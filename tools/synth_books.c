/* Makes books with a made-up past of some weeks, to try reports and invoices on. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/zone.h"
#include "synth_ledger.h"

enum { DAY_S = 86400, MOST_REQUESTS = 10000000, MOST_DAYS = 3650 };

#define NANO ((int64_t)1000000000)

struct request {
    const char *output;
    int64_t seed, n_requests, first_day, n_days;
};

static const char USAGE[] =
    "usage: synth_books [--seed N] [--requests N] [--from YYYY-MM-DD] [--days N] -o BOOKS\n"
    "\n"
    "Makes books with a made-up past: two organisations, and N requests (1000) within so many "
    "days\n"
    "(45) from the beginning of one (2026-10-15) in UTC. BOOKS is a new file, or postgres://... "
    "of\n"
    "an empty database.\n";

static bool read_number(const char *text, int64_t most, int64_t *ret_value)
{
    char *end;
    const long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 0 || value > most) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool read_day(const char *text, int64_t *ret_day)
{
    int parts[3];
    const char *at = text;
    for (int i = 0; i < 3; i++) {
        char *end;
        const long value = strtol(at, &end, 10);
        if (end == at || *end != (i < 2 ? '-' : '\0') || value < 1 || value > 2261) {
            return false;
        }
        parts[i] = (int)value;
        at = end + 1;
    }
    if (parts[1] > 12 || parts[2] > 28) {
        return false;
    }
    *ret_day = tw_zone_day_of(parts[0], parts[1], parts[2]);
    return true;
}

static bool read_options(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"days", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    bool is_good = true;
    int code;
    while (is_good && (code = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        switch (code) {
        case 's':
            is_good = read_number(optarg, INT64_MAX, &request->seed);
            break;
        case 'n':
            is_good = read_number(optarg, MOST_REQUESTS, &request->n_requests);
            break;
        case 'f':
            is_good = read_day(optarg, &request->first_day);
            break;
        case 'd':
            is_good = read_number(optarg, MOST_DAYS, &request->n_days) && request->n_days != 0;
            break;
        case 'o':
            request->output = optarg;
            break;
        default:
            is_good = false;
            break;
        }
    }
    return is_good && optind == argc && request->output != NULL;
}

static enum tw_status write_books(const struct request *request, struct tw_error *error)
{
    struct tw_db *db;
    if (tw_file_exists(request->output)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.200s' exists already: remove it, or write to another place",
                            request->output);
    }
    enum tw_status status = tw_db_open(request->output, TW_DB_WRITE, &db, error);
    if (status != TW_OK) {
        return status;
    }
    struct synth_ledger *ledger = tw_mem_zalloc(1, sizeof *ledger);
    if (ledger == NULL) {
        tw_db_close(db);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    const int64_t from_ns = request->first_day * DAY_S * NANO;
    status = synth_ledger_begin(db, "EUR", ledger, error);
    if (status == TW_OK) {
        status = synth_ledger_fill(ledger, (uint64_t)request->seed, request->n_requests, from_ns,
                                   from_ns + request->n_days * DAY_S * NANO, error);
    }
    if (status == TW_OK) {
        status = synth_ledger_end(ledger, error);
    }
    tw_mem_free(ledger);
    tw_db_close(db);
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {
        .n_requests = 1000, .n_days = 45, .first_day = tw_zone_day_of(2026, 10, 15)};
    if (!read_options(argc, argv, &request)) {
        fputs(USAGE, stderr);
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    struct tw_error error;
    if (write_books(&request, &error) != TW_OK) {
        fprintf(stderr, "synth_books: error: %s\n", error.text);
        return tw_status_exit_code(error.status);
    }
    return 0;
}
