/* A folder's tokenizer in GGUF's words. GGUF keeps tokens, kinds, merges or scores, and a name for
 * the way words are cut; a tokenizer.json that asks for more is refused by the name of that. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "model/convert.h"
#include "model/hf_folder.h"
#include "text/tokenizer.h"

struct conversion {
    const struct tw_hf_folder *folder;
    const struct tw_tokenizer_spec *spec;
    const struct tw_tokenizer *tokenizer;
    struct tw_gguf_writer *writer;
    uint32_t n_tokens; /* of the model: at least as many as the tokenizer has */
    struct tw_error *error;
};

static const struct tw_bytes mark = {"\xe2\x96\x81", 3}; /* U+2581 */

static enum tw_status refuse(const struct conversion *self, const char *what)
{
    return tw_error_set(self->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "tokenizer.json: GGUF has no word for %s", what);
}

static enum tw_status no_memory(const struct conversion *self)
{
    return tw_error_set(self->error, TW_ERR_MEMORY, TW_NO_POSITION,
                        "no memory for the tokens of tokenizer.json");
}

/* ---- tokens ---- */

static bool is_used(const struct conversion *self, uint32_t id)
{
    return id < self->spec->n_tokens && self->spec->tokens[id].size_bytes != 0;
}

static void put_tokens(const struct conversion *self)
{
    char padding[32];
    tw_gguf_put_strings(self->writer, "tokenizer.ggml.tokens", self->n_tokens);
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        if (is_used(self, i)) {
            struct tw_bytes text = self->spec->tokens[i];
            tw_gguf_put_item(self->writer, text.data, text.size_bytes);
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
        return no_memory(self);
    }
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        kinds[i] = is_used(self, i) ? self->spec->kinds[i] : TW_TOKEN_UNUSED;
    }
    tw_gguf_put_array(self->writer, "tokenizer.ggml.token_type", TW_GGUF_INT32, kinds,
                      self->n_tokens);
    tw_mem_free(kinds);
    return TW_OK;
}

static enum tw_status check_added(const struct conversion *self)
{
    for (size_t i = 0; i < self->spec->n_added; i++) {
        const struct tw_added_token *token = &self->spec->added[i];
        if (token->strip_left || token->strip_right || token->single_word) {
            return refuse(self, "an added token with lstrip, rstrip or single_word");
        }
    }
    return TW_OK;
}

/* ---- merges ---- */

static void put_merges(const struct conversion *self)
{
    tw_gguf_put_strings(self->writer, "tokenizer.ggml.merges", self->spec->n_merges);
    for (size_t i = 0; i < self->spec->n_merges; i++) {
        struct tw_bytes line = self->spec->merges[i];
        tw_gguf_put_item(self->writer, line.data, line.size_bytes);
    }
}

/* The token that a merge "left right" makes; there is one, or the tokenizer could not have been
 * made. text: room for the line. */
static tw_token merged_token(const struct conversion *self, struct tw_bytes line, char *text)
{
    const char *space = memchr(line.data + 1, ' ', line.size_bytes - 1);
    assert(space != NULL);
    size_t left = (size_t)(space - line.data);
    memcpy(text, line.data, left);
    memcpy(text + left, space + 1, line.size_bytes - left - 1);
    return tw_tokenizer_find(self->tokenizer, text, line.size_bytes - 1);
}

/* SentencePiece joins the pair whose joint token has the best score; the merges of a tokenizer.json
 * were sorted by that score, so the rank of the first merge that makes a token serves as one. */
static enum tw_status fill_scores(const struct conversion *self, float *scores)
{
    size_t n = self->spec->n_merges;
    for (uint32_t i = 0; i < self->n_tokens; i++) {
        bool is_plain = i < self->spec->n_tokens && self->spec->kinds[i] == TW_TOKEN_NORMAL;
        scores[i] = is_plain ? -(float)n - 1 : 0;
    }
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size_bytes = self->spec->merges[i].size_bytes;
        longest = size_bytes > longest ? size_bytes : longest;
    }
    char *text = tw_mem_alloc(longest, 1);
    if (text == NULL) {
        return no_memory(self);
    }
    for (size_t i = n; i-- > 0;) {
        tw_token token = merged_token(self, self->spec->merges[i], text);
        assert(token >= 0 && (uint32_t)token < self->n_tokens);
        scores[token] = -(float)i;
    }
    tw_mem_free(text);
    return TW_OK;
}

