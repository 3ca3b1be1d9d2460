/* step_rates: what a forward pass of a model reaches, beside what this machine could do at most.
 *
 *     step_rates MODEL [threads] [rounds]
 *
 * Prints CSV: for prefill (a prompt of 512 in one pass) and for decoding 1..32 sequences at a
 * context of 256 tokens, the median time of a pass, tokens a second, and the share of the limit.
 * The limit of decoding is reading the packed weights once per pass (a plain read of a buffer of
 * that size, all threads); the limit of prefill is the 8-bit multiply-adds of its products. Both
 * are measured in turn with the passes, round by round, because the machine's speed drifts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"
#include "probe/machine.h"

enum { PROMPT = 512, CONTEXT = 256, MAX_BATCH = 32, MAX_ROUNDS = 99 };

struct bench {
    struct tw_device *device;
    struct tw_threadpool *pool;
    struct tw_model *model;
    struct tw_kv_cache *cache;
    tw_token tokens[PROMPT];
    uint32_t pages[MAX_BATCH][PROMPT / TW_KV_PAGE_TOKENS + 1];
    uint8_t *read_buffer;
    size_t read_bytes;
    enum tw_cpu_level level;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return values[n / 2];
}

static double pass_seconds(struct bench *b, const struct tw_batch_sequence *sequences, uint32_t n)
{
    struct tw_error error;
    const float *logits;
    int64_t start_ns = tw_clock_monotonic_ns();
    if (tw_model_forward(b->model, b->cache, sequences, n, &logits, &error) != TW_OK) {
        fprintf(stderr, "step_rates: %s\n", error.text);
        exit(1);
    }
    return (double)(tw_clock_monotonic_ns() - start_ns) * 1e-9;
}

static double decode_seconds(struct bench *b, uint32_t batch)
{
    struct tw_batch_sequence sequences[MAX_BATCH];
    for (uint32_t s = 0; s < batch; s++) {
        sequences[s] = (struct tw_batch_sequence){.tokens = b->tokens + s,
                                                  .n_tokens = 1,
                                                  .first_position = CONTEXT,
                                                  .pages = b->pages[s],
                                                  .n_outputs = 1};
    }
    return pass_seconds(b, sequences, batch);
}

static double prefill_seconds(struct bench *b)
{
    struct tw_batch_sequence sequence = {.tokens = b->tokens,
                                         .n_tokens = PROMPT,
                                         .first_position = 0,
                                         .pages = b->pages[0],
                                         .n_outputs = 1};
    return pass_seconds(b, &sequence, 1);
}

/* Weights of the layers' products, each used once a token. */
static double layer_weights(const struct tw_model_shape *s)
{
    double q = (double)s->n_heads * s->head_dim, kv = (double)s->n_kv_heads * s->head_dim;
    return s->n_layers * (s->n_embed * (2 * q + 2 * kv) + 3.0 * s->n_embed * s->n_ffn);
}

static void run(struct bench *b, int rounds)
{
    static const uint32_t batches[] = {1, 4, 8, 16, 32};
    enum { N = sizeof batches / sizeof *batches };
    static double decode[N][MAX_ROUNDS], prefill[MAX_ROUNDS], reads[MAX_ROUNDS], ints[MAX_ROUNDS];
    static double shares[N][MAX_ROUNDS], prefill_shares[MAX_ROUNDS];
    double operations = 2 * PROMPT * layer_weights(tw_model_shape(b->model));
    for (int r = -1; r < rounds; r++) {
        int at = r < 0 ? 0 : r;
        for (size_t i = 0; i < N; i++) {
            reads[at] =
                (double)b->read_bytes / tw_probe_read_rate(b->pool, b->read_buffer, b->read_bytes);
            decode[i][at] = decode_seconds(b, batches[i]);
            shares[i][at] = reads[at] / decode[i][at];
        }
        ints[at] = tw_probe_int8_rate(b->pool, b->level);
        prefill[at] = prefill_seconds(b);
        prefill_shares[at] = ints[at] > 0 ? operations / ints[at] / prefill[at] : 0;
    }
    printf("phase,batch,pass_ms,tokens_per_s,share_of_limit,limit\n");
    for (size_t i = 0; i < N; i++) {
        double t = median(decode[i], rounds);
        printf("decode,%u,%.2f,%.1f,%.3f,reading %.0f MB at %.1f GB/s\n", batches[i], t * 1e3,
               batches[i] / t, median(shares[i], rounds), (double)b->read_bytes * 1e-6,
               (double)b->read_bytes * 1e-9 / median(reads, rounds));
    }
    double t = median(prefill, rounds);
    printf("prefill,%d,%.2f,%.1f,%.3f,%.1f GOP at %.2f TOP/s of 8-bit arithmetic\n", PROMPT,
           t * 1e3, PROMPT / t, median(prefill_shares, rounds), operations * 1e-9,
           median(ints, rounds) * 1e-12);
}

