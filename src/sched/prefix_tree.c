#include "sched/prefix_tree.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct node {
    bool is_warm; /* once somebody used it who was not cold: so is its parent, then */
    uint64_t domain;
    uint32_t parent;
    uint32_t n_users, n_filled;
    uint32_t older, newer; /* among the cached */
};

/* Apart from the nodes: a walk through a bucket touches nothing else, and trees are large. */
struct link {
    uint32_t hash, next; /* in the bucket, which the hash's low bits number */
};

struct tw_prefix_tree {
    struct tw_page_pool *pool;
    uint64_t seed;
    uint32_t page_tokens;
    uint32_t n_pages;
    bool *there;        /* [n_pages]; of others nothing is written below */
    struct node *nodes; /* [n_pages]: a node's number is its page's */
    struct link *links; /* [n_pages] */
    int32_t *tokens;    /* [n_pages][page_tokens] */
    uint32_t *buckets;  /* [n_buckets], a power of two that grows with the nodes */
    uint32_t n_buckets;
    uint32_t oldest, newest; /* cached nodes: the cold, then the others, by time of release */
    uint32_t newest_cold;
    uint32_t n_cached, n_nodes;
};

/* Before there is a node: few, because simulations make trees by the thousand. */
enum { FIRST_BUCKETS = 1024 };

static uint32_t *new_buckets(uint32_t n)
{
    uint32_t *buckets = tw_mem_alloc(n, sizeof *buckets);
    if (buckets != NULL) {
        memset(buckets, 0xff, n * sizeof *buckets); /* TW_PREFIX_NONE */
    }
    return buckets;
}

enum tw_status tw_prefix_tree_create(struct tw_page_pool *pool, uint32_t page_tokens, uint64_t seed,
                                     struct tw_prefix_tree **ret_tree, struct tw_error *error)
{
    uint32_t n_pages = tw_page_pool_total(pool);
    struct tw_prefix_tree *tree = tw_mem_zalloc(1, sizeof *tree);
    if (tree != NULL) {
        tree->n_buckets = FIRST_BUCKETS;
        tree->there = tw_mem_zalloc(n_pages, sizeof *tree->there);
        tree->nodes = tw_mem_alloc(n_pages, sizeof *tree->nodes);
        tree->links = tw_mem_alloc(n_pages, sizeof *tree->links);
        tree->tokens = tw_mem_alloc((size_t)n_pages * page_tokens, sizeof *tree->tokens);
        tree->buckets = new_buckets(tree->n_buckets);
    }
    if (tree == NULL || tree->there == NULL || tree->nodes == NULL || tree->links == NULL ||
        tree->tokens == NULL || tree->buckets == NULL) {
        tw_prefix_tree_free(tree);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a prefix tree of %u pages", n_pages);
    }
    tree->pool = pool;
    tree->seed = seed;
    tree->page_tokens = page_tokens;
    tree->n_pages = n_pages;
    tree->oldest = tree->newest = tree->newest_cold = TW_PREFIX_NONE;
    *ret_tree = tree;
    return TW_OK;
}

void tw_prefix_tree_free(struct tw_prefix_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    for (uint32_t page = 0; tree->n_nodes > 0; page++) {
        if (tree->there[page]) {
            tw_page_pool_unref(tree->pool, page);
            tree->n_nodes--;
        }
    }
    tw_mem_free(tree->there);
    tw_mem_free(tree->nodes);
    tw_mem_free(tree->links);
    tw_mem_free(tree->tokens);
    tw_mem_free(tree->buckets);
    tw_mem_free(tree);
}

static struct node *get(const struct tw_prefix_tree *tree, uint32_t page)
{
    assert(page < tree->n_pages && tree->there[page]);
    return &tree->nodes[page];
}

static size_t page_bytes(const struct tw_prefix_tree *tree)
{
    return tree->page_tokens * sizeof *tree->tokens;
}

static int32_t *tokens_of(const struct tw_prefix_tree *tree, uint32_t page)
{
    return tree->tokens + (size_t)page * tree->page_tokens;
}

/* Below the first page the parent stands for the domain. */
static uint32_t hash_of(const struct tw_prefix_tree *tree, uint64_t domain, uint32_t parent,
                        const int32_t *tokens)
{
    /* A product with an odd number keeps domains apart, and from the small numbers of pages. */
    const uint64_t above =
        parent == TW_PREFIX_ROOT ? ~(domain * UINT64_C(0x9e3779b97f4a7c15)) : parent;
    return (uint32_t)tw_hash_of(tokens, page_bytes(tree), tree->seed + above);
}

