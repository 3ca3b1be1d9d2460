#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rng.h"
#include "hub/price.h"

static struct tw_price price_of(int64_t version, int64_t project, const char *model,
                                int64_t valid_from_ns)
{
    return (struct tw_price){.version = version,
                             .project = project,
                             .model = model,
                             .prices = {version, version, version},
                             .valid_from_ns = valid_from_ns};
}

static void add(struct tw_price_table *table, struct tw_price price)
{
    assert_int_equal(tw_price_table_add(table, &price, NULL), TW_OK);
}

static int64_t find(const struct tw_price_table *table, int64_t project, const char *model,
                    int64_t now_ns)
{
    const struct tw_price *price = tw_price_find(table, project, model, TW_PRICE_STANDARD, now_ns);
    assert_int_equal(price->prices.output_nano, price->version);
    return price->version;
}

static void classes_have_names(void **state)
{
    (void)state;
    enum tw_price_class price_class = TW_PRICE_STANDARD;
    assert_true(tw_price_class_parse("batch", &price_class));
    assert_int_equal(price_class, TW_PRICE_BATCH);
    assert_false(tw_price_class_parse("express", &price_class));
    assert_int_equal(price_class, TW_PRICE_BATCH);
    assert_string_equal(tw_price_class_name(TW_PRICE_STANDARD), "standard");
}

static void the_most_specific_price_is_found(void **state)
{
    (void)state;
    struct tw_price_table table;
    tw_price_table_init(&table);
    assert_int_equal(find(&table, 7, "small", 100), TW_PRICE_FREE);
    add(&table, price_of(1, TW_PRICE_ALL_PROJECTS, "*", 90));
    assert_int_equal(find(&table, 7, "small", 100), 1);
    add(&table, price_of(2, TW_PRICE_ALL_PROJECTS, "small", 10));
    assert_int_equal(find(&table, 7, "small", 100), 2);
    assert_int_equal(find(&table, 7, "large", 100), 1);
    add(&table, price_of(3, 7, "*", 5));
    assert_int_equal(find(&table, 7, "small", 100), 3);
    assert_int_equal(find(&table, 8, "small", 100), 2);
    add(&table, price_of(4, 7, "small", 3));
    assert_int_equal(find(&table, 7, "small", 100), 4);
    assert_int_equal(find(&table, 7, "large", 100), 3);
    /* What is specific but not valid yet stands back. */
    assert_int_equal(find(&table, 7, "small", 2), TW_PRICE_FREE);
    assert_int_equal(find(&table, 7, "small", 3), 4);
    assert_int_equal(find(&table, 8, "small", 9), TW_PRICE_FREE);
    tw_price_table_free(&table);
    assert_int_equal(find(&table, 7, "small", 100), TW_PRICE_FREE);
}

static void the_latest_valid_price_is_found_and_of_equals_the_newest(void **state)
{
    (void)state;
    struct tw_price_table table;
    tw_price_table_init(&table);
    add(&table, price_of(5, 0, "m", 200));
    add(&table, price_of(9, 0, "m", 100));
    add(&table, price_of(7, 0, "m", 200));
    add(&table, price_of(6, 0, "m", 200));
    assert_int_equal(find(&table, 1, "m", 99), TW_PRICE_FREE);
    assert_int_equal(find(&table, 1, "m", 100), 9);
    assert_int_equal(find(&table, 1, "m", 199), 9);
    assert_int_equal(find(&table, 1, "m", 200), 7);
    assert_int_equal(find(&table, 1, "m", INT64_MAX), 7);
    tw_price_table_free(&table);
}

static void classes_have_prices_of_their_own(void **state)
{
    (void)state;
    struct tw_price_table table;
    struct tw_price batch = price_of(1, 0, "m", 0);
    batch.price_class = TW_PRICE_BATCH;
    tw_price_table_init(&table);
    add(&table, batch);
    assert_int_equal(find(&table, 1, "m", 5), TW_PRICE_FREE);
    assert_int_equal(tw_price_find(&table, 1, "m", TW_PRICE_BATCH, 5)->version, 1);
    tw_price_table_free(&table);
}

static void batches_without_a_price_have_the_standard_one(void **state)
{
    (void)state;
    struct tw_price_table table;
    struct tw_price batch = price_of(2, 0, TW_PRICE_ALL_MODELS, 10);
    batch.price_class = TW_PRICE_BATCH;
    tw_price_table_init(&table);
    assert_int_equal(tw_price_find(&table, 1, "m", TW_PRICE_BATCH, 5)->version, TW_PRICE_FREE);
    add(&table, price_of(1, 1, "m", 0));
    add(&table, batch);
    assert_int_equal(tw_price_find(&table, 1, "m", TW_PRICE_BATCH, 5)->version, 1);
    /* one for all, however few it is about, comes before a standard one of the project */
    assert_int_equal(tw_price_find(&table, 1, "m", TW_PRICE_BATCH, 10)->version, 2);
    tw_price_table_free(&table);
}

static void a_version_names_one_price_for_ever(void **state)
{
    (void)state;
    struct tw_price_table table;
    tw_price_table_init(&table);
    char model[] = "model";
    add(&table, price_of(30, 2, model, 0));
    const struct tw_price *first = tw_price_of_version(&table, 30);
    memset(model, 'x', sizeof model - 1); /* it was copied */
    for (int64_t version = 1; version < 30; version++) {
        add(&table, price_of(version, 3, "other", version));
    }
    assert_ptr_equal(tw_price_of_version(&table, 30), first);
    assert_string_equal(first->model, "model");
    assert_int_equal(tw_price_of_version(&table, 17)->valid_from_ns, 17);
    assert_null(tw_price_of_version(&table, 31));
    assert_null(tw_price_of_version(&table, -1));
    assert_int_equal(tw_price_of_version(&table, TW_PRICE_FREE)->prices.output_nano, 0);
    tw_price_table_free(&table);
}

