#include "train/trainer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer.h"
#include "train/gradient.h"
#include "train/packing.h"
#include "train/parameters.h"
#include "train/start_weights.h"
#include "train/train_output.h"

enum { PATH_BYTES = TW_LIMIT_CONF_STRING_BYTES + 64 };

/* Rows of one pass through the decoder, laid one after another. */
struct pass {
    int32_t *tokens;
    uint8_t *is_target;
    uint32_t *starts;
    size_t n_tokens, n_documents;
};

struct tw_trainer {
    const struct tw_train_config *config;
    struct tw_device *device;
    enum tw_trainer_purpose purpose;
    struct tw_file_lock lock; /* on the output's folder */
    struct tw_train_texts texts;
    struct tw_tokenizer *tokenizer;
    struct tw_dataset *train, *valid;
    struct tw_packing *packing, *valid_packing;
    struct tw_parameters parameters;
    struct tw_gradient *gradient;
    struct tw_train_state state;
    float *values;    /* weights, m, v and gradients: [4][n_values] */
    float *gradients; /* the last of them */
    struct tw_packed_row row;
    struct pass pass;
    size_t rows_per_pass;
    uint32_t first_step;
    char checkpoint_path[PATH_BYTES];
};

/* ---- opening ---- */

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for training");
}

static enum tw_status open_folder(struct tw_trainer *t, struct tw_error *error)
{
    const char *folder = t->config->output.folder;
    snprintf(t->checkpoint_path, sizeof t->checkpoint_path, "%s/checkpoint.tw", folder);
    enum tw_status status = tw_train_output_prepare(t->config, t->checkpoint_path, error);
    return status == TW_OK && t->purpose == TW_TRAINER_STEPS
               ? tw_file_lock_folder(folder, &t->lock, error)
               : status;
}

static enum tw_status open_tokenizer(struct tw_trainer *t, struct tw_error *error)
{
    json_t *json;
    const char *path = t->config->data.tokenizer;
    const struct tw_buf *text = &t->texts.tokenizer;
    enum tw_status status = tw_json_parse(text->size_bytes != 0 ? text->data : "", text->size_bytes,
                                          path, &json, error);
    if (status == TW_OK) {
        status = tw_tokenizer_from_json(json, NULL, &t->tokenizer, error);
        if (status == TW_OK && t->config->output.gguf != NULL) {
            status = tw_train_output_check_tokenizer(json, error);
        }
        if (status != TW_OK) {
            tw_error_prefix(error, "'%.120s'", path);
        }
        json_decref(json);
    }
    return status;
}

/* what: the key of the recipe that names the files. */
static enum tw_status load_files(const struct tw_trainer *t, const char *what, char *const *paths,
                                 uint32_t n_paths, struct tw_dataset **ret_dataset,
                                 struct tw_error *error)
{
    struct tw_chat_format format = tw_chat_format_detect(t->tokenizer, (struct tw_bytes){0});
    struct tw_dataset *dataset;
    enum tw_status status = tw_dataset_create(&format, t->config->model.context, &dataset, error);
    if (status != TW_OK) {
        return status;
    }
    for (uint32_t i = 0; status == TW_OK && i < n_paths; i++) {
        status = tw_dataset_add_file(dataset, paths[i], error);
    }
    if (status == TW_OK && tw_dataset_n_documents(dataset) == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the files of '%s' have no document that fits into %u tokens", what,
                              t->config->model.context);
    }
    if (status != TW_OK) {
        tw_dataset_free(dataset);
        return status;
    }
    *ret_dataset = dataset;
    return TW_OK;
}

/* An epoch has at least as many rows as its tokens fill. */
static enum tw_status check_epochs(const struct tw_trainer *t, struct tw_error *error)
{
    const struct tw_train_run_config *run = &t->config->training;
    uint64_t n_tokens = tw_dataset_report(t->train)->n_tokens, context = t->config->model.context;
    uint64_t n_rows = (uint64_t)run->steps * run->rows_per_step;
    if (n_rows / ((n_tokens + context - 1) / context) >= TW_LIMIT_PACKING_EPOCHS) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the recipe goes through its data more than %u times: lower steps or "
                            "rows_per_step",
                            TW_LIMIT_PACKING_EPOCHS);
    }
    return TW_OK;
}