static uint32_t *bucket_of(const struct tw_prefix_tree *tree, uint32_t hash)
{
    return &tree->buckets[hash & (tree->n_buckets - 1)];
}

static bool is_node(const struct tw_prefix_tree *tree, uint32_t page, uint64_t domain,
                    uint32_t parent, const int32_t *tokens)
{
    const struct node *node = get(tree, page);
    return node->parent == parent && node->domain == domain &&
           memcmp(tokens_of(tree, page), tokens, page_bytes(tree)) == 0;
}

uint32_t tw_prefix_tree_find(const struct tw_prefix_tree *tree, uint64_t domain, uint32_t parent,
                             const int32_t *tokens)
{
    const uint32_t hash = hash_of(tree, domain, parent, tokens);
    uint32_t page = *bucket_of(tree, hash);
    while (page != TW_PREFIX_NONE &&
           (tree->links[page].hash != hash || !is_node(tree, page, domain, parent, tokens))) {
        page = tree->links[page].next;
    }
    return page;
}

static void put_in_bucket(struct tw_prefix_tree *tree, uint32_t page)
{
    uint32_t *bucket = bucket_of(tree, tree->links[page].hash);
    tree->links[page].next = *bucket;
    *bucket = page;
}

/* Without memory for it buckets stay as few, and walks through them become longer. */
static void grow(struct tw_prefix_tree *tree)
{
    uint32_t *old = tree->buckets;
    const uint32_t n_old = tree->n_buckets;
    uint32_t *buckets = new_buckets(n_old * 2);
    if (buckets == NULL) {
        return;
    }
    tree->buckets = buckets;
    tree->n_buckets = n_old * 2;
    for (uint32_t i = 0; i < n_old; i++) {
        for (uint32_t page = old[i], next; page != TW_PREFIX_NONE; page = next) {
            next = tree->links[page].next;
            put_in_bucket(tree, page);
        }
    }
    tw_mem_free(old);
}

void tw_prefix_tree_add(struct tw_prefix_tree *tree, uint64_t domain, uint32_t parent,
                        const int32_t *tokens, uint32_t page, uint32_t n_filled)
{
    assert(page < tree->n_pages && !tree->there[page] && n_filled <= tree->page_tokens);
    assert(parent == TW_PREFIX_ROOT || get(tree, parent)->n_users > 0);
    if (tree->n_nodes >= tree->n_buckets) {
        grow(tree);
    }
    memcpy(tokens_of(tree, page), tokens, page_bytes(tree));
    tree->nodes[page] = (struct node){
        .domain = domain,
        .parent = parent,
        .n_users = 1,
        .n_filled = n_filled,
        .older = TW_PREFIX_NONE,
        .newer = TW_PREFIX_NONE,
    };
    tree->links[page].hash = hash_of(tree, domain, parent, tokens);
    put_in_bucket(tree, page);
    tree->there[page] = true;
    tree->n_nodes++;
}

static void remove_node(struct tw_prefix_tree *tree, uint32_t page)
{
    assert(tree->there[page]);
    uint32_t *link = bucket_of(tree, tree->links[page].hash);
    while (*link != page) {
        assert(*link != TW_PREFIX_NONE);
        link = &tree->links[*link].next;
    }
    *link = tree->links[page].next;
    tree->there[page] = false;
    tree->n_nodes--;
    tw_page_pool_unref(tree->pool, page);
}

/* ---- cached nodes, in the order in which they are evicted ---- */

/* At the end of its kind. */
static void link_cached(struct tw_prefix_tree *tree, uint32_t page)
{
    struct node *node = get(tree, page);
    uint32_t *end = node->is_warm ? &tree->newest : &tree->newest_cold;
    node->older = *end;
    uint32_t *link = *end != TW_PREFIX_NONE ? &get(tree, *end)->newer : &tree->oldest;
    node->newer = *link;
    *link = page;
    *(node->newer != TW_PREFIX_NONE ? &get(tree, node->newer)->older : &tree->newest) = page;
    if (!node->is_warm) {
        tree->newest_cold = page;
    }
    tree->n_cached++;
}

