/* What the GGUF writer writes is what the GGUF reader reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "byte_builder.h"
#include "model/gguf_write.h"

static struct tw_gguf_writer *open_writer(const char *path)
{
    struct tw_gguf_writer *writer = NULL;
    assert_int_equal(tw_gguf_writer_open(path, &writer, NULL), TW_OK);
    return writer;
}

static void put_every_type(struct tw_gguf_writer *writer)
{
    const int16_t numbers[] = {1, -2, 3};
    tw_gguf_put_int(writer, "u8", TW_GGUF_UINT8, 255);
    tw_gguf_put_int(writer, "i8", TW_GGUF_INT8, -128);
    tw_gguf_put_int(writer, "i32", TW_GGUF_INT32, -5);
    tw_gguf_put_int(writer, "i64", TW_GGUF_INT64, INT64_MIN);
    tw_gguf_put_u32(writer, "u32", 7);
    tw_gguf_put_u64(writer, "u64", UINT64_MAX);
    tw_gguf_put_f32(writer, "f32", 0.25f);
    tw_gguf_put_f64(writer, "f64", 1e300);
    tw_gguf_put_bool(writer, "bool", true);
    tw_gguf_put_text(writer, "text", "hello");
    tw_gguf_put_string(writer, "zero", "a\0b", 3);
    tw_gguf_put_array(writer, "array", TW_GGUF_INT16, numbers, 3);
    tw_gguf_put_strings(writer, "strings", 2);
    tw_gguf_put_item(writer, "", 0);
    tw_gguf_put_item(writer, "two", 3);
    tw_gguf_put_strings(writer, "none", 0);
}

static void check_every_type(const struct tw_gguf *gguf)
{
    double d = 0;
    uint64_t u = 0;
    bool flag = false;
    struct tw_bytes text;
    assert_int_equal(tw_gguf_n_values(gguf), 14);
    assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u8"), &u) && u == 255);
    assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i8"), &d) && d == -128);
    assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i32"), &d) && d == -5);
    assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "i64"), &d) && d == -0x1p63);
    assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u32"), &u) && u == 7);
    assert_true(tw_gguf_value_uint(tw_gguf_find_value(gguf, "u64"), &u) && u == UINT64_MAX);
    assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "f32"), &d) && d == 0.25);
    assert_true(tw_gguf_value_double(tw_gguf_find_value(gguf, "f64"), &d) && d == 1e300);
    assert_true(tw_gguf_value_bool(tw_gguf_find_value(gguf, "bool"), &flag) && flag);
    assert_true(tw_gguf_value_string(tw_gguf_find_value(gguf, "zero"), &text));
    assert_true(text.size_bytes == 3 && memcmp(text.data, "a\0b", 3) == 0);
    struct tw_gguf_items items = tw_gguf_value_items(tw_gguf_find_value(gguf, "array"));
    int64_t number = 0;
    assert_true(tw_gguf_next_int(&items, &number) && number == 1);
    assert_true(tw_gguf_next_int(&items, &number) && number == -2);
    items = tw_gguf_value_items(tw_gguf_find_value(gguf, "strings"));
    assert_true(tw_gguf_next_string(&items, &text) && text.size_bytes == 0);
    assert_true(tw_gguf_next_string(&items, &text) && memcmp(text.data, "two", 3) == 0);
    assert_int_equal(tw_gguf_find_value(gguf, "none")->n_items, 0);
}

static void every_value_type_is_read_back(void **state)
{
    (void)state;
    struct tw_gguf_writer *writer = open_writer("a.gguf");
    put_every_type(writer);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    struct tw_gguf *gguf = NULL;
    assert_int_equal(tw_gguf_open("a.gguf", &gguf, NULL), TW_OK);
    assert_int_equal(tw_gguf_version(gguf), 3);
    check_every_type(gguf);
    tw_gguf_close(gguf);
}

static void values_copied_from_a_file_are_the_same(void **state)
{
    (void)state;
    struct tw_gguf_writer *writer = open_writer("a.gguf");
    put_every_type(writer);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    struct tw_gguf *gguf = NULL;
    assert_int_equal(tw_gguf_open("a.gguf", &gguf, NULL), TW_OK);
    writer = open_writer("b.gguf");
    for (size_t i = 0; i < tw_gguf_n_values(gguf); i++) {
        tw_gguf_put_value(writer, tw_gguf_value(gguf, i));
    }
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    tw_gguf_close(gguf);
    struct tw_buf a, b;
    assert_int_equal(tw_file_read("a.gguf", 1 << 20, &a, NULL), TW_OK);
    assert_int_equal(tw_file_read("b.gguf", 1 << 20, &b, NULL), TW_OK);
    assert_int_equal(a.size_bytes, b.size_bytes);
    assert_memory_equal(a.data, b.data, a.size_bytes);
    tw_buf_free(&a);
    tw_buf_free(&b);
}

/* Pieces of 7 bytes do not end where tensors, blocks or alignment do. */
static void write_in_pieces(struct tw_gguf_writer *writer, const unsigned char *data, size_t n)
{
    for (size_t at = 0; at < n; at += 7) {
        size_t piece = n - at < 7 ? n - at : 7;
        assert_int_equal(tw_gguf_writer_data(writer, data + at, piece, NULL), TW_OK);
    }
}

