#include "app/chat_session.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct exchange {
    struct tw_buf message, answer;
    struct tw_token_list answer_ids;
};

struct tw_chat_session {
    struct tw_engine *engine;
    struct tw_chat_settings settings;
    struct tw_buf system; /* its text; has_system tells an empty one from none */
    bool has_system;
    struct exchange *exchanges; /* [n_exchanges], oldest first */
    size_t n_exchanges, exchange_capacity;
    struct tw_sequence *sequence; /* NULL: to be made anew */
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
    tw_buf_init(&session->system, TW_LIMIT_TEXT_BYTES);
    *ret_session = session;
    return TW_OK;
}

static void drop_sequence(struct tw_chat_session *session)
{
    tw_sequence_free(session->sequence);
    session->sequence = NULL;
}

static void free_exchange(struct exchange *exchange)
{
    tw_buf_free(&exchange->message);
    tw_buf_free(&exchange->answer);
    tw_token_list_free(&exchange->answer_ids);
}

void tw_chat_session_reset(struct tw_chat_session *session)
{
    drop_sequence(session);
    for (size_t i = 0; i < session->n_exchanges; i++) {
        free_exchange(&session->exchanges[i]);
    }
    session->n_exchanges = 0;
}

void tw_chat_session_free(struct tw_chat_session *session)
{
    if (session == NULL) {
        return;
    }
    tw_chat_session_reset(session);
    tw_buf_free(&session->system);
    tw_mem_free(session->exchanges);
    tw_mem_free(session);
}

struct tw_chat_state tw_chat_session_state(const struct tw_chat_session *session)
{
    size_t n_tokens = 0;
    if (session->sequence != NULL) {
        tw_sequence_tokens(session->sequence, &n_tokens);
    }
    return (struct tw_chat_state){
        .n_context_tokens = session->settings.n_context_tokens,
        .n_tokens = n_tokens,
        .n_exchanges = session->n_exchanges,
    };
}

/* A system message alone may not fill the context. */
static enum tw_status check_system(const struct tw_chat_session *session, const char *text,
                                   struct tw_error *error)
{
    struct tw_token_list list = {0};
    enum tw_status status = tw_tokenizer_encode(tw_engine_tokenizer(session->engine), text,
                                                strlen(text), 0, &list, error);
    if (status == TW_OK && list.n_tokens > session->settings.n_context_tokens / 2) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the system message has %zu tokens: it may take half of the context "
                              "of %zu; see --ctx",
                              list.n_tokens, session->settings.n_context_tokens);
    }
    tw_token_list_free(&list);
    return status;
}

enum tw_status tw_chat_session_set_system(struct tw_chat_session *session, const char *text,
                                          struct tw_error *error)
{
    struct tw_buf copy;
    tw_buf_init(&copy, TW_LIMIT_TEXT_BYTES);
    enum tw_status status = text != NULL ? check_system(session, text, error) : TW_OK;
    if (status == TW_OK && text != NULL && !tw_buf_append_text(&copy, text)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a message");
    }
    if (status != TW_OK) {
        tw_buf_free(&copy);
        return status;
    }
    tw_buf_free(&session->system);
    session->system = copy;
    session->has_system = text != NULL;
    drop_sequence(session);
    return TW_OK;
}

/* ---- prompts ---- */

static enum tw_status push_ids(const struct tw_token_list *from, struct tw_token_list *list,
                               struct tw_error *error)
{
    for (size_t i = 0; i < from->n_tokens; i++) {
        if (!tw_token_list_push(list, from->ids[i])) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a prompt");
        }
    }
    return TW_OK;
}

static enum tw_status format_question(const struct tw_chat_format *format,
                                      const struct tw_buf *message, struct tw_token_list *list,
                                      struct tw_error *error)
{
    enum tw_status status =
        tw_chat_format_message(format, "user", message->data, message->size_bytes, list, error);
    return status == TW_OK ? tw_chat_format_answer(format, list, error) : status;
}

