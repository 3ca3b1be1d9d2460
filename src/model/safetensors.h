/* safetensors.h: one .safetensors file, opened and checked.
 *
 *     [u64 length of header][header: JSON][tensor data, contiguous, no gaps]
 *     header: {"name": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [begin, end]},
 *              "__metadata__": {...}}
 *
 * Invariants after open: 1. the header lies inside the file; 2. names are unique; 3. F32, F16 or
 * BF16 only; 4. shape and type make exactly the tensor's bytes; 5. tensors fill the data section
 * without gap or overlap; 6. data is aligned to its elements. Views name tensors as the file does;
 * the first number of "shape" is the slowest dimension there, the last of view->shape here.
 * Ownership: views live as long as the object; tw_safetensors_open_memory does not own its bytes.
 * Threads: any may read. Errors: TW_ERR_FORMAT, TW_ERR_LIMIT, TW_ERR_UNSUPPORTED with the file's
 * name and the tensor's.
 */
#ifndef TW_MODEL_SAFETENSORS_H
#define TW_MODEL_SAFETENSORS_H

#include <stddef.h>

#include "base/file.h"
#include "base/status.h"
#include "model/tensors.h"

struct tw_safetensors;

enum tw_status tw_safetensors_open(const char *path, struct tw_safetensors **ret_file,
                                   struct tw_error *error);

/* The same over bytes in memory, which must outlive the object. name goes into messages. */
enum tw_status tw_safetensors_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_safetensors **ret_file, struct tw_error *error);

/* NULL is allowed. */
void tw_safetensors_close(struct tw_safetensors *file);

/* Of the file that is mapped; zeros for bytes in memory. */
struct tw_file_stamp tw_safetensors_stamp(const struct tw_safetensors *file);

/* In the order of their data. */
size_t tw_safetensors_count(const struct tw_safetensors *file);
const struct tw_tensor_view *tw_safetensors_tensor(const struct tw_safetensors *file, size_t i);

/* By the file's name for it; NULL where there is none. */
const struct tw_tensor_view *tw_safetensors_find(const struct tw_safetensors *file,
                                                 const char *name);

#endif
