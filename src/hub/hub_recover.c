/* What another process left open is settled at its watermark: what may have been sent is paid.
 *
 * A file has one process that writes, so whoever has it open knows that all others are dead. Hubs
 * on PostgreSQL say in each group that they are alive, and at least every TW_LIMIT_HUB_BEAT_NS; who
 * was silent for TW_LIMIT_HUB_LEASE_NS is taken for dead, and finds that out when it wakes up. One
 * that is stopped says so in its last group. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub/hub_state.h"

struct open_request {
    struct tw_reservation reservation;
    struct tw_holder *key;
    char model[TW_LIMIT_SERVED_NAME_BYTES + 1];
    char class[16];
    char client_id[TW_LIMIT_HUB_CLIENT_ID_BYTES];
};

#define COLUMNS                                                                                    \
    "SELECT request, entry, api_key, model, class, price, prompt_tokens, output_tokens,"           \
    " amount_nano, reserved_ns, watermark_tokens, client_id FROM reservation r "

static const char NEXT_OPEN[] =
    COLUMNS "WHERE request > ? AND hub <> ? AND NOT EXISTS (SELECT 1 FROM hub_process p"
            " WHERE p.id = r.hub AND p.seen_ns > ?) ORDER BY request LIMIT 1";
static const char OWN_OPEN[] = COLUMNS "WHERE request = ? AND hub = ?";

/* Who wrote no later is dead. */
static int64_t alive_since_ns(const struct tw_hub *hub)
{
    return tw_db_is_postgres(hub->db) ? hub->now_ns - TW_LIMIT_HUB_LEASE_NS : INT64_MAX;
}

static enum tw_status read_open(struct tw_hub *hub, struct tw_db_statement *row,
                                const struct tw_db_value *values, size_t n_values,
                                struct open_request *ret_open, bool *ret_row,
                                struct tw_error *error)
{
    enum tw_status status = tw_db_first(row, values, n_values, ret_row, error);
    if (status != TW_OK || !*ret_row) {
        return status;
    }
    struct open_request *open = ret_open;
    snprintf(open->model, sizeof open->model, "%s", tw_db_column_text(row, 3));
    snprintf(open->class, sizeof open->class, "%s", tw_db_column_text(row, 4));
    snprintf(open->client_id, sizeof open->client_id, "%s", tw_db_column_text(row, 11));
    open->key = tw_directory_holder(&hub->directory, tw_db_column_integer(row, 2));
    open->reservation =
        (struct tw_reservation){.request = tw_db_column_integer(row, 0),
                                .entry = tw_db_column_integer(row, 1),
                                .price = tw_db_column_integer(row, 5),
                                .n_prompt_tokens = tw_db_column_integer(row, 6),
                                .n_output_tokens = tw_db_column_integer(row, 7),
                                .amount_nano = tw_db_column_integer(row, 8),
                                .reserved_ns = tw_db_column_integer(row, 9),
                                .watermark_tokens = tw_db_column_integer(row, 10),
                                .key = open->key,
                                .project = tw_holder_above(open->key, TW_HOLDER_PROJECT),
                                .model = open->model,
                                .class = open->class,
                                .client_id = open->client_id};
    return open->reservation.project != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the open request %lld is of no key in the books",
                              (long long)open->reservation.request);
}

/* Those that are taken for dead have nothing open any more. */
static enum tw_status forget_dead(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    const struct tw_db_value values[] = {tw_db_integer(hub->ledger.self),
                                         tw_db_integer(alive_since_ns(hub))};
    enum tw_status status = tw_db_prepare(
        hub->db, "DELETE FROM hub_process WHERE id <> ? AND seen_ns <= ?", &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, values, 2, error);
    }
    tw_db_finalize(statement);
    return status;
}

/* Nothing was sent of what has no watermark. */
static enum tw_status end_open(struct tw_hub *hub, const struct open_request *open,
                               const char *finish, struct tw_error *error)
{
    const int64_t watermark = open->reservation.watermark_tokens;
    struct tw_hub_ending ending = {.key = open->key,
                                   .kind = TW_AUDIT_REQUEST_RECOVERED,
                                   .n_input_tokens =
                                       watermark > 0 ? open->reservation.n_prompt_tokens : 0,
                                   .n_output_tokens = watermark,
                                   .finish = finish};
    return tw_hub_end_reservation(hub, &open->reservation, &ending, error);
}

