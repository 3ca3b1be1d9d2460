#include "synth_ledger.h"

#include <stdio.h>
#include <string.h>

#include "hub/hub_schema.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

enum { MILLION = 1000000, OBLIGATIONS = 1, REVENUE = 2 };

static const char INSERT_ENTRY[] =
    "INSERT INTO entry (id, at_ns, kind, request, debit, credit, amount_nano, tokens, api_key,"
    " reserve_entry, reserved_ns, model, class, price, input_tokens, cached_tokens, output_tokens)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

static enum tw_status run_once(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                               size_t n, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, values, n, error);
    }
    tw_db_finalize(statement);
    return status;
}

enum tw_status synth_ledger_begin(struct tw_db *db, const char *currency,
                                  struct synth_ledger *ret_ledger, struct tw_error *error)
{
    *ret_ledger = (struct synth_ledger){.db = db, .next_id = 3, .next_entry = 1, .next_request = 1};
    const struct tw_db_value values[] = {tw_db_text("0123456789abcdef0123456789abcdef"),
                                         tw_db_text(currency)};
    enum tw_status status = tw_hub_schema_migrate(db, error);
    if (status == TW_OK) {
        status = tw_db_begin(db, error);
    }
    if (status == TW_OK) {
        status = run_once(db,
                          "INSERT INTO books (id, log, currency, created_ns, last_ns, next_id,"
                          " next_entry, next_request, writer) VALUES (1, ?, ?, 0, 0, 3, 1, 1, 0)",
                          values, COUNT(values), error);
    }
    if (status == TW_OK) {
        status = tw_db_execute(db,
                               "INSERT INTO account (id, kind, project, debit_nano, credit_nano,"
                               " debit_tokens, credit_tokens) VALUES"
                               " (1, 'obligations', 0, 0, 0, 0, 0), (2, 'revenue', 0, 0, 0, 0, 0)",
                               error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(db, INSERT_ENTRY, &ret_ledger->insert_entry, error);
    }
    return status;
}

/* ---- holders and prices ---- */

static enum tw_status add_account(struct synth_ledger *ledger, const char *kind, int64_t project,
                                  int64_t *ret_id, struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(ledger->next_id), tw_db_text(kind),
                                         tw_db_integer(project)};
    *ret_id = ledger->next_id++;
    return run_once(ledger->db,
                    "INSERT INTO account (id, kind, project, debit_nano, credit_nano, debit_tokens,"
                    " credit_tokens) VALUES (?, ?, ?, 0, 0, 0, 0)",
                    values, COUNT(values), error);
}

enum tw_status synth_ledger_holder(struct synth_ledger *ledger, const char *kind, int64_t parent,
                                   const char *name, int64_t *ret_id, struct tw_error *error)
{
    if (ledger->n_holders == SYNTH_HOLDERS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %d holders",
                            SYNTH_HOLDERS);
    }
    struct synth_holder *holder = &ledger->holders[ledger->n_holders++];
    *holder = (struct synth_holder){.id = ledger->next_id++, .parent = parent};
    snprintf(holder->kind, sizeof holder->kind, "%s", kind);
    const struct tw_db_value values[] = {tw_db_integer(holder->id), tw_db_text(kind),
                                         tw_db_integer(parent), tw_db_text(name)};
    enum tw_status status =
        run_once(ledger->db,
                 "INSERT INTO holder (id, kind, parent, name, created_ns) VALUES (?, ?, ?, ?, 0)",
                 values, COUNT(values), error);
    if (status == TW_OK && strcmp(kind, "project") == 0) {
        status = add_account(ledger, "held", holder->id, &holder->held, error);
    }
    if (status == TW_OK && strcmp(kind, "project") == 0) {
        status = add_account(ledger, "usage", holder->id, &holder->usage, error);
    }
    *ret_id = holder->id;
    return status;
}

enum tw_status synth_ledger_price(struct synth_ledger *ledger, struct synth_price *price,
                                  struct tw_error *error)
{
    if (ledger->n_prices == SYNTH_PRICES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %d prices",
                            SYNTH_PRICES);
    }
    price->id = ledger->next_id++;
    ledger->prices[ledger->n_prices++] = *price;
    const struct tw_db_value values[] = {
        tw_db_integer(price->id),          tw_db_integer(price->project),
        tw_db_text(price->model),          tw_db_text(price->class),
        tw_db_integer(price->input_nano),  tw_db_integer(price->cached_nano),
        tw_db_integer(price->output_nano), tw_db_integer(price->valid_from_ns)};
    return run_once(ledger->db,
                    "INSERT INTO price (id, project, model, class, input_nano, cached_nano,"
                    " output_nano, valid_from_ns, created_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                    values, COUNT(values), error);
}

