#include "remote/request_needs.h"

#include <string.h>

/* Each prescribes the form of an answer; response_format may also say "text". */
static const char *const forms[] = {
    "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "json_schema",        "grammar",     "regex",        "ebnf"};

static bool is_given(const json_t *value)
{
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_array(value) && json_array_size(value) == 0);
}

static bool needs_schemas(const json_t *request)
{
    const char *type =
        json_string_value(json_object_get(json_object_get(request, "response_format"), "type"));
    bool is_needed = type != NULL && strcmp(type, "text") != 0;
    for (size_t i = 0; !is_needed && i < sizeof forms / sizeof forms[0]; i++) {
        is_needed = is_given(json_object_get(request, forms[i]));
    }
    return is_needed;
}

/* A part of a message's content that is a picture, under OpenAI's name or a close one. */
static bool has_images(const json_t *messages)
{
    size_t i, k;
    json_t *message, *part;
    json_array_foreach (messages, i, message) {
        json_array_foreach (json_object_get(message, "content"), k, part) {
            const char *type = json_string_value(json_object_get(part, "type"));
            if (type != NULL && strstr(type, "image") != NULL) {
                return true;
            }
        }
    }
    return false;
}

static bool is_more_than_one(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) > 1;
}

uint32_t tw_request_needs(const json_t *request, bool makes_answers)
{
    uint32_t needs = makes_answers ? TW_SERVER_ANSWERS : TW_SERVER_EMBEDDINGS;
    const json_t *logprobs = json_object_get(request, "logprobs");
    if (!makes_answers) {
        return needs;
    }
    needs |= is_given(json_object_get(request, "tools")) ||
                     is_given(json_object_get(request, "functions"))
                 ? TW_SERVER_TOOLS
                 : 0;
    needs |= needs_schemas(request) ? TW_SERVER_SCHEMAS : 0;
    needs |= has_images(json_object_get(request, "messages")) ? TW_SERVER_IMAGES : 0;
    needs |= json_is_true(logprobs) || json_is_integer(logprobs) ? TW_SERVER_LOGPROBS : 0;
    needs |= is_more_than_one(json_object_get(request, "n")) ||
                     is_more_than_one(json_object_get(request, "best_of")) ||
                     is_more_than_one(json_object_get(request, "n_cmpl"))
                 ? TW_SERVER_CHOICES
                 : 0;
    return needs;
}
