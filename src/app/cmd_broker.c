/* broker: what `tokenworks serve --sealed broker` starts beside itself; of no use by hand. */
#include "app/command.h"
#include "base/secret.h"
#include "seal/broker.h"

int tw_cmd_broker(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "broker",
        .synopsis = "ADDRESS...",
        .about = "Connects for a sealed server, to these addresses and to no others. The server\n"
                 "starts it (--sealed broker), and it ends with the server.",
        .most_words = TW_LIMIT_REACH_ADDRESSES,
    };
    static struct tw_reach_list reach;
    struct tw_words words;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_secret_guard_process(); /* so that the one it serves cannot open its memory as a file */
    enum tw_status status = TW_OK;
    for (int i = 0; status == TW_OK && i < words.n_items; i++) {
        status = tw_reach_add(&reach, words.items[i], NULL, &error);
    }
    if (status == TW_OK) {
        status = tw_broker_serve(&reach, &error);
    }
    return status == TW_OK || status == TW_ERR_CANCELLED ? 0 : tw_command_fail(&error);
}