static const struct synth_holder *holder_of(const struct synth_ledger *ledger, int64_t id)
{
    for (size_t i = 0; i < ledger->n_holders; i++) {
        if (ledger->holders[i].id == id) {
            return &ledger->holders[i];
        }
    }
    return NULL;
}

int64_t synth_ledger_project_of(const struct synth_ledger *ledger, int64_t key)
{
    return holder_of(ledger, key)->parent;
}

static int rank(const struct synth_price *price, int64_t project, const char *model)
{
    const bool is_model = strcmp(price->model, model) == 0;
    if ((price->project != 0 && price->project != project) ||
        (!is_model && strcmp(price->model, "*") != 0)) {
        return 0;
    }
    return 1 + (is_model ? 1 : 0) + (price->project != 0 ? 2 : 0);
}

int64_t synth_ledger_find_price(const struct synth_ledger *ledger, int64_t project,
                                const char *model, const char *class, int64_t at_ns)
{
    const struct synth_price *best = NULL;
    for (size_t i = 0; i < ledger->n_prices; i++) {
        const struct synth_price *price = &ledger->prices[i];
        const int now = rank(price, project, model);
        if (now == 0 || strcmp(price->class, class) != 0 || price->valid_from_ns > at_ns) {
            continue;
        }
        const int before = best != NULL ? rank(best, project, model) : 0;
        if (now > before || (now == before && price->valid_from_ns >= best->valid_from_ns)) {
            best = price;
        }
    }
    return best != NULL ? best->id : 0;
}

/* ---- entries ---- */

static int64_t cost(const struct synth_ledger *ledger, int64_t version, int64_t input_tokens,
                    int64_t cached_tokens, int64_t output_tokens)
{
    __extension__ typedef unsigned __int128 wide;
    for (size_t i = 0; i < ledger->n_prices; i++) {
        const struct synth_price *price = &ledger->prices[i];
        if (price->id == version) {
            const wide sum = (wide)input_tokens * (wide)price->input_nano +
                             (wide)cached_tokens * (wide)price->cached_nano +
                             (wide)output_tokens * (wide)price->output_nano;
            return (int64_t)((sum + MILLION - 1) / MILLION);
        }
    }
    return 0;
}

struct posting {
    const char *kind;
    int64_t at_ns, debit, credit, amount_nano, input_tokens, cached_tokens, output_tokens, tokens;
};

static enum tw_status post(struct synth_ledger *ledger, const struct synth_request *request,
                           const struct posting *posting, struct tw_error *error)
{
    struct synth_balance *debit = &ledger->balances[posting->debit];
    struct synth_balance *credit = &ledger->balances[posting->credit];
    debit->debit_nano += posting->amount_nano;
    debit->debit_tokens += posting->tokens;
    credit->credit_nano += posting->amount_nano;
    credit->credit_tokens += posting->tokens;
    ledger->last_ns = posting->at_ns;
    const struct tw_db_value values[] = {tw_db_integer(ledger->next_entry++),
                                         tw_db_integer(posting->at_ns),
                                         tw_db_text(posting->kind),
                                         tw_db_integer(request->number),
                                         tw_db_integer(posting->debit),
                                         tw_db_integer(posting->credit),
                                         tw_db_integer(posting->amount_nano),
                                         tw_db_integer(posting->tokens),
                                         tw_db_integer(request->key),
                                         tw_db_integer(request->entry),
                                         tw_db_integer(request->reserved_ns),
                                         tw_db_text(request->model),
                                         tw_db_text(request->class),
                                         tw_db_integer(request->price),
                                         tw_db_integer(posting->input_tokens),
                                         tw_db_integer(posting->cached_tokens),
                                         tw_db_integer(posting->output_tokens)};
    return tw_db_run(ledger->insert_entry, values, COUNT(values), error);
}

