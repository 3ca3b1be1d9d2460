#include "backend/backend.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "backend/model_card.h"
#include "backend/stage_state.h"
#include "base/clock.h"
#include "base/mem.h"

/* How long to wait before asking again, when all requests pause, and when the model is away. */
#define PAUSE_NS 5000000
#define AWAY_NS  20000000

struct job {
    struct tw_job_request request;
    struct tw_sequence *sequence; /* NULL before it runs */
    bool has_begun;               /* for the arbiter it runs */
    bool is_started;              /* its prompt is computed */
    bool is_paused;
    struct job *next;
};

struct tw_backend {
    struct tw_stage *stage;
    uint32_t number; /* the arbiter's */
    struct tw_backend_config config;
    char *path;
    struct tw_model_card card;
    uint32_t n_context_tokens, n_pages;
    struct tw_backend_sizes sizes;
    pthread_t thread;
    bool has_thread;

    pthread_cond_t wake; /* with the stage's lock, of what follows */
    struct job *queue, **queue_end;
    uint32_t n_queued;
    bool stops;
    struct tw_backend_usage usage; /* as of the last step */
    uint32_t n_failed_loads;
    struct tw_error load_error; /* of the last one */

    /* Of the thread alone. */
    struct tw_engine *engine;       /* NULL while the model is away */
    int64_t turn_ns;                /* since when it has the turn, while it is loaded */
    struct job *jobs;               /* those that have a sequence, oldest first */
    struct tw_engine_usage counted; /* of the engine, what is in usage already */
};

static void lock(struct tw_backend *backend)
{
    pthread_mutex_lock(&backend->stage->lock);
}

static void unlock(struct tw_backend *backend)
{
    pthread_mutex_unlock(&backend->stage->lock);
}

/* ---- the engine's thread ---- */

static void resume_job(struct tw_backend *backend, struct job *job)
{
    if (job->is_paused) {
        job->is_paused = false;
        lock(backend);
        tw_arbiter_resume(backend->stage->arbiter, backend->number,
                          job->request.generation->tenant);
        unlock(backend);
        tw_sequence_resume(job->sequence);
    }
}

static void pause_job(struct tw_backend *backend, struct job *job)
{
    if (!job->is_paused) {
        job->is_paused = true;
        lock(backend);
        tw_arbiter_pause(backend->stage->arbiter, backend->number, job->request.generation->tenant);
        unlock(backend);
        tw_sequence_pause(job->sequence);
    }
}

/* The last output. After it nothing of the request may be looked at: whose it was comes first. */
static void end_job(struct tw_backend *backend, struct job *job, const struct tw_output *output,
                    size_t n_cached_tokens)
{
    const uint32_t tenant = job->request.generation->tenant;
    const bool ran = job->has_begun;
    if (job->is_paused) {
        resume_job(backend, job);
    }
    job->request.sink.output(job->request.sink.context, output, n_cached_tokens);
    tw_sequence_free(job->sequence);
    tw_mem_free(job);
    lock(backend);
    tw_arbiter_depart(backend->stage->arbiter, backend->number, tenant, ran,
                      tw_clock_monotonic_ns());
    tw_stage_settle(backend->stage);
    unlock(backend);
}

static void finish(struct tw_backend *backend, struct job *job, enum tw_finish reason,
                   const struct tw_error *error)
{
    const struct tw_output output = {.text = "", .finish = reason, .error = error};
    end_job(backend, job, &output, 0);
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
            finish(backend, job, TW_FINISH_ERROR, &error);
        }
    }
}

static void ask_wish(struct tw_backend *backend, struct job *job)
{
    switch (job->request.sink.wish(job->request.sink.context)) {
    case TW_WISH_GO_ON:
        resume_job(backend, job);
        break;
    case TW_WISH_PAUSE:
        pause_job(backend, job);
        break;
    case TW_WISH_CANCEL:
        tw_sequence_cancel(job->sequence);
        break;
    }
}

/* Part of an output: its token i, and what comes before or behind all tokens with the first or last
 * one. */
