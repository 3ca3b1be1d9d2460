#include "model/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/name_index.h"

enum { LENGTH_BYTES = 8 };

struct tw_safetensors {
    struct tw_file_map map; /* empty when the bytes are the caller's */
    struct tw_arena arena;
    size_t n_tensors;
    struct tw_tensor_view *tensors;
    struct tw_name_index index;
};

/* The file while its header is being read. */
struct opening {
    const char *name;
    const unsigned char *data; /* the data section */
    size_t data_bytes;
    struct tw_error *error;
};

static enum tw_status read_dtype(const struct opening *file, const char *name, const json_t *entry,
                                 enum tw_dtype *ret_dtype)
{
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (text == NULL) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: tensor '%s': expected a text under dtype", file->name, name);
    }
    static const struct {
        const char *name;
        enum tw_dtype dtype;
    } rows[] = {{"F32", TW_DTYPE_F32}, {"F16", TW_DTYPE_F16}, {"BF16", TW_DTYPE_BF16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(text, rows[i].name) == 0) {
            *ret_dtype = rows[i].dtype;
            return TW_OK;
        }
    }
    return tw_error_set(file->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "%s: tensor '%s' has dtype %.16s; F32, F16 and BF16 are read", file->name,
                        name, text);
}

/* The file's slowest dimension comes first, ours last. */
static enum tw_status read_shape(const struct opening *file, const char *name, const json_t *entry,
                                 struct tw_tensor_view *view, uint64_t *ret_elements)
{
    const json_t *shape = json_object_get(entry, "shape");
    size_t n = json_array_size(shape);
    uint64_t n_elements = 1;
    bool fits = json_is_array(shape) && n <= TW_TENSOR_DIMS;
    for (size_t i = 0; i < TW_TENSOR_DIMS && fits; i++) {
        const json_t *item = i < n ? json_array_get(shape, n - 1 - i) : NULL;
        json_int_t size = item != NULL ? json_integer_value(item) : 1;
        fits = (item == NULL || json_is_integer(item)) && size > 0 &&
               (uint64_t)size <= (uint64_t)INT64_MAX / n_elements;
        if (fits) {
            view->shape[i] = (uint64_t)size;
            n_elements *= (uint64_t)size;
        }
    }
    if (!fits) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: tensor '%s': expected a shape of up to %d whole numbers above 0",
                            file->name, name, TW_TENSOR_DIMS);
    }
    *ret_elements = n_elements;
    return TW_OK;
}

static enum tw_status read_offsets(const struct opening *file, const char *name,
                                   const json_t *entry, struct tw_tensor_view *view,
                                   uint64_t n_elements)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0);
    const json_t *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last)) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: tensor '%s': expected two whole numbers under data_offsets",
                            file->name, name);
    }
    json_int_t begin = json_integer_value(first);
    json_int_t end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > file->data_bytes) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: tensor '%s': data_offsets [%lld, %lld] leave the %zu bytes of "
                            "data",
                            file->name, name, (long long)begin, (long long)end, file->data_bytes);
    }
    uint64_t size_bytes = (uint64_t)(end - begin);
    size_t element_bytes = tw_dtype_traits(view->dtype)->block_bytes;
    if (size_bytes % element_bytes != 0 || size_bytes / element_bytes != n_elements) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: tensor '%s': %" PRIu64 " elements of %s are not %" PRIu64 " bytes",
                            file->name, name, n_elements, tw_dtype_traits(view->dtype)->name,
                            size_bytes);
    }
    view->data = file->data + begin;
    view->size_bytes = (size_t)size_bytes;
    if ((uintptr_t)view->data % element_bytes != 0) {
        return tw_error_set(file->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "%s: tensor '%s': data is not aligned to its %zu-byte elements",
                            file->name, name, element_bytes);
    }
    return TW_OK;
}

