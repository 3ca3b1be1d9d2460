#include "engine/engine.h"

#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine_state.h"

#define DEFAULT_SEQUENCES    16
#define DEFAULT_BATCH_TOKENS 512

struct tw_engine_config tw_engine_defaults(void)
{
    return (struct tw_engine_config){
        .level = tw_cpu_detect(),
        .max_sequences = DEFAULT_SEQUENCES,
        .max_batch_tokens = DEFAULT_BATCH_TOKENS,
        .kv_dtype = TW_DTYPE_F16,
    };
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Tokens of a step in which no prompt is read. */
static uint32_t decoded_tokens(const struct tw_engine_config *config)
{
    return config->no_speculation ? config->max_sequences
                                  : larger(config->max_sequences, TW_LIMIT_DECODED_TOKENS);
}

static struct tw_engine_config without_zeros(const struct tw_engine_config *config)
{
    struct tw_engine_config full = *config;
    if (full.max_sequences == 0) {
        full.max_sequences = DEFAULT_SEQUENCES;
    }
    if (full.max_batch_tokens == 0) {
        full.max_batch_tokens = DEFAULT_BATCH_TOKENS;
    }
    full.max_output_rows = larger(full.max_output_rows, decoded_tokens(&full));
    return full;
}

static enum tw_status check_config(const struct tw_engine_config *config, struct tw_error *error)
{
    if (config->n_threads < 0 || config->n_threads > TW_LIMIT_THREADS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%d threads: at most %d are possible", config->n_threads,
                            TW_LIMIT_THREADS);
    }
    if (config->max_sequences > TW_LIMIT_BATCH_SEQUENCES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u sequences at once: at most %d are possible", config->max_sequences,
                            TW_LIMIT_BATCH_SEQUENCES);
    }
    const uint32_t most = TW_LIMIT_BATCH_TOKENS - decoded_tokens(config);
    if (config->max_batch_tokens > most || config->max_output_rows > most) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u tokens in one pass: at most %d are possible",
                            larger(config->max_batch_tokens, config->max_output_rows), (int)most);
    }
    if (config->kv_dtype != TW_DTYPE_F16 && config->kv_dtype != TW_DTYPE_Q8_0) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "a KV cache is kept in f16 or q8_0, not in %s",
                            tw_dtype_traits(config->kv_dtype)->name);
    }
    return TW_OK;
}

