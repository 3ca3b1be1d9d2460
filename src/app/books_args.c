#include "app/books_args.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/books_place.h"
#include "hub/hub_schema.h"

enum tw_status tw_books_args_open(const char *address, struct tw_db **ret_db,
                                  struct tw_error *error)
{
    struct tw_books_place place;
    struct tw_db *db = NULL;
    enum tw_status status = tw_books_place_find(address, &place, error);
    if (status == TW_OK) {
        status = tw_books_place_may_enter(&place, error);
    }
    if (status == TW_OK && !tw_books_place_is_there(&place)) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "there is no '%.200s': --books or TOKENWORKS_BOOKS says where the "
                              "books are, and 'tokenworks serve' makes new ones",
                              place.address);
    }
    if (status == TW_OK) {
        status = tw_db_open(place.address, TW_DB_REPORT, &db, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = tw_hub_schema_migrate(db, error); /* of a reader: whether it knows these tables */
    if (status != TW_OK) {
        tw_db_close(db);
        return status;
    }
    *ret_db = db;
    return TW_OK;
}

enum tw_status tw_books_args_read(struct tw_db *db, const char *sql, char *ret_text,
                                  size_t text_bytes, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_query(statement, NULL, 0, error);
    }
    if (status == TW_OK) {
        status = tw_db_next(statement, &has_row, error);
    }
    if (status == TW_OK && !has_row) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the store has no row of the books: it was damaged");
    }
    if (status == TW_OK) {
        snprintf(ret_text, text_bytes, "%s", tw_db_column_text(statement, 0));
    }
    tw_db_finalize(statement);
    return status;
}

enum tw_status tw_books_args_currency(struct tw_db *db, const char *wanted,
                                      char ret_currency[TW_BOOKS_CURRENCY_BYTES],
                                      struct tw_error *error)
{
    char currency[TW_BOOKS_CURRENCY_BYTES];
    enum tw_status status = tw_books_args_read(db, "SELECT currency FROM books WHERE id = 1",
                                               currency, sizeof currency, error);
    if (status == TW_OK && wanted != NULL && strcmp(wanted, currency) != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "these books are in %s for ever, not in %.20s: leave --currency out, "
                            "or begin other books",
                            currency, wanted);
    }
    if (status == TW_OK) {
        memcpy(ret_currency, currency, sizeof currency);
    }
    return status;
}

size_t tw_books_args_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