static enum tw_status read_tensor(struct tw_safetensors *self, const struct opening *file,
                                  const char *name, const json_t *entry,
                                  struct tw_tensor_view *view)
{
    size_t name_bytes = strlen(name);
    if (name_bytes == 0 || name_bytes > TW_LIMIT_MODEL_NAME_BYTES) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: a tensor's name has %zu bytes; expected 1 to %d", file->name,
                            name_bytes, TW_LIMIT_MODEL_NAME_BYTES);
    }
    view->name = tw_arena_strndup(&self->arena, name, name_bytes);
    if (view->name == NULL) {
        return tw_error_set(file->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for names");
    }
    enum tw_status status = read_dtype(file, name, entry, &view->dtype);
    uint64_t n_elements = 0;
    if (status == TW_OK) {
        status = read_shape(file, name, entry, view, &n_elements);
    }
    return status == TW_OK ? read_offsets(file, name, entry, view, n_elements) : status;
}

static int compare_data(const void *left, const void *right)
{
    const struct tw_tensor_view *a = left;
    const struct tw_tensor_view *b = right;
    return ((uintptr_t)a->data > (uintptr_t)b->data) - ((uintptr_t)a->data < (uintptr_t)b->data);
}

/* Sorts the tensors by their data and wants each to begin where the one before it ends. */
static enum tw_status check_coverage(struct tw_safetensors *self, const struct opening *file)
{
    if (self->n_tensors > 1) {
        qsort(self->tensors, self->n_tensors, sizeof *self->tensors, compare_data);
    }
    const unsigned char *at = file->data;
    for (size_t i = 0; i < self->n_tensors; i++) {
        const struct tw_tensor_view *view = &self->tensors[i];
        if (view->data != at) {
            return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "%s: tensor '%s' begins at byte %zu of the data; expected %zu",
                                file->name, view->name,
                                (size_t)((const unsigned char *)view->data - file->data),
                                (size_t)(at - file->data));
        }
        at += view->size_bytes;
    }
    if (at != file->data + file->data_bytes) {
        return tw_error_set(file->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: %zu bytes of data belong to no tensor", file->name,
                            (size_t)(file->data + file->data_bytes - at));
    }
    return TW_OK;
}

