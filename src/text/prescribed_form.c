#include "text/prescribed_form.h"

#include <string.h>

#include "base/mem.h"

static const char *const NAMES[] = {"nothing", "object", "schema", "regex", "choice", "calls"};

const char *tw_prescribed_kind_name(enum tw_prescribed_kind kind)
{
    return NAMES[kind];
}

bool tw_prescribed_kind_parse(const char *name, enum tw_prescribed_kind *ret_kind)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *ret_kind = (enum tw_prescribed_kind)i;
            return true;
        }
    }
    return false;
}

/* A schema may come as the text of one, too. */
static enum tw_status compile_schema(const struct tw_prescribed_form *form,
                                     struct tw_automaton **ret_automaton, struct tw_error *error)
{
    const json_t *value = form->value;
    if (!json_is_string(value)) {
        return tw_constraint_compile_schema(value, form->is_thinking, ret_automaton, error);
    }
    json_t *schema;
    enum tw_status status = tw_json_parse(json_string_value(value), json_string_length(value),
                                          "the schema", &schema, error);
    if (status == TW_OK) {
        status = tw_constraint_compile_schema(schema, form->is_thinking, ret_automaton, error);
        json_decref(schema);
    }
    return status;
}

static enum tw_status compile_choices(const struct tw_prescribed_form *form,
                                      struct tw_automaton **ret_automaton, struct tw_error *error)
{
    const size_t n = json_array_size(form->value);
    struct tw_bytes *texts = tw_mem_zalloc(n, sizeof *texts);
    enum tw_status status = TW_OK;
    if (texts == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for choices");
    }
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        const json_t *text = json_array_get(form->value, i);
        if (!json_is_string(text)) {
            status = tw_error_set(error, TW_ERR_USAGE, i, "choices must be strings");
        } else {
            texts[i] = (struct tw_bytes){json_string_value(text), json_string_length(text)};
        }
    }
    if (status == TW_OK) {
        status = tw_constraint_compile_choices(texts, n, form->is_thinking, ret_automaton, error);
    }
    tw_mem_free(texts);
    return status;
}

enum tw_status tw_prescribed_form_compile(const struct tw_prescribed_form *form,
                                          struct tw_automaton **ret_automaton,
                                          struct tw_error *error)
{
    const struct tw_tool_wish wish = {form->value, form->may_repeat, form->is_thinking};
    const json_t *value = form->value;
    switch (form->kind) {
    case TW_PRESCRIBED_SCHEMA:
        return compile_schema(form, ret_automaton, error);
    case TW_PRESCRIBED_CHOICE:
        return compile_choices(form, ret_automaton, error);
    case TW_PRESCRIBED_REGEX:
        if (!json_is_string(value)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "a pattern must be a string");
        }
        return tw_constraint_compile_regex(
            (struct tw_bytes){json_string_value(value), json_string_length(value)},
            form->is_thinking, ret_automaton, error);
    case TW_PRESCRIBED_CALLS:
        return tw_tool_calls_compile(form->tool_form, &wish, ret_automaton, error);
    case TW_PRESCRIBED_NOTHING:
    case TW_PRESCRIBED_OBJECT:
        break;
    }
    return tw_constraint_compile_object(form->is_thinking, ret_automaton, error);
}
