#include "model/gguf_write.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

enum { VERSION = 3, ALIGNMENT = 32 };

struct tw_gguf_writer {
    struct tw_file_writer *file;
    struct tw_buf keys;  /* keys and values as they go into the file */
    struct tw_buf infos; /* tensor infos, likewise */
    struct tw_buf sizes; /* uint64_t bytes of each tensor */
    uint64_t n_keys;
    uint64_t n_tensors;
    uint64_t data_bytes;      /* of the tensors added so far, padded */
    uint64_t n_items_missing; /* of the array being put */
    bool has_begun;
    uint64_t tensor;       /* the one whose data comes next */
    uint64_t tensor_bytes; /* of it, written already */
};

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

enum tw_status tw_gguf_writer_open(const char *path, struct tw_gguf_writer **ret_writer,
                                   struct tw_error *error)
{
    struct tw_gguf_writer *writer = tw_mem_zalloc(1, sizeof *writer);
    if (writer == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to write '%s'", path);
    }
    enum tw_status status = tw_file_writer_open(path, &writer->file, error);
    if (status != TW_OK) {
        tw_mem_free(writer);
        return status;
    }
    tw_buf_init(&writer->keys, TW_LIMIT_MODEL_HEAD_BYTES);
    tw_buf_init(&writer->infos, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    tw_buf_init(&writer->sizes, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    *ret_writer = writer;
    return TW_OK;
}

/* ---- metadata ---- */

static void put_u32(struct tw_buf *buf, uint32_t value)
{
    tw_buf_append(buf, &value, sizeof value);
}

static void put_u64(struct tw_buf *buf, uint64_t value)
{
    tw_buf_append(buf, &value, sizeof value);
}

static void put_bytes(struct tw_buf *buf, const char *text, size_t text_bytes)
{
    put_u64(buf, text_bytes);
    tw_buf_append(buf, text, text_bytes);
}

static void put_key(struct tw_gguf_writer *writer, const char *key, size_t key_bytes,
                    enum tw_gguf_type type)
{
    assert(!writer->has_begun && writer->n_items_missing == 0);
    assert(key_bytes != 0 && key_bytes <= TW_LIMIT_MODEL_KEY_BYTES);
    put_bytes(&writer->keys, key, key_bytes);
    put_u32(&writer->keys, (uint32_t)type);
    writer->n_keys++;
}

static void put_scalar(struct tw_gguf_writer *writer, const char *key, enum tw_gguf_type type,
                       const void *value)
{
    put_key(writer, key, strlen(key), type);
    tw_buf_append(&writer->keys, value, tw_gguf_type_bytes(type));
}

/* Little-endian: the low bytes come first, whatever the width. */
void tw_gguf_put_int(struct tw_gguf_writer *writer, const char *key, enum tw_gguf_type type,
                     int64_t value)
{
    assert(type != TW_GGUF_FLOAT32 && type != TW_GGUF_FLOAT64 && type != TW_GGUF_BOOL);
    assert(type != TW_GGUF_STRING && type != TW_GGUF_ARRAY);
    put_scalar(writer, key, type, &value);
}

void tw_gguf_put_u32(struct tw_gguf_writer *writer, const char *key, uint32_t value)
{
    put_scalar(writer, key, TW_GGUF_UINT32, &value);
}

void tw_gguf_put_u64(struct tw_gguf_writer *writer, const char *key, uint64_t value)
{
    put_scalar(writer, key, TW_GGUF_UINT64, &value);
}

void tw_gguf_put_f32(struct tw_gguf_writer *writer, const char *key, float value)
{
    put_scalar(writer, key, TW_GGUF_FLOAT32, &value);
}

void tw_gguf_put_f64(struct tw_gguf_writer *writer, const char *key, double value)
{
    put_scalar(writer, key, TW_GGUF_FLOAT64, &value);
}

void tw_gguf_put_bool(struct tw_gguf_writer *writer, const char *key, bool value)
{
    unsigned char byte = value ? 1 : 0;
    put_scalar(writer, key, TW_GGUF_BOOL, &byte);
}

void tw_gguf_put_string(struct tw_gguf_writer *writer, const char *key, const char *text,
                        size_t text_bytes)
{
    put_key(writer, key, strlen(key), TW_GGUF_STRING);
    put_bytes(&writer->keys, text, text_bytes);
}

void tw_gguf_put_text(struct tw_gguf_writer *writer, const char *key, const char *text)
{
    tw_gguf_put_string(writer, key, text, strlen(text));
}

static void put_array_head(struct tw_gguf_writer *writer, const char *key, size_t key_bytes,
                           enum tw_gguf_type type, uint64_t n_items)
{
    assert(n_items <= TW_LIMIT_MODEL_ARRAY_ITEMS);
    put_key(writer, key, key_bytes, TW_GGUF_ARRAY);
    put_u32(&writer->keys, (uint32_t)type);
    put_u64(&writer->keys, n_items);
}

void tw_gguf_put_array(struct tw_gguf_writer *writer, const char *key, enum tw_gguf_type type,
                       const void *items, uint64_t n_items)
{
    assert(tw_gguf_type_bytes(type) != 0);
    put_array_head(writer, key, strlen(key), type, n_items);
    tw_buf_append(&writer->keys, items, (size_t)n_items * tw_gguf_type_bytes(type));
}

void tw_gguf_put_strings(struct tw_gguf_writer *writer, const char *key, uint64_t n_items)
{
    put_array_head(writer, key, strlen(key), TW_GGUF_STRING, n_items);
    writer->n_items_missing = n_items;
}

void tw_gguf_put_item(struct tw_gguf_writer *writer, const char *text, size_t text_bytes)
{
    assert(writer->n_items_missing != 0);
    put_bytes(&writer->keys, text, text_bytes);
    writer->n_items_missing--;
}

void tw_gguf_put_value(struct tw_gguf_writer *writer, const struct tw_gguf_value *value)
{
    if (value->is_array) {
        put_array_head(writer, value->key.data, value->key.size_bytes, value->type, value->n_items);
    } else {
        put_key(writer, value->key.data, value->key.size_bytes, value->type);
    }
    tw_buf_append(&writer->keys, value->data, value->size_bytes);
}

/* ---- tensors ---- */

void tw_gguf_add_tensor(struct tw_gguf_writer *writer, const char *name, enum tw_dtype dtype,
                        const uint64_t shape[TW_TENSOR_DIMS])
{
    assert(!writer->has_begun && strlen(name) <= TW_LIMIT_MODEL_NAME_BYTES);
    uint32_t n_dims = TW_TENSOR_DIMS;
    while (n_dims > 1 && shape[n_dims - 1] == 1) {
        n_dims--;
    }
    put_bytes(&writer->infos, name, strlen(name));
    put_u32(&writer->infos, n_dims);
    uint64_t n_rows = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        put_u64(&writer->infos, shape[i]);
        n_rows *= i != 0 ? shape[i] : 1;
    }
    put_u32(&writer->infos, tw_dtype_traits(dtype)->ggml_id);
    put_u64(&writer->infos, writer->data_bytes);
    uint64_t size_bytes = n_rows * tw_dtype_row_bytes(dtype, (size_t)shape[0]);
    put_u64(&writer->sizes, size_bytes);
    writer->data_bytes += aligned(size_bytes);
    writer->n_tensors++;
}

static enum tw_status write_buf(struct tw_gguf_writer *writer, const struct tw_buf *buf,
                                struct tw_error *error)
{
    return tw_file_writer_write(writer->file, buf->data, buf->size_bytes, error);
}

enum tw_status tw_gguf_writer_begin(struct tw_gguf_writer *writer, struct tw_error *error)
{
    assert(!writer->has_begun && writer->n_items_missing == 0);
    if (writer->keys.failed || writer->infos.failed || writer->sizes.failed) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the metadata of a GGUF file");
    }
    writer->has_begun = true;
    uint32_t version = VERSION;
    unsigned char head[24] = "GGUF";
    memcpy(head + 4, &version, sizeof version);
    memcpy(head + 8, &writer->n_tensors, sizeof writer->n_tensors);
    memcpy(head + 16, &writer->n_keys, sizeof writer->n_keys);
    enum tw_status status = tw_file_writer_write(writer->file, head, sizeof head, error);
    if (status == TW_OK) {
        status = write_buf(writer, &writer->keys, error);
    }
    if (status == TW_OK) {
        status = write_buf(writer, &writer->infos, error);
    }
    return status == TW_OK ? tw_file_writer_align(writer->file, ALIGNMENT, error) : status;
}

