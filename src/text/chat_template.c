#include "text/chat_template.h"

#include <string.h>

#include "base/mem.h"

struct tw_chat_template {
    const struct tw_tokenizer *tokenizer;
    struct tw_jinja_template *jinja;
    json_t *settings;
};

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a chat template");
}

/* A special token's text under the name that templates use; none where the vocabulary has none. */
static bool put_token(json_t *settings, const struct tw_tokenizer *tokenizer, const char *name,
                      tw_token id)
{
    if (id == TW_TOKEN_NONE) {
        return true;
    }
    struct tw_bytes text = tw_tokenizer_token_bytes(tokenizer, id, true);
    return json_object_set_new(settings, name, json_stringn_nocheck(text.data, text.size_bytes)) ==
           0;
}

enum tw_status tw_chat_template_create(const struct tw_tokenizer *tokenizer, struct tw_bytes source,
                                       struct tw_chat_template **ret_template,
                                       struct tw_error *error)
{
    struct tw_chat_template *t = tw_mem_zalloc(1, sizeof *t);
    if (t == NULL) {
        return no_memory(error);
    }
    t->tokenizer = tokenizer;
    t->settings = json_object();
    enum tw_status status =
        t->settings != NULL &&
                put_token(t->settings, tokenizer, "bos_token", tw_tokenizer_bos(tokenizer)) &&
                put_token(t->settings, tokenizer, "eos_token", tw_tokenizer_eos(tokenizer))
            ? tw_jinja_compile(source.data, source.size_bytes, &t->jinja, error)
            : no_memory(error);
    if (status != TW_OK) {
        tw_chat_template_free(t);
        return status;
    }
    *ret_template = t;
    return TW_OK;
}

void tw_chat_template_free(struct tw_chat_template *t)
{
    if (t != NULL) {
        tw_jinja_free(t->jinja);
        json_decref(t->settings);
        tw_mem_free(t);
    }
}

json_t *tw_chat_message(const char *role, const char *content, size_t content_bytes)
{
    json_t *message = json_object();
    if (json_object_set_new(message, "role", json_string(role)) != 0 ||
        json_object_set_new(message, "content", json_stringn_nocheck(content, content_bytes)) !=
            0) {
        json_decref(message);
        return NULL;
    }
    return message;
}

/* Stands behind the text that is to be continued while the template is at work, so that its end can
 * be told from what the template writes behind it. The last place counts, whatever messages say. */
static const char continues_mark[] = "\001tokenworks:continue\001";

/* The messages, with the mark behind the last one. */
static json_t *marked(const json_t *messages)
{
    const size_t last = json_array_size(messages) - 1;
    json_t *list = json_copy((json_t *)(uintptr_t)messages);
    json_t *message = json_copy(json_array_get(list, last));
    const json_t *content = json_object_get(message, "content");
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_JINJA_STRING_BYTES);
    if (tw_buf_append(&text, json_string_value(content), json_string_length(content)) &&
        tw_buf_append_text(&text, continues_mark) &&
        json_object_set_new(message, "content", json_stringn_nocheck(text.data, text.size_bytes)) ==
            0) {
        json_array_set(list, last, message);
    }
    tw_buf_free(&text);
    json_decref(message);
    return list;
}

/* Cuts off the mark and what is behind it. */
static bool cut(struct tw_jinja_output *output)
{
    const size_t n_mark = sizeof continues_mark - 1;
    size_t end = output->text_bytes;
    while (end >= n_mark && memcmp(output->text + end - n_mark, continues_mark, n_mark) != 0) {
        end--;
    }
    if (end < n_mark) {
        return false;
    }
    output->text_bytes = end - n_mark;
    while (output->n_spans > 1 &&
           output->spans[output->n_spans - 2].end_bytes >= output->text_bytes) {
        output->n_spans--;
    }
    output->spans[output->n_spans - 1].end_bytes = output->text_bytes;
    return true;
}

/* What the template's variables are. The messages are not copied: they are counted, and let go. */
static json_t *data_of(const struct tw_chat_prompt *prompt)
{
    json_t *data = json_object();
    json_t *messages = prompt->continues ? marked(prompt->messages)
                                         : json_incref((json_t *)(uintptr_t)prompt->messages);
    json_t *tools = (json_t *)(uintptr_t)prompt->tools;
    json_t *more = (json_t *)(uintptr_t)prompt->more;
    if ((more != NULL && json_object_update(data, more) != 0) ||
        json_object_set(data, "messages", messages) != 0 ||
        json_object_set_new(data, "add_generation_prompt",
                            json_boolean(prompt->add_generation_prompt)) != 0 ||
        (tools != NULL && json_object_set(data, "tools", tools) != 0)) {
        json_decref(data);
        data = NULL;
    }
    json_decref(messages);
    return data;
}

