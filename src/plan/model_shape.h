/* model_shape.h: a model's parameters by what reads them.
 *
 * In parameters, without biases and the norms of heads (a thousandth of a percent).
 * Threads: any. Errors: none.
 */
#ifndef TW_PLAN_MODEL_SHAPE_H
#define TW_PLAN_MODEL_SHAPE_H

#include "plan/catalogue.h"

struct tw_plan_parts {
    double attention;      /* of one layer */
    double dense;          /* that every token reads: attention, feed-forward, shared, router */
    double expert;         /* one, of one layer */
    double experts;        /* all */
    double n_mixed_layers; /* that have experts */
    double head, embedding, norms;
};
struct tw_plan_parts tw_plan_model_parts(const struct tw_plan_model *model);

#endif
