#include "text/word_cache.h"

#include "base/mem.h"

#define LINE_BYTES sizeof(struct tw_word_cache_line)

_Static_assert(LINE_BYTES == 64, "an entry fills a line of the processor's cache");

bool tw_word_cache_init(struct tw_word_cache *cache)
{
    *cache = (struct tw_word_cache){.block = tw_mem_zalloc(TW_WORD_CACHE_LINES + 1, LINE_BYTES)};
    if (cache->block != NULL) {
        size_t over = (uintptr_t)cache->block % LINE_BYTES;
        char *aligned = (char *)cache->block + (over != 0 ? LINE_BYTES - over : 0);
        cache->lines = (struct tw_word_cache_line *)(void *)aligned;
    }
    return cache->block != NULL;
}

void tw_word_cache_free(struct tw_word_cache *cache)
{
    tw_mem_free(cache->block);
    *cache = (struct tw_word_cache){0};
}

void tw_word_cache_put(struct tw_word_cache *cache, struct tw_bytes word, uint64_t hash,
                       const int32_t *ids, size_t n_ids)
{
    if (cache->lines == NULL || word.size_bytes > TW_WORD_CACHE_BYTES ||
        n_ids > TW_WORD_CACHE_IDS) {
        return;
    }
    struct tw_word_cache_line *line = &cache->lines[hash % TW_WORD_CACHE_LINES];
    line->tag = (uint32_t)(hash >> 32);
    line->n_bytes = (uint8_t)word.size_bytes;
    line->n_ids = (uint8_t)n_ids;
    memcpy(line->bytes, word.data, word.size_bytes);
    memcpy(line->ids, ids, n_ids * sizeof *ids);
}
