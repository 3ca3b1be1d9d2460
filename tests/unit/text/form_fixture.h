/* form_fixture.h: short ways to compile a form and to ask what it accepts. */
#ifndef TW_TEST_FORM_FIXTURE_H
#define TW_TEST_FORM_FIXTURE_H

#include "text/constraint.h"

/* NULL and *error where it is refused. */
struct tw_automaton *form_of_schema(const char *schema, struct tw_error *error);
struct tw_automaton *form_of_regex(const char *pattern, struct tw_error *error);

bool form_accepts(const struct tw_automaton *automaton, const char *text);

/* Fails the test unless the form accepts (rejects) each of the texts; the list ends with NULL. */
void assert_form_accepts(const struct tw_automaton *automaton, const char *const *texts);
void assert_form_rejects(const struct tw_automaton *automaton, const char *const *texts);

#endif