/* The whole by a built-in format, with the answers' own tokens. */
static enum tw_status prompt_by_format(const struct tw_chat_session *session,
                                       const struct tw_buf *message, struct tw_token_list *list,
                                       struct tw_error *error)
{
    const struct tw_chat_format *format = &session->settings.form->format;
    enum tw_status status = tw_chat_format_begin(format, list, error);
    if (status == TW_OK && session->has_system) {
        status = tw_chat_format_message(format, "system", session->system.data,
                                        session->system.size_bytes, list, error);
    }
    for (size_t i = 0; status == TW_OK && i < session->n_exchanges; i++) {
        const struct exchange *exchange = &session->exchanges[i];
        const struct tw_token_list *ids = &exchange->answer_ids;
        status = format_question(format, &exchange->message, list, error);
        if (status == TW_OK) {
            status = push_ids(ids, list, error);
        }
        if (status == TW_OK) {
            status = tw_chat_format_close(format, ids->ids[ids->n_tokens - 1], list, error);
        }
    }
    return status == TW_OK ? format_question(format, message, list, error) : status;
}

static bool add_message(json_t *messages, const char *role, const struct tw_buf *text)
{
    json_t *message =
        tw_chat_message(role, text->size_bytes > 0 ? text->data : "", text->size_bytes);
    return json_array_append_new(messages, message) == 0;
}

/* The whole by the model's template, which is given texts. */
static enum tw_status prompt_by_template(const struct tw_chat_session *session,
                                         const struct tw_buf *message, struct tw_token_list *list,
                                         struct tw_error *error)
{
    json_t *messages = json_array();
    bool good = messages != NULL;
    if (session->has_system) {
        good = good && add_message(messages, "system", &session->system);
    }
    for (size_t i = 0; good && i < session->n_exchanges; i++) {
        good = add_message(messages, "user", &session->exchanges[i].message) &&
               add_message(messages, "assistant", &session->exchanges[i].answer);
    }
    good = good && add_message(messages, "user", message);
    enum tw_status status =
        good ? tw_chat_form_encode(session->settings.form, messages, list, error)
             : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a prompt");
    json_decref(messages);
    return status;
}

static enum tw_status make_prompt(const struct tw_chat_session *session,
                                  const struct tw_buf *message, struct tw_token_list *list,
                                  struct tw_error *error)
{
    list->n_tokens = 0;
    return session->settings.form->chat_template != NULL
               ? prompt_by_template(session, message, list, error)
               : prompt_by_format(session, message, list, error);
}

/* ---- room ---- */

static void drop_oldest(struct tw_chat_session *session)
{
    free_exchange(&session->exchanges[0]);
    session->n_exchanges--;
    memmove(session->exchanges, session->exchanges + 1,
            session->n_exchanges * sizeof *session->exchanges);
}

static enum tw_status keep_exchange(struct tw_chat_session *session,
                                    const struct exchange *exchange, struct tw_error *error)
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

/* ---- asking ---- */

/* One question on its way to its answer. */
struct question {
    struct tw_chat_session *session;
    const struct tw_chat_listener *listener;
    struct exchange exchange;
    struct tw_token_list prompt;
    size_t n_before; /* tokens that the sequence keeps */
    struct tw_chat_answer answer;
    int64_t start_ns, first_ns;
};

/* The prompt, with the oldest exchanges dropped until it fits. Room is kept for the answer, too:
 * one that stops after a word because of yesterday's chatter helps nobody. What is dropped stays
 * dropped if the message is then refused. */
static enum tw_status fit_prompt(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    size_t n_context = session->settings.n_context_tokens, reserve = n_context / 4;
    uint64_t longest = session->settings.generation.rules.max_tokens;
    reserve = longest != 0 && longest < reserve ? (size_t)longest : reserve;
    enum tw_status status = TW_OK;
    while ((status = make_prompt(session, &question->exchange.message, &question->prompt, error)) ==
               TW_OK &&
           session->n_exchanges > 0 && question->prompt.n_tokens + reserve > n_context) {
        drop_oldest(session);
        question->answer.n_dropped_exchanges++;
    }
    if (status == TW_OK && question->prompt.n_tokens + 1 > n_context) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the message has %zu tokens with what must stand before it, the "
                              "context %zu; see --ctx",
                              question->prompt.n_tokens, n_context);
    }
    if (status == TW_OK && question->prompt.n_tokens == 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the message is empty");
    }
    return status;
}