static enum tw_status open_data(struct tw_trainer *t, struct tw_error *error)
{
    const struct tw_train_data_config *data = &t->config->data;
    uint32_t context = t->config->model.context;
    uint64_t seed = t->config->training.seed;
    enum tw_status status =
        load_files(t, "train", data->train, data->train_count, &t->train, error);
    if (status == TW_OK) {
        status = load_files(t, "valid", data->valid, data->valid_count, &t->valid, error);
    }
    if (status == TW_OK) {
        status = check_epochs(t, error);
    }
    if (status == TW_OK) {
        status = tw_packing_create(t->train, context, seed, &t->packing, error);
    }
    if (status == TW_OK) {
        status = tw_packing_create(t->valid, context, seed, &t->valid_packing, error);
    }
    if (status == TW_OK) {
        status = tw_packed_row_init(&t->row, context, error);
    }
    return status;
}

static struct tw_model_shape shape_of(const struct tw_trainer *t)
{
    const struct tw_train_model_config *m = &t->config->model;
    struct tw_model_shape shape = {
        .n_layers = m->layers,
        .n_embed = m->embed,
        .n_heads = m->heads,
        .n_kv_heads = m->kv_heads,
        .head_dim = m->head_dim,
        .n_ffn = m->ffn,
        .n_vocab = (uint32_t)tw_tokenizer_size(t->tokenizer),
        .n_context_tokens = m->context,
        .rms_eps = 1e-6f,
        .rope = {.freq_base = m->rope_base, .factor = 1, .n_dims = m->head_dim},
        .has_qk_norm = true,
        .tied_head = m->tied_head};
    memcpy(shape.arch, "qwen3", sizeof "qwen3");
    return shape;
}

/* Everything that decides what the weights become, and no path. */
static enum tw_status fingerprint(struct tw_trainer *t, struct tw_error *error)
{
    struct tw_hash *hash = tw_hash_create();
    if (hash == NULL) {
        return no_memory(error);
    }
    const struct tw_train_model_config *m = &t->config->model;
    const struct tw_train_run_config *r = &t->config->training;
    const double numbers[] = {m->layers,
                              m->embed,
                              m->heads,
                              m->kv_heads,
                              m->head_dim,
                              m->ffn,
                              m->context,
                              m->rope_base,
                              m->tied_head,
                              r->steps,
                              r->warmup_steps,
                              r->rows_per_step,
                              r->learning_rate,
                              r->beta1,
                              r->beta2,
                              r->epsilon,
                              r->weight_decay,
                              r->clip,
                              (double)r->format,
                              r->final_learning_rate,
                              t->parameters.shape.n_vocab};
    tw_hash_add(hash, numbers, sizeof numbers);
    tw_hash_add(hash, &r->seed, sizeof r->seed); /* has more digits than a double */
    tw_hash_add(hash, t->state.weights, t->parameters.n_values * sizeof *t->state.weights);
    for (size_t i = 0; i < tw_dataset_n_documents(t->train); i++) {
        uint32_t n = tw_dataset_document_tokens(t->train, i);
        tw_dataset_copy(t->train, i, t->row.tokens, t->row.is_target);
        tw_hash_add(hash, &n, sizeof n);
        tw_hash_add(hash, t->row.tokens, n * sizeof *t->row.tokens);
        tw_hash_add(hash, t->row.is_target, n);
    }
    t->state.fingerprint = tw_hash_value(hash);
    tw_hash_free(hash);
    return TW_OK;
}

