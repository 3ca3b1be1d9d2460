/* Budgets and prices. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/zone.h"
#include "hub/change.h"
#include "hub/money.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define DEFAULT_NAME  "main"
#define DEFAULT_ZONE  "UTC"

static const struct tw_field money_limit = {
    .name = "limit", .kind = TW_FIELD_AMOUNT, .most = TW_LIMIT_HUB_LIMIT_NANO};
static const struct tw_field token_limit = {
    .name = "limit", .kind = TW_FIELD_TOKENS, .most = TW_LIMIT_HUB_LIMIT_TOKENS};

/* ---- a budget as it will be ---- */

struct plan {
    struct tw_hub_budget *old; /* NULL: there is none of that name */
    const char *name, *zone;
    struct tw_spending_budget facts;
    enum tw_period_kind period;
    bool is_anew; /* counts from now on */
};

static struct tw_hub_budget *find_budget(const struct tw_holder *holder, const char *name)
{
    struct tw_hub_budget *budget = holder->budgets;
    while (budget != NULL && (!budget->is_open || strcmp(budget->name, name) != 0)) {
        budget = budget->next;
    }
    return budget;
}

static const char *name_of(const struct tw_hub_change *change)
{
    const struct tw_field_value *name = tw_change_value(change, "name");
    return name->is_set ? name->text : DEFAULT_NAME;
}

/* Whole units where JSON has a number. */
static enum tw_status read_limit(const struct tw_hub_change *change, enum tw_spending_unit unit,
                                 int64_t *ret_limit, struct tw_error *error)
{
    const struct tw_field_value *limit = tw_change_value(change, "limit");
    const struct tw_field *field = unit == TW_SPENDING_MONEY ? &money_limit : &token_limit;
    const int64_t factor = unit == TW_SPENDING_MONEY ? TW_MONEY_NANO : 1;
    struct tw_field_value value = {.integer = 0};
    enum tw_status status = TW_OK;
    if (limit->text != NULL) {
        status = tw_commands_read_text(field, limit->text, 0, &value, error);
        if (status != TW_OK) {
            tw_error_prefix(error, "limit, in %s", tw_spending_unit_name(unit));
        }
    } else if (limit->integer < 0 || limit->integer > field->most / factor) {
        status =
            tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "limit: it must be from 0 to %lld %s",
                         (long long)(field->most / factor), tw_spending_unit_name(unit));
    } else {
        value.integer = limit->integer * factor;
    }
    if (status == TW_OK) {
        *ret_limit = value.integer;
    }
    return status;
}

static enum tw_status check_zone(const struct tw_hub_change *change, const char *name,
                                 struct tw_error *error)
{
    struct tw_zone *zone = NULL;
    enum tw_status status = tw_zone_open(change->directory->zone_folder, name, &zone, error);
    tw_zone_free(zone);
    if (status != TW_OK) {
        tw_error_prefix(error, "zone");
    }
    return status;
}

/* Open budgets of it and all above. */
static size_t budgets_above(const struct tw_holder *holder)
{
    size_t n = 0;
    for (; holder != NULL; holder = holder->parent) {
        for (const struct tw_hub_budget *at = holder->budgets; at != NULL; at = at->next) {
            n += at->is_open;
        }
    }
    return n;
}

/* A request stands under a bounded number of budgets, whichever key it has. */
static enum tw_status check_room(const struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *holders = &change->directory->holders;
    size_t most = 0;
    for (size_t i = 0; i < holders->n; i++) {
        const struct tw_holder *holder = holders->at[i];
        const size_t n = tw_change_is_below(holder, change->object) ? budgets_above(holder) : 0;
        most = n > most ? n : most;
    }
    if (most >= TW_LIMIT_HUB_PATH) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a request would stand under more than %d budgets; close one above or "
                            "below",
                            TW_LIMIT_HUB_PATH);
    }
    if (change->directory->budgets.n >= TW_LIMIT_HUB_ITEMS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the books have %d budgets, which is the most there can be",
                            TW_LIMIT_HUB_ITEMS);
    }
    return TW_OK;
}

static enum tw_status check_plan(const struct tw_hub_change *change, const struct plan *plan,
                                 struct tw_error *error)
{
    if (!tw_change_value(change, "limit")->is_set &&
        (plan->old == NULL || plan->old->facts.unit != plan->facts.unit)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a budget that is new, or counts something else, needs 'limit': what "
                            "may be used in a period, in %s",
                            tw_spending_unit_name(plan->facts.unit));
    }
    if (plan->facts.rolls_over && !plan->facts.is_hard) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "rollover: nothing is left over by a soft budget; take one of the two "
                            "away");
    }
    if (plan->facts.rolls_over && plan->period == TW_PERIOD_TOTAL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "rollover: a budget in total has no next period");
    }
    return plan->old == NULL ? check_room(change, error) : TW_OK;
}