/* The sequence keeps what it has of the prompt, but for the last token at least: something must be
 * computed to go on from. */
static enum tw_status load_prompt(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    const struct tw_token_list *prompt = &question->prompt;
    size_t n = 0, n_held = 0;
    if (session->sequence == NULL) {
        enum tw_status status = tw_sequence_create(session->engine, &session->sequence, error);
        if (status != TW_OK) {
            return status;
        }
    }
    const tw_token *held = tw_sequence_tokens(session->sequence, &n_held);
    while (n + 1 < prompt->n_tokens && n < n_held && prompt->ids[n] == held[n]) {
        n++;
    }
    tw_sequence_truncate(session->sequence, n);
    question->n_before = n;
    return tw_sequence_append(session->sequence, prompt->ids + n, prompt->n_tokens - n, error);
}

static enum tw_status start_answer(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    struct tw_generation generation = session->settings.generation;
    size_t n_prompt = question->prompt.n_tokens;
    size_t room = session->settings.n_context_tokens - n_prompt;
    if (generation.rules.max_tokens == 0 || generation.rules.max_tokens > room) {
        generation.rules.max_tokens = room;
    }
    enum tw_status status = load_prompt(question, error);
    if (status == TW_OK) {
        question->answer.n_prompt_tokens = n_prompt;
        status = tw_sequence_generate(session->sequence, &generation, error);
    }
    question->start_ns = tw_clock_monotonic_ns();
    return status;
}

static enum tw_status keep_output(struct question *question, const struct tw_output *output,
                                  struct tw_error *error)
{
    struct tw_token_list taken = {.ids = (tw_token *)(uintptr_t)output->tokens,
                                  .n_tokens = output->n_tokens};
    enum tw_status status = push_ids(&taken, &question->exchange.answer_ids, error);
    if (status == TW_OK &&
        !tw_buf_append(&question->exchange.answer, output->text, output->text_bytes)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the answer");
    }
    question->answer.n_tokens += output->n_tokens;
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
    enum tw_status status = keep_output(question, &output, error);
    if (status != TW_OK) {
        return status;
    }
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

static enum tw_status finish_answer(struct question *question, struct tw_error *error)
{
    enum tw_status status = keep_exchange(question->session, &question->exchange, error);
    if (status == TW_OK) {
        question->exchange = (struct exchange){.message = {.data = NULL}};
    }
    return status;
}

static enum tw_status answer_question(struct question *question, struct tw_error *error)
{
    struct tw_chat_session *session = question->session;
    enum tw_status status = start_answer(question, error);
    if (status == TW_OK) {
        status = generate(question, error);
    }
    if (status == TW_OK && question->answer.n_tokens == 0) {
        tw_sequence_truncate(session->sequence, question->n_before);
    } else if (status == TW_OK) {
        status = finish_answer(question, error);
    }
    if (status != TW_OK) {
        drop_sequence(session);
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
    tw_buf_init(&question.exchange.message, TW_LIMIT_TEXT_BYTES);
    tw_buf_init(&question.exchange.answer, TW_LIMIT_GENERATED_BYTES);
    enum tw_status status = TW_OK;
    if (!tw_buf_append(&question.exchange.message, text, text_bytes)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a message");
    }
    if (status == TW_OK) {
        status = fit_prompt(&question, error);
    }
    if (status == TW_OK) {
        status = answer_question(&question, error);
    }
    free_exchange(&question.exchange);
    tw_token_list_free(&question.prompt);
    if (status == TW_OK) {
        *ret_answer = question.answer;
    }
    return status;
}
