#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "books_fixture.h"
#include "hub/charges.h"
#include "hub/focus.h"
#include "hub/usage_period.h"

#define NANO   ((int64_t)1000000000)
#define FROM_S ((int64_t)1792022400) /* 2026-10-15 */
#define TO_S   ((int64_t)1796083200) /* 2026-12-01 */

enum { MOST_COLUMNS = 64, FIELD_BYTES = 256 };

/* ---- a reader of RFC 4180, for what is written here ---- */

struct row {
    char fields[MOST_COLUMNS][FIELD_BYTES];
    size_t n;
};

/* False at the end. */
static bool next_row(const char **at, struct row *ret_row)
{
    if (**at == '\0') {
        return false;
    }
    ret_row->n = 0;
    for (bool ends = false; !ends;) {
        char *field = ret_row->fields[ret_row->n++];
        size_t n = 0;
        bool is_quoted = **at == '"';
        *at += is_quoted;
        while (is_quoted ? !((*at)[0] == '"' && (*at)[1] != '"') : strchr(",\r", **at) == NULL) {
            *at += is_quoted && **at == '"';
            field[n++] = *(*at)++;
            assert_true(n < FIELD_BYTES);
        }
        field[n] = '\0';
        *at += is_quoted;
        ends = **at == '\r';
        assert_true(ends ? (*at)[1] == '\n' : **at == ',');
        *at += ends ? 2 : 1;
    }
    return true;
}

static size_t column_of(const struct row *titles, const char *name)
{
    for (size_t i = 0; i < titles->n; i++) {
        if (strcmp(titles->fields[i], name) == 0) {
            return i;
        }
    }
    fail_msg("there is no column %s", name);
    return 0;
}

static struct tw_exact exact_of(const char *text)
{
    char *end;
    char fraction[16] = "000000000000000";
    const long long whole = strtoll(text, &end, 10);
    assert_int_equal(*end, '.');
    memcpy(fraction, end + 1, strlen(end + 1));
    const long long digits = strtoll(fraction, NULL, 10);
    return (struct tw_exact){whole * NANO + digits / 1000000, digits % 1000000};
}

static void add(struct tw_exact *sum, const char *text)
{
    const struct tw_exact item = exact_of(text);
    assert_int_equal(tw_exact_add(sum, &item, NULL), TW_OK);
}

/* ---- reports ---- */

static struct tw_usage *read_focus(struct books *books, const char *period,
                                   const struct tw_zone *zone, struct tw_buf *out)
{
    struct tw_usage_wish wish = {.zone = zone};
    struct tw_usage *usage = NULL;
    struct tw_error error;
    tw_focus_set_dimensions(&wish);
    assert_int_equal(tw_usage_period_parse(period, zone, 0, &wish.period, NULL), TW_OK);
    tw_buf_init(out, (size_t)16 << 20);
    if (tw_usage_read(books->db, &wish, &usage, &error) != TW_OK ||
        tw_focus_write(usage, "IT of Acme", out, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    tw_buf_append(out, "", 1);
    return usage;
}

static void the_sum_of_billed_cost_is_the_ledgers_amount_to_the_last_digit(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC", "Europe/Berlin", "Pacific/Auckland"};
    for (uint64_t seed = 11; seed < 14; seed++) {
        struct books books;
        struct tw_buf out;
        struct row titles, row;
        struct tw_exact sums[4] = {{0, 0}};
        struct tw_zone *zone = NULL;
        int64_t n_tokens = 0;
        assert_int_equal(tw_zone_open(NULL, zones[seed - 11], &zone, NULL), TW_OK);
        books_fill(&books, seed, 400, FROM_S, TO_S);
        struct tw_usage *usage = read_focus(&books, "2026-10..2026-11", zone, &out);
        const char *at = out.data;
        assert_true(next_row(&at, &titles));
        static const char *const costs[] = {"BilledCost", "ListCost", "ContractedCost",
                                            "EffectiveCost"};
        while (next_row(&at, &row)) {
            assert_int_equal(row.n, titles.n);
            for (size_t i = 0; i < 4; i++) {
                add(&sums[i], row.fields[column_of(&titles, costs[i])]);
            }
            n_tokens += strtoll(row.fields[column_of(&titles, "ConsumedQuantity")], NULL, 10);
        }
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(sums[i].nano, usage->total.amount_nano);
            assert_int_equal(sums[i].millionths, 0);
        }
        assert_true(usage->total.amount_nano > 0);
        assert_int_equal(n_tokens, usage->total.input_tokens + usage->total.cached_tokens +
                                       usage->total.output_tokens);
        tw_buf_free(&out);
        tw_usage_free(usage);
        tw_zone_free(zone);
        books_close(&books);
    }
}

static void a_cost_is_quantity_times_unit_price_and_only_rounding_has_none(void **state)
{
    (void)state;
    struct books books;
    struct tw_buf out;
    struct row titles, row;
    struct tw_zone *zone = NULL;
    size_t n_usage = 0, n_rounding = 0;
    assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
    books_fill(&books, 3, 400, FROM_S, TO_S);
    struct tw_usage *usage = read_focus(&books, "2026-11", zone, &out);
    const char *at = out.data;
    assert_true(next_row(&at, &titles));
    while (next_row(&at, &row)) {
        const char *quantity = row.fields[column_of(&titles, "PricingQuantity")];
        const char *price = row.fields[column_of(&titles, "ListUnitPrice")];
        const struct tw_exact billed = exact_of(row.fields[column_of(&titles, "BilledCost")]);
        const char *category = row.fields[column_of(&titles, "ChargeCategory")];
        if (strcmp(category, "Adjustment") == 0) {
            static const char *const empty[] = {
                "PricingQuantity", "PricingUnit", "ListUnitPrice", "ConsumedQuantity",
                "ConsumedUnit",    "SkuId",       "SkuPriceId",    "ContractedUnitPrice"};
            for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
                assert_string_equal(row.fields[column_of(&titles, empty[i])], "");
            }
            n_rounding++;
            continue;
        }
        assert_string_equal(category, "Usage");
        const struct tw_exact tokens = exact_of(quantity), unit = exact_of(price);
        struct tw_exact cost;
        assert_int_equal(tw_exact_cost(tokens.nano / 1000, unit.nano, &cost, NULL), TW_OK);
        assert_int_equal(cost.nano, billed.nano);
        assert_int_equal(cost.millionths, billed.millionths);
        n_usage++;
    }
    assert_true(n_usage > 100 && n_rounding > 20);
    tw_buf_free(&out);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&books);
}

