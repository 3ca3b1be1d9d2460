#include "model/hf_folder.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

struct tw_hf_folder {
    struct tw_arena arena;
    char *path;
    json_t *config;
    json_t *generation_config;
    json_t *tokenizer_config;
    struct tw_buf template_file; /* chat_template.jinja */
    const struct tw_arch *arch;
    size_t n_files;
    struct tw_safetensors **files;
    size_t n_tensors;
    struct tw_tensor_view *tensors;
    /* Of an architecture with experts: what config.json says, and, by layer and row of the
     * architecture, the slices of each tensor that is put together from experts. */
    uint32_t n_experts, n_layers;
    struct expert_tensor *expert_tensors;
};

/* A tensor of three dimensions as far as it was found. */
struct expert_tensor {
    struct tw_tensor_view *view; /* NULL: nothing yet */
    const void **slices;         /* [n_experts], NULL where it is missing */
};

/* ---- files ---- */

/* "folder/name" in the arena; NULL when memory ends. */
static char *join(struct tw_hf_folder *folder, const char *name)
{
    size_t room = strlen(folder->path) + strlen(name) + 2;
    char *path = tw_arena_alloc(&folder->arena, room, 1);
    if (path != NULL) {
        snprintf(path, room, "%s/%s", folder->path, name);
    }
    return path;
}

static enum tw_status no_memory(const struct tw_hf_folder *folder, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to open '%s'",
                        folder->path);
}

/* A JSON object; an absent file that may be absent leaves *ret_value NULL. */
static enum tw_status load_object(struct tw_hf_folder *folder, const char *name, bool is_required,
                                  json_t **ret_value, struct tw_error *error)
{
    char *path = join(folder, name);
    if (path == NULL) {
        return no_memory(folder, error);
    }
    if (!is_required && !tw_file_exists(path)) {
        return TW_OK;
    }
    json_t *value = NULL;
    enum tw_status status = tw_json_load(path, TW_LIMIT_MODEL_CONFIG_BYTES, &value, error);
    if (status != TW_OK) {
        return status;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return tw_error_set(error, TW_ERR_FORMAT, 0, "'%s': expected a JSON object", path);
    }
    *ret_value = value;
    return TW_OK;
}

static enum tw_status load_template(struct tw_hf_folder *folder, struct tw_error *error)
{
    char *path = join(folder, "chat_template.jinja");
    if (path == NULL) {
        return no_memory(folder, error);
    }
    if (!tw_file_exists(path)) {
        return TW_OK;
    }
    return tw_file_load(path, TW_LIMIT_MODEL_STRING_BYTES, &folder->template_file, error);
}

/* ---- weights ---- */

/* A name from an index must stay in the folder. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static enum tw_status add_file(struct tw_hf_folder *folder, const char *name,
                               struct tw_error *error)
{
    char *path = join(folder, name);
    if (path == NULL) {
        return no_memory(folder, error);
    }
    enum tw_status status = tw_safetensors_open(path, &folder->files[folder->n_files], error);
    if (status == TW_OK) {
        folder->n_files++;
    }
    return status;
}

/* The distinct file names of weight_map become the keys of an object, numbered in order. */
static enum tw_status collect_names(const json_t *map, json_t *names, struct tw_error *error)
{
    const char *tensor;
    json_t *file;
    json_object_foreach ((json_t *)(uintptr_t)map, tensor, file) {
        const char *name = json_string_value(file);
        if (name == NULL || !is_plain_name(name)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "tensor '%.128s': expected the name of a file in the folder",
                                tensor);
        }
        json_int_t number = (json_int_t)json_object_size(names);
        if (json_object_get(names, name) == NULL &&
            json_object_set_new(names, name, json_integer(number)) != 0) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
        }
        if (json_object_size(names) > TW_LIMIT_MODEL_SHARDS) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "the model is split into more than %d files",
                                TW_LIMIT_MODEL_SHARDS);
        }
    }
    return TW_OK;
}

