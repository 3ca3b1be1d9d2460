/* The program: signals, the table of commands, and a last look at standard output. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"

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

static bool shows_errors; /* standard error is a terminal, perhaps in the middle of a line */

/* A sentence, and then the end that whoever sent the signal waits for. Commands with something to
 * put away first (train, chat, model quantize) have handlers of their own. */
static void on_stop(int signal_number)
{
    static const char stopped[] = "\ntokenworks: error: stopped by Ctrl-C\n";
    static const char ended[] = "\ntokenworks: error: ended by SIGTERM\n";
    bool is_interrupt = signal_number == SIGINT;
    const char *text = is_interrupt ? stopped : ended;
    size_t n_bytes = is_interrupt ? sizeof stopped - 1 : sizeof ended - 1;
    size_t skip = shows_errors ? 0 : 1;
    ssize_t written = write(STDERR_FILENO, text + skip, n_bytes - skip);
    (void)written;
    raise(signal_number); /* SA_RESETHAND: as if nobody had listened */
}

static void listen_to(int signal_number)
{
    struct sigaction old;
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigaction(signal_number, NULL, &old);
    if (old.sa_handler != SIG_IGN) { /* as Ctrl-C is in the background of a script */
        sigaction(signal_number, &action, NULL);
    }
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
    shows_errors = isatty(STDERR_FILENO);
    listen_to(SIGINT);
    listen_to(SIGTERM);
}

int main(int argc, char **argv)
{
    static char version[] = "version";
    set_signals();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        argv[1] = version;
    }
    int exit_code =
        tw_command_dispatch(tw_command_table, "tokenworks",
                            "Runs open-weight language models on this machine.", argc, argv);
    struct tw_error error;
    if (exit_code == 0 && tw_command_write("", 0, &error) != TW_OK) {
        return tw_command_fail(&error);
    }
    return exit_code;
}
