/* A folder's tokenizer in GGUF's words. GGUF keeps tokens, kinds, merges or scores, and a name for
 * the way words are cut; the text layer has checked the JSON files before this reads them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/convert.h"
#include "model/hf_folder.h"
#include "text/tokenizer.h"

struct token {
    const char *text; /* NULL: an id the tokenizer does not use */
    size_t size_bytes;
    int32_t kind;
    float score;
};

struct conversion {
    const struct tw_hf_folder *folder;
    const json_t *json; /* tokenizer.json */
    const json_t *vocab;
    const json_t *merges;
    const struct tw_tokenizer *tokenizer;
    struct tw_gguf_writer *writer;
    bool is_spm;
    uint32_t n_tokens;
    struct token *tokens;
    struct tw_error *error;
};

static enum tw_status fail(const struct conversion *self, enum tw_status status, const char *text)
{
    return tw_error_set(self->error, status, TW_NO_POSITION, "tokenizer.json: %s", text);
}

/* ---- tokens ---- */

static enum tw_status set_token(struct conversion *self, const char *text, size_t size_bytes,
                                json_int_t id, int32_t kind)
{
    if (id < 0 || id >= (json_int_t)self->n_tokens) {
        return tw_error_set(self->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tokenizer.json: token %lld is outside the vocabulary of %u",
                            (long long)id, self->n_tokens);
    }
    self->tokens[id] = (struct token){.text = text, .size_bytes = size_bytes, .kind = kind};
    return TW_OK;
}

static bool is_byte_token(const char *text)
{
    return strlen(text) == strlen("<0x00>") && memcmp(text, "<0x", 3) == 0 &&
           strspn(text + 3, "0123456789ABCDEF") == 2 && text[5] == '>';
}

static int32_t vocab_kind(const struct conversion *self, const char *text)
{
    const char *unknown =
        json_string_value(json_object_get(json_object_get(self->json, "model"), "unk_token"));
    if (self->is_spm && unknown != NULL && strcmp(unknown, text) == 0) {
        return TW_TOKEN_UNKNOWN;
    }
    return self->is_spm && is_byte_token(text) ? TW_TOKEN_BYTE : TW_TOKEN_NORMAL;
}

