/* api_keys.h: who may ask: keys by their hashes, and whose they are.
 *
 *     keys:
 *       - {tenant: finance, hash: 9f86d0..., weight: 2, class: normal}
 *       - {tenant: night-jobs, hash: 60303a..., class: idle, special: yes}
 *
 * A tenant is a name; its keys share its part of the machine, which weight and class decide
 * (sched/fair_share.h), and must agree on them. Tenants are numbered from 1 in their order; 0 is
 * everybody where there are no keys. The file can be read again while it is in use: a tenant that
 * is named again keeps its number.
 *
 * Wrong keys are counted (api_guesses.h); a request without a key is no guess.
 *
 * Threads: any. Errors: those of conf.h, and TW_ERR_FORMAT for a key that is not fit.
 */
#ifndef TW_API_API_KEYS_H
#define TW_API_API_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/secret.h"
#include "base/status.h"
#include "hub/hub.h"

struct tw_api_keys;

struct tw_api_tenant {
    uint32_t number;
    uint32_t weight;
    enum tw_priority_class priority_class;
    bool may_use_special;        /* of this key: special tokens in a completion's prompt */
    struct tw_hub_caller caller; /* with a hub, which has the keys then */
};

enum tw_status tw_api_keys_load(const char *path, struct tw_api_keys **ret_keys,
                                struct tw_error *error);
/* The same from a text; name goes into messages, and is the file that is read again. */
enum tw_status tw_api_keys_parse(const char *text, size_t text_bytes, const char *name,
                                 struct tw_api_keys **ret_keys, struct tw_error *error);
/* NULL is allowed. */
void tw_api_keys_free(struct tw_api_keys *keys);

/* Gets to know a tenant; an error ends what it is called for. */
typedef enum tw_status (*tw_api_tenant_fn)(void *context, const struct tw_api_tenant *tenant,
                                           struct tw_error *error);

/* Reads the file again. Tenants that are new or have changed are announced (NULL: to nobody) before
 * the first new key is good. On an error the keys stay as they were, and tenants that had been
 * announced are announced again as they were. */
enum tw_status tw_api_keys_reload(struct tw_api_keys *keys, tw_api_tenant_fn announce,
                                  void *context, struct tw_error *error);

/* Every tenant there is, for who has to know them all: false at the end of i. By the thread that
 * reloads. */
bool tw_api_keys_tenant(const struct tw_api_keys *keys, size_t i, struct tw_api_tenant *ret_tenant);

/* Every key of the file, for books that take them over: false at the end of i. tenant: its name,
 * which stays until the next reload. By the thread that reloads. */
bool tw_api_keys_key(const struct tw_api_keys *keys, size_t i, struct tw_secret_hash *ret_hash,
                     const char **ret_tenant, struct tw_api_tenant *ret_what);

enum tw_api_verdict { TW_API_KEY_GOOD = 0, TW_API_KEY_BAD, TW_API_KEY_TOO_OFTEN };

/* Whether it is a key at all; nothing is counted. NULL is none. */
bool tw_api_keys_knows(struct tw_api_keys *keys, const char *key);

/* key: NULL for none. peer: the client's address. now_s: seconds on any clock that does not go
 * back. */
enum tw_api_verdict tw_api_keys_check(struct tw_api_keys *keys, const char *key, const char *peer,
                                      int64_t now_s, struct tw_api_tenant *ret_tenant);

#endif
