/* Any bytes as a recipe: numbers within the bounds they promise and every text there, or a
 * reason. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "train/train_config.h"

static void check_texts(const struct tw_train_config *config)
{
    assert(strlen(config->data.tokenizer) > 0 && strlen(config->output.folder) > 0);
    assert(config->data.train_count > 0 && config->data.train_count <= TW_LIMIT_TRAIN_FILES);
    assert(config->data.valid_count > 0 && config->data.valid_count <= TW_LIMIT_TRAIN_FILES);
    for (uint32_t i = 0; i < config->data.train_count; i++) {
        assert(strlen(config->data.train[i]) > 0);
    }
    for (uint32_t i = 0; i < config->data.valid_count; i++) {
        assert(strlen(config->data.valid[i]) > 0);
    }
}

static void check_numbers(const struct tw_train_config *config)
{
    const struct tw_train_model_config *m = &config->model;
    const struct tw_train_run_config *t = &config->training;
    assert(m->layers > 0 && m->embed > 0 && m->ffn > 0 && m->context >= 2);
    assert(m->kv_heads > 0 && m->heads % m->kv_heads == 0 && m->head_dim % 2 == 0);
    assert(t->steps > 0 && t->steps <= TW_LIMIT_TRAIN_STEPS && t->rows_per_step > 0);
    assert(t->format == TW_GEMM_F32 || t->format == TW_GEMM_BF16);
    for (uint32_t step = 0; step < t->steps; step += t->steps / 8 + 1) {
        double rate = tw_train_learning_rate(t, step);
        assert(rate >= 0 && rate <= 10.000001);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_train_config *config = NULL;
    struct tw_error error = {0};
    if (tw_train_config_parse((const char *)data, size, "recipe", &config, &error) == TW_OK) {
        check_texts(config);
        check_numbers(config);
        tw_train_config_free(config);
    } else {
        assert(strncmp(error.text, "'recipe': ", 10) == 0);
    }
    return 0;
}
