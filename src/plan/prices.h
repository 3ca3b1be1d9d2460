/* prices.h: what devices, rented machines and tokens cost, from a table of facts.
 *
 *     data/prices.csv (built in) + the user's own files --> facts.h --> rows by kind
 *
 * A row with bought_usd is a device in its server; one with usd_per_h is a rented machine; one with
 * input_per_million is an API. Sources that differ are a range; a user's own file replaces them.
 * Prices in yuan or euros are converted at the table's own rates ("money").
 *
 * Ownership: the table owns all texts. Threads: any number read.
 * Errors: TW_ERR_NOT_FOUND with the nearest name; TW_ERR_FORMAT for a price below zero, a field
 * that no price has, a name that lacks a field, a currency without a rate; those of facts.h.
 */
#ifndef TW_PLAN_PRICES_H
#define TW_PLAN_PRICES_H

#include "plan/catalogue.h"
#include "plan/facts.h"
#include "plan/workload.h"

struct tw_prices;

enum tw_status tw_prices_open(const char *const *files, uint32_t n_files,
                              struct tw_prices **ret_prices, struct tw_error *error);
/* NULL is allowed. */
void tw_prices_free(struct tw_prices *prices);
/* That whatever has a price is a device of the catalogue. */
enum tw_status tw_prices_check_devices(const struct tw_prices *prices,
                                       const struct tw_catalogue *catalogue,
                                       struct tw_error *error);
const struct tw_facts *tw_prices_facts(const struct tw_prices *prices);

/* Of one device with its share of a server. False: the table has none. */
bool tw_prices_bought(const struct tw_prices *prices, const char *device, struct tw_range *ret_usd);

/* Devices that are sold together at least: those of a server. 1 where the table says nothing. */
double tw_prices_sold_in(const struct tw_prices *prices, const char *device);

struct tw_price_rent {
    const char *name, *device, *provider, *home, *source, *date;
    double n_devices, term_months; /* 0: on demand */
    struct tw_range device_usd_h;
};
/* i counts rented machines only. */
uint32_t tw_prices_n_rents(const struct tw_prices *prices);
struct tw_price_rent tw_prices_rent_at(const struct tw_prices *prices, uint32_t i);

#define TW_PRICE_TIERS 4
struct tw_price_tier {
    double from_tokens;                       /* of a request's input; the first is 0 */
    double input_usd, cached_usd, output_usd; /* a million */
};
struct tw_price_api {
    const char *name, *provider, *home, *currency, *source, *date;
    uint32_t n_tiers;
    struct tw_price_tier tiers[TW_PRICE_TIERS]; /* ascending */
    double batch_discount;                      /* share of the price */
    struct tw_range currency_usd;               /* of one unit */
};
enum tw_status tw_prices_api(const struct tw_prices *prices, const char *name,
                             struct tw_price_api *ret_api, struct tw_error *error);
uint32_t tw_prices_n_apis(const struct tw_prices *prices);
const char *tw_prices_api_name(const struct tw_prices *prices, uint32_t i);

/* What an average request costs: each request at its own tier, cached_share of its input at the
 * cached price, batch_share of all at the discount. In USD a million tokens, input and output. */
double tw_price_api_per_million(const struct tw_price_api *api, const struct tw_workload *workload,
                                double cached_share, double batch_share);

/* The rate of a currency, "USD", "CNY" or "EUR". */
enum tw_status tw_prices_currency(const struct tw_prices *prices, const char *currency,
                                  struct tw_range *ret_usd, struct tw_error *error);
/* Its row, for its source and date. NULL: dollars. */
const struct tw_fact *tw_prices_currency_fact(const struct tw_prices *prices, const char *currency);

#endif
