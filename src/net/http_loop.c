/* The threads that run libmicrohttpd. Each has a daemon of it, and all listen on one socket.
 *
 * Its own threads would wait inside of it, without a bound, and do so while they hold events: where
 * a call gave as many as it takes at a time it waits for more before it looks at them. So the
 * waiting is done here, on the daemon's epoll set and on a descriptor for waking, and the daemon is
 * called for what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/http_state.h"

void tw_http_loop_wake(struct tw_http_loop *loop)
{
    if (!atomic_exchange(&loop->is_woken, true)) {
        eventfd_write(loop->wake_fd, 1); /* fails where the counter is full, which is as good */
    }
}

/* Milliseconds until the daemon has to be called in any case. */
static int patience_ms(struct tw_http_loop *loop)
{
    MHD_UNSIGNED_LONG_LONG ms;
    const bool waits_for_all = MHD_get_timeout(loop->daemon, &ms) == MHD_NO;
    return waits_for_all || ms > TW_LIMIT_HTTP_LOOP_MS ? TW_LIMIT_HTTP_LOOP_MS : (int)ms;
}

static unsigned count_connections(struct tw_http_loop *loop)
{
    return MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* A daemon that is full does not listen, and listens again at the beginning of a call: so where
 * connections have ended there is one more. */
static void run_daemon(struct tw_http_loop *loop)
{
    unsigned n_before;
    do {
        n_before = count_connections(loop);
        MHD_run_wait(loop->daemon, 0);
    } while (count_connections(loop) < n_before);
}

/* What was done before a wake is seen after is_woken is cleared; who sets it later wakes again. */
static void *run_loop(void *context)
{
    struct tw_http_loop *loop = context;
    struct pollfd fds[] = {{.fd = loop->epoll_fd, .events = POLLIN},
                           {.fd = loop->wake_fd, .events = POLLIN}};
    while (!loop->server->loops_stop) {
        poll(fds, 2, patience_ms(loop));
        if (fds[1].revents != 0) {
            eventfd_t count;
            eventfd_read(loop->wake_fd, &count);
        }
        atomic_store(&loop->is_woken, false);
        run_daemon(loop);
    }
    return NULL;
}

static bool start_loop(struct tw_http_loop *loop)
{
    const int own_fd = fcntl(loop->server->listen_fd, F_DUPFD_CLOEXEC, 0);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (own_fd < 0 || loop->wake_fd < 0) {
        if (own_fd >= 0) {
            close(own_fd);
        }
        return false;
    }
    loop->daemon = tw_http_daemon_start(loop, own_fd); /* which closes it at its end */
    if (loop->daemon == NULL) {
        close(own_fd);
        return false;
    }
    loop->epoll_fd = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    loop->has_thread = pthread_create(&loop->thread, NULL, run_loop, loop) == 0;
    return loop->has_thread;
}

enum tw_status tw_http_loops_start(struct tw_http_server *server, struct tw_error *error)
{
    server->loops = tw_mem_zalloc(server->config.n_threads, sizeof *server->loops);
    bool is_fine = server->loops != NULL;
    while (is_fine && server->n_loops < server->config.n_threads) {
        struct tw_http_loop *loop = &server->loops[server->n_loops++];
        loop->server = server;
        loop->quiesced_fd = loop->wake_fd = -1;
        is_fine = start_loop(loop);
    }
    return is_fine ? TW_OK
                   : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "the HTTP server does not start: are there enough file "
                                  "descriptors (ulimit -n) and threads?");
}

void tw_http_loops_quiesce(struct tw_http_server *server)
{
    for (uint32_t i = 0; i < server->n_loops; i++) {
        server->loops[i].quiesced_fd = MHD_quiesce_daemon(server->loops[i].daemon);
        tw_http_loop_wake(&server->loops[i]);
    }
}

void tw_http_loops_join(struct tw_http_server *server)
{
    server->loops_stop = true;
    for (uint32_t i = 0; i < server->n_loops; i++) {
        if (server->loops[i].has_thread) {
            tw_http_loop_wake(&server->loops[i]);
            pthread_join(server->loops[i].thread, NULL);
        }
    }
}

void tw_http_loops_free(struct tw_http_server *server)
{
    for (uint32_t i = 0; i < server->n_loops; i++) {
        const struct tw_http_loop *loop = &server->loops[i];
        if (loop->daemon != NULL) {
            MHD_stop_daemon(loop->daemon);
        }
        const int fds[] = {loop->quiesced_fd, loop->wake_fd};
        for (size_t n = 0; n < 2; n++) {
            if (fds[n] >= 0) {
                close(fds[n]);
            }
        }
    }
    tw_mem_free(server->loops);
}
