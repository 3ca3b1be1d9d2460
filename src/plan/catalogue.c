#include "plan/catalogue.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "plan/catalogue_state.h"
#include "text/lines.h"

/* ---- fields as tables: name, place, unit ---- */

struct range_field {
    const char *name;
    size_t offset;
    double unit; /* what one of the table is in ours */
    bool is_required;
    double otherwise;
};

struct count_field {
    const char *name;
    size_t offset;
    bool is_required;
    uint32_t otherwise, most;
};

/* clang-format off */
#define D(member) offsetof(struct tw_plan_device, member)
static const struct range_field device_fields[] = {
    {"memory_gib", D(memory_bytes), 1073741824.0, true, 0},
    {"bandwidth_gb_s", D(bandwidth_bytes_s), 1e9, true, 0},
    {"bf16_tflops", D(ops_s[TW_PLAN_RATE_BF16]), 1e12, true, 0},
    {"fp8_tflops", D(ops_s[TW_PLAN_RATE_FP8]), 1e12, false, 0},
    {"int8_tops", D(ops_s[TW_PLAN_RATE_INT8]), 1e12, false, 0},
    {"fp4_tflops", D(ops_s[TW_PLAN_RATE_FP4]), 1e12, false, 0},
    {"bf16_sustained", D(sustained[TW_PLAN_RATE_BF16]), 1, false, 1},
    {"fp8_sustained", D(sustained[TW_PLAN_RATE_FP8]), 1, false, -1}, /* below 0: as bf16 */
    {"int8_sustained", D(sustained[TW_PLAN_RATE_INT8]), 1, false, -1},
    {"fp4_sustained", D(sustained[TW_PLAN_RATE_FP4]), 1, false, -1},
    {"tdp_w", D(power_w), 1, true, 0},
    {"idle_w", D(idle_w), 1, false, -0.12}, /* below 0: a share of tdp_w */
    {"host_w", D(host_w), 1, false, 150},
    {"link_gb_s", D(link_bytes_s), 1e9, false, 0},
};

#define M(member) offsetof(struct tw_plan_model, member)
static const struct count_field model_fields[] = {
    {"layers", M(n_layers), true, 0, TW_LIMIT_MODEL_LAYERS},
    {"embed", M(n_embed), true, 0, TW_LIMIT_MODEL_EMBED},
    {"heads", M(n_heads), true, 0, TW_LIMIT_MODEL_HEADS},
    {"kv_heads", M(n_kv_heads), true, 0, TW_LIMIT_MODEL_HEADS},
    {"head_dim", M(head_dim), true, 0, TW_LIMIT_MODEL_HEAD_DIM},
    {"ffn", M(n_ffn), false, 0, TW_LIMIT_MODEL_FFN},
    {"vocab", M(n_vocab), true, 0, TW_LIMIT_VOCAB_TOKENS},
    {"context", M(n_context_tokens), true, 0, TW_LIMIT_MODEL_CONTEXT_TOKENS},
    {"experts", M(n_experts), false, 0, TW_LIMIT_MODEL_EXPERTS},
    {"experts_used", M(n_experts_used), false, 0, TW_LIMIT_MODEL_EXPERTS_USED},
    {"expert_ffn", M(n_expert_ffn), false, 0, TW_LIMIT_MODEL_FFN},
    {"shared_experts", M(n_shared_experts), false, 0, TW_LIMIT_MODEL_EXPERTS},
    {"dense_layers", M(n_dense_layers), false, 0, TW_LIMIT_MODEL_LAYERS},
    {"kv_latent", M(n_kv_latent), false, 0, TW_LIMIT_MODEL_EMBED},
    {"rope_latent", M(n_rope_latent), false, 0, TW_LIMIT_MODEL_EMBED},
    {"q_latent", M(n_q_latent), false, 0, TW_LIMIT_MODEL_EMBED},
    {"value_dim", M(n_value_dim), false, 0, TW_LIMIT_MODEL_HEAD_DIM},
    {"window", M(n_window), false, 0, TW_LIMIT_MODEL_CONTEXT_TOKENS},
    {"window_layers", M(n_window_layers), false, 0, TW_LIMIT_MODEL_LAYERS},
    {"state_layers", M(n_state_layers), false, 0, TW_LIMIT_MODEL_LAYERS},
};