static void every_column_that_focus_demands_is_there(void **state)
{
    (void)state;
    static const char *const demanded[] = {
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency",
        "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
        "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
        "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
        "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
        /* of the conditional ones, those whose condition holds here */
        "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "SkuId",
        "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags"};
    struct books books;
    struct tw_buf out;
    struct row titles;
    struct tw_zone *zone = NULL;
    assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
    books_begin(&books);
    books_end(&books);
    struct tw_usage *usage = read_focus(&books, "all", zone, &out);
    const char *at = out.data;
    assert_true(next_row(&at, &titles));
    assert_int_equal(*at, '\0');
    for (size_t i = 0; i < sizeof demanded / sizeof *demanded; i++) {
        column_of(&titles, demanded[i]);
    }
    for (size_t i = 1; i < titles.n; i++) {
        assert_true(strcmp(titles.fields[i - 1], titles.fields[i]) < 0);
    }
    tw_buf_free(&out);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&books);
}

/* ---- one request, to the letter ---- */

static void begin_hostile(struct books *books, int64_t *ret_key, int64_t *ret_price)
{
    struct synth_price price = {.model = "*",
                                .class = "standard",
                                .input_nano = 150000001,
                                .cached_nano = 15000000,
                                .output_nano = 600000000};
    int64_t org, team, project;
    books_begin(books);
    struct synth_ledger *ledger = books->ledger;
    assert_int_equal(synth_ledger_holder(ledger, "org", 0, "=acme", &org, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "team", org, "r,d", &team, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "project", team, "\"x\"", &project, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "key", project, "ci", ret_key, NULL), TW_OK);
    assert_int_equal(synth_ledger_price(ledger, &price, NULL), TW_OK);
    *ret_price = price.id;
}

