/* budget.h: what compiling a schema or a pattern may cost: counted steps and bytes.
 *
 * A hostile schema is stopped by a count, not by a clock, so that the same schema is refused on
 * every machine. Lists take their memory through a budget. The first failure sticks: builders may
 * go on blindly and look once at the end.
 *
 *     OK --[steps or bytes are used up]--> TW_ERR_LIMIT     OK --[no memory]--> TW_ERR_MEMORY
 *
 * Ownership: the budget's; tw_budget_end frees every list that grew with it.
 * Threads: one at a time. Limits: TW_LIMIT_GRAMMAR_STEPS, TW_LIMIT_GRAMMAR_BYTES.
 */
#ifndef TW_TEXT_BUDGET_H
#define TW_TEXT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_block;

struct tw_budget {
    uint64_t n_steps; /* left */
    size_t n_bytes;   /* left */
    enum tw_status status;
    struct tw_block *blocks; /* lent to lists */
};

struct tw_budget tw_budget_full(void);
void tw_budget_end(struct tw_budget *budget);

/* False when there are not that many steps left, or something has failed before. */
bool tw_budget_spend(struct tw_budget *budget, uint64_t n_steps);

/* The status, with a sentence about `what` ("the schema") where it is not TW_OK. */
enum tw_status tw_budget_check(const struct tw_budget *budget, const char *what,
                               struct tw_error *error);

/* A growing array of items of one size; zero-initialise it. */
struct tw_list {
    void *items;
    uint32_t n;
    uint32_t capacity;
};

/* Room for n_more items at the end, zeroed and counted as used: a pointer to the first, or NULL
 * when the budget or memory is used up (the list is then as before). */
void *tw_list_add(struct tw_list *list, struct tw_budget *budget, uint32_t n_more,
                  size_t item_bytes);

/* Before the budget ends, for what is large or short-lived. The list is empty afterwards. */
void tw_list_free(struct tw_list *list, struct tw_budget *budget);

/* A list of numbers. */
void tw_list_push(struct tw_list *list, struct tw_budget *budget, uint32_t number);

static inline uint32_t tw_list_at(const struct tw_list *list, uint32_t i)
{
    return ((const uint32_t *)list->items)[i];
}

#endif
