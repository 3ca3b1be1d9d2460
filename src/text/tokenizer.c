#include "text/tokenizer_parts.h"

#include <assert.h>

#include "base/mem.h"

static const struct tw_bytes mark = {"\xe2\x96\x81", 3};
static const struct tw_bytes space = {" ", 1};

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a tokenizer");
}

static bool keep(struct tw_tokenizer *tokenizer, struct tw_bytes *text)
{
    const char *copy = tw_arena_strndup(&tokenizer->arena, text->size_bytes != 0 ? text->data : "",
                                        text->size_bytes);
    text->data = copy;
    return copy != NULL;
}

static void add_normalise_step(struct tw_tokenizer *tokenizer, enum tw_normalise_kind kind,
                               struct tw_bytes from, struct tw_bytes to)
{
    tokenizer->normalise[tokenizer->n_normalise++] =
        (struct tw_normalise_step){.kind = kind, .from = from, .to = to};
}

static enum tw_status set_normaliser(struct tw_tokenizer *tokenizer,
                                     const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    struct tw_bytes none = {0};
    if (spec->normalise == NULL && spec->family == TW_TOKENIZER_SPM) {
        if (spec->remove_extra_whitespaces) {
            add_normalise_step(tokenizer, TW_NORMALISE_TRIM_SPACES, none, none);
        }
        if (spec->add_space_prefix) {
            add_normalise_step(tokenizer, TW_NORMALISE_PREPEND, none, mark);
        }
        add_normalise_step(tokenizer, TW_NORMALISE_REPLACE, space, mark);
    } else if (spec->normalise == NULL && spec->normalise_nfc) {
        add_normalise_step(tokenizer, TW_NORMALISE_NFC, none, none);
    }
    if (spec->n_normalise > TW_LIMIT_TOKENIZER_STEPS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a normaliser of %zu steps; at most %d are possible", spec->n_normalise,
                            TW_LIMIT_TOKENIZER_STEPS);
    }
    for (size_t i = 0; spec->normalise != NULL && i < spec->n_normalise; i++) {
        struct tw_normalise_step step = spec->normalise[i];
        if (!keep(tokenizer, &step.from) || !keep(tokenizer, &step.to)) {
            return no_memory(error);
        }
        tokenizer->normalise[tokenizer->n_normalise++] = step;
    }
    return TW_OK;
}

/* A pattern that is one of the hand-written ones becomes that. */
static enum tw_status add_cut(struct tw_tokenizer *tokenizer, struct tw_pretokenize_step step,
                              struct tw_error *error)
{
    if (step.kind == TW_PRETOKENIZE_PATTERN && step.behaviour == TW_PRETOKENIZE_ISOLATED) {
        tw_pretokenize_known(step.text, &step.kind);
    }
    if (step.kind == TW_PRETOKENIZE_PATTERN) {
        struct tw_pattern *pattern;
        enum tw_status status = tw_pattern_create(step.text, &pattern, error);
        if (status != TW_OK) {
            return status;
        }
        tokenizer->patterns[tokenizer->n_cuts] = pattern;
        step.pattern = pattern;
    }
    bool kept = keep(tokenizer, &step.text);
    tokenizer->cuts[tokenizer->n_cuts++] = step;
    return kept ? TW_OK : no_memory(error);
}

static enum tw_status set_pretokenizer(struct tw_tokenizer *tokenizer,
                                       const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    static const enum tw_pretokenize_kind kinds[] = {
        [TW_PRETOKENIZER_GPT2] = TW_PRETOKENIZE_GPT2,
        [TW_PRETOKENIZER_LLAMA3] = TW_PRETOKENIZE_LLAMA3,
        [TW_PRETOKENIZER_QWEN2] = TW_PRETOKENIZE_QWEN2,
        [TW_PRETOKENIZER_PATTERN] = TW_PRETOKENIZE_PATTERN,
    };
    if (spec->cuts == NULL && spec->family == TW_TOKENIZER_BPE) {
        struct tw_pretokenize_step step = {.kind = kinds[spec->pretokenizer]};
        if (step.kind == TW_PRETOKENIZE_PATTERN) {
            assert(spec->pattern != NULL);
            step.text = tw_bytes_of(spec->pattern);
        }
        return add_cut(tokenizer, step, error);
    }
    if (spec->n_cuts > TW_LIMIT_TOKENIZER_STEPS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a pre-tokenizer of %zu steps; at most %d are possible", spec->n_cuts,
                            TW_LIMIT_TOKENIZER_STEPS);
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; spec->cuts != NULL && i < spec->n_cuts && status == TW_OK; i++) {
        status = add_cut(tokenizer, spec->cuts[i], error);
    }
    return status;
}

