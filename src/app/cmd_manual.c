/* completion, man: what the tables of commands say, for shells and for man(1). */
#include <string.h>

#include "app/command.h"
#include "app/hub_manual.h"

#define MOST_BYTES ((size_t)1 << 20)

static int print(struct tw_buf *out, bool is_known, const char *what, const char *word,
                 const char *known)
{
    struct tw_error error;
    enum tw_status status;
    if (!is_known) {
        status = tw_error_set(&error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "there is no %s '%.60s'; there are %s", what, word, known);
    } else if (out->failed) {
        status = tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the text");
    } else {
        status = tw_command_write(out->data, out->size_bytes, &error);
    }
    tw_buf_free(out);
    return status == TW_OK ? 0 : tw_command_fail(&error);
}

int tw_cmd_completion(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "completion",
        .synopsis = "bash | zsh | fish",
        .about = "Prints what a shell needs to complete commands and options:\n"
                 "source <(tokenworks completion bash)",
        .least_words = 1,
        .most_words = 1,
    };
    struct tw_words words;
    struct tw_buf out;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, MOST_BYTES);
    const bool is_known = tw_hub_manual_completion(words.items[0], &out);
    return print(&out, is_known, "shell", words.items[0], "bash, zsh and fish");
}

int tw_cmd_man(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "man",
        .synopsis = "[PAGE]",
        .about = "Prints a manual page as man(1) reads it: tokenworks, or tokenworks-COMMAND, for\n"
                 "all commands but model and bench:\n"
                 "tokenworks man tokenworks-key | man -l -",
        .most_words = 1,
    };
    struct tw_words words;
    struct tw_buf out;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    const char *page = words.n_items > 0 ? words.items[0] : "tokenworks";
    tw_buf_init(&out, MOST_BYTES);
    const bool is_known = tw_hub_manual_page(page, &out);
    return print(&out, is_known, "page", page,
                 "tokenworks and tokenworks-COMMAND, like tokenworks-key");
}
