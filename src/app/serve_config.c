#include "app/serve_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/backend_terms.h"
#include "app/backend_url.h"
#include "app/model_args.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/mem.h"
#include "hub/money.h"

struct values {
    void *scalars
        [TW_LIMIT_SERVE_OPTIONS]; /* by row of tw_serve_options: char *, uint64_t * or bool * */
    char **hosts, **reach;
    unsigned hosts_count, reach_count;
    struct tw_serve_file_model *models;
    unsigned models_count;
    struct tw_serve_file_backend *backends;
    unsigned backends_count;
    struct tw_serve_file_fallback *fallbacks;
    unsigned fallbacks_count;
    struct tw_serve_file_preference *preferences;
    unsigned preferences_count;
};

struct tw_serve_file {
    cyaml_schema_field_t fields[TW_LIMIT_SERVE_OPTIONS + 4];
    cyaml_schema_value_t schema;
    struct values *values;
};

/* ---- the schema ---- */

#define OPTIONAL ((enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL))

static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_CONF_STRING_BYTES)};
static const cyaml_schema_value_t name_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_SERVED_NAME_BYTES - 1)};

static const cyaml_schema_value_t url_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_REMOTE_URL_BYTES - 1)};

static const cyaml_schema_field_t model_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct tw_serve_file_model, path, 1,
                           TW_LIMIT_CONF_STRING_BYTES),
    CYAML_FIELD_STRING_PTR("name", OPTIONAL, struct tw_serve_file_model, name, 1,
                           TW_LIMIT_SERVED_NAME_BYTES - 1),
    CYAML_FIELD_SEQUENCE("aliases", OPTIONAL, struct tw_serve_file_model, aliases, &name_value, 0,
                         TW_LIMIT_SERVED_ALIASES),
    CYAML_FIELD_UINT_PTR("ctx", OPTIONAL, struct tw_serve_file_model, ctx),
    CYAML_FIELD_UINT_PTR("kv-bytes", OPTIONAL, struct tw_serve_file_model, kv_bytes),
    CYAML_FIELD_STRING_PTR("kv-type", OPTIONAL, struct tw_serve_file_model, kv_type, 1, 16),
    CYAML_FIELD_BOOL_PTR("preload", OPTIONAL, struct tw_serve_file_model, preload),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t model_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tw_serve_file_model, model_fields)};

#define BACKEND_TEXT(key, flags, member, most)                                                     \
    CYAML_FIELD_STRING_PTR(key, flags, struct tw_serve_file_backend, member, 1, most)

#define COST_TEXT(key, member)                                                                     \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct tw_serve_file_cost, member, 1,          \
                           TW_MONEY_TEXT_BYTES)

static const cyaml_schema_field_t cost_fields[] = {
    COST_TEXT("input", input),
    CYAML_FIELD_STRING_PTR("cached", OPTIONAL, struct tw_serve_file_cost, cached, 1,
                           TW_MONEY_TEXT_BYTES),
    COST_TEXT("output", output),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t remote_model_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct tw_serve_file_remote_model, name, 1,
                           TW_LIMIT_SERVED_NAME_BYTES - 1),
    CYAML_FIELD_STRING_PTR("upstream", OPTIONAL, struct tw_serve_file_remote_model, upstream, 1,
                           TW_LIMIT_CONF_STRING_BYTES),
    CYAML_FIELD_UINT("ctx", CYAML_FLAG_DEFAULT, struct tw_serve_file_remote_model, ctx),
    CYAML_FIELD_MAPPING_PTR("cost", OPTIONAL, struct tw_serve_file_remote_model, cost, cost_fields),
    CYAML_FIELD_SEQUENCE("can", OPTIONAL, struct tw_serve_file_remote_model, can, &name_value, 1,
                         TW_LIMIT_SERVE_WORDS),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t remote_model_value = {CYAML_VALUE_MAPPING(
    CYAML_FLAG_DEFAULT, struct tw_serve_file_remote_model, remote_model_fields)};

