/* backend_terms.h: what a configuration file says of a model at another server, for the API.
 *
 *     {cost: {input: "0.15", output: "0.60"}, can: [answers, tools]} -> prices, abilities
 *
 * Pure; threads: any. Errors: TW_ERR_USAGE, for what is no amount, and no ability.
 */
#ifndef TW_APP_BACKEND_TERMS_H
#define TW_APP_BACKEND_TERMS_H

#include "api/api.h"
#include "app/serve_config.h"

/* What a million tokens cost there. Without a cost: nothing; without that of cached tokens, they
 * cost as any. */
enum tw_status tw_backend_terms_cost(const struct tw_serve_file_remote_model *model,
                                     struct tw_route_prices *ret_prices, struct tw_error *error);
/* TW_SERVER_ bits; usual: what it can do where the file does not say. */
enum tw_status tw_backend_terms_abilities(const struct tw_serve_file_remote_model *model,
                                          uint32_t usual, uint32_t *ret_abilities,
                                          struct tw_error *error);

#endif
