/* What would break if a configuration said one thing and the program read another: a number taken
 * in part, a switch misread, a key overlooked, a mistake without its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"

struct inner {
    uint32_t small;
    uint64_t large;
};

struct conf {
    struct inner inner;
    double real;
    bool is_on;
    int choice;
    char *text;
    char **list;
    uint32_t list_count;
    uint32_t *numbers;
    uint32_t numbers_count;
};

static const cyaml_strval_t choices[] = {{"one", 1}, {"two", 2}};

static const cyaml_schema_field_t inner_fields[] = {
    CYAML_FIELD_UINT("small", CYAML_FLAG_DEFAULT, struct inner, small),
    CYAML_FIELD_UINT("large", CYAML_FLAG_DEFAULT, struct inner, large),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t word = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 20)};

static const cyaml_schema_value_t number = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("inner", CYAML_FLAG_DEFAULT, struct conf, inner, inner_fields),
    CYAML_FIELD_FLOAT("real", CYAML_FLAG_DEFAULT, struct conf, real),
    CYAML_FIELD_BOOL("on", CYAML_FLAG_DEFAULT, struct conf, is_on),
    CYAML_FIELD_ENUM("choice", CYAML_FLAG_STRICT, struct conf, choice, choices, 2),
    CYAML_FIELD_STRING_PTR("text", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, text, 1,
                           20),
    CYAML_FIELD_SEQUENCE("list", CYAML_FLAG_POINTER, struct conf, list, &word, 1, 3),
    CYAML_FIELD_SEQUENCE("numbers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, numbers,
                         &number, 1, 3),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf, fields)};

static enum tw_status parse(const char *text, struct conf **ret_conf, struct tw_error *error)
{
    void *conf;
    enum tw_status status = tw_conf_parse(text, strlen(text), "f.yaml", &schema, &conf, error);
    if (status == TW_OK) {
        *ret_conf = conf;
    }
    return status;
}

/* A whole configuration in which one value is another. */
static const char *with(const char *key, const char *value)
{
    static char text[512];
    static const char *const keys[] = {"small", "large", "real", "on", "choice", "list"};
    const char *values[] = {"1", "2", "0.5", "yes", "two", "[a, b]"};
    for (size_t i = 0; i < 6; i++) {
        values[i] = strcmp(key, keys[i]) == 0 ? value : values[i];
    }
    snprintf(text, sizeof text,
             "inner:\n  small: %s\n  large: %s\nreal: %s\non: %s\nchoice: %s\nlist: %s\n",
             values[0], values[1], values[2], values[3], values[4], values[5]);
    return text;
}

static void assert_refused(const char *text, const char *part)
{
    struct conf *conf = NULL;
    struct tw_error error = {0};
    if (parse(text, &conf, &error) != TW_ERR_FORMAT || strstr(error.text, part) == NULL) {
        fail_msg("'%s' gives '%s', expected '%s'", text, error.text, part);
    }
    assert_null(conf);
    assert_ptr_equal(strstr(error.text, "'f.yaml': "), error.text);
}

static void every_kind_of_value_arrives_in_its_field(void **state)
{
    (void)state;
    struct conf *conf = NULL;
    const char *text =
        "# a comment\non: no\ninner: {small: 4294967295, large: 18446744073709551615}\n"
        "real: -1.5e-3\nchoice: one\ntext: \"a: b\"\nlist:\n- x\n- 'y z'\n- 3\n";
    assert_int_equal(parse(text, &conf, NULL), TW_OK);
    assert_int_equal(conf->inner.small, UINT32_MAX);
    assert_int_equal(conf->inner.large, UINT64_MAX);
    assert_true(conf->real == -1.5e-3);
    assert_false(conf->is_on);
    assert_int_equal(conf->choice, 1);
    assert_string_equal(conf->text, "a: b");
    assert_int_equal(conf->list_count, 3);
    assert_string_equal(conf->list[1], "y z");
    assert_string_equal(conf->list[2], "3");
    tw_conf_free(&schema, conf);
    assert_int_equal(parse(with("", ""), &conf, NULL), TW_OK);
    assert_null(conf->text);
    assert_true(conf->is_on);
    tw_conf_free(&schema, conf);
    tw_conf_free(&schema, NULL);
}

