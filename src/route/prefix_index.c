#include "route/prefix_index.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

#define NONE UINT32_MAX

struct entry {
    uint64_t hash;
    uint32_t newer, older; /* by use */
    uint32_t next;         /* in its bucket */
};

struct tw_prefix_index {
    struct entry *entries; /* [n_most], used from the first on */
    uint32_t *buckets;     /* [n_buckets], a power of two */
    uint32_t n_most, n, n_buckets;
    uint32_t newest, oldest;
};

enum tw_status tw_prefix_index_create(uint32_t n_entries, struct tw_prefix_index **ret_index,
                                      struct tw_error *error)
{
    assert(n_entries > 0 && n_entries <= TW_LIMIT_ROUTE_INDEX);
    struct tw_prefix_index *index = tw_mem_zalloc(1, sizeof *index);
    if (index != NULL) {
        index->n_most = n_entries;
        index->n_buckets = 1;
        while (index->n_buckets < n_entries) {
            index->n_buckets *= 2;
        }
        index->entries = tw_mem_alloc(n_entries, sizeof *index->entries);
        index->buckets = tw_mem_alloc(index->n_buckets, sizeof *index->buckets);
    }
    if (index == NULL || index->entries == NULL || index->buckets == NULL) {
        tw_prefix_index_free(index);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory to remember what a backend has cached");
    }
    tw_prefix_index_clear(index);
    *ret_index = index;
    return TW_OK;
}

void tw_prefix_index_free(struct tw_prefix_index *index)
{
    if (index != NULL) {
        tw_mem_free(index->entries);
        tw_mem_free(index->buckets);
        tw_mem_free(index);
    }
}

void tw_prefix_index_clear(struct tw_prefix_index *index)
{
    index->n = 0;
    index->newest = index->oldest = NONE;
    for (uint32_t i = 0; i < index->n_buckets; i++) {
        index->buckets[i] = NONE;
    }
}

uint32_t tw_prefix_index_entries(const struct tw_prefix_index *index)
{
    return index->n;
}

static uint32_t *bucket_of(const struct tw_prefix_index *index, uint64_t hash)
{
    return &index->buckets[(hash ^ hash >> 32) & (index->n_buckets - 1)];
}

static uint32_t find(const struct tw_prefix_index *index, uint64_t hash)
{
    uint32_t at = *bucket_of(index, hash);
    while (at != NONE && index->entries[at].hash != hash) {
        at = index->entries[at].next;
    }
    return at;
}

uint32_t tw_prefix_index_match(const struct tw_prefix_index *index, const uint64_t *hashes,
                               uint32_t n)
{
    uint32_t n_found = 0;
    while (n_found < n && find(index, hashes[n_found]) != NONE) {
        n_found++;
    }
    return n_found;
}

static void unlink_use(struct tw_prefix_index *index, uint32_t at)
{
    const struct entry *entry = &index->entries[at];
    if (entry->newer != NONE) {
        index->entries[entry->newer].older = entry->older;
    } else {
        index->newest = entry->older;
    }
    if (entry->older != NONE) {
        index->entries[entry->older].newer = entry->newer;
    } else {
        index->oldest = entry->newer;
    }
}

static void link_newest(struct tw_prefix_index *index, uint32_t at)
{
    struct entry *entry = &index->entries[at];
    entry->newer = NONE;
    entry->older = index->newest;
    if (index->newest != NONE) {
        index->entries[index->newest].newer = at;
    } else {
        index->oldest = at;
    }
    index->newest = at;
}

static void unlink_bucket(struct tw_prefix_index *index, uint32_t at)
{
    uint32_t *link = bucket_of(index, index->entries[at].hash);
    while (*link != at) {
        link = &index->entries[*link].next;
    }
    *link = index->entries[at].next;
}

/* A free entry, or the oldest one. */
static uint32_t take_entry(struct tw_prefix_index *index)
{
    if (index->n < index->n_most) {
        return index->n++;
    }
    const uint32_t at = index->oldest;
    unlink_use(index, at);
    unlink_bucket(index, at);
    return at;
}

void tw_prefix_index_insert(struct tw_prefix_index *index, const uint64_t *hashes, uint32_t n)
{
    /* More than fit: the beginning is worth more than what follows. */
    const uint32_t n_kept = n < index->n_most ? n : index->n_most;
    for (uint32_t i = n_kept; i-- > 0;) {
        uint32_t at = find(index, hashes[i]);
        if (at != NONE) {
            unlink_use(index, at);
        } else {
            at = take_entry(index);
            uint32_t *bucket = bucket_of(index, hashes[i]);
            index->entries[at] = (struct entry){.hash = hashes[i], .next = *bucket};
            *bucket = at;
        }
        link_newest(index, at);
    }
}

bool tw_prefix_index_check(const struct tw_prefix_index *index)
{
    uint32_t n_used = 0, n_found = 0, newer = NONE;
    for (uint32_t at = index->newest; at != NONE && n_used <= index->n;
         newer = at, at = index->entries[at].older) {
        if (index->entries[at].newer != newer || find(index, index->entries[at].hash) != at) {
            return false;
        }
        n_used++;
    }
    for (uint32_t i = 0; i < index->n_buckets; i++) {
        for (uint32_t at = index->buckets[i]; at != NONE && n_found <= index->n;
             at = index->entries[at].next) {
            n_found++;
        }
    }
    return n_used == index->n && n_found == index->n && newer == index->oldest &&
           index->n <= index->n_most;
}

uint32_t tw_prefix_hashes(const void *text, size_t n_bytes, size_t block_bytes, uint64_t seed,
                          uint64_t *ret_hashes, uint32_t n_most)
{
    const char *at = text;
    uint64_t hash = seed;
    uint32_t n = 0;
    for (size_t left = n_bytes; left >= block_bytes && n < n_most; left -= block_bytes) {
        hash = tw_hash_of(at, block_bytes, hash);
        ret_hashes[n++] = hash;
        at += block_bytes;
    }
    return n;
}
