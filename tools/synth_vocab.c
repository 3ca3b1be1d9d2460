#include "synth_vocab.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

#define SPACE_MARK  "\xe2\x96\x81" /* U+2581 */
#define VOCAB_BYTES (512u << 20)

static const char *const common_words[] = {
    "the",   "and",   "that", "have",   "for",   "not",   "with",  "you",    "this",  "but",
    "his",   "from",  "they", "say",    "her",   "she",   "will",  "one",    "all",   "would",
    "there", "their", "what", "out",    "about", "who",   "get",   "which",  "when",  "make",
    "can",   "like",  "time", "just",   "him",   "know",  "take",  "people", "into",  "year",
    "your",  "good",  "some", "could",  "them",  "see",   "other", "than",   "then",  "now",
    "look",  "only",  "come", "its",    "over",  "think", "also",  "back",   "after", "use",
    "two",   "how",   "our",  "work",   "first", "well",  "way",   "even",   "new",   "want",
    "once",  "upon",  "int",  "return", "void",  "char",  "while", "ing",    "tion",  "ment",
};

static const char *const qwen_specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
static const char *const llama3_specials[] = {
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",
};

static const char chatml_template[] =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static const char llama3_template[] =
    "{{ '<|begin_of_text|>' }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content']"
    " + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

/* ---- building ---- */

struct vocab_maker {
    struct synth_vocab *vocab;
    uint32_t n_vocab;
    uint32_t n_merges_most;
    bool failed;
};

static const char *keep(struct vocab_maker *maker, const char *text, size_t text_bytes)
{
    char *copy = tw_arena_strndup(&maker->vocab->arena, text, text_bytes);
    maker->failed |= copy == NULL;
    return copy;
}

static void add_token(struct vocab_maker *maker, const char *text, size_t text_bytes,
                      enum tw_token_kind kind)
{
    struct synth_vocab *vocab = maker->vocab;
    if (maker->failed || vocab->n_tokens == maker->n_vocab) {
        maker->failed = true;
        return;
    }
    uint32_t i = vocab->n_tokens++;
    vocab->tokens[i].data = keep(maker, text, text_bytes);
    vocab->tokens[i].size_bytes = text_bytes;
    vocab->kinds[i] = (uint8_t)kind;
    vocab->scores[i] = kind == TW_TOKEN_NORMAL ? -(float)i : 0.0f;
}

static tw_token find_token(const struct synth_vocab *vocab, const char *text, size_t text_bytes)
{
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        if (vocab->tokens[i].size_bytes == text_bytes &&
            memcmp(vocab->tokens[i].data, text, text_bytes) == 0) {
            return (tw_token)i;
        }
    }
    return TW_TOKEN_NONE;
}

static void fill_with_unused(struct vocab_maker *maker)
{
    char name[32];
    while (!maker->failed && maker->vocab->n_tokens < maker->n_vocab) {
        int n = snprintf(name, sizeof name, "[PAD%u]", maker->vocab->n_tokens);
        add_token(maker, name, (size_t)n, TW_TOKEN_UNUSED);
    }
}

/* GPT-2's printable stand-in for a byte, as UTF-8: itself where it is printable, otherwise the next
 * free code point from U+0100 on. */
