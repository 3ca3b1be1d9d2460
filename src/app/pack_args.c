#include "app/pack_args.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/command.h"
#include "base/limits.h"

/* As the XDG rules have it: a path from the root, or it does not count. False: there is none. */
static bool cache_folder(char *ret_path, size_t path_bytes)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (cache != NULL && cache[0] == '/') {
        n = snprintf(ret_path, path_bytes, "%s/tokenworks", cache);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(ret_path, path_bytes, "%s/.cache/tokenworks", home);
    }
    return n > 0 && (size_t)n < path_bytes;
}

static void note_failure(void *context, const struct tw_pack_notice *notice)
{
    (void)context;
    if (notice->event == TW_PACK_IN_MEMORY) {
        tw_command_note("packed weights are not kept: %s", notice->reason);
    }
}

enum tw_status tw_pack_args_options(const struct tw_pack_args *args, const char *model_path,
                                    struct tw_pack_options *ret_options, struct tw_error *error)
{
    char spare[TW_LIMIT_CONF_STRING_BYTES];
    const char *shown = cache_folder(spare, sizeof spare) ? spare : NULL;
    enum tw_status status = TW_OK;
    struct tw_pack_options options = {.verifies = false};
    if (args->folder != NULL && args->folder[0] == '\0') {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--pack-dir: it must name a folder");
    }
    if (!args->is_off) {
        status = tw_pack_options_init(model_path, args->folder, shown, &options, error);
    }
    if (status == TW_OK) {
        options.notice = note_failure;
        *ret_options = options;
    }
    return status;
}
