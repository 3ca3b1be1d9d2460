#define _GNU_SOURCE
#include "app/chat_input.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/mem.h"

enum { HISTORY_LINES = 1000 };

struct tw_chat_input {
    bool is_terminal;
    bool is_continued; /* the prompt of a second line */
    bool was_abandoned;
    EditLine *editor;
    History *history;
    struct sigaction old_interrupt, old_resize, old_continue;
    locale_t locale, old_locale;
    struct tw_buf line; /* from a pipe */
};

static volatile sig_atomic_t interrupt_flag, resize_flag, continue_flag;

/* The terminal as it was, for a death in the middle of a line. */
static struct termios found_terminal;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupt_flag = 1;
}

static void on_resize(int signal_number)
{
    (void)signal_number;
    resize_flag = 1;
}

static void on_continue(int signal_number)
{
    (void)signal_number;
    continue_flag = 1;
}

/* A killed program must not leave a terminal that shows nothing of what is typed. SA_RESETHAND has
 * put the default back, so the second raise ends the program as the first would have. */
static void on_death(int signal_number)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &found_terminal);
    raise(signal_number);
}

bool tw_chat_input_interrupted(void)
{
    bool was_set = interrupt_flag != 0;
    interrupt_flag = 0;
    return was_set;
}

/* ---- libedit ---- */

static char *prompt_text(EditLine *editor)
{
    static char first[] = "> ", next[] = ". ";
    struct tw_chat_input *input;
    el_get(editor, EL_CLIENTDATA, &input);
    return input->is_continued ? next : first;
}

/* A signal has interrupted the wait for a key. False when the line is to be thrown away. */
static bool handle_signals(EditLine *editor, struct tw_chat_input *input)
{
    if (tw_chat_input_interrupted()) {
        input->was_abandoned = true;
        return false;
    }
    if (resize_flag != 0) {
        resize_flag = 0;
        el_resize(editor);
    }
    if (continue_flag != 0) {
        continue_flag = 0;
        el_set(editor, EL_PREP_TERM, 1);
        el_set(editor, EL_REFRESH);
    }
    return true;
}

/* libedit's own reader starts an interrupted read again; ours must not, since a signal is what
 * Ctrl-C is. Bytes that are no character are passed over. */
static int read_key(EditLine *editor, wchar_t *ret_key)
{
    struct tw_chat_input *input;
    mbstate_t state = {0};
    el_get(editor, EL_CLIENTDATA, &input);
    for (;;) {
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && (errno != EINTR || !handle_signals(editor, input))) {
            return -1;
        }
        if (n < 0) {
            continue;
        }
        size_t used = mbrtowc(ret_key, &byte, 1, &state);
        if (used == (size_t)-1) {
            memset(&state, 0, sizeof state);
        } else if (used != (size_t)-2) {
            return 1;
        }
    }
}

/* Editing needs to know what a character is. Only this thread's notion of characters changes:
 * numbers keep their points everywhere. */
static void use_utf8(struct tw_chat_input *input)
{
    input->locale = newlocale(LC_CTYPE_MASK, "", NULL);
    if (input->locale != NULL && strcmp(nl_langinfo_l(CODESET, input->locale), "UTF-8") != 0) {
        freelocale(input->locale);
        input->locale = NULL;
    }
    if (input->locale == NULL) {
        input->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    }
    if (input->locale != NULL) {
        input->old_locale = uselocale(input->locale);
    }
}

static enum tw_status open_editor(struct tw_chat_input *input, struct tw_error *error)
{
    use_utf8(input);
    /* The line being edited is no output: with standard output in a file it is still to be seen. */
    FILE *screen = isatty(STDOUT_FILENO) ? stdout : stderr;
    input->editor = el_init("tokenworks", stdin, screen, stderr);
    input->history = history_init();
    if (input->editor == NULL || input->history == NULL) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "the terminal cannot be used for line editing; is TERM set?");
    }
    HistEvent event;
    history(input->history, &event, H_SETSIZE, HISTORY_LINES);
    history(input->history, &event, H_SETUNIQUE, 1);
    el_set(input->editor, EL_CLIENTDATA, input);
    el_set(input->editor, EL_PROMPT, prompt_text);
    el_set(input->editor, EL_EDITOR, "emacs");
    el_set(input->editor, EL_HIST, history, input->history);
    el_set(input->editor, EL_GETCFN, read_key);
    el_source(input->editor, NULL);
    return TW_OK;
}