static enum tw_status open_bench(struct bench *b, const char *path, int n_threads,
                                 struct tw_error *error)
{
    uint32_t pages_each = PROMPT / TW_KV_PAGE_TOKENS;
    struct tw_model_options options = {.max_batch_tokens = PROMPT, .max_output_rows = MAX_BATCH};
    enum tw_status status = tw_cpu_choose(&b->level, error);
    status =
        status != TW_OK ? status : tw_device_cpu_create(n_threads, b->level, &b->device, error);
    status = status != TW_OK ? status : tw_model_load(path, b->device, &options, &b->model, error);
    status = status != TW_OK ? status
                             : tw_kv_cache_create(b->model, MAX_BATCH * pages_each, TW_DTYPE_F16,
                                                  &b->cache, error);
    status = status != TW_OK ? status
                             : tw_threadpool_create(tw_device_threads(b->device), &b->pool, error);
    if (status != TW_OK) {
        return status;
    }
    for (uint32_t i = 0; i < PROMPT; i++) {
        uint32_t words[4];
        tw_rng_block(1, i, words);
        b->tokens[i] = (tw_token)(words[0] % tw_model_shape(b->model)->n_vocab);
    }
    for (uint32_t s = 0; s < MAX_BATCH; s++) {
        for (uint32_t p = 0; p < pages_each; p++) {
            b->pages[s][p] = p * MAX_BATCH + s;
        }
    }
    b->read_bytes = tw_model_weight_bytes(b->model) / 512 * 512;
    b->read_buffer = tw_mem_map(b->read_bytes + 4096);
    if (b->read_buffer == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read from");
    }
    memset(b->read_buffer, 1, b->read_bytes);
    return TW_OK;
}

/* A count on the command line; `otherwise` where there is none or nonsense. */
static int count_argument(int argc, char **argv, int i, int otherwise, int largest)
{
    char *end = NULL;
    long value = argc > i ? strtol(argv[i], &end, 10) : otherwise;
    bool sound = end == NULL || (*end == '\0' && end != argv[i]);
    return sound && value >= 0 && value <= largest ? (int)value : otherwise;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: step_rates MODEL [threads] [rounds]\n");
        return 2;
    }
    static struct bench b;
    struct tw_error error = {.text = "rounds must be 1 to 99"};
    int n_threads = count_argument(argc, argv, 2, 0, TW_LIMIT_THREADS);
    int rounds = count_argument(argc, argv, 3, 9, MAX_ROUNDS);
    if (rounds == 0 || open_bench(&b, argv[1], n_threads, &error) != TW_OK) {
        fprintf(stderr, "step_rates: %s\n", error.text);
        return 1;
    }
    printf("# %s, %s\n", tw_device_name(b.device), argv[1]);
    run(&b, rounds);
    tw_mem_unmap(b.read_buffer, b.read_bytes + 4096);
    tw_kv_cache_free(b.cache);
    tw_model_free(b.model);
    tw_threadpool_free(b.pool);
    tw_device_free(b.device);
    return 0;
}
