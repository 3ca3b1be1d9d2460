/* A limit that is below what the program reaches is no limit: the probes must give plausible, and
 * consistent, figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "probe/machine.h"

static void test_a_read_of_memory_is_slower_than_of_cache(void **state)
{
    (void)state;
    struct tw_threadpool *pool;
    assert_int_equal(tw_threadpool_create(1, &pool, NULL), TW_OK);
    enum { SMALL = 16 << 10, LARGE = 256 << 20 };
    uint8_t *buffer = tw_mem_map(LARGE);
    for (size_t i = 0; i < LARGE; i += 64) {
        buffer[i] = 1;
    }
    double memory = 0, cache = 0;
    for (int i = 0; i < 3; i++) {
        double m = tw_probe_read_rate(pool, buffer, LARGE);
        memory = m > memory ? m : memory;
    }
    for (int i = 0; i < 2000; i++) {
        double c = tw_probe_read_rate(pool, buffer, SMALL);
        cache = c > cache ? c : cache;
    }
    assert_true(memory > 0.5e9 && memory < 1e12);
    assert_true(cache > memory);
    tw_mem_unmap(buffer, LARGE);
    tw_threadpool_free(pool);
}

static void test_a_wider_level_is_not_slower(void **state)
{
    (void)state;
    struct tw_threadpool *pool;
    assert_int_equal(tw_threadpool_create(1, &pool, NULL), TW_OK);
    assert_true(tw_probe_int8_rate(pool, TW_CPU_REF) == 0);
    double best[TW_CPU_LEVEL_COUNT] = {0}, best_f32[TW_CPU_LEVEL_COUNT] = {0};
    for (int level = TW_CPU_AVX2; level <= (int)tw_cpu_detect(); level++) {
        for (int i = 0; i < 20; i++) {
            double r = tw_probe_int8_rate(pool, (enum tw_cpu_level)level);
            double f = tw_probe_f32_rate(pool, (enum tw_cpu_level)level);
            best[level] = r > best[level] ? r : best[level];
            best_f32[level] = f > best_f32[level] ? f : best_f32[level];
        }
        assert_in_range((uint64_t)best[level], 1000000000, 100000000000000);
        assert_in_range((uint64_t)best_f32[level], 1000000000, 100000000000000);
    }
    if (tw_cpu_detect() == TW_CPU_AVX512) {
        /* Zen 4 has two halves for each wide register: 8-bit products are as fast either way. */
        assert_true(best[TW_CPU_AVX512] > 0.9 * best[TW_CPU_AVX2]);
    }
    tw_threadpool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_of_memory_is_slower_than_of_cache),
        cmocka_unit_test(test_a_wider_level_is_not_slower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
