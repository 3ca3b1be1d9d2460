/* The tokenizer of opened files: tokenizer.ggml.* of a GGUF file, or a folder's tokenizer.json. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/gguf.h"
#include "model/hf_folder.h"
#include "model/tensors.h"
#include "text/tokenizer_json_write.h"

/* ---- pre-tokenizers ---- */

static const struct tw_pretokenize_step digits_then_gpt2[] = {
    {.kind = TW_PRETOKENIZE_EACH_DIGIT},
    {.kind = TW_PRETOKENIZE_GPT2},
};

static const struct {
    const char *name;
    enum tw_pretokenizer pretokenizer;
    bool ignore_merges;
    bool add_bos;
    bool each_digit; /* digits_then_gpt2 takes the place of pretokenizer */
} pre_rows[] = {
    {"gpt-2", TW_PRETOKENIZER_GPT2, false, false, false},
    {"qwen2", TW_PRETOKENIZER_QWEN2, false, false, false},
    {"deepseek-r1-qwen", TW_PRETOKENIZER_QWEN2, false, false, false},
    {"megrez", TW_PRETOKENIZER_QWEN2, false, false, false},
    {"llama3", TW_PRETOKENIZER_LLAMA3, true, true, false},
    {"llama-v3", TW_PRETOKENIZER_LLAMA3, true, true, false},
    {"llama-bpe", TW_PRETOKENIZER_LLAMA3, true, true, false},
    {"falcon3", TW_PRETOKENIZER_LLAMA3, true, true, false},
    {"smaug-bpe", TW_PRETOKENIZER_LLAMA3, false, false, false},
    {"smollm", TW_PRETOKENIZER_GPT2, false, false, true},
    {"starcoder", TW_PRETOKENIZER_GPT2, false, false, true},
    {"refact", TW_PRETOKENIZER_GPT2, false, false, true},
};

/* Files from before tokenizer.ggml.pre existed (or with "default") do not say how to cut words;
 * what the architecture's own models use is then right more often than any common default. */
static const char *default_pre(const struct tw_model_files *files)
{
    struct tw_bytes arch = {"", 0};
    tw_model_files_string(files, "general.architecture", &arch);
    bool is_qwen = arch.size_bytes >= 4 && memcmp(arch.data, "qwen", 4) == 0;
    return is_qwen ? "qwen2" : "gpt-2";
}

static enum tw_status set_pretokenizer(const struct tw_model_files *files,
                                       struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    struct tw_bytes pre = {"", 0};
    tw_model_files_string(files, "tokenizer.ggml.pre", &pre);
    if (pre.size_bytes == 0 || tw_bytes_equal(pre, tw_bytes_of("default"))) {
        pre = tw_bytes_of(default_pre(files));
    }
    for (size_t i = 0; i < sizeof pre_rows / sizeof pre_rows[0]; i++) {
        if (tw_bytes_equal(pre, tw_bytes_of(pre_rows[i].name))) {
            spec->pretokenizer = pre_rows[i].pretokenizer;
            spec->cuts = pre_rows[i].each_digit ? digits_then_gpt2 : NULL;
            spec->n_cuts = pre_rows[i].each_digit ? 2 : 0;
            spec->ignore_merges = pre_rows[i].ignore_merges;
            spec->add_bos = pre_rows[i].add_bos;
            return TW_OK;
        }
    }
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "tokenizer.ggml.pre: pre-tokenizer '%.*s' is not supported",
                        (int)(pre.size_bytes < 64 ? pre.size_bytes : 64), pre.data);
}

static enum tw_status set_family(const struct tw_model_files *files, struct tw_tokenizer_spec *spec,
                                 struct tw_error *error)
{
    struct tw_bytes model = {"", 0};
    if (!tw_model_files_string(files, "tokenizer.ggml.model", &model)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the file has no tokenizer (no text under tokenizer.ggml.model)");
    }
    if (tw_bytes_equal(model, tw_bytes_of("llama"))) {
        spec->family = TW_TOKENIZER_SPM;
        spec->bos = 1;
        spec->eos = 2;
        spec->unknown = 0;
        spec->add_bos = true;
        spec->add_space_prefix = true;
        return TW_OK;
    }
    if (tw_bytes_equal(model, tw_bytes_of("gpt2"))) {
        spec->family = TW_TOKENIZER_BPE;
        return set_pretokenizer(files, spec, error);
    }
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "tokenizer.ggml.model: tokenizer '%.*s' is not supported; gpt2 and llama "
                        "are",
                        (int)(model.size_bytes < 64 ? model.size_bytes : 64), model.data);
}

