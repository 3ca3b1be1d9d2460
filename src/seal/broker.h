/* broker.h: a process that makes the connections of a sealed one, to a list of addresses.
 *
 *     sealed process                       kernel                  broker (a child, sealed itself)
 *     fd = socket(); connect(fd, A)  ->  holds the call  ->  reads A out of that process's memory,
 *                                                            finds it on the list or refuses,
 *                                                            connects the same socket to the list's
 *                                    <-  the call returns <- entry
 *
 * Libraries notice nothing: libpq and libcurl connect as ever.
 *
 * Invariants:
 * 1. The broker connects to entries of its list and to nothing else: what it read is compared, and
 *    not used. Whoever changes the address or the descriptor meanwhile changes nothing.
 * 2. It was executed anew, so it has none of the other's memory and descriptors; it has a filter of
 *    its own; the list is its command line, which everybody can read.
 * 3. It ends with the process that it serves. When it is gone, connect fails (ENOSYS).
 *
 * Sockets must be non-blocking, as those of libpq and libcurl are: one that blocks would hold up
 * all others, and is refused (EPERM).
 *
 * Ownership: tw_broker_close ends it. Threads: the main thread. Errors: TW_ERR_UNSUPPORTED where it
 * may not look into the process (yama's ptrace_scope of 2 or 3), TW_ERR_IO.
 */
#ifndef TW_SEAL_BROKER_H
#define TW_SEAL_BROKER_H

#include <sys/types.h>

#include "base/status.h"
#include "seal/reach.h"

struct tw_broker {
    pid_t pid; /* 0: none */
    int fd;    /* to it; -1: none */
};

/* Starts "tokenworks broker" of the program at that path, and waits until it is sealed. */
enum tw_status tw_broker_start(const char *program, const struct tw_reach_list *reach,
                               struct tw_broker *ret_broker, struct tw_error *error);

/* Gives it a copy of what the kernel calls it by, once; the caller drops his own. */
enum tw_status tw_broker_give(struct tw_broker *broker, int listener_fd, struct tw_error *error);

void tw_broker_close(struct tw_broker *broker);

/* ---- in the broker ---- */

#define TW_BROKER_FD 3 /* at which it finds the process that started it */

/* Until that process is gone. */
enum tw_status tw_broker_serve(const struct tw_reach_list *reach, struct tw_error *error);

#endif
