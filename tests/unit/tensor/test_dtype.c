#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "tensor/blocks.h"
#include "tensor/dtype.h"

/* What GGUF files say, written down apart from the table under test. */
static const struct {
    enum tw_dtype dtype;
    const char *name;
    uint32_t ggml_id;
    uint32_t elements;
    uint32_t bytes;
} facts[] = {
    {TW_DTYPE_F32, "F32", 0, 1, 4},        {TW_DTYPE_F16, "F16", 1, 1, 2},
    {TW_DTYPE_BF16, "BF16", 30, 1, 2},     {TW_DTYPE_Q8_0, "Q8_0", 8, 32, 34},
    {TW_DTYPE_Q4_0, "Q4_0", 2, 32, 18},    {TW_DTYPE_Q4_1, "Q4_1", 3, 32, 20},
    {TW_DTYPE_Q5_0, "Q5_0", 6, 32, 22},    {TW_DTYPE_Q5_1, "Q5_1", 7, 32, 24},
    {TW_DTYPE_Q2_K, "Q2_K", 10, 256, 84},  {TW_DTYPE_Q3_K, "Q3_K", 11, 256, 110},
    {TW_DTYPE_Q4_K, "Q4_K", 12, 256, 144}, {TW_DTYPE_Q5_K, "Q5_K", 13, 256, 176},
    {TW_DTYPE_Q6_K, "Q6_K", 14, 256, 210}, {TW_DTYPE_IQ4_NL, "IQ4_NL", 20, 32, 18},
};

enum { FACTS = sizeof facts / sizeof facts[0] };

static void every_type_has_its_number_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(FACTS, TW_DTYPE_COUNT);
    for (int i = 0; i < FACTS; i++) {
        const struct tw_dtype_traits *traits = tw_dtype_traits(facts[i].dtype);
        assert_string_equal(traits->name, facts[i].name);
        assert_int_equal(traits->ggml_id, facts[i].ggml_id);
        assert_int_equal(traits->block_elements, facts[i].elements);
        assert_int_equal(traits->block_bytes, facts[i].bytes);
        assert_non_null(traits->dequantise);
        assert_non_null(traits->quantise);
    }
}

static void a_type_is_found_by_number_and_by_name_in_any_case(void **state)
{
    (void)state;
    for (int i = 0; i < FACTS; i++) {
        enum tw_dtype dtype = TW_DTYPE_COUNT;
        assert_true(tw_dtype_from_ggml_id(facts[i].ggml_id, &dtype));
        assert_int_equal(dtype, facts[i].dtype);
        dtype = TW_DTYPE_COUNT;
        assert_true(tw_dtype_from_name(facts[i].name, &dtype));
        assert_int_equal(dtype, facts[i].dtype);
    }
    enum tw_dtype dtype = TW_DTYPE_COUNT;
    assert_true(tw_dtype_from_name("q4_k", &dtype));
    assert_int_equal(dtype, TW_DTYPE_Q4_K);
}

static void an_unknown_type_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {4, 5, 9, 15, 16, 23, 24, 31, 39, 1000, UINT32_MAX};
    static const char *const names[] = {"", "Q4", "Q4_K_M", "Q4_K ", "F64", "iq4nl"};
    enum tw_dtype dtype = TW_DTYPE_Q6_K;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_false(tw_dtype_from_ggml_id(unknown[i], &dtype));
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_false(tw_dtype_from_name(names[i], &dtype));
    }
    assert_int_equal(dtype, TW_DTYPE_Q6_K);
}

static void a_row_has_the_bytes_of_its_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < FACTS; i++) {
        size_t bytes = 17 * (size_t)facts[i].bytes;
        assert_int_equal(tw_dtype_row_bytes(facts[i].dtype, 17 * (size_t)facts[i].elements), bytes);
        assert_int_equal(tw_dtype_row_bytes(facts[i].dtype, 0), 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_number_and_sizes),
        cmocka_unit_test(a_type_is_found_by_number_and_by_name_in_any_case),
        cmocka_unit_test(an_unknown_type_is_refused_and_changes_nothing),
        cmocka_unit_test(a_row_has_the_bytes_of_its_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
