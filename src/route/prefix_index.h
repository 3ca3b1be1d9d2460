/* prefix_index.h: which beginnings of texts a backend has probably computed, as far as we know.
 *
 *     a prompt's bytes -> hashes of its blocks, each of all that comes before it too
 *     dispatched       -> remembered, the newest first; the oldest forgotten beyond n_entries
 *     the next prompt  -> how many of its blocks, from the first on, are remembered
 *
 * Nobody tells us what the backend has really kept: it also forgets the oldest, so a table of its
 * size is about right. A wrong guess costs time, never a wrong answer.
 *
 * Invariants (tw_prefix_index_check proves them):
 * 1. At most n_entries hashes, each once; a lookup or an insertion costs O(its blocks).
 * 2. The last block of a text is forgotten before the first: beginnings outlive what follows.
 *
 * Ownership: the index has its memory from its creation on. Pure; threads: one at a time.
 * Errors: TW_ERR_MEMORY.
 */
#ifndef TW_ROUTE_PREFIX_INDEX_H
#define TW_ROUTE_PREFIX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_prefix_index;

/* n_entries: 1..TW_LIMIT_ROUTE_INDEX; about 24 bytes each. */
enum tw_status tw_prefix_index_create(uint32_t n_entries, struct tw_prefix_index **ret_index,
                                      struct tw_error *error);
/* NULL is allowed. */
void tw_prefix_index_free(struct tw_prefix_index *index);

/* How many of a text's blocks, from the first one on, are there. Changes nothing. */
uint32_t tw_prefix_index_match(const struct tw_prefix_index *index, const uint64_t *hashes,
                               uint32_t n);
/* The backend gets this text. */
void tw_prefix_index_insert(struct tw_prefix_index *index, const uint64_t *hashes, uint32_t n);
/* The backend has lost everything: it began anew. */
void tw_prefix_index_clear(struct tw_prefix_index *index);
uint32_t tw_prefix_index_entries(const struct tw_prefix_index *index);
bool tw_prefix_index_check(const struct tw_prefix_index *index);

/* Hashes of the whole blocks of a text, at most n_most of them; how many. seed: of those who may
 * share what is cached, and nobody's to guess, or others could make texts that meet. */
uint32_t tw_prefix_hashes(const void *text, size_t n_bytes, size_t block_bytes, uint64_t seed,
                          uint64_t *ret_hashes, uint32_t n_most);

#endif
