/* Encoding: what must hold of it (it loses little, less than the obvious way; it is finite, exact
 * where it can be, and a function of the block alone), for every format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/f16.h"

enum { N = 64 * 256 };

enum family { NORMAL, LAPLACE, OUTLIERS, FAMILY_COUNT };

static float values[N], decoded[N], naive[N];
static unsigned char blocks[4 * N + 2], other_blocks[4 * N + 2];

static float sample(enum family family, uint64_t i)
{
    double normal = tw_rng_normal(11, i), u = tw_rng_uniform(12, i) - 0.5;
    switch (family) {
    case LAPLACE:
        return (float)(copysign(log(1 - 2 * fabs(u)), u) / sqrt(2));
    case OUTLIERS: /* one in 64 is ten times as large */
        return (float)(tw_rng_uniform(13, i) < 1.0 / 64 ? 10 * normal : normal);
    case NORMAL:
    case FAMILY_COUNT:
        break;
    }
    return (float)normal;
}

static void fill(enum family family, float factor)
{
    for (int i = 0; i < N; i++) {
        values[i] = factor * sample(family, (uint64_t)i);
    }
}

static const struct tw_dtype_traits *traits_of(int type)
{
    return tw_dtype_traits((enum tw_dtype)type);
}

static bool is_quantised(int type)
{
    return traits_of(type)->block_elements > 1;
}

static void round_trip(int type)
{
    traits_of(type)->quantise(values, blocks, N);
    traits_of(type)->dequantise(blocks, decoded, N);
}

static double mean_squared_error(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double e = (double)a[i] - (double)b[i];
        sum += e * e;
    }
    return sum / n;
}

/* The obvious encoders: the largest magnitude, or the least and the largest, span the range. */

struct format {
    int n; /* elements with a common scale */
    int lo, hi;
    int step_max; /* of integer scales; 0: a half float each */
    bool has_min;
};

static const struct format formats[TW_DTYPE_COUNT] = {
    [TW_DTYPE_Q8_0] = {32, -127, 127, 0, false},   [TW_DTYPE_Q4_0] = {32, -8, 7, 0, false},
    [TW_DTYPE_Q4_1] = {32, 0, 15, 0, true},        [TW_DTYPE_Q5_0] = {32, -16, 15, 0, false},
    [TW_DTYPE_Q5_1] = {32, 0, 31, 0, true},        [TW_DTYPE_Q2_K] = {16, 0, 3, 15, true},
    [TW_DTYPE_Q3_K] = {16, -4, 3, 31, false},      [TW_DTYPE_Q4_K] = {32, 0, 15, 63, true},
    [TW_DTYPE_Q5_K] = {32, 0, 31, 63, true},       [TW_DTYPE_Q6_K] = {16, -32, 31, 127, false},
    [TW_DTYPE_IQ4_NL] = {32, -127, 113, 0, false},
};

static float half(float value)
{
    return tw_f16_to_f32(tw_f32_to_f16(value));
}

static void naive_line(const struct format *format, const float *x, float *ret_scale,
                       float *ret_offset)
{
    float extreme = 0, min = 0, max = 0;
    for (int k = 0; k < format->n; k++) {
        extreme = fabsf(x[k]) > fabsf(extreme) ? x[k] : extreme;
        min = fminf(min, x[k]);
        max = fmaxf(max, x[k]);
    }
    *ret_scale = format->has_min ? (max - min) / (float)format->hi : extreme / (float)format->lo;
    *ret_offset = format->has_min ? min : 0;
}

static float nearest_value(int type, float position)
{
    float lo = (float)formats[type].lo, hi = (float)formats[type].hi;
    if (type != TW_DTYPE_IQ4_NL) {
        return fminf(fmaxf(roundf(position), lo), hi);
    }
    float nearest = lo;
    for (int i = 1; i < 16; i++) {
        float level = tw_blocks_iq4_nl_values[i];
        nearest = fabsf(level - position) < fabsf(nearest - position) ? level : nearest;
    }
    return nearest;
}

/* One super-block, or 256 elements of blocks. */
static void naive_round_trip(int type, const float x[256], float ret_values[256])
{
    const struct format *format = &formats[type];
    float scales[16], offsets[16], scale_max = 0, offset_max = 0;
    int n_subs = 256 / format->n;
    for (int j = 0; j < n_subs; j++) {
        naive_line(format, x + j * format->n, &scales[j], &offsets[j]);
        scale_max = fmaxf(scale_max, fabsf(scales[j]));
        offset_max = fmaxf(offset_max, fabsf(offsets[j]));
    }
    for (int j = 0; j < n_subs; j++) {
        float scale = half(scales[j]), offset = half(offsets[j]);
        if (format->step_max != 0) {
            float d = half(scale_max / (float)format->step_max);
            float dmin = half(offset_max / (float)format->step_max);
            scale = d * roundf(scales[j] / d);
            offset = dmin != 0 ? dmin * roundf(offsets[j] / dmin) : 0;
        }
        for (int k = j * format->n; k < (j + 1) * format->n; k++) {
            float position = scale != 0 ? (x[k] - offset) / scale : 0;
            ret_values[k] = scale * nearest_value(type, position) + offset;
        }
    }
}

