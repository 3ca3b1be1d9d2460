/* chat: a conversation in the terminal. Answers go to standard output; everything else that is
 * said goes to standard error. */
#include <stdio.h>
#include <string.h>

#include "app/chat_form.h"
#include "app/chat_input.h"
#include "app/chat_session.h"
#include "app/command.h"
#include "app/form_args.h"
#include "app/model_args.h"
#include "app/progress.h"
#include "app/sampling_args.h"

enum { DEFAULT_CONTEXT = 4096 };

struct chat_args {
    const char *system;
};

static const struct tw_option chat_options[] = {
    {.name = "system",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct chat_args, system),
     .value_name = "T",
     .help = "A system message: what the model should know or be. Default: none."},
};

static const struct tw_option_group chat_group = {"Conversation", chat_options,
                                                  sizeof chat_options / sizeof chat_options[0]};

struct chat {
    struct chat_args args;
    struct tw_model_args model;
    struct tw_sampling_args sampling;
    struct tw_form_args answer_form;
    struct tw_sampling_arrays arrays;
    struct tw_engine *engine;
    struct tw_chat_form form;
    struct tw_chat_session *session;
    struct tw_chat_input *input;
    struct tw_buf message;
    struct tw_buf system; /* the system message, NUL-terminated; empty: none */
    struct tw_progress progress;
    struct tw_error output_error;
    bool output_failed;
    bool ends_with_newline; /* the answer so far */
    struct tw_chat_answer last;
    size_t n_answers;
};

/* ---- answering ---- */

static void on_prompt(void *context, uint64_t done, uint64_t total)
{
    struct chat *chat = context;
    tw_progress_update(&chat->progress, done, total);
}

static bool on_text(void *context, const char *text, size_t text_bytes)
{
    struct chat *chat = context;
    tw_progress_end(&chat->progress);
    chat->ends_with_newline = text[text_bytes - 1] == '\n';
    chat->output_failed = tw_command_write(text, text_bytes, &chat->output_error) != TW_OK;
    return !chat->output_failed;
}

static bool is_interrupted(void *context)
{
    (void)context;
    return tw_chat_input_interrupted();
}

static void say_what_happened(const struct chat *chat, const struct tw_chat_answer *answer)
{
    struct tw_chat_state state = tw_chat_session_state(chat->session);
    if (answer->finish == TW_FINISH_CANCELLED) {
        tw_command_note(answer->n_tokens == 0
                            ? "stopped before the answer; the message is forgotten"
                            : "stopped; the answer so far is remembered");
    }
    if (answer->finish == TW_FINISH_LENGTH) {
        bool full = state.n_tokens + 1 >= state.n_context_tokens ||
                    (int64_t)answer->n_tokens < chat->sampling.max_tokens;
        if (full) {
            tw_command_note("the answer ends here: the context of %zu tokens is full",
                            state.n_context_tokens);
        } else {
            tw_command_note("the answer ends here: it has --max-tokens %zu", answer->n_tokens);
        }
    }
}

static void say_what_was_dropped(const struct chat *chat, const struct tw_chat_answer *answer)
{
    if (answer->n_dropped_exchanges > 0) {
        struct tw_chat_state state = tw_chat_session_state(chat->session);
        char dropped[64] = "the oldest exchange was";
        if (answer->n_dropped_exchanges > 1) {
            snprintf(dropped, sizeof dropped, "the %zu oldest exchanges were",
                     answer->n_dropped_exchanges);
        }
        tw_command_note("the context of %zu tokens was full: %s forgotten, %zu remain",
                        state.n_context_tokens, dropped, state.n_exchanges);
    }
}

/* False when standard output is gone: there is nobody to talk to. */
static bool answer_message(struct chat *chat, const char *text, size_t text_bytes)
{
    const struct tw_chat_listener listener = {chat, on_prompt, on_text, is_interrupted};
    struct tw_chat_answer answer = {0};
    struct tw_error error;
    chat->ends_with_newline = true;
    tw_progress_begin(&chat->progress, "reading");
    enum tw_status status =
        tw_chat_session_ask(chat->session, text, text_bytes, &listener, &answer, &error);
    tw_progress_end(&chat->progress);
    if (!chat->output_failed && !chat->ends_with_newline) {
        chat->output_failed = tw_command_write("\n", 1, &chat->output_error) != TW_OK;
    }
    if (status != TW_OK) {
        tw_command_fail(&error);
    } else {
        say_what_happened(chat, &answer);
        say_what_was_dropped(chat, &answer);
        chat->last = answer;
        chat->n_answers++;
    }
    return !chat->output_failed;
}