static size_t byte_stand_in(int byte, char ret_text[4])
{
    int code = byte;
    bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    if (!printable) {
        code = 256 + (byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67);
    }
    if (code < 0x80) {
        ret_text[0] = (char)code;
        return 1;
    }
    ret_text[0] = (char)(0xc0 | code >> 6);
    ret_text[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

static size_t character_bytes(const char *text)
{
    unsigned char lead = (unsigned char)text[0];
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : 3;
}

static void add_merge(struct vocab_maker *maker, const char *left, size_t left_bytes,
                      const char *right, size_t right_bytes)
{
    struct synth_vocab *vocab = maker->vocab;
    char text[64];
    if (vocab->n_merges == maker->n_merges_most) {
        maker->failed = true;
        return;
    }
    int n =
        snprintf(text, sizeof text, "%.*s %.*s", (int)left_bytes, left, (int)right_bytes, right);
    vocab->merges[vocab->n_merges].data = keep(maker, text, (size_t)n);
    vocab->merges[vocab->n_merges].size_bytes = (size_t)n;
    vocab->n_merges++;
}

/* Every prefix of the word becomes a token, so that merges build it from the left. */
static void add_word(struct vocab_maker *maker, const char *space, const char *word)
{
    char text[64];
    size_t n_bytes = (size_t)snprintf(text, sizeof text, "%s%s", space, word);
    size_t end = character_bytes(text);
    while (end < n_bytes) {
        size_t next = end + character_bytes(text + end);
        if (find_token(maker->vocab, text, next) == TW_TOKEN_NONE) {
            add_token(maker, text, next, TW_TOKEN_NORMAL);
            add_merge(maker, text, end, text + end, next - end);
        }
        end = next;
    }
}

static void add_words(struct vocab_maker *maker, const char *space, uint32_t n_most)
{
    for (size_t i = 0; i < sizeof common_words / sizeof common_words[0]; i++) {
        if (maker->vocab->n_tokens + 16 < n_most) {
            add_word(maker, space, common_words[i]);
            add_word(maker, "", common_words[i]);
        }
    }
}

static void build_bpe(struct vocab_maker *maker)
{
    struct synth_vocab *vocab = maker->vocab;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        add_token(maker, text, byte_stand_in(byte, text), TW_TOKEN_NORMAL);
    }
    char space[4] = "";
    byte_stand_in(' ', space);
    add_words(maker, space, maker->n_vocab < 1024 ? maker->n_vocab - 16 : 1024);
    bool is_qwen = vocab->words == SYNTH_WORDS_QWEN;
    const char *const *specials = is_qwen ? qwen_specials : llama3_specials;
    size_t n_specials = is_qwen ? sizeof qwen_specials / sizeof qwen_specials[0]
                                : sizeof llama3_specials / sizeof llama3_specials[0];
    for (size_t i = 0; i < n_specials; i++) {
        add_token(maker, specials[i], strlen(specials[i]), TW_TOKEN_CONTROL);
    }
}

/* SentencePiece joins any two neighbours whose union is a token; as BPE that is every split of
 * every token, in the order of the tokens. */
static void list_spm_merges(struct vocab_maker *maker)
{
    struct synth_vocab *vocab = maker->vocab;
    vocab->n_merges = 0;
    for (uint32_t i = 0; i < vocab->n_tokens && !maker->failed; i++) {
        const struct tw_bytes *token = &vocab->tokens[i];
        if (vocab->kinds[i] != TW_TOKEN_NORMAL) {
            continue;
        }
        for (size_t cut = character_bytes(token->data); cut < token->size_bytes; cut++) {
            if (find_token(vocab, token->data, cut) != TW_TOKEN_NONE &&
                find_token(vocab, token->data + cut, token->size_bytes - cut) != TW_TOKEN_NONE) {
                add_merge(maker, token->data, cut, token->data + cut, token->size_bytes - cut);
            }
        }
    }
}

static void build_spm(struct vocab_maker *maker)
{
    add_token(maker, "<unk>", 5, TW_TOKEN_UNKNOWN);
    add_token(maker, "<s>", 3, TW_TOKEN_CONTROL);
    add_token(maker, "</s>", 4, TW_TOKEN_CONTROL);
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        int n = snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        add_token(maker, text, (size_t)n, TW_TOKEN_BYTE);
    }
    add_token(maker, SPACE_MARK, 3, TW_TOKEN_NORMAL);
    for (char c = '!'; c <= '~'; c++) {
        add_token(maker, &c, 1, TW_TOKEN_NORMAL);
    }
    add_words(maker, SPACE_MARK, maker->n_vocab < 1024 ? maker->n_vocab - 16 : 1024);
    list_spm_merges(maker);
}

static tw_token find_text(const struct synth_vocab *vocab, const char *text)
{
    return find_token(vocab, text, strlen(text));
}

static void set_specials(struct synth_vocab *vocab)
{
    vocab->unknown = TW_TOKEN_NONE;
    switch (vocab->words) {
    case SYNTH_WORDS_QWEN:
        vocab->pre_name = "qwen2";
        vocab->chat_template = chatml_template;
        vocab->bos = find_text(vocab, "<|endoftext|>");
        vocab->eos = find_text(vocab, "<|im_end|>");
        break;
    case SYNTH_WORDS_LLAMA3:
        vocab->pre_name = "llama-bpe";
        vocab->chat_template = llama3_template;
        vocab->bos = find_text(vocab, "<|begin_of_text|>");
        vocab->eos = find_text(vocab, "<|eot_id|>");
        vocab->add_bos = true;
        break;
    case SYNTH_WORDS_SPM:
        vocab->pre_name = "default";
        vocab->chat_template = "";
        vocab->unknown = 0;
        vocab->bos = 1;
        vocab->eos = 2;
        vocab->add_bos = true;
        break;
    }
}

/* ---- tokenizer.json ---- */

/* Tokens of the file stand anywhere; the ids between and behind them are unused. */
static enum tw_status place_token(struct vocab_maker *maker, const char *text, const json_t *id,
                                  enum tw_token_kind kind, struct tw_error *error)
{
    json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
    if (value < 0 || value >= (json_int_t)maker->n_vocab) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "tokenizer.json: id of '%s' is outside the model's %u tokens", text,
                            maker->n_vocab);
    }
    struct tw_bytes *token = &maker->vocab->tokens[value];
    token->size_bytes = strlen(text);
    token->data = keep(maker, text, token->size_bytes);
    maker->vocab->kinds[value] = (uint8_t)kind;
    return TW_OK;
}

