/* arena.h: memory that is freed all at once.
 *
 * One arena per lifetime (process, request, step). Blocks come from a chain of chunks and are never
 * freed one by one; the configured bound is what makes a hostile input an error instead of an
 * out-of-memory kill.
 *
 *     [chunk: used ........ | free ]  ->  [chunk: full ]  ->  NULL
 *
 * Threads: one at a time. Errors: tw_arena_alloc gives NULL when the bound or memory is reached.
 */
#ifndef TW_BASE_ARENA_H
#define TW_BASE_ARENA_H

#include <stddef.h>

struct tw_arena_chunk;

struct tw_arena {
    struct tw_arena_chunk *chunk; /* the newest; older ones are linked behind it */
    size_t used_bytes;            /* of all blocks handed out, padding included */
    size_t bound_bytes;
};

void tw_arena_init(struct tw_arena *arena, size_t bound_bytes);

/* Frees every block. The arena may be used again. */
void tw_arena_clear(struct tw_arena *arena);

/* n * item_bytes bytes, zeroed, aligned to 16. NULL on overflow, bound or lack of memory. */
void *tw_arena_alloc(struct tw_arena *arena, size_t n, size_t item_bytes);

/* A NUL-terminated copy. */
char *tw_arena_strndup(struct tw_arena *arena, const char *text, size_t text_bytes);

#endif