static enum tw_status open_memory(struct tw_trainer *t, struct tw_error *error)
{
    size_t n = t->parameters.n_values, context = t->config->model.context;
    t->rows_per_pass = TW_LIMIT_TRAIN_PASS_TOKENS / context;
    t->rows_per_pass = t->rows_per_pass > 1 ? t->rows_per_pass : 1;
    size_t most_tokens = t->rows_per_pass * context;
    uint32_t n_steps = t->config->training.steps;
    t->values = tw_mem_map(4 * n * sizeof *t->values);
    t->state.history = tw_mem_zalloc(n_steps, sizeof *t->state.history);
    t->pass = (struct pass){.tokens = tw_mem_alloc(most_tokens, sizeof(int32_t)),
                            .is_target = tw_mem_alloc(most_tokens, 1),
                            .starts = tw_mem_alloc(most_tokens + 1, sizeof(uint32_t))};
    if (t->values == NULL || t->state.history == NULL || t->pass.tokens == NULL ||
        t->pass.is_target == NULL || t->pass.starts == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the %zu MB that %zu weights take, with their gradients "
                            "and moments",
                            4 * n * sizeof *t->values >> 20, n);
    }
    t->state.n_values = n;
    t->state.weights = t->values;
    t->state.m = t->values + n;
    t->state.v = t->values + 2 * n;
    t->gradients = t->values + 3 * n;
    t->state.history_capacity = n_steps;
    return tw_gradient_create(t->device, &t->parameters, most_tokens, t->config->training.format,
                              &t->gradient, error);
}

static enum tw_status first_weights(struct tw_trainer *t, struct tw_error *error)
{
    const char *start = t->config->training.start;
    if (start != NULL) {
        return tw_start_weights_read(start, &t->parameters, t->tokenizer, t->state.weights, error);
    }
    tw_parameters_randomise(&t->parameters, t->config->training.seed, t->state.weights);
    return TW_OK;
}

static enum tw_status resume(struct tw_trainer *t, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (tw_file_exists(t->checkpoint_path)) {
        status = tw_checkpoint_read(t->checkpoint_path, &t->state, error);
    }
    t->first_step = t->state.n_history;
    return status;
}

enum tw_status tw_trainer_open(const struct tw_train_config *config, struct tw_device *device,
                               enum tw_trainer_purpose purpose, struct tw_trainer **ret_trainer,
                               struct tw_error *error)
{
    struct tw_trainer *t = tw_mem_zalloc(1, sizeof *t);
    if (t == NULL) {
        return no_memory(error);
    }
    t->config = config;
    t->device = device;
    t->purpose = purpose;
    enum tw_status status = tw_train_texts_read(config, &t->texts, error);
    if (status == TW_OK) {
        status = open_folder(t, error);
    }
    if (status == TW_OK) {
        status = open_tokenizer(t, error);
    }
    if (status == TW_OK) {
        status = open_data(t, error);
    }
    if (status == TW_OK) {
        struct tw_model_shape shape = shape_of(t);
        status = tw_parameters_init(&t->parameters, &shape, error);
    }
    if (status == TW_OK) {
        status = open_memory(t, error);
    }
    if (status == TW_OK) {
        status = first_weights(t, error);
    }
    if (status == TW_OK) {
        status = fingerprint(t, error);
    }
    if (status == TW_OK) {
        status = resume(t, error);
    }
    if (status != TW_OK) {
        tw_trainer_close(t);
        return status;
    }
    *ret_trainer = t;
    return TW_OK;
}

void tw_trainer_close(struct tw_trainer *t)
{
    if (t == NULL) {
        return;
    }
    tw_gradient_free(t->gradient);
    tw_packed_row_free(&t->row);
    tw_packing_free(t->packing);
    tw_packing_free(t->valid_packing);
    tw_dataset_free(t->train);
    tw_dataset_free(t->valid);
    tw_tokenizer_free(t->tokenizer);
    tw_train_texts_free(&t->texts);
    tw_mem_unmap(t->values, 4 * t->parameters.n_values * sizeof *t->values);
    tw_mem_free(t->state.history);
    tw_mem_free(t->pass.tokens);
    tw_mem_free(t->pass.is_target);
    tw_mem_free(t->pass.starts);
    tw_file_unlock(&t->lock);
    tw_mem_free(t);
}

struct tw_trainer_info tw_trainer_info(const struct tw_trainer *t)
{
    size_t most_tokens = t->rows_per_pass * t->config->model.context;
    const struct tw_dataset_report *data = tw_dataset_report(t->train);
    uint64_t n_data_tokens = data->n_tokens + tw_dataset_report(t->valid)->n_tokens;
    return (struct tw_trainer_info){
        .n_weights = t->parameters.n_weights,
        .n_vocab = t->parameters.shape.n_vocab,
        .data = *data,
        .n_valid_documents = tw_dataset_n_documents(t->valid),
        .first_step = t->first_step,
        .memory_bytes =
            4 * t->parameters.n_values * sizeof(float) +
            tw_gradient_bytes(&t->parameters, most_tokens, tw_device_threads(t->device)) +
            n_data_tokens * sizeof(uint32_t),
    };
}

