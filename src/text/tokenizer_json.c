#include <assert.h>
#include <string.h>

#include "text/tokenizer.h"

/* Sequences may hold sequences; no published file nests them more than once. */
#define MAX_NESTING 8

/* A description being read. */
struct reader {
    const json_t *tokenizer;
    const json_t *config; /* or NULL */
    struct tw_arena *arena;
    struct tw_tokenizer_spec *spec;
    struct tw_bytes *tokens;
    uint8_t *kinds;
    struct tw_added_token *added;
    size_t n_added;
    struct tw_normalise_step *normalise;
    struct tw_pretokenize_step *cuts;
    bool is_byte_level;
    bool has_template;
    struct tw_error *error;
};

static const struct tw_bytes mark = {"\xe2\x96\x81", 3};

static enum tw_status bad_format(const struct reader *r, const char *what)
{
    return tw_error_set(r->error, TW_ERR_FORMAT, TW_NO_POSITION, "tokenizer.json: %s", what);
}

static enum tw_status unsupported(const struct reader *r, const char *part, const char *name)
{
    return tw_error_set(r->error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "tokenizer.json: %s '%s' is not supported", part, name);
}

static enum tw_status no_memory(const struct reader *r)
{
    return tw_error_set(r->error, TW_ERR_MEMORY, TW_NO_POSITION,
                        "no memory for the tokens of tokenizer.json");
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type != NULL ? type : "(no type)";
}

static struct tw_bytes bytes_of(const json_t *string)
{
    return json_is_string(string)
               ? (struct tw_bytes){json_string_value(string), json_string_length(string)}
               : (struct tw_bytes){"", 0};
}

static bool bool_of(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* A reader of one element of a list, or of one that stands alone. */
typedef enum tw_status (*element_fn)(struct reader *r, const json_t *element);

/* Calls fn for the elements of (nested) sequences in order. */
static enum tw_status for_each(struct reader *r, const json_t *value, const char *list_key,
                               element_fn fn, int depth)
{
    if (is_absent(value)) {
        return TW_OK;
    }
    if (depth == MAX_NESTING) {
        return bad_format(r, "sequences are nested too deep");
    }
    if (strcmp(type_of(value), "Sequence") != 0) {
        return fn(r, value);
    }
    const json_t *list = json_object_get(value, list_key);
    if (!json_is_array(list)) {
        return bad_format(r, "a Sequence without its list");
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < json_array_size(list) && status == TW_OK; i++) {
        status = for_each(r, json_array_get(list, i), list_key, fn, depth + 1);
    }
    return status;
}

static bool valid_id(const json_t *value)
{
    json_int_t id = json_integer_value(value);
    return json_is_integer(value) && id >= 0 && id < (json_int_t)TW_LIMIT_VOCAB_TOKENS;
}

static enum tw_status bad_id(const struct reader *r, const char *token)
{
    return tw_error_set(r->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "tokenizer.json: token '%.80s' has no id from 0 to %u", token,
                        TW_LIMIT_VOCAB_TOKENS - 1);
}

static const json_t *added_list(const struct reader *r)
{
    return json_object_get(r->tokenizer, "added_tokens");
}

/* The id of a key of added_tokens_decoder, or TW_TOKEN_NONE. */
static tw_token id_of_key(const char *key)
{
    tw_token id = 0;
    for (const char *p = key; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || id >= (tw_token)TW_LIMIT_VOCAB_TOKENS / 10) {
            return TW_TOKEN_NONE;
        }
        id = id * 10 + (*p - '0');
    }
    return *key != '\0' ? id : TW_TOKEN_NONE;
}

