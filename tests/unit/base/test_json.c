#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/rng.h"

static enum tw_status parse(const char *text, json_t **ret_value, struct tw_error *error)
{
    return tw_json_parse(text, strlen(text), "test.json", ret_value, error);
}

static void a_syntax_error_names_file_line_and_offset(void **state)
{
    (void)state;
    json_t *value = NULL;
    struct tw_error error;
    assert_int_equal(parse("{\"a\": 1,\n \"b\": }", &value, &error), TW_ERR_FORMAT);
    assert_null(value);
    assert_int_equal(error.position, 16);
    assert_non_null(strstr(error.text, "test.json"));
    assert_non_null(strstr(error.text, "line 2"));
    static const char *const bad[] = {"",    " ",     "{} x",       "[1,]",     "\"\xff\"",
                                      "01",  "nul",   "\"a\nb\"",   "{\"a\":1", "'a'",
                                      "NaN", "1e999", "\"\\ud800\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(bad[i], &value, &error), TW_ERR_FORMAT);
    }
}

static void brackets_are_followed_only_so_deep(void **state)
{
    (void)state;
    enum { MANY = 1 << 20 };
    static char text[2 * MANY];
    json_t *value = NULL;
    struct tw_error error;
    memset(text, '[', MANY);
    memset(text + MANY, ']', MANY);
    assert_int_equal(tw_json_parse(text, sizeof text, "deep", &value, &error), TW_ERR_LIMIT);
    assert_int_equal(error.position, TW_LIMIT_JSON_DEPTH);
    const char *allowed = text + MANY - TW_LIMIT_JSON_DEPTH;
    assert_int_equal(tw_json_parse(allowed, 2 * TW_LIMIT_JSON_DEPTH, "deep", &value, &error),
                     TW_OK);
    json_decref(value);
    /* Brackets inside of strings are no depth, whatever is escaped around them. */
    memset(text, '[', MANY);
    memcpy(text, "\"\\\"\\\\", 5);
    text[MANY - 1] = '"';
    assert_int_equal(tw_json_parse(text, MANY, "flat", &value, &error), TW_OK);
    json_decref(value);
}

/* Three bytes of text would be 240 of a tree. */
static void a_text_of_millions_of_empty_objects_is_refused(void **state)
{
    (void)state;
    static char text[3 * (5 << 20) + 1] = "[";
    size_t n = sizeof text / 3;
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 1 + 3 * i, i + 1 < n ? "{}," : "{}]", 3);
    }
    json_t *value = NULL;
    struct tw_error error;
    assert_int_equal(tw_json_parse(text, sizeof text, "wide.json", &value, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "wide.json"));
    assert_null(value);
}

static void integers_beyond_64_bits_become_reals_and_others_stay_exact(void **state)
{
    (void)state;
    json_t *value;
    const char *text = "{\"max\": 1000000000000000019884624838656, \"a\": 9223372036854775807,"
                       " \"b\": -9223372036854775808, \"c\": 9223372036854775808,"
                       " \"s\": \"99999999999999999999\", \"r\": -2.5e1}";
    assert_int_equal(parse(text, &value, NULL), TW_OK);
    assert_true(json_real_value(json_object_get(value, "max")) == 1e30);
    assert_true(json_integer_value(json_object_get(value, "a")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(value, "b")) == INT64_MIN);
    assert_true(json_real_value(json_object_get(value, "c")) == 0x1p63);
    assert_string_equal(json_string_value(json_object_get(value, "s")), "99999999999999999999");
    assert_true(json_real_value(json_object_get(value, "r")) == -25);
    json_decref(value);
    assert_int_equal(parse("-9223372036854775809", &value, NULL), TW_OK);
    assert_true(json_real_value(value) == -0x1p63);
    json_decref(value);
}

