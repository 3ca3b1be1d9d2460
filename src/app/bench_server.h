/* bench_server.h: what clients of a server with the OpenAI API get when many ask at once.
 *
 *     closed loop: n_clients ask, each again as soon as it has its answer
 *     open loop:   requests arrive at random moments at a rate, whatever the server does
 *
 * Every request is a stream. Times count from the moment at which a request was due, so a server
 * that makes clients wait cannot hide it. Text is counted in the server's own tokens, as its usage
 * says; the first token is the first event that has text.
 *
 * Prompts are common words in random order, about one token each, after a beginning that all
 * requests share. They depend on the seed alone.
 *
 * Threads: the calling one; the event loop is libcurl's. Errors: TW_ERR_USAGE for a URL that is
 * none, TW_ERR_LIMIT for a key too long to send, TW_ERR_MEMORY; a request that fails is counted,
 * with the sentence of the first one.
 */
#ifndef TW_APP_BENCH_SERVER_H
#define TW_APP_BENCH_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_load_config {
    const char *url;     /* of the server, "http://127.0.0.1:8080" or with /v1 */
    const char *api_key; /* or NULL */
    const char *model;   /* or NULL */
    const char *ca_path; /* a PEM file of whom to trust, or NULL: as the system does */
    bool is_chat;        /* or a completion */
    bool ignores_eos;    /* ask for answers of full length; not every server knows it */
    uint32_t n_clients;  /* closed loop; in an open one, the most requests at once */
    double rate;         /* requests a second of the open loop; 0: closed */
    uint32_t n_requests;
    uint32_t n_prompt_words, n_shared_words; /* the shared ones are part of the prompt */
    uint32_t n_answer_tokens;
    uint32_t timeout_seconds; /* of a request */
    uint64_t seed;
    /* What a good request is: first token, and a token thereafter, within that time; 0: any. */
    double good_first_seconds, good_token_seconds;
};

/* Of the requests that succeeded, in seconds. */
struct tw_load_times {
    double mean, p50, p90, p99, most;
};

struct tw_load_result {
    uint32_t n_good, n_succeeded, n_failed;
    double seconds; /* from the first request to the end of the last */
    uint64_t n_prompt_tokens, n_cached_tokens, n_answer_tokens;
    struct tw_load_times first_token, token, whole;
    char failure[256]; /* of the first request that failed; "" */
};

enum tw_status tw_bench_server(const struct tw_load_config *config,
                               struct tw_load_result *ret_result, struct tw_error *error);

#endif
