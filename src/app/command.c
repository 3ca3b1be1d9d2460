#include "app/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/printable.h"
#include "base/suggest.h"
#include "hub/commands.h"

enum { MOST_COMMANDS = 32, NOTE_BYTES = 4096 };

static tw_command_help_fn help_fn; /* NULL: standard output */
static void *help_context;

void tw_command_send_help(tw_command_help_fn help, void *context)
{
    help_fn = help;
    help_context = context;
}

static void print_commands(const struct tw_command *commands, const char *prefix, const char *about,
                           FILE *out)
{
    fprintf(out, "usage: %s COMMAND ...\n\n%s\n\nCommands:\n", prefix, about);
    for (const struct tw_command *c = commands; c->name != NULL; c++) {
        fprintf(out, "  %-12s %s\n", c->name, c->summary);
    }
    fprintf(out, "\n'%s COMMAND --help' explains one.\n", prefix);
}

static int unknown_command(const struct tw_command *commands, const char *prefix, const char *word)
{
    const char *names[MOST_COMMANDS];
    size_t n = 0;
    for (; commands[n].name != NULL && n + 1 < MOST_COMMANDS; n++) {
        names[n] = commands[n].name;
    }
    names[n] = NULL;
    const char *guess = tw_suggest_word(word, names);
    struct tw_error error;
    if (strcmp(word, "hub") == 0) {
        char all[200] = "";
        const struct tw_hub_group *group;
        for (size_t i = 0; (group = tw_commands_group(i)) != NULL; i++) {
            const size_t used = strlen(all);
            snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", group->name);
        }
        tw_error_set(&error, TW_ERR_USAGE, TW_NO_POSITION, "the hub's commands are %s and usage",
                     all);
    } else if (guess != NULL) {
        tw_error_set(&error, TW_ERR_USAGE, TW_NO_POSITION,
                     "unknown command '%.60s'; did you mean '%s %s'?", word, prefix, guess);
    } else {
        tw_error_set(&error, TW_ERR_USAGE, TW_NO_POSITION,
                     "unknown command '%.60s'; '%s --help' lists them", word, prefix);
    }
    return tw_command_fail(&error);
}

/* "help model quantize" is "model quantize --help". */
static void put_help_last(int argc, char **argv)
{
    static char flag[] = "--help";
    for (int i = 1; i + 1 < argc; i++) {
        argv[i] = argv[i + 1];
    }
    argv[argc - 1] = flag;
}

int tw_command_dispatch(const struct tw_command *commands, const char *prefix, const char *about,
                        int argc, char **argv)
{
    if (argc < 2) {
        print_commands(commands, prefix, about, stderr);
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2) {
        put_help_last(argc, argv);
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_commands(commands, prefix, about, stdout);
        return 0;
    }
    for (const struct tw_command *c = commands; c->name != NULL; c++) {
        if (strcmp(word, c->name) == 0) {
            return c->run(argc - 1, argv + 1);
        }
    }
    return unknown_command(commands, prefix, word);
}

bool tw_command_parse(const struct tw_command_spec *spec, int argc, char **argv,
                      struct tw_words *ret_words, int *ret_exit_code)
{
    struct tw_error error;
    if (tw_options_parse(spec, argc, argv, ret_words, &error) != TW_OK) {
        *ret_exit_code = tw_command_fail(&error);
        return false;
    }
    if (ret_words->wants_help) {
        if (help_fn != NULL) {
            help_fn(spec, help_context);
        } else {
            tw_options_print_help(spec, stdout);
        }
        *ret_exit_code = 0;
        return false;
    }
    return true;
}

int tw_command_fail(const struct tw_error *error)
{
    fflush(stdout);
    fprintf(stderr, "tokenworks: error: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

void tw_command_note(const char *format, ...)
{
    char text[NOTE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tw_printable_clean_lines(text, strlen(text));
    fprintf(stderr, "tokenworks: %s\n", text);
}

enum tw_status tw_command_check_output(const char *path, bool force, struct tw_error *error)
{
    if (!force && tw_file_exists(path)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.200s' exists already; --force replaces it", path);
    }
    struct tw_file_writer *writer = NULL;
    enum tw_status status = tw_file_writer_open(path, &writer, error);
    tw_file_writer_abort(writer);
    return status;
}

/* ---- standard output ---- */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static enum tw_status check_stdout(struct tw_error *error)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "standard output cannot be written: %s",
                        strerror(errno));
}

static void write_visibly(const char *text, size_t text_bytes)
{
    size_t n;
    for (size_t i = 0; i < text_bytes; i += n) {
        n = tw_printable_utf8_bytes(text + i, text_bytes - i);
        bool is_shown =
            n != 0 && (!tw_printable_steers(text + i, n) || text[i] == '\n' || text[i] == '\t');
        if (is_shown) {
            fwrite(text + i, 1, n, stdout);
        } else if (n == 1) {
            putchar('^');
            putchar(text[i] ^ 0x40);
        } else {
            n = n != 0 ? n : 1;
            fputs(REPLACEMENT, stdout);
        }
    }
}

enum tw_status tw_command_write(const char *text, size_t text_bytes, struct tw_error *error)
{
    if (isatty(STDOUT_FILENO)) {
        write_visibly(text, text_bytes);
    } else {
        fwrite(text, 1, text_bytes, stdout);
    }
    return check_stdout(error);
}

enum tw_status tw_command_write_line(struct tw_buf *buf, struct tw_error *error)
{
    if (buf->failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the output is larger than %zu bytes or memory is lacking",
                            buf->bound_bytes);
    }
    if (buf->size_bytes != 0) {
        tw_printable_clean_lines(buf->data, buf->size_bytes);
        fwrite(buf->data, 1, buf->size_bytes, stdout);
    }
    putchar('\n');
    return check_stdout(error);
}

int tw_command_finish(struct tw_buf *report, enum tw_status status, struct tw_error *error)
{
    if (report->size_bytes > 0 && report->data[report->size_bytes - 1] == '\n') {
        report->size_bytes--;
    }
    if (status == TW_OK && report->size_bytes > 0) {
        status = tw_command_write_line(report, error);
    }
    tw_buf_free(report);
    return status == TW_OK ? 0 : tw_command_fail(error);
}