static void catch_signal(int signal_number, void (*handler)(int), struct sigaction *ret_old)
{
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: a read must end */
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, ret_old);
}

static void restore_terminal_on_death(void)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGQUIT, SIGABRT};
    struct sigaction action = {.sa_handler = on_death, .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (tcgetattr(STDIN_FILENO, &found_terminal) == 0) {
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

enum tw_status tw_chat_input_create(struct tw_chat_input **ret_input, struct tw_error *error)
{
    struct tw_chat_input *input = tw_mem_zalloc(1, sizeof *input);
    if (input == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for input");
    }
    input->is_terminal = isatty(STDIN_FILENO);
    tw_buf_init(&input->line, TW_LIMIT_CHAT_LINE_BYTES);
    catch_signal(SIGINT, on_interrupt, &input->old_interrupt);
    catch_signal(SIGWINCH, on_resize, &input->old_resize);
    catch_signal(SIGCONT, on_continue, &input->old_continue);
    enum tw_status status = TW_OK;
    if (input->is_terminal) {
        restore_terminal_on_death();
        status = open_editor(input, error);
    }
    if (status != TW_OK) {
        tw_chat_input_free(input);
        return status;
    }
    *ret_input = input;
    return TW_OK;
}

void tw_chat_input_free(struct tw_chat_input *input)
{
    if (input == NULL) {
        return;
    }
    if (input->editor != NULL) {
        el_end(input->editor);
    }
    if (input->history != NULL) {
        history_end(input->history);
    }
    sigaction(SIGINT, &input->old_interrupt, NULL);
    sigaction(SIGWINCH, &input->old_resize, NULL);
    sigaction(SIGCONT, &input->old_continue, NULL);
    if (input->locale != NULL) {
        uselocale(input->old_locale);
        freelocale(input->locale);
    }
    tw_buf_free(&input->line);
    tw_mem_free(input);
}

bool tw_chat_input_is_terminal(const struct tw_chat_input *input)
{
    return input->is_terminal;
}

/* ---- lines ---- */

/* NULL at the end, or when the line was thrown away. */
static const char *edit_line(struct tw_chat_input *input, size_t *ret_bytes)
{
    int count = 0;
    input->was_abandoned = false;
    interrupt_flag = 0;
    const char *line = el_gets(input->editor, &count);
    if (input->was_abandoned) {
        fputs("^C", stderr);
    }
    if (line == NULL || count <= 0) {
        fputc('\n', stderr);
        return NULL;
    }
    HistEvent event;
    if (count > 1) {
        history(input->history, &event, H_ENTER, line);
    }
    *ret_bytes = (size_t)count;
    return line;
}

/* A pipe's line, with its newline where it has one; NULL at the end. Of a line beyond the bound
 * the beginning is given, and line.failed says so. */
static const char *read_line(struct tw_chat_input *input, size_t *ret_bytes)
{
    int byte;
    tw_buf_clear(&input->line);
    do {
        byte = getchar();
        if (byte != EOF) {
            tw_buf_append(&input->line, &(char){(char)byte}, 1);
        }
    } while (byte != EOF && byte != '\n');
    *ret_bytes = input->line.size_bytes;
    return input->line.size_bytes > 0 ? input->line.data : NULL;
}

enum tw_chat_event tw_chat_input_read(struct tw_chat_input *input, struct tw_buf *message)
{
    tw_buf_clear(message);
    input->is_continued = false;
    for (;;) {
        size_t n = 0;
        const char *line = input->is_terminal ? edit_line(input, &n) : read_line(input, &n);
        if (line == NULL && input->was_abandoned) {
            return TW_CHAT_ABANDONED;
        }
        if (line == NULL) {
            return message->size_bytes > 0 ? TW_CHAT_MESSAGE : TW_CHAT_END;
        }
        n -= n > 0 && line[n - 1] == '\n';
        bool continues = n > 0 && line[n - 1] == '\\';
        message->failed |= input->line.failed;
        tw_buf_append(message, line, continues ? n - 1 : n);
        if (!continues) {
            return TW_CHAT_MESSAGE;
        }
        tw_buf_append_text(message, "\n");
        input->is_continued = true;
    }
}
