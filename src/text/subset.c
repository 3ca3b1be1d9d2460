#include "text/subset.h"

#include <string.h>

#include "text/bytes.h"

/* ---- tuples ---- */

static uint32_t slot_of(const struct tw_tuples *tuples, const uint32_t *numbers, uint32_t n)
{
    return (uint32_t)tw_bytes_hash((const char *)numbers, n * sizeof *numbers) &
           (tuples->slots.n - 1);
}

static bool rehash(struct tw_tuples *tuples, struct tw_budget *budget)
{
    uint32_t n_tuples = tw_tuples_size(tuples);
    uint32_t n_slots = tuples->slots.n == 0 ? 64 : tuples->slots.n * 2;
    tw_list_free(&tuples->slots, budget);
    uint32_t *slots = tw_list_add(&tuples->slots, budget, n_slots, sizeof *slots);
    for (uint32_t id = 0; slots != NULL && id < n_tuples; id++) {
        uint32_t n;
        const uint32_t *numbers = tw_tuples_get(tuples, id, &n);
        uint32_t slot = slot_of(tuples, numbers, n);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (n_slots - 1);
        }
        slots[slot] = id + 1;
    }
    return tw_budget_spend(budget, n_tuples);
}

static uint32_t append(struct tw_tuples *tuples, struct tw_budget *budget, const uint32_t *numbers,
                       uint32_t n)
{
    if (tuples->begins.n == 0) {
        tw_list_push(&tuples->begins, budget, 0);
    }
    uint32_t *copy = tw_list_add(&tuples->numbers, budget, n, sizeof *copy);
    tw_list_push(&tuples->begins, budget, tuples->numbers.n);
    if (budget->status != TW_OK) {
        return TW_TUPLE_NONE;
    }
    if (n > 0) {
        memcpy(copy, numbers, n * sizeof *copy);
    }
    return tw_tuples_size(tuples) - 1;
}

uint32_t tw_tuples_intern(struct tw_tuples *tuples, struct tw_budget *budget,
                          const uint32_t *numbers, uint32_t n)
{
    if ((2 * (tw_tuples_size(tuples) + 1) > tuples->slots.n && !rehash(tuples, budget)) ||
        !tw_budget_spend(budget, 3 + n / 8)) {
        return TW_TUPLE_NONE;
    }
    uint32_t *slots = tuples->slots.items;
    uint32_t slot = slot_of(tuples, numbers, n);
    while (slots[slot] != 0 && tw_budget_spend(budget, 1)) {
        uint32_t n_there;
        const uint32_t *there = tw_tuples_get(tuples, slots[slot] - 1, &n_there);
        if (n_there == n && (n == 0 || memcmp(there, numbers, n * sizeof *numbers) == 0)) {
            return slots[slot] - 1;
        }
        slot = (slot + 1) & (tuples->slots.n - 1);
    }
    uint32_t id = append(tuples, budget, numbers, n);
    if (id != TW_TUPLE_NONE) {
        slots[slot] = id + 1;
    }
    return id;
}

/* ---- sorting ---- */

/* Shell's sort of records of so many words, by their first: nearly all are short. */
static inline void sort_records(uint32_t *words, uint32_t n, const uint32_t width)
{
    for (uint32_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (uint32_t i = gap; i < n; i++) {
            uint32_t record[3];
            uint32_t j = i;
            memcpy(record, words + (size_t)i * width, width * sizeof *words);
            for (; j >= gap && words[(size_t)(j - gap) * width] > record[0]; j -= gap) {
                memcpy(words + (size_t)j * width, words + (size_t)(j - gap) * width,
                       width * sizeof *words);
            }
            memcpy(words + (size_t)j * width, record, width * sizeof *words);
        }
    }
}

uint32_t tw_subset_sort(uint32_t *numbers, uint32_t n)
{
    sort_records(numbers, n, 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || numbers[i] != numbers[kept - 1]) {
            numbers[kept++] = numbers[i];
        }
    }
    return kept;
}

/* ---- pieces ---- */

void tw_sweep_clear(struct tw_sweep *sweep)
{
    sweep->spans.n = 0;
    sweep->n_active = 0;
    sweep->next = 0;
}

void tw_sweep_add(struct tw_sweep *sweep, struct tw_budget *budget, uint32_t low, uint32_t high,
                  uint32_t target)
{
    struct tw_span *span = tw_list_add(&sweep->spans, budget, 1, sizeof *span);
    if (span != NULL) {
        *span = (struct tw_span){low, high, target};
    }
}

/* Of the sorted spans those that cover the piece move to the front. */
bool tw_sweep_next(struct tw_sweep *sweep, struct tw_budget *budget,
                   const struct tw_span **ret_covering)
{
    struct tw_span *spans = sweep->spans.items;
    uint32_t n = sweep->spans.n, kept = 0;
    if (sweep->next == 0 && n > 0) {
        sort_records((uint32_t *)sweep->spans.items, n, sizeof *spans / sizeof(uint32_t));
    }
    for (uint32_t i = 0; i < sweep->n_active; i++) {
        if (spans[i].high > sweep->high) {
            spans[kept++] = spans[i];
        }
    }
    sweep->low = kept > 0 ? sweep->high + 1 : sweep->next < n ? spans[sweep->next].low : 0;
    while (sweep->next < n && spans[sweep->next].low <= sweep->low) {
        spans[kept++] = spans[sweep->next++];
    }
    sweep->n_active = kept;
    if (kept == 0 || !tw_budget_spend(budget, kept)) {
        return false;
    }
    sweep->high = sweep->next < n ? spans[sweep->next].low - 1 : UINT32_MAX;
    for (uint32_t i = 0; i < kept; i++) {
        sweep->high = spans[i].high < sweep->high ? spans[i].high : sweep->high;
    }
    *ret_covering = spans;
    return true;
}
