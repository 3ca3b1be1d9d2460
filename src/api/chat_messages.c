#include "api/chat_messages.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static bool refuse_message(struct tw_api_error *error, size_t i, const char *part, const char *what)
{
    char param[64];
    snprintf(param, sizeof param, "messages[%zu]%s", i, part);
    return tw_api_refuse(error, param, "'%s' %s", param, what);
}

/* "system" for developer, too; NULL for a role that there is not. */
static const char *known_role(const char *role)
{
    static const char *const roles[][2] = {{"system", "system"}, {"developer", "system"},
                                           {"user", "user"},     {"assistant", "assistant"},
                                           {"tool", "tool"},     {"function", "tool"}};
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
        return may || refuse_message(error, i, ".content", "is missing: give a text");
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

/* ---- calls of tools, as an assistant made them before ---- */

/* Templates write arguments themselves, so they get them as a value and not as its text. */
static json_t *call_for_template(const json_t *call, size_t i, struct tw_api_error *error)
{
    const json_t *function = json_object_get(call, "function");
    const json_t *name = json_object_get(function, "name");
    json_t *arguments = json_object_get(function, "arguments");
    struct tw_error cause;
    if (!json_is_string(name)) {
        refuse_message(error, i, ".tool_calls", "has a call without function.name");
        return NULL;
    }
    if (!json_is_string(arguments)) {
        json_incref(arguments);
    } else if (tw_json_parse(json_string_value(arguments), json_string_length(arguments),
                             "the arguments", &arguments, &cause) != TW_OK) {
        refuse_message(error, i, ".tool_calls", "has arguments that are no JSON");
        return NULL;
    }
    json_t *value = json_pack("{s:s, s:{s:s, s:o}}", "type", "function", "function", "name",
                              json_string_value(name), "arguments",
                              arguments != NULL ? arguments : json_object());
    const json_t *id = json_object_get(call, "id");
    if (value != NULL && json_is_string(id)) {
        json_object_set_new(value, "id", json_string(json_string_value(id)));
    }
    if (value == NULL) {
        tw_api_refuse_memory(error);
    }
    return value;
}

static bool add_calls(json_t *out, const json_t *message, size_t i, struct tw_api_error *error)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t *list = json_is_array(calls) && json_array_size(calls) > 0 ? json_array() : NULL;
    for (size_t k = 0; list != NULL && k < json_array_size(calls); k++) {
        json_t *call = call_for_template(json_array_get(calls, k), i, error);
        if (call == NULL || json_array_append_new(list, call) != 0) {
            json_decref(list);
            return call != NULL ? tw_api_refuse_memory(error) : false;
        }
    }
    return list == NULL || json_object_set_new(out, "tool_calls", list) == 0 ||
           tw_api_refuse_memory(error);
}

/* ---- messages as templates want them ---- */

/* What else templates look at. `reasoning` is a newer name of their reasoning_content. */
static bool add_others(json_t *out, const json_t *message)
{
    static const char *const names[][2] = {{"name", "name"},
                                           {"tool_call_id", "tool_call_id"},
                                           {"reasoning", "reasoning_content"},
                                           {"reasoning_content", "reasoning_content"}};
    bool is_added = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *value = json_object_get(message, names[i][0]);
        if (json_is_string(value)) {
            is_added = is_added &&
                       json_object_set_new(out, names[i][1],
                                           json_stringn_nocheck(json_string_value(value),
                                                                json_string_length(value))) == 0;
        }
    }
    return is_added;
}

static bool check_message(const json_t *message, size_t i, const char **ret_role,
                          struct tw_api_error *error)
{
    if (!json_is_object(message)) {
        return refuse_message(error, i, "", "must be an object with role and content");
    }
    *ret_role = known_role(json_string_value(json_object_get(message, "role")));
    return *ret_role != NULL ||
           refuse_message(error, i, ".role", "must be system, developer, user, assistant or tool");
}

/* All system messages into one text, and every message checked. */
static bool collect_system(const json_t *messages, struct tw_buf *text, struct tw_api_error *error)
{
    bool is_first = true;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = NULL;
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

static json_t *add_message(json_t *list, const char *role, const struct tw_buf *text,
                           struct tw_api_error *error)
{
    if (text->failed) {
        tw_api_refuse(error, "messages", "a message is too large");
        return NULL;
    }
    json_t *message =
        tw_chat_message(role, text->size_bytes > 0 ? text->data : "", text->size_bytes);
    if (message == NULL || json_array_append_new(list, message) != 0) {
        tw_api_refuse_memory(error);
        return NULL;
    }
    return message;
}

static bool add_messages(json_t *list, const json_t *messages, struct tw_buf *text,
                         struct tw_api_error *error)
{
    if (!collect_system(messages, text, error)) {
        return false;
    }
    if ((text->size_bytes > 0 || text->failed) &&
        add_message(list, "system", text, error) == NULL) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = known_role(json_string_value(json_object_get(message, "role")));
        if (strcmp(role, "system") == 0) {
            continue;
        }
        tw_buf_clear(text);
        if (!append_content(message, i, text, error)) {
            return false;
        }
        json_t *out = add_message(list, role, text, error);
        if (out == NULL || !add_calls(out, message, i, error)) {
            return false;
        }
        if (!add_others(out, message)) {
            return tw_api_refuse_memory(error);
        }
    }
    return true;
}

