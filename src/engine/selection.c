#include "engine/selection.h"

#include <math.h>

static bool is_better(struct tw_candidate a, struct tw_candidate b)
{
    return a.value > b.value || (a.value == b.value && a.token < b.token);
}

/* A heap whose root is the best (best_at_root) or the worst of its members. */
static void sift_down(struct tw_candidate *heap, size_t n, size_t at, bool best_at_root)
{
    struct tw_candidate moved = heap[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_better(heap[child + 1], heap[child]) == best_at_root) {
            child++;
        }
        if (is_better(moved, heap[child]) == best_at_root) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void build(struct tw_candidate *heap, size_t n, bool best_at_root)
{
    for (size_t i = n / 2; i > 0; i--) {
        sift_down(heap, n, i - 1, best_at_root);
    }
}

static struct tw_candidate move_root_to_end(struct tw_candidate *heap, size_t n, bool best_at_root)
{
    struct tw_candidate root = heap[0];
    heap[0] = heap[n - 1];
    sift_down(heap, n - 1, 0, best_at_root);
    heap[n - 1] = root;
    return root;
}

size_t tw_select_top(const float *values, size_t n, size_t k, struct tw_candidate *ret_best)
{
    size_t n_best = 0;
    size_t i = 0;
    for (; i < n && n_best < k; i++) {
        if (values[i] > -INFINITY) {
            ret_best[n_best++] = (struct tw_candidate){values[i], (tw_token)i};
        }
    }
    build(ret_best, n_best, false);
    for (; i < n && n_best > 0; i++) {
        /* An equal value comes later in the row and so behind: it never enters. */
        if (values[i] > ret_best[0].value) {
            ret_best[0] = (struct tw_candidate){values[i], (tw_token)i};
            sift_down(ret_best, n_best, 0, false);
        }
    }
    for (size_t left = n_best; left > 1; left--) {
        move_root_to_end(ret_best, left, false);
    }
    return n_best;
}

void tw_select_order(struct tw_candidate *candidates, size_t n)
{
    build(candidates, n, true);
}

struct tw_candidate tw_select_next(struct tw_candidate *candidates, size_t *n)
{
    struct tw_candidate best = move_root_to_end(candidates, *n, true);
    *n -= 1;
    return best;
}
