#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text_fixture.h"

#define M "\xe2\x96\x81"

/* JSON with ' for ". The pieces of a file, each replaceable. */
struct parts {
    const char *vocab;
    const char *merges;
    const char *model_options; /* with a comma behind */
    const char *added;
    const char *normalizer;
    const char *pre_tokenizer;
    const char *post_processor;
    const char *decoder;
    const char *config; /* or NULL */
};

static const struct parts byte_level = {
    .vocab = "{'a':0,'b':1,'ab':2,'\xc4\xa0':3,'\xc4\xa0"
             "ab':4,'1':5,'-':6}",
    .merges = "['a b','\xc4\xa0 ab']",
    .model_options = "'type':'BPE',",
    .added = "[{'id':7,'content':'<|end|>','special':true,'normalized':false},"
             "{'id':8,'content':'<tool>','special':false,'normalized':false}]",
    .normalizer = "null",
    .pre_tokenizer = "{'type':'ByteLevel','add_prefix_space':false,'use_regex':true}",
    .post_processor = "null",
    .decoder = "{'type':'ByteLevel'}",
};

static const struct parts sentencepiece = {
    .vocab =
        "{'<unk>':0,'<s>':1,'</s>':2,'<0x0A>':3,'<0xC3>':4,'<0xA9>':5,'" M "':6,'a':7,'" M "a':8}",
    .merges = "[['" M "','a']]",
    .model_options = "'type':'BPE','unk_token':'<unk>','fuse_unk':true,'byte_fallback':true,",
    .added = "[{'id':0,'content':'<unk>','special':true},{'id':1,'content':'<s>','special':true},"
             "{'id':2,'content':'</s>','special':true}]",
    .normalizer = "{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'" M "'},"
                  "{'type':'Replace','pattern':{'String':' '},'content':'" M "'}]}",
    .pre_tokenizer = "null",
    .post_processor = "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>'}},"
                      "{'Sequence':{'id':'A'}}],'special_tokens':{'<s>':{'ids':[1]}}}",
    .decoder = "{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'" M
               "'},'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},"
               "{'type':'Strip','content':' ','start':1,'stop':0}]}",
};

static json_t *parse(const char *text)
{
    char *copy = tw_mem_strndup(text, strlen(text));
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json_t *value = NULL;
    struct tw_error error = {0};
    if (tw_json_parse(copy, strlen(copy), "test", &value, &error) != TW_OK) {
        fail_msg("%s: %s", copy, error.text);
    }
    tw_mem_free(copy);
    return value;
}

static enum tw_status load(const struct parts *parts, struct tw_tokenizer **ret_tokenizer,
                           struct tw_error *error)
{
    static char text[65536];
    int n = snprintf(text, sizeof text,
                     "{'added_tokens':%s,'normalizer':%s,'pre_tokenizer':%s,'post_processor':%s,"
                     "'decoder':%s,'model':{%s'vocab':%s,'merges':%s}}",
                     parts->added, parts->normalizer, parts->pre_tokenizer, parts->post_processor,
                     parts->decoder, parts->model_options, parts->vocab, parts->merges);
    assert_true(n > 0 && (size_t)n < sizeof text);
    json_t *tokenizer = parse(text);
    json_t *config = parts->config != NULL ? parse(parts->config) : NULL;
    enum tw_status status = tw_tokenizer_from_json(tokenizer, config, ret_tokenizer, error);
    json_decref(tokenizer);
    json_decref(config);
    return status;
}

