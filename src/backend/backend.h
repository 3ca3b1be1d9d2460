/* backend.h: one loaded model that answers requests from any thread.
 *
 *     tw_backend_open -> { tw_backend_submit ... } -> tw_backend_close
 *
 * A thread of its own drives the engine, step after step, while there is anything to do:
 *
 *     submit -> QUEUE -> RUNNING [between two steps] -> sink.output ... sink.output with a finish
 *
 * Before each step every request is asked what it wishes: to go on, to pause (its client reads too
 * slowly; it keeps what it has computed), or to be cancelled. So a client that leaves costs at most
 * the step that is being computed.
 *
 * Invariants:
 * 1. Of a request that was submitted, exactly one output has a finish, and it is the last call.
 * 2. What a request generates does not depend on the others (engine.h).
 *
 * Ownership: tokens and what generation points to belong to the caller and stay until the last
 * output. Threads: submit and the questions from any; sinks are called on the backend's thread and
 * must not block.
 * Errors: those of engine.h; TW_ERR_LIMIT from submit when the queue is full.
 */
#ifndef TW_BACKEND_BACKEND_H
#define TW_BACKEND_BACKEND_H

#include "engine/engine.h"

struct tw_backend;

struct tw_backend_config {
    const char *path; /* of the model */
    struct tw_engine_config engine;
    uint32_t n_context_tokens; /* of a sequence; 0 or more than the model has: what it has */
    uint64_t kv_bytes;    /* of the KV cache; 0: every sequence a whole context, or a quarter of the
                          machine's memory where that is less */
    uint32_t max_waiting; /* requests in the queue; up to TW_LIMIT_WAITING */
};

enum tw_status tw_backend_open(const struct tw_backend_config *config,
                               struct tw_backend **ret_backend, struct tw_error *error);

/* What has not ended is cancelled; its sinks are told. NULL is allowed. */
void tw_backend_close(struct tw_backend *backend);

const struct tw_tokenizer *tw_backend_tokenizer(const struct tw_backend *backend);
struct tw_bytes tw_backend_chat_template(const struct tw_backend *backend);
const struct tw_token_trie *tw_backend_token_trie(const struct tw_backend *backend);
/* Of one sequence: as configured, or the whole cache where that is less. */
uint32_t tw_backend_context_tokens(const struct tw_backend *backend);

/* Numbers of an embedding; 0 where the model's are of a kind that we do not compute. */
uint32_t tw_backend_embedding_length(const struct tw_backend *backend);

/* Makes a tenant known before the next step; see tw_engine_set_tenant. */
enum tw_status tw_backend_set_tenant(struct tw_backend *backend, uint32_t tenant, uint32_t weight,
                                     enum tw_priority_class priority_class, struct tw_error *error);

enum tw_wish { TW_WISH_GO_ON = 0, TW_WISH_PAUSE, TW_WISH_CANCEL };

struct tw_sink {
    void *context;
    enum tw_wish (*wish)(void *context);
    /* n_cached_tokens: of the prompt, known with the first token. */
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
    uint32_t n_pages, n_free_pages;
    uint64_t n_steps;
    uint64_t n_computed_tokens; /* over all steps, of prompts and answers */
    uint64_t n_preemptions;
    uint64_t n_prompt_tokens; /* of the requests that gave a first token, or an embedding */
    uint64_t n_cached_tokens; /* of those, not computed for them */
    uint64_t n_generated_tokens;
    bool has_failed; /* a step could not be computed: nothing is served any more */
};
struct tw_backend_usage tw_backend_usage(struct tw_backend *backend);

#endif
