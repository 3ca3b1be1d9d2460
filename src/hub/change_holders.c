/* Organisations, teams and projects: made, shown, changed and closed; settings of all holders. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "hub/change.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define DAY_S         86400
#define PATH_BYTES    (TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1))
#define MODELS_BYTES  (TW_LIMIT_HUB_LIST_NAMES * (TW_LIMIT_HUB_TEXT_BYTES + 1))

/* A kind's name is its group's. */
static enum tw_holder_kind kind_of(const struct tw_hub_change *change)
{
    enum tw_holder_kind kind = TW_HOLDER_ORG;
    while (strcmp(change->verb->group, tw_holder_kind_name(kind)) != 0) {
        kind++;
    }
    return kind;
}

/* ---- settings ---- */

struct settings {
    struct tw_holder_settings now;
    char models[MODELS_BYTES];
};

static bool is_given(const struct tw_hub_change *change, const char *name)
{
    return tw_commands_field(change->verb, name) != NULL && tw_change_value(change, name)->is_set;
}

static void take_integer(const struct tw_hub_change *change, const char *name, int64_t *place)
{
    if (is_given(change, name)) {
        *place = tw_change_value(change, name)->integer;
    }
}

/* A name a line; '*' among them, or no name at all, means all. */
static void take_models(const struct tw_hub_change *change, struct settings *settings)
{
    if (!is_given(change, "models")) {
        return;
    }
    const json_t *list = tw_change_value(change, "models")->list;
    size_t used = 0;
    settings->now.models = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (strcmp(name, "*") == 0) {
            settings->now.models = NULL;
            return;
        }
        used += (size_t)snprintf(settings->models + used, sizeof settings->models - used, "%s%s",
                                 i > 0 ? "\n" : "", name);
        settings->now.models = settings->models;
    }
}

static void take_settings(const struct tw_hub_change *change, const struct tw_holder *holder,
                          struct settings *ret_settings)
{
    struct tw_holder_settings *now = &ret_settings->now;
    int64_t special = holder != NULL && holder->settings.may_use_special;
    int64_t stores = holder != NULL && holder->settings.stores_content;
    *now = holder != NULL ? holder->settings : (struct tw_holder_settings){.weight = 1};
    take_integer(change, "weight", &now->weight);
    take_integer(change, "class", &now->priority_class);
    take_integer(change, "max_context", &now->max_context_tokens);
    take_integer(change, "default_tokens", &now->default_answer_tokens);
    take_integer(change, "rpm", &now->rates.limit[TW_RATE_REQUESTS]);
    take_integer(change, "tpm", &now->rates.limit[TW_RATE_TOKENS]);
    take_integer(change, "concurrent", &now->rates.limit[TW_RATE_CONCURRENT]);
    take_integer(change, "special", &special);
    take_integer(change, "store_content", &stores);
    take_integer(change, "keep_content", &now->keep_content_ns);
    now->may_use_special = special != 0;
    now->stores_content = stores != 0;
    take_models(change, ret_settings);
}

static void note_number(struct tw_hub_change *change, const char *name, bool is_new, int64_t before,
                        int64_t after)
{
    if (before != after) {
        tw_change_note(change, name, is_new ? tw_audit_text(NULL) : tw_audit_integer(before),
                       tw_audit_integer(after));
    }
}

/* What differs; of something new: from what it has where nothing is said. */
static void note_settings(struct tw_hub_change *change, const struct tw_holder *holder,
                          const struct tw_holder_settings *after)
{
    static const struct tw_holder_settings nothing = {.weight = 1};
    const struct tw_holder_settings *before = holder != NULL ? &holder->settings : &nothing;
    const bool is_new = holder == NULL;
    if (before->priority_class != after->priority_class) {
        tw_change_note_text(change, "class",
                            is_new ? NULL : tw_holder_class_name(before->priority_class),
                            tw_holder_class_name(after->priority_class));
    }
    note_number(change, "concurrent", is_new, before->rates.limit[TW_RATE_CONCURRENT],
                after->rates.limit[TW_RATE_CONCURRENT]);
    note_number(change, "default_tokens", is_new, before->default_answer_tokens,
                after->default_answer_tokens);
    note_number(change, "keep_content_s", is_new, before->keep_content_ns / TW_SECOND_NS,
                after->keep_content_ns / TW_SECOND_NS);
    note_number(change, "max_context", is_new, before->max_context_tokens,
                after->max_context_tokens);
    tw_change_note_text(change, "models", before->models, after->models);
    note_number(change, "rpm", is_new, before->rates.limit[TW_RATE_REQUESTS],
                after->rates.limit[TW_RATE_REQUESTS]);
    note_number(change, "special", is_new, before->may_use_special, after->may_use_special);
    note_number(change, "store_content", is_new, before->stores_content, after->stores_content);
    note_number(change, "tpm", is_new, before->rates.limit[TW_RATE_TOKENS],
                after->rates.limit[TW_RATE_TOKENS]);
    note_number(change, "weight", is_new, before->weight, after->weight);
}

