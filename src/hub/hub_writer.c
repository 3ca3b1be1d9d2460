/* The writer: one thread that owns the store, and commits what waits in groups. */
#include <time.h>

#include "base/clock.h"
#include "hub/hub_state.h"

void tw_hub_enqueue(struct tw_hub *hub, struct tw_hub_op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&hub->lock);
    const bool is_late = hub->has_ended;
    if (!is_late) {
        *hub->last = op;
        hub->last = &op->next;
        pthread_cond_signal(&hub->wake);
    }
    pthread_mutex_unlock(&hub->lock);
    if (is_late) {
        op->done(hub, op, TW_ERR_CANCELLED);
    }
}

void tw_hub_call(struct tw_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    hub->is_called = true;
    pthread_cond_signal(&hub->wake);
    pthread_mutex_unlock(&hub->lock);
}

/* Until something waits, it is called or it is to stop; where records are not yet signed, or
 * requests not yet settled, no longer than until they can be, among other hubs until it is to say
 * that it is alive or to try to reach them again, and where old content is to go until that is
 * due. */
static void wait_for_work(struct tw_hub *hub)
{
    const bool is_unsigned = tw_audit_log_seq(hub->audit) > tw_audit_log_signed_seq(hub->audit);
    const bool has_others = tw_db_is_postgres(hub->db), is_broken = tw_db_is_broken(hub->db);
    const bool is_due = is_unsigned || hub->owed.n > 0 || hub->doubted.n > 0 || is_broken;
    const int64_t tend_ns = tw_hub_tend_ns(hub);
    const bool tends = tend_ns != INT64_MAX && !is_broken;
    int64_t wait_ns = is_due ? TW_SECOND_NS : TW_LIMIT_HUB_BEAT_NS;
    if (tends && tend_ns - hub->now_ns < wait_ns) {
        wait_ns = tend_ns > hub->now_ns ? tend_ns - hub->now_ns : 0;
    }
    const int64_t until_ns = tw_clock_monotonic_ns() + wait_ns;
    const struct timespec until = {.tv_sec = until_ns / TW_SECOND_NS,
                                   .tv_nsec = until_ns % TW_SECOND_NS};
    int failure = 0;
    while (hub->first == NULL && !hub->is_called && !hub->stops && failure == 0) {
        failure = has_others || ((is_due || tends) && !is_broken)
                      ? pthread_cond_timedwait(&hub->wake, &hub->lock, &until)
                      : pthread_cond_wait(&hub->wake, &hub->lock);
    }
}

/* Up to TW_LIMIT_HUB_GROUP of what waits; NULL: nothing, but there is something else to do. False:
 * it is to stop, and nothing waits. */
static bool take_group(struct tw_hub *hub, struct tw_hub_op **ret_group)
{
    pthread_mutex_lock(&hub->lock);
    wait_for_work(hub);
    hub->is_called = false;
    struct tw_hub_op *group = hub->first, **end = &hub->first;
    hub->has_ended = group == NULL && hub->stops;
    const bool goes_on = !hub->has_ended;
    for (int n = 0; *end != NULL && n < TW_LIMIT_HUB_GROUP && !((*end)->is_alone && n > 0); n++) {
        const bool is_alone = (*end)->is_alone;
        end = &(*end)->next;
        if (is_alone) {
            break;
        }
    }
    hub->first = *end;
    if (group != NULL) {
        *end = NULL;
    }
    if (hub->first == NULL) {
        hub->last = &hub->first;
    }
    pthread_mutex_unlock(&hub->lock);
    *ret_group = group;
    return goes_on;
}

void tw_hub_fail_group(struct tw_hub *hub, enum tw_status status, const struct tw_error *error)
{
    if (hub->group_status == TW_OK) {
        hub->group_status = status;
        hub->group_error = *error;
    }
}

/* Time never goes back: a clock that was set back reopens no window. Hubs that share a store have
 * its clock, whatever their own say. */
static void read_clock(struct tw_hub *hub)
{
    const struct tw_books *books = &hub->ledger.books;
    const int64_t own_ns = hub->config.now_ns(hub->config.context);
    const bool has_clock = books->store_ns != 0 && !hub->config.keeps_own_time;
    const int64_t now_ns = has_clock ? books->store_ns : own_ns;
    hub->ahead_ns = now_ns - own_ns;
    hub->now_ns = now_ns > books->last_ns ? now_ns : books->last_ns;
}

/* Another hub wrote meanwhile. */
static enum tw_status read_changes(struct tw_hub *hub, struct tw_error *error)
{
    enum tw_status status = tw_hub_update_directory(hub, error);
    if (status == TW_OK) {
        tw_directory_forget_sums(&hub->directory);
        status = tw_ledger_forget_sums(&hub->ledger, error);
    }
    if (status == TW_OK) {
        status = tw_audit_log_reload(hub->audit, error);
    }
    return status == TW_OK ? tw_hub_follow_erasures(hub, error) : status;
}

enum tw_status tw_hub_begin_group(struct tw_hub *hub, struct tw_error *error)
{
    bool is_stale;
    hub->group_status = TW_OK;
    hub->has_changed = false;
    tw_hub_forget_rates(hub);
    enum tw_status status = tw_db_begin(hub->db, error);
    if (status == TW_OK) {
        status = tw_ledger_begin(&hub->ledger, &is_stale, error);
    }
    if (status == TW_OK && is_stale) {
        status = read_changes(hub, error);
    }
    if (status == TW_OK) {
        hub->first_new_id = hub->ledger.books.next_id;
        hub->content.n_noted = hub->content.n_erasures;
        read_clock(hub);
    } else {
        tw_db_rollback(hub->db);
        hub->ledger.books.writer = 0; /* what was read is not whole */
    }
    return status;
}

