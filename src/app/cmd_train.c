/* train: tokenizers and models made here. */
#include "app/command.h"

int tw_cmd_train(int argc, char **argv)
{
    static const struct tw_command commands[] = {
        {"tokenizer", "learn a vocabulary from a corpus", tw_cmd_train_tokenizer},
        {NULL, NULL, NULL},
    };
    return tw_command_dispatch(commands, "tokenworks train", "Makes tokenizers and models.", argc,
                               argv);
}
