/* chat_template.h: how a conversation becomes tokens by a model's own chat template.
 *
 *     [{"role": "user", "content": "Hi"}] --template--> text and spans --tokenizer--> ids
 *
 * The template is given `messages`, `tools` where there are some, `add_generation_prompt`, and the
 * tokenizer's bos_token and eos_token. Where the tokenizer wants a begin token before a text and
 * the template writes none, it is put first.
 *
 * Invariant: special tokens come from the template alone, whatever the messages say (jinja.h).
 * Ownership: the tokenizer must outlive the template. Threads: any number may encode.
 * Errors: those of tw_jinja_compile, tw_jinja_render and tw_tokenizer_encode; TW_ERR_UNSUPPORTED
 * where a message is to be continued whose text the template does not write.
 */
#ifndef TW_TEXT_CHAT_TEMPLATE_H
#define TW_TEXT_CHAT_TEMPLATE_H

#include "text/chat_format.h"
#include "text/jinja.h"

struct tw_chat_template;

enum tw_status tw_chat_template_create(const struct tw_tokenizer *tokenizer, struct tw_bytes source,
                                       struct tw_chat_template **ret_template,
                                       struct tw_error *error);
/* NULL is allowed. */
void tw_chat_template_free(struct tw_chat_template *chat_template);

struct tw_chat_prompt {
    const json_t *messages;     /* objects with role and content */
    const json_t *tools;        /* or NULL */
    bool add_generation_prompt; /* the answer begins behind it */
    bool continues;             /* the last message: nothing comes behind its text */
    const json_t *more;         /* further variables of the template, an object, or NULL */
    const struct tm *now;       /* or NULL: the template gets no date */
};

/* Appends the ids; nothing on failure. */
enum tw_status tw_chat_template_encode(const struct tw_chat_template *chat_template,
                                       const struct tw_chat_prompt *prompt,
                                       struct tw_token_list *list, struct tw_error *error);

/* A message as templates want it; content may be any bytes. The caller owns it; NULL: no memory. */
json_t *tw_chat_message(const char *role, const char *content, size_t content_bytes);

/* TW_ERR_UNSUPPORTED unless the template writes questions, system messages and answers as the
 * built-in format does, token for token. */
enum tw_status tw_chat_template_check(const struct tw_chat_template *chat_template,
                                      const struct tw_chat_format *format, struct tw_error *error);

#endif