static enum tw_status make_plan(const struct tw_hub_change *change, struct plan *ret_plan,
                                struct tw_error *error)
{
    const char *name = name_of(change);
    struct tw_hub_budget *old = find_budget(change->object, name);
    const struct tw_field_value *zone = tw_change_value(change, "zone");
    struct plan plan = {.old = old, .name = name, .zone = DEFAULT_ZONE};
    plan.facts = (struct tw_spending_budget){.is_hard = true};
    plan.period = TW_PERIOD_MONTH;
    if (old != NULL) {
        plan.facts = old->facts;
        plan.period = old->period;
        plan.zone = tw_zone_name(old->zone);
    }
    plan.zone = zone->is_set ? zone->text : plan.zone;
    plan.facts.unit =
        (enum tw_spending_unit)tw_change_integer(change, "unit", (int64_t)plan.facts.unit);
    plan.period = (enum tw_period_kind)tw_change_integer(change, "period", (int64_t)plan.period);
    plan.facts.is_hard = tw_change_integer(change, "soft", !plan.facts.is_hard) == 0;
    plan.facts.rolls_over = tw_change_integer(change, "rollover", plan.facts.rolls_over) != 0;
    plan.is_anew = old == NULL || old->facts.unit != plan.facts.unit ||
                   old->period != plan.period || strcmp(tw_zone_name(old->zone), plan.zone) != 0;
    enum tw_status status = check_plan(change, &plan, error);
    if (status == TW_OK && tw_change_value(change, "limit")->is_set) {
        status = read_limit(change, plan.facts.unit, &plan.facts.limit, error);
    }
    if (status == TW_OK) {
        status = check_zone(change, plan.zone, error);
    }
    if (status == TW_OK) {
        *ret_plan = plan;
    }
    return status;
}

/* ---- its rows ---- */

static enum tw_status close_row(struct tw_hub_change *change, const struct tw_hub_budget *budget,
                                struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(change->hub->ledger.books.next_entry),
                                         tw_db_integer(budget->id)};
    return tw_change_write(change, TW_DIRECTORY_BUDGET, budget->id,
                           "UPDATE budget SET until_entry = ? WHERE id = ?", values, COUNT(values),
                           error);
}

