/* org, team, project, user, key, budget, price, ledger, audit: the hub's commands, of the running
 * server, or of the store where none runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/admin_client.h"
#include "app/audit_files.h"
#include "app/books_args.h"
#include "app/books_place.h"
#include "app/command.h"
#include "app/hub_args.h"
#include "app/hub_print.h"
#include "hub/hub_admin.h"
#include "hub/report.h"

#define NAME_BYTES 32

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

/* ---- where it is asked ---- */

/* Who gives the command: a person whose secret was set, or whoever has the machine. */
static enum tw_status find_actor(struct tw_hub *hub, const char *secret, char name[NAME_BYTES],
                                 struct tw_hub_actor *ret_actor, struct tw_error *error)
{
    snprintf(name, NAME_BYTES, "uid %u", (unsigned)getuid());
    *ret_actor = (struct tw_hub_actor){.name = name};
    if (secret == NULL || tw_hub_find_person(hub, secret, ret_actor)) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                        "TOKENWORKS_SECRET is no user's secret here; 'user secret' makes one");
}

/* A check needs no keys and changes nothing: a copy of the books will do. */
static enum tw_status check_store(const struct tw_books_place *place, json_t **ret_answer,
                                  struct tw_error *error)
{
    const struct tw_books_args books = {place->address};
    struct tw_db *db = NULL;
    enum tw_status status = tw_books_args_open(&books, &db, error);
    if (status == TW_OK) {
        status = tw_report_check_books(db, ret_answer, error);
    }
    tw_db_close(db);
    return status;
}

static enum tw_status ask_store(const struct tw_books_place *place, const struct tw_hub_args *args,
                                const char *secret, json_t **ret_answer, struct tw_error *error)
{
    struct tw_hub *hub = NULL;
    struct tw_hub_actor actor;
    char name[NAME_BYTES];
    if (args->verb->manner != TW_COMMAND_CHANGE && !tw_books_place_is_there(place)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there are no books at '%.200s'; a command that makes something makes "
                            "them, and so does 'tokenworks serve'",
                            place->address);
    }
    if (secret == NULL && args->verb->run == tw_report_check_ledger) {
        return check_store(place, ret_answer, error);
    }
    struct tw_hub_config config = tw_books_place_config(place, args->where.currency);
    config.is_brief = true;
    enum tw_status status = tw_books_place_make(place, error);
    if (status == TW_OK) {
        status = tw_hub_open(&config, &hub, error);
    }
    if (status == TW_OK) {
        status = find_actor(hub, secret, name, &actor, error);
    }
    if (status == TW_OK) {
        json_t *command =
            tw_hub_make_command(args->verb->group, args->verb->verb, json_incref(args->fields));
        status = tw_hub_ask(hub, &actor, command, ret_answer, error);
    }
    tw_hub_close(hub);
    return status;
}

static enum tw_status ask(const struct tw_hub_args *args, json_t **ret_answer,
                          struct tw_error *error)
{
    struct tw_books_place place;
    const char *secret = getenv("TOKENWORKS_SECRET");
    bool is_there = false;
    secret = secret != NULL && secret[0] != '\0' ? secret : NULL;
    enum tw_status status = tw_books_place_find(args->where.books, &place, error);
    if (status == TW_OK) {
        status = tw_books_place_check(&place, error);
    }
    if (status == TW_OK) {
        status = tw_admin_client_ask(place.socket, secret, args->verb->group, args->verb->verb,
                                     args->fields, &is_there, ret_answer, error);
    }
    return status == TW_OK && !is_there ? ask_store(&place, args, secret, ret_answer, error)
                                        : status;
}

static enum tw_status execute(const struct tw_hub_args *args, struct tw_error *error)
{
    json_t *answer = NULL;
    if (args->verb->manner == TW_COMMAND_LOCAL) {
        return tw_audit_files_run(args, error);
    }
    enum tw_status status = ask(args, &answer, error);
    if (status == TW_OK) {
        status = tw_hub_print(answer, args->where.json, error);
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
