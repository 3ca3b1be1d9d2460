/* chat_session.h: a conversation with a model that keeps what it has computed.
 *
 *     begin, system message | exchange | exchange | ... | message --> answer
 *     \____________ in the KV cache, not computed again ____/
 *
 * A prompt is the whole conversation in the model's form (chat_form.h). As far as it begins with
 * what the sequence holds already, nothing is computed again; a template that changes what was said
 * before, e.g. leaves out old thoughts, costs the rest. In a built-in format an answer's own tokens
 * are kept; a template is given its text.
 *
 * The context has a size. Before a message is answered, the oldest exchanges are dropped until the
 * message and a quarter of the context (or the longest answer allowed, if less) fit; the rest is
 * then computed anew. The system message is never dropped.
 *
 * Invariants: 1. Between answers the sequence, if there is one, holds the last prompt and its
 * answer. 2. An exchange is a message and at least one token of its answer; a message that was
 * interrupted before that, or failed, is as if it had not been sent.
 * Ownership: the engine must outlive the session and have its cache reserved. Threads: one at a
 * time. Errors: TW_ERR_LIMIT for a message that does not fit; the session can be used on after any
 * error.
 */
#ifndef TW_APP_CHAT_SESSION_H
#define TW_APP_CHAT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/chat_form.h"
#include "engine/engine.h"

struct tw_chat_session;

struct tw_chat_settings {
    const struct tw_chat_form *form; /* must outlive the session, */
    struct tw_generation generation; /* as must what this points to */
    size_t n_context_tokens;
};

/* Whoever shows the answer. */
struct tw_chat_listener {
    void *context;
    void (*on_prompt)(void *context, uint64_t done_tokens, uint64_t total_tokens);
    /* False ends the answer, as an interruption does. */
    bool (*on_text)(void *context, const char *text, size_t text_bytes);
    bool (*is_interrupted)(void *context);
};

struct tw_chat_answer {
    enum tw_finish finish;
    size_t n_dropped_exchanges; /* to make room for the message */
    size_t n_prompt_tokens;     /* computed for it */
    size_t n_tokens;
    int64_t prompt_ns, answer_ns;
};

struct tw_chat_state {
    size_t n_context_tokens;
    size_t n_tokens; /* that the sequence holds */
    size_t n_exchanges;
};

enum tw_status tw_chat_session_create(struct tw_engine *engine,
                                      const struct tw_chat_settings *settings,
                                      struct tw_chat_session **ret_session, struct tw_error *error);
void tw_chat_session_free(struct tw_chat_session *session);

/* Replaces the system message; NULL takes it away. Exchanges stay. On failure nothing changes. */
enum tw_status tw_chat_session_set_system(struct tw_chat_session *session, const char *text,
                                          struct tw_error *error);

/* Forgets all exchanges. */
void tw_chat_session_reset(struct tw_chat_session *session);

enum tw_status tw_chat_session_ask(struct tw_chat_session *session, const char *text,
                                   size_t text_bytes, const struct tw_chat_listener *listener,
                                   struct tw_chat_answer *ret_answer, struct tw_error *error);

struct tw_chat_state tw_chat_session_state(const struct tw_chat_session *session);

#endif
