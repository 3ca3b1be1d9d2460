/* word_cache.h: the ids of words met before in the same text.
 *
 * Half the words of a text are among a few hundred, and finding one in a vocabulary of 150,000
 * costs several misses of the cache; here it costs one line. Direct mapped: a word takes the place
 * of the one that was there.
 *
 * Invariants: 1. What is found is what was put for exactly these bytes. 2. Words of more than
 * TW_WORD_CACHE_BYTES bytes or TW_WORD_CACHE_IDS ids are not kept.
 * Threads: one. Errors: tw_word_cache_init gives false when there is no memory; encoding goes on
 * without a cache then.
 */
#ifndef TW_TEXT_WORD_CACHE_H
#define TW_TEXT_WORD_CACHE_H

#include "text/bytes.h"

enum { TW_WORD_CACHE_BYTES = 26, TW_WORD_CACHE_IDS = 8, TW_WORD_CACHE_LINES = 4096 };

struct tw_word_cache_line {
    uint32_t tag;
    uint8_t n_bytes; /* 0: free */
    uint8_t n_ids;
    char bytes[TW_WORD_CACHE_BYTES];
    int32_t ids[TW_WORD_CACHE_IDS];
};

/* Zero-initialised, it is a cache that keeps nothing. */
struct tw_word_cache {
    struct tw_word_cache_line *lines; /* [TW_WORD_CACHE_LINES], each on a line of its own */
    void *block;
};

bool tw_word_cache_init(struct tw_word_cache *cache);
void tw_word_cache_free(struct tw_word_cache *cache);

/* The line of a word, NULL when it is not there. hash: tw_bytes_hash of the word. */
static inline const struct tw_word_cache_line *tw_word_cache_find(const struct tw_word_cache *cache,
                                                                  struct tw_bytes word,
                                                                  uint64_t hash)
{
    if (cache->lines == NULL || word.size_bytes > TW_WORD_CACHE_BYTES) {
        return NULL;
    }
    const struct tw_word_cache_line *line = &cache->lines[hash % TW_WORD_CACHE_LINES];
    bool is_it = line->tag == hash >> 32 && line->n_bytes == word.size_bytes &&
                 memcmp(line->bytes, word.data, word.size_bytes) == 0;
    return is_it ? line : NULL;
}

/* Words and ids beyond the bounds are passed over. The word is not empty. */
void tw_word_cache_put(struct tw_word_cache *cache, struct tw_bytes word, uint64_t hash,
                       const int32_t *ids, size_t n_ids);

#endif
