/* serve_models.h: the models of `tokenworks serve`, as its arguments want them.
 *
 *     tw_serve_models_begin -> tw_serve_models_open (each) -> tw_serve_models_load -> ...
 *         -> tw_serve_models_stop -> tw_serve_models_close
 *
 * What happens to a model later (loaded, made room, cannot be loaded) goes into the log.
 * Ownership: names and aliases stay the arguments'. Threads: the main thread only.
 * Errors: those of backend/backend.h.
 */
#ifndef TW_APP_SERVE_MODELS_H
#define TW_APP_SERVE_MODELS_H

#include "api/api.h"
#include "app/progress.h"
#include "app/serve_args.h"

struct tw_serve_models {
    struct tw_stage *stage;
    struct tw_api_model *items; /* [n_items], open ones */
    size_t n_items;
    struct tw_progress progress;
    bool is_starting; /* a signal ends a load */
};

enum tw_status tw_serve_models_begin(struct tw_serve_models *models,
                                     const struct tw_serve_args *args, struct tw_error *error);
/* Model i of the arguments, in their order; its weights stay where they are. This and loading are
 * ended by SIGTERM and SIGINT, blocked and pending, with TW_ERR_CANCELLED. */
enum tw_status tw_serve_models_open(struct tw_serve_models *models,
                                    const struct tw_serve_args *args, size_t i,
                                    struct tw_error *error);
/* Whether those that are to be in memory from the start fit. */
enum tw_status tw_serve_models_check(const struct tw_serve_models *models,
                                     const struct tw_serve_args *args, struct tw_error *error);
enum tw_status tw_serve_models_load(struct tw_serve_models *models,
                                    const struct tw_serve_args *args, struct tw_error *error);
/* What they have is cancelled; they can still be asked how they are. */
void tw_serve_models_stop(struct tw_serve_models *models);
/* Of one that is zeros: nothing. */
void tw_serve_models_close(struct tw_serve_models *models);

#endif
