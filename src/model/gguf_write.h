/* gguf_write.h: writes a GGUF file (version 3, little-endian, alignment 32).
 *
 *     KEYS [open] --put_*, add_tensor--> [begin] DATA --data, data, ...--> [commit] the file is
 * there
 *                                                                      \-> [abort]  nothing is
 *
 * Metadata and the list of tensors are collected first, since the file begins with them; the data
 * then streams through in the order the tensors were added, in pieces of any size. The file appears
 * under its name only when complete (base/file.h).
 * Invariants (assertions: they are the caller's bugs): 1. keys and names are unique and within
 * limits.h; 2. rows are whole blocks; 3. an array gets as many items as it was begun with;
 * 4. exactly the announced bytes of every tensor are written.
 * put_* cannot fail by themselves: lack of memory shows at begin.
 * Ownership: the writer copies names and metadata. Threads: one at a time.
 */
#ifndef TW_MODEL_GGUF_WRITE_H
#define TW_MODEL_GGUF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/gguf.h"
#include "tensor/dtype.h"

struct tw_gguf_writer;

enum tw_status tw_gguf_writer_open(const char *path, struct tw_gguf_writer **ret_writer,
                                   struct tw_error *error);

/* ---- metadata ---- */

/* type: one of the integer types that holds value. */
void tw_gguf_put_int(struct tw_gguf_writer *writer, const char *key, enum tw_gguf_type type,
                     int64_t value);
void tw_gguf_put_u32(struct tw_gguf_writer *writer, const char *key, uint32_t value);
void tw_gguf_put_u64(struct tw_gguf_writer *writer, const char *key, uint64_t value);
void tw_gguf_put_f32(struct tw_gguf_writer *writer, const char *key, float value);
void tw_gguf_put_f64(struct tw_gguf_writer *writer, const char *key, double value);
void tw_gguf_put_bool(struct tw_gguf_writer *writer, const char *key, bool value);
void tw_gguf_put_string(struct tw_gguf_writer *writer, const char *key, const char *text,
                        size_t text_bytes);
void tw_gguf_put_text(struct tw_gguf_writer *writer, const char *key, const char *text);

/* An array of fixed-size items as they lie in memory. */
void tw_gguf_put_array(struct tw_gguf_writer *writer, const char *key, enum tw_gguf_type type,
                       const void *items, uint64_t n_items);

/* An array of strings: exactly n_items calls of put_item follow. */
void tw_gguf_put_strings(struct tw_gguf_writer *writer, const char *key, uint64_t n_items);
void tw_gguf_put_item(struct tw_gguf_writer *writer, const char *text, size_t text_bytes);

/* A value of another file, as it is. */
void tw_gguf_put_value(struct tw_gguf_writer *writer, const struct tw_gguf_value *value);

/* ---- tensors ---- */

/* shape as in struct tw_tensor_view. */
void tw_gguf_add_tensor(struct tw_gguf_writer *writer, const char *name, enum tw_dtype dtype,
                        const uint64_t shape[TW_TENSOR_DIMS]);

/* Writes everything that comes before the data. TW_ERR_MEMORY when something did not fit. */
enum tw_status tw_gguf_writer_begin(struct tw_gguf_writer *writer, struct tw_error *error);

/* The next bytes of the tensors, in the order they were added; a piece may not cross into the next
 * tensor. Padding is put where it belongs. */
enum tw_status tw_gguf_writer_data(struct tw_gguf_writer *writer, const void *bytes, size_t n_bytes,
                                   struct tw_error *error);

/* Both free the writer, whatever they return. abort allows NULL. */
enum tw_status tw_gguf_writer_commit(struct tw_gguf_writer *writer, struct tw_error *error);
void tw_gguf_writer_abort(struct tw_gguf_writer *writer);

#endif
