/* A command from its JSON to its answer: read, allowed, run within a group, answered behind it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hub/approval.h"
#include "hub/change.h"
#include "hub/hub_admin.h"

/* ---- who may ---- */

static bool may_at_all(const struct tw_hub_change *change)
{
    for (const struct tw_grant *grant = change->person->grants; grant != NULL;
         grant = grant->next) {
        if (change->verb->reach[grant->role] != TW_REACH_NONE) {
            return true;
        }
    }
    return false;
}

static bool may_about(const struct tw_hub_change *change, const struct tw_holder *object)
{
    for (const struct tw_grant *grant = change->person->grants; grant != NULL;
         grant = grant->next) {
        if (tw_commands_may(change->verb, grant->role, grant->scope, object)) {
            return true;
        }
    }
    return false;
}

/* A role holds for it, for something below it, or for something above it. */
static bool may_know_of(const struct tw_hub_change *change, const struct tw_holder *holder)
{
    if (change->person == NULL || holder == NULL) {
        return true;
    }
    for (const struct tw_grant *grant = change->person->grants; grant != NULL;
         grant = grant->next) {
        if (change->verb->reach[grant->role] != TW_REACH_NONE &&
            (grant->scope == NULL || tw_change_is_below(holder, grant->scope) ||
             tw_change_is_below(grant->scope, holder))) {
            return true;
        }
    }
    return false;
}

bool tw_change_may_see(const struct tw_hub_change *change, const struct tw_holder *holder)
{
    return change->person == NULL || may_about(change, holder);
}

/* Says the same of what is not there and of what is not his. */
enum tw_status tw_change_deny(struct tw_hub_change *change, struct tw_error *error)
{
    change->was_denied = true;
    const struct tw_hub_verb *verb = change->verb;
    const struct tw_field *field = tw_commands_field(verb, "path");
    const char *path = field != NULL ? change->values[field - verb->fields].text : NULL;
    return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                        "the roles of '%s' do not allow '%s %s'%s%.120s", change->actor_name,
                        verb->group, verb->verb, path != NULL ? " of " : "",
                        path != NULL ? path : "");
}

static enum tw_status authorise(struct tw_hub_change *change, struct tw_error *error)
{
    if (change->person == NULL) {
        return TW_OK;
    }
    const bool may = change->verb->object == TW_OBJECT_EACH ? may_at_all(change)
                                                            : may_about(change, change->object);
    return may && change->person->is_open ? TW_OK : tw_change_deny(change, error);
}

/* ---- what it is about ---- */

enum tw_status tw_change_find_holder(struct tw_hub_change *change, const char *path,
                                     struct tw_holder **ret_holder, struct tw_error *error)
{
    struct tw_holder *holder = NULL;
    const char *at = path;
    do {
        const size_t n_bytes = strcspn(at, "/");
        holder = tw_directory_child(change->directory, holder, at, n_bytes);
        at += n_bytes + (at[n_bytes] == '/');
    } while (holder != NULL && *at != '\0');
    if (holder != NULL && may_know_of(change, holder)) {
        *ret_holder = holder;
        return TW_OK;
    }
    if (change->person != NULL && !may_about(change, NULL)) {
        return tw_change_deny(change, error);
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "there is no open '%.120s'; the list commands show what there is", path);
}

enum tw_status tw_change_find_person(struct tw_hub_change *change, const char *path,
                                     struct tw_person **ret_person, struct tw_error *error)
{
    const struct tw_items *persons = &change->directory->persons;
    const char *name = tw_change_last_name(path);
    struct tw_holder *org = NULL;
    if (name != path) {
        org = tw_directory_child(change->directory, NULL, path, strcspn(path, "/"));
    }
    for (size_t i = 0; (name == path || org != NULL) && i < persons->n; i++) {
        struct tw_person *person = persons->at[i];
        if (person->is_open && person->org == org && strcmp(person->name, name) == 0 &&
            may_know_of(change, org)) {
            *ret_person = person;
            return TW_OK;
        }
    }
    if (change->person != NULL && !may_about(change, NULL)) {
        return tw_change_deny(change, error);
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "there is no open user '%.120s'; 'user list' shows them", path);
}

