/* What a ticket does: asked for, covered, settled. All of it on the writer's thread, in a group. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hub/hub_state.h"

static struct tw_hub_ticket *ticket_of(struct tw_hub_op *op)
{
    return (struct tw_hub_ticket *)((char *)op - offsetof(struct tw_hub_ticket, op));
}

static struct tw_hub_ticket *covering_ticket_of(struct tw_hub_op *op)
{
    return (struct tw_hub_ticket *)((char *)op - offsetof(struct tw_hub_ticket, cover_op));
}

/* ---- the path of a key ---- */

enum tw_status tw_hub_find_path(struct tw_hub *hub, struct tw_holder *key, int64_t at_ns,
                                int64_t entry, struct tw_hub_path *ret_path, struct tw_error *error)
{
    struct tw_hub_path path = {0};
    for (struct tw_holder *holder = key; holder != NULL; holder = holder->parent) {
        for (struct tw_hub_budget *budget = holder->budgets; budget != NULL;
             budget = budget->next) {
            if (!budget->is_open || budget->since_entry > entry) {
                continue;
            }
            if (path.n == TW_LIMIT_HUB_PATH) {
                return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                    "no room for the budgets above the key '%s': at most %d",
                                    key->name, TW_LIMIT_HUB_PATH);
            }
            struct tw_hub_window *window = NULL;
            enum tw_status status = tw_directory_window(&hub->directory, hub->ledger.find_window,
                                                        budget, at_ns, &window, error);
            if (status != TW_OK) {
                return status;
            }
            path.windows[path.n] = window;
            path.steps[path.n++] = (struct tw_spending_step){&budget->facts, &window->sums};
        }
    }
    *ret_path = path;
    return TW_OK;
}

void tw_hub_touch_path(struct tw_hub *hub, const struct tw_hub_path *path)
{
    for (size_t i = 0; i < path->n; i++) {
        tw_directory_touch(&hub->directory, path->windows[i]);
    }
}

/* ---- asked for ---- */

static void refuse(struct tw_hub_ticket *ticket, enum tw_hub_refusal refusal, const char *format,
                   ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct tw_hub_ticket *ticket, enum tw_hub_refusal refusal, const char *format,
                   ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ticket->reason, sizeof ticket->reason, format, arguments);
    va_end(arguments);
    ticket->refusal = refusal;
}

static bool key_is_good(struct tw_hub *hub, struct tw_hub_ticket *ticket)
{
    const struct tw_hub_caller *caller = &ticket->request.caller;
    const int64_t expires_ns = caller->secret->expires_ns;
    if (!tw_hub_may_go_on(caller)) {
        refuse(ticket, TW_HUB_REFUSED_KEY, "the key, or what it belongs to, was closed");
    } else if (expires_ns != 0 && expires_ns <= hub->now_ns) {
        refuse(ticket, TW_HUB_REFUSED_KEY, "the key has expired");
    }
    return ticket->refusal == TW_HUB_GRANTED;
}

static bool policy_allows(struct tw_hub_ticket *ticket)
{
    if (ticket->request.denied != NULL) {
        refuse(ticket, TW_HUB_REFUSED_POLICY, "%s", ticket->request.denied);
    }
    return ticket->refusal == TW_HUB_GRANTED;
}

/* A budget in words: "the budget 'november' of acme/research (money, month)". */
static void write_budget(const struct tw_hub_budget *budget, char *ret_text, size_t text_bytes)
{
    char path[TW_LIMIT_HUB_SHOWN_BYTES];
    tw_holder_write_path(budget->holder, path, sizeof path);
    snprintf(ret_text, text_bytes, "the budget '%s' of %s (%s a %s)", budget->name, path,
             tw_spending_unit_name(budget->facts.unit), tw_period_kind_name(budget->period));
}

