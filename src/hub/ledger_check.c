#include "hub/ledger_check.h"

#include "hub/money.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define PART_ROWS     10000

/* Gives a row (number, what is kept, what it should be) for each difference. */
struct check {
    const char *what; /* of the row's number */
    const char *sql;
};

/* Sums of whole numbers are of another type in PostgreSQL. */
#define SUM(of) "CAST(COALESCE(SUM(" of "), 0) AS %I)"
#define ACCOUNT(side, kept, summed)                                                                \
    "SELECT a.id, a." kept ", COALESCE(e.total, 0) FROM account a LEFT JOIN"                       \
    " (SELECT " side " AS id, " SUM(summed) " AS total FROM entry GROUP BY " side ") e"            \
    " ON e.id = a.id WHERE a." kept " <> COALESCE(e.total, 0) ORDER BY a.id"
#define PLANT(kind, sign, other)                                                                   \
    "SELECT 0, a.kept, b.kept FROM (SELECT " SUM("debit_nano - credit_nano") " AS kept"            \
    " FROM account WHERE kind = '" kind "') a, (SELECT " SUM(sign) " AS kept"                      \
    " FROM account WHERE kind = '" other "') b WHERE a.kept <> b.kept"
/* Keys with the holders above them: all that a budget may belong to. */
#define PATHS                                                                                      \
    "(SELECT k.id AS api_key, k.id AS holder FROM holder k WHERE k.kind = 'key' UNION ALL"         \
    " SELECT k.id, k.parent FROM holder k WHERE k.kind = 'key' UNION ALL"                          \
    " SELECT k.id, p.parent FROM holder k JOIN holder p ON p.id = k.parent"                        \
    " WHERE k.kind = 'key' UNION ALL"                                                              \
    " SELECT k.id, t.parent FROM holder k JOIN holder p ON p.id = k.parent"                        \
    " JOIN holder t ON t.id = p.parent WHERE k.kind = 'key')"
#define IN_WINDOW(sum)                                                                             \
    "(SELECT b.id AS budget, w.starts_s AS starts_s, " SUM(sum) " AS total FROM budget b"          \
    " JOIN budget_window w ON w.budget = b.id JOIN " PATHS " x ON x.holder = b.holder"             \
    " JOIN entry e ON e.api_key = x.api_key AND e.reserve_entry >= b.since_entry"                  \
    " AND (b.until_entry IS NULL OR e.id < b.until_entry)"                                         \
    " AND e.reserved_ns >= w.starts_s * 1000000000"                                                \
    " AND e.reserved_ns / 1000000000 < w.ends_s GROUP BY b.id, w.starts_s)"
#define WINDOW(kept, sum)                                                                          \
    "SELECT w.budget, w." kept ", COALESCE(s.total, 0) FROM budget_window w LEFT JOIN "            \
    IN_WINDOW(sum) " s ON s.budget = w.budget AND s.starts_s = w.starts_s"                         \
    " WHERE w." kept " <> COALESCE(s.total, 0) ORDER BY w.budget, w.starts_s"
#define AMOUNT "CASE WHEN b.unit = 'money' THEN e.amount_nano ELSE e.tokens END"

