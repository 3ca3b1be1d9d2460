#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

#define SUFFIX      ".twpack"
#define IN_A_FOLDER "model.twpack" /* of a model that is a folder itself */

_Static_assert((int)TW_PACK_ALIGNMENT == (int)TW_DEVICE_FORM_ALIGNMENT, "matrices lie as wanted");

struct made {
    char *key;
    struct tw_device_matrix *matrix;
};

struct tw_weights {
    struct tw_device *device;
    const struct tw_pack_options *options; /* NULL: no file */
    uint32_t form;
    struct tw_file_stamp *stamps;
    size_t n_stamps;
    struct tw_weight_pack *pack; /* NULL: none fits */
    const char *path;            /* of the pack */
    struct tw_error reason;      /* why none fitted, or why none can be written */
    bool may_write;
    struct made *made;
    size_t n_made, capacity;
    size_t n_packed; /* of them not from the pack */
    size_t n_different;
    char first_different[TW_LIMIT_MODEL_NAME_BYTES];
};

/* ---- places ---- */

static bool has_suffix(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static char *text_of(struct tw_buf *buf)
{
    char *text = tw_buf_append(buf, "", 1) ? tw_mem_strndup(buf->data, buf->size_bytes - 1) : NULL;
    tw_buf_free(buf);
    return text;
}

/* The folder of a model that is one or lies in one as Hugging Face's do, otherwise the file. */
static size_t model_bytes(const char *path, bool *ret_is_folder)
{
    size_t n = strlen(path);
    *ret_is_folder = tw_file_is_directory(path);
    if (has_suffix(path, ".json") || has_suffix(path, ".safetensors")) {
        const char *slash = strrchr(path, '/');
        *ret_is_folder = true;
        n = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    }
    while (*ret_is_folder && n > 1 && path[n - 1] == '/') {
        n--;
    }
    return n;
}

static char *beside(const char *path, size_t n_bytes, bool is_folder)
{
    struct tw_buf buf;
    tw_buf_init(&buf, TW_LIMIT_CONF_STRING_BYTES * 2);
    tw_buf_append(&buf, path, n_bytes);
    tw_buf_append_text(&buf, is_folder && n_bytes > 0 ? "/" IN_A_FOLDER
                             : is_folder              ? IN_A_FOLDER
                                                      : SUFFIX);
    return text_of(&buf);
}

/* In a folder for many: models of one name are told apart by where they are. */
static char *in_folder(const char *folder, const char *absolute)
{
    const char *slash = strrchr(absolute, '/'), *name = slash == NULL ? absolute : slash + 1;
    struct tw_buf buf;
    tw_buf_init(&buf, TW_LIMIT_CONF_STRING_BYTES * 2);
    tw_buf_append_format(&buf, "%s/%.100s-%016" PRIx64 SUFFIX, folder, name,
                         tw_hash_of(absolute, strlen(absolute), 0));
    return text_of(&buf);
}

enum tw_status tw_pack_options_init(const char *model_path, const char *folder,
                                    const char *spare_folder, struct tw_pack_options *ret_options,
                                    struct tw_error *error)
{
    bool is_folder;
    const size_t n_bytes = model_bytes(model_path, &is_folder);
    char *own = n_bytes > 0 ? tw_mem_strndup(model_path, n_bytes) : tw_mem_strndup(".", 1);
    char *absolute = NULL;
    struct tw_pack_options options = {.verifies = false};
    const char *shared = folder != NULL ? folder : spare_folder;
    enum tw_status status = own == NULL ? TW_ERR_MEMORY : TW_OK;
    if (status == TW_OK && shared != NULL && tw_file_absolute(own, &absolute, NULL) != TW_OK) {
        /* in no folder that is there: whoever opens the model says so */
        absolute = tw_mem_strndup(own, strlen(own));
        status = absolute == NULL ? TW_ERR_MEMORY : TW_OK;
    }
    size_t n = 0, n_wanted = (folder == NULL) + (shared != NULL);
    if (status == TW_OK && folder == NULL) {
        options.paths[n++] = beside(model_path, n_bytes, is_folder);
    }
    if (status == TW_OK && shared != NULL) {
        options.paths[n++] = in_folder(shared, absolute);
    }
    tw_mem_free(absolute);
    for (size_t i = 0; status == TW_OK && i < n_wanted; i++) {
        status = options.paths[i] == NULL ? TW_ERR_MEMORY : TW_OK;
    }
    if (status == TW_ERR_MEMORY) {
        tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a path");
    }
    tw_mem_free(own);
    if (status != TW_OK) {
        tw_pack_options_free(&options);
        return status;
    }
    *ret_options = options;
    return TW_OK;
}

void tw_pack_options_free(struct tw_pack_options *options)
{
    for (int i = 0; i < TW_PACK_PLACES; i++) {
        tw_mem_free(options->paths[i]);
    }
    *options = (struct tw_pack_options){.verifies = false};
}

/* ---- finding a file ---- */

static bool fits(const struct tw_weights *weights, const struct tw_weight_pack *pack,
                 const char *path, struct tw_error *reason)
{
    if (!tw_weight_pack_is_of(pack, weights->form, weights->stamps, weights->n_stamps)) {
        tw_error_set(reason, TW_ERR_FORMAT, TW_NO_POSITION,
                     "'%.160s' was made of another state of the model, or by another version",
                     path);
        return false;
    }
    return true;
}

/* reason stays as it was where no file is there. */
static void find_pack(const struct tw_weights *weights, struct tw_weight_pack **ret_pack,
                      const char **ret_path, struct tw_error *reason)
{
    for (int i = 0; i < TW_PACK_PLACES && weights->options->paths[i] != NULL; i++) {
        const char *path = weights->options->paths[i];
        struct tw_weight_pack *pack = NULL;
        struct tw_error error;
        enum tw_status status = tw_weight_pack_open(path, &weights->stamps[0], &pack, &error);
        if (status == TW_OK && fits(weights, pack, path, reason)) {
            *ret_pack = pack;
            *ret_path = path;
            return;
        }
        tw_weight_pack_close(pack);
        if (status != TW_OK && status != TW_ERR_NOT_FOUND) {
            *reason = error;
        }
    }
}

static enum tw_status take_stamps(struct tw_weights *weights, const struct tw_model_files *files,
                                  struct tw_error *error)
{
    weights->n_stamps = tw_model_files_n_parts(files);
    weights->stamps = tw_mem_zalloc(weights->n_stamps, sizeof *weights->stamps);
    if (weights->stamps == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for weights");
    }
    for (size_t i = 0; i < weights->n_stamps; i++) {
        weights->stamps[i] = tw_model_files_stamp(files, i);
    }
    return TW_OK;
}

const char *tw_pack_options_find(const struct tw_pack_options *options,
                                 const struct tw_model_files *files, uint32_t form,
                                 struct tw_error *ret_reason)
{
    struct tw_weights weights = {.options = options, .form = form};
    const char *path = NULL;
    *ret_reason = (struct tw_error){.status = TW_OK};
    if (take_stamps(&weights, files, ret_reason) == TW_OK) {
        find_pack(&weights, &weights.pack, &path, ret_reason);
        tw_weight_pack_close(weights.pack);
        tw_mem_free(weights.stamps);
    }
    return path;
}

/* Before the first matrix is packed: what is read from here on is what the stamps say. */
static void settle(struct tw_weights *weights)
{
    weights->may_write = true;
    if (weights->pack != NULL) {
        tw_error_set(&weights->reason, TW_ERR_FORMAT, TW_NO_POSITION,
                     "'%.160s' has other matrices than the model", weights->path);
    }
    for (size_t i = 0; i < weights->n_stamps; i++) {
        if (!tw_file_stamp_settle(&weights->stamps[i])) {
            weights->may_write = false;
            tw_error_set(&weights->reason, TW_ERR_IO, TW_NO_POSITION,
                         "a file of the model was changed in the future, says its time");
        }
    }
}

static enum tw_status begin_verifying(struct tw_weights *weights, struct tw_error *error)
{
    if (weights->pack == NULL) {
        const char *why = weights->reason.text;
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the model has no file of packed weights that fits%s%.250s",
                            why[0] != '\0' ? ": " : "", why);
    }
    enum tw_status status = tw_weight_pack_check(weights->pack, error);
    if (status != TW_OK) {
        tw_error_prefix(error, "'%.160s'", weights->path);
    }
    return status;
}

