/* Every check of the GGUF reader has a file here that breaks exactly it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "byte_builder.h"
#include "model/gguf.h"

static enum tw_status open_it(const struct builder *b, struct tw_gguf **ret_gguf,
                              struct tw_error *error)
{
    return tw_gguf_open_memory(b->data, b->size_bytes, "it.gguf", ret_gguf, error);
}

/* One value of every type, arrays of fixed and of free size, two tensors. Ends with data. */
static void build_sample(struct builder *b, uint32_t version)
{
    build_gguf_head(b, version, 2, 15);
    build_gguf_key(b, "u8", 0);
    build_u8(b, 200);
    build_gguf_key(b, "i8", 1);
    build_u8(b, 0xfe);
    build_gguf_key(b, "u16", 2);
    build_bytes(b, "\xff\xff", 2);
    build_gguf_key(b, "i16", 3);
    build_bytes(b, "\x00\x80", 2);
    build_gguf_u32(b, "u32", 4000000000u);
    build_gguf_key(b, "i32", 5);
    build_u32(b, (uint32_t)-7);
    build_gguf_key(b, "f32", 6);
    build_f32(b, 1.5f);
    build_gguf_key(b, "bool", 7);
    build_u8(b, 1);
    build_gguf_text(b, "text", "Llama");
    build_gguf_key(b, "u64", 10);
    build_u64(b, UINT64_MAX);
    build_gguf_key(b, "i64", 11);
    build_u64(b, (uint64_t)INT64_MIN);
    build_gguf_key(b, "f64", 12);
    build_u64(b, 0x3ff8000000000000u); /* 1.5 */
    build_gguf_array(b, "bytes", 1, 3);
    build_bytes(b, "\x01\xff\x80", 3);
    build_gguf_array(b, "words", 8, 3);
    build_gguf_string(b, "a");
    build_gguf_string(b, "");
    build_gguf_string(b, "ccc");
    build_gguf_array(b, "empty", 8, 0);
    build_gguf_tensor(b, "first", 8, 2, 0, 0);
    build_gguf_tensor(b, "second", 32, 0, 8, 64);
    build_pad(b, 32);
    for (int i = 0; i < 16; i++) {
        build_f32(b, (float)i);
    }
    build_bytes(b, "0123456789012345678901234567890123", 34);
}

static void each_value_type_reads_back(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct builder b = {0};
        struct tw_gguf *gguf = NULL;
        build_sample(&b, version);
        assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
        assert_int_equal(tw_gguf_version(gguf), version);
        assert_int_equal(tw_gguf_n_values(gguf), 15);
        uint64_t u = 0;
        double d = 0;
        assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u8"), &u) && u == 200);
        assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u16"), &u) && u == 65535);
        assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u32"), &u) && u == 4000000000u);
        assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u64"), &u) && u == UINT64_MAX);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i8"), &d) && d == -2);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i16"), &d) && d == -32768);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i32"), &d) && d == -7);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i64"), &d) && d == -0x1p63);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "u64"), &d) && d == 0x1p64);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "f32"), &d) && d == 1.5);
        assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "f64"), &d) && d == 1.5);
        bool flag = false;
        struct tw_bytes text = {0};
        assert_true(tw_gguf_value_bool(tw_gguf_find_value(gguf, "bool"), &flag) && flag);
        assert_true(tw_gguf_value_string(tw_gguf_find_value(gguf, "text"), &text));
        assert_int_equal(text.size_bytes, 5);
        assert_memory_equal(text.data, "Llama", 5);
        tw_gguf_close(gguf);
        builder_free(&b);
    }
}