static enum tw_status open_names(struct tw_hf_folder *folder, json_t *names, struct tw_error *error)
{
    size_t n = json_object_size(names);
    folder->files = tw_arena_alloc(&folder->arena, n, sizeof(struct tw_safetensors *));
    if (folder->files == NULL) {
        return no_memory(folder, error);
    }
    const char *name;
    json_t *number;
    json_object_foreach (names, name, number) {
        enum tw_status status = add_file(folder, name, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* A tensor missing from its file would otherwise show under its GGUF name only, or not at all. */
static enum tw_status check_index(const struct tw_hf_folder *folder, const json_t *map,
                                  const json_t *names, struct tw_error *error)
{
    const char *tensor;
    json_t *file;
    json_object_foreach ((json_t *)(uintptr_t)map, tensor, file) {
        const char *name = json_string_value(file);
        json_int_t number = json_integer_value(json_object_get(names, name));
        if (tw_safetensors_find(folder->files[number], tensor) == NULL) {
            return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                "tensor '%.128s' is not in '%.96s'", tensor, name);
        }
    }
    return TW_OK;
}

static enum tw_status open_index(struct tw_hf_folder *folder, struct tw_error *error)
{
    static const char index_name[] = "model.safetensors.index.json";
    json_t *index = NULL;
    enum tw_status status = load_object(folder, index_name, true, &index, error);
    if (status != TW_OK) {
        return status;
    }
    json_t *names = json_object();
    const json_t *map = json_object_get(index, "weight_map");
    if (names == NULL) {
        status = no_memory(folder, error);
    } else if (!json_is_object(map)) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "expected an object under weight_map");
    } else {
        status = collect_names(map, names, error);
    }
    if (status != TW_OK) {
        tw_error_prefix(error, "%s", index_name);
    }
    if (status == TW_OK) {
        status = open_names(folder, names, error);
    }
    if (status == TW_OK && (status = check_index(folder, map, names, error)) != TW_OK) {
        tw_error_prefix(error, "%s", index_name);
    }
    json_decref(names);
    json_decref(index);
    return status;
}

static enum tw_status open_weights(struct tw_hf_folder *folder, struct tw_error *error)
{
    char *single = join(folder, "model.safetensors");
    char *index = join(folder, "model.safetensors.index.json");
    if (single == NULL || index == NULL) {
        return no_memory(folder, error);
    }
    if (tw_file_exists(single)) {
        folder->files = tw_arena_alloc(&folder->arena, 1, sizeof(struct tw_safetensors *));
        return folder->files != NULL ? add_file(folder, "model.safetensors", error)
                                     : no_memory(folder, error);
    }
    if (tw_file_exists(index)) {
        return open_index(folder, error);
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "'%s' has neither model.safetensors nor model.safetensors.index.json",
                        folder->path);
}

/* ---- names ---- */

/* Tables of inverse frequencies that old files carry; they follow from the shape. */
static bool is_ignored(const struct tw_hf_folder *folder, const char *name)
{
    static const char inv_freq[] = ".rotary_emb.inv_freq";
    size_t n = strlen(name);
    size_t m = sizeof inv_freq - 1;
    if (n > m && strcmp(name + n - m, inv_freq) == 0) {
        return true;
    }
    bool is_tied = json_is_true(json_object_get(folder->config, "tie_word_embeddings"));
    return is_tied && strcmp(name, "lm_head.weight") == 0;
}

/* Models for embeddings are saved without their head, and the names without "model." (Qwen3). */
static const struct tw_arch_tensor *match(const struct tw_hf_folder *folder, const char *name,
                                          uint32_t *ret_layer, uint32_t *ret_expert)
{
    char full_name[TW_LIMIT_MODEL_NAME_BYTES];
    const struct tw_arch_tensor *row =
        tw_arch_match_expert(folder->arch, name, false, ret_layer, ret_expert);
    int n = snprintf(full_name, sizeof full_name, "model.%s", name);
    return row == NULL && n > 0 && (size_t)n < sizeof full_name
               ? tw_arch_match_expert(folder->arch, full_name, false, ret_layer, ret_expert)
               : row;
}

static enum tw_status refuse_tensor(const struct tw_hf_folder *folder, const char *name,
                                    struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "the model has a tensor '%s', which %s models do not use", name,
                        folder->arch->name);
}

/* A view of `source` under its GGUF name. */
static enum tw_status add_view(struct tw_hf_folder *folder, const struct tw_tensor_view *source,
                               const struct tw_arch_tensor *row, uint32_t layer,
                               struct tw_tensor_view **ret_view, struct tw_error *error)
{
    char name[TW_ARCH_NAME_BYTES];
    tw_arch_tensor_name(row, layer, name);
    struct tw_tensor_view *view = &folder->tensors[folder->n_tensors];
    *view = *source;
    view->name = tw_arena_strndup(&folder->arena, name, strlen(name));
    view->rows_are_half_split = row->rotated && folder->arch->interleaved_rope;
    if (view->name == NULL) {
        return no_memory(folder, error);
    }
    folder->n_tensors++;
    *ret_view = view;
    return TW_OK;
}

/* ---- experts: many tensors of a folder are one to us ---- */

static size_t count_arch_rows(const struct tw_arch *arch)
{
    size_t n = 0;
    while (arch->tensors[n].gguf_name != NULL) {
        n++;
    }
    return n;
}