static const struct check CHECKS[] = {
    {"debits in money of account", ACCOUNT("debit", "debit_nano", "amount_nano")},
    {"credits in money of account", ACCOUNT("credit", "credit_nano", "amount_nano")},
    {"debits in tokens of account", ACCOUNT("debit", "debit_tokens", "tokens")},
    {"credits in tokens of account", ACCOUNT("credit", "credit_tokens", "tokens")},
    {"what is held, and the plant's obligations, of account",
     PLANT("held", "credit_nano - debit_nano", "obligations")},
    {"what was used, and the plant's revenue, of account",
     PLANT("usage", "credit_nano - debit_nano", "revenue")},
    {"reservations of request", "SELECT request, COUNT(*), 1 FROM entry WHERE kind = 'reserve'"
                                " GROUP BY request HAVING COUNT(*) <> 1 ORDER BY request"},
    {"releases, and settlements, of request",
     "SELECT request, SUM(CASE WHEN kind = 'release' THEN 1 ELSE 0 END),"
     " SUM(CASE WHEN kind = 'settle' THEN 1 ELSE 0 END) FROM entry GROUP BY request"
     " HAVING SUM(CASE WHEN kind = 'release' THEN 1 ELSE 0 END) > 1"
     " OR SUM(CASE WHEN kind = 'release' THEN 1 ELSE 0 END) <>"
     " SUM(CASE WHEN kind = 'settle' THEN 1 ELSE 0 END) ORDER BY request"},
    {"released amount of request",
     "SELECT b.request, b.amount_nano, a.amount_nano FROM entry a JOIN entry b"
     " ON b.reserve_entry = a.id WHERE b.kind = 'release'"
     " AND (b.amount_nano <> a.amount_nano OR b.tokens <> a.tokens OR b.request <> a.request)"
     " ORDER BY b.request"},
    {"settled amount, more than was reserved, of request",
     "SELECT b.request, b.amount_nano, a.amount_nano FROM entry a JOIN entry b"
     " ON b.reserve_entry = a.id WHERE b.kind = 'settle'"
     " AND (b.amount_nano > a.amount_nano OR b.tokens > a.tokens) ORDER BY b.request"},
    {"open reservation, without an entry that is not ended, of request",
     "SELECT r.request, r.amount_nano, COALESCE(e.amount_nano, 0) FROM reservation r"
     " LEFT JOIN entry e ON e.id = r.entry AND e.request = r.request"
     " AND NOT EXISTS (SELECT 1 FROM entry x WHERE x.request = r.request AND x.kind = 'release')"
     " WHERE e.id IS NULL OR e.amount_nano <> r.amount_nano"
     " OR e.tokens <> r.prompt_tokens + r.output_tokens ORDER BY r.request"},
    {"entry that is not ended, without an open reservation, of request",
     "SELECT e.request, 0, e.amount_nano FROM entry e WHERE e.kind = 'reserve'"
     " AND NOT EXISTS (SELECT 1 FROM entry x WHERE x.request = e.request AND x.kind = 'release')"
     " AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.request = e.request)"
     " ORDER BY e.request"},
    {"tokens of the settlement of request",
     "SELECT request, tokens, input_tokens + cached_tokens + output_tokens FROM entry"
     " WHERE kind = 'settle' AND tokens <> input_tokens + cached_tokens + output_tokens"
     " ORDER BY request"},
    {"spent of budget", WINDOW("spent", "CASE WHEN e.kind = 'settle' THEN " AMOUNT " ELSE 0 END")},
    {"reserved of budget",
     WINDOW("reserved", "CASE e.kind WHEN 'reserve' THEN " AMOUNT
                        " WHEN 'release' THEN -(" AMOUNT ") ELSE 0 END")},
    {"time of an entry, before that of another before it, in nanoseconds: entry",
     "SELECT b.id, b.at_ns, a.at_ns FROM entry a JOIN entry b ON b.id = a.id + 1"
     " WHERE b.at_ns < a.at_ns ORDER BY b.id"},
};

/* The first row of a query; what is NULL is 0. */
static enum tw_status first_row(struct tw_db *db, const char *sql, int64_t ret_values[3], int n,
                                bool *ret_row, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_query(statement, NULL, 0, error);
    }
    if (status == TW_OK) {
        status = tw_db_next(statement, ret_row, error);
    }
    for (int i = 0; status == TW_OK && *ret_row && i < n; i++) {
        ret_values[i] = tw_db_column_integer(statement, i);
    }
    tw_db_finalize(statement);
    return status;
}

static enum tw_status run_check(struct tw_db *db, const struct check *check, struct tw_error *error)
{
    int64_t found[3] = {0};
    bool differs = false;
    enum tw_status status = first_row(db, check->sql, found, 3, &differs, error);
    if (status != TW_OK || !differs) {
        return status;
    }
    return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                        "the books do not balance: %s %lld: there is %lld, and it should be %lld",
                        check->what, (long long)found[0], (long long)found[1],
                        (long long)found[2]);
}

