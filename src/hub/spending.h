/* spending.h: the arithmetic of budgets: what is left, what a request may take of it, and what
 * becomes of that.
 *
 * A budget allows so much money or so many tokens in each of its windows. A request stands under
 * several at once, its path: those of its key, project, team and organisation.
 *
 *     request --[tw_spending_clamp: may it run, how long]--> [tw_spending_reserve: the worst case]
 *         --> [tw_spending_settle: the exact cost, which may be nothing]
 *
 *     0 ......... spent ......... spent + reserved ......... limit + carried
 *                                                 available
 *
 * Invariants:
 * 1. Of a window, 0 <= spent, 0 <= reserved; carried is at most TW_LIMIT_HUB_CARRY limits when the
 *    window begins.
 * 2. What tw_spending_clamp lets through keeps spent + reserved <= limit + carried in every window
 *    of a hard budget. A limit that is lowered meanwhile is passed by at most what was reserved.
 * 3. spent is the sum of what was settled; reserved of what was reserved and is not settled yet.
 *    Nothing else changes them, and spent never falls.
 * 4. A soft budget refuses nothing and clamps nothing.
 *
 * Money is in nano-units (hub/money.h). Pure; threads: any; nothing is owned.
 * Errors: TW_ERR_LIMIT where a sum would leave int64_t, TW_ERR_USAGE for a settlement
 * that does not belong to what is reserved; windows stay as they were.
 * Limits: TW_LIMIT_HUB_PATH, TW_LIMIT_HUB_CARRY.
 */
#ifndef TW_HUB_SPENDING_H
#define TW_HUB_SPENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hub/money.h"
#include "hub/period.h"

enum tw_spending_unit { TW_SPENDING_MONEY = 0, TW_SPENDING_TOKENS };

/* "money", "tokens". */
const char *tw_spending_unit_name(enum tw_spending_unit unit);
/* False for any other word. */
bool tw_spending_unit_parse(const char *name, enum tw_spending_unit *ret_unit);

/* What is fixed of a budget. Its unit is that of limit, and of its windows. */
struct tw_spending_budget {
    enum tw_spending_unit unit;
    enum tw_period_kind period; /* all time never rolls over */
    int64_t limit;              /* of each window; not negative */
    bool is_hard;               /* otherwise it only tells when it is passed */
    bool rolls_over; /* what a window leaves is added to the next one; hard budgets only */
};

/* What changes, in one window. All zero: nothing happened yet. */
struct tw_spending_window {
    int64_t carried, spent, reserved;
};

/* One step of a path. */
struct tw_spending_step {
    const struct tw_spending_budget *budget;
    struct tw_spending_window *window;
};

/* One thing in both units; a budget looks at its own. */
struct tw_spending_amount {
    int64_t money_nano, tokens;
};

struct tw_spending_request {
    const struct tw_money_prices *prices; /* NULL: the model has no price */
    int64_t prompt_tokens;
    int64_t n_answers;         /* at least 1 */
    int64_t max_output_tokens; /* of each answer; 0 where none are made, as for embeddings */
};

enum tw_spending_verdict {
    TW_SPENDING_FITS = 0,
    TW_SPENDING_CLAMPED, /* with fewer output tokens an answer than asked for, at least one */
    TW_SPENDING_REFUSED, /* a hard budget has not enough left for the prompt and one token each */
    TW_SPENDING_UNPRICED /* a budget of money is on the path, and the model has no price */
};

#define TW_SPENDING_NOBODY SIZE_MAX

struct tw_spending_decision {
    enum tw_spending_verdict verdict;
    size_t decided_by;                /* the step of the path; TW_SPENDING_NOBODY where it fits */
    int64_t max_output_tokens;        /* of each answer; 0 where it may not run */
    struct tw_spending_amount amount; /* the worst case, to be reserved; 0 where it may not run */
};

/* limit + carried - spent - reserved; negative where more is taken than allowed. Saturates. */
int64_t tw_spending_available(const struct tw_spending_budget *budget,
                              const struct tw_spending_window *window);
/* Whether more is spent than allowed. A soft budget is crossed by the settlement that turns this
 * true, once a window as long as its limit stays. */
bool tw_spending_is_passed(const struct tw_spending_budget *budget,
                           const struct tw_spending_window *window);

/* Of several budgets that clamp as much the first on the path decides. n_steps is at most
 * TW_LIMIT_HUB_PATH, and may be 0. TW_ERR_LIMIT where the worst case cannot be counted. */
enum tw_status tw_spending_clamp(const struct tw_spending_step *path, size_t n_steps,
                                 const struct tw_spending_request *request,
                                 struct tw_spending_decision *ret_decision, struct tw_error *error);

/* Either does it in all windows of the path or in none. */
enum tw_status tw_spending_reserve(const struct tw_spending_step *path, size_t n_steps,
                                   struct tw_spending_amount amount, struct tw_error *error);
/* reserved: what was reserved for the request; cost: at most as much in either unit. */
enum tw_status tw_spending_settle(const struct tw_spending_step *path, size_t n_steps,
                                  struct tw_spending_amount reserved,
                                  struct tw_spending_amount cost, struct tw_error *error);

/* What the next window carries, when n_empty windows lie in between that nothing happened in. What
 * is reserved counts as used: what comes back of it later is not carried. Nobody saves up more than
 * TW_LIMIT_HUB_CARRY limits. */
int64_t tw_spending_carry(const struct tw_spending_budget *budget,
                          const struct tw_spending_window *window, int64_t n_empty);

#endif
