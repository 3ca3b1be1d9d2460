/* What would break if a policy said one thing and decided another: a rule that comes too late wins,
 * a zone is allowed that none names, a mistake in the file goes unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "policy/policy.h"

#define HEAD                                                                                       \
    "zones:\n- {name: house, trust: 30}\n- {name: germany, trust: 20}\n- {name: world, trust: "    \
    "0}\n"                                                                                         \
    "detectors:\n- {find: email, class: confidential}\n- {find: card, class: restricted}\n"

enum { HOUSE = 1, GERMANY = 2, WORLD = 4, ALL = 7 };
enum { PUBLIC = 0, INTERNAL, CONFIDENTIAL, RESTRICTED };

static struct tw_policy *read_policy(const char *text)
{
    struct tw_policy *policy = NULL;
    struct tw_error error = {0};
    if (tw_policy_read(text, strlen(text), "p.yaml", &policy, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return policy;
}

static void assert_refused(const char *text, const char *part)
{
    struct tw_policy *policy = NULL;
    struct tw_error error = {0};
    const enum tw_status status = tw_policy_read(text, strlen(text), "p.yaml", &policy, &error);
    if (status != TW_ERR_FORMAT || strstr(error.text, part) == NULL ||
        strstr(error.text, "(line: ") == NULL) {
        fail_msg("'%s' gives '%s', expected '%s' and its line", text, error.text, part);
    }
    assert_null(policy);
}

static struct tw_policy_decision decide(const struct tw_policy *policy, unsigned class,
                                        const char *who, const char *model, uint64_t zones)
{
    const struct tw_policy_question question = {
        .rank = {.class = class, .by_others = class}, .who = who, .model = model, .zones = zones};
    struct tw_policy_decision decision;
    tw_policy_decide(policy, &question, &decision);
    return decision;
}

static void the_first_rule_that_fits_decides(void **state)
{
    struct tw_policy *policy =
        read_policy(HEAD "rules:\n"
                         "- {name: free, up-to: public, allow: [house, germany, world]}\n"
                         "- {class: [internal], who: [acme/legal], refuse: 'Ask legal.'}\n"
                         "- {class: [internal], models: ['qwen*'], allow: [germany, house]}\n"
                         "- {up-to: confidential, allow: [house]}\n");
    (void)state;
    struct tw_policy_decision d = decide(policy, PUBLIC, NULL, "x", ALL);
    assert_true(d.is_allowed && d.rule == 0 && d.zones == ALL);
    d = decide(policy, INTERNAL, "acme/legal/chat", "qwen2", ALL);
    assert_true(!d.is_allowed && d.rule == 1 && d.zones == 0);
    assert_string_equal(d.sentence, "Ask legal.");
    d = decide(policy, INTERNAL, "acme/research/chat", "qwen2", ALL);
    assert_true(d.is_allowed && d.rule == 2 && d.zones == (HOUSE | GERMANY));
    d = decide(policy, INTERNAL, "acme/legals", "llama", ALL);
    assert_true(d.is_allowed && d.rule == 3 && d.zones == HOUSE);
    assert_string_equal(policy->rules[3].name, "rule 4");
    tw_policy_free(policy);
}

static void nothing_is_allowed_where_no_rule_fits_or_no_zone_is_left(void **state)
{
    struct tw_policy *policy =
        read_policy(HEAD "rules:\n- {up-to: confidential, allow: [house]}\n");
    (void)state;
    struct tw_policy_decision d = decide(policy, RESTRICTED, NULL, NULL, ALL);
    assert_true(!d.is_allowed && d.rule == TW_POLICY_NONE && d.zones == 0);
    assert_non_null(strstr(d.sentence, "restricted"));
    d = decide(policy, CONFIDENTIAL, NULL, NULL, WORLD | GERMANY);
    assert_true(!d.is_allowed && d.rule == 0 && d.zones == 0);
    assert_non_null(strstr(d.sentence, "may run in house only"));
    tw_policy_free(policy);
    policy = read_policy(HEAD "rules: []\n");
    assert_false(decide(policy, PUBLIC, NULL, NULL, ALL).is_allowed);
    tw_policy_free(policy);
}

static void names_fit_by_their_parts_and_stars_stay_in_one(void **state)
{
    static const struct {
        const char *pattern, *who;
        bool fits;
    } rows[] = {
        {"acme", "acme/research/chat", true},
        {"acme/research", "acme/research", true},
        {"acme/research", "acme", false},
        {"acme/research", "acme/researchers", false},
        {"acme/*/chat", "acme/research/chat", true},
        {"acme/*/chat", "acme/a/b/chat", false},
        {"*", "acme/research", true},
        {"ac*e/r*ch", "acme/research/x", true},
        {"acme/r*x", "acme/research", false},
        {"acme", "", false},
        {"*/legal", "acme/legal/x", true},
        {"a*b*c", "axxbxxbc", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, HEAD "rules:\n- {up-to: public, who: ['%s'], allow: [house]}\n",
                 rows[i].pattern);
        struct tw_policy *policy = read_policy(text);
        if (decide(policy, PUBLIC, rows[i].who, NULL, ALL).is_allowed != rows[i].fits) {
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].who);
        }
        assert_false(decide(policy, PUBLIC, NULL, NULL, ALL).is_allowed);
        tw_policy_free(policy);
    }
}

