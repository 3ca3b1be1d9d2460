/* backend_places.h: where the servers of backends' URLs are, as far as they were looked up.
 *
 *     open:    names of DNS forms (backend_url.h), again and again; other names are libcurl's
 *     sealed:  every name once, while there is a resolver; later ones must be addresses on the list
 *
 * Ownership: tw_backend_places_free; nameserver and reach outlive it. Threads: one at a time.
 * Errors: TW_ERR_USAGE for what may not be there, TW_ERR_NOT_FOUND for a name that nobody knows
 * while a server is sealed, TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_APP_BACKEND_PLACES_H
#define TW_APP_BACKEND_PLACES_H

#include "app/backend_url.h"
#include "remote/dns_lookup.h"
#include "seal/reach.h"

struct tw_backend_place_row {
    struct tw_backend_place_row *next;
    char *text; /* the URL, as the file has it */
    struct tw_backend_url url;
    bool is_known; /* it was looked up once, with an answer */
    struct tw_dns_places places;
    int64_t due_ns; /* when it is looked up again; INT64_MAX: never */
    bool is_used;
};

struct tw_backend_places {
    struct tw_backend_place_row *first;
    const char *nameserver;      /* NULL: the system's */
    struct tw_reach_list *reach; /* NULL: not sealed */
    bool is_fixed;               /* sealed by now */
};

/* The row of a URL, looked up if it is a new one. What no nameserver answers is a warning: it is
 * tried again. */
enum tw_status tw_backend_places_take(struct tw_backend_places *places, const char *text,
                                      int64_t now_ns, struct tw_backend_place_row **ret_row,
                                      struct tw_error *error);
struct tw_backend_place_row *tw_backend_places_find(const struct tw_backend_places *places,
                                                    const char *text);
/* What a lookup brought. Whether the places are others now. */
bool tw_backend_places_put(struct tw_backend_place_row *row, const struct tw_dns_places *found,
                           int64_t now_ns);
/* The next lookup that is due; NULL: none ever. */
struct tw_backend_place_row *tw_backend_places_next(const struct tw_backend_places *places);
/* Those that were not taken since tw_backend_places_begin are forgotten. */
void tw_backend_places_begin(struct tw_backend_places *places);
void tw_backend_places_end(struct tw_backend_places *places);
/* Those of `more` that are new go into `places`; `more` is empty then. */
void tw_backend_places_merge(struct tw_backend_places *places, struct tw_backend_places *more);
void tw_backend_places_free(struct tw_backend_places *places);

#endif