static const cyaml_schema_field_t backend_fields[] = {
    BACKEND_TEXT("name", CYAML_FLAG_POINTER, name, TW_LIMIT_SERVED_NAME_BYTES - 1),
    BACKEND_TEXT("url", OPTIONAL, url, TW_LIMIT_REMOTE_URL_BYTES - 1),
    CYAML_FIELD_SEQUENCE("urls", OPTIONAL, struct tw_serve_file_backend, urls, &url_value, 1,
                         TW_LIMIT_REMOTES),
    BACKEND_TEXT("kind", OPTIONAL, kind, 16),
    BACKEND_TEXT("zone", OPTIONAL, zone, TW_LIMIT_SERVED_NAME_BYTES - 1),
    BACKEND_TEXT("ca", OPTIONAL, ca, TW_LIMIT_CONF_STRING_BYTES),
    BACKEND_TEXT("key", OPTIONAL, key, TW_LIMIT_CONF_STRING_BYTES),
    CYAML_FIELD_UINT_PTR("weight", OPTIONAL, struct tw_serve_file_backend, weight),
    CYAML_FIELD_UINT_PTR("canary-per-mille", OPTIONAL, struct tw_serve_file_backend,
                         canary_per_mille),
    CYAML_FIELD_UINT_PTR("most-at-once", OPTIONAL, struct tw_serve_file_backend, most_at_once),
    CYAML_FIELD_BOOL_PTR("shares-prefixes", OPTIONAL, struct tw_serve_file_backend,
                         shares_prefixes),
    CYAML_FIELD_SEQUENCE("pass", OPTIONAL, struct tw_serve_file_backend, pass, &name_value, 0,
                         TW_LIMIT_SERVE_WORDS),
    CYAML_FIELD_SEQUENCE("models", CYAML_FLAG_POINTER, struct tw_serve_file_backend, models,
                         &remote_model_value, 1, TW_LIMIT_SERVED_MODELS),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t backend_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tw_serve_file_backend, backend_fields)};

/* No option says it: there is too much to say. */
static const cyaml_schema_field_t backends_field = CYAML_FIELD_SEQUENCE(
    "backends", OPTIONAL, struct values, backends, &backend_value, 0, TW_LIMIT_REMOTES);

static const cyaml_schema_field_t fallback_fields[] = {
    CYAML_FIELD_STRING_PTR("model", CYAML_FLAG_POINTER, struct tw_serve_file_fallback, model, 1,
                           TW_LIMIT_SERVED_NAME_BYTES - 1),
    CYAML_FIELD_SEQUENCE("to", CYAML_FLAG_POINTER, struct tw_serve_file_fallback, others,
                         &name_value, 1, TW_LIMIT_ROUTE_FALLBACKS),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t fallback_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tw_serve_file_fallback, fallback_fields)};

static const cyaml_schema_field_t preference_fields[] = {
    CYAML_FIELD_SEQUENCE("who", CYAML_FLAG_POINTER, struct tw_serve_file_preference, who,
                         &text_value, 1, TW_LIMIT_SERVE_WORDS),
    CYAML_FIELD_STRING_PTR("prefer", CYAML_FLAG_POINTER, struct tw_serve_file_preference, prefer, 1,
                           16),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t preference_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tw_serve_file_preference, preference_fields)};

static const cyaml_schema_field_t fallbacks_field = CYAML_FIELD_SEQUENCE(
    "fallbacks", OPTIONAL, struct values, fallbacks, &fallback_value, 0, TW_LIMIT_ROUTE_RULES);
static const cyaml_schema_field_t preferences_field =
    CYAML_FIELD_SEQUENCE("preferences", OPTIONAL, struct values, preferences, &preference_value, 0,
                         TW_LIMIT_ROUTE_RULES);

