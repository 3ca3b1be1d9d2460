#include "app/hub_args.h"

#include <inttypes.h>
#include <string.h>

#include "app/command.h"
#include "base/clock.h"
#include "base/mem.h"

#define MOST_OPTIONS  (2 * TW_LIMIT_HUB_FIELDS)
#define TEXT_BYTES    8192
#define ABOUT_COLUMNS 78
#define WORD_COLUMN   14
#define HELP_BYTES    64

static const struct tw_option where_rows[] = {
    {.name = "books",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct tw_hub_where, books),
     .value_name = "ADDRESS",
     .help = "The books: a file, a folder, or postgres://... . Default: $TOKENWORKS_BOOKS, or "
             "books.db in the data folder of this user."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct tw_hub_where, json),
     .help = "Print the answer as JSON."},
    {.name = "wide",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct tw_hub_where, wide),
     .help = "Print all columns of a table; budgets have more than a terminal is wide."},
    /* Of commands that can make books, and last for that. */
    {.name = "currency",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct tw_hub_where, currency),
     .value_name = "CODE",
     .help = "The currency of books that this command makes, like USD. Default: EUR."},
};

const struct tw_option_group tw_hub_where_options = {"Books and output", where_rows,
                                                     sizeof where_rows / sizeof *where_rows};

static const struct tw_option_group reading_options = {"Books and output", where_rows,
                                                       sizeof where_rows / sizeof *where_rows - 1};

const struct tw_option_group *tw_hub_args_where(const struct tw_hub_verb *verb)
{
    return verb->manner == TW_COMMAND_CHANGE ? &tw_hub_where_options : &reading_options;
}

/* ---- options from fields ---- */

struct field_value {
    const char *text;
    bool yes, no;
    struct tw_option_strings list;
};

/* All that a parse needs, in one piece of memory. */
struct table {
    char names[MOST_OPTIONS][TW_HUB_OPTION_BYTES], helps[MOST_OPTIONS][HELP_BYTES];
    struct tw_option rows[MOST_OPTIONS];
    struct field_value values[TW_LIMIT_HUB_FIELDS];
    struct tw_option_group group;
    struct tw_command_spec spec;
    char name[2 * TW_HUB_OPTION_BYTES];
    struct tw_buf synopsis, about;
};

void tw_hub_args_option_name(const struct tw_field *field, bool is_opposite,
                             char ret_name[TW_HUB_OPTION_BYTES])
{
    snprintf(ret_name, TW_HUB_OPTION_BYTES, "%s%s", is_opposite ? "no-" : "", field->name);
    for (char *at = ret_name; *at != '\0'; at++) {
        *at = *at == '_' ? '-' : *at;
    }
}

bool tw_hub_args_has_opposite(const struct tw_hub_verb *verb, const struct tw_field *field)
{
    return field->kind == TW_FIELD_FLAG && verb->manner == TW_COMMAND_CHANGE;
}

static void add_row(struct table *table, const struct tw_hub_verb *verb, size_t i, bool is_opposite)
{
    const struct tw_field *field = &verb->fields[i];
    const size_t n = table->group.n_options++;
    const size_t base = offsetof(struct table, values) + i * sizeof(struct field_value);
    struct tw_option *row = &table->rows[n];
    tw_hub_args_option_name(field, is_opposite, table->names[n]);
    *row = (struct tw_option){.name = table->names[n],
                              .kind = TW_OPTION_STRING,
                              .offset = base + offsetof(struct field_value, text),
                              .value_name = field->value,
                              .help = field->help};
    if (field->kind == TW_FIELD_LIST) {
        row->kind = TW_OPTION_STRINGS;
        row->offset = base + offsetof(struct field_value, list);
    } else if (field->kind == TW_FIELD_FLAG) {
        row->kind = TW_OPTION_FLAG;
        row->offset = base + (is_opposite ? offsetof(struct field_value, no)
                                          : offsetof(struct field_value, yes));
    }
    if (is_opposite) {
        char name[TW_HUB_OPTION_BYTES];
        tw_hub_args_option_name(field, false, name);
        snprintf(table->helps[n], sizeof table->helps[n], "The opposite of --%s.", name);
        row->help = table->helps[n];
    }
}