static struct tw_tokenizer *load_well(const struct parts *parts)
{
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    if (load(parts, &tokenizer, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return tokenizer;
}

static void assert_ids(const struct parts *parts, const char *text, int flags, const char *expected)
{
    struct tw_tokenizer *tokenizer = load_well(parts);
    assert_string_equal(text_fixture_ids(tokenizer, text, strlen(text), flags), expected);
    tw_tokenizer_free(tokenizer);
}

static void assert_refused(const struct parts *parts, enum tw_status expected, const char *word)
{
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    enum tw_status status = load(parts, &tokenizer, &error);
    if (status != expected || tokenizer != NULL || strstr(error.text, word) == NULL) {
        fail_msg("status %d, '%s', expected '%s'", (int)status, error.text, word);
    }
}

static void a_byte_level_file_is_read(void **state)
{
    (void)state;
    assert_ids(&byte_level, "ab ab", 0, "2 4");
    assert_ids(&byte_level, "a<tool>b", 0, "0 8 1");
    assert_ids(&byte_level, "<|end|>", TW_ENCODE_SPECIAL, "7");
    assert_ids(&byte_level, "a<|end|>", 0, "0"); /* no token for < | e n d > and no unknown one */
    assert_ids(&byte_level, "a", TW_ENCODE_BOS_EOS, "0");
}

static void a_llama2_file_is_read(void **state)
{
    (void)state;
    assert_ids(&sentencepiece, "a a", 0, "8 8");
    assert_ids(&sentencepiece, "a\n\xc3\xa9", TW_ENCODE_BOS_EOS, "1 8 3 4 5");
    assert_ids(&sentencepiece, "azz\xc3", 0, "8 0 4");
    assert_ids(&sentencepiece, "<s>", 0, "6 0");
    struct tw_tokenizer *tokenizer = load_well(&sentencepiece);
    struct tw_detokenizer detokenizer;
    tw_detokenizer_init(&detokenizer, tokenizer, false);
    assert_true(detokenizer.drop_leading_space);
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, 0), TW_TOKEN_UNKNOWN);
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, 1), TW_TOKEN_CONTROL);
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, 4), TW_TOKEN_BYTE);
    tw_tokenizer_free(tokenizer);
}

static void a_metaspace_file_is_read(void **state)
{
    (void)state;
    struct parts parts = sentencepiece;
    parts.normalizer = "null";
    parts.pre_tokenizer =
        "{'type':'Metaspace','replacement':'" M "','prepend_scheme':'first','split':false}";
    parts.decoder = "{'type':'Metaspace','replacement':'" M "','prepend_scheme':'first'}";
    assert_ids(&parts, "a a", 0, "8 8");
    assert_ids(&parts, "</s>a a", TW_ENCODE_SPECIAL, "2 7 8");
    parts.pre_tokenizer = "{'type':'Metaspace','replacement':'" M "','add_prefix_space':true}";
    assert_ids(&parts, "</s>a", TW_ENCODE_SPECIAL, "2 8");
}

static void split_digits_and_space_prefix_do_their_part(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.pre_tokenizer =
        "{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':{'String':'-'},'behavior':"
        "'Removed','invert':false},{'type':'Digits','individual_digits':true},{'type':'ByteLevel',"
        "'add_prefix_space':true,'use_regex':false}]}";
    assert_ids(&parts, "ab-1ab", 0, "4 3 5 4");
    parts.pre_tokenizer =
        "{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':{'Regex':'(?<=a)b'},"
        "'behavior':'MergedWithNext','invert':false},{'type':'ByteLevel','add_prefix_space':false,"
        "'use_regex':false}]}";
    assert_ids(&parts, "abab", 0, "0 1 0 1");
}

/* As Hugging Face has it: a token that is not special is looked for in normalised text. */
static void added_tokens_are_normalised_unless_special_or_told_otherwise(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.normalizer = "{'type':'NFC'}";
    parts.added =
        "[{'id':7,'content':'<e\xcc\x81>'},{'id':8,'content':'[e\xcc\x81]','special':true},"
        "{'id':9,'content':'{e\xcc\x81}','normalized':false}]";
    assert_ids(&parts, "<\xc3\xa9>", 0, "7");
    assert_ids(&parts, "[e\xcc\x81]{e\xcc\x81}", TW_ENCODE_SPECIAL, "8 9");
    assert_ids(&parts, "a[\xc3\xa9]{\xc3\xa9}", TW_ENCODE_SPECIAL, "0");
}

