#include "sched/page_pool.h"

#include <assert.h>

#include "base/mem.h"

struct tw_page_pool {
    uint32_t n_pages;
    uint32_t n_free;
    uint32_t n_taken; /* pages from this one on were never held: nothing is written of them */
    uint32_t n_given_back;
    uint32_t *free_list; /* [n_pages], the first n_given_back count; the last of those goes first */
    uint32_t *references; /* [n_pages], the first n_taken count */
};

enum tw_status tw_page_pool_create(uint32_t n_pages, struct tw_page_pool **ret_pool,
                                   struct tw_error *error)
{
    if (n_pages == 0 || n_pages > TW_LIMIT_KV_PAGES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a KV cache of %u pages: it must have 1 to %u", n_pages,
                            TW_LIMIT_KV_PAGES);
    }
    struct tw_page_pool *pool = tw_mem_zalloc(1, sizeof *pool);
    if (pool != NULL) {
        pool->free_list = tw_mem_alloc(n_pages, sizeof *pool->free_list);
        pool->references = tw_mem_alloc(n_pages, sizeof *pool->references);
    }
    if (pool == NULL || pool->free_list == NULL || pool->references == NULL) {
        tw_page_pool_free(pool);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u KV pages",
                            n_pages);
    }
    pool->n_pages = n_pages;
    pool->n_free = n_pages;
    *ret_pool = pool;
    return TW_OK;
}

void tw_page_pool_free(struct tw_page_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    tw_mem_free(pool->free_list);
    tw_mem_free(pool->references);
    tw_mem_free(pool);
}

bool tw_page_pool_alloc(struct tw_page_pool *pool, uint32_t n, uint32_t *ret_pages)
{
    if (n > pool->n_free) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t page = pool->n_taken;
        if (pool->n_given_back > 0) {
            page = pool->free_list[--pool->n_given_back];
            assert(pool->references[page] == 0);
        } else {
            pool->n_taken++;
        }
        pool->references[page] = 1;
        ret_pages[i] = page;
    }
    pool->n_free -= n;
    return true;
}

void tw_page_pool_ref(struct tw_page_pool *pool, uint32_t page)
{
    assert(page < pool->n_taken && pool->references[page] != 0);
    assert(pool->references[page] != UINT32_MAX);
    pool->references[page]++;
}

void tw_page_pool_unref(struct tw_page_pool *pool, uint32_t page)
{
    assert(page < pool->n_taken && pool->references[page] != 0);
    if (--pool->references[page] == 0) {
        pool->free_list[pool->n_given_back++] = page;
        pool->n_free++;
    }
}

void tw_page_pool_unref_all(struct tw_page_pool *pool, uint32_t n, const uint32_t *pages)
{
    while (n > 0) {
        tw_page_pool_unref(pool, pages[--n]);
    }
}

uint32_t tw_page_pool_references(const struct tw_page_pool *pool, uint32_t page)
{
    assert(page < pool->n_pages);
    return page < pool->n_taken ? pool->references[page] : 0;
}

uint32_t tw_page_pool_total(const struct tw_page_pool *pool)
{
    return pool->n_pages;
}

uint32_t tw_page_pool_free_pages(const struct tw_page_pool *pool)
{
    return pool->n_free;
}

/* How often page stands on the free list is only asked for pages without references, so the whole
 * check is linear: as many entries as were given back, all distinct, all without references, and
 * as many as there are such pages. Distinctness follows from marking each entry once. */
static bool free_list_is_sound(const struct tw_page_pool *pool, uint8_t *seen)
{
    for (uint32_t i = 0; i < pool->n_given_back; i++) {
        uint32_t page = pool->free_list[i];
        if (page >= pool->n_taken || pool->references[page] != 0 || seen[page] != 0) {
            return false;
        }
        seen[page] = 1;
    }
    return true;
}

bool tw_page_pool_check(const struct tw_page_pool *pool)
{
    if (pool->n_taken > pool->n_pages || pool->n_given_back > pool->n_taken ||
        pool->n_free != pool->n_given_back + (pool->n_pages - pool->n_taken)) {
        return false;
    }
    uint8_t *seen = tw_mem_zalloc(pool->n_pages, sizeof *seen);
    if (seen == NULL) {
        return false;
    }
    bool sound = free_list_is_sound(pool, seen);
    tw_mem_free(seen);
    uint32_t n_held = 0;
    for (uint32_t page = 0; page < pool->n_taken; page++) {
        n_held += pool->references[page] != 0;
    }
    return sound && n_held + pool->n_free == pool->n_pages;
}