static enum tw_status read_vocab(struct conversion *self)
{
    const char *text;
    json_t *id;
    json_object_foreach ((json_t *)(uintptr_t)self->vocab, text, id) {
        enum tw_status status =
            set_token(self, text, strlen(text), json_is_integer(id) ? json_integer_value(id) : -1,
                      vocab_kind(self, text));
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* The unknown token stays of its kind, though tokenizers list it as an added special one. */
static enum tw_status read_added(struct conversion *self)
{
    const json_t *added = json_object_get(self->json, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *item = json_array_get(added, i);
        const json_t *text = json_object_get(item, "content");
        const json_t *id = json_object_get(item, "id");
        if (!json_is_string(text) || !json_is_integer(id)) {
            return fail(self, TW_ERR_FORMAT, "added_tokens: expected content and id");
        }
        int32_t kind = json_is_true(json_object_get(item, "special")) ? TW_TOKEN_CONTROL
                                                                      : TW_TOKEN_USER_DEFINED;
        if (vocab_kind(self, json_string_value(text)) == TW_TOKEN_UNKNOWN) {
            kind = TW_TOKEN_UNKNOWN;
        }
        enum tw_status status = set_token(self, json_string_value(text), json_string_length(text),
                                          json_integer_value(id), kind);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

static void put_tokens(const struct conversion *self)
{
    char padding[32];
    tw_gguf_put_strings(self->writer, "tokenizer.ggml.tokens", self->n_tokens);
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        const struct token *token = &self->tokens[i];
        if (token->text != NULL) {
            tw_gguf_put_item(self->writer, token->text, token->size_bytes);
        } else {
            int n = snprintf(padding, sizeof padding, "[PAD%" PRIu32 "]", i);
            tw_gguf_put_item(self->writer, padding, (size_t)n);
        }
    }
}

static enum tw_status put_kinds(const struct conversion *self)
{
    int32_t *kinds = tw_mem_alloc(self->n_tokens, sizeof *kinds);
    if (kinds == NULL) {
        return fail(self, TW_ERR_MEMORY, "no memory");
    }
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        kinds[i] = self->tokens[i].text != NULL ? self->tokens[i].kind : TW_TOKEN_UNUSED;
    }
    tw_gguf_put_array(self->writer, "tokenizer.ggml.token_type", TW_GGUF_INT32, kinds,
                      self->n_tokens);
    tw_mem_free(kinds);
    return TW_OK;
}

/* ---- merges ---- */

/* One merge, "left right" or ["left", "right"], written into text with a space between. *ret_left
 * is the length of the left part. False when it does not fit or would not be read back the same. */
static bool merge_text(const json_t *merge, char *text, size_t room, size_t *ret_left)
{
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    const char *whole = json_string_value(merge);
    if (whole != NULL) {
        const char *space = strchr(whole, ' ');
        if (space == NULL || strlen(whole) >= room) {
            return false;
        }
        memcpy(text, whole, strlen(whole) + 1);
        *ret_left = (size_t)(space - whole);
        return strchr(space + 1, ' ') == NULL;
    }
    if (left == NULL || right == NULL || strchr(left, ' ') != NULL || strchr(right, ' ') != NULL) {
        return false;
    }
    size_t left_bytes = strlen(left);
    size_t right_bytes = strlen(right);
    if (left_bytes + right_bytes + 2 > room) {
        return false;
    }
    memcpy(text, left, left_bytes);
    text[left_bytes] = ' ';
    memcpy(text + left_bytes + 1, right, right_bytes + 1);
    *ret_left = left_bytes;
    return true;
}

/* Room for the longest merge there can be. */
enum { MERGE_BYTES = 2 * TW_LIMIT_TOKEN_BYTES + 2 };

static enum tw_status put_merges(const struct conversion *self, char *text)
{
    size_t n = json_array_size(self->merges);
    tw_gguf_put_strings(self->writer, "tokenizer.ggml.merges", n);
    for (size_t i = 0; i < n; i++) {
        size_t left = 0;
        if (!merge_text(json_array_get(self->merges, i), text, MERGE_BYTES, &left)) {
            return tw_error_set(self->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "tokenizer.json: merge %zu has no form in GGUF", i);
        }
        tw_gguf_put_item(self->writer, text, strlen(text));
    }
    return TW_OK;
}

/* SentencePiece joins the pair whose joint token has the best score; the merges of a tokenizer.json
 * were sorted by that score, so the rank of the first merge that makes a token serves as one. */
static enum tw_status put_scores(struct conversion *self, char *text)
{
    size_t n = json_array_size(self->merges);
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        self->tokens[i].score = -(float)n - 1;
    }
    for (size_t i = n; i-- > 0;) {
        size_t left = 0;
        if (!merge_text(json_array_get(self->merges, i), text, MERGE_BYTES, &left)) {
            return tw_error_set(self->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "tokenizer.json: merge %zu has no form in GGUF", i);
        }
        memmove(text + left, text + left + 1, strlen(text + left));
        const json_t *id = json_object_get(self->vocab, text);
        if (!json_is_integer(id)) {
            return tw_error_set(self->error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "tokenizer.json: merge %zu makes no token", i);
        }
        self->tokens[json_integer_value(id)].score = -(float)i;
    }
    float *scores = tw_mem_alloc(self->n_tokens, sizeof *scores);
    if (scores == NULL) {
        return fail(self, TW_ERR_MEMORY, "no memory");
    }
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        scores[i] = self->tokens[i].kind == TW_TOKEN_NORMAL ? self->tokens[i].score : 0;
    }
    tw_gguf_put_array(self->writer, "tokenizer.ggml.scores", TW_GGUF_FLOAT32, scores,
                      self->n_tokens);
    tw_mem_free(scores);
    return TW_OK;
}

/* ---- how text is prepared ---- */

/* Whether a normaliser, pre-tokenizer or decoder is, or as a sequence has, one of that type. */
static const json_t *find_step(const json_t *step, const char *list_key, const char *type)
{
    const char *own = json_string_value(json_object_get(step, "type"));
    if (own != NULL && strcmp(own, type) == 0) {
        return step;
    }
    const json_t *list = json_object_get(step, list_key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "type"));
        if (name != NULL && strcmp(name, type) == 0) {
            return item;
        }
    }
    return NULL;
}

