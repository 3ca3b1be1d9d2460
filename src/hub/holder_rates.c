/* Rates of holders in rows that all hubs of a store share: who begins a group has the books to
 * himself, so what he read within it is true, and what he writes the next one reads. Of who has no
 * limits there is no row. Lines of batches do not count: how many run at once bounds them. */
#include <stdio.h>

#include "hub/hub_state.h"

static const char READ[] = "SELECT requests_level, requests_at_ns, tokens_level, tokens_at_ns,"
                           " running FROM rate WHERE holder = ?";
static const char WRITE[] =
    "INSERT INTO rate (holder, requests_level, requests_at_ns, tokens_level, tokens_at_ns, running)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (holder) DO UPDATE SET"
    " requests_level = excluded.requests_level, requests_at_ns = excluded.requests_at_ns,"
    " tokens_level = excluded.tokens_level, tokens_at_ns = excluded.tokens_at_ns,"
    " running = excluded.running";
static const char COUNT_RUNNING[] =
    "SELECT COUNT(*) FROM reservation r JOIN holder k ON k.id = r.api_key"
    " LEFT JOIN holder p ON p.id = k.parent LEFT JOIN holder t ON t.id = p.parent"
    " LEFT JOIN holder o ON o.id = t.parent WHERE r.class <> 'batch'"
    " AND ? IN (k.id, p.id, t.id, o.id)";

enum tw_status tw_hub_open_rates(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_hub_rates *rates = &hub->rates;
    enum tw_status status = tw_db_prepare(hub->db, READ, &rates->read, error);
    if (status == TW_OK) {
        status = tw_db_prepare(hub->db, WRITE, &rates->write, error);
    }
    return status == TW_OK ? tw_db_prepare(hub->db, COUNT_RUNNING, &rates->count, error) : status;
}

void tw_hub_close_rates(struct tw_hub *hub)
{
    tw_db_finalize(hub->rates.read);
    tw_db_finalize(hub->rates.write);
    tw_db_finalize(hub->rates.count);
}

/* What nobody has counted yet, or has counted while there was no limit. */
static enum tw_status count_running(struct tw_hub *hub, struct tw_holder *holder,
                                    struct tw_error *error)
{
    const struct tw_db_value id = tw_db_integer(holder->id);
    bool has_row = false;
    enum tw_status status = tw_db_first(hub->rates.count, &id, 1, &has_row, error);
    if (status == TW_OK) {
        holder->rates.n_running = tw_db_column_integer(hub->rates.count, 0);
    }
    return status;
}

static uint64_t level_of(int64_t number)
{
    return number > 0 ? (uint64_t)number : 0;
}

/* As its row has it, where it is not known. */
static enum tw_status need(struct tw_hub *hub, struct tw_holder *holder, struct tw_error *error)
{
    struct tw_db_statement *row = hub->rates.read;
    const struct tw_db_value id = tw_db_integer(holder->id);
    bool has_row = false;
    if (holder->rates_epoch == hub->directory.sums_epoch) {
        return TW_OK;
    }
    enum tw_status status = tw_db_first(row, &id, 1, &has_row, error);
    if (status != TW_OK) {
        return status;
    }
    holder->rates = (struct tw_rate_state){.n_running = -1};
    if (has_row) {
        holder->rates = (struct tw_rate_state){
            .buckets = {{level_of(tw_db_column_integer(row, 0)), tw_db_column_integer(row, 1)},
                        {level_of(tw_db_column_integer(row, 2)), tw_db_column_integer(row, 3)}},
            .n_running = tw_db_column_integer(row, 4)};
    }
    if (holder->rates.n_running < 0) {
        status = count_running(hub, holder, error);
    }
    if (status == TW_OK) {
        holder->rates_epoch = hub->directory.sums_epoch;
    }
    return status;
}

/* Those above the key that have limits. */
static enum tw_status find_path(struct tw_hub *hub, struct tw_holder *key,
                                struct tw_holder *ret_holders[TW_HOLDER_KINDS],
                                struct tw_rate_holder ret_path[TW_HOLDER_KINDS], size_t *ret_n,
                                struct tw_error *error)
{
    size_t n = 0;
    enum tw_status status = TW_OK;
    for (struct tw_holder *holder = key; holder != NULL && status == TW_OK;
         holder = holder->parent) {
        const int64_t *limit = holder->settings.rates.limit;
        if (limit[TW_RATE_REQUESTS] > 0 || limit[TW_RATE_TOKENS] > 0 ||
            limit[TW_RATE_CONCURRENT] > 0) {
            status = need(hub, holder, error);
            ret_holders[n] = holder;
            ret_path[n++] = (struct tw_rate_holder){&holder->settings.rates, &holder->rates};
        }
    }
    *ret_n = n;
    return status;
}

