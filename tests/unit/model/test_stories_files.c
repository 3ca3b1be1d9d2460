/* A trained model as other tools wrote it: TW_SHARED/testdata/stories260K.gguf. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "byte_builder.h"
#include "model/arch.h"
#include "model/model.h"
#include "model/quantise_model.h"

static char path[1024];

static struct tw_model_files *open_files(const char *name)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open(name, &files, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return files;
}

static void its_shape_is_read(void **state)
{
    (void)state;
    struct tw_model_files *files = open_files(path);
    struct tw_model_shape shape;
    assert_int_equal(tw_model_read_shape(files, &shape, NULL), TW_OK);
    assert_int_equal(tw_arch_check_tensors(files, &shape, NULL), TW_OK);
    assert_string_equal(shape.arch, "llama");
    assert_int_equal(shape.n_layers, 5);
    assert_int_equal(shape.n_embed, 64);
    assert_int_equal(shape.n_heads, 8);
    assert_int_equal(shape.n_kv_heads, 4);
    assert_int_equal(shape.head_dim, 8);
    assert_int_equal(shape.n_ffn, 172);
    assert_int_equal(shape.n_vocab, 512);
    assert_int_equal(shape.n_context_tokens, 512);
    assert_true(shape.rope.interleaved && !shape.tied_head);
    tw_model_files_close(files);
}

static void its_tokenizer_is_read(void **state)
{
    (void)state;
    struct tw_model_files *files = open_files(path);
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_token_list list = {0};
    assert_int_equal(tw_model_files_tokenizer(files, &tokenizer, NULL), TW_OK);
    assert_int_equal(tw_tokenizer_size(tokenizer), 512);
    assert_int_equal(
        tw_tokenizer_encode(tokenizer, "Once upon a time", 16, TW_ENCODE_BOS_EOS, &list, NULL),
        TW_OK);
    const tw_token expected[] = {1, 403, 407, 261, 378};
    assert_int_equal(list.n_tokens, 5);
    assert_memory_equal(list.ids, expected, sizeof expected);
    tw_token_list_free(&list);
    tw_tokenizer_free(tokenizer);
    tw_model_files_close(files);
}

static void quantising_keeps_its_tokens_and_tensors(void **state)
{
    (void)state;
    assert_int_equal(tw_model_quantise(path, "q8.gguf", TW_MODEL_MIX_Q8_0, 2, NULL, NULL, NULL),
                     TW_OK);
    struct tw_model_files *files = open_files("q8.gguf");
    uint64_t n = 0;
    assert_true(tw_model_files_array_length(files, "tokenizer.ggml.tokens", &n) && n == 512);
    assert_int_equal(tw_model_files_count(files), 48);
    assert_int_equal(tw_model_files_find(files, "blk.0.attn_q.weight")->dtype, TW_DTYPE_Q8_0);
    /* 172 columns are no whole blocks of 32 */
    assert_int_equal(tw_model_files_find(files, "blk.0.ffn_down.weight")->dtype, TW_DTYPE_F16);
    tw_model_files_close(files);
}

int main(void)
{
    const char *shared = getenv("TW_SHARED");
    snprintf(path, sizeof path, "%s/testdata/stories260K.gguf", shared != NULL ? shared : "");
    if (shared == NULL || !tw_file_exists(path)) {
        printf("1..0 # SKIP TW_SHARED has no testdata/stories260K.gguf\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_shape_is_read),
        cmocka_unit_test(its_tokenizer_is_read),
        cmocka_unit_test_setup_teardown(quantising_keeps_its_tokens_and_tensors, enter_new_folder,
                                        leave_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
