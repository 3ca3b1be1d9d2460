#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "books_fixture.h"
#include "hub/ledger_check.h"
#include "hub/usage.h"
#include "hub/usage_period.h"
#include "hub/usage_report.h"

#define NANO   ((int64_t)1000000000)
/* 2026-10-15 and 2026-12-01 in UTC: over the end of summer time, a month's and a year's week. */
#define FROM_S ((int64_t)1792022400)
#define TO_S   ((int64_t)1796083200)

static struct tw_zone *open_zone(const char *name)
{
    struct tw_zone *zone = NULL;
    assert_int_equal(tw_zone_open(NULL, name, &zone, NULL), TW_OK);
    return zone;
}

static struct tw_usage *read_usage(struct books *books, const struct tw_usage_wish *wish)
{
    struct tw_usage *usage = NULL;
    struct tw_error error;
    if (tw_usage_read(books->db, wish, &usage, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return usage;
}

/* ---- another way to the same sums: every settlement, its labels, and a search ---- */

struct plain {
    int64_t at_ns, price;
    char org[80], team[80], project[80], key[80], user[80], model[40], class[20];
    struct tw_usage_sums sums;
};

static const char PLAIN[] =
    "SELECT e.at_ns, e.price, e.model, e.class, e.input_tokens, e.cached_tokens, e.output_tokens,"
    " e.amount_nano, o.name, t.name, p.name, k.name,"
    " COALESCE((SELECT CASE u.org WHEN 0 THEN u.name ELSE h.name || '/' || u.name END FROM secret s"
    " JOIN person u ON u.id = s.person LEFT JOIN holder h ON h.id = u.org WHERE s.holder = k.id"
    " ORDER BY s.id DESC LIMIT 1), '') FROM entry e"
    " JOIN holder k ON k.id = e.api_key JOIN holder p ON p.id = k.parent"
    " JOIN holder t ON t.id = p.parent JOIN holder o ON o.id = t.parent"
    " WHERE e.kind = 'settle' ORDER BY e.id";

static size_t read_plain(struct books *books, struct plain **ret_items)
{
    struct tw_db_statement *row = NULL;
    int64_t n = 0;
    bool has_row = true;
    books_ask(books, "SELECT COUNT(*) FROM entry WHERE kind = 'settle'", &n, 1);
    struct plain *items = tw_mem_zalloc((size_t)n + 1, sizeof *items);
    assert_non_null(items);
    assert_int_equal(tw_db_prepare(books->db, PLAIN, &row, NULL), TW_OK);
    assert_int_equal(tw_db_query(row, NULL, 0, NULL), TW_OK);
    for (size_t i = 0;; i++) {
        assert_int_equal(tw_db_next(row, &has_row, NULL), TW_OK);
        if (!has_row) {
            assert_int_equal(i, n);
            break;
        }
        struct plain *item = &items[i];
        item->at_ns = tw_db_column_integer(row, 0);
        item->price = tw_db_column_integer(row, 1);
        snprintf(item->model, sizeof item->model, "%s", tw_db_column_text(row, 2));
        snprintf(item->class, sizeof item->class, "%s", tw_db_column_text(row, 3));
        item->sums =
            (struct tw_usage_sums){1, tw_db_column_integer(row, 4), tw_db_column_integer(row, 5),
                                   tw_db_column_integer(row, 6), tw_db_column_integer(row, 7)};
        snprintf(item->user, sizeof item->user, "%s", tw_db_column_text(row, 12));
        snprintf(item->org, sizeof item->org, "%.18s", tw_db_column_text(row, 8));
        snprintf(item->team, sizeof item->team, "%.18s/%.18s", item->org,
                 tw_db_column_text(row, 9));
        snprintf(item->project, sizeof item->project, "%.38s/%.18s", item->team,
                 tw_db_column_text(row, 10));
        snprintf(item->key, sizeof item->key, "%.58s/%.18s", item->project,
                 tw_db_column_text(row, 11));
    }
    tw_db_finalize(row);
    *ret_items = items;
    return (size_t)n;
}

static void plain_label(const struct plain *item, enum tw_usage_dimension dimension,
                        const struct tw_zone *zone, char label[TW_USAGE_LABEL_BYTES + 40])
{
    const size_t room = TW_USAGE_LABEL_BYTES + 40;
    const int64_t at_s = item->at_ns / NANO;
    const struct tw_civil_time time = tw_zone_civil(zone, at_s);
    const int64_t monday_s = tw_zone_day_start_s(zone, time.day - (time.day + 3) % 7);
    const int offset = time.offset_s / 60;
    switch (dimension) {
    case TW_USAGE_ORG:
        snprintf(label, room, "%s", item->org);
        break;
    case TW_USAGE_TEAM:
        snprintf(label, room, "%s", item->team);
        break;
    case TW_USAGE_PROJECT:
        snprintf(label, room, "%s", item->project);
        break;
    case TW_USAGE_KEY:
        snprintf(label, room, "%s", item->key);
        break;
    case TW_USAGE_USER:
        snprintf(label, room, "%s", item->user);
        break;
    case TW_USAGE_MODEL:
        snprintf(label, room, "%s", item->model);
        break;
    case TW_USAGE_CLASS:
        snprintf(label, room, "%s", item->class);
        break;
    case TW_USAGE_PRICE:
        snprintf(label, room, "%lld", (long long)item->price);
        break;
    case TW_USAGE_HOUR:
        snprintf(label, room, "%04d-%02d-%02d %02d:00%c%02d:%02d", (int)time.year, time.month,
                 time.day_of_month, time.hour, offset < 0 ? '-' : '+', abs(offset) / 60,
                 abs(offset) % 60);
        break;
    case TW_USAGE_DAY:
        snprintf(label, room, "%04d-%02d-%02d", (int)time.year, time.month, time.day_of_month);
        break;
    case TW_USAGE_WEEK:
        tw_usage_period_write_day(zone, monday_s, label);
        break;
    case TW_USAGE_MONTH:
        snprintf(label, room, "%04d-%02d", (int)time.year, time.month);
        break;
    case TW_USAGE_DIMENSIONS:
        break;
    }
}

static bool is_of_row(const struct plain *item, const struct tw_usage *usage,
                      const struct tw_usage_row *row)
{
    for (size_t i = 0; i < usage->wish.n_by; i++) {
        char scratch[TW_USAGE_LABEL_BYTES], expected[TW_USAGE_LABEL_BYTES + 40];
        plain_label(item, usage->wish.by[i], usage->wish.zone, expected);
        if (strcmp(tw_usage_label(usage, row, i, scratch), expected) != 0) {
            return false;
        }
    }
    return true;
}

static void add(struct tw_usage_sums *sums, const struct tw_usage_sums *item)
{
    sums->n_requests += item->n_requests;
    sums->input_tokens += item->input_tokens;
    sums->cached_tokens += item->cached_tokens;
    sums->output_tokens += item->output_tokens;
    sums->amount_nano += item->amount_nano;
}

static void assert_sums(const struct tw_usage_sums *a, const struct tw_usage_sums *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

static bool starts_with_path(const char *path, const char *in)
{
    const size_t n = strlen(in);
    return strncmp(path, in, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool is_chosen(const struct plain *item, const struct tw_usage_wish *wish)
{
    return item->at_ns >= wish->period.starts_s * NANO &&
           item->at_ns < wish->period.ends_s * NANO &&
           (wish->in == NULL || starts_with_path(item->key, wish->in)) &&
           (wish->model == NULL || strcmp(item->model, wish->model) == 0);
}

/* Every row and the total, from the settlements one by one. */
static void check_report(const struct plain *items, size_t n, const struct tw_usage *usage)
{
    struct tw_usage_sums *sums = tw_mem_zalloc(usage->n_rows + 1, sizeof *sums);
    struct tw_usage_sums total = {0}, of_rows = {0};
    for (size_t i = 0; i < n; i++) {
        size_t n_found = 0;
        if (!is_chosen(&items[i], &usage->wish)) {
            continue;
        }
        add(&total, &items[i].sums);
        for (size_t r = 0; r < usage->n_rows; r++) {
            if (is_of_row(&items[i], usage, usage->rows[r])) {
                add(&sums[r], &items[i].sums);
                n_found++;
            }
        }
        assert_int_equal(n_found, 1);
    }
    for (size_t r = 0; r < usage->n_rows; r++) {
        assert_sums(&usage->rows[r]->sums, &sums[r]);
        assert_true(sums[r].n_requests > 0);
        add(&of_rows, &usage->rows[r]->sums);
    }
    assert_sums(&usage->total, &total);
    assert_sums(&usage->total, &of_rows);
    tw_mem_free(sums);
}

/* ---- reports of random ledgers ---- */

struct dice {
    uint64_t seed, n;
};

static uint32_t below(struct dice *dice, uint32_t bound)
{
    uint32_t words[4];
    tw_rng_block(dice->seed, dice->n++, words);
    return words[0] % bound;
}

static void random_wish(struct dice *dice, const struct tw_zone *zone, struct tw_usage_wish *wish)
{
    static const char *const paths[] = {
        NULL, NULL, NULL, "acme", "acme/research", "globex/plant/line-7/night"};
    static const char *const models[] = {NULL, NULL, NULL, "demo", "writer", "another"};
    *wish = (struct tw_usage_wish){
        .zone = zone, .in = paths[below(dice, 6)], .model = models[below(dice, 6)]};
    for (int dimension = 0; dimension < TW_USAGE_DIMENSIONS; dimension++) {
        if (below(dice, 4) == 0) {
            wish->by[wish->n_by++] = (enum tw_usage_dimension)dimension;
        }
    }
    for (size_t i = wish->n_by; i > 1; i--) {
        const size_t other = below(dice, (uint32_t)i);
        const enum tw_usage_dimension kept = wish->by[i - 1];
        wish->by[i - 1] = wish->by[other];
        wish->by[other] = kept;
    }
    const int64_t first = tw_zone_civil(zone, FROM_S).day + below(dice, 40);
    wish->period = (struct tw_period){tw_zone_day_start_s(zone, first),
                                      tw_zone_day_start_s(zone, first + 1 + below(dice, 40))};
}

static void assert_sorted(const struct tw_usage *usage)
{
    for (size_t r = 1; r < usage->n_rows; r++) {
        int order = 0;
        for (size_t i = 0; order == 0 && i < usage->wish.n_by; i++) {
            char a[TW_USAGE_LABEL_BYTES], b[TW_USAGE_LABEL_BYTES];
            const int64_t x = usage->rows[r - 1]->keys[i], y = usage->rows[r]->keys[i];
            order = usage->wish.by[i] >= TW_USAGE_PRICE
                        ? (x > y) - (x < y)
                        : strcmp(tw_usage_label(usage, usage->rows[r - 1], i, a),
                                 tw_usage_label(usage, usage->rows[r], i, b));
        }
        assert_true(order < 0);
    }
}

static void every_report_of_a_random_ledger_is_the_sum_of_its_entries(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC", "Europe/Berlin", "America/St_Johns",
                                        "Pacific/Auckland", "Australia/Lord_Howe"};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct books books;
        struct plain *items;
        struct dice dice = {.seed = seed};
        size_t n_rows = 0;
        books_fill(&books, seed, 300, FROM_S, TO_S);
        const size_t n = read_plain(&books, &items);
        for (int i = 0; i < 25; i++) {
            struct tw_zone *zone = open_zone(zones[below(&dice, 5)]);
            struct tw_usage_wish wish;
            random_wish(&dice, zone, &wish);
            struct tw_usage *usage = read_usage(&books, &wish);
            check_report(items, n, usage);
            assert_sorted(usage);
            n_rows += usage->n_rows;
            tw_usage_free(usage);
            tw_zone_free(zone);
        }
        assert_true(n_rows > 200);
        tw_mem_free(items);
        books_close(&books);
    }
}

static void the_total_of_all_time_is_what_the_accounts_have(void **state)
{
    (void)state;
    struct books books;
    struct tw_ledger_summary summary;
    struct tw_error error;
    int64_t revenue[2];
    struct tw_zone *zone = open_zone("Asia/Kathmandu");
    struct tw_usage_wish wish = {.zone = zone, .by = {TW_USAGE_HOUR, TW_USAGE_KEY}, .n_by = 2};
    books_fill(&books, 7, 500, FROM_S, TO_S);
    assert_int_equal(tw_usage_period_parse("all", zone, 0, &wish.period, NULL), TW_OK);
    struct tw_usage *usage = read_usage(&books, &wish);
    books_ask(&books, "SELECT credit_nano, credit_tokens FROM account WHERE kind = 'revenue'",
              revenue, 2);
    assert_int_equal(usage->total.amount_nano, revenue[0]);
    assert_int_equal(usage->total.input_tokens + usage->total.cached_tokens +
                         usage->total.output_tokens,
                     revenue[1]);
    if (tw_ledger_check(books.db, &summary, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(summary.settled_nano, usage->total.amount_nano);
    assert_true(summary.n_open > 0);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&books);
}

/* ---- small books ---- */

struct small {
    struct books books;
    int64_t org, team, project, key, price;
};

static void begin_small(struct small *small)
{
    struct synth_price price = {.model = "*",
                                .class = "standard",
                                .input_nano = 1000000,
                                .cached_nano = 100000,
                                .output_nano = 2000000};
    books_begin(&small->books);
    struct synth_ledger *ledger = small->books.ledger;
    assert_int_equal(synth_ledger_holder(ledger, "org", 0, "acme", &small->org, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "team", small->org, "lab", &small->team, NULL),
                     TW_OK);
    assert_int_equal(
        synth_ledger_holder(ledger, "project", small->team, "chat", &small->project, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "key", small->project, "ci", &small->key, NULL),
                     TW_OK);
    assert_int_equal(synth_ledger_price(ledger, &price, NULL), TW_OK);
    small->price = price.id;
}

/* A request that ends at once. */
static void ask(struct small *small, int64_t key, const char *model, int64_t price, int64_t at_ns)
{
    struct synth_request request = {.key = key,
                                    .model = model,
                                    .class = "standard",
                                    .price = price,
                                    .reserved_ns = at_ns,
                                    .prompt_tokens = 10,
                                    .most_output_tokens = 5};
    assert_int_equal(synth_ledger_reserve(small->books.ledger, &request, NULL), TW_OK);
    assert_int_equal(synth_ledger_settle(small->books.ledger, &request, at_ns, 6, 4, 5, NULL),
                     TW_OK);
}

static void a_settlement_at_midnight_belongs_to_the_day_that_begins(void **state)
{
    (void)state;
    struct small small;
    struct tw_zone *zone = open_zone("Europe/Berlin");
    const int64_t midnight_s = tw_zone_day_start_s(zone, tw_zone_day_of(2026, 11, 1));
    begin_small(&small);
    ask(&small, small.key, "demo", small.price, midnight_s * NANO - 1);
    ask(&small, small.key, "demo", small.price, midnight_s * NANO);
    books_end(&small.books);
    struct tw_usage_wish wish = {.zone = zone, .by = {TW_USAGE_DAY}, .n_by = 1};
    assert_int_equal(tw_usage_period_parse("2026-10", zone, 0, &wish.period, NULL), TW_OK);
    struct tw_usage *usage = read_usage(&small.books, &wish);
    char scratch[TW_USAGE_LABEL_BYTES];
    assert_int_equal(usage->n_rows, 1);
    assert_string_equal(tw_usage_label(usage, usage->rows[0], 0, scratch), "2026-10-31");
    assert_int_equal(usage->first_entry, 3);
    assert_int_equal(usage->last_entry, 3);
    tw_usage_free(usage);
    assert_int_equal(tw_usage_period_parse("2026-11", zone, 0, &wish.period, NULL), TW_OK);
    usage = read_usage(&small.books, &wish);
    assert_int_equal(usage->n_rows, 1);
    assert_string_equal(tw_usage_label(usage, usage->rows[0], 0, scratch), "2026-11-01");
    assert_int_equal(usage->first_entry, 6);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&small.books);
}

static void the_hour_that_comes_twice_is_two_rows(void **state)
{
    (void)state;
    struct small small;
    struct tw_zone *zone = open_zone("Europe/Berlin");
    const int64_t at_s = tw_zone_day_start_s(zone, tw_zone_day_of(2026, 10, 25));
    begin_small(&small);
    for (int64_t hour = 1; hour < 5; hour++) {
        ask(&small, small.key, "demo", small.price, (at_s + hour * 3600 + 1800) * NANO);
    }
    books_end(&small.books);
    struct tw_usage_wish wish = {.zone = zone, .by = {TW_USAGE_HOUR}, .n_by = 1};
    assert_int_equal(tw_usage_period_parse("2026-10-25", zone, 0, &wish.period, NULL), TW_OK);
    struct tw_usage *usage = read_usage(&small.books, &wish);
    static const char *const expected[] = {"2026-10-25 01:00+02:00", "2026-10-25 02:00+02:00",
                                           "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"};
    assert_int_equal(usage->n_rows, 4);
    for (size_t i = 0; i < 4; i++) {
        char scratch[TW_USAGE_LABEL_BYTES];
        assert_string_equal(tw_usage_label(usage, usage->rows[i], 0, scratch), expected[i]);
    }
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&small.books);
}

static void a_path_chooses_all_below_it_and_a_number_one_holder(void **state)
{
    (void)state;
    struct small small;
    struct tw_zone *zone = open_zone("UTC");
    int64_t project, key, twin;
    struct tw_error error;
    struct tw_usage *usage;
    begin_small(&small);
    struct synth_ledger *ledger = small.books.ledger;
    /* "chat" was closed, and another one has its name. "chats" only begins like it. */
    assert_int_equal(synth_ledger_holder(ledger, "project", small.team, "chat", &project, NULL),
                     TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "key", project, "ci", &twin, NULL), TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "project", small.team, "chats", &project, NULL),
                     TW_OK);
    assert_int_equal(synth_ledger_holder(ledger, "key", project, "ci", &key, NULL), TW_OK);
    ask(&small, small.key, "demo", small.price, 1);
    ask(&small, twin, "demo", small.price, 2);
    ask(&small, key, "demo", small.price, 3);
    books_end(&small.books);
    const struct {
        const char *in;
        size_t n_rows;
    } rows[] = {{NULL, 3},
                {"acme", 3},
                {"acme/lab", 3},
                {"acme/lab/chat", 2},
                {"acme/lab/chat/ci", 2},
                {"acme/lab/chats", 1}};
    struct tw_usage_wish wish = {
        .zone = zone, .by = {TW_USAGE_KEY}, .n_by = 1, .period = {0, 86400}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wish.in = rows[i].in;
        usage = read_usage(&small.books, &wish);
        assert_int_equal(usage->n_rows, rows[i].n_rows);
        tw_usage_free(usage);
    }
    char number[24];
    snprintf(number, sizeof number, "#%lld", (long long)twin);
    wish.in = number;
    usage = read_usage(&small.books, &wish);
    assert_int_equal(usage->n_rows, 1);
    assert_int_equal(usage->rows[0]->keys[0], twin);
    tw_usage_free(usage);
    wish.in = "acme/lap";
    assert_int_equal(tw_usage_read(small.books.db, &wish, &usage, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "did you mean 'acme/lab'"));
    wish.in = "lab";
    assert_int_equal(tw_usage_read(small.books.db, &wish, &usage, &error), TW_ERR_NOT_FOUND);
    tw_zone_free(zone);
    books_close(&small.books);
}

