#include "text/bpe.h"

#include <assert.h>

#include "base/mem.h"

#define NO_RANK UINT32_MAX

/* The pair that begins at a symbol: its rank and what it becomes. */
struct candidate {
    uint32_t rank;
    int32_t into;
};

static struct candidate look_up(const struct tw_merges *merges, int32_t left, int32_t right)
{
    const struct tw_merge_slot *slot = tw_merges_find(merges, left, right);
    return slot != NULL ? (struct candidate){slot->rank, slot->merged - 1}
                        : (struct candidate){NO_RANK, TW_TOKEN_NONE};
}

static size_t lowest(const struct candidate *pairs, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        best = pairs[i].rank < pairs[best].rank ? i : best;
    }
    return best;
}

static size_t merge_short(const struct tw_merges *merges, int32_t *symbols, size_t n)
{
    struct candidate pairs[TW_BPE_SHORT_SYMBOLS];
    for (size_t i = 0; i + 1 < n; i++) {
        pairs[i] = look_up(merges, symbols[i], symbols[i + 1]);
    }
    while (n > 1) {
        size_t at = lowest(pairs, n - 1);
        if (pairs[at].rank == NO_RANK) {
            break;
        }
        symbols[at] = pairs[at].into;
        n--;
        memmove(symbols + at + 1, symbols + at + 2, (n - at - 1) * sizeof *symbols);
        if (at + 1 < n) {
            memmove(pairs + at + 1, pairs + at + 2, (n - at - 2) * sizeof *pairs);
            pairs[at] = look_up(merges, symbols[at], symbols[at + 1]);
        }
        if (at > 0) {
            pairs[at - 1] = look_up(merges, symbols[at - 1], symbols[at]);
        }
    }
    return n;
}

/* A long word is a list of nodes; a merged-away node has no candidate left. */
struct tw_bpe_node {
    int32_t symbol;
    int32_t before, behind; /* index of the neighbour, -1 at the ends */
    struct candidate pair;  /* with the node behind */
};

/* A queue entry is stale unless it equals its node's pair: when a neighbour changes, the node gets
 * another pair and the old entry stays where it is. */
struct tw_bpe_entry {
    uint32_t rank;
    int32_t node;
    int32_t into;
};

static bool goes_first(struct tw_bpe_entry a, struct tw_bpe_entry b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.node < b.node);
}

static void sift_down(struct tw_bpe_entry *queue, size_t n, size_t at)
{
    struct tw_bpe_entry entry = queue[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && goes_first(queue[child + 1], queue[child])) {
            child++;
        }
        if (!goes_first(queue[child], entry)) {
            break;
        }
        queue[at] = queue[child];
        at = child;
    }
    queue[at] = entry;
}