static void values_of_another_kind_do_not_convert(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    build_sample(&b, 3);
    assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
    uint64_t u = 42;
    double d = 42;
    bool flag = true;
    struct tw_bytes text = {"untouched", 9};
    assert_false(tw_gguf_value_uint(tw_gguf_find_value(gguf, "i8"), &u));
    assert_false(tw_gguf_value_uint(tw_gguf_find_value(gguf, "f32"), &u));
    assert_false(tw_gguf_value_uint(tw_gguf_find_value(gguf, "bool"), &u));
    assert_false(tw_gguf_value_uint(tw_gguf_find_value(gguf, "bytes"), &u));
    assert_false(tw_gguf_value_uint(tw_gguf_find_value(gguf, "absent"), &u));
    assert_false(tw_gguf_value_double(tw_gguf_find_value(gguf, "text"), &d));
    assert_false(tw_gguf_value_double(tw_gguf_find_value(gguf, "bool"), &d));
    assert_false(tw_gguf_value_bool(tw_gguf_find_value(gguf, "u8"), &flag));
    assert_false(tw_gguf_value_string(tw_gguf_find_value(gguf, "u32"), &text));
    assert_false(tw_gguf_value_string(tw_gguf_find_value(gguf, "words"), &text));
    assert_true(u == 42 && d == 42 && flag && text.size_bytes == 9);
    tw_gguf_close(gguf);
    builder_free(&b);
}

static void arrays_are_walked_to_their_end(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    build_sample(&b, 3);
    assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
    struct tw_gguf_items bytes = tw_gguf_value_items(tw_gguf_find_value(gguf, "bytes"));
    const int64_t expected[] = {1, -1, -128};
    int64_t number = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(tw_gguf_next_int(&bytes, &number));
        assert_int_equal(number, expected[i]);
    }
    assert_false(tw_gguf_next_int(&bytes, &number));
    struct tw_gguf_items words = tw_gguf_value_items(tw_gguf_find_value(gguf, "words"));
    struct tw_bytes word;
    assert_false(tw_gguf_next_int(&words, &number));
    assert_true(tw_gguf_next_string(&words, &word) && word.size_bytes == 1);
    assert_true(tw_gguf_next_string(&words, &word) && word.size_bytes == 0);
    assert_true(tw_gguf_next_string(&words, &word) && memcmp(word.data, "ccc", 3) == 0);
    assert_false(tw_gguf_next_string(&words, &word));
    struct tw_gguf_items empty = tw_gguf_value_items(tw_gguf_find_value(gguf, "empty"));
    assert_false(tw_gguf_next_string(&empty, &word));
    tw_gguf_close(gguf);
    builder_free(&b);
}

static void tensors_have_shape_and_data(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    build_sample(&b, 3);
    assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
    assert_int_equal(tw_gguf_n_tensors(gguf), 2);
    const struct tw_tensor_view *first = tw_gguf_tensor(gguf, 0);
    assert_string_equal(first->name, "first");
    assert_int_equal(first->dtype, TW_DTYPE_F32);
    assert_int_equal(first->shape[0], 8);
    assert_int_equal(first->shape[1], 2);
    assert_int_equal(first->shape[2], 1);
    assert_int_equal(first->shape[3], 1);
    assert_int_equal(first->size_bytes, 64);
    float value = 0;
    memcpy(&value, (const char *)first->data + 60, sizeof value);
    assert_true(value == 15);
    const struct tw_tensor_view *second = tw_gguf_tensor(gguf, 1);
    assert_int_equal(second->dtype, TW_DTYPE_Q8_0);
    assert_int_equal(second->size_bytes, 34);
    assert_memory_equal(second->data, "01234567", 8);
    tw_gguf_close(gguf);
    builder_free(&b);
}

static void a_file_cut_at_any_byte_is_an_error(void **state)
{
    (void)state;
    struct builder b = {0};
    build_sample(&b, 3);
    for (size_t n = 0; n < b.size_bytes; n++) {
        struct builder cut = {0};
        build_bytes(&cut, b.data, n);
        struct tw_gguf *gguf = NULL;
        struct tw_error error = {0};
        assert_int_equal(open_it(&cut, &gguf, &error), TW_ERR_FORMAT);
        assert_null(gguf);
        assert_non_null(strstr(error.text, "it.gguf: at byte"));
        assert_true(error.position <= n);
        builder_free(&cut);
    }
    builder_free(&b);
}