static void a_row_lists_the_price_versions_it_was_settled_at(void **state)
{
    (void)state;
    struct small small;
    struct tw_zone *zone = open_zone("UTC");
    int64_t versions[TW_LIMIT_USAGE_VERSIONS + 1];
    begin_small(&small);
    for (size_t i = 0; i <= TW_LIMIT_USAGE_VERSIONS; i++) {
        struct synth_price price = {.model = "*", .class = "standard", .input_nano = (int64_t)i};
        assert_int_equal(synth_ledger_price(small.books.ledger, &price, NULL), TW_OK);
        versions[i] = price.id;
    }
    ask(&small, small.key, "few", versions[2], 1);
    ask(&small, small.key, "few", 0, 2);
    ask(&small, small.key, "few", versions[1], 3);
    ask(&small, small.key, "few", versions[2], 4);
    for (size_t i = 0; i <= TW_LIMIT_USAGE_VERSIONS; i++) {
        ask(&small, small.key, "many", versions[i], 5);
    }
    books_end(&small.books);
    struct tw_usage_wish wish = {
        .zone = zone, .by = {TW_USAGE_MODEL}, .n_by = 1, .period = {0, 86400}};
    struct tw_usage *usage = read_usage(&small.books, &wish);
    const struct tw_usage_versions *few = &usage->rows[0]->versions;
    assert_int_equal(few->n, 3);
    assert_int_equal(few->items[0], 0);
    assert_int_equal(few->items[1], versions[1]);
    assert_int_equal(few->items[2], versions[2]);
    assert_false(few->has_more);
    assert_int_equal(tw_usage_price_of(usage, versions[2])->input_nano, 2);
    assert_int_equal(tw_usage_price_of(usage, 0)->input_nano, 0);
    assert_int_equal(usage->rows[1]->versions.n, TW_LIMIT_USAGE_VERSIONS);
    assert_true(usage->rows[1]->versions.has_more);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&small.books);
}