/* All but the last name: NULL where there is but one. */
static enum tw_status find_parent(struct tw_hub_change *change, const char *path,
                                  struct tw_holder **ret_holder, struct tw_error *error)
{
    char above[TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1)];
    const char *last = tw_change_last_name(path);
    if (last == path) {
        *ret_holder = NULL;
        return TW_OK;
    }
    snprintf(above, sizeof above, "%.*s", (int)(last - path - 1), path);
    return tw_change_find_holder(change, above, ret_holder, error);
}

/* A person's organisation may be closed meanwhile; it stays what it was. */
static struct tw_holder *org_of(const struct tw_hub_change *change, const struct tw_person *person)
{
    return person->org == NULL ? NULL : tw_directory_holder(change->directory, person->org->id);
}

static enum tw_status find_object(struct tw_hub_change *change, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    const char *path = tw_commands_field(change->verb, "path") != NULL
                           ? tw_change_value(change, "path")->text
                           : NULL;
    switch (change->verb->object) {
    case TW_OBJECT_ALL:
    case TW_OBJECT_EACH:
        break;
    case TW_OBJECT_PATH:
        status = tw_change_find_holder(change, path, &change->object, error);
        break;
    case TW_OBJECT_IN:
        path = tw_change_value(change, "in")->text;
        status = path != NULL ? tw_change_find_holder(change, path, &change->object, error) : TW_OK;
        break;
    case TW_OBJECT_PARENT:
        status = find_parent(change, path, &change->object, error);
        break;
    case TW_OBJECT_SCOPE:
    case TW_OBJECT_PERSON:
        status = tw_change_find_person(change, path, &change->about, error);
        change->object = status == TW_OK ? org_of(change, change->about) : NULL;
        break;
    }
    if (status == TW_OK && change->verb->object == TW_OBJECT_SCOPE &&
        tw_change_value(change, "scope")->is_set) {
        status = tw_change_find_holder(change, tw_change_value(change, "scope")->text,
                                       &change->object, error);
    }
    return status;
}

static enum tw_status run(struct tw_hub_change *change, struct tw_error *error)
{
    enum tw_status status =
        tw_commands_read(change->verb, json_object_get(change->command, "fields"), change->now_ns,
                         change->values, error);
    if (status == TW_OK && change->actor != 0) {
        change->person = tw_directory_person(change->directory, change->actor);
        if (change->person == NULL) {
            return tw_change_deny(change, error);
        }
    }
    if (status == TW_OK) {
        status = find_object(change, error);
    }
    return status == TW_OK ? authorise(change, error) : status;
}

/* ---- the operation ---- */

static void free_change(struct tw_hub_change *change)
{
    json_decref(change->command);
    json_decref(change->answer);
    tw_arena_clear(&change->texts);
    tw_mem_free(change);
}

/* Gives the answer away and ends the change. */
static void answer(struct tw_hub_change *change)
{
    json_t *out = change->answer;
    if (change->status == TW_OK && out == NULL) {
        change->status = tw_error_set(&change->error, TW_ERR_MEMORY, TW_NO_POSITION,
                                      "no memory for the answer; what was asked for is done");
    }
    if (change->status == TW_OK) {
        change->answer = NULL;
        change->answer_fn(change->context, TW_OK, out, &change->error);
    } else {
        change->error.status = change->status;
        change->answer_fn(change->context, change->status, NULL, &change->error);
    }
    free_change(change);
}

static struct tw_hub_change *change_of(struct tw_hub_op *op)
{
    return (struct tw_hub_change *)((char *)op - offsetof(struct tw_hub_change, op));
}

static void note_refusal(struct tw_hub_change *change)
{
    struct tw_error error;
    const enum tw_status status = tw_change_note_refusal(change, &error);
    if (status != TW_OK) {
        tw_hub_fail_group(change->hub, status, &error);
    }
}

/* What needs two people is proposed; what is approved is done in place of the approval, by the
 * roles of who approves. */
