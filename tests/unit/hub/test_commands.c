/* The table of commands: what it lets through, what it says, and who may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "hub/commands.h"

#define NOW_NS (INT64_C(1764201600) * TW_SECOND_NS) /* 2025-11-27 00:00 UTC */

/* ---- who may ---- */

/* What the manual promises, written out a second time. In the order owner, finance, auditor,
 * operator, member; w: for what lies within the scope, a: for what lies below it, -: not. */
static const struct {
    const char *command, *cells;
} matrix[] = {
    {"org create", "w----"},      {"org list", "wwwww"},       {"org set", "a--a-"},
    {"org close", "a----"},       {"team create", "w--w-"},    {"team list", "wwwww"},
    {"team set", "a--a-"},        {"team close", "a----"},     {"project create", "w--w-"},
    {"project list", "wwwww"},    {"project set", "a--a-"},    {"project close", "a----"},
    {"user create", "w----"},     {"user list", "w-w--"},      {"user grant", "w----"},
    {"user withdraw", "w----"},   {"user secret", "w----"},    {"user close", "w----"},
    {"key create", "w--w-"},      {"key list", "wwwww"},       {"key set", "w--w-"},
    {"key rotate", "w--w-"},      {"key revoke", "w--w-"},     {"budget set", "aw---"},
    {"budget list", "wwwww"},     {"budget close", "aw---"},   {"price set", "ww---"},
    {"price list", "wwwww"},      {"ledger check", "www--"},   {"ledger list", "www--"},
    {"audit list", "w-w--"},      {"audit verify", "-----"},   {"audit checkpoint", "-----"},
    {"audit export", "-----"},    {"audit replay", "-----"},   {"audit register", "w-w--"},
    {"subject erase", "w----"},   {"subject hold", "w----"},   {"subject release", "w----"},
    {"subject list", "w-w--"},    {"subject export", "--w--"}, {"content show", "--w--"},
    {"usage show", "www-w"},      {"usage invoice", "www--"},  {"approval set", "w----"},
    {"approval use", "w----"},    {"approval list", "www--"},  {"approval approve", "ww---"},
    {"approval reject", "ww---"}, {"backend list", "w-ww-"},   {"backend drain", "w--w-"},
    {"backend resume", "w--w-"},  {"backend reload", "w--w-"},
};
#define N_COMMANDS (sizeof matrix / sizeof *matrix)

static const struct tw_hub_verb *verb_of(const char *command)
{
    char group[32];
    const char *space = strchr(command, ' ');
    struct tw_error error;
    snprintf(group, sizeof group, "%.*s", (int)(space - command), command);
    const struct tw_hub_verb *verb = tw_commands_find(group, space + 1, &error);
    assert_non_null(verb);
    return verb;
}

struct tree {
    struct tw_holder org, team, project, key, other_org, other_team;
};

static void plant(struct tree *tree)
{
    memset(tree, 0, sizeof *tree);
    tree->org = (struct tw_holder){.kind = TW_HOLDER_ORG, .name = "acme"};
    tree->team = (struct tw_holder){.kind = TW_HOLDER_TEAM, .parent = &tree->org};
    tree->project = (struct tw_holder){.kind = TW_HOLDER_PROJECT, .parent = &tree->team};
    tree->key = (struct tw_holder){.kind = TW_HOLDER_KEY, .parent = &tree->project};
    tree->other_org = (struct tw_holder){.kind = TW_HOLDER_ORG, .name = "other"};
    tree->other_team = (struct tw_holder){.kind = TW_HOLDER_TEAM, .parent = &tree->org};
}

