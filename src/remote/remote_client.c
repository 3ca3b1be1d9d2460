#include "remote/remote_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "remote/remote_state.h"

#define MS_NS INT64_C(1000000)

/* ---- the queue ---- */

void tw_remote_client_wake(struct tw_remote_client *client)
{
    const uint64_t one = 1;
    ssize_t n = write(client->wake_fd, &one, sizeof one);
    (void)n; /* it can only fail when it is full of wake-ups */
}

/* With the lock held. Whether the thread is to be woken: it was not before. */
static bool queue(struct tw_remote_call *call, unsigned what)
{
    struct tw_remote_client *client = call->client;
    const bool was_empty = client->first_queued == NULL;
    if (call->pending == 0) {
        atomic_fetch_add(&call->references, 1);
        call->next_queued = NULL;
        *client->last_queued = call;
        client->last_queued = &call->next_queued;
    }
    call->pending |= what;
    return was_empty;
}

static void tell(struct tw_remote_call *call, unsigned what)
{
    struct tw_remote_client *client = call->client;
    pthread_mutex_lock(&client->lock);
    const bool wakes = queue(call, what);
    pthread_mutex_unlock(&client->lock);
    if (wakes) {
        tw_remote_client_wake(client);
    }
}

void tw_remote_cancel(struct tw_remote_call *call)
{
    tell(call, CALL_CANCEL);
}

void tw_remote_resume(struct tw_remote_call *call)
{
    tell(call, CALL_RESUME);
}

static void take_from_queue(struct tw_remote_call *call, unsigned what)
{
    if ((what & CALL_SUBMIT) != 0) {
        tw_remote_transfer_begin(call);
    }
    if ((what & CALL_CANCEL) != 0 && !call->has_ended) {
        tw_remote_transfer_stop(call, TW_REMOTE_CANCELLED, "the call was cancelled");
    }
    if ((what & CALL_RESUME) != 0 && !call->has_ended) {
        tw_remote_transfer_resume(call);
    }
}

static void take_queue(struct tw_remote_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct tw_remote_call *call = client->first_queued;
    client->first_queued = NULL;
    client->last_queued = &client->first_queued;
    pthread_mutex_unlock(&client->lock);
    while (call != NULL) {
        pthread_mutex_lock(&client->lock);
        struct tw_remote_call *next = call->next_queued;
        const unsigned what = call->pending;
        call->pending = 0;
        pthread_mutex_unlock(&client->lock);
        take_from_queue(call, what);
        tw_remote_call_release(call);
        call = next;
    }
}

/* ---- libcurl's sockets and timer ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context)
{
    struct tw_remote_client *client = context;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    (void)socket_context;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
        return epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
    }
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct tw_remote_client *client = context;
    (void)multi;
    client->timer_ns =
        timeout_ms < 0 ? INT64_MAX : tw_clock_monotonic_ns() + (int64_t)timeout_ms * MS_NS;
    return 0;
}

static void take_events(struct tw_remote_client *client, const struct epoll_event *events, int n)
{
    int n_running;
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == client->wake_fd) {
            uint64_t count;
            ssize_t got = read(client->wake_fd, &count, sizeof count);
            (void)got;
            continue;
        }
        const int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                         (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                         (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(client->multi, events[i].data.fd, what, &n_running);
    }
    if (client->timer_ns <= tw_clock_monotonic_ns()) {
        client->timer_ns = INT64_MAX;
        curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    }
}

static void take_ended(struct tw_remote_client *client)
{
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(client->multi, &n_left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            char *call = NULL;
            const CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            tw_remote_transfer_end((struct tw_remote_call *)(void *)call, code);
        }
    }
}

/* ---- the loop ---- */

/* Every deadline of every call is compared, at times: 2,000 comparisons are less than keeping
 * timers in order for calls that nearly all end before. */
static void sweep(struct tw_remote_client *client, int64_t now_ns)
{
    struct tw_remote_call *call = client->running;
    client->swept_ns = now_ns;
    while (call != NULL) {
        struct tw_remote_call *next = call->next;
        tw_remote_transfer_check(call, now_ns);
        call = next;
    }
}

