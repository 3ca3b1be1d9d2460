#include "text/tokenizer_json_write.h"

#include <assert.h>
#include <stdio.h>

#include "base/json.h"

static void put_text(struct tw_json_writer *json, const char *key, const char *text)
{
    tw_json_key(json, key);
    tw_json_text(json, text);
}

static void put_bool(struct tw_json_writer *json, const char *key, bool value)
{
    tw_json_key(json, key);
    tw_json_bool(json, value);
}

static void put_null(struct tw_json_writer *json, const char *key)
{
    tw_json_key(json, key);
    tw_json_null(json);
}

static void put_text_or_null(struct tw_json_writer *json, const char *key, const char *text)
{
    if (text != NULL) {
        put_text(json, key, text);
    } else {
        put_null(json, key);
    }
}

/* "key": {"type": type, and so on until object_end. key: NULL in a list. */
static void begin_typed(struct tw_json_writer *json, const char *key, const char *type)
{
    if (key != NULL) {
        tw_json_key(json, key);
    }
    tw_json_object_begin(json);
    put_text(json, "type", type);
}

/* ---- tokenizer.json ---- */

static void put_flags(struct tw_json_writer *json, const struct tw_added_token *token)
{
    tw_json_key(json, "content");
    tw_json_string(json, token->text.data, token->text.size_bytes);
    put_bool(json, "single_word", token->single_word);
    put_bool(json, "lstrip", token->strip_left);
    put_bool(json, "rstrip", token->strip_right);
    put_bool(json, "normalized", token->normalised);
    put_bool(json, "special", token->is_special);
}

static void put_added_tokens(struct tw_json_writer *json, const struct tw_tokenizer_spec *spec)
{
    tw_json_key(json, "added_tokens");
    tw_json_array_begin(json);
    for (size_t i = 0; i < spec->n_added; i++) {
        tw_json_object_begin(json);
        tw_json_key(json, "id");
        tw_json_int(json, spec->added[i].id);
        put_flags(json, &spec->added[i]);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

/* The bytes of a text as characters of the alphabet, and back. */
static void put_byte_level(struct tw_json_writer *json, const char *key)
{
    begin_typed(json, key, "ByteLevel");
    put_bool(json, "add_prefix_space", false);
    put_bool(json, "trim_offsets", false);
    put_bool(json, "use_regex", false);
    tw_json_object_end(json);
}

static enum tw_pretokenize_kind cut_kind(const struct tw_tokenizer_spec *spec)
{
    static const enum tw_pretokenize_kind kinds[] = {
        [TW_PRETOKENIZER_GPT2] = TW_PRETOKENIZE_GPT2,
        [TW_PRETOKENIZER_LLAMA3] = TW_PRETOKENIZE_LLAMA3,
        [TW_PRETOKENIZER_QWEN2] = TW_PRETOKENIZE_QWEN2,
    };
    assert(spec->pretokenizer < TW_PRETOKENIZER_PATTERN && spec->n_cuts == 0);
    return kinds[spec->pretokenizer];
}

static void put_steps(struct tw_json_writer *json, const struct tw_tokenizer_spec *spec)
{
    if (spec->normalise_nfc) {
        begin_typed(json, "normalizer", "NFC");
        tw_json_object_end(json);
    } else {
        put_null(json, "normalizer");
    }
    begin_typed(json, "pre_tokenizer", "Sequence");
    tw_json_key(json, "pretokenizers");
    tw_json_array_begin(json);
    begin_typed(json, NULL, "Split");
    tw_json_key(json, "pattern");
    tw_json_object_begin(json);
    put_text(json, "Regex", tw_pretokenize_expression(cut_kind(spec)));
    tw_json_object_end(json);
    put_text(json, "behavior", "Isolated");
    put_bool(json, "invert", false);
    tw_json_object_end(json);
    put_byte_level(json, NULL);
    tw_json_array_end(json);
    tw_json_object_end(json);
    put_byte_level(json, "post_processor");
    put_byte_level(json, "decoder");
}

static void put_model(struct tw_json_writer *json, const struct tw_tokenizer_spec *spec)
{
    begin_typed(json, "model", "BPE");
    put_null(json, "dropout");
    put_null(json, "unk_token");
    put_text(json, "continuing_subword_prefix", "");
    put_text(json, "end_of_word_suffix", "");
    put_bool(json, "fuse_unk", false);
    put_bool(json, "byte_fallback", false);
    put_bool(json, "ignore_merges", spec->ignore_merges);
    tw_json_key(json, "vocab");
    tw_json_object_begin(json);
    for (size_t i = 0; i < spec->n_tokens; i++) {
        if (spec->kinds[i] == TW_TOKEN_NORMAL) {
            tw_json_key(json, spec->tokens[i].data);
            tw_json_uint(json, i);
        }
    }
    tw_json_object_end(json);
    tw_json_key(json, "merges");
    tw_json_array_begin(json);
    for (size_t i = 0; i < spec->n_merges; i++) {
        tw_json_string(json, spec->merges[i].data, spec->merges[i].size_bytes);
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
}

void tw_tokenizer_json_write(const struct tw_tokenizer_spec *spec, struct tw_buf *buf)
{
    struct tw_json_writer json;
    assert(spec->family == TW_TOKENIZER_BPE && spec->kinds != NULL && spec->n_normalise == 0);
    tw_json_begin(&json, buf);
    tw_json_object_begin(&json);
    put_text(&json, "version", "1.0");
    put_null(&json, "truncation");
    put_null(&json, "padding");
    put_added_tokens(&json, spec);
    put_steps(&json, spec);
    put_model(&json, spec);
    tw_json_object_end(&json);
}

/* ---- tokenizer_config.json ---- */

/* Where older tools look for added tokens: an object with ids as keys. */
static void put_decoder_list(struct tw_json_writer *json, const struct tw_tokenizer_spec *spec)
{
    tw_json_key(json, "added_tokens_decoder");
    tw_json_object_begin(json);
    for (size_t i = 0; i < spec->n_added; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", spec->added[i].id);
        tw_json_key(json, id);
        tw_json_object_begin(json);
        put_flags(json, &spec->added[i]);
        tw_json_object_end(json);
    }
    tw_json_object_end(json);
}

void tw_tokenizer_config_write(const struct tw_tokenizer_spec *spec,
                               const struct tw_tokenizer_config *config, struct tw_buf *buf)
{
    struct tw_json_writer json;
    tw_json_begin(&json, buf);
    tw_json_object_begin(&json);
    put_bool(&json, "add_bos_token", false);
    put_bool(&json, "add_prefix_space", false);
    put_decoder_list(&json, spec);
    put_null(&json, "bos_token");
    if (config->chat_template != NULL) {
        put_text(&json, "chat_template", config->chat_template);
    }
    put_bool(&json, "clean_up_tokenization_spaces", false);
    put_text_or_null(&json, "eos_token", config->eos);
    put_text(&json, "errors", "replace");
    tw_json_key(&json, "model_max_length");
    tw_json_uint(&json, config->n_context_tokens);
    put_text_or_null(&json, "pad_token", config->pad);
    put_bool(&json, "split_special_tokens", false);
    put_text(&json, "tokenizer_class", config->class_name);
    put_null(&json, "unk_token");
    tw_json_object_end(&json);
}