#define E(member) offsetof(struct tw_plan_engine, member)
static const struct range_field engine_fields[] = {
    {"activation_gib", E(activation_bytes), 1073741824.0, true, 0},
    {"logit_bytes", E(logit_bytes), 1, true, 0},
    {"other_gib", E(other_bytes), 1073741824.0, true, 0},
    {"other_parallel_gib", E(other_parallel_bytes), 1073741824.0, true, 0},
    {"compute_share", E(compute_share), 1, true, 0},
    {"attention_share", E(attention_share), 1, false, 0.7},
    {"passes", E(passes), 1, false, 1},
    {"bandwidth_share", E(bandwidth_share), 1, true, 0},
    {"overlap", E(overlap), 1, true, 0},
    {"step_ms", E(step_s), 1e-3, true, 0},
    {"row_us", E(row_s), 1e-6, true, 0},
    {"request_ms", E(request_s), 1e-3, true, 0},
    {"reduce_us", E(reduce_s), 1e-6, true, 0},
    {"link_share", E(link_share), 1, true, 0},
    {"layer_us", E(layer_s), 1e-6, true, 0},
};
static const struct count_field engine_counts[] = {
    {"step_tokens", E(step_tokens), true, 0, 1u << 20},
    {"sequences", E(n_sequences), true, 0, TW_LIMIT_BATCH_SEQUENCES},
    {"page_tokens", E(page_tokens), true, 0, 1024},
};
/* clang-format on */
#define N_OF(table) (sizeof(table) / sizeof(table)[0])

static enum tw_status read_ranges(const struct tw_facts *facts, const char *name,
                                  const struct range_field *fields, size_t n_fields, void *into,
                                  struct tw_error *error)
{
    for (size_t i = 0; i < n_fields; i++) {
        struct tw_range range;
        enum tw_status status =
            tw_facts_number(facts, name, fields[i].name, 0, fields[i].is_required,
                            tw_range_exact(fields[i].otherwise), &range, error);
        if (status != TW_OK) {
            return status;
        }
        range = tw_range_times(range, fields[i].unit);
        memcpy((char *)into + fields[i].offset, &range, sizeof range);
    }
    return TW_OK;
}

static enum tw_status read_counts(const struct tw_facts *facts, const char *name,
                                  const struct count_field *fields, size_t n_fields, void *into,
                                  struct tw_error *error)
{
    for (size_t i = 0; i < n_fields; i++) {
        struct tw_range range;
        enum tw_status status = tw_facts_number(
            facts, name, fields[i].name, fields[i].is_required ? 1 : 0, fields[i].is_required,
            tw_range_exact(fields[i].otherwise), &range, error);
        if (status != TW_OK) {
            return status;
        }
        const struct tw_fact *fact = tw_facts_find(facts, name, fields[i].name);
        if (range.typical > fields[i].most || range.typical != (double)(uint32_t)range.typical) {
            return tw_error_set(error, TW_ERR_FORMAT, fact->line,
                                "%s:%u: %s of %s is \"%s\"; it must be a whole number up to %u",
                                fact->file, fact->line, fields[i].name, name, fact->text,
                                fields[i].most);
        }
        uint32_t count = (uint32_t)range.typical;
        memcpy((char *)into + fields[i].offset, &count, sizeof count);
    }
    return TW_OK;
}

static enum tw_status read_double(const struct tw_facts *facts, const char *name, const char *field,
                                  double otherwise, double *ret_number, struct tw_error *error)
{
    struct tw_range range;
    enum tw_status status =
        tw_facts_number(facts, name, field, 0, false, tw_range_exact(otherwise), &range, error);
    *ret_number = status == TW_OK ? range.typical : *ret_number;
    return status;
}

