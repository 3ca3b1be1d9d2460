#include "backend/backend.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* How long to wait before asking again, when all requests pause. */
#define PAUSE_NS 5000000

struct job {
    struct tw_job_request request;
    struct tw_sequence *sequence; /* NULL before it runs */
    bool is_started;              /* its prompt is computed */
    struct job *next;
};

/* A tenant on its way to the engine, which has one caller. */
struct news {
    uint32_t tenant, weight;
    enum tw_priority_class priority_class;
    struct news *next;
};

struct tw_backend {
    struct tw_engine *engine;
    uint32_t max_waiting;
    uint32_t n_context_tokens;
    const struct tw_token_trie *trie;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct job *queue, **queue_end;
    uint32_t n_queued;
    struct news *news, **news_end; /* in their order: of two about a tenant the later one holds */
    bool stops;
    struct tw_backend_usage usage; /* as of the last step */

    struct job *jobs; /* of the thread alone: those that have a sequence, oldest first */
};

/* ---- the engine's thread ---- */

static void finish(struct job *job, enum tw_finish reason, const struct tw_error *error)
{
    const struct tw_output output = {.text = "", .finish = reason, .error = error};
    job->request.sink.output(job->request.sink.context, &output, 0);
}

static void free_job(struct job *job)
{
    tw_sequence_free(job->sequence);
    tw_mem_free(job);
}

static enum tw_status begin(struct tw_backend *backend, struct job *job, struct tw_error *error)
{
    enum tw_status status = tw_sequence_create(backend->engine, &job->sequence, error);
    if (status == TW_OK) {
        status =
            tw_sequence_append(job->sequence, job->request.tokens, job->request.n_tokens, error);
    }
    if (status == TW_OK) {
        status = tw_sequence_generate(job->sequence, job->request.generation, error);
    }
    return status;
}

static void take_queue(struct tw_backend *backend, struct job *queue)
{
    struct job **end = &backend->jobs;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    while (queue != NULL) {
        struct job *job = queue;
        struct tw_error error;
        queue = job->next;
        job->next = NULL;
        if (begin(backend, job, &error) == TW_OK) {
            *end = job;
            end = &job->next;
        } else {
            finish(job, TW_FINISH_ERROR, &error);
            free_job(job);
        }
    }
}

static void ask_wish(struct job *job)
{
    switch (job->request.sink.wish(job->request.sink.context)) {
    case TW_WISH_GO_ON:
        tw_sequence_resume(job->sequence);
        break;
    case TW_WISH_PAUSE:
        tw_sequence_pause(job->sequence);
        break;
    case TW_WISH_CANCEL:
        tw_sequence_cancel(job->sequence);
        break;
    }
}

/* True when it was the last of the job. */
static bool deliver(struct job *job, struct tw_backend_usage *usage)
{
    struct tw_output output = tw_sequence_take(job->sequence);
    if (output.n_tokens == 0 && output.finish == TW_FINISH_NONE) {
        return false;
    }
    size_t n_cached = tw_sequence_cached(job->sequence);
    const size_t n_generated = output.n_tokens - output.n_prompt_tokens;
    if (!job->is_started &&
        (n_generated > 0 || output.finish == TW_FINISH_STOP || output.finish == TW_FINISH_LENGTH)) {
        job->is_started = true;
        usage->n_prompt_tokens += job->request.n_tokens;
        usage->n_cached_tokens += n_cached;
    }
    usage->n_generated_tokens += n_generated;
    job->request.sink.output(job->request.sink.context, &output, n_cached);
    return output.finish != TW_FINISH_NONE;
}

static void deliver_all(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    struct job **link = &backend->jobs;
    usage->n_waiting = usage->n_running = 0;
    while (*link != NULL) {
        struct job *job = *link;
        if (deliver(job, usage)) {
            *link = job->next;
            free_job(job);
            continue;
        }
        if (tw_sequence_computed(job->sequence) > 0) {
            usage->n_running++;
        } else {
            usage->n_waiting++;
        }
        link = &job->next;
    }
}

static void fail_all(struct tw_backend *backend, const struct tw_error *error)
{
    while (backend->jobs != NULL) {
        struct job *job = backend->jobs;
        backend->jobs = job->next;
        finish(job, TW_FINISH_ERROR, error);
        free_job(job);
    }
}

/* One round: wishes, a step, what came of it. True when something was computed or ended. */
static bool work(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    for (struct job *job = backend->jobs; job != NULL; job = job->next) {
        ask_wish(job);
    }
    const uint64_t n_steps_before = usage->n_steps;
    const struct job *first_before = backend->jobs;
    uint32_t n_active;
    struct tw_error error;
    if (tw_engine_step(backend->engine, &n_active, &error) != TW_OK) {
        usage->has_failed = true;
        fail_all(backend, &error);
        return true;
    }
    deliver_all(backend, usage);
    struct tw_engine_usage engine = tw_engine_usage(backend->engine);
    usage->n_pages = engine.n_pages;
    usage->n_free_pages = engine.n_free_pages;
    usage->n_steps = engine.n_steps;
    usage->n_computed_tokens = engine.n_computed_tokens;
    usage->n_preemptions = engine.n_preemptions;
    return engine.n_steps != n_steps_before || backend->jobs != first_before;
}

