#include "base/json.h"
#include "synth_vocab.h"

/* Where BPE may cut, in the notation of tokenizer.json; Qwen takes digits one by one, Llama 3 up to
 * three. */
#define SPLIT(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits                     \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static void put_type(struct tw_json_writer *json, const char *key, const char *type)
{
    tw_json_key(json, key);
    tw_json_object_begin(json);
    tw_json_key(json, "type");
    tw_json_text(json, type);
}

static void put_added_tokens(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    tw_json_key(json, "added_tokens");
    tw_json_array_begin(json);
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        if (vocab->kinds[i] == TW_TOKEN_CONTROL || vocab->kinds[i] == TW_TOKEN_UNKNOWN) {
            tw_json_object_begin(json);
            tw_json_key(json, "id");
            tw_json_int(json, i);
            tw_json_key(json, "content");
            tw_json_string(json, vocab->tokens[i].data, vocab->tokens[i].size_bytes);
            tw_json_put_bool(json, "single_word", false);
            tw_json_put_bool(json, "lstrip", false);
            tw_json_put_bool(json, "rstrip", false);
            tw_json_put_bool(json, "normalized", false);
            tw_json_put_bool(json, "special", true);
            tw_json_object_end(json);
        }
    }
    tw_json_array_end(json);
}

static void put_byte_level(struct tw_json_writer *json)
{
    tw_json_put_bool(json, "add_prefix_space", false);
    tw_json_put_bool(json, "trim_offsets", false);
    tw_json_put_bool(json, "use_regex", false);
    tw_json_object_end(json);
}

static void put_bpe_stages(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    bool is_qwen = vocab->words == SYNTH_WORDS_QWEN;
    if (is_qwen) {
        put_type(json, "normalizer", "NFC");
        tw_json_object_end(json);
    }
    put_type(json, "pre_tokenizer", "Sequence");
    tw_json_key(json, "pretokenizers");
    tw_json_array_begin(json);
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", "Split");
    tw_json_key(json, "pattern");
    tw_json_object_begin(json);
    tw_json_put_text(json, "Regex", is_qwen ? SPLIT("") : SPLIT("{1,3}"));
    tw_json_object_end(json);
    tw_json_put_text(json, "behavior", "Isolated");
    tw_json_put_bool(json, "invert", false);
    tw_json_object_end(json);
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", "ByteLevel");
    put_byte_level(json);
    tw_json_array_end(json);
    tw_json_object_end(json);
    put_type(json, "decoder", "ByteLevel");
    put_byte_level(json);
}

static void put_replace(struct tw_json_writer *json, const char *from, const char *to)
{
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", "Replace");
    tw_json_key(json, "pattern");
    tw_json_object_begin(json);
    tw_json_put_text(json, "String", from);
    tw_json_object_end(json);
    tw_json_put_text(json, "content", to);
    tw_json_object_end(json);
}

static void put_simple(struct tw_json_writer *json, const char *type)
{
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", type);
    tw_json_object_end(json);
}

static void put_spm_stages(struct tw_json_writer *json)
{
    const char *mark = "\xe2\x96\x81";
    put_type(json, "normalizer", "Sequence");
    tw_json_key(json, "normalizers");
    tw_json_array_begin(json);
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", "Prepend");
    tw_json_put_text(json, "prepend", mark);
    tw_json_object_end(json);
    put_replace(json, " ", mark);
    tw_json_array_end(json);
    tw_json_object_end(json);
    put_type(json, "decoder", "Sequence");
    tw_json_key(json, "decoders");
    tw_json_array_begin(json);
    put_replace(json, mark, " ");
    put_simple(json, "ByteFallback");
    put_simple(json, "Fuse");
    tw_json_object_begin(json);
    tw_json_put_text(json, "type", "Strip");
    tw_json_put_text(json, "content", " ");
    tw_json_key(json, "start");
    tw_json_int(json, 1);
    tw_json_key(json, "stop");
    tw_json_int(json, 0);
    tw_json_object_end(json);
    tw_json_array_end(json);
    tw_json_object_end(json);
}

static void put_model(struct tw_json_writer *json, const struct synth_vocab *vocab)
{
    bool is_spm = vocab->words == SYNTH_WORDS_SPM;
    put_type(json, "model", "BPE");
    tw_json_put_bool(json, "byte_fallback", is_spm);
    tw_json_put_bool(json, "fuse_unk", is_spm);
    tw_json_put_bool(json, "ignore_merges", vocab->words == SYNTH_WORDS_LLAMA3);
    if (is_spm) {
        tw_json_put_text(json, "unk_token", "<unk>");
    }
    tw_json_key(json, "vocab");
    tw_json_object_begin(json);
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        if (vocab->kinds[i] != TW_TOKEN_UNUSED && (is_spm || vocab->kinds[i] == TW_TOKEN_NORMAL)) {
            tw_json_key(json, vocab->tokens[i].data);
            tw_json_int(json, i);
        }
    }
    tw_json_object_end(json);
    tw_json_key(json, "merges");
    tw_json_array_begin(json);
    for (uint32_t i = 0; i < vocab->n_merges; i++) {
        tw_json_string(json, vocab->merges[i].data, vocab->merges[i].size_bytes);
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
}

bool synth_vocab_to_json(const struct synth_vocab *vocab, struct tw_buf *out)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "version", "1.0");
    put_added_tokens(&json, vocab);
    if (vocab->words == SYNTH_WORDS_SPM) {
        put_spm_stages(&json);
    } else {
        put_bpe_stages(&json, vocab);
    }
    put_model(&json, vocab);
    tw_json_object_end(&json);
    return !out->failed;
}
