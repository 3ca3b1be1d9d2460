#include "model/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/name_index.h"

enum { DEFAULT_ALIGNMENT = 32, LEAST_ALIGNMENT = 8, COPY_BYTES = 64 << 10 };

/* What one entry takes at least in the file: a count is checked against the bytes left with it. */
enum {
    LEAST_VALUE_BYTES = 8 + 1 + 4 + 1,         /* key length, key, type, value */
    LEAST_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 /* name, dimensions, type, offset */
};

struct tw_gguf {
    struct tw_file_map map; /* empty when the bytes are the caller's */
    unsigned char *head;    /* our copy of all that lies before the tensors' data */
    struct tw_arena arena;
    uint32_t version;
    size_t alignment;
    size_t n_values;
    struct tw_gguf_value *values;
    struct tw_name_index value_index;
    size_t n_tensors;
    struct tw_tensor_view *tensors;
};

static const struct {
    const char *name;
    size_t size_bytes;
} type_rows[TW_GGUF_TYPE_COUNT] = {
    [TW_GGUF_UINT8] = {"u8", 1},    [TW_GGUF_INT8] = {"i8", 1},    [TW_GGUF_UINT16] = {"u16", 2},
    [TW_GGUF_INT16] = {"i16", 2},   [TW_GGUF_UINT32] = {"u32", 4}, [TW_GGUF_INT32] = {"i32", 4},
    [TW_GGUF_FLOAT32] = {"f32", 4}, [TW_GGUF_BOOL] = {"bool", 1},  [TW_GGUF_STRING] = {"string", 0},
    [TW_GGUF_ARRAY] = {"array", 0}, [TW_GGUF_UINT64] = {"u64", 8}, [TW_GGUF_INT64] = {"i64", 8},
    [TW_GGUF_FLOAT64] = {"f64", 8},
};

const char *tw_gguf_type_name(enum tw_gguf_type type)
{
    return type_rows[type].name;
}

size_t tw_gguf_type_bytes(enum tw_gguf_type type)
{
    return type_rows[type].size_bytes;
}

/* A cursor whose first failure stays: after it every read gives zero, so a chain of reads needs one
 * look at status. It reads a copy, which follows the cursor through the file: somebody may write
 * into the file meanwhile, and a length that was checked must be the length that is used.
 * Invariant: at <= copied_bytes <= size_bytes. */
struct reader {
    const unsigned char *file;
    size_t size_bytes;
    unsigned char *bytes; /* the copy: room for head_room(size_bytes) */
    size_t copied_bytes;
    size_t at;
    const char *name;
    enum tw_status status;
    struct tw_error *error;
};