/* Under the lock. False when the backend is to end. */
static bool wait_for_work(struct tw_backend *backend, bool is_stuck)
{
    if (is_stuck && !backend->stops && backend->queue == NULL) {
        const struct timespec until = tw_clock_after(PAUSE_NS);
        pthread_cond_timedwait(&backend->wake, &backend->lock, &until);
    }
    while (!backend->stops && backend->queue == NULL && backend->jobs == NULL) {
        pthread_cond_wait(&backend->wake, &backend->lock);
    }
    return !backend->stops;
}

static void end_queue(struct job *queue)
{
    while (queue != NULL) {
        struct job *job = queue;
        queue = job->next;
        finish(job, TW_FINISH_CANCELLED, NULL);
        free_job(job);
    }
}

/* What is taken still waits, until the step that follows says otherwise. */
static struct job *detach_queue(struct tw_backend *backend)
{
    struct job *queue = backend->queue;
    backend->usage.n_waiting += backend->n_queued;
    backend->queue = NULL;
    backend->queue_end = &backend->queue;
    backend->n_queued = 0;
    return queue;
}

static void free_news(struct news *news)
{
    while (news != NULL) {
        struct news *next = news->next;
        tw_mem_free(news);
        news = next;
    }
}

/* Where there is no memory for a tenant, its requests are told so. */
static void take_news(struct tw_backend *backend, const struct news *news)
{
    for (; news != NULL; news = news->next) {
        tw_engine_set_tenant(backend->engine, news->tenant, news->weight, news->priority_class,
                             NULL);
    }
}

static void *serve(void *context)
{
    struct tw_backend *backend = context;
    struct tw_backend_usage usage = backend->usage;
    bool is_stuck = false;
    pthread_mutex_lock(&backend->lock);
    while (wait_for_work(backend, is_stuck)) {
        struct job *queue = detach_queue(backend);
        struct news *news = backend->news;
        backend->news = NULL;
        backend->news_end = &backend->news;
        pthread_mutex_unlock(&backend->lock);
        take_news(backend, news);
        free_news(news);
        take_queue(backend, queue);
        is_stuck = !work(backend, &usage);
        pthread_mutex_lock(&backend->lock);
        backend->usage = usage;
    }
    struct job *queue = detach_queue(backend);
    pthread_mutex_unlock(&backend->lock);
    end_queue(queue);
    for (struct job *job = backend->jobs; job != NULL; job = job->next) {
        tw_sequence_cancel(job->sequence);
    }
    deliver_all(backend, &usage);
    assert(backend->jobs == NULL);
    return NULL;
}

/* ---- every thread ---- */

enum tw_status tw_backend_submit(struct tw_backend *backend, const struct tw_job_request *request,
                                 struct tw_error *error)
{
    struct job *job = tw_mem_zalloc(1, sizeof *job);
    if (job == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a request");
    }
    job->request = *request;
    pthread_mutex_lock(&backend->lock);
    const bool has_failed = backend->usage.has_failed, stops = backend->stops;
    const bool is_full = backend->n_queued + backend->usage.n_waiting >= backend->max_waiting;
    if (!is_full && !has_failed && !stops) {
        *backend->queue_end = job;
        backend->queue_end = &job->next;
        backend->n_queued++;
        pthread_cond_signal(&backend->wake);
        job = NULL;
    }
    pthread_mutex_unlock(&backend->lock);
    if (job == NULL) {
        return TW_OK;
    }
    tw_mem_free(job);
    if (has_failed || stops) {
        return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION,
                            "the model is not served any more");
    }
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "%u requests are waiting already; try again later", backend->max_waiting);
}

enum tw_status tw_backend_set_tenant(struct tw_backend *backend, uint32_t tenant, uint32_t weight,
                                     enum tw_priority_class priority_class, struct tw_error *error)
{
    struct news *news = tw_mem_zalloc(1, sizeof *news);
    if (news == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a tenant");
    }
    *news = (struct news){tenant, weight, priority_class, NULL};
    pthread_mutex_lock(&backend->lock);
    *backend->news_end = news;
    backend->news_end = &news->next;
    pthread_mutex_unlock(&backend->lock);
    return TW_OK;
}

struct tw_backend_usage tw_backend_usage(struct tw_backend *backend)
{
    pthread_mutex_lock(&backend->lock);
    struct tw_backend_usage usage = backend->usage;
    usage.n_waiting += backend->n_queued;
    pthread_mutex_unlock(&backend->lock);
    return usage;
}