/* ---- tokens ---- */

/* How the messages are to be written. */
struct manner {
    bool begins_answer, continues;
    const json_t *tools;
    json_t *more; /* variables for the template; or NULL */
};

static bool read_flag(const json_t *body, const char *name, bool *ret_value, bool *ret_is_said,
                      struct tw_api_error *error)
{
    const json_t *value = json_object_get(body, name);
    *ret_is_said = value != NULL && !json_is_null(value);
    if (*ret_is_said && !json_is_boolean(value)) {
        return tw_api_refuse(error, name, "'%s' must be true or false", name);
    }
    *ret_value = *ret_is_said ? json_is_true(value) : *ret_value;
    return true;
}

static bool read_manner(struct manner *manner, const json_t *body, bool may_think,
                        struct tw_api_error *error)
{
    static const char continues[] = "continue_final_message";
    const json_t *more = json_object_get(body, "chat_template_kwargs");
    const json_t *messages = json_object_get(body, "messages");
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    bool is_said, unused;
    if (more != NULL && !json_is_object(more) && !json_is_null(more)) {
        return tw_api_refuse(error, "chat_template_kwargs",
                             "'chat_template_kwargs' must be an object");
    }
    if (!read_flag(body, continues, &manner->continues, &unused, error) ||
        !read_flag(body, "add_generation_prompt", &manner->begins_answer, &is_said, error)) {
        return false;
    }
    if (manner->continues && is_said && manner->begins_answer) {
        return tw_api_refuse(error, continues,
                             "'continue_final_message' and 'add_generation_prompt' contradict each "
                             "other: an answer is continued, or a new one begins");
    }
    if (manner->continues && (role == NULL || strcmp(role, "assistant") != 0 ||
                              json_array_size(json_object_get(last, "tool_calls")) > 0)) {
        return tw_api_refuse(error, continues,
                             "'continue_final_message' needs a last message of the assistant, "
                             "without calls of tools");
    }
    manner->begins_answer = manner->begins_answer && !manner->continues;
    manner->more = json_is_object(more) ? json_copy((json_t *)(uintptr_t)more) : NULL;
    if (!may_think && json_object_get(manner->more, "enable_thinking") == NULL) {
        manner->more = manner->more != NULL ? manner->more : json_object();
        json_object_set_new(manner->more, "enable_thinking", json_false());
    }
    return true;
}

/* Takes back the end of the last message: its marker, which no text can be, and what is behind. */
static void drop_close(const struct tw_chat_format *format, struct tw_token_list *tokens)
{
    size_t n = tokens->n_tokens;
    while (n > 0 && tokens->ids[n - 1] != format->close) {
        n--;
    }
    tokens->n_tokens = n > 0 ? n - 1 : 0;
}

static bool refuse_tokens(struct tw_api_error *error, const struct tw_token_list *tokens,
                          const struct tw_error *cause, const char *param)
{
    if (!tokens->is_full) {
        return tw_api_refuse_error(error, cause, param);
    }
    tw_api_refuse_status(error, 400, "invalid_request_error", "context_length_exceeded",
                         "the prompt has more than %zu tokens; the model's context is %zu tokens",
                         tokens->most_tokens, tokens->most_tokens / TW_LIMIT_API_PROMPT_CONTEXTS);
    snprintf(error->param, sizeof error->param, "%s", param);
    return false;
}

static bool encode_by_format(const struct tw_api_served *model, const json_t *messages,
                             const struct manner *manner, struct tw_token_list *tokens,
                             struct tw_error *cause)
{
    const size_t n = json_array_size(messages);
    enum tw_status status = tw_chat_format_begin(&model->format, tokens, cause);
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        const json_t *message = json_array_get(messages, i);
        const json_t *content = json_object_get(message, "content");
        const char *role = json_string_value(json_object_get(message, "role"));
        const char *text = json_string_value(content);
        const size_t text_bytes = json_string_length(content);
        if (strcmp(role, "tool") == 0 || json_object_get(message, "tool_calls") != NULL) {
            status = tw_error_set(cause, TW_ERR_USAGE, TW_NO_POSITION,
                                  "the model has no chat template, and the built-in formats have "
                                  "no place for tools");
        } else {
            status = tw_chat_format_message(&model->format, role, text, text_bytes, tokens, cause);
        }
    }
    if (status == TW_OK && manner->continues) {
        drop_close(&model->format, tokens);
    }
    return status == TW_OK && (!manner->begins_answer ||
                               tw_chat_format_answer(&model->format, tokens, cause) == TW_OK);
}

