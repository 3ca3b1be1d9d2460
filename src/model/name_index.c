#include "model/name_index.h"

#include <stdlib.h>
#include <string.h>

bool tw_name_index_init(struct tw_name_index *index, struct tw_arena *arena, size_t n)
{
    struct tw_name_entry *entries = tw_arena_alloc(arena, n, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    *index = (struct tw_name_index){.entries = entries};
    return true;
}

void tw_name_index_add(struct tw_name_index *index, const char *name, size_t size_bytes,
                       size_t place)
{
    index->entries[index->n_entries++] =
        (struct tw_name_entry){.name = name, .size_bytes = size_bytes, .place = place};
}

static int compare_names(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t shorter = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = shorter != 0 ? memcmp(a, b, shorter) : 0;
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_entries(const void *left, const void *right)
{
    const struct tw_name_entry *a = left;
    const struct tw_name_entry *b = right;
    int order = compare_names(a->name, a->size_bytes, b->name, b->size_bytes);
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

bool tw_name_index_sort(struct tw_name_index *index, size_t *ret_duplicate)
{
    struct tw_name_entry *entries = index->entries;
    if (index->n_entries > 1) {
        qsort(entries, index->n_entries, sizeof *entries, compare_entries);
    }
    for (size_t i = 1; i < index->n_entries; i++) {
        if (compare_names(entries[i - 1].name, entries[i - 1].size_bytes, entries[i].name,
                          entries[i].size_bytes) == 0) {
            *ret_duplicate = entries[i].place;
            return false;
        }
    }
    return true;
}

bool tw_name_index_find(const struct tw_name_index *index, const char *name, size_t size_bytes,
                        size_t *ret_place)
{
    size_t low = 0;
    size_t high = index->n_entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct tw_name_entry *entry = &index->entries[middle];
        int order = compare_names(name, size_bytes, entry->name, entry->size_bytes);
        if (order == 0) {
            *ret_place = entry->place;
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}
