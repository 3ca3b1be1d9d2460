#include "train/start_weights.h"

#include <string.h>

#include "model/arch.h"
#include "model/model.h"

static enum tw_status differs(const char *path, const char *what, double theirs, double ours,
                              struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "training.start '%.120s': its %s is %.10g and the recipe's %.10g; a run "
                        "can only start from a model of its own shape",
                        path, what, theirs, ours);
}

static enum tw_status check_shape(const char *path, const struct tw_model_shape *theirs,
                                  const struct tw_model_shape *ours, struct tw_error *error)
{
    const struct {
        const char *what;
        double theirs, ours;
    } rows[] = {
        {"number of layers", theirs->n_layers, ours->n_layers},
        {"embed", theirs->n_embed, ours->n_embed},
        {"number of heads", theirs->n_heads, ours->n_heads},
        {"number of kv_heads", theirs->n_kv_heads, ours->n_kv_heads},
        {"head_dim", theirs->head_dim, ours->head_dim},
        {"ffn", theirs->n_ffn, ours->n_ffn},
        {"vocabulary", theirs->n_vocab, ours->n_vocab},
        {"rope_base", theirs->rope.freq_base, ours->rope.freq_base},
        {"tied_head", theirs->tied_head, ours->tied_head},
        {"epsilon of norms", (double)theirs->rms_eps, (double)ours->rms_eps},
        {"kind of RoPE scaling", theirs->rope.scaling, ours->rope.scaling},
    };
    if (strcmp(theirs->arch, ours->arch) != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "training.start '%.120s' is of the architecture %s; only %s is trained",
                            path, theirs->arch, ours->arch);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].theirs != rows[i].ours) {
            return differs(path, rows[i].what, rows[i].theirs, rows[i].ours, error);
        }
    }
    return TW_OK;
}

static enum tw_status check_vocabulary(const char *path, const struct tw_model_files *files,
                                       const struct tw_tokenizer *ours, struct tw_error *error)
{
    struct tw_tokenizer *theirs = NULL;
    enum tw_status status = tw_model_files_tokenizer(files, &theirs, error);
    for (size_t i = 0; status == TW_OK && i < tw_tokenizer_size(ours); i++) {
        struct tw_bytes a = tw_tokenizer_token_bytes(theirs, (tw_token)i, true);
        struct tw_bytes b = tw_tokenizer_token_bytes(ours, (tw_token)i, true);
        if (a.size_bytes != b.size_bytes ||
            (a.size_bytes > 0 && memcmp(a.data, b.data, a.size_bytes) != 0)) {
            status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "training.start '%.120s': token %zu of its vocabulary is another "
                                  "than the recipe's; give data.tokenizer the one of that model",
                                  path, i);
        }
    }
    tw_tokenizer_free(theirs);
    return status;
}

/* The shapes were checked: every tensor is there and has the size that is expected. */
static enum tw_status copy_weights(const char *path, const struct tw_model_files *files,
                                   const struct tw_parameters *parameters, float *ret_weights,
                                   struct tw_error *error)
{
    const struct tw_arch *arch =
        tw_arch_find(parameters->shape.arch, strlen(parameters->shape.arch));
    for (size_t i = 0; i < tw_parameters_count(parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(parameters, i);
        char name[TW_ARCH_NAME_BYTES];
        uint32_t layer = 0;
        const struct tw_arch_tensor *row = tw_arch_match(arch, tensor.name, false, &layer);
        tw_arch_tensor_name(row, layer, name);
        const struct tw_tensor_view *view = tw_model_files_find(files, name);
        size_t n = tensor.n_rows * tensor.n_columns;
        if (view == NULL || view->shape[0] * view->shape[1] != n) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "training.start '%.120s': %s is not there in the recipe's size",
                                path, name);
        }
        tw_dtype_traits(view->dtype)->dequantise(view->data, ret_weights + tensor.offset, n);
    }
    return TW_OK;
}

enum tw_status tw_start_weights_read(const char *path, const struct tw_parameters *parameters,
                                     const struct tw_tokenizer *tokenizer, float *ret_weights,
                                     struct tw_error *error)
{
    struct tw_model_files *files = NULL;
    struct tw_model_shape shape;
    enum tw_status status = tw_model_files_open(path, &files, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_model_read_shape(files, &shape, error);
    if (status == TW_OK) {
        status = check_shape(path, &shape, &parameters->shape, error);
    }
    if (status == TW_OK) {
        status = tw_arch_check_tensors(files, &shape, error);
    }
    if (status == TW_OK) {
        status = check_vocabulary(path, files, tokenizer, error);
    }
    if (status == TW_OK) {
        status = copy_weights(path, files, parameters, ret_weights, error);
    }
    tw_model_files_close(files);
    return status;
}
