#include "route/breaker.h"

#include <assert.h>

#include "base/clock.h"

struct tw_breaker_config tw_breaker_defaults(void)
{
    return (struct tw_breaker_config){.n_consecutive = 5,
                                      .most_per_mille = 500,
                                      .n_outcomes = 16,
                                      .open_ns = 5 * TW_SECOND_NS,
                                      .probe_ns = 60 * TW_SECOND_NS};
}

void tw_breaker_init(struct tw_breaker *breaker, const struct tw_breaker_config *config)
{
    *breaker = (struct tw_breaker){.config = *config};
}

enum tw_breaker_state tw_breaker_state(const struct tw_breaker *breaker, int64_t now_ns)
{
    return !breaker->is_open            ? TW_BREAKER_CLOSED
           : now_ns < breaker->until_ns ? TW_BREAKER_OPEN
                                        : TW_BREAKER_HALF_OPEN;
}

bool tw_breaker_allows(const struct tw_breaker *breaker, int64_t now_ns)
{
    const enum tw_breaker_state state = tw_breaker_state(breaker, now_ns);
    return state == TW_BREAKER_CLOSED ||
           (state == TW_BREAKER_HALF_OPEN &&
            (!breaker->has_probe || now_ns >= breaker->probe_until_ns));
}

struct tw_breaker_pass tw_breaker_begin(struct tw_breaker *breaker, int64_t now_ns)
{
    assert(tw_breaker_allows(breaker, now_ns));
    if (breaker->is_open) {
        breaker->has_probe = true;
        breaker->probe_until_ns = now_ns + breaker->config.probe_ns;
    }
    return (struct tw_breaker_pass){.opening = breaker->opening, .is_probe = breaker->is_open};
}

static void trip(struct tw_breaker *breaker, int64_t now_ns)
{
    breaker->until_ns = now_ns + (breaker->config.open_ns << breaker->n_doublings);
    breaker->n_doublings += breaker->n_doublings < TW_LIMIT_BREAKER_DOUBLINGS;
    breaker->is_open = true;
    breaker->has_probe = false;
    breaker->opening++;
}

static void recover(struct tw_breaker *breaker)
{
    breaker->is_open = breaker->has_probe = false;
    breaker->n_in_row = breaker->n_known = breaker->failures = breaker->n_doublings = 0;
}

static bool fails_too_often(const struct tw_breaker *breaker)
{
    const struct tw_breaker_config *config = &breaker->config;
    const uint32_t n_failures = (uint32_t)__builtin_popcount(breaker->failures);
    return breaker->n_in_row >= config->n_consecutive ||
           (breaker->n_known >= config->n_outcomes &&
            n_failures * 1000 > config->most_per_mille * breaker->n_known);
}

void tw_breaker_end(struct tw_breaker *breaker, struct tw_breaker_pass pass,
                    enum tw_outcome outcome, int64_t now_ns)
{
    if (pass.opening != breaker->opening || pass.is_probe != breaker->is_open) {
        return;
    }
    if (outcome == TW_OUTCOME_NONE) {
        breaker->has_probe = false; /* it told nothing: another may */
        return;
    }
    const bool has_failed = outcome == TW_OUTCOME_FAILURE;
    if (breaker->is_open) {
        if (has_failed) {
            trip(breaker, now_ns);
        } else {
            recover(breaker);
        }
        return;
    }
    breaker->failures = breaker->failures << 1 | has_failed;
    breaker->n_known += breaker->n_known < TW_LIMIT_BREAKER_OUTCOMES;
    breaker->n_in_row = has_failed ? breaker->n_in_row + 1 : 0;
    if (fails_too_often(breaker)) {
        trip(breaker, now_ns);
    }
}
