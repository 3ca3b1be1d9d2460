/* reach.h: the addresses that a sealed process may still be connected to.
 *
 *     "db.example.org:5432"      a name, resolved once, when it is added: all that it stands for
 *     "192.0.2.1:443"  "[2001:db8::1]:443"
 *     "unix:/run/postgresql/.s.PGSQL.5432"  "unix:@name"
 *
 * Invariants:
 * 1. An address is there once, whole: family, address, port and scope. A range cannot be said.
 * 2. Nothing is resolved after it was added: who answers for a name later changes nothing.
 *
 * Ownership: a value, nothing to free. Threads: any may read. Errors: TW_ERR_USAGE for what is no
 * address, TW_ERR_NOT_FOUND for a name that nobody knows, TW_ERR_LIMIT.
 */
#ifndef TW_SEAL_REACH_H
#define TW_SEAL_REACH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/status.h"

#define TW_REACH_TEXT_BYTES 160

union tw_reach_socket_address {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
};

struct tw_reach_address {
    union tw_reach_socket_address address;
    socklen_t size_bytes;
    char text[TW_REACH_TEXT_BYTES]; /* numeric, as it can be added again */
};

struct tw_reach_list {
    struct tw_reach_address items[TW_LIMIT_REACH_ADDRESSES];
    size_t n_items;
};

/* One that is there already is fine. ret_first: the first address that the word stands for, or
 * NULL. */
enum tw_status tw_reach_add(struct tw_reach_list *reach, const char *word,
                            struct tw_reach_address *ret_first, struct tw_error *error);

/* The entry for an address of any size, or NULL. */
const struct tw_reach_address *tw_reach_find(const struct tw_reach_list *reach,
                                             const union tw_reach_socket_address *address,
                                             size_t size_bytes);

/* "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@name", "unix:" for one without a name. */
void tw_reach_format(const union tw_reach_socket_address *address, size_t size_bytes,
                     char ret_text[TW_REACH_TEXT_BYTES]);

#endif