#define LETTERS_AND_REST                                                                           \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"        \
    "\\s+(?!\\S)|\\s+"

/* The two patterns that differ in how many digits stay together. */
static const char *pre_of_pattern(const char *pattern)
{
    static const struct {
        const char *digits;
        const char *pre;
    } rows[] = {{"", "qwen2"}, {"{1,3}", "llama-bpe"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char known[256];
        snprintf(known, sizeof known, "(?i:'s|'t|'re|'ve|'m|'ll|'d)" LETTERS_AND_REST,
                 rows[i].digits);
        if (strcmp(pattern, known) == 0) {
            return rows[i].pre;
        }
    }
    return NULL;
}

static enum tw_status put_pre(const struct conversion *self)
{
    const json_t *step = json_object_get(self->json, "pre_tokenizer");
    const json_t *split = find_step(step, "pretokenizers", "Split");
    const json_t *bytes = find_step(step, "pretokenizers", "ByteLevel");
    const char *pattern =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    const char *pre = NULL;
    if (pattern != NULL) {
        pre = pre_of_pattern(pattern);
    } else if (split == NULL && bytes != NULL &&
               !json_is_false(json_object_get(bytes, "use_regex"))) {
        pre = "gpt-2";
    }
    if (pre == NULL) {
        return tw_error_set(self->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "tokenizer.json: GGUF has no name for the pre-tokenizer '%.100s'",
                            pattern != NULL ? pattern : "without a pattern");
    }
    tw_gguf_put_text(self->writer, "tokenizer.ggml.pre", pre);
    return TW_OK;
}

static void put_bpe_normaliser(const struct conversion *self)
{
    const json_t *step = json_object_get(self->json, "normalizer");
    if (find_step(step, "normalizers", "NFC") != NULL) {
        tw_gguf_put_bool(self->writer, "tokenworks.tokenizer.nfc", true);
    }
}

static void put_space_prefix(const struct conversion *self)
{
    const json_t *step = json_object_get(self->json, "normalizer");
    const json_t *metaspace =
        find_step(json_object_get(self->json, "pre_tokenizer"), "pretokenizers", "Metaspace");
    const char *scheme = json_string_value(json_object_get(metaspace, "prepend_scheme"));
    bool prepends = find_step(step, "normalizers", "Prepend") != NULL ||
                    (metaspace != NULL && (scheme == NULL || strcmp(scheme, "never") != 0));
    tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_space_prefix", prepends);
}

/* ---- special tokens ---- */

static void put_id(const struct conversion *self, const char *key, tw_token token)
{
    if (token != TW_TOKEN_NONE) {
        tw_gguf_put_u32(self->writer, key, (uint32_t)token);
    }
}

/* A token that config.json names by id, where the tokenizer's own files are silent. */
static tw_token config_token(const struct conversion *self, const char *key)
{
    const json_t *id = json_object_get(tw_hf_folder_config(self->folder), key);
    id = json_is_array(id) ? json_array_get(id, 0) : id;
    json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
    return value >= 0 && value < (json_int_t)self->n_tokens ? (tw_token)value : TW_TOKEN_NONE;
}

static tw_token named_token(const struct conversion *self, const char *key)
{
    const json_t *name = json_object_get(tw_hf_folder_tokenizer_config(self->folder), key);
    name = json_is_object(name) ? json_object_get(name, "content") : name;
    return json_is_string(name) ? tw_tokenizer_find(self->tokenizer, json_string_value(name),
                                                    json_string_length(name))
                                : TW_TOKEN_NONE;
}

/* End tokens of generation_config.json that no reader would find by their spelling. */
static void put_ends(const struct conversion *self, tw_token eos)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const json_t *ids =
        json_object_get(tw_hf_folder_generation_config(self->folder), "eos_token_id");
    size_t n_put = 0;
    for (size_t i = 0; i < json_array_size(ids) && n_put < 2; i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        bool is_known = id < 0 || id >= (json_int_t)self->n_tokens || id == eos ||
                        tw_tokenizer_ends_generation(self->tokenizer, (tw_token)id);
        if (!is_known) {
            put_id(self, keys[n_put++], (tw_token)id);
        }
    }
}

