/* Implements tensors.h over gguf.h and hf_folder.h. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/gguf.h"
#include "model/hf_folder.h"
#include "model/name_index.h"
#include "model/tensors.h"

struct tw_model_files {
    struct tw_arena arena;
    size_t n_parts; /* GGUF files; 0 for a folder */
    struct tw_gguf **parts;
    struct tw_hf_folder *folder;
    size_t n_tensors;
    const struct tw_tensor_view **tensors;
    struct tw_name_index index;
};

/* ---- split GGUF files ---- */

/* The part of "-00001-of-00003.gguf" that differs. */
enum { SPLIT_SUFFIX_BYTES = sizeof "-00001-of-00003.gguf" - 1 };

static bool split_key(const struct tw_gguf *gguf, const char *key, uint64_t *ret_value)
{
    return tw_gguf_value_uint(tw_gguf_find_value(gguf, key), ret_value);
}

/* The path of part i (from 0) of n, from the path of the first. False when that is not named as
 * the first of n parts. */
static bool part_path(const char *first, size_t i, size_t n, char *ret_path, size_t path_bytes)
{
    char suffix[SPLIT_SUFFIX_BYTES + 16];
    size_t length = strlen(first);
    snprintf(suffix, sizeof suffix, "-00001-of-%05zu.gguf", n);
    if (length < SPLIT_SUFFIX_BYTES || strcmp(first + length - SPLIT_SUFFIX_BYTES, suffix) != 0) {
        return false;
    }
    int stem = (int)(length - SPLIT_SUFFIX_BYTES);
    int written = snprintf(ret_path, path_bytes, "%.*s-%05zu-of-%05zu.gguf", stem, first, i + 1, n);
    return written > 0 && (size_t)written < path_bytes;
}

static enum tw_status check_part(const struct tw_gguf *part, const char *path, size_t i, size_t n,
                                 struct tw_error *error)
{
    uint64_t number = 0;
    uint64_t count = 0;
    if (!split_key(part, "split.no", &number) || !split_key(part, "split.count", &count) ||
        number != i || count != n) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s': expected split.no %zu and split.count %zu", path, i, n);
    }
    return TW_OK;
}

static enum tw_status open_parts(struct tw_model_files *files, const char *first, size_t n,
                                 struct tw_error *error)
{
    char path[4096];
    for (size_t i = 1; i < n; i++) {
        if (!part_path(first, i, n, path, sizeof path)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "'%s' is the first of %zu files; its name must end in "
                                "-00001-of-%05zu.gguf",
                                first, n, n);
        }
        enum tw_status status = tw_gguf_open(path, &files->parts[i], error);
        if (status != TW_OK) {
            return status;
        }
        files->n_parts++;
        status = check_part(files->parts[i], path, i, n, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

static enum tw_status count_parts(const struct tw_gguf *first, const char *path, size_t *ret_n,
                                  struct tw_error *error)
{
    uint64_t n = 1;
    uint64_t number = 0;
    split_key(first, "split.count", &n);
    split_key(first, "split.no", &number);
    n = n != 0 ? n : 1;
    if (n > TW_LIMIT_MODEL_SHARDS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%s': the model is split into %llu files; at most %d are read", path,
                            (unsigned long long)n, TW_LIMIT_MODEL_SHARDS);
    }
    if (number != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%s' is file %llu of %llu of a split model; name the first one", path,
                            (unsigned long long)number + 1, (unsigned long long)n);
    }
    *ret_n = (size_t)n;
    return TW_OK;
}

static enum tw_status check_total(const struct tw_model_files *files, const char *path,
                                  struct tw_error *error)
{
    uint64_t total = 0;
    if (files->n_parts > 1 && split_key(files->parts[0], "split.tensors.count", &total) &&
        total != files->n_tensors) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s': split.tensors.count is %llu, the files have %zu tensors", path,
                            (unsigned long long)total, files->n_tensors);
    }
    return TW_OK;
}