static void touch(struct tw_hub *hub, struct tw_holder *holder)
{
    if (!holder->has_dirty_rates) {
        holder->has_dirty_rates = true;
        holder->next_dirty_rates = hub->rates.dirty;
        hub->rates.dirty = holder;
    }
}

static void refuse(struct tw_hub_ticket *ticket, const struct tw_rate_refusal *refusal,
                   int64_t limit)
{
    static const char *const names[TW_RATE_KINDS] = {"requests a minute", "tokens a minute",
                                                     "requests at once"};
    const bool is_never = refusal->retry_ns == INT64_MAX;
    ticket->refusal =
        refusal->kind == TW_RATE_CONCURRENT ? TW_HUB_REFUSED_CONCURRENT : TW_HUB_REFUSED_RATE;
    ticket->retry_after_ms = is_never ? INT64_MAX : (refusal->retry_ns + 999999) / 1000000;
    snprintf(ticket->reason, sizeof ticket->reason,
             is_never ? "the request has more tokens than the limit of %lld %s"
                      : "the limit of %lld %s is reached",
             (long long)limit, names[refusal->kind]);
}

enum tw_status tw_hub_try_rates(struct tw_hub *hub, struct tw_holder *key, int64_t n_requests,
                                int64_t n_tokens, struct tw_hub_ticket *ticket,
                                struct tw_error *error)
{
    struct tw_holder *holders[TW_HOLDER_KINDS];
    struct tw_rate_holder path[TW_HOLDER_KINDS];
    struct tw_rate_refusal refusal;
    size_t n;
    enum tw_status status = find_path(hub, key, holders, path, &n, error);
    if (status != TW_OK) {
        return status;
    }
    if (!tw_rate_limit_try(path, n, n_requests, n_tokens, hub->now_ns, &refusal)) {
        refuse(ticket, &refusal, path[refusal.holder].limits->limit[refusal.kind]);
        return TW_OK;
    }
    for (size_t i = 0; i < n; i++) {
        touch(hub, holders[i]);
    }
    return TW_OK;
}

enum tw_status tw_hub_end_rates(struct tw_hub *hub, struct tw_holder *key, int64_t n_requests,
                                int64_t n_tokens, struct tw_error *error)
{
    struct tw_holder *holders[TW_HOLDER_KINDS];
    struct tw_rate_holder path[TW_HOLDER_KINDS];
    size_t n;
    enum tw_status status = find_path(hub, key, holders, path, &n, error);
    if (status != TW_OK) {
        return status;
    }
    tw_rate_limit_give_back(path, n, n_requests, n_tokens, hub->now_ns);
    for (size_t i = 0; i < n; i++) {
        if (path[i].state->n_running > 0) { /* a row may say anything */
            tw_rate_limit_end(&path[i], 1);
        }
        touch(hub, holders[i]);
    }
    return TW_OK;
}

void tw_hub_show_rates(struct tw_hub *hub, struct tw_holder *key, struct tw_hub_shown *ret_shown)
{
    struct tw_holder *holders[TW_HOLDER_KINDS];
    struct tw_rate_holder path[TW_HOLDER_KINDS];
    struct tw_error error;
    size_t n;
    if (find_path(hub, key, holders, path, &n, &error) == TW_OK) {
        ret_shown->has_requests =
            tw_rate_limit_show(path, n, TW_RATE_REQUESTS, hub->now_ns, &ret_shown->requests);
        ret_shown->has_tokens =
            tw_rate_limit_show(path, n, TW_RATE_TOKENS, hub->now_ns, &ret_shown->tokens);
    }
}

enum tw_status tw_hub_write_rates(struct tw_hub *hub, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && hub->rates.dirty != NULL) {
        struct tw_holder *holder = hub->rates.dirty;
        const struct tw_rate_bucket *requests = &holder->rates.buckets[TW_RATE_REQUESTS];
        const struct tw_rate_bucket *tokens = &holder->rates.buckets[TW_RATE_TOKENS];
        const struct tw_db_value values[] = {
            tw_db_integer(holder->id),      tw_db_integer((int64_t)requests->level),
            tw_db_integer(requests->at_ns), tw_db_integer((int64_t)tokens->level),
            tw_db_integer(tokens->at_ns),   tw_db_integer(holder->rates.n_running)};
        status = tw_db_run(hub->rates.write, values, sizeof values / sizeof *values, error);
        holder->has_dirty_rates = false;
        hub->rates.dirty = holder->next_dirty_rates;
    }
    return status;
}

void tw_hub_forget_rates(struct tw_hub *hub)
{
    for (; hub->rates.dirty != NULL; hub->rates.dirty = hub->rates.dirty->next_dirty_rates) {
        hub->rates.dirty->has_dirty_rates = false;
    }
}