/* How much of what is asked for can be paid. */
static enum tw_status decide(struct tw_hub_ticket *ticket, const struct tw_hub_path *path,
                             const struct tw_price *price,
                             struct tw_spending_decision *ret_decision, struct tw_error *error)
{
    const struct tw_hub_request *request = &ticket->request;
    const struct tw_holder *project = tw_holder_above(request->caller.key, TW_HOLDER_PROJECT);
    uint64_t most = request->max_answer_tokens != 0
                        ? request->max_answer_tokens
                        : (uint64_t)project->settings.default_answer_tokens;
    most = most == 0 || most > request->most_answer_tokens ? request->most_answer_tokens : most;
    const struct tw_spending_request spending = {
        .prices = price->version != TW_PRICE_FREE ? &price->prices : NULL,
        .prompt_tokens = (int64_t)request->n_prompt_tokens,
        .n_answers = request->n_answers > 0 ? (int64_t)request->n_answers : 1,
        .max_output_tokens = request->n_answers > 0 ? (int64_t)most : 0};
    enum tw_status status = tw_spending_clamp(path->steps, path->n, &spending, ret_decision, error);
    if (status != TW_OK) {
        return status;
    }
    char budget[TW_LIMIT_HUB_SHOWN_BYTES * 2] = "";
    if (ret_decision->decided_by != TW_SPENDING_NOBODY) {
        write_budget(path->windows[ret_decision->decided_by]->budget, budget, sizeof budget);
    }
    switch (ret_decision->verdict) {
    case TW_SPENDING_FITS:
        break;
    case TW_SPENDING_CLAMPED:
        ticket->is_clamped = true;
        snprintf(ticket->reason, sizeof ticket->reason, "%s bounds the answer to %lld tokens",
                 budget, (long long)ret_decision->max_output_tokens);
        break;
    case TW_SPENDING_REFUSED:
        refuse(ticket, TW_HUB_REFUSED_BUDGET, "%s has not enough left for this request", budget);
        break;
    case TW_SPENDING_UNPRICED:
        refuse(ticket, TW_HUB_REFUSED_PRICE,
               "the model '%s' has no price, and %s counts money: set one with price set",
               request->model, budget);
        break;
    }
    return TW_OK;
}

static void fill_reservation(const struct tw_hub_ticket *ticket,
                             struct tw_reservation *ret_reservation)
{
    const struct tw_hub_request *request = &ticket->request;
    *ret_reservation =
        (struct tw_reservation){.request = ticket->number,
                                .entry = ticket->entry,
                                .price = ticket->price,
                                .amount_nano = ticket->amount_nano,
                                .reserved_ns = ticket->reserved_ns,
                                .n_prompt_tokens = (int64_t)request->n_prompt_tokens,
                                .n_output_tokens = (int64_t)ticket->n_reserved_answer_tokens,
                                .key = request->caller.key,
                                .project = tw_holder_above(request->caller.key, TW_HOLDER_PROJECT),
                                .model = request->model,
                                .client_id = request->client_id,
                                .class = tw_price_class_name(request->price_class)};
}

/* What cannot be counted is refused to who asks for it; others in the group have theirs. */
static enum tw_status refuse_uncountable(struct tw_hub_ticket *ticket, enum tw_status status,
                                         const struct tw_error *error)
{
    if (status != TW_ERR_LIMIT) {
        return status;
    }
    refuse(ticket, TW_HUB_REFUSED_BUDGET, "%s", error->text);
    return TW_OK;
}

/* In the ledger's sums and those of the windows, or nowhere. */
static enum tw_status reserve_sums(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                                   const struct tw_hub_path *path, struct tw_spending_amount amount,
                                   struct tw_error *error)
{
    enum tw_status status =
        tw_ledger_check_room(&hub->ledger, amount.money_nano, amount.tokens, error);
    if (status == TW_OK) {
        status = tw_spending_reserve(path->steps, path->n, amount, error);
    }
    return refuse_uncountable(ticket, status, error);
}

