#include "form_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct tw_automaton *form_of_schema(const char *schema, struct tw_error *error)
{
    json_t *json;
    struct tw_automaton *automaton = NULL;
    if (tw_json_parse(schema, strlen(schema), "schema", &json, error) != TW_OK) {
        fail_msg("%s: %s", schema, error->text);
    }
    tw_constraint_compile_schema(json, false, &automaton, error);
    json_decref(json);
    return automaton;
}

struct tw_automaton *form_of_regex(const char *pattern, struct tw_error *error)
{
    struct tw_automaton *automaton = NULL;
    tw_constraint_compile_regex(tw_bytes_of(pattern), false, &automaton, error);
    return automaton;
}

bool form_accepts(const struct tw_automaton *automaton, const char *text)
{
    struct tw_walk walk;
    tw_walk_begin(&walk);
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (!tw_walk_step(automaton, &walk, (unsigned char)text[i])) {
            return false;
        }
    }
    return tw_walk_accepts(automaton, &walk);
}

void assert_form_accepts(const struct tw_automaton *automaton, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        if (!form_accepts(automaton, *texts)) {
            fail_msg("'%s' should be accepted", *texts);
        }
    }
}

void assert_form_rejects(const struct tw_automaton *automaton, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        if (form_accepts(automaton, *texts)) {
            fail_msg("'%s' should be rejected", *texts);
        }
    }
}
