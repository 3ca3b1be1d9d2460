/* hub_manual.h: completions and manual pages, from the tables of commands.
 *
 * Threads: any. Errors: a buffer that is full has failed. */
#ifndef TW_APP_HUB_MANUAL_H
#define TW_APP_HUB_MANUAL_H

#include "base/buf.h"

/* shell: "bash", "zsh" or "fish". False for another one. */
bool tw_hub_manual_completion(const char *shell, struct tw_buf *out);

/* page: "tokenworks", "tokenworks-key" for a group of the hub's, or "tokenworks-serve" for a
 * command with options alone. Roff for man(1). False where there is no such page. */
bool tw_hub_manual_page(const char *page, struct tw_buf *out);

#endif
