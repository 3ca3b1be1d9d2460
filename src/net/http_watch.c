/* The thread that looks after what libmicrohttpd does not: deadlines, heartbeats, and clients that
 * leave while their request waits. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_state.h"

#define TICK_MS 100
#define EVENTS  256
#define NO_SLOT UINT32_MAX

uint64_t tw_http_slot_key(const struct tw_http_slot *slot)
{
    return (uint64_t)slot->generation << 32 | (uint32_t)(slot - slot->server->slots);
}

/* Under the slots' lock. */
static void give_back(struct tw_http_slot *slot)
{
    struct tw_http_server *server = slot->server;
    slot->fd = -1;
    slot->phase = HTTP_FREE;
    slot->request = NULL;
    slot->next_free = server->first_free;
    server->first_free = (uint32_t)(slot - server->slots);
}

struct tw_http_slot *tw_http_slot_take(struct tw_http_server *server, int fd)
{
    struct tw_http_slot *slot = NULL;
    pthread_mutex_lock(&server->lock);
    if (server->first_free != NO_SLOT) {
        slot = &server->slots[server->first_free];
        server->first_free = slot->next_free;
        slot->generation++;
        slot->fd = fd;
        slot->phase = HTTP_HEAD; /* before the descriptor is watched: its event comes once */
        slot->has_hung_up = false;
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET,
                                    .data.u64 = tw_http_slot_key(slot)};
        if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            give_back(slot);
            slot = NULL;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return slot;
}

void tw_http_slot_free(struct tw_http_slot *slot)
{
    struct tw_http_server *server = slot->server;
    pthread_mutex_lock(&server->lock);
    epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
    give_back(slot);
    pthread_mutex_unlock(&server->lock);
}

static uint32_t phase_seconds(const struct tw_http_config *config, enum tw_http_phase phase)
{
    switch (phase) {
    case HTTP_HEAD:
        return config->head_seconds;
    case HTTP_BODY:
        return config->body_seconds;
    case HTTP_ANSWER:
        return config->answer_seconds;
    case HTTP_IDLE:
        return config->idle_seconds;
    case HTTP_FREE:
    case HTTP_HANDLED:
        break;
    }
    return 0;
}

/* Under the slots' lock. */
static void enter_phase(struct tw_http_slot *slot, enum tw_http_phase phase, int64_t now_ns)
{
    const uint32_t seconds = phase_seconds(&slot->server->config, phase);
    slot->phase = phase;
    slot->deadline_ns = seconds > 0 ? now_ns + seconds * TW_SECOND_NS : 0;
}

/* Under the slots' lock. A request that is not handled yet is marked when it is; one whose answer
 * is complete is left to libmicrohttpd: the client may have read it all. */
static void leave(struct tw_http_slot *slot)
{
    struct tw_http_request *request = slot->request;
    if (request != NULL && slot->phase == HTTP_HANDLED) {
        pthread_mutex_lock(&request->lock);
        if (!request->is_ended) {
            tw_http_mark_gone(request);
        }
        pthread_mutex_unlock(&request->lock);
    }
}

void tw_http_slot_phase(struct tw_http_slot *slot, enum tw_http_phase phase,
                        struct tw_http_request *request)
{
    struct tw_http_server *server = slot->server;
    pthread_mutex_lock(&server->lock);
    enter_phase(slot, phase, tw_clock_monotonic_ns());
    slot->request = request;
    if (slot->has_hung_up) {
        leave(slot);
    }
    pthread_mutex_unlock(&server->lock);
}

