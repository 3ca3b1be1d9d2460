#include "api/api_keys.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/api_guesses.h"
#include "base/buf.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/secret.h"

#define TENANT_BYTES 64

struct key_row {
    char *tenant, *hash;
    uint32_t *weight; /* NULL: 1 */
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

struct tw_api_keys {
    char *path;
    struct tw_api_guesses guesses;
    pthread_mutex_t lock; /* of what follows */
    struct key *keys;
    size_t n_keys;
    struct tenant *tenants; /* [n_tenants], tenant i has the number i + 1 */
    size_t n_tenants;
};

/* ---- the file ---- */

static const cyaml_strval_t class_names[] = {
    {"normal", TW_CLASS_NORMAL}, {"high", TW_CLASS_HIGH}, {"idle", TW_CLASS_IDLE}};

static const cyaml_schema_field_t key_fields[] = {
    CYAML_FIELD_STRING_PTR("tenant", CYAML_FLAG_POINTER, struct key_row, tenant, 1,
                           TENANT_BYTES - 1),
    CYAML_FIELD_STRING_PTR("hash", CYAML_FLAG_POINTER, struct key_row, hash, 1,
                           TW_LIMIT_CONF_STRING_BYTES),
    CYAML_FIELD_UINT_PTR("weight", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct key_row,
                         weight),
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

/* The file and where it came from. */
struct source {
    const char *text;
    size_t text_bytes;
    const char *path;
    const struct key_file *file;
};

static enum tw_status check_weight(const struct source *source, unsigned i, struct tw_error *error)
{
    const struct key_row *row = &source->file->keys[i];
    char place_path[48], where[64] = "";
    struct tw_conf_place place;
    if (row->weight == NULL || (*row->weight >= 1 && *row->weight <= TW_LIMIT_TENANT_WEIGHT)) {
        return TW_OK;
    }
    snprintf(place_path, sizeof place_path, "keys.%u.weight", i);
    if (tw_conf_find(source->text, source->text_bytes, place_path, &place)) {
        snprintf(where, sizeof where, " (line: %zu, column: %zu)", place.line, place.column);
    }
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.100s': the weight of '%.60s' is %u; it must be from 1 to %u%s",
                        source->path, row->tenant, *row->weight, TW_LIMIT_TENANT_WEIGHT, where);
}

static uint32_t weight_of(const struct key_row *row)
{
    return row->weight != NULL ? *row->weight : 1;
}

static enum tw_status add_key(const struct source *source, unsigned i, struct tenant *tenants,
                              size_t *n_tenants, struct key *ret_key, struct tw_error *error)
{
    const struct key_row *row = &source->file->keys[i];
    enum tw_status status = check_weight(source, i, error);
    if (status != TW_OK) {
        return status;
    }
    if (!tw_secret_hash_parse(row->hash, &ret_key->hash)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.100s': a hash of '%.60s' is not the 64 hexadecimal digits of a "
                            "SHA-256; printf %%s KEY | sha256sum prints them",
                            source->path, row->tenant);
    }
    struct tenant *tenant = find_tenant(tenants, n_tenants, row->tenant);
    tenant->what.weight = weight_of(row);
    tenant->what.priority_class = row->priority_class;
    ret_key->tenant = tenant->what;
    ret_key->tenant.may_use_special = row->special;
    return TW_OK;
}

/* Two rows of one tenant that contradict each other, or one hash of two rows. */
static enum tw_status check_rows(const struct source *source, const struct key *made,
                                 struct tw_error *error)
{
    for (unsigned i = 0; i < source->file->keys_count; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct key_row *a = &source->file->keys[i], *b = &source->file->keys[k];
            const bool is_one_tenant = made[i].tenant.number == made[k].tenant.number;
            if (is_one_tenant &&
                (weight_of(a) != weight_of(b) || a->priority_class != b->priority_class)) {
                return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                    "'%.100s': two keys of '%.60s' have another weight or class; "
                                    "they belong to the tenant, so they must agree",
                                    source->path, a->tenant);
            }
            if (memcmp(made[i].hash.bytes, made[k].hash.bytes, sizeof made[i].hash.bytes) == 0) {
                return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                    "'%.100s': '%.60s' and '%.60s' have the same key", source->path,
                                    b->tenant, a->tenant);
            }
        }
    }
    return TW_OK;
}

/* What a file makes of the keys there are. */
struct change {
    struct key *keys; /* one a row of the file */
    size_t n_keys;
    struct tenant *tenants;
    size_t n_tenants;
};

static void free_change(struct change *change)
{
    tw_mem_free(change->keys);
    tw_mem_free(change->tenants);
}

static enum tw_status make_change(const struct tw_api_keys *keys, const struct source *source,
                                  struct change *change, struct tw_error *error)
{
    const unsigned n_rows = source->file->keys_count;
    enum tw_status status = TW_OK;
    *change =
        (struct change){.keys = tw_mem_zalloc(n_rows, sizeof *change->keys),
                        .tenants = tw_mem_zalloc(keys->n_tenants + n_rows, sizeof *change->tenants),
                        .n_keys = n_rows,
                        .n_tenants = keys->n_tenants};
    if (change->keys == NULL || change->tenants == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u keys", n_rows);
    }
    if (keys->n_tenants > 0) {
        memcpy(change->tenants, keys->tenants, keys->n_tenants * sizeof *change->tenants);
    }
    for (unsigned i = 0; status == TW_OK && i < n_rows; i++) {
        status = add_key(source, i, change->tenants, &change->n_tenants, &change->keys[i], error);
    }
    if (status == TW_OK) {
        status = check_rows(source, change->keys, error);
    }
    if (status == TW_OK && change->n_tenants >= TW_LIMIT_TENANTS) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "'%.100s': more than %u tenants since the start", source->path,
                              TW_LIMIT_TENANTS - 1);
    }
    return status;
}

