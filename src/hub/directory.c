#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "hub/directory_state.h"

#define FIRST_BUCKETS 256
#define SECRET_RANDOM 32

const char *const tw_directory_kind_names[TW_HOLDER_KINDS] = {"org", "team", "project", "key"};
/* As enum tw_priority_class of the scheduler has them. */
const char *const tw_directory_class_names[TW_HOLDER_CLASSES] = {"normal", "high", "idle"};
const char *const tw_directory_role_names[TW_ROLES] = {"owner", "finance", "auditor", "operator",
                                                       "member"};

const char *tw_holder_kind_name(enum tw_holder_kind kind)
{
    return tw_directory_kind_names[kind];
}

const char *tw_holder_class_name(int64_t priority_class)
{
    return tw_directory_class_names[priority_class];
}

const char *tw_role_name(enum tw_role role)
{
    return tw_directory_role_names[role];
}

struct tw_holder *tw_holder_above(struct tw_holder *holder, enum tw_holder_kind kind)
{
    while (holder != NULL && holder->kind != kind) {
        holder = holder->parent;
    }
    return holder;
}

bool tw_holder_is_open(const struct tw_holder *holder)
{
    while (holder != NULL && holder->is_open) {
        holder = holder->parent;
    }
    return holder == NULL;
}

void tw_holder_write_path(const struct tw_holder *holder, char *ret_path, size_t path_bytes)
{
    const struct tw_holder *chain[TW_HOLDER_KINDS];
    size_t n = 0, at = 0;
    for (; holder != NULL && n < TW_HOLDER_KINDS; holder = holder->parent) {
        chain[n++] = holder;
    }
    ret_path[0] = '\0';
    while (n > 0 && at < path_bytes) {
        n--;
        const int written =
            snprintf(ret_path + at, path_bytes - at, "%s%s", at > 0 ? "/" : "", chain[n]->name);
        at += written > 0 ? (size_t)written : 0;
    }
}

/* ---- secrets ---- */

void tw_directory_hash_digest(const struct tw_directory *directory,
                              const struct tw_secret_hash *digest,
                              unsigned char ret_hash[TW_DIRECTORY_HASH_BYTES])
{
    crypto_generichash(ret_hash, TW_DIRECTORY_HASH_BYTES, digest->bytes, sizeof digest->bytes,
                       directory->pepper, TW_DIRECTORY_HASH_BYTES);
}

void tw_directory_hash_secret(const struct tw_directory *directory, const char *text,
                              unsigned char ret_hash[TW_DIRECTORY_HASH_BYTES])
{
    const struct tw_secret_hash digest = tw_secret_hash_of(text, strlen(text));
    tw_directory_hash_digest(directory, &digest, ret_hash);
}

