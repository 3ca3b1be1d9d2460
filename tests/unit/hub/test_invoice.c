#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "books_fixture.h"
#include "hub/invoice.h"
#include "hub/usage_period.h"

#define NANO    ((int64_t)1000000000)
#define FROM_S  ((int64_t)1792022400) /* 2026-10-15 */
#define TO_S    ((int64_t)1796083200) /* 2026-12-01 */
#define LATE_NS (TO_S * 2 * NANO)

static struct tw_invoice *read_invoice(struct books *books, const char *org, const char *month,
                                       const struct tw_zone *zone, int64_t now_ns)
{
    struct tw_period period;
    struct tw_invoice *invoice = NULL;
    struct tw_error error;
    assert_int_equal(tw_usage_period_parse_month(month, zone, 0, &period, NULL), TW_OK);
    if (tw_invoice_read(books->db, org, period, zone, now_ns, NULL, &invoice, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return invoice;
}

static int64_t ledger_sum(struct books *books, const char *org, const struct tw_period *period)
{
    char sql[700];
    int64_t sum = 0;
    snprintf(sql, sizeof sql,
             "SELECT CAST(COALESCE(SUM(e.amount_nano), 0) AS %%I) FROM entry e"
             " JOIN holder k ON k.id = e.api_key JOIN holder p ON p.id = k.parent"
             " JOIN holder t ON t.id = p.parent JOIN holder o ON o.id = t.parent"
             " WHERE e.kind = 'settle' AND o.name = '%s' AND e.at_ns >= %lld AND e.at_ns < %lld",
             org, (long long)(period->starts_s * NANO), (long long)(period->ends_s * NANO));
    books_ask(books, sql, &sum, 1);
    return sum;
}

static void the_lines_of_an_invoice_make_the_sum_of_the_ledgers_entries(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC", "Europe/Berlin", "America/St_Johns"};
    static const char *const orgs[] = {"acme", "globex"};
    static const char *const months[] = {"2026-10", "2026-11", "2026-12"};
    for (uint64_t seed = 21; seed < 24; seed++) {
        struct books books;
        struct tw_zone *zone = NULL;
        books_fill(&books, seed, 400, FROM_S, TO_S);
        assert_int_equal(tw_zone_open(NULL, zones[seed - 21], &zone, NULL), TW_OK);
        for (size_t i = 0; i < 6; i++) {
            struct tw_invoice *invoice =
                read_invoice(&books, orgs[i % 2], months[i / 2], zone, LATE_NS);
            struct tw_exact sum = invoice->rounding;
            for (size_t k = 0; k < invoice->n_lines; k++) {
                assert_int_equal(tw_exact_add(&sum, &invoice->lines[k].charge.cost, NULL), TW_OK);
            }
            const int64_t expected = ledger_sum(&books, orgs[i % 2], &invoice->usage->wish.period);
            assert_int_equal(sum.nano, expected);
            assert_int_equal(sum.millionths, 0);
            assert_int_equal(invoice->total.nano, expected);
            assert_true(i / 2 == 2 || expected > 0);
            assert_true(invoice->rounding.nano < invoice->usage->total.n_requests + 1);
            tw_invoice_free(invoice);
        }
        tw_zone_free(zone);
        books_close(&books);
    }
}

/* ---- to the letter ---- */

static void begin_small(struct books *books, int64_t *ret_key, struct synth_price ret_prices[2])
{
    int64_t org, team, project;
    ret_prices[0] = (struct synth_price){.model = "*",
                                         .class = "standard",
                                         .input_nano = 150000001,
                                         .cached_nano = 15000000,
                                         .output_nano = 600000000};
    ret_prices[1] = ret_prices[0];
    ret_prices[1].input_nano = 1500000000;
    books_begin(books);
    struct synth_ledger *ledger = books->ledger;
    assert_int_equal(synth_ledger_holder(ledger, "org", 0, "acme", &org, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "team", org, "lab", &team, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "project", team, "chat", &project, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "key", project, "ci", ret_key, NULL), TW_OK);
    assert_int_equal(synth_ledger_price(ledger, &ret_prices[0], NULL), TW_OK);
    assert_int_equal(synth_ledger_price(ledger, &ret_prices[1], NULL), TW_OK);
}

static void ask(struct books *books, int64_t key, int64_t price, int64_t at_s)
{
    struct synth_request request = {.key = key,
                                    .model = "demo",
                                    .class = "standard",
                                    .price = price,
                                    .reserved_ns = at_s * NANO,
                                    .prompt_tokens = 1203,
                                    .most_output_tokens = 100};
    assert_int_equal(synth_ledger_reserve(books->ledger, &request, NULL), TW_OK);
    assert_int_equal(synth_ledger_settle(books->ledger, &request, at_s * NANO, 1003, 200, 77, NULL),
                     TW_OK);
}

static const char TEXT[] =
    "Invoice 3-2026-10-Europe/Berlin\n"
    "\n"
    "from      IT of Acme\n"
    "to        acme\n"
    "period    2026-10-01 to 2026-10-31, Europe/Berlin\n"
    "          from 2026-09-30T22:00:00Z until before 2026-10-31T23:00:00Z\n"
    "currency  EUR\n"
    "entries   3 settlements, the first is entry 3, the last 9\n"
    "\n"
    "project        model  class     direction  price  tokens    a million             amount\n"
    "acme/lab/chat  demo   standard  input          9    2006  0.150000001  0.000300900002006\n"
    "acme/lab/chat  demo   standard  cached         9     400  0.015000000  0.000006000000000\n"
    "acme/lab/chat  demo   standard  output         9     154  0.600000000  0.000092400000000\n"
    "acme/lab/chat  demo   standard  input         10    1003  1.500000000  0.001504500000000\n"
    "acme/lab/chat  demo   standard  cached        10     200  0.015000000  0.000003000000000\n"
    "acme/lab/chat  demo   standard  output        10      77  0.600000000  0.000046200000000\n"
    "rounding                                                               0.000000001997994\n"
    "total                                                                  0.001953002000000\n"
    "\n"
    "The cost of each request is rounded up once, to a billionth: line 'rounding' is what that "
    "added.\n";

static const char JSON[] =
    "{\"invoice\":\"3-2026-10-Europe/Berlin\",\"final\":true,\"provider\":\"IT of Acme\","
    "\"org\":\"acme\",\"org_id\":3,\"from\":\"2026-09-30T22:00:00Z\","
    "\"to\":\"2026-10-31T23:00:00Z\",\"zone\":\"Europe/Berlin\",\"currency\":\"EUR\","
    "\"entries\":{\"first\":3,\"last\":9,\"count\":3},\"lines\":["
    "{\"project\":\"acme/lab/chat\",\"project_id\":5,\"model\":\"demo\",\"class\":\"standard\","
    "\"direction\":\"input\",\"price_version\":9,\"tokens\":2006,"
    "\"price_nano_per_million\":150000001,\"price_per_million\":\"0.150000001\","
    "\"amount\":\"0.000300900002006\"},";

static void an_invoice_says_all_that_is_needed_to_compute_it_again(void **state)
{
    (void)state;
    struct books books;
    struct synth_price prices[2];
    struct tw_zone *zone = NULL;
    struct tw_buf out;
    int64_t key;
    assert_int_equal(tw_zone_open(NULL, "Europe/Berlin", &zone, NULL), TW_OK);
    begin_small(&books, &key, prices);
    ask(&books, key, prices[0].id, FROM_S);
    ask(&books, key, prices[0].id, FROM_S + 1);
    ask(&books, key, prices[1].id, FROM_S + 2);
    books_end(&books);
    struct tw_invoice *invoice = read_invoice(&books, "acme", "2026-10", zone, LATE_NS);
    tw_buf_init(&out, 65536);
    assert_int_equal(tw_invoice_write_text(invoice, "IT of Acme", 0, &out, NULL), TW_OK);
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, TEXT);
    tw_buf_clear(&out);
    assert_int_equal(tw_invoice_write_json(invoice, "IT of Acme", &out, NULL), TW_OK);
    tw_buf_append(&out, "", 1);
    static const char end[] = "],\"rounding\":\"0.000000001997994\",\"total\":\"0.001953002\","
                              "\"total_nano\":1953002}\n";
    assert_memory_equal(out.data, JSON, sizeof JSON - 1);
    assert_string_equal(out.data + out.size_bytes - sizeof end, end);
    tw_buf_free(&out);
    tw_invoice_free(invoice);
    tw_zone_free(zone);
    books_close(&books);
}

static void a_month_that_has_not_ended_has_no_final_invoice(void **state)
{
    (void)state;
    struct books books;
    struct synth_price prices[2];
    struct tw_zone *zone = NULL;
    struct tw_buf out;
    int64_t key;
    const int64_t end_ns = tw_zone_day_of(2026, 11, 1) * 86400 * NANO;
    assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
    begin_small(&books, &key, prices);
    ask(&books, key, prices[0].id, FROM_S);
    books_end(&books);
    const struct {
        int64_t now_ns;
        bool is_final;
    } rows[] = {{FROM_S * NANO, false},
                {end_ns, false}, /* something may be about to be committed */
                {end_ns + TW_LIMIT_INVOICE_SETTLED_NS - 1, false},
                {end_ns + TW_LIMIT_INVOICE_SETTLED_NS, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tw_invoice *invoice = read_invoice(&books, "acme", "2026-10", zone, rows[i].now_ns);
        assert_int_equal(invoice->is_final, rows[i].is_final);
        tw_buf_init(&out, 65536);
        assert_int_equal(tw_invoice_write_text(invoice, "x", 80, &out, NULL), TW_OK);
        tw_buf_append(&out, "", 1);
        assert_int_equal(strstr(out.data, "NOT FINAL") == NULL, rows[i].is_final);
        tw_buf_free(&out);
        tw_invoice_free(invoice);
    }
    tw_zone_free(zone);
    books_close(&books);
}

static void what_was_booked_later_makes_a_month_final(void **state)
{
    (void)state;
    struct books books;
    struct synth_price prices[2];
    struct tw_zone *zone = NULL;
    int64_t key;
    assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
    begin_small(&books, &key, prices);
    ask(&books, key, prices[0].id, FROM_S);
    ask(&books, key, prices[0].id, tw_zone_day_of(2026, 11, 1) * 86400);
    books_end(&books);
    struct tw_invoice *invoice = read_invoice(&books, "acme", "2026-10", zone, 0);
    assert_true(invoice->is_final);
    assert_int_equal(invoice->usage->total.n_requests, 1);
    tw_invoice_free(invoice);
    tw_zone_free(zone);
    books_close(&books);
}

static void an_invoice_is_for_one_whole_organisation(void **state)
{
    (void)state;
    struct books books;
    struct synth_price prices[2];
    struct tw_zone *zone = NULL;
    struct tw_invoice *invoice = NULL;
    struct tw_error error;
    int64_t key, twin;
    const struct tw_period month = {0, 31 * 86400};
    assert_int_equal(tw_zone_open(NULL, "UTC", &zone, NULL), TW_OK);
    begin_small(&books, &key, prices);
    assert_int_equal(synth_ledger_holder(books.ledger, "org", 0, "twin", &twin, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(books.ledger, "org", 0, "twin", &twin, NULL), TW_OK);
    ask(&books, key, 0, 1);
    books_end(&books);
    const struct {
        const char *org, *part;
        enum tw_status status;
    } rows[] = {{"acme/lab", "is no organisation", TW_ERR_USAGE},
                {"acne", "did you mean 'acme'", TW_ERR_NOT_FOUND},
                {"twin", "'#11' or '#12'", TW_ERR_USAGE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            tw_invoice_read(books.db, rows[i].org, month, zone, 0, NULL, &invoice, &error),
            rows[i].status);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("'%s' is not in '%s'", rows[i].part, error.text);
        }
    }
    assert_int_equal(tw_invoice_read(books.db, "#12", month, zone, 0, NULL, &invoice, NULL), TW_OK);
    assert_int_equal(invoice->n_lines, 0);
    assert_int_equal(invoice->total.nano, 0);
    tw_invoice_free(invoice);
    tw_zone_free(zone);
    books_close(&books);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lines_of_an_invoice_make_the_sum_of_the_ledgers_entries),
        cmocka_unit_test(an_invoice_says_all_that_is_needed_to_compute_it_again),
        cmocka_unit_test(a_month_that_has_not_ended_has_no_final_invoice),
        cmocka_unit_test(what_was_booked_later_makes_a_month_final),
        cmocka_unit_test(an_invoice_is_for_one_whole_organisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
