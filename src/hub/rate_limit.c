#include "hub/rate_limit.h"

#include <assert.h>
#include <stdio.h>

#include "base/limits.h"

#define MINUTE_NS ((uint64_t)60000000000)
#define MS_NS     1000000

/* A bucket that is full to the largest limit, and as much again, fits into its 64 bits. */
_Static_assert(TW_LIMIT_HUB_RATE <= UINT64_MAX / 2 / MINUTE_NS, "a level must fit");

enum { N_BUCKETS = 2 };

static uint64_t limit_of(const struct tw_rate_holder *holder, int kind)
{
    const int64_t limit = holder->limits->limit[kind];
    assert(limit >= 0 && limit <= TW_LIMIT_HUB_RATE);
    return (uint64_t)limit;
}

/* Lets leak what has leaked by now. */
static uint64_t update(struct tw_rate_bucket *bucket, uint64_t limit, int64_t now_ns)
{
    const uint64_t elapsed_ns =
        now_ns > bucket->at_ns ? (uint64_t)now_ns - (uint64_t)bucket->at_ns : 0;
    bucket->at_ns += (int64_t)elapsed_ns;
    if (limit == 0 || elapsed_ns > bucket->level / limit) {
        bucket->level = 0;
    } else {
        bucket->level -= limit * elapsed_ns;
    }
    return bucket->level;
}

static int64_t ns_to_leak(uint64_t level, uint64_t limit)
{
    return (int64_t)(level / limit + (level % limit != 0));
}

/* After how long n are admitted: 0 is now, INT64_MAX never. */
static int64_t wait_ns(struct tw_rate_bucket *bucket, uint64_t limit, uint64_t n, int64_t now_ns)
{
    const uint64_t level = update(bucket, limit, now_ns);
    if (limit == 0 || n == 0) {
        return 0;
    }
    if (n > limit) {
        return INT64_MAX;
    }
    const uint64_t full = limit * MINUTE_NS, wanted = level + n * MINUTE_NS;
    return wanted <= full ? 0 : ns_to_leak(wanted - full, limit);
}

static bool refuses(const struct tw_rate_holder *holder, const uint64_t n[N_BUCKETS],
                    int64_t now_ns, struct tw_rate_refusal *refusal)
{
    for (int kind = 0; kind < N_BUCKETS; kind++) {
        const int64_t retry_ns =
            wait_ns(&holder->state->buckets[kind], limit_of(holder, kind), n[kind], now_ns);
        if (retry_ns > 0) {
            refusal->kind = (enum tw_rate_kind)kind;
            refusal->retry_ns = retry_ns;
            return true;
        }
    }
    const int64_t concurrent = (int64_t)limit_of(holder, TW_RATE_CONCURRENT);
    refusal->kind = TW_RATE_CONCURRENT;
    refusal->retry_ns = 0;
    return concurrent > 0 && holder->state->n_running >= concurrent;
}

bool tw_rate_limit_try(const struct tw_rate_holder *path, size_t n_holders, int64_t n_requests,
                       int64_t n_tokens, int64_t now_ns, struct tw_rate_refusal *ret_refusal)
{
    assert(n_holders <= TW_LIMIT_HUB_PATH && n_requests >= 0 && n_tokens >= 0 && now_ns >= 0);
    const uint64_t n[N_BUCKETS] = {(uint64_t)n_requests, (uint64_t)n_tokens};
    for (size_t i = 0; i < n_holders; i++) {
        struct tw_rate_refusal refusal = {.holder = i};
        if (refuses(&path[i], n, now_ns, &refusal)) {
            *ret_refusal = refusal;
            return false;
        }
    }
    for (size_t i = 0; i < n_holders; i++) {
        for (int kind = 0; kind < N_BUCKETS; kind++) {
            if (limit_of(&path[i], kind) > 0) {
                path[i].state->buckets[kind].level += n[kind] * MINUTE_NS;
            }
        }
        path[i].state->n_running++;
    }
    return true;
}

void tw_rate_limit_give_back(const struct tw_rate_holder *path, size_t n_holders,
                             int64_t n_requests, int64_t n_tokens, int64_t now_ns)
{
    assert(n_holders <= TW_LIMIT_HUB_PATH && n_requests >= 0 && n_tokens >= 0);
    const uint64_t n[N_BUCKETS] = {(uint64_t)n_requests, (uint64_t)n_tokens};
    for (size_t i = 0; i < n_holders; i++) {
        for (int kind = 0; kind < N_BUCKETS; kind++) {
            struct tw_rate_bucket *bucket = &path[i].state->buckets[kind];
            const uint64_t level = update(bucket, limit_of(&path[i], kind), now_ns);
            bucket->level = n[kind] > level / MINUTE_NS ? 0 : level - n[kind] * MINUTE_NS;
        }
    }
}

void tw_rate_limit_end(const struct tw_rate_holder *path, size_t n_holders)
{
    for (size_t i = 0; i < n_holders; i++) {
        assert(path[i].state->n_running > 0);
        path[i].state->n_running--;
    }
}

bool tw_rate_limit_show(const struct tw_rate_holder *path, size_t n_holders, enum tw_rate_kind kind,
                        int64_t now_ns, struct tw_rate_shown *ret_shown)
{
    assert(kind != TW_RATE_CONCURRENT);
    bool is_there = false;
    for (size_t i = 0; i < n_holders; i++) {
        const uint64_t limit = limit_of(&path[i], (int)kind), full = limit * MINUTE_NS;
        const uint64_t level = update(&path[i].state->buckets[kind], limit, now_ns);
        const int64_t remaining = level < full ? (int64_t)((full - level) / MINUTE_NS) : 0;
        if (limit > 0 && (!is_there || remaining < ret_shown->remaining)) {
            *ret_shown = (struct tw_rate_shown){.limit = (int64_t)limit,
                                                .remaining = remaining,
                                                .reset_ns = ns_to_leak(level, limit)};
            is_there = true;
        }
    }
    return is_there;
}

void tw_rate_limit_print_reset(int64_t reset_ns, char ret_text[TW_RATE_RESET_BYTES])
{
    const int64_t ms = reset_ns / MS_NS + (reset_ns % MS_NS > 0);
    const long long hours = ms / 3600000, minutes = ms / 60000 % 60, seconds = ms / 1000 % 60;
    int rest_ms = (int)(ms % 1000), n_digits = 3;
    size_t at = 0;
    if (ms > 0 && ms < 1000) {
        snprintf(ret_text, TW_RATE_RESET_BYTES, "%dms", rest_ms);
        return;
    }
    if (hours > 0) {
        at += (size_t)snprintf(ret_text, TW_RATE_RESET_BYTES, "%lldh", hours);
    }
    if (hours > 0 || minutes > 0) {
        at += (size_t)snprintf(ret_text + at, TW_RATE_RESET_BYTES - at, "%lldm", minutes);
    }
    for (; rest_ms != 0 && rest_ms % 10 == 0; rest_ms /= 10) {
        n_digits--;
    }
    if (rest_ms == 0) {
        snprintf(ret_text + at, TW_RATE_RESET_BYTES - at, "%llds", seconds);
    } else {
        snprintf(ret_text + at, TW_RATE_RESET_BYTES - at, "%lld.%0*ds", seconds, n_digits, rest_ms);
    }
}
