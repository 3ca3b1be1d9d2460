#include "api/tool_choice.h"

#include <stdio.h>
#include <string.h>

static bool refuse_tool(struct tw_api_error *error, size_t i, const char *what)
{
    char param[64];
    snprintf(param, sizeof param, "tools[%zu]", i);
    return tw_api_refuse(error, param, "'%s' %s", param, what);
}

static const json_t *function_of(const json_t *tools, size_t i)
{
    return json_object_get(json_array_get(tools, i), "function");
}

static bool check_tool(const json_t *tools, size_t i, struct tw_api_error *error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_-.";
    const char *type = json_string_value(json_object_get(json_array_get(tools, i), "type"));
    const json_t *function = function_of(tools, i);
    const char *name = json_string_value(json_object_get(function, "name"));
    const json_t *parameters = json_object_get(function, "parameters");
    if (type == NULL || strcmp(type, "function") != 0) {
        return refuse_tool(error, i, "must have the type function");
    }
    if (name == NULL || name[0] == '\0' || strspn(name, allowed) != strlen(name)) {
        return refuse_tool(error, i, "needs a function.name of letters, digits, '_', '-' and '.'");
    }
    if (parameters != NULL && !json_is_object(parameters) && !json_is_null(parameters)) {
        return refuse_tool(error, i, "has function.parameters that are no schema");
    }
    for (size_t k = 0; k < i; k++) {
        if (json_equal(json_object_get(function_of(tools, k), "name"),
                       json_object_get(function, "name"))) {
            return refuse_tool(error, i, "has the name of another one");
        }
    }
    return true;
}

static bool check_tools(const json_t *tools, const struct tw_api_served *model,
                        struct tw_api_error *error)
{
    if (!json_is_array(tools) || json_array_size(tools) > TW_LIMIT_API_TOOLS) {
        return tw_api_refuse(error, "tools", "'tools' must be a list of at most %d tools",
                             TW_LIMIT_API_TOOLS);
    }
    if (json_dumpb(tools, NULL, 0, JSON_COMPACT) > TW_LIMIT_API_TOOLS_BYTES) {
        return tw_api_refuse(error, "tools", "'tools' is longer than %u bytes",
                             TW_LIMIT_API_TOOLS_BYTES);
    }
    if (model->tool_form == NULL) {
        return tw_api_refuse(error, "tools",
                             "the model '%.100s' has no chat template that writes calls of tools "
                             "in a form that is known here",
                             model->name);
    }
    for (size_t i = 0; i < json_array_size(tools); i++) {
        if (!check_tool(tools, i, error)) {
            return false;
        }
    }
    return true;
}

/* The functions of which one must be called: all, or the one that is named. NULL: refused. */
static json_t *prescribed(const json_t *tools, const char *name, struct tw_api_error *error)
{
    json_t *functions = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        json_t *function = json_object_get(json_array_get(tools, i), "function");
        const char *own = json_string_value(json_object_get(function, "name"));
        if (name == NULL || strcmp(own, name) == 0) {
            json_array_append(functions, function);
        }
    }
    if (json_array_size(functions) == 0) {
        json_decref(functions);
        tw_api_refuse(error, "tool_choice",
                      "'tool_choice' names '%.64s', which is no tool of this "
                      "request",
                      name != NULL ? name : "");
        return NULL;
    }
    return functions;
}

static bool prescribe(struct tw_api_form *form, const json_t *tools, const char *name,
                      struct tw_api_error *error)
{
    if (form->wish.kind != TW_PRESCRIBED_NOTHING) {
        return tw_api_refuse(error, "tool_choice",
                             "'tool_choice' and another parameter both prescribe the form of the "
                             "answer; give one of them");
    }
    form->functions = prescribed(tools, name, error);
    form->wish.value = form->functions;
    form->wish.kind = TW_PRESCRIBED_CALLS;
    snprintf(form->param, sizeof form->param, "tools");
    return form->functions != NULL;
}

bool tw_api_tools_read(struct tw_api_tools *tools, struct tw_api_form *form, const json_t *body,
                       const struct tw_api_served *model, struct tw_api_error *error)
{
    const json_t *list = json_object_get(body, "tools");
    const json_t *choice = json_object_get(body, "tool_choice");
    const char *word = json_string_value(choice);
    const char *name =
        json_string_value(json_object_get(json_object_get(choice, "function"), "name"));
    const bool is_none = word != NULL && strcmp(word, "none") == 0;
    const bool is_auto =
        choice == NULL || json_is_null(choice) || (word != NULL && strcmp(word, "auto") == 0);
    const bool is_required = word != NULL && strcmp(word, "required") == 0;
    const bool has_tools =
        list != NULL && !json_is_null(list) && !(json_is_array(list) && json_array_size(list) == 0);
    if (!is_none && !is_auto && !is_required && name == NULL) {
        return tw_api_refuse(error, "tool_choice",
                             "'tool_choice' must be none, auto, required, or an object that names "
                             "a function");
    }
    if (!has_tools) {
        return is_none || is_auto ||
               tw_api_refuse(error, "tool_choice", "'tool_choice' needs 'tools'");
    }
    if (!check_tools(list, model, error)) {
        return false;
    }
    tools->shown = is_none ? NULL : list;
    form->wish.may_repeat =
        is_required && !json_is_false(json_object_get(body, "parallel_tool_calls"));
    return is_none || is_auto || prescribe(form, list, is_required ? NULL : name, error);
}