static struct tw_output token_of(const struct tw_output *all, size_t i)
{
    const size_t n_generated = all->n_tokens - all->n_prompt_tokens;
    const size_t first = i == 0 ? 0 : all->n_prompt_tokens + i;
    const size_t begin = i == 0 ? 0 : all->text_ends[i - 1];
    const bool is_last = i + 1 == n_generated;
    struct tw_output part = *all;
    part.text += begin;
    part.text_bytes = (is_last ? all->text_bytes : all->text_ends[i]) - begin;
    part.tokens += first;
    part.n_tokens = all->n_prompt_tokens + i + 1 - first;
    part.n_prompt_tokens = i == 0 ? all->n_prompt_tokens : 0;
    part.logprobs = all->logprobs != NULL ? all->logprobs + first * (1 + all->n_top) : NULL;
    part.finish = is_last ? all->finish : TW_FINISH_NONE;
    part.error = is_last ? all->error : NULL;
    return part;
}

/* True when it was the last of the job. A step may have brought several tokens: they come one by
 * one, as they would from a step each. */
static bool deliver(struct tw_backend *backend, struct job *job, struct tw_backend_usage *usage)
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
    for (size_t i = 0; i + 1 < n_generated; i++) {
        const struct tw_output part = token_of(&output, i);
        job->request.sink.output(job->request.sink.context, &part, n_cached);
    }
    output = n_generated > 0 ? token_of(&output, n_generated - 1) : output;
    if (output.finish != TW_FINISH_NONE) {
        end_job(backend, job, &output, n_cached);
        return true;
    }
    job->request.sink.output(job->request.sink.context, &output, n_cached);
    return false;
}

/* True when one ended. */
static bool deliver_all(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    struct job **link = &backend->jobs;
    bool any_ended = false;
    usage->n_waiting = usage->n_running = usage->n_paused = 0;
    while (*link != NULL) {
        struct job *job = *link, *next = job->next;
        if (deliver(backend, job, usage)) {
            *link = next;
            any_ended = true;
            continue;
        }
        usage->n_paused += job->is_paused;
        if (tw_sequence_computed(job->sequence) > 0) {
            usage->n_running++;
        } else {
            usage->n_waiting++;
        }
        link = &job->next;
    }
    return any_ended;
}

/* ---- requests that wait ---- */

static struct job *detach_queue(struct tw_backend *backend)
{
    struct job *queue = backend->queue;
    backend->queue = NULL;
    backend->queue_end = &backend->queue;
    backend->n_queued = 0;
    return queue;
}

static void end_queue(struct tw_backend *backend, struct job *queue, enum tw_finish reason,
                      const struct tw_error *error)
{
    while (queue != NULL) {
        struct job *job = queue;
        queue = job->next;
        finish(backend, job, reason, error);
    }
}

/* Ends those whose clients left; the others stay in their order, before those that have come. */
static void sweep_queue(struct tw_backend *backend)
{
    lock(backend);
    const uint32_t n_swept = backend->n_queued;
    struct job *kept = detach_queue(backend);
    backend->usage.n_waiting += n_swept; /* meanwhile they wait as before */
    unlock(backend);
    struct job **link = &kept;
    uint32_t n_kept = 0;
    while (*link != NULL) {
        struct job *job = *link;
        if (job->request.sink.wish(job->request.sink.context) == TW_WISH_CANCEL) {
            *link = job->next;
            finish(backend, job, TW_FINISH_CANCELLED, NULL);
        } else {
            link = &job->next;
            n_kept++;
        }
    }
    lock(backend);
    if (kept != NULL) {
        *link = backend->queue;
        backend->queue_end = backend->queue != NULL ? backend->queue_end : link;
        backend->queue = kept;
        backend->n_queued += n_kept;
    }
    backend->usage.n_waiting -= n_swept;
    unlock(backend);
}

/* ---- a step ---- */

static void tell(struct tw_backend *backend, enum tw_backend_event event, int64_t since_ns,
                 const struct tw_error *error)
{
    const struct tw_backend_config *config = &backend->config;
    if (config->notice != NULL) {
        config->notice(config->notice_context, event, tw_clock_monotonic_ns() - since_ns, error);
    }
}

