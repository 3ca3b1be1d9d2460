/* model_pack.h: packed weights of a model, made beforehand and checked: `model pack` and `verify`.
 *
 *     pack    as a load does, with nothing else: a file that fits is left as it is
 *     verify  the whole file's checksum, and then every matrix packed again and compared
 */
#ifndef TW_APP_MODEL_PACK_H
#define TW_APP_MODEL_PACK_H

#include "app/pack_args.h"
#include "base/buf.h"
#include "model/model.h"

struct tw_model_pack_wish {
    const char *path;
    struct tw_pack_args pack;
    int64_t n_threads;
    bool verifies;
};

/* Puts a line that says where and how much into out, which ends without a newline. For pack it is
 * an error when no file could be written, for verify when it is not what the model gives. progress
 * may stop it, with TW_ERR_CANCELLED. */
enum tw_status tw_model_pack(const struct tw_model_pack_wish *wish, tw_model_progress_fn progress,
                             void *progress_context, struct tw_buf *out, struct tw_error *error);

#endif
