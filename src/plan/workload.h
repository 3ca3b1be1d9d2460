/* workload.h: requests in the order of their arrival: made from distributions, or read as a trace.
 *
 *     made: arrivals (regular, Poisson, gamma of a coefficient of variation) x lengths (fixed,
 *           lognormal, drawn from a trace) x use cases
 *     read: CSV with a title line, or JSONL, an object a line
 *
 * A trace's columns, by any of these names: arrival (arrival_s, timestamp in seconds or
 * milliseconds, TIMESTAMP as date and time), input (input_tokens, ContextTokens, input_length),
 * output (output_tokens, GeneratedTokens, output_length), and in JSONL hash_ids, one for each
 * block of the prompt: prompts that begin with the same ids begin with the same text.
 *
 * Invariants: arrivals never fall; every request has at least one token in and one out; the same
 * seed gives the same requests.
 * Ownership: the caller's, until tw_workload_free. Threads: any number read.
 * Errors: TW_ERR_FORMAT with file and line and what was expected; TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_PLAN_WORKLOAD_H
#define TW_PLAN_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_plan_request {
    uint64_t arrival_ns;
    uint32_t n_input, n_output; /* tokens */
    uint32_t use_case;
    uint32_t first_block, n_blocks; /* of workload.blocks; none: a text that nobody else has */
};

struct tw_workload {
    struct tw_plan_request *requests; /* [n_requests] */
    uint32_t n_requests;
    uint64_t *blocks; /* [n_blocks], ids of beginnings: equal ids, equal texts */
    uint64_t n_blocks;
    uint32_t block_tokens; /* of a block */
    double duration_s;     /* from the first arrival until the next would come */
};

enum tw_length_kind { TW_LENGTH_FIXED = 0, TW_LENGTH_LOGNORMAL, TW_LENGTH_EMPIRICAL };
struct tw_length {
    enum tw_length_kind kind;
    double mean_tokens;
    double cv;                          /* standard deviation / mean; lognormal */
    uint32_t least_tokens, most_tokens; /* cut to; 0: 1 and TW_LIMIT_PLAN_CONTEXT_TOKENS */
};

enum tw_arrival_kind { TW_ARRIVAL_REGULAR = 0, TW_ARRIVAL_GAMMA };
struct tw_use_case {
    double rate_requests_s;
    enum tw_arrival_kind arrivals;
    double arrival_cv; /* of the times between; 1: Poisson */
    struct tw_length input, output;
    /* With TW_LENGTH_EMPIRICAL both lengths are those of one request of it, drawn. */
    const struct tw_workload *lengths_of;
    /* Every prompt begins with one of n_prefixes texts of prefix_tokens (part of its input). */
    uint32_t prefix_tokens, n_prefixes;
};

/* n_requests of all use cases [n_cases] together. */
enum tw_status tw_workload_make(const struct tw_use_case *cases, uint32_t n_cases,
                                uint32_t n_requests, uint64_t seed,
                                struct tw_workload *ret_workload, struct tw_error *error);

/* text [text_bytes]; a line that begins with { makes it JSONL. block_tokens: of hash_ids; 0: 512.
 * Lines are sorted by arrival. */
enum tw_status tw_workload_read(const char *file, const char *text, size_t text_bytes,
                                uint32_t block_tokens, struct tw_workload *ret_workload,
                                struct tw_error *error);
enum tw_status tw_workload_read_file(const char *path, uint32_t block_tokens,
                                     struct tw_workload *ret_workload, struct tw_error *error);
/* The same texts, and times between arrivals drawn anew at the same mean (gamma of cv). */
enum tw_status tw_workload_rearrive(const struct tw_workload *workload, double cv, uint64_t seed,
                                    struct tw_workload *ret_workload, struct tw_error *error);
/* NULL is allowed. */
void tw_workload_free(struct tw_workload *workload);

struct tw_workload_summary {
    double rate_requests_s, input_mean, output_mean, arrival_cv;
    double shared_share; /* of prompt tokens in blocks that came before: hits of a cache without
                            end */
    uint32_t input_most, output_most, total_most;
};
struct tw_workload_summary tw_workload_summarise(const struct tw_workload *workload);

#endif