static enum tw_status index_names(struct tw_safetensors *self, const struct opening *file)
{
    size_t twice = 0;
    if (!tw_name_index_init(&self->index, &self->arena, self->n_tensors)) {
        return tw_error_set(file->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for names");
    }
    for (size_t i = 0; i < self->n_tensors; i++) {
        const char *name = self->tensors[i].name;
        tw_name_index_add(&self->index, name, strlen(name), i);
    }
    bool unique = tw_name_index_sort(&self->index, &twice);
    assert(unique); /* they are the keys of one JSON object */
    (void)unique;
    return TW_OK;
}

static enum tw_status read_tensors(struct tw_safetensors *self, const struct opening *file,
                                   json_t *header)
{
    size_t n = json_object_size(header);
    if (n > TW_LIMIT_MODEL_TENSORS) {
        return tw_error_set(file->error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%s: the header names %zu tensors; at most %d are read", file->name, n,
                            TW_LIMIT_MODEL_TENSORS);
    }
    self->tensors = tw_arena_alloc(&self->arena, n, sizeof *self->tensors);
    if (self->tensors == NULL) {
        return tw_error_set(file->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    const char *name;
    json_t *entry;
    json_object_foreach (header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        enum tw_status status =
            read_tensor(self, file, name, entry, &self->tensors[self->n_tensors]);
        if (status != TW_OK) {
            return status;
        }
        self->n_tensors++;
    }
    enum tw_status status = check_coverage(self, file);
    return status == TW_OK ? index_names(self, file) : status;
}

/* The header is parsed from a copy: the file may be written to meanwhile.
 * Duplicate keys would make one tensor vanish; jansson refuses them when asked to. */
static enum tw_status parse_header(const char *text, size_t text_bytes, const char *name,
                                   json_t **ret_header, struct tw_error *error)
{
    enum tw_status status = tw_json_check(text, text_bytes, name, error);
    if (status != TW_OK) {
        return status;
    }
    json_error_t reason;
    json_t *header = json_loadb(text, text_bytes, JSON_REJECT_DUPLICATES, &reason);
    if (header == NULL) {
        uint64_t position = LENGTH_BYTES + (uint64_t)reason.position;
        return tw_error_set(error, TW_ERR_FORMAT, position,
                            "%s: at byte %" PRIu64 ": the header is no valid JSON: %s", name,
                            position, reason.text);
    }
    if (!json_is_object(header)) {
        json_decref(header);
        return tw_error_set(error, TW_ERR_FORMAT, LENGTH_BYTES, "%s: the header is no JSON object",
                            name);
    }
    *ret_header = header;
    return TW_OK;
}

static enum tw_status check_length(const unsigned char *bytes, size_t size_bytes, const char *name,
                                   size_t *ret_length, struct tw_error *error)
{
    uint64_t length = 0;
    if (size_bytes < LENGTH_BYTES) {
        return tw_error_set(error, TW_ERR_FORMAT, 0,
                            "%s: expected 8 bytes of header length, the file has %zu", name,
                            size_bytes);
    }
    memcpy(&length, bytes, sizeof length);
    if (length > size_bytes - LENGTH_BYTES) {
        return tw_error_set(error, TW_ERR_FORMAT, 0,
                            "%s: the header claims %" PRIu64 " bytes, the file has %zu", name,
                            length, size_bytes);
    }
    if (length > TW_LIMIT_MODEL_CONFIG_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, 0,
                            "%s: the header has %" PRIu64 " bytes; at most %u are read", name,
                            length, TW_LIMIT_MODEL_CONFIG_BYTES);
    }
    *ret_length = (size_t)length;
    return TW_OK;
}

static enum tw_status read_file(struct tw_safetensors *self, const unsigned char *bytes,
                                size_t size_bytes, const char *name, struct tw_error *error)
{
    size_t length = 0;
    enum tw_status status = check_length(bytes, size_bytes, name, &length, error);
    if (status != TW_OK) {
        return status;
    }
    char *text = tw_mem_strndup((const char *)bytes + LENGTH_BYTES, length);
    if (text == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "%s: no memory", name);
    }
    json_t *header = NULL;
    status = parse_header(text, length, name, &header, error);
    tw_mem_free(text);
    if (status != TW_OK) {
        return status;
    }
    struct opening file = {.name = name,
                           .data = bytes + LENGTH_BYTES + length,
                           .data_bytes = size_bytes - LENGTH_BYTES - length,
                           .error = error};
    status = read_tensors(self, &file, header);
    json_decref(header);
    return status;
}

enum tw_status tw_safetensors_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_safetensors **ret_file, struct tw_error *error)
{
    struct tw_safetensors *self = tw_mem_zalloc(1, sizeof *self);
    if (self == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "%s: no memory", name);
    }
    tw_arena_init(&self->arena, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    enum tw_status status = read_file(self, data, size_bytes, name, error);
    if (status != TW_OK) {
        tw_safetensors_close(self);
        return status;
    }
    *ret_file = self;
    return TW_OK;
}

enum tw_status tw_safetensors_open(const char *path, struct tw_safetensors **ret_file,
                                   struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    const char *slash = strrchr(path, '/');
    struct tw_safetensors *self = NULL;
    status = tw_safetensors_open_memory(map.data, map.size_bytes, slash != NULL ? slash + 1 : path,
                                        &self, error);
    if (status != TW_OK) {
        tw_file_map_close(&map);
        return status;
    }
    self->map = map;
    *ret_file = self;
    return TW_OK;
}

void tw_safetensors_close(struct tw_safetensors *file)
{
    if (file != NULL) {
        tw_arena_clear(&file->arena);
        tw_file_map_close(&file->map);
        tw_mem_free(file);
    }
}

struct tw_file_stamp tw_safetensors_stamp(const struct tw_safetensors *file)
{
    return file->map.stamp;
}

size_t tw_safetensors_count(const struct tw_safetensors *file)
{
    return file->n_tensors;
}

const struct tw_tensor_view *tw_safetensors_tensor(const struct tw_safetensors *file, size_t i)
{
    return &file->tensors[i];
}

const struct tw_tensor_view *tw_safetensors_find(const struct tw_safetensors *file,
                                                 const char *name)
{
    size_t i = 0;
    bool found = tw_name_index_find(&file->index, name, strlen(name), &i);
    return found ? &file->tensors[i] : NULL;
}
