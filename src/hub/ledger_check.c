#include "hub/ledger_check.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub/directory.h"
#include "hub/money.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define FIRST_ROOM    256
#define WHOLE         1 /* a first reading of the directory has all of it, whatever changed */
#define MOST_PERIOD_S ((int64_t)32 * 24 * 3600) /* a month, with what clocks are set by */

/* A request that is not settled yet, as its reservation's entry has it. */
struct open_request {
    int64_t request; /* 0: nobody */
    int64_t entry, key, amount_nano, tokens, reserved_ns;
    int64_t more_entry; /* that made it larger; 0: none */
    bool is_released;
};

/* A row of the reservations. */
struct reservation {
    int64_t request, entry, amount_nano, tokens;
};

struct replay {
    struct tw_db *db;
    struct tw_directory directory;
    struct tw_hub_account obligations, revenue;
    struct open_request *open; /* [room], by the number of the request; at most half are taken */
    size_t room, n_open;
    int64_t last_entry, last_ns;
    /* What is kept, as it was at the beginning. */
    int64_t end_entry, next_entry, next_request, books_ns; /* entries before end_entry are there */
    struct reservation *reservations;                      /* [n_reservations] */
    size_t n_reservations, reservation_room;
    struct tw_ledger_summary summary;
    struct tw_error *error;
};

struct entry {
    int64_t id, at_ns, request, debit, credit, amount_nano, tokens, key, reserve_entry, reserved_ns,
        price;
    char kind; /* its third letter: 's' of reserve, 'l' of release, 't' of settle */
    struct tw_token_counts counts;
};

static const char ENTRIES[] =
    "SELECT id, at_ns, kind, request, debit, credit, amount_nano, tokens, api_key, reserve_entry,"
    " reserved_ns, price, input_tokens, cached_tokens, output_tokens FROM entry WHERE id > ?"
    " AND id < ? ORDER BY id LIMIT ?";
static const char RESERVATIONS[] =
    "SELECT request, entry, amount_nano, prompt_tokens + output_tokens FROM reservation"
    " WHERE request > ? AND request < ? ORDER BY request LIMIT ?";

static enum tw_status differs(const struct replay *replay, const char *what, int64_t id,
                              int64_t found, int64_t wanted)
{
    return tw_error_set(replay->error, TW_ERR_MISSED, TW_NO_POSITION,
                        "the books do not balance: %s %lld: there is %lld, and it should be %lld",
                        what, (long long)id, (long long)found, (long long)wanted);
}

/* ---- requests that are open ---- */

static struct open_request *place_of(struct open_request *open, size_t room, int64_t request)
{
    size_t i = (size_t)((uint64_t)request * UINT64_C(0x9E3779B97F4A7C15) >> 32) % room;
    while (open[i].request != 0 && open[i].request != request) {
        i = (i + 1) % room;
    }
    return &open[i];
}

static bool make_room(struct replay *replay)
{
    if (replay->n_open * 2 < replay->room) {
        return true;
    }
    const size_t room = replay->room > 0 ? replay->room * 2 : FIRST_ROOM;
    struct open_request *open = tw_mem_zalloc(room, sizeof *open);
    if (open == NULL) {
        return false;
    }
    for (size_t i = 0; i < replay->room; i++) {
        if (replay->open[i].request != 0) {
            *place_of(open, room, replay->open[i].request) = replay->open[i];
        }
    }
    tw_mem_free(replay->open);
    replay->open = open;
    replay->room = room;
    return true;
}

/* What stands behind it in its row of the table may belong before it. */
static void forget(struct replay *replay, struct open_request *gone)
{
    size_t i = (size_t)(gone - replay->open);
    gone->request = 0;
    replay->n_open--;
    for (i = (i + 1) % replay->room; replay->open[i].request != 0; i = (i + 1) % replay->room) {
        const struct open_request moved = replay->open[i];
        replay->open[i].request = 0;
        *place_of(replay->open, replay->room, moved.request) = moved;
    }
}

