/* serve_routes.h: what of a configuration file says how a server is chosen: models that take
 * others' places, and who prefers what.
 *
 *     fallbacks:
 *       - {model: large, to: [medium, small]}
 *     preferences:
 *       - {who: [acme/research], prefer: fastest}
 *
 * Ownership: texts are the arguments', which outlive it. Threads: the main thread only.
 * Errors: TW_ERR_USAGE for a model that is nobody's or twice there, and for words that mean
 * nothing; TW_ERR_MEMORY.
 */
#ifndef TW_APP_SERVE_ROUTES_H
#define TW_APP_SERVE_ROUTES_H

#include "api/api.h"
#include "app/serve_args.h"

struct tw_serve_routes {
    struct tw_api_fallback *fallbacks;
    size_t n_fallbacks;
    struct tw_api_preference *preferences;
    size_t n_preferences;
};

/* Whether a model here has the name, or has it as an alias. */
bool tw_serve_routes_is_own(const struct tw_serve_args *args, const char *name);
/* The models of the arguments were taken. */
enum tw_status tw_serve_routes_open(struct tw_serve_routes *routes,
                                    const struct tw_serve_args *args, struct tw_error *error);
/* Of one that is zeros: nothing. */
void tw_serve_routes_close(struct tw_serve_routes *routes);

#endif