/* The highest id + 1, and the number of entries. */
static enum tw_status measure(const struct reader *r, json_t *vocab, size_t *ret_n_tokens,
                              size_t *ret_n_entries)
{
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach (vocab, key, value) {
        if (!valid_id(value)) {
            return bad_id(r, key);
        }
        size_t id = (size_t)json_integer_value(value);
        n = id + 1 > n ? id + 1 : n;
    }
    const json_t *added = added_list(r);
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *token = json_array_get(added, i);
        const json_t *id = json_object_get(token, "id");
        const json_t *content = json_object_get(token, "content");
        if (!json_is_string(content) || !valid_id(id)) {
            return bad_id(r, json_is_string(content) ? json_string_value(content) : "(added)");
        }
        n = (size_t)json_integer_value(id) + 1 > n ? (size_t)json_integer_value(id) + 1 : n;
    }
    json_t *more = json_object_get(r->config, "added_tokens_decoder");
    json_object_foreach (more, key, value) {
        tw_token id = id_of_key(key);
        if (id == TW_TOKEN_NONE || !json_is_string(json_object_get(value, "content"))) {
            return bad_id(r, key);
        }
        n = (size_t)id + 1 > n ? (size_t)id + 1 : n;
    }
    *ret_n_tokens = n;
    *ret_n_entries = json_object_size(vocab) + json_array_size(added) + json_object_size(more);
    return TW_OK;
}

/* A file of a few bytes must not claim millions of tokens by one high id. */
static enum tw_status allocate(struct reader *r, json_t *vocab)
{
    size_t n_tokens = 0;
    size_t n_entries = 0;
    enum tw_status status = measure(r, vocab, &n_tokens, &n_entries);
    if (status != TW_OK) {
        return status;
    }
    if (n_tokens == 0 || n_tokens > 2 * n_entries + 4096) {
        return tw_error_set(r->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tokenizer.json: %zu entries cannot fill ids up to %zu", n_entries,
                            n_tokens);
    }
    r->tokens = tw_arena_alloc(r->arena, n_tokens, sizeof *r->tokens);
    r->kinds = tw_arena_alloc(r->arena, n_tokens, sizeof *r->kinds);
    r->added = tw_arena_alloc(r->arena, n_entries + 2, sizeof *r->added);
    if (r->tokens == NULL || r->kinds == NULL || r->added == NULL) {
        return no_memory(r);
    }
    memset(r->kinds, TW_TOKEN_UNUSED, n_tokens);
    r->spec->n_tokens = n_tokens;
    return TW_OK;
}

static void read_vocab(struct reader *r, json_t *vocab)
{
    for (void *at = json_object_iter(vocab); at != NULL; at = json_object_iter_next(vocab, at)) {
        size_t id = (size_t)json_integer_value(json_object_iter_value(at));
        r->tokens[id] = (struct tw_bytes){json_object_iter_key(at), json_object_iter_key_len(at)};
        r->kinds[id] = TW_TOKEN_NORMAL;
    }
}

static enum tw_status add_token(struct reader *r, tw_token id, const json_t *token)
{
    struct tw_bytes text = bytes_of(json_object_get(token, "content"));
    bool is_special = bool_of(token, "special", false);
    if (r->tokens[id].size_bytes != 0 && !tw_bytes_equal(r->tokens[id], text)) {
        return tw_error_set(r->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tokenizer.json: added token '%.80s' has the id %d of another token",
                            text.data, id);
    }
    r->tokens[id] = text;
    r->kinds[id] = is_special ? TW_TOKEN_CONTROL : TW_TOKEN_USER_DEFINED;
    r->added[r->n_added++] = (struct tw_added_token){
        .id = id,
        .text = text,
        .is_special = is_special,
        .strip_left = bool_of(token, "lstrip", false),
        .strip_right = bool_of(token, "rstrip", false),
        .normalised = bool_of(token, "normalized", !is_special),
        .single_word = bool_of(token, "single_word", false),
    };
    return TW_OK;
}

static bool is_added(const struct reader *r, tw_token id)
{
    return r->kinds[id] == TW_TOKEN_CONTROL || r->kinds[id] == TW_TOKEN_USER_DEFINED;
}

