/* safetensors_write.h: writes a .safetensors file.
 *
 *     LIST [open] --add_tensor--> [begin] DATA --data, data, ...--> [commit] the file is there
 *                                                               \-> [abort]  nothing is
 *
 * The header names all tensors, so they are listed first; the data then streams through in that
 * order, in pieces of any size. The header is filled up with spaces so that data begins at a
 * multiple of 64 bytes. The file appears under its name only when complete (base/file.h).
 * Invariants (assertions: they are the caller's bugs): 1. names are unique and within limits.h;
 * 2. F32, F16 or BF16; 3. every tensor begins at a multiple of its element's size, so wider types
 * come first; 4. exactly the announced bytes of every tensor are written.
 * add_tensor cannot fail by itself: lack of memory shows at begin.
 * Ownership: the writer copies names. Threads: one at a time. Errors: those of base/file.h,
 * TW_ERR_MEMORY.
 */
#ifndef TW_MODEL_SAFETENSORS_WRITE_H
#define TW_MODEL_SAFETENSORS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "tensor/dtype.h"

struct tw_safetensors_writer;

enum tw_status tw_safetensors_writer_open(const char *path,
                                          struct tw_safetensors_writer **ret_writer,
                                          struct tw_error *error);

/* shape: [n_dims], the contiguous dimension first, as in struct tw_tensor_view. */
void tw_safetensors_add_tensor(struct tw_safetensors_writer *writer, const char *name,
                               enum tw_dtype dtype, const uint64_t *shape, size_t n_dims);

/* Writes the header. */
enum tw_status tw_safetensors_writer_begin(struct tw_safetensors_writer *writer,
                                           struct tw_error *error);

/* The next bytes of the tensors, in the order they were added; a piece may not cross into the next
 * tensor. */
enum tw_status tw_safetensors_writer_data(struct tw_safetensors_writer *writer, const void *bytes,
                                          size_t n_bytes, struct tw_error *error);

/* Both free the writer, whatever they return. abort allows NULL. */
enum tw_status tw_safetensors_writer_commit(struct tw_safetensors_writer *writer,
                                            struct tw_error *error);
void tw_safetensors_writer_abort(struct tw_safetensors_writer *writer);

#endif
