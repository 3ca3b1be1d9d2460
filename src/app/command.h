/* command.h: the program's commands and what they share: dispatch, failure, standard output.
 *
 * A command is a function from its words to an exit code (docs/exit-codes.md). It prints its
 * results on standard output; everything else (errors, notices, progress) goes to standard error.
 * An error is one line: "tokenworks: error: what is wrong and what to do".
 *
 * Threads: the main thread only.
 */
#ifndef TW_APP_COMMAND_H
#define TW_APP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "app/options.h"
#include "base/buf.h"
#include "base/status.h"

struct tw_command {
    const char *name;
    const char *summary;               /* one line in the list of commands */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

int tw_cmd_run(int argc, char **argv);
int tw_cmd_chat(int argc, char **argv);
int tw_cmd_tokenize(int argc, char **argv);
int tw_cmd_model(int argc, char **argv);
int tw_cmd_perplexity(int argc, char **argv);
int tw_cmd_eval(int argc, char **argv);
int tw_cmd_serve(int argc, char **argv);
int tw_cmd_bench(int argc, char **argv);
int tw_cmd_bench_server(int argc, char **argv); /* "bench server" */
int tw_cmd_train(int argc, char **argv);
int tw_cmd_train_tokenizer(int argc, char **argv); /* "train tokenizer" */
int tw_cmd_hub(int argc, char **argv);             /* argv[0]: a group of hub/commands.h */
int tw_cmd_policy(int argc, char **argv);
int tw_cmd_plan(int argc, char **argv);
int tw_cmd_completion(int argc, char **argv);
int tw_cmd_man(int argc, char **argv);
int tw_cmd_doctor(int argc, char **argv);
int tw_cmd_broker(int argc, char **argv); /* of a sealed server, which starts it */
int tw_cmd_version(int argc, char **argv);

/* All of them; ends with a row without name. */
extern const struct tw_command tw_command_table[];

/* Runs the command argv[1] of a table that ends with a row without name. prefix: the words before
 * it ("tokenworks", "tokenworks model"). */
int tw_command_dispatch(const struct tw_command *commands, const char *prefix, const char *about,
                        int argc, char **argv);

/* Parses; on --help or a mistake prints what is due and gives false and the exit code. */
bool tw_command_parse(const struct tw_command_spec *spec, int argc, char **argv,
                      struct tw_words *ret_words, int *ret_exit_code);

/* Who gets the table of a command that is asked for its help; NULL: standard output. A manual page
 * is made so, by asking. */
typedef void (*tw_command_help_fn)(const struct tw_command_spec *spec, void *context);
void tw_command_send_help(tw_command_help_fn help, void *context);

/* Prints the error and gives its exit code. */
int tw_command_fail(const struct tw_error *error);

/* A line on standard error that is no error, made printable. */
void tw_command_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* To be asked before the work is done: TW_ERR_USAGE when the path exists and force is false, and
 * the error of writing when no file can be made there. */
enum tw_status tw_command_check_output(const char *path, bool force, struct tw_error *error);

/* ---- standard output ---- */

/* Writes and flushes. On a terminal, what steers it (base/printable.h) other than newline and tab
 * is shown as ^X or as U+FFFD: what a model says must not. TW_ERR_IO when it cannot be written. */
enum tw_status tw_command_write(const char *text, size_t text_bytes, struct tw_error *error);

/* Writes a buffer and a newline: a listing or JSON, which is made printable wherever it goes. A
 * buffer that reached its bound is TW_ERR_LIMIT. */
enum tw_status tw_command_write_line(struct tw_buf *buf, struct tw_error *error);

/* The end of a command that made a report: where that went well it is written, unless there is
 * none, with one newline at its end; else the error is told. Frees the buffer; returns the exit
 * code. */
int tw_command_finish(struct tw_buf *report, enum tw_status status, struct tw_error *error);

#endif