static void every_encoder_loses_less_than_the_obvious_one(void **state)
{
    (void)state;
    for (int family = 0; family < FAMILY_COUNT; family++) {
        fill((enum family)family, 0.03f);
        for (int type = 0; type < TW_DTYPE_COUNT; type++) {
            if (!is_quantised(type)) {
                continue;
            }
            round_trip(type);
            for (int i = 0; i < N; i += 256) {
                naive_round_trip(type, values + i, naive + i);
            }
            double ours = mean_squared_error(values, decoded, N);
            double obvious = mean_squared_error(values, naive, N);
            print_message("# %-6s family %d: %.4f of the obvious encoder's error\n",
                          traits_of(type)->name, family, ours / obvious);
            assert_true(ours < (family == OUTLIERS ? 1 : 0.97) * obvious);
        }
    }
}

/* What the search reaches: mean squared error over variance. docs/formats/blocks.md quotes it. */
static const struct {
    int type;
    double bounds[FAMILY_COUNT];
} reached[] = {
    {TW_DTYPE_Q8_0, {2.551e-05, 4.102e-05, 9.571e-05}},
    {TW_DTYPE_Q4_0, {0.00665, 0.01029, 0.02387}},
    {TW_DTYPE_Q4_1, {0.004913, 0.006708, 0.009165}},
    {TW_DTYPE_Q5_0, {0.001619, 0.002617, 0.006057}},
    {TW_DTYPE_Q5_1, {0.001162, 0.00159, 0.00216}},
    {TW_DTYPE_IQ4_NL, {0.005461, 0.007316, 0.01317}},
    {TW_DTYPE_Q2_K, {0.07125, 0.09087, 0.07646}},
    {TW_DTYPE_Q3_K, {0.02138, 0.02946, 0.03935}},
    {TW_DTYPE_Q4_K, {0.005033, 0.006853, 0.009473}},
    {TW_DTYPE_Q5_K, {0.001228, 0.001686, 0.002316}},
    {TW_DTYPE_Q6_K, {0.000289, 0.0004256, 0.0008039}},
};

static void the_error_stays_as_small_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        for (int family = 0; family < FAMILY_COUNT; family++) {
            fill((enum family)family, 1);
            round_trip(reached[i].type);
            double variance = 0;
            for (int k = 0; k < N; k++) {
                variance += (double)values[k] * (double)values[k] / N;
            }
            double error = mean_squared_error(values, decoded, N) / variance;
            print_message("# %-6s family %d: %.4g\n", traits_of(reached[i].type)->name, family,
                          error);
            assert_true(error <= 1.002 * reached[i].bounds[family]);
            assert_true(error >=
                        0.9 * reached[i].bounds[family]); /* the table is not a loose one */
        }
    }
}

static void zeros_become_zeros_with_scales_of_zero(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        values[i] = i % 3 == 0 ? -0.0f : i % 3 == 1 ? 0 : 0x1p-30f;
    }
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        if (!is_quantised(type)) {
            continue;
        }
        memset(blocks, 0xff, sizeof blocks);
        round_trip(type);
        for (int i = 0; i < N; i++) {
            assert_true(decoded[i] == 0);
        }
    }
}

static void fill_with_constant(float constant)
{
    for (int i = 0; i < N; i++) {
        values[i] = constant;
    }
}

/* BF16 has 8 bits of precision; the others are as good as a half's 11, or as what is left of them
 * where d is subnormal. */
static float constant_bound(int type, float constant)
{
    if (type == TW_DTYPE_BF16) {
        return 0x1p-8f;
    }
    return fabsf(constant) < 0.3f ? 0x1p-6f : 0x1p-11f;
}

static void constant_blocks_keep_their_value_to_the_precision_of_a_half(void **state)
{
    (void)state;
    for (uint64_t c = 0; c < 64; c++) {
        float constant = (float)(tw_rng_normal(19, c) * exp2((double)(c % 16) - 6));
        fill_with_constant(constant);
        for (int type = 0; type < TW_DTYPE_COUNT; type++) {
            round_trip(type);
            float error = fabsf(decoded[0] - constant);
            if (!(error <= constant_bound(type, constant) * fabsf(constant))) {
                fail_msg("%s: %g became %g", traits_of(type)->name, (double)constant,
                         (double)decoded[0]);
            }
            for (int i = 1; i < N; i++) {
                assert_true(decoded[i] == decoded[0]);
            }
        }
    }
}

