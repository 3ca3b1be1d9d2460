/* commands.h: what people may tell the hub: one table of commands, their fields, and who may.
 *
 *     "budget" "set"   PATH --limit --unit --period ...   owner above, finance within   a change
 *
 * From this table come the check of what was given, the options of the command line with --help,
 * completion, the manual pages, the addresses of the admin API, and who may do what:
 *
 *     words of a command line  ->  tw_commands_read_text  -> JSON -> tw_commands_read -> values
 *
 * A field has one name: "max_context" in JSON is "--max-context" on a command line.
 *
 * Who may: a role holds in a part of the tree (its scope), and a command is about one holder (its
 * object). WITHIN: the object is the scope or lies below it. ABOVE: it lies below, so that nobody
 * raises the limits that were set for him. An object of NULL is the whole installation, which only
 * a scope of everything holds. A list shows what lies within.
 *
 * Ownership: texts of a value point into the JSON it was read from, which must outlive it.
 * Threads: any; nothing is kept. Errors: TW_ERR_USAGE with the field, what is wrong and what would
 * be right.
 */
#ifndef TW_HUB_COMMANDS_H
#define TW_HUB_COMMANDS_H

#include "base/json.h"
#include "hub/directory.h"

enum tw_field_kind {
    TW_FIELD_PATH = 0, /* names of holders from the top, "acme/research"; least..most names */
    TW_FIELD_NAME,     /* letters, digits, '.', '_', '-' */
    TW_FIELD_TEXT,     /* printable, 1..TW_LIMIT_HUB_TEXT_BYTES */
    TW_FIELD_INTEGER,  /* least..most */
    TW_FIELD_TOKENS,   /* the same; on a command line "500k", "20M", "3G" as well */
    TW_FIELD_AMOUNT,   /* of money, "0.15"; in nano-units */
    TW_FIELD_LIMIT,    /* an amount or a number of tokens, as another field says; kept as text */
    TW_FIELD_WHEN,     /* "2026-12-31", "2026-12-31T18:00:00Z", "now", "+90d", "never"; in ns */
    TW_FIELD_DURATION, /* "90s", "30m", "24h", "7d", "0"; in ns */
    TW_FIELD_CHOICE,   /* one of choices */
    TW_FIELD_FLAG,     /* true or false; on a command line --name or --no-name */
    TW_FIELD_LIST      /* texts; on a command line given several times, or with commas */
};

struct tw_field {
    const char *name;
    enum tw_field_kind kind;
    bool is_word; /* stands without a name on the command line */
    bool is_required;
    const char *value; /* stands for it in help: "PATH"; NULL of a flag */
    const char *help;  /* one sentence, with the default where there is one */
    int64_t least, most;
    const char *const *choices; /* ends with NULL */
};

enum tw_reach { TW_REACH_NONE = 0, TW_REACH_WITHIN, TW_REACH_ABOVE };

/* What a command is about. */
enum tw_command_object {
    TW_OBJECT_ALL = 0, /* the installation */
    TW_OBJECT_PATH,    /* the holder of the field "path" */
    TW_OBJECT_PARENT,  /* the one above it: it is to be made */
    TW_OBJECT_PERSON,  /* the organisation of the person of the field "path" */
    TW_OBJECT_IN,      /* the holder of the field "in"; without it the installation */
    TW_OBJECT_SCOPE,   /* the holder of the field "scope", or else as TW_OBJECT_PERSON */
    TW_OBJECT_EACH     /* each row for itself */
};

enum tw_command_manner {
    TW_COMMAND_CHANGE = 0, /* of the books: by the writer, with a record in the audit log */
    TW_COMMAND_LIST,       /* a page of what there is, beside the writer */
    TW_COMMAND_REPORT,     /* of the tables, over a connection of its own */
    TW_COMMAND_LOCAL       /* of files: by the command line itself; the admin API has it not */
};

struct tw_hub_change;

struct tw_hub_verb {
    const char *group, *verb;
    const char *summary;           /* a line in a list: begins with a small letter */
    const char *about;             /* one or more sentences, for help and the manual */
    const struct tw_field *fields; /* [n_fields]; words first */
    size_t n_fields;
    enum tw_command_object object;
    enum tw_command_manner manner;
    unsigned char reach[TW_ROLES]; /* enum tw_reach, by enum tw_role */
    enum tw_status (*run)(struct tw_hub_change *change, struct tw_error *error); /* NULL: LOCAL */
};

struct tw_hub_group {
    const char *name;
    const char *summary;
    const char *about;
    const char *otherwise; /* the verb where none is given; NULL: one is needed */
};

/* In the order of the manual; NULL behind the last. */
const struct tw_hub_group *tw_commands_group(size_t i);
const struct tw_hub_verb *tw_commands_verb(size_t i);

const struct tw_hub_group *tw_commands_find_group(const char *name);
/* NULL, with a sentence that names the nearest one. */
const struct tw_hub_verb *tw_commands_find(const char *group, const char *verb,
                                           struct tw_error *error);
const struct tw_field *tw_commands_field(const struct tw_hub_verb *verb, const char *name);

struct tw_field_value {
    bool is_set;
    int64_t integer;  /* also ns, nano-units, the place of a choice, a flag */
    const char *text; /* also of a choice */
    const json_t *list;
};

/* The fields of a command from an object: ret_values[i] is that of fields[i]. now_ns: what "now"
 * is. */
enum tw_status tw_commands_read(const struct tw_hub_verb *verb, json_t *fields, int64_t now_ns,
                                struct tw_field_value ret_values[TW_LIMIT_HUB_FIELDS],
                                struct tw_error *error);
/* One value from a text, without the name of the field in the message. Of a list: one item. */
enum tw_status tw_commands_read_text(const struct tw_field *field, const char *text, int64_t now_ns,
                                     struct tw_field_value *ret_value, struct tw_error *error);

/* Whether a role at a scope may have a command about an object; NULL is everything. */
bool tw_commands_may(const struct tw_hub_verb *verb, enum tw_role role,
                     const struct tw_holder *scope, const struct tw_holder *object);

/* 1..TW_LIMIT_HUB_NAME_BYTES of letters, digits, '.', '_', '-', and not "." or "..". */
bool tw_commands_is_name(const char *text, size_t text_bytes);

#endif