static void __attribute__((format(printf, 4, 5)))
fail(struct reader *reader, enum tw_status status, size_t at, const char *format, ...)
{
    if (reader->status != TW_OK) {
        return;
    }
    char text[TW_LIMIT_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reader->status =
        tw_error_set(reader->error, status, at, "%s: at byte %zu: %s", reader->name, at, text);
}

static size_t bytes_left(const struct reader *reader)
{
    return reader->size_bytes - reader->at;
}

static size_t head_room(size_t size_bytes)
{
    return size_bytes < TW_LIMIT_MODEL_HEAD_BYTES ? size_bytes : TW_LIMIT_MODEL_HEAD_BYTES;
}

/* Has the copy reach at least to end, a place that the file and the copy have room for. */
static void copy_until(struct reader *reader, size_t end)
{
    size_t room = head_room(reader->size_bytes);
    size_t most =
        room - reader->copied_bytes < COPY_BYTES ? room : reader->copied_bytes + COPY_BYTES;
    end = end > most ? end : most;
    memcpy(reader->bytes + reader->copied_bytes, reader->file + reader->copied_bytes,
           end - reader->copied_bytes);
    reader->copied_bytes = end;
}

/* n bytes at the cursor, or NULL after a failure. */
static const unsigned char *take(struct reader *reader, uint64_t n, const char *what)
{
    if (reader->status == TW_OK && n > bytes_left(reader)) {
        fail(reader, TW_ERR_FORMAT, reader->at,
             "expected %" PRIu64 " bytes of %s, the file ends after %zu", n, what,
             bytes_left(reader));
    }
    if (reader->status == TW_OK && n > head_room(reader->size_bytes) - reader->at) {
        fail(reader, TW_ERR_LIMIT, reader->at,
             "keys and tensor infos have more than the %zu bytes that are read",
             TW_LIMIT_MODEL_HEAD_BYTES);
    }
    if (reader->status != TW_OK) {
        return NULL;
    }
    if (n > reader->copied_bytes - reader->at) {
        copy_until(reader, reader->at + (size_t)n);
    }
    const unsigned char *p = reader->bytes + reader->at;
    reader->at += (size_t)n;
    return p;
}

static uint32_t read_u32(struct reader *reader, const char *what)
{
    uint32_t value = 0;
    const unsigned char *p = take(reader, sizeof value, what);
    if (p != NULL) {
        memcpy(&value, p, sizeof value);
    }
    return value;
}

static uint64_t read_u64(struct reader *reader, const char *what)
{
    uint64_t value = 0;
    const unsigned char *p = take(reader, sizeof value, what);
    if (p != NULL) {
        memcpy(&value, p, sizeof value);
    }
    return value;
}

static struct tw_bytes read_string(struct reader *reader, uint64_t limit_bytes, const char *what)
{
    size_t at = reader->at;
    uint64_t n = read_u64(reader, what);
    if (n > limit_bytes && n <= bytes_left(reader)) {
        fail(reader, TW_ERR_LIMIT, at, "%s has %" PRIu64 " bytes; at most %" PRIu64 " are read",
             what, n, limit_bytes);
    }
    const unsigned char *p = take(reader, n, what);
    return (struct tw_bytes){.data = (const char *)p, .size_bytes = p != NULL ? (size_t)n : 0};
}

/* ---- metadata ---- */

static void check_bools(struct reader *reader, const unsigned char *p, uint64_t n)
{
    for (uint64_t i = 0; p != NULL && i < n; i++) {
        if (p[i] > 1) {
            fail(reader, TW_ERR_FORMAT, (size_t)(p - reader->bytes) + (size_t)i,
                 "expected a bool (0 or 1), found %u", p[i]);
            return;
        }
    }
}

static void skip_items(struct reader *reader, enum tw_gguf_type type, uint64_t n)
{
    size_t item_bytes = type_rows[type].size_bytes;
    if (item_bytes == 0) {
        for (uint64_t i = 0; i < n && reader->status == TW_OK; i++) {
            read_string(reader, TW_LIMIT_MODEL_STRING_BYTES, "a string");
        }
        return;
    }
    const unsigned char *p = take(reader, n * item_bytes, "metadata");
    if (type == TW_GGUF_BOOL) {
        check_bools(reader, p, n);
    }
}

static enum tw_gguf_type read_type(struct reader *reader)
{
    size_t at = reader->at;
    uint32_t type = read_u32(reader, "a value type");
    if (type >= TW_GGUF_TYPE_COUNT) {
        fail(reader, TW_ERR_FORMAT, at, "expected a value type below %d, found %" PRIu32,
             TW_GGUF_TYPE_COUNT, type);
        return TW_GGUF_UINT8;
    }
    return (enum tw_gguf_type)type;
}

static void read_array_head(struct reader *reader, struct tw_gguf_value *value)
{
    size_t at = reader->at;
    value->is_array = true;
    value->type = read_type(reader);
    value->n_items = read_u64(reader, "an array length");
    size_t least_bytes = value->type == TW_GGUF_STRING ? 8 : type_rows[value->type].size_bytes;
    if (value->type == TW_GGUF_ARRAY) {
        fail(reader, TW_ERR_UNSUPPORTED, at, "key '%.*s' is an array of arrays",
             (int)value->key.size_bytes, value->key.data);
    } else if (value->n_items > bytes_left(reader) / least_bytes) {
        fail(reader, TW_ERR_FORMAT, at, "array '%.*s' claims %" PRIu64 " items, %zu bytes are left",
             (int)value->key.size_bytes, value->key.data, value->n_items, bytes_left(reader));
    } else if (value->n_items > TW_LIMIT_MODEL_ARRAY_ITEMS) {
        fail(reader, TW_ERR_LIMIT, at, "array '%.*s' has %" PRIu64 " items; at most %u are read",
             (int)value->key.size_bytes, value->key.data, value->n_items,
             TW_LIMIT_MODEL_ARRAY_ITEMS);
    }
}

static void read_value(struct reader *reader, struct tw_gguf_value *value)
{
    size_t at = reader->at;
    value->key = read_string(reader, TW_LIMIT_MODEL_KEY_BYTES, "a metadata key");
    if (reader->status == TW_OK && value->key.size_bytes == 0) {
        fail(reader, TW_ERR_FORMAT, at, "expected a metadata key, found an empty one");
    }
    value->type = read_type(reader);
    value->n_items = 1;
    if (value->type == TW_GGUF_ARRAY) {
        read_array_head(reader, value);
    }
    if (reader->status != TW_OK) {
        return;
    }
    value->data = reader->bytes + reader->at;
    skip_items(reader, value->type, value->n_items);
    value->size_bytes = (size_t)(reader->bytes + reader->at - value->data);
}

static void check_count(struct reader *reader, uint64_t n, uint64_t limit, size_t least_bytes,
                        size_t at, const char *what)
{
    if (n > bytes_left(reader) / least_bytes) {
        fail(reader, TW_ERR_FORMAT, at,
             "the header claims %" PRIu64 " %s, more than %zu bytes can hold", n, what,
             bytes_left(reader));
    } else if (n > limit) {
        fail(reader, TW_ERR_LIMIT, at, "the file has %" PRIu64 " %s; at most %" PRIu64 " are read",
             n, what, limit);
    }
}

static void read_values(struct tw_gguf *gguf, struct reader *reader)
{
    struct tw_arena *arena = &gguf->arena;
    gguf->values = tw_arena_alloc(arena, gguf->n_values, sizeof *gguf->values);
    if (gguf->values == NULL || !tw_name_index_init(&gguf->value_index, arena, gguf->n_values)) {
        fail(reader, TW_ERR_MEMORY, reader->at, "no memory for %zu keys", gguf->n_values);
        return;
    }
    for (size_t i = 0; i < gguf->n_values && reader->status == TW_OK; i++) {
        struct tw_gguf_value *value = &gguf->values[i];
        read_value(reader, value);
        tw_name_index_add(&gguf->value_index, value->key.data, value->key.size_bytes, i);
    }
    size_t twice = 0;
    if (reader->status == TW_OK && !tw_name_index_sort(&gguf->value_index, &twice)) {
        struct tw_bytes key = gguf->values[twice].key;
        fail(reader, TW_ERR_FORMAT, (size_t)((const unsigned char *)key.data - reader->bytes),
             "key '%.*s' is there twice", (int)key.size_bytes, key.data);
    }
}

static void read_alignment(struct tw_gguf *gguf, struct reader *reader)
{
    gguf->alignment = DEFAULT_ALIGNMENT;
    const struct tw_gguf_value *value = tw_gguf_find_value(gguf, "general.alignment");
    if (value == NULL || reader->status != TW_OK) {
        return;
    }
    uint64_t alignment = 0;
    bool is_u32 = value->type == TW_GGUF_UINT32 && tw_gguf_value_uint(value, &alignment);
    if (!is_u32 || alignment < LEAST_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
        fail(reader, TW_ERR_FORMAT, (size_t)(value->data - reader->bytes),
             "general.alignment: expected a u32 that is a power of two and at least %d",
             LEAST_ALIGNMENT);
        return;
    }
    gguf->alignment = (size_t)alignment;
}

/* ---- tensors ---- */

static void read_tensor_name(struct tw_gguf *gguf, struct reader *reader,
                             struct tw_tensor_view *tensor)
{
    size_t at = reader->at;
    struct tw_bytes name = read_string(reader, TW_LIMIT_MODEL_NAME_BYTES, "a tensor's name");
    if (reader->status != TW_OK) {
        return;
    }
    if (name.size_bytes == 0 || memchr(name.data, '\0', name.size_bytes) != NULL) {
        fail(reader, TW_ERR_FORMAT, at, "a tensor's name is empty or has a zero byte");
        return;
    }
    tensor->name = tw_arena_strndup(&gguf->arena, name.data, name.size_bytes);
    if (tensor->name == NULL) {
        fail(reader, TW_ERR_MEMORY, at, "no memory for tensor names");
    }
}

/* The number of elements, which stays below 2^63 so that sums of it cannot wrap. */
static uint64_t read_shape(struct reader *reader, struct tw_tensor_view *tensor)
{
    size_t at = reader->at;
    uint32_t n_dims = read_u32(reader, "a number of dimensions");
    if (n_dims == 0 || n_dims > TW_TENSOR_DIMS) {
        fail(reader, TW_ERR_FORMAT, at, "tensor '%s': expected 1 to %d dimensions, found %" PRIu32,
             tensor->name, TW_TENSOR_DIMS, n_dims);
        return 0;
    }
    uint64_t n_elements = 1;
    for (uint32_t i = 0; i < TW_TENSOR_DIMS; i++) {
        tensor->shape[i] = i < n_dims ? read_u64(reader, "a dimension") : 1;
        if (reader->status != TW_OK) {
            return 0;
        }
        if (tensor->shape[i] == 0 || tensor->shape[i] > (uint64_t)INT64_MAX / n_elements) {
            fail(reader, TW_ERR_FORMAT, at, "tensor '%s': dimension %" PRIu32 " is %" PRIu64,
                 tensor->name, i, tensor->shape[i]);
            return 0;
        }
        n_elements *= tensor->shape[i];
    }
    return n_elements;
}

static void read_dtype(struct reader *reader, struct tw_tensor_view *tensor)
{
    size_t at = reader->at;
    uint32_t id = read_u32(reader, "a tensor type");
    if (reader->status != TW_OK) {
        return;
    }
    if (!tw_dtype_from_ggml_id(id, &tensor->dtype)) {
        fail(reader, TW_ERR_UNSUPPORTED, at,
             "tensor '%s' has ggml type %" PRIu32 ", which is not read here", tensor->name, id);
    }
}

static void set_size(struct reader *reader, struct tw_tensor_view *tensor, uint64_t n_elements,
                     size_t at)
{
    const struct tw_dtype_traits *traits = tw_dtype_traits(tensor->dtype);
    if (tensor->shape[0] % traits->block_elements != 0) {
        fail(reader, TW_ERR_FORMAT, at,
             "tensor '%s': rows of %" PRIu64 " elements are no whole %s blocks of %" PRIu32,
             tensor->name, tensor->shape[0], traits->name, traits->block_elements);
        return;
    }
    uint64_t n_blocks = n_elements / traits->block_elements;
    if (n_blocks > reader->size_bytes / traits->block_bytes) {
        fail(reader, TW_ERR_FORMAT, at,
             "tensor '%s': %" PRIu64 " elements of %s are more than the file's %zu bytes",
             tensor->name, n_elements, traits->name, reader->size_bytes);
        return;
    }
    tensor->size_bytes = (size_t)n_blocks * traits->block_bytes;
}

/* Leaves the offset of the data, relative to the data section, in *ret_offset. */
static void read_tensor(struct tw_gguf *gguf, struct reader *reader, struct tw_tensor_view *tensor,
                        uint64_t *ret_offset)
{
    size_t at = reader->at;
    read_tensor_name(gguf, reader, tensor);
    if (reader->status != TW_OK) {
        return;
    }
    uint64_t n_elements = read_shape(reader, tensor);
    read_dtype(reader, tensor);
    if (reader->status == TW_OK) {
        set_size(reader, tensor, n_elements, at);
    }
    *ret_offset = read_u64(reader, "a tensor's offset");
    if (reader->status == TW_OK && *ret_offset % gguf->alignment != 0) {
        fail(reader, TW_ERR_FORMAT, reader->at - sizeof *ret_offset,
             "tensor '%s': offset %" PRIu64 " is no multiple of the alignment %zu", tensor->name,
             *ret_offset, gguf->alignment);
    }
}

static void check_names(struct tw_gguf *gguf, struct reader *reader)
{
    struct tw_name_index index = {0};
    if (!tw_name_index_init(&index, &gguf->arena, gguf->n_tensors)) {
        fail(reader, TW_ERR_MEMORY, reader->at, "no memory for %zu tensors", gguf->n_tensors);
        return;
    }
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        const char *name = gguf->tensors[i].name;
        tw_name_index_add(&index, name, strlen(name), i);
    }
    size_t twice = 0;
    if (!tw_name_index_sort(&index, &twice)) {
        fail(reader, TW_ERR_FORMAT, reader->at, "tensor '%s' is there twice",
             gguf->tensors[twice].name);
    }
}