static enum tw_status load_model(struct tw_engine *engine, const char *path, struct tw_error *error)
{
    const struct tw_engine_config *config = &engine->config;
    enum tw_status status = TW_OK;
    engine->device = config->device;
    if (engine->device == NULL) {
        status = tw_device_cpu_create(config->n_threads, config->level, &engine->device, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const struct tw_model_options options = {
        .max_batch_tokens = config->max_batch_tokens + decoded_tokens(config),
        .max_output_rows = config->max_output_rows,
        .progress = config->progress,
        .progress_context = config->progress_context,
        .pack = config->pack,
        .tokenizer = config->tokenizer,
    };
    status = tw_model_load(path, engine->device, &options, &engine->model, error);
    if (status != TW_OK) {
        return status;
    }
    engine->shape = tw_model_shape(engine->model);
    const uint32_t n_threads = (uint32_t)tw_device_threads(engine->device);
    const uint32_t n_useful = smaller(smaller(n_threads, TW_LIMIT_SAMPLERS), config->max_sequences);
    while (status == TW_OK && engine->n_samplers < n_useful) {
        status = tw_sampler_create(tw_device_level(engine->device), engine->shape->n_vocab,
                                   &engine->samplers[engine->n_samplers], error);
        engine->n_samplers += status == TW_OK;
    }
    return status;
}

static enum tw_status make_batch_room(struct tw_engine *engine, struct tw_error *error)
{
    size_t n = engine->config.max_sequences;
    engine->batch = tw_mem_zalloc(n, sizeof *engine->batch);
    engine->owners = tw_mem_zalloc(n, sizeof *engine->owners);
    engine->early = tw_mem_zalloc(n, sizeof *engine->early);
    if (engine->batch == NULL || engine->owners == NULL || engine->early == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a batch of %zu sequences", n);
    }
    return TW_OK;
}

enum tw_status tw_engine_open(const char *path, const struct tw_engine_config *config,
                              struct tw_engine **ret_engine, struct tw_error *error)
{
    struct tw_engine_config full = without_zeros(config);
    enum tw_status status = check_config(&full, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_engine *engine = tw_mem_zalloc(1, sizeof *engine);
    if (engine == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an engine");
    }
    engine->config = full;
    status = load_model(engine, path, error);
    if (status == TW_OK) {
        status = make_batch_room(engine, error);
    }
    if (status != TW_OK) {
        tw_engine_close(engine);
        return status;
    }
    *ret_engine = engine;
    return TW_OK;
}

enum tw_status tw_engine_token_trie(struct tw_engine *engine, const struct tw_token_trie **ret_trie,
                                    struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (engine->trie == NULL) {
        status = tw_token_trie_create(tw_engine_tokenizer(engine), engine->shape->n_vocab,
                                      &engine->trie, error);
    }
    if (status == TW_OK) {
        *ret_trie = engine->trie;
    }
    return status;
}

void tw_engine_close(struct tw_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    tw_token_trie_free(engine->trie);
    tw_mem_free(engine->batch);
    tw_mem_free(engine->owners);
    tw_mem_free(engine->early);
    for (uint32_t i = 0; i < engine->n_samplers; i++) {
        tw_sampler_free(engine->samplers[i]);
    }
    tw_scheduler_free(engine->scheduler);
    if (engine->config.share == NULL) {
        tw_fair_share_free(engine->share);
    }
    if (engine->cache != NULL) {
        tw_kv_cache_free(engine->cache);
    }
    if (engine->model != NULL) {
        tw_model_free(engine->model);
    }
    if (engine->config.device == NULL) {
        tw_device_free(engine->device);
    }
    tw_mem_free(engine);
}

static enum tw_status create_scheduler(struct tw_engine *engine, uint32_t n_pages,
                                       struct tw_error *error)
{
    struct tw_scheduler_config config = tw_scheduler_defaults();
    config.n_pages = n_pages;
    config.page_tokens = TW_KV_PAGE_TOKENS;
    config.max_rows = engine->config.max_sequences;
    config.most_decoded = engine->config.no_speculation ? 0 : TW_LIMIT_DECODED_TOKENS;
    config.max_waiting = TW_LIMIT_WAITING;
    config.seed = tw_rng_system_seed();
    enum tw_status status = TW_OK;
    engine->share = engine->config.share;
    if (engine->share == NULL) {
        status = tw_fair_share_create(&engine->share, error);
    }
    if (status == TW_OK && !tw_fair_share_knows(engine->share, 0)) {
        status = tw_fair_share_set(engine->share, 0, 1, TW_CLASS_NORMAL, error);
    }
    if (status == TW_OK) {
        status = tw_scheduler_create(&config, engine->share, &engine->scheduler, error);
    }
    return status;
}

enum tw_status tw_engine_reserve(struct tw_engine *engine, uint64_t n_tokens,
                                 struct tw_error *error)
{
    if (engine->cache != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the KV cache has been made already");
    }
    uint64_t n_pages = n_tokens / TW_KV_PAGE_TOKENS + engine->config.max_sequences;
    if (n_pages > TW_LIMIT_KV_PAGES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a context of %llu tokens: at most %u pages of %d are possible",
                            (unsigned long long)n_tokens, TW_LIMIT_KV_PAGES, TW_KV_PAGE_TOKENS);
    }
    enum tw_status status = tw_kv_cache_create(engine->model, (uint32_t)n_pages,
                                               engine->config.kv_dtype, &engine->cache, error);
    if (status != TW_OK) {
        return status;
    }
    status = create_scheduler(engine, (uint32_t)n_pages, error);
    if (status != TW_OK) {
        tw_kv_cache_free(engine->cache);
        engine->cache = NULL;
    }
    return status;
}

enum tw_status tw_engine_set_tenant(struct tw_engine *engine, uint32_t tenant, uint32_t weight,
                                    enum tw_priority_class priority_class, struct tw_error *error)
{
    return tw_fair_share_set(engine->share, tenant, weight, priority_class, error);
}

const struct tw_model_shape *tw_engine_shape(const struct tw_engine *engine)
{
    return engine->shape;
}

const struct tw_tokenizer *tw_engine_tokenizer(const struct tw_engine *engine)
{
    return tw_model_tokenizer(engine->model);
}

struct tw_model *tw_engine_model(const struct tw_engine *engine)
{
    return engine->model;
}

const char *tw_engine_device_name(const struct tw_engine *engine)
{
    return tw_device_name(engine->device);
}

struct tw_engine_usage tw_engine_usage(const struct tw_engine *engine)
{
    struct tw_engine_usage usage = {
        .n_sequences = engine->n_sequences,
        .n_active = engine->n_active,
        .n_steps = engine->n_steps,
        .n_computed_tokens = engine->n_computed_tokens,
        .n_given_up_steps = engine->n_given_up_steps,
    };
    if (engine->scheduler != NULL) {
        struct tw_scheduler_usage pages = tw_scheduler_usage(engine->scheduler);
        usage.n_pages = pages.n_pages;
        usage.n_free_pages = pages.n_free_pages + pages.n_cached_pages;
        usage.n_cached_pages = pages.n_cached_pages;
        usage.n_drafted_tokens = pages.n_drafted_tokens;
        usage.n_accepted_tokens = pages.n_accepted_tokens;
        usage.n_preemptions = pages.n_preemptions;
    }
    return usage;
}
