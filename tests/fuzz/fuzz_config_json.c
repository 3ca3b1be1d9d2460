/* Any bytes as a config.json: a shape that the forward pass can have, or a reason. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "fuzz_target.h"
#include "model/arch.h"

static void check_rope(const struct tw_rope_shape *rope)
{
    assert(isfinite(rope->freq_base) && rope->freq_base >= 1);
    assert(rope->factor > 0 && isfinite(rope->factor));
    if (rope->scaling == TW_ROPE_SCALING_YARN) {
        assert(rope->beta_fast > 0 && rope->beta_slow > 0 && rope->original_context_tokens >= 1);
        assert(rope->attention_factor >= 0 && isfinite(rope->attention_factor));
    }
    if (rope->scaling == TW_ROPE_SCALING_LLAMA3) {
        assert(rope->low_freq_factor > 0 && rope->high_freq_factor > rope->low_freq_factor);
        assert(rope->original_context_tokens >= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config = NULL;
    struct tw_error error = {0};
    if (tw_json_parse((const char *)data, size, "config.json", &config, NULL) != TW_OK) {
        return 0;
    }
    struct tw_model_shape shape;
    if (tw_arch_read_config(config, &shape, &error) != TW_OK) {
        assert(strlen(error.text) > 0);
    } else {
        assert(tw_arch_find(shape.arch, strlen(shape.arch)) != NULL);
        assert(shape.n_layers > 0 && shape.n_layers <= TW_LIMIT_MODEL_LAYERS);
        assert(shape.n_embed > 0 && shape.n_embed <= TW_LIMIT_MODEL_EMBED);
        assert(shape.n_ffn > 0 && shape.n_ffn <= TW_LIMIT_MODEL_FFN);
        assert(shape.n_vocab > 0 && shape.n_vocab <= TW_LIMIT_VOCAB_TOKENS);
        assert(shape.n_kv_heads > 0 && shape.n_heads % shape.n_kv_heads == 0);
        assert(shape.n_heads <= TW_LIMIT_MODEL_HEADS);
        assert(shape.head_dim > 0 && shape.head_dim <= TW_LIMIT_MODEL_HEAD_DIM);
        assert(shape.head_dim % 2 == 0 && shape.rope.n_dims == shape.head_dim);
        assert(shape.n_experts <= TW_LIMIT_MODEL_EXPERTS);
        assert(shape.n_experts_used <= shape.n_experts);
        assert(shape.n_experts_used <= TW_LIMIT_MODEL_EXPERTS_USED);
        assert((shape.n_experts == 0) == (shape.n_experts_used == 0));
        assert((shape.n_experts == 0) == (shape.n_expert_ffn == 0));
        assert(shape.n_context_tokens > 0);
        assert(shape.rms_eps > 0 && shape.rms_eps <= 1);
        check_rope(&shape.rope);
    }
    json_decref(config);
    return 0;
}
