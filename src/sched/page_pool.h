/* page_pool.h: who holds which page of the KV cache.
 *
 * A page is a number in [0, n_pages). It carries the positions of one sequence, or of several that
 * share a prefix; each holder counts as one reference.
 *
 *     FREE (0 references)  -> HELD (1)        [tw_page_pool_alloc]
 *     HELD (n)             -> HELD (n + 1)    [tw_page_pool_ref]
 *     HELD (n > 1)         -> HELD (n - 1)    [tw_page_pool_unref]
 *     HELD (1)             -> FREE            [tw_page_pool_unref]
 *
 * Invariants (tw_page_pool_check proves them):
 * 1. A page is on the free list exactly once if it has no references, and not at all otherwise.
 * 2. The number of free pages and the number of held pages add up to n_pages.
 * 3. An allocation takes all the pages asked for or none.
 * 4. The same calls give the same page numbers: nothing here depends on time or addresses.
 *
 * Pure: no thread, clock or device; the memory is taken once at creation. Threads: one at a time.
 * Misuse (a number outside the pool, unref of a free page) is our own bug and asserts.
 */
#ifndef TW_SCHED_PAGE_POOL_H
#define TW_SCHED_PAGE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct tw_page_pool;

/* n_pages: 1..TW_LIMIT_KV_PAGES. */
enum tw_status tw_page_pool_create(uint32_t n_pages, struct tw_page_pool **ret_pool,
                                   struct tw_error *error);
/* NULL is allowed. Pages may still be held: the pool knows numbers, not contents. */
void tw_page_pool_free(struct tw_page_pool *pool);

/* Takes n pages with one reference each into ret_pages [n]. False, with nothing taken, when fewer
 * are free. */
bool tw_page_pool_alloc(struct tw_page_pool *pool, uint32_t n, uint32_t *ret_pages);

void tw_page_pool_ref(struct tw_page_pool *pool, uint32_t page);
void tw_page_pool_unref(struct tw_page_pool *pool, uint32_t page);
/* Of pages [n], the last one first. */
void tw_page_pool_unref_all(struct tw_page_pool *pool, uint32_t n, const uint32_t *pages);

uint32_t tw_page_pool_references(const struct tw_page_pool *pool, uint32_t page);
uint32_t tw_page_pool_total(const struct tw_page_pool *pool);
uint32_t tw_page_pool_free_pages(const struct tw_page_pool *pool);

/* Whether the invariants hold. Linear in n_pages: for tests and debug builds. */
bool tw_page_pool_check(const struct tw_page_pool *pool);

#endif
