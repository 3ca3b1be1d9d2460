/* pack_args.h: the options that say where packed weights are kept, and the places they mean.
 *
 *     --no-pack       nowhere: weights are packed into memory at each start
 *     --pack-dir DIR  in that folder alone
 *     neither         beside the model, or else in the user's cache folder: $XDG_CACHE_HOME or
 *                     ~/.cache, under tokenworks
 */
#ifndef TW_APP_PACK_ARGS_H
#define TW_APP_PACK_ARGS_H

#include "app/options.h"
#include "model/weights.h"

struct tw_pack_args {
    const char *folder;
    bool is_off;
};

#define TW_PACK_DIR_HELP                                                                           \
    "Keep packed weights in this folder. Default: beside the model, or in the user's cache "       \
    "folder where that cannot be written."
#define TW_NO_PACK_HELP                                                                            \
    "Keep no packed weights: pack them at each start, which takes longer, and into memory of its " \
    "own."

/* Two rows of a table whose struct has a tw_pack_args as that member. */
#define TW_PACK_ARGS_ROWS(type, member)                                                            \
    {.name = "pack-dir",                                                                           \
     .kind = TW_OPTION_STRING,                                                                     \
     .offset = offsetof(type, member.folder),                                                      \
     .value_name = "DIR",                                                                          \
     .help = TW_PACK_DIR_HELP},                                                                    \
    {                                                                                              \
        .name = "no-pack", .kind = TW_OPTION_FLAG, .offset = offsetof(type, member.is_off),        \
        .help = TW_NO_PACK_HELP                                                                    \
    }

/* For a model's file or folder. What cannot be kept is told in one line on standard error. To be
 * freed with tw_pack_options_free. */
enum tw_status tw_pack_args_options(const struct tw_pack_args *args, const char *model_path,
                                    struct tw_pack_options *ret_options, struct tw_error *error);

#endif
