/* broker_state.h: what a process and its broker say to each other, one message each:
 *
 *     process -> broker   who it is, and a descriptor of its own to try with
 *     broker -> process   whether it could, and is sealed
 *     process -> broker   the kernel's descriptor for calls that wait (SCM_RIGHTS)
 */
#ifndef TW_SEAL_BROKER_STATE_H
#define TW_SEAL_BROKER_STATE_H

#include <sys/types.h>

#include "base/status.h"

struct tw_broker_hello {
    pid_t pid;
    int probe_fd;
};

#endif