static int compare_data(const void *left, const void *right)
{
    const struct tw_tensor_view *const *a = left;
    const struct tw_tensor_view *const *b = right;
    uintptr_t at_a = (uintptr_t)(*a)->data;
    uintptr_t at_b = (uintptr_t)(*b)->data;
    return (at_a > at_b) - (at_a < at_b);
}

static void check_overlaps(struct tw_gguf *gguf, struct reader *reader)
{
    size_t n = gguf->n_tensors;
    const struct tw_tensor_view **order = tw_arena_alloc(&gguf->arena, n, sizeof *order);
    if (order == NULL) {
        fail(reader, TW_ERR_MEMORY, reader->at, "no memory for %zu tensors", n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = &gguf->tensors[i];
    }
    qsort(order, n, sizeof *order, compare_data);
    for (size_t i = 1; i < n; i++) {
        const unsigned char *before = order[i - 1]->data;
        const unsigned char *data = order[i]->data;
        if (before + order[i - 1]->size_bytes > data) {
            fail(reader, TW_ERR_FORMAT, (size_t)(data - reader->file),
                 "tensors '%s' and '%s' overlap", order[i - 1]->name, order[i]->name);
            return;
        }
    }
}

static void place_tensors(struct tw_gguf *gguf, struct reader *reader, const uint64_t *offsets)
{
    uint64_t padding = (0 - (uint64_t)reader->at) & (gguf->alignment - 1);
    if (padding > bytes_left(reader)) {
        fail(reader, TW_ERR_FORMAT, reader->at,
             "expected %" PRIu64 " bytes of padding, the file ends after %zu", padding,
             bytes_left(reader));
        return;
    }
    size_t data_at = reader->at + (size_t)padding;
    size_t data_bytes = reader->size_bytes - data_at;
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        struct tw_tensor_view *tensor = &gguf->tensors[i];
        if (offsets[i] > data_bytes || tensor->size_bytes > data_bytes - offsets[i]) {
            fail(reader, TW_ERR_FORMAT, data_at,
                 "tensor '%s': %zu bytes at offset %" PRIu64 " end after the file's %zu bytes",
                 tensor->name, tensor->size_bytes, offsets[i], reader->size_bytes);
            return;
        }
        tensor->data = reader->file + data_at + offsets[i];
    }
    check_overlaps(gguf, reader);
}

