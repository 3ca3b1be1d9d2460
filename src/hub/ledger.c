#include "hub/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/secret.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

static const char READ_BOOKS[] =
    "SELECT currency, log, created_ns, last_ns, next_id, next_entry, next_request, writer,"
    " next_change, n_dead, %N FROM books WHERE id = 1 %L";
static const char WRITE_BOOKS[] =
    "UPDATE books SET last_ns = ?, next_id = ?, next_entry = ?, next_request = ?, writer = ?,"
    " next_change = ?, n_dead = ? WHERE id = 1";
static const char INSERT_ENTRY[] =
    "INSERT INTO entry (id, at_ns, kind, request, debit, credit, amount_nano, tokens, api_key,"
    " reserve_entry, reserved_ns, model, class, price, input_tokens, cached_tokens, output_tokens)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char INSERT_RESERVATION[] =
    "INSERT INTO reservation (request, entry, api_key, model, class, price, prompt_tokens,"
    " output_tokens, amount_nano, reserved_ns, watermark_tokens, hub, client_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char DELETE_RESERVATION[] = "DELETE FROM reservation WHERE request = ?";
static const char COVER[] = "UPDATE reservation SET watermark_tokens = ? WHERE request = ?";
static const char WRITE_ACCOUNT[] =
    "UPDATE account SET debit_nano = ?, credit_nano = ?, debit_tokens = ?, credit_tokens = ?"
    " WHERE id = ?";
static const char READ_ACCOUNT[] =
    "SELECT id, debit_nano, credit_nano, debit_tokens, credit_tokens FROM account"
    " WHERE kind = ? AND project = ?";
static const char WRITE_WINDOW[] =
    "UPDATE budget_window SET carried = ?, spent = ?, reserved = ?, was_crossed = ?"
    " WHERE budget = ? AND starts_s = ?";
static const char INSERT_WINDOW[] =
    "INSERT INTO budget_window (budget, starts_s, ends_s, carried, spent, reserved, was_crossed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)";

static const char FIND_RESERVATION[] = "SELECT hub FROM reservation WHERE request = ?";
static const char FIND_PROCESS[] = "SELECT id FROM hub_process WHERE id = ?";
static const char WRITE_PROCESS[] = "INSERT INTO hub_process (id, seen_ns) VALUES (?, ?)"
                                    " ON CONFLICT (id) DO UPDATE SET seen_ns = excluded.seen_ns";

/* ---- opening ---- */

static enum tw_status prepare(struct tw_ledger *ledger, struct tw_error *error)
{
    const struct {
        const char *sql;
        struct tw_db_statement **statement;
    } all[] = {{READ_BOOKS, &ledger->read_books},
               {WRITE_BOOKS, &ledger->write_books},
               {INSERT_ENTRY, &ledger->insert_entry},
               {INSERT_RESERVATION, &ledger->insert_reservation},
               {DELETE_RESERVATION, &ledger->delete_reservation},
               {COVER, &ledger->cover},
               {WRITE_ACCOUNT, &ledger->write_account},
               {WRITE_WINDOW, &ledger->write_window},
               {INSERT_WINDOW, &ledger->insert_window},
               {FIND_RESERVATION, &ledger->find_reservation},
               {FIND_PROCESS, &ledger->find_process},
               {WRITE_PROCESS, &ledger->write_process},
               {READ_ACCOUNT, &ledger->read_account},
               {tw_directory_window_sql, &ledger->find_window}};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < COUNT(all); i++) {
        status = tw_db_prepare(ledger->db, all[i].sql, all[i].statement, error);
    }
    return status;
}

static enum tw_status read_clock(struct tw_db *db, int64_t *ret_now_ns, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(db, "SELECT %N", &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, NULL, 0, &has_row, error);
    }
    if (status == TW_OK && has_row && tw_db_column_integer(row, 0) != 0) {
        *ret_now_ns = tw_db_column_integer(row, 0);
    }
    tw_db_finalize(row);
    return status;
}

