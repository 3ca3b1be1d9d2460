/* seal_statement.h: what a sealed process says of itself, for whoever looks at it from outside.
 *
 *     before the seal   tw_seal_statement_open   an empty file in memory
 *     behind it         tw_seal_statement_make   tries what the filter must refuse; then writes
 *     from outside      tw_seal_statement_read   /proc/PID/fd -> "/memfd:tokenworks-seal"
 *
 * The kernel says to everybody how many filters a thread has, and to nobody without privileges
 * which ones: a filter of the service manager looks like ours. The statement says that it is ours,
 * that there were so many filters with it, and that the process was refused what it tried.
 *
 * It proves nothing against a process that lies before it is sealed: who replaced the program can
 * write it, too. A process that is sealed can change it, and stays sealed.
 *
 * Ownership: the descriptor stays open until the process ends. Threads: the main thread.
 * Errors: TW_ERR_UNSUPPORTED where something is not refused, TW_ERR_IO.
 */
#ifndef TW_SEAL_SEAL_STATEMENT_H
#define TW_SEAL_SEAL_STATEMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "seal/seal_filter.h"

enum tw_status tw_seal_statement_open(int *ret_fd, struct tw_error *error);

/* n_filters: of each thread, as the kernel says it now. */
enum tw_status tw_seal_statement_make(int fd, enum tw_seal_role role, uint32_t n_filters,
                                      struct tw_error *error);

struct tw_seal_statement {
    enum tw_seal_role role;
    uint32_t n_filters;
};
/* False: there is none, or none that can be read. */
bool tw_seal_statement_read(pid_t pid, struct tw_seal_statement *ret_statement);

#endif
