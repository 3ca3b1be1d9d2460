#include "api/chat_messages.h"

#include <stdio.h>
#include <string.h>

static bool refuse_message(struct tw_api_error *error, size_t i, const char *part, const char *what)
{
    char param[64];
    snprintf(param, sizeof param, "messages[%zu]%s", i, part);
    return tw_api_refuse(error, param, "'%s' %s", param, what);
}

/* "system" for developer, too; NULL for a role that there is not. */
static const char *known_role(const char *role)
{
    static const char *const roles[][2] = {{"system", "system"},
                                           {"developer", "system"},
                                           {"user", "user"},
                                           {"assistant", "assistant"}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (role != NULL && strcmp(roles[i][0], role) == 0) {
            return roles[i][1];
        }
    }
    return NULL;
}

/* Appends the text of a message: a string, or parts of which all are text. */
static bool append_content(const json_t *message, size_t i, struct tw_buf *text,
                           struct tw_api_error *error)
{
    const json_t *content = json_object_get(message, "content");
    if (json_is_string(content)) {
        tw_buf_append(text, json_string_value(content), json_string_length(content));
        return true;
    }
    if (content == NULL || json_is_null(content)) {
        const bool may = json_is_array(json_object_get(message, "tool_calls"));
        return refuse_message(error, i, ".content",
                              may ? "is missing: calls of tools are not supported"
                                  : "is missing: give a text");
    }
    if (!json_is_array(content)) {
        return refuse_message(error, i, ".content", "must be a string or a list of text parts");
    }
    for (size_t k = 0; k < json_array_size(content); k++) {
        const json_t *part = json_array_get(content, k);
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *piece = json_object_get(part, "text");
        if (type == NULL || strcmp(type, "text") != 0 || !json_is_string(piece)) {
            return refuse_message(error, i, ".content",
                                  "has a part that is no text; models here read text only");
        }
        tw_buf_append(text, json_string_value(piece), json_string_length(piece));
    }
    return true;
}

static bool check_message(const json_t *message, size_t i, const char **ret_role,
                          struct tw_api_error *error)
{
    if (!json_is_object(message)) {
        return refuse_message(error, i, "", "must be an object with role and content");
    }
    const char *role = json_string_value(json_object_get(message, "role"));
    *ret_role = known_role(role);
    if (*ret_role == NULL) {
        return refuse_message(error, i, ".role",
                              role != NULL &&
                                      (strcmp(role, "tool") == 0 || strcmp(role, "function") == 0)
                                  ? "is not supported here: write the tool's result into a "
                                    "message of the user"
                                  : "must be system, developer, user or assistant");
    }
    return true;
}

/* All system messages into one text, and every message checked. */
static bool collect_system(const json_t *messages, struct tw_buf *text, struct tw_api_error *error)
{
    bool is_first = true;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role;
        if (!check_message(message, i, &role, error)) {
            return false;
        }
        if (strcmp(role, "system") == 0) {
            tw_buf_append_text(text, is_first ? "" : "\n\n");
            is_first = false;
            if (!append_content(message, i, text, error)) {
                return false;
            }
        }
    }
    return true;
}

static bool append_message(const struct tw_api_served *model, const char *role,
                           const struct tw_buf *text, struct tw_token_list *tokens,
                           struct tw_api_error *error)
{
    struct tw_error cause;
    if (text->failed ||
        tw_chat_format_message(&model->format, role, text->size_bytes > 0 ? text->data : "",
                               text->size_bytes, tokens, &cause) != TW_OK) {
        return text->failed ? tw_api_refuse(error, "messages", "a message is too large")
                            : tw_api_refuse_error(error, &cause, "messages");
    }
    return true;
}

static bool append_others(const struct tw_api_served *model, const json_t *messages,
                          struct tw_buf *text, struct tw_token_list *tokens,
                          struct tw_api_error *error)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = known_role(json_string_value(json_object_get(message, "role")));
        if (strcmp(role, "system") == 0) {
            continue;
        }
        tw_buf_clear(text);
        if (!append_content(message, i, text, error) ||
            !append_message(model, role, text, tokens, error)) {
            return false;
        }
    }
    return true;
}

static bool write_prompt(const struct tw_api_served *model, const json_t *messages,
                         struct tw_buf *text, struct tw_token_list *tokens,
                         struct tw_api_error *error)
{
    struct tw_error cause;
    if (!collect_system(messages, text, error)) {
        return false;
    }
    if (tw_chat_format_begin(&model->format, tokens, &cause) != TW_OK) {
        return tw_api_refuse_error(error, &cause, "messages");
    }
    if ((text->size_bytes > 0 || text->failed) &&
        !append_message(model, "system", text, tokens, error)) {
        return false;
    }
    if (!append_others(model, messages, text, tokens, error)) {
        return false;
    }
    if (tw_chat_format_answer(&model->format, tokens, &cause) != TW_OK) {
        return tw_api_refuse_error(error, &cause, "messages");
    }
    return true;
}

bool tw_api_chat_prompt(const struct tw_api_served *model, const json_t *body,
                        struct tw_token_list *tokens, struct tw_api_error *error)
{
    const json_t *messages = json_object_get(body, "messages");
    if (!json_is_array(messages) || json_array_size(messages) == 0) {
        return tw_api_refuse(error, "messages",
                             "'messages' must be a list with at least one message");
    }
    if (model->format.kind == TW_CHAT_PLAIN) {
        return tw_api_refuse(error, "model",
                             "the model '%.100s' has no chat format that is known here; use "
                             "/v1/completions",
                             model->name);
    }
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_PROMPT_BYTES);
    bool is_written = write_prompt(model, messages, &text, tokens, error);
    tw_buf_free(&text);
    return is_written;
}

bool tw_api_text_tokens(const struct tw_tokenizer *tokenizer, const json_t *text, bool with_begin,
                        int flags, struct tw_token_list *tokens, const char *param,
                        struct tw_api_error *error)
{
    struct tw_error cause;
    if (!json_is_string(text)) {
        return tw_api_refuse(error, param, "'%s' must be a string", param);
    }
    if (with_begin && tw_tokenizer_adds_bos(tokenizer) &&
        !tw_token_list_push(tokens, tw_tokenizer_bos(tokenizer))) {
        return tw_api_refuse_status(error, 503, "server_error", "out_of_memory", "no memory");
    }
    if (tw_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), flags,
                            tokens, &cause) != TW_OK) {
        return tw_api_refuse_error(error, &cause, param);
    }
    return true;
}
