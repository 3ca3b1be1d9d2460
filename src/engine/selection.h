/* selection.h: the best tokens of a row in a total order, without sorting the row.
 *
 * The order: larger value first; of equal values the lower token. It has no ties, so "the k best"
 * and "the shortest prefix that ..." are exact sets.
 *
 *     values [n] --[tw_select_top]-->    the k best, sorted           O(n log k), mostly O(n)
 *     candidates --[tw_select_order]--> heap --[tw_select_next]--> best, second best, ...
 *
 * -infinity is never selected. Values must be free of NaN. Pure; nothing allocates.
 */
#ifndef TW_ENGINE_SELECTION_H
#define TW_ENGINE_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "text/tokenizer.h"

struct tw_candidate {
    float value;
    tw_token token;
};

/* Writes the k best of values [n] to ret_best [min(k, n)], best first. Returns how many there are:
 * fewer than k when n is smaller or values are -infinity. */
size_t tw_select_top(const float *values, size_t n, size_t k, struct tw_candidate *ret_best);

/* Orders candidates [n] as a heap for tw_select_next. */
void tw_select_order(struct tw_candidate *candidates, size_t n);

/* Takes the best of the *n that are left; it moves to candidates[*n - 1], and *n becomes one less.
 * *n must not be 0. */
struct tw_candidate tw_select_next(struct tw_candidate *candidates, size_t *n);

#endif
