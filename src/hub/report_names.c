#include "hub/report_names.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/suggest.h"

static const char *const KINDS[TW_REPORT_KINDS] = {"org", "team", "project", "key"};

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "the names of all holders are larger than %zu bytes or memory is lacking",
                        TW_LIMIT_REPORT_BYTES);
}

static enum tw_status count_rows(struct tw_db *db, const char *sql, size_t *ret_n,
                                 struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, NULL, 0, &has_row, error);
    }
    if (status == TW_OK) {
        *ret_n = has_row ? (size_t)tw_db_column_integer(row, 0) : 0;
    }
    tw_db_finalize(row);
    return status;
}

/* Takes a row of a query. */
typedef enum tw_status (*row_fn)(struct tw_report_names *names, struct tw_db_statement *row,
                                 struct tw_error *error);

static enum tw_status take_holder(struct tw_report_names *names, struct tw_db_statement *row,
                                  struct tw_error *error)
{
    struct tw_report_holder *holder = &names->holders[names->n];
    const char *name = tw_db_column_text(row, 3), *kind = tw_db_column_text(row, 1);
    *holder = (struct tw_report_holder){.id = tw_db_column_integer(row, 0),
                                        .kind = TW_REPORT_KINDS,
                                        .parent_id = tw_db_column_integer(row, 2)};
    for (int i = 0; i < TW_REPORT_KINDS; i++) {
        holder->kind = strcmp(kind, KINDS[i]) == 0 ? (enum tw_report_kind)i : holder->kind;
    }
    if (holder->kind == TW_REPORT_KINDS) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the books have a holder %lld of a kind '%.20s' that is not known",
                            (long long)holder->id, kind);
    }
    holder->name = tw_arena_strndup(&names->arena, name, strlen(name));
    names->n++;
    return holder->name != NULL ? TW_OK : no_memory(error);
}

static enum tw_status read_rows(struct tw_db *db, const char *sql, struct tw_report_names *names,
                                row_fn take, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    enum tw_status status = tw_db_prepare(db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_query(row, NULL, 0, error);
    }
    while (status == TW_OK && has_row) {
        status = tw_db_next(row, &has_row, error);
        if (status == TW_OK && has_row) {
            status = take(names, row, error);
        }
    }
    tw_db_finalize(row);
    return status;
}

static enum tw_status place(struct tw_report_names *names, struct tw_report_holder *holder,
                            struct tw_error *error)
{
    const struct tw_report_holder *at = holder;
    size_t n_bytes = 0;
    for (int kind = (int)holder->kind; kind >= 0; kind--) {
        if (at == NULL || (int)at->kind != kind) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "the books are damaged: %s %lld has no %s above it; restore a "
                                "backup",
                                KINDS[holder->kind], (long long)holder->id, KINDS[kind]);
        }
        holder->above[kind] = at;
        n_bytes += strlen(at->name) + 1;
        at = tw_report_names_find(names, at->parent_id);
    }
    char *path = tw_arena_alloc(&names->arena, n_bytes, 1);
    if (path == NULL) {
        return no_memory(error);
    }
    for (size_t kind = 0, used = 0; kind <= holder->kind; kind++) {
        used += (size_t)snprintf(path + used, n_bytes - used, "%s%s", kind != 0 ? "/" : "",
                                 holder->above[kind]->name);
    }
    holder->path = path;
    return TW_OK;
}

/* ---- users ---- */

static enum tw_status take_user(struct tw_report_names *names, struct tw_db_statement *row,
                                struct tw_error *error)
{
    const struct tw_report_holder *org = tw_report_names_find(names, tw_db_column_integer(row, 1));
    const char *name = tw_db_column_text(row, 2), *of = org != NULL ? org->name : "";
    const size_t n_bytes = strlen(of) + strlen(name) + 2;
    char *path = tw_arena_alloc(&names->arena, n_bytes, 1);
    if (path == NULL) {
        return no_memory(error);
    }
    snprintf(path, n_bytes, "%s%s%s", of, org != NULL ? "/" : "", name);
    names->users[names->n_users++] =
        (struct tw_report_user){.id = tw_db_column_integer(row, 0), .path = path};
    return TW_OK;
}

/* All secrets of a key are one user's: the latest says it. */
static enum tw_status take_secret(struct tw_report_names *names, struct tw_db_statement *row,
                                  struct tw_error *error)
{
    const struct tw_report_holder *key = tw_report_names_find(names, tw_db_column_integer(row, 0));
    (void)error;
    if (key != NULL) {
        names->holders[key - names->holders].user =
            tw_report_names_find_user(names, tw_db_column_integer(row, 1));
    }
    return TW_OK;
}

/* ---- all of them ---- */

