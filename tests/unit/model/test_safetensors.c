/* Every check of the safetensors reader has a header here that breaks exactly it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "byte_builder.h"
#include "model/safetensors.h"

static enum tw_status open_it(const struct builder *b, struct tw_safetensors **ret_file,
                              struct tw_error *error)
{
    return tw_safetensors_open_memory(b->data, b->size_bytes, "it.safetensors", ret_file, error);
}

/* 64 bytes with the length before it, so that the data is aligned. */
static const char sample[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                             "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                             "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                             "\"c\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[20,22]}}    ";

static void tensors_come_in_the_order_of_their_data(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_safetensors *file = NULL;
    struct tw_error error = {0};
    build_safetensors(&b, sample, 22);
    if (open_it(&b, &file, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_safetensors_count(file), 3);
    assert_string_equal(tw_safetensors_tensor(file, 0)->name, "a");
    assert_string_equal(tw_safetensors_tensor(file, 2)->name, "c");
    const struct tw_tensor_view *view = tw_safetensors_find(file, "b");
    assert_non_null(view);
    assert_int_equal(view->dtype, TW_DTYPE_BF16);
    assert_int_equal(view->shape[0], 3); /* columns: what varies fastest */
    assert_int_equal(view->shape[1], 2);
    assert_int_equal(view->size_bytes, 12);
    assert_ptr_equal(view->data, b.data + b.size_bytes - 22 + 8);
    assert_int_equal(tw_safetensors_find(file, "c")->shape[0], 1);
    assert_null(tw_safetensors_find(file, "__metadata__"));
    tw_safetensors_close(file);
    builder_free(&b);
}

static void a_file_cut_at_any_byte_is_an_error(void **state)
{
    (void)state;
    struct builder b = {0};
    build_safetensors(&b, sample, 22);
    for (size_t n = 0; n < b.size_bytes; n++) {
        struct builder cut = {0};
        build_bytes(&cut, b.data, n);
        struct tw_safetensors *file = NULL;
        struct tw_error error = {0};
        assert_int_equal(open_it(&cut, &file, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "it.safetensors"));
        assert_null(file);
        builder_free(&cut);
    }
    builder_free(&b);
}

static void no_flipped_bit_leads_outside_the_file(void **state)
{
    (void)state;
    struct builder b = {0};
    build_safetensors(&b, sample, 22);
    for (size_t bit = 0; bit < 8 * (b.size_bytes - 22); bit++) {
        b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        struct tw_safetensors *file = NULL;
        if (open_it(&b, &file, NULL) == TW_OK) {
            for (size_t i = 0; i < tw_safetensors_count(file); i++) {
                const struct tw_tensor_view *view = tw_safetensors_tensor(file, i);
                const unsigned char *data = view->data;
                assert_true(data >= b.data + 8);
                assert_true(view->size_bytes <= (size_t)(b.data + b.size_bytes - data));
            }
            tw_safetensors_close(file);
        }
        b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    builder_free(&b);
}

/* The header is filled up with spaces until the data is aligned to 8. */
static void expect_failure(const char *header, size_t n_data_bytes, enum tw_status status,
                           const char *words)
{
    struct builder b = {0};
    char padded[4096];
    size_t n = (strlen(header) + 7) / 8 * 8;
    snprintf(padded, sizeof padded, "%-*s", (int)n, header);
    build_safetensors(&b, padded, n_data_bytes);
    struct tw_safetensors *file = NULL;
    struct tw_error error = {0};
    enum tw_status got = open_it(&b, &file, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    assert_null(file);
    builder_free(&b);
}

/* A header with one tensor 't'. */
static void expect_tensor_failure(const char *body, size_t n_data_bytes, enum tw_status status,
                                  const char *words)
{
    char header[1024];
    snprintf(header, sizeof header, "{\"t\":%s}", body);
    expect_failure(header, n_data_bytes, status, words);
}

static void a_header_length_beyond_the_file_is_refused(void **state)
{
    (void)state;
    const uint64_t lengths[] = {3, 1u << 20, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct builder b = {0};
        build_u64(&b, lengths[i]);
        build_bytes(&b, "{}", 2);
        struct tw_safetensors *file = NULL;
        struct tw_error error = {0};
        assert_int_equal(open_it(&b, &file, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "header claims"));
        builder_free(&b);
    }
}

static void a_header_that_is_no_object_is_refused(void **state)
{
    (void)state;
    expect_failure("{\"t\":", 0, TW_ERR_FORMAT, "no valid JSON");
    expect_failure("[]", 0, TW_ERR_FORMAT, "no JSON object");
    expect_failure("{} {}", 0, TW_ERR_FORMAT, "no valid JSON");
}

static void a_name_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    expect_failure("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, TW_ERR_FORMAT, "duplicate");
}

static void types_that_are_not_read_are_named(void **state)
{
    (void)state;
    expect_tensor_failure("{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}", 4,
                          TW_ERR_UNSUPPORTED, "'t' has dtype F8_E4M3");
    expect_tensor_failure("{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}", 8,
                          TW_ERR_UNSUPPORTED, "dtype I64");
    expect_tensor_failure("{\"shape\":[1],\"data_offsets\":[0,8]}", 8, TW_ERR_FORMAT,
                          "a text under dtype");
    expect_tensor_failure("7", 0, TW_ERR_FORMAT, "a text under dtype");
}

static void shapes_must_be_whole_numbers_that_fit(void **state)
{
    (void)state;
    static const char *const shapes[] = {"3",
                                         "[1,1,1,1,1]",
                                         "[1.5]",
                                         "[\"1\"]",
                                         "[-1]",
                                         "[0]",
                                         "null",
                                         "[4611686018427387904,4]",
                                         "[9223372036854775807,9223372036854775807]"};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,4]}",
                 shapes[i]);
        expect_tensor_failure(body, 4, TW_ERR_FORMAT, "expected a shape");
    }
    expect_tensor_failure("{\"dtype\":\"F32\",\"data_offsets\":[0,4]}", 4, TW_ERR_FORMAT,
                          "expected a shape");
}