/* Nothing goes to this engine any more. That is known before the first sink is told, and what it
 * was to have ends as well. */
static void fail(struct tw_backend *backend, struct tw_backend_usage *usage, int64_t since_ns,
                 const struct tw_error *error)
{
    struct job *jobs = backend->jobs;
    backend->jobs = NULL;
    usage->has_failed = true;
    usage->n_waiting = usage->n_running = usage->n_paused = 0;
    lock(backend);
    backend->usage = *usage;
    struct job *queue = detach_queue(backend);
    unlock(backend);
    tell(backend, TW_BACKEND_FAILED, since_ns, error);
    end_queue(backend, jobs, TW_FINISH_ERROR, error);
    end_queue(backend, queue, TW_FINISH_ERROR, error);
}

/* What this engine has done; before it there may have been others. */
static void count_engine(struct tw_backend *backend, struct tw_backend_usage *usage,
                         const struct tw_engine_usage *engine)
{
    usage->n_steps += engine->n_steps - backend->counted.n_steps;
    usage->n_computed_tokens += engine->n_computed_tokens - backend->counted.n_computed_tokens;
    usage->n_drafted_tokens += engine->n_drafted_tokens - backend->counted.n_drafted_tokens;
    usage->n_accepted_tokens += engine->n_accepted_tokens - backend->counted.n_accepted_tokens;
    usage->n_preemptions += engine->n_preemptions - backend->counted.n_preemptions;
    usage->n_given_up_steps += engine->n_given_up_steps - backend->counted.n_given_up_steps;
    backend->counted = *engine;
}

/* One round: wishes, a step, what came of it. True when something was computed or ended. */
static bool work(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    for (struct job *job = backend->jobs; job != NULL; job = job->next) {
        ask_wish(backend, job);
    }
    const uint64_t n_steps_before = usage->n_steps;
    const int64_t since_ns = tw_clock_monotonic_ns();
    uint32_t n_active;
    struct tw_error error;
    if (tw_engine_step(backend->engine, &n_active, &error) != TW_OK) {
        fail(backend, usage, since_ns, &error);
        return true;
    }
    const bool any_ended = deliver_all(backend, usage);
    struct tw_engine_usage engine = tw_engine_usage(backend->engine);
    usage->n_pages = engine.n_pages;
    usage->n_free_pages = engine.n_free_pages;
    count_engine(backend, usage, &engine);
    return usage->n_steps != n_steps_before || any_ended;
}

/* ---- the model comes and goes ---- */

/* Between two tensors, where they took a while: of packed weights that are mapped each takes no
 * time, and would wait for a step of somebody else. The others compute, and clients that left are
 * let go. False: whoever opened the backend does not want the model any more. */
static bool on_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct tw_backend *backend = context;
    const struct tw_engine_config *config = &backend->config.engine;
    const bool is_wanted = config->progress == NULL ||
                           config->progress(config->progress_context, done_bytes, total_bytes);
    const int64_t held_ns = tw_clock_monotonic_ns() - backend->turn_ns;
    sweep_queue(backend);
    lock(backend);
    if (held_ns >= TW_LIMIT_LOADING_TURN_NS) {
        tw_stage_end_turn(backend->stage, backend->number, held_ns, true);
        tw_stage_take_turn(backend->stage, backend->number);
        backend->turn_ns = tw_clock_monotonic_ns();
    }
    const bool stops = backend->stops;
    unlock(backend);
    return is_wanted && !stops;
}

/* The tokenizer and all that requests were prepared with are those of the start. */
static enum tw_status check_same(const struct tw_backend *backend, const struct tw_engine *engine,
                                 struct tw_error *error)
{
    const struct tw_model_shape *now = tw_engine_shape(engine), *then = &backend->card.shape;
    if (now->n_vocab == then->n_vocab && now->n_layers == then->n_layers &&
        now->n_embed == then->n_embed && now->n_context_tokens == then->n_context_tokens) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.100s' is another model than at the start: start the server again",
                        backend->path);
}