enum tw_status tw_weights_begin(struct tw_device *device, const struct tw_model_files *files,
                                const struct tw_pack_options *options,
                                struct tw_weights **ret_weights, struct tw_error *error)
{
    struct tw_weights *weights = tw_mem_zalloc(1, sizeof *weights);
    if (weights == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for weights");
    }
    weights->device = device;
    weights->form = tw_device_form(device);
    if (options != NULL && options->paths[0] != NULL && weights->form != 0) {
        weights->options = options;
    }
    enum tw_status status = TW_OK;
    if (weights->options != NULL) {
        status = take_stamps(weights, files, error);
    }
    if (status == TW_OK && weights->options != NULL) {
        find_pack(weights, &weights->pack, &weights->path, &weights->reason);
        if (weights->options->verifies) {
            status = begin_verifying(weights, error);
        }
    }
    if (status != TW_OK) {
        tw_weights_end(weights);
        return status;
    }
    *ret_weights = weights;
    return TW_OK;
}

void tw_weights_end(struct tw_weights *weights)
{
    if (weights != NULL) {
        for (size_t i = 0; i < weights->n_made; i++) {
            tw_mem_free(weights->made[i].key);
        }
        tw_mem_free(weights->made);
        tw_weight_pack_close(weights->pack);
        tw_mem_free(weights->stamps);
        tw_mem_free(weights);
    }
}