/* Whatever a flipped bit makes of the file, what is handed out lies inside it. */
static void check_inside(const struct builder *b, const struct tw_gguf *gguf)
{
    const unsigned char *end = b->data + b->size_bytes;
    for (size_t i = 0; i < tw_gguf_n_tensors(gguf); i++) {
        const struct tw_tensor_view *view = tw_gguf_tensor(gguf, i);
        const unsigned char *data = view->data;
        assert_true(data >= b->data && data <= end && view->size_bytes <= (size_t)(end - data));
    }
    for (size_t i = 0; i < tw_gguf_n_values(gguf); i++) {
        const struct tw_gguf_value *value = tw_gguf_value(gguf, i);
        struct tw_gguf_items items = tw_gguf_value_items(value);
        struct tw_bytes text;
        while (tw_gguf_next_string(&items, &text)) {
            size_t at = (size_t)((const unsigned char *)text.data - value->data);
            assert_true(at <= value->size_bytes && text.size_bytes <= value->size_bytes - at);
        }
        double number;
        while (tw_gguf_next_double(&items, &number)) {
        }
    }
}

static void no_flipped_bit_leads_outside_the_file(void **state)
{
    (void)state;
    struct builder b = {0};
    build_sample(&b, 3);
    size_t n_opened = 0;
    for (size_t bit = 0; bit < 8 * b.size_bytes; bit++) {
        b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        struct tw_gguf *gguf = NULL;
        if (open_it(&b, &gguf, NULL) == TW_OK) {
            n_opened++;
            check_inside(&b, gguf);
            tw_gguf_close(gguf);
        }
        b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(n_opened > 8 * (64 + 34)); /* the data at least says nothing about the format */
    builder_free(&b);
}

/* Another process may write into a file that is open here. */
static void what_is_written_into_an_open_file_changes_no_length(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    build_sample(&b, 3);
    assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
    memset(b.data, 0xff, b.size_bytes);
    struct tw_gguf_items items = tw_gguf_value_items(tw_gguf_find_value(gguf, "words"));
    struct tw_bytes text = {"", 0};
    assert_true(tw_gguf_next_string(&items, &text) && tw_bytes_equal(text, tw_bytes_of("a")));
    assert_true(tw_gguf_next_string(&items, &text) && text.size_bytes == 0);
    assert_true(tw_gguf_next_string(&items, &text) && tw_bytes_equal(text, tw_bytes_of("ccc")));
    assert_string_equal(tw_gguf_tensor(gguf, 1)->name, "second");
    tw_gguf_close(gguf);
    builder_free(&b);
}

/* ---- one broken thing at a time ---- */

static void expect_failure(const struct builder *b, enum tw_status status, const char *words)
{
    struct tw_gguf *gguf = NULL;
    struct tw_error error = {0};
    enum tw_status got = open_it(b, &gguf, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    assert_null(gguf);
    assert_int_equal(error.status, status);
}

static void expect_head_failure(const char *magic, uint32_t version, uint64_t n_tensors,
                                uint64_t n_keys, enum tw_status status, const char *words)
{
    struct builder b = {0};
    build_gguf_head(&b, version, n_tensors, n_keys);
    memcpy(b.data, magic, 4);
    build_zeros(&b, 256);
    expect_failure(&b, status, words);
    builder_free(&b);
}

static void a_wrong_head_is_refused(void **state)
{
    (void)state;
    expect_head_failure("GGML", 3, 0, 0, TW_ERR_FORMAT, "no GGUF file");
    expect_head_failure("FUGG", 3, 0, 0, TW_ERR_FORMAT, "no GGUF file");
    expect_head_failure("GGUF", 0, 0, 0, TW_ERR_UNSUPPORTED, "version 0");
    expect_head_failure("GGUF", 1, 0, 0, TW_ERR_UNSUPPORTED, "version 1");
    expect_head_failure("GGUF", 4, 0, 0, TW_ERR_UNSUPPORTED, "version 4");
    expect_head_failure("GGUF", 0x03000000, 0, 0, TW_ERR_UNSUPPORTED, "big-endian");
}

/* TW_ERR_FORMAT, not TW_ERR_MEMORY: nobody tried to allocate what the file claims. */
static void hostile_counts_are_compared_with_the_bytes_left(void **state)
{
    (void)state;
    const uint64_t counts[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32, 65536, 100};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        expect_head_failure("GGUF", 3, counts[i], 0, TW_ERR_FORMAT, "tensors, more than");
        expect_head_failure("GGUF", 3, 0, counts[i], TW_ERR_FORMAT, "keys, more than");
        struct builder b = {0};
        build_gguf_head(&b, 3, 0, 1);
        build_gguf_array(&b, "a", 10, counts[i]);
        build_zeros(&b, 100);
        expect_failure(&b, TW_ERR_FORMAT, "array 'a' claims");
        builder_free(&b);
        build_gguf_head(&b, 3, 0, 1);
        build_gguf_array(&b, "a", 8, counts[i]);
        build_zeros(&b, 100);
        expect_failure(&b, TW_ERR_FORMAT, "array 'a' claims");
        builder_free(&b);
        build_gguf_head(&b, 3, 0, 1);
        build_u64(&b, counts[i]);
        build_zeros(&b, 20);
        expect_failure(&b, TW_ERR_FORMAT, "bytes of a metadata key");
        builder_free(&b);
    }
}

static void counts_over_the_limits_are_refused_by_name(void **state)
{
    (void)state;
    struct builder b = {0};
    build_gguf_head(&b, 3, 0, TW_LIMIT_MODEL_METADATA_KEYS + 1);
    build_zeros(&b, 14 * (size_t)(TW_LIMIT_MODEL_METADATA_KEYS + 100));
    expect_failure(&b, TW_ERR_LIMIT, "at most 65536");
    builder_free(&b);
    build_gguf_head(&b, 3, 0, 1);
    build_u64(&b, TW_LIMIT_MODEL_KEY_BYTES + 1);
    build_zeros(&b, TW_LIMIT_MODEL_KEY_BYTES + 100);
    expect_failure(&b, TW_ERR_LIMIT, "a metadata key has 4097 bytes");
    builder_free(&b);
    build_gguf_head(&b, 3, 0, 1);
    build_gguf_array(&b, "a", 0, TW_LIMIT_MODEL_ARRAY_ITEMS + 1);
    build_zeros(&b, TW_LIMIT_MODEL_ARRAY_ITEMS + 1);
    expect_failure(&b, TW_ERR_LIMIT, "array 'a' has 16777217 items");
    builder_free(&b);
}

static void broken_metadata_is_refused(void **state)
{
    (void)state;
    struct builder b = {0};
    build_gguf_head(&b, 3, 0, 1);
    build_gguf_key(&b, "k", 13);
    build_zeros(&b, 64);
    expect_failure(&b, TW_ERR_FORMAT, "found 13");
    builder_free(&b);

    build_gguf_head(&b, 3, 0, 1);
    build_gguf_array(&b, "k", 9, 1);
    build_zeros(&b, 64);
    expect_failure(&b, TW_ERR_UNSUPPORTED, "'k' is an array of arrays");
    builder_free(&b);

    build_gguf_head(&b, 3, 0, 1);
    build_gguf_u32(&b, "", 1);
    expect_failure(&b, TW_ERR_FORMAT, "empty");
    builder_free(&b);

    build_gguf_head(&b, 3, 0, 1);
    build_gguf_key(&b, "k", 7);
    build_u8(&b, 2);
    expect_failure(&b, TW_ERR_FORMAT, "expected a bool");
    builder_free(&b);

    build_gguf_head(&b, 3, 0, 1);
    build_gguf_array(&b, "k", 7, 3);
    build_bytes(&b, "\x00\x01\x07", 3);
    expect_failure(&b, TW_ERR_FORMAT, "found 7");
    builder_free(&b);

    build_gguf_head(&b, 3, 0, 3);
    build_gguf_u32(&b, "same", 1);
    build_gguf_u32(&b, "other", 1);
    build_gguf_text(&b, "same", "x");
    expect_failure(&b, TW_ERR_FORMAT, "key 'same' is there twice");
    builder_free(&b);
}

static void an_alignment_no_data_can_have_is_refused(void **state)
{
    (void)state;
    const uint32_t values[] = {0, 1, 4, 24, 33};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct builder b = {0};
        build_gguf_head(&b, 3, 0, 1);
        build_gguf_u32(&b, "general.alignment", values[i]);
        expect_failure(&b, TW_ERR_FORMAT, "general.alignment");
        builder_free(&b);
    }
    struct builder b = {0};
    build_gguf_head(&b, 3, 0, 1);
    build_gguf_key(&b, "general.alignment", 10);
    build_u64(&b, 32);
    expect_failure(&b, TW_ERR_FORMAT, "general.alignment: expected a u32");
    builder_free(&b);
}