static enum tw_status read_added(struct reader *r)
{
    enum tw_status status = TW_OK;
    const json_t *added = added_list(r);
    for (size_t i = 0; i < json_array_size(added) && status == TW_OK; i++) {
        const json_t *token = json_array_get(added, i);
        status = add_token(r, (tw_token)json_integer_value(json_object_get(token, "id")), token);
    }
    const char *key;
    json_t *token;
    json_t *more = json_object_get(r->config, "added_tokens_decoder");
    json_object_foreach (more, key, token) {
        tw_token id = id_of_key(key);
        if (status == TW_OK && !is_added(r, id)) {
            status = add_token(r, id, token);
        }
    }
    return status;
}

/* The id of a token by its text, or TW_TOKEN_NONE. */
static tw_token find_token(const struct reader *r, const json_t *vocab, struct tw_bytes text)
{
    for (size_t i = 0; i < r->n_added; i++) {
        if (tw_bytes_equal(r->added[i].text, text)) {
            return r->added[i].id;
        }
    }
    const json_t *id = json_object_getn(vocab, text.data, text.size_bytes);
    return id != NULL ? (tw_token)json_integer_value(id) : TW_TOKEN_NONE;
}

static enum tw_status join_pair(struct reader *r, const json_t *pair, struct tw_bytes *ret_line)
{
    struct tw_bytes left = bytes_of(json_array_get(pair, 0));
    struct tw_bytes right = bytes_of(json_array_get(pair, 1));
    if (json_array_size(pair) != 2 || left.size_bytes == 0 || right.size_bytes == 0) {
        return bad_format(r, "a merge that is no pair of tokens");
    }
    if (memchr(left.data, ' ', left.size_bytes) != NULL ||
        memchr(right.data, ' ', right.size_bytes) != NULL) {
        return unsupported(r, "a merge of", "tokens with spaces");
    }
    size_t n = left.size_bytes + 1 + right.size_bytes;
    char *line = tw_arena_alloc(r->arena, n, 1);
    if (line == NULL) {
        return no_memory(r);
    }
    memcpy(line, left.data, left.size_bytes);
    line[left.size_bytes] = ' ';
    memcpy(line + left.size_bytes + 1, right.data, right.size_bytes);
    *ret_line = (struct tw_bytes){line, n};
    return TW_OK;
}

static enum tw_status read_merges(struct reader *r, const json_t *list)
{
    size_t n = json_array_size(list);
    struct tw_bytes *merges = tw_arena_alloc(r->arena, n, sizeof *merges);
    if (merges == NULL) {
        return no_memory(r);
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < n && status == TW_OK; i++) {
        const json_t *merge = json_array_get(list, i);
        if (json_is_array(merge)) {
            status = join_pair(r, merge, &merges[i]);
        } else {
            merges[i] = bytes_of(merge);
        }
    }
    r->spec->merges = merges;
    r->spec->n_merges = n;
    return status;
}

static enum tw_status check_model(const struct reader *r, const json_t *model)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!json_is_object(model)) {
        return bad_format(r, "no model");
    }
    if (type != NULL && strcmp(type, "BPE") != 0) {
        return unsupported(r, "model", type);
    }
    if (!json_is_object(json_object_get(model, "vocab")) ||
        !json_is_array(json_object_get(model, "merges"))) {
        return bad_format(r, "the model lacks a vocabulary or its merges");
    }
    for (size_t i = 0; i < 2; i++) {
        if (json_string_length(json_object_get(model, affixes[i])) != 0) {
            return unsupported(r, "model option", affixes[i]);
        }
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_absent(dropout) && json_number_value(dropout) != 0.0) {
        return unsupported(r, "model option", "dropout");
    }
    return TW_OK;
}

static enum tw_status read_pattern(const struct reader *r, const json_t *element,
                                   struct tw_bytes *ret_text, bool *ret_is_regex)
{
    const json_t *pattern = json_object_get(element, "pattern");
    const json_t *string = json_object_get(pattern, "String");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *either = string != NULL ? string : regex;
    if (!json_is_string(either) || json_string_length(either) == 0) {
        return bad_format(r, "a pattern that is neither String nor Regex, or empty");
    }
    *ret_text = bytes_of(either);
    *ret_is_regex = string == NULL;
    return TW_OK;
}

