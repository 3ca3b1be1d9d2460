#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/options.h"

struct values {
    bool quick;
    int64_t count;
    struct tw_option_uint64 seed;
    double heat;
    const char *name;
    struct tw_option_strings stops;
    int colour;
};

static const char *const colours[] = {"red", "green", NULL};

static const struct tw_option rows[] = {
    {"quick", TW_OPTION_FLAG, offsetof(struct values, quick), NULL, "Be quick.", 0, 0, NULL, 0},
    {"count", TW_OPTION_INT, offsetof(struct values, count), "N", "How many.", 1, 100, NULL, 0},
    {"seed", TW_OPTION_UINT64, offsetof(struct values, seed), "N", "A seed.", 0, 0, NULL, 0},
    {"heat", TW_OPTION_DOUBLE, offsetof(struct values, heat), "X", "How hot.", 0, 2, NULL, 0},
    {"name", TW_OPTION_STRING, offsetof(struct values, name), "S", "A name.", 0, 0, NULL, 'n'},
    {"stop", TW_OPTION_STRINGS, offsetof(struct values, stops), "S", "A stop.", 0, 0, NULL, 0},
    {"colour", TW_OPTION_CHOICE, offsetof(struct values, colour), "C", "A colour.", 0, 0, colours,
     0},
};

static const struct tw_option_group group = {"Things", rows, sizeof rows / sizeof rows[0]};

struct parsed {
    struct values values;
    struct tw_words words;
    struct tw_error error;
    enum tw_status status;
    char *argv[16];  /* parsing reorders these */
    char *owned[16]; /* the same, to be freed */
};

/* Parses the words up to NULL; the first is the command's own name. */
static void parse(struct parsed *parsed, ...)
{
    const struct tw_command_spec spec = {
        .name = "thing",
        .synopsis = "[A] [B]",
        .about = "Does a thing.",
        .most_words = 2,
        .uses = {{&group, &parsed->values}},
    };
    int argc = 1;
    va_list args;
    memset(parsed, 0, sizeof *parsed);
    parsed->argv[0] = strdup("thing");
    va_start(args, parsed);
    for (const char *word = va_arg(args, const char *); word != NULL;
         word = va_arg(args, const char *)) {
        parsed->argv[argc++] = strdup(word);
    }
    va_end(args);
    memcpy(parsed->owned, parsed->argv, sizeof parsed->owned);
    parsed->status = tw_options_parse(&spec, argc, parsed->argv, &parsed->words, &parsed->error);
}

static void free_parsed(struct parsed *parsed)
{
    tw_option_strings_free(&parsed->values.stops);
    for (int i = 0; i < 16; i++) {
        free(parsed->owned[i]);
    }
}

static void assert_refused(const char *a, const char *b, const char *part_of_sentence)
{
    struct parsed parsed;
    parse(&parsed, a, b, NULL);
    assert_int_equal(parsed.status, TW_ERR_USAGE);
    if (strstr(parsed.error.text, part_of_sentence) == NULL) {
        fail_msg("'%s' does not say '%s'", parsed.error.text, part_of_sentence);
    }
    free_parsed(&parsed);
}

static void values_of_every_kind_arrive_in_both_spellings(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct parsed p;
        if (form == 0) {
            parse(&p, "--quick", "--count", "7", "--seed", "18446744073709551615", "--heat", "0.5",
                  "--name", "--quick", "--colour", "green", NULL);
        } else {
            parse(&p, "--quick", "--count=7", "--seed=18446744073709551615", "--heat=.5",
                  "--name=--quick", "--colour=green", NULL);
        }
        assert_int_equal(p.status, TW_OK);
        assert_true(p.values.quick);
        assert_int_equal(p.values.count, 7);
        assert_true(p.values.seed.is_set && p.values.seed.value == UINT64_MAX);
        assert_true(p.values.heat == 0.5);
        assert_string_equal(p.values.name, "--quick");
        assert_int_equal(p.values.colour, 1);
        assert_int_equal(p.words.n_items, 0);
        free_parsed(&p);
    }
}

static void what_is_not_given_stays_as_it_was(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "a", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_false(p.values.quick || p.values.seed.is_set);
    assert_null(p.values.name);
    free_parsed(&p);
}

static void repeated_options_collect_or_the_last_one_counts(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--stop", "a", "--count", "1", "--stop=", "--count", "2", "--stop", "b=c", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_int_equal(p.values.count, 2);
    assert_int_equal(p.values.stops.n_items, 3);
    assert_string_equal(p.values.stops.items[0], "a");
    assert_string_equal(p.values.stops.items[1], "");
    assert_string_equal(p.values.stops.items[2], "b=c");
    free_parsed(&p);
}

