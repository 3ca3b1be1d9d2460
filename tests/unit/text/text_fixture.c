#include "text_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "text/utf8.h"

static struct tw_bytes keep(struct text_fixture *fixture, const char *text, size_t n)
{
    assert_true(fixture->text_used + n <= FIXTURE_TEXT_BYTES);
    char *copy = fixture->text + fixture->text_used;
    memcpy(copy, text, n);
    fixture->text_used += n;
    return (struct tw_bytes){copy, n};
}

static void begin(struct text_fixture *fixture, enum tw_tokenizer_family family)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->spec = (struct tw_tokenizer_spec){
        .family = family,
        .tokens = fixture->tokens,
        .kinds = fixture->kinds,
        .scores = fixture->scores,
        .merges = fixture->merges,
        .bos = TW_TOKEN_NONE,
        .eos = TW_TOKEN_NONE,
        .unknown = TW_TOKEN_NONE,
    };
}

tw_token text_fixture_token(struct text_fixture *fixture, const char *text, enum tw_token_kind kind,
                            float score)
{
    size_t id = fixture->spec.n_tokens++;
    assert_true(id < FIXTURE_TOKENS);
    fixture->tokens[id] = keep(fixture, text, strlen(text));
    fixture->kinds[id] = (uint8_t)kind;
    fixture->scores[id] = score;
    return (tw_token)id;
}

/* The byte-level alphabet, as GPT-2's encoder builds it: printable Latin-1 for itself, the rest
 * counted up from U+0100. */
static size_t spell(const char *bytes, char *out)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)bytes; *p != '\0'; p++) {
        uint32_t code = 0x100;
        for (unsigned b = 0; b < *p; b++) {
            code += b < 0x21 || (b > 0x7e && b < 0xa1) || b == 0xad;
        }
        bool itself = !(*p < 0x21 || (*p > 0x7e && *p < 0xa1) || *p == 0xad);
        n += tw_utf8_encode(itself ? *p : code, out + n);
    }
    out[n] = '\0';
    return n;
}

void text_fixture_bpe(struct text_fixture *fixture)
{
    begin(fixture, TW_TOKENIZER_BPE);
    text_fixture_token(fixture, "\xc4\x80", TW_TOKEN_NORMAL, 0); /* byte 0 is U+0100 */
    for (int b = 1; b < 256; b++) {
        char byte[2] = {(char)b, '\0'};
        char spelled[8];
        spell(byte, spelled);
        text_fixture_token(fixture, spelled, TW_TOKEN_NORMAL, 0);
    }
}

void text_fixture_merge(struct text_fixture *fixture, const char *left, const char *right)
{
    char line[256];
    char whole[256];
    size_t n_left = spell(left, line);
    memcpy(whole, line, n_left);
    line[n_left] = ' ';
    size_t n_right = spell(right, line + n_left + 1);
    memcpy(whole + n_left, line + n_left + 1, n_right + 1);
    fixture->merges[fixture->spec.n_merges++] = keep(fixture, line, n_left + 1 + n_right);
    text_fixture_token(fixture, whole, TW_TOKEN_NORMAL, 0);
}

void text_fixture_spm(struct text_fixture *fixture)
{
    begin(fixture, TW_TOKENIZER_SPM);
    fixture->spec.unknown = text_fixture_token(fixture, "<unk>", TW_TOKEN_UNKNOWN, 0);
    fixture->spec.bos = text_fixture_token(fixture, "<s>", TW_TOKEN_CONTROL, 0);
    fixture->spec.eos = text_fixture_token(fixture, "</s>", TW_TOKEN_CONTROL, 0);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        text_fixture_token(fixture, text, TW_TOKEN_BYTE, 0);
    }
}

struct tw_tokenizer *text_fixture_create(const struct text_fixture *fixture)
{
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    enum tw_status status = tw_tokenizer_create(&fixture->spec, &tokenizer, &error);
    if (status != TW_OK) {
        fail_msg("%s", error.text);
    }
    return tokenizer;
}

const char *text_fixture_ids(const struct tw_tokenizer *tokenizer, const char *text,
                             size_t text_bytes, int flags)
{
    static char line[65536];
    struct tw_token_list list = {0};
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, text_bytes, flags, &list, NULL), TW_OK);
    size_t n = 0;
    line[0] = '\0';
    for (size_t i = 0; i < list.n_tokens; i++) {
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%d", i > 0 ? " " : "", list.ids[i]);
        assert_true(n < sizeof line);
    }
    tw_token_list_free(&list);
    return line;
}

const char *text_fixture_round(const struct tw_tokenizer *tokenizer, const char *text,
                               size_t text_bytes, size_t *ret_n_bytes)
{
    static char out[65536];
    struct tw_token_list list = {0};
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, text_bytes, 0, &list, NULL), TW_OK);
    size_t n = 0;
    for (size_t i = 0; i < list.n_tokens; i++) {
        struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, list.ids[i], true);
        assert_true(n + bytes.size_bytes < sizeof out);
        memcpy(out + n, bytes.data, bytes.size_bytes);
        n += bytes.size_bytes;
    }
    out[n] = '\0';
    tw_token_list_free(&list);
    *ret_n_bytes = n;
    return out;
}
