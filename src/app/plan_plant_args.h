/* plan_plant_args.h: options that say what serves: model, device, engine, formats, parallelism.
 *
 * Ownership: the caller frees catalogues (tw_option_strings_free); texts are argv's. Threads: any.
 * Errors: TW_ERR_USAGE and TW_ERR_NOT_FOUND with what to write.
 */
#ifndef TW_APP_PLAN_PLANT_ARGS_H
#define TW_APP_PLAN_PLANT_ARGS_H

#include "app/command.h"
#include "plan/plant.h"

struct tw_plan_plant_args {
    const char *model, *device, *engine, *weights, *kv;
    struct tw_option_strings catalogues;
    int64_t tensor, pipeline, kv_tokens, sequences, step_tokens;
};
extern const struct tw_option_group tw_plan_plant_group;

/* One replica. usual_engine: where none is named. It points into the catalogue. */
enum tw_status tw_plan_plant_find(const struct tw_plan_plant_args *args, const char *usual_engine,
                                  const struct tw_catalogue *catalogue, struct tw_plant *ret_plant,
                                  struct tw_error *error);

#endif