/* The books of a store that has none: their row, and the two accounts of the plant. */
static enum tw_status create_books(struct tw_db *db, const char *currency, int64_t now_ns,
                                   struct tw_error *error)
{
    char log[sizeof((struct tw_books *)NULL)->log];
    snprintf(log, sizeof log, "%016llx%016llx", (unsigned long long)tw_rng_system_seed(),
             (unsigned long long)tw_rng_system_seed());
    const struct tw_db_value books[] = {tw_db_text(log), tw_db_text(currency),
                                        tw_db_integer(now_ns), tw_db_integer(now_ns)};
    struct tw_db_statement *statement = NULL;
    enum tw_status status =
        tw_db_prepare(db,
                      "INSERT INTO books (id, log, currency, created_ns, last_ns, next_id,"
                      " next_entry, next_request, writer) VALUES (1, ?, ?, ?, ?, 3, 1, 1, 0)"
                      " ON CONFLICT (id) DO NOTHING",
                      &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, books, COUNT(books), error);
    }
    tw_db_finalize(statement);
    if (status == TW_OK) {
        status = tw_db_execute(db,
                               "INSERT INTO account (id, kind, project, debit_nano, credit_nano,"
                               " debit_tokens, credit_tokens) VALUES"
                               " (1, 'obligations', 0, 0, 0, 0, 0), (2, 'revenue', 0, 0, 0, 0, 0)"
                               " ON CONFLICT (id) DO NOTHING",
                               error);
    }
    return status;
}

static enum tw_status read_books(struct tw_ledger *ledger, struct tw_error *error)
{
    bool has_row = false;
    struct tw_db_statement *row = ledger->read_books;
    enum tw_status status = tw_db_first(row, NULL, 0, &has_row, error);
    if (status != TW_OK) {
        return status;
    }
    if (!has_row) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the store has no row of the books: it was damaged; restore a backup");
    }
    struct tw_books *books = &ledger->books;
    snprintf(books->currency, sizeof books->currency, "%s", tw_db_column_text(row, 0));
    snprintf(books->log, sizeof books->log, "%s", tw_db_column_text(row, 1));
    books->created_ns = tw_db_column_integer(row, 2);
    books->last_ns = tw_db_column_integer(row, 3);
    books->next_id = tw_db_column_integer(row, 4);
    books->next_entry = tw_db_column_integer(row, 5);
    books->next_request = tw_db_column_integer(row, 6);
    books->writer = tw_db_column_integer(row, 7);
    books->next_change = tw_db_column_integer(row, 8);
    books->n_dead = tw_db_column_integer(row, 9);
    books->store_ns = tw_db_column_integer(row, 10);
    return TW_OK;
}

enum tw_status tw_ledger_open(struct tw_db *db, const char *currency, int64_t now_ns,
                              bool keeps_own_time, struct tw_ledger *ret_ledger,
                              struct tw_error *error)
{
    *ret_ledger = (struct tw_ledger){.db = db};
    /* A number that no other process has: 62 random bits. */
    ret_ledger->self = (int64_t)(tw_rng_system_seed() >> 2) + 1;
    enum tw_status status = tw_db_begin(db, error);
    if (status == TW_OK && !keeps_own_time) {
        status = read_clock(db, &now_ns, error);
    }
    if (status == TW_OK) {
        status = create_books(db, currency, now_ns, error);
    }
    if (status == TW_OK) {
        status = tw_db_commit(db, error);
    }
    if (status == TW_OK) {
        status = prepare(ret_ledger, error);
    }
    if (status == TW_OK) {
        status = read_books(ret_ledger, error);
    }
    ret_ledger->n_dead = ret_ledger->books.n_dead;
    if (status != TW_OK) {
        tw_db_rollback(db);
        tw_ledger_close(ret_ledger);
    }
    return status;
}

void tw_ledger_close(struct tw_ledger *ledger)
{
    struct tw_db_statement **const all[] = {
        &ledger->read_books,         &ledger->write_books,        &ledger->insert_entry,
        &ledger->insert_reservation, &ledger->delete_reservation, &ledger->cover,
        &ledger->write_account,      &ledger->write_window,       &ledger->insert_window,
        &ledger->find_reservation,   &ledger->write_process,      &ledger->read_account,
        &ledger->find_window,        &ledger->find_process};
    for (size_t i = 0; i < COUNT(all); i++) {
        tw_db_finalize(*all[i]);
        *all[i] = NULL;
    }
}

/* ---- a group ---- */

/* Who takes requests of another one counts that in the books, and removes its row. So nobody has
 * to look after each of his own. */
