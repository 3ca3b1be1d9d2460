#include "app/serve_models.h"

#include <signal.h>

#include "app/model_args.h"
#include "base/log.h"
#include "base/mem.h"

#define WAITING_REQUESTS 4096
#define MILLISECOND_NS   1000000

/* The signals are blocked, so one that has come while the main thread waits for a load is pending;
 * later it waits for them itself. */
static bool is_told_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

enum tw_status tw_serve_models_begin(struct tw_serve_models *models,
                                     const struct tw_serve_args *args, struct tw_error *error)
{
    struct tw_stage_config config = {.n_models = (uint32_t)args->n_models,
                                     .n_threads = (int)args->n_threads,
                                     .memory_bytes = (uint64_t)args->models_bytes,
                                     .cache_bytes = (uint64_t)args->kv_bytes};
    models->items = tw_mem_zalloc(args->n_models + 1, sizeof *models->items);
    if (models->items == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for models");
    }
    enum tw_status status = tw_cpu_choose(&config.level, error);
    return status == TW_OK ? tw_stage_create(&config, &models->stage, error) : status;
}

/* On the model's thread. */
static void log_notice(void *context, enum tw_backend_event event, int64_t took_ns,
                       const struct tw_error *error)
{
    const struct tw_serve_model *model = context;
    const bool is_bad = event == TW_BACKEND_NOT_LOADED || event == TW_BACKEND_FAILED;
    const struct tw_log_field fields[] = {{"model", model->name, 0},
                                          {"took_ms", NULL, took_ns / MILLISECOND_NS},
                                          {"reason", is_bad ? error->text : "", 0}};
    static const char *const messages[] = {[TW_BACKEND_LOADED] = "a model was loaded",
                                           [TW_BACKEND_LEFT] = "a model made room",
                                           [TW_BACKEND_NOT_LOADED] = "a model cannot be loaded",
                                           [TW_BACKEND_FAILED] =
                                               "a model has failed and is not served any more"};
    tw_log_record(is_bad ? TW_LOG_ERROR : TW_LOG_INFO, NULL, messages[event], fields,
                  is_bad ? 3 : 2);
}

/* On the model's thread. */
static void log_pack(void *context, const struct tw_pack_notice *notice)
{
    const struct tw_serve_model *model = context;
    const struct tw_log_field fields[] = {{"model", model->name, 0},
                                          {"file", notice->path, 0},
                                          {"bytes", NULL, (int64_t)notice->n_bytes},
                                          {"reason", notice->reason, 0}};
    static const char *const messages[] = {
        [TW_PACK_MAPPED] = "packed weights were mapped",
        [TW_PACK_WRITTEN] = "packed weights were written",
        [TW_PACK_IN_MEMORY] = "packed weights are not kept, the next load packs again"};
    tw_log_record(notice->event == TW_PACK_IN_MEMORY ? TW_LOG_WARN : TW_LOG_INFO, NULL,
                  messages[notice->event], fields, 4);
}

/* On the model's thread. */
static bool on_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct tw_serve_models *models = context;
    tw_progress_update(&models->progress, done_bytes, total_bytes);
    return !models->is_starting || !is_told_to_stop();
}

enum tw_status tw_serve_models_open(struct tw_serve_models *models,
                                    const struct tw_serve_args *args, size_t i,
                                    struct tw_error *error)
{
    struct tw_serve_model *from = &args->models[i];
    if (is_told_to_stop()) {
        return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION,
                            "stopped before the model '%.100s' was opened", from->name);
    }
    enum tw_status status = TW_OK;
    if (from->pack.paths[0] == NULL) {
        status = tw_pack_args_options(&args->pack, from->path, &from->pack, error);
    }
    if (status != TW_OK) {
        return status;
    }
    from->pack.notice = log_pack;
    from->pack.notice_context = from;
    const uint64_t part = (uint64_t)args->kv_bytes / args->n_models;
    const struct tw_backend_config config = {
        .name = from->name,
        .path = from->path,
        .engine = {.max_sequences = (uint32_t)args->max_sequences,
                   .max_batch_tokens = (uint32_t)args->n_batch_tokens,
                   .kv_dtype = tw_kv_types[from->kv_type],
                   .no_speculation = args->no_speculation,
                   .progress = on_progress,
                   .progress_context = models,
                   .pack = &from->pack},
        .n_context_tokens = from->n_context_tokens,
        .kv_bytes = from->kv_bytes > 0 ? from->kv_bytes : part,
        .max_waiting = WAITING_REQUESTS,
        .notice = log_notice,
        .notice_context = from,
    };
    struct tw_api_model *model = &models->items[models->n_items];
    status = tw_backend_open(&config, models->stage, &model->backend, error);
    if (status == TW_OK) {
        model->name = from->name;
        model->aliases = from->aliases;
        model->n_aliases = from->n_aliases;
        models->n_items++;
    }
    return status;
}

enum tw_status tw_serve_models_check(const struct tw_serve_models *models,
                                     const struct tw_serve_args *args, struct tw_error *error)
{
    uint64_t memory_bytes = 0, cache_bytes = 0;
    for (size_t i = 0; i < models->n_items; i++) {
        if (args->models[i].preload) {
            const struct tw_backend_sizes sizes = tw_backend_sizes(models->items[i].backend);
            memory_bytes += sizes.weight_bytes + sizes.kv_bytes;
            cache_bytes += sizes.kv_bytes;
        }
    }
    if ((args->models_bytes > 0 && memory_bytes > (uint64_t)args->models_bytes) ||
        (args->kv_bytes > 0 && cache_bytes > (uint64_t)args->kv_bytes)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the models that are to be loaded at the start take %llu bytes, %llu "
                            "of them for KV caches: raise models-bytes or kv-bytes, or let some be "
                            "loaded when they are asked",
                            (unsigned long long)memory_bytes, (unsigned long long)cache_bytes);
    }
    return TW_OK;
}

enum tw_status tw_serve_models_load(struct tw_serve_models *models,
                                    const struct tw_serve_args *args, struct tw_error *error)
{
    enum tw_status status = tw_serve_models_check(models, args, error);
    tw_progress_begin(&models->progress, "loading");
    models->is_starting = true;
    for (size_t i = 0; status == TW_OK && i < models->n_items; i++) {
        if (args->models[i].preload) {
            status = tw_backend_load(models->items[i].backend, error);
        }
    }
    tw_progress_end(&models->progress);
    models->progress.is_enabled = false; /* what comes later goes into the log */
    models->is_starting = false;
    return status;
}

void tw_serve_models_stop(struct tw_serve_models *models)
{
    for (size_t i = 0; i < models->n_items; i++) {
        tw_backend_stop(models->items[i].backend);
    }
}

void tw_serve_models_close(struct tw_serve_models *models)
{
    for (size_t i = 0; i < models->n_items; i++) {
        tw_backend_free(models->items[i].backend);
    }
    tw_stage_free(models->stage);
    tw_mem_free(models->items);
    *models = (struct tw_serve_models){.n_items = 0};
}
