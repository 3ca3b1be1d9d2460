/* serve_place.h: where `tokenworks serve` listens, and what systemd is told of it.
 *
 *     a socket of systemd (LISTEN_FDS) where one was passed, otherwise --host
 *
 * Who can reach the socket decides whether keys are needed, so a socket that was passed is asked
 * for its own address. Threads: the main thread only.
 * Errors: TW_ERR_USAGE for what is no address, TW_ERR_IO for what is no listening socket.
 */
#ifndef TW_APP_SERVE_PLACE_H
#define TW_APP_SERVE_PLACE_H

#include <stdbool.h>

#include "base/status.h"

struct tw_serve_place {
    int passed_fd;     /* -1: none */
    bool is_loopback;  /* nobody but this machine; sockets of the file system are */
    bool is_inet;      /* it has a port */
    char address[128]; /* "127.0.0.1", "[::1]", "unix:/run/tokenworks.sock" */
};

enum tw_status tw_serve_place_find(const char *host, struct tw_serve_place *ret_place,
                                   struct tw_error *error);

/* Connects to systemd where it wants to hear (sd_notify(3)): the descriptor, for as long as the
 * process lives, or -1. */
int tw_serve_notify_open(void);
/* Tells it how things stand; where nothing was opened nothing happens. */
void tw_serve_notify(const char *state);

#endif
