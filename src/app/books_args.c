#include "app/books_args.h"

#include <sys/ioctl.h>
#include <unistd.h>

static const struct tw_option options[] = {
    {.name = "books",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct tw_books_args, address),
     .value_name = "ADDRESS",
     .help = "The books: a file, or postgres://... They are only read."},
};

const struct tw_option_group tw_books_group = {"Books", options, sizeof options / sizeof *options};

enum tw_status tw_books_args_open(const struct tw_books_args *args, struct tw_db **ret_db,
                                  struct tw_error *error)
{
    if (args->address == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no books: give --books with their file or postgres://...");
    }
    return tw_db_open(args->address, TW_DB_READ, ret_db, error);
}

size_t tw_books_args_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