static void nearly_constant_blocks_stay_nearly_constant(void **state)
{
    (void)state;
    for (uint64_t c = 0; c < 16; c++) {
        float constant = 0.3f + (float)tw_rng_uniform(20, c);
        for (int i = 0; i < N; i++) {
            values[i] = constant * (float)(1 + 1e-4 * tw_rng_normal(21, (uint64_t)i));
        }
        for (int type = 0; type < TW_DTYPE_COUNT; type++) {
            round_trip(type);
            for (int i = 0; i < N; i++) {
                float error = fabsf(decoded[i] - values[i]);
                float bound = constant_bound(type, constant) + 0x1p-9f;
                if (!(error <= bound * constant)) {
                    fail_msg("%s: %g became %g", traits_of(type)->name, (double)values[i],
                             (double)decoded[i]);
                }
            }
        }
    }
}

static void a_power_of_two_scales_the_result_and_nothing_else(void **state)
{
    (void)state;
    static float doubled[N];
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        if (!is_quantised(type)) {
            continue;
        }
        for (int exponent = -3; exponent <= 9; exponent += 4) {
            float factor = ldexpf(1, exponent);
            fill(LAPLACE, factor);
            round_trip(type);
            memcpy(doubled, decoded, sizeof decoded);
            fill(LAPLACE, 1);
            round_trip(type);
            for (int i = 0; i < N; i++) {
                assert_true(doubled[i] == factor * decoded[i]);
            }
        }
    }
}

static void tiny_values_lose_no_more_than_their_own_size(void **state)
{
    (void)state;
    for (int exponent = -40; exponent <= -8; exponent++) {
        fill(NORMAL, ldexpf(1, exponent));
        for (int i = 0; i < N; i++) {
            naive[i] = 0;
        }
        for (int type = 0; type < TW_DTYPE_COUNT; type++) {
            round_trip(type);
            double energy = mean_squared_error(values, naive, N);
            double error = mean_squared_error(values, decoded, N);
            /* IQ4_NL has no level 0. */
            assert_true(error <= (type == TW_DTYPE_IQ4_NL ? 1.01 : 1) * energy);
            /* Where the finest step of a half is far below the values, most of them survive. */
            if (exponent >= -18) {
                assert_true(error <= 0.2 * energy);
            }
        }
    }
}

static void huge_and_infinite_values_stay_finite_and_keep_their_sign(void **state)
{
    (void)state;
    static const float huge[] = {1e9f, 1e30f, 3.4e38f, INFINITY};
    for (size_t h = 0; h < sizeof huge / sizeof huge[0]; h++) {
        fill(NORMAL, 1);
        for (int i = 7; i < N; i += 32) {
            values[i] = i % 64 == 7 ? huge[h] : -huge[h];
        }
        for (int type = 0; type < TW_DTYPE_COUNT; type++) {
            if (!is_quantised(type)) {
                continue;
            }
            round_trip(type);
            for (int i = 0; i < N; i++) {
                assert_true(isfinite(decoded[i]));
            }
            for (int i = 7; i < N; i += 32) {
                assert_true(fabsf(decoded[i]) > 1000 && (decoded[i] > 0) == (values[i] > 0));
            }
        }
    }
}

static void blocks_of_the_largest_floats_saturate(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        values[i] = i % 2 == 0 ? 3e38f : -INFINITY;
    }
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        if (!is_quantised(type)) {
            continue;
        }
        round_trip(type);
        for (int i = 0; i < N; i++) {
            assert_true(isfinite(decoded[i]) && fabsf(decoded[i]) >= 65000);
            assert_true((decoded[i] > 0) == (i % 2 == 0));
        }
    }
}

static void nan_counts_as_zero(void **state)
{
    (void)state;
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        if (!is_quantised(type)) {
            continue;
        }
        size_t bytes = tw_dtype_row_bytes((enum tw_dtype)type, N);
        fill(NORMAL, 1);
        for (int i = 0; i < N; i++) {
            values[i] = i % 5 == 0 || i / 256 == 3 ? 0 : values[i];
        }
        traits_of(type)->quantise(values, blocks, N);
        for (int i = 0; i < N; i++) {
            float nan = tw_f32_from_bits(i % 10 == 0 ? 0x7fc00000 : 0xff800001);
            values[i] = i % 5 == 0 || i / 256 == 3 ? nan : values[i];
        }
        traits_of(type)->quantise(values, other_blocks, N);
        assert_memory_equal(blocks, other_blocks, bytes);
    }
}