const struct tw_train_state *tw_trainer_state(const struct tw_trainer *t)
{
    return &t->state;
}

const struct tw_parameters *tw_trainer_parameters(const struct tw_trainer *t)
{
    return &t->parameters;
}

const struct tw_dataset *tw_trainer_data(const struct tw_trainer *t)
{
    return t->train;
}

bool tw_trainer_is_done(const struct tw_trainer *t)
{
    return t->state.n_history >= t->config->training.steps;
}

/* ---- a step ---- */

/* Rows [first, first + n) of a packing, laid one after another. */
static void fill_pass(struct tw_trainer *t, struct tw_packing *packing, uint64_t first, size_t n)
{
    struct pass *pass = &t->pass;
    pass->n_tokens = 0;
    pass->n_documents = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tw_packed_row *row = &t->row;
        tw_packing_row(packing, first + i, &t->row);
        memcpy(pass->tokens + pass->n_tokens, row->tokens, row->n_tokens * sizeof *row->tokens);
        memcpy(pass->is_target + pass->n_tokens, row->is_target, row->n_tokens);
        for (uint32_t d = 0; d < row->n_documents; d++) {
            pass->starts[pass->n_documents++] = (uint32_t)pass->n_tokens + row->document_starts[d];
        }
        pass->n_tokens += row->n_tokens;
    }
    pass->starts[pass->n_documents] = (uint32_t)pass->n_tokens;
}

static struct tw_train_loss run_pass(struct tw_trainer *t, float scale, float *gradients)
{
    struct tw_train_batch batch = {
        .tokens = t->pass.tokens,
        .is_target = t->pass.is_target,
        .n_tokens = t->pass.n_tokens,
        .documents = {.starts = t->pass.starts, .n_documents = t->pass.n_documents}};
    return tw_gradient_add(t->gradient, t->state.weights, &batch, scale, gradients);
}

static void add_loss(struct tw_train_loss *sum, const struct tw_train_loss *loss)
{
    sum->sum += loss->sum;
    sum->n_targets += loss->n_targets;
    sum->operations += loss->operations;
}

static uint64_t count_targets(struct tw_trainer *t, uint64_t first, size_t n_rows)
{
    uint64_t n = 0;
    for (size_t i = 0; i < n_rows; i++) {
        tw_packing_row(t->packing, first + i, &t->row);
        n += t->row.n_targets;
    }
    return n;
}

/* Mean loss of all validation data; its operations are added. */
static double validate(struct tw_trainer *t, double *operations)
{
    struct tw_train_loss sum = {0};
    struct tw_packing_epoch all;
    tw_packing_epoch(t->valid_packing, 0, &all);
    for (uint64_t first = 0; first < all.n_rows; first += t->rows_per_pass) {
        uint64_t left = all.n_rows - first;
        fill_pass(t, t->valid_packing, first, left < t->rows_per_pass ? left : t->rows_per_pass);
        struct tw_train_loss loss = run_pass(t, 1, NULL);
        add_loss(&sum, &loss);
    }
    *operations += sum.operations;
    return sum.sum / (double)sum.n_targets;
}

/* Vectors (norms) are not pulled towards zero. */
static void update(struct tw_trainer *t, uint32_t step, double learning_rate, double norm)
{
    const struct tw_train_run_config *run = &t->config->training;
    double n = (double)step + 1;
    bool too_long = run->clip > 0 && norm > run->clip;
    struct tw_adamw_step adamw = {
        .learning_rate = (float)learning_rate,
        .beta1 = (float)run->beta1,
        .beta2 = (float)run->beta2,
        .epsilon = (float)run->epsilon,
        .gradient_scale = too_long ? (float)(run->clip / norm) : 1.0f,
        .m_scale = (float)(1 / (1 - pow(run->beta1, n))),
        .v_scale = (float)(1 / (1 - pow(run->beta2, n))),
    };
    for (size_t i = 0; i < tw_parameters_count(&t->parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&t->parameters, i);
        adamw.weight_decay = tensor.is_vector ? 0 : (float)run->weight_decay;
        tw_dense_adamw(tw_gradient_dense(t->gradient), &adamw, t->gradients + tensor.offset,
                       tensor.n_rows * tensor.n_columns, t->state.weights + tensor.offset,
                       t->state.m + tensor.offset, t->state.v + tensor.offset);
    }
}

