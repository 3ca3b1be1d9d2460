/* books_fixture.h: new books for a test of what reads them, in a file or in PostgreSQL.
 *
 * Where the environment's TW_TEST_POSTGRES is an address, its database is emptied and used;
 * otherwise a file in a folder that goes away.
 */
#ifndef TW_TESTS_UNIT_HUB_BOOKS_FIXTURE_H
#define TW_TESTS_UNIT_HUB_BOOKS_FIXTURE_H

#include "synth_ledger.h"

struct books {
    char folder[64], address[256];
    struct synth_ledger *ledger; /* being written */
    struct tw_db *writer;
    struct tw_db *db; /* reading */
};

/* Empty, in EUR, ready for synth_ledger_*. */
void books_begin(struct books *books);
/* Commits, and opens them for reading. */
void books_end(struct books *books);
void books_close(struct books *books);

/* books_begin, synth_ledger_fill, users of two thirds of the keys, books_end. */
void books_fill(struct books *books, uint64_t seed, int64_t n_requests, int64_t from_s,
                int64_t to_s);

/* The first row of a query, of integers. */
void books_ask(struct books *books, const char *sql, int64_t *ret_values, int n);

#endif
