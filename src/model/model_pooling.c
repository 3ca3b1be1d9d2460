/* How a model's files say that the states of a text become one embedding. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/arch.h"
#include "model/hf_folder.h"
#include "model/tensors.h"

/* ---- GGUF ---- */

static enum tw_status read_gguf(const struct tw_model_files *files, enum tw_pooling *ret_pooling,
                                struct tw_error *error)
{
    const struct tw_arch *arch = NULL;
    enum tw_status status = tw_arch_of_files(files, &arch, error);
    char key[64];
    uint64_t type = 0;
    if (status != TW_OK) {
        return status;
    }
    snprintf(key, sizeof key, "%s.pooling_type", arch->name);
    tw_model_files_uint(files, key, &type);
    *ret_pooling = type < TW_POOLING_OTHER ? (enum tw_pooling)type : TW_POOLING_OTHER;
    return TW_OK;
}

/* ---- a folder of sentence-transformers ---- */

/* *ret_value stays NULL where there is no such file. */
static enum tw_status load_json(const struct tw_hf_folder *folder, const char *name,
                                json_t **ret_value, struct tw_error *error)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", tw_hf_folder_path(folder), name);
    if (n < 0 || (size_t)n >= sizeof path || !tw_file_exists(path)) {
        return TW_OK;
    }
    return tw_json_load(path, TW_LIMIT_MODEL_CONFIG_BYTES, ret_value, error);
}

/* One of the modes is chosen, by a flag of its own or by its name. */
static enum tw_pooling pooling_of(const json_t *config)
{
    static const struct {
        const char *flag, *name;
        enum tw_pooling pooling;
    } modes[] = {{"pooling_mode_lasttoken", "lasttoken", TW_POOLING_LAST},
                 {"pooling_mode_mean_tokens", "mean", TW_POOLING_MEAN},
                 {"pooling_mode_cls_token", "cls", TW_POOLING_FIRST}};
    const char *flag;
    json_t *value;
    size_t n_chosen = 0;
    enum tw_pooling pooling = TW_POOLING_OTHER;
    json_object_foreach ((json_t *)(uintptr_t)config, flag, value) {
        const char *name = json_string_value(value);
        const bool is_mode = strcmp(flag, "pooling_mode") == 0;
        n_chosen += is_mode || (strncmp(flag, "pooling_mode_", 13) == 0 && json_is_true(value));
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
            if (is_mode ? name != NULL && strcmp(name, modes[i].name) == 0
                        : json_is_true(value) && strcmp(flag, modes[i].flag) == 0) {
                pooling = modes[i].pooling;
            }
        }
    }
    return n_chosen == 1 ? pooling : TW_POOLING_OTHER;
}

/* The name of a module's kind, without its package; "" for what is no module. */
static const char *kind_of(const json_t *module)
{
    const char *type = json_string_value(json_object_get(module, "type"));
    const char *dot = type != NULL ? strrchr(type, '.') : NULL;
    return dot != NULL ? dot + 1 : type != NULL ? type : "";
}

/* A transformer, a pooling, perhaps a norm, which every embedding gets here. modules NULL: they are
 * where they usually are. False: there is more. */
static bool find_pooling(const json_t *modules, const char **ret_path)
{
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *module = json_array_get(modules, i);
        const char *kind = kind_of(module);
        if (strcmp(kind, "Pooling") == 0) {
            *ret_path = json_string_value(json_object_get(module, "path"));
        } else if (strcmp(kind, "Transformer") != 0 && strcmp(kind, "Normalize") != 0) {
            return false;
        }
    }
    return *ret_path != NULL && strchr(*ret_path, '/') == NULL && (*ret_path)[0] != '.';
}

static enum tw_status read_folder(const struct tw_hf_folder *folder, enum tw_pooling *ret_pooling,
                                  struct tw_error *error)
{
    json_t *modules = NULL, *config = NULL;
    const char *path = "1_Pooling";
    char name[256];
    enum tw_status status = load_json(folder, "modules.json", &modules, error);
    const bool is_known = find_pooling(modules, &path);
    if (status == TW_OK && is_known) {
        snprintf(name, sizeof name, "%.200s/config.json", path);
        status = load_json(folder, name, &config, error);
    }
    if (status == TW_OK) {
        *ret_pooling = !is_known        ? TW_POOLING_OTHER
                       : config != NULL ? pooling_of(config)
                                        : TW_POOLING_NONE;
    }
    json_decref(modules);
    json_decref(config);
    return status;
}

enum tw_status tw_model_files_pooling(const struct tw_model_files *files,
                                      enum tw_pooling *ret_pooling, struct tw_error *error)
{
    const struct tw_hf_folder *folder = tw_model_files_folder(files);
    return folder != NULL ? read_folder(folder, ret_pooling, error)
                          : read_gguf(files, ret_pooling, error);
}
