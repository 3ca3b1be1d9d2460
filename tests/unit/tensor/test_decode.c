/* Decoding, element by element. tests/oracle compares it on random blocks with an implementation
 * of its own; here stand the cases a reader can follow by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"

enum { HALF_ONE = 0x3c00, HALF_TWO = 0x4000, HALF_QUARTER = 0x3400 };

static void assert_all(const float *values, int begin, int end, float expected)
{
    for (int k = begin; k < end; k++) {
        assert_true(values[k] == expected);
    }
}

static void plain_floats_are_themselves(void **state)
{
    (void)state;
    static const float f32[3] = {1.5f, -0.0f, 1e-40f};
    static const uint16_t f16[3] = {0x3e00, 0x8000, 0x0001}, bf16[3] = {0x3fc0, 0x8000, 0x0001};
    float values[3];
    tw_blocks_dequantise_f32(f32, values, 3);
    assert_memory_equal(values, f32, sizeof f32);
    tw_blocks_dequantise_f16(f16, values, 3);
    assert_true(values[0] == 1.5f && signbit(values[1]) && values[2] == 0x1p-24f);
    tw_blocks_dequantise_bf16(bf16, values, 3);
    assert_true(values[0] == 1.5f && signbit(values[1]) && values[2] == 0x1p-133f);
}

static void blocks_of_32_put_the_low_nibbles_first(void **state)
{
    (void)state;
    struct tw_block_q4_0 q4_0 = {.d = HALF_TWO};
    struct tw_block_q4_1 q4_1 = {.d = HALF_TWO, .m = HALF_QUARTER};
    struct tw_block_iq4_nl iq4_nl = {.d = HALF_TWO};
    float values[32];
    memset(q4_0.codes, 0xf3, sizeof q4_0.codes);
    memset(q4_1.codes, 0xf3, sizeof q4_1.codes);
    memset(iq4_nl.codes, 0xf3, sizeof iq4_nl.codes);
    tw_blocks_dequantise_q4_0(&q4_0, values, 32);
    assert_all(values, 0, 16, -10);
    assert_all(values, 16, 32, 14);
    tw_blocks_dequantise_q4_1(&q4_1, values, 32);
    assert_all(values, 0, 16, 6.25f);
    assert_all(values, 16, 32, 30.25f);
    tw_blocks_dequantise_iq4_nl(&iq4_nl, values, 32);
    assert_all(values, 0, 16, -130);
    assert_all(values, 16, 32, 226);
}

static void the_fifth_bits_belong_to_the_elements_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 32; i++) {
        struct tw_block_q5_0 q5_0 = {.d = HALF_ONE};
        struct tw_block_q5_1 q5_1 = {.d = HALF_ONE, .m = HALF_ONE};
        float values[32];
        q5_0.high_bits[i / 8] = q5_1.high_bits[i / 8] = (uint8_t)(1 << i % 8);
        tw_blocks_dequantise_q5_0(&q5_0, values, 32);
        assert_all(values, 0, i, -16);
        assert_all(values, i, i + 1, 0);
        assert_all(values, i + 1, 32, -16);
        tw_blocks_dequantise_q5_1(&q5_1, values, 32);
        assert_all(values, 0, i, 1);
        assert_all(values, i, i + 1, 17);
        assert_all(values, i + 1, 32, 1);
    }
}

static void a_signed_byte_times_a_negative_scale(void **state)
{
    (void)state;
    struct tw_block_q8_0 block = {.d = 0xc000, .codes = {-128, 127, 1, 0}};
    float values[32];
    tw_blocks_dequantise_q8_0(&block, values, 32);
    assert_true(values[0] == 256 && values[1] == -254 && values[2] == -2);
    assert_all(values, 3, 32, 0);
}

/* Scale and minimum of sub-block j: 8 j + 1 and 7 j + 2, packed by the words of the document. */
static void pack_numbered(uint8_t packed[12])
{
    for (int j = 0; j < 8; j++) {
        int scale = 8 * j + 1, min = 7 * j + 2;
        if (j < 4) {
            packed[j] = (uint8_t)(packed[j] | scale);
            packed[j + 4] = (uint8_t)(packed[j + 4] | min);
        } else {
            packed[j + 4] = (uint8_t)(packed[j + 4] | (scale & 15) | (min & 15) << 4);
            packed[j - 4] = (uint8_t)(packed[j - 4] | (scale >> 4) << 6);
            packed[j] = (uint8_t)(packed[j] | (min >> 4) << 6);
        }
    }
}