static void read_tensors(struct tw_gguf *gguf, struct reader *reader)
{
    size_t n = gguf->n_tensors;
    if (n == 0) {
        return;
    }
    gguf->tensors = tw_arena_alloc(&gguf->arena, n, sizeof *gguf->tensors);
    uint64_t *offsets = tw_arena_alloc(&gguf->arena, n, sizeof *offsets);
    if (gguf->tensors == NULL || offsets == NULL) {
        fail(reader, TW_ERR_MEMORY, reader->at, "no memory for %zu tensors", n);
        return;
    }
    for (size_t i = 0; i < n && reader->status == TW_OK; i++) {
        read_tensor(gguf, reader, &gguf->tensors[i], &offsets[i]);
    }
    if (reader->status == TW_OK) {
        check_names(gguf, reader);
    }
    if (reader->status == TW_OK) {
        place_tensors(gguf, reader, offsets);
    }
}

/* ---- the whole file ---- */

static void check_version(struct tw_gguf *gguf, struct reader *reader)
{
    const unsigned char *magic = take(reader, 4, "the magic \"GGUF\"");
    if (magic != NULL && memcmp(magic, "GGUF", 4) != 0) {
        fail(reader, TW_ERR_FORMAT, 0, "expected the magic \"GGUF\": this is no GGUF file");
    }
    size_t at = reader->at;
    gguf->version = read_u32(reader, "the version");
    if (reader->status == TW_OK && gguf->version != 0 && (gguf->version & 0xffff) == 0) {
        fail(reader, TW_ERR_UNSUPPORTED, at,
             "the file is big-endian; only little-endian GGUF files are read");
    } else if (gguf->version < 2 || gguf->version > 3) {
        fail(reader, TW_ERR_UNSUPPORTED, at, "GGUF version %" PRIu32 "; versions 2 and 3 are read",
             gguf->version);
    }
}