static const char *text_of(const struct tw_facts *facts, const char *name, const char *field)
{
    const struct tw_fact *fact = tw_facts_find(facts, name, field);
    return fact != NULL ? fact->text : "";
}

static void take_source(const struct tw_facts *facts, const char *name, const char *field,
                        const char **source, const char **date)
{
    const struct tw_fact *fact = tw_facts_find(facts, name, field);
    *source = fact != NULL ? fact->source : "";
    *date = fact != NULL ? fact->date : "";
}

/* ---- rows ---- */

static enum tw_status read_device(const struct tw_facts *facts, const char *name, void *into,
                                  struct tw_error *error)
{
    struct tw_plan_device *device = into;
    device->name = name;
    device->vendor = text_of(facts, name, "vendor");
    device->is_cpu = strcmp(text_of(facts, name, "kind"), "cpu") == 0;
    take_source(facts, name, "bandwidth_gb_s", &device->source, &device->date);
    enum tw_status status =
        read_ranges(facts, name, device_fields, N_OF(device_fields), device, error);
    double n_linked = 1;
    if (status == TW_OK) {
        status = read_double(facts, name, "linked", 1, &n_linked, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (!(n_linked >= 0 && n_linked <= TW_LIMIT_PLAN_DEVICES)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "device %s: linked is %g; write 1 to %d, the devices that are linked",
                            name, n_linked, TW_LIMIT_PLAN_DEVICES);
    }
    device->n_linked = n_linked < 1 ? 1 : (uint32_t)n_linked;
    if (device->idle_w.typical < 0) {
        device->idle_w = tw_range_times(device->power_w, -device->idle_w.typical);
    }
    for (int i = 0; i < TW_PLAN_N_RATES; i++) {
        if (device->sustained[i].typical < 0) {
            device->sustained[i] = device->sustained[TW_PLAN_RATE_BF16];
        }
    }
    if (device->bandwidth_bytes_s.low <= 0 || device->ops_s[TW_PLAN_RATE_BF16].low <= 0 ||
        device->memory_bytes.low <= 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "device %s: memory, bandwidth and bf16_tflops must be above 0", name);
    }
    return TW_OK;
}

static enum tw_status read_model(const struct tw_facts *facts, const char *name, void *into,
                                 struct tw_error *error)
{
    struct tw_plan_model *model = into;
    model->name = name;
    model->licence = text_of(facts, name, "licence");
    model->format = text_of(facts, name, "format");
    take_source(facts, name, "layers", &model->source, &model->date);
    enum tw_status status =
        read_counts(facts, name, model_fields, N_OF(model_fields), model, error);
    double tied = 0, gib = 0;
    if (status == TW_OK) {
        status = read_double(facts, name, "tied", 0, &tied, error);
    }
    if (status == TW_OK) {
        status = read_double(facts, name, "state_bytes", 0, &model->state_bytes, error);
    }
    if (status == TW_OK) {
        status = read_double(facts, name, "parameters", 0, &model->n_parameters, error);
    }
    if (status == TW_OK) {
        status = read_double(facts, name, "files_gib", 0, &gib, error);
    }
    if (status != TW_OK) {
        return status;
    }
    model->tied_head = tied != 0;
    model->weights_bytes = gib * 1073741824.0;
    return tw_plan_model_finish(model, error);
}