/* What opens and closes a turn of a chat is special, whatever a file says of it: a token that is
 * found in any text would let a user end his turn and speak as somebody else. */
static void guard_markers(struct tw_tokenizer *tokenizer, const struct tw_tokenizer_spec *spec)
{
    static const char *const names[] = {
        "<|im_start|>",        "<|im_end|>",        "<|endoftext|>",
        "<|eot_id|>",          "<|eom_id|>",        "<|end_of_text|>",
        "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"};
    enum { N_NAMES = sizeof names / sizeof names[0] };
    tw_token ids[N_NAMES + 2] = {spec->bos, spec->eos};
    for (size_t i = 0; i < N_NAMES; i++) {
        ids[2 + i] = tw_vocab_find_text(&tokenizer->vocab, tw_bytes_of(names[i]));
    }
    for (size_t i = 0; i < N_NAMES + 2; i++) {
        bool is_token = ids[i] >= 0 && (size_t)ids[i] < tokenizer->vocab.n_tokens;
        if (is_token && tokenizer->vocab.kinds[ids[i]] == TW_TOKEN_USER_DEFINED) {
            tokenizer->vocab.kinds[ids[i]] = TW_TOKEN_CONTROL;
        }
    }
}

/* Added tokens of a vocabulary that tells kinds only. */
static size_t added_from_kinds(const struct tw_vocab *vocab, struct tw_added_token *ret_added)
{
    size_t n = 0;
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        uint8_t kind = vocab->kinds[i];
        bool is_special = kind == TW_TOKEN_CONTROL || kind == TW_TOKEN_UNKNOWN;
        if (is_special || kind == TW_TOKEN_USER_DEFINED) {
            ret_added[n++] = (struct tw_added_token){
                .id = (tw_token)i, .text = vocab->texts[i], .is_special = is_special};
        }
    }
    return n;
}

/* A token looked for in normalised text is itself normalised; both sets refer to the arena. */
static enum tw_status added_from_spec(struct tw_tokenizer *tokenizer,
                                      const struct tw_tokenizer_spec *spec,
                                      struct tw_added_token *ret_added, struct tw_error *error)
{
    struct tw_normalise_scratch scratch = {0};
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < spec->n_added && status == TW_OK; i++) {
        struct tw_added_token token = spec->added[i];
        if (token.id < 0 || (size_t)token.id >= spec->n_tokens) {
            status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                  "added token %zu has id %d, outside the vocabulary", i, token.id);
            break;
        }
        if (token.normalised) {
            status = tw_normalise(tokenizer->normalise, tokenizer->n_normalise, &scratch,
                                  token.text, &token.text, error);
        }
        if (status == TW_OK && !keep(tokenizer, &token.text)) {
            status = no_memory(error);
        }
        token.is_special |= tokenizer->vocab.kinds[token.id] == TW_TOKEN_CONTROL;
        ret_added[i] = token;
    }
    tw_normalise_scratch_free(&scratch);
    return status;
}

static enum tw_status split_added(struct tw_tokenizer *tokenizer, struct tw_added_token *added,
                                  size_t n, struct tw_error *error)
{
    size_t n_raw = 0;
    for (size_t i = 0; i < n; i++) {
        if (!added[i].normalised) {
            struct tw_added_token token = added[i];
            added[i] = added[n_raw];
            added[n_raw++] = token;
        }
    }
    enum tw_status status = tw_added_init(&tokenizer->added, added, n_raw, error);
    return status != TW_OK
               ? status
               : tw_added_init(&tokenizer->added_normalised, added + n_raw, n - n_raw, error);
}