static enum tw_status open_engine(struct tw_backend *backend, struct tw_error *error)
{
    struct tw_engine_config config = backend->config.engine;
    struct tw_engine *engine = NULL;
    config.device = backend->stage->device;
    config.share = backend->stage->share;
    config.n_waited_for = &backend->stage->n_expected;
    config.tokenizer = backend->card.tokenizer;
    config.progress = on_progress;
    config.progress_context = backend;
    enum tw_status status = tw_engine_open(backend->path, &config, &engine, error);
    if (status == TW_OK) {
        status = check_same(backend, engine, error);
    }
    if (status == TW_OK) {
        const uint64_t n_pages = backend->n_pages - config.max_sequences;
        status = tw_engine_reserve(engine, n_pages * TW_KV_PAGE_TOKENS, error);
    }
    if (status != TW_OK) {
        tw_engine_close(engine);
        return status;
    }
    backend->engine = engine;
    backend->counted = (struct tw_engine_usage){.n_steps = 0};
    return TW_OK;
}

/* Clients get a sentence without paths; the reason itself is for the log. A load that was given up
 * is nobody's failure: who waits for it is told that the server stops. */
static void fail_load(struct tw_backend *backend, const struct tw_error *cause)
{
    struct tw_error error;
    lock(backend);
    backend->load_error = *cause;
    backend->n_failed_loads++;
    struct job *queue = detach_queue(backend);
    unlock(backend);
    if (cause->status == TW_ERR_CANCELLED) {
        end_queue(backend, queue, TW_FINISH_CANCELLED, NULL);
        return;
    }
    tw_error_set(&error, cause->status == TW_ERR_MEMORY ? TW_ERR_MEMORY : TW_ERR_IO, TW_NO_POSITION,
                 "the model '%.100s' cannot be loaded (%s); the server's log says why",
                 backend->config.name, tw_status_name(cause->status));
    end_queue(backend, queue, TW_FINISH_ERROR, &error);
}

static void load(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    const int64_t since_ns = tw_clock_monotonic_ns();
    struct tw_error error;
    lock(backend);
    tw_stage_take_turn(backend->stage, backend->number);
    unlock(backend);
    backend->turn_ns = tw_clock_monotonic_ns();
    enum tw_status status = open_engine(backend, &error);
    lock(backend);
    tw_stage_withdraw(backend->stage, backend->number);
    unlock(backend);
    if (status == TW_OK) {
        const struct tw_engine_usage engine = tw_engine_usage(backend->engine);
        usage->n_pages = engine.n_pages;
        usage->n_free_pages = engine.n_free_pages;
        usage->n_loads++;
        usage->is_loaded = true;
    }
    if (status != TW_ERR_CANCELLED) {
        tell(backend, status == TW_OK ? TW_BACKEND_LOADED : TW_BACKEND_NOT_LOADED, since_ns,
             &error);
    }
    if (status != TW_OK) {
        fail_load(backend, &error);
    }
    lock(backend);
    backend->usage = *usage;
    tw_arbiter_loaded(backend->stage->arbiter, backend->number, status == TW_OK,
                      tw_clock_monotonic_ns());
    tw_stage_settle(backend->stage);
    pthread_cond_broadcast(&backend->stage->changed);
    unlock(backend);
}

static void leave(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    const int64_t since_ns = tw_clock_monotonic_ns();
    assert(backend->jobs == NULL);
    tw_engine_close(backend->engine);
    backend->engine = NULL;
    usage->n_pages = usage->n_free_pages = 0;
    usage->is_loaded = false;
    tell(backend, TW_BACKEND_LEFT, since_ns, NULL);
    lock(backend);
    backend->usage = *usage;
    tw_arbiter_left(backend->stage->arbiter, backend->number, tw_clock_monotonic_ns());
    tw_stage_settle(backend->stage);
    unlock(backend);
}

/* ---- the thread ---- */