static void each_sub_block_of_32_has_its_own_scale_and_minimum(void **state)
{
    (void)state;
    struct tw_block_q4_k q4_k = {.d = HALF_TWO, .dmin = HALF_QUARTER};
    struct tw_block_q5_k q5_k = {.d = HALF_TWO, .dmin = HALF_QUARTER};
    float values[256];
    pack_numbered(q4_k.scales);
    pack_numbered(q5_k.scales);
    memset(q4_k.codes, 0x52, sizeof q4_k.codes);
    memset(q5_k.codes, 0x52, sizeof q5_k.codes);
    memset(q5_k.high_bits, 0x81, sizeof q5_k.high_bits);
    tw_blocks_dequantise_q4_k(&q4_k, values, 256);
    for (int j = 0; j < 8; j++) {
        float scale = 2 * (float)(8 * j + 1), min = 0.25f * (float)(7 * j + 2);
        assert_all(values, 32 * j, 32 * j + 32, scale * (j % 2 == 0 ? 2 : 5) - min);
    }
    tw_blocks_dequantise_q5_k(&q5_k, values, 256);
    for (int j = 0; j < 8; j++) {
        float scale = 2 * (float)(8 * j + 1), min = 0.25f * (float)(7 * j + 2);
        float code = (j % 2 == 0 ? 2 : 5) + (j == 0 || j == 7 ? 16 : 0);
        assert_all(values, 32 * j, 32 * j + 32, scale * code - min);
    }
}

static void each_sub_block_of_16_has_its_own_scale(void **state)
{
    (void)state;
    struct tw_block_q2_k q2_k = {.d = HALF_ONE, .dmin = HALF_TWO};
    struct tw_block_q6_k q6_k = {.d = HALF_ONE};
    float values[256];
    for (int j = 0; j < 16; j++) {
        q2_k.scales[j] = (uint8_t)(j | (15 - j) << 4);
        q6_k.scales[j] = (int8_t)(16 * j - 128);
    }
    memset(q2_k.codes, 0xe4, sizeof q2_k.codes);
    memset(q6_k.low_codes, 0x73, sizeof q6_k.low_codes);
    memset(q6_k.high_codes, 0xe4, sizeof q6_k.high_codes);
    tw_blocks_dequantise_q2_k(&q2_k, values, 256);
    for (int j = 0; j < 16; j++) {
        float code = (float)(j / 2 % 4);
        assert_all(values, 16 * j, 16 * j + 16, (float)j * code - 2 * (float)(15 - j));
    }
    tw_blocks_dequantise_q6_k(&q6_k, values, 256);
    for (int j = 0; j < 16; j++) {
        int plane = j / 2 % 4, code = (plane < 2 ? 3 : 7) + 16 * plane - 32;
        assert_all(values, 16 * j, 16 * j + 16, (float)((16 * j - 128) * code));
    }
}

static void the_six_bit_scales_of_q3_k_are_signed(void **state)
{
    (void)state;
    struct tw_block_q3_k block = {.d = HALF_ONE};
    float values[256];
    for (int j = 0; j < 16; j++) {
        int scale = 4 * j;
        block.scales[j % 8] = (uint8_t)(block.scales[j % 8] | (scale & 15) << (j < 8 ? 0 : 4));
        block.scales[8 + j % 4] =
            (uint8_t)(block.scales[8 + j % 4] | (scale >> 4) << (2 * (j / 4)));
    }
    memset(block.codes, 0xe4, sizeof block.codes);
    memset(block.high_bits, 0x0f, sizeof block.high_bits);
    tw_blocks_dequantise_q3_k(&block, values, 256);
    for (int j = 0; j < 16; j++) {
        assert_int_equal(tw_blocks_scale_q3_k(block.scales, j), 4 * j - 32);
        int code = j / 2 % 4 - (j < 8 ? 0 : 4);
        assert_all(values, 16 * j, 16 * j + 16, (float)((4 * j - 32) * code));
    }
}

static void rows_may_lie_at_odd_addresses_and_end_where_they_end(void **state)
{
    (void)state;
    for (int type = 0; type < TW_DTYPE_COUNT; type++) {
        const struct tw_dtype_traits *traits = tw_dtype_traits((enum tw_dtype)type);
        size_t n = 3 * (size_t)traits->block_elements, bytes = 3 * (size_t)traits->block_bytes;
        unsigned char *even = tw_mem_alloc(bytes, 1), *odd = tw_mem_alloc(bytes + 1, 1);
        float *a = tw_mem_alloc(n + 1, sizeof *a), *b = tw_mem_alloc(n + 1, sizeof *b);
        for (size_t i = 0; i < bytes; i++) {
            uint32_t words[4];
            tw_rng_block(5, i, words);
            even[i] = odd[i + 1] = (unsigned char)(words[0] & 0x3f);
        }
        a[n] = b[n] = 12345;
        traits->dequantise(even, a, n);
        traits->dequantise(odd + 1, b, n);
        assert_memory_equal(a, b, (n + 1) * sizeof *a);
        assert_true(a[n] == 12345);
        tw_mem_free(even);
        tw_mem_free(odd);
        tw_mem_free(a);
        tw_mem_free(b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_floats_are_themselves),
        cmocka_unit_test(blocks_of_32_put_the_low_nibbles_first),
        cmocka_unit_test(the_fifth_bits_belong_to_the_elements_in_order),
        cmocka_unit_test(a_signed_byte_times_a_negative_scale),
        cmocka_unit_test(each_sub_block_of_32_has_its_own_scale_and_minimum),
        cmocka_unit_test(each_sub_block_of_16_has_its_own_scale),
        cmocka_unit_test(the_six_bit_scales_of_q3_k_are_signed),
        cmocka_unit_test(rows_may_lie_at_odd_addresses_and_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