static enum tw_status insert_row(struct tw_hub_change *change, const struct plan *plan,
                                 int64_t *ret_id, struct tw_error *error)
{
    const int64_t id = tw_change_next_id(change);
    const struct tw_db_value values[] = {tw_db_integer(id),
                                         tw_db_integer(change->object->id),
                                         tw_db_text(plan->name),
                                         tw_db_text(tw_spending_unit_name(plan->facts.unit)),
                                         tw_db_integer(plan->facts.limit),
                                         tw_db_integer(plan->facts.is_hard),
                                         tw_db_text(tw_period_kind_name(plan->period)),
                                         tw_db_text(plan->zone),
                                         tw_db_integer(plan->facts.rolls_over),
                                         tw_db_integer(change->hub->ledger.books.next_entry),
                                         tw_db_integer(change->hub->now_ns)};
    *ret_id = id;
    return tw_change_write(
        change, TW_DIRECTORY_BUDGET, id,
        "INSERT INTO budget (id, holder, name, unit, limit_value, is_hard, period,"
        " zone, rolls_over, since_entry, created_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values, COUNT(values), error);
}

static enum tw_status update_row(struct tw_hub_change *change, const struct plan *plan,
                                 struct tw_error *error)
{
    const struct tw_db_value values[] = {
        tw_db_integer(plan->facts.limit), tw_db_integer(plan->facts.is_hard),
        tw_db_integer(plan->facts.rolls_over), tw_db_integer(plan->old->id)};
    return tw_change_write(change, TW_DIRECTORY_BUDGET, plan->old->id,
                           "UPDATE budget SET limit_value = ?, is_hard = ?, rolls_over = ?"
                           " WHERE id = ?",
                           values, COUNT(values), error);
}

static void note_plan(struct tw_hub_change *change, const struct plan *plan)
{
    const struct tw_hub_budget *old = plan->old;
    const struct tw_audit_value none = tw_audit_text(NULL);
    tw_change_note_text(change, "budget", old != NULL ? old->name : NULL, plan->name);
    tw_change_note(change, "hard", old != NULL ? tw_audit_integer(old->facts.is_hard) : none,
                   tw_audit_integer(plan->facts.is_hard));
    tw_change_note(change, "limit", old != NULL ? tw_audit_integer(old->facts.limit) : none,
                   tw_audit_integer(plan->facts.limit));
    tw_change_note_text(change, "period", old != NULL ? tw_period_kind_name(old->period) : NULL,
                        tw_period_kind_name(plan->period));
    tw_change_note(change, "rollover", old != NULL ? tw_audit_integer(old->facts.rolls_over) : none,
                   tw_audit_integer(plan->facts.rolls_over));
    tw_change_note_text(change, "unit", old != NULL ? tw_spending_unit_name(old->facts.unit) : NULL,
                        tw_spending_unit_name(plan->facts.unit));
    tw_change_note_text(change, "zone", old != NULL ? tw_zone_name(old->zone) : NULL, plan->zone);
}

static json_t *in_unit(const struct tw_hub_budget *budget, int64_t value)
{
    return budget->facts.unit == TW_SPENDING_MONEY ? tw_change_json_money(value)
                                                   : json_integer(value);
}

static enum tw_status put_budget(struct tw_hub_change *change, json_t *row,
                                 struct tw_hub_budget *budget, struct tw_error *error)
{
    struct tw_hub_window *window = NULL;
    enum tw_status status = tw_directory_window(change->directory, change->find_window, budget,
                                                change->now_ns, &window, error);
    if (status != TW_OK) {
        return status;
    }
    const struct tw_spending_window *sums = &window->sums;
    const bool has_end = budget->period != TW_PERIOD_TOTAL;
    tw_change_put(change, row, "path", tw_change_json_path(budget->holder));
    tw_change_put(change, row, "name", json_string(budget->name));
    tw_change_put(change, row, "unit", json_string(tw_spending_unit_name(budget->facts.unit)));
    tw_change_put(change, row, "limit", in_unit(budget, budget->facts.limit));
    tw_change_put(change, row, "period", json_string(tw_period_kind_name(budget->period)));
    tw_change_put(change, row, "kind", json_string(budget->facts.is_hard ? "hard" : "soft"));
    tw_change_put(change, row, "carried", in_unit(budget, sums->carried));
    tw_change_put(change, row, "spent", in_unit(budget, sums->spent));
    tw_change_put(change, row, "reserved", in_unit(budget, sums->reserved));
    tw_change_put(change, row, "left",
                  in_unit(budget, tw_spending_available(&budget->facts, sums)));
    tw_change_put(change, row, "starts",
                  tw_change_json_when(has_end ? window->starts_s * TW_SECOND_NS : 0));
    tw_change_put(change, row, "ends",
                  tw_change_json_when(has_end ? window->ends_s * TW_SECOND_NS : 0));
    tw_change_put(change, row, "zone", json_string(tw_zone_name(budget->zone)));
    tw_change_put(change, row, "rollover", json_boolean(budget->facts.rolls_over));
    tw_change_put(
        change, row, "state",
        json_string(budget->is_open && tw_holder_is_open(budget->holder) ? "open" : "closed"));
    tw_change_put(change, row, "id", json_integer(budget->id));
    return TW_OK;
}

/* ---- commands about budgets ---- */

/* What is not covered by a price is refused under a budget in money. */
static bool has_price(const struct tw_hub_change *change, const struct tw_holder *holder)
{
    const struct tw_directory *directory = &change->hub->directory;
    for (size_t i = 0; i < directory->prices.n; i++) {
        const struct tw_price *price = directory->prices.by_version[i];
        const struct tw_holder *project = tw_directory_holder(directory, price->project);
        if (price->project == TW_PRICE_ALL_PROJECTS ||
            (project != NULL &&
             (tw_change_is_below(project, holder) || tw_change_is_below(holder, project)))) {
            return true;
        }
    }
    return false;
}

static void warn_of_budget(struct tw_hub_change *change, const struct tw_hub_budget *budget,
                           const struct plan *plan, enum tw_spending_unit old_unit)
{
    if (plan->old != NULL && old_unit != budget->facts.unit) {
        tw_change_warn(change, "this budget counted %s until now, and counts %s from now on, anew",
                       tw_spending_unit_name(old_unit), tw_spending_unit_name(budget->facts.unit));
    } else if (plan->old != NULL && plan->is_anew) {
        tw_change_warn(change, "this budget counts anew from now on");
    }
    if (budget->facts.unit == TW_SPENDING_MONEY && !has_price(change, budget->holder)) {
        tw_change_warn(change, "no model has a price yet, so requests under this budget are "
                               "refused: 'price set' sets one");
    }
}

enum tw_status tw_change_set_budget(struct tw_hub_change *change, struct tw_error *error)
{
    struct plan plan;
    enum tw_status status = make_plan(change, &plan, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    int64_t id = plan.old != NULL ? plan.old->id : 0;
    const enum tw_spending_unit old_unit =
        plan.old != NULL ? plan.old->facts.unit : plan.facts.unit;
    note_plan(change, &plan);
    if (!plan.is_anew) {
        status = update_row(change, &plan, error);
    } else if (plan.old != NULL) {
        status = close_row(change, plan.old, error);
    }
    if (status == TW_OK && plan.is_anew) {
        status = insert_row(change, &plan, &id, error);
    }
    if (status == TW_OK) {
        status = tw_change_end(change, tw_change_value(change, "path")->text, error);
    }
    struct tw_hub_budget *budget =
        status == TW_OK ? tw_directory_budget(change->directory, id) : NULL;
    if (budget == NULL) {
        return status;
    }
    warn_of_budget(change, budget, &plan, old_unit);
    return put_budget(change, change->answer, budget, error);
}

enum tw_status tw_change_close_budget(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text, *name = name_of(change);
    const struct tw_hub_budget *budget = find_budget(change->object, name);
    if (budget == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "'%.120s' has no open budget '%s'; 'budget list' shows what there is",
                            path, name);
    }
    tw_change_begin(change);
    enum tw_status status = close_row(change, budget, error);
    if (status == TW_OK) {
        tw_change_note_text(change, "budget", name, NULL);
        tw_change_put(change, change->answer, "id", json_integer(budget->id));
        tw_change_put(change, change->answer, "path", json_string(path));
        tw_change_put(change, change->answer, "closed", json_string(name));
        status = tw_change_end(change, path, error);
    }
    return status;
}

enum tw_status tw_change_list_budgets(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *budgets = &change->directory->budgets;
    const bool with_closed = tw_change_integer(change, "all", 0) != 0;
    struct tw_holder *top = NULL;
    enum tw_status status = tw_change_find_top(change, &top, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_put(change, change->answer, "currency",
                  json_string(change->hub->ledger.books.currency));
    struct tw_change_page page = tw_change_page_begin(change, "budgets", budgets);
    size_t i = page.first;
    for (; status == TW_OK && i < budgets->n && tw_change_page_has_room(&page); i++) {
        struct tw_hub_budget *budget = budgets->at[i];
        if ((budget->is_open || with_closed) && tw_change_is_listed(change, budget->holder, top)) {
            status = put_budget(change, tw_change_page_row(&page, budget->id), budget, error);
        }
    }
    tw_change_page_end(&page, i < budgets->n);
    return status;
}

/* ---- prices ---- */

/* The other values of a price are what the command gives. */
static enum tw_status check_price(struct tw_hub_change *change, struct tw_holder **ret_project,
                                  int64_t *ret_from_ns, struct tw_error *error)
{
    const struct tw_field_value *project = tw_change_value(change, "project");
    const int64_t now_ns = change->now_ns;
    const int64_t from_ns = tw_change_integer(change, "from", now_ns);
    if (from_ns < now_ns) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "from: a price holds from now or a later time on, since what was "
                            "charged stays as it was");
    }
    if (change->directory->prices.n >= TW_LIMIT_HUB_PRICES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the books have %d prices, which is the most there can be",
                            TW_LIMIT_HUB_PRICES);
    }
    enum tw_status status = TW_OK;
    if (project->is_set) {
        status = tw_change_find_holder(change, project->text, ret_project, error);
    }
    if (status == TW_OK) {
        *ret_from_ns = from_ns;
    }
    return status;
}

