#include "text/char_dfa.h"

#include <string.h>

#include "text/set_index.h"
#include "text/utf8.h"

#define LAST_CODE (TW_UTF8_INVALID - 1)

void tw_char_dfa_free(struct tw_char_dfa *dfa, struct tw_budget *budget)
{
    tw_list_free(&dfa->states, budget, sizeof(struct tw_char_state));
    tw_list_free(&dfa->edges, budget, sizeof(struct tw_char_edge));
}

static struct tw_char_state *add_state(struct tw_char_dfa *dfa, bool accepts,
                                       struct tw_budget *budget)
{
    struct tw_char_state *state = tw_list_add(&dfa->states, budget, 1, sizeof *state);
    if (state != NULL) {
        *state = (struct tw_char_state){.first_edge = dfa->edges.n, .accepts = accepts};
    }
    return state;
}

/* An edge of the state added last; one that goes on where the last edge ended lengthens it. */
static void add_edge(struct tw_char_dfa *dfa, struct tw_char_edge edge, struct tw_budget *budget)
{
    struct tw_char_state *state = (struct tw_char_state *)dfa->states.items + dfa->states.n - 1;
    struct tw_char_edge *edges = dfa->edges.items;
    if (state->n_edges > 0 && edges[dfa->edges.n - 1].target == edge.target &&
        edges[dfa->edges.n - 1].high + 1 == edge.low) {
        edges[dfa->edges.n - 1].high = edge.high;
        return;
    }
    struct tw_char_edge *place = tw_list_add(&dfa->edges, budget, 1, sizeof *place);
    if (place != NULL) {
        *place = edge;
        state->n_edges++;
    }
}

/* ---- no dead ends ---- */

/* The edges turned round, by target: sources of target t are at begins[t]..begins[t + 1]. */
struct reversed {
    struct tw_list begins, sources; /* uint32_t */
};

static bool reverse(const struct tw_char_dfa *dfa, struct reversed *reversed,
                    struct tw_budget *budget)
{
    uint32_t n = dfa->states.n;
    uint32_t *begins = tw_list_add(&reversed->begins, budget, n + 2, sizeof *begins);
    uint32_t *sources = tw_list_add(&reversed->sources, budget, dfa->edges.n, sizeof *sources);
    if (begins == NULL || sources == NULL || !tw_budget_spend(budget, n + dfa->edges.n)) {
        return false;
    }
    for (uint32_t i = 0; i < dfa->edges.n; i++) {
        begins[tw_char_dfa_edge(dfa, i)->target + 2]++;
    }
    for (uint32_t i = 2; i < n + 2; i++) {
        begins[i] += begins[i - 1];
    }
    for (uint32_t s = 0; s < n; s++) {
        const struct tw_char_state *state = tw_char_dfa_state(dfa, s);
        for (uint32_t i = 0; i < state->n_edges; i++) {
            uint32_t target = tw_char_dfa_edge(dfa, state->first_edge + i)->target;
            sources[begins[target + 1]++] = s;
        }
    }
    return true;
}

/* live[s]: an accepting state can be reached from s. pending: work space for all states. */
static void mark_live(const struct tw_char_dfa *dfa, const struct reversed *reversed,
                      uint32_t *live, uint32_t *pending)
{
    const uint32_t *begins = reversed->begins.items, *sources = reversed->sources.items;
    uint32_t n_pending = 0;
    for (uint32_t s = 0; s < dfa->states.n; s++) {
        live[s] = tw_char_dfa_state(dfa, s)->accepts;
        if (live[s]) {
            pending[n_pending++] = s;
        }
    }
    while (n_pending > 0) {
        uint32_t target = pending[--n_pending];
        for (uint32_t i = begins[target]; i < begins[target + 1]; i++) {
            if (!live[sources[i]]) {
                live[sources[i]] = 1;
                pending[n_pending++] = sources[i];
            }
        }
    }
}

/* Copies what is live; numbers[s] becomes the new number of s. */
static struct tw_char_dfa copy_live(const struct tw_char_dfa *dfa, const uint32_t *live,
                                    uint32_t *numbers, struct tw_budget *budget)
{
    struct tw_char_dfa copy = {0};
    uint32_t n = 0;
    for (uint32_t s = 0; s < dfa->states.n; s++) {
        numbers[s] = live[s] ? n++ : 0;
    }
    for (uint32_t s = 0; s < dfa->states.n; s++) {
        const struct tw_char_state *state = tw_char_dfa_state(dfa, s);
        if (!live[s] || add_state(&copy, state->accepts, budget) == NULL) {
            continue;
        }
        for (uint32_t i = 0; i < state->n_edges; i++) {
            struct tw_char_edge edge = *tw_char_dfa_edge(dfa, state->first_edge + i);
            if (live[edge.target]) {
                edge.target = numbers[edge.target];
                add_edge(&copy, edge, budget);
            }
        }
    }
    return copy;
}

struct tw_char_dfa tw_char_dfa_trim(struct tw_char_dfa *dfa, struct tw_budget *budget)
{
    struct tw_char_dfa result = {0};
    struct reversed reversed = {0};
    struct tw_list work = {0};
    uint32_t n = dfa->states.n;
    uint32_t *live = n > 0 ? tw_list_add(&work, budget, 2 * n, sizeof *live) : NULL;
    if (live != NULL && reverse(dfa, &reversed, budget)) {
        mark_live(dfa, &reversed, live, live + n);
        if (live[0]) {
            result = copy_live(dfa, live, live + n, budget);
        }
    }
    tw_list_free(&reversed.begins, budget, sizeof(uint32_t));
    tw_list_free(&reversed.sources, budget, sizeof(uint32_t));
    tw_list_free(&work, budget, sizeof(uint32_t));
    tw_char_dfa_free(dfa, budget);
    if (budget->status != TW_OK) {
        tw_char_dfa_free(&result, budget);
    }
    return result;
}

