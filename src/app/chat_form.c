#include "app/chat_form.h"

#include "app/command.h"
#include "base/clock.h"

const struct tm tw_chat_form_fixed_day = {
    .tm_year = 126, .tm_mon = 0, .tm_mday = 1, .tm_wday = 4, .tm_hour = 12};

void tw_chat_form_open(struct tw_chat_form *form, const struct tw_engine *engine, bool today)
{
    const struct tw_tokenizer *tokenizer = tw_engine_tokenizer(engine);
    struct tw_bytes source = tw_model_chat_template(tw_engine_model(engine));
    struct tw_error error;
    *form = (struct tw_chat_form){.format = tw_chat_format_detect(tokenizer, source),
                                  .now = tw_chat_form_fixed_day};
    time_t seconds = (time_t)(tw_clock_wall_ns() / TW_SECOND_NS);
    if (today) {
        localtime_r(&seconds, &form->now);
    }
    if (source.size_bytes > 0 &&
        tw_chat_template_create(tokenizer, source, &form->chat_template, &error) != TW_OK) {
        tw_command_note("the model's chat template cannot be used: %s", error.text);
        tw_command_note("the built-in format is used instead: %s",
                        tw_chat_kind_name(form->format.kind));
    }
}

void tw_chat_form_close(struct tw_chat_form *form)
{
    tw_chat_template_free(form->chat_template);
    form->chat_template = NULL;
}

void tw_chat_form_note_plain(const struct tw_chat_form *form)
{
    if (form->chat_template == NULL && form->format.kind == TW_CHAT_PLAIN) {
        tw_command_note("this model has no chat template, and no chat format that is known here "
                        "(ChatML, Llama 3): it goes on from the messages as they are");
    }
}

static enum tw_status encode_by_format(const struct tw_chat_format *format, const json_t *messages,
                                       struct tw_token_list *list, struct tw_error *error)
{
    enum tw_status status = tw_chat_format_begin(format, list, error);
    for (size_t i = 0; status == TW_OK && i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const json_t *content = json_object_get(message, "content");
        status = tw_chat_format_message(format, json_string_value(json_object_get(message, "role")),
                                        json_string_value(content), json_string_length(content),
                                        list, error);
    }
    return status == TW_OK ? tw_chat_format_answer(format, list, error) : status;
}

enum tw_status tw_chat_form_encode(const struct tw_chat_form *form, const json_t *messages,
                                   struct tw_token_list *list, struct tw_error *error)
{
    const struct tw_chat_prompt prompt = {
        .messages = messages, .add_generation_prompt = true, .now = &form->now};
    return form->chat_template != NULL
               ? tw_chat_template_encode(form->chat_template, &prompt, list, error)
               : encode_by_format(&form->format, messages, list, error);
}
