/* act_scale: what it costs in accuracy to give activations one scale per 32, 64, 128, 256 columns
 * or per row. It decides the granularity in kernel/layout.h, which is part of the determinism rule.
 *
 *     act_scale QUANTISED.gguf SAME_WEIGHTS_AS_F32.gguf [tokens]
 *
 * The first model runs with its activations quantised at each granularity (blocks of 32 that share
 * a coarser scale, so the kernels stay as they are); the second, which holds the dequantised
 * weights as f32, gives the exact distribution. Prints CSV: mean and largest Kullback-Leibler
 * divergence in nats over the positions, and how often the most likely token is the same.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "device/cpu_device.h"
#include "model/model.h"

enum { CHUNK = 64, MAX_TOKENS = 2048 };

static size_t granularity; /* columns that share a scale */

static float largest_of(const float *x, size_t width, size_t begin)
{
    float largest = 0;
    for (size_t i = begin; i < begin + granularity && i < width; i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    }
    return largest;
}

static void quantise_row_coarsely(const float *x, size_t width, size_t n_blocks, uint8_t *tile,
                                  uint32_t n_columns, uint32_t column)
{
    for (size_t b = 0; b < n_blocks; b++) {
        size_t begin = b * TW_ACT_BLOCK;
        float largest = largest_of(x, width, begin / granularity * granularity);
        float scale = largest / 127.0f, inverse = largest > 0 ? 127.0f / largest : 0;
        uint8_t *block = tile + b * TW_ACT_BLOCK_BYTES * n_columns;
        int32_t sums[2] = {0};
        for (size_t k = 0; k < TW_ACT_BLOCK; k++) {
            float value = begin + k < width ? rintf(x[begin + k] * inverse) : 0;
            block[TW_ACT_META_BYTES * n_columns + TW_ACT_BLOCK * column + k] =
                (uint8_t)(int8_t)value;
            sums[k / 16] += (int32_t)value;
        }
        int32_t negative = -(sums[0] + sums[1]), negative_low = -sums[0];
        float scaled = scale * (float)-negative;
        memcpy(block + 4 * column, &scale, 4);
        memcpy(block + 4 * (n_columns + column), &negative, 4);
        memcpy(block + 4 * (2 * n_columns + column), &negative_low, 4);
        memcpy(block + 4 * (3 * n_columns + column), &scaled, 4);
    }
}

struct subject {
    struct tw_device *device;
    struct tw_model *model;
    struct tw_kv_cache *cache;
};

static void open_subject(struct subject *s, const char *path)
{
    struct tw_error error;
    enum tw_cpu_level level;
    struct tw_model_options options = {.max_batch_tokens = CHUNK, .max_output_rows = CHUNK};
    if (tw_cpu_choose(&level, &error) != TW_OK ||
        tw_device_cpu_create(0, level, &s->device, &error) != TW_OK ||
        tw_model_load(path, s->device, &options, &s->model, &error) != TW_OK ||
        tw_kv_cache_create(s->model, MAX_TOKENS / TW_KV_PAGE_TOKENS, TW_DTYPE_F16, &s->cache,
                           &error) != TW_OK) {
        fprintf(stderr, "act_scale: %s\n", error.text);
        exit(1);
    }
}

static void close_subject(struct subject *s)
{
    tw_kv_cache_free(s->cache);
    tw_model_free(s->model);
    tw_device_free(s->device);
}

/* Logits of n_tokens random tokens, teacher-forced: [n_tokens][n_vocab]. */
static void run_subject(struct subject *s, uint32_t n_tokens, float *ret_logits)
{
    uint32_t n_vocab = tw_model_shape(s->model)->n_vocab;
    static tw_token tokens[MAX_TOKENS];
    static uint32_t pages[MAX_TOKENS / TW_KV_PAGE_TOKENS];
    for (uint32_t i = 0; i < n_tokens; i++) {
        uint32_t words[4];
        tw_rng_block(2, i, words);
        tokens[i] = (tw_token)(words[0] % n_vocab);
        pages[i / TW_KV_PAGE_TOKENS] = i / TW_KV_PAGE_TOKENS;
    }
    for (uint32_t done = 0; done < n_tokens;) {
        uint32_t n = n_tokens - done < CHUNK ? n_tokens - done : CHUNK;
        struct tw_batch_sequence sequence = {.tokens = tokens + done,
                                             .n_tokens = n,
                                             .first_position = done,
                                             .pages = pages,
                                             .n_outputs = n};
        const float *logits;
        struct tw_error error;
        if (tw_model_forward(s->model, s->cache, &sequence, 1, NULL, &logits, &error) != TW_OK) {
            fprintf(stderr, "act_scale: %s\n", error.text);
            exit(1);
        }
        memcpy(ret_logits + (size_t)done * n_vocab, logits, (size_t)n * n_vocab * sizeof *logits);
        done += n;
    }
}

static double log_sum_exp(const float *x, size_t n)
{
    double largest = (double)x[0], sum = 0;
    for (size_t i = 1; i < n; i++) {
        largest = (double)x[i] > largest ? (double)x[i] : largest;
    }
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)x[i] - largest);
    }
    return largest + log(sum);
}

static double divergence(const float *want, const float *got, size_t n)
{
    double want_norm = log_sum_exp(want, n), got_norm = log_sum_exp(got, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        double p = (double)want[i] - want_norm;
        sum += exp(p) * (p - ((double)got[i] - got_norm));
    }
    return sum;
}

static size_t most_likely(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return best;
}

static void report(const char *name, const float *want, const float *got, uint32_t n_tokens,
                   size_t n_vocab)
{
    double sum = 0, worst = 0;
    int same = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        const float *w = want + i * n_vocab, *g = got + i * n_vocab;
        double d = divergence(w, g, n_vocab);
        sum += d;
        worst = d > worst ? d : worst;
        same += most_likely(w, n_vocab) == most_likely(g, n_vocab);
    }
    printf("%s,%.3e,%.3e,%.3f\n", name, sum / n_tokens, worst, (double)same / n_tokens);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: act_scale QUANTISED.gguf SAME_AS_F32.gguf [tokens]\n");
        return 2;
    }
    long wish = argc > 3 ? strtol(argv[3], NULL, 10) : 256;
    uint32_t n_tokens = wish < 1 ? 1 : wish > MAX_TOKENS ? MAX_TOKENS : (uint32_t)wish;
    struct subject exact, quantised;
    open_subject(&exact, argv[2]);
    open_subject(&quantised, argv[1]);
    size_t n_vocab = tw_model_shape(exact.model)->n_vocab;
    float *want = tw_mem_map(n_tokens * n_vocab * sizeof *want);
    float *got = tw_mem_map(n_tokens * n_vocab * sizeof *got);
    if (want == NULL || got == NULL || tw_model_shape(quantised.model)->n_vocab != n_vocab) {
        fprintf(stderr, "act_scale: the models differ in vocabulary, or memory is short\n");
        return 1;
    }
    run_subject(&exact, n_tokens, want);
    printf("activation_scale_per,mean_kl_nats,max_kl_nats,same_top1\n");
    run_subject(&quantised, n_tokens, got);
    report("kernel", want, got, n_tokens, n_vocab);
    static const size_t sizes[] = {32, 64, 128, 256, 1u << 20};
    static const char *const names[] = {"32", "64", "128", "256", "row"};
    quantised.device->kernels.quantise_row = quantise_row_coarsely;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        granularity = sizes[i];
        run_subject(&quantised, n_tokens, got);
        report(names[i], want, got, n_tokens, n_vocab);
    }
    close_subject(&exact);
    close_subject(&quantised);
    return 0;
}