static void tensors_streamed_in_pieces_arrive_whole(void **state)
{
    (void)state;
    const struct {
        const char *name;
        enum tw_dtype dtype;
        uint64_t shape[TW_TENSOR_DIMS];
        size_t size_bytes;
    } tensors[] = {
        {"vector", TW_DTYPE_F32, {3, 1, 1, 1}, 12},
        {"matrix", TW_DTYPE_Q8_0, {64, 3, 1, 1}, 204},
        {"cube", TW_DTYPE_F16, {2, 3, 5, 1}, 60},
        {"row", TW_DTYPE_BF16, {16, 1, 1, 1}, 32},
    };
    unsigned char data[4][256];
    struct tw_gguf_writer *writer = open_writer("t.gguf");
    for (size_t i = 0; i < 4; i++) {
        tw_gguf_add_tensor(writer, tensors[i].name, tensors[i].dtype, tensors[i].shape);
        for (size_t k = 0; k < sizeof data[i]; k++) {
            data[i][k] = (unsigned char)(k * 7 + i);
        }
    }
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    for (size_t i = 0; i < 4; i++) {
        write_in_pieces(writer, data[i], tensors[i].size_bytes);
    }
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    struct tw_gguf *gguf = NULL;
    assert_int_equal(tw_gguf_open("t.gguf", &gguf, NULL), TW_OK);
    assert_int_equal(tw_gguf_n_tensors(gguf), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct tw_tensor_view *view = tw_gguf_tensor(gguf, i);
        assert_string_equal(view->name, tensors[i].name);
        assert_int_equal(view->dtype, tensors[i].dtype);
        assert_memory_equal(view->shape, tensors[i].shape, sizeof view->shape);
        assert_int_equal(view->size_bytes, tensors[i].size_bytes);
        assert_memory_equal(view->data, data[i], view->size_bytes);
        assert_int_equal((uintptr_t)view->data % 32, 0);
    }
    tw_gguf_close(gguf);
}

static void an_aborted_file_is_not_there(void **state)
{
    (void)state;
    const uint64_t shape[TW_TENSOR_DIMS] = {8, 1, 1, 1};
    struct tw_gguf_writer *writer = open_writer("gone.gguf");
    tw_gguf_add_tensor(writer, "t", TW_DTYPE_F32, shape);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_data(writer, "1234", 4, NULL), TW_OK);
    tw_gguf_writer_abort(writer);
    assert_false(tw_file_exists("gone.gguf"));
    tw_gguf_writer_abort(NULL);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct tw_gguf_writer *writer = NULL;
    struct tw_error error;
    assert_int_equal(tw_gguf_writer_open("no/such/folder.gguf", &writer, &error), TW_ERR_NOT_FOUND);
    assert_null(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_value_type_is_read_back, enter_new_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(values_copied_from_a_file_are_the_same, enter_new_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(tensors_streamed_in_pieces_arrive_whole, enter_new_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(an_aborted_file_is_not_there, enter_new_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_an_error, enter_new_folder,
                                        leave_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
