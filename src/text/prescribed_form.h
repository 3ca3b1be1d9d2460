/* prescribed_form.h: a form that somebody prescribes for an answer, of whatever kind, as an
 * automaton (constraint.h): one place for those who read it from a request and from a record.
 *
 * Ownership: what it points to is the caller's; the automaton as well. Threads: any.
 * Errors: those of constraint.h and tool_calls.h; TW_ERR_USAGE for a value of the wrong type.
 */
#ifndef TW_TEXT_PRESCRIBED_FORM_H
#define TW_TEXT_PRESCRIBED_FORM_H

#include "base/json.h"
#include "text/constraint.h"
#include "text/tool_calls.h"

enum tw_prescribed_kind {
    TW_PRESCRIBED_NOTHING = 0,
    TW_PRESCRIBED_OBJECT, /* any JSON object */
    TW_PRESCRIBED_SCHEMA,
    TW_PRESCRIBED_REGEX,
    TW_PRESCRIBED_CHOICE,
    TW_PRESCRIBED_CALLS /* of tools */
};

struct tw_prescribed_form {
    enum tw_prescribed_kind kind;
    /* SCHEMA: it, or its text; REGEX: a string; CHOICE: a list of strings; CALLS: the functions,
     * as tool_calls.h has them. */
    const json_t *value;
    bool may_repeat;                      /* CALLS: more than one */
    bool is_thinking;                     /* it stands behind the end of a thought */
    const struct tw_tool_form *tool_form; /* CALLS */
};

enum tw_status tw_prescribed_form_compile(const struct tw_prescribed_form *form,
                                          struct tw_automaton **ret_automaton,
                                          struct tw_error *error);

/* "schema", ... */
const char *tw_prescribed_kind_name(enum tw_prescribed_kind kind);
bool tw_prescribed_kind_parse(const char *name, enum tw_prescribed_kind *ret_kind);

#endif