static enum tw_status do_command(struct tw_hub_change *change, struct tw_error *error)
{
    bool is_proposed = false;
    enum tw_status status = TW_OK;
    if (change->verb->run == tw_change_approve) {
        status = tw_approval_take(change, error);
        status = status == TW_OK ? run(change, error) : status;
    } else {
        status = tw_approval_propose(change, &is_proposed, error);
    }
    if (status == TW_OK && !is_proposed) {
        status = change->verb->run(change, error);
    }
    return status == TW_OK && change->approves != 0 ? tw_approval_end(change, error) : status;
}

static void apply_command(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct tw_hub_change *change = change_of(op);
    change->db = hub->db;
    change->directory = &hub->directory;
    change->find_window = hub->ledger.find_window;
    change->now_ns = hub->now_ns;
    change->status = run(change, &change->error);
    if (change->status == TW_OK) {
        change->status = do_command(change, &change->error);
    }
    if (change->status != TW_OK && change->has_begun) {
        tw_hub_fail_group(hub, change->status, &change->error);
    } else if (tw_change_is_refusal(change)) {
        note_refusal(change);
    }
}

static void apply_refusal(struct tw_hub *hub, struct tw_hub_op *op)
{
    (void)hub;
    note_refusal(change_of(op));
}

/* With or without its record it stays a refusal. */
static void done_refusal(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    (void)hub;
    (void)status;
    answer(change_of(op));
}

static void queue_refusal(struct tw_hub_change *change)
{
    change->op = (struct tw_hub_op){.apply = apply_refusal, .done = done_refusal, .is_alone = true};
    tw_hub_enqueue(change->hub, &change->op);
}

static enum tw_status not_recorded(const struct tw_error *cause, struct tw_error *ret_error)
{
    const struct tw_error why = *cause; /* may be *ret_error */
    return tw_error_set(ret_error, TW_ERR_IO, TW_NO_POSITION, TW_HUB_NOT_RECORDED ": %.200s",
                        why.text);
}

/* What has become of a command whose group failed. */
static void fail_with_group(struct tw_hub_change *change, enum tw_status status)
{
    if (status == TW_ERR_CANCELLED) { /* there is no writer any more, and no group */
        change->status =
            tw_error_set(&change->error, status, TW_NO_POSITION, "the server is shutting down");
        return;
    }
    change->status = status;
    change->error = change->hub->group_error;
    if (status == TW_ERR_IO) {
        change->status = not_recorded(&change->error, &change->error);
    }
}

static void done_command(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct tw_hub_change *change = change_of(op);
    (void)hub;
    if (status != TW_OK && (change->status == TW_OK || change->has_begun)) {
        fail_with_group(change, status);
        if (tw_change_is_refusal(change)) { /* found behind the first write */
            queue_refusal(change);
            return;
        }
    }
    if (change->status == TW_OK && change->committed != NULL) {
        change->status = change->committed(change, &change->error);
    }
    answer(change);
}

/* Beside the writer, who changes the directory under its lock. */
static void report(struct tw_hub_change *change)
{
    struct tw_hub *hub = change->hub;
    struct tw_directory *directory = &hub->directory;
    change->directory = directory;
    change->now_ns = tw_hub_now_ns(hub);
    pthread_rwlock_rdlock(&directory->lock);
    change->status = run(change, &change->error);
    pthread_rwlock_unlock(&directory->lock);
    if (change->status == TW_OK) {
        change->status = tw_db_open(hub->config.address, TW_DB_REPORT, &change->db, &change->error);
    }
    if (change->status == TW_OK) {
        change->status = change->verb->run(change, &change->error);
    }
    tw_db_close(change->db);
    change->db = NULL;
    if (tw_change_is_refusal(change)) {
        queue_refusal(change);
    } else {
        answer(change);
    }
}

/* ---- lists ---- */