/* Takes what was decided: in the windows, the ledger and the ticket. */
static enum tw_status take(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                           const struct tw_hub_path *path,
                           const struct tw_spending_decision *decision, struct tw_error *error)
{
    struct tw_reservation reservation;
    const uint64_t n_answers = ticket->request.n_answers;
    enum tw_status status = reserve_sums(hub, ticket, path, decision->amount, error);
    if (status != TW_OK || ticket->refusal != TW_HUB_GRANTED) {
        return status;
    }
    tw_hub_touch_path(hub, path);
    ticket->max_answer_tokens = (uint64_t)decision->max_output_tokens;
    ticket->n_reserved_answer_tokens = ticket->max_answer_tokens * n_answers;
    ticket->amount_nano = decision->amount.money_nano;
    ticket->reserved_ns = hub->now_ns;
    fill_reservation(ticket, &reservation);
    ticket->cover_tokens = !ticket->request.is_stream ? 0
                           : ticket->n_reserved_answer_tokens < TW_LIMIT_HUB_AHEAD_TOKENS
                               ? ticket->n_reserved_answer_tokens
                               : TW_LIMIT_HUB_AHEAD_TOKENS;
    reservation.watermark_tokens = (int64_t)ticket->cover_tokens;
    status = tw_ledger_reserve(&hub->ledger, &reservation, error);
    ticket->number = reservation.request;
    ticket->entry = reservation.entry;
    return status;
}

/* The same for what the rates have counted already. */
static enum tw_status take_counted(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                                   const struct tw_hub_path *path,
                                   const struct tw_spending_decision *decision,
                                   struct tw_error *error)
{
    enum tw_status status = take(hub, ticket, path, decision, error);
    return status == TW_OK && ticket->refusal != TW_HUB_GRANTED && ticket->request.line == NULL
               ? tw_hub_end_rates(hub, ticket->request.caller.key, !ticket->request.is_again,
                                  decision->amount.tokens, error)
               : status;
}

static void apply_reserve(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct tw_hub_ticket *ticket = ticket_of(op);
    struct tw_hub_request *request = &ticket->request;
    struct tw_hub_path path;
    struct tw_spending_decision decision;
    struct tw_error error;
    enum tw_status status = TW_OK;
    ticket->refusal = TW_HUB_GRANTED;
    ticket->is_clamped = false;
    if (key_is_good(hub, ticket) && policy_allows(ticket)) {
        const struct tw_holder *project = tw_holder_above(request->caller.key, TW_HOLDER_PROJECT);
        const struct tw_price *price = tw_price_find(
            &hub->directory.prices, project->id, request->model, request->price_class, hub->now_ns);
        ticket->price = price->version;
        status = tw_hub_find_path(hub, request->caller.key, hub->now_ns,
                                  hub->ledger.books.next_entry, &path, &error);
        if (status == TW_OK) {
            status = decide(ticket, &path, price, &decision, &error);
        }
        status = refuse_uncountable(ticket, status, &error);
    }
    /* A batch takes nothing of what its project may ask in a minute: it is bounded by how many of
     * its lines run at once. */
    if (status == TW_OK && ticket->refusal == TW_HUB_GRANTED && request->line == NULL) {
        status = tw_hub_try_rates(hub, request->caller.key, !request->is_again,
                                  decision.amount.tokens, ticket, &error);
    }
    if (status == TW_OK && ticket->refusal == TW_HUB_GRANTED) {
        status = take_counted(hub, ticket, &path, &decision, &error);
    }
    if (status == TW_OK && ticket->refusal != TW_HUB_GRANTED) {
        status = tw_hub_record_refusal(hub, ticket, &error);
    }
    tw_hub_show_rates(hub, request->caller.key, &ticket->shown);
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
}