static void unlink_cached(struct tw_prefix_tree *tree, uint32_t page)
{
    struct node *node = get(tree, page);
    *(node->older != TW_PREFIX_NONE ? &get(tree, node->older)->newer : &tree->oldest) = node->newer;
    *(node->newer != TW_PREFIX_NONE ? &get(tree, node->newer)->older : &tree->newest) = node->older;
    if (tree->newest_cold == page) {
        tree->newest_cold = node->older;
    }
    tree->n_cached--;
}

void tw_prefix_tree_use(struct tw_prefix_tree *tree, uint32_t page)
{
    struct node *node = get(tree, page);
    assert(node->parent == TW_PREFIX_ROOT || get(tree, node->parent)->n_users > 0);
    if (node->n_users++ == 0) {
        unlink_cached(tree, page);
    }
}

void tw_prefix_tree_release(struct tw_prefix_tree *tree, uint32_t page, bool is_cold)
{
    struct node *node = get(tree, page);
    assert(node->n_users > 0);
    node->is_warm = node->is_warm || !is_cold;
    if (--node->n_users > 0) {
        return;
    }
    if (node->n_filled == tree->page_tokens) {
        link_cached(tree, page);
    } else {
        remove_node(tree, page);
    }
}

uint32_t tw_prefix_tree_filled(const struct tw_prefix_tree *tree, uint32_t page)
{
    return get(tree, page)->n_filled;
}

void tw_prefix_tree_fill(struct tw_prefix_tree *tree, uint32_t page, uint32_t n_filled)
{
    struct node *node = get(tree, page);
    assert(node->n_users > 0 && n_filled >= node->n_filled && n_filled <= tree->page_tokens);
    node->n_filled = n_filled;
}

uint32_t tw_prefix_tree_evict(struct tw_prefix_tree *tree, uint32_t n)
{
    uint32_t n_evicted = 0;
    while (n_evicted < n && tree->oldest != TW_PREFIX_NONE) {
        uint32_t page = tree->oldest;
        unlink_cached(tree, page);
        remove_node(tree, page);
        n_evicted++;
    }
    return n_evicted;
}

uint32_t tw_prefix_tree_cached(const struct tw_prefix_tree *tree)
{
    return tree->n_cached;
}

uint32_t tw_prefix_tree_nodes(const struct tw_prefix_tree *tree)
{
    return tree->n_nodes;
}

/* ---- proof ---- */

static bool node_is_right(const struct tw_prefix_tree *tree, uint32_t page)
{
    const struct node *node = &tree->nodes[page];
    if (tw_page_pool_references(tree->pool, page) != 1 || node->n_filled > tree->page_tokens ||
        tw_prefix_tree_find(tree, node->domain, node->parent, tokens_of(tree, page)) != page ||
        (node->n_users == 0 && node->n_filled < tree->page_tokens)) {
        return false;
    }
    if (node->parent == TW_PREFIX_ROOT) {
        return true;
    }
    const struct node *parent = &tree->nodes[node->parent];
    return tree->there[node->parent] && parent->domain == node->domain &&
           parent->n_users >= node->n_users &&
           (node->n_filled == 0 || parent->n_filled == tree->page_tokens);
}

/* Walks the cached from the oldest: none may come after a node that is above it. A node's state is
 * its own: `seen` marks those passed. */
static bool cached_are_in_order(const struct tw_prefix_tree *tree)
{
    uint32_t n = 0;
    bool *seen = tw_mem_zalloc(tree->n_pages, sizeof *seen);
    bool right = seen != NULL;
    for (uint32_t page = tree->oldest; right && page != TW_PREFIX_NONE;
         page = tree->nodes[page].newer) {
        const struct node *node = &tree->nodes[page];
        right = ++n <= tree->n_cached && tree->there[page] && node->n_users == 0 &&
                (node->parent == TW_PREFIX_ROOT || !seen[node->parent]);
        seen[page] = true;
    }
    tw_mem_free(seen);
    return right && n == tree->n_cached;
}

bool tw_prefix_tree_check(const struct tw_prefix_tree *tree)
{
    uint32_t n_nodes = 0, n_cached = 0;
    for (uint32_t page = 0; page < tree->n_pages; page++) {
        if (!tree->there[page]) {
            continue;
        }
        n_nodes++;
        n_cached += tree->nodes[page].n_users == 0;
        if (!node_is_right(tree, page)) {
            return false;
        }
    }
    return n_nodes == tree->n_nodes && n_cached == tree->n_cached && cached_are_in_order(tree);
}