/* A turn: what waits begins, and a step. True when something was computed or ended. */
static bool compute(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    struct tw_stage *stage = backend->stage;
    struct job *queue = NULL;
    lock(backend);
    tw_stage_take_turn(stage, backend->number);
    const bool may_begin = tw_arbiter_may_begin(stage->arbiter, backend->number);
    if (may_begin) {
        backend->usage.n_waiting += backend->n_queued; /* until the step says otherwise */
        queue = detach_queue(backend);
    }
    for (struct job *job = queue; job != NULL; job = job->next) {
        job->has_begun = true;
        tw_arbiter_begin(stage->arbiter, backend->number, tw_clock_monotonic_ns());
    }
    unlock(backend);
    const int64_t since_ns = tw_clock_monotonic_ns();
    take_queue(backend, queue);
    const bool has_moved = work(backend, usage);
    lock(backend);
    backend->usage = *usage;
    tw_stage_end_turn(stage, backend->number, tw_clock_monotonic_ns() - since_ns,
                      has_moved && backend->jobs != NULL);
    unlock(backend);
    if (!may_begin) {
        sweep_queue(backend);
    }
    return has_moved;
}

enum errand { REST, WATCH_QUEUE, LOAD, LEAVE, COMPUTE, STOP };

/* Under the lock: what there is to do now. */
static enum errand next_errand(const struct tw_backend *backend)
{
    const struct tw_arbiter *arbiter = backend->stage->arbiter;
    const enum tw_arbiter_state state = tw_arbiter_state(arbiter, backend->number);
    if (backend->stops) {
        return STOP;
    }
    if (state == TW_MODEL_LOADING || state == TW_MODEL_LEAVING) {
        return state == TW_MODEL_LOADING ? LOAD : LEAVE;
    }
    const bool may_begin = tw_arbiter_may_begin(arbiter, backend->number);
    if (state == TW_MODEL_LOADED &&
        (backend->jobs != NULL || (backend->queue != NULL && may_begin))) {
        return COMPUTE;
    }
    return backend->queue != NULL ? WATCH_QUEUE : REST;
}

/* Waits until something is to be done. In between the stage may give the turn to a thread that has
 * found nothing to do: that one gives it on. */
static enum errand wait_for_errand(struct tw_backend *backend, bool is_stuck)
{
    lock(backend);
    tw_stage_settle(backend->stage);
    enum errand errand = next_errand(backend);
    if (errand != COMPUTE) {
        tw_stage_withdraw(backend->stage, backend->number);
    }
    const bool may_begin = tw_arbiter_may_begin(backend->stage->arbiter, backend->number);
    if (errand == WATCH_QUEUE ||
        (errand == COMPUTE && is_stuck && (backend->queue == NULL || !may_begin))) {
        const struct timespec until = tw_clock_after(errand == COMPUTE ? PAUSE_NS : AWAY_NS);
        pthread_cond_timedwait(&backend->wake, &backend->stage->lock, &until);
        errand = next_errand(backend);
    }
    while (errand == REST) {
        pthread_cond_wait(&backend->wake, &backend->stage->lock);
        errand = next_errand(backend);
    }
    unlock(backend);
    return errand;
}

/* Other models may be computing: what is cancelled is cancelled in a turn. */
static void end_all(struct tw_backend *backend, struct tw_backend_usage *usage)
{
    lock(backend);
    struct job *queue = detach_queue(backend);
    unlock(backend);
    end_queue(backend, queue, TW_FINISH_CANCELLED, NULL);
    if (backend->jobs != NULL) {
        lock(backend);
        tw_stage_take_turn(backend->stage, backend->number);
        unlock(backend);
        for (struct job *job = backend->jobs; job != NULL; job = job->next) {
            tw_sequence_cancel(job->sequence);
        }
        deliver_all(backend, usage);
        assert(backend->jobs == NULL);
    }
    lock(backend);
    tw_stage_withdraw(backend->stage, backend->number);
    unlock(backend);
}