static void read_all(struct tw_gguf *gguf, struct reader *reader)
{
    check_version(gguf, reader);
    size_t at = reader->at;
    uint64_t n_tensors = read_u64(reader, "the number of tensors");
    uint64_t n_values = read_u64(reader, "the number of keys");
    check_count(reader, n_tensors, TW_LIMIT_MODEL_TENSORS, LEAST_TENSOR_BYTES, at, "tensors");
    check_count(reader, n_values, TW_LIMIT_MODEL_METADATA_KEYS, LEAST_VALUE_BYTES, at + 8, "keys");
    if (reader->status != TW_OK) {
        return;
    }
    gguf->n_tensors = (size_t)n_tensors;
    gguf->n_values = (size_t)n_values;
    read_values(gguf, reader);
    read_alignment(gguf, reader);
    if (reader->status == TW_OK) {
        read_tensors(gguf, reader);
    }
}

enum tw_status tw_gguf_open_memory(const void *data, size_t size_bytes, const char *name,
                                   struct tw_gguf **ret_gguf, struct tw_error *error)
{
    struct tw_gguf *gguf = tw_mem_zalloc(1, sizeof *gguf);
    if (gguf == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "%s: no memory", name);
    }
    gguf->head = tw_mem_alloc(head_room(size_bytes), 1);
    if (gguf->head == NULL) {
        tw_mem_free(gguf);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "%s: no memory", name);
    }
    tw_arena_init(&gguf->arena, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    struct reader reader = {
        .file = data, .size_bytes = size_bytes, .bytes = gguf->head, .name = name, .error = error};
    read_all(gguf, &reader);
    if (reader.status != TW_OK) {
        tw_gguf_close(gguf);
        return reader.status;
    }
    *ret_gguf = gguf;
    return TW_OK;
}

