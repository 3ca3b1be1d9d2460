#include "engine/drafter.h"

#include <assert.h>
#include <stdbool.h>

#define MOST_MATCH    8
#define LEAST_RATE    0.125  /* what a row costs, in parts of a step */
#define SURE_RATE     0.9375 /* a text that is being copied */
#define LEARNING_RATE 0.125
#define CHEAP_ROWS    4  /* of a step, with the texts' own */
#define TIMES_PASSED  15 /* then a rate that is too low is looked at again */

struct tw_drafter tw_drafter_begin(void)
{
    return (struct tw_drafter){.rates = {0.4, 0.5, 0.6, 0.7}};
}

void tw_drafter_learn(struct tw_drafter *drafter, uint32_t n_drafted, uint32_t n_right)
{
    assert(n_right <= n_drafted);
    double *rate = &drafter->rates[drafter->last];
    for (uint32_t i = 0; i < n_right; i++) {
        *rate += (1.0 - *rate) * LEARNING_RATE;
    }
    if (n_right < n_drafted) {
        *rate -= *rate * LEARNING_RATE;
    }
}

/* How many tokens are worth a row each. */
static uint32_t choose_length(struct tw_drafter *drafter, uint32_t n_decoding)
{
    const double rate = drafter->rates[drafter->last];
    if (rate >= SURE_RATE) {
        return TW_LIMIT_DRAFT_TOKENS;
    }
    const uint32_t most = n_decoding < CHEAP_ROWS ? CHEAP_ROWS / n_decoding - 1 : 0;
    uint32_t n = 0;
    for (double right = rate; n < most && right >= LEAST_RATE; n++) {
        right *= rate;
    }
    if (n == 0 && most > 0 && drafter->n_passed++ == TIMES_PASSED) {
        drafter->n_passed = 0;
        n = 1;
    }
    return n;
}

/* How many tokens up to end are those up to the text's end; one that does. */
static size_t match_length(const tw_token *tokens, size_t n_tokens, size_t end)
{
    size_t n = 1;
    while (n < MOST_MATCH && n < end && tokens[end - 1 - n] == tokens[n_tokens - 1 - n]) {
        n++;
    }
    return n;
}

/* Where the end of the text stood before: the place behind that, and how much of it did; or 0. */
static size_t find_match(const tw_token *tokens, size_t n_tokens, size_t *ret_length)
{
    const size_t first =
        n_tokens > TW_LIMIT_DRAFT_SEARCH_TOKENS ? n_tokens - TW_LIMIT_DRAFT_SEARCH_TOKENS : 0;
    size_t best = 0, best_length = 0;
    for (size_t end = n_tokens - 1; end > first && best_length < MOST_MATCH; end--) {
        if (tokens[end - 1] == tokens[n_tokens - 1]) {
            const size_t length = match_length(tokens, n_tokens, end);
            best = length > best_length ? end : best;
            best_length = length > best_length ? length : best_length;
        }
    }
    *ret_length = best_length;
    return best;
}

uint32_t tw_drafter_guess(struct tw_drafter *drafter, const tw_token *tokens, size_t n_tokens,
                          uint32_t n_decoding, tw_token *ret_draft)
{
    assert(n_tokens > 0 && n_decoding > 0);
    size_t length = 0;
    const bool has_rows = n_decoding < TW_LIMIT_DECODED_TOKENS;
    const size_t match = has_rows ? find_match(tokens, n_tokens, &length) : 0;
    if (match == 0) {
        return 0;
    }
    drafter->last = (uint32_t)(length < TW_DRAFTER_RATES ? length : TW_DRAFTER_RATES) - 1;
    const uint32_t n = choose_length(drafter, n_decoding);
    /* What goes on at the text's end goes on with itself. */
    for (uint32_t i = 0; i < n; i++) {
        ret_draft[i] = match + i < n_tokens ? tokens[match + i] : ret_draft[match + i - n_tokens];
    }
    return n;
}