static void redaction_counts_as_far_as_it_takes_the_class_away(void **state)
{
    struct tw_policy *policy = read_policy(
        HEAD "rules:\n"
             "- {class: [confidential], redact: [email], left-up-to: internal, allow: [world]}\n"
             "- {up-to: restricted, allow: [house]}\n");
    (void)state;
    struct tw_policy_question question = {
        .rank = {.class = CONFIDENTIAL, .by_others = INTERNAL, .found = 1}, .zones = ALL};
    struct tw_policy_decision d;
    tw_policy_decide(policy, &question, &d);
    assert_true(d.is_allowed && d.zones == WORLD && d.redact == 1);
    question.rank.by_others = CONFIDENTIAL; /* the client said so, and that stays */
    tw_policy_decide(policy, &question, &d);
    assert_true(d.is_allowed && d.zones == HOUSE && d.redact == 0 && d.rule == 1);
    question.rank = (struct tw_policy_rank){RESTRICTED, PUBLIC, 3}; /* a card, too */
    tw_policy_decide(policy, &question, &d);
    assert_true(d.rule == 1);
    tw_policy_free(policy);
}

static void a_rule_that_redacts_is_passed_over_where_it_leads_nowhere(void **state)
{
    struct tw_policy *policy = read_policy(
        HEAD "rules:\n"
             "- {up-to: confidential, redact: [email], left-up-to: internal, allow: [world]}\n"
             "- {up-to: confidential, redact: [email], allow: [world]}\n"
             "- {up-to: confidential, allow: [house]}\n");
    struct tw_policy_question question = {
        .rank = {.class = CONFIDENTIAL, .by_others = INTERNAL, .found = 1}, .zones = HOUSE};
    struct tw_policy_decision d;
    (void)state;
    tw_policy_decide(policy, &question, &d);
    assert_true(d.is_allowed && d.zones == HOUSE && d.redact == 0 && d.rule == 2);
    assert_int_equal(tw_policy_rule_fits(policy, 1, &question), TW_POLICY_OTHER_ZONE);
    question.zones = WORLD | HOUSE;
    tw_policy_decide(policy, &question, &d);
    assert_true(d.is_allowed && d.zones == WORLD && d.redact == 1 && d.rule == 0);
    assert_int_equal(tw_policy_hidden_by(policy, 2), TW_POLICY_NONE);
    tw_policy_free(policy);
}

static void a_new_name_that_changes_what_floors_and_rules_are_for_is_known(void **state)
{
    static const struct {
        const char *path, *renamed;
        bool tells;
    } rows[] = {{"acme/clinic", "acme/hospital", true},
                {"acme/x", "acme/clinic", true},
                {"acme", "globex", true},
                {"acme/clinic/a", "acme/clinic/b", false},
                {"acme/lab-1", "acme/lab-2", false},
                {"acme/lab-1", "acme/team", true},
                {"acme/legal/a/ci", "acme/legal/a/cd", true},
                {"acme/legal/b", "acme/legal/c", false},
                {"acme/legal/a", "acme/legal/b", true},
                {"other", "another", false}};
    struct tw_policy *policy =
        read_policy("floors:\n- {who: [acme/clinic, 'acme/lab-*'], class: internal}\n" HEAD
                    "rules: [{up-to: restricted, who: [acme/legal/a/ci], allow: [house]}]\n");
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (tw_policy_tells_apart(policy, rows[i].path, rows[i].renamed) != rows[i].tells) {
            fail_msg("%s, %s", rows[i].path, rows[i].renamed);
        }
    }
    tw_policy_free(policy);
}