static int wait_ms(const struct tw_remote_client *client, int64_t look_ns, int64_t now_ns)
{
    int64_t until_ns = client->timer_ns < look_ns ? client->timer_ns : look_ns;
    const int64_t sweep_ns = client->swept_ns + TW_LIMIT_REMOTE_SWEEP_MS * MS_NS;
    if (client->n_running > 0 && sweep_ns < until_ns) {
        until_ns = sweep_ns;
    }
    if (until_ns == INT64_MAX) {
        return -1;
    }
    const int64_t ms = (until_ns - now_ns + MS_NS - 1) / MS_NS;
    return ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static bool is_stopping(struct tw_remote_client *client)
{
    pthread_mutex_lock(&client->lock);
    const bool is = client->is_stopping;
    pthread_mutex_unlock(&client->lock);
    return is;
}

static void *run(void *context)
{
    struct tw_remote_client *client = context;
    struct epoll_event events[TW_LIMIT_REMOTE_EVENTS];
    while (!is_stopping(client)) {
        int64_t now_ns = tw_clock_monotonic_ns();
        const int64_t look_ns = tw_remote_look_around(client, now_ns);
        const int n = epoll_wait(client->epoll_fd, events, TW_LIMIT_REMOTE_EVENTS,
                                 wait_ms(client, look_ns, now_ns));
        take_events(client, events, n > 0 ? n : 0);
        take_queue(client);
        take_ended(client);
        now_ns = tw_clock_monotonic_ns();
        if (now_ns - client->swept_ns >= TW_LIMIT_REMOTE_SWEEP_MS * MS_NS) {
            sweep(client, now_ns);
        }
    }
    take_queue(client); /* nothing is added any more */
    while (client->running != NULL) {
        tw_remote_transfer_stop(client->running, TW_REMOTE_CANCELLED, "the program is ending");
    }
    return NULL;
}

/* ---- its life ---- */

static enum tw_status open_multi(struct tw_remote_client *client)
{
    client->multi = curl_multi_init();
    if (client->multi == NULL) {
        return TW_ERR_MEMORY;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)TW_LIMIT_REMOTE_CALLS);
    return TW_OK;
}

static enum tw_status open_parts(struct tw_remote_client *client, struct tw_error *error)
{
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = client->wake_fd};
    if (client->epoll_fd < 0 || client->wake_fd < 0 ||
        epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->wake_fd, &event) != 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "no descriptors: %s",
                            strerror(errno));
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || open_multi(client) != TW_OK) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for connections");
    }
    client->has_thread = pthread_create(&client->thread, NULL, run, client) == 0;
    return client->has_thread ? TW_OK
                              : tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                                             "no thread for connections to other servers");
}

enum tw_status tw_remote_client_start(struct tw_remote_client **ret_client, struct tw_error *error)
{
    struct tw_remote_client *client = tw_mem_zalloc(1, sizeof *client);
    if (client == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for connections");
    }
    client->epoll_fd = client->wake_fd = -1;
    client->timer_ns = INT64_MAX;
    client->last_queued = &client->first_queued;
    pthread_mutex_init(&client->lock, NULL);
    enum tw_status status = open_parts(client, error);
    if (status != TW_OK) {
        tw_remote_client_free(client);
        return status;
    }
    *ret_client = client;
    return TW_OK;
}

void tw_remote_client_stop(struct tw_remote_client *client)
{
    if (client == NULL || !client->has_thread) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    client->is_stopping = true;
    pthread_mutex_unlock(&client->lock);
    tw_remote_client_wake(client);
    pthread_join(client->thread, NULL);
    client->has_thread = false;
}

/* What was told to calls after the thread's end. */
static void drop_queue(struct tw_remote_client *client)
{
    while (client->first_queued != NULL) {
        struct tw_remote_call *call = client->first_queued;
        client->first_queued = call->next_queued;
        tw_remote_call_release(call);
    }
}