/* ---- operations ---- */

struct tw_char_dfa tw_char_dfa_of_length(uint32_t least, uint32_t most, struct tw_budget *budget)
{
    struct tw_char_dfa dfa = {0};
    uint32_t last = most == TW_REGEX_NO_END ? least : most;
    for (uint32_t n = 0; n <= last && add_state(&dfa, n >= least, budget) != NULL; n++) {
        uint32_t target = n < last ? n + 1 : n;
        if (n < last || most == TW_REGEX_NO_END) {
            add_edge(&dfa, (struct tw_char_edge){0, LAST_CODE, target}, budget);
        }
    }
    return tw_char_dfa_trim(&dfa, budget);
}

/* The pairs of states reached together are sets {a, n_a + b}. */
struct product {
    const struct tw_char_dfa *a, *b;
    struct tw_set_index pairs;
    struct tw_budget *budget;
};

static uint32_t pair_number(struct product *product, uint32_t a, uint32_t b)
{
    uint32_t pair[2] = {a, product->a->states.n + b};
    return tw_set_index_intern(&product->pairs, product->budget, pair, 2);
}

static void add_pair_edges(struct product *product, struct tw_char_dfa *dfa,
                           const struct tw_char_state *a, const struct tw_char_state *b)
{
    uint32_t i = 0, j = 0;
    while (i < a->n_edges && j < b->n_edges && tw_budget_spend(product->budget, 1)) {
        const struct tw_char_edge *x = tw_char_dfa_edge(product->a, a->first_edge + i);
        const struct tw_char_edge *y = tw_char_dfa_edge(product->b, b->first_edge + j);
        uint32_t low = x->low > y->low ? x->low : y->low;
        uint32_t high = x->high < y->high ? x->high : y->high;
        if (low <= high) {
            uint32_t target = pair_number(product, x->target, y->target);
            add_edge(dfa, (struct tw_char_edge){low, high, target}, product->budget);
        }
        i += x->high == high;
        j += y->high == high;
    }
}

struct tw_char_dfa tw_char_dfa_both(const struct tw_char_dfa *a, const struct tw_char_dfa *b,
                                    struct tw_budget *budget)
{
    struct product product = {.a = a, .b = b, .budget = budget};
    struct tw_char_dfa dfa = {0};
    if (a->states.n > 0 && b->states.n > 0) {
        pair_number(&product, 0, 0);
    }
    for (uint32_t i = 0; i < tw_set_index_size(&product.pairs); i++) {
        uint32_t n;
        const uint32_t *pair = tw_set_index_get(&product.pairs, i, &n);
        const struct tw_char_state *x = tw_char_dfa_state(a, pair[0]);
        const struct tw_char_state *y = tw_char_dfa_state(b, pair[1] - a->states.n);
        if (add_state(&dfa, x->accepts && y->accepts, budget) == NULL) {
            break;
        }
        add_pair_edges(&product, &dfa, x, y);
    }
    tw_set_index_free(&product.pairs, budget);
    return tw_char_dfa_trim(&dfa, budget);
}

/* Every state gets its gaps as edges to one more state, which accepts whatever follows. */
struct tw_char_dfa tw_char_dfa_not(const struct tw_char_dfa *a, struct tw_budget *budget)
{
    struct tw_char_dfa dfa = {0};
    uint32_t sink = a->states.n;
    for (uint32_t s = 0; s < a->states.n; s++) {
        const struct tw_char_state *state = tw_char_dfa_state(a, s);
        if (add_state(&dfa, !state->accepts, budget) == NULL) {
            break;
        }
        uint32_t low = 0;
        for (uint32_t i = 0; i < state->n_edges; i++) {
            struct tw_char_edge edge = *tw_char_dfa_edge(a, state->first_edge + i);
            if (edge.low > low) {
                add_edge(&dfa, (struct tw_char_edge){low, edge.low - 1, sink}, budget);
            }
            add_edge(&dfa, edge, budget);
            low = edge.high + 1;
        }
        if (low <= LAST_CODE) {
            add_edge(&dfa, (struct tw_char_edge){low, LAST_CODE, sink}, budget);
        }
    }
    if (add_state(&dfa, true, budget) != NULL) {
        add_edge(&dfa, (struct tw_char_edge){0, LAST_CODE, sink}, budget);
    }
    return tw_char_dfa_trim(&dfa, budget);
}

bool tw_char_dfa_accepts(const struct tw_char_dfa *dfa, struct tw_bytes text)
{
    size_t at = 0;
    uint32_t s = 0;
    while (dfa->states.n > 0 && at < text.size_bytes) {
        const struct tw_char_state *state = tw_char_dfa_state(dfa, s);
        uint32_t code, i = 0;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        while (i < state->n_edges && tw_char_dfa_edge(dfa, state->first_edge + i)->high < code) {
            i++;
        }
        if (i == state->n_edges || tw_char_dfa_edge(dfa, state->first_edge + i)->low > code) {
            return false;
        }
        s = tw_char_dfa_edge(dfa, state->first_edge + i)->target;
    }
    return dfa->states.n > 0 && tw_char_dfa_state(dfa, s)->accepts;
}
