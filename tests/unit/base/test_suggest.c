/* What would break if a misspelt word got a guess that nobody meant, or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/suggest.h"

static const char *const words[] = {"learning_rate", "final_learning_rate", "steps", "seed", NULL};

static void the_nearest_word_is_given(void **state)
{
    (void)state;
    assert_string_equal(tw_suggest_word("lerning_rate", words), "learning_rate");
    assert_string_equal(tw_suggest_word("step", words), "steps");
    assert_string_equal(tw_suggest_word("sead", words), "seed");
    assert_string_equal(tw_suggest_word("final", words), "final_learning_rate");
}

static void a_word_like_none_gets_none(void **state)
{
    (void)state;
    char endless[100];
    memset(endless, 's', sizeof endless);
    endless[99] = '\0';
    assert_null(tw_suggest_word("banana", words));
    assert_null(tw_suggest_word("xy", words));
    assert_null(tw_suggest_word(endless, words));
    assert_null(tw_suggest_word("steps", words + 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_word_is_given),
        cmocka_unit_test(a_word_like_none_gets_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
