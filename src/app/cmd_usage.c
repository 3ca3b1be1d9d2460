/* usage: what was used and what it cost, from the ledger; and invoices. */
#include <string.h>

#include "app/books_args.h"
#include "app/command.h"
#include "base/clock.h"
#include "hub/focus.h"
#include "hub/invoice.h"
#include "hub/usage_period.h"
#include "hub/usage_report.h"

enum { NANO = 1000000000 };

/* ---- what both share ---- */

struct bill_args {
    const char *zone, *provider;
    bool json; /* as --format json */
};

static const struct tw_option bill_options[] = {
    {.name = "zone",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct bill_args, zone),
     .value_name = "ZONE",
     .help = "Whose days and months count, such as Europe/Berlin. Default: UTC."},
    {.name = "provider",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct bill_args, provider),
     .value_name = "NAME",
     .help = "Who offers the service and bills for it. Default: tokenworks."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct bill_args, json),
     .help = "The same as --format json."},
};

static const struct tw_option_group bill_group = {"Billing", bill_options, 3};

/* A zone and the books, open; out is for what is to be printed. */
struct desk {
    struct tw_zone *zone;
    struct tw_db *db;
    struct tw_buf out;
};

static void close_desk(struct desk *desk)
{
    tw_buf_free(&desk->out);
    tw_db_close(desk->db);
    tw_zone_free(desk->zone);
}

static enum tw_status open_desk(const struct tw_books_args *books, const struct bill_args *bill,
                                struct desk *ret_desk, struct tw_error *error)
{
    struct desk desk = {0};
    tw_buf_init(&desk.out, TW_LIMIT_REPORT_BYTES);
    enum tw_status status = tw_zone_open(NULL, bill->zone, &desk.zone, error);
    if (status == TW_OK) {
        status = tw_books_args_open(books, &desk.db, error);
    }
    if (status != TW_OK) {
        close_desk(&desk);
        return status;
    }
    *ret_desk = desk;
    return TW_OK;
}

static enum tw_status print(const struct desk *desk, struct tw_error *error)
{
    return tw_command_write(desk->out.data, desk->out.size_bytes, error);
}

/* ---- invoice ---- */

struct invoice_args {
    const char *org, *month;
    int format;
};

static const char *const invoice_formats[] = {"text", "json", NULL};

static const struct tw_option invoice_options[] = {
    {.name = "org",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct invoice_args, org),
     .value_name = "NAME",
     .help = "The organisation that is to pay."},
    {.name = "month",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct invoice_args, month),
     .value_name = "MONTH",
     .help = "2026-11, this-month or last-month. Default: last-month."},
    {.name = "format",
     .kind = TW_OPTION_CHOICE,
     .offset = offsetof(struct invoice_args, format),
     .value_name = "FORMAT",
     .choices = invoice_formats,
     .help = "text or json. Default: text."},
};

static const struct tw_option_group invoice_group = {"Invoice", invoice_options, 3};

static enum tw_status write_invoice(const struct desk *desk, const struct invoice_args *args,
                                    const char *provider, struct tw_buf *out,
                                    struct tw_error *error)
{
    const int64_t now_ns = tw_clock_wall_ns();
    struct tw_period month;
    struct tw_invoice *invoice;
    enum tw_status status =
        tw_usage_period_parse_month(args->month, desk->zone, now_ns / NANO, &month, error);
    if (status == TW_OK) {
        status = tw_invoice_read(desk->db, args->org, month, desk->zone, now_ns, &invoice, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = args->format == 1
                 ? tw_invoice_write_json(invoice, provider, out, error)
                 : tw_invoice_write_text(invoice, provider, tw_books_args_width(), out, error);
    tw_invoice_free(invoice);
    return status;
}

static enum tw_status invoice(const struct tw_books_args *books, const struct bill_args *bill,
                              const struct invoice_args *args, struct tw_error *error)
{
    if (args->org == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no organisation: give --org with its name");
    }
    struct desk desk;
    enum tw_status status = open_desk(books, bill, &desk, error);
    if (status != TW_OK) {
        return status;
    }
    status = write_invoice(&desk, args, bill->provider, &desk.out, error);
    if (status == TW_OK) {
        status = print(&desk, error);
    }
    close_desk(&desk);
    return status;
}

static int run_invoice(int argc, char **argv)
{
    struct tw_books_args books = {0};
    struct bill_args bill = {.zone = "UTC", .provider = "tokenworks"};
    struct invoice_args args = {.month = "last-month"};
    const struct tw_command_spec spec = {
        .name = "usage invoice",
        .synopsis = "--org NAME [--month MONTH] [--zone ZONE] [--format FORMAT]",
        .about = "Prints what an organisation has to pay for a month: a line for each project,\n"
                 "model, direction and price version. The total is the sum of the ledger's\n"
                 "entries, to the last digit.",
        .uses = {{&tw_books_group, &books}, {&bill_group, &bill}, {&invoice_group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    args.format = bill.json ? 1 : args.format;
    return invoice(&books, &bill, &args, &error) == TW_OK ? 0 : tw_command_fail(&error);
}

/* ---- reports ---- */

enum { TABLE = 0, CSV, JSON, FOCUS };

struct usage_args {
    const char *by, *period, *in, *model;
    int format;
};

static const char *const formats[] = {"table", "csv", "json", "focus", NULL};

static const struct tw_option usage_options[] = {
    {.name = "by",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct usage_args, by),
     .value_name = "WHAT",
     .help = "A row for each of: org, team, project, key, model, class, price, hour, day, week, "
             "month; several with commas. Default: project."},
    {.name = "period",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct usage_args, period),
     .value_name = "PERIOD",
     .help = "2026, 2026-11, 2026-11-15, 2026-11-01..2026-11-15, today, yesterday, this- or last- "
             "with week, month or year, all. Default: this-month."},
    {.name = "in",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct usage_args, in),
     .value_name = "PATH",
     .help = "Only this organisation, team, project or key, such as acme/research."},
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct usage_args, model),
     .value_name = "NAME",
     .help = "Only this model."},
    {.name = "format",
     .kind = TW_OPTION_CHOICE,
     .offset = offsetof(struct usage_args, format),
     .value_name = "FORMAT",
     .choices = formats,
     .help = "table, csv, json, or focus (FOCUS 1.2 as CSV). Default: table."},
};

