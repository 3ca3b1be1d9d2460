/* request_rewrite.h: a client's request as a server behind us gets it.
 *
 *     {"model": "house", "max_tokens": 9000, "stream": true, "x": [1]}
 *     -> {"model": "org/Model-8B", "max_tokens": 512, "stream": true, "x": [1],
 *         "stream_options": {"include_usage": true}}
 *
 * What we do not know goes through: servers have parameters of their own. What is ours alone is
 * left out. Numbers are those of the client's to the last bit (base/json.h).
 *
 * Invariants:
 * 1. The server is asked for no more than n_answer_tokens an answer and n_answers answers, under
 *    each name that a limit of that kind has, as request_limits.h reads them.
 * 2. A stream is asked for with its usage, whatever the client asked.
 *
 * Pure; threads: any.
 * Errors: TW_ERR_USAGE for a request that is no object, or asks for more answers than granted, and
 * those of request_limits.h;
 * TW_ERR_LIMIT where out is full.
 */
#ifndef TW_REMOTE_REQUEST_REWRITE_H
#define TW_REMOTE_REQUEST_REWRITE_H

#include "base/json.h"
#include "remote/answer_scan.h"

struct tw_rewrite_terms {
    const char *model;         /* as the server calls it */
    uint64_t n_answer_tokens;  /* granted to each answer; 0: the endpoint makes none (embeddings) */
    uint64_t n_answers;        /* granted, of all prompts; 0: not checked */
    bool is_chat;              /* a limit that the client did not give is max_completion_tokens */
    bool knows_new_limit;      /* the server knows max_completion_tokens; older ones max_tokens */
    bool counts_on;            /* it offers continuous_usage_stats */
    const char *cache_salt;    /* which requests may share cached beginnings; NULL: none is sent */
    const char *const *hidden; /* [n_hidden] members that are ours alone */
    size_t n_hidden;
};

/* What the client itself asked of a stream's usage, for tw_answer_terms. */
struct tw_rewrite_asked {
    bool is_stream;
    enum tw_usage_form usage;
};

/* n_answer_tokens of an answer that nobody bounds. */
#define TW_REWRITE_NO_LIMIT UINT64_MAX

enum tw_status tw_request_rewrite(const json_t *request, const struct tw_rewrite_terms *terms,
                                  struct tw_rewrite_asked *ret_asked, struct tw_buf *out,
                                  struct tw_error *error);

#endif