static void swap_in(struct tw_api_keys *keys, struct change *change)
{
    pthread_mutex_lock(&keys->lock);
    const struct change old = {.keys = keys->keys,
                               .n_keys = keys->n_keys,
                               .tenants = keys->tenants,
                               .n_tenants = keys->n_tenants};
    keys->keys = change->keys;
    keys->n_keys = change->n_keys;
    keys->tenants = change->tenants;
    keys->n_tenants = change->n_tenants;
    pthread_mutex_unlock(&keys->lock);
    *change = old;
}

/* ---- who has to know ---- */

struct listener {
    tw_api_tenant_fn announce; /* NULL: nobody */
    void *context;
};

static bool is_same(const struct tw_api_tenant *a, const struct tw_api_tenant *b)
{
    return a->weight == b->weight && a->priority_class == b->priority_class;
}

/* Those that are new or have changed: each may take as long as a step. On an error those that were
 * told otherwise already are told again what they were. */
static enum tw_status announce_change(const struct tw_api_keys *keys, const struct change *change,
                                      const struct listener *to, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    size_t n = 0;
    for (; status == TW_OK && n < change->n_tenants; n++) {
        const struct tw_api_tenant *what = &change->tenants[n].what;
        if (n >= keys->n_tenants || !is_same(what, &keys->tenants[n].what)) {
            status = to->announce(to->context, what, error);
        }
    }
    for (size_t i = 0; status != TW_OK && i < n && i < keys->n_tenants; i++) {
        if (!is_same(&change->tenants[i].what, &keys->tenants[i].what)) {
            to->announce(to->context, &keys->tenants[i].what, NULL);
        }
    }
    return status;
}

static enum tw_status take_text(struct tw_api_keys *keys, const char *text, size_t text_bytes,
                                const struct listener *to, struct tw_error *error)
{
    void *file;
    struct change change;
    enum tw_status status = tw_conf_parse(text, text_bytes, keys->path, &schema, &file, error);
    if (status != TW_OK) {
        return status;
    }
    const struct source source = {text, text_bytes, keys->path, file};
    status = make_change(keys, &source, &change, error);
    if (status == TW_OK && to->announce != NULL) {
        status = announce_change(keys, &change, to, error);
    }
    if (status == TW_OK) {
        swap_in(keys, &change);
    }
    free_change(&change);
    tw_conf_free(&schema, file);
    return status;
}

enum tw_status tw_api_keys_reload(struct tw_api_keys *keys, tw_api_tenant_fn announce,
                                  void *context, struct tw_error *error)
{
    const struct listener to = {announce, context};
    struct tw_buf text;
    enum tw_status status = tw_file_read(keys->path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status == TW_OK) {
        status = take_text(keys, text.data, text.size_bytes, &to, error);
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
    tw_api_guesses_init(&keys->guesses);
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
    enum tw_status status =
        keys != NULL ? tw_api_keys_reload(keys, NULL, NULL, error) : TW_ERR_MEMORY;
    return hand_over(keys, status, ret_keys, error);
}

enum tw_status tw_api_keys_parse(const char *text, size_t text_bytes, const char *name,
                                 struct tw_api_keys **ret_keys, struct tw_error *error)
{
    struct tw_api_keys *keys = make(name);
    const struct listener nobody = {NULL, NULL};
    enum tw_status status =
        keys != NULL ? take_text(keys, text, text_bytes, &nobody, error) : TW_ERR_MEMORY;
    return hand_over(keys, status, ret_keys, error);
}

void tw_api_keys_free(struct tw_api_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    pthread_mutex_destroy(&keys->lock);
    tw_api_guesses_free(&keys->guesses);
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

bool tw_api_keys_key(const struct tw_api_keys *keys, size_t i, struct tw_secret_hash *ret_hash,
                     const char **ret_tenant, struct tw_api_tenant *ret_what)
{
    if (i >= keys->n_keys) {
        return false;
    }
    *ret_hash = keys->keys[i].hash;
    *ret_what = keys->keys[i].tenant;
    *ret_tenant = keys->tenants[ret_what->number - 1].name;
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

enum tw_api_verdict tw_api_keys_check(struct tw_api_keys *keys, const char *key, const char *peer,
                                      int64_t now_s, struct tw_api_tenant *ret_tenant)
{
    if (!tw_api_guesses_allow(&keys->guesses, peer, now_s)) {
        return TW_API_KEY_TOO_OFTEN;
    }
    pthread_mutex_lock(&keys->lock);
    const bool is_good = key != NULL && find_key(keys, key, ret_tenant);
    pthread_mutex_unlock(&keys->lock);
    if (!is_good && key != NULL) {
        tw_api_guesses_count(&keys->guesses, peer, now_s);
    }
    return is_good ? TW_API_KEY_GOOD : TW_API_KEY_BAD;
}