static enum tw_status prepare_experts(struct tw_hf_folder *folder, struct tw_error *error)
{
    struct tw_model_shape shape;
    if (!folder->arch->has_experts) {
        return TW_OK;
    }
    enum tw_status status = tw_arch_read_config(folder->config, &shape, error);
    if (status != TW_OK) {
        return status;
    }
    size_t n = shape.n_layers * count_arch_rows(folder->arch);
    folder->n_experts = shape.n_experts;
    folder->n_layers = shape.n_layers;
    folder->expert_tensors = tw_arena_alloc(&folder->arena, n, sizeof *folder->expert_tensors);
    if (folder->expert_tensors == NULL) {
        return no_memory(folder, error);
    }
    return TW_OK;
}

static enum tw_status begin_expert_tensor(struct tw_hf_folder *folder,
                                          const struct tw_tensor_view *source,
                                          const struct tw_arch_tensor *row, uint32_t layer,
                                          struct expert_tensor *tensor, struct tw_error *error)
{
    tensor->slices = tw_arena_alloc(&folder->arena, folder->n_experts, sizeof *tensor->slices);
    if (tensor->slices == NULL) {
        return no_memory(folder, error);
    }
    enum tw_status status = add_view(folder, source, row, layer, &tensor->view, error);
    if (status == TW_OK) {
        tensor->view->data = NULL;
        tensor->view->slices = tensor->slices;
        tensor->view->shape[2] = folder->n_experts;
        tensor->view->size_bytes = 0;
    }
    return status;
}

static enum tw_status add_expert(struct tw_hf_folder *folder, const struct tw_tensor_view *source,
                                 const struct tw_arch_tensor *row, uint32_t layer, uint32_t expert,
                                 struct tw_error *error)
{
    if (layer >= folder->n_layers || expert >= folder->n_experts) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model has a tensor '%s', but %u layers of %u experts",
                            source->name, folder->n_layers, folder->n_experts);
    }
    size_t i = layer * count_arch_rows(folder->arch) + (size_t)(row - folder->arch->tensors);
    struct expert_tensor *tensor = &folder->expert_tensors[i];
    if (tensor->view == NULL) {
        enum tw_status status = begin_expert_tensor(folder, source, row, layer, tensor, error);
        if (status != TW_OK) {
            return status;
        }
    }
    struct tw_tensor_view *view = tensor->view;
    if (tensor->slices[expert] != NULL) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s': tensor '%s' is there twice", folder->path, source->name);
    }
    if (source->dtype != view->dtype || source->shape[0] != view->shape[0] ||
        source->shape[1] != view->shape[1] || source->shape[2] != 1 || source->shape[3] != 1) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tensor '%s' has another type or shape than those of other experts",
                            source->name);
    }
    tensor->slices[expert] = source->data;
    view->size_bytes += source->size_bytes;
    return TW_OK;
}

static enum tw_status check_experts(const struct tw_hf_folder *folder, struct tw_error *error)
{
    size_t n_rows = count_arch_rows(folder->arch);
    for (size_t i = 0; i < folder->n_layers * n_rows; i++) {
        const struct expert_tensor *tensor = &folder->expert_tensors[i];
        for (uint32_t expert = 0; tensor->view != NULL && expert < folder->n_experts; expert++) {
            if (tensor->slices[expert] == NULL) {
                return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                    "the model has no matrix of expert %u for '%s'", expert,
                                    tensor->view->name);
            }
        }
    }
    return TW_OK;
}

static enum tw_status add_tensor(struct tw_hf_folder *folder, const struct tw_tensor_view *source,
                                 struct tw_error *error)
{
    uint32_t layer = 0, expert = 0;
    const struct tw_arch_tensor *row = match(folder, source->name, &layer, &expert);
    struct tw_tensor_view *view = NULL;
    if (is_ignored(folder, source->name)) {
        return TW_OK;
    }
    if (row == NULL) {
        return refuse_tensor(folder, source->name, error);
    }
    return row->of_experts ? add_expert(folder, source, row, layer, expert, error)
                           : add_view(folder, source, row, layer, &view, error);
}

static enum tw_status name_tensors(struct tw_hf_folder *folder, struct tw_error *error)
{
    size_t n = 0;
    for (size_t i = 0; i < folder->n_files; i++) {
        n += tw_safetensors_count(folder->files[i]);
    }
    if (n > TW_LIMIT_MODEL_TENSORS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%s': the model has %zu tensors; at most %d are read", folder->path, n,
                            TW_LIMIT_MODEL_TENSORS);
    }
    folder->tensors = tw_arena_alloc(&folder->arena, n, sizeof *folder->tensors);
    if (folder->tensors == NULL) {
        return no_memory(folder, error);
    }
    enum tw_status status = prepare_experts(folder, error);
    if (status != TW_OK) {
        return status;
    }
    for (size_t i = 0; i < folder->n_files; i++) {
        for (size_t k = 0; k < tw_safetensors_count(folder->files[i]); k++) {
            status = add_tensor(folder, tw_safetensors_tensor(folder->files[i], k), error);
            if (status != TW_OK) {
                return status;
            }
        }
    }
    return check_experts(folder, error);
}

