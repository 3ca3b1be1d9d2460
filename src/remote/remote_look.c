/* A look at a server's health:
 *
 *     HEALTH (/health) -> METRICS (/metrics) -> done
 *     HEALTH -> MODELS (/v1/models)          where there is no /health; so from then on
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "remote/remote_state.h"

#define MS_NS INT64_C(1000000)

static void begin_step(struct tw_remote_backend *backend, enum tw_remote_step step);

/* Over: the news is for everyone. */
static void publish(struct tw_remote_backend *backend)
{
    struct tw_remote_look *look = &backend->look;
    struct tw_remote_client *client = backend->client;
    const int64_t now_ns = tw_clock_monotonic_ns();
    look->found.is_known = true;
    look->found.checked_ns = now_ns;
    look->is_running = false;
    look->due_ns = now_ns + (int64_t)backend->config.poll_ms * MS_NS;
    pthread_mutex_lock(&client->lock);
    look->found.n_failures = look->found.is_alive ? 0 : backend->health.n_failures + 1;
    backend->health = look->found;
    const bool is_dropped = backend->is_dropped;
    pthread_mutex_unlock(&client->lock);
    if (!is_dropped && backend->config.notice != NULL) {
        backend->config.notice(backend->config.notice_context, &look->found);
    }
}

static void on_head(void *context, const struct tw_remote_head *head)
{
    struct tw_remote_backend *backend = context;
    (void)head;
    tw_metrics_begin(&backend->look.reader);
}

static enum tw_remote_take on_body(void *context, const char *bytes, size_t n_bytes)
{
    struct tw_remote_backend *backend = context;
    struct tw_metrics_reader *reader = &backend->look.reader;
    if (backend->look.step == TW_REMOTE_LOOK_METRICS) {
        tw_metrics_push(reader, bytes, n_bytes);
        return reader->n_bytes > TW_LIMIT_METRICS_BYTES ? TW_REMOTE_STOP : TW_REMOTE_TAKEN;
    }
    reader->n_bytes += n_bytes;
    return reader->n_bytes > TW_LIMIT_REMOTE_HEAD_BYTES * 16 ? TW_REMOTE_STOP : TW_REMOTE_TAKEN;
}

static void take_metrics(struct tw_remote_backend *backend, const struct tw_remote_result *result)
{
    struct tw_remote_look *look = &backend->look;
    if (result->end == TW_REMOTE_WHOLE) {
        look->found.load = tw_metrics_end(&look->reader);
        for (int i = 0; i < TW_METRIC_COUNT; i++) {
            look->found.has_load = look->found.has_load || look->found.load.has[i];
        }
    } else if (result->end == TW_REMOTE_REFUSED) {
        look->metrics_due_ns = tw_clock_monotonic_ns() + TW_LIMIT_REMOTE_NO_METRICS_MS * MS_NS;
    }
    publish(backend);
}

static void on_end(void *context, const struct tw_remote_result *result)
{
    struct tw_remote_backend *backend = context;
    struct tw_remote_look *look = &backend->look;
    const bool is_missing =
        result->end == TW_REMOTE_REFUSED && (result->status == 404 || result->status == 405);
    if (look->step == TW_REMOTE_LOOK_METRICS) {
        take_metrics(backend, result);
    } else if (look->step == TW_REMOTE_LOOK_HEALTH && is_missing) {
        look->has_no_health = true;
        begin_step(backend, TW_REMOTE_LOOK_MODELS);
    } else if (result->end != TW_REMOTE_WHOLE) {
        look->has_no_health = false; /* another server may come up there */
        (void)snprintf(look->found.reason, sizeof look->found.reason, "%.200s", result->reason);
        publish(backend);
    } else {
        look->found.is_alive = true;
        if (look->metrics_due_ns > tw_clock_monotonic_ns()) {
            publish(backend);
        } else {
            begin_step(backend, TW_REMOTE_LOOK_METRICS);
        }
    }
}

static void begin_step(struct tw_remote_backend *backend, enum tw_remote_step step)
{
    static const char *const paths[] = {"/health", "/v1/models", "/metrics"};
    struct tw_remote_call *call;
    struct tw_error error;
    const struct tw_remote_request request = {
        .backend = backend,
        .path = paths[step],
        .whole_ms = TW_LIMIT_REMOTE_LOOK_MS,
        .sink = {.context = backend, .head = on_head, .body = on_body, .end = on_end},
    };
    backend->look.step = step;
    tw_metrics_begin(&backend->look.reader);
    if (tw_remote_submit(backend->client, &request, &call, &error) == TW_OK) {
        tw_remote_call_release(call);
    } else {
        backend->look.found = tw_remote_backend_health(backend); /* it says nothing of the server */
        publish(backend);
    }
}

static void begin(struct tw_remote_backend *backend)
{
    struct tw_remote_look *look = &backend->look;
    look->is_running = true;
    look->found = (struct tw_remote_health){0};
    begin_step(backend, look->has_no_health ? TW_REMOTE_LOOK_MODELS : TW_REMOTE_LOOK_HEALTH);
}

/* One whose look is due, held; NULL where there is none. */
static struct tw_remote_backend *find_due(struct tw_remote_client *client, int64_t now_ns,
                                          int64_t *ret_next_ns)
{
    struct tw_remote_backend *found = NULL;
    *ret_next_ns = INT64_MAX;
    pthread_mutex_lock(&client->lock);
    for (struct tw_remote_backend *backend = client->backends; backend != NULL && found == NULL;
         backend = backend->next) {
        const struct tw_remote_look *look = &backend->look;
        if (backend->config.poll_ms == 0 || look->is_running) {
            continue;
        }
        if (look->due_ns <= now_ns) {
            found = backend;
            tw_remote_backend_hold(found);
        } else if (look->due_ns < *ret_next_ns) {
            *ret_next_ns = look->due_ns;
        }
    }
    pthread_mutex_unlock(&client->lock);
    return found;
}

int64_t tw_remote_look_around(struct tw_remote_client *client, int64_t now_ns)
{
    struct tw_remote_backend *backend;
    int64_t next_ns;
    while ((backend = find_due(client, now_ns, &next_ns)) != NULL) {
        begin(backend);
        tw_remote_backend_let_go(backend);
    }
    return next_ns;
}
