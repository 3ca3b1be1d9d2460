/* What the audit log is told, in the transaction of what it tells of. */
#include <stdio.h>

#include "hub/hub_state.h"

static enum tw_status append(struct tw_hub *hub, enum tw_audit_kind kind, struct tw_error *error)
{
    return tw_audit_log_append(hub->audit, hub->now_ns, tw_audit_kind_name(kind),
                               hub->body.buf.data, hub->body.buf.size_bytes, error);
}

static enum tw_status end_and_append(struct tw_hub *hub, enum tw_audit_kind kind,
                                     struct tw_error *error)
{
    enum tw_status status = tw_audit_body_end(&hub->body, error);
    return status == TW_OK ? append(hub, kind, error) : status;
}

enum tw_status tw_hub_record_start(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_audit_body *body = &hub->body;
    tw_audit_body_begin(body);
    tw_audit_body_put_text(body, "build", hub->config.build);
    tw_audit_body_put_text(body, "currency", hub->ledger.books.currency);
    tw_audit_body_put_text(body, "isa", hub->config.isa_level);
    tw_audit_body_put_text(body, "models", hub->config.served);
    tw_audit_body_put_text(body, "policy", hub->config.policy);
    tw_audit_body_put_int(body, "recovered", hub->n_recovered);
    return end_and_append(hub, TW_AUDIT_HUB_STARTED, error);
}

enum tw_status tw_hub_record_stop(struct tw_hub *hub, struct tw_error *error)
{
    tw_audit_body_begin(&hub->body);
    tw_audit_body_put_text(&hub->body, "build", hub->config.build);
    return end_and_append(hub, TW_AUDIT_HUB_STOPPED, error);
}

enum tw_status tw_hub_record_crossed(struct tw_hub *hub, const struct tw_hub_window *window,
                                     struct tw_error *error)
{
    struct tw_audit_body *body = &hub->body;
    tw_audit_body_begin(body);
    tw_audit_body_put_int(body, "budget", window->budget->id);
    tw_audit_body_put_int(body, "limit", window->budget->facts.limit);
    tw_audit_body_put_text(body, "name", window->budget->name);
    tw_audit_body_put_int(body, "spent", window->sums.spent);
    tw_audit_body_put_int(body, "starts_s", window->starts_s);
    return end_and_append(hub, TW_AUDIT_BUDGET_CROSSED, error);
}

static void put_who(struct tw_audit_request *request, struct tw_holder *key)
{
    request->key = key->id;
    request->project = tw_holder_above(key, TW_HOLDER_PROJECT)->id;
    request->team = tw_holder_above(key, TW_HOLDER_TEAM)->id;
    request->org = tw_holder_above(key, TW_HOLDER_ORG)->id;
}

static void put_ticket(struct tw_hub *hub, struct tw_audit_request *request,
                       const struct tw_hub_ticket *ticket)
{
    request->request = ticket->request.client_id;
    request->user = ticket->request.caller.secret->person != NULL
                        ? ticket->request.caller.secret->person->id
                        : 0;
    request->model_digest = ticket->request.model_digest;
    request->sampling = ticket->request.sampling;
    request->route = ticket->request.route;
    request->build = hub->config.build;
    request->isa = hub->config.isa_level;
}

enum tw_status tw_hub_record_deed(struct tw_hub *hub, enum tw_audit_kind kind,
                                  const struct tw_hub_deed *deed, struct tw_error *error)
{
    struct tw_audit_body *body = &hub->body;
    struct tw_holder *key = deed->caller->key;
    const struct tw_person *person = deed->caller->secret->person;
    tw_audit_body_begin(body);
    tw_audit_body_put_text(body, "batch", deed->batch);
    if (deed->n_bytes > 0) {
        tw_audit_body_put_int(body, "bytes", deed->n_bytes);
    }
    tw_audit_body_put_text(body, "endpoint", deed->endpoint);
    tw_audit_body_put_text(body, "file", deed->file);
    tw_audit_body_put_int(body, "key", key->id);
    if (deed->n_lines > 0) {
        tw_audit_body_put_int(body, "lines", deed->n_lines);
    }
    tw_audit_body_put_int(body, "org", tw_holder_above(key, TW_HOLDER_ORG)->id);
    tw_audit_body_put_int(body, "project", tw_holder_above(key, TW_HOLDER_PROJECT)->id);
    tw_audit_body_put_int(body, "team", tw_holder_above(key, TW_HOLDER_TEAM)->id);
    if (person != NULL) {
        tw_audit_body_put_int(body, "user", person->id);
    }
    return end_and_append(hub, kind, error);
}

