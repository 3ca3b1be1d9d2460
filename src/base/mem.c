#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES  ((size_t)2 << 20)
#define PAGE_BYTES       ((size_t)4096)
#define KEPT_BLOCK_BYTES (32 << 20) /* the most that the C library takes (mallopt(3)) */
#define KEPT_BYTES       (1 << 30)

static int product_overflows(size_t n, size_t item_bytes)
{
    return item_bytes != 0 && n > (size_t)PTRDIFF_MAX / item_bytes;
}

void *tw_mem_alloc(size_t n, size_t item_bytes)
{
    if (product_overflows(n, item_bytes)) {
        return NULL;
    }
    size_t bytes = n * item_bytes;
    return malloc(bytes != 0 ? bytes : 1);
}

void *tw_mem_zalloc(size_t n, size_t item_bytes)
{
    if (product_overflows(n, item_bytes)) {
        return NULL;
    }
    return calloc(n != 0 ? n : 1, item_bytes != 0 ? item_bytes : 1);
}

void *tw_mem_realloc(void *old, size_t n, size_t item_bytes)
{
    if (product_overflows(n, item_bytes)) {
        return NULL;
    }
    size_t bytes = n * item_bytes;
    return realloc(old, bytes != 0 ? bytes : 1);
}

void tw_mem_keep_freed(void)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void tw_mem_free(void *block)
{
    free(block);
}

char *tw_mem_strndup(const char *text, size_t text_bytes)
{
    char *copy = tw_mem_alloc(text_bytes + 1, 1);
    if (copy != NULL) {
        if (text_bytes != 0) {
            memcpy(copy, text, text_bytes); /* text may be NULL when there is none of it */
        }
        copy[text_bytes] = '\0';
    }
    return copy;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) & ~(unit - 1);
}

/* mmap aligns to pages only: map one huge page more and give the ends back. */
static void *map_place(size_t bytes, int protection)
{
    if (bytes == 0 || bytes > (size_t)PTRDIFF_MAX - 2 * HUGE_PAGE_BYTES) {
        return NULL;
    }
    size_t mapped = round_up(bytes, PAGE_BYTES);
    size_t reserved = bytes < HUGE_PAGE_BYTES ? mapped : mapped + HUGE_PAGE_BYTES;
    char *raw = mmap(NULL, reserved, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        return NULL;
    }
    size_t head =
        reserved == mapped ? 0 : round_up((uintptr_t)raw, HUGE_PAGE_BYTES) - (uintptr_t)raw;
    if (head != 0) {
        munmap(raw, head);
    }
    if (reserved - head > mapped) {
        munmap(raw + head + mapped, reserved - head - mapped);
    }
    return raw + head;
}

void *tw_mem_map(size_t bytes)
{
    void *place = map_place(bytes, PROT_READ | PROT_WRITE);
    if (place != NULL && bytes >= HUGE_PAGE_BYTES) {
        /* a hint: failure costs speed only */
        madvise(place, round_up(bytes, PAGE_BYTES), MADV_HUGEPAGE);
    }
    return place;
}

void *tw_mem_reserve(size_t bytes)
{
    return map_place(bytes, PROT_NONE);
}

void tw_mem_unmap(void *block, size_t bytes)
{
    if (block != NULL) {
        munmap(block, round_up(bytes, PAGE_BYTES));
    }
}
