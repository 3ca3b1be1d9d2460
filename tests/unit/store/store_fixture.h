/* store_fixture.h: an empty store of either kind for a test, and short ways to ask it.
 *
 *     fixture_choose("sqlite" | "postgres") once, then for each test
 *     fixture_enter -> ... -> fixture_leave
 *
 * A SQLite store is a file in a folder of its own, a PostgreSQL store an empty schema of the server
 * whose address is in TW_TEST_POSTGRES; without that the program ends, since a comparison that is
 * left out would look like one that held.
 */
#ifndef TW_TESTS_UNIT_STORE_STORE_FIXTURE_H
#define TW_TESTS_UNIT_STORE_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"

/* false: the words are no kind of store. */
bool fixture_choose(const char *kind);
bool fixture_is_postgres(void);

/* For cmocka's setup and teardown. */
int fixture_enter(void **state);
int fixture_leave(void **state);

/* Of the test's store; a SQLite file is "<fixture_folder>/books.db". */
const char *fixture_address(void);
const char *fixture_folder(void);

/* They fail the test where they do not work. */
struct tw_db *fixture_open(enum tw_db_mode mode);
void fixture_execute(struct tw_db *db, const char *sql);
struct tw_db_statement *fixture_prepare(struct tw_db *db, const char *sql);
/* The number in the first column of the first row. */
int64_t fixture_number(struct tw_db *db, const char *sql);

#endif
