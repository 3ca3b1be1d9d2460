/* backend.h: a model that answers requests from any thread, whether or not it is in memory.
 *
 *     tw_backend_open -> { tw_backend_submit ... } -> tw_backend_stop -> tw_backend_free
 *
 * A thread of its own has the model loaded when there is something to do and the stage (stage.h)
 * has room for it, and then drives the engine, step after step:
 *
 *     submit -> QUEUE [while the model is away, is loaded, or makes room for another]
 *            -> RUNNING [between two steps] -> sink.output ... sink.output with a finish
 *
 * Each token of an answer is an output of its own, however many a step has brought. Before each
 * step every request is asked what it wishes: to go on, to pause (its client reads too
 * slowly; it keeps what it has computed), or to be cancelled. So a client that leaves costs at most
 * the step that is being computed, and where others compute holds its pages until its model's next
 * turn; one that waits for a model to be loaded is asked as well.
 *
 * Invariants:
 * 1. Of a request that was submitted, exactly one output has a finish, and it is the last call.
 * 2. What a request generates does not depend on the others (engine.h), nor on how often the model
 *    was away in between.
 * 3. A model that cannot be loaded answers those that wait with the reason, and is tried again for
 *    the next one.
 * 4. Where a step cannot be computed, what runs and what waits ends with the reason, nothing is
 *    submitted to the model any more, and the notice comes once. Nothing of a request can have that
 *    effect (engine.h, invariant 3): it is a defect, or a machine's.
 *
 * Ownership: tokens and what generation points to belong to the caller and stay until the last
 * output. Threads: submit and the questions from any; sinks are called on the backend's thread and
 * must not block; they are not called within submit.
 * Errors: those of engine.h; TW_ERR_LIMIT from submit when the queue is full.
 */
#ifndef TW_BACKEND_BACKEND_H
#define TW_BACKEND_BACKEND_H

#include "backend/stage.h"
#include "engine/engine.h"

struct tw_backend;

/* What happened to a model, for the log; on the backend's thread. */
enum tw_backend_event {
    TW_BACKEND_LOADED = 0,
    TW_BACKEND_LEFT,
    TW_BACKEND_NOT_LOADED,
    TW_BACKEND_FAILED /* a step could not be computed */
};
typedef void (*tw_backend_notice_fn)(void *context, enum tw_backend_event event, int64_t took_ns,
                                     const struct tw_error *error);

struct tw_backend_config {
    const char *name; /* for messages */
    const char *path; /* of the model */
    /* Threads, instruction set and what engines share are the stage's. Its progress may stop a
     * load. */
    struct tw_engine_config engine;
    uint32_t n_context_tokens; /* of a sequence; 0 or more than the model has: what it has */
    uint64_t kv_bytes;    /* of the KV cache; 0: every sequence a whole context, or an equal part of
                          a quarter of the machine's memory where that is less */
    uint32_t max_waiting; /* requests in the queue; up to TW_LIMIT_WAITING */
    tw_backend_notice_fn notice; /* may be NULL */
    void *notice_context;
};

/* Reads all but the weights. The stage must outlive it, and all backends of a stage are opened
 * before the first request. */
enum tw_status tw_backend_open(const struct tw_backend_config *config, struct tw_stage *stage,
                               struct tw_backend **ret_backend, struct tw_error *error);

/* Has the model loaded, and waits for that. TW_ERR_CANCELLED: the config's progress stopped it. */
enum tw_status tw_backend_load(struct tw_backend *backend, struct tw_error *error);

/* What has not ended is cancelled, its sinks are told, and a load is given up. Nothing is submitted
 * from here on; questions are answered as before. Called again, or with NULL, it does nothing. */
void tw_backend_stop(struct tw_backend *backend);
/* Stops it, too. Nobody may have a question any more. NULL is allowed. */
void tw_backend_free(struct tw_backend *backend);

struct tw_backend_sizes {
    uint64_t weight_bytes, kv_bytes; /* when it is in memory */
};
struct tw_backend_sizes tw_backend_sizes(const struct tw_backend *backend);

const struct tw_tokenizer *tw_backend_tokenizer(const struct tw_backend *backend);
struct tw_bytes tw_backend_chat_template(const struct tw_backend *backend);
const struct tw_token_trie *tw_backend_token_trie(const struct tw_backend *backend);
/* Of one sequence: as configured, or the whole cache where that is less. */
uint32_t tw_backend_context_tokens(const struct tw_backend *backend);

/* Numbers of an embedding; 0 where the model's are of a kind that we do not compute. */
uint32_t tw_backend_embedding_length(const struct tw_backend *backend);

enum tw_wish { TW_WISH_GO_ON = 0, TW_WISH_PAUSE, TW_WISH_CANCEL };

struct tw_sink {
    void *context;
    enum tw_wish (*wish)(void *context);
    /* n_cached_tokens: of output->n_read_tokens, known with the first token and with the end. A
     * request that ends before it has a sequence has read nothing. */
    void (*output)(void *context, const struct tw_output *output, size_t n_cached_tokens);
};

struct tw_job_request {
    const tw_token *tokens; /* [n_tokens] */
    size_t n_tokens;
    const struct tw_generation *generation;
    struct tw_sink sink;
};

enum tw_status tw_backend_submit(struct tw_backend *backend, const struct tw_job_request *request,
                                 struct tw_error *error);

struct tw_backend_usage {
    uint32_t n_waiting; /* not yet in a step */
    uint32_t n_running;
    uint32_t n_paused; /* of both: their clients do not read */
    uint32_t n_pages, n_free_pages;
    uint64_t n_steps;
    uint64_t n_computed_tokens; /* over all steps, of prompts, answers and drafts */
    uint64_t n_drafted_tokens;  /* of those, guessed */
    uint64_t n_accepted_tokens; /* of those, right: steps that were saved */
    uint64_t n_preemptions;
    uint64_t n_given_up_steps; /* of IDLE tenants, for others (stage.h) */
    uint64_t n_prompt_tokens;  /* of the requests that gave a first token, or an embedding */
    uint64_t n_cached_tokens;  /* of those, not computed for them */
    uint64_t n_generated_tokens;
    uint32_t n_loads; /* how often it was loaded */
    bool is_loaded;
    bool has_failed; /* a step could not be computed: nothing is served any more */
};
struct tw_backend_usage tw_backend_usage(struct tw_backend *backend);

#endif
