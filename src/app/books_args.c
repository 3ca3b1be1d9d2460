#include "app/books_args.h"

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
        status = tw_db_open(place.address, TW_DB_READ, &db, error);
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

size_t tw_books_args_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