/* The books' last change as this transaction sees it, and their time. */
static enum tw_status read_books(struct tw_hub_change *change, int64_t *ret_next_change,
                                 struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status =
        tw_db_prepare(change->db, "SELECT next_change, last_ns FROM books", &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, NULL, 0, &has_row, error);
    }
    if (status == TW_OK) {
        const int64_t now_ns = tw_hub_now_ns(change->hub), last_ns = tw_db_column_integer(row, 1);
        *ret_next_change = tw_db_column_integer(row, 0);
        change->now_ns = now_ns > last_ns ? now_ns : last_ns;
    }
    tw_db_finalize(row);
    return status;
}

/* In a transaction of a reader: all of it is one state of the store. */
static enum tw_status run_list(struct tw_hub_change *change, struct tw_error *error)
{
    int64_t next_change = 0;
    enum tw_status status = read_books(change, &next_change, error);
    if (status == TW_OK) {
        status = tw_directory_update(change->directory, change->db, next_change, error);
    }
    if (status == TW_OK) {
        tw_directory_forget_sums(change->directory);
        status = tw_db_prepare(change->db, tw_directory_window_sql, &change->find_window, error);
    }
    if (status == TW_OK) {
        status = run(change, error);
    }
    if (status == TW_OK) {
        status = change->verb->run(change, error);
    }
    tw_db_finalize(change->find_window);
    return status;
}

/* One at a time, since they share a directory; whoever writes has another one. */
static void list(struct tw_hub_change *change)
{
    struct tw_hub *hub = change->hub;
    pthread_mutex_lock(&hub->list_lock);
    change->directory = &hub->listed;
    change->status = tw_db_open(hub->config.address, TW_DB_READ, &change->db, &change->error);
    if (change->status == TW_OK) {
        change->status = tw_db_begin(change->db, &change->error);
    }
    if (change->status == TW_OK) {
        change->status = run_list(change, &change->error);
    }
    tw_db_close(change->db);
    change->db = NULL;
    pthread_mutex_unlock(&hub->list_lock);
    if (tw_change_is_refusal(change)) {
        queue_refusal(change);
    } else {
        answer(change);
    }
}

static const char *text_of(const json_t *command, const char *name)
{
    const char *text = json_string_value(json_object_get(command, name));
    return text != NULL ? text : "";
}

static enum tw_status find_verb(json_t *command, const struct tw_hub_verb **ret_verb,
                                struct tw_error *error)
{
    if (!json_is_object(json_object_get(command, "fields"))) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the fields of a command must be a JSON object");
    }
    const struct tw_hub_verb *verb =
        tw_commands_find(text_of(command, "group"), text_of(command, "verb"), error);
    if (verb == NULL) {
        return error->status;
    }
    if (verb->manner == TW_COMMAND_LOCAL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "'%s %s' is for the command line, which has the files", verb->group,
                            verb->verb);
    }
    *ret_verb = verb;
    return TW_OK;
}

void tw_hub_command(struct tw_hub *hub, const struct tw_hub_actor *actor, json_t *command,
                    tw_hub_answer_fn answer_fn, void *context)
{
    struct tw_error error;
    const struct tw_hub_verb *verb = NULL;
    enum tw_status status = find_verb(command, &verb, &error);
    struct tw_hub_change *change = status == TW_OK ? tw_mem_zalloc(1, sizeof *change) : NULL;
    if (change == NULL) {
        if (status == TW_OK) {
            status = tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a command");
        }
        json_decref(command);
        answer_fn(context, status, NULL, &error);
        return;
    }
    change->op = (struct tw_hub_op){.apply = apply_command, .done = done_command, .is_alone = true};
    tw_arena_init(&change->texts, TW_LIMIT_HUB_CHANGE_BYTES);
    change->hub = hub;
    change->verb = verb;
    change->command = command;
    change->actor = actor->person;
    snprintf(change->actor_name, sizeof change->actor_name, "%s",
             actor->name != NULL ? actor->name : "");
    change->answer = json_object();
    change->answer_fn = answer_fn;
    change->context = context;
    if (verb->manner == TW_COMMAND_REPORT) {
        report(change);
    } else if (verb->manner == TW_COMMAND_LIST) {
        list(change);
    } else {
        tw_hub_enqueue(hub, &change->op);
    }
}

/* ---- a reading, on record before it happens ---- */