static cyaml_schema_field_t list_field(const struct tw_option *option)
{
    static const cyaml_schema_field_t fields[] = {
        CYAML_FIELD_SEQUENCE("models", OPTIONAL, struct values, models, &model_value, 0,
                             TW_LIMIT_SERVED_MODELS),
        CYAML_FIELD_SEQUENCE("allow-host", OPTIONAL, struct values, hosts, &text_value, 0,
                             TW_LIMIT_OPTION_REPEATS),
        CYAML_FIELD_SEQUENCE("reach", OPTIONAL, struct values, reach, &text_value, 0,
                             TW_LIMIT_REACH_ADDRESSES)};
    return fields[strcmp(option->name, "model") == 0   ? 0
                  : strcmp(option->name, "reach") == 0 ? 2
                                                       : 1];
}

static cyaml_schema_field_t scalar_field(const struct tw_option *option, size_t i)
{
    cyaml_schema_field_t field = {
        .key = option->name,
        .data_offset = (uint32_t)(i * sizeof(void *)),
        .value = {CYAML_VALUE_STRING(OPTIONAL, char *, 1, TW_LIMIT_CONF_STRING_BYTES)}};
    if (option->kind == TW_OPTION_FLAG) {
        field.value = (cyaml_schema_value_t){CYAML_VALUE_BOOL(OPTIONAL, bool)};
    } else if (option->kind == TW_OPTION_INT) {
        field.value = (cyaml_schema_value_t){CYAML_VALUE_UINT(OPTIONAL, uint64_t)};
    }
    return field;
}

/* What is about the file itself is not in it. */
static bool is_key(const struct tw_option *option)
{
    return strcmp(option->name, "config") != 0 && strcmp(option->name, "check") != 0;
}

static void make_schema(struct tw_serve_file *file)
{
    static const cyaml_schema_field_t last = CYAML_FIELD_END;
    size_t n = 0;
    _Static_assert(offsetof(struct values, scalars) == 0, "a row's number is its place");
    for (size_t i = 0; i < tw_serve_options.n_options; i++) {
        const struct tw_option *option = &tw_serve_options.options[i];
        if (is_key(option)) {
            file->fields[n++] =
                option->kind == TW_OPTION_STRINGS ? list_field(option) : scalar_field(option, i);
        }
    }
    file->fields[n++] = backends_field;
    file->fields[n++] = fallbacks_field;
    file->fields[n++] = preferences_field;
    file->fields[n] = last;
    file->schema = (cyaml_schema_value_t){
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct values, file->fields)};
}

/* ---- from the file to the arguments ---- */

/* The text, to say where in it a value stands. */
struct source {
    const char *text;
    size_t text_bytes;
    const char *name;
    struct tw_error *error;
};

static __attribute__((format(printf, 3, 4))) enum tw_status wrong(const struct source *source,
                                                                  const char *path,
                                                                  const char *format, ...)
{
    char what[320], where[64] = "";
    struct tw_conf_place place;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (tw_conf_find(source->text, source->text_bytes, path, &place)) {
        snprintf(where, sizeof where, " (line: %zu, column: %zu)", place.line, place.column);
    }
    return tw_error_set(source->error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.100s': %s%s",
                        source->name, what, where);
}

static enum tw_status check_range(const struct source *source, const char *path,
                                  const struct tw_option *option, uint64_t value)
{
    return (double)value >= option->least && (double)value <= option->most
               ? TW_OK
               : wrong(source, path, "%s is %llu; it must be from %.12g to %.12g", option->name,
                       (unsigned long long)value, option->least, option->most);
}

static enum tw_status find_choice(const struct source *source, const char *path,
                                  const struct tw_option *option, const char *word, int *ret_place)
{
    char list[80] = "";
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], word) == 0) {
            *ret_place = i;
            return TW_OK;
        }
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    }
    return wrong(source, path, "%s: '%.40s' is not one of %s", option->name, word, list);
}