static void another_alignment_is_kept(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    build_gguf_head(&b, 3, 2, 1);
    build_gguf_u32(&b, "general.alignment", 256);
    build_gguf_tensor(&b, "a", 4, 0, 0, 0);
    build_gguf_tensor(&b, "b", 4, 0, 0, 256);
    build_pad(&b, 256);
    size_t data_at = b.size_bytes;
    build_zeros(&b, 256 + 16);
    assert_int_equal(open_it(&b, &gguf, NULL), TW_OK);
    assert_int_equal(tw_gguf_alignment(gguf), 256);
    assert_ptr_equal(tw_gguf_tensor(gguf, 1)->data, b.data + data_at + 256);
    tw_gguf_close(gguf);
    builder_free(&b);
}

/* Infos of the tensors, then 256 bytes of data. */
static void expect_tensor_failure(struct builder *infos, uint64_t n_tensors, enum tw_status status,
                                  const char *words)
{
    struct builder b = {0};
    build_gguf_head(&b, 3, n_tensors, 0);
    build_bytes(&b, infos->data, infos->size_bytes);
    build_pad(&b, 32);
    build_zeros(&b, 256);
    expect_failure(&b, status, words);
    builder_free(&b);
    builder_free(infos);
}

static void broken_tensor_infos_are_refused(void **state)
{
    (void)state;
    struct builder t = {0};
    build_gguf_tensor(&t, "t", 8, 0, 0, 16);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "offset 16 is no multiple of the alignment 32");
    build_gguf_tensor(&t, "t", 8, 0, 0, 256);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "end after the file's");
    build_gguf_tensor(&t, "t", 8, 0, 0, 0xffffffffffffffe0u);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "end after the file's");
    build_gguf_tensor(&t, "t", 65, 0, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "end after the file's");
    build_gguf_tensor(&t, "t", 1000000, 1000000, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "are more than the file's");
    build_gguf_tensor(&t, "t", (uint64_t)1 << 40, (uint64_t)1 << 40, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "dimension 1 is 1099511627776");
    build_gguf_tensor(&t, "t", UINT64_MAX, 0, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "dimension 0");
    build_gguf_tensor(&t, "t", 0, 0, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "dimension 0 is 0");
    build_gguf_tensor(&t, "t", 48, 0, 8, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "no whole Q8_0 blocks of 32");
    build_gguf_tensor(&t, "t", 128, 0, 12, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "no whole Q4_K blocks of 256");
    build_gguf_tensor(&t, "blk.7.odd", 256, 0, 16, 0);
    expect_tensor_failure(&t, 1, TW_ERR_UNSUPPORTED, "'blk.7.odd' has ggml type 16");
    build_gguf_tensor(&t, "t", 32, 0, 4000000000u, 0);
    expect_tensor_failure(&t, 1, TW_ERR_UNSUPPORTED, "ggml type 4000000000");
}

