#include "text/spans.h"

#include <stdlib.h>

void tw_sweep_clear(struct tw_sweep *sweep)
{
    sweep->spans.n = 0;
    sweep->active.n = 0;
    sweep->next = 0;
}

bool tw_sweep_add(struct tw_sweep *sweep, struct tw_budget *budget, struct tw_span span)
{
    struct tw_span *place = tw_list_add(&sweep->spans, budget, 1, sizeof *place);
    if (place != NULL) {
        *place = span;
    }
    return place != NULL;
}

static int compare(const void *a, const void *b)
{
    const struct tw_span *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

void tw_sweep_sort(struct tw_sweep *sweep)
{
    enum { FEW = 24 };
    struct tw_span *spans = sweep->spans.items;
    for (uint32_t i = 1; i < sweep->spans.n && sweep->spans.n <= FEW; i++) {
        struct tw_span span = spans[i];
        uint32_t j = i;
        for (; j > 0 && spans[j - 1].low > span.low; j--) {
            spans[j] = spans[j - 1];
        }
        spans[j] = span;
    }
    if (sweep->spans.n > FEW) {
        qsort(sweep->spans.items, sweep->spans.n, sizeof(struct tw_span), compare);
    }
}

/* Those that end before the piece are done with. */
static void drop_ended(struct tw_sweep *sweep)
{
    struct tw_span *active = sweep->active.items;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sweep->active.n; i++) {
        if (active[i].high >= sweep->at) {
            active[kept++] = active[i];
        }
    }
    sweep->active.n = kept;
}

static bool add_begun(struct tw_sweep *sweep, struct tw_budget *budget)
{
    const struct tw_span *spans = sweep->spans.items;
    while (sweep->next < sweep->spans.n && spans[sweep->next].low <= sweep->at) {
        struct tw_span *place = tw_list_add(&sweep->active, budget, 1, sizeof *place);
        if (place == NULL) {
            return false;
        }
        *place = spans[sweep->next++];
    }
    return true;
}

bool tw_sweep_next(struct tw_sweep *sweep, struct tw_budget *budget, uint32_t *ret_low,
                   uint32_t *ret_high, const struct tw_span **ret_covering, uint32_t *ret_n)
{
    const struct tw_span *spans = sweep->spans.items;
    drop_ended(sweep);
    if (sweep->active.n == 0) {
        if (sweep->next == sweep->spans.n) {
            return false;
        }
        sweep->at = spans[sweep->next].low;
    }
    if (!add_begun(sweep, budget) || !tw_budget_spend(budget, sweep->active.n)) {
        return false;
    }
    const struct tw_span *active = sweep->active.items;
    uint32_t high = active[0].high;
    for (uint32_t i = 1; i < sweep->active.n; i++) {
        high = active[i].high < high ? active[i].high : high;
    }
    if (sweep->next < sweep->spans.n && spans[sweep->next].low <= high) {
        high = spans[sweep->next].low - 1;
    }
    *ret_low = sweep->at;
    *ret_high = high;
    *ret_covering = active;
    *ret_n = sweep->active.n;
    sweep->at = high + 1;
    return true;
}

void tw_sweep_free(struct tw_sweep *sweep, struct tw_budget *budget)
{
    tw_list_free(&sweep->spans, budget, sizeof(struct tw_span));
    tw_list_free(&sweep->active, budget, sizeof(struct tw_span));
}
