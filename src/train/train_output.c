#include "train/train_output.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "model/convert.h"
#include "model/hf_write.h"
#include "text/tokenizer_json_write.h"

enum { PATH_BYTES = 2 * TW_LIMIT_CONF_STRING_BYTES };

static enum tw_status read_mix(const struct tw_train_config *config, enum tw_model_mix *ret_mix,
                               struct tw_error *error)
{
    const char *name = config->output.type != NULL ? config->output.type : "F16";
    if (!tw_model_mix_from_name(name, ret_mix)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "output type '%.40s' is no weight format; Q8_0 and F16 are usual",
                            name);
    }
    return TW_OK;
}

static enum tw_status read_template(const char *path, struct tw_buf *ret_text,
                                    struct tw_error *error)
{
    enum tw_status status = tw_file_load(path, TW_LIMIT_MODEL_STRING_BYTES, ret_text, error);
    if (status == TW_OK && !tw_buf_append(ret_text, "", 1)) { /* as C text */
        tw_buf_free(ret_text);
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "'%.120s' is too long for a chat template", path);
    }
    return status;
}

enum tw_status tw_train_texts_read(const struct tw_train_config *config,
                                   struct tw_train_texts *ret_texts, struct tw_error *error)
{
    enum tw_model_mix mix;
    struct tw_train_texts texts;
    tw_buf_init(&texts.tokenizer, 0);
    tw_buf_init(&texts.chat_template, 0);
    const char *template_path = config->data.chat_template;
    enum tw_status status = read_mix(config, &mix, error);
    if (status == TW_OK) {
        status = tw_file_load(config->data.tokenizer, TW_LIMIT_MODEL_JSON_BYTES, &texts.tokenizer,
                              error);
    }
    if (status == TW_OK && template_path != NULL) {
        status = read_template(template_path, &texts.chat_template, error);
    }
    if (status != TW_OK) {
        tw_train_texts_free(&texts);
        return status;
    }
    *ret_texts = texts;
    return TW_OK;
}

void tw_train_texts_free(struct tw_train_texts *texts)
{
    tw_buf_free(&texts->tokenizer);
    tw_buf_free(&texts->chat_template);
}

enum tw_status tw_train_output_check_tokenizer(const json_t *tokenizer, struct tw_error *error)
{
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    tw_arena_init(&arena, TW_LIMIT_TOKENIZER_SPEC_BYTES);
    enum tw_status status = tw_tokenizer_spec_from_json(tokenizer, NULL, &arena, &spec, error);
    if (status == TW_OK) {
        status = tw_convert_check_tokenizer(&spec, error);
    }
    tw_arena_clear(&arena);
    return status;
}

static enum tw_status try_to_write(const char *path, struct tw_error *error)
{
    struct tw_file_writer *writer = NULL;
    enum tw_status status = tw_file_writer_open(path, &writer, error);
    tw_file_writer_abort(writer);
    return status;
}

static bool is_any(const char *path, char *const *paths, uint32_t n_paths)
{
    bool found = false;
    for (uint32_t i = 0; i < n_paths; i++) {
        found = found || (paths[i] != NULL && tw_file_is_same(path, paths[i]));
    }
    return found;
}

static bool is_kept_in_folder(const struct tw_train_config *config, const char *path)
{
    static const char *const names[] = {
        "checkpoint.tw",         "config.json",       "generation_config.json", "tokenizer.json",
        "tokenizer_config.json", "model.safetensors", "chat_template.jinja"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char kept[PATH_BYTES];
        snprintf(kept, sizeof kept, "%s/%s", config->output.folder, names[i]);
        found = found || tw_file_is_same(path, kept);
    }
    return found;
}

enum tw_status tw_train_output_check_path(const struct tw_train_config *config, const char *path,
                                          struct tw_error *error)
{
    const struct tw_train_data_config *data = &config->data;
    if (is_any(path, data->train, data->train_count) ||
        is_any(path, data->valid, data->valid_count) || is_any(path, &data->tokenizer, 1) ||
        is_any(path, &data->chat_template, 1) || is_any(path, &config->training.start, 1)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' is read by this run: write to another place", path);
    }
    if (is_kept_in_folder(config, path)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' is a file of the run's own folder: write to another place",
                            path);
    }
    return TW_OK;
}

/* Whoever opens the folder prefers this file to the template in tokenizer_config.json. */
static enum tw_status check_folder(const struct tw_train_config *config, struct tw_error *error)
{
    char path[PATH_BYTES];
    const char *wanted = config->data.chat_template;
    snprintf(path, sizeof path, "%s/chat_template.jinja", config->output.folder);
    if (tw_file_exists(path) && (wanted == NULL || !tw_file_is_same(path, wanted))) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' would be taken for the template of the new model: remove it, "
                            "or name it under chat_template",
                            path);
    }
    const char *start = config->training.start;
    if (start != NULL && tw_file_is_same(config->output.folder, start)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' is the model that the run starts from: give the run another "
                            "folder",
                            config->output.folder);
    }
    return TW_OK;
}

