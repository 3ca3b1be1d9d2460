/* seal_filter.h: the calls that a sealed process may make, as a filter for the kernel.
 *
 * Ownership: the caller frees with seccomp_release. Threads: one at a time.
 * Errors: TW_ERR_UNSUPPORTED where a rule cannot be made.
 */
#ifndef TW_SEAL_SEAL_FILTER_H
#define TW_SEAL_SEAL_FILTER_H

#include <seccomp.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

enum tw_seal_role {
    TW_SEAL_ALONE,       /* connects to nothing */
    TW_SEAL_WITH_BROKER, /* has sockets; connect is the broker's decision */
    TW_SEAL_AS_BROKER
};

/* own_pid: the process that will have the filter. */
enum tw_status tw_seal_filter_make(enum tw_seal_role role, pid_t own_pid,
                                   scmp_filter_ctx *ret_filter, struct tw_error *error);

/* The name of a call of the lists by its number, or NULL: for a test that all are known. */
const char *tw_seal_filter_name(size_t i);

#endif