static json_t *models_list(const char *models)
{
    json_t *list = json_array();
    for (const char *at = models; list != NULL && at != NULL && *at != '\0';) {
        const size_t n = strcspn(at, "\n");
        json_array_append_new(list, json_stringn(at, n));
        at += n + (at[n] == '\n');
    }
    return list;
}

/* Content is kept so long: "30d"; null: until it is erased. */
static json_t *kept(const struct tw_holder_settings *settings)
{
    const int64_t seconds = settings->keep_content_ns / TW_SECOND_NS;
    const bool is_days = seconds % DAY_S == 0;
    return seconds == 0 ? json_null()
                        : json_sprintf("%lld%s", (long long)(is_days ? seconds / DAY_S : seconds),
                                       is_days ? "d" : "s");
}

/* 0: no bound of its own, which is shown as null. */
static json_t *bound(int64_t value)
{
    return value != 0 ? json_integer(value) : json_null();
}

void tw_change_put_settings(struct tw_hub_change *change, json_t *row,
                            const struct tw_holder *holder)
{
    const struct tw_holder_settings *settings = &holder->settings;
    if (holder->kind == TW_HOLDER_PROJECT) {
        tw_change_put(change, row, "weight", json_integer(settings->weight));
        tw_change_put(change, row, "class",
                      json_string(tw_holder_class_name(settings->priority_class)));
        tw_change_put(change, row, "default_tokens", bound(settings->default_answer_tokens));
        tw_change_put(change, row, "store_content", json_boolean(settings->stores_content));
        tw_change_put(change, row, "keep_content", kept(settings));
    }
    tw_change_put(change, row, "models",
                  settings->models != NULL ? models_list(settings->models) : json_null());
    tw_change_put(change, row, "max_context", bound(settings->max_context_tokens));
    tw_change_put(change, row, "rpm", bound(settings->rates.limit[TW_RATE_REQUESTS]));
    tw_change_put(change, row, "tpm", bound(settings->rates.limit[TW_RATE_TOKENS]));
    tw_change_put(change, row, "concurrent", bound(settings->rates.limit[TW_RATE_CONCURRENT]));
}

void tw_change_warn_settings(struct tw_hub_change *change, const struct tw_holder *holder)
{
    const struct tw_field_value *models = tw_change_value(change, "models");
    for (size_t i = 0; models->is_set && i < json_array_size(models->list); i++) {
        tw_change_warn_model(change, json_string_value(json_array_get(models->list, i)));
    }
    if (is_given(change, "keep_content") && tw_change_value(change, "keep_content")->integer > 0 &&
        (holder == NULL || !holder->settings.stores_content)) {
        tw_change_warn(change, "nothing is stored of this project's requests, so there is nothing "
                               "to keep: --store-content stores them");
    }
}

/* ---- rows ---- */

/* What a policy says of a path must not become void, or hold for another, by a new name. */
static enum tw_status check_name(const struct tw_hub_change *change, const struct tw_holder *holder,
                                 const char *name, struct tw_error *error)
{
    const struct tw_hub *hub = change->hub;
    char path[PATH_BYTES], renamed[2 * PATH_BYTES];
    tw_holder_write_path(holder, path, sizeof path);
    snprintf(renamed, sizeof renamed, "%.*s%s", (int)(tw_change_last_name(path) - path), path,
             name);
    if (hub->tells_apart == NULL || !hub->tells_apart(hub->tells_apart_context, path, renamed)) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "the policy has a floor or a rule for '%.80s' that would not be for "
                        "'%.80s', or the other way round: change the policy first",
                        path, renamed);
}

enum tw_status tw_change_check_holder(struct tw_hub_change *change, const struct tw_holder *holder,
                                      const struct tw_holder *parent, const char *name,
                                      struct tw_error *error)
{
    const struct tw_holder *other =
        name != NULL ? tw_directory_child(change->directory, parent, name, strlen(name)) : NULL;
    if (other != NULL && other != holder) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the name '%s' is taken already; choose another one, or use '%s set'",
                            name, tw_holder_kind_name(other->kind));
    }
    if (holder == NULL && change->directory->holders.n >= TW_LIMIT_HUB_ITEMS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the books have %d organisations, teams, projects and keys, which is "
                            "the most there can be",
                            TW_LIMIT_HUB_ITEMS);
    }
    const bool is_renamed = holder != NULL && name != NULL && strcmp(name, holder->name) != 0;
    return is_renamed ? check_name(change, holder, name, error) : TW_OK;
}