static enum tw_status check_alive(struct tw_ledger *ledger, struct tw_error *error)
{
    const struct tw_db_value self = tw_db_integer(ledger->self);
    bool has_row = true;
    if (ledger->n_dead == ledger->books.n_dead) {
        return TW_OK;
    }
    enum tw_status status = tw_db_first(ledger->find_process, &self, 1, &has_row, error);
    if (status == TW_OK) {
        ledger->has_lost |= !has_row;
        ledger->n_dead = ledger->books.n_dead;
    }
    return status;
}

enum tw_status tw_ledger_begin(struct tw_ledger *ledger, bool *ret_is_stale, struct tw_error *error)
{
    const int64_t last_writer = ledger->books.writer;
    enum tw_status status = read_books(ledger, error);
    if (status == TW_OK) {
        status = check_alive(ledger, error);
    }
    if (status != TW_OK) {
        return status;
    }
    *ret_is_stale = last_writer != ledger->self || ledger->books.writer != ledger->self;
    ledger->books.writer = ledger->self;
    return TW_OK;
}

/* As its row has it, where it is not known. */
static enum tw_status need_account(struct tw_ledger *ledger, struct tw_hub_account *account,
                                   const char *kind, int64_t project, struct tw_error *error)
{
    struct tw_db_statement *row = ledger->read_account;
    const struct tw_db_value values[] = {tw_db_text(kind), tw_db_integer(project)};
    bool has_row = false;
    if (account->sums_epoch == ledger->sums_epoch) {
        return TW_OK;
    }
    enum tw_status status = tw_db_first(row, values, COUNT(values), &has_row, error);
    if (status == TW_OK && !has_row) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the account '%s' of project %lld is not in the books: they were "
                              "damaged; restore a backup",
                              kind, (long long)project);
    }
    if (status == TW_OK) {
        *account = (struct tw_hub_account){.id = tw_db_column_integer(row, 0),
                                           .debit_nano = tw_db_column_integer(row, 1),
                                           .credit_nano = tw_db_column_integer(row, 2),
                                           .debit_tokens = tw_db_column_integer(row, 3),
                                           .credit_tokens = tw_db_column_integer(row, 4),
                                           .sums_epoch = ledger->sums_epoch};
    }
    return status;
}

static enum tw_status need_accounts(struct tw_ledger *ledger, struct tw_holder *project,
                                    struct tw_error *error)
{
    enum tw_status status = need_account(ledger, &project->held, "held", project->id, error);
    return status == TW_OK ? need_account(ledger, &project->usage, "usage", project->id, error)
                           : status;
}

enum tw_status tw_ledger_forget_sums(struct tw_ledger *ledger, struct tw_error *error)
{
    ledger->sums_epoch++;
    ledger->dirty = NULL;
    enum tw_status status = need_account(ledger, &ledger->obligations, "obligations", 0, error);
    return status == TW_OK ? need_account(ledger, &ledger->revenue, "revenue", 0, error) : status;
}

static enum tw_status write_accounts(struct tw_ledger *ledger, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && ledger->dirty != NULL) {
        struct tw_hub_account *account = ledger->dirty;
        const struct tw_db_value values[] = {
            tw_db_integer(account->debit_nano), tw_db_integer(account->credit_nano),
            tw_db_integer(account->debit_tokens), tw_db_integer(account->credit_tokens),
            tw_db_integer(account->id)};
        status = tw_db_run(ledger->write_account, values, COUNT(values), error);
        account->is_dirty = false;
        ledger->dirty = account->next_dirty;
    }
    return status;
}

enum tw_status tw_ledger_end(struct tw_ledger *ledger, int64_t now_ns, struct tw_error *error)
{
    ledger->books.last_ns = now_ns;
    const struct tw_books *books = &ledger->books;
    const struct tw_db_value values[] = {tw_db_integer(now_ns),
                                         tw_db_integer(books->next_id),
                                         tw_db_integer(books->next_entry),
                                         tw_db_integer(books->next_request),
                                         tw_db_integer(ledger->self),
                                         tw_db_integer(books->next_change),
                                         tw_db_integer(books->n_dead)};
    const struct tw_db_value process[] = {tw_db_integer(ledger->self),
                                          tw_db_integer(ledger->is_leaving ? 0 : now_ns)};
    enum tw_status status = tw_db_run(ledger->write_books, values, COUNT(values), error);
    return status == TW_OK && tw_db_is_postgres(ledger->db) /* a file has nobody else */
               ? tw_db_run(ledger->write_process, process, COUNT(process), error)
               : status;
}

