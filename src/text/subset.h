/* subset.h: what a subset construction is made of: tuples kept once, and intervals cut up.
 *
 *     intern({3, 7, 9}) -> 0     intern({4}) -> 1     intern({3, 7, 9}) -> 0
 *
 *     a..m -> 1   k..z -> 2      gives      a..j {1}   k..m {1, 2}   n..z {2}
 *
 * A state of a deterministic automaton is the set of states in which the other one may be; its ways
 * on are the pieces of what those may take. Tuples serve wherever a small number is to stand for
 * something composed: sets of schemas, terms of expressions, pairs.
 *
 * Ownership: lists of the budget. Threads: one at a time. Errors: those of the budget.
 */
#ifndef TW_TEXT_SUBSET_H
#define TW_TEXT_SUBSET_H

#include "text/budget.h"

#define TW_TUPLE_NONE UINT32_MAX

/* Zero-initialise it. Ids are given in the order of first sight. */
struct tw_tuples {
    struct tw_list numbers; /* all tuples one after another */
    struct tw_list begins;  /* where tuple i begins in numbers; one more than tuples */
    struct tw_list slots;   /* open addressing: id + 1, 0 free; a power of two */
};

/* The id of the tuple [n], or TW_TUPLE_NONE when the budget is used up. */
uint32_t tw_tuples_intern(struct tw_tuples *tuples, struct tw_budget *budget,
                          const uint32_t *numbers, uint32_t n);

static inline uint32_t tw_tuples_size(const struct tw_tuples *tuples)
{
    return tuples->begins.n > 0 ? tuples->begins.n - 1 : 0;
}

/* Valid until the next intern. */
static inline const uint32_t *tw_tuples_get(const struct tw_tuples *tuples, uint32_t id,
                                            uint32_t *ret_n)
{
    const uint32_t *begins = (const uint32_t *)tuples->begins.items + id;
    *ret_n = begins[1] - begins[0];
    return (const uint32_t *)tuples->numbers.items + begins[0];
}

/* Makes a set of numbers: sorted, without doubles. Returns how many are left. */
uint32_t tw_subset_sort(uint32_t *numbers, uint32_t n);

struct tw_span {
    uint32_t low, high, target;
};

/* Zero-initialise it. */
struct tw_sweep {
    struct tw_list spans; /* struct tw_span; the first n_active cover the piece */
    uint32_t n_active, next;
    uint32_t low, high; /* the piece */
};

/* Empty again, to be filled by tw_sweep_add. */
void tw_sweep_clear(struct tw_sweep *sweep);
void tw_sweep_add(struct tw_sweep *sweep, struct tw_budget *budget, uint32_t low, uint32_t high,
                  uint32_t target);

/* The next piece, in order; false at the end or when the budget is used up. *ret_covering: the
 * spans that cover it [n_active]. */
bool tw_sweep_next(struct tw_sweep *sweep, struct tw_budget *budget,
                   const struct tw_span **ret_covering);

#endif