/* n settlements with a model of their own each, in one statement. */
static void add_models(struct small *small, int n)
{
    char sql[900];
    snprintf(sql, sizeof sql,
             "INSERT INTO entry (id, at_ns, kind, request, debit, credit, amount_nano, tokens,"
             " api_key, reserve_entry, reserved_ns, model, class, price, input_tokens,"
             " cached_tokens, output_tokens)"
             " WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS %%I) UNION ALL"
             " SELECT n + 1 FROM numbers WHERE n < %d)"
             " SELECT 100 + n, n, 'settle', n, 1, 2, 0, 0, %lld, 1, 1,"
             " 'model ' || CAST(n AS TEXT), 'standard', 0, 0, 0, 0 FROM numbers",
             n, (long long)small->key);
    struct tw_error error;
    if (tw_db_execute(small->books.writer, sql, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static void a_report_of_too_many_models_is_refused(void **state)
{
    (void)state;
    struct tw_zone *zone = open_zone("UTC");
    struct tw_usage_wish wish = {
        .zone = zone, .by = {TW_USAGE_MODEL}, .n_by = 1, .period = {0, 86400}};
    for (int extra = 0; extra < 2; extra++) {
        struct small small;
        struct tw_usage *usage;
        struct tw_error error;
        begin_small(&small);
        add_models(&small, TW_LIMIT_USAGE_MODELS + extra);
        books_end(&small.books);
        if (extra == 0) {
            usage = read_usage(&small.books, &wish);
            assert_int_equal(usage->n_rows, TW_LIMIT_USAGE_MODELS);
            tw_usage_free(usage);
        } else {
            assert_int_equal(tw_usage_read(small.books.db, &wish, &usage, &error), TW_ERR_LIMIT);
            assert_non_null(strstr(error.text, "more than 4096 models"));
        }
        books_close(&small.books);
    }
    tw_zone_free(zone);
}

/* n settlements with an hour of their own each; their numbers have gaps, few and wide. */
static void add_hours(struct small *small, int64_t n)
{
    char sql[900];
    snprintf(sql, sizeof sql,
             "INSERT INTO entry (id, at_ns, kind, request, debit, credit, amount_nano, tokens,"
             " api_key, reserve_entry, reserved_ns, model, class, price, input_tokens,"
             " cached_tokens, output_tokens)"
             " WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS %%I) UNION ALL"
             " SELECT n + 1 FROM numbers WHERE n < %lld)"
             " SELECT n + 1000000000000000 * (n / 50000), n * 3600000000000, 'settle', n, 1, 2, 3, "
             "0, %lld, 1, 1,"
             " 'demo', 'standard', 0, 0, 0, 0 FROM numbers",
             (long long)n, (long long)small->key);
    struct tw_error error;
    if (tw_db_execute(small->books.writer, sql, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static void a_report_has_a_bounded_number_of_rows(void **state)
{
    (void)state;
    struct tw_zone *zone = open_zone("UTC");
    struct small small;
    struct tw_usage *usage;
    struct tw_error error;
    begin_small(&small);
    add_hours(&small, (int64_t)TW_LIMIT_USAGE_ROWS + 1);
    books_end(&small.books);
    struct tw_usage_wish wish = {.zone = zone, .by = {TW_USAGE_HOUR}, .n_by = 1};
    assert_int_equal(tw_usage_period_parse("all", zone, 0, &wish.period, NULL), TW_OK);
    assert_int_equal(tw_usage_read(small.books.db, &wish, &usage, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "more than 131072 rows"));
    /* Over the borders of pages and over gaps all are counted, and once. */
    wish.by[0] = TW_USAGE_PROJECT;
    usage = read_usage(&small.books, &wish);
    assert_int_equal(usage->total.n_requests, (int64_t)TW_LIMIT_USAGE_ROWS + 1);
    assert_int_equal(usage->total.amount_nano, 3 * ((int64_t)TW_LIMIT_USAGE_ROWS + 1));
    assert_int_equal(usage->last_entry, (int64_t)TW_LIMIT_USAGE_ROWS + 1 + 2 * 1000000000000000);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&small.books);
}

static void a_key_is_its_users_and_one_of_nobody_says_so(void **state)
{
    (void)state;
    struct small small;
    struct tw_buf table, csv, json;
    struct tw_error error;
    int64_t other;
    char sql[400];
    struct tw_zone *zone = open_zone("UTC");
    const struct tw_usage_wish wish = {
        .zone = zone, .by = {TW_USAGE_USER}, .n_by = 1, .period = {0, 86400}};
    begin_small(&small);
    assert_int_equal(
        synth_ledger_holder(small.books.ledger, "key", small.project, "own", &other, NULL), TW_OK);
    ask(&small, small.key, "demo", small.price, 1);
    ask(&small, other, "demo", small.price, 2);
    ask(&small, other, "demo", small.price, 3);
    snprintf(sql, sizeof sql,
             "INSERT INTO person (id, org, name, created_ns) VALUES (900, %lld, 'lea', 0);"
             "INSERT INTO secret (id, holder, person, shown, hash, created_ns)"
             " VALUES (901, %lld, 900, 'tw-...', CAST('h' AS %%B), 0)",
             (long long)small.org, (long long)other);
    if (tw_db_execute(small.books.writer, sql, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    books_end(&small.books);
    struct tw_usage *usage = read_usage(&small.books, &wish);
    tw_buf_init(&table, 10000);
    tw_buf_init(&csv, 10000);
    tw_buf_init(&json, 10000);
    assert_int_equal(tw_usage_write_table(usage, 0, &table, NULL), TW_OK);
    assert_int_equal(tw_usage_write_csv(usage, &csv, NULL), TW_OK);
    assert_int_equal(tw_usage_write_json(usage, &json, NULL), TW_OK);
    tw_buf_append(&table, "", 1);
    tw_buf_append(&csv, "", 1);
    tw_buf_append(&json, "", 1);
    assert_non_null(strstr(table.data, "\n(nobody) "));
    assert_non_null(strstr(table.data, "\nacme/lea "));
    assert_non_null(strstr(csv.data, "\r\nacme/lea,2,12,8,10,"));
    assert_non_null(strstr(csv.data, "\r\n\"\",1,6,4,5,"));
    assert_non_null(strstr(json.data, "{\"user\":null,\"requests\":1,"));
    assert_non_null(strstr(json.data, "{\"user\":\"acme/lea\",\"user_id\":900,\"requests\":2,"));
    tw_buf_free(&table);
    tw_buf_free(&csv);
    tw_buf_free(&json);
    tw_usage_free(usage);
    tw_zone_free(zone);
    books_close(&small.books);
}

/* ---- beside a writer ---- */

struct scribe {
    struct small *small;
    pthread_t thread;
    _Atomic bool stops;
    int64_t n_written;
};

/* A settlement behind the other, of new numbers and an old hour, as fast as it goes. */
static void *scribble(void *context)
{
    struct scribe *scribe = context;
    struct tw_db *db = NULL;
    char sql[512];
    assert_int_equal(tw_db_open(scribe->small->books.address, TW_DB_WRITE, &db, NULL), TW_OK);
    while (!scribe->stops) {
        const long long id = 4000000000000000 + scribe->n_written++;
        snprintf(sql, sizeof sql,
                 "INSERT INTO entry (id, at_ns, kind, request, debit, credit, amount_nano, tokens,"
                 " api_key, reserve_entry, reserved_ns, model, class, price, input_tokens,"
                 " cached_tokens, output_tokens) VALUES (%lld, 3600000000000, 'settle', 1, 1, 2, 3,"
                 " 0, %lld, 1, 1, 'demo', 'standard', 0, 0, 0, 0)",
                 id, (long long)scribe->small->key);
        assert_int_equal(tw_db_execute(db, sql, NULL), TW_OK);
    }
    tw_db_close(db);
    return NULL;
}

static void a_report_beside_a_writer_is_of_its_beginning(void **state)
{
    (void)state;
    enum { REPORTS = 8 };
    struct small small;
    struct scribe scribe = {.small = &small};
    struct tw_zone *zone = open_zone("UTC");
    struct tw_usage_wish wish = {.zone = zone, .by = {TW_USAGE_PROJECT}, .n_by = 1};
    assert_int_equal(tw_usage_period_parse("all", zone, 0, &wish.period, NULL), TW_OK);
    begin_small(&small);
    add_hours(&small, 100000);
    books_end(&small.books);
    assert_int_equal(pthread_create(&scribe.thread, NULL, scribble, &scribe), 0);
    for (int i = 0; i < REPORTS; i++) {
        char sql[128];
        int64_t n = 0;
        struct tw_usage *usage = read_usage(&small.books, &wish);
        snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM entry WHERE id <= %lld",
                 (long long)usage->last_entry);
        books_ask(&small.books, sql, &n, 1);
        assert_int_equal(usage->total.n_requests, n);
        assert_int_equal(usage->total.amount_nano, 3 * n);
        tw_usage_free(usage);
    }
    scribe.stops = true;
    pthread_join(scribe.thread, NULL);
    assert_true(scribe.n_written > 0);
    tw_zone_free(zone);
    books_close(&small.books);
}

static void books_that_are_damaged_are_not_reported_from(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *part;
    } rows[] = {{"UPDATE entry SET api_key = 999", "of key 999, which is not there"},
                {"UPDATE entry SET price = 999", "price version 999, which is not there"},
                {"UPDATE holder SET parent = 0 WHERE kind = 'team'", "has no org above it"},
                {"DELETE FROM books", "no row of the books"}};
    struct tw_zone *zone = open_zone("UTC");
    const struct tw_usage_wish wish = {
        .zone = zone, .by = {TW_USAGE_PROJECT}, .n_by = 1, .period = {0, 86400}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct small small;
        struct tw_usage *usage;
        struct tw_error error;
        begin_small(&small);
        ask(&small, small.key, "demo", small.price, 1);
        assert_int_equal(tw_db_execute(small.books.writer, rows[i].sql, NULL), TW_OK);
        books_end(&small.books);
        assert_int_equal(tw_usage_read(small.books.db, &wish, &usage, &error), TW_ERR_FORMAT);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("'%s' is not in '%s'", rows[i].part, error.text);
        }
        books_close(&small.books);
    }
    tw_zone_free(zone);
}

static void dimensions_are_words_that_come_once(void **state)
{
    (void)state;
    struct tw_usage_wish wish = {0};
    struct tw_error error;
    assert_int_equal(tw_usage_parse_dimensions("day,org,price", &wish, NULL), TW_OK);
    assert_int_equal(wish.n_by, 3);
    assert_int_equal(wish.by[0], TW_USAGE_DAY);
    assert_int_equal(wish.by[2], TW_USAGE_PRICE);
    assert_int_equal(tw_usage_parse_dimensions("day,day", &wish, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "twice"));
    assert_int_equal(tw_usage_parse_dimensions("projekt", &wish, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "did you mean 'project'"));
    assert_int_equal(tw_usage_parse_dimensions("", &wish, &error), TW_ERR_USAGE);
    assert_int_equal(tw_usage_parse_dimensions("day,", &wish, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "there are org, team"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_report_of_a_random_ledger_is_the_sum_of_its_entries),
        cmocka_unit_test(the_total_of_all_time_is_what_the_accounts_have),
        cmocka_unit_test(a_settlement_at_midnight_belongs_to_the_day_that_begins),
        cmocka_unit_test(the_hour_that_comes_twice_is_two_rows),
        cmocka_unit_test(a_path_chooses_all_below_it_and_a_number_one_holder),
        cmocka_unit_test(a_key_is_its_users_and_one_of_nobody_says_so),
        cmocka_unit_test(a_report_beside_a_writer_is_of_its_beginning),
        cmocka_unit_test(a_row_lists_the_price_versions_it_was_settled_at),
        cmocka_unit_test(a_report_of_too_many_models_is_refused),
        cmocka_unit_test(a_report_has_a_bounded_number_of_rows),
        cmocka_unit_test(books_that_are_damaged_are_not_reported_from),
        cmocka_unit_test(dimensions_are_words_that_come_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