static void *serve(void *context)
{
    struct tw_backend *backend = context;
    struct tw_backend_usage usage = backend->usage;
    bool is_stuck = false;
    for (;;) {
        switch (wait_for_errand(backend, is_stuck)) {
        case LOAD:
            load(backend, &usage);
            break;
        case LEAVE:
            leave(backend, &usage);
            break;
        case WATCH_QUEUE:
            sweep_queue(backend);
            break;
        case COMPUTE:
            is_stuck = !compute(backend, &usage);
            break;
        case STOP:
            end_all(backend, &usage);
            return NULL;
        case REST:
            break;
        }
    }
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
    lock(backend);
    const bool has_failed = backend->usage.has_failed, stops = backend->stops;
    const uint32_t tenant = request->generation->tenant, most = backend->config.max_waiting;
    /* Nobody may fill the queue for the others. */
    const bool is_full =
        backend->n_queued + backend->usage.n_waiting >= most ||
        (tenant != 0 && tw_arbiter_requests(backend->stage->arbiter, backend->number, tenant) >=
                            most - most / TW_LIMIT_WAITING_SPARE_SHARE);
    const bool is_in = !is_full && !has_failed && !stops &&
                       tw_arbiter_arrive(backend->stage->arbiter, backend->number, tenant,
                                         tw_clock_monotonic_ns());
    if (is_in) {
        *backend->queue_end = job;
        backend->queue_end = &job->next;
        backend->n_queued++;
        pthread_cond_signal(&backend->wake);
    }
    unlock(backend);
    if (is_in) {
        return TW_OK;
    }
    tw_mem_free(job);
    if (has_failed || stops) {
        return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION,
                            "the model is not served any more");
    }
    if (!is_full) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a request");
    }
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "too many requests are waiting already; try again later");
}

struct tw_backend_usage tw_backend_usage(struct tw_backend *backend)
{
    lock(backend);
    struct tw_backend_usage usage = backend->usage;
    usage.n_waiting += backend->n_queued;
    unlock(backend);
    return usage;
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
    return backend->n_context_tokens;
}

uint32_t tw_backend_embedding_length(const struct tw_backend *backend)
{
    return backend->card.pooling != TW_POOLING_OTHER ? backend->card.shape.n_embed : 0;
}

struct tw_backend_sizes tw_backend_sizes(const struct tw_backend *backend)
{
    return backend->sizes;
}

/* ---- opening and closing ---- */

static uint64_t choose_kv_bytes(const struct tw_backend *backend, size_t page_bytes)
{
    const struct tw_backend_config *config = &backend->config;
    if (config->kv_bytes > 0) {
        return config->kv_bytes;
    }
    const uint64_t n_pages = backend->n_context_tokens / TW_KV_PAGE_TOKENS + 1;
    const uint64_t whole_bytes = n_pages * config->engine.max_sequences * page_bytes;
    const uint64_t memory_bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t most_bytes = memory_bytes / 4 / backend->stage->n_most_models;
    return whole_bytes < most_bytes ? whole_bytes : most_bytes;
}

/* How large the cache is, and how long a sequence may become: whatever else is in memory, so that
 * an answer does not depend on it. */
static enum tw_status plan_cache(struct tw_backend *backend, struct tw_error *error)
{
    const struct tw_backend_config *config = &backend->config;
    const struct tw_model_shape *shape = &backend->card.shape;
    const size_t page_bytes = tw_kv_page_bytes(shape, config->engine.kv_dtype);
    const uint32_t n_wanted = config->n_context_tokens, n_most = shape->n_context_tokens;
    backend->n_context_tokens = n_wanted == 0 || n_wanted > n_most ? n_most : n_wanted;
    const uint64_t n_pages = choose_kv_bytes(backend, page_bytes) / page_bytes;
    const uint32_t n_least = config->engine.max_sequences + 1; /* the engine's own reserve */
    if (n_pages < n_least || n_pages > TW_LIMIT_KV_PAGES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a KV cache of %llu bytes has room for %llu pages of %zu bytes; %u "
                            "sequences at once need at least %u, and %u are the most",
                            (unsigned long long)config->kv_bytes, (unsigned long long)n_pages,
                            page_bytes, config->engine.max_sequences, n_least, TW_LIMIT_KV_PAGES);
    }
    const uint64_t n_room = n_pages * TW_KV_PAGE_TOKENS;
    if (n_room < backend->n_context_tokens) {
        backend->n_context_tokens = (uint32_t)n_room;
    }
    backend->n_pages = (uint32_t)n_pages;
    backend->sizes.weight_bytes = backend->card.weight_bytes;
    backend->sizes.kv_bytes = n_pages * page_bytes;
    return TW_OK;
}

