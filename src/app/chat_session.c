#include "app/chat_session.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct tw_chat_session {
    struct tw_engine *engine;
    struct tw_chat_settings settings;
    struct tw_token_list preamble;
    struct tw_token_list *exchanges; /* [n_exchanges], oldest first */
    size_t n_exchanges, exchange_capacity;
    struct tw_sequence *sequence; /* NULL: to be made anew from the lists */
};

enum tw_status tw_chat_session_create(struct tw_engine *engine,
                                      const struct tw_chat_settings *settings,
                                      struct tw_chat_session **ret_session, struct tw_error *error)
{
    struct tw_chat_session *session = tw_mem_zalloc(1, sizeof *session);
    if (session == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a conversation");
    }
    session->engine = engine;
    session->settings = *settings;
    enum tw_status status = tw_chat_session_set_system(session, NULL, error);
    if (status != TW_OK) {
        tw_chat_session_free(session);
        return status;
    }
    *ret_session = session;
    return TW_OK;
}

static void drop_sequence(struct tw_chat_session *session)
{
    tw_sequence_free(session->sequence);
    session->sequence = NULL;
}

void tw_chat_session_reset(struct tw_chat_session *session)
{
    drop_sequence(session);
    for (size_t i = 0; i < session->n_exchanges; i++) {
        tw_token_list_free(&session->exchanges[i]);
    }
    session->n_exchanges = 0;
}

void tw_chat_session_free(struct tw_chat_session *session)
{
    if (session == NULL) {
        return;
    }
    tw_chat_session_reset(session);
    tw_token_list_free(&session->preamble);
    tw_mem_free(session->exchanges);
    tw_mem_free(session);
}

static size_t count_tokens(const struct tw_chat_session *session)
{
    size_t n = session->preamble.n_tokens;
    for (size_t i = 0; i < session->n_exchanges; i++) {
        n += session->exchanges[i].n_tokens;
    }
    return n;
}

struct tw_chat_state tw_chat_session_state(const struct tw_chat_session *session)
{
    return (struct tw_chat_state){
        .n_context_tokens = session->settings.n_context_tokens,
        .n_tokens = count_tokens(session),
        .n_exchanges = session->n_exchanges,
    };
}

enum tw_status tw_chat_session_set_system(struct tw_chat_session *session, const char *text,
                                          struct tw_error *error)
{
    struct tw_token_list preamble = {0};
    const struct tw_chat_format *format = &session->settings.format;
    enum tw_status status = tw_chat_format_begin(format, &preamble, error);
    if (status == TW_OK && text != NULL) {
        status = tw_chat_format_message(format, "system", text, strlen(text), &preamble, error);
    }
    if (status == TW_OK && preamble.n_tokens > session->settings.n_context_tokens / 2) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the system message has %zu tokens: it may take half of the context "
                              "of %zu; see --ctx",
                              preamble.n_tokens, session->settings.n_context_tokens);
    }
    if (status != TW_OK) {
        tw_token_list_free(&preamble);
        return status;
    }
    tw_token_list_free(&session->preamble);
    session->preamble = preamble;
    drop_sequence(session);
    return TW_OK;
}

/* ---- room ---- */

static void drop_oldest(struct tw_chat_session *session)
{
    tw_token_list_free(&session->exchanges[0]);
    session->n_exchanges--;
    memmove(session->exchanges, session->exchanges + 1,
            session->n_exchanges * sizeof *session->exchanges);
    drop_sequence(session);
}

/* Room is kept for the answer, too: one that stops after a word because of yesterday's chatter
 * helps nobody. */
static enum tw_status make_room(struct tw_chat_session *session, size_t n_message,
                                size_t *ret_n_dropped, struct tw_error *error)
{
    size_t n_context = session->settings.n_context_tokens;
    uint64_t longest = session->settings.generation.rules.max_tokens;
    size_t reserve = n_context / 4;
    reserve = longest != 0 && longest < reserve ? (size_t)longest : reserve;
    if (session->preamble.n_tokens + n_message + 1 > n_context) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the message has %zu tokens, the context %zu of which the system "
                            "message takes %zu; see --ctx",
                            n_message, n_context, session->preamble.n_tokens);
    }
    size_t n_dropped = 0;
    while (session->n_exchanges > 0 && count_tokens(session) + n_message + reserve > n_context) {
        drop_oldest(session);
        n_dropped++;
    }
    *ret_n_dropped = n_dropped;
    return TW_OK;
}

static enum tw_status keep_exchange(struct tw_chat_session *session,
                                    const struct tw_token_list *exchange, struct tw_error *error)
{
    if (session->n_exchanges == session->exchange_capacity) {
        size_t capacity = 2 * session->exchange_capacity + 8;
        void *grown = tw_mem_realloc(session->exchanges, capacity, sizeof *session->exchanges);
        if (grown == NULL) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                "no memory for the conversation");
        }
        session->exchanges = grown;
        session->exchange_capacity = capacity;
    }
    session->exchanges[session->n_exchanges++] = *exchange;
    return TW_OK;
}

/* ---- the sequence ---- */

static enum tw_status append_list(struct tw_chat_session *session, const struct tw_token_list *list,
                                  struct tw_error *error)
{
    return tw_sequence_append(session->sequence, list->ids, list->n_tokens, error);
}