static void overlapping_or_doubled_tensors_are_refused(void **state)
{
    (void)state;
    struct builder t = {0};
    build_gguf_tensor(&t, "a", 16, 0, 0, 0);
    build_gguf_tensor(&t, "b", 8, 0, 0, 32);
    expect_tensor_failure(&t, 2, TW_ERR_FORMAT, "'a' and 'b' overlap");
    build_gguf_tensor(&t, "a", 8, 0, 0, 64);
    build_gguf_tensor(&t, "b", 8, 0, 0, 32);
    build_gguf_tensor(&t, "c", 8, 0, 0, 64);
    expect_tensor_failure(&t, 3, TW_ERR_FORMAT, "overlap");
    build_gguf_tensor(&t, "a", 8, 0, 0, 0);
    build_gguf_tensor(&t, "b", 8, 0, 0, 32);
    build_gguf_tensor(&t, "a", 8, 0, 0, 64);
    expect_tensor_failure(&t, 3, TW_ERR_FORMAT, "tensor 'a' is there twice");
}

static void names_that_are_no_names_are_refused(void **state)
{
    (void)state;
    struct builder t = {0};
    build_gguf_tensor(&t, "", 8, 0, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "name is empty or has a zero byte");
    build_gguf_tensor(&t, "a?b", 8, 0, 0, 0);
    t.data[9] = '\0';
    expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "name is empty or has a zero byte");
    char name[TW_LIMIT_MODEL_NAME_BYTES + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    build_gguf_tensor(&t, name, 8, 0, 0, 0);
    expect_tensor_failure(&t, 1, TW_ERR_LIMIT, "a tensor's name has 257 bytes");
    const uint32_t n_dims[] = {0, 5, UINT32_MAX};
    for (size_t i = 0; i < sizeof n_dims / sizeof n_dims[0]; i++) {
        build_gguf_tensor(&t, "t", 8, 0, 0, 0);
        builder_set_u32(&t, 9, n_dims[i]);
        expect_tensor_failure(&t, 1, TW_ERR_FORMAT, "expected 1 to 4 dimensions");
    }
}

