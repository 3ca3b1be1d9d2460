#include <stdio.h>
#include <string.h>

#include "model/arch.h"
#include "model/model.h"

static const struct tw_arch *const rows[] = {&tw_arch_llama, &tw_arch_qwen2, &tw_arch_qwen3,
                                             &tw_arch_qwen3moe};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

const struct tw_arch *tw_arch_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strlen(rows[i]->name) == name_bytes && memcmp(rows[i]->name, name, name_bytes) == 0) {
            return rows[i];
        }
    }
    return NULL;
}

/* model_type, where a config.json names it. */
static const struct tw_arch *find_by_type(struct tw_bytes type)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strlen(rows[i]->hf_type) == type.size_bytes &&
            memcmp(rows[i]->hf_type, type.data, type.size_bytes) == 0) {
            return rows[i];
        }
    }
    return NULL;
}

static enum tw_status refuse_unknown(struct tw_bytes name, bool is_type, struct tw_error *error)
{
    char known[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i != 0 ? ", " : "",
                              is_type ? rows[i]->hf_type : rows[i]->name);
    }
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "architecture '%.*s' is not supported; known are %s",
                        (int)(name.size_bytes < 64 ? name.size_bytes : 64), name.data, known);
}

/* A sequence classifier has the model_type of its language model, but another head. */
static enum tw_status check_class(const json_t *config, const struct tw_arch *arch,
                                  struct tw_error *error)
{
    const json_t *classes = json_object_get(config, "architectures");
    if (classes == NULL || json_is_null(classes)) {
        return TW_OK;
    }
    const char *first = json_string_value(json_array_get(classes, 0));
    if (first == NULL || strcmp(first, arch->hf_class) != 0) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "config.json: architectures names '%.64s'; only %s is supported for "
                            "model_type %s",
                            first != NULL ? first : "", arch->hf_class, arch->hf_type);
    }
    return TW_OK;
}

enum tw_status tw_arch_of_config(const json_t *config, const struct tw_arch **ret_arch,
                                 struct tw_error *error)
{
    const json_t *type = json_object_get(config, "model_type");
    if (!json_is_string(type)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "config.json: expected a text under model_type");
    }
    struct tw_bytes name = {json_string_value(type), json_string_length(type)};
    const struct tw_arch *arch = find_by_type(name);
    if (arch == NULL) {
        return refuse_unknown(name, true, error);
    }
    enum tw_status status = check_class(config, arch, error);
    if (status == TW_OK) {
        *ret_arch = arch;
    }
    return status;
}

enum tw_status tw_arch_of_files(const struct tw_model_files *files, const struct tw_arch **ret_arch,
                                struct tw_error *error)
{
    const json_t *config = tw_model_files_config(files);
    if (config != NULL) {
        return tw_arch_of_config(config, ret_arch, error);
    }
    struct tw_bytes name;
    if (!tw_model_files_string(files, "general.architecture", &name)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the file has no text under general.architecture");
    }
    const struct tw_arch *arch = tw_arch_find(name.data, name.size_bytes);
    if (arch == NULL) {
        return refuse_unknown(name, false, error);
    }
    *ret_arch = arch;
    return TW_OK;
}

enum tw_status tw_arch_read_config(const json_t *config, struct tw_model_shape *ret_shape,
                                   struct tw_error *error)
{
    const struct tw_arch *arch = NULL;
    enum tw_status status = tw_arch_of_config(config, &arch, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_arch_source source = {.arch = arch->name, .config = config};
    return tw_arch_read_shape(arch, &source, ret_shape, error);
}

/* A GGUF file need not say its vocabulary: the embedding is what a token must lie inside. */
static enum tw_status read_vocab(const struct tw_model_files *files, struct tw_model_shape *shape,
                                 struct tw_error *error)
{
    const struct tw_tensor_view *embedding = tw_model_files_find(files, "token_embd.weight");
    if (embedding == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the model has no tensor token_embd.weight");
    }
    if (embedding->shape[1] > TW_LIMIT_VOCAB_TOKENS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "token_embd.weight has %llu rows; at most %u are read",
                            (unsigned long long)embedding->shape[1], TW_LIMIT_VOCAB_TOKENS);
    }
    shape->n_vocab = (uint32_t)embedding->shape[1];
    shape->tied_head = tw_model_files_find(files, "output.weight") == NULL;
    return TW_OK;
}

enum tw_status tw_model_read_shape(const struct tw_model_files *files,
                                   struct tw_model_shape *ret_shape, struct tw_error *error)
{
    const struct tw_arch *arch = NULL;
    enum tw_status status = tw_arch_of_files(files, &arch, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_arch_source source = {
        .arch = arch->name, .files = files, .config = tw_model_files_config(files)};
    struct tw_model_shape shape;
    status = tw_arch_read_shape(arch, &source, &shape, error);
    if (status == TW_OK && source.config == NULL) {
        status = read_vocab(files, &shape, error);
    }
    if (status == TW_OK) {
        *ret_shape = shape;
    }
    return status;
}