static void done_reserve(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct tw_hub_ticket *ticket = ticket_of(op);
    if (status != TW_OK) {
        if (ticket->number != 0 && tw_db_is_broken(hub->db)) {
            tw_hub_doubt(hub, ticket->number);
        }
        refuse(ticket, TW_HUB_REFUSED_STORE, "it cannot be put on record: %s",
               hub->group_error.text);
    }
    ticket->is_open = ticket->refusal == TW_HUB_GRANTED;
    ticket->n_covered_tokens = ticket->is_open ? ticket->cover_tokens : 0;
    ticket->done(ticket->context, ticket, status);
}

void tw_hub_reserve(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                    const struct tw_hub_request *request, tw_hub_done_fn done, void *context)
{
    *ticket = (struct tw_hub_ticket){.request = *request,
                                     .op = {.apply = apply_reserve, .done = done_reserve},
                                     .done = done,
                                     .context = context};
    if (request->line != NULL) {
        ticket->request.price_class = TW_PRICE_BATCH;
    }
    tw_hub_enqueue(hub, &ticket->op);
}

/* Whether it may still be covered or settled. Of a hub that was silent for long another one has
 * settled what was open. */
static bool owns(struct tw_hub *hub, struct tw_hub_ticket *ticket)
{
    struct tw_error error;
    bool owns = true;
    enum tw_status status = tw_db_is_postgres(hub->db)
                                ? tw_ledger_owns(&hub->ledger, ticket->number, &owns, &error)
                                : TW_OK;
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
    ticket->is_lost = !owns;
    return owns && status == TW_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- covered ---- */

static void apply_cover(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct tw_hub_ticket *ticket = covering_ticket_of(op);
    struct tw_error error;
    if (!owns(hub, ticket)) {
        return;
    }
    enum tw_status status =
        tw_ledger_cover(&hub->ledger, ticket->number, (int64_t)ticket->cover_tokens, &error);
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
}

static void done_cover(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct tw_hub_ticket *ticket = covering_ticket_of(op);
    (void)hub;
    status = status == TW_OK && ticket->is_lost ? TW_ERR_MISSED : status;
    if (status == TW_OK) {
        ticket->n_covered_tokens = ticket->cover_tokens;
    }
    ticket->cover_done(ticket->cover_context, ticket, status);
}

void tw_hub_cover(struct tw_hub *hub, struct tw_hub_ticket *ticket, uint64_t n_tokens,
                  tw_hub_done_fn done, void *context)
{
    ticket->cover_tokens = least(n_tokens, ticket->n_reserved_answer_tokens);
    ticket->cover_op = (struct tw_hub_op){.apply = apply_cover, .done = done_cover};
    ticket->cover_done = done;
    ticket->cover_context = context;
    tw_hub_enqueue(hub, &ticket->cover_op);
}

/* ---- settled ---- */

/* A soft budget that this settlement takes over its limit is said so, once a window. */
static enum tw_status say_crossed(struct tw_hub *hub, const struct tw_hub_path *path,
                                  struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < path->n; i++) {
        struct tw_hub_window *window = path->windows[i];
        if (!window->was_crossed && tw_spending_is_passed(&window->budget->facts, &window->sums)) {
            window->was_crossed = true;
            status = tw_hub_record_crossed(hub, window, error);
        }
    }
    return status;
}

