/* request_fields.h: the parameters of a completion, by three tables in one: those that have an
 * effect, those that are accepted without one, and those that are refused by name, because to
 * ignore them would change the answer. What is in no table is accepted and named in the answer's
 * X-Unknown-Parameters header, as clients send extras that no server knows.
 *
 * Ownership: the fields own what they point to, but not the texts: those belong to the body.
 * Threads: one at a time per struct.
 */
#ifndef TW_API_REQUEST_FIELDS_H
#define TW_API_REQUEST_FIELDS_H

#include "api/api_state.h"

enum { API_UNKNOWN_BYTES = TW_LIMIT_API_UNKNOWN_BYTES };

struct tw_api_fields {
    bool is_chat;
    /* By the table. */
    double temperature, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty;
    int64_t top_k, n, max_tokens, max_completion_tokens, seed, top_logprobs, priority;
    bool is_stream, ignore_eos, echo, wants_logprobs, is_parallel;
    /* By hand. */
    bool include_usage;
    bool counts_on; /* in every chunk, what was used so far */
    struct tw_bytes *stops;
    size_t n_stops;
    struct tw_logit_bias *biases;
    size_t n_biases;
    char unknown[API_UNKNOWN_BYTES]; /* names, separated by ", " */

    struct tw_generation generation; /* of the above; seed is that of the first choice */
};

/* False: refused. body must outlive the fields, which tw_api_fields_free frees in either case. */
bool tw_api_fields_read(struct tw_api_fields *fields, bool is_chat, const json_t *body,
                        const struct tw_tokenizer *tokenizer, struct tw_api_error *error);
void tw_api_fields_free(struct tw_api_fields *fields);

/* Takes out of a body what nothing reads any more once the request is made. It may be large. */
void tw_api_fields_prune(json_t *body, bool has_tools);

/* Adds the name of a parameter that nobody knows, where it can stand in a header. */
void tw_api_name_unknown(char unknown[API_UNKNOWN_BYTES], const char *name);

#endif
