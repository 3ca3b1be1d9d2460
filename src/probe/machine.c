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

/* Independent chains of one instruction, in registers: twelve hide a latency of four at two a
 * cycle. One statement for all of them, since an array would be kept in memory and its latency
 * measured. %12 and %13 are the operands that no chain changes. */
#define TWELVE(X)      X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define VPDPBUSD(i)    "vpdpbusd %12, %13, %" #i "\n\t"
#define VFMADD231PS(i) "vfmadd231ps %12, %13, %" #i "\n\t"
#define VDPBF16PS(i)   "vdpbf16ps %12, %13, %" #i "\n\t"
/* Without VNNI a dot product is two instructions: multiply pairs, add pairs. */
#define PAIRS(i)       "vpmaddubsw %12, %" #i ", %%ymm15\n\tvpmaddwd %13, %%ymm15, %" #i "\n\t"

/* Runs `text` LOOPS times on twelve registers of `type`, none of which is known to the compiler. */
#define RUN_CHAINS(type, zero, text, constraint, first, second, ...)                               \
    do {                                                                                           \
        type s0 = zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0,    \
             s9 = s0, s10 = s0, s11 = s0;                                                          \
        for (int n = 0; n < LOOPS; n++) {                                                          \
            __asm__ volatile(text                                                                  \
                             : "+" constraint(s0), "+" constraint(s1), "+" constraint(s2),         \
                               "+" constraint(s3), "+" constraint(s4), "+" constraint(s5),         \
                               "+" constraint(s6), "+" constraint(s7), "+" constraint(s8),         \
                               "+" constraint(s9), "+" constraint(s10), "+" constraint(s11)        \
                             : constraint(first), constraint(second)                               \
                             : __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)

__attribute__((target("avx512f,avx512vnni"))) static void int8_avx512(void *context, int thread,
                                                                      int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512i w = _mm512_set1_epi8(3), a = _mm512_set1_epi8(5);
    RUN_CHAINS(__m512i, _mm512_setzero_si512(), TWELVE(VPDPBUSD), "v", w, a, "cc");
}

__attribute__((target("avx2"))) static void int8_avx2(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m256i w = _mm256_set1_epi8(3), one = _mm256_set1_epi16(1);
    RUN_CHAINS(__m256i, _mm256_setzero_si256(), TWELVE(PAIRS), "x", w, one, "ymm15");
}

__attribute__((target("avx512f"))) static void f32_avx512(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512 w = _mm512_set1_ps(0.5f), a = _mm512_set1_ps(0.25f);
    RUN_CHAINS(__m512, _mm512_setzero_ps(), TWELVE(VFMADD231PS), "v", w, a, "cc");
}

__attribute__((target("avx2,fma"))) static void f32_avx2(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m256 w = _mm256_set1_ps(0.5f), a = _mm256_set1_ps(0.25f);
    RUN_CHAINS(__m256, _mm256_setzero_ps(), TWELVE(VFMADD231PS), "x", w, a, "cc");
}

__attribute__((target("avx512f,avx512bf16"))) static void bf16_avx512(void *context, int thread,
                                                                      int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    __m512i w = _mm512_set1_epi16(0x3f00), a = _mm512_set1_epi16(0x3e80); /* 0.5, 0.25 */
    RUN_CHAINS(__m512, _mm512_setzero_ps(), TWELVE(VDPBF16PS), "v", w, a, "cc");
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

struct tw_probe_rates tw_probe_rates(struct tw_threadpool *pool, enum tw_cpu_level level,
                                     const void *buffer, size_t n_bytes)
{
    return (struct tw_probe_rates){.read = tw_probe_read_rate(pool, buffer, n_bytes),
                                   .int8 = tw_probe_int8_rate(pool, level),
                                   .bf16 = tw_probe_bf16_rate(pool, level),
                                   .f32 = tw_probe_f32_rate(pool, level)};
}
