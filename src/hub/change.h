/* change.h: the inside of commands: one that runs, and what its handlers use. For this layer alone.
 *
 *     tw_hub_command -> queue of the writer
 *         -> fields are read, the object is found, roles are asked      nothing was written
 *         -> the handler checks what is left                            nothing was written
 *         -> tw_change_begin
 *         -> tw_change_write for each row, tw_change_note for each field that changed
 *         -> tw_change_end: those rows are read into the directory, the record is in the audit log
 *     commit -> the answer is given
 *
 * What is refused is on record as well (tw_change_note_refusal), in the same group where the change
 * has written nothing, otherwise in a group behind it.
 *
 * A list is made on the caller's thread from a directory of its own, which follows what is
 * committed, and a report from the tables: neither waits for the writer, nor the writer for them.
 *
 * Invariants:
 * 1. What is wrong with a command is found before the first write: then the group goes on. A
 *    failure behind tw_change_begin fails the whole group.
 * 2. A secret is in the answer, and nowhere else.
 * 3. Who asks learns of holders that his roles do not reach no more than that.
 *
 * Threads: the writer's; of lists and reports the caller's.
 */
#ifndef TW_HUB_CHANGE_H
#define TW_HUB_CHANGE_H

#include "base/arena.h"
#include "hub/audit_record.h"
#include "hub/commands.h"
#include "hub/hub_state.h"

struct tw_hub_change {
    struct tw_hub_op op;
    struct tw_hub *hub;
    const struct tw_hub_verb *verb;
    json_t *command; /* what fields point into */
    struct tw_field_value values[TW_LIMIT_HUB_FIELDS];
    int64_t actor;
    char actor_name[TW_LIMIT_HUB_NAME_BYTES + 1];
    struct tw_person *person;            /* NULL: whoever has the machine */
    struct tw_holder *object;            /* as verb->object says; NULL: everything */
    struct tw_person *about;             /* the person of TW_OBJECT_PERSON and _SCOPE */
    struct tw_db *db;                    /* of a list or report: its own; otherwise the writer's */
    struct tw_directory *directory;      /* of a list: that of lists; otherwise the writer's */
    struct tw_db_statement *find_window; /* tw_directory_window_sql, of that database */
    int64_t now_ns;                      /* books' time */

    struct tw_arena texts; /* of what follows */
    struct tw_audit_field changed[TW_LIMIT_AUDIT_CHANGES];
    size_t n_changed;
    bool has_begun;
    bool was_denied;    /* by role */
    bool is_for_server; /* it changes something of a running server */
    int64_t approves;   /* the proposal whose command this is; 0: it is its own */

    /* Behind the commit, before the answer: what must not happen without it. NULL: nothing. */
    enum tw_status (*committed)(struct tw_hub_change *change, struct tw_error *error);
    int64_t erasure; /* of change_subjects.c: its number and whose */
    struct tw_subject subject;

    json_t *answer; /* an object */
    struct tw_error error;
    enum tw_status status;
    tw_hub_answer_fn answer_fn;
    void *context;
};

/* ---- change.c: what handlers use ---- */

/* The value of a field of the command. */
const struct tw_field_value *tw_change_value(const struct tw_hub_change *change, const char *name);
/* Its integer where it was given. */
int64_t tw_change_integer(const struct tw_hub_change *change, const char *name, int64_t otherwise);

/* By its path: an open one whose holders above are open. TW_ERR_NOT_FOUND, or TW_ERR_DENIED for
 * who must not know. */
enum tw_status tw_change_find_holder(struct tw_hub_change *change, const char *path,
                                     struct tw_holder **ret_holder, struct tw_error *error);
enum tw_status tw_change_find_person(struct tw_hub_change *change, const char *path,
                                     struct tw_person **ret_person, struct tw_error *error);
