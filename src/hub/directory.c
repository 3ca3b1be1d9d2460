#include "hub/directory.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_BUCKETS 256
#define SECRET_RANDOM 32

static const char *const KIND_NAMES[TW_HOLDER_KINDS] = {"org", "team", "project", "key"};
/* As enum tw_priority_class of the scheduler has them. */
static const char *const CLASS_NAMES[] = {"normal", "high", "idle"};
static const char *const ROLE_NAMES[TW_ROLES] = {"owner", "finance", "auditor", "operator", "member"};

const char *tw_holder_kind_name(enum tw_holder_kind kind)
{
    return KIND_NAMES[kind];
}

const char *tw_role_name(enum tw_role role)
{
    return ROLE_NAMES[role];
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
        const int written = snprintf(ret_path + at, path_bytes - at, "%s%s", at > 0 ? "/" : "",
                                     chain[n]->name);
        at += written > 0 ? (size_t)written : 0;
    }
}

/* ---- secrets ---- */

void tw_directory_hash_secret(const struct tw_directory *directory, const char *text,
                              unsigned char ret_hash[TW_DIRECTORY_HASH_BYTES])
{
    crypto_generichash(ret_hash, TW_DIRECTORY_HASH_BYTES, (const unsigned char *)text, strlen(text),
                       directory->pepper, sizeof directory->pepper);
}