static void push(struct tw_bpe_scratch *scratch, struct tw_bpe_entry entry)
{
    struct tw_bpe_entry *queue = scratch->queue;
    size_t at = scratch->n_queue++;
    assert(at < 2 * scratch->capacity_nodes);
    while (at > 0 && goes_first(entry, queue[(at - 1) / 2])) {
        queue[at] = queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue[at] = entry;
}

static struct tw_bpe_entry pop(struct tw_bpe_scratch *scratch)
{
    struct tw_bpe_entry first = scratch->queue[0];
    scratch->queue[0] = scratch->queue[--scratch->n_queue];
    sift_down(scratch->queue, scratch->n_queue, 0);
    return first;
}

/* Each merge takes an entry out and puts at most two in, so 2 n entries are enough. */
static bool reserve(struct tw_bpe_scratch *scratch, size_t n)
{
    if (n <= scratch->capacity_nodes) {
        return true;
    }
    size_t capacity = n + n / 2;
    tw_bpe_scratch_free(scratch);
    scratch->nodes = tw_mem_alloc(capacity, sizeof *scratch->nodes);
    scratch->queue = tw_mem_alloc(capacity, 2 * sizeof *scratch->queue);
    if (scratch->nodes == NULL || scratch->queue == NULL) {
        tw_bpe_scratch_free(scratch);
        return false;
    }
    scratch->capacity_nodes = capacity;
    return true;
}

static void list_symbols(const struct tw_merges *merges, struct tw_bpe_scratch *scratch,
                         const int32_t *symbols, size_t n)
{
    scratch->n_queue = 0;
    for (size_t i = 0; i < n; i++) {
        struct tw_bpe_node *node = &scratch->nodes[i];
        bool is_last = i + 1 == n;
        node->symbol = symbols[i];
        node->before = (int32_t)i - 1;
        node->behind = is_last ? -1 : (int32_t)i + 1;
        node->pair = is_last ? (struct candidate){NO_RANK, TW_TOKEN_NONE}
                             : look_up(merges, symbols[i], symbols[i + 1]);
        if (node->pair.rank != NO_RANK) {
            scratch->queue[scratch->n_queue++] =
                (struct tw_bpe_entry){node->pair.rank, (int32_t)i, node->pair.into};
        }
    }
    for (size_t i = scratch->n_queue / 2; i > 0; i--) {
        sift_down(scratch->queue, scratch->n_queue, i - 1);
    }
}

static void renew_pair(const struct tw_merges *merges, struct tw_bpe_scratch *scratch, int32_t at)
{
    struct tw_bpe_node *node = &scratch->nodes[at];
    node->pair = (struct candidate){NO_RANK, TW_TOKEN_NONE};
    if (node->behind >= 0) {
        node->pair = look_up(merges, node->symbol, scratch->nodes[node->behind].symbol);
    }
    if (node->pair.rank != NO_RANK) {
        push(scratch, (struct tw_bpe_entry){node->pair.rank, at, node->pair.into});
    }
}

static void merge_node(const struct tw_merges *merges, struct tw_bpe_scratch *scratch, int32_t at)
{
    struct tw_bpe_node *node = &scratch->nodes[at];
    struct tw_bpe_node *gone = &scratch->nodes[node->behind];
    node->symbol = node->pair.into;
    node->behind = gone->behind;
    gone->pair = (struct candidate){NO_RANK, TW_TOKEN_NONE};
    if (node->behind >= 0) {
        scratch->nodes[node->behind].before = at;
    }
    renew_pair(merges, scratch, at);
    if (node->before >= 0) {
        renew_pair(merges, scratch, node->before);
    }
}

static size_t merge_long(const struct tw_merges *merges, struct tw_bpe_scratch *scratch,
                         int32_t *symbols, size_t n)
{
    list_symbols(merges, scratch, symbols, n);
    while (scratch->n_queue != 0) {
        struct tw_bpe_entry entry = pop(scratch);
        struct candidate now = scratch->nodes[entry.node].pair;
        if (now.rank == entry.rank && now.into == entry.into) {
            merge_node(merges, scratch, entry.node);
        }
    }
    size_t left = 0;
    for (int32_t at = 0; at >= 0; at = scratch->nodes[at].behind) {
        symbols[left++] = scratch->nodes[at].symbol;
    }
    return left;
}

bool tw_bpe_merge(const struct tw_merges *merges, struct tw_bpe_scratch *scratch, int32_t *symbols,
                  size_t n_symbols, size_t *ret_n)
{
    assert(n_symbols < INT32_MAX);
    if (n_symbols <= TW_BPE_SHORT_SYMBOLS) {
        *ret_n = merge_short(merges, symbols, n_symbols);
        return true;
    }
    if (!reserve(scratch, n_symbols)) {
        return false;
    }
    *ret_n = merge_long(merges, scratch, symbols, n_symbols);
    return true;
}

void tw_bpe_scratch_free(struct tw_bpe_scratch *scratch)
{
    tw_mem_free(scratch->nodes);
    tw_mem_free(scratch->queue);
    *scratch = (struct tw_bpe_scratch){0};
}
