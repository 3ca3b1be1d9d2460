/* spans.h: overlapping intervals with targets, cut into pieces that do not overlap.
 *
 *     a..m -> 1   k..z -> 2      gives      a..j {1}   k..m {1, 2}   n..z {2}
 *
 * The inner step of a subset construction, over bytes or over code points.
 * Ownership: the sweep owns its lists. Threads: one at a time. Errors: those of the budget.
 */
#ifndef TW_TEXT_SPANS_H
#define TW_TEXT_SPANS_H

#include "text/budget.h"

struct tw_span {
    uint32_t low, high, target;
};

/* Zero-initialise it once; it may be used again and again. */
struct tw_sweep {
    struct tw_list spans;  /* struct tw_span */
    struct tw_list active; /* struct tw_span, those that cover the piece */
    uint32_t next;         /* of spans */
    uint32_t at;           /* where the next piece begins while any is active */
};

void tw_sweep_clear(struct tw_sweep *sweep);
bool tw_sweep_add(struct tw_sweep *sweep, struct tw_budget *budget, struct tw_span span);
void tw_sweep_sort(struct tw_sweep *sweep);

/* The next piece, in order; false at the end or when the budget is used up. The targets of the
 * piece, perhaps doubled, are those of the n first in `active`. */
bool tw_sweep_next(struct tw_sweep *sweep, struct tw_budget *budget, uint32_t *ret_low,
                   uint32_t *ret_high, const struct tw_span **ret_covering, uint32_t *ret_n);

void tw_sweep_free(struct tw_sweep *sweep, struct tw_budget *budget);

#endif