static enum tw_status make_sequence(struct tw_chat_session *session, struct tw_error *error)
{
    if (session->sequence != NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_sequence_create(session->engine, &session->sequence, error);
    if (status == TW_OK) {
        status = append_list(session, &session->preamble, error);
    }
    for (size_t i = 0; status == TW_OK && i < session->n_exchanges; i++) {
        status = append_list(session, &session->exchanges[i], error);
    }
    return status;
}

/* ---- asking ---- */

/* One question on its way to its answer. */
struct question {
    struct tw_chat_session *session;
    const struct tw_chat_listener *listener;
    struct tw_token_list exchange; /* message, answer, close */
    size_t n_before;               /* tokens of the sequence without it */
    size_t n_message;
    struct tw_chat_answer answer;
    int64_t start_ns, first_ns;
};

static enum tw_status encode_message(struct question *question, const char *text, size_t text_bytes,
                                     struct tw_error *error)
{
    const struct tw_chat_format *format = &question->session->settings.format;
    enum tw_status status =
        tw_chat_format_message(format, "user", text, text_bytes, &question->exchange, error);
    if (status == TW_OK) {
        status = tw_chat_format_answer(format, &question->exchange, error);
    }
    question->n_message = question->exchange.n_tokens;
    return status;
}

static enum tw_status start_answer(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    struct tw_generation generation = session->settings.generation;
    question->n_before = count_tokens(session);
    size_t room = session->settings.n_context_tokens - question->n_before - question->n_message;
    if (generation.rules.max_tokens == 0 || generation.rules.max_tokens > room) {
        generation.rules.max_tokens = room;
    }
    enum tw_status status = make_sequence(session, error);
    if (status == TW_OK) {
        status = append_list(session, &question->exchange, error);
    }
    if (status == TW_OK) {
        question->answer.n_prompt_tokens = question->n_before + question->n_message;
        status = tw_sequence_generate(session->sequence, &generation, error);
    }
    question->start_ns = tw_clock_monotonic_ns();
    return status;
}

static enum tw_status take_output(struct question *question, struct tw_error *error)
{
    const struct tw_chat_listener *listener = question->listener;
    struct tw_sequence *sequence = question->session->sequence;
    struct tw_output output = tw_sequence_take(sequence);
    if (output.n_tokens > 0 && question->first_ns == 0) {
        question->first_ns = tw_clock_monotonic_ns();
        question->answer.n_prompt_tokens -= tw_sequence_cached(sequence);
    }
    for (size_t i = 0; i < output.n_tokens; i++) {
        if (!tw_token_list_push(&question->exchange, output.tokens[i])) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the answer");
        }
    }
    question->answer.n_tokens += output.n_tokens;
    question->answer.finish = output.finish;
    if (output.finish == TW_FINISH_ERROR) {
        if (error != NULL) {
            *error = *output.error;
        }
        return output.error->status;
    }
    bool goes_on = output.text_bytes == 0 ||
                   listener->on_text(listener->context, output.text, output.text_bytes);
    if (!goes_on) {
        tw_sequence_cancel(sequence);
    }
    return TW_OK;
}

static enum tw_status generate(struct question *question, struct tw_error *error)
{
    const struct tw_chat_listener *listener = question->listener;
    struct tw_sequence *sequence = question->session->sequence;
    size_t n_total = question->answer.n_prompt_tokens;
    while (question->answer.finish == TW_FINISH_NONE) {
        uint32_t n_active;
        enum tw_status status = tw_engine_step(question->session->engine, &n_active, error);
        if (status != TW_OK) {
            return status;
        }
        if (question->first_ns == 0) {
            size_t n_done = tw_sequence_computed(sequence);
            listener->on_prompt(listener->context, n_done < n_total ? n_done : n_total, n_total);
        }
        if (listener->is_interrupted(listener->context)) {
            tw_sequence_cancel(sequence);
        }
        status = take_output(question, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* The answer is complete: its end goes into the exchange and the sequence. Where that no longer
 * fits, the sequence is made anew for the next message. */
static enum tw_status finish_answer(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    struct tw_token_list *exchange = &question->exchange;
    size_t n_open = exchange->n_tokens;
    enum tw_status status =
        tw_chat_format_close(&session->settings.format, exchange->ids[n_open - 1], exchange, error);
    if (status != TW_OK) {
        return status;
    }
    if (tw_sequence_append(session->sequence, exchange->ids + n_open, exchange->n_tokens - n_open,
                           NULL) != TW_OK) {
        drop_sequence(session);
    }
    status = keep_exchange(session, exchange, error);
    if (status == TW_OK) {
        *exchange = (struct tw_token_list){0};
    }
    return status;
}

static enum tw_status answer_question(struct question *question, struct tw_error *error)
{
    enum tw_status status = start_answer(question, error);
    if (status == TW_OK) {
        status = generate(question, error);
    }
    if (status == TW_OK && question->answer.n_tokens == 0) {
        tw_sequence_truncate(question->session->sequence, question->n_before);
    } else if (status == TW_OK) {
        status = finish_answer(question, error);
    }
    if (status != TW_OK) {
        drop_sequence(question->session);
    }
    int64_t end_ns = tw_clock_monotonic_ns();
    int64_t first_ns = question->first_ns != 0 ? question->first_ns : end_ns;
    question->answer.prompt_ns = first_ns - question->start_ns;
    question->answer.answer_ns = end_ns - first_ns;
    return status;
}

enum tw_status tw_chat_session_ask(struct tw_chat_session *session, const char *text,
                                   size_t text_bytes, const struct tw_chat_listener *listener,
                                   struct tw_chat_answer *ret_answer, struct tw_error *error)
{
    struct question question = {.session = session, .listener = listener};
    enum tw_status status = encode_message(&question, text, text_bytes, error);
    if (status == TW_OK && question.n_message == 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the message is empty");
    }
    if (status == TW_OK) {
        status =
            make_room(session, question.n_message, &question.answer.n_dropped_exchanges, error);
    }
    if (status == TW_OK) {
        status = answer_question(&question, error);
    }
    tw_token_list_free(&question.exchange);
    if (status == TW_OK) {
        *ret_answer = question.answer;
    }
    return status;
}
