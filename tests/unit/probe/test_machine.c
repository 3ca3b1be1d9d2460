/* A limit that is below what the program reaches is no limit: the probes must give plausible, and
 * consistent, figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "probe/machine.h"

/* Another program on the core halves a measurement, so what is compared takes turns, until there
 * was a quiet moment for each. */
enum { LEAST_ROUNDS = 4, MOST_ROUNDS = 60 };

static void test_a_read_of_memory_is_slower_than_of_cache(void **state)
{
    (void)state;
    struct tw_threadpool *pool;
    assert_int_equal(tw_threadpool_create(1, &pool, NULL), TW_OK);
    enum { SMALL = 256 << 10, LARGE = 256 << 20 };
    uint8_t *buffer = tw_mem_map(LARGE);
    for (size_t i = 0; i < LARGE; i += 64) {
        buffer[i] = 1;
    }
    double memory = 0, cache = 0;
    for (int i = 0; i < MOST_ROUNDS && (i < LEAST_ROUNDS || cache <= memory); i++) {
        double m = tw_probe_read_rate(pool, buffer, LARGE);
        memory = m > memory ? m : memory;
        for (int j = 0; j < 500; j++) {
            double c = tw_probe_read_rate(pool, buffer, SMALL);
            cache = c > cache ? c : cache;
        }
    }
    assert_true(memory > 0.5e9 && memory < 1e12);
    assert_true(cache > memory);
    tw_mem_unmap(buffer, LARGE);
    tw_threadpool_free(pool);
}

typedef double (*rate_fn)(struct tw_threadpool *pool, enum tw_cpu_level level);

static const struct kind {
    const char *name;
    rate_fn rate;
} kinds[] = {
    {"int8", tw_probe_int8_rate}, {"f32", tw_probe_f32_rate}, {"bf16", tw_probe_bf16_rate}};

enum { INT8, F32, BF16, KINDS };

/* The best rates yet. Another program on the core halves a measurement, so all kinds and levels
 * take turns, until no wider level is behind or there was time for a quiet moment of each. */
struct rates {
    double best[KINDS][TW_CPU_LEVEL_COUNT];
};

/* Zen 4 has two halves for each wide register: 8-bit products are as fast either way. */
static bool is_behind(const struct rates *rates, int kind)
{
    const double *best = rates->best[kind];
    return tw_cpu_detect() == TW_CPU_AVX512 && best[TW_CPU_AVX512] < 0.9 * best[TW_CPU_AVX2];
}

static void measure_all(struct rates *rates)
{
    struct tw_threadpool *pool;
    assert_int_equal(tw_threadpool_create(1, &pool, NULL), TW_OK);
    memset(rates, 0, sizeof *rates);
    for (int i = 0; i < MOST_ROUNDS; i++) {
        if (i >= LEAST_ROUNDS && !is_behind(rates, INT8) && !is_behind(rates, F32)) {
            break;
        }
        for (int level = TW_CPU_REF; level <= (int)tw_cpu_detect(); level++) {
            for (int kind = 0; kind < KINDS; kind++) {
                double rate = kinds[kind].rate(pool, (enum tw_cpu_level)level);
                double *best = &rates->best[kind][level];
                *best = rate > *best ? rate : *best;
            }
        }
    }
    tw_threadpool_free(pool);
}

static void test_a_wider_level_is_not_slower(void **state)
{
    (void)state;
    struct rates rates;
    measure_all(&rates);
    for (int kind = 0; kind < KINDS; kind++) {
        assert_true(rates.best[kind][TW_CPU_REF] == 0); /* plain C has no instructions of its own */
        for (int level = TW_CPU_AVX2; level <= (int)tw_cpu_detect(); level++) {
            double rate = rates.best[kind][level];
            if (rate < 1e9 || rate > 1e14 || is_behind(&rates, kind)) {
                fail_msg("%s: %g at level %d, %g at AVX2", kinds[kind].name, rate, level,
                         rates.best[kind][TW_CPU_AVX2]);
            }
        }
    }
}

/* Processors differ in how many pairs they multiply at once: one in place of each f32, or two. */
static void test_products_of_bf16_are_no_slower_than_those_of_f32(void **state)
{
    (void)state;
    struct rates rates;
    measure_all(&rates);
    for (int level = TW_CPU_AVX2; level <= (int)tw_cpu_detect(); level++) {
        bool has_instruction = level == TW_CPU_AVX512 && tw_cpu_has_bf16();
        double times = rates.best[BF16][level] / rates.best[F32][level];
        if (times < 0.8 || times > (has_instruction ? 4.4 : 1.25)) {
            fail_msg("%g times as fast at level %d", times, level);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_of_memory_is_slower_than_of_cache),
        cmocka_unit_test(test_a_wider_level_is_not_slower),
        cmocka_unit_test(test_products_of_bf16_are_no_slower_than_those_of_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
