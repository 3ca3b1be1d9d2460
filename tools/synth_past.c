/* A made-up past: who there is, what it costs, and what was asked. */
#include <string.h>

#include "base/rng.h"
#include "synth_ledger.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

enum { OPEN_AT_ONCE = 6, KEYS = 10 };

/* Draws of one run, in order. */
struct dice {
    uint64_t seed, n;
};

static int64_t below(struct dice *dice, int64_t bound)
{
    uint32_t words[4];
    tw_rng_block(dice->seed, dice->n++, words);
    const uint64_t bits = (uint64_t)words[0] << 32 | words[1];
    return (int64_t)(bits % (uint64_t)bound);
}

static enum tw_status add_holders(struct synth_ledger *ledger, int64_t ret_keys[KEYS],
                                  int64_t *ret_special_project, struct tw_error *error)
{
    static const struct {
        const char *kind, *name;
    } rows[] = {
        {"org", "acme"},      {"team", "research"},  {"project", "chat"},   {"key", "ci"},
        {"key", "notebooks"}, {"project", "search"}, {"key", "index"},      {"key", "web"},
        {"team", "support"},  {"project", "desk"},   {"key", "agents"},     {"key", "phone"},
        {"org", "globex"},    {"team", "plant"},     {"project", "line-7"}, {"key", "scada"},
        {"key", "night"},     {"project", "tests"},  {"key", "lab"},        {"key", "spare"}};
    static const char *const kinds[] = {"org", "team", "project", "key"};
    int64_t above[COUNT(kinds)] = {0};
    size_t n_keys = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t level = 0;
        while (strcmp(kinds[level], rows[i].kind) != 0) {
            level++;
        }
        enum tw_status status =
            synth_ledger_holder(ledger, rows[i].kind, level != 0 ? above[level - 1] : 0,
                                rows[i].name, &above[level], error);
        if (status != TW_OK) {
            return status;
        }
        if (level == 3) {
            ret_keys[n_keys++] = above[level];
        }
        if (strcmp(rows[i].name, "search") == 0) {
            *ret_special_project = above[level];
        }
    }
    return TW_OK;
}

static enum tw_status add_prices(struct synth_ledger *ledger, int64_t special_project,
                                 int64_t from_ns, int64_t to_ns, struct tw_error *error)
{
    const int64_t middle_ns = from_ns + (to_ns - from_ns) / 2;
    struct synth_price prices[] = {
        {.model = "*",
         .class = "standard",
         .input_nano = 100000000,
         .cached_nano = 10000000,
         .output_nano = 400000000},
        {.model = "demo",
         .class = "standard",
         .input_nano = 150000001,
         .cached_nano = 15000001,
         .output_nano = 600000007},
        {.model = "demo",
         .class = "batch",
         .input_nano = 75000000,
         .cached_nano = 7500000,
         .output_nano = 300000003},
        {.model = "demo",
         .class = "standard",
         .input_nano = 160000000,
         .cached_nano = 16000000,
         .output_nano = 640000000,
         .valid_from_ns = middle_ns},
        {.project = special_project,
         .model = "*",
         .class = "standard",
         .input_nano = 90000000,
         .cached_nano = 9000000,
         .output_nano = 333333333},
    };
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < COUNT(prices); i++) {
        status = synth_ledger_price(ledger, &prices[i], error);
    }
    return status;
}

static enum tw_status ask(struct synth_ledger *ledger, struct dice *dice, const int64_t keys[KEYS],
                          int64_t at_ns, struct synth_request *ret_request, struct tw_error *error)
{
    static const char *const models[] = {"demo", "demo", "embed-small", "writer"};
    const bool is_batch = below(dice, 5) == 0;
    struct synth_request request = {.key = keys[below(dice, KEYS)],
                                    .model = models[below(dice, COUNT(models))],
                                    .class = is_batch ? "batch" : "standard",
                                    .reserved_ns = at_ns,
                                    .prompt_tokens = 1 + below(dice, 4000),
                                    .most_output_tokens = 1 + below(dice, 2000)};
    request.price = synth_ledger_find_price(ledger, synth_ledger_project_of(ledger, request.key),
                                            request.model, request.class, at_ns);
    *ret_request = request;
    return synth_ledger_reserve(ledger, ret_request, error);
}

static enum tw_status end_one(struct synth_ledger *ledger, struct dice *dice,
                              const struct synth_request *request, int64_t at_ns,
                              struct tw_error *error)
{
    const bool has_cached = below(dice, 3) == 0;
    const int64_t cached = has_cached ? below(dice, request->prompt_tokens + 1) : 0;
    const int64_t output = below(dice, request->most_output_tokens + 1);
    return synth_ledger_settle(ledger, request, at_ns, request->prompt_tokens - cached, cached,
                               output, error);
}

/* Requests begin one after the other; of those that are open a random one ends now and then. */
static enum tw_status run_past(struct synth_ledger *ledger, struct dice *dice,
                               const int64_t keys[KEYS], int64_t n_requests, int64_t from_ns,
                               int64_t to_ns, struct tw_error *error)
{
    struct synth_request open[OPEN_AT_ONCE];
    size_t n_open = 0;
    const int64_t step_ns = (to_ns - from_ns) / (2 * n_requests + 2);
    enum tw_status status = TW_OK;
    int64_t n_asked = 0;
    for (int64_t i = 0; status == TW_OK && i < 2 * n_requests; i++) {
        const int64_t at_ns = from_ns + i * step_ns + below(dice, step_ns + 1);
        const bool asks =
            n_asked < n_requests && n_open < OPEN_AT_ONCE && (n_open == 0 || below(dice, 2) == 0);
        if (asks) {
            status = ask(ledger, dice, keys, at_ns, &open[n_open++], error);
            n_asked++;
        } else if (n_open > 2 || (n_open > 0 && n_asked < n_requests)) {
            const size_t which = (size_t)below(dice, (int64_t)n_open);
            status = end_one(ledger, dice, &open[which], at_ns, error);
            open[which] = open[--n_open];
        }
    }
    for (size_t i = 0; status == TW_OK && i < n_open; i++) {
        status = synth_ledger_leave_open(ledger, &open[i], error);
    }
    return status;
}

enum tw_status synth_ledger_fill(struct synth_ledger *ledger, uint64_t seed, int64_t n_requests,
                                 int64_t from_ns, int64_t to_ns, struct tw_error *error)
{
    struct dice dice = {.seed = seed};
    int64_t keys[KEYS], special_project = 0;
    enum tw_status status = add_holders(ledger, keys, &special_project, error);
    if (status == TW_OK) {
        status = add_prices(ledger, special_project, from_ns, to_ns, error);
    }
    if (status == TW_OK) {
        status = run_past(ledger, &dice, keys, n_requests, from_ns, to_ns, error);
    }
    return status;
}