/* ---- matrices ---- */

/* All that the packed bytes depend on beside the content: another shape, type, partner or order of
 * rows is another text. */
static char *key_of(const char *name, const char *second_name, uint32_t index,
                    const struct tw_matrix_source *source)
{
    struct tw_buf buf;
    tw_buf_init(&buf, TW_LIMIT_PACK_KEY_BYTES);
    tw_buf_append_format(&buf, "%s", name);
    if (second_name != NULL) {
        tw_buf_append_format(&buf, " and %s", second_name);
    }
    tw_buf_append_format(&buf, " #%" PRIu32 " %s %zux%zu", index,
                         tw_dtype_traits(source->dtype)->name, source->n_rows, source->n_columns);
    if (source->n_experts > 1) {
        tw_buf_append_format(&buf, " of %zu experts", source->n_experts);
    }
    if (source->row_map != NULL) {
        tw_buf_append_format(
            &buf, " rows %016" PRIx64,
            tw_hash_of(source->row_map, source->n_rows * sizeof *source->row_map, 0));
    }
    return text_of(&buf);
}

static bool remember(struct tw_weights *weights, char *key, struct tw_device_matrix *matrix)
{
    if (weights->n_made == weights->capacity) {
        const size_t capacity = weights->capacity == 0 ? 64 : 2 * weights->capacity;
        struct made *made = tw_mem_realloc(weights->made, capacity, sizeof *made);
        if (made == NULL) {
            return false;
        }
        weights->made = made;
        weights->capacity = capacity;
    }
    weights->made[weights->n_made++] = (struct made){.key = key, .matrix = matrix};
    return true;
}

/* Packs and compares. What is the same then lies in the file, so that memory holds one matrix. */
static enum tw_status compare(struct tw_weights *weights, const char *key,
                              struct tw_device_matrix *matrix)
{
    const void *bytes = NULL;
    size_t n_bytes = 0;
    if (tw_weight_pack_find(weights->pack, key, &bytes, &n_bytes) &&
        n_bytes == tw_device_matrix_bytes(matrix) &&
        memcmp(bytes, tw_device_matrix_packed(matrix), n_bytes) == 0) {
        tw_device_matrix_move(matrix, bytes);
        return TW_OK;
    }
    if (weights->n_different++ == 0) {
        snprintf(weights->first_different, sizeof weights->first_different, "%s", key);
    }
    return TW_OK;
}

