#include "text/set_index.h"

#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"

uint32_t tw_set_index_size(const struct tw_set_index *index)
{
    return index->begins.n > 0 ? index->begins.n - 1 : 0;
}

const uint32_t *tw_set_index_get(const struct tw_set_index *index, uint32_t id, uint32_t *ret_n)
{
    const uint32_t *begins = index->begins.items;
    *ret_n = begins[id + 1] - begins[id];
    return (const uint32_t *)index->numbers.items + begins[id];
}

static uint32_t slot_of(const struct tw_set_index *index, const uint32_t *numbers, uint32_t n)
{
    return (uint32_t)tw_bytes_hash((const char *)numbers, n * sizeof *numbers) &
           (index->slots.n - 1);
}

static bool rehash(struct tw_set_index *index, struct tw_budget *budget)
{
    uint32_t n_sets = tw_set_index_size(index);
    uint32_t n_slots = index->slots.n == 0 ? 64 : index->slots.n * 2;
    tw_list_free(&index->slots, budget, sizeof(uint32_t));
    if (tw_list_add(&index->slots, budget, n_slots, sizeof(uint32_t)) == NULL) {
        return false;
    }
    uint32_t *slots = index->slots.items;
    for (uint32_t id = 0; id < n_sets; id++) {
        uint32_t n;
        const uint32_t *numbers = tw_set_index_get(index, id, &n);
        uint32_t slot = slot_of(index, numbers, n);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (n_slots - 1);
        }
        slots[slot] = id + 1;
    }
    return tw_budget_spend(budget, n_sets);
}

static uint32_t append(struct tw_set_index *index, struct tw_budget *budget,
                       const uint32_t *numbers, uint32_t n)
{
    if (index->begins.n == 0 && tw_list_add(&index->begins, budget, 1, sizeof(uint32_t)) == NULL) {
        return TW_SET_NONE;
    }
    uint32_t *copy = tw_list_add(&index->numbers, budget, n, sizeof *copy);
    uint32_t *end = tw_list_add(&index->begins, budget, 1, sizeof *end);
    if (copy == NULL || end == NULL) {
        return TW_SET_NONE;
    }
    if (n > 0) {
        memcpy(copy, numbers, n * sizeof *copy);
    }
    *end = index->numbers.n;
    return tw_set_index_size(index) - 1;
}

uint32_t tw_set_index_intern(struct tw_set_index *index, struct tw_budget *budget,
                             const uint32_t *numbers, uint32_t n)
{
    if (2 * (tw_set_index_size(index) + 1) > index->slots.n && !rehash(index, budget)) {
        return TW_SET_NONE;
    }
    uint32_t *slots = index->slots.items;
    uint32_t slot = slot_of(index, numbers, n);
    while (slots[slot] != 0) {
        uint32_t n_there;
        const uint32_t *there = tw_set_index_get(index, slots[slot] - 1, &n_there);
        if (!tw_budget_spend(budget, 1)) {
            return TW_SET_NONE;
        }
        if (n_there == n && (n == 0 || memcmp(there, numbers, n * sizeof *numbers) == 0)) {
            return slots[slot] - 1;
        }
        slot = (slot + 1) & (index->slots.n - 1);
    }
    uint32_t id = append(index, budget, numbers, n);
    if (id != TW_SET_NONE) {
        slots[slot] = id + 1;
    }
    return id;
}

void tw_set_index_free(struct tw_set_index *index, struct tw_budget *budget)
{
    tw_list_free(&index->numbers, budget, sizeof(uint32_t));
    tw_list_free(&index->begins, budget, sizeof(uint32_t));
    tw_list_free(&index->slots, budget, sizeof(uint32_t));
}

enum { FEW = 24 }; /* most sets are smaller; a call for each comparison would cost more */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort_few(uint32_t *numbers, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint32_t number = numbers[i], j = i;
        for (; j > 0 && numbers[j - 1] > number; j--) {
            numbers[j] = numbers[j - 1];
        }
        numbers[j] = number;
    }
}

uint32_t tw_set_sort(uint32_t *numbers, uint32_t n)
{
    if (n < 2) {
        return n;
    }
    if (n <= FEW) {
        sort_few(numbers, n);
    } else {
        qsort(numbers, n, sizeof *numbers, compare);
    }
    uint32_t kept = 1;
    for (uint32_t i = 1; i < n; i++) {
        if (numbers[i] != numbers[kept - 1]) {
            numbers[kept++] = numbers[i];
        }
    }
    return kept;
}
