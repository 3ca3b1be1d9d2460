#include "train/train_config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/file.h"
#include "model/quantise_model.h"

#define UINT_FIELD(type, member) CYAML_FIELD_UINT(#member, CYAML_FLAG_DEFAULT, type, member)
#define REAL_FIELD(type, member) CYAML_FIELD_FLOAT(#member, CYAML_FLAG_DEFAULT, type, member)

static const cyaml_schema_field_t model_fields[] = {
    UINT_FIELD(struct tw_train_model_config, layers),
    UINT_FIELD(struct tw_train_model_config, embed),
    UINT_FIELD(struct tw_train_model_config, heads),
    UINT_FIELD(struct tw_train_model_config, kv_heads),
    UINT_FIELD(struct tw_train_model_config, head_dim),
    UINT_FIELD(struct tw_train_model_config, ffn),
    UINT_FIELD(struct tw_train_model_config, context),
    REAL_FIELD(struct tw_train_model_config, rope_base),
    CYAML_FIELD_BOOL("tied_head", CYAML_FLAG_DEFAULT, struct tw_train_model_config, tied_head),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t path_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TW_LIMIT_CONF_STRING_BYTES)};

#define PATH_FIELD(key, flags, type, member)                                                       \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1,                     \
                           TW_LIMIT_CONF_STRING_BYTES)

static const cyaml_schema_field_t data_fields[] = {
    PATH_FIELD("tokenizer", CYAML_FLAG_OPTIONAL, struct tw_train_data_config, tokenizer),
    PATH_FIELD("chat_template", CYAML_FLAG_OPTIONAL, struct tw_train_data_config, chat_template),
    CYAML_FIELD_SEQUENCE("train", CYAML_FLAG_POINTER, struct tw_train_data_config, train,
                         &path_value, 1, TW_LIMIT_TRAIN_FILES),
    CYAML_FIELD_SEQUENCE("valid", CYAML_FLAG_POINTER, struct tw_train_data_config, valid,
                         &path_value, 1, TW_LIMIT_TRAIN_FILES),
    CYAML_FIELD_END,
};

static const cyaml_strval_t format_names[] = {{"f32", TW_GEMM_F32}, {"bf16", TW_GEMM_BF16}};