static enum tw_status read_tokens(struct vocab_maker *maker, json_t *root, struct tw_error *error)
{
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab"), *id, *added;
    const char *text;
    if (!json_is_object(vocab)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tokenizer.json: no vocabulary object in 'model'");
    }
    json_object_foreach (vocab, text, id) {
        enum tw_status status = place_token(maker, text, id, TW_TOKEN_NORMAL, error);
        if (status != TW_OK) {
            return status;
        }
    }
    size_t i;
    json_array_foreach (json_object_get(root, "added_tokens"), i, added) {
        const char *content = json_string_value(json_object_get(added, "content"));
        bool special = json_is_true(json_object_get(added, "special"));
        enum tw_status status =
            place_token(maker, content == NULL ? "" : content, json_object_get(added, "id"),
                        special ? TW_TOKEN_CONTROL : TW_TOKEN_USER_DEFINED, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* "left right" or ["left", "right"]; false for anything else. */
static bool read_merge(struct vocab_maker *maker, const json_t *merge)
{
    struct tw_bytes *out = &maker->vocab->merges[maker->vocab->n_merges++];
    const char *whole = json_string_value(merge);
    if (whole != NULL) {
        out->size_bytes = strlen(whole);
        out->data = keep(maker, whole, out->size_bytes);
        return true;
    }
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    if (left == NULL || right == NULL) {
        return false;
    }
    size_t left_bytes = strlen(left), right_bytes = strlen(right);
    char *text = tw_arena_alloc(&maker->vocab->arena, left_bytes + right_bytes + 2, 1);
    if (text == NULL) {
        maker->failed = true;
        return true;
    }
    memcpy(text, left, left_bytes);
    text[left_bytes] = ' ';
    memcpy(text + left_bytes + 1, right, right_bytes);
    out->data = text;
    out->size_bytes = left_bytes + right_bytes + 1;
    return true;
}

static void name_unused(struct vocab_maker *maker)
{
    for (uint32_t i = 0; i < maker->n_vocab && !maker->failed; i++) {
        if (maker->vocab->tokens[i].data == NULL) {
            char name[32];
            int n = snprintf(name, sizeof name, "[PAD%u]", i);
            maker->vocab->tokens[i].data = keep(maker, name, (size_t)n);
            maker->vocab->tokens[i].size_bytes = (size_t)n;
            maker->vocab->kinds[i] = TW_TOKEN_UNUSED;
        }
    }
    maker->vocab->n_tokens = maker->n_vocab;
}

static enum tw_status read_file(struct vocab_maker *maker, const char *path, struct tw_error *error)
{
    json_t *root;
    enum tw_status status = tw_json_load(path, TW_LIMIT_MODEL_JSON_BYTES, &root, error);
    if (status != TW_OK) {
        return status;
    }
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *merge;
    struct synth_vocab *vocab = maker->vocab;
    vocab->merges =
        tw_arena_alloc(&vocab->arena, json_array_size(merges) + 1, sizeof *vocab->merges);
    maker->failed |= vocab->merges == NULL;
    status = read_tokens(maker, root, error);
    size_t i;
    json_array_foreach (merges, i, merge) {
        if (status == TW_OK && !maker->failed && !read_merge(maker, merge)) {
            status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                  "%s: merge %zu is no pair of tokens", path, i);
        }
    }
    json_decref(root);
    name_unused(maker);
    if (status == TW_OK && vocab->n_merges == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "%s: no BPE merges", path);
    }
    return status;
}

/* ---- the whole ---- */

static void build(struct vocab_maker *maker)
{
    struct synth_vocab *vocab = maker->vocab;
    maker->n_merges_most = 8 * maker->n_vocab;
    vocab->merges = tw_arena_alloc(&vocab->arena, maker->n_merges_most, sizeof *vocab->merges);
    maker->failed |= vocab->merges == NULL;
    if (maker->failed) {
        return;
    }
    if (vocab->words == SYNTH_WORDS_SPM) {
        build_spm(maker);
    } else {
        build_bpe(maker);
    }
    fill_with_unused(maker);
}

enum tw_status synth_vocab_create(const char *path, enum synth_words words, uint32_t n_vocab,
                                  struct synth_vocab *ret_vocab, struct tw_error *error)
{
    struct synth_vocab vocab = {.words = words};
    struct vocab_maker maker = {.vocab = &vocab, .n_vocab = n_vocab};
    enum tw_status status = TW_OK;
    tw_arena_init(&vocab.arena, VOCAB_BYTES);
    vocab.tokens = tw_arena_alloc(&vocab.arena, n_vocab, sizeof *vocab.tokens);
    vocab.kinds = tw_arena_alloc(&vocab.arena, n_vocab, 1);
    vocab.scores = tw_arena_alloc(&vocab.arena, n_vocab, sizeof *vocab.scores);
    maker.failed = vocab.tokens == NULL || vocab.kinds == NULL || vocab.scores == NULL;
    if (!maker.failed && path != NULL) {
        status = read_file(&maker, path, error);
    } else if (!maker.failed) {
        build(&maker);
    }
    if (status == TW_OK && maker.failed) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the vocabulary does not fit %u tokens", n_vocab);
    }
    if (status != TW_OK) {
        synth_vocab_free(&vocab);
        return status;
    }
    set_specials(&vocab);
    *ret_vocab = vocab;
    return TW_OK;
}

void synth_vocab_free(struct synth_vocab *vocab)
{
    tw_arena_clear(&vocab->arena);
}