enum tw_status tw_hub_recover(struct tw_hub *hub, struct tw_error *error)
{
    const int64_t n_before = hub->n_recovered;
    struct open_request open = {.reservation = {.request = 0}};
    struct tw_db_statement *statement = NULL;
    bool has_row = true;
    enum tw_status status = tw_db_prepare(hub->db, NEXT_OPEN, &statement, error);
    while (status == TW_OK && has_row) {
        const struct tw_db_value values[] = {tw_db_integer(open.reservation.request),
                                             tw_db_integer(hub->ledger.self),
                                             tw_db_integer(alive_since_ns(hub))};
        status = read_open(hub, statement, values, 3, &open, &has_row, error);
        if (status != TW_OK || !has_row) {
            break;
        }
        status = end_open(hub, &open, "crashed", error);
        hub->n_recovered += status == TW_OK;
    }
    tw_db_finalize(statement);
    hub->ledger.books.n_dead += hub->n_recovered > n_before;
    return status == TW_OK ? forget_dead(hub, error) : status;
}

/* ---- what this hub could not end ---- */

static void remember(struct tw_hub_requests *requests, int64_t number)
{
    if (requests->n == requests->room) {
        const size_t room = requests->room > 0 ? requests->room * 2 : 16;
        int64_t *at = tw_mem_realloc(requests->at, room, sizeof *at);
        if (at == NULL) {
            return; /* then it is settled when the hub is opened */
        }
        requests->at = at;
        requests->room = room;
    }
    requests->at[requests->n++] = number;
}

void tw_hub_owe(struct tw_hub *hub, int64_t request)
{
    remember(&hub->owed, request);
    hub->owed_at_ns = tw_clock_monotonic_ns() + TW_SECOND_NS;
}

void tw_hub_doubt(struct tw_hub *hub, int64_t request)
{
    remember(&hub->doubted, request);
}

/* One that is not there was settled by another hub, or was never there. */
static enum tw_status settle_one(struct tw_hub *hub, int64_t request, bool was_granted,
                                 struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    struct open_request open;
    bool has_row = false;
    const struct tw_db_value values[] = {tw_db_integer(request), tw_db_integer(hub->ledger.self)};
    enum tw_status status = tw_db_prepare(hub->db, OWN_OPEN, &statement, error);
    if (status == TW_OK) {
        status = read_open(hub, statement, values, 2, &open, &has_row, error);
    }
    if (status == TW_OK && has_row) {
        open.reservation.watermark_tokens *= was_granted;
        status = end_open(hub, &open, was_granted ? "unsettled" : "refused", error);
    }
    tw_db_finalize(statement);
    return status;
}

/* A group each: what cannot be settled holds up nobody else, and is settled at an opening. */
static void settle_each(struct tw_hub *hub, struct tw_hub_requests *requests, bool were_granted,
                        struct tw_error *error)
{
    const size_t n = requests->n;
    requests->n = 0;
    for (size_t i = 0; i < n; i++) {
        enum tw_status status = tw_hub_begin_group(hub, error);
        const bool has_begun = status == TW_OK;
        if (has_begun) {
            status = settle_one(hub, requests->at[i], were_granted, error);
            if (status != TW_OK) {
                tw_hub_fail_group(hub, status, error);
            }
            const enum tw_status end = tw_hub_end_group(hub, error);
            status = status == TW_OK || tw_db_is_broken(hub->db) ? end : TW_OK; /* not again */
        }
        if (status != TW_OK) {
            requests->at[requests->n++] = requests->at[i];
        }
    }
}

void tw_hub_settle_owed(struct tw_hub *hub)
{
    struct tw_error error;
    if (hub->owed.n == 0 || tw_db_is_broken(hub->db) || tw_clock_monotonic_ns() < hub->owed_at_ns) {
        return;
    }
    settle_each(hub, &hub->owed, true, &error);
    hub->owed_at_ns = tw_clock_monotonic_ns() + TW_SECOND_NS;
}

enum tw_status tw_hub_release_doubted(struct tw_hub *hub, struct tw_error *error)
{
    settle_each(hub, &hub->doubted, false, error);
    return hub->doubted.n == 0 ? TW_OK : TW_ERR_IO;
}