/* The begin token, unless it is there. */
static bool put_begin(const struct tw_tokenizer *tokenizer, size_t n_before,
                      struct tw_token_list *list)
{
    tw_token begin = tw_tokenizer_bos(tokenizer);
    if (!tw_tokenizer_adds_bos(tokenizer) || begin == TW_TOKEN_NONE ||
        (list->n_tokens > n_before && list->ids[n_before] == begin)) {
        return true;
    }
    if (!tw_token_list_push(list, begin)) {
        return false;
    }
    memmove(list->ids + n_before + 1, list->ids + n_before,
            (list->n_tokens - 1 - n_before) * sizeof *list->ids);
    list->ids[n_before] = begin;
    return true;
}

enum tw_status tw_chat_template_encode(const struct tw_chat_template *t,
                                       const struct tw_chat_prompt *prompt,
                                       struct tw_token_list *list, struct tw_error *error)
{
    struct tw_jinja_output output = {0};
    json_t *data = data_of(prompt);
    size_t n_before = list->n_tokens;
    if (data == NULL) {
        return no_memory(error);
    }
    const struct tw_jinja_input input = {.data = data, .settings = t->settings, .now = prompt->now};
    enum tw_status status = tw_jinja_render(t->jinja, &input, &output, error);
    if (status == TW_OK && prompt->continues && !cut(&output)) {
        status = tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "the chat template does not write the text of the last message as it "
                              "is, so it cannot be continued");
    }
    if (status == TW_OK) {
        status = tw_jinja_encode(&output, t->tokenizer, list, error);
    }
    if (status == TW_OK && !put_begin(t->tokenizer, n_before, list)) {
        status = no_memory(error);
    }
    if (status != TW_OK) {
        list->n_tokens = n_before;
    }
    tw_jinja_output_free(&output);
    json_decref(data);
    return status;
}

/* ---- beside the built-in format ---- */

struct sample {
    const char *role, *content;
};

static const struct sample samples[] = {{"system", "Be brief.\nAlways."},
                                        {"user", "What is 1 + 1?"},
                                        {"assistant", "It is 2."},
                                        {"user", "And then?\n"}};

/* The samples from `from` on, by the built-in format. */
static enum tw_status encode_samples(const struct tw_chat_format *format, size_t from,
                                     struct tw_token_list *list, struct tw_error *error)
{
    enum tw_status status = tw_chat_format_begin(format, list, error);
    for (size_t i = from; i < sizeof samples / sizeof *samples && status == TW_OK; i++) {
        status = tw_chat_format_message(format, samples[i].role, samples[i].content,
                                        strlen(samples[i].content), list, error);
    }
    return status == TW_OK ? tw_chat_format_answer(format, list, error) : status;
}

static json_t *sample_messages(size_t from)
{
    json_t *messages = json_array();
    for (size_t i = from; i < sizeof samples / sizeof *samples; i++) {
        const char *content = samples[i].content;
        if (json_array_append_new(
                messages, tw_chat_message(samples[i].role, content, strlen(content))) != 0) {
            json_decref(messages);
            return NULL;
        }
    }
    return messages;
}

static enum tw_status compare_samples(const struct tw_chat_template *t,
                                      const struct tw_chat_format *format, size_t from,
                                      struct tw_error *error)
{
    struct tw_token_list ours = {0}, theirs = {0};
    json_t *messages = sample_messages(from);
    const struct tw_chat_prompt prompt = {.messages = messages, .add_generation_prompt = true};
    enum tw_status status =
        messages != NULL ? encode_samples(format, from, &ours, error) : no_memory(error);
    if (status == TW_OK) {
        status = tw_chat_template_encode(t, &prompt, &theirs, error);
    }
    bool equal = status == TW_OK && ours.n_tokens == theirs.n_tokens && ours.n_tokens > 0 &&
                 memcmp(ours.ids, theirs.ids, ours.n_tokens * sizeof *ours.ids) == 0;
    if (status == TW_OK && !equal) {
        status = tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "the chat template writes conversations in another form than %s, "
                              "the one of this tokenizer's markers",
                              tw_chat_kind_name(format->kind));
    }
    tw_token_list_free(&ours);
    tw_token_list_free(&theirs);
    json_decref(messages);
    return status;
}

enum tw_status tw_chat_template_check(const struct tw_chat_template *t,
                                      const struct tw_chat_format *format, struct tw_error *error)
{
    enum tw_status status = compare_samples(t, format, 0, error);
    return status == TW_OK ? compare_samples(t, format, 1, error) : status;
}
