/* chat_format.h: how a conversation becomes tokens for the models we know.
 *
 *     ChatML   <|im_start|>user\n ... <|im_end|>\n<|im_start|>assistant\n
 *     Llama 3  <|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n ... <|eot_id|> ...
 *     plain    the text as it is, for models without a chat format we know
 *
 * The markers go in as token ids; what people and models write is encoded as plain text, so nobody
 * can speak in another's name by writing a marker. Roles and texts are encoded as one piece, as a
 * template's output would be.
 *
 * Pure; the tokenizer must outlive the format. Errors: those of tw_tokenizer_encode; a list may
 * then hold a part of what was to be appended.
 */
#ifndef TW_TEXT_CHAT_FORMAT_H
#define TW_TEXT_CHAT_FORMAT_H

#include <stddef.h>

#include "base/status.h"
#include "text/tokenizer.h"

enum tw_chat_kind { TW_CHAT_PLAIN = 0, TW_CHAT_CHATML, TW_CHAT_LLAMA3 };

struct tw_chat_format {
    enum tw_chat_kind kind;
    const struct tw_tokenizer *tokenizer;
    tw_token begin;       /* before everything, or TW_TOKEN_NONE */
    tw_token open, close; /* of a message */
    tw_token header_end;  /* Llama 3 */
};

/* "plain", "ChatML", "Llama 3". */
const char *tw_chat_kind_name(enum tw_chat_kind kind);

/* By the model's chat template where it has one, otherwise by the markers in its vocabulary. */
struct tw_chat_format tw_chat_format_detect(const struct tw_tokenizer *tokenizer,
                                            struct tw_bytes chat_template);

/* What stands before the first message. */
enum tw_status tw_chat_format_begin(const struct tw_chat_format *format, struct tw_token_list *list,
                                    struct tw_error *error);

/* A complete message of "system", "user" or "assistant". */
enum tw_status tw_chat_format_message(const struct tw_chat_format *format, const char *role,
                                      const char *text, size_t text_bytes,
                                      struct tw_token_list *list, struct tw_error *error);

/* The beginning of the answer: the model goes on from here. */
enum tw_status tw_chat_format_answer(const struct tw_chat_format *format,
                                     struct tw_token_list *list, struct tw_error *error);

/* The end of an answer whose last token is `last`, whatever ended it. */
enum tw_status tw_chat_format_close(const struct tw_chat_format *format, tw_token last,
                                    struct tw_token_list *list, struct tw_error *error);

#endif