static void merges_may_be_pairs_or_lines(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.merges = "[['a','b'],['\xc4\xa0','ab']]";
    assert_ids(&parts, "ab ab", 0, "2 4");
    parts.merges = "[['a','b','c']]";
    assert_refused(&parts, TW_ERR_FORMAT, "pair");
    parts.merges = "[['a b','c']]";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "spaces");
    parts.merges = "[3]";
    assert_refused(&parts, TW_ERR_FORMAT, "merge 0");
    parts.merges = "['a x']";
    assert_refused(&parts, TW_ERR_FORMAT, "merge 0 ('a x')");
}

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.model_options = "'type':'Unigram',";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "Unigram");
    parts.model_options = "'end_of_word_suffix':'</w>',";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "end_of_word_suffix");
    parts.model_options = "'dropout':0.1,";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "dropout");
    parts = byte_level;
    parts.normalizer = "{'type':'Sequence','normalizers':[{'type':'NFC'},{'type':'Lowercase'}]}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "Lowercase");
    parts = byte_level;
    parts.pre_tokenizer = "{'type':'BertPreTokenizer'}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "BertPreTokenizer");
    parts.pre_tokenizer = "{'type':'Sequence','pretokenizers':[{'type':'ByteLevel'},"
                          "{'type':'Digits'}]}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "Digits");
    parts.pre_tokenizer = "{'type':'Split','pattern':{'String':'x'},'behavior':'Sideways'}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "Sideways");
    parts = byte_level;
    parts.decoder = "{'type':'WordPiece'}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "WordPiece");
    parts = byte_level;
    parts.post_processor = "{'type':'BertProcessing'}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "BertProcessing");
}

static void a_template_adds_one_token_on_either_side(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.post_processor =
        "{'type':'Sequence','processors':[{'type':'ByteLevel'},{'type':'TemplateProcessing',"
        "'single':[{'SpecialToken':{'id':'B'}},{'Sequence':{'id':'A'}},{'SpecialToken':{'id':'E'}}]"
        ","
        "'special_tokens':{'B':{'ids':[7]},'E':{'ids':[8]}}}]}";
    assert_ids(&parts, "a", TW_ENCODE_BOS_EOS, "7 0 8");
    assert_ids(&parts, "a", 0, "0");
    parts.post_processor =
        "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B'}},{'SpecialToken':"
        "{'id':'B'}},{'Sequence':{'id':'A'}}],'special_tokens':{'B':{'ids':[7]}}}";
    assert_refused(&parts, TW_ERR_UNSUPPORTED, "several tokens");
    parts.post_processor = "{'type':'TemplateProcessing','single':[]}";
    assert_refused(&parts, TW_ERR_FORMAT, "template");
    parts.post_processor =
        "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B'}},{'Sequence':{'id':'A'}}"
        "],'special_tokens':{'B':{'ids':[4000000]}}}";
    assert_refused(&parts, TW_ERR_FORMAT, "beginning token");
}

static void the_configuration_names_first_and_last_tokens(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.config = "{'bos_token':'<|end|>','eos_token':{'content':'b'},'add_bos_token':true,"
                   "'add_eos_token':true}";
    assert_ids(&parts, "a", TW_ENCODE_BOS_EOS, "7 0 1");
    struct tw_tokenizer *tokenizer = load_well(&parts);
    assert_int_equal(tw_tokenizer_bos(tokenizer), 7);
    assert_int_equal(tw_tokenizer_eos(tokenizer), 1);
    assert_true(tw_tokenizer_ends_generation(tokenizer, 1));
    tw_tokenizer_free(tokenizer);
    parts.config = "{'eos_token':'ab'}"; /* special by its office: text cannot spell it */
    assert_ids(&parts, "ab", 0, "0 1");
    assert_ids(&parts, "ab", TW_ENCODE_SPECIAL, "2");
    parts.config = "{'bos_token':null,'eos_token':'nowhere','add_bos_token':true}";
    assert_ids(&parts, "a", TW_ENCODE_BOS_EOS, "0");
    parts = sentencepiece;
    parts.config = "{'add_bos_token':false,'bos_token':'<s>','eos_token':'</s>'}";
    assert_ids(&parts, "a", TW_ENCODE_BOS_EOS, "8");
    parts = byte_level;
    parts.config = "{'added_tokens_decoder':{'9':{'content':'<new>','special':true},"
                   "'7':{'content':'<|end|>','special':true}}}";
    assert_ids(&parts, "a<new>", TW_ENCODE_SPECIAL, "0 9");
    parts.config = "{'added_tokens_decoder':{'x':{'content':'<new>'}}}";
    assert_refused(&parts, TW_ERR_FORMAT, "'x'");
}