static void each_command_is_for_the_roles_of_the_manual_and_no_others(void **state)
{
    (void)state;
    struct tree tree;
    plant(&tree);
    /* From the top: scope i holds object k where i <= k, and is above it where i < k. */
    const struct tw_holder *const levels[] = {NULL, &tree.org, &tree.team, &tree.project,
                                              &tree.key};
    for (size_t n = 0; n < N_COMMANDS; n++) {
        const struct tw_hub_verb *verb = verb_of(matrix[n].command);
        for (int role = 0; role < TW_ROLES; role++) {
            const char cell = matrix[n].cells[role];
            for (size_t i = 0; i < 4; i++) {
                for (size_t k = 0; k < 5; k++) {
                    /* Nothing is above everything; whoever has that may all that is allowed. */
                    const bool is_above = i == 0 || i < k;
                    const bool may = (cell == 'w' && i <= k) || (cell == 'a' && is_above);
                    if (tw_commands_may(verb, (enum tw_role)role, levels[i], levels[k]) != may) {
                        fail_msg("%s, %s at level %zu, object %zu: %d", matrix[n].command,
                                 tw_role_name((enum tw_role)role), i, k, !may);
                    }
                }
            }
            assert_false(tw_commands_may(verb, (enum tw_role)role, &tree.other_org, &tree.team));
            assert_false(tw_commands_may(verb, (enum tw_role)role, &tree.other_team, &tree.key));
            assert_false(tw_commands_may(verb, (enum tw_role)role, &tree.key, &tree.project));
        }
    }
}

static void the_matrix_has_every_command(void **state)
{
    (void)state;
    size_t n = 0;
    while (tw_commands_verb(n) != NULL) {
        n++;
    }
    assert_int_equal(n, N_COMMANDS);
}

/* ---- the table itself ---- */

static void every_command_can_be_explained(void **state)
{
    (void)state;
    const struct tw_hub_verb *verb;
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        assert_non_null(tw_commands_find_group(verb->group));
        assert_true(verb->n_fields <= TW_LIMIT_HUB_FIELDS);
        assert_true((verb->run == NULL) == (verb->manner == TW_COMMAND_LOCAL));
        bool had_option = false;
        for (size_t k = 0; k < verb->n_fields; k++) {
            const struct tw_field *field = &verb->fields[k];
            const size_t n = strlen(field->help);
            assert_int_equal(field->help[n - 1], '.');
            assert_true((field->kind == TW_FIELD_FLAG) == (field->value == NULL));
            assert_true((field->kind == TW_FIELD_CHOICE) == (field->choices != NULL));
            assert_false(field->is_word && had_option);
            had_option = had_option || !field->is_word;
            assert_ptr_equal(tw_commands_field(verb, field->name), field);
        }
    }
}

static void a_wrong_word_is_answered_with_the_nearest(void **state)
{
    (void)state;
    struct tw_error error;
    assert_null(tw_commands_find("budget", "sett", &error));
    assert_int_equal(error.status, TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "did you mean 'budget set'?"));
    assert_null(tw_commands_find("bugdet", "set", &error));
    assert_non_null(strstr(error.text, "did you mean 'budget'?"));
    assert_null(tw_commands_find("key", "quux", &error));
    assert_non_null(strstr(error.text, "there are create, list, set, rotate, revoke"));
}

/* ---- fields ---- */

static struct tw_field_value values[TW_LIMIT_HUB_FIELDS];

static enum tw_status read_json(const char *command, const char *json, struct tw_error *error)
{
    static json_t *fields; /* values point into it until the next call */
    json_decref(fields);
    fields = json_loads(json, JSON_ALLOW_NUL, NULL);
    assert_non_null(fields);
    return tw_commands_read(verb_of(command), fields, NOW_NS, values, error);
}

static const struct tw_field_value *value_of(const char *command, const char *name)
{
    const struct tw_hub_verb *verb = verb_of(command);
    return &values[tw_commands_field(verb, name) - verb->fields];
}

static void refused(const char *command, const char *json, const char *sentence)
{
    struct tw_error error = {.text = ""};
    if (read_json(command, json, &error) != TW_ERR_USAGE || strstr(error.text, sentence) == NULL) {
        fail_msg("%s %s: '%s' does not say '%s'", command, json, error.text, sentence);
    }
}

static int64_t number(const char *command, const char *json, const char *name)
{
    struct tw_error error;
    if (read_json(command, json, &error) != TW_OK) {
        fail_msg("%s %s: %s", command, json, error.text);
    }
    assert_true(value_of(command, name)->is_set);
    return value_of(command, name)->integer;
}

