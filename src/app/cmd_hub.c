/* org, team, project, ...: the hub's commands, of the running server, or of the store where none
 * runs. */
#include <stdio.h>
#include <string.h>

#include "app/ask_books.h"
#include "app/audit_files.h"
#include "app/audit_replay.h"
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
    enum tw_status status = tw_ask_books(&args->where, args->verb, args->fields, &answer, error);
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
    if (argc < 2) {
        print_verbs(group, stderr);
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_verbs(group, stdout);
        return 0;
    }
    const struct tw_hub_verb *verb = tw_commands_find(group->name, argv[1], &error);
    if (verb == NULL) {
        error.status = TW_ERR_USAGE;
        return tw_command_fail(&error);
    }
    if (!tw_hub_args_parse(verb, argc - 1, argv + 1, &args, &exit_code)) {
        return exit_code;
    }
    exit_code = execute(&args, &error) == TW_OK ? 0 : tw_command_fail(&error);
    tw_hub_args_free(&args);
    return exit_code;
}