/* 40 bytes of JSON must not cost the memory of four million tokens. */
static void ids_that_the_entries_cannot_fill_are_refused(void **state)
{
    (void)state;
    struct parts parts = byte_level;
    parts.vocab = "{'a':0,'b':4000000}";
    parts.merges = "[]";
    assert_refused(&parts, TW_ERR_FORMAT, "cannot fill");
    parts.vocab = "{'a':-1}";
    assert_refused(&parts, TW_ERR_FORMAT, "'a'");
    parts.vocab = "{'a':99999999999}";
    assert_refused(&parts, TW_ERR_FORMAT, "'a'");
    parts.vocab = "{'a':'0'}";
    assert_refused(&parts, TW_ERR_FORMAT, "'a'");
    parts.vocab = "{}";
    parts.added = "[]";
    assert_refused(&parts, TW_ERR_FORMAT, "entries");
    parts.vocab = "{'a':0,'b':2000}";
    parts.pre_tokenizer = "{'type':'ByteLevel','add_prefix_space':false}";
    assert_ids(&parts, "ab", 0, "0 2000");
    parts = byte_level;
    parts.added = "[{'id':0,'content':'<other>'}]";
    assert_refused(&parts, TW_ERR_FORMAT, "<other>");
    parts.added = "[{'content':'<other>'}]";
    assert_refused(&parts, TW_ERR_FORMAT, "<other>");
}

static void broken_files_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "3",
        "{'model':{}}",
        "{'model':3}",
        "{'model':{'vocab':{'a':0}}}",
        "{'model':{'vocab':[],'merges':[]}}",
        "{'model':{'vocab':{'a':0},'merges':{}}}",
        "{'model':{'vocab':{'a':0},'merges':[]},'normalizer':{'type':'Sequence'}}",
        "{'model':{'vocab':{'a':0},'merges':[]},'normalizer':3}",
        "{'model':{'vocab':{'a':0},'merges':[]},'pre_tokenizer':{'type':'Split'}}",
        "{'model':{'vocab':{'a':0},'merges':[]},'pre_tokenizer':{'type':'Split','behavior':"
        "'Isolated','pattern':{'String':''}}}",
        "{'model':{'vocab':{'a':0},'merges':[]},'normalizer':{'type':'Replace','pattern':"
        "{'String':'x'}}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *json = parse(texts[i]);
        struct tw_tokenizer *tokenizer = NULL;
        struct tw_error error = {0};
        enum tw_status status = tw_tokenizer_from_json(json, NULL, &tokenizer, &error);
        if ((status != TW_ERR_FORMAT && status != TW_ERR_UNSUPPORTED) || tokenizer != NULL) {
            fail_msg("%s: status %d", texts[i], (int)status);
        }
        assert_non_null(strstr(error.text, "tokenizer.json"));
        json_decref(json);
    }
}

static void sequences_nested_without_end_are_refused(void **state)
{
    (void)state;
    static char nested[4096];
    size_t n = 0;
    for (int i = 0; i < 50; i++) {
        n += (size_t)snprintf(nested + n, sizeof nested - n, "{'type':'Sequence','normalizers':[");
    }
    for (int i = 0; i < 50; i++) {
        n += (size_t)snprintf(nested + n, sizeof nested - n, "]}");
    }
    struct parts parts = byte_level;
    parts.normalizer = nested;
    assert_refused(&parts, TW_ERR_FORMAT, "nested");
    n = (size_t)snprintf(nested, sizeof nested, "{'type':'Sequence','normalizers':[{'type':'NFC'}");
    for (int i = 0; i < 40; i++) {
        n += (size_t)snprintf(nested + n, sizeof nested - n, ",{'type':'NFC'}");
    }
    snprintf(nested + n, sizeof nested - n, "]}");
    assert_refused(&parts, TW_ERR_FORMAT, "too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_level_file_is_read),
        cmocka_unit_test(a_llama2_file_is_read),
        cmocka_unit_test(a_metaspace_file_is_read),
        cmocka_unit_test(split_digits_and_space_prefix_do_their_part),
        cmocka_unit_test(added_tokens_are_normalised_unless_special_or_told_otherwise),
        cmocka_unit_test(merges_may_be_pairs_or_lines),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(a_template_adds_one_token_on_either_side),
        cmocka_unit_test(the_configuration_names_first_and_last_tokens),
        cmocka_unit_test(ids_that_the_entries_cannot_fill_are_refused),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(sequences_nested_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
