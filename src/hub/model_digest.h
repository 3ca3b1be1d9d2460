/* model_digest.h: which model it is, for the record: a hash of its files.
 *
 *     one file              its BLAKE2b-256, as `b2sum -l 256 FILE` prints it
 *     several, or a folder  that of the lines "HASH  NAME\n" for its files in the order of their
 *                           names, as `b2sum -l 256 *` prints them
 *
 * Of a folder: what ends with .json, .safetensors, .model, .jinja or .txt. Reading all of it takes
 * its time (about a second a gigabyte), so the results are kept in a file, and taken from there as
 * long as size, times and inode of every file are the same.
 *
 * Threads: one at a time for a cache. Errors: TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_LIMIT,
 * TW_ERR_MEMORY. A cache that cannot be read or written is no error.
 */
#ifndef TW_HUB_MODEL_DIGEST_H
#define TW_HUB_MODEL_DIGEST_H

#include "base/status.h"

enum { TW_MODEL_DIGEST_BYTES = 65 }; /* 64 hexadecimal digits and the end */

/* cache_path may be NULL. */
enum tw_status tw_model_digest_of(const char *model_path, const char *cache_path,
                                  char ret_digest[TW_MODEL_DIGEST_BYTES], struct tw_error *error);

#endif