/* The last name of a path. */
const char *tw_change_last_name(const char *path);
/* TW_ERR_DENIED, with the command and its path. */
enum tw_status tw_change_deny(struct tw_hub_change *change, struct tw_error *error);
/* Whether a row about that holder is shown to who asks. */
bool tw_change_may_see(const struct tw_hub_change *change, const struct tw_holder *holder);
/* Whether a holder is that one or lies below it; below NULL lies everything. */
bool tw_change_is_below(const struct tw_holder *holder, const struct tw_holder *top);

void tw_change_begin(struct tw_hub_change *change);
/* One statement with its parameters, of what the directory does not have. */
enum tw_status tw_change_run(struct tw_hub_change *change, const char *sql,
                             const struct tw_db_value *values, size_t n, struct tw_error *error);
/* One that makes or changes a row that the directory has. */
enum tw_status tw_change_write(struct tw_hub_change *change, enum tw_directory_item item,
                               int64_t id, const char *sql, const struct tw_db_value *values,
                               size_t n, struct tw_error *error);
/* Of rows that such a statement changed beside that one: each is to be read again. */
enum tw_status tw_change_touch(struct tw_hub_change *change, enum tw_directory_item item,
                               int64_t id, struct tw_error *error);
int64_t tw_change_next_id(struct tw_hub_change *change);
/* A field of the record, whose texts are copied. Equal values are left out. */
void tw_change_note(struct tw_hub_change *change, const char *name, struct tw_audit_value before,
                    struct tw_audit_value after);
void tw_change_note_integer(struct tw_hub_change *change, const char *name, int64_t before,
                            int64_t after);
void tw_change_note_text(struct tw_hub_change *change, const char *name, const char *before,
                         const char *after);
enum tw_status tw_change_end(struct tw_hub_change *change, const char *object,
                             struct tw_error *error);
/* The same for what changes nothing in the directory, with a record of another kind. */
enum tw_status tw_change_end_as(struct tw_hub_change *change, enum tw_audit_kind kind,
                                const char *object, struct tw_error *error);
/* Of a report: puts on record what is about to be done, and waits until it is there. */
enum tw_status tw_change_note_doing(struct tw_hub_change *change, enum tw_audit_kind kind,
                                    const char *object, struct tw_error *error);
/* The same of content that is about to be read. */
enum tw_status tw_change_note_reading(struct tw_hub_change *change, const char *object,
                                      struct tw_error *error);

/* ---- lists: a page of them ---- */

/* The holder of the field "path"; NULL: everything. */
enum tw_status tw_change_find_top(struct tw_hub_change *change, struct tw_holder **ret_top,
                                  struct tw_error *error);
/* Whether a holder is shown: it lies below, may be seen, and is open or closed ones are wanted. */
bool tw_change_is_listed(const struct tw_hub_change *change, const struct tw_holder *holder,
                         const struct tw_holder *top);

/* Items stand in the order of their numbers; a page has those behind the field "after", and so
 * many rows as the field "most" says. Where there may be more, "next" is what goes into "after". */
struct tw_change_page {
    struct tw_hub_change *change;
    json_t *rows;
    size_t first, n_most; /* the place of the first item; rows */
    int64_t next;
};
/* rows: their name in the answer. */
struct tw_change_page tw_change_page_begin(struct tw_hub_change *change, const char *rows,
                                           const struct tw_items *items);
/* Whether there is room for a row more. */
bool tw_change_page_has_room(const struct tw_change_page *page);
/* A row about the item of that number. */
json_t *tw_change_page_row(struct tw_change_page *page, int64_t id);
/* has_more: not all items were looked at. */
void tw_change_page_end(struct tw_change_page *page, bool has_more);

/* Parts of an answer. Memory that lacks shows in the end: change->answer is then NULL. */
void tw_change_put(struct tw_hub_change *change, json_t *object, const char *name, json_t *value);
/* Something that whoever gives the command should know, though it is done: a text among "warnings"
 * of the answer. */
