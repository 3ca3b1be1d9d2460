#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#if defined(__has_feature)
#define CLANG_ASAN __has_feature(address_sanitizer)
#else
#define CLANG_ASAN 0
#endif

/* Under AddressSanitizer every block is a chunk of its own, so that a write beyond a block is seen
 * as it would be with malloc. */
#if CLANG_ASAN || defined(__SANITIZE_ADDRESS__)
#define CHUNK_BYTES ((size_t)0)
#else
#define CHUNK_BYTES ((size_t)64 << 10)
#endif
#define ALIGN ((size_t)16)

struct tw_arena_chunk {
    struct tw_arena_chunk *older;
    size_t capacity_bytes;
    size_t used_bytes;
    _Alignas(16) unsigned char data[];
};

void tw_arena_init(struct tw_arena *arena, size_t bound_bytes)
{
    *arena = (struct tw_arena){.bound_bytes = bound_bytes};
}

void tw_arena_clear(struct tw_arena *arena)
{
    struct tw_arena_chunk *chunk = arena->chunk;
    while (chunk != NULL) {
        struct tw_arena_chunk *older = chunk->older;
        tw_mem_free(chunk);
        chunk = older;
    }
    arena->chunk = NULL;
    arena->used_bytes = 0;
}

static struct tw_arena_chunk *chunk_with_room(struct tw_arena *arena, size_t bytes)
{
    struct tw_arena_chunk *chunk = arena->chunk;
    if (chunk != NULL && chunk->capacity_bytes - chunk->used_bytes >= bytes) {
        return chunk;
    }
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk = tw_mem_alloc(1, sizeof *chunk + capacity);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct tw_arena_chunk){.older = arena->chunk, .capacity_bytes = capacity};
    arena->chunk = chunk;
    return chunk;
}

void *tw_arena_alloc(struct tw_arena *arena, size_t n, size_t item_bytes)
{
    if (item_bytes != 0 && n > (SIZE_MAX / 2) / item_bytes) {
        return NULL;
    }
    size_t bytes = (n * item_bytes + ALIGN - 1) & ~(ALIGN - 1);
    if (bytes > arena->bound_bytes - arena->used_bytes) {
        return NULL;
    }
    struct tw_arena_chunk *chunk = chunk_with_room(arena, bytes);
    if (chunk == NULL) {
        return NULL;
    }
    void *block = chunk->data + chunk->used_bytes;
    chunk->used_bytes += bytes;
    arena->used_bytes += bytes;
    return memset(block, 0, bytes);
}

char *tw_arena_strndup(struct tw_arena *arena, const char *text, size_t text_bytes)
{
    char *copy = tw_arena_alloc(arena, text_bytes + 1, 1);
    if (copy != NULL && text_bytes != 0) {
        memcpy(copy, text, text_bytes);
    }
    return copy;
}