static const cyaml_schema_field_t run_fields[] = {
    PATH_FIELD("start", CYAML_FLAG_OPTIONAL, struct tw_train_run_config, start),
    UINT_FIELD(struct tw_train_run_config, seed),
    UINT_FIELD(struct tw_train_run_config, steps),
    UINT_FIELD(struct tw_train_run_config, warmup_steps),
    UINT_FIELD(struct tw_train_run_config, rows_per_step),
    REAL_FIELD(struct tw_train_run_config, learning_rate),
    REAL_FIELD(struct tw_train_run_config, final_learning_rate),
    REAL_FIELD(struct tw_train_run_config, beta1),
    REAL_FIELD(struct tw_train_run_config, beta2),
    REAL_FIELD(struct tw_train_run_config, epsilon),
    REAL_FIELD(struct tw_train_run_config, weight_decay),
    REAL_FIELD(struct tw_train_run_config, clip),
    CYAML_FIELD_ENUM("format", CYAML_FLAG_STRICT, struct tw_train_run_config, format, format_names,
                     sizeof format_names / sizeof *format_names),
    UINT_FIELD(struct tw_train_run_config, valid_every),
    UINT_FIELD(struct tw_train_run_config, checkpoint_every),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t output_fields[] = {
    PATH_FIELD("folder", 0, struct tw_train_output_config, folder),
    PATH_FIELD("gguf", CYAML_FLAG_OPTIONAL, struct tw_train_output_config, gguf),
    PATH_FIELD("type", CYAML_FLAG_OPTIONAL, struct tw_train_output_config, type),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("model", CYAML_FLAG_DEFAULT, struct tw_train_config, model, model_fields),
    CYAML_FIELD_MAPPING("data", CYAML_FLAG_DEFAULT, struct tw_train_config, data, data_fields),
    CYAML_FIELD_MAPPING("training", CYAML_FLAG_DEFAULT, struct tw_train_config, training,
                        run_fields),
    CYAML_FIELD_MAPPING("output", CYAML_FLAG_DEFAULT, struct tw_train_config, output,
                        output_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct tw_train_config, fields)};

/* ---- ranges ---- */

/* A recipe's text, to say where in it a value stands. */
struct source {
    const char *text;
    size_t text_bytes;
    const char *name;
    struct tw_error *error;
};

/* most_key: the key whose value is the upper bound, or NULL where the bound is always the same. */
struct range {
    const char *key;
    double value, least, most;
    const char *most_key;
};

static __attribute__((format(printf, 4, 5))) enum tw_status wrong(const struct source *source,
                                                                  const char *section,
                                                                  const char *key,
                                                                  const char *format, ...)
{
    char what[160], path[80], where[64] = "";
    struct tw_conf_place place;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(path, sizeof path, "%s.%s", section, key);
    if (tw_conf_find(source->text, source->text_bytes, path, &place)) {
        snprintf(where, sizeof where, " (line: %zu, column: %zu)", place.line, place.column);
    }
    return tw_error_set(source->error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.100s': %s%s",
                        source->name, what, where);
}

static enum tw_status check_ranges(const struct source *source, const char *section,
                                   const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct range *r = &ranges[i];
        if (r->value > r->most && r->most_key != NULL) {
            return wrong(source, section, r->key, "%s is %.10g; it must be at most %s (%.10g)",
                         r->key, r->value, r->most_key, r->most);
        }
        if (!(r->value >= r->least && r->value <= r->most)) {
            return wrong(source, section, r->key, "%s is %.10g; it must be from %.10g to %.10g",
                         r->key, r->value, r->least, r->most);
        }
    }
    return TW_OK;
}

static enum tw_status check_model(const struct source *source,
                                  const struct tw_train_model_config *m)
{
    const struct range ranges[] = {
        {"layers", m->layers, 1, TW_LIMIT_MODEL_LAYERS, NULL},
        {"embed", m->embed, 1, TW_LIMIT_TRAIN_WIDTH, NULL},
        {"heads", m->heads, 1, TW_LIMIT_MODEL_HEADS, NULL},
        {"kv_heads", m->kv_heads, 1, m->heads, "heads"},
        {"head_dim", m->head_dim, 2, TW_LIMIT_MODEL_HEAD_DIM, NULL},
        {"ffn", m->ffn, 1, TW_LIMIT_TRAIN_WIDTH, NULL},
        {"context", m->context, 2, TW_LIMIT_TRAIN_CONTEXT_TOKENS, NULL},
        {"rope_base", m->rope_base, 1, 1e9, NULL},
    };
    enum tw_status status = check_ranges(source, "model", ranges, sizeof ranges / sizeof *ranges);
    if (status == TW_OK && m->heads % m->kv_heads != 0) {
        status = wrong(source, "model", "kv_heads",
                       "kv_heads is %u; it must divide heads, which is %u", m->kv_heads, m->heads);
    }
    if (status == TW_OK && m->head_dim % 2 != 0) {
        status = wrong(source, "model", "head_dim", "head_dim is %u; it must be even", m->head_dim);
    }
    return status;
}

static enum tw_status check_run(const struct source *source, const struct tw_train_run_config *t)
{
    const struct range ranges[] = {
        {"steps", t->steps, 1, TW_LIMIT_TRAIN_STEPS, NULL},
        {"warmup_steps", t->warmup_steps, 0, t->steps, "steps"},
        {"rows_per_step", t->rows_per_step, 1, TW_LIMIT_TRAIN_ROWS, NULL},
        {"learning_rate", t->learning_rate, 0, 10, NULL},
        {"final_learning_rate", t->final_learning_rate, 0, t->learning_rate, "learning_rate"},
        {"beta1", t->beta1, 0, 0.999999, NULL},
        {"beta2", t->beta2, 0, 0.999999, NULL},
        {"epsilon", t->epsilon, 1e-30, 1, NULL},
        {"weight_decay", t->weight_decay, 0, 100, NULL},
        {"clip", t->clip, 0, 1e6, NULL},
    };
    return check_ranges(source, "training", ranges, sizeof ranges / sizeof *ranges);
}