/* ---- an entry ---- */

static struct tw_hub_account *account_of(struct replay *replay, int64_t id,
                                         struct tw_holder *project)
{
    struct tw_hub_account *const all[] = {&replay->obligations, &replay->revenue,
                                          project != NULL ? &project->held : NULL,
                                          project != NULL ? &project->usage : NULL};
    size_t i = 0;
    while (i < COUNT(all) && (all[i] == NULL || all[i]->id != id)) {
        i++;
    }
    return i < COUNT(all) ? all[i] : NULL;
}

static void count_in_windows(struct replay *replay, const struct entry *entry,
                             struct tw_holder *key)
{
    for (struct tw_holder *holder = key; holder != NULL; holder = holder->parent) {
        for (struct tw_hub_budget *budget = holder->budgets; budget != NULL;
             budget = budget->next) {
            if (entry->reserve_entry < budget->since_entry || entry->id >= budget->until_entry) {
                continue;
            }
            const int64_t at_s = entry->reserved_ns / TW_SECOND_NS;
            struct tw_hub_window *window = budget->windows;
            while (window != NULL && (at_s < window->starts_s || at_s >= window->ends_s)) {
                window = window->next;
            }
            if (window == NULL) { /* found out by the comparison: it is missed in another's sum */
                replay->summary.n_windows = INT64_MIN;
                continue;
            }
            const int64_t n =
                budget->facts.unit == TW_SPENDING_MONEY ? entry->amount_nano : entry->tokens;
            window->replayed.spent += entry->kind == 't' ? n : 0;
            window->replayed.reserved += entry->kind == 's' ? n : entry->kind == 'l' ? -n : 0;
        }
    }
}

static enum tw_status check_accounts(struct replay *replay, const struct entry *entry,
                                     struct tw_holder *project)
{
    struct tw_hub_account *debit = account_of(replay, entry->debit, project);
    struct tw_hub_account *credit = account_of(replay, entry->credit, project);
    const struct tw_hub_account *wanted[2] = {&project->held, &replay->obligations};
    if (entry->kind == 'l') {
        wanted[0] = &replay->obligations;
        wanted[1] = &project->held;
    } else if (entry->kind == 't') {
        wanted[0] = &project->usage;
        wanted[1] = &replay->revenue;
    }
    if (debit != wanted[0] || credit != wanted[1]) {
        return differs(replay, "the account that is debited by entry", entry->id, entry->debit,
                       wanted[0]->id);
    }
    debit->replayed[0] += entry->amount_nano;
    debit->replayed[2] += entry->tokens;
    credit->replayed[1] += entry->amount_nano;
    credit->replayed[3] += entry->tokens;
    return TW_OK;
}

static enum tw_status check_amount(const struct replay *replay, const struct entry *entry)
{
    int64_t amount_nano = 0;
    const struct tw_price *price = tw_price_of_version(&replay->directory.prices, entry->price);
    if (price == NULL) {
        return differs(replay, "the price version of entry", entry->id, entry->price, 0);
    }
    enum tw_status status =
        tw_money_cost(&entry->counts, &price->prices, &amount_nano, replay->error);
    if (status != TW_OK) {
        return status;
    }
    const int64_t tokens = entry->counts.input + entry->counts.cached + entry->counts.output;
    if (entry->amount_nano != amount_nano) {
        return differs(replay, "the amount, by its tokens and price, of entry", entry->id,
                       entry->amount_nano, amount_nano);
    }
    return entry->tokens == tokens
               ? TW_OK
               : differs(replay, "the tokens of entry", entry->id, entry->tokens, tokens);
}

