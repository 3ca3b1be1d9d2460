#include "remote/request_limits.h"

#include <string.h>

#include "base/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Under these names servers take the most tokens of an answer: OpenAI's two, and llama.cpp's. */
static const char *const limits[] = {"max_tokens", "max_completion_tokens", "n_predict"};
/* And under these how many answers there are: llama.cpp's is the last. */
static const char *const counts[] = {"n", "best_of", "n_cmpl"};

static bool is_among(const char *name, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool tw_request_is_limit(const char *member)
{
    return is_among(member, limits, COUNT(limits));
}

/* ---- counts ---- */

/* 0: not said. none: a value that says nothing, as null does; 0 where there is no such value. */
static enum tw_status read_count(const json_t *request, const char *name, json_int_t none,
                                 json_int_t most, uint64_t *ret_count, struct tw_error *error)
{
    const json_t *value = json_object_get(request, name);
    const json_int_t count = json_integer_value(value);
    *ret_count = 0;
    if (value == NULL || json_is_null(value) ||
        (none != 0 && json_is_integer(value) && count == none)) {
        return TW_OK;
    }
    if (!json_is_integer(value) || count < 1 || count > most) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%s' must be a whole number from 1 to %lld", name, (long long)most);
    }
    *ret_count = (uint64_t)count;
    return TW_OK;
}

static enum tw_status read_answers(const json_t *request, struct tw_request_limits *ret_limits,
                                   const char **ret_member, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    uint64_t n = 1, count;
    for (size_t i = 0; status == TW_OK && i < COUNT(limits); i++) {
        *ret_member = limits[i];
        status = read_count(request, limits[i], -1, INT32_MAX, &count, error);
        if (status == TW_OK && count != 0 &&
            (ret_limits->n_answer_tokens == 0 || count < ret_limits->n_answer_tokens)) {
            ret_limits->n_answer_tokens = count;
        }
    }
    for (size_t i = 0; status == TW_OK && i < COUNT(counts); i++) {
        *ret_member = counts[i];
        status = read_count(request, counts[i], 0, TW_LIMIT_API_CHOICES, &count, error);
        n = status == TW_OK && count > n ? count : n;
    }
    ret_limits->n_answers = ret_limits->n_prompts * n;
    if (status == TW_OK && ret_limits->n_answers > TW_LIMIT_API_CHOICES) {
        *ret_member = "n";
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "%llu prompts with %llu answers each; at most %d answers in one "
                              "request",
                              (unsigned long long)ret_limits->n_prompts, (unsigned long long)n,
                              TW_LIMIT_API_CHOICES);
    }
    return status;
}

/* ---- prompts ---- */

/* A text, or a list of tokens, of which some may be given as texts, is one; any other list has one
 * in each of its elements. */
static uint64_t count_prompts(const json_t *prompt)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(prompt)) {
        return prompt == NULL || json_is_null(prompt) ? 0 : 1;
    }
    bool is_list = !json_is_integer(json_array_get(prompt, 0));
    json_array_foreach (prompt, i, item) {
        is_list = is_list || json_is_array(item) || json_is_object(item);
    }
    return is_list ? json_array_size(prompt) : 1;
}

/* ---- parts ---- */

static bool is_text(const json_t *part)
{
    static const char *const types[] = {"text", "input_text", "output_text", "refusal", "thinking"};
    static const char *const members[] = {"type",     "text",      "refusal",
                                          "thinking", "signature", "cache_control"};
    const json_t *type = json_object_get(part, "type");
    const char *key;
    json_t *value;
    bool is_text = type == NULL ||
                   (json_is_string(type) && is_among(json_string_value(type), types, COUNT(types)));
    json_object_foreach ((json_t *)(uintptr_t)part, key, value) {
        is_text = is_text && is_among(key, members, COUNT(members));
    }
    return is_text;
}

/* Of a content: a text, a part, or a list of either. */
static uint64_t count_parts(const json_t *content)
{
    uint64_t n = 0;
    size_t i;
    const json_t *part;
    json_array_foreach (content, i, part) {
        n += json_is_object(part) && !is_text(part);
    }
    return n + (json_is_object(content) && !is_text(content));
}

/* Of a member that has nothing else: each element of a list, or the one that it is. */
static uint64_t count_all(const json_t *value)
{
    return json_is_array(value)                   ? json_array_size(value)
           : value == NULL || json_is_null(value) ? 0
                                                  : 1;
}

/* llama.cpp's prompt with pictures is an object with a list of them. */
static uint64_t count_in_prompt(const json_t *prompt)
{
    uint64_t n = count_all(json_object_get(prompt, "multimodal_data"));
    size_t i;
    const json_t *item;
    json_array_foreach (prompt, i, item) {
        n += count_all(json_object_get(item, "multimodal_data"));
    }
    return n;
}

static uint64_t count_in_messages(const json_t *messages)
{
    /* Sound of an earlier answer is named by its id. */
    static const char *const others[] = {"audio", "images"};
    uint64_t n = 0;
    size_t i;
    const json_t *message;
    json_array_foreach (messages, i, message) {
        n += count_parts(json_object_get(message, "content"));
        for (size_t k = 0; k < COUNT(others); k++) {
            n += count_all(json_object_get(message, others[k]));
        }
    }
    return n;
}

static uint64_t count_unread(const json_t *request)
{
    static const char *const others[] = {"multi_modal_data", "image_data", "audio_data",
                                         "video_data", "images"};
    uint64_t n = count_in_messages(json_object_get(request, "messages")) +
                 count_in_prompt(json_object_get(request, "prompt")) +
                 count_parts(json_object_get(request, "input"));
    for (size_t i = 0; i < COUNT(others); i++) {
        n += count_all(json_object_get(request, others[i]));
    }
    return n;
}

/* ---- all of it ---- */

enum tw_status tw_request_limits_read(const json_t *request, bool makes_answers,
                                      struct tw_request_limits *ret_limits, const char **ret_member,
                                      struct tw_error *error)
{
    struct tw_request_limits read = {0};
    const json_t *chat_template = json_object_get(request, "chat_template");
    const char *member = "chat_template";
    enum tw_status status = TW_OK;
    if (chat_template != NULL && !json_is_null(chat_template)) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "'chat_template' cannot be given: the server's own is used, so that "
                              "it is known how long a prompt can be");
    }
    if (status == TW_OK) {
        const char *prompts = makes_answers ? "prompt" : "input";
        const uint64_t n = count_prompts(json_object_get(request, prompts)) +
                           count_prompts(json_object_get(request, "prompt_embeds"));
        read.n_prompts = n > 0 ? n : 1;
        read.n_unread_parts = count_unread(request);
        status = makes_answers ? read_answers(request, &read, &member, error) : TW_OK;
    }
    *ret_limits = read;
    *ret_member = status == TW_OK ? NULL : member;
    return status;
}
