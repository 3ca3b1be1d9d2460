#include "train/run_record.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a run's record");
}

/* ---- the recipe ---- */

static void put_number(struct tw_buf *recipe, const char *key, double value)
{
    struct tw_json_writer number; /* the dot, in every locale */
    tw_buf_append_format(recipe, "%s ", key);
    tw_json_begin(&number, recipe);
    tw_json_double(&number, value);
    tw_buf_append_text(recipe, "\n");
}

static void put_numbers(const struct tw_train_config *config, uint32_t n_vocab,
                        struct tw_buf *recipe)
{
    const struct tw_train_model_config *m = &config->model;
    const struct tw_train_run_config *r = &config->training;
    const struct {
        const char *key;
        double value;
    } rows[] = {
        {"model.layers", m->layers},
        {"model.embed", m->embed},
        {"model.heads", m->heads},
        {"model.kv_heads", m->kv_heads},
        {"model.head_dim", m->head_dim},
        {"model.ffn", m->ffn},
        {"model.context", m->context},
        {"model.rope_base", m->rope_base},
        {"model.tied_head", m->tied_head},
        {"data.tokenizer", n_vocab},
        {"training.steps", r->steps},
        {"training.warmup_steps", r->warmup_steps},
        {"training.rows_per_step", r->rows_per_step},
        {"training.learning_rate", r->learning_rate},
        {"training.final_learning_rate", r->final_learning_rate},
        {"training.beta1", r->beta1},
        {"training.beta2", r->beta2},
        {"training.epsilon", r->epsilon},
        {"training.weight_decay", r->weight_decay},
        {"training.clip", r->clip},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_number(recipe, rows[i].key, rows[i].value);
    }
    tw_buf_append_format(recipe, "training.format %s\n",
                         r->format == TW_GEMM_BF16 ? "bf16" : "f32");
    /* has more digits than a double */
    tw_buf_append_format(recipe, "training.seed %" PRIu64 "\n", r->seed);
}

static enum tw_status hash_data(const struct tw_dataset *data, uint64_t *ret_hash,
                                struct tw_error *error)
{
    struct tw_hash *hash = tw_hash_create();
    uint32_t most = tw_dataset_n_context(data);
    int32_t *tokens = tw_mem_alloc(most, sizeof *tokens);
    uint8_t *is_target = tw_mem_alloc(most, 1);
    bool ok = hash != NULL && tokens != NULL && is_target != NULL;
    for (size_t i = 0; ok && i < tw_dataset_n_documents(data); i++) {
        uint32_t n = tw_dataset_document_tokens(data, i);
        tw_dataset_copy(data, i, tokens, is_target);
        tw_hash_add(hash, &n, sizeof n);
        tw_hash_add(hash, tokens, n * sizeof *tokens);
        tw_hash_add(hash, is_target, n);
    }
    if (ok) {
        *ret_hash = tw_hash_value(hash);
    }
    tw_hash_free(hash);
    tw_mem_free(tokens);
    tw_mem_free(is_target);
    return ok ? TW_OK : no_memory(error);
}

enum tw_status tw_run_record_recipe(const struct tw_train_config *config,
                                    const struct tw_parameters *parameters, const float *weights,
                                    const struct tw_dataset *data, struct tw_buf *recipe,
                                    struct tw_error *error)
{
    uint64_t hash = 0;
    enum tw_status status = hash_data(data, &hash, error);
    if (status != TW_OK) {
        return status;
    }
    put_numbers(config, parameters->shape.n_vocab, recipe);
    tw_buf_append_format(recipe, "data.train #%016" PRIx64 "\n", hash);
    if (config->training.start != NULL) {
        hash = tw_hash_of(weights, parameters->n_values * sizeof *weights, 0);
        tw_buf_append_format(recipe, "training.start #%016" PRIx64 "\n", hash);
    } else {
        tw_buf_append_text(recipe, "training.start none\n");
    }
    return recipe->failed ? no_memory(error) : TW_OK;
}

/* ---- files ---- */

static bool is_listed(const struct tw_buf *outputs, const char *path)
{
    for (size_t at = 0; at < outputs->size_bytes;) {
        const char *listed = outputs->data + at;
        if (strcmp(listed, path) == 0) {
            return true;
        }
        at += strlen(listed) + 1;
    }
    return false;
}

enum tw_status tw_run_record_claim(struct tw_buf *outputs, const char *path, bool force,
                                   bool *ret_is_new, struct tw_error *error)
{
    char *absolute = NULL;
    if (path == NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_file_absolute(path, &absolute, error);
    if (status != TW_OK) {
        return status;
    }
    bool is_listed_already = is_listed(outputs, absolute);
    if (!is_listed_already && !force && tw_file_exists(path)) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "'%.160s' exists already and is not of this run; --force replaces it",
                              path);
    } else if (!is_listed_already) {
        *ret_is_new = true;
        bool ok = tw_buf_append(outputs, absolute, strlen(absolute) + 1);
        status = ok ? TW_OK : no_memory(error);
    }
    tw_mem_free(absolute);
    return status;
}
