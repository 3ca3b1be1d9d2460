/* set_index.h: sets of numbers, each kept once and named by a small number.
 *
 *     intern({3, 7, 9}) -> 0    intern({4}) -> 1    intern({3, 7, 9}) -> 0
 *
 * This is the memory of a subset construction: a state of the deterministic automaton is the set of
 * states in which the other one may be. Ids are given in the order of first sight.
 * Threads: one at a time. Errors: those of the budget.
 */
#ifndef TW_TEXT_SET_INDEX_H
#define TW_TEXT_SET_INDEX_H

#include "text/budget.h"

#define TW_SET_NONE UINT32_MAX

struct tw_set_index {
    struct tw_list numbers; /* uint32_t, all sets one after another */
    struct tw_list begins;  /* uint32_t, where set i begins in numbers; one more than sets */
    struct tw_list slots;   /* uint32_t, open addressing: id + 1, 0 free; a power of two */
};

/* The id of the set [n] (sorted by the caller, without doubles), or TW_SET_NONE when the budget is
 * used up. */
uint32_t tw_set_index_intern(struct tw_set_index *index, struct tw_budget *budget,
                             const uint32_t *numbers, uint32_t n);

uint32_t tw_set_index_size(const struct tw_set_index *index);

/* Valid until the next intern. */
const uint32_t *tw_set_index_get(const struct tw_set_index *index, uint32_t id, uint32_t *ret_n);

void tw_set_index_free(struct tw_set_index *index, struct tw_budget *budget);

/* Sorts and removes doubles; returns how many are left. */
uint32_t tw_set_sort(uint32_t *numbers, uint32_t n);

#endif