static enum tw_status copy_config(struct tw_backend *backend,
                                  const struct tw_backend_config *config, struct tw_error *error)
{
    backend->config = *config;
    backend->path = tw_mem_strndup(config->path, strlen(config->path));
    return backend->path != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a model");
}

/* The thread is the last to come: from here on the stage knows the backend. */
static enum tw_status start_thread(struct tw_backend *backend, struct tw_error *error)
{
    struct tw_stage *stage = backend->stage;
    lock(backend);
    enum tw_status status =
        tw_arbiter_set_size(stage->arbiter, backend->number, backend->config.name,
                            backend->sizes.weight_bytes, backend->sizes.kv_bytes, error);
    if (status == TW_OK) {
        stage->wakes[stage->n_models++] = &backend->wake;
    }
    unlock(backend);
    if (status != TW_OK) {
        return status;
    }
    int failure = pthread_create(&backend->thread, NULL, serve, backend);
    backend->has_thread = failure == 0;
    return failure == 0 ? TW_OK
                        : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread: %s",
                                       strerror(failure));
}

enum tw_status tw_backend_open(const struct tw_backend_config *config, struct tw_stage *stage,
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
    backend->queue_end = &backend->queue;
    backend->stage = stage;
    backend->number = stage->n_models;
    enum tw_status status = copy_config(backend, config, error);
    if (status == TW_OK) {
        status = tw_model_card_open(config->path, &backend->card, error);
    }
    if (status == TW_OK) {
        status = plan_cache(backend, error);
    }
    if (status == TW_OK) {
        status = start_thread(backend, error);
    }
    if (status != TW_OK) {
        tw_backend_free(backend);
        return status;
    }
    *ret_backend = backend;
    return TW_OK;
}

enum tw_status tw_backend_load(struct tw_backend *backend, struct tw_error *error)
{
    struct tw_stage *stage = backend->stage;
    lock(backend);
    const uint32_t n_failed_loads = backend->n_failed_loads;
    tw_arbiter_want(stage->arbiter, backend->number, tw_clock_monotonic_ns());
    tw_stage_settle(stage);
    while (tw_arbiter_state(stage->arbiter, backend->number) != TW_MODEL_LOADED &&
           backend->n_failed_loads == n_failed_loads) {
        pthread_cond_wait(&stage->changed, &stage->lock);
    }
    const bool has_failed = backend->n_failed_loads != n_failed_loads;
    const struct tw_error cause = backend->load_error;
    unlock(backend);
    if (has_failed && error != NULL) {
        *error = cause;
    }
    return has_failed ? cause.status : TW_OK;
}

void tw_backend_stop(struct tw_backend *backend)
{
    if (backend == NULL || !backend->has_thread) {
        return;
    }
    lock(backend);
    backend->stops = true;
    pthread_cond_signal(&backend->wake);
    unlock(backend);
    pthread_join(backend->thread, NULL);
    backend->has_thread = false;
}

void tw_backend_free(struct tw_backend *backend)
{
    if (backend == NULL) {
        return;
    }
    tw_backend_stop(backend);
    lock(backend);
    if (backend->stage->wakes[backend->number] == &backend->wake) {
        backend->stage->wakes[backend->number] = NULL;
    }
    unlock(backend);
    tw_engine_close(backend->engine); /* of another one's turn: it has no sequences */
    tw_model_card_close(&backend->card);
    pthread_cond_destroy(&backend->wake);
    tw_mem_free(backend->path);
    tw_mem_free(backend);
}