void tw_change_warn(struct tw_hub_change *change, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Where a name is none of the models that are served, and it is known which are. */
void tw_change_warn_model(struct tw_hub_change *change, const char *name);
/* A new list of rows in the answer. */
json_t *tw_change_rows(struct tw_hub_change *change, const char *name);
json_t *tw_change_row(struct tw_hub_change *change, json_t *rows);
json_t *tw_change_json_path(const struct tw_holder *holder); /* null: everything */
json_t *tw_change_json_text(const char *text);               /* NULL: null */
json_t *tw_change_json_when(int64_t at_ns);                  /* 0: null */
json_t *tw_change_json_money(int64_t amount_nano);

/* ---- hub_refusal.c ---- */

/* Whether a command that failed is to be on record: a change, also of a running server, or a
 * refusal by role, and not for the store's sake. */
bool tw_change_is_refusal(const struct tw_hub_change *change);
/* Its record, in a group: who, which command, about what, and the sentence of the refusal without
 * what stands in quotes, where a secret or a person's name might be that somebody gave by mistake.
 * Nothing where the caller has had as many in this hour as there may be. */
enum tw_status tw_change_note_refusal(struct tw_hub_change *change, struct tw_error *error);

/* ---- change_holders.c: organisations, teams, projects, and their settings ---- */

enum tw_status tw_change_create_holder(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_holders(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_set_holder(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_close_holder(struct tw_hub_change *change, struct tw_error *error);

/* A row of the table, with the settings that the command gives; its number. */
enum tw_status tw_change_insert_holder(struct tw_hub_change *change, enum tw_holder_kind kind,
                                       const struct tw_holder *parent, const char *name,
                                       int64_t *ret_id, struct tw_error *error);
/* What the command changes of settings and name. */
enum tw_status tw_change_update_holder(struct tw_hub_change *change, const struct tw_holder *holder,
                                       struct tw_error *error);
/* Before the first write: whether settings and a new name can be had. */
enum tw_status tw_change_check_holder(struct tw_hub_change *change, const struct tw_holder *holder,
                                      const struct tw_holder *parent, const char *name,
                                      struct tw_error *error);
/* What the command's settings will not do. */
void tw_change_warn_settings(struct tw_hub_change *change, const struct tw_holder *holder);
void tw_change_put_settings(struct tw_hub_change *change, json_t *row,
                            const struct tw_holder *holder);

/* ---- change_keys.c ---- */

enum tw_status tw_change_create_key(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_keys(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_set_key(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_rotate_key(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_revoke_key(struct tw_hub_change *change, struct tw_error *error);

/* A new secret in the tables and in the answer. key and person are numbers, or 0. */
enum tw_status tw_change_add_secret(struct tw_hub_change *change, int64_t key, int64_t person,
                                    int64_t expires_ns, struct tw_error *error);

/* Those of a list, by next_of_owner, that are open. */
enum tw_status tw_change_revoke_secrets(struct tw_hub_change *change,
                                        const struct tw_secret *secrets, struct tw_error *error);

/* ---- change_people.c ---- */

enum tw_status tw_change_create_person(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_persons(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_grant_role(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_withdraw_role(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_make_person_secret(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_close_person(struct tw_hub_change *change, struct tw_error *error);

void tw_change_write_person(const struct tw_person *person, char *ret_path, size_t path_bytes);

/* ---- change_money.c ---- */

enum tw_status tw_change_set_budget(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_budgets(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_close_budget(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_add_price(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_list_prices(struct tw_hub_change *change, struct tw_error *error);

/* ---- change_subjects.c ---- */

enum tw_status tw_change_erase_subject(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_hold_subject(struct tw_hub_change *change, struct tw_error *error);
enum tw_status tw_change_release_subject(struct tw_hub_change *change, struct tw_error *error);

/* Whom the fields "subject" and "kind" mean. Takes the directory's lock for reading. */
enum tw_status tw_change_find_subject(struct tw_hub_change *change, struct tw_subject *ret_subject,
                                      struct tw_error *error);

#endif