static void what_is_wrong_with_a_field_is_said_with_its_name_and_the_remedy(void **state)
{
    (void)state;
    refused("org create", "{}", "org create needs 'path': The new organisation's name.");
    refused("org create", "{\"path\": 3}", "path: it must be a string");
    refused("org create", "{\"path\": \"a\", \"rmp\": 1}", "no field 'rmp'; did you mean 'rpm'?");
    refused("org create", "{\"path\": \"a\", \"rpm\": \"9\"}", "rpm: it must be a whole number");
    refused("org create", "{\"path\": \"a\", \"rpm\": 1.5}", "rpm: it must be a whole number");
    refused("org create", "{\"path\": \"a\", \"rpm\": -1}", "rpm: -1 is not from 0 to 100000000");
    refused("org create", "{\"path\": \"a\", \"rpm\": null}", "rpm: it must be a whole number");
    refused("org create", "{\"path\": \"a\", \"models\": \"m\"}", "models: it must be a list");
    refused("org create", "{\"path\": \"a\", \"models\": [1]}", "models: item 0 must be a string");
    refused("org create", "{\"path\": \"a\", \"models\": [\"a\\nb\"]}",
            "models: 'a?b' is no plain");
    refused("project set", "{\"path\": \"a/b/c\", \"class\": \"hihg\"}",
            "class: 'hihg' is none of normal, high, idle; did you mean 'high'?");
    refused("budget set", "{\"path\": \"a\", \"soft\": 1}", "soft: it must be true or false");
    refused("budget set", "{\"path\": \"a\", \"limit\": \"12 EUR\"}",
            "limit: '12 EUR' is no limit");
    refused("budget set", "{\"path\": \"a\", \"limit\": true}", "limit: it must be a string like");
    refused("price set", "{\"model\": \"*\", \"output\": \"1\"}", "price set needs 'input'");
    refused("price set", "{\"model\": \"*\", \"output\": \"1\", \"input\": \"-1\"}",
            "input: '-1' is no amount like 0.15");
    refused("price set", "{\"model\": \"*\", \"output\": \"1\", \"input\": \"1e3\"}", "no amount");
    refused("price set", "{\"model\": \"*\", \"output\": \"1\", \"input\": \"1000000001\"}",
            "at most 1000000000");
    refused("price set", "{\"model\": \"\", \"output\": \"1\", \"input\": \"1\"}",
            "model: a text of 0 bytes");
}

static void names_and_paths_have_letters_and_digits_only(void **state)
{
    (void)state;
    refused("org create", "{\"path\": \"\"}", "is no path like ORG");
    refused("org create", "{\"path\": \"a b\"}", "is no path");
    refused("org create", "{\"path\": \"..\"}", "is no path");
    refused("org create", "{\"path\": \"a/b\"}", "has 2 names; it must be like ORG");
    refused("org create", "{\"path\": \"a'; DROP TABLE holder; --\"}", "is no path");
    refused("org create", "{\"path\": \"a\\u0000b\"}", "must be a string");
    refused("team create", "{\"path\": \"a/../b\"}", "is no path");
    refused("team create", "{\"path\": \"/a\"}", "is no path");
    refused("team create", "{\"path\": \"a/\"}", "is no path");
    refused("key create", "{\"path\": \"a/b/c\"}",
            "has 3 names; it must be like ORG/TEAM/PROJECT/KEY");
    refused("org set", "{\"path\": \"a\", \"name\": \"a/b\"}", "name: 'a/b' is no name");
    char longest[65], json[128];
    memset(longest, 'x', 64);
    longest[64] = '\0';
    snprintf(json, sizeof json, "{\"path\": \"%s\"}", longest);
    struct tw_error error;
    assert_int_equal(read_json("org create", json, &error), TW_OK);
    snprintf(json, sizeof json, "{\"path\": \"%sx\"}", longest);
    refused("org create", json, "is no path");
}