/* More of one that is open. */
static enum tw_status reserve_more(struct replay *replay, const struct entry *entry)
{
    struct open_request *open =
        replay->room > 0 ? place_of(replay->open, replay->room, entry->request) : NULL;
    if (open == NULL || open->request == 0 || open->entry != entry->reserve_entry ||
        open->key != entry->key || open->reserved_ns != entry->reserved_ns || open->is_released ||
        open->more_entry != 0) {
        return differs(replay, "the reservation that is made larger by entry", entry->id,
                       entry->reserve_entry, open != NULL && open->request != 0 ? open->entry : 0);
    }
    open->more_entry = entry->id;
    open->amount_nano += entry->amount_nano;
    open->tokens += entry->tokens;
    return TW_OK;
}

static enum tw_status begin_request(struct replay *replay, const struct entry *entry)
{
    if (!make_room(replay)) {
        return tw_error_set(replay->error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the requests that are open");
    }
    struct open_request *open = place_of(replay->open, replay->room, entry->request);
    if (entry->reserve_entry != entry->id) {
        return reserve_more(replay, entry);
    }
    if (entry->request != replay->summary.n_requests + 1) { /* numbered as they come, each once */
        return differs(replay, "the number of the request that is reserved by entry", entry->id,
                       entry->request, replay->summary.n_requests + 1);
    }
    if (open->request != 0 || entry->reserve_entry != entry->id) {
        return differs(replay, "the reservation, which is there before, of entry", entry->id,
                       entry->reserve_entry, entry->id);
    }
    *open = (struct open_request){.request = entry->request,
                                  .entry = entry->id,
                                  .key = entry->key,
                                  .amount_nano = entry->amount_nano,
                                  .tokens = entry->tokens,
                                  .reserved_ns = entry->reserved_ns};
    replay->n_open++;
    replay->summary.n_requests++;
    return TW_OK;
}

/* A release or a settlement, in this order. */
static enum tw_status end_request(struct replay *replay, const struct entry *entry)
{
    struct open_request *open =
        replay->room > 0 ? place_of(replay->open, replay->room, entry->request) : NULL;
    if (open == NULL || open->request == 0 || open->entry != entry->reserve_entry ||
        open->key != entry->key || open->reserved_ns != entry->reserved_ns ||
        open->is_released != (entry->kind == 't')) {
        return differs(replay, "the reservation that is ended by entry", entry->id,
                       entry->reserve_entry, open != NULL && open->request != 0 ? open->entry : 0);
    }
    if (entry->kind == 'l') {
        if (open->more_entry != 0 && open->more_entry != entry->id - 1) {
            return differs(replay, "the entry behind the one that made a reservation larger",
                           open->more_entry, entry->id, open->more_entry + 1);
        }
        open->is_released = true;
        return entry->amount_nano == open->amount_nano && entry->tokens == open->tokens
                   ? TW_OK
                   : differs(replay, "the released amount of entry", entry->id, entry->amount_nano,
                             open->amount_nano);
    }
    if (entry->amount_nano > open->amount_nano || entry->tokens > open->tokens) {
        return differs(replay, "the settled amount, more than was reserved, of entry", entry->id,
                       entry->amount_nano, open->amount_nano);
    }
    replay->summary.settled_nano += entry->amount_nano;
    replay->summary.settled_tokens += entry->tokens;
    forget(replay, open);
    return check_amount(replay, entry);
}

static enum tw_status take_entry(struct replay *replay, const struct entry *entry)
{
    struct tw_holder *key = tw_directory_holder(&replay->directory, entry->key);
    struct tw_holder *project = tw_holder_above(key, TW_HOLDER_PROJECT);
    if (entry->id != replay->last_entry + 1) {
        return differs(replay, "the number of the entry behind", replay->last_entry, entry->id,
                       replay->last_entry + 1);
    }
    if (entry->at_ns < replay->last_ns) {
        return differs(replay, "the time, before that of the one before, of entry", entry->id,
                       entry->at_ns, replay->last_ns);
    }
    if (project == NULL || entry->amount_nano < 0 || entry->tokens < 0) {
        return differs(replay, "the key of entry", entry->id, entry->key, 0);
    }
    replay->last_entry = entry->id;
    replay->last_ns = entry->at_ns;
    replay->summary.n_entries++;
    enum tw_status status =
        entry->kind == 's' ? begin_request(replay, entry) : end_request(replay, entry);
    if (status == TW_OK) {
        status = check_accounts(replay, entry, project);
    }
    if (status == TW_OK) {
        count_in_windows(replay, entry, key);
    }
    return status;
}

static char kind_of(const char *name)
{
    return strlen(name) > 2 ? name[2] : '?';
}

static struct entry read_entry(struct tw_db_statement *row)
{
    return (struct entry){.id = tw_db_column_integer(row, 0),
                          .at_ns = tw_db_column_integer(row, 1),
                          .kind = kind_of(tw_db_column_text(row, 2)),
                          .request = tw_db_column_integer(row, 3),
                          .debit = tw_db_column_integer(row, 4),
                          .credit = tw_db_column_integer(row, 5),
                          .amount_nano = tw_db_column_integer(row, 6),
                          .tokens = tw_db_column_integer(row, 7),
                          .key = tw_db_column_integer(row, 8),
                          .reserve_entry = tw_db_column_integer(row, 9),
                          .reserved_ns = tw_db_column_integer(row, 10),
                          .price = tw_db_column_integer(row, 11),
                          .counts = {.input = tw_db_column_integer(row, 12),
                                     .cached = tw_db_column_integer(row, 13),
                                     .output = tw_db_column_integer(row, 14)}};
}

/* ---- tables, in parts: a store may keep all rows of a query in memory ---- */

typedef enum tw_status (*row_fn)(struct replay *replay, struct tw_db_statement *row);

static enum tw_status entry_row(struct replay *replay, struct tw_db_statement *row)
{
    const struct entry entry = read_entry(row);
    return take_entry(replay, &entry);
}

static enum tw_status keep_reservation(struct replay *replay, struct tw_db_statement *row)
{
    if (replay->n_reservations == replay->reservation_room) {
        const size_t room =
            replay->reservation_room > 0 ? replay->reservation_room * 2 : FIRST_ROOM;
        struct reservation *more = tw_mem_realloc(replay->reservations, room, sizeof *more);
        if (more == NULL) {
            return tw_error_set(replay->error, TW_ERR_MEMORY, TW_NO_POSITION,
                                "no memory for the reservations that are open");
        }
        replay->reservations = more;
        replay->reservation_room = room;
    }
    replay->reservations[replay->n_reservations++] =
        (struct reservation){.request = tw_db_column_integer(row, 0),
                             .entry = tw_db_column_integer(row, 1),
                             .amount_nano = tw_db_column_integer(row, 2),
                             .tokens = tw_db_column_integer(row, 3)};
    return TW_OK;
}

/* The open reservations are the requests that are left. */
static enum tw_status compare_reservation(struct replay *replay, const struct reservation *kept)
{
    const int64_t request = kept->request;
    struct open_request *open =
        replay->room > 0 ? place_of(replay->open, replay->room, request) : NULL;
    if (open == NULL || open->request == 0 || open->is_released) {
        return differs(replay, "the open reservation, which no entry has, of request", request, 1,
                       0);
    }
    if (open->entry != kept->entry || open->amount_nano != kept->amount_nano ||
        open->tokens != kept->tokens) {
        return differs(replay, "the reserved amount of request", request, kept->amount_nano,
                       open->amount_nano);
    }
    replay->summary.n_open++;
    replay->summary.held_nano += open->amount_nano;
    forget(replay, open);
    return TW_OK;
}

static enum tw_status each_row(struct replay *replay, const char *sql, int64_t end, row_fn take)
{
    struct tw_db_statement *row = NULL;
    int64_t last = 0, n_rows = TW_LIMIT_REPORT_PART;
    enum tw_status status = tw_db_prepare(replay->db, sql, &row, replay->error);
    while (status == TW_OK && n_rows == TW_LIMIT_REPORT_PART) {
        const struct tw_db_value values[] = {tw_db_integer(last), tw_db_integer(end),
                                             tw_db_integer(TW_LIMIT_REPORT_PART)};
        bool has_row = true;
        n_rows = 0;
        status = tw_db_query(row, values, COUNT(values), replay->error);
        while (status == TW_OK && has_row) {
            status = tw_db_next(row, &has_row, replay->error);
            if (status == TW_OK && has_row) {
                last = tw_db_column_integer(row, 0);
                n_rows++;
                status = take(replay, row);
            }
        }
    }
    tw_db_finalize(row);
    return status;
}

/* ---- what is kept ---- */

static enum tw_status compare_account(const struct replay *replay,
                                      const struct tw_hub_account *account)
{
    static const char *const names[] = {
        "the debits in money of account", "the credits in money of account",
        "the debits in tokens of account", "the credits in tokens of account"};
    const int64_t kept[] = {account->debit_nano, account->credit_nano, account->debit_tokens,
                            account->credit_tokens};
    for (size_t i = 0; i < COUNT(kept); i++) {
        if (kept[i] != account->replayed[i]) {
            return differs(replay, names[i], account->id, kept[i], account->replayed[i]);
        }
    }
    return TW_OK;
}

/* As long as it can be. Exactly is not asked: what zones do to a day is changed now and then. */
static bool is_period(enum tw_period_kind kind, const struct tw_hub_window *window)
{
    if (kind == TW_PERIOD_TOTAL) {
        return window->starts_s == 0 && window->ends_s == INT64_MAX;
    }
    return window->starts_s < window->ends_s && window->ends_s - window->starts_s <= MOST_PERIOD_S;
}

static enum tw_status compare_budget(struct replay *replay, const struct tw_hub_budget *budget)
{
    int64_t next_s = INT64_MAX; /* where the window behind it begins */
    for (const struct tw_hub_window *window = budget->windows; window != NULL;
         window = window->next) {
        replay->summary.n_windows++;
        if (!is_period(budget->period, window) || window->ends_s > next_s) {
            return differs(replay, "the end of a period, before the next one, of budget",
                           budget->id, window->ends_s, next_s);
        }
        next_s = window->starts_s;
        if (window->sums.carried < 0 || window->sums.carried > budget->facts.limit) {
            return differs(replay, "what is carried over, at most its limit, of budget", budget->id,
                           window->sums.carried, budget->facts.limit);
        }
        if (window->sums.spent != window->replayed.spent) {
            return differs(replay, "what is spent of budget", budget->id, window->sums.spent,
                           window->replayed.spent);
        }
        if (window->sums.reserved != window->replayed.reserved) {
            return differs(replay, "what is reserved of budget", budget->id, window->sums.reserved,
                           window->replayed.reserved);
        }
    }
    return TW_OK;
}

/* The row of the whole says how many there are. */
static enum tw_status compare_books(struct replay *replay)
{
    const int64_t n_requests = replay->summary.n_requests;
    if (replay->next_entry != replay->last_entry + 1) {
        return differs(replay, "the last entry, which the books count, is not there: entry",
                       replay->next_entry - 1, replay->last_entry, replay->next_entry - 1);
    }
    if (replay->next_request != n_requests + 1) {
        return differs(replay, "the last request, which the books count, is not there: request",
                       replay->next_request - 1, n_requests, replay->next_request - 1);
    }
    return replay->books_ns >= replay->last_ns
               ? TW_OK
               : differs(replay, "the books' time, before that of entry", replay->last_entry,
                         replay->books_ns, replay->last_ns);
}

static enum tw_status compare(struct replay *replay)
{
    enum tw_status status = compare_books(replay);
    if (status == TW_OK) {
        status = compare_account(replay, &replay->obligations);
    }
    if (status == TW_OK) {
        status = compare_account(replay, &replay->revenue);
    }
    for (size_t i = 0; status == TW_OK && i < replay->directory.holders.n; i++) {
        const struct tw_holder *holder = replay->directory.holders.at[i];
        if (holder->kind == TW_HOLDER_PROJECT) {
            status = compare_account(replay, &holder->held);
            status = status == TW_OK ? compare_account(replay, &holder->usage) : status;
        }
    }
    if (status == TW_OK && replay->summary.n_windows < 0) {
        return tw_error_set(replay->error, TW_ERR_MISSED, TW_NO_POSITION,
                            "the books do not balance: a budget has no window for what was "
                            "reserved from it");
    }
    for (size_t i = 0; status == TW_OK && i < replay->directory.budgets.n; i++) {
        status = compare_budget(replay, replay->directory.budgets.at[i]);
    }
    for (size_t i = 0; status == TW_OK && i < replay->n_reservations; i++) {
        status = compare_reservation(replay, &replay->reservations[i]);
    }
    if (status == TW_OK && replay->n_open > 0) {
        return tw_error_set(replay->error, TW_ERR_MISSED, TW_NO_POSITION,
                            "the books do not balance: %zu requests are not settled and have no "
                            "open reservation",
                            replay->n_open);
    }
    return status;
}

/* ---- all of it ---- */

static enum tw_status read_books(struct replay *replay)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status =
        tw_db_prepare(replay->db,
                      "SELECT next_entry, next_request, last_ns, (SELECT MAX(id)"
                      " FROM entry) FROM books",
                      &row, replay->error);
    if (status == TW_OK) {
        status = tw_db_first(row, NULL, 0, &has_row, replay->error);
    }
    if (status == TW_OK) { /* without a row nothing agrees */
        replay->next_entry = tw_db_column_integer(row, 0);
        replay->next_request = tw_db_column_integer(row, 1);
        replay->books_ns = tw_db_column_integer(row, 2);
        replay->end_entry = tw_db_column_integer(row, 3) + 1;
    }
    tw_db_finalize(row);
    return status;
}