static enum tw_status check_names(const struct source *source, const struct tw_train_config *config)
{
    enum tw_model_mix mix;
    const char *type = config->output.type;
    if (config->data.tokenizer == NULL && config->training.start == NULL) {
        return wrong(source, "data", "train",
                     "the key tokenizer is missing in data: name a tokenizer.json or a model, or a "
                     "model to go on from under training.start");
    }
    if (type != NULL && !tw_model_mix_from_name(type, &mix)) {
        return wrong(source, "output", "type",
                     "type '%.40s' is no weight format; Q8_0 and F16 are usual", type);
    }
    return TW_OK;
}

static enum tw_status check_all(const struct source *source, struct tw_train_config **ret_config,
                                void *loaded)
{
    struct tw_train_config *config = loaded;
    enum tw_status status = check_model(source, &config->model);
    if (status == TW_OK) {
        status = check_run(source, &config->training);
    }
    if (status == TW_OK) {
        status = check_names(source, config);
    }
    if (status != TW_OK) {
        tw_train_config_free(config);
        return status;
    }
    *ret_config = config;
    return TW_OK;
}

/* ---- paths ---- */

static bool resolve_all(const char *config_path, struct tw_train_config *config)
{
    bool ok = tw_conf_resolve(config_path, &config->data.tokenizer) &&
              tw_conf_resolve(config_path, &config->data.chat_template) &&
              tw_conf_resolve(config_path, &config->training.start) &&
              tw_conf_resolve(config_path, &config->output.folder) &&
              tw_conf_resolve(config_path, &config->output.gguf);
    for (uint32_t i = 0; ok && i < config->data.train_count; i++) {
        ok = tw_conf_resolve(config_path, &config->data.train[i]);
    }
    for (uint32_t i = 0; ok && i < config->data.valid_count; i++) {
        ok = tw_conf_resolve(config_path, &config->data.valid[i]);
    }
    return ok;
}

/* ---- loading ---- */

enum tw_status tw_train_config_parse(const char *text, size_t text_bytes, const char *name,
                                     struct tw_train_config **ret_config, struct tw_error *error)
{
    void *loaded;
    const struct source source = {text, text_bytes, name, error};
    enum tw_status status = tw_conf_parse(text, text_bytes, name, &schema, &loaded, error);
    return status == TW_OK ? check_all(&source, ret_config, loaded) : status;
}

enum tw_status tw_train_config_load(const char *path, struct tw_train_config **ret_config,
                                    struct tw_error *error)
{
    struct tw_buf text;
    struct tw_train_config *config;
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_train_config_parse(text.data, text.size_bytes, path, &config, error);
    tw_buf_free(&text);
    if (status != TW_OK) {
        return status;
    }
    if (!resolve_all(path, config)) {
        tw_train_config_free(config);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.100s': no memory", path);
    }
    *ret_config = config;
    return TW_OK;
}

void tw_train_config_free(struct tw_train_config *config)
{
    tw_conf_free(&schema, config);
}

double tw_train_learning_rate(const struct tw_train_run_config *run, uint32_t step)
{
    if (step < run->warmup_steps) {
        return run->learning_rate * (step + 1) / run->warmup_steps;
    }
    double n_falling = run->steps - run->warmup_steps;
    double part = n_falling > 1 ? (step - run->warmup_steps) / (n_falling - 1) : 1;
    double height = 0.5 * (1 + cos(part * 3.14159265358979323846));
    return run->final_learning_rate + (run->learning_rate - run->final_learning_rate) * height;
}