static uint64_t tensor_size(const struct tw_gguf_writer *writer, uint64_t i)
{
    uint64_t size_bytes = 0;
    memcpy(&size_bytes, writer->sizes.data + i * sizeof size_bytes, sizeof size_bytes);
    return size_bytes;
}

enum tw_status tw_gguf_writer_data(struct tw_gguf_writer *writer, const void *bytes, size_t n_bytes,
                                   struct tw_error *error)
{
    assert(writer->has_begun && writer->tensor < writer->n_tensors);
    uint64_t size_bytes = tensor_size(writer, writer->tensor);
    assert(n_bytes <= size_bytes - writer->tensor_bytes);
    enum tw_status status = tw_file_writer_write(writer->file, bytes, n_bytes, error);
    writer->tensor_bytes += n_bytes;
    if (status == TW_OK && writer->tensor_bytes == size_bytes) {
        writer->tensor++;
        writer->tensor_bytes = 0;
        status = tw_file_writer_align(writer->file, ALIGNMENT, error);
    }
    return status;
}

static void free_writer(struct tw_gguf_writer *writer)
{
    tw_buf_free(&writer->keys);
    tw_buf_free(&writer->infos);
    tw_buf_free(&writer->sizes);
    tw_mem_free(writer);
}

enum tw_status tw_gguf_writer_commit(struct tw_gguf_writer *writer, struct tw_error *error)
{
    assert(writer->has_begun && writer->tensor == writer->n_tensors);
    enum tw_status status = tw_file_writer_commit(writer->file, error);
    free_writer(writer);
    return status;
}

void tw_gguf_writer_abort(struct tw_gguf_writer *writer)
{
    if (writer != NULL) {
        tw_file_writer_abort(writer->file);
        free_writer(writer);
    }
}