static enum tw_status set_added(struct tw_tokenizer *tokenizer,
                                const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    size_t n = spec->added != NULL ? spec->n_added : spec->n_tokens;
    struct tw_added_token *added = tw_mem_alloc(n, sizeof *added);
    if (added == NULL) {
        return no_memory(error);
    }
    enum tw_status status = TW_OK;
    guard_markers(tokenizer, spec);
    if (spec->added != NULL) {
        status = added_from_spec(tokenizer, spec, added, error);
    } else {
        n = added_from_kinds(&tokenizer->vocab, added);
    }
    if (status == TW_OK) {
        status = split_added(tokenizer, added, n, error);
    }
    tw_mem_free(added);
    return status;
}

static enum tw_status check_id(const struct tw_tokenizer *tokenizer, tw_token id, const char *name,
                               struct tw_error *error)
{
    if (id != TW_TOKEN_NONE && (id < 0 || (size_t)id >= tokenizer->vocab.n_tokens)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the %s token has id %d, outside the vocabulary of %zu", name, id,
                            tokenizer->vocab.n_tokens);
    }
    return TW_OK;
}

static void set_ends(struct tw_tokenizer *tokenizer)
{
    static const char *const names[] = {"<|im_end|>",      "<|eot_id|>",    "<|eom_id|>",
                                        "<|end_of_text|>", "<|endoftext|>", "</s>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tw_token id = tw_vocab_find_text(&tokenizer->vocab, tw_bytes_of(names[i]));
        uint8_t kind = id != TW_TOKEN_NONE ? tokenizer->vocab.kinds[id] : TW_TOKEN_NORMAL;
        if (kind == TW_TOKEN_CONTROL || kind == TW_TOKEN_USER_DEFINED) {
            tokenizer->ends[tokenizer->n_ends++] = id;
        }
    }
    if (tokenizer->eos != TW_TOKEN_NONE) {
        tw_tokenizer_add_end(tokenizer, tokenizer->eos); /* there is room: the list was empty */
    }
}

static enum tw_status set_ids(struct tw_tokenizer *tokenizer, const struct tw_tokenizer_spec *spec,
                              struct tw_error *error)
{
    tokenizer->bos = spec->bos;
    tokenizer->eos = spec->eos;
    tokenizer->unknown = spec->unknown;
    tokenizer->add_bos = spec->add_bos && spec->bos != TW_TOKEN_NONE;
    tokenizer->add_eos = spec->add_eos && spec->eos != TW_TOKEN_NONE;
    tokenizer->ignore_merges = spec->ignore_merges;
    tokenizer->fuse_unknown = spec->fuse_unknown;
    tokenizer->add_space_prefix = spec->add_space_prefix && spec->family == TW_TOKENIZER_SPM;
    enum tw_status status = check_id(tokenizer, spec->bos, "beginning", error);
    if (status == TW_OK) {
        status = check_id(tokenizer, spec->eos, "end", error);
    }
    if (status == TW_OK) {
        status = check_id(tokenizer, spec->unknown, "unknown", error);
    }
    if (status == TW_OK) {
        set_ends(tokenizer);
    }
    return status;
}

static enum tw_status fill(struct tw_tokenizer *tokenizer, const struct tw_tokenizer_spec *spec,
                           struct tw_error *error)
{
    tw_arena_init(&tokenizer->arena, (size_t)TW_LIMIT_MODEL_JSON_BYTES * 2);
    enum tw_status status = tw_vocab_init(&tokenizer->vocab, spec, error);
    if (status == TW_OK) {
        tokenizer->wholeness = tw_mem_zalloc(spec->n_tokens, sizeof *tokenizer->wholeness);
        status = tokenizer->wholeness != NULL ? TW_OK : no_memory(error);
    }
    if (status == TW_OK) {
        status = tw_merges_init(&tokenizer->merges, &tokenizer->vocab, spec, error);
    }
    if (status == TW_OK) {
        status = set_normaliser(tokenizer, spec, error);
    }
    if (status == TW_OK) {
        status = set_pretokenizer(tokenizer, spec, error);
    }
    if (status == TW_OK) {
        status = set_added(tokenizer, spec, error);
    }
    return status == TW_OK ? set_ids(tokenizer, spec, error) : status;
}

enum tw_status tw_tokenizer_create(const struct tw_tokenizer_spec *spec,
                                   struct tw_tokenizer **ret_tokenizer, struct tw_error *error)
{
    struct tw_tokenizer *tokenizer = tw_mem_zalloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        return no_memory(error);
    }
    enum tw_status status = fill(tokenizer, spec, error);
    if (status != TW_OK) {
        tw_tokenizer_free(tokenizer);
        return status;
    }
    *ret_tokenizer = tokenizer;
    return TW_OK;
}