static enum tw_status put_scalar(const struct source *source, const struct tw_option *option,
                                 void *value, struct tw_serve_args *args)
{
    void *place = (char *)args + option->offset;
    enum tw_status status = TW_OK;
    if (option->kind == TW_OPTION_FLAG) {
        *(bool *)place = *(const bool *)value;
    } else if (option->kind == TW_OPTION_STRING) {
        *(const char **)place = value;
    } else if (option->kind == TW_OPTION_CHOICE) {
        status = find_choice(source, option->name, option, value, place);
    } else {
        const uint64_t number = *(const uint64_t *)value;
        status = check_range(source, option->name, option, number);
        *(int64_t *)place = status == TW_OK ? (int64_t)number : 0;
    }
    return status;
}

static const struct tw_option *option_named(const char *name)
{
    const struct tw_option *option = tw_serve_options.options;
    while (strcmp(option->name, name) != 0) {
        option++;
    }
    return option;
}

static enum tw_status check_model(const struct source *source, unsigned i,
                                  const struct tw_serve_file_model *model)
{
    char path[48];
    int place;
    enum tw_status status = TW_OK;
    if (model->ctx != NULL) {
        snprintf(path, sizeof path, "models.%u.ctx", i);
        status = check_range(source, path, option_named("ctx"), *model->ctx);
    }
    if (status == TW_OK && model->kv_bytes != NULL) {
        snprintf(path, sizeof path, "models.%u.kv-bytes", i);
        status = check_range(source, path, option_named("kv-bytes"), *model->kv_bytes);
    }
    if (status == TW_OK && model->kv_type != NULL) {
        snprintf(path, sizeof path, "models.%u.kv-type", i);
        status = find_choice(source, path, option_named("kv-type"), model->kv_type, &place);
    }
    return status;
}

/* ---- backends ---- */

static enum tw_status check_url(const struct source *source, const char *path, const char *text)
{
    struct tw_backend_url url;
    struct tw_error error;
    return tw_backend_url_read(text, &url, &error) == TW_OK
               ? TW_OK
               : wrong(source, path, "%.300s", error.text);
}

static enum tw_status check_urls(const struct source *source, unsigned i,
                                 const struct tw_serve_file_backend *row)
{
    char path[64];
    snprintf(path, sizeof path, "backends.%u", i);
    if ((row->url != NULL) == (row->urls_count > 0)) {
        return wrong(source, path, "the backend '%.60s' must have a url, or a list of them as urls",
                     row->name);
    }
    snprintf(path, sizeof path, "backends.%u.url", i);
    enum tw_status status = row->url != NULL ? check_url(source, path, row->url) : TW_OK;
    for (unsigned k = 0; status == TW_OK && k < row->urls_count; k++) {
        snprintf(path, sizeof path, "backends.%u.urls.%u", i, k);
        status = check_url(source, path, row->urls[k]);
    }
    return status;
}

static enum tw_status check_number(const struct source *source, unsigned i, const char *key,
                                   const uint64_t *value, uint64_t least, uint64_t most)
{
    char path[64];
    snprintf(path, sizeof path, "backends.%u.%s", i, key);
    return value == NULL || (*value >= least && *value <= most)
               ? TW_OK
               : wrong(source, path, "%s is %llu; it must be from %llu to %llu", key,
                       (unsigned long long)*value, (unsigned long long)least,
                       (unsigned long long)most);
}

static enum tw_status check_terms(const struct source *source, unsigned i, unsigned k,
                                  const struct tw_serve_file_backend *row)
{
    char path[80];
    struct tw_error error;
    struct tw_route_prices prices;
    uint32_t abilities;
    snprintf(path, sizeof path, "backends.%u.models.%u.cost", i, k);
    if (tw_backend_terms_cost(&row->models[k], &prices, &error) != TW_OK) {
        return wrong(source, path, "backend '%.60s': %.200s", row->name, error.text);
    }
    snprintf(path, sizeof path, "backends.%u.models.%u.can", i, k);
    if (tw_backend_terms_abilities(&row->models[k], 0, &abilities, &error) != TW_OK) {
        return wrong(source, path, "backend '%.60s': %.200s", row->name, error.text);
    }
    return TW_OK;
}

