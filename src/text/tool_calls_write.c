/* Calls that are prescribed, as grammar. */
#include <string.h>

#include "text/tool_calls_parts.h"

enum tw_status tw_tool_add_object(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                  const json_t *schema, struct tw_error *error)
{
    return tw_schema_add(grammar, from, to, schema, error);
}

static enum tw_status refuse(struct tw_error *error, const char *what)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "calls of this model are written as parameters with names, so their schema "
                        "must be an object with properties; '%.64s' is not possible",
                        what);
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(*words, word) != 0) {
        words++;
    }
    return *words != NULL;
}

static bool is_required(const json_t *schema, const char *name)
{
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *item = json_string_value(json_array_get(required, i));
        if (item != NULL && strcmp(item, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether properties say all: what is written is then what the schema allows. */
static enum tw_status check_schema(const json_t *schema, struct tw_error *error)
{
    static const char *const known[] = {
        "type",     "properties",  "required", "additionalProperties",
        "title",    "description", "$defs",    "definitions",
        "$schema",  "$id",         "$comment", "default",
        "examples", NULL};
    const char *type = json_string_value(json_object_get(schema, "type"));
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)schema, name, value) {
        if (!is_one_of(name, known)) {
            return refuse(error, name);
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)properties, name, value) {
        if (name[0] == '\0' || strpbrk(name, "<>\n") != NULL ||
            strlen(name) >= TW_LIMIT_TOOL_NAME_BYTES) {
            return refuse(error, name);
        }
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        name = json_string_value(json_array_get(required, i));
        if (name == NULL || json_object_get(properties, name) == NULL) {
            return refuse(error, "required");
        }
    }
    if ((properties != NULL && !json_is_object(properties)) ||
        (type == NULL ? json_object_get(schema, "type") != NULL : strcmp(type, "object") != 0)) {
        return refuse(error, "type");
    }
    return TW_OK;
}

/* "<parameter=NAME>\nVALUE\n</parameter>\n", each in its turn; those not required may not come. */
enum tw_status tw_tool_add_parameters(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                      const json_t *schema, struct tw_error *error)
{
    enum tw_status status = check_schema(schema, error);
    const char *name;
    const json_t *value;
    json_object_foreach (json_object_get(schema, "properties"), name, value) {
        if (status != TW_OK) {
            break;
        }
        const uint32_t named = tw_grammar_add_node(grammar), begin = tw_grammar_add_node(grammar);
        const uint32_t closed = tw_grammar_add_node(grammar), next = tw_grammar_add_node(grammar);
        const uint32_t end = tw_grammar_add_node(grammar);
        tw_grammar_add_text(grammar, from, named, tw_bytes_of("<parameter="));
        tw_grammar_add_text(grammar, named, closed, tw_bytes_of(name));
        tw_grammar_add_text(grammar, closed, begin, tw_bytes_of(">\n"));
        const struct tw_schema_part part = {
            .root = schema,
            .schema = value,
            .without = tw_tool_is_string(schema, value) ? "</parameter>" : NULL};
        status = tw_schema_add_part(grammar, begin, end, &part, error);
        tw_grammar_add_text(grammar, end, next, tw_bytes_of("\n</parameter>\n"));
        if (!is_required(schema, name)) {
            tw_grammar_add_empty(grammar, from, next);
        }
        from = next;
    }
    tw_grammar_add_empty(grammar, from, to);
    return status;
}

static enum tw_status add_call(const struct tw_tool_form *form, struct tw_grammar *grammar,
                               uint32_t from, uint32_t to, const json_t *function,
                               struct tw_error *error)
{
    static const char any[] = "{\"type\":\"object\"}";
    const json_t *name = json_object_get(function, "name");
    const json_t *parameters = json_object_get(function, "parameters");
    json_t *made = NULL;
    if (parameters == NULL || json_is_null(parameters)) {
        enum tw_status parsed = tw_json_parse(any, sizeof any - 1, "parameters", &made, error);
        if (parsed != TW_OK) {
            return parsed;
        }
        parameters = made;
    }
    const uint32_t open = tw_grammar_add_node(grammar), named = tw_grammar_add_node(grammar);
    const uint32_t begin = tw_grammar_add_node(grammar), end = tw_grammar_add_node(grammar);
    tw_grammar_add_text(grammar, from, open, tw_bytes_of(form->open));
    tw_grammar_add_json_text(grammar, open, named,
                             (struct tw_bytes){json_string_value(name), json_string_length(name)});
    tw_grammar_add_text(grammar, named, begin, tw_bytes_of(form->middle));
    enum tw_status status = form->add_arguments(grammar, begin, end, parameters, error);
    tw_grammar_add_text(grammar, end, to, tw_bytes_of(form->end));
    json_decref(made);
    return status;
}

struct calls {
    const struct tw_tool_form *form;
    const struct tw_tool_wish *wish;
};

static enum tw_status fill_calls(struct tw_grammar *grammar, struct tw_grammar_rule rule,
                                 const void *what, struct tw_error *error)
{
    const struct calls *calls = what;
    const uint32_t end = tw_grammar_add_node(grammar);
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < json_array_size(calls->wish->functions); i++) {
        status = add_call(calls->form, grammar, rule.begin, end,
                          json_array_get(calls->wish->functions, i), error);
    }
    tw_grammar_add_empty(grammar, end, rule.end);
    if (calls->wish->may_repeat && calls->form->separator != NULL) {
        tw_grammar_add_text(grammar, end, rule.begin, tw_bytes_of(calls->form->separator));
    }
    return status;
}

enum tw_status tw_tool_calls_compile(const struct tw_tool_form *form,
                                     const struct tw_tool_wish *wish,
                                     struct tw_automaton **ret_automaton, struct tw_error *error)
{
    const struct calls calls = {form, wish};
    return tw_constraint_compile(fill_calls, &calls, "the tools", wish->is_thinking, ret_automaton,
                                 error);
}
