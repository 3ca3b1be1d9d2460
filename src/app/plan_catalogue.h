/* plan_catalogue.h: `plan catalogue`: the rows that plans are made of, with their sources, dates,
 * conflicts, and what files of one's own replaced; and the files of a folder of such.
 *
 * Threads: the main thread. Errors: those of plan/catalogue.h and plan/prices.h; TW_ERR_USAGE.
 */
#ifndef TW_APP_PLAN_CATALOGUE_H
#define TW_APP_PLAN_CATALOGUE_H

#include "base/limits.h"
#include "base/status.h"

int tw_plan_catalogue(int argc, char **argv);

/* The tables (*.csv) of a folder, by what their first column is called: "price", or those of the
 * catalogue. In the order of their names. */
struct tw_plan_folder {
    char *catalogue[TW_LIMIT_PLAN_NAMES], *prices[TW_LIMIT_PLAN_NAMES];
    uint32_t n_catalogue, n_prices;
};
enum tw_status tw_plan_folder_open(const char *path, struct tw_plan_folder *ret_folder,
                                   struct tw_error *error);
void tw_plan_folder_free(struct tw_plan_folder *folder);

#endif