/* ---- arrays ---- */

/* What the arrays of a spec point at while it is handed to the tokenizer, which copies. */
struct spec_memory {
    struct tw_bytes *tokens;
    struct tw_bytes *merges;
    uint8_t *kinds;
    float *scores;
};

static void free_memory(struct spec_memory *memory)
{
    tw_mem_free(memory->tokens);
    tw_mem_free(memory->merges);
    tw_mem_free(memory->kinds);
    tw_mem_free(memory->scores);
}

/* An array of the wanted items under key. An optional one that is absent leaves *ret_value NULL.
 * n_items, unless 0, is the least length it must have. */
static enum tw_status find_array(const struct tw_model_files *files, const char *key,
                                 enum tw_gguf_type type, size_t n_items, bool is_required,
                                 const struct tw_gguf_value **ret_value, struct tw_error *error)
{
    const struct tw_gguf_value *value = tw_gguf_find_value(tw_model_files_gguf(files), key);
    if (value == NULL && !is_required) {
        *ret_value = NULL;
        return TW_OK;
    }
    if (value == NULL || !value->is_array || value->type != type || value->n_items < n_items) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s: expected an array of %s with at least %zu items", key,
                            tw_gguf_type_name(type), n_items);
    }
    *ret_value = value;
    return TW_OK;
}

static enum tw_status read_strings(const struct tw_gguf_value *value, struct tw_bytes **ret_strings,
                                   struct tw_error *error)
{
    struct tw_bytes *strings = tw_mem_alloc((size_t)value->n_items, sizeof *strings);
    if (strings == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %" PRIu64 " texts",
                            value->n_items);
    }
    struct tw_gguf_items items = tw_gguf_value_items(value);
    for (size_t i = 0; tw_gguf_next_string(&items, &strings[i]); i++) {
    }
    *ret_strings = strings;
    return TW_OK;
}

static enum tw_status read_tokens(const struct tw_model_files *files,
                                  struct tw_tokenizer_spec *spec, struct spec_memory *memory,
                                  struct tw_error *error)
{
    const struct tw_gguf_value *value = NULL;
    enum tw_status status =
        find_array(files, "tokenizer.ggml.tokens", TW_GGUF_STRING, 1, true, &value, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_strings(value, &memory->tokens, error);
    if (status == TW_OK) {
        spec->tokens = memory->tokens;
        spec->n_tokens = (size_t)value->n_items;
    }
    return status;
}

static enum tw_status read_merges(const struct tw_model_files *files,
                                  struct tw_tokenizer_spec *spec, struct spec_memory *memory,
                                  struct tw_error *error)
{
    const struct tw_gguf_value *value = NULL;
    enum tw_status status =
        find_array(files, "tokenizer.ggml.merges", TW_GGUF_STRING, 0, true, &value, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_strings(value, &memory->merges, error);
    if (status == TW_OK) {
        spec->merges = memory->merges;
        spec->n_merges = (size_t)value->n_items;
    }
    return status;
}

static enum tw_status read_kinds(const struct tw_model_files *files, struct tw_tokenizer_spec *spec,
                                 struct spec_memory *memory, struct tw_error *error)
{
    const struct tw_gguf_value *value = NULL;
    enum tw_status status = find_array(files, "tokenizer.ggml.token_type", TW_GGUF_INT32,
                                       spec->n_tokens, false, &value, error);
    if (status != TW_OK || value == NULL) {
        return status;
    }
    memory->kinds = tw_mem_alloc(spec->n_tokens, 1);
    if (memory->kinds == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for token kinds");
    }
    struct tw_gguf_items items = tw_gguf_value_items(value);
    for (size_t i = 0; i < spec->n_tokens; i++) {
        int64_t kind = 0;
        tw_gguf_next_int(&items, &kind);
        if (kind < 0 || kind > TW_TOKEN_BYTE) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "tokenizer.ggml.token_type: token %zu has kind %" PRId64, i, kind);
        }
        memory->kinds[i] = kind == 0 ? TW_TOKEN_NORMAL : (uint8_t)kind;
    }
    spec->kinds = memory->kinds;
    return TW_OK;
}

