/* gguf.h: one GGUF file (version 2 or 3, little-endian), opened and checked.
 *
 *     [magic, version, n_tensors, n_keys][keys and values][tensor infos][padding][tensor data]
 *                                                                       ^ multiple of alignment
 *
 * Invariants after open: 1. every string, array and tensor lies inside the file; 2. keys and tensor
 * names are unique; 3. a tensor's type is one of tensor/dtype.h, its rows are whole blocks, its
 * data is aligned and overlaps no other; 4. counts were compared with the bytes that are there
 * before anything was allocated for them; 5. what was checked is a copy of the file's head, so that
 * a file that changes while it is read has other weights at most. Values are views into that copy,
 * arrays are walked when asked for (docs/formats/gguf.md).
 * Ownership: views live as long as the object; tw_gguf_open_memory does not own its bytes.
 * Threads: any may read. Errors: TW_ERR_FORMAT, TW_ERR_LIMIT and TW_ERR_UNSUPPORTED with the file's
 * name, the byte offset and what was expected there.
 */
#ifndef TW_MODEL_GGUF_H
#define TW_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "model/tensors.h"
#include "text/tokenizer.h"

/* The numbers are the file's. */
enum tw_gguf_type {
    TW_GGUF_UINT8 = 0,
    TW_GGUF_INT8 = 1,
    TW_GGUF_UINT16 = 2,
    TW_GGUF_INT16 = 3,
    TW_GGUF_UINT32 = 4,
    TW_GGUF_INT32 = 5,
    TW_GGUF_FLOAT32 = 6,
    TW_GGUF_BOOL = 7,
    TW_GGUF_STRING = 8,
    TW_GGUF_ARRAY = 9,
    TW_GGUF_UINT64 = 10,
    TW_GGUF_INT64 = 11,
    TW_GGUF_FLOAT64 = 12,
    TW_GGUF_TYPE_COUNT
};

/* "u32", "string". */
const char *tw_gguf_type_name(enum tw_gguf_type type);
/* Bytes of a value of fixed size; 0 for strings and arrays. */
size_t tw_gguf_type_bytes(enum tw_gguf_type type);

/* type: of the value, or of an array's items. A scalar is one item. */
struct tw_gguf_value {
    struct tw_bytes key;
    enum tw_gguf_type type;
    bool is_array;
    uint64_t n_items;
    const unsigned char *data; /* the items as they lie in the file; not aligned */
    size_t size_bytes;
};

struct tw_gguf;

enum tw_status tw_gguf_open(const char *path, struct tw_gguf **ret_gguf, struct tw_error *error);

/* The same over bytes in memory, which must outlive the object. name goes into messages. */
enum tw_status tw_gguf_open_memory(const void *data, size_t size_bytes, const char *name,
                                   struct tw_gguf **ret_gguf, struct tw_error *error);

/* NULL is allowed. */
void tw_gguf_close(struct tw_gguf *gguf);

/* Of the file that is mapped; zeros for bytes in memory. */
struct tw_file_stamp tw_gguf_stamp(const struct tw_gguf *gguf);

uint32_t tw_gguf_version(const struct tw_gguf *gguf);
size_t tw_gguf_alignment(const struct tw_gguf *gguf);

size_t tw_gguf_n_values(const struct tw_gguf *gguf);
const struct tw_gguf_value *tw_gguf_value(const struct tw_gguf *gguf, size_t i);
/* NULL where there is no such key. */
const struct tw_gguf_value *tw_gguf_find_value(const struct tw_gguf *gguf, const char *key);

size_t tw_gguf_n_tensors(const struct tw_gguf *gguf);
const struct tw_tensor_view *tw_gguf_tensor(const struct tw_gguf *gguf, size_t i);

/* Scalars. False when value is NULL, an array, or of a kind or size that does not convert; integers
 * of any width convert when they fit, and to double always. */
bool tw_gguf_value_uint(const struct tw_gguf_value *value, uint64_t *ret_value);
bool tw_gguf_value_double(const struct tw_gguf_value *value, double *ret_value);
bool tw_gguf_value_bool(const struct tw_gguf_value *value, bool *ret_value);
bool tw_gguf_value_string(const struct tw_gguf_value *value, struct tw_bytes *ret_value);

/* A walk over the items of a value. */
struct tw_gguf_items {
    enum tw_gguf_type type;
    uint64_t n_left;
    const unsigned char *at;
};

struct tw_gguf_items tw_gguf_value_items(const struct tw_gguf_value *value);
/* False at the end, or when the items are of another kind. */
bool tw_gguf_next_string(struct tw_gguf_items *items, struct tw_bytes *ret_value);
bool tw_gguf_next_int(struct tw_gguf_items *items, int64_t *ret_value);
bool tw_gguf_next_double(struct tw_gguf_items *items, double *ret_value);

#endif