static enum tw_status read_replace(const struct reader *r, const json_t *element,
                                   struct tw_normalise_step *ret_step)
{
    bool is_regex;
    enum tw_status status = read_pattern(r, element, &ret_step->from, &is_regex);
    if (status == TW_OK && is_regex) {
        status = unsupported(r, "normalizer", "Replace with Regex");
    }
    if (status == TW_OK && !json_is_string(json_object_get(element, "content"))) {
        status = bad_format(r, "a Replace without content");
    }
    ret_step->kind = TW_NORMALISE_REPLACE;
    ret_step->to = bytes_of(json_object_get(element, "content"));
    return status;
}

static enum tw_status read_normaliser(struct reader *r, const json_t *element)
{
    const char *type = type_of(element);
    struct tw_normalise_step step = {.kind = TW_NORMALISE_NFC};
    enum tw_status status = TW_OK;
    if (strcmp(type, "Prepend") == 0) {
        step.kind = TW_NORMALISE_PREPEND;
        step.to = bytes_of(json_object_get(element, "prepend"));
    } else if (strcmp(type, "Replace") == 0) {
        status = read_replace(r, element, &step);
    } else if (strcmp(type, "NFC") != 0) {
        status = unsupported(r, "normalizer", type);
    }
    if (status == TW_OK && r->spec->n_normalise == TW_LIMIT_TOKENIZER_STEPS) {
        return bad_format(r, "too many normalizers");
    }
    if (status == TW_OK) {
        r->normalise[r->spec->n_normalise++] = step;
    }
    return status;
}

static enum tw_status add_cut(struct reader *r, struct tw_pretokenize_step step)
{
    if (r->spec->n_cuts == TW_LIMIT_TOKENIZER_STEPS) {
        return bad_format(r, "too many pre-tokenizers");
    }
    r->cuts[r->spec->n_cuts++] = step;
    return TW_OK;
}