static enum tw_status read_scores(const struct tw_model_files *files,
                                  struct tw_tokenizer_spec *spec, struct spec_memory *memory,
                                  struct tw_error *error)
{
    const struct tw_gguf_value *value = NULL;
    enum tw_status status = find_array(files, "tokenizer.ggml.scores", TW_GGUF_FLOAT32,
                                       spec->n_tokens, true, &value, error);
    if (status != TW_OK) {
        return status;
    }
    memory->scores = tw_mem_alloc(spec->n_tokens, sizeof *memory->scores);
    if (memory->scores == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for token scores");
    }
    memcpy(memory->scores, value->data, spec->n_tokens * sizeof *memory->scores);
    spec->scores = memory->scores;
    return TW_OK;
}

/* ---- special tokens ---- */

static enum tw_status read_token_id(const struct tw_model_files *files, const char *key,
                                    size_t n_tokens, tw_token *ret_token, struct tw_error *error)
{
    uint64_t id = 0;
    if (tw_gguf_find_value(tw_model_files_gguf(files), key) == NULL) {
        return TW_OK;
    }
    if (!tw_model_files_uint(files, key, &id) || id >= n_tokens) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "%s: expected a token below %zu",
                            key, n_tokens);
    }
    *ret_token = (tw_token)id;
    return TW_OK;
}

static enum tw_status read_specials(const struct tw_model_files *files,
                                    struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    size_t n = spec->n_tokens;
    enum tw_status status =
        read_token_id(files, "tokenizer.ggml.bos_token_id", n, &spec->bos, error);
    if (status == TW_OK) {
        status = read_token_id(files, "tokenizer.ggml.eos_token_id", n, &spec->eos, error);
    }
    if (status == TW_OK) {
        status = read_token_id(files, "tokenizer.ggml.unknown_token_id", n, &spec->unknown, error);
    }
    tw_model_files_bool(files, "tokenizer.ggml.add_bos_token", &spec->add_bos);
    tw_model_files_bool(files, "tokenizer.ggml.add_eos_token", &spec->add_eos);
    tw_model_files_bool(files, "tokenizer.ggml.add_space_prefix", &spec->add_space_prefix);
    tw_model_files_bool(files, "tokenizer.ggml.remove_extra_whitespaces",
                        &spec->remove_extra_whitespaces);
    /* Our own key: GGUF has no word for the normaliser of a tokenizer.json. */
    tw_model_files_bool(files, "tokenworks.tokenizer.nfc", &spec->normalise_nfc);
    spec->add_bos = spec->add_bos && spec->bos != TW_TOKEN_NONE;
    spec->add_eos = spec->add_eos && spec->eos != TW_TOKEN_NONE;
    return status;
}

static enum tw_status fill_spec(const struct tw_model_files *files, struct tw_tokenizer_spec *spec,
                                struct spec_memory *memory, struct tw_error *error)
{
    enum tw_status status = set_family(files, spec, error);
    if (status == TW_OK) {
        status = read_tokens(files, spec, memory, error);
    }
    if (status == TW_OK) {
        status = read_kinds(files, spec, memory, error);
    }
    if (status == TW_OK) {
        status = spec->family == TW_TOKENIZER_BPE ? read_merges(files, spec, memory, error)
                                                  : read_scores(files, spec, memory, error);
    }
    return status == TW_OK ? read_specials(files, spec, error) : status;
}

static enum tw_status add_gguf_ends(const struct tw_model_files *files,
                                    struct tw_tokenizer *tokenizer, struct tw_error *error)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && status == TW_OK; i++) {
        tw_token token = TW_TOKEN_NONE;
        status = read_token_id(files, keys[i], tw_tokenizer_size(tokenizer), &token, error);
        if (status == TW_OK && token != TW_TOKEN_NONE) {
            status = tw_tokenizer_add_end(tokenizer, token);
        }
    }
    return status;
}