static void put_price(struct tw_hub_change *change, json_t *row, const struct tw_price *price,
                      const char *state)
{
    tw_change_put(change, row, "model", json_string(price->model));
    tw_change_put(change, row, "class", json_string(tw_price_class_name(price->price_class)));
    tw_change_put(change, row, "project",
                  tw_change_json_path(tw_directory_holder(change->directory, price->project)));
    tw_change_put(change, row, "input", tw_change_json_money(price->prices.input_nano));
    tw_change_put(change, row, "cached", tw_change_json_money(price->prices.cached_nano));
    tw_change_put(change, row, "output", tw_change_json_money(price->prices.output_nano));
    tw_change_put(change, row, "from", tw_change_json_when(price->valid_from_ns));
    tw_change_put(change, row, "state", json_string(state));
    tw_change_put(change, row, "version", json_integer(price->version));
}

static const char *state_of(const struct tw_hub_change *change, const struct tw_price *price)
{
    const int64_t now_ns = change->now_ns;
    if (price->valid_from_ns > now_ns) {
        return "to come";
    }
    return tw_price_find(&change->directory->prices, price->project, price->model,
                         price->price_class, now_ns) == price
               ? "holds"
               : "replaced";
}

static enum tw_status insert_price(struct tw_hub_change *change, const struct tw_price *price,
                                   struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(price->version),
                                         tw_db_integer(price->project),
                                         tw_db_text(price->model),
                                         tw_db_text(tw_price_class_name(price->price_class)),
                                         tw_db_integer(price->prices.input_nano),
                                         tw_db_integer(price->prices.cached_nano),
                                         tw_db_integer(price->prices.output_nano),
                                         tw_db_integer(price->valid_from_ns),
                                         tw_db_integer(change->hub->now_ns)};
    const struct tw_audit_value none = tw_audit_text(NULL);
    tw_change_note(change, "cached_nano", none, tw_audit_integer(price->prices.cached_nano));
    tw_change_note_text(change, "class", NULL, tw_price_class_name(price->price_class));
    tw_change_note(change, "from_ns", none, tw_audit_integer(price->valid_from_ns));
    tw_change_note(change, "input_nano", none, tw_audit_integer(price->prices.input_nano));
    tw_change_note(change, "output_nano", none, tw_audit_integer(price->prices.output_nano));
    tw_change_note(change, "project", none, tw_audit_integer(price->project));
    tw_change_note(change, "version", none, tw_audit_integer(price->version));
    return tw_change_write(change, TW_DIRECTORY_PRICE, price->version,
                           "INSERT INTO price (id, project, model, class, input_nano, cached_nano,"
                           " output_nano, valid_from_ns, created_ns)"
                           " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                           values, COUNT(values), error);
}