static void a_file_beyond_the_bound_is_not_read(void **state)
{
    (void)state;
    json_t *value = NULL;
    struct tw_error error;
    char path[] = "/tmp/tokenworks-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "[1, 2]", 6), 6);
    close(fd);
    assert_int_equal(tw_json_load(path, 5, &value, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_json_load("/no/such/file", 5, &value, &error), TW_ERR_NOT_FOUND);
    assert_null(value);
    assert_int_equal(tw_json_load(path, 6, &value, &error), TW_OK);
    assert_int_equal(json_array_size(value), 2);
    json_decref(value);
    unlink(path);
}

static void commas_and_colons_stand_where_they_belong(void **state)
{
    (void)state;
    struct tw_buf buf;
    struct tw_json_writer w;
    tw_buf_init(&buf, 4096);
    tw_json_begin(&w, &buf);
    tw_json_object_begin(&w);
    tw_json_key(&w, "a");
    tw_json_array_begin(&w);
    tw_json_int(&w, INT64_MIN);
    tw_json_array_begin(&w);
    tw_json_array_end(&w);
    tw_json_object_begin(&w);
    tw_json_object_end(&w);
    tw_json_null(&w);
    tw_json_array_end(&w);
    tw_json_key(&w, "b");
    tw_json_bool(&w, true);
    tw_json_key(&w, "c");
    tw_json_double(&w, NAN);
    tw_json_key(&w, "d");
    tw_json_double(&w, -INFINITY);
    tw_json_object_end(&w);
    tw_buf_append(&buf, "", 1);
    assert_false(buf.failed);
    assert_int_equal(w.depth, 0);
    assert_string_equal(
        buf.data, "{\"a\":[-9223372036854775808,[],{},null],\"b\":true,\"c\":null,\"d\":null}");
    tw_buf_free(&buf);
}

static void assert_written(const char *text, size_t text_bytes, const char *expected)
{
    struct tw_buf buf;
    struct tw_json_writer w;
    json_t *value;
    tw_buf_init(&buf, 4096);
    tw_json_begin(&w, &buf);
    tw_json_string(&w, text, text_bytes);
    assert_int_equal(buf.size_bytes, strlen(expected));
    assert_memory_equal(buf.data, expected, buf.size_bytes);
    assert_int_equal(tw_json_parse(buf.data, buf.size_bytes, "written", &value, NULL), TW_OK);
    json_decref(value);
    tw_buf_free(&buf);
}

static void strings_are_escaped_and_bad_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    assert_written("a\"b\\c/\n\t\r\b\f\x01\x1f\0z", 15,
                   "\"a\\\"b\\\\c/\\n\\t\\r\\b\\f\\u0001\\u001f\\u0000z\"");
    assert_written("\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    assert_written("a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_written("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_written(NULL, 0, "\"\"");
    assert_written("\x7f\xc2\x80\xc2\x9f\xc2\xa0\xe2\x80\xae\xe2\x80\xaf", 13,
                   "\"\\u007f\\u0080\\u009f\xc2\xa0\\u202e\xe2\x80\xaf\"");
}

static double written_and_read(double number, struct tw_buf *buf)
{
    struct tw_json_writer w;
    json_t *value;
    tw_buf_clear(buf);
    tw_json_begin(&w, buf);
    tw_json_double(&w, number);
    assert_int_equal(tw_json_parse(buf->data, buf->size_bytes, "number", &value, NULL), TW_OK);
    double result = json_number_value(value);
    json_decref(value);
    return result;
}

static void floats_survive_in_at_most_nine_digits(void **state)
{
    (void)state;
    struct tw_buf buf;
    struct tw_json_writer w;
    tw_buf_init(&buf, 64);
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t words[4];
        float number;
        tw_rng_block(7, i, words);
        memcpy(&number, words, sizeof number);
        tw_buf_clear(&buf);
        tw_json_begin(&w, &buf);
        tw_json_float(&w, number);
        tw_buf_append(&buf, "", 1);
        assert_false(buf.failed);
        if (isfinite(number)) {
            const float read = strtof(buf.data, NULL);
            assert_memory_equal(&read, &number, sizeof read);
            assert_true(strlen(buf.data) <= strlen("-0.000123456789"));
        } else {
            assert_string_equal(buf.data, "null");
        }
    }
    tw_buf_free(&buf);
}

static void assert_doubles_survive(int n)
{
    static const double edges[] = {0,
                                   -0.0,
                                   1,
                                   0.1,
                                   1.0 / 3,
                                   -2.5,
                                   5e-324,
                                   2.2250738585072014e-308,
                                   1e22,
                                   1e23,
                                   0x1p53,
                                   0x1p63,
                                   1.7976931348623157e308,
                                   123456789.125,
                                   -1e-7};
    struct tw_buf buf;
    tw_buf_init(&buf, 4096);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        double back = written_and_read(edges[i], &buf);
        assert_memory_equal(&back, &edges[i], sizeof back); /* the sign of zero too */
    }
    for (int i = 0; i < n; i++) {
        uint32_t words[4];
        double number;
        tw_rng_block(1, (uint64_t)i, words);
        memcpy(&number, words, sizeof number);
        if (isfinite(number) && written_and_read(number, &buf) != number) {
            fail_msg("%a was written as %.*s", number, (int)buf.size_bytes, buf.data);
        }
    }
    tw_buf_free(&buf);
}

