#include "text/budget.h"

#include <string.h>

#include "base/mem.h"

struct tw_block {
    struct tw_block *before, *after;
    size_t size_bytes;
    max_align_t items[];
};

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

/* ---- memory ---- */

static struct tw_block *block_of(const struct tw_list *list)
{
    return list->items != NULL
               ? (struct tw_block *)((char *)list->items - offsetof(struct tw_block, items))
               : NULL;
}

static void put_back(struct tw_budget *budget, struct tw_block *block)
{
    *(block->before != NULL ? &block->before->after : &budget->blocks) = block->after;
    if (block->after != NULL) {
        block->after->before = block->before;
    }
    budget->n_bytes += block->size_bytes;
    tw_mem_free(block);
}

void tw_budget_end(struct tw_budget *budget)
{
    while (budget->blocks != NULL) {
        put_back(budget, budget->blocks);
    }
}

/* The old block goes only when the new one is there, so growth counts both. */
static bool grow(struct tw_list *list, struct tw_budget *budget, uint64_t n_needed,
                 size_t item_bytes)
{
    uint64_t capacity = list->capacity + list->capacity / 2 + 8;
    capacity = capacity < n_needed ? n_needed : capacity;
    size_t size_bytes = offsetof(struct tw_block, items) + (size_t)capacity * item_bytes;
    if (capacity > UINT32_MAX || size_bytes > budget->n_bytes) {
        budget->status = TW_ERR_LIMIT;
        return false;
    }
    struct tw_block *block = tw_mem_alloc(1, size_bytes), *old = block_of(list);
    if (block == NULL) {
        budget->status = TW_ERR_MEMORY;
        return false;
    }
    *block = (struct tw_block){.after = budget->blocks, .size_bytes = size_bytes};
    if (budget->blocks != NULL) {
        budget->blocks->before = block;
    }
    budget->blocks = block;
    budget->n_bytes -= size_bytes;
    if (old != NULL) {
        memcpy(block->items, list->items, (size_t)list->n * item_bytes);
        put_back(budget, old);
    }
    list->items = block->items;
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
    memset(first, 0, (size_t)n_more * item_bytes);
    list->n += n_more;
    return first;
}

void tw_list_free(struct tw_list *list, struct tw_budget *budget)
{
    if (list->items != NULL) {
        put_back(budget, block_of(list));
    }
    *list = (struct tw_list){0};
}

void tw_list_push(struct tw_list *list, struct tw_budget *budget, uint32_t number)
{
    if (budget->status == TW_OK &&
        (list->n < list->capacity || grow(list, budget, list->n + UINT64_C(1), sizeof number))) {
        ((uint32_t *)list->items)[list->n++] = number;
    }
}
