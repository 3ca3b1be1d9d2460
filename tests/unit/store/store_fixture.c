#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_postgres;
static char folder[64];
static char address[512];

bool fixture_choose(const char *kind)
{
    is_postgres = strcmp(kind, "postgres") == 0;
    const char *server = getenv("TW_TEST_POSTGRES");
    if (is_postgres) {
        snprintf(address, sizeof(address), "%s", server != NULL ? server : "");
    }
    return is_postgres ? server != NULL : strcmp(kind, "sqlite") == 0;
}

bool fixture_is_postgres(void)
{
    return is_postgres;
}

const char *fixture_address(void)
{
    return address;
}

const char *fixture_folder(void)
{
    return folder;
}

int fixture_enter(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/tokenworks-test-XXXXXX", 28);
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        return -1;
    }
    if (!is_postgres) {
        snprintf(address, sizeof(address), "%s/books.db", folder);
        return 0;
    }
    struct tw_db *db = fixture_open(TW_DB_WRITE);
    fixture_execute(db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    tw_db_close(db);
    return 0;
}

int fixture_leave(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            remove(path);
        }
    }
    closedir(dir);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

struct tw_db *fixture_open(enum tw_db_mode mode)
{
    struct tw_db *db = NULL;
    struct tw_error error = {.text = ""};
    if (tw_db_open(address, mode, &db, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return db;
}

void fixture_execute(struct tw_db *db, const char *sql)
{
    struct tw_error error = {.text = ""};
    if (tw_db_execute(db, sql, &error) != TW_OK) {
        fail_msg("%s: %s", sql, error.text);
    }
}

struct tw_db_statement *fixture_prepare(struct tw_db *db, const char *sql)
{
    struct tw_db_statement *statement = NULL;
    struct tw_error error = {.text = ""};
    if (tw_db_prepare(db, sql, &statement, &error) != TW_OK) {
        fail_msg("%s: %s", sql, error.text);
    }
    return statement;
}

int64_t fixture_number(struct tw_db *db, const char *sql)
{
    bool is_row = false;
    struct tw_error error = {.text = ""};
    struct tw_db_statement *statement = fixture_prepare(db, sql);
    if (tw_db_query(statement, NULL, 0, &error) != TW_OK ||
        tw_db_next(statement, &is_row, &error) != TW_OK || !is_row) {
        fail_msg("%s: %s", sql, error.text);
    }
    int64_t number = tw_db_column_integer(statement, 0);
    tw_db_finalize(statement);
    return number;
}
