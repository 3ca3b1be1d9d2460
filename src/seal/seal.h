/* seal.h: a process that has its connections, and gets no others: the kernel refuses.
 *
 *     [one thread, nothing open]  tw_seal_close_inherited, tw_seal_confine
 *     ... files, sockets that listen, threads ...
 *     tw_seal_apply               from here on, in all threads and all later ones, for good:
 *
 *         connect, socket, bind, listen, ...    EPERM, or by the broker (broker.h) to its list
 *         sending to an address                 EPERM; on a connection that was accepted it goes
 *         programs, processes, io_uring, ptrace, ...    EPERM
 *         another ABI (i386, x32)               the process is ended
 *
 * What may still be done is a list of calls (seal_filter.c); everything else is EPERM, and what is
 * newer than the list is ENOSYS, for which libraries have another way.
 *
 * Invariants:
 * 1. It is sealed with all its threads, or tw_seal_apply fails and the caller ends.
 * 2. When it is sealed it has no socket but those that listen, those of the file system that are
 *    standard input, output or error, kept ones, pairs of its own, and connections to addresses of
 *    its list.
 * 3. Nothing in the process can take it back; no_new_privs is set.
 *
 * Not kept out: who is root or rewrites the kernel, files that others read, times that others
 * measure (docs/sealing.md).
 *
 * Threads: the main thread. Errors: TW_ERR_USAGE for a descriptor that may not be there,
 * TW_ERR_UNSUPPORTED where the kernel cannot do it, TW_ERR_IO.
 */
#ifndef TW_SEAL_SEAL_H
#define TW_SEAL_SEAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/status.h"
#include "seal/broker.h"
#include "seal/reach.h"

/* Closes every descriptor above standard error but kept_fd (-1: none). ret_closed: a line for each,
 * "7: socket:[1234]". TW_ERR_USAGE where standard input, output or error leads to a network. */
enum tw_status tw_seal_close_inherited(int kept_fd, struct tw_buf *ret_closed,
                                       struct tw_error *error);

/* A second lock, on this thread and those that it makes, where the kernel has Landlock: no program
 * is executed, other processes' memory and signals are out of reach, and where has_broker is false
 * no TCP connection is made. Says whether it is on. */
bool tw_seal_confine(bool has_broker);

struct tw_seal_config {
    const struct tw_reach_list *reach; /* NULL: nothing */
    struct tw_broker *broker;          /* NULL: none; its listener is given to it */
    int kept_fd; /* a socket that is connected within this machine; -1: none */
};

enum tw_status tw_seal_apply(const struct tw_seal_config *config, struct tw_error *error);

/* The same for the broker itself, which connects. */
enum tw_status tw_seal_apply_broker(struct tw_error *error);

#endif