static enum tw_status read_engine(const struct tw_facts *facts, const char *name, void *into,
                                  struct tw_error *error)
{
    struct tw_plan_engine *engine = into;
    const char *dash = strrchr(name, '-');
    engine->name = name;
    engine->version = dash != NULL ? dash + 1 : "";
    engine->is_ours = strncasecmp(name, "tokenworks", 10) == 0;
    take_source(facts, name, "compute_share", &engine->source, &engine->date);
    double cache = 1;
    enum tw_status status =
        read_ranges(facts, name, engine_fields, N_OF(engine_fields), engine, error);
    if (status == TW_OK) {
        status = read_counts(facts, name, engine_counts, N_OF(engine_counts), engine, error);
    }
    if (status == TW_OK) {
        status = read_double(facts, name, "memory_share", 0.9, &engine->memory_share, error);
    }
    if (status == TW_OK) {
        status = read_double(facts, name, "prefix_cache", 1, &cache, error);
    }
    if (status != TW_OK) {
        return status;
    }
    engine->prefix_cache = cache != 0;
    if (engine->memory_share <= 0 || engine->memory_share > 1 || engine->compute_share.low <= 0 ||
        engine->bandwidth_share.low <= 0 || engine->link_share.low <= 0 ||
        engine->compute_share.high > 1 || engine->bandwidth_share.high > 1) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "engine %s: shares must lie above 0 and be at most 1", name);
    }
    return TW_OK;
}

/* ---- the tables ---- */

#define MORE_FIELDS 8

struct table {
    const char *title; /* of its files' first column */
    size_t row_bytes;
    const struct range_field *ranges;
    size_t n_ranges;
    const struct count_field *counts;
    size_t n_counts;
    const char *more[MORE_FIELDS]; /* fields that are in neither table */
    enum tw_status (*read)(const struct tw_facts *facts, const char *name, void *into,
                           struct tw_error *error);
};

static const struct table tables[] = {
    [TW_PLAN_DEVICES] = {"device",
                         sizeof(struct tw_plan_device),
                         device_fields,
                         N_OF(device_fields),
                         NULL,
                         0,
                         {"vendor", "kind", "linked"},
                         read_device},
    [TW_PLAN_MODELS] = {"model",
                        sizeof(struct tw_plan_model),
                        NULL,
                        0,
                        model_fields,
                        N_OF(model_fields),
                        {"licence", "format", "tied", "state_bytes", "parameters", "files_gib"},
                        read_model},
    [TW_PLAN_ENGINES] = {"engine",
                         sizeof(struct tw_plan_engine),
                         engine_fields,
                         N_OF(engine_fields),
                         engine_counts,
                         N_OF(engine_counts),
                         {"memory_share", "prefix_cache"},
                         read_engine},
};
#define N_TABLES 3

struct tw_catalogue {
    struct tw_facts *facts[N_TABLES];
    void *rows[N_TABLES]; /* [n_names of facts] of row_bytes */
    struct added {
        struct tw_plan_model model;
        char *name;
        struct added *next;
    } * added;
};

static void *row_at(const struct tw_catalogue *catalogue, enum tw_plan_table table, uint32_t i)
{
    return (char *)catalogue->rows[table] + i * tables[table].row_bytes;
}

/* A field with a typing error would leave the number that it was to replace. */
static enum tw_status check_fields(const struct tw_facts *facts, const struct table *table,
                                   struct tw_error *error)
{
    enum { MOST = N_OF(model_fields) + N_OF(device_fields) + N_OF(engine_fields) + MORE_FIELDS };
    const char *names[MOST + 1] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < table->n_ranges; i++) {
        names[n++] = table->ranges[i].name;
    }
    for (size_t i = 0; i < table->n_counts; i++) {
        names[n++] = table->counts[i].name;
    }
    for (size_t i = 0; i < MORE_FIELDS && table->more[i] != NULL; i++) {
        names[n++] = table->more[i];
    }
    for (uint32_t i = 0; i < tw_facts_count(facts); i++) {
        const struct tw_fact *fact = tw_facts_at(facts, i);
        size_t k = 0;
        while (k < n && strcmp(names[k], fact->field) != 0) {
            k++;
        }
        if (k == n) {
            const char *guess = tw_suggest_word(fact->field, names);
            return tw_error_set(error, TW_ERR_FORMAT, fact->line,
                                "%.100s:%u: no %s has a field '%.40s'%s%s: docs/plan-catalogue.md "
                                "has them all",
                                fact->file, fact->line, table->title, fact->field,
                                guess != NULL ? "; did you mean " : "", guess != NULL ? guess : "");
        }
    }
    return TW_OK;
}