static void a_number_is_read_to_its_last_letter_or_refused(void **state)
{
    (void)state;
    static const char *const bad_wholes[] = {"10_000", "1e3", "0x10", "010", "1.0", "1 2", "-1",
                                             "+1",     "''",  "many", "1,5", "~",   "5k"};
    static const char *const bad_reals[] = {"0,01", "1_0.5", "1e",  "e5",   ".",   "1.2.3", "nan",
                                            "inf",  ".inf",  "0x1", "1e5x", "--1", "''"};
    for (size_t i = 0; i < sizeof bad_wholes / sizeof *bad_wholes; i++) {
        assert_refused(with("small", bad_wholes[i]), "line: 2, column: 10");
    }
    for (size_t i = 0; i < sizeof bad_reals / sizeof *bad_reals; i++) {
        assert_refused(with("real", bad_reals[i]), "line: 4, column: 7");
    }
    assert_refused(with("small", "4294967296"), "4294967296");
    assert_refused(with("small", "4294967296\n  [k]: {a: *b}\n  odd: [{x: 1}]\n  2: [[x], *c]"),
                   "4294967296"); /* what was not yet looked at may be anything */
    assert_refused(with("large", "18446744073709551616\ntext: {a: 1}"), "18446744073709551616");
    assert_refused(with("on", "yes\nnumbers: [1, 1_0]"), "'1_0' is not a whole number (line: 6");
    assert_refused(with("large", "18446744073709551616"), "18446744073709551616");
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},        {"1.0e-8", 1e-8}, {".5", 0.5}, {"5.", 5},
                {"+2.5E+1", 25}, {"-3", -3},       {"007", 7},  {"'0.25'", 0.25}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct conf *conf = NULL;
        assert_int_equal(parse(with("real", good[i].text), &conf, NULL), TW_OK);
        assert_true(conf->real == good[i].value);
        tw_conf_free(&schema, conf);
    }
}

static void a_switch_is_one_of_four_words_in_three_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool value;
    } good[] = {{"true", true},   {"yes", true},    {"false", false}, {"no", false},
                {"True", true},   {"TRUE", true},   {"Yes", true},    {"YES", true},
                {"False", false}, {"FALSE", false}, {"No", false},    {"NO", false}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct conf *conf = NULL;
        assert_int_equal(parse(with("on", good[i].text), &conf, NULL), TW_OK);
        assert_int_equal(conf->is_on, good[i].value);
        tw_conf_free(&schema, conf);
    }
    static const char *const bad[] = {"off", "on", "maybe", "0", "1", "tRUE", "n", "''"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(with("on", bad[i]), "line: 5, column: 5");
    }
}

static void what_does_not_fit_the_schema_is_refused_with_its_place(void **state)
{
    (void)state;
    assert_refused(with("on", "yes\nunknown: 1"),
                   "unknown key 'unknown'; there are inner, real, on, choice, text, list, numbers "
                   "(line: 6, column: 1)");
    assert_refused(with("large", "2\n  smal: 1"),
                   "unknown key 'smal' of inner; did you mean small? (line: 4, column: 3)");
    assert_refused(with("large", "2\n  width: 1"),
                   "unknown key 'width' of inner; there are small, ");
    assert_refused(with("on", "yes\n[on]: 1"), "a key must be a word (line: 6, column: 1)");
    assert_refused(with("on", "yes\non: no"), "the key on is there a second time (line: 6, ");
    assert_refused(with("small", "[1]"), "small must be one value and is a list (line: 2");
    assert_refused(with("small", "{a: 1}"), "small must be one value and is keys with values");
    assert_refused(with("list", "a.txt"), "'list' must be a list: [a.txt] (line: 7, column: 7)");
    assert_refused(with("list", "{a: 1}"), "list must be a list and is keys with values (line: 7");
    assert_refused(with("on", "yes\ninner: 3"), "the key inner is there a second time");
    assert_refused("inner: 3\n", "'inner' must have keys with values (line: 1, column: 8)");
    assert_refused(with("choice", "three"), "'three' is not one of one, two (line: 6, column: 9)");
    assert_refused(with("choice", "1"), "'1' is not one of one, two");
    assert_refused(with("choice", "''"), "'' is not one of one, two");
    assert_refused(with("choice", "[one]"), "line: 6");
    assert_refused(with("list", "[]"), "'list' needs at least one entry (line: 7, column: 7)");
    assert_refused(with("list", "[a, b, c, d]"), "'list' may have at most 3 entries (line: 7");
    assert_refused(with("list", "[a, [b]]"), "line: 7");
    assert_refused(with("list", "[abcdefghijklmnopqrstu]"), "line: 7");
    assert_refused("inner: {small: 1}\nreal: 1\non: no\nchoice: one\nlist: [a]\n",
                   "the key large is missing in inner (line: 1, column: 8)");
    assert_refused("inner: {small: 1, large: 1}\nreal: 1\n", "the key on is missing (line: 1");
    assert_refused("[1, 2]", "the file must be keys with values and is a list");
    assert_refused("word", "the file must have keys with values");
}