static const struct tw_option_group usage_group = {"Report", usage_options, 5};

static enum tw_status make_wish(const struct usage_args *args, const struct tw_zone *zone,
                                struct tw_usage_wish *ret_wish, struct tw_error *error)
{
    struct tw_usage_wish wish = {.zone = zone, .in = args->in, .model = args->model};
    enum tw_status status =
        tw_usage_period_parse(args->period, zone, tw_clock_wall_ns() / NANO, &wish.period, error);
    if (status != TW_OK) {
        return status;
    }
    if (args->format == FOCUS && args->by != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--by has no place with --format focus, whose rows are given");
    }
    if (args->format == FOCUS) {
        tw_focus_set_dimensions(&wish);
    } else {
        status = tw_usage_parse_dimensions(args->by != NULL ? args->by : "project", &wish, error);
    }
    if (status == TW_OK) {
        *ret_wish = wish;
    }
    return status;
}

static enum tw_status write_usage(const struct tw_usage *usage, int format, const char *provider,
                                  struct tw_buf *out, struct tw_error *error)
{
    switch (format) {
    case CSV:
        return tw_usage_write_csv(usage, out, error);
    case JSON:
        return tw_usage_write_json(usage, out, error);
    case FOCUS:
        return tw_focus_write(usage, provider, out, error);
    default:
        return tw_usage_write_table(usage, tw_books_args_width(), out, error);
    }
}

static enum tw_status report(const struct tw_books_args *books, const struct bill_args *bill,
                             const struct usage_args *args, struct tw_error *error)
{
    struct desk desk;
    enum tw_status status = open_desk(books, bill, &desk, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_usage_wish wish;
    struct tw_usage *usage = NULL;
    status = make_wish(args, desk.zone, &wish, error);
    if (status == TW_OK) {
        status = tw_usage_read(desk.db, &wish, &usage, error);
    }
    if (status == TW_OK) {
        status = write_usage(usage, args->format, bill->provider, &desk.out, error);
    }
    if (status == TW_OK) {
        status = print(&desk, error);
    }
    tw_usage_free(usage);
    close_desk(&desk);
    return status;
}

int tw_cmd_usage(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "invoice") == 0) {
        return run_invoice(argc - 1, argv + 1);
    }
    struct tw_books_args books = {0};
    struct bill_args bill = {.zone = "UTC", .provider = "tokenworks"};
    struct usage_args args = {.period = "this-month"};
    const struct tw_command_spec spec = {
        .name = "usage",
        .synopsis = "[invoice] [--by WHAT] [--period PERIOD] [--format FORMAT] [--books ADDRESS]",
        .about = "Prints what was used and what it cost, from the entries of the ledger.\n"
                 "'tokenworks usage invoice --help' explains invoices.",
        .uses = {{&tw_books_group, &books}, {&usage_group, &args}, {&bill_group, &bill}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    args.format = bill.json ? JSON : args.format;
    return report(&books, &bill, &args, &error) == TW_OK ? 0 : tw_command_fail(&error);
}
