/* hub_print.h: answers of the hub's commands as people read them.
 *
 *     a list of objects    a table, with a column for each name that any row has a value of
 *     anything else        a line each: name and value
 *
 * Threads: any. Errors: those of standard output.
 */
#ifndef TW_APP_HUB_PRINT_H
#define TW_APP_HUB_PRINT_H

#include "base/json.h"

struct tw_hub_print {
    bool as_json;  /* the whole answer as JSON in one line */
    bool is_wide;  /* also columns of a table that few need */
    bool may_hide; /* what was closed is not in it: an empty table says how to see that */
};

/* Into a buffer, without the last newline. */
void tw_hub_print_write(json_t *answer, const struct tw_hub_print *how, struct tw_buf *out);

/* On standard output. */
enum tw_status tw_hub_print(json_t *answer, const struct tw_hub_print *how, struct tw_error *error);

#endif