static enum tw_status read_split(struct reader *r, const json_t *element)
{
    static const char *const names[] = {
        [TW_PRETOKENIZE_ISOLATED] = "Isolated",
        [TW_PRETOKENIZE_REMOVED] = "Removed",
        [TW_PRETOKENIZE_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [TW_PRETOKENIZE_MERGED_WITH_NEXT] = "MergedWithNext",
        [TW_PRETOKENIZE_CONTIGUOUS] = "Contiguous",
    };
    const char *behaviour = json_string_value(json_object_get(element, "behavior"));
    size_t i = 0;
    while (behaviour != NULL && i < 5 && strcmp(behaviour, names[i]) != 0) {
        i++;
    }
    if (behaviour == NULL || i == 5) {
        return unsupported(r, "Split behavior", behaviour != NULL ? behaviour : "(none)");
    }
    bool is_regex;
    struct tw_pretokenize_step step = {.behaviour = (enum tw_pretokenize_behaviour)i,
                                       .invert = bool_of(element, "invert", false)};
    enum tw_status status = read_pattern(r, element, &step.text, &is_regex);
    step.kind = status == TW_OK && is_regex ? TW_PRETOKENIZE_PATTERN : TW_PRETOKENIZE_STRING;
    return status == TW_OK ? add_cut(r, step) : status;
}

static enum tw_status read_byte_level(struct reader *r, const json_t *element)
{
    enum tw_status status = TW_OK;
    r->is_byte_level = true;
    if (bool_of(element, "add_prefix_space", true)) {
        status = add_cut(r, (struct tw_pretokenize_step){.kind = TW_PRETOKENIZE_SPACE_PREFIX});
    }
    if (status == TW_OK && bool_of(element, "use_regex", true)) {
        status = add_cut(r, (struct tw_pretokenize_step){.kind = TW_PRETOKENIZE_GPT2});
    }
    return status;
}

/* When a mark is put before text; older files say add_prefix_space. */
static enum tw_status read_scheme(const struct reader *r, const json_t *element,
                                  enum tw_pretokenize_prepend *ret_scheme)
{
    const json_t *scheme = json_object_get(element, "prepend_scheme");
    const char *name = json_string_value(scheme);
    if (is_absent(scheme)) {
        name = bool_of(element, "add_prefix_space", true) ? "always" : "never";
    }
    if (name != NULL && strcmp(name, "always") == 0) {
        *ret_scheme = TW_PRETOKENIZE_PREPEND_ALWAYS;
    } else if (name != NULL && strcmp(name, "first") == 0) {
        *ret_scheme = TW_PRETOKENIZE_PREPEND_FIRST;
    } else if (name != NULL && strcmp(name, "never") == 0) {
        *ret_scheme = TW_PRETOKENIZE_PREPEND_NEVER;
    } else {
        return unsupported(r, "Metaspace prepend_scheme", name != NULL ? name : "(no string)");
    }
    return TW_OK;
}

static enum tw_status read_metaspace(struct reader *r, const json_t *element)
{
    struct tw_pretokenize_step step = {.kind = TW_PRETOKENIZE_METASPACE,
                                       .text = bytes_of(json_object_get(element, "replacement")),
                                       .behaviour = TW_PRETOKENIZE_MERGED_WITH_NEXT,
                                       .keep_whole = !bool_of(element, "split", true)};
    if (!tw_bytes_equal(step.text, mark)) {
        return unsupported(r, "Metaspace replacement", step.text.data);
    }
    enum tw_status status = read_scheme(r, element, &step.prepend);
    return status == TW_OK ? add_cut(r, step) : status;
}

static enum tw_status read_pretokenizer(struct reader *r, const json_t *element)
{
    const char *type = type_of(element);
    if (r->is_byte_level) {
        return unsupported(r, "a pre_tokenizer behind ByteLevel:", type);
    }
    if (strcmp(type, "Split") == 0) {
        return read_split(r, element);
    }
    if (strcmp(type, "ByteLevel") == 0) {
        return read_byte_level(r, element);
    }
    if (strcmp(type, "Metaspace") == 0) {
        return read_metaspace(r, element);
    }
    if (strcmp(type, "Digits") == 0) {
        bool each = bool_of(element, "individual_digits", false);
        return add_cut(r, (struct tw_pretokenize_step){.kind = each ? TW_PRETOKENIZE_EACH_DIGIT
                                                                    : TW_PRETOKENIZE_DIGITS});
    }
    return unsupported(r, "pre_tokenizer", type);
}

static bool is_strip_of_first_space(const json_t *element)
{
    const char *content = json_string_value(json_object_get(element, "content"));
    return content != NULL && strcmp(content, " ") == 0 &&
           json_integer_value(json_object_get(element, "start")) == 1 &&
           json_integer_value(json_object_get(element, "stop")) == 0;
}

/* Decoding is what the token kinds say; the decoder is read to see that it is that, and whether the
 * first space is dropped. */
static enum tw_status read_decoder(struct reader *r, const json_t *element)
{
    const char *type = type_of(element);
    if (strcmp(type, "ByteLevel") == 0) {
        return r->is_byte_level ? TW_OK : unsupported(r, "decoder without pre_tokenizer", type);
    }
    if (strcmp(type, "ByteFallback") == 0 || strcmp(type, "Fuse") == 0) {
        return TW_OK;
    }
    if (!r->is_byte_level && strcmp(type, "Replace") == 0) {
        struct tw_normalise_step step;
        enum tw_status status = read_replace(r, element, &step);
        bool is_space = status == TW_OK && tw_bytes_equal(step.from, mark) &&
                        tw_bytes_equal(step.to, tw_bytes_of(" "));
        return status != TW_OK ? status : is_space ? TW_OK : unsupported(r, "decoder", type);
    }
    if (!r->is_byte_level && strcmp(type, "Strip") == 0 && is_strip_of_first_space(element)) {
        r->spec->add_space_prefix = true;
        return TW_OK;
    }
    if (!r->is_byte_level && strcmp(type, "Metaspace") == 0) {
        enum tw_pretokenize_prepend scheme;
        enum tw_status status = read_scheme(r, element, &scheme);
        r->spec->add_space_prefix = status == TW_OK && scheme != TW_PRETOKENIZE_PREPEND_NEVER;
        return status;
    }
    return unsupported(r, "decoder", type);
}

/* The id a template gives a special token, or TW_TOKEN_NONE. */
static tw_token template_id(const json_t *processor, const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "id"));
    const json_t *tokens = json_object_get(processor, "special_tokens");
    const json_t *ids = json_object_get(name != NULL ? json_object_get(tokens, name) : NULL, "ids");
    const json_t *id = json_array_get(ids, 0);
    return json_array_size(ids) == 1 && valid_id(id) ? (tw_token)json_integer_value(id)
                                                     : TW_TOKEN_NONE;
}