/* Takes the first file over, whatever this returns. */
static enum tw_status keep_first(struct tw_model_files *files, struct tw_gguf *first, size_t n,
                                 struct tw_error *error)
{
    files->parts = tw_arena_alloc(&files->arena, n, sizeof(struct tw_gguf *));
    if (files->parts == NULL) {
        tw_gguf_close(first);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    files->parts[0] = first;
    files->n_parts = 1;
    return TW_OK;
}

static enum tw_status open_gguf(struct tw_model_files *files, const char *path,
                                struct tw_error *error)
{
    struct tw_gguf *first = NULL;
    enum tw_status status = tw_gguf_open(path, &first, error);
    if (status != TW_OK) {
        return status;
    }
    size_t n = 0;
    status = count_parts(first, path, &n, error);
    if (status != TW_OK) {
        tw_gguf_close(first);
        return status;
    }
    status = keep_first(files, first, n, error);
    return status == TW_OK ? open_parts(files, path, n, error) : status;
}

/* ---- folders ---- */

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text);
    size_t m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static enum tw_status open_folder(struct tw_model_files *files, const char *path,
                                  struct tw_error *error)
{
    if (tw_file_is_directory(path)) {
        return tw_hf_folder_open(path, &files->folder, error);
    }
    const char *slash = strrchr(path, '/');
    char *folder =
        slash != NULL ? tw_mem_strndup(path, (size_t)(slash - path) + 1) : tw_mem_strndup(".", 1);
    if (folder == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    enum tw_status status = tw_hf_folder_open(folder, &files->folder, error);
    tw_mem_free(folder);
    return status;
}

/* ---- the directory ---- */

static const struct tw_tensor_view *source_tensor(const struct tw_model_files *files, size_t *part,
                                                  size_t *i)
{
    if (files->folder != NULL) {
        return *i < tw_hf_folder_n_tensors(files->folder)
                   ? tw_hf_folder_tensor(files->folder, (*i)++)
                   : NULL;
    }
    while (*part < files->n_parts && *i == tw_gguf_n_tensors(files->parts[*part])) {
        ++*part;
        *i = 0;
    }
    return *part < files->n_parts ? tw_gguf_tensor(files->parts[*part], (*i)++) : NULL;
}

static size_t count_tensors(const struct tw_model_files *files)
{
    size_t n = files->folder != NULL ? tw_hf_folder_n_tensors(files->folder) : 0;
    for (size_t i = 0; i < files->n_parts; i++) {
        n += tw_gguf_n_tensors(files->parts[i]);
    }
    return n;
}

static enum tw_status index_tensors(struct tw_model_files *files, const char *path,
                                    struct tw_error *error)
{
    size_t n = count_tensors(files);
    if (n > TW_LIMIT_MODEL_TENSORS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%s': the model has %zu tensors; at most %d are read", path, n,
                            TW_LIMIT_MODEL_TENSORS);
    }
    files->tensors = tw_arena_alloc(&files->arena, n, sizeof *files->tensors);
    if (files->tensors == NULL || !tw_name_index_init(&files->index, &files->arena, n)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %zu tensors", n);
    }
    size_t part = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tw_tensor_view *tensor = source_tensor(files, &part, &at);
        files->tensors[i] = tensor;
        tw_name_index_add(&files->index, tensor->name, strlen(tensor->name), i);
    }
    files->n_tensors = n;
    size_t twice = 0;
    if (!tw_name_index_sort(&files->index, &twice)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s': tensor '%s' is in two of the model's files", path,
                            files->tensors[twice]->name);
    }
    return TW_OK;
}

static struct tw_model_files *new_files(const char *path, struct tw_error *error)
{
    struct tw_model_files *files = tw_mem_zalloc(1, sizeof *files);
    if (files == NULL) {
        tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to open '%s'", path);
    } else {
        tw_arena_init(&files->arena, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    }
    return files;
}

/* What follows once the sources are open; closes the object on failure. */
static enum tw_status finish(struct tw_model_files *files, enum tw_status status, const char *path,
                             struct tw_model_files **ret_files, struct tw_error *error)
{
    if (status == TW_OK) {
        status = index_tensors(files, path, error);
    }
    if (status == TW_OK) {
        status = check_total(files, path, error);
    }
    if (status != TW_OK) {
        tw_model_files_close(files);
        return status;
    }
    *ret_files = files;
    return TW_OK;
}

enum tw_status tw_model_files_open(const char *path, struct tw_model_files **ret_files,
                                   struct tw_error *error)
{
    struct tw_model_files *files = new_files(path, error);
    if (files == NULL) {
        return TW_ERR_MEMORY;
    }
    bool is_folder =
        tw_file_is_directory(path) || has_suffix(path, ".json") || has_suffix(path, ".safetensors");
    enum tw_status status =
        is_folder ? open_folder(files, path, error) : open_gguf(files, path, error);
    return finish(files, status, path, ret_files, error);
}

enum tw_status tw_model_files_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_model_files **ret_files, struct tw_error *error)
{
    struct tw_model_files *files = new_files(name, error);
    if (files == NULL) {
        return TW_ERR_MEMORY;
    }
    struct tw_gguf *gguf = NULL;
    enum tw_status status = tw_gguf_open_memory(data, size_bytes, name, &gguf, error);
    if (status == TW_OK) {
        status = keep_first(files, gguf, 1, error);
    }
    return finish(files, status, name, ret_files, error);
}