static enum tw_status from_gguf(const struct tw_model_files *files,
                                struct tw_tokenizer **ret_tokenizer, struct tw_error *error)
{
    struct tw_tokenizer_spec spec = {
        .bos = TW_TOKEN_NONE, .eos = TW_TOKEN_NONE, .unknown = TW_TOKEN_NONE};
    struct spec_memory memory = {0};
    enum tw_status status = fill_spec(files, &spec, &memory, error);
    if (status == TW_OK) {
        status = tw_tokenizer_create(&spec, ret_tokenizer, error);
    }
    free_memory(&memory);
    return status == TW_OK ? add_gguf_ends(files, *ret_tokenizer, error) : status;
}

/* ---- folders ---- */

/* eos_token_id of generation_config.json or config.json: one id or a list. */
static enum tw_status add_config_ends(const json_t *config, const char *name,
                                      struct tw_tokenizer *tokenizer, struct tw_error *error)
{
    const json_t *ids = json_object_get(config, "eos_token_id");
    size_t n = json_is_array(ids) ? json_array_size(ids) : ids != NULL && !json_is_null(ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(ids) ? json_array_get(ids, i) : ids;
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || (uint64_t)value >= tw_tokenizer_size(tokenizer)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "%s: eos_token_id: expected tokens below %zu", name,
                                tw_tokenizer_size(tokenizer));
        }
        enum tw_status status = tw_tokenizer_add_end(tokenizer, (tw_token)value);
        if (status != TW_OK) {
            return tw_error_set(error, status, TW_NO_POSITION, "%s: too many end tokens", name);
        }
    }
    return TW_OK;
}

static enum tw_status from_folder(const struct tw_model_files *files,
                                  struct tw_tokenizer **ret_tokenizer, struct tw_error *error)
{
    const struct tw_hf_folder *folder = tw_model_files_folder(files);
    json_t *json = NULL;
    enum tw_status status = tw_hf_folder_load_tokenizer(folder, &json, error);
    if (status != TW_OK) {
        return status;
    }
    status =
        tw_tokenizer_from_json(json, tw_hf_folder_tokenizer_config(folder), ret_tokenizer, error);
    json_decref(json);
    if (status == TW_OK) {
        status = add_config_ends(tw_hf_folder_config(folder), "config.json", *ret_tokenizer, error);
    }
    if (status == TW_OK) {
        status = add_config_ends(tw_hf_folder_generation_config(folder), "generation_config.json",
                                 *ret_tokenizer, error);
    }
    return status;
}

/* A token without an embedding could be encoded but not computed. */
static enum tw_status check_size(const struct tw_model_files *files,
                                 const struct tw_tokenizer *tokenizer, struct tw_error *error)
{
    const struct tw_tensor_view *embedding = tw_model_files_find(files, "token_embd.weight");
    if (embedding != NULL && tw_tokenizer_size(tokenizer) > embedding->shape[1]) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the tokenizer has %zu tokens, the embedding %" PRIu64 " rows",
                            tw_tokenizer_size(tokenizer), embedding->shape[1]);
    }
    return TW_OK;
}

enum tw_status tw_model_files_tokenizer(const struct tw_model_files *files,
                                        struct tw_tokenizer **ret_tokenizer, struct tw_error *error)
{
    struct tw_tokenizer *tokenizer = NULL;
    enum tw_status status = tw_model_files_folder(files) != NULL
                                ? from_folder(files, &tokenizer, error)
                                : from_gguf(files, &tokenizer, error);
    if (status == TW_OK) {
        status = check_size(files, tokenizer, error);
    }
    if (status != TW_OK) {
        tw_tokenizer_free(tokenizer);
        return status;
    }
    *ret_tokenizer = tokenizer;
    return TW_OK;
}

/* ---- as a tokenizer.json ---- */

static enum tw_status not_written(const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "its tokenizer cannot be written as a tokenizer.json: %s", what);
}

static enum tw_status check_writable(const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    if (spec->family != TW_TOKENIZER_BPE) {
        return not_written("it is no byte-level BPE", error);
    }
    if (spec->n_cuts != 0 || spec->pretokenizer == TW_PRETOKENIZER_PATTERN) {
        return not_written("it cuts words in a way that has no form there", error);
    }
    return spec->add_bos || spec->add_eos
               ? not_written("it puts a token before or behind each text", error)
               : TW_OK;
}

