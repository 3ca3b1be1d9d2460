#include "probe/machine.h"

#include <immintrin.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"

enum { LOOPS = 1000000, CHAINS = 12, REPEATS = 3, PREFETCH_BYTES = 2048 };

struct read_job {
    const uint8_t *buffer;
    size_t n_bytes;
    _Atomic uint64_t sink; /* keeps the loads alive */
};

static void read_part(void *context, int thread, int n_threads)
{
    struct read_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_bytes / 512, thread, n_threads, &begin, &end);
    const uint8_t *p = job->buffer + begin * 512, *last = job->buffer + end * 512;
    __m128i sums[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(),
                       _mm_setzero_si128()};
    for (; p < last; p += 512) {
        for (int i = 0; i < 8; i++) {
            _mm_prefetch((const char *)p + PREFETCH_BYTES + 64 * i, _MM_HINT_T0);
        }
        for (int i = 0; i < 32; i++) {
            const __m128i *q = (const __m128i *)(const void *)(p + 16 * i);
            sums[i % 4] = _mm_add_epi64(sums[i % 4], _mm_load_si128(q));
        }
    }
    __m128i total = _mm_add_epi64(_mm_add_epi64(sums[0], sums[1]), _mm_add_epi64(sums[2], sums[3]));
    atomic_fetch_add(&job->sink, (uint64_t)_mm_cvtsi128_si64(total));
}

double tw_probe_read_rate(struct tw_threadpool *pool, const void *buffer, size_t n_bytes)
{
    struct read_job job = {.buffer = buffer, .n_bytes = n_bytes};
    int64_t start_ns = tw_clock_monotonic_ns();
    tw_threadpool_run(pool, read_part, &job);
    return (double)n_bytes * 1e9 / (double)(tw_clock_monotonic_ns() - start_ns);
}

/* Independent chains of one instruction; operands must not be known to the compiler. Zen 5 starts
 * two dot products a cycle with a latency of four, so twelve chains are enough. */
__attribute__((target("avx512f,avx512vnni"))) static void int8_avx512(void *context, int thread,
                                                                      int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512i sums[CHAINS], w = _mm512_set1_epi8(3), a = _mm512_set1_epi8(5);
    for (int i = 0; i < CHAINS; i++) {
        sums[i] = _mm512_set1_epi32(i);
    }
    for (int n = 0; n < LOOPS; n++) {
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sums[i]) : "v"(w), "v"(a));
        }
    }
}

/* Without VNNI a dot product is two instructions: multiply pairs, add pairs. */
__attribute__((target("avx2"))) static void int8_avx2(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m256i sums[CHAINS], w = _mm256_set1_epi8(3), one = _mm256_set1_epi16(1);
    for (int i = 0; i < CHAINS; i++) {
        sums[i] = _mm256_set1_epi32(i);
    }
    for (int n = 0; n < LOOPS; n++) {
        for (int i = 0; i < CHAINS; i++) {
            __m256i pairs;
            __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs) : "x"(w), "x"(sums[i]));
            __asm__ volatile("vpmaddwd %2, %1, %0" : "=x"(sums[i]) : "x"(pairs), "x"(one));
        }
    }
}

__attribute__((target("avx512f"))) static void f32_avx512(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512 sums[CHAINS], w = _mm512_set1_ps(0.5f), a = _mm512_set1_ps(0.25f);
    for (int i = 0; i < CHAINS; i++) {
        sums[i] = _mm512_set1_ps((float)i);
    }
    for (int n = 0; n < LOOPS; n++) {
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sums[i]) : "v"(w), "v"(a));
        }
    }
}

__attribute__((target("avx2,fma"))) static void f32_avx2(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m256 sums[CHAINS], w = _mm256_set1_ps(0.5f), a = _mm256_set1_ps(0.25f);
    for (int i = 0; i < CHAINS; i++) {
        sums[i] = _mm256_set1_ps((float)i);
    }
    for (int n = 0; n < LOOPS; n++) {
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(sums[i]) : "x"(w), "x"(a));
        }
    }
}

__attribute__((target("avx512f,avx512bf16"))) static void bf16_avx512(void *context, int thread,
                                                                      int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512 sums[CHAINS];
    __m512i w = _mm512_set1_epi16(0x3f00), a = _mm512_set1_epi16(0x3e80); /* 0.5, 0.25 */
    for (int i = 0; i < CHAINS; i++) {
        sums[i] = _mm512_set1_ps((float)i);
    }
    for (int n = 0; n < LOOPS; n++) {
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(sums[i]) : "v"(w), "v"(a));
        }
    }
}

/* The best of a few: the first finds workers that sleep, and another job may take a core away. */
static double rate(struct tw_threadpool *pool, tw_threadpool_fn loop, double per_instruction)
{
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        int64_t start_ns = tw_clock_monotonic_ns();
        tw_threadpool_run(pool, loop, NULL);
        double seconds = (double)(tw_clock_monotonic_ns() - start_ns) * 1e-9;
        double now = per_instruction * LOOPS * CHAINS * tw_threadpool_size(pool) / seconds;
        best = now > best ? now : best;
    }
    return best;
}

double tw_probe_int8_rate(struct tw_threadpool *pool, enum tw_cpu_level level)
{
    switch (level) {
    case TW_CPU_AVX512:
        return rate(pool, int8_avx512, 128);
    case TW_CPU_AVX2:
        return rate(pool, int8_avx2, 64);
    case TW_CPU_REF:
    case TW_CPU_LEVEL_COUNT:
        break;
    }
    return 0;
}

double tw_probe_f32_rate(struct tw_threadpool *pool, enum tw_cpu_level level)
{
    switch (level) {
    case TW_CPU_AVX512:
        return rate(pool, f32_avx512, 32);
    case TW_CPU_AVX2:
        return rate(pool, f32_avx2, 16);
    case TW_CPU_REF:
    case TW_CPU_LEVEL_COUNT:
        break;
    }
    return 0;
}

double tw_probe_bf16_rate(struct tw_threadpool *pool, enum tw_cpu_level level)
{
    if (level == TW_CPU_AVX512 && tw_cpu_has_bf16()) {
        return rate(pool, bf16_avx512, 64);
    }
    return tw_probe_f32_rate(pool, level);
}