/* Of a project: what is held for its running requests, and what it used. */
static enum tw_status insert_accounts(struct tw_hub_change *change, int64_t project,
                                      struct tw_error *error)
{
    static const char *const kinds[] = {"held", "usage"};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < COUNT(kinds); i++) {
        const struct tw_db_value values[] = {tw_db_integer(tw_change_next_id(change)),
                                             tw_db_text(kinds[i]), tw_db_integer(project)};
        status = tw_change_run(change,
                               "INSERT INTO account (id, kind, project, debit_nano, credit_nano,"
                               " debit_tokens, credit_tokens) VALUES (?, ?, ?, 0, 0, 0, 0)",
                               values, COUNT(values), error);
    }
    return status;
}

enum tw_status tw_change_insert_holder(struct tw_hub_change *change, enum tw_holder_kind kind,
                                       const struct tw_holder *parent, const char *name,
                                       int64_t *ret_id, struct tw_error *error)
{
    struct settings settings;
    const int64_t id = tw_change_next_id(change);
    take_settings(change, NULL, &settings);
    const struct tw_holder_settings *now = &settings.now;
    const struct tw_db_value values[] = {tw_db_integer(id),
                                         tw_db_text(tw_holder_kind_name(kind)),
                                         tw_db_integer(parent != NULL ? parent->id : 0),
                                         tw_db_text(name),
                                         tw_db_integer(change->hub->now_ns),
                                         tw_db_integer(now->weight),
                                         tw_db_text(tw_holder_class_name(now->priority_class)),
                                         tw_db_text(now->models),
                                         tw_db_integer(now->max_context_tokens),
                                         tw_db_integer(now->default_answer_tokens),
                                         tw_db_integer(now->rates.limit[TW_RATE_REQUESTS]),
                                         tw_db_integer(now->rates.limit[TW_RATE_TOKENS]),
                                         tw_db_integer(now->rates.limit[TW_RATE_CONCURRENT]),
                                         tw_db_integer(now->may_use_special),
                                         tw_db_integer(now->stores_content),
                                         tw_db_integer(now->keep_content_ns)};
    enum tw_status status =
        tw_change_write(change, TW_DIRECTORY_HOLDER, id,
                        "INSERT INTO holder (id, kind, parent, name, created_ns, weight, class,"
                        " models, max_context_tokens, default_answer_tokens, requests_per_minute,"
                        " tokens_per_minute, concurrent_requests, may_use_special, stores_content,"
                        " keep_content_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        values, COUNT(values), error);
    if (status == TW_OK && kind == TW_HOLDER_PROJECT) {
        status = insert_accounts(change, id, error);
    }
    if (status == TW_OK) {
        tw_change_note_text(change, "name", NULL, name);
        note_settings(change, NULL, now);
        *ret_id = id;
    }
    return status;
}

/* Of who has no limits nobody counts what runs. */
static enum tw_status recount_running(struct tw_hub_change *change, int64_t holder,
                                      struct tw_error *error)
{
    const struct tw_db_value value = tw_db_integer(holder);
    return tw_change_run(change, "UPDATE rate SET running = -1 WHERE holder = ?", &value, 1, error);
}

enum tw_status tw_change_update_holder(struct tw_hub_change *change, const struct tw_holder *holder,
                                       struct tw_error *error)
{
    struct settings settings;
    const struct tw_field_value *name = tw_change_value(change, "name");
    take_settings(change, holder, &settings);
    const struct tw_holder_settings *now = &settings.now;
    const struct tw_db_value values[] = {tw_db_text(name->is_set ? name->text : holder->name),
                                         tw_db_integer(now->weight),
                                         tw_db_text(tw_holder_class_name(now->priority_class)),
                                         tw_db_text(now->models),
                                         tw_db_integer(now->max_context_tokens),
                                         tw_db_integer(now->default_answer_tokens),
                                         tw_db_integer(now->rates.limit[TW_RATE_REQUESTS]),
                                         tw_db_integer(now->rates.limit[TW_RATE_TOKENS]),
                                         tw_db_integer(now->rates.limit[TW_RATE_CONCURRENT]),
                                         tw_db_integer(now->may_use_special),
                                         tw_db_integer(now->stores_content),
                                         tw_db_integer(now->keep_content_ns),
                                         tw_db_integer(holder->id)};
    enum tw_status status = tw_change_write(
        change, TW_DIRECTORY_HOLDER, holder->id,
        "UPDATE holder SET name = ?, weight = ?, class = ?, models = ?,"
        " max_context_tokens = ?, default_answer_tokens = ?, requests_per_minute = ?,"
        " tokens_per_minute = ?, concurrent_requests = ?, may_use_special = ?,"
        " stores_content = ?, keep_content_ns = ? WHERE id = ?",
        values, COUNT(values), error);
    if (status == TW_OK && memcmp(&now->rates, &holder->settings.rates, sizeof now->rates) != 0) {
        status = recount_running(change, holder->id, error);
    }
    if (status == TW_OK) {
        tw_change_note_text(change, "name", holder->name, name->is_set ? name->text : holder->name);
        note_settings(change, holder, now);
    }
    return status;
}

/* ---- commands ---- */

enum tw_status tw_change_create_holder(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const char *name = tw_change_last_name(path);
    int64_t id = 0;
    enum tw_status status = tw_change_check_holder(change, NULL, change->object, name, error);
    if (status == TW_OK) {
        tw_change_begin(change);
        status = tw_change_insert_holder(change, kind_of(change), change->object, name, &id, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(id));
        tw_change_put(change, change->answer, "path", json_string(path));
        status = tw_change_end(change, path, error);
    }
    if (status == TW_OK) {
        tw_change_warn_settings(change, tw_directory_holder(&change->hub->directory, id));
    }
    return status;
}

enum tw_status tw_change_set_holder(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_holder *holder = change->object;
    const char *path = tw_change_value(change, "path")->text;
    enum tw_status status = tw_change_check_holder(change, holder, holder->parent,
                                                   tw_change_value(change, "name")->text, error);
    if (status == TW_OK) {
        tw_change_begin(change);
        status = tw_change_update_holder(change, holder, error);
    }
    if (status == TW_OK) {
        status = tw_change_end(change, path, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(holder->id));
        tw_change_put(change, change->answer, "path", tw_change_json_path(holder));
        tw_change_put_settings(change, change->answer, holder);
        tw_change_warn_settings(change, holder);
    }
    return status;
}

enum tw_status tw_change_close_holder(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_holder *holder = change->object;
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_db_value values[] = {tw_db_integer(change->hub->now_ns),
                                         tw_db_integer(holder->id)};
    tw_change_begin(change);
    enum tw_status status = tw_change_write(change, TW_DIRECTORY_HOLDER, holder->id,
                                            "UPDATE holder SET closed_ns = ? WHERE id = ?", values,
                                            COUNT(values), error);
    if (status == TW_OK) {
        tw_change_note_text(change, "state", "open", "closed");
        tw_change_put(change, change->answer, "id", json_integer(holder->id));
        tw_change_put(change, change->answer, "closed", json_string(path));
        status = tw_change_end(change, path, error);
    }
    return status;
}

/* A budget's rest is shown with what it belongs to: "money 12.5 of 250 a month". */
static void put_holder(struct tw_hub_change *change, json_t *row, const struct tw_holder *holder)
{
    tw_change_put(change, row, "path", tw_change_json_path(holder));
    tw_change_put(change, row, "id", json_integer(holder->id));
    tw_change_put(change, row, "state", json_string(tw_holder_is_open(holder) ? "open" : "closed"));
    tw_change_put_settings(change, row, holder);
    tw_change_put(change, row, "created", tw_change_json_when(holder->created_ns));
}

enum tw_status tw_change_list_holders(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *holders = &change->directory->holders;
    const enum tw_holder_kind kind = kind_of(change);
    struct tw_holder *top = NULL;
    char name[32];
    enum tw_status status = tw_change_find_top(change, &top, error);
    if (status != TW_OK) {
        return status;
    }
    snprintf(name, sizeof name, "%ss", tw_holder_kind_name(kind));
    struct tw_change_page page = tw_change_page_begin(change, name, holders);
    size_t i = page.first;
    for (; i < holders->n && tw_change_page_has_room(&page); i++) {
        const struct tw_holder *holder = holders->at[i];
        if (holder->kind == kind && tw_change_is_listed(change, holder, top)) {
            put_holder(change, tw_change_page_row(&page, holder->id), holder);
        }
    }
    tw_change_page_end(&page, i < holders->n);
    return TW_OK;
}
