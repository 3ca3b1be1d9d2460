/* weight_pack.h: a file of packed weights: what a model's matrices become for a kind of device.
 *
 *     0      header: magic, version, form, sizes, hashes of content, directory and header
 *     4096   matrices, each at a multiple of 64
 *     ...    directory: stamps of the files they were made of; place, length and key of each;
 *            the keys
 *
 * A key is a text that says all that the packed bytes depend on: names, type, shape, order of rows.
 * The original stays the truth: such a file can be deleted at any time (docs/formats/pack.md).
 *
 * Invariants after open: 1. the header's and the directory's hashes are right, and the file has the
 * length it says; 2. every matrix lies in the file behind the header, at a multiple of 64, and no
 * two overlap; 3. keys are unique; 4. what was checked is a copy, so that a file that changes while
 * it is used has other weights at most. The content's hash is looked at by tw_weight_pack_check
 * alone: reading all of it is what a start has no time for.
 * Ownership: views live as long as the object. Threads: any may read.
 * Errors: TW_ERR_NOT_FOUND, TW_ERR_IO; TW_ERR_FORMAT for a damaged file, TW_ERR_UNSUPPORTED for one
 * of another version, TW_ERR_LIMIT.
 */
#ifndef TW_MODEL_WEIGHT_PACK_H
#define TW_MODEL_WEIGHT_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"

enum { TW_PACK_VERSION = 1, TW_PACK_DATA_AT = 4096, TW_PACK_ALIGNMENT = 64 };

struct tw_weight_pack;

/* about: a file of the model; a pack of somebody whom we do not believe about it is refused before
 * any of it is read, with TW_ERR_IO. NULL: whose it is does not matter. */
enum tw_status tw_weight_pack_open(const char *path, const struct tw_file_stamp *about,
                                   struct tw_weight_pack **ret_pack, struct tw_error *error);
/* The same over bytes in memory, which must outlive the object. name goes into messages. */
enum tw_status tw_weight_pack_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_weight_pack **ret_pack, struct tw_error *error);
/* NULL is allowed. */
void tw_weight_pack_close(struct tw_weight_pack *pack);

/* Whether it was made for that form (device/device.h), of exactly these files as they were then. */
bool tw_weight_pack_is_of(const struct tw_weight_pack *pack, uint32_t form,
                          const struct tw_file_stamp *stamps, size_t n_stamps);

size_t tw_weight_pack_count(const struct tw_weight_pack *pack);
/* Packed bytes by key; false where there are none. */
bool tw_weight_pack_find(const struct tw_weight_pack *pack, const char *key, const void **ret_bytes,
                         size_t *ret_n_bytes);

/* Reads all of it: TW_ERR_FORMAT when the content is not what was written. */
enum tw_status tw_weight_pack_check(const struct tw_weight_pack *pack, struct tw_error *error);

/* ---- writing ---- */

struct tw_pack_item {
    const char *key;
    const void *bytes;
    size_t n_bytes;
};

/* Told between two matrices; false: stop, with TW_ERR_CANCELLED. */
typedef bool (*tw_pack_go_on_fn)(void *context);

/* Writes the file whole or not at all (base/file.h). Those may read it who may read all of the
 * files of the stamps. go_on may be NULL. */
enum tw_status tw_weight_pack_write(const char *path, uint32_t form,
                                    const struct tw_file_stamp *stamps, size_t n_stamps,
                                    const struct tw_pack_item *items, size_t n_items,
                                    tw_pack_go_on_fn go_on, void *context, struct tw_error *error);

#endif