static void a_request_is_a_row_for_each_direction_and_one_for_the_rounding(void **state)
{
    (void)state;
    struct books books;
    struct tw_buf out;
    struct row titles, row;
    struct tw_zone *zone = NULL;
    int64_t key, price;
    begin_hostile(&books, &key, &price);
    assert_int_equal(tw_zone_open(NULL, "Europe/Berlin", &zone, NULL), TW_OK);
    struct synth_request request = {.key = key,
                                    .model = "+demo",
                                    .class = "standard",
                                    .price = price,
                                    .reserved_ns = FROM_S * NANO,
                                    .prompt_tokens = 1203,
                                    .most_output_tokens = 100};
    assert_int_equal(synth_ledger_reserve(books.ledger, &request, NULL), TW_OK);
    assert_int_equal(
        synth_ledger_settle(books.ledger, &request, FROM_S * NANO, 1003, 200, 77, NULL), TW_OK);
    assert_int_equal(
        tw_db_execute(books.writer,
                      "INSERT INTO person (id, org, name, created_ns) VALUES (900, 0, 'lea', 0);"
                      "INSERT INTO secret (id, holder, person, shown, hash, created_ns)"
                      " SELECT 901, id, 900, 'tw-...', CAST('h' AS %B), 0 FROM holder"
                      " WHERE kind = 'key'",
                      NULL),
        TW_OK);
    books_end(&books);
    struct tw_usage *usage = read_focus(&books, "2026-10", zone, &out);
    static const struct {
        const char *cost, *category, *description, *quantity, *sku;
    } rows[] = {
        {"0.000150450001003", "Usage", "Input Tokens of +demo, class standard, price version 9",
         "0.001003", "'+demo/standard/input@9"},
        {"0.000003", "Usage", "Cached Input Tokens of +demo, class standard, price version 9",
         "0.000200", "'+demo/standard/cached@9"},
        {"0.0000462", "Usage", "Output Tokens of +demo, class standard, price version 9",
         "0.000077", "'+demo/standard/output@9"},
        {"0.000000000998997", "Adjustment",
         "Rounding up of each request of +demo, class standard, price version 9", "", ""}};
    static const struct {
        const char *name, *value;
    } same[] = {{"BillingAccountId", "3"},
                {"BillingAccountName", "'=acme"},
                {"BillingCurrency", "EUR"},
                {"BillingPeriodStart", "2026-09-30T22:00:00Z"},
                {"BillingPeriodEnd", "2026-10-31T23:00:00Z"},
                {"ChargePeriodStart", "2026-10-14T22:00:00Z"},
                {"ChargePeriodEnd", "2026-10-15T22:00:00Z"},
                {"ChargeClass", ""},
                {"InvoiceId", "3-2026-10-Europe/Berlin"},
                {"InvoiceIssuerName", "IT of Acme"},
                {"ProviderName", "IT of Acme"},
                {"ServiceCategory", "AI and Machine Learning"},
                {"SubAccountId", "5"},
                {"SubAccountName", "'=acme/r,d/\"x\""},
                {"Tags", "{\"tokenworks/team\":\"=acme/r,d\",\"tokenworks/user\":\"lea\","
                         "\"tokenworks/model\":\"+demo\","
                         "\"tokenworks/class\":\"standard\"}"}};
    const char *at = out.data;
    assert_true(next_row(&at, &titles));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(next_row(&at, &row));
        assert_string_equal(row.fields[column_of(&titles, "BilledCost")], rows[i].cost);
        assert_string_equal(row.fields[column_of(&titles, "ChargeCategory")], rows[i].category);
        assert_string_equal(row.fields[column_of(&titles, "ChargeDescription")],
                            rows[i].description);
        assert_string_equal(row.fields[column_of(&titles, "PricingQuantity")], rows[i].quantity);
        assert_string_equal(row.fields[column_of(&titles, "SkuPriceId")], rows[i].sku);
        for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
            assert_string_equal(row.fields[column_of(&titles, same[k].name)], same[k].value);
        }
    }
    assert_int_equal(*at, '\0');
    tw_buf_free(&out);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&books);
}

static void amounts_that_do_not_come_from_their_tokens_are_not_handed_on(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "UPDATE entry SET amount_nano = amount_nano + 1 WHERE kind = 'settle'",
        "UPDATE entry SET amount_nano = amount_nano - 1 WHERE kind = 'settle'",
        "UPDATE price SET input_nano = -1"};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct books books;
        struct tw_usage *usage;
        struct tw_error error;
        struct tw_zone *zone = NULL;
        struct tw_buf out;
        int64_t key, price;
        begin_hostile(&books, &key, &price);
        struct synth_request request = {.key = key,
                                        .model = "demo",
                                        .class = "standard",
                                        .price = price,
                                        .reserved_ns = 1,
                                        .prompt_tokens = 1,
                                        .most_output_tokens = 100};
        assert_int_equal(synth_ledger_reserve(books.ledger, &request, NULL), TW_OK);
        assert_int_equal(synth_ledger_settle(books.ledger, &request, 2, 1, 0, 5, NULL), TW_OK);
        assert_int_equal(tw_db_execute(books.writer, damages[i], NULL), TW_OK);
        books_end(&books);
        assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
        struct tw_usage_wish wish = {.zone = zone, .period = {0, 86400}};
        tw_focus_set_dimensions(&wish);
        assert_int_equal(tw_usage_read(books.db, &wish, &usage, NULL), TW_OK);
        tw_buf_init(&out, 65536);
        assert_int_equal(tw_focus_write(usage, "x", &out, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "ledger check"));
        tw_buf_free(&out);
        tw_usage_free(usage);
        tw_zone_free(zone);
        books_close(&books);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_of_billed_cost_is_the_ledgers_amount_to_the_last_digit),
        cmocka_unit_test(a_cost_is_quantity_times_unit_price_and_only_rounding_has_none),
        cmocka_unit_test(every_column_that_focus_demands_is_there),
        cmocka_unit_test(a_request_is_a_row_for_each_direction_and_one_for_the_rounding),
        cmocka_unit_test(amounts_that_do_not_come_from_their_tokens_are_not_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
