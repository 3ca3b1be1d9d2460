/* books_place.h: where the hub's books are, for the server and for commands about them.
 *
 *     --books ADDRESS, or else $TOKENWORKS_BOOKS, or else
 *         /var/lib/tokenworks                       for root
 *         $XDG_DATA_HOME/tokenworks, ~/.local/share/tokenworks    for others
 *
 * An address is a file, a folder (then the file books.db in it), or postgres://... . What is not
 * there is a file where its name ends with ".db", and otherwise a folder. In the folder of the
 * file, or for PostgreSQL in the one of the default, are the files of the hub beside it: what
 * hashes of keys are made with, the key that signs the audit log, and the socket of the server's
 * admin API. $TOKENWORKS_BOOKS_KEYS names another folder for them.
 *
 * Threads: the main thread. Errors: TW_ERR_USAGE without any place, TW_ERR_LIMIT for a path that is
 * too long, those of file.h.
 */
#ifndef TW_APP_BOOKS_PLACE_H
#define TW_APP_BOOKS_PLACE_H

#include <stdbool.h>

#include "base/status.h"
#include "hub/hub.h"

#define TW_BOOKS_SOCKET_BYTES 108 /* of a socket's path, as the system has it */

struct tw_books_place {
    char address[TW_LIMIT_CONF_STRING_BYTES];
    char folder[TW_LIMIT_CONF_STRING_BYTES];
    char socket[TW_LIMIT_CONF_STRING_BYTES];
    bool is_file;
};

/* address: NULL for the environment's, or the default. */
enum tw_status tw_books_place_find(const char *address, struct tw_books_place *ret_place,
                                   struct tw_error *error);
/* Whether there is a store at that place, as far as can be told without asking it. */
bool tw_books_place_is_there(const struct tw_books_place *place);
/* TW_ERR_USAGE where everybody may make files in the folder: before anything there is believed. */
enum tw_status tw_books_place_check(const struct tw_books_place *place, struct tw_error *error);
/* Makes the folder, and those of the default above it, for its owner alone; and checks it. */
enum tw_status tw_books_place_make(const struct tw_books_place *place, struct tw_error *error);

/* TW_ERR_IO where this user may not look into the folder, or not open the books. */
enum tw_status tw_books_place_may_enter(const struct tw_books_place *place, struct tw_error *error);

/* The number of a group of this system; TW_ERR_USAGE without such a one. */
enum tw_status tw_books_place_find_group(const char *name, unsigned *ret_group,
                                         struct tw_error *error);
/* Lets a group reach the socket, and go through the folder to it: 0660 and 0710. Books and keys
 * stay their owner's. A folder that everybody may go through stays as it is. */
enum tw_status tw_books_place_let_in(const struct tw_books_place *place, unsigned group,
                                     struct tw_error *error);

/* How a hub is opened there. currency: of new books; NULL: the hub's default. */
struct tw_hub_config tw_books_place_config(const struct tw_books_place *place,
                                           const char *currency);

#endif