/* A name from a file ends on a terminal. */
static void control_characters_do_not_reach_the_message(void **state)
{
    (void)state;
    struct builder b = {0};
    build_gguf_head(&b, 3, 1, 0);
    build_gguf_tensor(&b, "\033[2Jgone", 256, 0, 16, 0);
    build_pad(&b, 32);
    struct tw_gguf *gguf = NULL;
    struct tw_error error;
    assert_int_equal(open_it(&b, &gguf, &error), TW_ERR_UNSUPPORTED);
    assert_null(strchr(error.text, '\033'));
    builder_free(&b);
}

static void a_file_on_disk_opens_and_a_missing_one_says_so(void **state)
{
    (void)state;
    struct builder b = {0};
    struct tw_gguf *gguf = NULL;
    struct tw_error error;
    build_sample(&b, 3);
    builder_write(&b, "sample.gguf");
    assert_int_equal(tw_gguf_open("sample.gguf", &gguf, &error), TW_OK);
    assert_int_equal(tw_gguf_n_tensors(gguf), 2);
    tw_gguf_close(gguf);
    assert_int_equal(tw_gguf_open("absent.gguf", &gguf, &error), TW_ERR_NOT_FOUND);
    write_text("empty.gguf", "");
    assert_int_equal(tw_gguf_open("empty.gguf", &gguf, &error), TW_ERR_FORMAT);
    builder_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_type_reads_back),
        cmocka_unit_test(values_of_another_kind_do_not_convert),
        cmocka_unit_test(arrays_are_walked_to_their_end),
        cmocka_unit_test(tensors_have_shape_and_data),
        cmocka_unit_test(a_file_cut_at_any_byte_is_an_error),
        cmocka_unit_test(no_flipped_bit_leads_outside_the_file),
        cmocka_unit_test(what_is_written_into_an_open_file_changes_no_length),
        cmocka_unit_test(a_wrong_head_is_refused),
        cmocka_unit_test(hostile_counts_are_compared_with_the_bytes_left),
        cmocka_unit_test(counts_over_the_limits_are_refused_by_name),
        cmocka_unit_test(broken_metadata_is_refused),
        cmocka_unit_test(an_alignment_no_data_can_have_is_refused),
        cmocka_unit_test(another_alignment_is_kept),
        cmocka_unit_test(broken_tensor_infos_are_refused),
        cmocka_unit_test(overlapping_or_doubled_tensors_are_refused),
        cmocka_unit_test(names_that_are_no_names_are_refused),
        cmocka_unit_test(control_characters_do_not_reach_the_message),
        cmocka_unit_test_setup_teardown(a_file_on_disk_opens_and_a_missing_one_says_so,
                                        enter_new_folder, leave_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