/* Behind the end of a request. */
static void put_content(struct tw_audit_request *request, const struct tw_content *content)
{
    request->content = tw_content_state_name(content);
    if (content->is_committed) {
        request->commitment = content->commitment;
        request->commitment_bytes = sizeof content->commitment;
        request->subject = content->tag;
        request->subject_bytes = sizeof content->tag;
    }
}

enum tw_status tw_hub_record_refusal(struct tw_hub *hub, const struct tw_hub_ticket *ticket,
                                     struct tw_error *error)
{
    static const int http[] = {[TW_HUB_REFUSED_KEY] = 401,   [TW_HUB_REFUSED_BUDGET] = 429,
                               [TW_HUB_REFUSED_RATE] = 429,  [TW_HUB_REFUSED_CONCURRENT] = 429,
                               [TW_HUB_REFUSED_PRICE] = 403, [TW_HUB_REFUSED_POLICY] = 403};
    struct tw_audit_request request = {.model = ticket->request.model,
                                       .price_class =
                                           tw_price_class_name(ticket->request.price_class),
                                       .prompt_tokens = (int64_t)ticket->request.n_prompt_tokens,
                                       .price = ticket->price,
                                       .http_status = http[ticket->refusal],
                                       .reason = ticket->reason};
    put_who(&request, ticket->request.caller.key);
    put_ticket(hub, &request, ticket);
    enum tw_status status = tw_audit_body_request(&hub->body, &request, error);
    return status == TW_OK ? append(hub, TW_AUDIT_REQUEST_REFUSED, error) : status;
}

/* What was left before the request: its reservation is not counted as taken. */
void tw_hub_record_before(struct tw_hub_record *record, const struct tw_hub_path *path)
{
    const struct tw_reservation *reservation = record->reservation;
    for (size_t i = 0; i < path->n; i++) {
        const struct tw_spending_step *step = &path->steps[i];
        const int64_t reserved = step->budget->unit == TW_SPENDING_MONEY
                                     ? reservation->amount_nano
                                     : reservation->n_prompt_tokens + reservation->n_output_tokens;
        record->budgets[i] = (struct tw_audit_budget){
            .budget = path->windows[i]->budget->id,
            .starts_s = path->windows[i]->starts_s,
            .left_before = tw_spending_available(step->budget, step->window) + reserved};
    }
}

enum tw_status tw_hub_record_end(struct tw_hub *hub, struct tw_hub_record *record,
                                 const struct tw_hub_path *path, struct tw_error *error)
{
    const struct tw_reservation *reservation = record->reservation;
    const struct tw_hub_ending *ending = record->ending;
    for (size_t i = 0; i < path->n; i++) {
        record->budgets[i].left_after =
            tw_spending_available(path->steps[i].budget, path->steps[i].window);
    }
    struct tw_audit_request request = {.request = reservation->client_id,
                                       .number = reservation->request,
                                       .model = reservation->model,
                                       .price_class = reservation->class,
                                       .prompt_tokens =
                                           ending->n_input_tokens + ending->n_cached_tokens,
                                       .cached_tokens = ending->n_cached_tokens,
                                       .output_tokens = ending->n_output_tokens,
                                       .reported_prompt_tokens = ending->n_reported_prompt_tokens,
                                       .reported_output_tokens = ending->n_reported_output_tokens,
                                       .price = reservation->price,
                                       .cost_nano = record->cost_nano,
                                       .budgets = record->budgets,
                                       .n_budgets = path->n,
                                       .finish = ending->finish};
    put_who(&request, ending->key);
    if (ending->ticket != NULL) {
        put_ticket(hub, &request, ending->ticket);
    }
    if (ending->ticket != NULL && ending->ticket->request.content != NULL) {
        put_content(&request, ending->ticket->request.content);
    }
    enum tw_status status = tw_audit_body_request(&hub->body, &request, error);
    return status == TW_OK ? append(hub, ending->kind, error) : status;
}