enum tw_status tw_ledger_owns(struct tw_ledger *ledger, int64_t request, bool *ret_owns,
                              struct tw_error *error)
{
    const struct tw_db_value value = tw_db_integer(request);
    bool has_row = false;
    if (!ledger->has_lost) {
        *ret_owns = true;
        return TW_OK;
    }
    enum tw_status status = tw_db_first(ledger->find_reservation, &value, 1, &has_row, error);
    if (status == TW_OK) {
        *ret_owns = has_row && tw_db_column_integer(ledger->find_reservation, 0) == ledger->self;
    }
    return status;
}

static enum tw_status write_window(struct tw_ledger *ledger, const struct tw_hub_window *window,
                                   struct tw_error *error)
{
    const struct tw_db_value id = tw_db_integer(window->budget->id);
    const struct tw_db_value starts_s = tw_db_integer(window->starts_s);
    const struct tw_db_value carried = tw_db_integer(window->sums.carried);
    const struct tw_db_value spent = tw_db_integer(window->sums.spent);
    const struct tw_db_value reserved = tw_db_integer(window->sums.reserved);
    const struct tw_db_value crossed = tw_db_integer(window->was_crossed);
    if (window->is_stored) {
        const struct tw_db_value values[] = {carried, spent, reserved, crossed, id, starts_s};
        return tw_db_run(ledger->write_window, values, COUNT(values), error);
    }
    const struct tw_db_value values[] = {
        id, starts_s, tw_db_integer(window->ends_s), carried, spent, reserved, crossed};
    return tw_db_run(ledger->insert_window, values, COUNT(values), error);
}

enum tw_status tw_ledger_write_sums(struct tw_ledger *ledger, struct tw_directory *directory,
                                    struct tw_error *error)
{
    enum tw_status status = write_accounts(ledger, error);
    while (status == TW_OK && directory->dirty != NULL) {
        struct tw_hub_window *window = directory->dirty;
        status = write_window(ledger, window, error);
        window->is_dirty = false;
        window->is_stored = true;
        directory->dirty = window->next_dirty;
    }
    return status;
}

/* ---- entries ---- */

struct entry {
    const char *kind;
    struct tw_hub_account *debit, *credit;
    int64_t at_ns, amount_nano, tokens;
    struct tw_settlement counts; /* of a settlement */
};

static void touch(struct tw_ledger *ledger, struct tw_hub_account *account)
{
    if (!account->is_dirty) {
        account->is_dirty = true;
        account->next_dirty = ledger->dirty;
        ledger->dirty = account;
    }
}

static enum tw_status add_entry(struct tw_ledger *ledger, const struct tw_reservation *reservation,
                                const struct entry *entry, struct tw_error *error)
{
    entry->debit->debit_nano += entry->amount_nano;
    entry->debit->debit_tokens += entry->tokens;
    entry->credit->credit_nano += entry->amount_nano;
    entry->credit->credit_tokens += entry->tokens;
    touch(ledger, entry->debit);
    touch(ledger, entry->credit);
    const struct tw_db_value values[] = {tw_db_integer(ledger->books.next_entry++),
                                         tw_db_integer(entry->at_ns),
                                         tw_db_text(entry->kind),
                                         tw_db_integer(reservation->request),
                                         tw_db_integer(entry->debit->id),
                                         tw_db_integer(entry->credit->id),
                                         tw_db_integer(entry->amount_nano),
                                         tw_db_integer(entry->tokens),
                                         tw_db_integer(reservation->key->id),
                                         tw_db_integer(reservation->entry),
                                         tw_db_integer(reservation->reserved_ns),
                                         tw_db_text(reservation->model),
                                         tw_db_text(reservation->class),
                                         tw_db_integer(reservation->price),
                                         tw_db_integer(entry->counts.n_input_tokens),
                                         tw_db_integer(entry->counts.n_cached_tokens),
                                         tw_db_integer(entry->counts.n_output_tokens)};
    return tw_db_run(ledger->insert_entry, values, COUNT(values), error);
}

static int64_t reserved_tokens(const struct tw_reservation *reservation)
{
    return reservation->n_prompt_tokens + reservation->n_output_tokens;
}