void tw_directory_make_secret(const struct tw_directory *directory, const char *prefix,
                              struct tw_new_secret *ret_secret)
{
    unsigned char random[SECRET_RANDOM];
    char
        encoded[sodium_base64_ENCODED_LEN(SECRET_RANDOM, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(encoded, sizeof encoded, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(ret_secret->text, sizeof ret_secret->text, "%s%s", prefix, encoded);
    snprintf(ret_secret->shown, sizeof ret_secret->shown, "%s%.6s...", prefix, encoded);
    tw_directory_hash_secret(directory, ret_secret->text, ret_secret->hash);
    sodium_memzero(random, sizeof random);
    sodium_memzero(encoded, sizeof encoded);
}

/* The hash is keyed, so nobody outside chooses where it falls. */
static size_t bucket_of(const struct tw_directory *directory, const unsigned char *hash)
{
    uint64_t low;
    memcpy(&low, hash, sizeof low);
    return (size_t)(low % directory->n_buckets);
}

struct tw_secret *tw_directory_find_secret(struct tw_directory *directory, const char *text)
{
    unsigned char hash[TW_DIRECTORY_HASH_BYTES];
    tw_directory_hash_secret(directory, text, hash);
    pthread_rwlock_rdlock(&directory->lock);
    struct tw_secret *secret = directory->buckets[bucket_of(directory, hash)];
    while (secret != NULL && sodium_memcmp(secret->hash, hash, sizeof hash) != 0) {
        secret = secret->next_of_bucket;
    }
    pthread_rwlock_unlock(&directory->lock);
    return secret;
}

static void put_in_bucket(struct tw_directory *directory, struct tw_secret *secret)
{
    struct tw_secret **bucket = &directory->buckets[bucket_of(directory, secret->hash)];
    secret->next_of_bucket = *bucket;
    *bucket = secret;
}

static bool grow_buckets(struct tw_directory *directory)
{
    const size_t n = directory->n_buckets * 2;
    struct tw_secret **buckets = tw_mem_zalloc(n, sizeof *buckets);
    if (buckets == NULL) {
        return false;
    }
    tw_mem_free(directory->buckets);
    directory->buckets = buckets;
    directory->n_buckets = n;
    for (size_t i = 0; i < directory->secrets.n; i++) {
        put_in_bucket(directory, directory->secrets.at[i]);
    }
    return true;
}

static struct tw_secret **secrets_of(const struct tw_secret *secret)
{
    return secret->key != NULL      ? &secret->key->secrets
           : secret->person != NULL ? &secret->person->secrets
                                    : NULL;
}

void tw_directory_link_secret(struct tw_directory *directory, struct tw_secret *secret)
{
    struct tw_secret **list = secrets_of(secret);
    put_in_bucket(directory, secret);
    if (list != NULL) {
        secret->next_of_owner = *list;
        *list = secret;
    }
}

/* ---- names ---- */

/* Names are chosen by those who may make holders: nobody else can make two that meet. */
static size_t name_bucket(const struct tw_directory *directory, const struct tw_holder *parent,
                          const char *name, size_t name_bytes)
{
    const uint64_t seed = parent != NULL ? (uint64_t)parent->id : 0;
    return (size_t)(tw_hash_of(name, name_bytes, seed) % directory->n_names);
}

static struct tw_holder **bucket_of_holder(const struct tw_directory *directory,
                                           const struct tw_holder *holder)
{
    return &directory
                ->names[name_bucket(directory, holder->parent, holder->name, strlen(holder->name))];
}

void tw_directory_link_name(struct tw_directory *directory, struct tw_holder *holder)
{
    struct tw_holder **bucket = bucket_of_holder(directory, holder);
    holder->next_of_name = *bucket;
    *bucket = holder;
}

void tw_directory_unlink_name(struct tw_directory *directory, struct tw_holder *holder)
{
    struct tw_holder **at = bucket_of_holder(directory, holder);
    while (*at != holder) {
        at = &(*at)->next_of_name;
    }
    *at = holder->next_of_name;
}

struct tw_holder *tw_directory_child(const struct tw_directory *directory,
                                     const struct tw_holder *parent, const char *name,
                                     size_t name_bytes)
{
    struct tw_holder *at = directory->names[name_bucket(directory, parent, name, name_bytes)];
    while (at != NULL &&
           (at->parent != parent || !at->is_open || strncmp(at->name, name, name_bytes) != 0 ||
            at->name[name_bytes] != '\0')) {
        at = at->next_of_name;
    }
    return at;
}

static bool grow_names(struct tw_directory *directory)
{
    const size_t n = directory->n_names * 2;
    struct tw_holder **names = tw_mem_zalloc(n, sizeof *names);
    if (names == NULL) {
        return false;
    }
    tw_mem_free(directory->names);
    directory->names = names;
    directory->n_names = n;
    for (size_t i = 0; i < directory->holders.n; i++) {
        tw_directory_link_name(directory, directory->holders.at[i]);
    }
    return true;
}

/* ---- items ---- */

static int64_t number_of(const void *item)
{
    int64_t id;
    memcpy(&id, item, sizeof id); /* every item begins with it */
    return id;
}

size_t tw_directory_place(const struct tw_items *items, int64_t id)
{
    size_t low = 0, high = items->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (number_of(items->at[middle]) < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void *tw_directory_find(const struct tw_items *items, int64_t id)
{
    const size_t at = tw_directory_place(items, id);
    return at < items->n && number_of(items->at[at]) == id ? items->at[at] : NULL;
}

struct tw_holder *tw_directory_holder(const struct tw_directory *directory, int64_t id)
{
    return tw_directory_find(&directory->holders, id);
}

struct tw_person *tw_directory_person(const struct tw_directory *directory, int64_t id)
{
    return tw_directory_find(&directory->persons, id);
}

struct tw_hub_budget *tw_directory_budget(const struct tw_directory *directory, int64_t id)
{
    return tw_directory_find(&directory->budgets, id);
}

static void *add(struct tw_directory *directory, struct tw_items *items, int64_t id,
                 size_t item_bytes)
{
    if (items->n == items->room) {
        const size_t room = items->room > 0 ? items->room * 2 : 64;
        void **at = room <= TW_LIMIT_HUB_ITEMS ? tw_mem_realloc(items->at, room, sizeof *at) : NULL;
        if (at == NULL) {
            return NULL;
        }
        items->at = at;
        items->room = room;
    }
    void *item = tw_arena_alloc(&directory->arena, 1, item_bytes);
    if (item != NULL) {
        memcpy(item, &id, sizeof id);
        items->at[items->n++] = item;
    }
    return item;
}

struct tw_holder *tw_directory_add_holder(struct tw_directory *directory, int64_t id)
{
    const bool has_room = directory->holders.n < directory->n_names || grow_names(directory);
    return has_room ? add(directory, &directory->holders, id, sizeof(struct tw_holder)) : NULL;
}

struct tw_person *tw_directory_add_person(struct tw_directory *directory, int64_t id)
{
    return add(directory, &directory->persons, id, sizeof(struct tw_person));
}

struct tw_secret *tw_directory_add_secret(struct tw_directory *directory, int64_t id)
{
    const bool has_room = directory->secrets.n < directory->n_buckets || grow_buckets(directory);
    return has_room ? add(directory, &directory->secrets, id, sizeof(struct tw_secret)) : NULL;
}

struct tw_hub_budget *tw_directory_add_budget(struct tw_directory *directory, int64_t id)
{
    return add(directory, &directory->budgets, id, sizeof(struct tw_hub_budget));
}

/* ---- what never was ---- */

/* The item with the highest number, taken out, where that is from first_id on; or NULL. */
static void *take_last(struct tw_items *items, int64_t first_id)
{
    const bool is_new = items->n > 0 && number_of(items->at[items->n - 1]) >= first_id;
    return is_new ? items->at[--items->n] : NULL;
}

static void forget_secret(struct tw_directory *directory, struct tw_secret *secret)
{
    struct tw_secret **at = &directory->buckets[bucket_of(directory, secret->hash)];
    while (*at != secret) {
        at = &(*at)->next_of_bucket;
    }
    *at = secret->next_of_bucket;
    at = secrets_of(secret);
    while (at != NULL && *at != secret) {
        at = &(*at)->next_of_owner;
    }
    if (at != NULL) {
        *at = secret->next_of_owner;
    }
    secret->is_open = false;
}

/* Nobody has taken it out of what has changed, since its group was not committed. */
static void forget_holder(struct tw_directory *directory, struct tw_holder *holder)
{
    struct tw_holder **at = &directory->changed;
    tw_directory_unlink_name(directory, holder);
    while (*at != NULL && *at != holder) {
        at = &(*at)->next_changed;
    }
    if (*at != NULL) {
        *at = holder->next_changed;
    }
    holder->is_open = false;
}

static void forget_budget(struct tw_directory *directory, struct tw_hub_budget *budget)
{
    struct tw_hub_budget **at = &budget->holder->budgets;
    while (*at != budget) {
        at = &(*at)->next;
    }
    *at = budget->next;
    budget->is_open = false;
    tw_directory_recycle_windows(directory, budget);
    tw_zone_free(budget->zone);
}

void tw_directory_forget(struct tw_directory *directory, int64_t first_id)
{
    struct tw_holder *holder;
    struct tw_person *person;
    struct tw_secret *secret;
    struct tw_hub_budget *budget;
    pthread_rwlock_wrlock(&directory->lock);
    directory->dirty = NULL;
    while ((budget = take_last(&directory->budgets, first_id)) != NULL) {
        forget_budget(directory, budget);
    }
    while ((secret = take_last(&directory->secrets, first_id)) != NULL) {
        forget_secret(directory, secret);
    }
    while ((person = take_last(&directory->persons, first_id)) != NULL) {
        person->is_open = false;
    }
    while ((holder = take_last(&directory->holders, first_id)) != NULL) {
        forget_holder(directory, holder);
    }
    tw_price_table_forget(&directory->prices, first_id);
    pthread_rwlock_unlock(&directory->lock);
}

/* ---- the whole ---- */

enum tw_status tw_directory_init(struct tw_directory *directory, struct tw_error *error)
{
    *directory = (struct tw_directory){
        .n_buckets = FIRST_BUCKETS, .n_names = FIRST_BUCKETS, .sums_epoch = 1};
    tw_price_table_init(&directory->prices);
    pthread_rwlock_init(&directory->lock, NULL);
    tw_arena_init(&directory->arena, TW_LIMIT_HUB_DIRECTORY_BYTES);
    directory->buckets = tw_mem_zalloc(directory->n_buckets, sizeof *directory->buckets);
    directory->names = tw_mem_zalloc(directory->n_names, sizeof *directory->names);
    directory->pepper = tw_secret_alloc(TW_DIRECTORY_HASH_BYTES);
    if (directory->buckets == NULL || directory->names == NULL || directory->pepper == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the directory");
    }
    return TW_OK;
}

void tw_directory_free(struct tw_directory *directory)
{
    for (size_t i = 0; i < directory->budgets.n; i++) {
        tw_zone_free(((struct tw_hub_budget *)directory->budgets.at[i])->zone);
    }
    tw_price_table_free(&directory->prices);
    tw_mem_free(directory->holders.at);
    tw_mem_free(directory->persons.at);
    tw_mem_free(directory->secrets.at);
    tw_mem_free(directory->budgets.at);
    tw_mem_free(directory->buckets);
    tw_mem_free(directory->names);
    tw_arena_clear(&directory->arena);
    tw_secret_free(directory->pepper);
    pthread_rwlock_destroy(&directory->lock);
}
