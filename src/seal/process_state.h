/* process_state.h: how far a running process is sealed, as the kernel says it in /proc.
 *
 *     /proc/PID/task/TID/status    Seccomp, Seccomp_filters, NoNewPrivs of every thread
 *     /proc/PID/fd, /proc/PID/net  what it has open, and where that leads
 *
 * A snapshot: threads and connections may come and go while it is taken.
 *
 * Ownership: tw_process_state_free. Threads: any. Errors: TW_ERR_NOT_FOUND for no such process,
 * TW_ERR_DENIED for one of another user, TW_ERR_LIMIT.
 */
#ifndef TW_SEAL_PROCESS_STATE_H
#define TW_SEAL_PROCESS_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "seal/reach.h"

enum tw_process_socket_kind {
    TW_SOCKET_LISTENS = 0,
    TW_SOCKET_ACCEPTED,  /* of TCP, at the port of one that listens: somebody came in */
    TW_SOCKET_CONNECTED, /* of TCP, otherwise: it went out */
    TW_SOCKET_LOCAL,     /* of the file system, not listening */
    TW_SOCKET_IDLE,      /* of TCP or of the file system, and not connected */
    TW_SOCKET_OTHER,     /* UDP, raw, packets, netlink, or a kind that has no table */
    TW_SOCKET_KIND_COUNT
};

struct tw_process_socket {
    int fd;
    enum tw_process_socket_kind kind;
    bool is_loopback;  /* nobody but this machine is at the other end, or can be */
    const char *table; /* "tcp", "udp6", ...; "socket" where none has it */
    char own[TW_REACH_TEXT_BYTES], peer[TW_REACH_TEXT_BYTES]; /* "": none */
};

struct tw_process_state {
    pid_t pid;
    char name[32];
    size_t n_threads, n_filtered, n_without_privileges; /* threads, those with a filter, ... */
    uint32_t n_filters;                                 /* fewest of a thread */
    struct tw_process_socket *sockets;                  /* [n_sockets] */
    size_t n_sockets, n_files;                          /* files: descriptors that are no sockets */
    pid_t broker_pid;                                   /* 0: no child of it is one */
    struct tw_reach_list reach;                         /* of the broker */
    bool is_broker_sealed;
    bool has_statement;   /* it says that its filter is ours (seal_statement.h) */
    bool has_all_filters; /* and the kernel says that no thread has fewer than it said */
};

enum tw_status tw_process_state_read(pid_t pid, struct tw_process_state *ret_state,
                                     struct tw_error *error);
void tw_process_state_free(struct tw_process_state *state);

/* Threads of a process: all, with a filter, with no_new_privs; the fewest filters of one. Of
 * ret_state only these four. */
enum tw_status tw_process_threads_read(pid_t pid, struct tw_process_state *ret_state,
                                       struct tw_error *error);
/* What it has open. Of ret_state sockets and files, which are empty before. */
enum tw_status tw_process_sockets_read(pid_t pid, struct tw_process_state *ret_state,
                                       struct tw_error *error);

/* It says that it is sealed, all threads have the filters and no_new_privs, and no socket leads out
 * but to the broker's list, if there is one. */
bool tw_process_is_sealed(const struct tw_process_state *state);

/* Processes that run a command of this program: names of the file and the first word. At most
 * n_pids are written; how many there are is returned. */
size_t tw_process_find(const char *program, const char *command, pid_t *ret_pids, size_t n_pids);

/* Who listens at a socket of the file system. */
enum tw_status tw_process_of_socket(const char *path, pid_t *ret_pid, struct tw_error *error);

#endif