/* Breaks lines between words; the first one begins at column. */
static void append_wrapped(struct tw_buf *out, const char *text, size_t indent, size_t column)
{
    while (*text != '\0') {
        const size_t n = strcspn(text, " ");
        if (column > indent && column + 1 + n > ABOUT_COLUMNS) {
            tw_buf_append_format(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            tw_buf_append(out, " ", 1);
            column++;
        }
        tw_buf_append(out, text, n);
        column += n;
        text += n + (text[n] == ' ');
    }
}

static void write_about(const struct tw_hub_verb *verb, struct tw_buf *out)
{
    append_wrapped(out, verb->about, 0, 0);
    for (size_t i = 0; i < verb->n_fields && verb->fields[i].is_word; i++) {
        const struct tw_field *field = &verb->fields[i];
        tw_buf_append_format(out, "%s\n  %-*s", i == 0 ? "\n" : "", WORD_COLUMN - 2, field->value);
        if (strlen(field->value) + 3 > WORD_COLUMN) {
            tw_buf_append_format(out, "\n%*s", WORD_COLUMN, "");
        }
        append_wrapped(out, field->help, WORD_COLUMN, WORD_COLUMN);
    }
    tw_buf_append(out, "", 1);
}

void tw_hub_args_write_synopsis(const struct tw_hub_verb *verb, struct tw_buf *out)
{
    bool has_more = false;
    for (size_t i = 0; i < verb->n_fields; i++) {
        const struct tw_field *field = &verb->fields[i];
        char name[TW_HUB_OPTION_BYTES];
        tw_hub_args_option_name(field, false, name);
        const char *space = out->size_bytes > 0 ? " " : "";
        if (field->is_word) {
            tw_buf_append_format(out, field->is_required ? "%s%s" : "%s[%s]", space, field->value);
        } else if (field->is_required) {
            tw_buf_append_format(out, "%s--%s %s", space, name, field->value);
        } else {
            has_more = true;
        }
    }
    if (has_more) {
        tw_buf_append_format(out, "%s[OPTION ...]", out->size_bytes > 0 ? " " : "");
    }
}

static void free_table(struct table *table)
{
    for (size_t i = 0; i < TW_LIMIT_HUB_FIELDS; i++) {
        tw_option_strings_free(&table->values[i].list);
    }
    tw_buf_free(&table->synopsis);
    tw_buf_free(&table->about);
    tw_mem_free(table);
}

static struct table *make_table(const struct tw_hub_verb *verb, struct tw_hub_where *where)
{
    struct table *table = tw_mem_zalloc(1, sizeof *table);
    if (table == NULL) {
        return NULL;
    }
    tw_buf_init(&table->synopsis, TEXT_BYTES);
    tw_buf_init(&table->about, TEXT_BYTES);
    tw_hub_args_write_synopsis(verb, &table->synopsis);
    tw_buf_append(&table->synopsis, "", 1);
    write_about(verb, &table->about);
    table->group = (struct tw_option_group){.title = "Options", .options = table->rows};
    int n_words = 0, n_required = 0;
    for (size_t i = 0; i < verb->n_fields; i++) {
        if (verb->fields[i].is_word) {
            n_words++;
            n_required += verb->fields[i].is_required;
            continue;
        }
        add_row(table, verb, i, false);
        if (tw_hub_args_has_opposite(verb, &verb->fields[i])) {
            add_row(table, verb, i, true);
        }
    }
    snprintf(table->name, sizeof table->name, "%s %s", verb->group, verb->verb);
    table->spec = (struct tw_command_spec){.name = table->name,
                                           .synopsis = table->synopsis.data,
                                           .about = table->about.data,
                                           .least_words = n_required,
                                           .most_words = n_words,
                                           .uses = {{tw_hub_args_where(verb), where}}};
    if (table->group.n_options > 0) {
        table->spec.uses[0] = (struct tw_option_use){&table->group, table};
        table->spec.uses[1] = (struct tw_option_use){tw_hub_args_where(verb), where};
    }
    if (table->synopsis.failed || table->about.failed) {
        free_table(table);
        return NULL;
    }
    return table;
}

/* ---- from words to JSON ---- */

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the command");
}

/* The text was checked, so that what is wrong is told by the option's name. */
static json_t *json_of(const struct tw_field *field, const char *text,
                       const struct tw_field_value *value)
{
    const bool is_number = field->kind == TW_FIELD_INTEGER || field->kind == TW_FIELD_TOKENS;
    return is_number ? json_integer(value->integer) : json_string(text);
}

static enum tw_status read_one(const struct tw_field *field, const char *text, json_t **ret_value,
                               struct tw_error *error)
{
    struct tw_field_value value;
    char name[TW_HUB_OPTION_BYTES];
    enum tw_status status = tw_commands_read_text(field, text, tw_clock_wall_ns(), &value, error);
    if (status == TW_OK) {
        *ret_value = json_of(field, text, &value);
        return *ret_value != NULL ? TW_OK : no_memory(error);
    }
    tw_hub_args_option_name(field, false, name);
    tw_error_prefix(error, "%s%s", field->is_word ? "" : "--",
                    field->is_word ? field->value : name);
    return status;
}

