/* What the directory has of the tables. */
#include <stdio.h>
#include <string.h>

#include "hub/directory_state.h"

#define SQL_BYTES 512

/* ---- rows ---- */

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

static enum tw_status each_row(const struct load *load, const char *sql,
                               const struct tw_db_value *values, size_t n_values, row_fn take)
{
    struct tw_db_statement *statement = NULL;
    bool has_row = true;
    enum tw_status status = tw_db_prepare(load->db, sql, &statement, load->error);
    if (status == TW_OK) {
        status = tw_db_query(statement, values, n_values, load->error);
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
    if (*text != NULL && strcmp(*text, now) == 0) {
        return true;
    }
    const char *copy = tw_arena_strndup(&load->directory->arena, now, strlen(now));
    *text = copy != NULL ? copy : *text;
    return copy != NULL;
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

static void note_changed(struct tw_directory *directory, struct tw_holder *holder)
{
    if (!holder->is_changed) {
        holder->is_changed = true;
        holder->next_changed = directory->changed;
        directory->changed = holder;
    }
}

/* In the place where it is found by its name. */
static bool take_name(const struct load *load, struct tw_holder *holder, const char *now)
{
    const bool is_new = holder->name == NULL;
    if (!is_new && strcmp(holder->name, now) == 0) {
        return true;
    }
    const char *text = tw_arena_strndup(&load->directory->arena, now, strlen(now));
    if (text == NULL) {
        return false;
    }
    if (!is_new) {
        tw_directory_unlink_name(load->directory, holder);
    }
    holder->name = text;
    tw_directory_link_name(load->directory, holder);
    return true;
}

static enum tw_status take_holder(const struct load *load, struct tw_db_statement *row)
{
    const int64_t id = tw_db_column_integer(row, 0);
    const int kind = index_of(tw_directory_kind_names, TW_HOLDER_KINDS, tw_db_column_text(row, 1));
    struct tw_holder *parent = tw_directory_holder(load->directory, tw_db_column_integer(row, 2));
    struct tw_holder *holder = tw_directory_holder(load->directory, id);
    const int priority_class =
        index_of(tw_directory_class_names, TW_HOLDER_CLASSES, tw_db_column_text(row, 7));
    if (kind == TW_HOLDER_KINDS || priority_class == TW_HOLDER_CLASSES ||
        (parent == NULL) != (kind == TW_HOLDER_ORG) ||
        (parent != NULL && (int)parent->kind != kind - 1)) {
        return bad_row(load, "holder", id);
    }
    if (holder == NULL) { /* what never changes is written once: others read it without the lock */
        holder = tw_directory_add_holder(load->directory, id);
        if (holder == NULL) {
            return no_memory(load);
        }
        holder->kind = (enum tw_holder_kind)kind;
        holder->parent = parent;
        holder->created_ns = tw_db_column_integer(row, 4);
        holder->new_subjects.most = TW_LIMIT_SUBJECT_NEW_KEYS;
    }
    if (!take_name(load, holder, tw_db_column_text(row, 3))) {
        return no_memory(load);
    }
    note_changed(load->directory, holder);
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
        person = tw_directory_add_person(load->directory, id);
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
    const int role = index_of(tw_directory_role_names, TW_ROLES, tw_db_column_text(row, 1));
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
    struct tw_secret *secret = tw_directory_find(&directory->secrets, id);
    const bool is_new = secret == NULL;
    if (hash_bytes != sizeof secret->hash) {
        return bad_row(load, "secret", id);
    }
    if (is_new) {
        secret = tw_directory_add_secret(directory, id);
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
        tw_directory_link_secret(directory, secret);
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
        budget = tw_directory_add_budget(directory, id);
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
    struct tw_hub_window *window =
        tw_directory_add_window(load->directory, budget, tw_db_column_integer(row, 1));
    if (window == NULL) {
        return no_memory(load);
    }
    tw_directory_fill_window(window, row, 1);
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

/* ---- tables ---- */

/* The rows of one kind: all of them, or those that changed since. */
#define CHANGED(id, item)                                                                          \
    " WHERE " id " IN (SELECT id FROM directory_change WHERE number >= ? AND item = " item ")"

static const struct {
    const char *all, *changed, *order;
    row_fn take;
} TABLES[] = {
    {"SELECT id, kind, parent, name, created_ns, closed_ns, weight, class, models,"
     " max_context_tokens, default_answer_tokens, requests_per_minute, tokens_per_minute,"
     " concurrent_requests, may_use_special, stores_content, keep_content_ns FROM holder",
     CHANGED("id", "0"), " ORDER BY id", take_holder},
    {"SELECT id, org, name, created_ns, closed_ns FROM person", CHANGED("id", "1"), " ORDER BY id",
     take_person},
    {"SELECT person, role, scope FROM person_role", CHANGED("person", "1"),
     " ORDER BY person, role, scope", take_role},
    {"SELECT id, holder, person, shown, hash, created_ns, expires_ns, revoked_ns FROM secret",
     CHANGED("id", "2"), " ORDER BY id", take_secret},
    {"SELECT id, project, model, class, input_nano, cached_nano, output_nano, valid_from_ns"
     " FROM price",
     CHANGED("id", "3"), " ORDER BY id", take_price},
    {"SELECT id, holder, name, unit, limit_value, is_hard, period, zone, rolls_over,"
     " since_entry, until_entry FROM budget",
     CHANGED("id", "4"), " ORDER BY id", take_budget},
};

enum tw_status tw_directory_update(struct tw_directory *directory, struct tw_db *db,
                                   int64_t next_change, struct tw_error *error)
{
    const struct load load = {directory, db, NULL, error};
    const int64_t seen = directory->seen_change;
    const struct tw_db_value first = tw_db_integer(seen);
    const bool is_whole =
        seen == 0 || next_change < seen || next_change - seen > TW_LIMIT_HUB_CHANGES;
    enum tw_status status = TW_OK;
    if (next_change == seen) {
        return TW_OK;
    }
    pthread_rwlock_wrlock(&directory->lock);
    for (size_t i = 0; status == TW_OK && i < sizeof TABLES / sizeof *TABLES; i++) {
        char sql[SQL_BYTES];
        snprintf(sql, sizeof sql, "%s%s%s", TABLES[i].all, is_whole ? "" : TABLES[i].changed,
                 TABLES[i].order);
        status = each_row(&load, sql, &first, is_whole ? 0 : 1, TABLES[i].take);
    }
    pthread_rwlock_unlock(&directory->lock);
    if (status == TW_OK) {
        directory->seen_change = next_change;
    }
    return status;
}

enum tw_status tw_directory_load_sums(struct tw_directory *directory, struct tw_db *db,
                                      const struct tw_directory_plant *plant,
                                      struct tw_error *error)
{
    const struct load load = {directory, db, plant, error};
    enum tw_status status = each_row(
        &load,
        "SELECT budget, starts_s, ends_s, carried, spent, reserved, was_crossed FROM budget_window"
        " ORDER BY budget, starts_s",
        NULL, 0, take_window);
    return status == TW_OK ? each_row(&load,
                                      "SELECT id, kind, project, debit_nano, credit_nano,"
                                      " debit_tokens, credit_tokens FROM account ORDER BY id",
                                      NULL, 0, take_account)
                           : status;
}