void tw_model_files_close(struct tw_model_files *files)
{
    if (files == NULL) {
        return;
    }
    for (size_t i = 0; i < files->n_parts; i++) {
        tw_gguf_close(files->parts[i]);
    }
    tw_hf_folder_close(files->folder);
    tw_arena_clear(&files->arena);
    tw_mem_free(files);
}

/* ---- reading ---- */

enum tw_model_source tw_model_files_source(const struct tw_model_files *files)
{
    return files->folder != NULL ? TW_MODEL_HF_FOLDER : TW_MODEL_GGUF;
}

size_t tw_model_files_count(const struct tw_model_files *files)
{
    return files->n_tensors;
}

const struct tw_tensor_view *tw_model_files_tensor(const struct tw_model_files *files, size_t i)
{
    assert(i < files->n_tensors);
    return files->tensors[i];
}

size_t tw_model_files_n_parts(const struct tw_model_files *files)
{
    return files->folder != NULL ? tw_hf_folder_n_files(files->folder) : files->n_parts;
}

struct tw_file_stamp tw_model_files_stamp(const struct tw_model_files *files, size_t i)
{
    assert(i < tw_model_files_n_parts(files));
    return files->folder != NULL ? tw_hf_folder_stamp(files->folder, i)
                                 : tw_gguf_stamp(files->parts[i]);
}

const struct tw_tensor_view *tw_model_files_find(const struct tw_model_files *files,
                                                 const char *name)
{
    size_t i = 0;
    bool found = tw_name_index_find(&files->index, name, strlen(name), &i);
    return found ? files->tensors[i] : NULL;
}

const struct tw_gguf *tw_model_files_gguf(const struct tw_model_files *files)
{
    return files->folder != NULL ? NULL : files->parts[0];
}

static const struct tw_gguf_value *find_value(const struct tw_model_files *files, const char *key)
{
    return files->folder != NULL ? NULL : tw_gguf_find_value(files->parts[0], key);
}

bool tw_model_files_uint(const struct tw_model_files *files, const char *key, uint64_t *ret_value)
{
    return tw_gguf_value_uint(find_value(files, key), ret_value);
}

bool tw_model_files_double(const struct tw_model_files *files, const char *key, double *ret_value)
{
    return tw_gguf_value_double(find_value(files, key), ret_value);
}

bool tw_model_files_bool(const struct tw_model_files *files, const char *key, bool *ret_value)
{
    return tw_gguf_value_bool(find_value(files, key), ret_value);
}

bool tw_model_files_string(const struct tw_model_files *files, const char *key,
                           struct tw_bytes *ret_value)
{
    return tw_gguf_value_string(find_value(files, key), ret_value);
}

bool tw_model_files_array_length(const struct tw_model_files *files, const char *key,
                                 uint64_t *ret_length)
{
    const struct tw_gguf_value *value = find_value(files, key);
    if (value == NULL || !value->is_array) {
        return false;
    }
    *ret_length = value->n_items;
    return true;
}

const json_t *tw_model_files_config(const struct tw_model_files *files)
{
    return files->folder != NULL ? tw_hf_folder_config(files->folder) : NULL;
}

const json_t *tw_model_files_generation_config(const struct tw_model_files *files)
{
    return files->folder != NULL ? tw_hf_folder_generation_config(files->folder) : NULL;
}

const struct tw_hf_folder *tw_model_files_folder(const struct tw_model_files *files)
{
    return files->folder;
}

struct tw_bytes tw_model_files_chat_template(const struct tw_model_files *files)
{
    struct tw_bytes text = {"", 0};
    if (files->folder != NULL) {
        return tw_hf_folder_chat_template(files->folder);
    }
    tw_model_files_string(files, "tokenizer.chat_template", &text);
    return text;
}

size_t tw_tensor_slice_bytes(const struct tw_tensor_view *view)
{
    return view->size_bytes / (size_t)view->shape[2];
}

const void *tw_tensor_slice(const struct tw_tensor_view *view, uint64_t i)
{
    assert(i < view->shape[2]);
    return view->slices != NULL
               ? view->slices[i]
               : (const unsigned char *)view->data + i * tw_tensor_slice_bytes(view);
}

void tw_tensor_row_map(const struct tw_tensor_view *view, uint32_t n_heads, uint32_t *ret_map)
{
    uint32_t n_rows = (uint32_t)view->shape[1];
    uint32_t head_rows = n_rows / n_heads;
    assert(n_heads != 0 && n_rows % n_heads == 0);
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t head = r / head_rows * head_rows;
        uint32_t in_head = r % head_rows;
        bool is_moved = view->rows_are_half_split;
        ret_map[r] = is_moved ? head + in_head % 2 * (head_rows / 2) + in_head / 2 : r;
    }
}
