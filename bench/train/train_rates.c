/* train_rates: what a step of training costs, beside what the machine can do at most.
 *
 *     train_rates [--format f32|bf16] [--steps N] [--threads N] [--layers N] [--embed N] [--ffn N]
 *                 [--vocab N] [--length N] [--tokens N]
 *
 * Random tokens in documents of one length, every token a target, forward, backward and AdamW. The
 * machine's rate in the format is measured between the steps, in the same process; operations are
 * those of products: 6 x weights in matrices x tokens, and those of attention. Prints CSV: the
 * median of the steps. torch_rates.py times the same model in PyTorch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "probe/machine.h"
#include "train/gradient.h"

struct settings {
    const char *format;
    long steps, threads, layers, embed, ffn, vocab, length, tokens;
};

static void parse(int argc, char **argv, struct settings *s)
{
    const struct {
        const char *name;
        long *value;
    } numbers[] = {{"--steps", &s->steps},   {"--threads", &s->threads}, {"--layers", &s->layers},
                   {"--embed", &s->embed},   {"--ffn", &s->ffn},         {"--vocab", &s->vocab},
                   {"--length", &s->length}, {"--tokens", &s->tokens}};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--format") == 0) {
            s->format = argv[i + 1];
        }
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++) {
            if (strcmp(argv[i], numbers[j].name) == 0) {
                *numbers[j].value = strtol(argv[i + 1], NULL, 10);
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, long n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

struct bench {
    struct settings settings;
    struct tw_parameters parameters;
    struct tw_gradient *gradient;
    float *values; /* weights, m, v, gradients */
    struct tw_train_batch batch;
};

static void make_batch(struct bench *b)
{
    const struct settings *s = &b->settings;
    size_t n = (size_t)s->tokens, n_documents = (size_t)(s->tokens / s->length);
    int32_t *tokens = tw_mem_alloc(n, sizeof *tokens);
    uint8_t *is_target = tw_mem_alloc(n, 1);
    uint32_t *starts = tw_mem_alloc(n_documents + 1, sizeof *starts);
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)(tw_rng_uniform(1, i) * (double)s->vocab);
        is_target[i] = i % (size_t)s->length != 0;
    }
    for (size_t i = 0; i <= n_documents; i++) {
        starts[i] = (uint32_t)(i * (size_t)s->length);
    }
    b->batch = (struct tw_train_batch){.tokens = tokens,
                                       .is_target = is_target,
                                       .n_tokens = n_documents * (size_t)s->length,
                                       .documents = {.starts = starts, .n_documents = n_documents}};
}

static double step(struct bench *b)
{
    size_t n = b->parameters.n_values;
    float *gradients = b->values + 3 * n;
    struct tw_dense *dense = tw_gradient_dense(b->gradient);
    const struct tw_adamw_step adamw = {.learning_rate = 1e-4f,
                                        .beta1 = 0.9f,
                                        .beta2 = 0.95f,
                                        .epsilon = 1e-8f,
                                        .weight_decay = 0.1f,
                                        .gradient_scale = 1,
                                        .m_scale = 1,
                                        .v_scale = 1};
    memset(gradients, 0, n * sizeof *gradients);
    struct tw_train_loss loss = tw_gradient_add(b->gradient, b->values, &b->batch,
                                                1.0f / (float)b->batch.n_tokens, gradients);
    tw_dense_sum_squares(dense, gradients, n);
    tw_dense_adamw(dense, &adamw, gradients, n, b->values, b->values + n, b->values + 2 * n);
    return loss.operations;
}

static void run(struct bench *b, struct tw_threadpool *pool, enum tw_cpu_level level, bool is_bf16)
{
    long n = b->settings.steps;
    double *seconds = tw_mem_alloc((size_t)n, sizeof *seconds);
    double *limits = tw_mem_alloc((size_t)n, sizeof *limits);
    double operations = step(b);
    for (long i = 0; i < n; i++) {
        limits[i] = is_bf16 ? tw_probe_bf16_rate(pool, level) : tw_probe_f32_rate(pool, level);
        int64_t start_ns = tw_clock_monotonic_ns();
        step(b);
        seconds[i] = (double)(tw_clock_monotonic_ns() - start_ns) * 1e-9;
    }
    double time = median(seconds, n), limit = median(limits, n);
    printf("format,threads,weights,tokens,seconds,tokens_per_s,gflop_per_s,limit_gflop_per_s,"
           "share,fastest_s,slowest_s\n");
    printf("%s,%d,%zu,%zu,%.4f,%.0f,%.1f,%.1f,%.3f,%.4f,%.4f\n", b->settings.format,
           tw_threadpool_size(pool), b->parameters.n_weights, b->batch.n_tokens, time,
           (double)b->batch.n_tokens / time, operations / time * 1e-9, limit * 1e-9,
           operations / time / limit, seconds[0], seconds[n - 1]);
}

int main(int argc, char **argv)
{
    struct bench b = {.settings = {.format = "f32",
                                   .steps = 9,
                                   .layers = 8,
                                   .embed = 256,
                                   .ffn = 768,
                                   .vocab = 4096,
                                   .length = 256,
                                   .tokens = 4096}};
    struct settings *s = &b.settings;
    struct tw_error error;
    struct tw_device *device;
    struct tw_threadpool *pool;
    enum tw_cpu_level level;
    parse(argc, argv, s);
    bool is_bf16 = strcmp(s->format, "bf16") == 0;
    struct tw_model_shape shape = {.arch = "qwen3",
                                   .n_layers = (uint32_t)s->layers,
                                   .n_embed = (uint32_t)s->embed,
                                   .n_heads = (uint32_t)(s->embed / 64),
                                   .n_kv_heads = (uint32_t)(s->embed / 128),
                                   .head_dim = 64,
                                   .n_ffn = (uint32_t)s->ffn,
                                   .n_vocab = (uint32_t)s->vocab,
                                   .n_context_tokens = (uint32_t)s->length,
                                   .rms_eps = 1e-6f,
                                   .rope = {.freq_base = 10000, .factor = 1, .n_dims = 64},
                                   .has_qk_norm = true,
                                   .tied_head = true};
    if (tw_cpu_choose(&level, &error) != TW_OK ||
        tw_device_cpu_create((int)s->threads, level, &device, &error) != TW_OK ||
        tw_threadpool_create(tw_device_threads(device), &pool, &error) != TW_OK ||
        tw_parameters_init(&b.parameters, &shape, &error) != TW_OK ||
        tw_gradient_create(device, &b.parameters, (size_t)s->tokens,
                           is_bf16 ? TW_GEMM_BF16 : TW_GEMM_F32, &b.gradient, &error) != TW_OK) {
        fprintf(stderr, "train_rates: %s\n", error.text);
        return 1;
    }
    b.values = tw_mem_map(4 * b.parameters.n_values * sizeof *b.values);
    tw_parameters_randomise(&b.parameters, 1, b.values);
    make_batch(&b);
    run(&b, pool, level, is_bf16);
    tw_gradient_free(b.gradient);
    tw_threadpool_free(pool);
    tw_device_free(device);
    return 0;
}
