/* model_inspect.h: what a model's files say, in numbers a person needs before running it. No weight
 * is read except through its size. */
#ifndef TW_APP_MODEL_INSPECT_H
#define TW_APP_MODEL_INSPECT_H

#include <stdbool.h>

#include "app/pack_args.h"
#include "base/buf.h"
#include "base/status.h"

struct tw_model_inspect_wish {
    const char *path;
    bool json;
    bool tensors; /* list every tensor, too */
    struct tw_pack_args pack;
};

/* Appends the report to *out, without a newline at its end. Errors: those of opening the model. */
enum tw_status tw_model_inspect(const struct tw_model_inspect_wish *wish, struct tw_buf *out,
                                struct tw_error *error);

#endif