enum tw_status synth_ledger_reserve(struct synth_ledger *ledger, struct synth_request *request,
                                    struct tw_error *error)
{
    const int64_t project = synth_ledger_project_of(ledger, request->key);
    const int64_t as_input =
        cost(ledger, request->price, request->prompt_tokens, 0, request->most_output_tokens);
    const int64_t as_cached =
        cost(ledger, request->price, 0, request->prompt_tokens, request->most_output_tokens);
    request->number = ledger->next_request++;
    request->entry = ledger->next_entry;
    request->amount_nano = as_input > as_cached ? as_input : as_cached;
    const struct posting posting = {.kind = "reserve",
                                    .at_ns = request->reserved_ns,
                                    .debit = holder_of(ledger, project)->held,
                                    .credit = OBLIGATIONS,
                                    .amount_nano = request->amount_nano,
                                    .tokens = request->prompt_tokens + request->most_output_tokens};
    return post(ledger, request, &posting, error);
}

enum tw_status synth_ledger_settle(struct synth_ledger *ledger, const struct synth_request *request,
                                   int64_t at_ns, int64_t input_tokens, int64_t cached_tokens,
                                   int64_t output_tokens, struct tw_error *error)
{
    const struct synth_holder *project =
        holder_of(ledger, synth_ledger_project_of(ledger, request->key));
    const struct posting release = {.kind = "release",
                                    .at_ns = at_ns,
                                    .debit = OBLIGATIONS,
                                    .credit = project->held,
                                    .amount_nano = request->amount_nano,
                                    .tokens = request->prompt_tokens + request->most_output_tokens};
    const struct posting settle = {
        .kind = "settle",
        .at_ns = at_ns,
        .debit = project->usage,
        .credit = REVENUE,
        .amount_nano = cost(ledger, request->price, input_tokens, cached_tokens, output_tokens),
        .input_tokens = input_tokens,
        .cached_tokens = cached_tokens,
        .output_tokens = output_tokens,
        .tokens = input_tokens + cached_tokens + output_tokens};
    enum tw_status status = post(ledger, request, &release, error);
    return status == TW_OK ? post(ledger, request, &settle, error) : status;
}

enum tw_status synth_ledger_leave_open(struct synth_ledger *ledger,
                                       const struct synth_request *request, struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(request->number),
                                         tw_db_integer(request->entry),
                                         tw_db_integer(request->key),
                                         tw_db_text(request->model),
                                         tw_db_text(request->class),
                                         tw_db_integer(request->price),
                                         tw_db_integer(request->prompt_tokens),
                                         tw_db_integer(request->most_output_tokens),
                                         tw_db_integer(request->amount_nano),
                                         tw_db_integer(request->reserved_ns)};
    return run_once(ledger->db,
                    "INSERT INTO reservation (request, entry, api_key, model, class, price,"
                    " prompt_tokens, output_tokens, amount_nano, reserved_ns, watermark_tokens,"
                    " hub, client_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '')",
                    values, COUNT(values), error);
}

/* ---- the end ---- */

static enum tw_status write_balances(struct synth_ledger *ledger, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (int64_t id = 1; status == TW_OK && id < (int64_t)COUNT(ledger->balances); id++) {
        const struct synth_balance *balance = &ledger->balances[id];
        if (balance->debit_tokens == 0 && balance->credit_tokens == 0) {
            continue;
        }
        const struct tw_db_value values[] = {
            tw_db_integer(balance->debit_nano), tw_db_integer(balance->credit_nano),
            tw_db_integer(balance->debit_tokens), tw_db_integer(balance->credit_tokens),
            tw_db_integer(id)};
        status = run_once(ledger->db,
                          "UPDATE account SET debit_nano = ?, credit_nano = ?, debit_tokens = ?,"
                          " credit_tokens = ? WHERE id = ?",
                          values, COUNT(values), error);
    }
    return status;
}

enum tw_status synth_ledger_end(struct synth_ledger *ledger, struct tw_error *error)
{
    const struct tw_db_value values[] = {
        tw_db_integer(ledger->last_ns), tw_db_integer(ledger->next_id),
        tw_db_integer(ledger->next_entry), tw_db_integer(ledger->next_request)};
    enum tw_status status = write_balances(ledger, error);
    if (status == TW_OK) {
        status = run_once(ledger->db,
                          "UPDATE books SET last_ns = ?, next_id = ?, next_entry = ?,"
                          " next_request = ? WHERE id = 1",
                          values, COUNT(values), error);
    }
    tw_db_finalize(ledger->insert_entry);
    ledger->insert_entry = NULL;
    if (status == TW_OK) {
        return tw_db_commit(ledger->db, error);
    }
    tw_db_rollback(ledger->db);
    return status;
}
