/* ask_books.h: a command of the hub, of the running server, or of the store where none runs.
 *
 * Threads: one at a time. Errors: those of the command; TW_ERR_DENIED for a secret in
 * TOKENWORKS_SECRET that is nobody's.
 */
#ifndef TW_APP_ASK_BOOKS_H
#define TW_APP_ASK_BOOKS_H

#include "app/hub_args.h"

/* The answer is the caller's. */
enum tw_status tw_ask_books(const struct tw_hub_where *where, const struct tw_hub_verb *verb,
                            json_t *fields, json_t **ret_answer, struct tw_error *error);

#endif
