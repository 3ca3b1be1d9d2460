/* sqlite_workload.h: numbered transactions over a SQLite store, and what became of each.
 *
 * Transaction i writes as many rows as workload_rows(i) says and counts them in a row that all
 * transactions change; it is whole or wrong.
 *
 * A child does the work, and reports each transaction through a pipe before it goes on, so that
 * what is known is what a client could have been told.
 */
#ifndef TW_TESTS_FAULT_SQLITE_WORKLOAD_H
#define TW_TESTS_FAULT_SQLITE_WORKLOAD_H

#include <stdbool.h>

#include "store/db.h"

#define WORKLOAD_TRANSACTIONS 512 /* at most */

enum workload_fate { FATE_NONE = 0, FATE_KEPT, FATE_REFUSED, FATE_UNKNOWN };

struct workload_report {
    enum workload_fate fates[WORKLOAD_TRANSACTIONS];
    int n_full;          /* errors of a full disk */
    int n_broken;        /* how often the store broke */
    bool went_on_broken; /* a call worked on a broken store */
};

struct workload {
    const char *path;
    int first, n; /* transactions */
    int n_rows;   /* of each, beside what its number adds */
    int row_bytes;
    int n_restarts; /* the store is closed and opened so many times in between */
    bool leaves;    /* it does not close the store at its end */
};

/* In this process, up to the first error that breaks the store or keeps it from opening; every
 * transaction is written to report_fd as a struct workload_record when its fate is known. */
void workload_run(const struct workload *workload, int report_fd);
/* Until the writer's end is closed. */
void workload_listen(int report_fd, struct workload_report *report);

/* Opens the store and looks; NULL where all is as reported, otherwise what is wrong. The highest
 * number that is there goes to ret_last (-1: none). */
const char *workload_check(const struct workload *workload, const struct workload_report *report,
                           int *ret_last);

#endif
