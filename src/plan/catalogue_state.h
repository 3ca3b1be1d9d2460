/* catalogue_state.h: what the files of the catalogue share.
 *
 * catalogue.c makes rows of facts, model_shape.c says what follows from a model's numbers and reads
 * config.json, catalogue_data.c (made by the build) has the tables that are built in.
 */
#ifndef TW_PLAN_CATALOGUE_STATE_H
#define TW_PLAN_CATALOGUE_STATE_H

#include "plan/catalogue.h"

struct tw_plan_built_in {
    const char *file, *text;
};
/* By enum tw_plan_table. */
extern const struct tw_plan_built_in tw_plan_built_in[3];

/* Checks that the numbers agree, and counts parameters. */
enum tw_status tw_plan_model_finish(struct tw_plan_model *model, struct tw_error *error);

/* From config.json; name is kept. */
enum tw_status tw_plan_model_read_config(const char *name, const char *text, size_t text_bytes,
                                         struct tw_plan_model *ret_model, struct tw_error *error);

#endif