static void offsets_must_lie_in_the_data_and_match_the_shape(void **state)
{
    (void)state;
    static const struct {
        const char *offsets;
        const char *words;
    } rows[] = {
        {"[0]", "two whole numbers"},
        {"[0,4,8]", "two whole numbers"},
        {"[0.0,4.0]", "two whole numbers"},
        {"{}", "two whole numbers"},
        {"[-4,0]", "leave the 4 bytes"},
        {"[4,0]", "leave the 4 bytes"},
        {"[0,8]", "leave the 4 bytes"},
        {"[0,9223372036854775807]", "leave the 4 bytes"},
        {"[0,3]", "1 elements of F32 are not 3 bytes"},
        {"[0,0]", "1 elements of F32 are not 0 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":%s}",
                 rows[i].offsets);
        expect_tensor_failure(body, 4, TW_ERR_FORMAT, rows[i].words);
    }
}

static void gaps_overlaps_and_leftovers_are_refused(void **state)
{
    (void)state;
#define TENSOR(name, begin, end)                                                                   \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" begin "," end "]}"
    expect_failure("{" TENSOR("a", "0", "4") "," TENSOR("b", "8", "12") "}", 12, TW_ERR_FORMAT,
                   "'b' begins at byte 8 of the data; expected 4");
    expect_failure("{" TENSOR("a", "0", "4") "," TENSOR("b", "0", "4") "}", 4, TW_ERR_FORMAT,
                   "begins at byte 0 of the data; expected 4");
    expect_failure("{" TENSOR("a", "4", "8") "}", 8, TW_ERR_FORMAT,
                   "'a' begins at byte 4 of the data; expected 0");
    expect_failure("{" TENSOR("a", "0", "4") "}", 12, TW_ERR_FORMAT,
                   "8 bytes of data belong to no tensor");
#undef TENSOR
}

static void data_off_its_alignment_is_refused(void **state)
{
    (void)state;
    expect_failure("{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
                   6, TW_ERR_UNSUPPORTED, "not aligned to its 4-byte elements");
}

static void a_name_over_the_limit_is_refused(void **state)
{
    (void)state;
    char header[1024];
    snprintf(header, sizeof header,
             "{\"%0300d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0);
    expect_failure(header, 4, TW_ERR_FORMAT, "name has 300 bytes");
    expect_failure("{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
                   TW_ERR_FORMAT, "name has 0 bytes");
}

static void a_header_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_safetensors *file = NULL;
    struct tw_error error = {0};
    build_u64(&b, TW_LIMIT_MODEL_CONFIG_BYTES + 1);
    build_zeros(&b, TW_LIMIT_MODEL_CONFIG_BYTES + 1);
    assert_int_equal(open_it(&b, &file, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "the header has 33554433 bytes"));
    builder_free(&b);
}

static void more_tensors_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_safetensors *file = NULL;
    struct tw_error error = {0};
    build_u64(&b, 0);
    for (int i = 0; i <= TW_LIMIT_MODEL_TENSORS; i++) {
        char entry[32];
        int n = snprintf(entry, sizeof entry, "%c\"%d\":0", i == 0 ? '{' : ',', i);
        build_bytes(&b, entry, (size_t)n);
    }
    build_bytes(&b, "}", 1);
    builder_set_u64(&b, 0, b.size_bytes - 8);
    assert_int_equal(open_it(&b, &file, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "65537 tensors"));
    builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_in_the_order_of_their_data),
        cmocka_unit_test(a_file_cut_at_any_byte_is_an_error),
        cmocka_unit_test(no_flipped_bit_leads_outside_the_file),
        cmocka_unit_test(a_header_length_beyond_the_file_is_refused),
        cmocka_unit_test(a_header_that_is_no_object_is_refused),
        cmocka_unit_test(a_name_that_is_there_twice_is_refused),
        cmocka_unit_test(types_that_are_not_read_are_named),
        cmocka_unit_test(shapes_must_be_whole_numbers_that_fit),
        cmocka_unit_test(offsets_must_lie_in_the_data_and_match_the_shape),
        cmocka_unit_test(gaps_overlaps_and_leftovers_are_refused),
        cmocka_unit_test(data_off_its_alignment_is_refused),
        cmocka_unit_test(a_name_over_the_limit_is_refused),
        cmocka_unit_test(a_header_over_the_limit_is_refused),
        cmocka_unit_test(more_tensors_than_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