/* ---- commands ---- */

static void show_help(void)
{
    fputs("  /help          this list\n"
          "  /reset         forget the conversation; the system message stays\n"
          "  /system [T]    set the system message, or show it\n"
          "  /stats         what the conversation takes, and how fast the last answer was\n"
          "  /exit          end (Ctrl-D does, too)\n"
          "  A message that begins with a slash is written with two. A backslash at the end of a\n"
          "  line continues the message. Ctrl-C stops an answer.\n",
          stderr);
}

static double per_second(size_t n, int64_t ns)
{
    return ns > 0 ? (double)n * 1e9 / (double)ns : 0.0;
}

static void show_stats(const struct chat *chat)
{
    struct tw_chat_state state = tw_chat_session_state(chat->session);
    struct tw_engine_usage usage = tw_engine_usage(chat->engine);
    tw_command_note(
        "%zu of %zu tokens of context in %zu exchange%s; KV cache: %u of %u pages of %d "
        "tokens are full and kept",
        state.n_tokens, state.n_context_tokens, state.n_exchanges,
        state.n_exchanges == 1 ? "" : "s",
        usage.n_pages - usage.n_free_pages + usage.n_cached_pages, usage.n_pages,
        TW_KV_PAGE_TOKENS);
    if (chat->n_answers > 0) {
        size_t n_after_first = chat->last.n_tokens > 0 ? chat->last.n_tokens - 1 : 0;
        tw_command_note("last: %zu tokens read at %.1f a second, %zu written at %.1f a second",
                        chat->last.n_prompt_tokens,
                        per_second(chat->last.n_prompt_tokens, chat->last.prompt_ns),
                        chat->last.n_tokens, per_second(n_after_first, chat->last.answer_ns));
    }
}

static enum tw_status set_system(struct chat *chat, const char *text, struct tw_error *error)
{
    const char *wanted = text != NULL && text[0] != '\0' ? text : NULL;
    enum tw_status status = tw_chat_session_set_system(chat->session, wanted, error);
    if (status == TW_OK) {
        tw_buf_clear(&chat->system);
        tw_buf_append(&chat->system, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
    }
    return status;
}

static void show_or_set_system(struct chat *chat, const char *text)
{
    struct tw_error error;
    text += strspn(text, " ");
    if (text[0] == '\0') {
        tw_command_note(chat->system.data[0] == '\0' ? "there is no system message"
                                                     : "system message: %s",
                        chat->system.data);
    } else if (set_system(chat, text, &error) != TW_OK) {
        tw_command_fail(&error);
    } else {
        tw_command_note("the system message is set; the conversation goes on under it");
    }
}

static bool is_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && (text[n] == '\0' || text[n] == ' ');
}

/* False to end. text begins with a slash. */
static bool obey(struct chat *chat, const char *text)
{
    if (is_word(text, "/exit") || is_word(text, "/quit")) {
        return false;
    }
    if (is_word(text, "/help")) {
        show_help();
    } else if (is_word(text, "/reset")) {
        tw_chat_session_reset(chat->session);
        tw_command_note("the conversation is forgotten");
    } else if (is_word(text, "/stats")) {
        show_stats(chat);
    } else if (is_word(text, "/system")) {
        show_or_set_system(chat, text + strlen("/system"));
    } else {
        tw_command_note("unknown command '%.40s'; /help lists them", text);
    }
    return true;
}

/* False to end. */
static bool handle_message(struct chat *chat)
{
    struct tw_buf *message = &chat->message;
    if (!tw_buf_append(message, "", 1) || message->failed) {
        tw_command_note("the message is longer than %d bytes", TW_LIMIT_CHAT_LINE_BYTES);
        return true;
    }
    const char *text = message->data;
    size_t n = message->size_bytes - 1;
    if (text[0] == '/' && text[1] != '/') {
        return obey(chat, text);
    }
    if (strspn(text, " \n\t") == n) {
        return true;
    }
    size_t n_escaped = text[0] == '/' ? 1 : 0;
    return answer_message(chat, text + n_escaped, n - n_escaped);
}

