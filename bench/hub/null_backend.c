/* backend.h by something that computes nothing: each request gets a token at once, from a thread of
 * its own. It stands in for the real one where the program is linked, so that what is measured is
 * everything else: HTTP, the API, tokenizer and template, the hub. */
#include <pthread.h>

#include "backend/backend.h"
#include "backend/model_card.h"
#include "base/mem.h"

struct job {
    struct tw_job_request request;
    struct job *next;
};

struct tw_backend {
    struct tw_model_card card;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct job *first, **last;
    bool stops, is_stopped;
};

static void answer(const struct tw_job_request *request)
{
    static const tw_token token = 1;
    static const size_t end = 3;
    const struct tw_output output = {.text = "yes",
                                     .text_bytes = 3,
                                     .tokens = &token,
                                     .n_tokens = 1,
                                     .text_ends = &end,
                                     .n_read_tokens = request->n_tokens,
                                     .finish = TW_FINISH_LENGTH};
    request->sink.wish(request->sink.context);
    request->sink.output(request->sink.context, &output, 0);
}

static void *work(void *context)
{
    struct tw_backend *backend = context;
    pthread_mutex_lock(&backend->lock);
    while (!backend->stops) {
        struct job *job = backend->first;
        if (job == NULL) {
            pthread_cond_wait(&backend->wake, &backend->lock);
            continue;
        }
        backend->first = job->next;
        if (backend->first == NULL) {
            backend->last = &backend->first;
        }
        pthread_mutex_unlock(&backend->lock);
        answer(&job->request);
        tw_mem_free(job);
        pthread_mutex_lock(&backend->lock);
    }
    pthread_mutex_unlock(&backend->lock);
    return NULL;
}

enum tw_status tw_backend_open(const struct tw_backend_config *config, struct tw_stage *stage,
                               struct tw_backend **ret_backend, struct tw_error *error)
{
    struct tw_backend *backend = tw_mem_zalloc(1, sizeof *backend);
    (void)stage;
    if (backend == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    backend->last = &backend->first;
    pthread_mutex_init(&backend->lock, NULL);
    pthread_cond_init(&backend->wake, NULL);
    enum tw_status status = tw_model_card_open(config->path, &backend->card, error);
    if (status != TW_OK || pthread_create(&backend->thread, NULL, work, backend) != 0) {
        tw_mem_free(backend);
        return status != TW_OK ? status
                               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread");
    }
    *ret_backend = backend;
    return TW_OK;
}

enum tw_status tw_backend_load(struct tw_backend *backend, struct tw_error *error)
{
    (void)backend;
    (void)error;
    return TW_OK;
}

void tw_backend_stop(struct tw_backend *backend)
{
    if (backend == NULL || backend->is_stopped) {
        return;
    }
    pthread_mutex_lock(&backend->lock);
    backend->stops = true;
    pthread_cond_signal(&backend->wake);
    pthread_mutex_unlock(&backend->lock);
    pthread_join(backend->thread, NULL);
    backend->is_stopped = true;
}

void tw_backend_free(struct tw_backend *backend)
{
    if (backend != NULL) {
        tw_backend_stop(backend);
        tw_model_card_close(&backend->card);
        tw_mem_free(backend);
    }
}

struct tw_backend_sizes tw_backend_sizes(const struct tw_backend *backend)
{
    (void)backend;
    return (struct tw_backend_sizes){0};
}

const struct tw_tokenizer *tw_backend_tokenizer(const struct tw_backend *backend)
{
    return backend->card.tokenizer;
}

struct tw_bytes tw_backend_chat_template(const struct tw_backend *backend)
{
    return (struct tw_bytes){backend->card.chat_template, backend->card.template_bytes};
}

const struct tw_token_trie *tw_backend_token_trie(const struct tw_backend *backend)
{
    return backend->card.trie;
}

uint32_t tw_backend_context_tokens(const struct tw_backend *backend)
{
    return backend->card.shape.n_context_tokens;
}

uint32_t tw_backend_embedding_length(const struct tw_backend *backend)
{
    (void)backend;
    return 0;
}

enum tw_status tw_backend_submit(struct tw_backend *backend, const struct tw_job_request *request,
                                 struct tw_error *error)
{
    struct job *job = tw_mem_zalloc(1, sizeof *job);
    if (job == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    job->request = *request;
    pthread_mutex_lock(&backend->lock);
    *backend->last = job;
    backend->last = &job->next;
    pthread_cond_signal(&backend->wake);
    pthread_mutex_unlock(&backend->lock);
    return TW_OK;
}

struct tw_backend_usage tw_backend_usage(struct tw_backend *backend)
{
    (void)backend;
    return (struct tw_backend_usage){.is_loaded = true};
}
