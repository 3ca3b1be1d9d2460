#include "api/api_keys.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/secret.h"

#define WINDOW_S     60
#define PEER_SETS    256 /* addresses whose failures are remembered: sets by hash, */
#define PEERS_A_SET  4   /* and rows of a set */
#define TENANT_BYTES 64

struct key_row {
    char *tenant, *hash;
    uint32_t weight;
    enum tw_priority_class priority_class;
    bool special;
};

struct key_file {
    struct key_row *keys;
    unsigned keys_count;
};

struct key {
    struct tw_secret_hash hash;
    struct tw_api_tenant tenant;
};

struct tenant {
    char name[TENANT_BYTES];
    struct tw_api_tenant what;
};

struct failures {
    uint64_t peer; /* hash of the address */
    int64_t since_s;
    uint32_t n;
};

struct tw_api_keys {
    char *path;
    uint64_t seed;        /* of the peers' hashes */
    pthread_mutex_t lock; /* of what follows */
    struct key *keys;
    size_t n_keys;
    struct tenant *tenants; /* [n_tenants], tenant i has the number i + 1 */
    size_t n_tenants;
    struct failures failures[PEER_SETS][PEERS_A_SET];
};

/* ---- the file ---- */

static const cyaml_strval_t class_names[] = {
    {"normal", TW_CLASS_NORMAL}, {"high", TW_CLASS_HIGH}, {"idle", TW_CLASS_IDLE}};

static const cyaml_schema_field_t key_fields[] = {
    CYAML_FIELD_STRING_PTR("tenant", CYAML_FLAG_POINTER, struct key_row, tenant, 1,
                           TENANT_BYTES - 1),
    CYAML_FIELD_STRING_PTR("hash", CYAML_FLAG_POINTER, struct key_row, hash, 1,
                           TW_LIMIT_CONF_STRING_BYTES),
    CYAML_FIELD_UINT("weight", CYAML_FLAG_OPTIONAL, struct key_row, weight),
    CYAML_FIELD_ENUM("class", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct key_row,
                     priority_class, class_names, sizeof class_names / sizeof *class_names),
    CYAML_FIELD_BOOL("special", CYAML_FLAG_OPTIONAL, struct key_row, special),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t key_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct key_row, key_fields)};

static const cyaml_schema_field_t file_fields[] = {
    CYAML_FIELD_SEQUENCE("keys", CYAML_FLAG_POINTER, struct key_file, keys, &key_value, 1,
                         TW_LIMIT_API_KEYS),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct key_file, file_fields)};

/* ---- from the file to keys ---- */

/* The tenant of that name, or a new one behind those there are; room was made for all. */
static struct tenant *find_tenant(struct tenant *tenants, size_t *n_tenants, const char *name)
{
    for (size_t i = 0; i < *n_tenants; i++) {
        if (strcmp(tenants[i].name, name) == 0) {
            return &tenants[i];
        }
    }
    struct tenant *tenant = &tenants[(*n_tenants)++];
    snprintf(tenant->name, sizeof tenant->name, "%s", name);
    tenant->what.number = (uint32_t)*n_tenants;
    return tenant;
}

static enum tw_status add_key(const struct tw_api_keys *keys, const struct key_row *row,
                              struct tenant *tenants, size_t *n_tenants, struct key *ret_key,
                              struct tw_error *error)
{
    const uint32_t weight = row->weight == 0 ? 1 : row->weight;
    if (weight > TW_LIMIT_TENANT_WEIGHT) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.100s': the weight of '%.60s' is %u; it must be from 1 to %u",
                            keys->path, row->tenant, weight, TW_LIMIT_TENANT_WEIGHT);
    }
    if (!tw_secret_hash_parse(row->hash, &ret_key->hash)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.100s': a hash of '%.60s' is not the 64 hexadecimal digits of a "
                            "SHA-256; printf %%s KEY | sha256sum prints them",
                            keys->path, row->tenant);
    }
    struct tenant *tenant = find_tenant(tenants, n_tenants, row->tenant);
    tenant->what.weight = weight;
    tenant->what.priority_class = row->priority_class;
    ret_key->tenant = tenant->what;
    ret_key->tenant.may_use_special = row->special;
    return TW_OK;
}