static void what_is_no_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused("real: 1\non: [no\nchoice: one\n", "line: 3, column: 7");
    assert_refused("real: 1\n\ton: no\n", "a tab where YAML wants spaces (line: 2, column: 1)");
    assert_refused("real: 'abc\n", "line: 2");
    assert_refused("real: \xff\n", "f.yaml");
    assert_refused("", "it is empty");
    assert_refused("# nothing\n", "it is empty");
    struct tw_error error;
    void *conf;
    assert_int_equal(tw_conf_parse(NULL, 0, "f.yaml", &schema, &conf, &error), TW_ERR_FORMAT);
}

static void aliases_are_refused_so_that_a_small_file_stays_small(void **state)
{
    (void)state;
    assert_refused(with("list", "[&a x, *a]"), "alias");
    assert_refused("inner: &a {small: 1, large: 2}\nreal: *a\n", "alias");
}

static void a_file_that_nests_without_end_is_refused(void **state)
{
    (void)state;
    enum { BYTES = 200000 };
    /* the second closes its brackets in comments only */
    static const char *const parts[] = {"[", "[ #]\n", "{a: ", "- "};
    char *text = calloc(BYTES + 1, 1);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct tw_error error;
        void *conf;
        size_t n = strlen(parts[i]);
        for (size_t at = 0; at < BYTES; at++) {
            text[at] = parts[i][at % n];
        }
        assert_int_equal(tw_conf_parse(text, BYTES, "f.yaml", &schema, &conf, &error),
                         TW_ERR_LIMIT);
        assert_non_null(strstr(error.text, "more than 16 deep"));
    }
    free(text);
}

static void a_zero_byte_does_not_end_a_text_unseen(void **state)
{
    (void)state;
    assert_refused(with("on", "yes\ntext: \"a\\0b\""), "a zero byte in it (line: 6, column: 7)");
    assert_refused(with("small", "\"1\\0\""), "a zero byte in it");
    assert_refused(with("on", "yes\n\"text\\0s\": a"), "a zero byte in it");
}

static void directives_are_refused(void **state)
{
    (void)state;
    assert_refused("%YAML 1.1\n---\nsmall: 1\n", "directives are not read");
    assert_refused("# one\r%TAG !a! b\r---\rsmall: 1\r", "(line: 2, column: 1)");
}

static void a_value_is_found_where_it_stands(void **state)
{
    (void)state;
    static const char text[] = "# one\nlist: [small, [large]]\ninner:\n  large: 2\n  small:  1\n"
                               "real: 1\n";
    struct tw_conf_place place = {0};
    assert_true(tw_conf_find(text, sizeof text - 1, "inner.small", &place));
    assert_int_equal(place.line, 5);
    assert_int_equal(place.column, 11);
    assert_true(tw_conf_find(text, sizeof text - 1, "inner.large", &place));
    assert_int_equal(place.line, 4);
    assert_true(tw_conf_find(text, sizeof text - 1, "real", &place));
    assert_int_equal(place.line, 6);
    assert_int_equal(place.column, 7);
    assert_true(tw_conf_find(text, sizeof text - 1, "list.1.0", &place));
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 16);
    assert_false(tw_conf_find(text, sizeof text - 1, "list.2", &place));
    assert_false(tw_conf_find(text, sizeof text - 1, "inner.real", &place));
    assert_false(tw_conf_find(text, sizeof text - 1, "real.large", &place));
    assert_false(tw_conf_find("inner: [", 8, "inner.small", &place));
    assert_false(tw_conf_find("", 0, "inner", &place));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_arrives_in_its_field),
        cmocka_unit_test(a_number_is_read_to_its_last_letter_or_refused),
        cmocka_unit_test(a_switch_is_one_of_four_words_in_three_spellings),
        cmocka_unit_test(what_does_not_fit_the_schema_is_refused_with_its_place),
        cmocka_unit_test(what_is_no_yaml_is_refused_with_its_line),
        cmocka_unit_test(aliases_are_refused_so_that_a_small_file_stays_small),
        cmocka_unit_test(a_file_that_nests_without_end_is_refused),
        cmocka_unit_test(a_zero_byte_does_not_end_a_text_unseen),
        cmocka_unit_test(directives_are_refused),
        cmocka_unit_test(a_value_is_found_where_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
