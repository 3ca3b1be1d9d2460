/* books_args.h: the books, for commands that read their tables and nothing else.
 *
 * Such a command reads beside a server that writes: it takes no lock and changes nothing.
 *
 * Threads: the main thread only.
 */
#ifndef TW_APP_BOOKS_ARGS_H
#define TW_APP_BOOKS_ARGS_H

#include <stddef.h>

#include "store/db.h"

/* For reading, by a program of the schema that they have. address: as books_place.h. */
enum tw_status tw_books_args_open(const char *address, struct tw_db **ret_db,
                                  struct tw_error *error);
/* Characters of a line of the terminal; 0 where output is none. */
size_t tw_books_args_width(void);
/* The text of a statement's first row and column; TW_ERR_FORMAT where there is none. */
enum tw_status tw_books_args_read(struct tw_db *db, const char *sql, char *ret_text,
                                  size_t text_bytes, struct tw_error *error);
/* TW_ERR_USAGE where they are in another currency than is wanted; NULL: any. */
enum { TW_BOOKS_CURRENCY_BYTES = 4 };
enum tw_status tw_books_args_currency(struct tw_db *db, const char *wanted,
                                      char ret_currency[TW_BOOKS_CURRENCY_BYTES],
                                      struct tw_error *error);

#endif