const struct tw_tokenizer *tw_backend_tokenizer(const struct tw_backend *backend)
{
    return tw_engine_tokenizer(backend->engine);
}

struct tw_bytes tw_backend_chat_template(const struct tw_backend *backend)
{
    return tw_model_chat_template(tw_engine_model(backend->engine));
}

const struct tw_token_trie *tw_backend_token_trie(const struct tw_backend *backend)
{
    return backend->trie;
}

uint32_t tw_backend_context_tokens(const struct tw_backend *backend)
{
    return backend->n_context_tokens;
}

uint32_t tw_backend_embedding_length(const struct tw_backend *backend)
{
    return tw_model_pooling(tw_engine_model(backend->engine)) != TW_POOLING_OTHER
               ? tw_engine_shape(backend->engine)->n_embed
               : 0;
}

static uint64_t choose_kv_bytes(const struct tw_backend *backend,
                                const struct tw_backend_config *config, size_t page_bytes)
{
    if (config->kv_bytes > 0) {
        return config->kv_bytes;
    }
    const uint64_t n_pages = backend->n_context_tokens / TW_KV_PAGE_TOKENS + 1;
    const uint64_t whole_bytes = n_pages * config->engine.max_sequences * page_bytes;
    const uint64_t memory_bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return whole_bytes < memory_bytes / 4 ? whole_bytes : memory_bytes / 4;
}

/* Makes the cache and settles how long a sequence may become. */
static enum tw_status reserve(struct tw_backend *backend, const struct tw_backend_config *config,
                              struct tw_error *error)
{
    const struct tw_model_shape *shape = tw_engine_shape(backend->engine);
    const size_t page_bytes = tw_kv_page_bytes(shape, config->engine.kv_dtype);
    const uint32_t n_wanted = config->n_context_tokens, n_most = shape->n_context_tokens;
    backend->n_context_tokens = n_wanted == 0 || n_wanted > n_most ? n_most : n_wanted;
    const uint64_t n_pages = choose_kv_bytes(backend, config, page_bytes) / page_bytes;
    const uint32_t n_least = config->engine.max_sequences + 1; /* the engine's own reserve */
    if (n_pages < n_least) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a KV cache of %llu bytes has room for %llu pages of %zu bytes; %u "
                            "sequences at once need at least %u",
                            (unsigned long long)config->kv_bytes, (unsigned long long)n_pages,
                            page_bytes, config->engine.max_sequences, n_least);
    }
    enum tw_status status = tw_engine_reserve(
        backend->engine, (n_pages - config->engine.max_sequences) * TW_KV_PAGE_TOKENS, error);
    if (status == TW_OK) {
        struct tw_engine_usage usage = tw_engine_usage(backend->engine);
        const uint64_t n_room = (uint64_t)usage.n_pages * TW_KV_PAGE_TOKENS;
        if (n_room < backend->n_context_tokens) {
            backend->n_context_tokens = (uint32_t)n_room;
        }
        backend->usage.n_pages = usage.n_pages;
        backend->usage.n_free_pages = usage.n_free_pages;
    }
    return status;
}

enum tw_status tw_backend_open(const struct tw_backend_config *config,
                               struct tw_backend **ret_backend, struct tw_error *error)
{
    struct tw_backend *backend = tw_mem_zalloc(1, sizeof *backend);
    if (backend == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a model");
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&backend->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&backend->lock, NULL);
    backend->queue_end = &backend->queue;
    backend->news_end = &backend->news;
    backend->max_waiting = config->max_waiting;
    enum tw_status status = tw_engine_open(config->path, &config->engine, &backend->engine, error);
    if (status == TW_OK) {
        status = reserve(backend, config, error);
    }
    if (status == TW_OK) {
        status = tw_engine_token_trie(backend->engine, &backend->trie, error);
    }
    if (status == TW_OK) {
        int failure = pthread_create(&backend->thread, NULL, serve, backend);
        backend->has_thread = failure == 0;
        if (failure != 0) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread: %s",
                                  strerror(failure));
        }
    }
    if (status != TW_OK) {
        tw_backend_close(backend);
        return status;
    }
    *ret_backend = backend;
    return TW_OK;
}

void tw_backend_close(struct tw_backend *backend)
{
    if (backend == NULL) {
        return;
    }
    if (backend->has_thread) {
        pthread_mutex_lock(&backend->lock);
        backend->stops = true;
        pthread_cond_signal(&backend->wake);
        pthread_mutex_unlock(&backend->lock);
        pthread_join(backend->thread, NULL);
    }
    free_news(backend->news);
    tw_engine_close(backend->engine);
    pthread_cond_destroy(&backend->wake);
    pthread_mutex_destroy(&backend->lock);
    tw_mem_free(backend);
}
