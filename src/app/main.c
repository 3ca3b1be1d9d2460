/* The program: signals, the table of commands, and a last look at standard output. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"

static const struct tw_command commands[] = {
    {"run", "complete prompts: one or several at once", tw_cmd_run},
    {"chat", "talk to a model in the terminal", tw_cmd_chat},
    {"serve", "answer clients of the OpenAI API", tw_cmd_serve},
    {"tokenize", "show the tokens of a text", tw_cmd_tokenize},
    {"model", "inspect, quantize and convert model files", tw_cmd_model},
    {"perplexity", "measure how well a model predicts a text", tw_cmd_perplexity},
    {"eval", "ask a model the questions of a file and score its answers", tw_cmd_eval},
    {"train", "make a model, or a tokenizer, from data of your own", tw_cmd_train},
    {"version", "print the version and what this machine can run", tw_cmd_version},
    {NULL, NULL, NULL},
};

/* A mapped file that somebody truncates raises SIGBUS at the next read of a lost page. There
 * is no way back from it, but there is a sentence and an exit code (input/output). */
static void on_lost_file(int signal_number)
{
    static const char text[] =
        "\ntokenworks: error: a file became shorter while it was being read, or its disk "
        "failed; restore the file and start again\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(tw_status_exit_code(TW_ERR_IO));
}

/* A reader that has seen enough (`| head`) ends us quietly, as it ends any filter, even when our
 * parent had SIGPIPE ignored. */
static void set_signals(void)
{
    struct sigaction action = {.sa_handler = on_lost_file};
    sigaction(SIGBUS, &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = SIG_IGN; /* a limit on the size of files is then an error of a write */
    sigaction(SIGXFSZ, &action, NULL);
}

int main(int argc, char **argv)
{
    static char version[] = "version";
    set_signals();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        argv[1] = version;
    }
    int exit_code = tw_command_dispatch(
        commands, "tokenworks", "Runs open-weight language models on this machine.", argc, argv);
    struct tw_error error;
    if (exit_code == 0 && tw_command_write("", 0, &error) != TW_OK) {
        return tw_command_fail(&error);
    }
    return exit_code;
}
