#include "tiny_tokenizer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte_builder.h"

/* UTF-8 of a code point below U+0800. */
static void spell(unsigned code, char ret_text[3])
{
    if (code < 0x80) {
        ret_text[0] = (char)code;
        ret_text[1] = '\0';
    } else {
        ret_text[0] = (char)(0xc0 | code >> 6);
        ret_text[1] = (char)(0x80 | (code & 0x3f));
        ret_text[2] = '\0';
    }
}

static void add(json_t *vocab, const char *text)
{
    json_object_set_new(vocab, text, json_integer((json_int_t)json_object_size(vocab)));
}

static json_t *added_token(int id, const char *text, bool special)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", text, "special",
                     special, "lstrip", 0, "rstrip", 0, "normalized", 0, "single_word", 0);
}

static json_t *qwen2_pre_tokenizer(void)
{
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}", "type",
                     "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                     "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space",
                     0, "trim_offsets", 0, "use_regex", 0);
}

static json_t *bpe_vocab(void)
{
    json_t *vocab = json_object();
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        char text[3];
        spell(is_printable ? byte : next++, text);
        add(vocab, text);
    }
    static const char *const words[] = {"he", "ll", "llo", "hello", "\xc4\xa0hello", "12"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        add(vocab, words[i]);
    }
    return vocab;
}

json_t *tiny_bpe_json(const char *pre_tokenizer)
{
    json_t *pre = pre_tokenizer != NULL ? json_loads(pre_tokenizer, JSON_DECODE_ANY, NULL)
                                        : qwen2_pre_tokenizer();
    assert(pre != NULL);
    json_t *tokenizer = json_pack(
        "{s:[o,o,o,o], s:{s:s}, s:o, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:o, s:[s,s,s,s,s,s]}}",
        "added_tokens", added_token(262, "<|endoftext|>", true),
        added_token(263, "<|im_start|>", true), added_token(264, "<|im_end|>", true),
        added_token(265, "<tool>", false), "normalizer", "type", "NFC", "pre_tokenizer", pre,
        "decoder", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex", 0,
        "model", "type", "BPE", "vocab", bpe_vocab(), "merges", "h e", "l l", "ll o", "he llo",
        "\xc4\xa0 hello", "1 2");
    assert(tokenizer != NULL);
    return tokenizer;
}

#define MARK "\xe2\x96\x81"

static json_t *spm_vocab(void)
{
    json_t *vocab = json_object();
    static const char *const words[] = {MARK, "h",   "e",     "l",          "o", "x",
                                        "he", "llo", "hello", MARK "hello", "ll"};
    char text[16];
    add(vocab, "<unk>");
    add(vocab, "<s>");
    add(vocab, "</s>");
    for (unsigned byte = 0; byte < 256; byte++) {
        snprintf(text, sizeof text, "<0x%02X>", byte);
        add(vocab, text);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        add(vocab, words[i]);
    }
    return vocab;
}

json_t *tiny_spm_json(void)
{
    json_t *tokenizer = json_pack(
        "{s:[o,o,o], s:{s:s, s:[{s:s,s:s}, {s:s,s:{s:s},s:s}]}, s:n,"
        " s:{s:s, s:[{s:s,s:{s:s},s:s},{s:s},{s:s},{s:s,s:s,s:i,s:i}]},"
        " s:{s:s, s:[{s:{s:s,s:i}},{s:{s:s,s:i}}], s:[],"
        "    s:{s:{s:s,s:[i],s:[s]}}},"
        " s:{s:s, s:s, s:b, s:b, s:o, s:[s,s,s,[s,s],s]}}",
        "added_tokens", added_token(0, "<unk>", true), added_token(1, "<s>", true),
        added_token(2, "</s>", true), "normalizer", "type", "Sequence", "normalizers", "type",
        "Prepend", "prepend", MARK, "type", "Replace", "pattern", "String", " ", "content", MARK,
        "pre_tokenizer", "decoder", "type", "Sequence", "decoders", "type", "Replace", "pattern",
        "String", MARK, "content", " ", "type", "ByteFallback", "type", "Fuse", "type", "Strip",
        "content", " ", "start", 1, "stop", 0, "post_processor", "type", "TemplateProcessing",
        "single", "SpecialToken", "id", "<s>", "type_id", 0, "Sequence", "id", "A", "type_id", 0,
        "pair", "special_tokens", "<s>", "id", "<s>", "ids", 1, "tokens", "<s>", "model", "type",
        "BPE", "unk_token", "<unk>", "fuse_unk", 1, "byte_fallback", 1, "vocab", spm_vocab(),
        "merges", "h e", "l l", "ll o", "he", "llo", MARK " hello");
    assert(tokenizer != NULL);
    return tokenizer;
}

void tiny_write_tokenizer(const char *folder, json_t *tokenizer)
{
    char path[256];
    char *text = json_dumps(tokenizer, 0);
    assert(text != NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    write_text(path, text);
    free(text);
    json_decref(tokenizer);
}
