/* Any bytes as the configuration of a server: values within their options' bounds and models that
 * have a path and a name of their own, or a reason. */
#include <assert.h>
#include <string.h>

#include "app/model_args.h"
#include "app/serve_config.h"
#include "fuzz_target.h"

static void check_option(const struct tw_option *option, const struct tw_serve_args *args)
{
    const void *place = (const char *)args + option->offset;
    if (option->kind == TW_OPTION_INT) {
        const double value = (double)*(const int64_t *)place;
        assert(value >= option->least && value <= option->most);
    } else if (option->kind == TW_OPTION_CHOICE) {
        assert(*(const int *)place >= 0 && *(const int *)place < 2);
    }
}

static void check_models(struct tw_serve_args *args)
{
    if (tw_serve_args_take_models(args, NULL) != TW_OK) {
        return;
    }
    unsigned n_backends;
    (void)tw_serve_file_backends(args->file, &n_backends);
    assert((args->n_models > 0 || n_backends > 0) && args->n_models <= TW_LIMIT_SERVED_MODELS);
    for (size_t i = 0; i < args->n_models; i++) {
        const struct tw_serve_model *model = &args->models[i];
        assert(strlen(model->path) > 0 && strlen(model->name) < sizeof model->name);
        assert(model->n_context_tokens <= TW_LIMIT_MODEL_CONTEXT_TOKENS);
        assert(model->kv_type >= 0 && tw_kv_type_names[model->kv_type] != NULL);
        for (size_t k = 0; k < i; k++) {
            assert(strcmp(model->name, args->models[k].name) != 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_serve_args args = tw_serve_args_defaults();
    struct tw_error error = {0};
    if (tw_serve_config_parse((const char *)data, size, "conf", &args, &error) == TW_OK) {
        for (size_t i = 0; i < tw_serve_options.n_options; i++) {
            check_option(&tw_serve_options.options[i], &args);
        }
        check_models(&args);
    } else {
        assert(strncmp(error.text, "'conf': ", 8) == 0);
    }
    tw_serve_args_free(&args);
    return 0;
}