static enum tw_status put_scores(const struct conversion *self)
{
    float *scores = tw_mem_alloc(self->n_tokens, sizeof *scores);
    if (scores == NULL) {
        return no_memory(self);
    }
    enum tw_status status = fill_scores(self, scores);
    if (status == TW_OK) {
        tw_gguf_put_array(self->writer, "tokenizer.ggml.scores", TW_GGUF_FLOAT32, scores,
                          self->n_tokens);
    }
    tw_mem_free(scores);
    return status;
}

/* ---- how text is prepared: byte-level BPE ---- */

/* The hand-written kind a step is, or PATTERN for anything else. */
static enum tw_pretokenize_kind cut_kind(const struct tw_pretokenize_step *step)
{
    enum tw_pretokenize_kind kind = step->kind;
    if (kind == TW_PRETOKENIZE_PATTERN && step->behaviour == TW_PRETOKENIZE_ISOLATED &&
        !step->invert) {
        tw_pretokenize_known(step->text, &kind);
    }
    return kind;
}

static const char *pre_name(const struct tw_tokenizer_spec *spec)
{
    enum tw_pretokenize_kind first =
        spec->n_cuts != 0 ? cut_kind(&spec->cuts[0]) : TW_PRETOKENIZE_KIND_COUNT;
    if (spec->n_cuts == 2 && first == TW_PRETOKENIZE_EACH_DIGIT &&
        cut_kind(&spec->cuts[1]) == TW_PRETOKENIZE_GPT2 && !spec->ignore_merges) {
        return "smollm";
    }
    if (spec->n_cuts != 1) {
        return NULL;
    }
    if (first == TW_PRETOKENIZE_LLAMA3) {
        return spec->ignore_merges ? "llama-bpe" : "smaug-bpe";
    }
    const char *name = first == TW_PRETOKENIZE_QWEN2  ? "qwen2"
                       : first == TW_PRETOKENIZE_GPT2 ? "gpt-2"
                                                      : NULL;
    return spec->ignore_merges ? NULL : name;
}

static bool has_nfc(const struct tw_tokenizer_spec *spec)
{
    return spec->n_normalise == 1 && spec->normalise[0].kind == TW_NORMALISE_NFC;
}

static enum tw_status check_bpe(const struct conversion *self)
{
    if (pre_name(self->spec) == NULL) {
        return refuse(self, "this pre_tokenizer");
    }
    return self->spec->n_normalise == 0 || has_nfc(self->spec) ? TW_OK
                                                               : refuse(self, "this normalizer");
}

static enum tw_status put_bpe(const struct conversion *self)
{
    enum tw_status status = check_bpe(self);
    if (status != TW_OK) {
        return status;
    }
    tw_gguf_put_text(self->writer, "tokenizer.ggml.pre", pre_name(self->spec));
    if (has_nfc(self->spec)) {
        tw_gguf_put_bool(self->writer, "tokenworks.tokenizer.nfc", true);
    }
    put_merges(self);
    return TW_OK;
}

/* ---- how text is prepared: SentencePiece ---- */

/* Spaces become marks in every SentencePiece vocabulary; what varies is one put before the text. */
static enum tw_status read_space_prefix(const struct conversion *self, bool *ret_prefix)
{
    const struct tw_tokenizer_spec *spec = self->spec;
    bool has_prefix = false;
    for (size_t i = 0; i < spec->n_normalise; i++) {
        const struct tw_normalise_step *step = &spec->normalise[i];
        bool is_prefix = step->kind == TW_NORMALISE_PREPEND && tw_bytes_equal(step->to, mark);
        bool is_marks = step->kind == TW_NORMALISE_REPLACE && tw_bytes_equal(step->to, mark) &&
                        tw_bytes_equal(step->from, tw_bytes_of(" "));
        if (!is_prefix && !is_marks) {
            return refuse(self, "this normalizer");
        }
        has_prefix = has_prefix || is_prefix;
    }
    for (size_t i = 0; i < spec->n_cuts; i++) {
        const struct tw_pretokenize_step *step = &spec->cuts[i];
        if (step->kind != TW_PRETOKENIZE_METASPACE || !step->keep_whole) {
            return refuse(self, "this pre_tokenizer");
        }
        has_prefix = has_prefix || step->prepend != TW_PRETOKENIZE_PREPEND_NEVER;
    }
    *ret_prefix = has_prefix;
    return TW_OK;
}