/* Texts that end with a NUL, as the writer wants them. */
static enum tw_status copy_texts(const struct tw_bytes *texts, size_t n, struct tw_arena *arena,
                                 const struct tw_bytes **ret_copies, struct tw_error *error)
{
    struct tw_bytes *copies = tw_arena_alloc(arena, n > 0 ? n : 1, sizeof *copies);
    for (size_t i = 0; copies != NULL && i < n; i++) {
        if (memchr(texts[i].data, '\0', texts[i].size_bytes) != NULL) {
            return not_written("a token has a zero byte in it", error);
        }
        char *text = tw_arena_strndup(arena, texts[i].data, texts[i].size_bytes);
        copies[i] = (struct tw_bytes){text, texts[i].size_bytes};
        copies = text != NULL ? copies : NULL;
    }
    *ret_copies = copies;
    return copies != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a tokenizer");
}

/* Tokens that text does not come to by merging are added ones; unused ones are left as they are. */
static enum tw_status list_added(struct tw_tokenizer_spec *spec, struct tw_arena *arena,
                                 struct tw_error *error)
{
    uint8_t *kinds = tw_arena_alloc(arena, spec->n_tokens, 1);
    struct tw_added_token *added = tw_arena_alloc(arena, spec->n_tokens, sizeof *added);
    if (kinds == NULL || added == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a tokenizer");
    }
    for (size_t i = 0; i < spec->n_tokens; i++) {
        uint8_t kind = spec->kinds != NULL ? spec->kinds[i] : TW_TOKEN_NORMAL;
        kinds[i] = kind == TW_TOKEN_UNUSED ? TW_TOKEN_NORMAL : kind;
        if (kind == TW_TOKEN_BYTE || kind == TW_TOKEN_UNKNOWN) {
            return not_written("it has a token for what is unknown, or for a byte", error);
        }
        if (kinds[i] != TW_TOKEN_NORMAL) {
            added[spec->n_added++] = (struct tw_added_token){
                .id = (tw_token)i, .text = spec->tokens[i], .is_special = kind == TW_TOKEN_CONTROL};
        }
    }
    spec->kinds = kinds;
    spec->added = added;
    return TW_OK;
}

static enum tw_status write_json(struct tw_tokenizer_spec *spec, struct tw_arena *arena,
                                 struct tw_buf *ret_text, struct tw_error *error)
{
    enum tw_status status = check_writable(spec, error);
    if (status == TW_OK) {
        status = copy_texts(spec->tokens, spec->n_tokens, arena, &spec->tokens, error);
    }
    if (status == TW_OK) {
        status = copy_texts(spec->merges, spec->n_merges, arena, &spec->merges, error);
    }
    if (status == TW_OK) {
        status = list_added(spec, arena, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_MODEL_JSON_BYTES);
    tw_tokenizer_json_write(spec, &text);
    if (text.failed) {
        tw_buf_free(&text);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a tokenizer.json");
    }
    *ret_text = text;
    return TW_OK;
}

static enum tw_status json_from_gguf(const struct tw_model_files *files, struct tw_buf *ret_text,
                                     struct tw_error *error)
{
    struct tw_tokenizer_spec spec = {
        .bos = TW_TOKEN_NONE, .eos = TW_TOKEN_NONE, .unknown = TW_TOKEN_NONE};
    struct spec_memory memory = {0};
    struct tw_arena arena;
    tw_arena_init(&arena, TW_LIMIT_TOKENIZER_SPEC_BYTES);
    enum tw_status status = fill_spec(files, &spec, &memory, error);
    if (status == TW_OK) {
        status = write_json(&spec, &arena, ret_text, error);
    }
    tw_arena_clear(&arena);
    free_memory(&memory);
    return status;
}

enum tw_status tw_model_files_tokenizer_json(const struct tw_model_files *files,
                                             struct tw_buf *ret_text, struct tw_error *error)
{
    const struct tw_hf_folder *folder = tw_model_files_folder(files);
    if (folder == NULL) {
        return json_from_gguf(files, ret_text, error);
    }
    const char *path = tw_hf_folder_path(folder);
    size_t room = strlen(path) + sizeof "/tokenizer.json";
    char *file_path = tw_mem_alloc(room, 1);
    if (file_path == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a path");
    }
    snprintf(file_path, room, "%s/tokenizer.json", path);
    enum tw_status status = tw_file_load(file_path, TW_LIMIT_MODEL_JSON_BYTES, ret_text, error);
    tw_mem_free(file_path);
    return status;
}