static enum tw_status check_remote_models(const struct source *source, unsigned i,
                                          const struct tw_serve_file_backend *row)
{
    char path[80];
    for (unsigned k = 0; k < row->models_count; k++) {
        const struct tw_serve_file_remote_model *model = &row->models[k];
        if (model->ctx < 1 || model->ctx > TW_LIMIT_MODEL_CONTEXT_TOKENS) {
            snprintf(path, sizeof path, "backends.%u.models.%u.ctx", i, k);
            return wrong(
                source, path,
                "backend '%.60s': the context of a model, ctx, is %llu; it must be from 1 to %u",
                row->name, (unsigned long long)model->ctx, TW_LIMIT_MODEL_CONTEXT_TOKENS);
        }
        for (unsigned other = 0; other < k; other++) {
            if (strcmp(model->name, row->models[other].name) == 0) {
                snprintf(path, sizeof path, "backends.%u.models.%u.name", i, k);
                return wrong(source, path, "backend '%.60s' has the model '%.60s' twice", row->name,
                             model->name);
            }
        }
        enum tw_status status = check_terms(source, i, k, row);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

static enum tw_status check_names(const struct source *source, unsigned i,
                                  const struct tw_serve_file_backend *rows)
{
    char path[64];
    for (unsigned k = 0; k < i; k++) {
        if (strcmp(rows[i].name, rows[k].name) == 0) {
            snprintf(path, sizeof path, "backends.%u.name", i);
            return wrong(source, path, "two backends are called '%.60s'", rows[i].name);
        }
    }
    if (rows[i].kind != NULL && tw_server_kind_named(rows[i].kind) == NULL) {
        snprintf(path, sizeof path, "backends.%u.kind", i);
        return wrong(source, path, "backend '%.60s': its kind '%.40s' is none of %s", rows[i].name,
                     rows[i].kind, tw_server_kind_names());
    }
    return TW_OK;
}

static enum tw_status check_backend(const struct source *source, unsigned i,
                                    const struct tw_serve_file_backend *rows)
{
    const struct tw_serve_file_backend *row = &rows[i];
    enum tw_status status = check_names(source, i, rows);
    if (status == TW_OK) {
        status = check_number(source, i, "weight", row->weight, 1, TW_LIMIT_REMOTE_WEIGHT);
    }
    if (status == TW_OK) {
        status = check_number(source, i, "canary-per-mille", row->canary_per_mille, 0, 1000);
    }
    if (status == TW_OK) {
        status =
            check_number(source, i, "most-at-once", row->most_at_once, 0, TW_LIMIT_REMOTE_CALLS);
    }
    if (status == TW_OK) {
        status = check_urls(source, i, row);
    }
    return status == TW_OK ? check_remote_models(source, i, row) : status;
}

/* ---- all of it ---- */

static enum tw_status copy_names(char *const *names, unsigned n_names,
                                 struct tw_option_strings *strings, struct tw_error *error)
{
    if (n_names == 0) {
        return TW_OK;
    }
    strings->items = tw_mem_alloc(n_names, sizeof *strings->items);
    if (strings->items == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for host names");
    }
    for (unsigned i = 0; i < n_names; i++) {
        strings->items[strings->n_items++] = names[i];
    }
    return TW_OK;
}

static enum tw_status put_all(const struct source *source, const struct values *values,
                              struct tw_serve_args *args)
{
    enum tw_status status =
        copy_names(values->hosts, values->hosts_count, &args->hosts, source->error);
    if (status == TW_OK) {
        status = copy_names(values->reach, values->reach_count, &args->reach, source->error);
    }
    for (size_t i = 0; status == TW_OK && i < tw_serve_options.n_options; i++) {
        if (values->scalars[i] != NULL) {
            status = put_scalar(source, &tw_serve_options.options[i], values->scalars[i], args);
        }
    }
    for (unsigned i = 0; status == TW_OK && i < values->models_count; i++) {
        status = check_model(source, i, &values->models[i]);
    }
    for (unsigned i = 0; status == TW_OK && i < values->backends_count; i++) {
        status = check_backend(source, i, values->backends);
    }
    return status;
}

/* ---- paths ---- */

static bool is_path(const struct tw_option *option)
{
    return option->kind == TW_OPTION_STRING && strcmp(option->value_name, "F") == 0;
}

static bool resolve_all(const char *path, struct values *values)
{
    bool ok = true;
    for (size_t i = 0; ok && i < tw_serve_options.n_options; i++) {
        if (values->scalars[i] != NULL && is_path(&tw_serve_options.options[i])) {
            char *text = values->scalars[i];
            ok = tw_conf_resolve(path, &text);
            values->scalars[i] = text;
        }
    }
    for (unsigned i = 0; ok && i < values->models_count; i++) {
        ok = tw_conf_resolve(path, &values->models[i].path);
    }
    for (unsigned i = 0; ok && i < values->backends_count; i++) {
        ok = tw_conf_resolve(path, &values->backends[i].ca) &&
             tw_conf_resolve(path, &values->backends[i].key);
    }
    return ok;
}

/* ---- loading ---- */

/* config_path: from whose folder paths are seen; NULL leaves them. */
static enum tw_status parse(const struct source *source, const char *config_path,
                            struct tw_serve_args *args)
{
    struct tw_serve_file *file = tw_mem_zalloc(1, sizeof *file);
    void *values = NULL;
    if (file == NULL) {
        return tw_error_set(source->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    args->file = file;
    make_schema(file);
    enum tw_status status = tw_conf_parse(source->text, source->text_bytes, source->name,
                                          &file->schema, &values, source->error);
    file->values = values;
    if (status == TW_OK && config_path != NULL && !resolve_all(config_path, values)) {
        status = tw_error_set(source->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    return status == TW_OK ? put_all(source, values, args) : status;
}

enum tw_status tw_serve_config_parse(const char *text, size_t text_bytes, const char *name,
                                     struct tw_serve_args *args, struct tw_error *error)
{
    const struct source source = {text, text_bytes, name, error};
    return parse(&source, NULL, args);
}

enum tw_status tw_serve_config_load(const char *path, struct tw_serve_args *args,
                                    struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status == TW_OK) {
        const struct source source = {text.size_bytes > 0 ? text.data : "", text.size_bytes, path,
                                      error};
        status = parse(&source, path, args);
        tw_buf_free(&text);
    }
    return status;
}

const struct tw_serve_file_model *tw_serve_file_models(const struct tw_serve_file *file,
                                                       unsigned *ret_n)
{
    *ret_n = file != NULL ? file->values->models_count : 0;
    return file != NULL ? file->values->models : NULL;
}

const struct tw_serve_file_backend *tw_serve_file_backends(const struct tw_serve_file *file,
                                                           unsigned *ret_n)
{
    *ret_n = file != NULL ? file->values->backends_count : 0;
    return file != NULL ? file->values->backends : NULL;
}

const struct tw_serve_file_fallback *tw_serve_file_fallbacks(const struct tw_serve_file *file,
                                                             unsigned *ret_n)
{
    *ret_n = file != NULL ? file->values->fallbacks_count : 0;
    return file != NULL ? file->values->fallbacks : NULL;
}

const struct tw_serve_file_preference *tw_serve_file_preferences(const struct tw_serve_file *file,
                                                                 unsigned *ret_n)
{
    *ret_n = file != NULL ? file->values->preferences_count : 0;
    return file != NULL ? file->values->preferences : NULL;
}

void tw_serve_file_free(struct tw_serve_file *file)
{
    if (file != NULL) {
        tw_conf_free(&file->schema, file->values);
        tw_mem_free(file);
    }
}
