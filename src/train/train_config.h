/* train_config.h: the recipe of a training run, from a YAML file (docs/train.md).
 *
 * Paths in the file are relative to the folder of the file. Everything that decides what the
 * weights become is in here: two runs with equal recipes and data give equal bits.
 *
 * Ownership: the caller frees the config. Errors: those of base/conf.h, TW_ERR_USAGE for values
 * out of range, with the key's name.
 */
#ifndef TW_TRAIN_TRAIN_CONFIG_H
#define TW_TRAIN_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernel/train_kernels.h"

struct tw_train_model_config {
    uint32_t layers, embed, heads, kv_heads, head_dim, ffn, context;
    double rope_base;
    bool tied_head;
};

struct tw_train_data_config {
    char *tokenizer;     /* a tokenizer.json */
    char *chat_template; /* a Jinja file that the model carries along; NULL: none */
    char **train;        /* JSONL files */
    uint32_t train_count;
    char **valid;
    uint32_t valid_count;
};

struct tw_train_run_config {
    char *start;   /* a model whose weights are the first ones; NULL: random ones */
    uint64_t seed; /* of random weights, and of the order of documents */
    uint32_t steps, warmup_steps;
    uint32_t rows_per_step; /* rows of `context` tokens in one step of the optimiser */
    double learning_rate, final_learning_rate;
    double beta1, beta2, epsilon, weight_decay;
    double clip; /* largest norm of the gradient; 0: no clipping */
    enum tw_gemm_format format;
    uint32_t valid_every, checkpoint_every; /* steps; 0: never, but at the end */
};

struct tw_train_output_config {
    char *folder; /* a Hugging Face folder is written here, and the checkpoint while training */
    char *gguf;   /* NULL: no GGUF file */
    char *type;   /* of its weights: a name of `model quantize`; NULL: F16 */
};

struct tw_train_config {
    struct tw_train_model_config model;
    struct tw_train_data_config data;
    struct tw_train_run_config training;
    struct tw_train_output_config output;
};

enum tw_status tw_train_config_load(const char *path, struct tw_train_config **ret_config,
                                    struct tw_error *error);

/* The same from memory, paths left as they are. */
enum tw_status tw_train_config_parse(const char *text, size_t text_bytes, const char *name,
                                     struct tw_train_config **ret_config, struct tw_error *error);

/* NULL is allowed. */
void tw_train_config_free(struct tw_train_config *config);

/* The learning rate of a step, counted from 0: it rises in a line over the warm-up, then falls
 * along half a cosine to final_learning_rate at the last step. */
double tw_train_learning_rate(const struct tw_train_run_config *run, uint32_t step);

#endif