/* Two rows of one tenant that contradict each other, or one hash of two rows. */
static enum tw_status check_rows(const struct tw_api_keys *keys, const struct key_file *file,
                                 struct tw_error *error)
{
    for (unsigned i = 0; i < file->keys_count; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct key_row *a = &file->keys[i], *b = &file->keys[k];
            const bool is_one_tenant = strcmp(a->tenant, b->tenant) == 0;
            if (is_one_tenant &&
                (a->weight != b->weight || a->priority_class != b->priority_class)) {
                return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                    "'%.100s': two keys of '%.60s' have another weight or class; "
                                    "they belong to the tenant, so they must agree",
                                    keys->path, a->tenant);
            }
            if (strcmp(a->hash, b->hash) == 0) {
                return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                    "'%.100s': '%.60s' and '%.60s' have the same key", keys->path,
                                    b->tenant, a->tenant);
            }
        }
    }
    return TW_OK;
}

static enum tw_status take_file(struct tw_api_keys *keys, const struct key_file *file,
                                struct tw_error *error)
{
    size_t n_tenants = keys->n_tenants;
    struct key *made = tw_mem_zalloc(file->keys_count, sizeof *made);
    struct tenant *tenants = tw_mem_zalloc(n_tenants + file->keys_count, sizeof *tenants);
    enum tw_status status = made == NULL || tenants == NULL
                                ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                               "no memory for %u keys", file->keys_count)
                                : check_rows(keys, file, error);
    if (status == TW_OK && n_tenants > 0) {
        memcpy(tenants, keys->tenants, n_tenants * sizeof *tenants);
    }
    for (unsigned i = 0; status == TW_OK && i < file->keys_count; i++) {
        status = add_key(keys, &file->keys[i], tenants, &n_tenants, &made[i], error);
    }
    if (status == TW_OK && n_tenants >= TW_LIMIT_TENANTS) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "'%.100s': more than %u tenants since the start", keys->path,
                              TW_LIMIT_TENANTS - 1);
    }
    if (status != TW_OK) {
        tw_mem_free(made);
        tw_mem_free(tenants);
        return status;
    }
    pthread_mutex_lock(&keys->lock);
    struct key *old = keys->keys;
    struct tenant *old_tenants = keys->tenants;
    keys->keys = made;
    keys->n_keys = file->keys_count;
    keys->tenants = tenants;
    keys->n_tenants = n_tenants;
    pthread_mutex_unlock(&keys->lock);
    tw_mem_free(old);
    tw_mem_free(old_tenants);
    return TW_OK;
}

static enum tw_status take_text(struct tw_api_keys *keys, const char *text, size_t text_bytes,
                                struct tw_error *error)
{
    void *file;
    enum tw_status status = tw_conf_parse(text, text_bytes, keys->path, &schema, &file, error);
    if (status == TW_OK) {
        status = take_file(keys, file, error);
        tw_conf_free(&schema, file);
    }
    return status;
}

enum tw_status tw_api_keys_reload(struct tw_api_keys *keys, struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(keys->path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status == TW_OK) {
        status = take_text(keys, text.data, text.size_bytes, error);
        tw_buf_free(&text);
    }
    return status;
}

static struct tw_api_keys *make(const char *path)
{
    struct tw_api_keys *keys = tw_mem_zalloc(1, sizeof *keys);
    if (keys == NULL) {
        return NULL;
    }
    pthread_mutex_init(&keys->lock, NULL);
    keys->seed = tw_rng_system_seed();
    keys->path = tw_mem_strndup(path, strlen(path));
    if (keys->path == NULL) {
        tw_api_keys_free(keys);
        return NULL;
    }
    return keys;
}

/* Keys that hold nothing yet, and what came of filling them. */
static enum tw_status hand_over(struct tw_api_keys *keys, enum tw_status status,
                                struct tw_api_keys **ret_keys, struct tw_error *error)
{
    if (keys == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for keys");
    }
    if (status != TW_OK) {
        tw_api_keys_free(keys);
        return status;
    }
    *ret_keys = keys;
    return TW_OK;
}