static void put_specials(const struct conversion *self)
{
    tw_token bos = tw_tokenizer_bos(self->tokenizer);
    tw_token eos = tw_tokenizer_eos(self->tokenizer);
    bos = bos != TW_TOKEN_NONE ? bos : config_token(self, "bos_token_id");
    eos = eos != TW_TOKEN_NONE ? eos : config_token(self, "eos_token_id");
    put_id(self, "tokenizer.ggml.bos_token_id", bos);
    put_id(self, "tokenizer.ggml.eos_token_id", eos);
    put_id(self, "tokenizer.ggml.padding_token_id", named_token(self, "pad_token"));
    if (self->is_spm) {
        put_id(self, "tokenizer.ggml.unknown_token_id", named_token(self, "unk_token"));
    }
    put_ends(self, eos);
    const json_t *config = tw_hf_folder_tokenizer_config(self->folder);
    tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_bos_token",
                     tw_tokenizer_adds_bos(self->tokenizer));
    tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_eos_token",
                     json_is_true(json_object_get(config, "add_eos_token")));
}

/* ---- all of it ---- */

static enum tw_status put_all(struct conversion *self, char *text)
{
    tw_gguf_put_text(self->writer, "tokenizer.ggml.model", self->is_spm ? "llama" : "gpt2");
    enum tw_status status = self->is_spm ? TW_OK : put_pre(self);
    if (status == TW_OK) {
        put_tokens(self);
        status = put_kinds(self);
    }
    if (status == TW_OK) {
        status = self->is_spm ? put_scores(self, text) : put_merges(self, text);
    }
    if (status != TW_OK) {
        return status;
    }
    if (self->is_spm) {
        put_space_prefix(self);
    } else {
        put_bpe_normaliser(self);
    }
    put_specials(self);
    struct tw_bytes chat = tw_hf_folder_chat_template(self->folder);
    if (chat.size_bytes != 0) {
        tw_gguf_put_string(self->writer, "tokenizer.chat_template", chat.data, chat.size_bytes);
    }
    return TW_OK;
}

static enum tw_status convert(struct conversion *self)
{
    const json_t *model = json_object_get(self->json, "model");
    self->vocab = json_object_get(model, "vocab");
    self->merges = json_object_get(model, "merges");
    self->is_spm = json_is_true(json_object_get(model, "byte_fallback"));
    if (!json_is_object(self->vocab) || !json_is_array(self->merges)) {
        return fail(self, TW_ERR_UNSUPPORTED, "expected a model with vocab and merges");
    }
    self->tokens = tw_mem_zalloc(self->n_tokens, sizeof *self->tokens);
    char *text = tw_mem_alloc(MERGE_BYTES, 1);
    enum tw_status status = self->tokens != NULL && text != NULL
                                ? read_vocab(self)
                                : fail(self, TW_ERR_MEMORY, "no memory");
    if (status == TW_OK) {
        status = read_added(self);
    }
    if (status == TW_OK) {
        status = put_all(self, text);
    }
    tw_mem_free(self->tokens);
    tw_mem_free(text);
    return status;
}

enum tw_status tw_convert_put_tokenizer(const struct tw_model_files *files,
                                        const struct tw_model_shape *shape,
                                        struct tw_gguf_writer *writer, struct tw_error *error)
{
    struct tw_tokenizer *tokenizer = NULL;
    enum tw_status status = tw_model_files_tokenizer(files, &tokenizer, error);
    if (status != TW_OK) {
        return status;
    }
    struct conversion self = {.folder = tw_model_files_folder(files),
                              .tokenizer = tokenizer,
                              .writer = writer,
                              .n_tokens = shape->n_vocab,
                              .error = error};
    json_t *json = NULL;
    status = tw_hf_folder_load_tokenizer(self.folder, &json, error);
    if (status == TW_OK) {
        self.json = json;
        status = convert(&self);
        json_decref(json);
    }
    tw_tokenizer_free(tokenizer);
    return status;
}
