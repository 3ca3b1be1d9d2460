/* weights.h: where a model's matrices come from: a file of packed weights, or packing.
 *
 *     tw_weights_begin -> tw_weights_matrix ... -> tw_weights_finish -> ... -> tw_weights_end
 *
 *     a file fits: every matrix is a view of it, and nothing is packed
 *     none fits:   matrices are packed into memory; at the finish they are written to the first
 *                  place that can be written, and from then on are views of that file
 *
 * So one packing serves all starts, processes share one copy in the page cache, and where no file
 * can be had a model is loaded all the same: of what goes wrong with such a file only a stop
 * (TW_ERR_CANCELLED) ends a load, the rest is told to the options' notice.
 *
 * Invariants: 1. a file is used only when it was made for the device's form, of exactly the
 * original files (size, both times, inode), and belongs to somebody whom we believe; 2. a matrix is
 * used only when its key is the same text, and its length what the device expects; 3. what is
 * written was packed from files that had not changed a moment before, so that a later change shows.
 *
 * Ownership: matrices are the caller's and are freed before tw_weights_end; the files outlive it,
 * the options the finish. Threads: one at a time.
 */
#ifndef TW_MODEL_WEIGHTS_H
#define TW_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "model/tensors.h"
#include "model/weight_pack.h"

enum tw_pack_event {
    TW_PACK_MAPPED = 0, /* a file fitted */
    TW_PACK_WRITTEN,    /* one was written, and is used */
    TW_PACK_IN_MEMORY   /* no file could be had; reason says why */
};

struct tw_pack_notice {
    enum tw_pack_event event;
    const char *path;
    const char *reason; /* also: why no file that was there could be used; "" for none was there */
    uint64_t n_bytes;   /* of packed matrices */
};
typedef void (*tw_pack_notice_fn)(void *context, const struct tw_pack_notice *notice);

enum { TW_PACK_PLACES = 2 };

struct tw_pack_options {
    char *paths[TW_PACK_PLACES]; /* in the order of wishes; NULL: none. None at all: no file */
    /* Pack all the same, and compare: the load fails where the file is not what packing gives. */
    bool verifies;
    tw_pack_notice_fn notice; /* may be NULL */
    void *notice_context;
};

/* The places for a model's file: in `folder` alone, or, where that is NULL, beside the model and
 * then in `spare_folder` (NULL: nowhere else). TW_ERR_MEMORY. Freed with
 * tw_pack_options_free. */
enum tw_status tw_pack_options_init(const char *model_path, const char *folder,
                                    const char *spare_folder, struct tw_pack_options *ret_options,
                                    struct tw_error *error);
void tw_pack_options_free(struct tw_pack_options *options);

/* Which of the options' files fits, as far as the directory tells; *ret_reason as in the notice.
 * Nothing is written. NULL: none. */
const char *tw_pack_options_find(const struct tw_pack_options *options,
                                 const struct tw_model_files *files, uint32_t form,
                                 struct tw_error *ret_reason);

struct tw_weights;

/* options may be NULL: pack into memory. */
enum tw_status tw_weights_begin(struct tw_device *device, const struct tw_model_files *files,
                                const struct tw_pack_options *options,
                                struct tw_weights **ret_weights, struct tw_error *error);

/* As tw_device_matrix_create, of a tensor called name (and second_name, or NULL). index tells apart
 * several matrices of one tensor. */
enum tw_status tw_weights_matrix(struct tw_weights *weights, const char *name,
                                 const char *second_name, uint32_t index,
                                 const struct tw_matrix_source *source,
                                 const struct tw_matrix_source *second,
                                 struct tw_device_matrix **ret_matrix, struct tw_error *error);

/* After the last matrix. go_on may be NULL. */
enum tw_status tw_weights_finish(struct tw_weights *weights, tw_pack_go_on_fn go_on, void *context,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_weights_end(struct tw_weights *weights);

#endif