static enum tw_status put_spm(const struct conversion *self)
{
    bool has_prefix = false;
    enum tw_status status = read_space_prefix(self, &has_prefix);
    if (status == TW_OK) {
        tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_space_prefix", has_prefix);
        status = put_scores(self);
    }
    return status;
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

static tw_token padding_token(const struct conversion *self)
{
    const json_t *name = json_object_get(tw_hf_folder_tokenizer_config(self->folder), "pad_token");
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
    const struct tw_tokenizer_spec *spec = self->spec;
    tw_token bos = spec->bos != TW_TOKEN_NONE ? spec->bos : config_token(self, "bos_token_id");
    tw_token eos = spec->eos != TW_TOKEN_NONE ? spec->eos : config_token(self, "eos_token_id");
    put_id(self, "tokenizer.ggml.bos_token_id", bos);
    put_id(self, "tokenizer.ggml.eos_token_id", eos);
    put_id(self, "tokenizer.ggml.unknown_token_id", spec->unknown);
    put_id(self, "tokenizer.ggml.padding_token_id", padding_token(self));
    put_ends(self, eos);
    tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_bos_token",
                     spec->add_bos && spec->bos != TW_TOKEN_NONE);
    tw_gguf_put_bool(self->writer, "tokenizer.ggml.add_eos_token",
                     spec->add_eos && spec->eos != TW_TOKEN_NONE);
}

/* ---- all of it ---- */

enum tw_status tw_convert_check_tokenizer(const struct tw_tokenizer_spec *spec,
                                          struct tw_error *error)
{
    const struct conversion self = {.spec = spec, .error = error};
    bool has_prefix;
    enum tw_status status = check_added(&self);
    if (status != TW_OK) {
        return status;
    }
    return spec->family == TW_TOKENIZER_BPE ? check_bpe(&self)
                                            : read_space_prefix(&self, &has_prefix);
}

static enum tw_status put_all(const struct conversion *self)
{
    bool is_bpe = self->spec->family == TW_TOKENIZER_BPE;
    enum tw_status status = check_added(self);
    if (status != TW_OK) {
        return status;
    }
    tw_gguf_put_text(self->writer, "tokenizer.ggml.model", is_bpe ? "gpt2" : "llama");
    put_tokens(self);
    status = put_kinds(self);
    if (status == TW_OK) {
        status = is_bpe ? put_bpe(self) : put_spm(self);
    }
    if (status != TW_OK) {
        return status;
    }
    put_specials(self);
    struct tw_bytes chat = tw_hf_folder_chat_template(self->folder);
    if (chat.size_bytes != 0) {
        tw_gguf_put_string(self->writer, "tokenizer.chat_template", chat.data, chat.size_bytes);
    }
    return TW_OK;
}

static enum tw_status check_size(const struct conversion *self)
{
    if (self->spec->n_tokens > self->n_tokens) {
        return tw_error_set(self->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tokenizer.json has %zu tokens, the model %" PRIu32,
                            self->spec->n_tokens, self->n_tokens);
    }
    return TW_OK;
}

static enum tw_status convert(struct conversion *self, const json_t *json, struct tw_arena *arena)
{
    struct tw_tokenizer_spec spec;
    struct tw_tokenizer *tokenizer = NULL;
    enum tw_status status = tw_tokenizer_spec_from_json(
        json, tw_hf_folder_tokenizer_config(self->folder), arena, &spec, self->error);
    if (status != TW_OK) {
        return status;
    }
    self->spec = &spec;
    status = check_size(self);
    if (status == TW_OK) {
        status = tw_tokenizer_create(&spec, &tokenizer, self->error);
    }
    if (status == TW_OK) {
        self->tokenizer = tokenizer;
        status = put_all(self);
    }
    tw_tokenizer_free(tokenizer);
    return status;
}

enum tw_status tw_convert_put_tokenizer(const struct tw_model_files *files,
                                        const struct tw_model_shape *shape,
                                        struct tw_gguf_writer *writer, struct tw_error *error)
{
    struct conversion self = {.folder = tw_model_files_folder(files),
                              .writer = writer,
                              .n_tokens = shape->n_vocab,
                              .error = error};
    json_t *json = NULL;
    enum tw_status status = tw_hf_folder_load_tokenizer(self.folder, &json, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_arena arena;
    tw_arena_init(&arena, TW_LIMIT_TOKENIZER_SPEC_BYTES);
    status = convert(&self, json, &arena);
    tw_arena_clear(&arena);
    json_decref(json);
    return status;
}