/* [bos] text [eos], either of which may be missing. */
static enum tw_status read_template(struct reader *r, const json_t *processor)
{
    const json_t *single = json_object_get(processor, "single");
    struct tw_tokenizer_spec *spec = r->spec;
    bool seen_text = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        if (special == NULL) {
            if (seen_text || json_object_get(item, "Sequence") == NULL) {
                return unsupported(r, "post_processor", "TemplateProcessing with two texts");
            }
            seen_text = true;
            continue;
        }
        tw_token id = template_id(processor, special);
        bool is_taken = seen_text ? spec->add_eos : spec->add_bos;
        if (id == TW_TOKEN_NONE || is_taken) {
            return unsupported(r, "post_processor", "TemplateProcessing with several tokens");
        }
        if (seen_text) {
            spec->eos = id;
            spec->add_eos = true;
        } else {
            spec->bos = id;
            spec->add_bos = true;
        }
    }
    return seen_text ? TW_OK : bad_format(r, "a template without a text");
}

static enum tw_status read_post_processor(struct reader *r, const json_t *element)
{
    const char *type = type_of(element);
    if (strcmp(type, "ByteLevel") == 0) {
        return TW_OK;
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        r->has_template = true;
        return read_template(r, element);
    }
    return unsupported(r, "post_processor", type);
}

/* A token of tokenizer_config.json is a string or an object with content. */
static tw_token config_token(struct reader *r, const json_t *vocab, const char *key)
{
    const json_t *value = json_object_get(r->config, key);
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(content) ? find_token(r, vocab, bytes_of(content)) : TW_TOKEN_NONE;
}

/* The tokens that open and close a text are special even where no list says so. */
static void make_special(struct reader *r, tw_token id)
{
    if (id != TW_TOKEN_NONE && (size_t)id < r->spec->n_tokens && !is_added(r, id)) {
        r->kinds[id] = TW_TOKEN_CONTROL;
        r->added[r->n_added++] =
            (struct tw_added_token){.id = id, .text = r->tokens[id], .is_special = true};
    }
}

static void read_config(struct reader *r, const json_t *vocab)
{
    struct tw_tokenizer_spec *spec = r->spec;
    tw_token bos = config_token(r, vocab, "bos_token");
    tw_token eos = config_token(r, vocab, "eos_token");
    spec->bos = spec->bos == TW_TOKEN_NONE ? bos : spec->bos;
    /* A template may close a text with another token than the one that ends an answer. */
    spec->eos = spec->add_eos || eos == TW_TOKEN_NONE ? spec->eos : eos;
    make_special(r, spec->bos);
    make_special(r, spec->eos);
    spec->add_bos = bool_of(r->config, "add_bos_token", spec->add_bos);
    spec->add_eos = bool_of(r->config, "add_eos_token", spec->add_eos);
}

static void read_unknown(struct reader *r, const json_t *model, const json_t *vocab)
{
    const json_t *name = json_object_get(model, "unk_token");
    tw_token id = json_is_string(name) ? find_token(r, vocab, bytes_of(name)) : TW_TOKEN_NONE;
    r->spec->unknown = id;
    r->spec->fuse_unknown = bool_of(model, "fuse_unk", false);
    if (id != TW_TOKEN_NONE && r->kinds[id] != TW_TOKEN_USER_DEFINED) {
        r->kinds[id] = TW_TOKEN_UNKNOWN;
    }
}

