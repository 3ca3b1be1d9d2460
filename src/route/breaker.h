/* breaker.h: whether a backend that failed is worth another request.
 *
 *     CLOSED    -> OPEN       [n_consecutive failures in a row, or too many of the last outcomes]
 *     OPEN      -> HALF OPEN  [open_ns later; twice as long after each probe that failed]
 *     HALF OPEN -> CLOSED     [the probe succeeded]
 *     HALF OPEN -> OPEN       [it failed]
 *
 * Invariants:
 * 1. While it is half open one request is let through; another only when that one has been silent
 *    for probe_ns: whoever took it may have gone.
 * 2. Outcomes of requests that began before the breaker opened change nothing while it is open.
 * 3. A request that its client cancelled says nothing about the backend.
 *
 * Ownership: a plain struct. Pure: time is an argument, and need not be of any clock. Threads: one
 * at a time. Errors: none.
 */
#ifndef TW_ROUTE_BREAKER_H
#define TW_ROUTE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum tw_breaker_state { TW_BREAKER_CLOSED = 0, TW_BREAKER_OPEN, TW_BREAKER_HALF_OPEN };
enum tw_outcome { TW_OUTCOME_SUCCESS = 0, TW_OUTCOME_FAILURE, TW_OUTCOME_NONE };

struct tw_breaker_config {
    uint32_t n_consecutive;  /* failures in a row that open it */
    uint32_t most_per_mille; /* failures among the last outcomes that do not */
    uint32_t n_outcomes;     /* of which there must be so many; to TW_LIMIT_BREAKER_OUTCOMES */
    int64_t open_ns, probe_ns;
};

struct tw_breaker {
    struct tw_breaker_config config;
    bool is_open; /* or half open: by the time */
    uint32_t n_in_row, n_known, n_doublings;
    uint32_t failures; /* bit i: whether the outcome i ago was one */
    int64_t until_ns;  /* when it is open no more */
    int64_t probe_until_ns;
    bool has_probe;
    uint32_t opening; /* how often it opened: tells requests of before */
};

/* What a request that was let through keeps until its end. */
struct tw_breaker_pass {
    uint32_t opening;
    bool is_probe;
};

/* 5 in a row, or more than half of at least 16; 5 s, 60 s for a probe. */
struct tw_breaker_config tw_breaker_defaults(void);
void tw_breaker_init(struct tw_breaker *breaker, const struct tw_breaker_config *config);

enum tw_breaker_state tw_breaker_state(const struct tw_breaker *breaker, int64_t now_ns);
/* Whether a request would be let through. */
bool tw_breaker_allows(const struct tw_breaker *breaker, int64_t now_ns);
/* One goes through. Only where allowed. */
struct tw_breaker_pass tw_breaker_begin(struct tw_breaker *breaker, int64_t now_ns);
void tw_breaker_end(struct tw_breaker *breaker, struct tw_breaker_pass pass,
                    enum tw_outcome outcome, int64_t now_ns);

#endif