static void a_price_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct tw_price_table table;
    tw_price_table_init(&table);
    char name[TW_LIMIT_SERVED_NAME_BYTES + 2];
    memset(name, 'm', sizeof name);
    name[sizeof name - 1] = '\0';
    struct tw_price bad[] = {
        price_of(0, 0, "m", 0), price_of(-4, 0, "m", 0), price_of(1, -1, "m", 0),
        price_of(1, 0, "", 0),  price_of(1, 0, "m", 0),  price_of(1, 0, "m", 0),
        price_of(1, 0, "m", 0),
    };
    bad[4].prices.input_nano = -1;
    bad[5].prices.cached_nano = -1;
    bad[6].prices.output_nano = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tw_price_table_add(&table, &bad[i], NULL), TW_ERR_USAGE);
    }
    struct tw_price longest = price_of(1, 0, name, 0);
    assert_int_equal(tw_price_table_add(&table, &longest, NULL), TW_ERR_LIMIT);
    longest.model = name + 1;
    add(&table, longest);
    const struct tw_price again = price_of(1, 5, "z", 0);
    assert_int_equal(tw_price_table_add(&table, &again, NULL), TW_ERR_USAGE);
    assert_int_equal(find(&table, 0, name + 1, 0), 1);
    tw_price_table_free(&table);
}

static void more_versions_than_the_bound_are_refused(void **state)
{
    (void)state;
    struct tw_price_table table;
    struct tw_error error;
    tw_price_table_init(&table);
    for (int64_t version = TW_LIMIT_HUB_PRICES; version > 0; version--) {
        add(&table, price_of(version, version % 100, "m", version * 31 % 1000));
    }
    const struct tw_price more = price_of(TW_LIMIT_HUB_PRICES + 1, 0, "m", 0);
    assert_int_equal(tw_price_table_add(&table, &more, &error), TW_ERR_LIMIT);
    tw_price_table_free(&table);
}

/* The rule once more, over a plain list. */
static int64_t plain_find(const struct tw_price *prices, size_t n, int64_t project,
                          const char *model, enum tw_price_class price_class, int64_t now_ns)
{
    int64_t best[4] = {-1, 0, 0, 0}; /* how specific, from when, version, index */
    for (size_t i = 0; i < n; i++) {
        const struct tw_price *p = &prices[i];
        const bool of_project = p->project == project, of_model = strcmp(p->model, model) == 0;
        if ((!of_project && p->project != TW_PRICE_ALL_PROJECTS) ||
            (!of_model && strcmp(p->model, TW_PRICE_ALL_MODELS) != 0) ||
            p->price_class != price_class || p->valid_from_ns > now_ns) {
            continue;
        }
        const int64_t specific = 2 * of_project + of_model;
        if (specific > best[0] ||
            (specific == best[0] && (p->valid_from_ns > best[1] ||
                                     (p->valid_from_ns == best[1] && p->version > best[2])))) {
            best[0] = specific;
            best[1] = p->valid_from_ns;
            best[2] = p->version;
        }
    }
    return best[2];
}

static void a_price_is_found_as_in_a_plain_list(void **state)
{
    (void)state;
    static const char *const models[] = {"*", "a", "b", "ab"};
    struct tw_price prices[200];
    int n_free = 0, n_found = 0;
    for (uint64_t round = 0; round < 50; round++) {
        struct tw_price_table table;
        tw_price_table_init(&table);
        for (size_t i = 0; i < 200; i++) {
            uint32_t r[4];
            tw_rng_block(round, i, r);
            /* 37 and 211 have no common factor: versions come in any order, each once. */
            prices[i] = price_of(1 + (int64_t)(i * 37 % 211), r[0] % 5, models[r[1] % 4],
                                 (int64_t)(r[2] % 60) - 10);
            prices[i].price_class = r[3] % 3 == 0 ? TW_PRICE_BATCH : TW_PRICE_STANDARD;
            add(&table, prices[i]);
            for (uint64_t k = 0; k < 10; k++) {
                tw_rng_block(round + 1000, 10 * i + k, r);
                const int64_t project = 1 + r[0] % 5, now_ns = (int64_t)(r[2] % 80) - 20;
                const char *model = models[1 + r[1] % 3];
                const enum tw_price_class price_class =
                    r[3] % 2 == 0 ? TW_PRICE_BATCH : TW_PRICE_STANDARD;
                int64_t expected = plain_find(prices, i + 1, project, model, price_class, now_ns);
                if (expected == TW_PRICE_FREE) { /* there is none for batches */
                    expected = plain_find(prices, i + 1, project, model, TW_PRICE_STANDARD, now_ns);
                }
                assert_int_equal(
                    tw_price_find(&table, project, model, price_class, now_ns)->version, expected);
                n_free += expected == TW_PRICE_FREE;
                n_found += expected != TW_PRICE_FREE;
            }
        }
        tw_price_table_free(&table);
    }
    assert_true(n_free > 1000 && n_found > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_have_names),
        cmocka_unit_test(the_most_specific_price_is_found),
        cmocka_unit_test(the_latest_valid_price_is_found_and_of_equals_the_newest),
        cmocka_unit_test(classes_have_prices_of_their_own),
        cmocka_unit_test(batches_without_a_price_have_the_standard_one),
        cmocka_unit_test(a_version_names_one_price_for_ever),
        cmocka_unit_test(a_price_that_makes_no_sense_is_refused),
        cmocka_unit_test(more_versions_than_the_bound_are_refused),
        cmocka_unit_test(a_price_is_found_as_in_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