/* ---- the whole folder ---- */

static enum tw_status open_all(struct tw_hf_folder *folder, struct tw_error *error)
{
    enum tw_status status = load_object(folder, "config.json", true, &folder->config, error);
    if (status == TW_OK) {
        status = tw_arch_of_config(folder->config, &folder->arch, error);
    }
    if (status == TW_OK) {
        status =
            load_object(folder, "generation_config.json", false, &folder->generation_config, error);
    }
    if (status == TW_OK) {
        status =
            load_object(folder, "tokenizer_config.json", false, &folder->tokenizer_config, error);
    }
    if (status == TW_OK) {
        status = load_template(folder, error);
    }
    if (status == TW_OK) {
        status = open_weights(folder, error);
    }
    return status == TW_OK ? name_tensors(folder, error) : status;
}

enum tw_status tw_hf_folder_open(const char *path, struct tw_hf_folder **ret_folder,
                                 struct tw_error *error)
{
    struct tw_hf_folder *folder = tw_mem_zalloc(1, sizeof *folder);
    if (folder == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to open '%s'", path);
    }
    tw_arena_init(&folder->arena, TW_LIMIT_MODEL_DIRECTORY_BYTES);
    folder->path = tw_arena_strndup(&folder->arena, path, strlen(path));
    enum tw_status status = folder->path != NULL
                                ? open_all(folder, error)
                                : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    if (status != TW_OK) {
        tw_hf_folder_close(folder);
        return status;
    }
    *ret_folder = folder;
    return TW_OK;
}

void tw_hf_folder_close(struct tw_hf_folder *folder)
{
    if (folder == NULL) {
        return;
    }
    for (size_t i = 0; i < folder->n_files; i++) {
        tw_safetensors_close(folder->files[i]);
    }
    json_decref(folder->config);
    json_decref(folder->generation_config);
    json_decref(folder->tokenizer_config);
    tw_buf_free(&folder->template_file);
    tw_arena_clear(&folder->arena);
    tw_mem_free(folder);
}

const char *tw_hf_folder_path(const struct tw_hf_folder *folder)
{
    return folder->path;
}

const struct tw_arch *tw_hf_folder_arch(const struct tw_hf_folder *folder)
{
    return folder->arch;
}

const json_t *tw_hf_folder_config(const struct tw_hf_folder *folder)
{
    return folder->config;
}

const json_t *tw_hf_folder_generation_config(const struct tw_hf_folder *folder)
{
    return folder->generation_config;
}

const json_t *tw_hf_folder_tokenizer_config(const struct tw_hf_folder *folder)
{
    return folder->tokenizer_config;
}

enum tw_status tw_hf_folder_load_tokenizer(const struct tw_hf_folder *folder,
                                           json_t **ret_tokenizer, struct tw_error *error)
{
    size_t room = strlen(folder->path) + sizeof "/tokenizer.json";
    char *path = tw_mem_alloc(room, 1);
    if (path == NULL) {
        return no_memory(folder, error);
    }
    snprintf(path, room, "%s/tokenizer.json", folder->path);
    enum tw_status status = tw_json_load(path, TW_LIMIT_MODEL_JSON_BYTES, ret_tokenizer, error);
    tw_mem_free(path);
    return status;
}

/* A list holds several templates by name; "default" is the one for conversations. */
struct tw_bytes tw_hf_folder_chat_template(const struct tw_hf_folder *folder)
{
    const struct tw_buf *file = &folder->template_file;
    if (file->size_bytes != 0) {
        return (struct tw_bytes){file->data, file->size_bytes};
    }
    const json_t *text = json_object_get(folder->tokenizer_config, "chat_template");
    for (size_t i = 0; i < json_array_size(text); i++) {
        const json_t *item = json_array_get(text, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0) {
            text = json_object_get(item, "template");
            break;
        }
    }
    if (!json_is_string(text)) {
        return (struct tw_bytes){"", 0};
    }
    return (struct tw_bytes){json_string_value(text), json_string_length(text)};
}

size_t tw_hf_folder_n_tensors(const struct tw_hf_folder *folder)
{
    return folder->n_tensors;
}

const struct tw_tensor_view *tw_hf_folder_tensor(const struct tw_hf_folder *folder, size_t i)
{
    return &folder->tensors[i];
}

size_t tw_hf_folder_n_files(const struct tw_hf_folder *folder)
{
    return folder->n_files;
}

struct tw_file_stamp tw_hf_folder_stamp(const struct tw_hf_folder *folder, size_t i)
{
    return tw_safetensors_stamp(folder->files[i]);
}
