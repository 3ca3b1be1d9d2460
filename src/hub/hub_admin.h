/* hub_admin.h: for those who run the hub: who they are, commands that are waited for, and what a
 * first start makes.
 *
 *     first start:  tw_hub_make_owner    a user with all rights and a first key, secrets shown once
 *                   tw_hub_take_over     the keys of a file of before, which stay good
 *
 * What is taken over: organisation "default", its team "default", a project for each tenant and a
 * key for each row. Such a file has the SHA-256 of each key. The books have, of every secret, the
 * BLAKE2b of its SHA-256, keyed with the hub's pepper, so the hash of an old key is made without
 * the key; and who has only the SHA-256 cannot ask with it, since what is shown is hashed first.
 *
 * Threads: any, but not the writer's: they wait for it.
 */
#ifndef TW_HUB_HUB_ADMIN_H
#define TW_HUB_HUB_ADMIN_H

#include "base/secret.h"
#include "hub/directory.h"
#include "hub/hub.h"

/* Whose secret it is: false for nobody's, and for a key's. ret_actor->name stays while the hub
 * does. */
bool tw_hub_find_person(struct tw_hub *hub, const char *secret, struct tw_hub_actor *ret_actor);

/* {"group": ..., "verb": ..., "fields": ...}; takes fields over. NULL: no memory. */
json_t *tw_hub_make_command(const char *group, const char *verb, json_t *fields);

/* tw_hub_command, and waits for the answer, which is the caller's. Takes command over. */
enum tw_status tw_hub_ask(struct tw_hub *hub, const struct tw_hub_actor *actor, json_t *command,
                          json_t **ret_answer, struct tw_error *error);

/* Whether there was never a key, and no user but what a first start makes before its first key. */
bool tw_hub_is_new(struct tw_hub *hub);
/* Whether a key is there with which somebody can ask. */
bool tw_hub_has_key(struct tw_hub *hub);
/* Requests that another process had left open, and that this hub settled. */
int64_t tw_hub_n_recovered(const struct tw_hub *hub);

struct tw_hub_owner {
    char user_secret[TW_DIRECTORY_SECRET_BYTES]; /* of the user "owner": for the admin API */
    char key_secret[TW_DIRECTORY_SECRET_BYTES];  /* of default/default/default/first: for clients */
};
/* Of a new hub: the user "owner" with that role for everything, and one key. */
enum tw_status tw_hub_make_owner(struct tw_hub *hub, struct tw_hub_owner *ret_owner,
                                 struct tw_error *error);

/* A row of a key file. */
struct tw_hub_old_key {
    const char *tenant; /* made a name: other characters become '-' */
    struct tw_secret_hash hash;
    int64_t weight;
    int priority_class; /* as enum tw_priority_class */
    bool may_use_special;
};
/* All rows that are not there yet, in one piece. ret_n: how many keys were made. */
enum tw_status tw_hub_take_over(struct tw_hub *hub, const struct tw_hub_old_key *keys, size_t n,
                                size_t *ret_n, struct tw_error *error);

#endif
