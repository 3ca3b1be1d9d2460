#include "text/budget.h"

#include <string.h>

#include "base/mem.h"

struct tw_budget tw_budget_full(void)
{
    return (struct tw_budget){
        .n_steps = TW_LIMIT_GRAMMAR_STEPS,
        .n_bytes = TW_LIMIT_GRAMMAR_BYTES,
        .status = TW_OK,
    };
}

bool tw_budget_spend(struct tw_budget *budget, uint64_t n_steps)
{
    if (budget->status == TW_OK && n_steps > budget->n_steps) {
        budget->status = TW_ERR_LIMIT;
    }
    budget->n_steps -= budget->status == TW_OK ? n_steps : 0;
    return budget->status == TW_OK;
}

enum tw_status tw_budget_check(const struct tw_budget *budget, const char *what,
                               struct tw_error *error)
{
    if (budget->status == TW_ERR_LIMIT) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%s is too complex: its automaton would take more than %zu MiB or %u "
                            "steps to build",
                            what, TW_LIMIT_GRAMMAR_BYTES >> 20, TW_LIMIT_GRAMMAR_STEPS);
    }
    if (budget->status == TW_ERR_MEMORY) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to compile %s", what);
    }
    return TW_OK;
}

static bool grow(struct tw_list *list, struct tw_budget *budget, uint64_t n_needed,
                 size_t item_bytes)
{
    uint64_t capacity = list->capacity + list->capacity / 2 + 8;
    capacity = capacity < n_needed ? n_needed : capacity;
    size_t more_bytes = (size_t)(capacity - list->capacity) * item_bytes;
    if (capacity > UINT32_MAX || more_bytes > budget->n_bytes) {
        budget->status = TW_ERR_LIMIT;
        return false;
    }
    void *grown = tw_mem_realloc(list->items, (size_t)capacity, item_bytes);
    if (grown == NULL) {
        budget->status = TW_ERR_MEMORY;
        return false;
    }
    budget->n_bytes -= more_bytes;
    list->items = grown;
    list->capacity = (uint32_t)capacity;
    return true;
}

void *tw_list_add(struct tw_list *list, struct tw_budget *budget, uint32_t n_more,
                  size_t item_bytes)
{
    uint64_t n_needed = (uint64_t)list->n + n_more;
    if (budget->status != TW_OK || ((list->items == NULL || n_needed > list->capacity) &&
                                    !grow(list, budget, n_needed, item_bytes))) {
        return NULL;
    }
    char *first = (char *)list->items + (size_t)list->n * item_bytes;
    if (n_more > 0) {
        memset(first, 0, (size_t)n_more * item_bytes);
    }
    list->n += n_more;
    return first;
}

void tw_list_free(struct tw_list *list, struct tw_budget *budget, size_t item_bytes)
{
    tw_mem_free(list->items);
    budget->n_bytes += (size_t)list->capacity * item_bytes;
    *list = (struct tw_list){0};
}