static bool view(struct tw_weights *weights, const char *key, const struct tw_matrix_source *source,
                 const struct tw_matrix_source *second, struct tw_device_matrix **ret_matrix)
{
    const void *bytes = NULL;
    size_t n_bytes = 0;
    return weights->pack != NULL && !weights->options->verifies &&
           tw_weight_pack_find(weights->pack, key, &bytes, &n_bytes) &&
           tw_device_matrix_view(weights->device, source, second, bytes, n_bytes, ret_matrix,
                                 NULL) == TW_OK;
}

enum tw_status tw_weights_matrix(struct tw_weights *weights, const char *name,
                                 const char *second_name, uint32_t index,
                                 const struct tw_matrix_source *source,
                                 const struct tw_matrix_source *second,
                                 struct tw_device_matrix **ret_matrix, struct tw_error *error)
{
    if (weights->options == NULL) {
        return tw_device_matrix_create(weights->device, source, second, ret_matrix, error);
    }
    char *key = key_of(name, second_name, index, source);
    struct tw_device_matrix *matrix = NULL;
    enum tw_status status = TW_OK;
    if (key == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for '%.100s'", name);
    }
    if (!view(weights, key, source, second, &matrix)) {
        if (weights->n_packed++ == 0 && !weights->options->verifies) {
            settle(weights);
        }
        status = tw_device_matrix_create(weights->device, source, second, &matrix, error);
    }
    if (status == TW_OK && weights->options->verifies) {
        status = compare(weights, key, matrix);
    }
    if (status == TW_OK && !remember(weights, key, matrix)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for '%.100s'", name);
    }
    if (status != TW_OK) {
        tw_device_matrix_free(matrix);
        tw_mem_free(key);
        return status;
    }
    *ret_matrix = matrix;
    return TW_OK;
}

/* ---- the end of a load ---- */

static void tell(const struct tw_weights *weights, enum tw_pack_event event, const char *reason)
{
    struct tw_pack_notice notice = {
        .event = event, .path = weights->path != NULL ? weights->path : "", .reason = reason};
    for (size_t i = 0; i < weights->n_made; i++) {
        notice.n_bytes += tw_device_matrix_bytes(weights->made[i].matrix);
    }
    if (weights->options->notice != NULL) {
        weights->options->notice(weights->options->notice_context, &notice);
    }
}

static bool has_all(const struct tw_weights *weights, const struct tw_weight_pack *pack)
{
    const void *bytes;
    size_t n_bytes;
    for (size_t i = 0; i < weights->n_made; i++) {
        if (!tw_weight_pack_find(pack, weights->made[i].key, &bytes, &n_bytes) ||
            n_bytes != tw_device_matrix_bytes(weights->made[i].matrix)) {
            return false;
        }
    }
    return true;
}

/* Every matrix from here on lies in that file. False, and nothing has changed: there is none, or
 * not with all. */
static bool move_into_file(struct tw_weights *weights)
{
    struct tw_weight_pack *pack = NULL;
    const char *path = NULL;
    struct tw_error reason;
    find_pack(weights, &pack, &path, &reason);
    if (pack == NULL || !has_all(weights, pack)) {
        tw_weight_pack_close(pack);
        return false;
    }
    for (size_t i = 0; i < weights->n_made; i++) {
        const void *bytes = NULL;
        size_t n_bytes;
        tw_weight_pack_find(pack, weights->made[i].key, &bytes, &n_bytes);
        tw_device_matrix_move(weights->made[i].matrix, bytes);
    }
    tw_weight_pack_close(weights->pack);
    weights->pack = pack;
    weights->path = path;
    return true;
}