struct reading {
    struct tw_hub_op op;
    struct tw_hub_change *change;
    enum tw_audit_kind kind;
    const char *object;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
    enum tw_status status;
    struct tw_error error;
};

static struct reading *reading_of(struct tw_hub_op *op)
{
    return (struct reading *)((char *)op - offsetof(struct reading, op));
}

static void apply_reading(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct reading *reading = reading_of(op);
    struct tw_error error;
    enum tw_status status =
        tw_change_end_as(reading->change, reading->kind, reading->object, &error);
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
}

static void done_reading(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct reading *reading = reading_of(op);
    pthread_mutex_lock(&reading->lock);
    reading->status = status;
    if (status == TW_ERR_CANCELLED) {
        tw_error_set(&reading->error, status, TW_NO_POSITION, "the server is shutting down");
    } else if (status != TW_OK) {
        not_recorded(&hub->group_error, &reading->error);
    }
    reading->is_done = true;
    pthread_cond_signal(&reading->wake);
    pthread_mutex_unlock(&reading->lock);
}

enum tw_status tw_change_note_reading(struct tw_hub_change *change, const char *object,
                                      struct tw_error *error)
{
    return tw_change_note_doing(change, TW_AUDIT_CONTENT_READ, object, error);
}

enum tw_status tw_change_note_doing(struct tw_hub_change *change, enum tw_audit_kind kind,
                                    const char *object, struct tw_error *error)
{
    struct reading reading = {.op = {.apply = apply_reading, .done = done_reading},
                              .change = change,
                              .kind = kind,
                              .object = object};
    pthread_mutex_init(&reading.lock, NULL);
    pthread_cond_init(&reading.wake, NULL);
    tw_hub_enqueue(change->hub, &reading.op);
    pthread_mutex_lock(&reading.lock);
    while (!reading.is_done) {
        pthread_cond_wait(&reading.wake, &reading.lock);
    }
    pthread_mutex_unlock(&reading.lock);
    pthread_cond_destroy(&reading.wake);
    pthread_mutex_destroy(&reading.lock);
    if (reading.status != TW_OK) {
        *error = reading.error;
    }
    return reading.status == TW_OK ? TW_OK : reading.error.status;
}

/* ---- and waited for ---- */

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
    enum tw_status status;
    json_t *answer;
    struct tw_error error;
};

static void take_answer(void *context, enum tw_status status, json_t *out,
                        const struct tw_error *error)
{
    struct wait *wait = context;
    pthread_mutex_lock(&wait->lock);
    wait->status = status;
    wait->answer = out;
    wait->error = *error;
    wait->is_done = true;
    pthread_cond_signal(&wait->wake);
    pthread_mutex_unlock(&wait->lock);
}

enum tw_status tw_hub_ask(struct tw_hub *hub, const struct tw_hub_actor *actor, json_t *command,
                          json_t **ret_answer, struct tw_error *error)
{
    struct wait wait = {.is_done = false};
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.wake, NULL);
    tw_hub_command(hub, actor, command, take_answer, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.is_done) {
        pthread_cond_wait(&wait.wake, &wait.lock);
    }
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.wake);
    pthread_mutex_destroy(&wait.lock);
    if (wait.status == TW_OK) {
        *ret_answer = wait.answer;
    } else {
        *error = wait.error;
    }
    return wait.status;
}

json_t *tw_hub_make_command(const char *group, const char *verb, json_t *fields)
{
    return json_pack("{s:s, s:s, s:o}", "group", group, "verb", verb, "fields", fields);
}

bool tw_hub_find_person(struct tw_hub *hub, const char *secret, struct tw_hub_actor *ret_actor)
{
    const struct tw_secret *found = tw_directory_find_secret(&hub->directory, secret);
    if (found == NULL || found->key != NULL || found->person == NULL || !found->is_open ||
        !found->person->is_open) {
        return false;
    }
    pthread_rwlock_rdlock(&hub->directory.lock);
    *ret_actor = (struct tw_hub_actor){.person = found->person->id, .name = found->person->name};
    pthread_rwlock_unlock(&hub->directory.lock);
    return true;
}