static void converse(struct chat *chat)
{
    enum tw_chat_event event;
    bool goes_on = true;
    while (goes_on && (event = tw_chat_input_read(chat->input, &chat->message)) != TW_CHAT_END) {
        if (event == TW_CHAT_MESSAGE) {
            goes_on = handle_message(chat);
        }
    }
}

/* ---- beginning and end ---- */

static size_t context_of(const struct chat *chat)
{
    size_t most = tw_engine_shape(chat->engine)->n_context_tokens;
    size_t wish = chat->model.n_context_tokens != 0 ? (size_t)chat->model.n_context_tokens
                                                    : (size_t)DEFAULT_CONTEXT;
    return wish < most ? wish : most;
}

static enum tw_status start_session(struct chat *chat, struct tw_error *error)
{
    struct tw_chat_settings settings = {.n_context_tokens = context_of(chat)};
    if (settings.n_context_tokens < 16) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--ctx %zu: a conversation needs at least 16 tokens",
                            settings.n_context_tokens);
    }
    enum tw_status status =
        tw_sampling_args_generation(&chat->sampling, &chat->arrays, &settings.generation, error);
    if (status == TW_OK) {
        status = tw_form_args_attach(&chat->answer_form, chat->engine, &settings.generation, error);
    }
    if (status == TW_OK) {
        status = tw_engine_reserve(chat->engine, settings.n_context_tokens, error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_chat_form_open(&chat->form, chat->engine, true);
    settings.form = &chat->form;
    status = tw_chat_session_create(chat->engine, &settings, &chat->session, error);
    return status == TW_OK ? set_system(chat, chat->args.system, error) : status;
}

static void greet(const struct chat *chat)
{
    const struct tw_model_shape *shape = tw_engine_shape(chat->engine);
    tw_chat_form_note_plain(&chat->form);
    if (tw_chat_input_is_terminal(chat->input)) {
        tw_command_note("%s, %s, context %zu tokens; /help lists commands, Ctrl-D ends",
                        shape->arch, tw_engine_device_name(chat->engine), context_of(chat));
    }
}

static enum tw_status execute(struct chat *chat, struct tw_error *error)
{
    enum tw_status status =
        tw_form_args_compile(&chat->answer_form, chat->sampling.ignore_eos, error);
    if (status == TW_OK) {
        status = tw_model_args_open(&chat->model, 1, 0, &chat->engine, error);
    }
    if (status == TW_OK) {
        status = start_session(chat, error);
    }
    if (status == TW_OK) {
        status = tw_chat_input_create(&chat->input, error);
    }
    if (status != TW_OK) {
        return status;
    }
    greet(chat);
    converse(chat);
    if (chat->output_failed) {
        *error = chat->output_error;
        return error->status;
    }
    return TW_OK;
}

static void free_chat(struct chat *chat)
{
    tw_chat_input_free(chat->input);
    tw_chat_session_free(chat->session);
    tw_chat_form_close(&chat->form);
    tw_engine_close(chat->engine);
    tw_buf_free(&chat->message);
    tw_buf_free(&chat->system);
    tw_sampling_args_free(&chat->sampling);
    tw_form_args_free(&chat->answer_form);
}

int tw_cmd_chat(int argc, char **argv)
{
    static struct chat chat;
    chat.model = tw_model_args_defaults();
    chat.sampling = tw_sampling_args_defaults();
    chat.sampling.temperature = 0.7;
    chat.sampling.top_p = 0.9;
    tw_buf_init(&chat.message, TW_LIMIT_CHAT_LINE_BYTES);
    tw_buf_init(&chat.system, TW_LIMIT_CHAT_LINE_BYTES);
    const struct tw_command_spec spec = {
        .name = "chat",
        .synopsis = "--model F [--system T] [OPTIONS]",
        .about =
            "A conversation in the terminal. Ctrl-C stops an answer, Ctrl-D ends; /help lists\n"
            "commands. From a pipe every line is a message. The model's own chat template says\n"
            "how it reads a conversation; a model without one goes on from the text.",
        .uses = {{&chat_group, &chat.args},
                 {&tw_model_args_chat, &chat.model},
                 {&tw_sampling_args_group, &chat.sampling},
                 {&tw_form_args_group, &chat.answer_form}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        free_chat(&chat);
        return exit_code;
    }
    struct tw_error error;
    exit_code = execute(&chat, &error) == TW_OK ? 0 : tw_command_fail(&error);
    free_chat(&chat);
    return exit_code;
}