void tw_tokenizer_free(struct tw_tokenizer *tokenizer)
{
    if (tokenizer == NULL) {
        return;
    }
    for (size_t i = 0; i < tokenizer->n_cuts; i++) {
        tw_pattern_free(tokenizer->patterns[i]);
    }
    tw_added_free(&tokenizer->added);
    tw_added_free(&tokenizer->added_normalised);
    tw_merges_free(&tokenizer->merges);
    tw_vocab_free(&tokenizer->vocab);
    tw_arena_clear(&tokenizer->arena);
    tw_mem_free(tokenizer->wholeness);
    tw_mem_free(tokenizer);
}

size_t tw_tokenizer_size(const struct tw_tokenizer *tokenizer)
{
    return tokenizer->vocab.n_tokens;
}

tw_token tw_tokenizer_bos(const struct tw_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

tw_token tw_tokenizer_eos(const struct tw_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool tw_tokenizer_adds_bos(const struct tw_tokenizer *tokenizer)
{
    return tokenizer->add_bos;
}

static bool has_token(const struct tw_tokenizer *tokenizer, tw_token id)
{
    return id >= 0 && (size_t)id < tokenizer->vocab.n_tokens;
}

struct tw_bytes tw_tokenizer_token_bytes(const struct tw_tokenizer *tokenizer, tw_token id,
                                         bool with_special)
{
    enum tw_token_kind kind = tw_tokenizer_token_kind(tokenizer, id);
    bool is_special = kind == TW_TOKEN_CONTROL || kind == TW_TOKEN_UNKNOWN;
    if (!has_token(tokenizer, id) || (is_special && !with_special)) {
        return (struct tw_bytes){"", 0};
    }
    return tokenizer->vocab.bytes[id];
}

struct tw_bytes tw_tokenizer_token_text(const struct tw_tokenizer *tokenizer, tw_token id)
{
    return has_token(tokenizer, id) ? tokenizer->vocab.texts[id] : (struct tw_bytes){"", 0};
}

enum tw_token_kind tw_tokenizer_token_kind(const struct tw_tokenizer *tokenizer, tw_token id)
{
    return has_token(tokenizer, id) ? (enum tw_token_kind)tokenizer->vocab.kinds[id]
                                    : TW_TOKEN_UNUSED;
}

tw_token tw_tokenizer_find(const struct tw_tokenizer *tokenizer, const char *text,
                           size_t text_bytes)
{
    return tw_vocab_find_text(&tokenizer->vocab, (struct tw_bytes){text, text_bytes});
}

bool tw_tokenizer_ends_generation(const struct tw_tokenizer *tokenizer, tw_token id)
{
    for (size_t i = 0; i < tokenizer->n_ends; i++) {
        if (tokenizer->ends[i] == id) {
            return true;
        }
    }
    return false;
}

enum tw_status tw_tokenizer_add_end(struct tw_tokenizer *tokenizer, tw_token id)
{
    if (!has_token(tokenizer, id)) {
        return TW_ERR_USAGE;
    }
    if (tw_tokenizer_ends_generation(tokenizer, id)) {
        return TW_OK;
    }
    if (tokenizer->n_ends == TW_LIMIT_END_TOKENS) {
        return TW_ERR_LIMIT;
    }
    tokenizer->ends[tokenizer->n_ends++] = id;
    return TW_OK;
}

enum tw_status tw_tokenizer_from_json(const json_t *tokenizer_json, const json_t *config_json,
                                      struct tw_tokenizer **ret_tokenizer, struct tw_error *error)
{
    struct tw_arena arena;
    tw_arena_init(&arena, TW_LIMIT_TOKENIZER_SPEC_BYTES);
    struct tw_tokenizer_spec spec;
    enum tw_status status =
        tw_tokenizer_spec_from_json(tokenizer_json, config_json, &arena, &spec, error);
    if (status == TW_OK) {
        status = tw_tokenizer_create(&spec, ret_tokenizer, error);
    }
    tw_arena_clear(&arena);
    return status;
}