enum tw_status tw_train_output_prepare(const struct tw_train_config *config,
                                       const char *checkpoint_path, struct tw_error *error)
{
    const char *gguf = config->output.gguf;
    enum tw_status status = tw_file_make_directory(config->output.folder, error);
    if (status == TW_OK) {
        status = check_folder(config, error);
    }
    if (status == TW_OK) {
        status = try_to_write(checkpoint_path, error);
    }
    if (status == TW_OK && gguf != NULL) {
        status = tw_train_output_check_path(config, gguf, error);
    }
    return status == TW_OK && gguf != NULL ? try_to_write(gguf, error) : status;
}

/* ---- the folder ---- */

struct output {
    const struct tw_train_config *config;
    const struct tw_parameters *parameters;
    const float *weights;
    const struct tw_train_texts *texts;
    struct tw_buf tokenizer_config;
};

static const float *find_tensor(void *context, const char *name, uint64_t n_values)
{
    const struct output *self = context;
    for (size_t i = 0; i < tw_parameters_count(self->parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(self->parameters, i);
        if (strcmp(tensor.name, name) == 0 && tensor.n_rows * tensor.n_columns == n_values) {
            return self->weights + tensor.offset;
        }
    }
    return NULL;
}

static tw_token token_of(const struct tw_tokenizer_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_tokens; i++) {
        if (tw_bytes_equal(spec->tokens[i], tw_bytes_of(name))) {
            return (tw_token)i;
        }
    }
    return TW_TOKEN_NONE;
}

static enum tw_status write_folder(struct output *self, const struct tw_tokenizer_spec *spec,
                                   struct tw_error *error)
{
    static const char close[] = "<|im_end|>", end[] = "<|endoftext|>";
    tw_token close_token = token_of(spec, close), end_token = token_of(spec, end);
    bool has_close = close_token != TW_TOKEN_NONE, has_end = end_token != TW_TOKEN_NONE;
    const struct tw_tokenizer_config config = {
        .class_name = "Qwen2Tokenizer",
        .eos = has_close ? close
               : has_end ? end
                         : NULL,
        .pad = has_end ? end : NULL,
        .chat_template = self->texts->chat_template.data,
        .n_context_tokens = self->config->model.context,
    };
    tw_tokenizer_config_write(spec, &config, &self->tokenizer_config);
    if (self->tokenizer_config.failed) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for tokenizer_config.json");
    }
    const struct tw_hf_model model = {
        .shape = &self->parameters->shape,
        .dtype = TW_DTYPE_F32,
        .eos = has_close ? close_token : end_token,
        .pad = end_token,
        .tokenizer_json = {self->texts->tokenizer.data, self->texts->tokenizer.size_bytes},
        .tokenizer_config = {self->tokenizer_config.data, self->tokenizer_config.size_bytes},
        .tensor = find_tensor,
        .tensor_context = self,
    };
    return tw_hf_write_folder(self->config->output.folder, &model, error);
}

enum tw_status tw_train_output_write(const struct tw_train_config *config,
                                     const struct tw_train_texts *texts,
                                     const struct tw_parameters *parameters, const float *weights,
                                     struct tw_error *error)
{
    struct output self = {
        .config = config, .parameters = parameters, .weights = weights, .texts = texts};
    json_t *json;
    enum tw_status status = tw_json_parse(texts->tokenizer.data, texts->tokenizer.size_bytes,
                                          config->data.tokenizer, &json, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    tw_arena_init(&arena, TW_LIMIT_TOKENIZER_SPEC_BYTES);
    tw_buf_init(&self.tokenizer_config, TW_LIMIT_MODEL_CONFIG_BYTES);
    status = tw_tokenizer_spec_from_json(json, NULL, &arena, &spec, error);
    if (status == TW_OK) {
        status = write_folder(&self, &spec, error);
    }
    tw_buf_free(&self.tokenizer_config);
    tw_arena_clear(&arena);
    json_decref(json);
    return status;
}

enum tw_status tw_train_output_gguf(const struct tw_train_config *config, int n_threads,
                                    struct tw_error *error)
{
    enum tw_model_mix mix;
    enum tw_status status = read_mix(config, &mix, error);
    if (status != TW_OK) {
        return status;
    }
    return tw_model_convert(config->output.folder, config->output.gguf, mix, n_threads, NULL, NULL,
                            error);
}
