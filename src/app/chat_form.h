/* chat_form.h: the form in which a model wants a conversation: its own chat template, or, where it
 * has none that can be used, one of the built-in formats.
 *
 *     template that compiles -> the template
 *     none, or one that does not -> tw_chat_format_detect, and a note about what does not
 *
 * Ownership: the engine must outlive the form. Threads: one at a time.
 * Errors: those of tw_chat_template_encode and tw_chat_format_message.
 */
#ifndef TW_APP_CHAT_FORM_H
#define TW_APP_CHAT_FORM_H

#include "engine/engine.h"
#include "text/chat_template.h"

struct tw_chat_form {
    struct tw_chat_format format;
    struct tw_chat_template *chat_template; /* or NULL: the format counts */
    struct tm now;                          /* what a template is told */
};

/* The day that templates are told where the same question must have the same answer tomorrow. */
extern const struct tm tw_chat_form_fixed_day;

/* today: the template is told the time of the machine, otherwise the fixed day. */
void tw_chat_form_open(struct tw_chat_form *form, const struct tw_engine *engine, bool today);
void tw_chat_form_close(struct tw_chat_form *form);

/* Says so where nothing is known about the model's form, and it just goes on from the text. */
void tw_chat_form_note_plain(const struct tw_chat_form *form);

/* Messages with role and content, and the beginning of an answer. On failure the list may have a
 * part of them. */
enum tw_status tw_chat_form_encode(const struct tw_chat_form *form, const json_t *messages,
                                   struct tw_token_list *list, struct tw_error *error);

#endif