/* The event comes once (EPOLLET). */
void tw_http_hang_up(struct tw_http_server *server, uint64_t key)
{
    pthread_mutex_lock(&server->lock);
    struct tw_http_slot *slot = &server->slots[(uint32_t)key];
    if (slot->generation == key >> 32 && slot->phase != HTTP_FREE) {
        slot->has_hung_up = true;
        leave(slot);
        if (slot->phase == HTTP_BODY) { /* libmicrohttpd does not always see it there */
            shutdown(slot->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

static bool is_too_slow(const struct tw_http_request *request, int64_t now_ns)
{
    return request->n_pending_bytes > 0 &&
           now_ns - request->last_taken_ns > request->server->config.stall_seconds * TW_SECOND_NS;
}

static bool needs_heartbeat(const struct tw_http_request *request, int64_t now_ns)
{
    return request->heartbeat != NULL && request->stream.size_bytes == 0 &&
           now_ns - request->last_write_ns >= request->heartbeat_seconds * TW_SECOND_NS;
}

/* Under the slots' lock. A client that does not read has libmicrohttpd wait for its socket, where
 * it does not learn that the request is gone: so the connection is ended, too. A stream that is
 * complete has the deadline of an answer; the thread that completed it may not take the slots'
 * lock, since the server may have been freed. */
static void tend_request(struct tw_http_slot *slot, int64_t now_ns)
{
    struct tw_http_request *request = slot->request;
    pthread_mutex_lock(&request->lock);
    if (request->reply == HTTP_STREAM && !request->is_gone) {
        if (request->is_ended) {
            enter_phase(slot, HTTP_ANSWER, now_ns);
        } else if (is_too_slow(request, now_ns)) {
            tw_http_mark_gone(request);
        } else if (needs_heartbeat(request, now_ns)) {
            tw_http_stream_append(request, request->heartbeat, strlen(request->heartbeat), now_ns);
            tw_http_wake(request);
        }
    }
    if (request->is_gone) {
        shutdown(slot->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&request->lock);
}

/* Shutting down makes libmicrohttpd see the end of the connection and close it itself; the slot is
 * given back before it closes the descriptor, so that no other connection can be hit. */
static void tend_slots(struct tw_http_server *server)
{
    int64_t now_ns = tw_clock_monotonic_ns();
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->n_slots; i++) {
        struct tw_http_slot *slot = &server->slots[i];
        if (slot->phase == HTTP_FREE) {
            continue;
        }
        if (slot->deadline_ns != 0 && now_ns > slot->deadline_ns) {
            if (slot->phase == HTTP_HEAD || slot->phase == HTTP_BODY) {
                server->n_refused++;
            }
            shutdown(slot->fd, SHUT_RDWR);
            slot->deadline_ns = 0;
        }
        if (slot->request != NULL && slot->phase == HTTP_HANDLED) {
            tend_request(slot, now_ns);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

static void *watch(void *context)
{
    struct tw_http_server *server = context;
    struct epoll_event events[EVENTS];
    int64_t next_ns = 0;
    while (!server->stops) {
        int n = epoll_wait(server->epoll_fd, events, EVENTS, TICK_MS);
        for (int i = 0; i < n; i++) {
            tw_http_hang_up(server, events[i].data.u64);
        }
        if (tw_clock_monotonic_ns() >= next_ns) {
            tend_slots(server);
            next_ns = tw_clock_monotonic_ns() + TICK_MS * (TW_SECOND_NS / 1000);
        }
    }
    return NULL;
}

enum tw_status tw_http_watch_start(struct tw_http_server *server, struct tw_error *error)
{
    server->slots = tw_mem_zalloc(server->n_slots, sizeof *server->slots);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->slots == NULL || server->epoll_fd < 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u connections",
                            server->n_slots);
    }
    for (uint32_t i = 0; i < server->n_slots; i++) {
        server->slots[i] = (struct tw_http_slot){
            .server = server, .fd = -1, .next_free = i + 1 < server->n_slots ? i + 1 : NO_SLOT};
    }
    int failure = pthread_create(&server->watcher, NULL, watch, server);
    if (failure != 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread: %s",
                            strerror(failure));
    }
    server->has_watcher = true;
    return TW_OK;
}

void tw_http_watch_stop(struct tw_http_server *server)
{
    if (server->has_watcher) {
        server->stops = true;
        pthread_join(server->watcher, NULL);
    }
    if (server->epoll_fd >= 0) {
        close(server->epoll_fd);
    }
    tw_mem_free(server->slots);
}