enum tw_status tw_gguf_open(const char *path, struct tw_gguf **ret_gguf, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct tw_gguf *gguf = NULL;
    status = tw_gguf_open_memory(map.data, map.size_bytes, name, &gguf, error);
    if (status != TW_OK) {
        tw_file_map_close(&map);
        return status;
    }
    gguf->map = map;
    *ret_gguf = gguf;
    return TW_OK;
}

void tw_gguf_close(struct tw_gguf *gguf)
{
    if (gguf != NULL) {
        tw_arena_clear(&gguf->arena);
        tw_mem_free(gguf->head);
        tw_file_map_close(&gguf->map);
        tw_mem_free(gguf);
    }
}

struct tw_file_stamp tw_gguf_stamp(const struct tw_gguf *gguf)
{
    return gguf->map.stamp;
}

uint32_t tw_gguf_version(const struct tw_gguf *gguf)
{
    return gguf->version;
}

size_t tw_gguf_alignment(const struct tw_gguf *gguf)
{
    return gguf->alignment;
}

size_t tw_gguf_n_values(const struct tw_gguf *gguf)
{
    return gguf->n_values;
}

const struct tw_gguf_value *tw_gguf_value(const struct tw_gguf *gguf, size_t i)
{
    return &gguf->values[i];
}

const struct tw_gguf_value *tw_gguf_find_value(const struct tw_gguf *gguf, const char *key)
{
    size_t i = 0;
    return tw_name_index_find(&gguf->value_index, key, strlen(key), &i) ? &gguf->values[i] : NULL;
}

size_t tw_gguf_n_tensors(const struct tw_gguf *gguf)
{
    return gguf->n_tensors;
}

const struct tw_tensor_view *tw_gguf_tensor(const struct tw_gguf *gguf, size_t i)
{
    return &gguf->tensors[i];
}