static bool is_due(const struct tw_trainer *t, uint32_t every)
{
    return every != 0 && t->state.n_history % every == 0;
}

static enum tw_status no_number(uint32_t step, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "the loss of step %u is no number: lower learning_rate, or warm up longer",
                        step);
}

enum tw_status tw_trainer_step(struct tw_trainer *t, struct tw_trainer_report *ret_report,
                               struct tw_error *error)
{
    assert(t->purpose == TW_TRAINER_STEPS && !tw_trainer_is_done(t));
    const struct tw_train_run_config *run = &t->config->training;
    uint32_t step = t->state.n_history;
    uint64_t first = (uint64_t)step * run->rows_per_step, n_tokens = 0;
    uint64_t n_targets = count_targets(t, first, run->rows_per_step);
    struct tw_train_loss sum = {0};
    memset(t->gradients, 0, t->parameters.n_values * sizeof *t->gradients);
    for (size_t row = 0; row < run->rows_per_step; row += t->rows_per_pass) {
        size_t left = run->rows_per_step - row;
        fill_pass(t, t->packing, first + row, left < t->rows_per_pass ? left : t->rows_per_pass);
        n_tokens += t->pass.n_tokens;
        struct tw_train_loss loss = run_pass(t, 1.0f / (float)n_targets, t->gradients);
        add_loss(&sum, &loss);
    }
    double norm = sqrt(
        tw_dense_sum_squares(tw_gradient_dense(t->gradient), t->gradients, t->parameters.n_values));
    double learning_rate = tw_train_learning_rate(run, step);
    double loss = sum.sum / (double)sum.n_targets;
    if (!isfinite(loss) || !isfinite(norm)) {
        return no_number(step, error);
    }
    update(t, step, learning_rate, norm);
    t->state.n_history++;
    bool validates = is_due(t, run->valid_every) || tw_trainer_is_done(t);
    double valid_loss = validates ? validate(t, &sum.operations) : (double)NAN;
    if (validates && !isfinite(valid_loss)) {
        return no_number(step, error); /* the weights of the last step meet no other look */
    }
    struct tw_train_point point = {.step = step,
                                   .loss = (float)loss,
                                   .valid_loss = (float)valid_loss,
                                   .learning_rate = (float)learning_rate,
                                   .gradient_norm = (float)norm};
    t->state.history[step] = point;
    *ret_report = (struct tw_trainer_report){
        .point = point,
        .n_tokens = n_tokens,
        .operations = sum.operations,
    };
    return is_due(t, run->checkpoint_every) ? tw_trainer_save(t, error) : TW_OK;
}

void tw_trainer_spent(struct tw_trainer *t, double seconds)
{
    t->state.seconds += seconds;
}

/* A step's own weights are looked at by the next one only. */
static enum tw_status check_weights(const struct tw_trainer *t, struct tw_error *error)
{
    for (size_t i = 0; i < t->parameters.n_values; i++) {
        if (!isfinite(t->state.weights[i])) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "a weight after step %u is no number, so nothing is written: lower "
                                "learning_rate or weight_decay, or warm up longer",
                                t->state.n_history);
        }
    }
    return TW_OK;
}

enum tw_status tw_trainer_save(struct tw_trainer *t, struct tw_error *error)
{
    assert(t->purpose == TW_TRAINER_STEPS);
    enum tw_status status = check_weights(t, error);
    return status == TW_OK ? tw_checkpoint_write(t->checkpoint_path, &t->state, error) : status;
}

enum tw_status tw_trainer_export(struct tw_trainer *t, struct tw_error *error)
{
    enum tw_status status = check_weights(t, error);
    if (status == TW_OK) {
        status =
            tw_train_output_write(t->config, &t->texts, &t->parameters, t->state.weights, error);
    }
    if (status == TW_OK && t->config->output.gguf != NULL) {
        status = tw_train_output_gguf(t->config, tw_device_threads(t->device), error);
    }
    return status;
}
