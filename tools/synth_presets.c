#include "synth_presets.h"

#include <stddef.h>
#include <string.h>

#define ROPE_PLAIN(base, dims)                                                                     \
    {                                                                                              \
        .freq_base = (base), .scaling = TW_ROPE_SCALING_NONE, .factor = 1, .n_dims = (dims)        \
    }
#define ROPE_LLAMA3(base, dims, times, original)                                                   \
    {                                                                                              \
        .freq_base = (base), .scaling = TW_ROPE_SCALING_LLAMA3, .factor = (times),                 \
        .original_context_tokens = (original), .low_freq_factor = 1, .high_freq_factor = 4,        \
        .n_dims = (dims)                                                                           \
    }
#define ROPE_YARN(base, dims, times, original)                                                     \
    {                                                                                              \
        .freq_base = (base), .scaling = TW_ROPE_SCALING_YARN, .factor = (times),                   \
        .original_context_tokens = (original), .beta_fast = 32, .beta_slow = 1, .n_dims = (dims)   \
    }
#define SIZES(layers, embed, heads, kv_heads, dim, ffn, vocab, context)                            \
    .n_layers = (layers), .n_embed = (embed), .n_heads = (heads), .n_kv_heads = (kv_heads),        \
    .head_dim = (dim), .n_ffn = (ffn), .n_vocab = (vocab), .n_context_tokens = (context)

#define EXPERTS(experts, used, ffn)                                                                \
    .n_experts = (experts), .n_experts_used = (used), .n_expert_ffn = (ffn),                       \
    .experts_are_normed = true

/* clang-format off */
static const struct synth_preset presets[] = {
    {"qwen2.5-0.5b", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(24, 896, 14, 2, 64, 4864, 151936, 32768), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 64), .has_qkv_bias = true, .tied_head = true}, 1.0},
    {"qwen2.5-1.5b", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(28, 1536, 12, 2, 128, 8960, 151936, 32768), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qkv_bias = true, .tied_head = true}, 1.0},
    {"qwen2.5-7b", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(28, 3584, 28, 4, 128, 18944, 152064, 32768), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qkv_bias = true}, 1.0},
    {"qwen3-0.6b", SYNTH_WORDS_QWEN,
     {.arch = "qwen3", SIZES(28, 1024, 16, 8, 128, 3072, 151936, 40960), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qk_norm = true, .tied_head = true}, 1.0},
    {"qwen3-4b", SYNTH_WORDS_QWEN,
     {.arch = "qwen3", SIZES(36, 2560, 32, 8, 128, 9728, 151936, 40960), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qk_norm = true, .tied_head = true}, 1.0},
    {"qwen3-30b-a3b", SYNTH_WORDS_QWEN,
     {.arch = "qwen3moe", SIZES(48, 2048, 32, 4, 128, 6144, 151936, 40960), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qk_norm = true, EXPERTS(128, 8, 768)}, 1.0},
    {"llama3.2-1b", SYNTH_WORDS_LLAMA3,
     {.arch = "llama", SIZES(16, 2048, 32, 8, 64, 8192, 128256, 131072), .rms_eps = 1e-5f,
      .rope = ROPE_LLAMA3(5e5, 64, 32, 8192), .tied_head = true}, 1.0},

    {"tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(2, 256, 4, 2, 64, 768, 768, 4096), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 64), .has_qkv_bias = true, .tied_head = true}, 0.2},
    {"qwen2-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(3, 512, 8, 2, 64, 1280, 768, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e6, 64), .has_qkv_bias = true, .tied_head = true}, 0.2},
    {"qwen2-odd-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(3, 448, 7, 1, 64, 864, 761, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e4, 64), .has_qkv_bias = true}, 0.2},
    {"qwen2-yarn-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen2", SIZES(2, 256, 4, 1, 64, 768, 768, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_YARN(1e4, 64, 4, 64), .has_qkv_bias = true, .tied_head = true}, 0.2},
    {"qwen3-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen3", SIZES(3, 256, 4, 2, 128, 768, 768, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e6, 128), .has_qk_norm = true, .tied_head = true}, 0.2},
    {"qwen3-odd-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen3", SIZES(2, 320, 8, 8, 64, 864, 761, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e4, 64), .has_qk_norm = true}, 0.2},
    {"qwen3moe-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen3moe", SIZES(3, 256, 4, 2, 64, 768, 768, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e6, 64), .has_qk_norm = true, .tied_head = true,
      EXPERTS(8, 2, 256)}, 0.2},
    {"qwen3moe-odd-tiny", SYNTH_WORDS_QWEN,
     {.arch = "qwen3moe", SIZES(2, 320, 8, 8, 64, 864, 761, 4096), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e4, 64), .has_qk_norm = true, EXPERTS(13, 3, 96)}, 0.2},
    {"qwen3-words", SYNTH_WORDS_QWEN,
     {.arch = "qwen3", SIZES(2, 256, 4, 2, 64, 768, 151936, 32768), .rms_eps = 1e-6f,
      .rope = ROPE_PLAIN(1e6, 64), .has_qk_norm = true, .tied_head = true}, 0.2},
    {"llama2-tiny", SYNTH_WORDS_SPM,
     {.arch = "llama", SIZES(3, 256, 4, 4, 64, 768, 768, 2048), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e4, 64)}, 0.2},
    {"llama-narrow-tiny", SYNTH_WORDS_SPM,
     {.arch = "llama", SIZES(4, 64, 8, 4, 8, 160, 768, 2048), .rms_eps = 1e-2f,
      .rope = ROPE_PLAIN(1e4, 8), .tied_head = true}, 0.2},
    {"llama3-tiny", SYNTH_WORDS_LLAMA3,
     {.arch = "llama", SIZES(3, 512, 8, 2, 64, 1536, 768, 8192), .rms_eps = 1e-2f,
      .rope = ROPE_LLAMA3(5e5, 64, 32, 64), .tied_head = true}, 0.2},
};
/* clang-format on */

static const struct {
    const char *name, *means;
} aliases[] = {
    {"0.5b", "qwen2.5-0.5b"},
    {"1.5b", "qwen2.5-1.5b"},
    {"7b", "qwen2.5-7b"},
};

const struct synth_preset *synth_preset_at(int i)
{
    int n = (int)(sizeof presets / sizeof presets[0]);
    return i >= 0 && i < n ? &presets[i] : NULL;
}

const struct synth_preset *synth_preset_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (strcmp(name, aliases[i].name) == 0) {
            name = aliases[i].means;
        }
    }
    for (int i = 0; synth_preset_at(i) != NULL; i++) {
        if (strcmp(name, presets[i].name) == 0) {
            return &presets[i];
        }
    }
    return NULL;
}
