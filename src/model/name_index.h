/* name_index.h: from the names in a file to their places: a sorted table.
 *
 *     add, add, ... -> sort (finds duplicates) -> find, find, ...
 *
 * Sorted rather than hashed: names come from hostile files, and a binary search has no bad case.
 * Ownership: names are views; what they point at must outlive the index. Entries come from the
 * arena given at init. Threads: any may find after sort.
 */
#ifndef TW_MODEL_NAME_INDEX_H
#define TW_MODEL_NAME_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct tw_name_entry {
    const char *name;
    size_t size_bytes;
    size_t place;
};

struct tw_name_index {
    struct tw_name_entry *entries;
    size_t n_entries;
};

/* Room for n names. False when the arena is exhausted. */
bool tw_name_index_init(struct tw_name_index *index, struct tw_arena *arena, size_t n);

/* At most as often as init said. */
void tw_name_index_add(struct tw_name_index *index, const char *name, size_t size_bytes,
                       size_t place);

/* False when a name is there twice; *ret_duplicate is then the larger of the two places. */
bool tw_name_index_sort(struct tw_name_index *index, size_t *ret_duplicate);

bool tw_name_index_find(const struct tw_name_index *index, const char *name, size_t size_bytes,
                        size_t *ret_place);

#endif
