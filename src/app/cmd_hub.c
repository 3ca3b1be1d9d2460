/* org, team, project, ...: the hub's commands, of the running server, or of the store where none
 * runs. */
#include <stdio.h>
#include <string.h>

#include "app/ask_books.h"
#include "app/audit_files.h"
#include "app/audit_replay.h"
#include "app/books_args.h"
#include "app/command.h"
#include "app/hub_args.h"
#include "app/hub_print.h"

static void print_verbs(const struct tw_hub_group *group, FILE *out)
{
    fprintf(out, "usage: tokenworks %s VERB ...\n\n%s\n\nVerbs:\n", group->name, group->about);
    const struct tw_hub_verb *verb;
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        if (strcmp(verb->group, group->name) == 0) {
            fprintf(out, "  %-12s %s\n", verb->verb, verb->summary);
        }
    }
    fprintf(out, "\n'tokenworks %s VERB --help' explains one.\n", group->name);
}

static bool is_verb(const struct tw_hub_args *args, const char *group, const char *verb)
{
    return strcmp(args->verb->group, group) == 0 && strcmp(args->verb->verb, verb) == 0;
}

static enum tw_status print_lines(const json_t *rows, struct tw_error *error)
{
    struct tw_json_writer writer;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < json_array_size(rows); i++) {
        struct tw_buf line;
        tw_buf_init(&line, TW_LIMIT_ADMIN_ANSWER_BYTES);
        tw_json_begin(&writer, &line);
        tw_json_value(&writer, json_array_get(rows, i));
        status = tw_command_write_line(&line, error);
        tw_buf_free(&line);
    }
    return status;
}

/* Lines of JSON, page after page, whether or not --json is there. */
static enum tw_status export_subject(const struct tw_hub_args *args, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    bool has_more = true;
    while (status == TW_OK && has_more) {
        json_t *answer = NULL;
        status = tw_ask_books(&args->where, args->verb, args->fields, &answer, error);
        const json_t *next = json_object_get(answer, "next");
        has_more = json_is_integer(next);
        if (status == TW_OK) {
            status = print_lines(json_object_get(answer, "rows"), error);
        }
        if (has_more) {
            json_object_set_new(args->fields, "after", json_integer(json_integer_value(next)));
        }
        json_decref(answer);
    }
    return status;
}

/* The rows of a page, which has one list, behind those of the pages before. */
static bool add_rows(json_t *whole, json_t *page)
{
    const char *name;
    json_t *value;
    bool is_good = json_object_set(whole, "next", json_object_get(page, "next")) == 0;
    json_object_foreach (page, name, value) {
        if (json_is_array(value)) {
            is_good = is_good && json_array_extend(json_object_get(whole, name), value) == 0;
        }
    }
    return is_good;
}

/* A list is asked for page by page, each of one state of the books, where nobody wants one. */
static enum tw_status ask_all(const struct tw_hub_args *args, json_t **ret_answer,
                              struct tw_error *error)
{
    const bool wants_one = json_object_get(args->fields, "most") != NULL;
    json_t *whole = NULL, *page = NULL;
    enum tw_status status = tw_ask_books(&args->where, args->verb, args->fields, &whole, error);
    while (status == TW_OK && !wants_one && json_is_integer(json_object_get(whole, "next"))) {
        json_object_set(args->fields, "after", json_object_get(whole, "next"));
        status = tw_ask_books(&args->where, args->verb, args->fields, &page, error);
        if (status == TW_OK && !add_rows(whole, page)) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a list");
        }
        json_decref(page);
        page = NULL;
    }
    if (status == TW_OK && !wants_one && args->verb->manner == TW_COMMAND_LIST) {
        json_object_del(whole, "next");
    }
    if (status == TW_OK) {
        *ret_answer = whole;
    } else {
        json_decref(whole);
    }
    return status;
}

/* A report comes as the text that it is, or as JSON. */
static enum tw_status show_usage(const struct tw_hub_args *args, struct tw_error *error)
{
    json_t *answer = NULL;
    if (json_object_get(args->fields, "width") == NULL) {
        json_object_set_new(args->fields, "width", json_integer((json_int_t)tw_books_args_width()));
    }
    if (args->where.json && json_object_get(args->fields, "format") == NULL) {
        json_object_set_new(args->fields, "format", json_string("json"));
    }
    enum tw_status status = tw_ask_books(&args->where, args->verb, args->fields, &answer, error);
    const json_t *text = json_object_get(answer, "text");
    if (status == TW_OK) {
        status = json_is_string(text)
                     ? tw_command_write(json_string_value(text), json_string_length(text), error)
                     : tw_hub_print(answer, &(struct tw_hub_print){.as_json = true}, error);
    }
    json_decref(answer);
    return status;
}

/* Beside the answer; who reads JSON has them in it as well. */
static void print_warnings(const struct tw_hub_args *args, json_t *answer)
{
    const json_t *warnings = json_object_get(answer, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        tw_command_note("note: %s", text != NULL ? text : "");
    }
    if (!args->where.json) {
        json_object_del(answer, "warnings");
    }
}

static enum tw_status execute(const struct tw_hub_args *args, struct tw_error *error)
{
    json_t *answer = NULL;
    if (is_verb(args, "audit", "replay")) {
        return tw_audit_replay(args, error);
    }
    if (args->verb->manner == TW_COMMAND_LOCAL) {
        return tw_audit_files_run(args, error);
    }
    if (is_verb(args, "subject", "export")) {
        return export_subject(args, error);
    }
    if (strcmp(args->verb->group, "usage") == 0) {
        return show_usage(args, error);
    }
    enum tw_status status = ask_all(args, &answer, error);
    if (status == TW_OK) {
        const struct tw_field *all = tw_commands_field(args->verb, "all");
        const struct tw_hub_print how = {
            .as_json = args->where.json,
            .is_wide = args->where.wide,
            .may_hide = all != NULL && !json_is_true(json_object_get(args->fields, all->name))};
        print_warnings(args, answer);
        status = tw_hub_print(answer, &how, error);
    }
    if (status == TW_OK && args->verb->manner == TW_COMMAND_CHANGE &&
        json_object_get(answer, "secret") != NULL) {
        tw_command_note("the secret is shown this once: keep it in a safe place now");
    }
    json_decref(answer);
    return status;
}

int tw_cmd_hub(int argc, char **argv)
{
    const struct tw_hub_group *group = tw_commands_find_group(argv[0]);
    struct tw_hub_args args;
    struct tw_error error;
    int exit_code;
    const bool has_verb = argc > 1 && (argv[1][0] != '-' || group->otherwise == NULL);
    if (argc < 2 && group->otherwise == NULL) {
        print_verbs(group, stderr);
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_verbs(group, stdout);
        return 0;
    }
    const struct tw_hub_verb *verb =
        tw_commands_find(group->name, has_verb ? argv[1] : group->otherwise, &error);
    if (verb == NULL) {
        error.status = TW_ERR_USAGE;
        return tw_command_fail(&error);
    }
    if (!tw_hub_args_parse(verb, argc - has_verb, argv + has_verb, &args, &exit_code)) {
        return exit_code;
    }
    exit_code = execute(&args, &error) == TW_OK ? 0 : tw_command_fail(&error);
    tw_hub_args_free(&args);
    return exit_code;
}
