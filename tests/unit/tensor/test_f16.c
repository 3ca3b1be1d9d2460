#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cpu.h"
#include "tensor/f16.h"

/* The definition, in doubles: sign, exponent bias 15, ten bits of mantissa. */
static double half_by_definition(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) {
        magnitude = mantissa == 0 ? INFINITY : NAN;
    }
    return half & 0x8000 ? -magnitude : magnitude;
}

/* Nearest even, by rounding a multiple of the spacing at the value's exponent. */
static double round_by_definition(double value, int mantissa_bits, int exponent_min, double max)
{
    if (value == 0 || isinf(value)) {
        return value;
    }
    int exponent = ilogb(value) < exponent_min ? exponent_min : ilogb(value);
    double spacing = ldexp(1, exponent - mantissa_bits);
    double rounded = nearbyint(value / spacing) * spacing;
    return fabs(rounded) > max ? copysign(INFINITY, value) : copysign(rounded, value);
}

static void check_to_half(float value)
{
    uint16_t half = tw_f32_to_f16(value);
    double expected = round_by_definition((double)value, 10, -14, 65504);
    double got = half_by_definition(half);
    if (!(got == expected && (half >> 15) == (signbit(value) != 0))) {
        fail_msg("%a became %a, not %a", (double)value, got, expected);
    }
}

static void check_to_bf16(float value)
{
    float got = tw_bf16_to_f32(tw_f32_to_bf16(value));
    double expected = round_by_definition((double)value, 7, -126, 0x1.fep127);
    if (!((double)got == expected && signbit(got) == signbit(value))) {
        fail_msg("%a became %a, not %a", (double)value, (double)got, expected);
    }
}

/* The float itself and its two neighbours. */
static void check_around(void (*check)(float), float value)
{
    check(value);
    check(nextafterf(value, INFINITY));
    check(nextafterf(value, -INFINITY));
}

static void every_half_has_its_value(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        double expected = half_by_definition((uint16_t)half);
        double got = (double)tw_f16_to_f32((uint16_t)half);
        assert_true(isnan(expected) ? isnan(got)
                                    : got == expected && signbit(got) == signbit(expected));
    }
}

static void every_half_survives_the_way_there_and_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        uint16_t back = tw_f32_to_f16(tw_f16_to_f32((uint16_t)half));
        bool is_nan = (half & 0x7fff) > 0x7c00;
        if (is_nan) {
            assert_int_equal(back, half | 0x200);
        } else {
            assert_int_equal(back, half);
        }
    }
}

/* Rounding can only change at the middle between two neighbours and at the halves themselves. */
static void floats_beside_every_half_and_every_middle_round_to_the_nearest(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float value = tw_f16_to_f32((uint16_t)half);
        double next = half == 0x7bff ? 65536 : half_by_definition((uint16_t)(half + 1));
        float middle = (float)(((double)value + next) / 2);
        check_around(check_to_half, value);
        check_around(check_to_half, -value);
        check_around(check_to_half, middle);
        check_around(check_to_half, -middle);
    }
}

static void floats_beyond_the_halves_become_infinite_or_zero(void **state)
{
    (void)state;
    assert_int_equal(tw_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(tw_f32_to_f16(65520), 0x7c00);
    assert_int_equal(tw_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(tw_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(tw_f32_to_f16(0x1p-25f), 0);
    assert_int_equal(tw_f32_to_f16(0x1.000002p-25f), 1);
    assert_int_equal(tw_f32_to_f16(-0x1p-149f), 0x8000);
}

static void nan_stays_nan_with_its_sign(void **state)
{
    (void)state;
    static const uint32_t nans[] = {0x7f800001, 0x7fc00000, 0x7fffffff, 0x7f802000};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        float positive = tw_f32_from_bits(nans[i]);
        float negative = tw_f32_from_bits(nans[i] | 0x80000000u);
        assert_true((tw_f32_to_f16(positive) & 0xfe00) == 0x7e00);
        assert_true((tw_f32_to_f16(negative) & 0xfe00) == 0xfe00);
        assert_true((tw_f32_to_bf16(positive) & 0xffc0) == 0x7fc0);
        assert_true((tw_f32_to_bf16(negative) & 0xffc0) == 0xffc0);
    }
}

static void every_bf16_survives_and_its_neighbourhood_rounds_to_the_nearest(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7f80; half++) {
        float value = tw_bf16_to_f32((uint16_t)half);
        assert_int_equal(tw_f32_bits(value), half << 16);
        assert_int_equal(tw_f32_to_bf16(value), half);
        assert_int_equal(tw_f32_to_bf16(-value), half | 0x8000);
        check_around(check_to_bf16, value);
        check_around(check_to_bf16, tw_f32_from_bits(half << 16 | 0x8000));
        check_around(check_to_bf16, -tw_f32_from_bits(half << 16 | 0x8000));
    }
    assert_int_equal(tw_f32_to_bf16(INFINITY), 0x7f80);
    assert_int_equal(tw_f32_to_bf16(-INFINITY), 0xff80);
}

__attribute__((target("f16c"))) static uint16_t half_by_processor(float value)
{
    __m128i half = _mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT);
    return (uint16_t)_mm_extract_epi16(half, 0);
}

__attribute__((target("f16c"))) static float float_by_processor(uint16_t half)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

/* How far apart the floats are that are compared with the processor: a prime, so that all patterns
 * of low bits occur; 1 with --every-float. */
static uint64_t stride = 1021;

static void the_processor_converts_alike(void **state)
{
    (void)state;
    if (tw_cpu_detect() < TW_CPU_AVX2) {
        print_message("# not tested: the processor has no such instructions\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
        float value = tw_f32_from_bits((uint32_t)bits);
        if (tw_f32_to_f16(value) != half_by_processor(value)) {
            fail_msg("%a", (double)value);
        }
    }
    for (uint32_t half = 0; half < 65536; half++) {
        float value = float_by_processor((uint16_t)half);
        uint32_t quiet = isnan(value) ? 0x400000 : 0;
        assert_int_equal(tw_f32_bits(tw_f16_to_f32((uint16_t)half)) | quiet, tw_f32_bits(value));
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_has_its_value),
        cmocka_unit_test(every_half_survives_the_way_there_and_back),
        cmocka_unit_test(floats_beside_every_half_and_every_middle_round_to_the_nearest),
        cmocka_unit_test(floats_beyond_the_halves_become_infinite_or_zero),
        cmocka_unit_test(nan_stays_nan_with_its_sign),
        cmocka_unit_test(every_bf16_survives_and_its_neighbourhood_rounds_to_the_nearest),
        cmocka_unit_test(the_processor_converts_alike),
    };
    if (argc > 1 && strcmp(argv[1], "--every-float") == 0) {
        stride = 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
