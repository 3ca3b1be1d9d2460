/* jinja_builtins.h: filters, tests, functions and methods, a table row each.
 *
 *     {"indent", indent, "width first blank", 0}: {{ text | indent(2, first=true) }}
 *                                             a = {text, 2, true, absent}
 *
 * Arguments are put in their places by position or name; a[0] is what the filter or test is
 * applied to, or the method's object. A row without parameters takes the arguments as they are.
 *
 * Invariants: those of jinja_value.h. Threads: the tables are constant.
 * Errors: a wrong number of arguments, an unknown name of one, a kind that a row cannot take.
 */
#ifndef TW_TEXT_JINJA_BUILTINS_H
#define TW_TEXT_JINJA_BUILTINS_H

#include "text/jinja_run.h"

enum { TW_JINJA_MOST_PARAMETERS = 6 };

struct tw_jinja_builtin {
    const char *name;
    struct tw_jinja_value (*run)(struct tw_jinja *j, struct tw_jinja_value *a,
                                 struct tw_jinja_arguments *arguments);
    const char *parameters; /* names with a space between them; "-" has none; NULL: see above */
    int n_required;
};

const struct tw_jinja_builtin *tw_jinja_find_row(const struct tw_jinja_builtin *rows, size_t n_rows,
                                                 struct tw_bytes name);
struct tw_jinja_value tw_jinja_run_builtin(struct tw_jinja *j,
                                           const struct tw_jinja_builtin *builtin,
                                           struct tw_jinja_value self,
                                           struct tw_jinja_arguments *arguments);

const struct tw_jinja_builtin *tw_jinja_find_filter(struct tw_bytes name);
const struct tw_jinja_builtin *tw_jinja_find_sequence_filter(struct tw_bytes name);
const struct tw_jinja_builtin *tw_jinja_find_test(struct tw_bytes name);
const struct tw_jinja_builtin *tw_jinja_find_function(struct tw_bytes name);
const struct tw_jinja_builtin *tw_jinja_find_method(struct tw_jinja_value object,
                                                    struct tw_bytes name);

/* For rows: an argument as what it must be, or a failure. */
int64_t tw_jinja_int_argument(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_absent);
bool tw_jinja_flag_argument(struct tw_jinja_value value, bool if_absent);
struct tw_jinja_string *tw_jinja_string_argument(struct tw_jinja *j, struct tw_jinja_value value);
/* text.replace(old, new) and text.strip(characters): filters and methods alike. */
struct tw_jinja_value tw_jinja_replace(struct tw_jinja *j, struct tw_jinja_value text,
                                       struct tw_jinja_value old, struct tw_jinja_value new,
                                       int64_t most);
struct tw_jinja_value tw_jinja_strip(struct tw_jinja *j, struct tw_jinja_value text,
                                     struct tw_jinja_value characters, bool left, bool right);
enum tw_jinja_case { TW_JINJA_UPPER = 0, TW_JINJA_LOWER, TW_JINJA_TITLE };
/* One character behind another, in upper, lower or title case. */
struct tw_jinja_value tw_jinja_in_case(struct tw_jinja *j, struct tw_jinja_value text,
                                       enum tw_jinja_case first, enum tw_jinja_case rest);
/* The lines of a text, without their ends. */
struct tw_jinja_value tw_jinja_lines(struct tw_jinja *j, struct tw_jinja_value text,
                                     bool keep_ends);

#endif