/* "a,b" is two items. */
static enum tw_status read_items(const struct tw_field *field, const char *text, json_t *list,
                                 struct tw_error *error)
{
    char item[TW_LIMIT_HUB_TEXT_BYTES + 2];
    enum tw_status status = TW_OK;
    while (status == TW_OK && text != NULL) {
        const size_t n = strcspn(text, ",");
        json_t *value = NULL;
        snprintf(item, sizeof item, "%.*s", n < sizeof item ? (int)n : (int)sizeof item, text);
        status = read_one(field, item, &value, error);
        if (status == TW_OK && json_array_append_new(list, value) != 0) {
            status = no_memory(error);
        }
        text = text[n] == ',' ? text + n + 1 : NULL;
    }
    return status;
}

static enum tw_status read_list(const struct tw_field *field, const struct tw_option_strings *texts,
                                json_t **ret_value, struct tw_error *error)
{
    json_t *list = json_array();
    enum tw_status status = list != NULL ? TW_OK : no_memory(error);
    for (size_t i = 0; status == TW_OK && i < texts->n_items; i++) {
        status = read_items(field, texts->items[i], list, error);
    }
    if (status == TW_OK) {
        *ret_value = list;
    } else {
        json_decref(list);
    }
    return status;
}

static enum tw_status read_flag(const struct tw_field *field, const struct field_value *value,
                                json_t **ret_value, struct tw_error *error)
{
    if (value->yes && value->no) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--%s and --no-%s exclude each other", field->name, field->name);
    }
    *ret_value = value->yes ? json_true() : value->no ? json_false() : NULL;
    return TW_OK;
}

static enum tw_status read_field(const struct tw_hub_verb *verb, const struct tw_field *field,
                                 const struct field_value *value, json_t *fields,
                                 struct tw_error *error)
{
    json_t *json = NULL;
    enum tw_status status = TW_OK;
    if (field->kind == TW_FIELD_FLAG) {
        status = read_flag(field, value, &json, error);
    } else if (field->kind == TW_FIELD_LIST && value->list.n_items > 0) {
        status = read_list(field, &value->list, &json, error);
    } else if (value->text != NULL) {
        status = read_one(field, value->text, &json, error);
    } else if (field->is_required) {
        char name[TW_HUB_OPTION_BYTES];
        tw_hub_args_option_name(field, false, name);
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%s %s needs --%s %s: %s",
                            verb->group, verb->verb, name, field->value, field->help);
    }
    if (status == TW_OK && json != NULL && json_object_set_new(fields, field->name, json) != 0) {
        status = no_memory(error);
    }
    return status;
}

static enum tw_status read_fields(const struct tw_hub_verb *verb, struct table *table,
                                  const struct tw_words *words, json_t *fields,
                                  struct tw_error *error)
{
    enum tw_status status = fields != NULL ? TW_OK : no_memory(error);
    int n_words = 0;
    for (size_t i = 0; status == TW_OK && i < verb->n_fields; i++) {
        const struct tw_field *field = &verb->fields[i];
        if (field->is_word && n_words < words->n_items) {
            table->values[i].text = words->items[n_words++];
        }
        status = read_field(verb, field, &table->values[i], fields, error);
    }
    return status;
}

bool tw_hub_args_parse(const struct tw_hub_verb *verb, int argc, char **argv,
                       struct tw_hub_args *ret_args, int *ret_exit_code)
{
    struct tw_hub_args args = {.verb = verb};
    struct tw_words words;
    struct tw_error error;
    struct table *table = make_table(verb, &args.where);
    if (table == NULL) {
        no_memory(&error);
        *ret_exit_code = tw_command_fail(&error);
        return false;
    }
    bool is_good = tw_command_parse(&table->spec, argc, argv, &words, ret_exit_code);
    if (is_good) {
        args.fields = json_object();
        is_good = read_fields(verb, table, &words, args.fields, &error) == TW_OK;
        if (!is_good) {
            *ret_exit_code = tw_command_fail(&error);
        }
    }
    free_table(table);
    if (is_good) {
        *ret_args = args;
    } else {
        json_decref(args.fields);
    }
    return is_good;
}

void tw_hub_args_free(struct tw_hub_args *args)
{
    json_decref(args->fields);
    args->fields = NULL;
}