static void every_mistake_of_a_file_is_told_with_its_line(void **state)
{
    static const char *const rows[][2] = {
        {"classes: [a, A]\nzones: [{name: z, trust: 1}]\nrules: []\n",
         "'A' is there a second time"},
        {"classes: ['a b']\nzones: [{name: z, trust: 1}]\nrules: []\n", "'a b' is no name"},
        {"floor: secret\nzones: [{name: z, trust: 1}]\nrules: []\n", "no class 'secret'"},
        {"zones: [{name: z, trust: 1001}]\nrules: []\n", "from 0 to 1000"},
        {"zones: [{name: z, trust: 1}, {name: z, trust: 2}]\nrules: []\n", "the zone 'z'"},
        {"zones: [{name: z}]\nrules: []\n", "trust is missing"},
        {"zones: [{name: z, trust: 1}]\n", "rules is missing"},
        {HEAD "rules:\n- {up-to: confidental, allow: [house]}\n", "did you mean confidential?"},
        {HEAD "rules:\n- {up-to: public, allow: [hause]}\n", "did you mean house?"},
        {HEAD "rules:\n- {up-to: public, allow: [house], redact: [phone]}\n",
         "no detector 'phone'"},
        {HEAD "rules:\n- {allow: [house]}\n", "one of class and up-to"},
        {HEAD "rules:\n- {up-to: public, class: [public], allow: [house]}\n", "one of class"},
        {HEAD "rules:\n- {up-to: public}\n", "one of allow and refuse"},
        {HEAD "rules:\n- {up-to: public, allow: [house], refuse: 'No.'}\n", "one of allow"},
        {HEAD "rules:\n- {up-to: public, refuse: 'No.', redact: [email]}\n", "redact needs allow"},
        {HEAD "rules:\n- {up-to: public, allow: [house], left-up-to: public}\n", "needs redact"},
        {HEAD "rules:\n- {up-to: public, who: [/acme], allow: [house]}\n", "empty part"},
        {HEAD "rules:\n- {name: a, up-to: public, allow: [house]}\n"
              "- {name: a, up-to: public, allow: [house]}\n",
         "the rule 'a' is there a second time"},
        {HEAD "- {find: emial, class: public}\nrules: []\n", "did you mean email?"},
        {HEAD "- {find: email, class: public}\nrules: []\n", "the detector 'email'"},
        {HEAD "- {find: iban, class: publik}\nrules: []\n", "did you mean public?"},
        {HEAD "- {name: x, class: public}\nrules: []\n", "needs find"},
        {HEAD "- {name: x, find: iban, pattern: a, class: public}\nrules: []\n", "either find"},
        {HEAD "- {name: x, pattern: 'a+', class: public}\nrules: []\n", "write {1,40}"},
        {HEAD "- {name: x, pattern: a, checksum: crc, class: public}\nrules: []\n", "mod11-10"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void a_version_is_of_what_was_read_and_not_of_how_it_is_written(void **state)
{
    struct tw_policy *a = read_policy(HEAD "rules: [{up-to: internal, allow: [world, house]}]\n");
    struct tw_policy *b = read_policy("# a comment\n" HEAD
                                      "rules:\n- class: [internal, public]\n  allow:\n  - house\n"
                                      "  - world\n");
    struct tw_policy *c = read_policy(HEAD "rules: [{up-to: internal, allow: [house]}]\n");
    (void)state;
    assert_string_equal(a->version, b->version);
    assert_string_not_equal(a->version, c->version);
    assert_int_equal(strlen(a->version), 64);
    assert_memory_equal(a->version, a->short_version, 12);
    assert_int_equal(strlen(a->short_version), 12);
    tw_policy_free(a);
    tw_policy_free(b);
    tw_policy_free(c);
}

static void a_rule_that_is_never_reached_is_known(void **state)
{
    struct tw_policy *policy =
        read_policy(HEAD "rules:\n- {up-to: internal, allow: [house]}\n"
                         "- {class: [public], who: [acme], allow: [world]}\n"
                         "- {class: [confidential], who: [acme], allow: [house]}\n"
                         "- {class: [confidential], allow: [house]}\n"
                         "- {up-to: confidential, allow: [house]}\n"
                         "- {up-to: restricted, allow: [house]}\n");
    static const int expected[] = {TW_POLICY_NONE, 0, TW_POLICY_NONE,
                                   TW_POLICY_NONE, 3, TW_POLICY_NONE};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(tw_policy_hidden_by(policy, i), expected[i]);
    }
    tw_policy_free(policy);
}

/* ---- properties ---- */

static uint32_t draw(uint64_t *at, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(2026, (*at)++, words);
    return words[0] % below;
}

static size_t add(char *text, size_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static size_t add(char *text, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    n += (size_t)vsnprintf(text + n, 8192 - n, format, args);
    va_end(args);
    return n;
}

enum { ZONES = 5, CLASSES = 4 };

/* What a rule is known to allow, by hand: class and zone. */
struct known {
    bool allows[CLASSES][ZONES];
};

static struct tw_policy *random_policy(uint64_t *at, struct known *known)
{
    char text[8192];
    size_t n = add(text, 0, "zones:\n");
    memset(known, 0, sizeof *known);
    for (unsigned i = 0; i < ZONES; i++) {
        n = add(text, n, "- {name: z%u, trust: %u}\n", i, draw(at, 4));
    }
    n = add(text, n, "detectors:\n- {find: email, class: confidential}\n");
    const unsigned n_rules = draw(at, 7);
    n = add(text, n, n_rules == 0 ? "rules: []\n" : "rules:\n");
    for (unsigned i = 0; i < n_rules; i++) {
        static const char *const names[] = {"public", "internal", "confidential", "restricted"};
        const unsigned class = draw(at, CLASSES), first = draw(at, ZONES), second = draw(at, ZONES);
        const bool is_up_to = draw(at, 2) == 0, refuses = draw(at, 4) == 0;
        n = add(text, n, is_up_to ? "- {up-to: %s" : "- {class: [%s]", names[class]);
        n = add(text, n, "%s", draw(at, 3) == 0 ? ", who: [acme/*]" : "");
        n = add(text, n, "%s", draw(at, 3) == 0 ? ", models: [a*]" : "");
        if (refuses) {
            n = add(text, n, ", refuse: 'No.'}\n");
            continue;
        }
        n = add(text, n, "%s", draw(at, 3) == 0 ? ", redact: [email]" : "");
        n = add(text, n, ", allow: [z%u, z%u]}\n", first, second);
        for (unsigned c = is_up_to ? 0 : class; c <= class; c++) {
            known->allows[c][first] = known->allows[c][second] = true;
        }
    }
    return read_policy(text);
}

static void no_decision_allows_a_zone_that_no_rule_allows_for_the_class(void **state)
{
    static const char *const whos[] = {NULL, "acme/legal/x", "other/team"};
    static const char *const models[] = {NULL, "abc", "xyz"};
    uint64_t at = 0;
    size_t n_allowed = 0;
    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct known known;
        struct tw_policy *policy = random_policy(&at, &known);
        for (unsigned k = 0; k < 50; k++) {
            const unsigned class = draw(&at, CLASSES);
            const uint64_t zones = draw(&at, 1u << ZONES);
            const struct tw_policy_decision d =
                decide(policy, class, whos[draw(&at, 3)], models[draw(&at, 3)], zones);
            assert_int_equal(d.zones & ~zones, 0);
            assert_int_equal(d.is_allowed, d.zones != 0);
            assert_int_equal(d.is_allowed, d.sentence[0] == '\0');
            for (unsigned z = 0; z < ZONES; z++) {
                assert_true((d.zones >> z & 1) == 0 || known.allows[class][z]);
            }
            n_allowed += d.is_allowed;
        }
        tw_policy_free(policy);
    }
    assert_true(n_allowed > 1000); /* otherwise nothing was shown */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_fits_decides),
        cmocka_unit_test(nothing_is_allowed_where_no_rule_fits_or_no_zone_is_left),
        cmocka_unit_test(names_fit_by_their_parts_and_stars_stay_in_one),
        cmocka_unit_test(redaction_counts_as_far_as_it_takes_the_class_away),
        cmocka_unit_test(a_rule_that_redacts_is_passed_over_where_it_leads_nowhere),
        cmocka_unit_test(a_new_name_that_changes_what_floors_and_rules_are_for_is_known),
        cmocka_unit_test(every_mistake_of_a_file_is_told_with_its_line),
        cmocka_unit_test(a_version_is_of_what_was_read_and_not_of_how_it_is_written),
        cmocka_unit_test(a_rule_that_is_never_reached_is_known),
        cmocka_unit_test(no_decision_allows_a_zone_that_no_rule_allows_for_the_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
