/* request_rewrite.h: a client's request as a server behind us gets it.
 *
 *     {"model": "house", "max_tokens": 9000, "stream": true, "x": [1]}
 *     -> {"model": "org/Model-8B", "max_tokens": 512, "stream": true, "x": [1],
 *         "stream_options": {"include_usage": true}}
 *
 * Only what is known to shape an answer goes through (server_kind.h), and what whoever runs the
 * server passes besides. Numbers are those of the client's to the last bit (base/json.h).
 *
 * Invariants:
 * 1. The server is asked for no more than n_answer_tokens an answer and n_answers answers, under
 *    each name that a limit of that kind has, as request_limits.h reads them.
 * 2. A stream is asked for with its usage, whatever the client asked.
 * 3. No member leaves that is not on a list, and a salt is ours or there is none.
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
#include "remote/server_kind.h"

struct tw_rewrite_terms {
    const char *model;        /* as the server calls it */
    uint64_t n_answer_tokens; /* granted to each answer; 0: the endpoint makes none (embeddings) */
    uint64_t n_answers;       /* granted, of all prompts; 0: not checked */
    bool is_chat;             /* a limit that the client did not give is max_completion_tokens */
    bool counts_on;           /* a stream says as it goes how many tokens there are */
    const struct tw_server_kind *kind;
    const char *const *passed; /* [n_passed] members that this server gets besides */
    size_t n_passed;
    const char *cache_salt; /* which requests may share cached beginnings; NULL: none is sent */
};

/* What the client itself asked of a stream's usage, for tw_answer_terms; and what of its request
 * was left out because the server would not know it, or should not. */
struct tw_rewrite_asked {
    bool is_stream;
    enum tw_usage_form usage;
    char left_out[TW_LIMIT_API_UNKNOWN_BYTES]; /* names fit for a header, by ", "; the first ones */
};

/* n_answer_tokens of an answer that nobody bounds. */
#define TW_REWRITE_NO_LIMIT UINT64_MAX

enum tw_status tw_request_rewrite(const json_t *request, const struct tw_rewrite_terms *terms,
                                  struct tw_rewrite_asked *ret_asked, struct tw_buf *out,
                                  struct tw_error *error);

#endif
