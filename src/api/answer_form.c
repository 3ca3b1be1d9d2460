#include "api/answer_form.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* ---- finding what is asked for ---- */

static bool add_wish(struct tw_api_form *form, enum tw_api_form_kind kind, const json_t *value,
                     const char *param, struct tw_api_error *error)
{
    if (value == NULL || json_is_null(value) || json_is_false(value)) {
        return true;
    }
    if (form->kind != TW_API_FORM_NONE) {
        return tw_api_refuse(error, param, "'%s' and '%s' both prescribe a form; give one of them",
                             form->param, param);
    }
    form->kind = kind;
    form->value = value;
    snprintf(form->param, sizeof form->param, "%s", param);
    return true;
}

static bool read_response_format(struct tw_api_form *form, const json_t *body,
                                 struct tw_api_error *error)
{
    static const char param[] = "response_format";
    const json_t *format = json_object_get(body, param);
    if (format == NULL || json_is_null(format)) {
        return true;
    }
    const char *type = json_string_value(json_object_get(format, "type"));
    if (type == NULL) {
        return tw_api_refuse(error, param,
                             "'response_format' must be an object with a type: text, "
                             "json_object or json_schema");
    }
    if (strcmp(type, "text") == 0) {
        return true;
    }
    if (strcmp(type, "json_object") == 0) {
        const json_t *schema = json_object_get(format, "schema");
        return schema != NULL
                   ? add_wish(form, TW_API_FORM_SCHEMA, schema, "response_format.schema", error)
                   : add_wish(form, TW_API_FORM_OBJECT, format, param, error);
    }
    if (strcmp(type, "json_schema") != 0) {
        return tw_api_refuse(error, "response_format.type",
                             "'response_format.type' is '%.40s'; it must be text, json_object or "
                             "json_schema",
                             type);
    }
    const json_t *schema = json_object_get(json_object_get(format, "json_schema"), "schema");
    if (schema == NULL) {
        return tw_api_refuse(error, "response_format.json_schema",
                             "'response_format.json_schema' must be an object with a schema");
    }
    return add_wish(form, TW_API_FORM_SCHEMA, schema, "response_format.json_schema.schema", error);
}

static bool read_structured(struct tw_api_form *form, const json_t *body,
                            struct tw_api_error *error)
{
    static const char param[] = "structured_outputs";
    const json_t *outputs = json_object_get(body, param);
    if (outputs == NULL || json_is_null(outputs)) {
        return true;
    }
    if (!json_is_object(outputs)) {
        return tw_api_refuse(error, param, "'structured_outputs' must be an object");
    }
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)outputs, name, value) {
        if (!json_is_null(value) && strcmp(name, "json") != 0 && strcmp(name, "regex") != 0 &&
            strcmp(name, "choice") != 0 && strcmp(name, "json_object") != 0) {
            return tw_api_refuse(error, param,
                                 "'structured_outputs.%.40s' is not supported here; json, regex, "
                                 "choice and json_object are",
                                 name);
        }
    }
    return add_wish(form, TW_API_FORM_SCHEMA, json_object_get(outputs, "json"),
                    "structured_outputs.json", error) &&
           add_wish(form, TW_API_FORM_REGEX, json_object_get(outputs, "regex"),
                    "structured_outputs.regex", error) &&
           add_wish(form, TW_API_FORM_CHOICE, json_object_get(outputs, "choice"),
                    "structured_outputs.choice", error) &&
           add_wish(form, TW_API_FORM_OBJECT, json_object_get(outputs, "json_object"),
                    "structured_outputs.json_object", error);
}

bool tw_api_form_read(struct tw_api_form *form, const json_t *body, struct tw_api_error *error)
{
    static const struct {
        const char *name;
        enum tw_api_form_kind kind;
    } plain[] = {{"guided_json", TW_API_FORM_SCHEMA},
                 {"json_schema", TW_API_FORM_SCHEMA},
                 {"guided_regex", TW_API_FORM_REGEX},
                 {"guided_choice", TW_API_FORM_CHOICE}};
    if (!read_response_format(form, body, error) || !read_structured(form, body, error)) {
        return false;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (!add_wish(form, plain[i].kind, json_object_get(body, plain[i].name), plain[i].name,
                      error)) {
            return false;
        }
    }
    return true;
}

/* ---- compiling it ---- */

/* A schema may come as the text of one, too. */
static enum tw_status compile_schema(struct tw_api_form *form, bool is_thinking,
                                     struct tw_error *error)
{
    if (!json_is_string(form->value)) {
        return tw_constraint_compile_schema(form->value, is_thinking, &form->automaton, error);
    }
    json_t *schema;
    enum tw_status status =
        tw_json_parse(json_string_value(form->value), json_string_length(form->value), "the schema",
                      &schema, error);
    if (status == TW_OK) {
        status = tw_constraint_compile_schema(schema, is_thinking, &form->automaton, error);
        json_decref(schema);
    }
    return status;
}

static enum tw_status compile_choices(struct tw_api_form *form, bool is_thinking,
                                      struct tw_error *error)
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
        status = tw_constraint_compile_choices(texts, n, is_thinking, &form->automaton, error);
    }
    tw_mem_free(texts);
    return status;
}

static enum tw_status compile(struct tw_api_form *form, const struct tw_api_served *model,
                              bool is_thinking, struct tw_error *error)
{
    const struct tw_tool_wish wish = {form->functions, form->may_repeat, is_thinking};
    const json_t *value = form->value;
    switch (form->kind) {
    case TW_API_FORM_SCHEMA:
        return compile_schema(form, is_thinking, error);
    case TW_API_FORM_CHOICE:
        return compile_choices(form, is_thinking, error);
    case TW_API_FORM_REGEX:
        if (!json_is_string(value)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "a pattern must be a string");
        }
        return tw_constraint_compile_regex(
            (struct tw_bytes){json_string_value(value), json_string_length(value)}, is_thinking,
            &form->automaton, error);
    case TW_API_FORM_CALLS:
        return tw_tool_calls_compile(model->tool_form, &wish, &form->automaton, error);
    case TW_API_FORM_NONE:
    case TW_API_FORM_OBJECT:
        break;
    }
    return tw_constraint_compile_object(is_thinking, &form->automaton, error);
}

bool tw_api_form_compile(struct tw_api_form *form, const json_t *body,
                         const struct tw_api_served *model, bool is_thinking,
                         struct tw_api_error *error)
{
    struct tw_error cause;
    if (form->kind == TW_API_FORM_NONE) {
        return true;
    }
    if (json_is_true(json_object_get(body, "ignore_eos"))) {
        return tw_api_refuse(error, "ignore_eos",
                             "'ignore_eos' has no place beside '%s': the answer ends with its form",
                             form->param);
    }
    if (compile(form, model, is_thinking, &cause) != TW_OK ||
        tw_masker_create(form->automaton, tw_backend_token_trie(model->backend), &form->masker,
                         &cause) != TW_OK) {
        return tw_api_refuse_error(error, &cause, form->param);
    }
    return true;
}

void tw_api_form_free(struct tw_api_form *form)
{
    tw_masker_free(form->masker);
    tw_automaton_free(form->automaton);
    json_decref(form->functions);
    *form = (struct tw_api_form){0};
}
