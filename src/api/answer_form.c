#include "api/answer_form.h"

#include <stdio.h>
#include <string.h>

/* ---- finding what is asked for ---- */

static bool add_wish(struct tw_api_form *form, enum tw_prescribed_kind kind, const json_t *value,
                     const char *param, struct tw_api_error *error)
{
    if (value == NULL || json_is_null(value) || json_is_false(value)) {
        return true;
    }
    if (form->wish.kind != TW_PRESCRIBED_NOTHING) {
        return tw_api_refuse(error, param, "'%s' and '%s' both prescribe a form; give one of them",
                             form->param, param);
    }
    form->wish.kind = kind;
    form->wish.value = value;
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
                   ? add_wish(form, TW_PRESCRIBED_SCHEMA, schema, "response_format.schema", error)
                   : add_wish(form, TW_PRESCRIBED_OBJECT, format, param, error);
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
    return add_wish(form, TW_PRESCRIBED_SCHEMA, schema, "response_format.json_schema.schema",
                    error);
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
    return add_wish(form, TW_PRESCRIBED_SCHEMA, json_object_get(outputs, "json"),
                    "structured_outputs.json", error) &&
           add_wish(form, TW_PRESCRIBED_REGEX, json_object_get(outputs, "regex"),
                    "structured_outputs.regex", error) &&
           add_wish(form, TW_PRESCRIBED_CHOICE, json_object_get(outputs, "choice"),
                    "structured_outputs.choice", error) &&
           add_wish(form, TW_PRESCRIBED_OBJECT, json_object_get(outputs, "json_object"),
                    "structured_outputs.json_object", error);
}

bool tw_api_form_read(struct tw_api_form *form, const json_t *body, struct tw_api_error *error)
{
    static const struct {
        const char *name;
        enum tw_prescribed_kind kind;
    } plain[] = {{"guided_json", TW_PRESCRIBED_SCHEMA},
                 {"json_schema", TW_PRESCRIBED_SCHEMA},
                 {"guided_regex", TW_PRESCRIBED_REGEX},
                 {"guided_choice", TW_PRESCRIBED_CHOICE}};
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

bool tw_api_form_compile(struct tw_api_form *form, const json_t *body,
                         const struct tw_api_served *model, bool is_thinking,
                         struct tw_api_error *error)
{
    struct tw_error cause;
    if (form->wish.kind == TW_PRESCRIBED_NOTHING) {
        return true;
    }
    if (json_is_true(json_object_get(body, "ignore_eos"))) {
        return tw_api_refuse(error, "ignore_eos",
                             "'ignore_eos' has no place beside '%s': the answer ends with its form",
                             form->param);
    }
    form->wish.is_thinking = is_thinking;
    form->wish.tool_form = model->tool_form;
    if (tw_prescribed_form_compile(&form->wish, &form->automaton, &cause) != TW_OK ||
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
