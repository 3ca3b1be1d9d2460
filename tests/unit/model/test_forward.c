/* The forward pass on models with known weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "byte_builder.h"
#include "model/model.h"
#include "tiny_model.h"
#include "tiny_tokenizer.h"

enum { N_TOKENS = 9, N_LAYERS = 12 };

static const tw_token tokens[N_TOKENS] = {1, 5, 200, 31, 7, 7, 90, 14, 2};

/* Logits of every position, freed by the caller; n_chunk positions in a pass. */
static float *run_model_at(const char *folder, int n_threads, enum tw_cpu_level level,
                           uint32_t n_chunk)
{
    static const uint32_t page = 0;
    struct tw_error error = {0};
    struct tw_device *device = NULL;
    struct tw_model *model = NULL;
    struct tw_kv_cache *cache = NULL;
    const float *logits = NULL;
    assert_int_equal(tw_device_cpu_create(n_threads, level, &device, NULL), TW_OK);
    struct tw_model_options options = {0};
    if (tw_model_load(folder, device, &options, &model, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_kv_cache_create(model, 1, TW_DTYPE_F16, &cache, NULL), TW_OK);
    float *copy = tw_mem_alloc(N_TOKENS * TINY_BPE_TOKENS, sizeof *copy);
    for (uint32_t at = 0; at < N_TOKENS; at += n_chunk) {
        uint32_t n = N_TOKENS - at < n_chunk ? N_TOKENS - at : n_chunk;
        struct tw_batch_sequence sequence = {.tokens = tokens + at,
                                             .n_tokens = n,
                                             .first_position = at,
                                             .pages = &page,
                                             .n_outputs = n};
        assert_int_equal(tw_model_forward(model, cache, &sequence, 1, NULL, &logits, NULL), TW_OK);
        memcpy(copy + (size_t)at * TINY_BPE_TOKENS, logits,
               (size_t)n * TINY_BPE_TOKENS * sizeof *copy);
    }
    tw_kv_cache_free(cache);
    tw_model_free(model);
    tw_device_free(device);
    return copy;
}

static float *run_model(const char *folder)
{
    return run_model_at(folder, 2, tw_cpu_detect(), N_TOKENS);
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
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    for (size_t i = 0; i < 4; i++) {
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

static void experts_do_not_see_the_batch_the_threads_or_the_level(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3moe");
    model.n_vocab = TINY_BPE_TOKENS;
    for (int is_split = 0; is_split < 2; is_split++) {
        model.up_is_half = is_split != 0;
        float *whole = logits_of(&model, is_split != 0 ? "split" : "plain");
        for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
            for (int n_threads = 1; n_threads <= 3; n_threads++) {
                for (uint32_t n_chunk = 1; n_chunk <= 4; n_chunk += 3) {
                    float *other = run_model_at(is_split != 0 ? "split" : "plain", n_threads,
                                                (enum tw_cpu_level)level, n_chunk);
                    assert_memory_equal(whole, other, N_TOKENS * TINY_BPE_TOKENS * sizeof *other);
                    tw_mem_free(other);
                }
            }
        }
        tw_mem_free(whole);
    }
}

static void config_of(const char *folder, struct tiny_model *model, int is_normed, int n_used)
{
    char path[64];
    model->n_experts_used = (uint32_t)n_used;
    json_t *config = tiny_config(model);
    json_object_set_new(config, "norm_topk_prob", json_boolean(is_normed));
    char *text = json_dumps(config, 0);
    snprintf(path, sizeof path, "%s/config.json", folder);
    write_text(path, text);
    free(text);
    json_decref(config);
}

/* With all experts taken their weights add up to 1 whether they are made to or not; with few they
 * do not. The two sums go over the experts in different orders, so bits may differ. */
static void weights_of_experts_add_up_to_one_only_where_asked(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3moe");
    model.n_vocab = TINY_BPE_TOKENS;
    for (int n_used = 2; n_used <= 5; n_used += 3) {
        double largest = 0, off = 0;
        tw_mem_free(logits_of(&model, "f"));
        config_of("f", &model, 1, n_used);
        float *normed = run_model("f");
        config_of("f", &model, 0, n_used);
        float *plain = run_model("f");
        for (size_t i = 0; i < N_TOKENS * TINY_BPE_TOKENS; i++) {
            largest = fmax(largest, fabs((double)normed[i]));
            off = fmax(off, fabs((double)normed[i] - (double)plain[i]));
        }
        assert_true(n_used == 5 ? off < 1e-3 * largest : off > 1e-2 * largest);
        tw_mem_free(normed);
        tw_mem_free(plain);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(gate_and_up_may_differ_in_format),
        IN_FOLDER(experts_do_not_see_the_batch_the_threads_or_the_level),
        IN_FOLDER(weights_of_experts_add_up_to_one_only_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
