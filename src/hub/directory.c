#include "hub/directory.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_BUCKETS 256
#define SECRET_RANDOM 32

static const char *const KIND_NAMES[TW_HOLDER_KINDS] = {"org", "team", "project", "key"};
/* As enum tw_priority_class of the scheduler has them. */
static const char *const CLASS_NAMES[TW_HOLDER_CLASSES] = {"normal", "high", "idle"};
static const char *const ROLE_NAMES[TW_ROLES] = {"owner", "finance", "auditor", "operator",
                                                 "member"};

const char *tw_holder_kind_name(enum tw_holder_kind kind)
{
    return KIND_NAMES[kind];
}

const char *tw_holder_class_name(int64_t priority_class)
{
    return CLASS_NAMES[priority_class];
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

/* A window that was not used any more, or a new one. */
static struct tw_hub_window *new_window(struct tw_directory *directory,
                                        struct tw_hub_budget *budget)
{
    struct tw_hub_window *window = directory->free_windows;
    if (window != NULL) {
        directory->free_windows = window->next;
        *window = (struct tw_hub_window){0};
    } else {
        window = tw_arena_alloc(&directory->arena, 1, sizeof *window);
    }
    if (window != NULL) {
        window->budget = budget;
    }
    return window;
}

static void recycle_windows(struct tw_directory *directory, struct tw_hub_budget *budget)
{
    while (budget->windows != NULL) {
        struct tw_hub_window *window = budget->windows;
        budget->windows = window->next;
        window->next = directory->free_windows;
        directory->free_windows = window;
    }
}

/* ---- loading ---- */

struct load {
    struct tw_directory *directory;
    struct tw_db *db;
    const struct tw_directory_plant *plant;
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

/* May be long and changed often, and nobody has it without the lock: it is written over. */
static bool take_models(const struct load *load, struct tw_holder *holder, const char *now)
{
    const size_t n_bytes = strlen(now) + 1;
    if (n_bytes > holder->models_room_bytes) {
        char *room = tw_arena_alloc(&load->directory->arena, 2 * n_bytes, 1);
        if (room == NULL) {
            return false;
        }
        holder->models = room;
        holder->models_room_bytes = 2 * n_bytes;
    }
    memcpy(holder->models, now, n_bytes);
    holder->settings.models = holder->models;
    return true;
}

static enum tw_status take_holder(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    const int kind = index_of(KIND_NAMES, TW_HOLDER_KINDS, tw_db_column_text(row, 1));
    struct tw_holder *parent = tw_directory_holder(load->directory, tw_db_column_integer(row, 2));
    struct tw_holder *holder = tw_directory_holder(load->directory, id);
    const int priority_class = index_of(CLASS_NAMES, TW_HOLDER_CLASSES, tw_db_column_text(row, 7));
    if (kind == TW_HOLDER_KINDS || priority_class == TW_HOLDER_CLASSES ||
        (parent == NULL) != (kind == TW_HOLDER_ORG) ||
        (parent != NULL && (int)parent->kind != kind - 1)) {
        return bad_row(load, "holder", id);
    }
    if (holder == NULL) { /* what never changes is written once: others read it without the lock */
        holder = add(load->directory, &load->directory->holders, id, sizeof *holder);
        if (holder == NULL) {
            return no_memory(load);
        }
        holder->kind = (enum tw_holder_kind)kind;
        holder->parent = parent;
        holder->created_ns = tw_db_column_integer(row, 4);
        holder->new_subjects.most = TW_LIMIT_SUBJECT_NEW_KEYS;
    }
    if (!take_text(load, &holder->name, tw_db_column_text(row, 3))) {
        return no_memory(load);
    }
    struct tw_holder_settings *settings = &holder->settings;
    settings->weight = tw_db_column_integer(row, 6);
    settings->priority_class = priority_class;
    settings->max_context_tokens = tw_db_column_integer(row, 9);
    settings->default_answer_tokens = tw_db_column_integer(row, 10);
    for (int i = 0; i < TW_RATE_KINDS; i++) {
        settings->rates.limit[i] = tw_db_column_integer(row, 11 + i);
    }
    settings->may_use_special = tw_db_column_integer(row, 14) != 0;
    settings->stores_content = tw_db_column_integer(row, 15) != 0;
    settings->keep_content_ns = tw_db_column_integer(row, 16);
    if (tw_db_column_is_null(row, 8)) {
        settings->models = NULL;
    } else if (!take_models(load, holder, tw_db_column_text(row, 8))) {
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
    while (person->grants != NULL) { /* they come next */
        struct tw_grant *grant = person->grants;
        person->grants = grant->next;
        grant->next = load->directory->free_grants;
        load->directory->free_grants = grant;
    }
    person->is_open = tw_db_column_is_null(row, 4);
    return TW_OK;
}

static enum tw_status take_role(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_person *person = tw_directory_person(load->directory, id);
    const int role = index_of(ROLE_NAMES, TW_ROLES, tw_db_column_text(row, 1));
    const int64_t scope = tw_db_column_integer(row, 2);
    struct tw_grant *grant = load->directory->free_grants;
    if (grant != NULL) {
        load->directory->free_grants = grant->next;
    } else {
        grant = tw_arena_alloc(&load->directory->arena, 1, sizeof *grant);
    }
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
    if (is_new) { /* as above */
        memcpy(secret->hash, hash, sizeof secret->hash);
        secret->key = tw_directory_holder(directory, tw_db_column_integer(row, 1));
        secret->person = tw_directory_person(directory, tw_db_column_integer(row, 2));
        secret->created_ns = tw_db_column_integer(row, 5);
    }
    if (!take_text(load, &secret->shown, tw_db_column_text(row, 3))) {
        return no_memory(load);
    }
    secret->expires_ns = tw_db_column_integer(row, 6);
    secret->is_open = tw_db_column_is_null(row, 7);
    if (is_new) {
        put_in_bucket(directory, secret);
    }
    return TW_OK;
}

static enum tw_status take_price(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_price price = {.version = id,
                             .project = tw_db_column_integer(row, 1),
                             .model = tw_db_column_text(row, 2),
                             .prices = {.input_nano = tw_db_column_integer(row, 4),
                                        .cached_nano = tw_db_column_integer(row, 5),
                                        .output_nano = tw_db_column_integer(row, 6)},
                             .valid_from_ns = tw_db_column_integer(row, 7)};
    if (!tw_price_class_parse(tw_db_column_text(row, 3), &price.price_class)) {
        return bad_row(load, "price", id);
    }
    return tw_price_of_version(&load->directory->prices, id) != NULL
               ? TW_OK
               : tw_price_table_add(&load->directory->prices, &price, load->error);
}

static enum tw_status take_budget(const struct load *load, struct tw_db_statement *row)
{
    struct tw_directory *directory = load->directory;
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_hub_budget *budget = tw_directory_budget(directory, id);
    struct tw_holder *holder = tw_directory_holder(directory, tw_db_column_integer(row, 1));
    enum tw_spending_unit unit;
    if (holder == NULL) {
        return bad_row(load, "budget", id);
    }
    if (budget == NULL) {
        budget = add(directory, &directory->budgets, id, sizeof *budget);
        if (budget == NULL) {
            return no_memory(load);
        }
        budget->holder = holder;
        budget->next = holder->budgets;
        holder->budgets = budget;
    }
    if (!take_text(load, &budget->name, tw_db_column_text(row, 2))) {
        return no_memory(load);
    }
    if (!tw_period_kind_parse(tw_db_column_text(row, 6), &budget->period) ||
        !tw_spending_unit_parse(tw_db_column_text(row, 3), &unit)) {
        return bad_row(load, "budget", id);
    }
    budget->facts = (struct tw_spending_budget){.unit = unit,
                                                .limit = tw_db_column_integer(row, 4),
                                                .is_hard = tw_db_column_integer(row, 5) != 0,
                                                .rolls_over = tw_db_column_integer(row, 8) != 0};
    budget->since_entry = tw_db_column_integer(row, 9);
    budget->is_open = tw_db_column_is_null(row, 10);
    budget->until_entry = budget->is_open ? INT64_MAX : tw_db_column_integer(row, 10);
    return budget->zone != NULL ? TW_OK
                                : tw_zone_open(directory->zone_folder, tw_db_column_text(row, 7),
                                               &budget->zone, load->error);
}

static enum tw_status take_window(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    struct tw_hub_budget *budget = tw_directory_budget(load->directory, id);
    if (budget == NULL) {
        return bad_row(load, "budget_window", id);
    }
    struct tw_hub_window *window = new_window(load->directory, budget);
    if (window == NULL) {
        return no_memory(load);
    }
    window->starts_s = tw_db_column_integer(row, 1);
    window->ends_s = tw_db_column_integer(row, 2);
    window->sums = (struct tw_spending_window){.carried = tw_db_column_integer(row, 3),
                                               .spent = tw_db_column_integer(row, 4),
                                               .reserved = tw_db_column_integer(row, 5)};
    window->was_crossed = tw_db_column_integer(row, 6) != 0;
    window->is_stored = true;
    window->next = budget->windows;
    budget->windows = window;
    return TW_OK;
}

static enum tw_status take_account(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    const char *kind = tw_db_column_text(row, 1);
    struct tw_holder *project = tw_directory_holder(load->directory, tw_db_column_integer(row, 2));
    struct tw_hub_account *account = strcmp(kind, "obligations") == 0 ? load->plant->obligations
                                     : strcmp(kind, "revenue") == 0   ? load->plant->revenue
                                     : project == NULL                ? NULL
                                     : strcmp(kind, "held") == 0      ? &project->held
                                                                      : &project->usage;
    if (account == NULL) {
        return bad_row(load, "account", id);
    }
    *account = (struct tw_hub_account){.id = id,
                                       .debit_nano = tw_db_column_integer(row, 3),
                                       .credit_nano = tw_db_column_integer(row, 4),
                                       .debit_tokens = tw_db_column_integer(row, 5),
                                       .credit_tokens = tw_db_column_integer(row, 6)};
    return TW_OK;
}

#define WINDOWS                                                                                    \
    "SELECT budget, starts_s, ends_s, carried, spent, reserved, was_crossed FROM budget_window w"
static const char EVERY_WINDOW[] = WINDOWS " ORDER BY budget, starts_s";
/* The last of each budget, and those that open requests were reserved in. */
static const char LATE_WINDOWS[] =
    WINDOWS " WHERE starts_s = (SELECT MAX(x.starts_s) FROM budget_window x"
            " WHERE x.budget = w.budget) OR ends_s > (SELECT"
            " COALESCE(MIN(reserved_ns), 9223372036854775807) / 1000000000 FROM reservation)"
            " ORDER BY budget, starts_s";

enum tw_status tw_directory_load(struct tw_directory *directory, struct tw_db *db,
                                 const struct tw_directory_plant *plant, struct tw_error *error)
{
    static const struct {
        const char *sql;
        row_fn take;
    } tables[] = {
        {"SELECT id, kind, parent, name, created_ns, closed_ns, weight, class, models,"
         " max_context_tokens, default_answer_tokens, requests_per_minute, tokens_per_minute,"
         " concurrent_requests, may_use_special, stores_content, keep_content_ns FROM holder"
         " ORDER BY id",
         take_holder},
        {"SELECT id, org, name, created_ns, closed_ns FROM person ORDER BY id", take_person},
        {"SELECT person, role, scope FROM person_role ORDER BY person, role, scope", take_role},
        {"SELECT id, holder, person, shown, hash, created_ns, expires_ns, revoked_ns FROM secret"
         " ORDER BY id",
         take_secret},
        {"SELECT id, project, model, class, input_nano, cached_nano, output_nano, valid_from_ns"
         " FROM price ORDER BY id",
         take_price},
        {"SELECT id, holder, name, unit, limit_value, is_hard, period, zone, rolls_over,"
         " since_entry, until_entry FROM budget ORDER BY id",
         take_budget},
        {NULL, take_window},
        {"SELECT id, kind, project, debit_nano, credit_nano, debit_tokens, credit_tokens"
         " FROM account ORDER BY id",
         take_account},
    };
    const struct load load = {directory, db, plant, error};
    enum tw_status status = TW_OK;
    pthread_rwlock_wrlock(&directory->lock);
    directory->dirty = NULL;
    for (size_t i = 0; i < directory->budgets.n; i++) {
        recycle_windows(directory, directory->budgets.at[i]);
    }
    for (size_t i = 0; status == TW_OK && i < sizeof tables / sizeof *tables; i++) {
        const char *sql = tables[i].sql != NULL        ? tables[i].sql
                          : directory->has_all_windows ? EVERY_WINDOW
                                                       : LATE_WINDOWS;
        status = each_row(&load, sql, tables[i].take);
    }
    pthread_rwlock_unlock(&directory->lock);
    return status;
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
    secret->is_open = false;
}

static void forget_budget(struct tw_directory *directory, struct tw_hub_budget *budget)
{
    struct tw_hub_budget **at = &budget->holder->budgets;
    while (*at != budget) {
        at = &(*at)->next;
    }
    *at = budget->next;
    budget->is_open = false;
    recycle_windows(directory, budget);
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
        holder->is_open = false;
    }
    tw_price_table_forget(&directory->prices, first_id);
    pthread_rwlock_unlock(&directory->lock);
}

/* ---- windows ---- */

void tw_directory_touch(struct tw_directory *directory, struct tw_hub_window *window)
{
    if (!window->is_dirty) {
        window->is_dirty = true;
        window->next_dirty = directory->dirty;
        directory->dirty = window;
    }
}

/* What the window before leaves, over those in which nothing happened. */
static int64_t carried_into(const struct tw_hub_budget *budget, struct tw_period period)
{
    const struct tw_hub_window *last = budget->windows;
    if (last == NULL || !budget->facts.rolls_over) {
        return 0;
    }
    const int64_t n_empty = tw_period_between(budget->period, budget->zone,
                                              (struct tw_period){last->starts_s, last->ends_s},
                                              period, TW_LIMIT_HUB_CARRY + 1);
    return tw_spending_carry(&budget->facts, &last->sums, n_empty);
}

struct tw_hub_window *tw_directory_window(struct tw_directory *directory,
                                          struct tw_hub_budget *budget, int64_t at_ns)
{
    const int64_t at_s = at_ns / TW_DIRECTORY_SECOND_NS;
    struct tw_hub_window *window = budget->windows;
    while (window != NULL && at_s < window->starts_s) {
        window = window->next;
    }
    if (window != NULL && at_s < window->ends_s) {
        return window;
    }
    const struct tw_period period = tw_period_at(budget->period, budget->zone, at_s);
    window = new_window(directory, budget);
    if (window != NULL) {
        window->starts_s = period.starts_s;
        window->ends_s = period.ends_s;
        window->sums.carried = carried_into(budget, period);
        window->next = budget->windows;
        budget->windows = window;
        tw_directory_touch(directory, window);
    }
    return window;
}

/* ---- the whole ---- */

enum tw_status tw_directory_init(struct tw_directory *directory, struct tw_error *error)
{
    *directory = (struct tw_directory){.n_buckets = FIRST_BUCKETS};
    tw_price_table_init(&directory->prices);
    pthread_rwlock_init(&directory->lock, NULL);
    tw_arena_init(&directory->arena, TW_LIMIT_HUB_DIRECTORY_BYTES);
    directory->buckets = tw_mem_zalloc(directory->n_buckets, sizeof *directory->buckets);
    directory->pepper = tw_secret_alloc(TW_DIRECTORY_HASH_BYTES);
    if (directory->buckets == NULL || directory->pepper == NULL) {
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
    tw_arena_clear(&directory->arena);
    tw_secret_free(directory->pepper);
    pthread_rwlock_destroy(&directory->lock);
}
