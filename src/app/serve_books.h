/* serve_books.h: the books of a server: opened, and of new ones what the first start makes.
 *
 * Books in which there was never a user or a key get a user "owner" and a first key, whose secrets
 * are printed once, on standard output, when clients can connect; or the keys of the file that is
 * given, whose secrets people have already.
 *
 * Threads: the main thread.
 */
#ifndef TW_APP_SERVE_BOOKS_H
#define TW_APP_SERVE_BOOKS_H

#include "api/admin.h"
#include "api/api_keys.h"
#include "app/serve_args.h"
#include "app/serve_models.h"
#include "backend/stage.h"
#include "hub/hub.h"

/* The folder in which they are, and what is beside them. */
enum tw_status tw_serve_books_make(const struct tw_serve_args *args, struct tw_error *error);

struct tw_serve_books_terms {
    struct tw_stage *stage;         /* learns of the projects, and outlives the hub */
    const struct tw_api_keys *keys; /* to be taken over, or NULL */
    const char *policy, *served;    /* as tw_hub_config has them */
};
enum tw_status tw_serve_books_open(const struct tw_serve_args *args,
                                   const struct tw_serve_books_terms *terms,
                                   struct tw_hub **ret_hub, struct tw_error *error);

/* Tells the models what records say of them. Of files that are new it reads all. */
void tw_serve_books_identify(const struct tw_serve_args *args, struct tw_serve_models *models);

/* Makes owner and first key where there are none; and says where nobody can ask. */
enum tw_status tw_serve_books_greet(struct tw_hub *hub, struct tw_error *error);

/* The socket of their admin API, in their folder, for the group that may reach it. */
enum tw_status tw_serve_books_listen(const struct tw_serve_args *args, int *ret_fd,
                                     struct tw_error *error);
/* The admin API of the books that were opened, on that socket, which it takes over. */
enum tw_status tw_serve_books_start_admin(const struct tw_serve_args *args, struct tw_hub *hub,
                                          int listen_fd, struct tw_admin **ret_admin,
                                          struct tw_error *error);
/* Removes a socket that was not taken over. -1: none. */
void tw_serve_books_unlisten(const struct tw_serve_args *args, int listen_fd);

#endif
