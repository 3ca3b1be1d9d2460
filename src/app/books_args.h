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

#endif