enum tw_status tw_change_add_price(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_holder *project = NULL;
    struct tw_price price = {
        .model = tw_change_value(change, "model")->text,
        .price_class = (enum tw_price_class)tw_change_integer(change, "class", TW_PRICE_STANDARD),
        .prices = {.input_nano = tw_change_value(change, "input")->integer,
                   .output_nano = tw_change_value(change, "output")->integer}};
    price.prices.cached_nano = tw_change_integer(change, "cached", price.prices.input_nano);
    enum tw_status status = check_price(change, &project, &price.valid_from_ns, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    price.version = tw_change_next_id(change);
    price.project = project != NULL ? project->id : TW_PRICE_ALL_PROJECTS;
    status = insert_price(change, &price, error);
    if (status == TW_OK) {
        status = tw_change_end(change, price.model, error);
    }
    const struct tw_price *stored =
        status == TW_OK ? tw_price_of_version(&change->directory->prices, price.version) : NULL;
    if (stored != NULL) {
        put_price(change, change->answer, stored, state_of(change, stored));
        tw_change_warn_model(change, stored->model);
    }
    return status;
}

static bool is_shown(const struct tw_hub_change *change, const struct tw_price *price,
                     const char *state)
{
    const struct tw_field_value *model = tw_change_value(change, "model");
    const bool is_of_all = price->project == TW_PRICE_ALL_PROJECTS;
    return (!model->is_set || strcmp(model->text, price->model) == 0) &&
           (is_of_all ||
            tw_change_may_see(change, tw_directory_holder(change->directory, price->project))) &&
           (strcmp(state, "replaced") != 0 || tw_change_integer(change, "all", 0) != 0);
}

enum tw_status tw_change_list_prices(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_price_table *prices = &change->directory->prices;
    const struct tw_items items = {.at = (void **)prices->by_version, .n = prices->n};
    (void)error;
    tw_change_put(change, change->answer, "currency",
                  json_string(change->hub->ledger.books.currency));
    struct tw_change_page page = tw_change_page_begin(change, "prices", &items);
    size_t i = page.first;
    for (; i < prices->n && tw_change_page_has_room(&page); i++) {
        const struct tw_price *price = prices->by_version[i];
        const char *state = state_of(change, price);
        if (is_shown(change, price, state)) {
            put_price(change, tw_change_page_row(&page, price->version), price, state);
        }
    }
    tw_change_page_end(&page, i < prices->n);
    return TW_OK;
}
