/* prefix_tree.h: which pages of the KV cache hold which beginnings of texts.
 *
 * A node is a page: page_tokens tokens that follow the node's parent. A path from the root is the
 * beginning of a text, in whole pages. Whoever computes a text finds here what others computed, or
 * are computing, and shares their pages.
 *
 *     (none)   -> IN USE (1)      [tw_prefix_tree_add: a page of the pool becomes a node]
 *     IN USE n -> IN USE n + 1    [tw_prefix_tree_use]
 *     IN USE n -> IN USE n - 1    [tw_prefix_tree_release]
 *     IN USE 1 -> CACHED          [tw_prefix_tree_release, all its positions computed]
 *     IN USE 1 -> (none)          [tw_prefix_tree_release otherwise: the page is free again]
 *     CACHED   -> IN USE 1        [tw_prefix_tree_use]
 *     CACHED   -> (none)          [tw_prefix_tree_evict]
 *
 * Invariants (tw_prefix_tree_check proves them):
 * 1. Who uses a node uses its parent. Paths are released from their end. So whenever a node is
 *    cached, all below it are, and were so before it: the next that is evicted is a leaf.
 * 2. A node's positions are computed in order: n_filled of them. A child has none before its
 *    parent has all.
 * 3. Domains do not share: a path found in one domain never has a page of another. A domain is a
 *    tenant where a hit must not tell one tenant what another asked.
 * 4. A found page holds exactly the tokens asked for: they are compared, the hash only finds them.
 *
 * Ownership: the tree holds one reference to the page of each node. Users hold the node. The pool
 * must outlive the tree.
 * Pure; threads: one at a time. Misuse is our own bug and asserts.
 */
#ifndef TW_SCHED_PREFIX_TREE_H
#define TW_SCHED_PREFIX_TREE_H

#include "sched/page_pool.h"

struct tw_prefix_tree;

#define TW_PREFIX_ROOT UINT32_MAX /* the parent of first pages */
#define TW_PREFIX_NONE UINT32_MAX

/* seed: a secret of this process, so that nobody can write texts whose pages all meet in one place
 * of the table. Which pages are found does not depend on it. */
enum tw_status tw_prefix_tree_create(struct tw_page_pool *pool, uint32_t page_tokens, uint64_t seed,
                                     struct tw_prefix_tree **ret_tree, struct tw_error *error);
/* NULL is allowed. Nodes in use are let go with it. */
void tw_prefix_tree_free(struct tw_prefix_tree *tree);

/* The page that holds tokens [page_tokens] after parent, or TW_PREFIX_NONE. */
uint32_t tw_prefix_tree_find(const struct tw_prefix_tree *tree, uint64_t domain, uint32_t parent,
                             const int32_t *tokens);

/* Makes a node of a page that the caller took from the pool, used once. It must not be there
 * already, and the parent must be in use. Where the nodes have become twice as many it finds more
 * room for them, which takes the time of a walk over all. n_filled: positions that are computed. */
void tw_prefix_tree_add(struct tw_prefix_tree *tree, uint64_t domain, uint32_t parent,
                        const int32_t *tokens, uint32_t page, uint32_t n_filled);

void tw_prefix_tree_use(struct tw_prefix_tree *tree, uint32_t page);
/* is_cold: its user is one whose pages are evicted before those of all others, unless one of those
 * has used the page, too. */
void tw_prefix_tree_release(struct tw_prefix_tree *tree, uint32_t page, bool is_cold);

uint32_t tw_prefix_tree_filled(const struct tw_prefix_tree *tree, uint32_t page);
void tw_prefix_tree_fill(struct tw_prefix_tree *tree, uint32_t page, uint32_t n_filled);

/* Gives up to n pages back to the pool, the cold ones first, of these and of the others the least
 * recently used; how many there were. */
uint32_t tw_prefix_tree_evict(struct tw_prefix_tree *tree, uint32_t n);
/* How many could be evicted. */
uint32_t tw_prefix_tree_cached(const struct tw_prefix_tree *tree);
uint32_t tw_prefix_tree_nodes(const struct tw_prefix_tree *tree);

/* Whether the invariants hold. For tests: linear in the number of pages. */
bool tw_prefix_tree_check(const struct tw_prefix_tree *tree);

#endif