/* ---- values ---- */

/* The next item as it lies in the file, zero-extended; signed types are sign-extended. */
static bool next_bits(struct tw_gguf_items *items, uint64_t *ret_bits)
{
    size_t n = type_rows[items->type].size_bytes;
    if (items->n_left == 0 || n == 0) {
        return false;
    }
    uint64_t bits = 0;
    memcpy(&bits, items->at, n);
    bool is_signed =
        items->type == TW_GGUF_INT8 || items->type == TW_GGUF_INT16 || items->type == TW_GGUF_INT32;
    if (is_signed && (bits >> (8 * n - 1) & 1) != 0) {
        bits |= UINT64_MAX << (8 * n);
    }
    items->at += n;
    items->n_left--;
    *ret_bits = bits;
    return true;
}

static bool is_integer(enum tw_gguf_type type)
{
    return type <= TW_GGUF_INT32 || type == TW_GGUF_UINT64 || type == TW_GGUF_INT64;
}

struct tw_gguf_items tw_gguf_value_items(const struct tw_gguf_value *value)
{
    return (struct tw_gguf_items){.type = value->type, .n_left = value->n_items, .at = value->data};
}

bool tw_gguf_next_string(struct tw_gguf_items *items, struct tw_bytes *ret_value)
{
    if (items->type != TW_GGUF_STRING || items->n_left == 0) {
        return false;
    }
    uint64_t n = 0;
    memcpy(&n, items->at, sizeof n);
    const char *text = (const char *)items->at + sizeof n;
    *ret_value = (struct tw_bytes){.data = text, .size_bytes = (size_t)n};
    items->at += sizeof n + (size_t)n;
    items->n_left--;
    return true;
}

bool tw_gguf_next_int(struct tw_gguf_items *items, int64_t *ret_value)
{
    uint64_t bits = 0;
    if (!is_integer(items->type) || !next_bits(items, &bits) ||
        (items->type == TW_GGUF_UINT64 && bits > (uint64_t)INT64_MAX)) {
        return false;
    }
    *ret_value = (int64_t)bits;
    return true;
}

bool tw_gguf_next_double(struct tw_gguf_items *items, double *ret_value)
{
    uint64_t bits = 0;
    if (items->type == TW_GGUF_BOOL || !next_bits(items, &bits)) {
        return false;
    }
    if (items->type == TW_GGUF_FLOAT32) {
        float value;
        memcpy(&value, &bits, sizeof value);
        *ret_value = (double)value;
    } else if (items->type == TW_GGUF_FLOAT64) {
        memcpy(ret_value, &bits, sizeof *ret_value);
    } else if (items->type == TW_GGUF_UINT64) {
        *ret_value = (double)bits;
    } else {
        *ret_value = (double)(int64_t)bits;
    }
    return true;
}

bool tw_gguf_value_uint(const struct tw_gguf_value *value, uint64_t *ret_value)
{
    if (value == NULL || value->is_array || !is_integer(value->type)) {
        return false;
    }
    struct tw_gguf_items items = tw_gguf_value_items(value);
    uint64_t bits = 0;
    next_bits(&items, &bits);
    if (value->type != TW_GGUF_UINT64 && (int64_t)bits < 0) {
        return false;
    }
    *ret_value = bits;
    return true;
}

bool tw_gguf_value_double(const struct tw_gguf_value *value, double *ret_value)
{
    if (value == NULL || value->is_array) {
        return false;
    }
    struct tw_gguf_items items = tw_gguf_value_items(value);
    return tw_gguf_next_double(&items, ret_value);
}

bool tw_gguf_value_bool(const struct tw_gguf_value *value, bool *ret_value)
{
    if (value == NULL || value->is_array || value->type != TW_GGUF_BOOL) {
        return false;
    }
    *ret_value = value->data[0] != 0;
    return true;
}

bool tw_gguf_value_string(const struct tw_gguf_value *value, struct tw_bytes *ret_value)
{
    if (value == NULL || value->is_array) {
        return false;
    }
    struct tw_gguf_items items = tw_gguf_value_items(value);
    return tw_gguf_next_string(&items, ret_value);
}
