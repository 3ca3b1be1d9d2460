/* hub_args.h: command lines of the hub's commands, by their table.
 *
 *     key create acme/research/chat/ci --expires +90d
 *         -> {"path": "acme/research/chat/ci", "expires": "+90d"}
 *
 * Every field that has a name is an option of that name, with '-' for '_'; a flag of a change has
 * its opposite, too. Beside them each command has --books and --json, and each change --currency.
 *
 * Ownership: texts point into argv. Threads: one at a time. Errors: TW_ERR_USAGE with the option.
 */
#ifndef TW_APP_HUB_ARGS_H
#define TW_APP_HUB_ARGS_H

#include "app/options.h"
#include "base/buf.h"
#include "hub/commands.h"

struct tw_hub_where {
    const char *books, *currency;
    bool json, wide;
};

struct tw_hub_args {
    const struct tw_hub_verb *verb;
    struct tw_hub_where where;
    json_t *fields; /* an object */
};

/* argv[0] is the verb. False: *ret_exit_code is the command's, and what is due was printed. */
bool tw_hub_args_parse(const struct tw_hub_verb *verb, int argc, char **argv,
                       struct tw_hub_args *ret_args, int *ret_exit_code);
void tw_hub_args_free(struct tw_hub_args *args);

/* An option's name of a field: "max-context". */
enum { TW_HUB_OPTION_BYTES = 40 };
void tw_hub_args_option_name(const struct tw_field *field, bool is_opposite,
                             char ret_name[TW_HUB_OPTION_BYTES]);
/* Whether a flag has an opposite. */
bool tw_hub_args_has_opposite(const struct tw_hub_verb *verb, const struct tw_field *field);
/* What follows the verb in a usage line: "PATH [--limit LIMIT] ...". */
void tw_hub_args_write_synopsis(const struct tw_hub_verb *verb, struct tw_buf *out);

/* Of all commands; a command that makes nothing has those without the last. */
extern const struct tw_option_group tw_hub_where_options;
const struct tw_option_group *tw_hub_args_where(const struct tw_hub_verb *verb);

#endif
