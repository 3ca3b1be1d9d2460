/* Any bytes as a prompt, to small tokenizers of every kind. The first byte picks the tokenizer. No
 * control token may come out of text, byte-level tokens must decode to the very bytes, and the
 * streaming detokeniser must give valid UTF-8 after every token. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "fuzz_target.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

enum { MAX_TOKENS = 400, BLOB_BYTES = 8192 };

struct vocabulary {
    struct tw_tokenizer_spec spec;
    struct tw_bytes tokens[MAX_TOKENS];
    uint8_t kinds[MAX_TOKENS];
    float scores[MAX_TOKENS];
    struct tw_bytes merges[MAX_TOKENS];
    char blob[BLOB_BYTES];
    size_t n_blob;
};

static struct tw_bytes keep(struct vocabulary *v, const char *text, size_t n)
{
    assert(v->n_blob + n <= BLOB_BYTES);
    char *copy = v->blob + v->n_blob;
    memcpy(copy, text, n);
    v->n_blob += n;
    return (struct tw_bytes){copy, n};
}

static tw_token add(struct vocabulary *v, const char *text, enum tw_token_kind kind, float score)
{
    size_t id = v->spec.n_tokens++;
    assert(id < MAX_TOKENS);
    v->tokens[id] = keep(v, text, strlen(text));
    v->kinds[id] = (uint8_t)kind;
    v->scores[id] = score;
    return (tw_token)id;
}

static void add_merge(struct vocabulary *v, const char *left, const char *right)
{
    char line[64];
    int n = snprintf(line, sizeof line, "%s %s", left, right);
    v->merges[v->spec.n_merges++] = keep(v, line, (size_t)n);
    snprintf(line, sizeof line, "%s%s", left, right);
    add(v, line, TW_TOKEN_NORMAL, 0);
}

static void begin(struct vocabulary *v, enum tw_tokenizer_family family)
{
    memset(v, 0, sizeof *v);
    v->spec = (struct tw_tokenizer_spec){.family = family,
                                         .tokens = v->tokens,
                                         .kinds = v->kinds,
                                         .scores = v->scores,
                                         .merges = v->merges,
                                         .bos = TW_TOKEN_NONE,
                                         .eos = TW_TOKEN_NONE,
                                         .unknown = TW_TOKEN_NONE};
}

static void add_specials(struct vocabulary *v)
{
    v->spec.bos = add(v, "<|im_start|>", TW_TOKEN_CONTROL, 0);
    v->spec.eos = add(v, "<|im_end|>", TW_TOKEN_CONTROL, 0);
    add(v, "<a>", TW_TOKEN_CONTROL, 0);
    add(v, "<a><b>", TW_TOKEN_USER_DEFINED, 0);
    add(v, "\n\n", TW_TOKEN_USER_DEFINED, 0);
    v->spec.add_bos = true;
    v->spec.add_eos = true;
}

static void fill_bpe(struct vocabulary *v, enum tw_pretokenizer pretokenizer)
{
    static const char *const pairs[][2] = {
        {"t", "h"},        {"th", "e"}, {"\xc4\xa0", "the"}, {"a", "a"},  {"aa", "aa"},
        {"\xc4\xa0", "a"}, {"i", "n"},  {"e", "r"},          {"in", "g"}, {"\xc3\xa3", "\xc4\xa2"},
        {"1", "2"},        {"<", "a"},  {"<a", ">"},         {"'", "s"},  {"\xc4\x8a", "\xc4\x8a"}};
    begin(v, TW_TOKENIZER_BPE);
    for (uint32_t byte = 0, next = 0x100; byte < 256; byte++) {
        bool itself = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
        char text[5] = {0};
        tw_utf8_encode(itself ? byte : next++, text);
        add(v, text, TW_TOKEN_NORMAL, 0);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        add_merge(v, pairs[i][0], pairs[i][1]);
    }
    add_specials(v);
    v->spec.pretokenizer = pretokenizer;
    v->spec.pattern = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
}

static void fill_spm(struct vocabulary *v)
{
    static const char *const pieces[] = {"\xe2\x96\x81",
                                         "a",
                                         "b",
                                         "t",
                                         "h",
                                         "e",
                                         "th",
                                         "the",
                                         "\xe2\x96\x81the",
                                         "\xe2\x96\x81",
                                         "aa",
                                         "ab",
                                         "aab",
                                         "\xe4\xb8\xad",
                                         "\xc3\xa9",
                                         "a\xc3\xa9"};
    begin(v, TW_TOKENIZER_SPM);
    v->spec.unknown = add(v, "<unk>", TW_TOKEN_UNKNOWN, 0);
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        add(v, text, TW_TOKEN_BYTE, 0);
    }
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        add(v, pieces[i], TW_TOKEN_NORMAL, -(float)(i / 2));
    }
    add_specials(v);
    v->spec.add_space_prefix = true;
}

static void fill(struct vocabulary *v, unsigned number)
{
    if (number < 4) {
        fill_bpe(v, (enum tw_pretokenizer)number);
    } else if (number < 6) {
        fill_bpe(v, TW_PRETOKENIZER_LLAMA3);
        v->spec.normalise_nfc = number == 4;
        v->spec.ignore_merges = number == 5;
    } else {
        fill_spm(v);
        v->spec.remove_extra_whitespaces = number == 7;
    }
}

enum { KINDS = 8 };

static struct tw_tokenizer *tokenizer_of(unsigned number)
{
    static struct tw_tokenizer *made[KINDS];
    if (made[number] == NULL) {
        static struct vocabulary vocabulary;
        struct tw_error error;
        fill(&vocabulary, number);
        enum tw_status status = tw_tokenizer_create(&vocabulary.spec, &made[number], &error);
        assert(status == TW_OK);
        (void)status;
    }
    return made[number];
}

static void check_decoding(const struct tw_tokenizer *tokenizer, const struct tw_token_list *list,
                           struct tw_bytes text)
{
    size_t at = 0;
    for (size_t i = 0; i < list->n_tokens; i++) {
        struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, list->ids[i], true);
        assert(bytes.size_bytes <= text.size_bytes - at);
        assert(memcmp(bytes.data, text.data + at, bytes.size_bytes) == 0);
        at += bytes.size_bytes;
    }
    assert(at == text.size_bytes);
}

static void check_valid(const struct tw_buf *out, size_t from)
{
    for (size_t at = from; at < out->size_bytes;) {
        uint32_t code;
        at += tw_utf8_decode(out->data + at, out->size_bytes - at, &code);
        assert(code != TW_UTF8_INVALID);
    }
}

static void check_stream(const struct tw_tokenizer *tokenizer, const struct tw_token_list *list)
{
    struct tw_detokenizer detokenizer;
    struct tw_buf out;
    tw_buf_init(&out, (size_t)64 << 20);
    tw_detokenizer_init(&detokenizer, tokenizer, true);
    for (size_t i = 0; i < list->n_tokens; i++) {
        size_t before = out.size_bytes;
        bool ok = tw_detokenizer_push(&detokenizer, list->ids[i], &out);
        assert(ok && detokenizer.n_kept < 4);
        (void)ok;
        check_valid(&out, before);
    }
    tw_detokenizer_finish(&detokenizer, &out);
    check_valid(&out, 0);
    tw_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned number = data[0] % KINDS;
    bool gives_text_back = number < 4 || number == 5;
    const struct tw_tokenizer *tokenizer = tokenizer_of(number);
    struct tw_bytes text = {(const char *)data + 1, size - 1};
    for (int flags = 0; flags < 2; flags++) {
        struct tw_token_list list = {0};
        enum tw_status status = tw_tokenizer_encode(tokenizer, text.data, text.size_bytes,
                                                    flags * TW_ENCODE_SPECIAL, &list, NULL);
        assert(status == TW_OK);
        (void)status;
        for (size_t i = 0; i < list.n_tokens; i++) {
            assert(flags != 0 ||
                   tw_tokenizer_token_kind(tokenizer, list.ids[i]) != TW_TOKEN_CONTROL);
        }
        if (gives_text_back) {
            check_decoding(tokenizer, &list, text);
        }
        check_stream(tokenizer, &list);
        tw_token_list_free(&list);
    }
    return 0;
}
