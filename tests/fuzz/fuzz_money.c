/* Any bytes as an amount and as a period's name, and as numbers of tokens and prices: what is taken
 * is written again as it was, and an answer that is said to be paid can be paid. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "hub/money.h"
#include "hub/period.h"

static void check_text(const char *text)
{
    char printed[TW_MONEY_TEXT_BYTES];
    struct tw_error error = {.text = ""};
    enum tw_period_kind kind;
    int64_t amount, again;
    if (tw_money_parse(text, &amount, &error) == TW_OK) {
        tw_money_print(amount, printed);
        assert(tw_money_parse(printed, &again, &error) == TW_OK && again == amount);
        for (int n_decimals = 0; n_decimals <= TW_MONEY_DECIMALS; n_decimals++) {
            tw_money_print_fixed(amount, n_decimals, printed);
        }
    } else {
        assert(error.text[0] != '\0');
    }
    if (tw_period_kind_parse(text, &kind)) {
        assert(strcmp(tw_period_kind_name(kind), text) == 0);
    }
}

/* The most that can be paid can be paid, and one token more cannot. */
static void check_numbers(const int64_t n[7])
{
    const struct tw_money_prices prices = {n[0], n[1], n[2]};
    const struct tw_token_counts counts = {n[3], n[4], n[5]};
    const int64_t n_answers = n[4] % 128, amount = n[6];
    struct tw_error error;
    int64_t cost;
    if (tw_money_cost(&counts, &prices, &cost, &error) == TW_OK) {
        assert(cost >= 0);
    }
    const int64_t most = tw_money_most_output(&prices, n[3], n_answers, amount);
    if (most >= 0 && tw_money_worst_cost(&prices, n[3], n_answers, most, &cost, &error) == TW_OK) {
        assert(cost <= amount);
    }
    if (most >= 0 && most < INT64_MAX / n_answers &&
        tw_money_worst_cost(&prices, n[3], n_answers, most + 1, &cost, &error) == TW_OK) {
        assert(cost > amount);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[128];
    int64_t numbers[7] = {0};
    const size_t n_bytes = size < sizeof text ? size : sizeof text - 1;
    if (n_bytes > 0) {
        memcpy(text, data, n_bytes);
        memcpy(numbers, data, size < sizeof numbers ? size : sizeof numbers);
    }
    text[n_bytes] = '\0';
    check_text(text);
    check_numbers(numbers);
    return 0;
}