enum tw_status tw_hub_end_reservation(struct tw_hub *hub, const struct tw_reservation *reservation,
                                      struct tw_hub_ending *ending, struct tw_error *error)
{
    struct tw_hub_path path;
    struct tw_hub_record record = {.reservation = reservation, .ending = ending};
    const struct tw_price *price = tw_price_of_version(&hub->directory.prices, reservation->price);
    const struct tw_token_counts counts = {.input = ending->n_input_tokens,
                                           .cached = ending->n_cached_tokens,
                                           .output = ending->n_output_tokens};
    struct tw_settlement settlement = {.n_input_tokens = ending->n_input_tokens,
                                       .n_cached_tokens = ending->n_cached_tokens,
                                       .n_output_tokens = ending->n_output_tokens};
    const struct tw_spending_amount reserved = {.money_nano = reservation->amount_nano,
                                                .tokens = reservation->n_prompt_tokens +
                                                          reservation->n_output_tokens};
    if (price == NULL) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the price version %lld of request %lld is not in the books",
                            (long long)reservation->price, (long long)reservation->request);
    }
    enum tw_status status = tw_money_cost(&counts, &price->prices, &settlement.amount_nano, error);
    if (status == TW_OK) {
        status = tw_hub_find_path(hub, ending->key, reservation->reserved_ns, reservation->entry,
                                  &path, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const struct tw_spending_amount cost = {.money_nano = settlement.amount_nano,
                                            .tokens = counts.input + counts.cached + counts.output};
    tw_hub_record_before(&record, &path);
    status = tw_spending_settle(path.steps, path.n, reserved, cost, error);
    if (status == TW_OK) {
        tw_hub_touch_path(hub, &path);
    }
    if (status == TW_OK && strcmp(reservation->class, tw_price_class_name(TW_PRICE_BATCH)) != 0) {
        status = tw_hub_end_rates(hub, ending->key, 0, reserved.tokens - cost.tokens, error);
    }
    if (status == TW_OK) {
        status = tw_ledger_settle(&hub->ledger, reservation, &settlement, hub->now_ns, error);
    }
    if (status == TW_OK) {
        status = say_crossed(hub, &path, error);
    }
    record.cost_nano = ending->cost_nano = settlement.amount_nano;
    return status == TW_OK ? tw_hub_record_end(hub, &record, &path, error) : status;
}

static void apply_settle(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct tw_hub_ticket *ticket = ticket_of(op);
    struct tw_reservation reservation;
    struct tw_error error;
    fill_reservation(ticket, &reservation);
    if (!owns(hub, ticket)) {
        return;
    }
    enum tw_status status =
        ticket->request.line != NULL ? tw_hub_check_line(hub, ticket, &error) : TW_OK;
    struct tw_hub_ending ending = {.key = ticket->request.caller.key,
                                   .ticket = ticket,
                                   .kind = TW_AUDIT_REQUEST_SETTLED,
                                   .finish = ticket->usage.finish};
    if (status == TW_OK) {
        status = tw_hub_reserve_beyond(hub, &reservation, &ticket->usage, &ending, &error);
    }
    if (status == TW_OK) {
        status = tw_hub_end_reservation(hub, &reservation, &ending, &error);
    }
    ticket->n_paid_tokens =
        (uint64_t)(ending.n_input_tokens + ending.n_cached_tokens + ending.n_output_tokens);
    if (status == TW_OK) {
        status = tw_hub_store_content(hub, ticket, &error);
    }
    if (status == TW_OK && ticket->request.line != NULL) {
        status = tw_hub_store_line(hub, ticket, ending.cost_nano, &error);
    }
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
}

/* What could not be settled is settled later, at its watermark: nothing beyond it was sent. Where
 * there is no writer any more, that is when the hub is opened. */
static void done_settle(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct tw_hub_ticket *ticket = ticket_of(op);
    if (status != TW_OK && status != TW_ERR_CANCELLED) {
        tw_hub_owe(hub, ticket->number);
    }
    ticket->is_open = false;
    ticket->done(ticket->context, ticket,
                 status == TW_OK && ticket->is_lost ? TW_ERR_MISSED : status);
}

void tw_hub_settle(struct tw_hub *hub, struct tw_hub_ticket *ticket,
                   const struct tw_hub_usage *usage, tw_hub_done_fn done, void *context)
{
    ticket->usage = *usage;
    if (ticket->request.content != NULL) {
        tw_content_close(ticket->request.content, ticket);
    }
    ticket->op = (struct tw_hub_op){.apply = apply_settle, .done = done_settle};
    ticket->done = done;
    ticket->context = context;
    tw_hub_enqueue(hub, &ticket->op);
}