enum tw_status tw_api_keys_load(const char *path, struct tw_api_keys **ret_keys,
                                struct tw_error *error)
{
    struct tw_api_keys *keys = make(path);
    enum tw_status status = keys != NULL ? tw_api_keys_reload(keys, error) : TW_ERR_MEMORY;
    return hand_over(keys, status, ret_keys, error);
}

enum tw_status tw_api_keys_parse(const char *text, size_t text_bytes, const char *name,
                                 struct tw_api_keys **ret_keys, struct tw_error *error)
{
    struct tw_api_keys *keys = make(name);
    enum tw_status status = keys != NULL ? take_text(keys, text, text_bytes, error) : TW_ERR_MEMORY;
    return hand_over(keys, status, ret_keys, error);
}

void tw_api_keys_free(struct tw_api_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    pthread_mutex_destroy(&keys->lock);
    tw_mem_free(keys->path);
    tw_mem_free(keys->keys);
    tw_mem_free(keys->tenants);
    tw_mem_free(keys);
}

bool tw_api_keys_tenant(const struct tw_api_keys *keys, size_t i, struct tw_api_tenant *ret_tenant)
{
    if (i >= keys->n_tenants) {
        return false;
    }
    *ret_tenant = keys->tenants[i].what;
    return true;
}

/* ---- checking ---- */

/* Looks at every key, so that the time does not tell which one came near. */
static bool find_key(const struct tw_api_keys *keys, const char *key,
                     struct tw_api_tenant *ret_tenant)
{
    const struct tw_secret_hash hash = tw_secret_hash_of(key, strlen(key));
    bool is_found = false;
    for (size_t i = 0; i < keys->n_keys; i++) {
        if (tw_secret_hash_equal(&hash, &keys->keys[i].hash)) {
            *ret_tenant = keys->keys[i].tenant;
            is_found = true;
        }
    }
    return is_found;
}

bool tw_api_keys_knows(struct tw_api_keys *keys, const char *key)
{
    struct tw_api_tenant tenant;
    pthread_mutex_lock(&keys->lock);
    const bool is_known = key != NULL && find_key(keys, key, &tenant);
    pthread_mutex_unlock(&keys->lock);
    return is_known;
}

/* The peer's row, or the one that it may take: of its set, the one with the fewest failures. */
static struct failures *failures_of(struct tw_api_keys *keys, uint64_t peer, int64_t now_s)
{
    struct failures *set = keys->failures[peer % PEER_SETS], *fewest = &set[0];
    for (size_t i = 0; i < PEERS_A_SET; i++) {
        if (now_s - set[i].since_s >= WINDOW_S) {
            set[i] = (struct failures){.n = 0};
        }
        if (set[i].peer == peer) {
            return &set[i];
        }
        if (set[i].n < fewest->n) {
            fewest = &set[i];
        }
    }
    return fewest;
}

/* Through a proxy on this machine everybody comes from here: one would lock out all. */
static bool is_proxy_or_here(const char *peer)
{
    return strcmp(peer, "127.0.0.1") == 0 || strcmp(peer, "::1") == 0;
}

enum tw_api_verdict tw_api_keys_check(struct tw_api_keys *keys, const char *key, const char *peer,
                                      int64_t now_s, struct tw_api_tenant *ret_tenant)
{
    enum tw_api_verdict verdict = TW_API_KEY_BAD;
    pthread_mutex_lock(&keys->lock);
    const uint64_t hash = tw_hash_of(peer, strlen(peer), keys->seed);
    struct failures *failures = failures_of(keys, hash, now_s);
    const bool is_seen = failures->peer == hash;
    if (is_seen && failures->n >= TW_LIMIT_API_FAILURES) {
        verdict = TW_API_KEY_TOO_OFTEN;
    } else if (key != NULL && find_key(keys, key, ret_tenant)) {
        verdict = TW_API_KEY_GOOD;
    } else if (key != NULL && !is_proxy_or_here(peer)) {
        if (!is_seen) {
            *failures = (struct failures){.peer = hash, .since_s = now_s};
        }
        failures->n++;
    }
    pthread_mutex_unlock(&keys->lock);
    return verdict;
}
