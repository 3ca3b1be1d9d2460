#include "app/ask_books.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/admin_client.h"
#include "app/books_args.h"
#include "app/books_place.h"
#include "app/command.h"
#include "base/clock.h"
#include "hub/hub_admin.h"
#include "hub/report.h"

#define NAME_BYTES 32

struct asked {
    const struct tw_hub_where *where;
    const struct tw_hub_verb *verb;
    json_t *fields;
};

/* Who gives the command: a person whose secret was set, or whoever has the machine. */
static enum tw_status find_actor(struct tw_hub *hub, const char *secret, char name[NAME_BYTES],
                                 struct tw_hub_actor *ret_actor, struct tw_error *error)
{
    snprintf(name, NAME_BYTES, "uid %u", (unsigned)getuid());
    *ret_actor = (struct tw_hub_actor){.name = name};
    if (secret == NULL || tw_hub_find_person(hub, secret, ret_actor)) {
        return TW_OK;
    }
    return tw_error_set(
        error, TW_ERR_DENIED, TW_NO_POSITION,
        "the secret in the variable TOKENWORKS_SECRET is no user's here: unset it to give "
        "commands as the owner of the books, or have 'user secret' make one");
}

/* What needs no keys and changes nothing: a copy of the books will do. */
static enum tw_status ask_tables(const struct tw_books_place *place, const struct asked *asked,
                                 json_t **ret_answer, struct tw_error *error)
{
    struct tw_db *db = NULL;
    enum tw_status status = tw_books_args_open(place->address, &db, error);
    if (status == TW_OK) {
        status = tw_report_of_tables(db, asked->verb, asked->fields, tw_clock_wall_ns(), ret_answer,
                                     error);
    }
    tw_db_close(db);
    return status;
}

static enum tw_status ask_store(const struct tw_books_place *place, const struct asked *asked,
                                const char *secret, json_t **ret_answer, struct tw_error *error)
{
    struct tw_hub *hub = NULL;
    struct tw_hub_actor actor;
    char name[NAME_BYTES];
    if (asked->verb->manner != TW_COMMAND_CHANGE && !tw_books_place_is_there(place)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there are no books at '%.200s'; a command that makes something makes "
                            "them, and so does 'tokenworks serve'",
                            place->address);
    }
    if (secret == NULL && tw_report_needs_tables_only(asked->verb)) {
        return ask_tables(place, asked, ret_answer, error);
    }
    struct tw_hub_config config = tw_books_place_config(place, asked->where->currency);
    config.is_brief = true;
    enum tw_status status = tw_books_place_make(place, error);
    if (status == TW_OK) {
        status = tw_hub_open(&config, &hub, error);
    }
    if (status == TW_OK && tw_hub_n_recovered(hub) > 0) {
        tw_command_note("%lld requests that a server had left open were settled at their "
                        "watermarks",
                        (long long)tw_hub_n_recovered(hub));
    }
    if (status == TW_OK) {
        status = find_actor(hub, secret, name, &actor, error);
    }
    if (status == TW_OK) {
        json_t *command =
            tw_hub_make_command(asked->verb->group, asked->verb->verb, json_incref(asked->fields));
        status = tw_hub_ask(hub, &actor, command, ret_answer, error);
    }
    tw_hub_close(hub);
    return status;
}

/* Of books that are there, also where a server has them; a store that cannot be read is judged by
 * whoever opens it. */
static enum tw_status check_currency(const struct tw_books_place *place, const char *wanted,
                                     struct tw_error *error)
{
    char currency[TW_BOOKS_CURRENCY_BYTES];
    struct tw_db *db = NULL;
    struct tw_error reason;
    if (wanted == NULL || !tw_books_place_is_there(place) ||
        tw_books_args_open(place->address, &db, &reason) != TW_OK) {
        return TW_OK;
    }
    enum tw_status status = tw_books_args_currency(db, wanted, currency, error);
    tw_db_close(db);
    return status;
}

enum tw_status tw_ask_books(const struct tw_hub_where *where, const struct tw_hub_verb *verb,
                            json_t *fields, json_t **ret_answer, struct tw_error *error)
{
    const struct asked asked = {where, verb, fields};
    struct tw_books_place place;
    const char *secret = getenv("TOKENWORKS_SECRET");
    bool is_there = false;
    secret = secret != NULL && secret[0] != '\0' ? secret : NULL;
    enum tw_status status = tw_books_place_find(where->books, &place, error);
    if (status == TW_OK) {
        status = tw_books_place_check(&place, error);
    }
    if (status == TW_OK) {
        status = check_currency(&place, where->currency, error);
    }
    if (status == TW_OK) {
        status = tw_admin_client_ask(place.socket, secret, verb->group, verb->verb, fields,
                                     &is_there, ret_answer, error);
    }
    if (status == TW_OK && is_there) {
        return TW_OK;
    }
    if (status == TW_OK) {
        status = tw_books_place_may_enter(&place, error);
    }
    return status == TW_OK ? ask_store(&place, &asked, secret, ret_answer, error) : status;
}
