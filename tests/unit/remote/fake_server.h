/* fake_server.h: an HTTP server on a free port that answers well or badly, as the path says.
 *
 *     /v1/echo       the request itself, whole          /cut       half of what it announced
 *     /v1/stream     10 events, then [DONE]             /cut-chunk a chunked body without its end
 *     /flood         4 MB, as fast as they are taken    /reset     a reset before anything
 *     /flood/NNN     NNN MB of them
 *     /status/NNN    that status, Retry-After: 7        /hang      nothing, ever
 *     /head-then-hang  a head, then nothing             /byte-then-hang  a byte, then nothing
 *     /drip          a byte every 20 ms, for ever       /big-head  100 KB of header lines
 *     /endless-head  header lines for ever              /garbage   no HTTP
 *     /v1/last       as echo, and then it closes, unannounced
 *     /elsewhere     a redirect to /v1/echo             /hold      an event, then as server->holds
 *     /health, /v1/models, /metrics: as the fields say
 *
 * Threads: one a connection. Everything that comes is recorded: that it came, and the last request.
 */
#ifndef TW_TEST_FAKE_SERVER_H
#define TW_TEST_FAKE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { FAKE_CONNECTIONS = 2400, FAKE_REQUEST_BYTES = 65536 };

struct fake_connection {
    struct fake_server *server;
    pthread_t thread;
    int fd;
};

struct fake_server {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct fake_connection *connections; /* [FAKE_CONNECTIONS] */
    atomic_uint n_connections, n_requests;
    atomic_uint n_left; /* clients that closed before they had everything */
    atomic_bool holds;
    atomic_int health_status, models_status, metrics_status;
    _Atomic(const char *) metrics;
    char request[FAKE_REQUEST_BYTES]; /* the last one, head and body; under the lock */
};

void fake_server_start(struct fake_server *server);
void fake_server_stop(struct fake_server *server);
/* Whether the last request holds a text. */
bool fake_server_got(struct fake_server *server, const char *text);

#endif