static void doubles_read_back_equal_and_are_short(void **state)
{
    (void)state;
    struct tw_buf buf;
    assert_doubles_survive(20000);
    tw_buf_init(&buf, 100);
    written_and_read(0.1, &buf);
    assert_int_equal(buf.size_bytes, 3);
    written_and_read(0.3, &buf);
    assert_int_equal(buf.size_bytes, 3);
    tw_buf_free(&buf);
}

/* Locales are compiled on the spot, since few machines have any: one with a comma and one whose
 * decimal point takes two bytes. Needs Debian's package `locales`; skipped without. */
static void numbers_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE", "ps_AF"};
    char folder[] = "/tmp/tokenworks-locale-XXXXXX";
    char command[256];
    if (access("/usr/share/i18n/locales/ps_AF", R_OK) != 0) {
        print_message("# not tested: there are no locales to make\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    assert_non_null(mkdtemp(folder));
    setenv("LOCPATH", folder, 1);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command, "localedef -i %s -f UTF-8 %s/%s >/dev/null 2>&1",
                 names[i], folder, names[i]);
        int ignored = system(command);
        (void)ignored; /* warnings count as failure there; setlocale tells */
        assert_non_null(setlocale(LC_ALL, names[i]));
        assert_string_not_equal(localeconv()->decimal_point, ".");
        assert_doubles_survive(500);
    }
    setlocale(LC_ALL, "C");
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void a_tree_is_written_as_it_was_read_with_its_keys_in_order(void **state)
{
    (void)state;
    const char *text = "{\"z\":[1,-2.5,true,false,null,{}],\"a\":{\"\":\"q\\\"\\u0000\",\"m\":[]}}";
    json_t *value;
    struct tw_buf buf;
    struct tw_json_writer writer;
    assert_int_equal(tw_json_parse(text, strlen(text), "text", &value, NULL), TW_OK);
    tw_buf_init(&buf, 4096);
    tw_json_begin(&writer, &buf);
    tw_json_array_begin(&writer);
    tw_json_value(&writer, value);
    tw_json_value(&writer, json_object_get(value, "a"));
    tw_json_array_end(&writer);
    tw_buf_append(&buf, "", 1);
    assert_false(buf.failed);
    assert_memory_equal(buf.data + 1, text, strlen(text));
    assert_string_equal(buf.data + 1 + strlen(text), ",{\"\":\"q\\\"\\u0000\",\"m\":[]}]");
    json_decref(value);
    tw_buf_free(&buf);
}

static void a_line_that_is_no_json_has_its_column_beside_the_message(void **state)
{
    (void)state;
    struct tw_error error;
    json_t *value = NULL;
    size_t column = 7;
    assert_int_equal(tw_json_parse_line("{\"a\": 1}", 8, &value, &column, &error), TW_OK);
    assert_int_equal(column, 0);
    assert_int_equal(json_integer_value(json_object_get(value, "a")), 1);
    json_decref(value);
    value = NULL;
    assert_int_equal(tw_json_parse_line("{\"a\" 1}", 7, &value, &column, &error), TW_ERR_FORMAT);
    assert_int_equal(column, 6);
    assert_string_equal(error.text, "not valid JSON: ':' expected near '1'");
    assert_int_equal(tw_json_parse_line("[{", 2, &value, &column, &error), TW_ERR_FORMAT);
    assert_int_equal(column, 2);
    assert_non_null(
        strstr(error.text, "the line ends too early; every row is an object on a line"));
    assert_null(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_of_millions_of_empty_objects_is_refused),
        cmocka_unit_test(a_syntax_error_names_file_line_and_offset),
        cmocka_unit_test(brackets_are_followed_only_so_deep),
        cmocka_unit_test(integers_beyond_64_bits_become_reals_and_others_stay_exact),
        cmocka_unit_test(a_file_beyond_the_bound_is_not_read),
        cmocka_unit_test(commas_and_colons_stand_where_they_belong),
        cmocka_unit_test(strings_are_escaped_and_bad_utf8_becomes_the_replacement_character),
        cmocka_unit_test(floats_survive_in_at_most_nine_digits),
        cmocka_unit_test(doubles_read_back_equal_and_are_short),
        cmocka_unit_test(numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(a_line_that_is_no_json_has_its_column_beside_the_message),
        cmocka_unit_test(a_tree_is_written_as_it_was_read_with_its_keys_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