/* Amounts from tokens and prices; more than 64 bits on the way, so not by the store. */
static enum tw_status check_amount(struct tw_db_statement *row, struct tw_error *error)
{
    const struct tw_money_prices prices = {.input_nano = tw_db_column_integer(row, 3),
                                           .cached_nano = tw_db_column_integer(row, 4),
                                           .output_nano = tw_db_column_integer(row, 5)};
    const struct tw_token_counts counts = {.input = tw_db_column_integer(row, 6),
                                           .cached = tw_db_column_integer(row, 7),
                                           .output = tw_db_column_integer(row, 8)};
    int64_t amount_nano = 0;
    enum tw_status status = tw_money_cost(&counts, &prices, &amount_nano, error);
    if (status != TW_OK || amount_nano == tw_db_column_integer(row, 1)) {
        return status;
    }
    return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                        "the books do not balance: the amount of entry %lld: there is %lld, and at "
                        "price %lld it should be %lld",
                        (long long)tw_db_column_integer(row, 0),
                        (long long)tw_db_column_integer(row, 1), (long long)tw_db_column_integer(row, 2),
                        (long long)amount_nano);
}

/* In parts, since a store may keep all rows of a query in memory. */
static enum tw_status check_amounts(struct tw_db *db, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    int64_t last = 0, n_rows = PART_ROWS;
    enum tw_status status = tw_db_prepare(
        db,
        "SELECT e.id, e.amount_nano, e.price, COALESCE(p.input_nano, 0),"
        " COALESCE(p.cached_nano, 0), COALESCE(p.output_nano, 0), e.input_tokens, e.cached_tokens,"
        " e.output_tokens FROM entry e LEFT JOIN price p ON p.id = e.price"
        " WHERE e.kind = 'settle' AND e.id > ? ORDER BY e.id LIMIT ?",
        &row, error);
    while (status == TW_OK && n_rows == PART_ROWS) {
        const struct tw_db_value values[] = {tw_db_integer(last), tw_db_integer(PART_ROWS)};
        bool has_row = true;
        n_rows = 0;
        status = tw_db_query(row, values, COUNT(values), error);
        while (status == TW_OK && has_row) {
            status = tw_db_next(row, &has_row, error);
            if (status == TW_OK && has_row) {
                last = tw_db_column_integer(row, 0);
                n_rows++;
                status = check_amount(row, error);
            }
        }
    }
    tw_db_finalize(row);
    return status;
}

static enum tw_status summarise(struct tw_db *db, struct tw_ledger_summary *ret_summary,
                                struct tw_error *error)
{
    int64_t entries[3] = {0}, settled[3] = {0}, windows[3] = {0};
    bool has_row = false;
    enum tw_status status =
        first_row(db,
                  "SELECT COUNT(*), COUNT(DISTINCT request),"
                  " (SELECT COUNT(*) FROM reservation) FROM entry",
                  entries, 3, &has_row, error);
    if (status == TW_OK) {
        status = first_row(db,
                           "SELECT " SUM("amount_nano") ", " SUM("tokens")
                           " FROM entry WHERE kind = 'settle'",
                           settled, 2, &has_row, error);
    }
    if (status == TW_OK) {
        status = first_row(db,
                           "SELECT (SELECT COUNT(*) FROM budget_window), " SUM("amount_nano")
                           " FROM reservation",
                           windows, 2, &has_row, error);
    }
    if (status == TW_OK) {
        *ret_summary = (struct tw_ledger_summary){
            .n_entries = entries[0], .n_requests = entries[1], .n_open = entries[2],
            .settled_nano = settled[0], .settled_tokens = settled[1],
            .n_windows = windows[0], .held_nano = windows[1]};
    }
    return status;
}

enum tw_status tw_ledger_check(struct tw_db *db, struct tw_ledger_summary *ret_summary,
                               struct tw_error *error)
{
    enum tw_status status = tw_db_begin(db, error);
    for (size_t i = 0; status == TW_OK && i < COUNT(CHECKS); i++) {
        status = run_check(db, &CHECKS[i], error);
    }
    if (status == TW_OK) {
        status = check_amounts(db, error);
    }
    if (status == TW_OK) {
        status = summarise(db, ret_summary, error);
    }
    tw_db_rollback(db);
    return status;
}