static bool spells_byte(struct tw_bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    return text.size_bytes == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>' &&
           memchr(digits, text.data[3], 16) != NULL && memchr(digits, text.data[4], 16) != NULL;
}

/* With byte fallback the entries "<0x00>" to "<0xFF>" are bytes; without it they are just texts. */
static void mark_bytes(struct reader *r, const json_t *model)
{
    bool falls_back = bool_of(model, "byte_fallback", false) && !r->is_byte_level;
    for (size_t i = 0; falls_back && i < r->spec->n_tokens; i++) {
        if (r->kinds[i] == TW_TOKEN_NORMAL && spells_byte(r->tokens[i])) {
            r->kinds[i] = TW_TOKEN_BYTE;
        }
    }
}

static enum tw_status read_tokens(struct reader *r, const json_t *model)
{
    json_t *vocab = json_object_get(model, "vocab");
    enum tw_status status = allocate(r, vocab);
    if (status != TW_OK) {
        return status;
    }
    read_vocab(r, vocab);
    status = read_added(r);
    return status == TW_OK ? read_merges(r, json_object_get(model, "merges")) : status;
}

static enum tw_status read_steps(struct reader *r)
{
    r->normalise = tw_arena_alloc(r->arena, TW_LIMIT_TOKENIZER_STEPS, sizeof *r->normalise);
    r->cuts = tw_arena_alloc(r->arena, TW_LIMIT_TOKENIZER_STEPS, sizeof *r->cuts);
    if (r->normalise == NULL || r->cuts == NULL) {
        return no_memory(r);
    }
    const json_t *file = r->tokenizer;
    enum tw_status status =
        for_each(r, json_object_get(file, "normalizer"), "normalizers", read_normaliser, 0);
    if (status == TW_OK) {
        status = for_each(r, json_object_get(file, "pre_tokenizer"), "pretokenizers",
                          read_pretokenizer, 0);
    }
    if (status == TW_OK) {
        status = for_each(r, json_object_get(file, "decoder"), "decoders", read_decoder, 0);
    }
    if (status == TW_OK) {
        status = for_each(r, json_object_get(file, "post_processor"), "processors",
                          read_post_processor, 0);
    }
    return status;
}

enum tw_status tw_tokenizer_spec_from_json(const json_t *tokenizer_json, const json_t *config_json,
                                           struct tw_arena *arena,
                                           struct tw_tokenizer_spec *ret_spec,
                                           struct tw_error *error)
{
    struct tw_tokenizer_spec spec = {
        .bos = TW_TOKEN_NONE, .eos = TW_TOKEN_NONE, .unknown = TW_TOKEN_NONE};
    struct reader r = {.tokenizer = tokenizer_json,
                       .config = config_json,
                       .arena = arena,
                       .spec = &spec,
                       .error = error};
    const json_t *model = json_object_get(tokenizer_json, "model");
    enum tw_status status = check_model(&r, model);
    if (status == TW_OK) {
        status = read_tokens(&r, model);
    }
    if (status == TW_OK) {
        status = read_steps(&r);
    }
    if (status != TW_OK) {
        return status;
    }
    spec.family = r.is_byte_level ? TW_TOKENIZER_BPE : TW_TOKENIZER_SPM;
    spec.ignore_merges = bool_of(model, "ignore_merges", false);
    read_config(&r, json_object_get(model, "vocab"));
    read_unknown(&r, model, json_object_get(model, "vocab"));
    mark_bytes(&r, model);
    spec.tokens = r.tokens;
    spec.kinds = r.kinds;
    spec.added = r.added;
    spec.n_added = r.n_added;
    spec.normalise = r.normalise;
    spec.cuts = r.cuts;
    *ret_spec = spec;
    return TW_OK;
}
