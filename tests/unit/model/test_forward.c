/* The forward pass on models with known weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "byte_builder.h"
#include "model/model.h"
#include "tiny_model.h"
#include "tiny_tokenizer.h"

enum { N_TOKENS = 9, N_LAYERS = 12 };

/* Logits of every position; freed by the caller. */
static float *run_model(const char *folder)
{
    static const tw_token tokens[N_TOKENS] = {1, 5, 200, 31, 7, 7, 90, 14, 2};
    static const uint32_t page = 0;
    struct tw_error error = {0};
    struct tw_device *device = NULL;
    struct tw_model *model = NULL;
    struct tw_kv_cache *cache = NULL;
    const float *logits = NULL;
    assert_int_equal(tw_device_cpu_create(2, tw_cpu_detect(), &device, NULL), TW_OK);
    struct tw_model_options options = {0};
    if (tw_model_load(folder, device, &options, &model, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_kv_cache_create(model, 1, TW_DTYPE_F16, &cache, NULL), TW_OK);
    struct tw_batch_sequence sequence = {
        .tokens = tokens, .n_tokens = N_TOKENS, .pages = &page, .n_outputs = N_TOKENS};
    assert_int_equal(tw_model_forward(model, cache, &sequence, 1, &logits, NULL), TW_OK);
    float *copy = tw_mem_alloc(N_TOKENS * TINY_BPE_TOKENS, sizeof *copy);
    memcpy(copy, logits, N_TOKENS * TINY_BPE_TOKENS * sizeof *copy);
    tw_kv_cache_free(cache);
    tw_model_free(model);
    tw_device_free(device);
    return copy;
}

static float *logits_of(const struct tiny_model *model, const char *folder)
{
    tiny_write_folder(model, folder, 1);
    tiny_write_tokenizer(folder, tiny_bpe_json(NULL));
    return run_model(folder);
}

/* The weights are numbers that both formats hold, so the logits are the same bits. Such a layer
 * takes more operations than one whose two projections are computed as one. */
static void gate_and_up_may_differ_in_format(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3"};
    for (size_t i = 0; i < 3; i++) {
        struct tiny_model model = tiny_model_of(archs[i]);
        model.n_layers = N_LAYERS;
        model.n_vocab = TINY_BPE_TOKENS;
        float *together = logits_of(&model, "together");
        model.up_is_half = true;
        float *apart = logits_of(&model, "apart");
        for (size_t k = 0; k < N_TOKENS * TINY_BPE_TOKENS; k++) {
            assert_true(isfinite(together[k]));
        }
        assert_memory_equal(together, apart, N_TOKENS * TINY_BPE_TOKENS * sizeof *apart);
        tw_mem_free(together);
        tw_mem_free(apart);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(gate_and_up_may_differ_in_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
