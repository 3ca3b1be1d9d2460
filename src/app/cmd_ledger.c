/* ledger: whether the books balance. */
#include "app/books_args.h"
#include "app/command.h"
#include "base/json.h"
#include "hub/exact.h"
#include "hub/ledger_check.h"

enum { SUMMARY_BYTES = 4096 };

struct check_args {
    bool json;
};

static const struct tw_option check_options[] = {
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct check_args, json),
     .help = "Print one JSON object."},
};

static const struct tw_option_group check_group = {"Options", check_options, 1};

static void write_json(const struct tw_ledger_summary *summary, struct tw_buf *out)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_bool(&json, "balances", true);
    tw_json_put_int(&json, "entries", summary->n_entries);
    tw_json_put_int(&json, "requests", summary->n_requests);
    tw_json_put_int(&json, "open_requests", summary->n_open);
    tw_json_put_int(&json, "windows", summary->n_windows);
    tw_json_put_int(&json, "settled_nano", summary->settled_nano);
    tw_json_put_int(&json, "settled_tokens", summary->settled_tokens);
    tw_json_put_int(&json, "held_nano", summary->held_nano);
    tw_json_object_end(&json);
}

static void write_text(const struct tw_ledger_summary *summary, struct tw_buf *out)
{
    char settled[TW_EXACT_TEXT_BYTES], held[TW_EXACT_TEXT_BYTES];
    const struct tw_exact settled_amount = tw_exact_of_nano(summary->settled_nano);
    const struct tw_exact held_amount = tw_exact_of_nano(summary->held_nano);
    tw_exact_write_short(&settled_amount, settled);
    tw_exact_write_short(&held_amount, held);
    tw_buf_append_format(out,
                         "the books balance\n"
                         "entries   %lld of %lld requests, of which %lld are open\n"
                         "settled   %s for %lld tokens\n"
                         "held      %s\n"
                         "budgets   %lld windows",
                         (long long)summary->n_entries, (long long)summary->n_requests,
                         (long long)summary->n_open, settled, (long long)summary->settled_tokens,
                         held, (long long)summary->n_windows);
}

static enum tw_status check(const struct tw_books_args *books, bool json, struct tw_error *error)
{
    struct tw_db *db;
    struct tw_ledger_summary summary;
    enum tw_status status = tw_books_args_open(books, &db, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_ledger_check(db, &summary, error);
    tw_db_close(db);
    if (status != TW_OK) {
        return status;
    }
    struct tw_buf out;
    tw_buf_init(&out, SUMMARY_BYTES);
    if (json) {
        write_json(&summary, &out);
    } else {
        write_text(&summary, &out);
    }
    status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}

static int run_check(int argc, char **argv)
{
    struct tw_books_args books = {0};
    struct check_args args = {0};
    const struct tw_command_spec spec = {
        .name = "ledger check",
        .synopsis = "--books ADDRESS [--json]",
        .about = "Recomputes everything that the books keep as a sum from the entries of the\n"
                 "ledger: accounts, reservations, budgets, amounts. Prints what there is, or the\n"
                 "first thing that differs (exit code 9). Can run beside a server.",
        .uses = {{&tw_books_group, &books}, {&check_group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return check(&books, args.json, &error) == TW_OK ? 0 : tw_command_fail(&error);
}

int tw_cmd_ledger(int argc, char **argv)
{
    static const struct tw_command commands[] = {
        {"check", "recompute all sums of the books and compare", run_check},
        {NULL, NULL, NULL},
    };
    return tw_command_dispatch(commands, "tokenworks ledger",
                               "Looks after the ledger of the books.", argc, argv);
}