static enum tw_status make_room(struct tw_db *db, struct tw_report_names *names,
                                struct tw_error *error)
{
    size_t n_holders = 0, n_users = 0;
    enum tw_status status = count_rows(db, "SELECT COUNT(*) FROM holder", &n_holders, error);
    if (status == TW_OK) {
        status = count_rows(db, "SELECT COUNT(*) FROM person", &n_users, error);
    }
    if (status != TW_OK) {
        return status;
    }
    names->holders = tw_arena_alloc(&names->arena, n_holders + 1, sizeof *names->holders);
    names->users = tw_arena_alloc(&names->arena, n_users + 1, sizeof *names->users);
    return names->holders != NULL && names->users != NULL ? TW_OK : no_memory(error);
}

enum tw_status tw_report_names_read(struct tw_db *db, struct tw_report_names *ret_names,
                                    struct tw_error *error)
{
    struct tw_report_names names = {0};
    tw_arena_init(&names.arena, TW_LIMIT_REPORT_BYTES);
    enum tw_status status = make_room(db, &names, error);
    if (status == TW_OK) {
        status = read_rows(db, "SELECT id, kind, parent, name FROM holder ORDER BY id", &names,
                           take_holder, error);
    }
    for (size_t i = 0; status == TW_OK && i < names.n; i++) {
        status = place(&names, &names.holders[i], error);
    }
    if (status == TW_OK) {
        status =
            read_rows(db, "SELECT id, org, name FROM person ORDER BY id", &names, take_user, error);
    }
    if (status == TW_OK) {
        status = read_rows(db, "SELECT holder, person FROM secret WHERE holder <> 0 ORDER BY id",
                           &names, take_secret, error);
    }
    if (status != TW_OK) {
        tw_report_names_free(&names);
        return status;
    }
    *ret_names = names;
    return TW_OK;
}

void tw_report_names_free(struct tw_report_names *names)
{
    tw_arena_clear(&names->arena);
    *names = (struct tw_report_names){0};
}

const struct tw_report_holder *tw_report_names_find(const struct tw_report_names *names, int64_t id)
{
    size_t low = 0, high = names->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (names->holders[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < names->n && names->holders[low].id == id ? &names->holders[low] : NULL;
}

const struct tw_report_user *tw_report_names_find_user(const struct tw_report_names *names,
                                                       int64_t id)
{
    size_t low = 0, high = names->n_users;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (names->users[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < names->n_users && names->users[low].id == id ? &names->users[low] : NULL;
}

/* ---- a part of the tree ---- */

static enum tw_status not_there(const struct tw_report_names *names, const char *path,
                                struct tw_error *error)
{
    const char **paths = tw_mem_zalloc(names->n + 1, sizeof *paths);
    for (size_t i = 0, n = 0; paths != NULL && i < names->n; i++) {
        if (!names->holders[i].is_hidden) {
            paths[n++] = names->holders[i].path;
        }
    }
    const char *guess = paths != NULL ? tw_suggest_word(path, paths) : NULL;
    tw_mem_free(paths);
    if (guess != NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the books have no '%.80s'; did you mean '%.80s'?", path, guess);
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "the books have no '%.80s'; write organisation, team, project and key with "
                        "slashes between them",
                        path);
}

static bool is_named(const struct tw_report_holder *holder, const char *path)
{
    char number[24];
    snprintf(number, sizeof number, "#%lld", (long long)holder->id);
    return strcmp(holder->path, path) == 0 || strcmp(number, path) == 0;
}

/* What is above something that may be seen is known by name. */
static void hide(struct tw_report_names *names, const struct tw_report_viewer *viewer)
{
    for (size_t i = 0; viewer->may_see != NULL && i < names->n; i++) {
        struct tw_report_holder *holder = &names->holders[i];
        holder->is_hidden = !viewer->may_see(viewer->context, holder->id);
        for (size_t kind = 0; !holder->is_hidden && kind < holder->kind; kind++) {
            names->holders[holder->above[kind] - names->holders].is_hidden = false;
        }
    }
}

enum tw_status tw_report_names_choose(struct tw_report_names *names, const char *path,
                                      const struct tw_report_viewer *viewer, struct tw_error *error)
{
    bool is_found = path == NULL;
    hide(names, viewer);
    for (size_t i = 0; i < names->n; i++) {
        struct tw_report_holder *holder = &names->holders[i];
        holder->is_chosen = path == NULL;
        for (size_t kind = 0; path != NULL && kind <= holder->kind; kind++) {
            holder->is_chosen |= is_named(holder->above[kind], path);
        }
        holder->is_chosen = holder->is_chosen && !holder->is_hidden;
        is_found |= holder->is_chosen;
    }
    return is_found ? TW_OK : not_there(names, path, error);
}
