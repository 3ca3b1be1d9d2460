/* mem.h: the only place that asks the operating system for memory.
 *
 * Small blocks come from malloc, large buffers from mmap (zeroed, aligned to a huge page, advised
 * to use them). Sizes are multiplied with overflow checks. NULL means that memory could not be
 * had; callers pass TW_ERR_MEMORY on.
 */
#ifndef TW_BASE_MEM_H
#define TW_BASE_MEM_H

#include <stddef.h>

/* n items of item_bytes each, not zeroed; NULL on overflow or lack of memory. n == 0 gives a block
 * that may be freed. */
void *tw_mem_alloc(size_t n, size_t item_bytes);

/* The same, zeroed. */
void *tw_mem_zalloc(size_t n, size_t item_bytes);

/* Grows or shrinks a block from the functions above; on failure the old one stays valid. */
void *tw_mem_realloc(void *old, size_t n, size_t item_bytes);

/* NULL is allowed. */
void tw_mem_free(void *block);

/* From here on blocks of up to 32 MiB that are freed stay with the process, so that the next ones
 * need no fresh pages: for a command that makes and frees large blocks by the thousand. Before
 * there is a second thread. */
void tw_mem_keep_freed(void);

/* A copy of text, NUL-terminated; text need not be. */
char *tw_mem_strndup(const char *text, size_t text_bytes);

/* Zeroed pages, aligned to 2 MiB when bytes is at least that, otherwise to a page. */
void *tw_mem_map(size_t bytes);

/* Addresses aligned in that way and no memory behind them: a place for something else to be mapped
 * at. May be larger than all memory. */
void *tw_mem_reserve(size_t bytes);

/* bytes as given to one of the two. NULL is allowed. */
void tw_mem_unmap(void *block, size_t bytes);

#endif
