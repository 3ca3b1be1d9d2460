/* chat_input.h: messages from a person at a terminal, or lines from a pipe.
 *
 * On a terminal a line can be edited and earlier ones called back (libedit; the history ends with
 * the program, since what people write to a model is nobody's file). A backslash at the end of a
 * line continues the message on the next one.
 *
 * Ctrl-C is a signal: while a line is being edited it throws the line away, at any other time it
 * sets a flag that tw_chat_input_interrupted reads and clears. Ctrl-D on an empty line, or the end
 * of the pipe, is the end.
 *
 * Threads: the main thread; at most one input exists at a time, since signals have no context.
 */
#ifndef TW_APP_CHAT_INPUT_H
#define TW_APP_CHAT_INPUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/status.h"

struct tw_chat_input;

enum tw_chat_event { TW_CHAT_MESSAGE = 0, TW_CHAT_ABANDONED, TW_CHAT_END };

enum tw_status tw_chat_input_create(struct tw_chat_input **ret_input, struct tw_error *error);
/* Gives the terminal and SIGINT back as they were. NULL is allowed. */
void tw_chat_input_free(struct tw_chat_input *input);

bool tw_chat_input_is_terminal(const struct tw_chat_input *input);

/* Puts the next message into *message (emptied first), without its last newline. A message beyond
 * the buffer's bound shows in message->failed. */
enum tw_chat_event tw_chat_input_read(struct tw_chat_input *input, struct tw_buf *message);

/* Whether Ctrl-C was pressed since the last call. */
bool tw_chat_input_interrupted(void);

#endif
