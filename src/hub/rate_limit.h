/* rate_limit.h: requests a minute, tokens a minute and requests at once, of keys and projects.
 *
 * A bucket for each of the first two, which leaks evenly: the generic cell rate algorithm of ITU-T
 * I.371 in its form as a continuous-state leaky bucket, which admits exactly what a token bucket
 * would. What is in it is counted in units x nanoseconds, so that nothing is ever rounded:
 *
 *     level' = max(0, level - limit x elapsed_ns) + n x 60e9     admitted if level' <= limit x 60e9
 *
 * A bucket rather than a window of a minute: a window lets twice the limit through around its end,
 * and everybody who waits comes back in the same moment. So a limit may be used up at once, and
 * comes back bit by bit.
 *
 *     try --[admitted: counted with every holder]--> give back what was not used ... end
 *
 * Invariants:
 * 1. Admitted by all holders of the path, or nothing is changed.
 * 2. In any stretch of time, what is admitted less what is given back is at most limit + limit x
 *    minutes. No more is given back than is still in the bucket: the rest has leaked already.
 * 3. A limit may change between any two calls; what was used stays used.
 *
 * Ownership: states are the caller's, and all zero at first. now_ns: of one clock that never falls,
 * not negative (where it falls all the same, no time has passed). Pure; threads: one at a time.
 * Errors: none. Limits: TW_LIMIT_HUB_RATE bounds every limit, TW_LIMIT_HUB_PATH a path.
 */
#ifndef TW_HUB_RATE_LIMIT_H
#define TW_HUB_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_rate_kind {
    TW_RATE_REQUESTS = 0, /* a minute */
    TW_RATE_TOKENS,       /* a minute */
    TW_RATE_CONCURRENT,   /* at once */
    TW_RATE_KINDS
};

/* 0: no limit, and nothing is counted but what runs. */
struct tw_rate_limits {
    int64_t limit[TW_RATE_KINDS];
};

struct tw_rate_bucket {
    uint64_t level; /* units x ns */
    int64_t at_ns;
};

struct tw_rate_state {
    struct tw_rate_bucket buckets[2]; /* of requests, of tokens */
    int64_t n_running;
};

/* One step of a path. */
struct tw_rate_holder {
    const struct tw_rate_limits *limits;
    struct tw_rate_state *state;
};

struct tw_rate_refusal {
    size_t holder; /* the first step of the path that refuses */
    enum tw_rate_kind kind;
    int64_t retry_ns; /* after which it would be admitted, as far as this limit goes, if nobody
                         else came; 0: when another request ends; INT64_MAX: never, it has more
                         tokens than the limit */
};

/* One request of n_tokens, counted with every holder; n_requests: 1, or 0 where it takes the place
 * of one that was counted and has ended. False: refused, and why. */
bool tw_rate_limit_try(const struct tw_rate_holder *path, size_t n_holders, int64_t n_requests,
                       int64_t n_tokens, int64_t now_ns, struct tw_rate_refusal *ret_refusal);
/* Of one that was admitted: tokens that it did not use, or the request itself (n_requests = 1) that
 * somebody else refused. Does not end it. */
void tw_rate_limit_give_back(const struct tw_rate_holder *path, size_t n_holders,
                             int64_t n_requests, int64_t n_tokens, int64_t now_ns);
/* It does not run any more; once for each that was admitted. */
void tw_rate_limit_end(const struct tw_rate_holder *path, size_t n_holders);

/* What the headers x-ratelimit-{limit,remaining,reset}-{requests,tokens} show. */
struct tw_rate_shown {
    int64_t limit, remaining;
    int64_t reset_ns; /* until the bucket is empty and all of limit is there again */
};

/* Of the holder that has the least left, of equals the first. False where none has such a limit.
 * kind: not TW_RATE_CONCURRENT. */
bool tw_rate_limit_show(const struct tw_rate_holder *path, size_t n_holders, enum tw_rate_kind kind,
                        int64_t now_ns, struct tw_rate_shown *ret_shown);

enum { TW_RATE_RESET_BYTES = 32 };

/* As OpenAI writes it: "17ms", "1s", "8.64s", "6m0s"; whole milliseconds, rounded up. */
void tw_rate_limit_print_reset(int64_t reset_ns, char ret_text[TW_RATE_RESET_BYTES]);

#endif