void tw_remote_client_free(struct tw_remote_client *client)
{
    if (client == NULL) {
        return;
    }
    tw_remote_client_stop(client);
    drop_queue(client);
    while (client->backends != NULL) {
        struct tw_remote_backend *backend = client->backends;
        client->backends = backend->next;
        tw_remote_backend_let_go(backend);
    }
    for (uint32_t i = 0; i < client->n_spares; i++) {
        curl_easy_cleanup(client->spares[i]);
    }
    curl_multi_cleanup(client->multi);
    if (client->wake_fd >= 0) {
        close(client->wake_fd);
    }
    if (client->epoll_fd >= 0) {
        close(client->epoll_fd);
    }
    pthread_mutex_destroy(&client->lock);
    tw_mem_free(client);
}

struct tw_remote_usage tw_remote_client_usage(struct tw_remote_client *client)
{
    pthread_mutex_lock(&client->lock);
    const struct tw_remote_usage usage = client->usage;
    pthread_mutex_unlock(&client->lock);
    return usage;
}

/* ---- calls ---- */

static bool is_fit_as_id(const char *id)
{
    size_t n = 0;
    while (id[n] > ' ' && id[n] < 0x7f && n < TW_LIMIT_HTTP_ID_BYTES) {
        n++;
    }
    return id[n] == '\0';
}

static struct tw_remote_call *make_call(struct tw_remote_client *client,
                                        const struct tw_remote_request *request)
{
    struct tw_remote_call *call = tw_mem_zalloc(1, sizeof *call);
    if (call == NULL) {
        return NULL;
    }
    call->client = client;
    call->backend = request->backend;
    tw_remote_backend_hold(call->backend);
    atomic_init(&call->references, 2); /* the caller's and the client's */
    (void)snprintf(call->url, sizeof call->url, "%s%s", request->backend->url, request->path);
    if (request->request_id != NULL && is_fit_as_id(request->request_id)) {
        (void)snprintf(call->request_id, sizeof call->request_id, "%s", request->request_id);
    }
    call->is_post = request->body != NULL;
    call->sink = request->sink;
    call->submitted_ns = tw_clock_monotonic_ns();
    call->whole_ms = request->whole_ms != 0 ? request->whole_ms : request->backend->config.whole_ms;
    tw_buf_init(&call->body, 0);
    return call;
}

/* Whoever submits may be told of the end before this returns: what is given to him, and taken from
 * him, is so before the lock is. */
static enum tw_status admit(struct tw_remote_call *call, struct tw_buf *body,
                            struct tw_remote_call **ret_call, struct tw_error *error)
{
    struct tw_remote_client *client = call->client;
    enum tw_status status = TW_OK;
    bool wakes = false;
    pthread_mutex_lock(&client->lock);
    if (client->is_stopping) {
        status = tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION, "the program is ending");
    } else if (client->usage.n_calls >= TW_LIMIT_REMOTE_CALLS) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "%d requests are with other servers already", TW_LIMIT_REMOTE_CALLS);
    } else {
        client->usage.n_calls++;
        client->usage.n_submitted++;
        if (body != NULL) {
            call->body = *body;
            tw_buf_init(body, body->bound_bytes);
        }
        *ret_call = call;
        wakes = queue(call, CALL_SUBMIT);
    }
    pthread_mutex_unlock(&client->lock);
    if (wakes) {
        tw_remote_client_wake(client);
    }
    return status;
}

enum tw_status tw_remote_submit(struct tw_remote_client *client,
                                const struct tw_remote_request *request,
                                struct tw_remote_call **ret_call, struct tw_error *error)
{
    if (strlen(request->path) >= TW_LIMIT_REMOTE_URL_BYTES || request->path[0] != '/') {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "'%s' is no path of an endpoint",
                            request->path);
    }
    struct tw_remote_call *call = make_call(client, request);
    if (call == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a call");
    }
    enum tw_status status = admit(call, request->body, ret_call, error);
    if (status != TW_OK) {
        atomic_store(&call->references, 1); /* the client has none */
        tw_remote_call_release(call);
    }
    return status;
}

void tw_remote_call_release(struct tw_remote_call *call)
{
    if (call != NULL && atomic_fetch_sub(&call->references, 1) == 1) {
        tw_buf_free(&call->body);
        tw_remote_backend_let_go(call->backend);
        tw_mem_free(call);
    }
}
