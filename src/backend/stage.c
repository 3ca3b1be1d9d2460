#include "backend/stage.h"

#include "backend/stage_state.h"
#include "base/clock.h"
#include "base/mem.h"

#define NOBODY (-1)

/* On the stack of the thread that waits for it. */
struct tw_stage_news {
    uint32_t tenant, weight;
    enum tw_priority_class priority_class;
    enum tw_status status;
    struct tw_error *error;
    bool is_done;
    struct tw_stage_news *next;
};

static enum tw_status make_parts(struct tw_stage *stage, const struct tw_stage_config *config,
                                 struct tw_error *error)
{
    const struct tw_arbiter_config arbiter = {.n_models = config->n_models,
                                              .memory_bytes = config->memory_bytes,
                                              .cache_bytes = config->cache_bytes,
                                              .patience_ns = TW_LIMIT_PATIENCE_NS};
    enum tw_status status = tw_fair_share_create(&stage->share, error);
    if (status == TW_OK) {
        status = tw_fair_share_set(stage->share, 0, 1, TW_CLASS_NORMAL, error);
    }
    if (status == TW_OK) {
        status = tw_arbiter_create(&arbiter, stage->share, &stage->arbiter, error);
    }
    if (status == TW_OK) {
        status = tw_device_cpu_create(config->n_threads, config->level, &stage->device, error);
    }
    return status;
}

enum tw_status tw_stage_create(const struct tw_stage_config *config, struct tw_stage **ret_stage,
                               struct tw_error *error)
{
    struct tw_stage *stage = tw_mem_zalloc(1, sizeof *stage);
    if (stage == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for models");
    }
    stage->holder = NOBODY;
    stage->n_most_models = config->n_models;
    pthread_mutex_init(&stage->lock, NULL);
    pthread_cond_init(&stage->changed, NULL);
    enum tw_status status = make_parts(stage, config, error);
    if (status != TW_OK) {
        tw_stage_free(stage);
        return status;
    }
    *ret_stage = stage;
    return TW_OK;
}

void tw_stage_free(struct tw_stage *stage)
{
    if (stage == NULL) {
        return;
    }
    tw_device_free(stage->device);
    tw_arbiter_free(stage->arbiter);
    tw_fair_share_free(stage->share);
    pthread_cond_destroy(&stage->changed);
    pthread_mutex_destroy(&stage->lock);
    tw_mem_free(stage);
}

/* A model that was closed has no thread any more. */
static void wake(struct tw_stage *stage, uint32_t model)
{
    if (stage->wakes[model] != NULL) {
        pthread_cond_signal(stage->wakes[model]);
    }
}

void tw_stage_settle(struct tw_stage *stage)
{
    uint32_t model;
    while (tw_arbiter_move(stage->arbiter, tw_clock_monotonic_ns(), &model)) {
        wake(stage, model);
    }
}

/* ---- turns ---- */

/* Between two turns the counters are nobody's. */
static void take_news(struct tw_stage *stage)
{
    for (struct tw_stage_news *news = stage->news; news != NULL; news = news->next) {
        news->status = tw_fair_share_set(stage->share, news->tenant, news->weight,
                                         news->priority_class, news->error);
        news->is_done = true;
    }
    if (stage->news != NULL) {
        stage->news = NULL;
        pthread_cond_broadcast(&stage->changed);
    }
}

static void give_turn(struct tw_stage *stage)
{
    uint32_t model;
    if (stage->holder != NOBODY) {
        return;
    }
    take_news(stage);
    if (tw_arbiter_next(stage->arbiter, &model)) {
        stage->holder = (int)model;
        wake(stage, model);
    }
}

void tw_stage_take_turn(struct tw_stage *stage, uint32_t model)
{
    tw_arbiter_ask(stage->arbiter, model, true);
    give_turn(stage);
    while (stage->holder != (int)model) {
        pthread_cond_wait(stage->wakes[model], &stage->lock);
    }
}

void tw_stage_end_turn(struct tw_stage *stage, uint32_t model, int64_t step_ns, bool asks)
{
    tw_arbiter_end(stage->arbiter, model, step_ns);
    stage->holder = NOBODY;
    tw_arbiter_ask(stage->arbiter, model, asks);
    give_turn(stage);
}

void tw_stage_withdraw(struct tw_stage *stage, uint32_t model)
{
    if (stage->holder == (int)model) {
        tw_stage_end_turn(stage, model, 0, false);
    } else {
        tw_arbiter_ask(stage->arbiter, model, false);
    }
}

/* ---- who is on the way ---- */

void tw_stage_expect(struct tw_stage *stage)
{
    atomic_fetch_add(&stage->n_expected, 1);
}

/* A model that has held something of IDLE tenants looks again by itself, soon. */
void tw_stage_met(struct tw_stage *stage)
{
    atomic_fetch_sub(&stage->n_expected, 1);
}

/* ---- tenants ---- */

enum tw_status tw_stage_set_tenant(struct tw_stage *stage, uint32_t tenant, uint32_t weight,
                                   enum tw_priority_class priority_class, struct tw_error *error)
{
    struct tw_stage_news news = {
        .tenant = tenant, .weight = weight, .priority_class = priority_class, .error = error};
    pthread_mutex_lock(&stage->lock);
    struct tw_stage_news **end = &stage->news;
    while (*end != NULL) {
        end = &(*end)->next; /* in their order: of two about a tenant the later one holds */
    }
    *end = &news;
    if (stage->holder == NOBODY) {
        take_news(stage);
    }
    while (!news.is_done) {
        pthread_cond_wait(&stage->changed, &stage->lock);
    }
    pthread_mutex_unlock(&stage->lock);
    return news.status;
}