static void times_are_read_as_dates_instants_and_from_now_on(void **state)
{
    (void)state;
    static const char command[] = "key create";
#define EXPIRES(text)                                                                              \
    number(command, "{\"path\": \"a/b/c/d\", \"expires\": \"" text "\"}", "expires")
    assert_int_equal(EXPIRES("now"), NOW_NS);
    assert_int_equal(EXPIRES("never"), 0);
    assert_int_equal(EXPIRES("1970-01-02"), 86400 * TW_SECOND_NS);
    assert_int_equal(EXPIRES("2000-02-29"), 951782400 * TW_SECOND_NS);
    assert_int_equal(EXPIRES("2025-11-27"), NOW_NS);
    assert_int_equal(EXPIRES("2025-11-27T01:02:03Z"), NOW_NS + 3723 * TW_SECOND_NS);
    assert_int_equal(EXPIRES("+90s"), NOW_NS + 90 * TW_SECOND_NS);
    assert_int_equal(EXPIRES("+90d"), NOW_NS + 90 * 86400 * TW_SECOND_NS);
#undef EXPIRES
    static const char *const wrong[] = {"2025-02-29",
                                        "2025-13-01",
                                        "2025-00-01",
                                        "2025-1-1",
                                        "1969-12-31",
                                        "2201-01-01",
                                        "2025-11-27T24:00:00Z",
                                        "2025-11-27T00:00:00",
                                        "tomorrow",
                                        "",
                                        "+",
                                        "+90",
                                        "+1w",
                                        "+99999999999999999999d",
                                        "+36526d"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[96];
        snprintf(json, sizeof json, "{\"path\": \"a/b/c/d\", \"expires\": \"%s\"}", wrong[i]);
        refused(command, json, "expires: '");
    }
    refused("price set",
            "{\"model\": \"*\", \"input\": \"1\", \"output\": \"1\", \"from\": \"never\"}",
            "from: 'never' is no time");
    assert_int_equal(number("key rotate", "{\"path\": \"a/b/c/d\", \"overlap\": \"0\"}", "overlap"),
                     0);
    assert_int_equal(
        number("key rotate", "{\"path\": \"a/b/c/d\", \"overlap\": \"2h\"}", "overlap"),
        7200 * TW_SECOND_NS);
    refused("key rotate", "{\"path\": \"a/b/c/d\", \"overlap\": \"2\"}", "overlap: '2' is no time");
}

static void amounts_are_exact(void **state)
{
    (void)state;
    static const char command[] = "price set";
#define INPUT(text)                                                                                \
    number(command, "{\"model\": \"*\", \"output\": \"1\", \"input\": \"" text "\"}", "input")
    assert_int_equal(INPUT("0.15"), 150000000);
    assert_int_equal(INPUT("0.000000001"), 1);
    assert_int_equal(INPUT("1000000000"), INT64_C(1000000000000000000));
#undef INPUT
    struct tw_field_value value;
    struct tw_error error;
    const struct tw_field *tpm = tw_commands_field(verb_of("org set"), "tpm");
    assert_int_equal(tw_commands_read_text(tpm, "500k", 0, &value, &error), TW_OK);
    assert_int_equal(value.integer, 500000);
    assert_int_equal(tw_commands_read_text(tpm, "20M", 0, &value, &error), TW_OK);
    assert_int_equal(value.integer, 20000000);
    assert_int_equal(tw_commands_read_text(tpm, "k", 0, &value, &error), TW_ERR_USAGE);
    assert_int_equal(tw_commands_read_text(tpm, "1kk", 0, &value, &error), TW_ERR_USAGE);
    assert_int_equal(tw_commands_read_text(tpm, "9223372036854775807G", 0, &value, &error),
                     TW_ERR_USAGE);
    assert_int_equal(tw_commands_read_text(tpm, "+5", 0, &value, &error), TW_ERR_USAGE);
}

static void what_was_not_given_is_not_set(void **state)
{
    (void)state;
    struct tw_error error;
    assert_int_equal(read_json("org set", "{\"path\": \"a\", \"rpm\": 0}", &error), TW_OK);
    assert_true(value_of("org set", "rpm")->is_set);
    assert_false(value_of("org set", "tpm")->is_set);
    assert_false(value_of("org set", "models")->is_set);
    assert_int_equal(read_json("org set", "{\"path\": \"a\", \"models\": []}", &error), TW_OK);
    assert_true(value_of("org set", "models")->is_set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_is_for_the_roles_of_the_manual_and_no_others),
        cmocka_unit_test(the_matrix_has_every_command),
        cmocka_unit_test(every_command_can_be_explained),
        cmocka_unit_test(a_wrong_word_is_answered_with_the_nearest),
        cmocka_unit_test(what_is_wrong_with_a_field_is_said_with_its_name_and_the_remedy),
        cmocka_unit_test(names_and_paths_have_letters_and_digits_only),
        cmocka_unit_test(times_are_read_as_dates_instants_and_from_now_on),
        cmocka_unit_test(amounts_are_exact),
        cmocka_unit_test(what_was_not_given_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