static bool encode(const struct tw_api_served *model, const json_t *messages,
                   const struct manner *manner, struct tw_token_list *tokens,
                   struct tw_api_error *error)
{
    struct tw_error cause;
    if (model->chat_template == NULL) {
        return encode_by_format(model, messages, manner, tokens, &cause) ||
               refuse_tokens(error, tokens, &cause, "messages");
    }
    const time_t seconds = (time_t)(tw_clock_wall_ns() / TW_SECOND_NS);
    struct tm now;
    localtime_r(&seconds, &now);
    const struct tw_chat_prompt prompt = {.messages = messages,
                                          .tools = manner->tools,
                                          .add_generation_prompt = manner->begins_answer,
                                          .continues = manner->continues,
                                          .more = manner->more,
                                          .now = &now};
    return tw_chat_template_encode(model->chat_template, &prompt, tokens, &cause) == TW_OK ||
           refuse_tokens(error, tokens, &cause, "messages");
}

bool tw_api_chat_prompt(const struct tw_api_served *model, const json_t *body, const json_t *tools,
                        bool may_think, struct tw_token_list *tokens, struct tw_api_error *error)
{
    const json_t *messages = json_object_get(body, "messages");
    if (!json_is_array(messages) || json_array_size(messages) == 0) {
        return tw_api_refuse(error, "messages",
                             "'messages' must be a list with at least one message");
    }
    if (model->chat_template == NULL && model->format.kind == TW_CHAT_PLAIN) {
        return tw_api_refuse(error, "model",
                             "the model '%.100s' has no chat format that is known here; use "
                             "/v1/completions",
                             model->name);
    }
    struct manner manner = {.begins_answer = true, .tools = tools};
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_PROMPT_BYTES);
    json_t *list = json_array();
    bool is_written = add_messages(list, messages, &text, error) &&
                      read_manner(&manner, body, may_think || !model->thinks, error) &&
                      encode(model, list, &manner, tokens, error);
    json_decref(list);
    json_decref(manner.more);
    tw_buf_free(&text);
    return is_written;
}

void tw_api_bound_prompt(const struct tw_api_served *model, struct tw_token_list *tokens)
{
    tokens->most_tokens =
        (size_t)tw_backend_context_tokens(model->backend) * TW_LIMIT_API_PROMPT_CONTEXTS;
}

enum tw_reasoning_state tw_api_thought_behind(const struct tw_api_served *model,
                                              const struct tw_token_list *prompt)
{
    enum { MOST_TOKENS = 16 }; /* of a tag and the white space behind it */
    struct tw_detokenizer detokenizer;
    struct tw_buf text;
    if (!model->thinks) {
        return TW_REASONING_TEXT;
    }
    tw_buf_init(&text, MOST_TOKENS * (size_t)TW_LIMIT_TOKEN_BYTES);
    tw_detokenizer_init(&detokenizer, tw_backend_tokenizer(model->backend), true);
    size_t i = prompt->n_tokens > MOST_TOKENS ? prompt->n_tokens - MOST_TOKENS : 0;
    for (; i < prompt->n_tokens; i++) {
        tw_detokenizer_push(&detokenizer, prompt->ids[i], &text);
    }
    tw_detokenizer_finish(&detokenizer, &text);
    const enum tw_reasoning_state state =
        tw_reasoning_behind((struct tw_bytes){text.data, text.size_bytes});
    tw_buf_free(&text);
    return state;
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
        return tw_api_refuse_memory(error);
    }
    if (tw_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), flags,
                            tokens, &cause) != TW_OK) {
        return refuse_tokens(error, tokens, &cause, param);
    }
    return true;
}

bool tw_api_id_tokens(const struct tw_tokenizer *tokenizer, const json_t *ids,
                      struct tw_token_list *tokens, const char *param, struct tw_api_error *error)
{
    const size_t n_vocab = tw_tokenizer_size(tokenizer);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            (uint64_t)json_integer_value(id) >= n_vocab) {
            return tw_api_refuse(error, param, "'%s' has an item that is no token id from 0 to %zu",
                                 param, n_vocab - 1);
        }
        if (!tw_token_list_push(tokens, (tw_token)json_integer_value(id))) {
            return tw_api_refuse_memory(error);
        }
    }
    return true;
}
