/* chat_messages.h: the messages of a chat request as the tokens of its prompt. */
#ifndef TW_API_CHAT_MESSAGES_H
#define TW_API_CHAT_MESSAGES_H

#include "api/api_state.h"
#include "text/reasoning.h"

/* body: {"messages": [...]}, and how they are to be written: add_generation_prompt,
 * continue_final_message, chat_template_kwargs. System and developer messages become one at the
 * beginning, since models' formats have one. tools: for the template, or NULL. may_think: otherwise
 * the template is told enable_thinking: false, unless the body says something else. Appends to
 * *tokens, up to the place where the answer begins. */
bool tw_api_chat_prompt(const struct tw_api_served *model, const json_t *body, const json_t *tools,
                        bool may_think, struct tw_token_list *tokens, struct tw_api_error *error);

/* How an answer behind this prompt begins: TW_REASONING_TEXT where the model does not think. */
enum tw_reasoning_state tw_api_thought_behind(const struct tw_api_served *model,
                                              const struct tw_token_list *prompt);

/* A prompt that is much longer than the context is refused before all of it was read. */
void tw_api_bound_prompt(const struct tw_api_served *model, struct tw_token_list *tokens);

/* A JSON string as tokens. with_begin: after the begin token, where the model asks for one. flags:
 * of tw_tokenizer_encode. param: what the text is called. */
bool tw_api_text_tokens(const struct tw_tokenizer *tokenizer, const json_t *text, bool with_begin,
                        int flags, struct tw_token_list *tokens, const char *param,
                        struct tw_api_error *error);

/* A JSON list of token ids as tokens. */
bool tw_api_id_tokens(const struct tw_tokenizer *tokenizer, const json_t *ids,
                      struct tw_token_list *tokens, const char *param, struct tw_api_error *error);

#endif
