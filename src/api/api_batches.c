/* What batches have of threads, and their calls on the way to the desk. */
#include "api/api_batches.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define DOWNLOAD_NS 5000000 /* from one look at who reads a file to the next */

static void refuse_stopping(struct tw_api *api, struct tw_http_request *http)
{
    struct tw_api_error error;
    tw_api_refuse_status(&error, 503, "server_error", NULL, "the server is shutting down");
    tw_api_answer_error(api, http, &error);
}

/* ---- calls ---- */

static void copy_value(const char *value, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s", value != NULL ? value : "");
}

/* What stands behind the base: "NAME" or "NAME/verb". A name that is too long is nobody's. */
static void split_path(const char *path, const char *base, struct tw_api_desk_call *call)
{
    const char *name = path + strlen(base);
    name += *name == '/';
    const char *slash = strchr(name, '/');
    const size_t n = slash != NULL ? (size_t)(slash - name) : strlen(name);
    snprintf(call->name, sizeof call->name, "%.*s", n < sizeof call->name ? (int)n : 1,
             n < sizeof call->name ? name : "?");
    copy_value(slash != NULL ? slash + 1 : NULL, call->verb, sizeof call->verb);
}

void tw_api_desk_take(struct tw_api *api, struct tw_http_request *http, const char *base,
                      void (*run)(struct tw_api_desk_call *call),
                      const struct tw_api_tenant *tenant)
{
    struct tw_api_batches *batches = api->batches;
    struct tw_api_error error;
    if (batches == NULL) {
        tw_api_refuse_status(&error, 501, "invalid_request_error", "not_supported",
                             "files and batches are kept in books: start the server with --books");
        tw_api_answer_error(api, http, &error);
        return;
    }
    struct tw_api_desk_call *call = tw_mem_zalloc(1, sizeof *call);
    if (call == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_answer_error(api, http, &error);
        return;
    }
    *call = (struct tw_api_desk_call){
        .api = api, .batches = batches, .http = http, .tenant = *tenant, .run = run};
    split_path(tw_http_path(http), base, call);
    copy_value(tw_http_argument(http, "after"), call->after, sizeof call->after);
    copy_value(tw_http_argument(http, "limit"), call->limit, sizeof call->limit);
    copy_value(tw_http_argument(http, "purpose"), call->purpose, sizeof call->purpose);
    copy_value(tw_http_argument(http, "order"), call->order, sizeof call->order);
    copy_value(tw_http_header(http, "Content-Type"), call->content_type, sizeof call->content_type);
    call->n_data_classes = tw_api_data_class(http, call->data_class);
    pthread_mutex_lock(&batches->lock);
    const bool stops = batches->stops;
    const bool is_queued = !stops && batches->n_calls < TW_LIMIT_BATCH_CALLS;
    if (is_queued) {
        *batches->calls_end = call;
        batches->calls_end = &call->next;
        batches->n_calls++;
        pthread_cond_signal(&batches->wake_desk);
    }
    pthread_mutex_unlock(&batches->lock);
    if (is_queued) {
        return;
    }
    tw_mem_free(call);
    if (stops) {
        refuse_stopping(api, http);
    } else {
        tw_api_refuse_status(&error, 429, "rate_limit_error", "queue_full",
                             "too many calls about files and batches wait; try again later");
        tw_api_answer_error(api, http, &error);
    }
}

/* ---- the desk ---- */

void *tw_api_desk(void *context)
{
    struct tw_api_batches *batches = context;
    pthread_mutex_lock(&batches->lock);
    while (!batches->stops || batches->calls != NULL) {
        struct tw_api_desk_call *call = batches->calls;
        if (call != NULL) {
            batches->calls = call->next;
            batches->calls_end = call->next == NULL ? &batches->calls : batches->calls_end;
            batches->n_calls--;
        }
        const bool stops = batches->stops;
        pthread_mutex_unlock(&batches->lock);
        if (call != NULL && stops) {
            refuse_stopping(call->api, call->http);
        } else if (call != NULL) {
            call->run(call);
        }
        tw_mem_free(call);
        const bool reads = tw_api_desk_go_on(batches);
        pthread_mutex_lock(&batches->lock);
        if (batches->calls == NULL && !batches->stops) {
            const struct timespec until = tw_clock_after(DOWNLOAD_NS);
            if (reads) {
                pthread_cond_timedwait(&batches->wake_desk, &batches->lock, &until);
            } else {
                pthread_cond_wait(&batches->wake_desk, &batches->lock);
            }
        }
    }
    pthread_mutex_unlock(&batches->lock);
    tw_api_desk_end_downloads(batches);
    return NULL;
}

/* ---- starting and stopping ---- */

static enum tw_status start_threads(struct tw_api_batches *batches, struct tw_error *error)
{
    int failure = pthread_create(&batches->desk, NULL, tw_api_desk, batches);
    batches->has_desk = failure == 0;
    if (failure == 0) {
        failure = pthread_create(&batches->runner, NULL, tw_api_runner, batches);
        batches->has_runner = failure == 0;
    }
    return failure == 0 ? TW_OK
                        : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                       "no thread for batches: %s", strerror(failure));
}

enum tw_status tw_api_batches_start(struct tw_api *api, struct tw_error *error)
{
    if (api->config.hub == NULL) {
        return TW_OK;
    }
    struct tw_api_batches *batches = tw_mem_zalloc(1, sizeof *batches);
    if (batches == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for batches");
    }
    pthread_condattr_t attributes;
    batches->api = api;
    batches->calls_end = &batches->calls;
    pthread_mutex_init(&batches->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&batches->wake_desk, &attributes);
    pthread_cond_init(&batches->wake_runner, &attributes);
    pthread_condattr_destroy(&attributes);
    api->batches = batches;
    enum tw_status status =
        tw_batches_open(api->config.hub, &api->config.batches, &batches->store, error);
    if (status == TW_OK) {
        batches->run = tw_api_runner_create(batches);
        status = batches->run != NULL
                     ? start_threads(batches, error)
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for batches");
    }
    return status;
}

void tw_api_batches_drain(struct tw_api_batches *batches)
{
    if (batches != NULL) {
        pthread_mutex_lock(&batches->lock);
        batches->is_draining = true;
        pthread_cond_signal(&batches->wake_runner);
        pthread_mutex_unlock(&batches->lock);
    }
}

uint32_t tw_api_batches_running(const struct tw_api_batches *batches)
{
    return batches != NULL ? batches->n_running : 0;
}

void tw_api_batches_stop(struct tw_api_batches *batches)
{
    if (batches == NULL) {
        return;
    }
    pthread_mutex_lock(&batches->lock);
    batches->stops = true;
    pthread_cond_signal(&batches->wake_desk);
    pthread_cond_signal(&batches->wake_runner);
    pthread_mutex_unlock(&batches->lock);
    if (batches->has_desk) {
        pthread_join(batches->desk, NULL);
    }
    if (batches->has_runner) {
        pthread_join(batches->runner, NULL);
    }
    batches->has_desk = batches->has_runner = false;
}

void tw_api_batches_free(struct tw_api_batches *batches)
{
    if (batches == NULL) {
        return;
    }
    tw_api_batches_stop(batches);
    tw_api_runner_free(batches->run);
    tw_batches_close(batches->store);
    pthread_cond_destroy(&batches->wake_desk);
    pthread_cond_destroy(&batches->wake_runner);
    pthread_mutex_destroy(&batches->lock);
    tw_mem_free(batches);
}