static enum tw_status read_rows(struct tw_catalogue *catalogue, int table, struct tw_error *error)
{
    const struct tw_facts *facts = catalogue->facts[table];
    uint32_t n = tw_facts_n_names(facts);
    enum tw_status fields = check_fields(facts, &tables[table], error);
    if (fields != TW_OK) {
        return fields;
    }
    catalogue->rows[table] = tw_mem_zalloc(n, tables[table].row_bytes);
    if (catalogue->rows[table] == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a catalogue");
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *name = tw_facts_name(facts, i);
        enum tw_status status =
            tables[table].read(facts, name, row_at(catalogue, (enum tw_plan_table)table, i), error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* Which table a file is of: its first column's title. */
static enum tw_status table_of(const char *file, struct tw_bytes text, int *ret_table,
                               struct tw_error *error)
{
    struct tw_lines lines = {.text = text};
    for (struct tw_bytes line; tw_lines_next(&lines, &line);) {
        for (int i = 0; i < N_TABLES && line.data[0] != '#'; i++) {
            size_t n = strlen(tables[i].title);
            if (line.size_bytes > n && memcmp(line.data, tables[i].title, n) == 0 &&
                (line.data[n] == ',' || line.data[n] == ';')) {
                *ret_table = i;
                return TW_OK;
            }
        }
        if (line.data[0] != '#') {
            break;
        }
    }
    return tw_error_set(error, TW_ERR_FORMAT, 1,
                        "%s: the first line must be device,field,value,low,high,source,date, or "
                        "the same with model or engine",
                        file);
}

/* A model's config.json; the model is called as its folder, another file without its ending. */
static void name_config(const char *path, char ret_name[TW_LIMIT_PLAN_NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
    size_t n = strlen(file) - strlen(".json");
    if (strcmp(file, "config.json") == 0 && slash != NULL && slash > path) {
        for (file = slash; file > path && file[-1] != '/'; file--) {
        }
        n = (size_t)(slash - file);
    }
    snprintf(ret_name, TW_LIMIT_PLAN_NAME_BYTES, "%.*s", n > 200 ? 200 : (int)n, file);
}

static enum tw_status add_config(struct tw_catalogue *catalogue, const char *path,
                                 const struct tw_buf *text, struct tw_error *error)
{
    char name[TW_LIMIT_PLAN_NAME_BYTES];
    struct added *added = tw_mem_zalloc(1, sizeof *added);
    name_config(path, name);
    char *copy = tw_mem_strndup(name, strlen(name));
    if (added == NULL || copy == NULL) {
        tw_mem_free(added);
        tw_mem_free(copy);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a model's shape");
    }
    added->name = copy;
    enum tw_status status =
        tw_plan_model_read_config(copy, text->data, text->size_bytes, &added->model, error);
    if (status != TW_OK) {
        tw_mem_free(copy);
        tw_mem_free(added);
        tw_error_prefix(error, "%.100s", path);
        return status;
    }
    added->next = catalogue->added;
    catalogue->added = added;
    return TW_OK;
}

static enum tw_status read_user_file(struct tw_catalogue *catalogue, const char *path,
                                     struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    int table = 0;
    const size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0) {
        status = add_config(catalogue, path, &buf, error);
        tw_buf_free(&buf);
        return status;
    }
    status = table_of(path, (struct tw_bytes){buf.data, buf.size_bytes}, &table, error);
    if (status == TW_OK) {
        status = tw_facts_read(catalogue->facts[table], path, buf.data, buf.size_bytes, error);
    }
    tw_buf_free(&buf);
    return status;
}

static enum tw_status fill(struct tw_catalogue *catalogue, const char *const *files,
                           uint32_t n_files, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (int i = 0; i < N_TABLES && status == TW_OK; i++) {
        status = tw_facts_create(&catalogue->facts[i], error);
        if (status == TW_OK) {
            status =
                tw_facts_read(catalogue->facts[i], tw_plan_built_in[i].file,
                              tw_plan_built_in[i].text, strlen(tw_plan_built_in[i].text), error);
        }
    }
    for (uint32_t i = 0; i < n_files && status == TW_OK; i++) {
        status = read_user_file(catalogue, files[i], error);
    }
    for (int i = 0; i < N_TABLES && status == TW_OK; i++) {
        status = read_rows(catalogue, i, error);
    }
    return status;
}

enum tw_status tw_catalogue_open(const char *const *files, uint32_t n_files,
                                 struct tw_catalogue **ret_catalogue, struct tw_error *error)
{
    struct tw_catalogue *catalogue = tw_mem_zalloc(1, sizeof *catalogue);
    if (catalogue == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a catalogue");
    }
    enum tw_status status = fill(catalogue, files, n_files, error);
    if (status != TW_OK) {
        tw_catalogue_free(catalogue);
        return status;
    }
    *ret_catalogue = catalogue;
    return TW_OK;
}

void tw_catalogue_free(struct tw_catalogue *catalogue)
{
    if (catalogue == NULL) {
        return;
    }
    for (int i = 0; i < N_TABLES; i++) {
        tw_mem_free(catalogue->rows[i]);
        tw_facts_free(catalogue->facts[i]);
    }
    for (struct added *next, *one = catalogue->added; one != NULL; one = next) {
        next = one->next;
        tw_mem_free(one->name);
        tw_mem_free(one);
    }
    tw_mem_free(catalogue);
}

const struct tw_facts *tw_catalogue_facts(const struct tw_catalogue *catalogue,
                                          enum tw_plan_table table)
{
    return catalogue->facts[table];
}

uint32_t tw_catalogue_n_devices(const struct tw_catalogue *catalogue)
{
    return tw_facts_n_names(catalogue->facts[TW_PLAN_DEVICES]);
}

uint32_t tw_catalogue_n_models(const struct tw_catalogue *catalogue)
{
    return tw_facts_n_names(catalogue->facts[TW_PLAN_MODELS]);
}

uint32_t tw_catalogue_n_engines(const struct tw_catalogue *catalogue)
{
    return tw_facts_n_names(catalogue->facts[TW_PLAN_ENGINES]);
}

const struct tw_plan_device *tw_catalogue_device_at(const struct tw_catalogue *catalogue,
                                                    uint32_t i)
{
    return row_at(catalogue, TW_PLAN_DEVICES, i);
}

const struct tw_plan_model *tw_catalogue_model_at(const struct tw_catalogue *catalogue, uint32_t i)
{
    return row_at(catalogue, TW_PLAN_MODELS, i);
}

const struct tw_plan_engine *tw_catalogue_engine_at(const struct tw_catalogue *catalogue,
                                                    uint32_t i)
{
    return row_at(catalogue, TW_PLAN_ENGINES, i);
}

/* ---- by name ---- */

static enum tw_status not_found(const struct tw_catalogue *catalogue, enum tw_plan_table table,
                                const char *name, struct tw_error *error)
{
    const struct tw_facts *facts = catalogue->facts[table];
    uint32_t n = tw_facts_n_names(facts);
    const char **names = tw_mem_zalloc(n + 1, sizeof *names);
    for (uint32_t i = 0; names != NULL && i < n; i++) {
        names[i] = tw_facts_name(facts, i);
    }
    const char *near = names != NULL ? tw_suggest_word(name, names) : NULL;
    tw_mem_free(names);
    if (near != NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "no %s is called '%s'; did you mean '%s'?", tables[table].title, name,
                            near);
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "no %s is called '%s': `tokenworks plan catalogue` lists them, and a "
                        "table of your own can add it",
                        tables[table].title, name);
}

static const void *find_exact(const struct tw_catalogue *catalogue, enum tw_plan_table table,
                              const char *name)
{
    const struct tw_facts *facts = catalogue->facts[table];
    for (uint32_t i = 0; i < tw_facts_n_names(facts); i++) {
        if (strcasecmp(tw_facts_name(facts, i), name) == 0) {
            return row_at(catalogue, table, i);
        }
    }
    return NULL;
}

enum tw_status tw_catalogue_device(const struct tw_catalogue *catalogue, const char *name,
                                   const struct tw_plan_device **ret_device, struct tw_error *error)
{
    const struct tw_plan_device *device = find_exact(catalogue, TW_PLAN_DEVICES, name);
    if (device == NULL) {
        return not_found(catalogue, TW_PLAN_DEVICES, name, error);
    }
    *ret_device = device;
    return TW_OK;
}

enum tw_status tw_catalogue_model(const struct tw_catalogue *catalogue, const char *name,
                                  const struct tw_plan_model **ret_model, struct tw_error *error)
{
    const struct tw_plan_model *model = NULL;
    for (const struct added *one = catalogue->added; one != NULL && model == NULL;
         one = one->next) {
        model = strcasecmp(one->name, name) == 0 ? &one->model : NULL;
    }
    model = model != NULL ? model : find_exact(catalogue, TW_PLAN_MODELS, name);
    if (model == NULL) {
        return not_found(catalogue, TW_PLAN_MODELS, name, error);
    }
    *ret_model = model;
    return TW_OK;
}

static uint32_t whole_of(const char *text)
{
    uint32_t n = 0;
    while (*text >= '0' && *text <= '9' && n < 100000) {
        n = 10 * n + (uint32_t)(*text++ - '0');
    }
    return n;
}

/* "0.19" as 19, "1.2" as 1002; what is no version as 0. */
static uint64_t version_of(const char *text)
{
    const char *dot = strchr(text, '.');
    return whole_of(text) * UINT64_C(1000) + (dot != NULL ? whole_of(dot + 1) : 0);
}

/* Of an engine's rows the newest that is not newer than the version that is asked for. */
static const struct tw_plan_engine *find_engine(const struct tw_catalogue *catalogue,
                                                const char *name)
{
    const char *dash = strrchr(name, '-');
    dash = dash != NULL && dash[1] >= '0' && dash[1] <= '9' ? dash : NULL;
    const size_t n_stem = dash != NULL ? (size_t)(dash - name) : strlen(name);
    const uint64_t wanted = dash != NULL ? version_of(dash + 1) : UINT64_MAX;
    const struct tw_plan_engine *best = NULL;
    for (uint32_t i = 0; i < tw_catalogue_n_engines(catalogue); i++) {
        const struct tw_plan_engine *one = tw_catalogue_engine_at(catalogue, i);
        const char *one_dash = strrchr(one->name, '-');
        const size_t n = one_dash != NULL ? (size_t)(one_dash - one->name) : strlen(one->name);
        const uint64_t version = version_of(one->version);
        if (n == n_stem && strncasecmp(one->name, name, n) == 0 && version <= wanted &&
            (best == NULL || version > version_of(best->version))) {
            best = one;
        }
    }
    return best;
}

enum tw_status tw_catalogue_engine(const struct tw_catalogue *catalogue, const char *name,
                                   const struct tw_plan_engine **ret_engine, struct tw_error *error)
{
    const struct tw_plan_engine *engine = find_exact(catalogue, TW_PLAN_ENGINES, name);
    engine = engine != NULL ? engine : find_engine(catalogue, name);
    if (engine == NULL) {
        return not_found(catalogue, TW_PLAN_ENGINES, name, error);
    }
    *ret_engine = engine;
    return TW_OK;
}
