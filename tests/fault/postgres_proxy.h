/* postgres_proxy.h: a process between a client and a PostgreSQL server that cuts their connection.
 *
 *     client <-- socket in a folder --> proxy <-- socket --> server
 *
 * It carries one connection. When so many bytes went to one side, no more are carried to it, in the
 * middle of a message if need be; what comes from there still goes the other way until none comes
 * for a moment, and then both ends are closed. So a server may do what it was asked to, and the
 * client never hears of it.
 */
#ifndef TW_TESTS_FAULT_POSTGRES_PROXY_H
#define TW_TESTS_FAULT_POSTGRES_PROXY_H

#include <sys/types.h>

struct proxy_cut {
    long to_client_bytes, to_server_bytes; /* -1: never */
};

/* What went through, once it is over. */
struct proxy_count {
    long to_client_bytes, to_server_bytes;
    long n_round_trips; /* times that the server said it is ready again */
};

struct proxy {
    pid_t process;
    int count_fd;
};

/* server: the path of its socket; folder: where the client's is made. False: errno. */
int proxy_start(const char *server, const char *folder, struct proxy_cut cut, struct proxy *proxy);
/* Waits until the connection is over; removes the socket. */
struct proxy_count proxy_end(struct proxy *proxy, const char *folder);

#endif
