/* Windows of budgets: those that somebody wanted are in memory, all are in the tables. */
#include "base/clock.h"
#include "hub/directory_state.h"

#define KEPT_WINDOWS 3 /* of a budget: the present one, and those that requests still run in */

const char tw_directory_window_sql[] =
    "SELECT starts_s, ends_s, carried, spent, reserved, was_crossed FROM budget_window"
    " WHERE budget = ? AND starts_s <= ? ORDER BY starts_s DESC LIMIT 1";

/* ---- memory ---- */

/* One that was not used any more, or a new one. */
static struct tw_hub_window *new_window(struct tw_directory *directory)
{
    struct tw_hub_window *window = directory->free_windows;
    if (window == NULL) {
        return tw_arena_alloc(&directory->arena, 1, sizeof *window);
    }
    directory->free_windows = window->next;
    *window = (struct tw_hub_window){0};
    return window;
}

struct tw_hub_window *tw_directory_add_window(struct tw_directory *directory,
                                              struct tw_hub_budget *budget, int64_t starts_s)
{
    struct tw_hub_window *window = new_window(directory), **at = &budget->windows;
    while (*at != NULL && (*at)->starts_s > starts_s) {
        at = &(*at)->next;
    }
    if (window != NULL) {
        window->budget = budget;
        window->starts_s = starts_s;
        window->next = *at;
        *at = window;
    }
    return window;
}

static void recycle(struct tw_directory *directory, struct tw_hub_window *window)
{
    window->next = directory->free_windows;
    directory->free_windows = window;
}

void tw_directory_recycle_windows(struct tw_directory *directory, struct tw_hub_budget *budget)
{
    while (budget->windows != NULL) {
        struct tw_hub_window *window = budget->windows;
        budget->windows = window->next;
        recycle(directory, window);
    }
}

/* Behind the latest ones, those that have their rows: who wants one of them reads it. */
static void drop_old_windows(struct tw_directory *directory, struct tw_hub_budget *budget)
{
    struct tw_hub_window **at = &budget->windows;
    for (int n = 0; *at != NULL; n++) {
        struct tw_hub_window *window = *at;
        if (n < KEPT_WINDOWS || window->is_dirty || !window->is_stored) {
            at = &window->next;
        } else {
            *at = window->next;
            recycle(directory, window);
        }
    }
}

void tw_directory_touch(struct tw_directory *directory, struct tw_hub_window *window)
{
    if (!window->is_dirty) {
        window->is_dirty = true;
        window->next_dirty = directory->dirty;
        directory->dirty = window;
    }
}

void tw_directory_forget_sums(struct tw_directory *directory)
{
    directory->sums_epoch++;
    directory->dirty = NULL;
}

/* ---- a window ---- */

void tw_directory_fill_window(struct tw_hub_window *window, struct tw_db_statement *row, int first)
{
    window->starts_s = tw_db_column_integer(row, first);
    window->ends_s = tw_db_column_integer(row, first + 1);
    window->sums = (struct tw_spending_window){.carried = tw_db_column_integer(row, first + 2),
                                               .spent = tw_db_column_integer(row, first + 3),
                                               .reserved = tw_db_column_integer(row, first + 4)};
    window->was_crossed = tw_db_column_integer(row, first + 5) != 0;
    window->is_stored = true;
}

/* The last one that begins no later than an instant; NULL: none. */
static struct tw_hub_window *before(const struct tw_hub_budget *budget, int64_t at_s)
{
    struct tw_hub_window *window = budget->windows;
    while (window != NULL && window->starts_s > at_s) {
        window = window->next;
    }
    return window;
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a budget's window");
}

/* The same of the tables, into memory where it is not there. */
static enum tw_status read_before(struct tw_directory *directory, struct tw_db_statement *rows,
                                  struct tw_hub_budget *budget, int64_t at_s,
                                  struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(budget->id), tw_db_integer(at_s)};
    bool has_row = false;
    enum tw_status status = tw_db_first(rows, values, 2, &has_row, error);
    if (status != TW_OK || !has_row) {
        return status;
    }
    const int64_t starts_s = tw_db_column_integer(rows, 0);
    const struct tw_hub_window *known = before(budget, starts_s);
    if (known != NULL && known->starts_s == starts_s) {
        return TW_OK;
    }
    struct tw_hub_window *window = tw_directory_add_window(directory, budget, starts_s);
    if (window == NULL) {
        return no_memory(error);
    }
    tw_directory_fill_window(window, rows, 0);
    return TW_OK;
}

/* What the window before leaves, over those in which nothing happened. */
static int64_t carried_into(const struct tw_hub_budget *budget, struct tw_period period)
{
    const struct tw_hub_window *last = before(budget, period.starts_s);
    if (last == NULL || !budget->facts.rolls_over) {
        return 0;
    }
    const int64_t n_empty = tw_period_between(budget->period, budget->zone,
                                              (struct tw_period){last->starts_s, last->ends_s},
                                              period, TW_LIMIT_HUB_CARRY + 1);
    return tw_spending_carry(&budget->facts, &last->sums, n_empty);
}

static enum tw_status make_window(struct tw_directory *directory, struct tw_hub_budget *budget,
                                  int64_t at_s, struct tw_hub_window **ret_window,
                                  struct tw_error *error)
{
    const struct tw_period period = tw_period_at(budget->period, budget->zone, at_s);
    const int64_t carried = carried_into(budget, period);
    struct tw_hub_window *window = tw_directory_add_window(directory, budget, period.starts_s);
    if (window == NULL) {
        return no_memory(error);
    }
    window->ends_s = period.ends_s;
    window->sums.carried = carried;
    tw_directory_touch(directory, window);
    drop_old_windows(directory, budget);
    *ret_window = window;
    return TW_OK;
}

enum tw_status tw_directory_window(struct tw_directory *directory, struct tw_db_statement *rows,
                                   struct tw_hub_budget *budget, int64_t at_ns,
                                   struct tw_hub_window **ret_window, struct tw_error *error)
{
    const int64_t at_s = at_ns / TW_SECOND_NS;
    if (budget->sums_epoch != directory->sums_epoch) {
        tw_directory_recycle_windows(directory, budget);
        budget->sums_epoch = directory->sums_epoch;
    }
    struct tw_hub_window *window = before(budget, at_s);
    if (window == NULL || at_s >= window->ends_s) {
        enum tw_status status = read_before(directory, rows, budget, at_s, error);
        if (status != TW_OK) {
            return status;
        }
        window = before(budget, at_s);
    }
    if (window == NULL || at_s >= window->ends_s) {
        return make_window(directory, budget, at_s, ret_window, error);
    }
    *ret_window = window;
    return TW_OK;
}
