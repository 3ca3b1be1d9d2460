/* synth_rows.h: the rows of a tensor made by all threads and written in order.
 *
 *     rows [begin, end) --threads: fill, quantise--> chunk of bytes --> file, next chunk
 *
 * A model is never in memory as a whole: a chunk holds at most a few MiB.
 * Errors: those of the file.
 */
#ifndef TW_TOOLS_SYNTH_ROWS_H
#define TW_TOOLS_SYNTH_ROWS_H

#include "base/file.h"
#include "base/threadpool.h"
#include "synth_weights.h"

struct synth_rows;

enum tw_status synth_rows_create(const struct synth_plan *plan, int n_threads,
                                 struct synth_rows **ret_rows, struct tw_error *error);
void synth_rows_free(struct synth_rows *rows);

/* Takes bytes in the order of the file. */
struct synth_sink {
    enum tw_status (*write)(void *context, const void *bytes, size_t n_bytes,
                            struct tw_error *error);
    void *context;
};

/* All rows of a tensor as dtype; in the order of Hugging Face files with hf_order. */
enum tw_status synth_rows_write(struct synth_rows *rows, const struct synth_tensor *tensor,
                                enum tw_dtype dtype, bool hf_order, const struct synth_sink *sink,
                                struct tw_error *error);

#endif