static void a_block_depends_on_its_own_values_alone(void **state)
{
    (void)state;
    fill(OUTLIERS, 1);
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        const struct tw_dtype_traits *traits = traits_of(type);
        size_t bytes = tw_dtype_row_bytes((enum tw_dtype)type, N);
        unsigned char *odd = other_blocks + 1;
        odd[bytes] = 0xa5;
        traits->quantise(values, blocks, N);
        for (size_t i = 0; i < N / traits->block_elements; i++) {
            traits->quantise(values + i * traits->block_elements, odd + i * traits->block_bytes,
                             traits->block_elements);
        }
        assert_memory_equal(blocks, odd, bytes);
        assert_int_equal(odd[bytes], 0xa5);
    }
}

static void floats_of_16_bits_survive_exactly(void **state)
{
    (void)state;
    static const int types[] = {TW_DTYPE_F32, TW_DTYPE_F16, TW_DTYPE_BF16};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        fill(NORMAL, 1);
        round_trip(types[t]);
        memcpy(values, decoded, sizeof decoded);
        round_trip(types[t]);
        assert_memory_equal(values, decoded, sizeof decoded);
    }
}

/* Values that the format can hold, with both ends of the range in use in every sub-block, and one
 * sub-block with the largest steps. */
static void fill_with_representable(int type)
{
    const struct format *format = &formats[type];
    for (int i = 0; i < N; i++) {
        uint32_t words[4], steps[4];
        int place = i % format->n, sub = i % 256 / format->n;
        tw_rng_block(17, (uint64_t)i, words);
        tw_rng_block(18, (uint64_t)(i / format->n), steps);
        int scale = 1, min = format->hi / 2;
        if (format->step_max != 0) {
            scale = sub == 0 ? format->step_max : 1 + (int)(steps[0] % (uint32_t)format->step_max);
            min = sub == 0 ? format->step_max : (int)(steps[1] % (uint32_t)format->step_max);
        }
        if (format->step_max != 0 && !format->has_min && sub == 0) {
            scale = -format->step_max - 1;
        }
        int code = format->lo + (int)(words[0] % (uint32_t)(format->hi - format->lo + 1));
        code = place == 1 ? format->lo : place == 2 ? format->hi : code;
        if (type == TW_DTYPE_IQ4_NL) {
            code = tw_blocks_iq4_nl_values[place == 1 ? 0 : place == 2 ? 15 : words[0] % 16];
        }
        values[i] = 0x1p-7f * (float)(scale * code) - (format->has_min ? 0x1p-5f * (float)min : 0);
    }
}

static void what_a_block_can_hold_it_holds_exactly(void **state)
{
    (void)state;
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        if (!is_quantised(type)) {
            continue;
        }
        fill_with_representable(type);
        round_trip(type);
        assert_true(mean_squared_error(values, decoded, N) == 0);
    }
}

/* Encoding what was decoded must not wear the weights down. */
static void a_second_generation_loses_next_to_nothing_more(void **state)
{
    (void)state;
    for (int type = TW_DTYPE_F16; type < TW_DTYPE_COUNT; type++) {
        fill(NORMAL, 1);
        round_trip(type);
        double first = mean_squared_error(values, decoded, N);
        memcpy(naive, values, sizeof values);
        memcpy(values, decoded, sizeof decoded);
        round_trip(type);
        double both = mean_squared_error(naive, decoded, N);
        print_message("# %-6s second generation: %.4f\n", traits_of(type)->name, both / first);
        assert_true(both <= 1.15 * first);
    }
}

static void q8_0_leaves_the_code_minus_128_unused(void **state)
{
    (void)state;
    const struct tw_block_q8_0 *block = (const void *)blocks;
    fill(OUTLIERS, 1);
    tw_blocks_quantise_q8_0(values, blocks, N);
    for (int i = 0; i < N; i++) {
        assert_true(block[i / 32].codes[i % 32] >= -127);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoder_loses_less_than_the_obvious_one),
        cmocka_unit_test(the_error_stays_as_small_as_it_was),
        cmocka_unit_test(zeros_become_zeros_with_scales_of_zero),
        cmocka_unit_test(constant_blocks_keep_their_value_to_the_precision_of_a_half),
        cmocka_unit_test(nearly_constant_blocks_stay_nearly_constant),
        cmocka_unit_test(a_power_of_two_scales_the_result_and_nothing_else),
        cmocka_unit_test(tiny_values_lose_no_more_than_their_own_size),
        cmocka_unit_test(huge_and_infinite_values_stay_finite_and_keep_their_sign),
        cmocka_unit_test(blocks_of_the_largest_floats_saturate),
        cmocka_unit_test(nan_counts_as_zero),
        cmocka_unit_test(a_block_depends_on_its_own_values_alone),
        cmocka_unit_test(floats_of_16_bits_survive_exactly),
        cmocka_unit_test(what_a_block_can_hold_it_holds_exactly),
        cmocka_unit_test(a_second_generation_loses_next_to_nothing_more),
        cmocka_unit_test(q8_0_leaves_the_code_minus_128_unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