/* The folder of a path, and the one that it is in: a cache's may both be missing. */
static enum tw_status make_folder_of(const char *path, struct tw_error *error)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return TW_OK;
    }
    char *folder = tw_mem_strndup(path, (size_t)(slash - path));
    if (folder == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a path");
    }
    enum tw_status status = TW_OK;
    if (!tw_file_is_directory(folder)) {
        char *last = strrchr(folder, '/');
        if (last != NULL && last != folder) {
            *last = '\0';
            tw_file_make_directory(folder, error); /* what follows says whether it is there */
            *last = '/';
        }
        status = tw_file_make_directory(folder, error);
    }
    tw_mem_free(folder);
    return status;
}

static enum tw_status write_to(const struct tw_weights *weights, const char *path,
                               const struct tw_pack_item *items, tw_pack_go_on_fn go_on,
                               void *context, struct tw_error *error)
{
    enum tw_status status = make_folder_of(path, error);
    return status != TW_OK
               ? status
               : tw_weight_pack_write(path, weights->form, weights->stamps, weights->n_stamps,
                                      items, weights->n_made, go_on, context, error);
}

/* To the first place that takes it. *ret_reason: of the last one that did not. */
static enum tw_status write_file(const struct tw_weights *weights, tw_pack_go_on_fn go_on,
                                 void *context, struct tw_error *ret_reason)
{
    struct tw_pack_item *items = tw_mem_alloc(weights->n_made, sizeof *items);
    if (items == NULL) {
        return tw_error_set(ret_reason, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a directory");
    }
    for (size_t i = 0; i < weights->n_made; i++) {
        const struct made *made = &weights->made[i];
        items[i] = (struct tw_pack_item){.key = made->key,
                                         .bytes = tw_device_matrix_packed(made->matrix),
                                         .n_bytes = tw_device_matrix_bytes(made->matrix)};
    }
    enum tw_status status = TW_ERR_IO;
    for (int i = 0; i < TW_PACK_PLACES && weights->options->paths[i] != NULL; i++) {
        status = write_to(weights, weights->options->paths[i], items, go_on, context, ret_reason);
        if (status == TW_OK || status == TW_ERR_CANCELLED) {
            break;
        }
    }
    tw_mem_free(items);
    return status;
}

static enum tw_status finish_verifying(const struct tw_weights *weights, struct tw_error *error)
{
    if (weights->n_different > 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%zu of %zu matrices in '%.120s' are not what the model gives, the "
                            "first is %.80s: delete the file, and the next start packs again",
                            weights->n_different, weights->n_made, weights->path,
                            weights->first_different);
    }
    if (weights->n_made != tw_weight_pack_count(weights->pack)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.160s' has %zu matrices, the model %zu", weights->path,
                            tw_weight_pack_count(weights->pack), weights->n_made);
    }
    tell(weights, TW_PACK_MAPPED, "");
    return TW_OK;
}

enum tw_status tw_weights_finish(struct tw_weights *weights, tw_pack_go_on_fn go_on, void *context,
                                 struct tw_error *error)
{
    if (weights->options == NULL) {
        return TW_OK;
    }
    if (weights->options->verifies) {
        return finish_verifying(weights, error);
    }
    if (weights->n_packed == 0) {
        tell(weights, TW_PACK_MAPPED, "");
        return TW_OK;
    }
    if (!weights->may_write) {
        tell(weights, TW_PACK_IN_MEMORY, weights->reason.text);
        return TW_OK;
    }
    if (move_into_file(weights)) { /* another process was faster */
        tell(weights, TW_PACK_MAPPED, "");
        return TW_OK;
    }
    struct tw_error failure = {.status = TW_OK};
    enum tw_status status = write_file(weights, go_on, context, &failure);
    if (status == TW_ERR_CANCELLED) {
        return tw_error_set(error, status, failure.position, "%s", failure.text);
    }
    if (status == TW_OK && move_into_file(weights)) {
        tell(weights, TW_PACK_WRITTEN, weights->reason.text);
    } else {
        tell(weights, TW_PACK_IN_MEMORY,
             status != TW_OK ? failure.text : "the file that was written is not there any more");
    }
    return TW_OK;
}