/* Nothing has more than what all reservations together were. */
enum tw_status tw_ledger_check_room(const struct tw_ledger *ledger, int64_t amount_nano,
                                    int64_t tokens, struct tw_error *error)
{
    const struct tw_hub_account *all = &ledger->obligations;
    int64_t sum;
    return __builtin_add_overflow(all->credit_nano, amount_nano, &sum) ||
                   __builtin_add_overflow(all->credit_tokens, tokens, &sum)
               ? tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the books cannot count this request beside all that they have "
                              "counted: they need a price that is lower, or new books")
               : TW_OK;
}

enum tw_status tw_ledger_reserve(struct tw_ledger *ledger, struct tw_reservation *reservation,
                                 struct tw_error *error)
{
    reservation->request = ledger->books.next_request++;
    reservation->entry = ledger->books.next_entry;
    const struct entry entry = {.kind = "reserve",
                                .debit = &reservation->project->held,
                                .credit = &ledger->obligations,
                                .at_ns = reservation->reserved_ns,
                                .amount_nano = reservation->amount_nano,
                                .tokens = reserved_tokens(reservation)};
    enum tw_status status = need_accounts(ledger, reservation->project, error);
    if (status == TW_OK) {
        status = add_entry(ledger, reservation, &entry, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const struct tw_db_value values[] = {tw_db_integer(reservation->request),
                                         tw_db_integer(reservation->entry),
                                         tw_db_integer(reservation->key->id),
                                         tw_db_text(reservation->model),
                                         tw_db_text(reservation->class),
                                         tw_db_integer(reservation->price),
                                         tw_db_integer(reservation->n_prompt_tokens),
                                         tw_db_integer(reservation->n_output_tokens),
                                         tw_db_integer(reservation->amount_nano),
                                         tw_db_integer(reservation->reserved_ns),
                                         tw_db_integer(reservation->watermark_tokens),
                                         tw_db_integer(ledger->self),
                                         tw_db_text(reservation->client_id)};
    return tw_db_run(ledger->insert_reservation, values, COUNT(values), error);
}

enum tw_status tw_ledger_reserve_more(struct tw_ledger *ledger, struct tw_reservation *reservation,
                                      int64_t amount_nano, int64_t tokens, int64_t now_ns,
                                      struct tw_error *error)
{
    const struct entry entry = {.kind = "reserve",
                                .debit = &reservation->project->held,
                                .credit = &ledger->obligations,
                                .at_ns = now_ns,
                                .amount_nano = amount_nano,
                                .tokens = tokens};
    enum tw_status status = need_accounts(ledger, reservation->project, error);
    if (status == TW_OK) {
        status = add_entry(ledger, reservation, &entry, error);
        reservation->amount_nano += amount_nano;
        reservation->n_output_tokens += tokens; /* released is the sum */
    }
    return status;
}

enum tw_status tw_ledger_cover(struct tw_ledger *ledger, int64_t request, int64_t n_tokens,
                               struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(n_tokens), tw_db_integer(request)};
    return tw_db_run(ledger->cover, values, COUNT(values), error);
}

enum tw_status tw_ledger_settle(struct tw_ledger *ledger, const struct tw_reservation *reservation,
                                const struct tw_settlement *settlement, int64_t now_ns,
                                struct tw_error *error)
{
    const struct entry release = {.kind = "release",
                                  .debit = &ledger->obligations,
                                  .credit = &reservation->project->held,
                                  .at_ns = now_ns,
                                  .amount_nano = reservation->amount_nano,
                                  .tokens = reserved_tokens(reservation)};
    const struct entry settle = {.kind = "settle",
                                 .debit = &reservation->project->usage,
                                 .credit = &ledger->revenue,
                                 .at_ns = now_ns,
                                 .amount_nano = settlement->amount_nano,
                                 .tokens = settlement->n_input_tokens +
                                           settlement->n_cached_tokens +
                                           settlement->n_output_tokens,
                                 .counts = *settlement};
    const struct tw_db_value request = tw_db_integer(reservation->request);
    enum tw_status status = need_accounts(ledger, reservation->project, error);
    if (status == TW_OK) {
        status = add_entry(ledger, reservation, &release, error);
    }
    if (status == TW_OK) {
        status = add_entry(ledger, reservation, &settle, error);
    }
    if (status == TW_OK) {
        status = tw_db_run(ledger->delete_reservation, &request, 1, error);
    }
    return status;
}
