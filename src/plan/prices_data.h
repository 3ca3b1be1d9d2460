/* prices_data.h: the table of prices that is built in, made by the build of data/prices.csv.
 *
 * Ownership: constants. Threads: any. Errors: none.
 */
#ifndef TW_PLAN_PRICES_DATA_H
#define TW_PLAN_PRICES_DATA_H

struct tw_prices_built_in {
    const char *file, *text;
};
extern const struct tw_prices_built_in tw_prices_built_in[1];

#endif