void tw_directory_make_secret(const struct tw_directory *directory, const char *prefix,
                              struct tw_new_secret *ret_secret)
{
    unsigned char random[SECRET_RANDOM];
    char encoded[sodium_base64_ENCODED_LEN(SECRET_RANDOM, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
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

/* Once, under the lock. */
static void put_in_bucket(struct tw_directory *directory, struct tw_secret *secret)
{
    struct tw_secret **bucket = &directory->buckets[bucket_of(directory, secret->hash)];
    secret->next_of_bucket = *bucket;
    *bucket = secret;
}

/* Under the lock. */
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

/* ---- items ---- */

static int64_t number_of(const void *item)
{
    int64_t id;
    memcpy(&id, item, sizeof id); /* every item begins with it */
    return id;
}

static void *find(const struct tw_items *items, int64_t id)
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
    return low < items->n && number_of(items->at[low]) == id ? items->at[low] : NULL;
}

struct tw_holder *tw_directory_holder(const struct tw_directory *directory, int64_t id)
{
    return find(&directory->holders, id);
}

struct tw_person *tw_directory_person(const struct tw_directory *directory, int64_t id)
{
    return find(&directory->persons, id);
}

struct tw_hub_budget *tw_directory_budget(const struct tw_directory *directory, int64_t id)
{
    return find(&directory->budgets, id);
}

/* A new item with the highest number so far; NULL: no memory, or TW_LIMIT_HUB_ITEMS. */
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

/* ---- loading ---- */

struct load {
    struct tw_directory *directory;
    struct tw_db *db;
    struct tw_hub_account *obligations, *revenue;
    struct tw_error *error;
};

/* Takes a row of a table. TW_ERR_FORMAT where it cannot be. */
typedef enum tw_status (*row_fn)(const struct load *load, struct tw_db_statement *row);

static enum tw_status no_memory(const struct load *load)
{
    return tw_error_set(load->error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "no room for who is in the books: at most %d holders, persons, secrets or "
                        "budgets, and memory for them",
                        TW_LIMIT_HUB_ITEMS);
}

static enum tw_status bad_row(const struct load *load, const char *table, int64_t id)
{
    return tw_error_set(load->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "row %lld of the table %s makes no sense: the store was changed by "
                        "something else; restore a backup",
                        (long long)id, table);
}

static enum tw_status each_row(const struct load *load, const char *sql, row_fn take)
{
    struct tw_db_statement *statement = NULL;
    bool has_row = true;
    enum tw_status status = tw_db_prepare(load->db, sql, &statement, load->error);
    if (status == TW_OK) {
        status = tw_db_query(statement, NULL, 0, load->error);
    }
    while (status == TW_OK && has_row) {
        status = tw_db_next(statement, &has_row, load->error);
        if (status == TW_OK && has_row) {
            status = take(load, statement);
        }
    }
    tw_db_finalize(statement);
    return status;
}

static int index_of(const char *const *names, int n, const char *name)
{
    int i = 0;
    while (i < n && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

/* A name can change: what others may read meanwhile is replaced under the lock, and the old text
 * stays, since a request may show it. */
static bool take_text(const struct load *load, const char **text, const char *now)
{
    if (*text == NULL || strcmp(*text, now) != 0) {
        *text = tw_arena_strndup(&load->directory->arena, now, strlen(now));
    }
    return *text != NULL;
}

static enum tw_status take_holder(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    const int kind = index_of(KIND_NAMES, TW_HOLDER_KINDS, tw_db_column_text(row, 1));
    struct tw_holder *parent = tw_directory_holder(load->directory, tw_db_column_integer(row, 2));
    struct tw_holder *holder = tw_directory_holder(load->directory, id);
    if (kind == TW_HOLDER_KINDS || (parent == NULL) != (kind == TW_HOLDER_ORG) ||
        (parent != NULL && (int)parent->kind != kind - 1)) {
        return bad_row(load, "holder", id);
    }
    if (holder == NULL) {
        holder = add(load->directory, &load->directory->holders, id, sizeof *holder);
    }
    if (holder == NULL || !take_text(load, &holder->name, tw_db_column_text(row, 3))) {
        return no_memory(load);
    }
    holder->kind = (enum tw_holder_kind)kind;
    holder->parent = parent;
    holder->created_ns = tw_db_column_integer(row, 4);
    struct tw_holder_settings *settings = &holder->settings;
    settings->weight = tw_db_column_integer(row, 6);
    settings->priority_class =
        index_of(CLASS_NAMES, sizeof CLASS_NAMES / sizeof *CLASS_NAMES, tw_db_column_text(row, 7));
    settings->max_context_tokens = tw_db_column_integer(row, 9);
    settings->default_answer_tokens = tw_db_column_integer(row, 10);
    settings->requests_per_minute = tw_db_column_integer(row, 11);
    settings->tokens_per_minute = tw_db_column_integer(row, 12);
    settings->concurrent_requests = tw_db_column_integer(row, 13);
    settings->may_use_special = tw_db_column_integer(row, 14) != 0;
    if (tw_db_column_is_null(row, 8)) {
        settings->models = NULL;
    } else if (!take_text(load, &settings->models, tw_db_column_text(row, 8))) {
        return no_memory(load);
    }
    holder->is_open = tw_db_column_is_null(row, 5);
    return TW_OK;
}

static enum tw_status take_person(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_person *person = tw_directory_person(load->directory, id);
    if (person == NULL) {
        person = add(load->directory, &load->directory->persons, id, sizeof *person);
    }
    if (person == NULL || !take_text(load, &person->name, tw_db_column_text(row, 2))) {
        return no_memory(load);
    }
    person->org = tw_directory_holder(load->directory, tw_db_column_integer(row, 1));
    person->created_ns = tw_db_column_integer(row, 3);
    person->grants = NULL; /* come next */
    person->is_open = tw_db_column_is_null(row, 4);
    return TW_OK;
}

static enum tw_status take_role(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_person *person = tw_directory_person(load->directory, id);
    const int role = index_of(ROLE_NAMES, TW_ROLES, tw_db_column_text(row, 1));
    const int64_t scope = tw_db_column_integer(row, 2);
    struct tw_grant *grant = tw_arena_alloc(&load->directory->arena, 1, sizeof *grant);
    if (grant == NULL) {
        return no_memory(load);
    }
    grant->role = (enum tw_role)role;
    grant->scope = tw_directory_holder(load->directory, scope);
    if (person == NULL || role == TW_ROLES || (scope != 0 && grant->scope == NULL)) {
        return bad_row(load, "person_role", id);
    }
    grant->next = person->grants;
    person->grants = grant;
    return TW_OK;
}

static enum tw_status take_secret(const struct load *load, struct tw_db_statement *row)
{
    struct tw_directory *directory = load->directory;
    const int64_t id = tw_db_column_integer(row, 0);
    size_t hash_bytes;
    const void *hash = tw_db_column_bytes(row, 4, &hash_bytes);
    struct tw_secret *secret = find(&directory->secrets, id);
    const bool is_new = secret == NULL;
    if (hash_bytes != sizeof secret->hash) {
        return bad_row(load, "secret", id);
    }
    if (is_new && (directory->secrets.n < directory->n_buckets || grow_buckets(directory))) {
        secret = add(directory, &directory->secrets, id, sizeof *secret);
    }
    if (secret == NULL) {
        return no_memory(load);
    }
    memcpy(secret->hash, hash, sizeof secret->hash);
    secret->key = tw_directory_holder(directory, tw_db_column_integer(row, 1));
    secret->person = tw_directory_person(directory, tw_db_column_integer(row, 2));
    if (!take_text(load, &secret->shown, tw_db_column_text(row, 3))) {
        return no_memory(load);
    }
    secret->created_ns = tw_db_column_integer(row, 5);
    secret->expires_ns = tw_db_column_integer(row, 6);
    secret->is_open = tw_db_column_is_null(row, 7);
    if (is_new) {
        put_in_bucket(directory, secret);
    }
    return TW_OK;
}