/* What memory has and the store has not is forgotten. */
static void forget_group(struct tw_hub *hub)
{
    tw_db_rollback(hub->db);
    hub->content.retry_ns = hub->now_ns + TW_SECOND_NS;
    hub->ledger.books.writer = 0; /* so that the next group reads all sums again */
    if (hub->has_changed) {
        hub->directory.seen_change = 0; /* and the whole directory */
    }
}

enum tw_status tw_hub_end_group(struct tw_hub *hub, struct tw_error *error)
{
    enum tw_status status = hub->group_status;
    *error = hub->group_error;
    if (status == TW_OK) {
        status = tw_ledger_write_sums(&hub->ledger, &hub->directory, error);
    }
    if (status == TW_OK) {
        status = tw_hub_write_rates(hub, error);
    }
    if (status == TW_OK) {
        status = tw_audit_log_seal(hub->audit, hub->now_ns, error);
    }
    if (status == TW_OK && hub->has_changed && hub->notify != NULL) {
        status = tw_db_run(hub->notify, NULL, 0, error);
    }
    if (status == TW_OK) {
        status = tw_ledger_end(&hub->ledger, hub->now_ns, error);
    }
    if (status == TW_OK) {
        status = tw_db_commit(hub->db, error);
    }
    if (status != TW_OK) {
        hub->group_error = *error;
        tw_directory_forget(&hub->directory, hub->first_new_id);
        forget_group(hub);
    } else if (hub->has_changed) {
        tw_directory_forget_sums(&hub->directory); /* rates of who has other limits now */
    }
    return status;
}

/* Tries to reach PostgreSQL again, not more often than once a second. Others that could not say
 * that they are alive either are given the time to do so. */
static void reconnect(struct tw_hub *hub)
{
    struct tw_error error;
    if (!tw_db_is_postgres(hub->db) || tw_clock_monotonic_ns() < hub->reconnect_at_ns) {
        return;
    }
    const bool is_there = tw_db_reconnect(hub->db, &error) == TW_OK;
    const int64_t now_ns = tw_clock_monotonic_ns();
    hub->reconnect_at_ns = now_ns + TW_SECOND_NS;
    if (is_there) {
        hub->recover_at_ns = now_ns + 2 * TW_LIMIT_HUB_BEAT_NS;
        hub->ledger.books.writer = 0;
    }
}

/* Nothing is applied yet, so it may be tried again: where others had the books, and where the
 * connection was lost since the last group; but not where that took long: somebody waits. */
enum tw_status tw_hub_begin(struct tw_hub *hub, struct tw_error *error)
{
    const int64_t until_ns = tw_clock_monotonic_ns() + TW_LIMIT_DB_WAIT_MS / 2 * INT64_C(1000000);
    enum tw_status status = TW_OK;
    for (int i = 0; i < TW_LIMIT_HUB_BEGINNINGS; i++) {
        if (tw_db_is_broken(hub->db)) {
            reconnect(hub);
        }
        status = tw_hub_release_doubted(hub, error);
        if (status == TW_OK) {
            status = tw_hub_begin_group(hub, error);
        }
        const bool may_help = tw_db_should_retry(hub->db) || tw_db_is_broken(hub->db);
        if (status == TW_OK || !may_help || tw_clock_monotonic_ns() > until_ns) {
            break;
        }
    }
    return status;
}

static enum tw_status apply_group(struct tw_hub *hub, struct tw_hub_op *group)
{
    struct tw_error error;
    enum tw_status status = tw_hub_begin(hub, &error);
    if (status != TW_OK) {
        hub->group_error = error;
        forget_group(hub);
        return status;
    }
    if (tw_db_is_postgres(hub->db) && tw_clock_monotonic_ns() >= hub->recover_at_ns) {
        hub->recover_at_ns = tw_clock_monotonic_ns() + TW_LIMIT_HUB_BEAT_NS;
        status = tw_hub_recover(hub, &error);
        if (status != TW_OK) {
            tw_hub_fail_group(hub, status, &error);
        }
    }
    for (struct tw_hub_op *op = group; op != NULL && hub->group_status == TW_OK; op = op->next) {
        op->apply(hub, op);
    }
    if (hub->group_status == TW_OK && tw_hub_tend_ns(hub) <= hub->now_ns) {
        status = tw_hub_tend_content(hub, &error);
        if (status != TW_OK) {
            tw_hub_fail_group(hub, status, &error);
        }
    }
    return tw_hub_end_group(hub, &error);
}

static void tell(struct tw_hub *hub, enum tw_status status)
{
    const bool has_failed = status != TW_OK;
    hub->is_broken = tw_db_is_broken(hub->db);
    if (has_failed != hub->was_told && hub->config.failed != NULL) {
        hub->config.failed(hub->config.context, has_failed ? &hub->group_error : NULL);
    }
    hub->was_told = has_failed;
}

void *tw_hub_write(void *context)
{
    struct tw_hub *hub = context;
    struct tw_hub_op *op;
    while (take_group(hub, &op)) {
        const enum tw_status status = apply_group(hub, op);
        tell(hub, status);
        while (op != NULL) { /* which may be gone, or in the queue again, once it was told */
            struct tw_hub_op *next = op->next;
            op->done(hub, op, status);
            op = next;
        }
        tw_hub_settle_owed(hub);
    }
    return NULL;
}