/* All that is kept as a sum, of one moment. */
static enum tw_status read_kept(struct replay *replay)
{
    const struct tw_directory_plant plant = {&replay->obligations, &replay->revenue};
    enum tw_status status = read_books(replay);
    if (status == TW_OK) {
        status = tw_directory_update(&replay->directory, replay->db, WHOLE, replay->error);
    }
    if (status == TW_OK) {
        status = tw_directory_load_sums(&replay->directory, replay->db, &plant, replay->error);
    }
    return status == TW_OK ? each_row(replay, RESERVATIONS, INT64_MAX, keep_reservation) : status;
}

/* Entries do not change: those that were there at that moment are read part by part, each in a
 * transaction of its own. */
static enum tw_status check(struct replay *replay)
{
    enum tw_status status = tw_db_begin(replay->db, replay->error);
    if (status == TW_OK) {
        status = read_kept(replay);
    }
    tw_db_rollback(replay->db);
    if (status == TW_OK) {
        status = each_row(replay, ENTRIES, replay->end_entry, entry_row);
    }
    return status == TW_OK ? compare(replay) : status;
}

enum tw_status tw_ledger_check(struct tw_db *db, struct tw_ledger_summary *ret_summary,
                               struct tw_error *error)
{
    struct replay *replay = tw_mem_zalloc(1, sizeof *replay);
    if (replay == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the check");
    }
    replay->db = db;
    replay->error = error;
    enum tw_status status = tw_directory_init(&replay->directory, error);
    if (status == TW_OK) {
        status = check(replay);
    }
    if (status == TW_OK) {
        *ret_summary = replay->summary;
    }
    tw_directory_free(&replay->directory);
    tw_mem_free(replay->reservations);
    tw_mem_free(replay->open);
    tw_mem_free(replay);
    return status;
}