static void words_keep_their_order_around_options(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "first", "--quick", "-", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_int_equal(p.words.n_items, 2);
    assert_string_equal(p.words.items[0], "first");
    assert_string_equal(p.words.items[1], "-");
    assert_true(p.values.quick);
    free_parsed(&p);
    parse(&p, "--", "--quick", "-x", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_int_equal(p.words.n_items, 2);
    assert_string_equal(p.words.items[0], "--quick");
    assert_string_equal(p.words.items[1], "-x");
    assert_false(p.values.quick);
    free_parsed(&p);
}

static void help_is_seen_anywhere_but_after_the_end_of_options(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--nonsense", "--help", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_true(p.words.wants_help);
    free_parsed(&p);
    parse(&p, "--", "--help", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_false(p.words.wants_help);
    free_parsed(&p);
}

static void a_misspelt_option_is_answered_with_the_right_one(void **state)
{
    (void)state;
    assert_refused("--cuont", "3", "did you mean '--count'");
    assert_refused("--cou", "3", "did you mean '--count'");
    assert_refused("--color=red", NULL, "did you mean '--colour'");
    assert_refused("--zebra", NULL, "tokenworks thing --help");
}

static void numbers_outside_their_range_or_half_read_are_refused(void **state)
{
    (void)state;
    assert_refused("--count", "0", "from 1 to 100");
    assert_refused("--count", "101", "from 1 to 100");
    assert_refused("--count", "7x", "whole number");
    assert_refused("--count", "", "whole number");
    assert_refused("--count", "1.5", "whole number");
    assert_refused("--count", "99999999999999999999", "from 1 to 100");
    assert_refused("--heat", "2.01", "from 0 to 2");
    assert_refused("--heat", "nan", "from 0 to 2");
    assert_refused("--heat", "warm", "from 0 to 2");
    assert_refused("--seed", "-1", "from 0 to");
    assert_refused("--seed", "18446744073709551616", "from 0 to");
    assert_refused("--seed", " 1", "from 0 to");
    assert_refused("--colour", "blue", "red, green");
}

static void a_letter_stands_for_its_option(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-n", "Ada", "word", NULL);
    assert_int_equal(p.status, TW_OK);
    assert_string_equal(p.values.name, "Ada");
    assert_int_equal(p.words.n_items, 1);
    free_parsed(&p);
    assert_refused("-n", NULL, "--name needs a value");
    assert_refused("-na", NULL, "two dashes");
}

static void missing_and_superfluous_parts_are_named(void **state)
{
    (void)state;
    assert_refused("--count", NULL, "needs a value");
    assert_refused("--quick=yes", NULL, "takes no value");
    assert_refused("-q", NULL, "two dashes");
    struct parsed p;
    parse(&p, "a", "b", "c", NULL);
    assert_int_equal(p.status, TW_ERR_USAGE);
    assert_non_null(strstr(p.error.text, "unexpected 'c'"));
    free_parsed(&p);
}

static void help_shows_every_option_of_the_table(void **state)
{
    (void)state;
    struct values values = {0};
    const struct tw_command_spec spec = {
        .name = "thing", .synopsis = "[A]", .about = "Does a thing.", .uses = {{&group, &values}}};
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    tw_options_print_help(&spec, out);
    fclose(out);
    for (size_t i = 0; i < group.n_options; i++) {
        assert_non_null(strstr(text, rows[i].name));
        assert_non_null(strstr(text, rows[i].help));
    }
    assert_non_null(strstr(text, "usage: tokenworks thing [A]"));
    assert_null(strstr(text, " \n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_arrive_in_both_spellings),
        cmocka_unit_test(what_is_not_given_stays_as_it_was),
        cmocka_unit_test(repeated_options_collect_or_the_last_one_counts),
        cmocka_unit_test(words_keep_their_order_around_options),
        cmocka_unit_test(help_is_seen_anywhere_but_after_the_end_of_options),
        cmocka_unit_test(a_misspelt_option_is_answered_with_the_right_one),
        cmocka_unit_test(numbers_outside_their_range_or_half_read_are_refused),
        cmocka_unit_test(a_letter_stands_for_its_option),
        cmocka_unit_test(missing_and_superfluous_parts_are_named),
        cmocka_unit_test(help_shows_every_option_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
