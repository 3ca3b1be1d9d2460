#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/fair_share.h"

static struct tw_fair_share *new_share(void)
{
    struct tw_fair_share *share = NULL;
    assert_int_equal(tw_fair_share_create(&share, NULL), TW_OK);
    return share;
}

static void set(struct tw_fair_share *share, uint32_t tenant, uint32_t weight,
                enum tw_priority_class priority_class)
{
    assert_int_equal(tw_fair_share_set(share, tenant, weight, priority_class, NULL), TW_OK);
}

static void a_tenant_or_weight_out_of_bounds_is_refused(void **state)
{
    (void)state;
    struct tw_fair_share *share = new_share();
    struct tw_error error;
    assert_int_equal(tw_fair_share_set(share, TW_LIMIT_TENANTS, 1, TW_CLASS_NORMAL, &error),
                     TW_ERR_LIMIT);
    assert_int_equal(tw_fair_share_set(share, 0, 0, TW_CLASS_NORMAL, &error), TW_ERR_LIMIT);
    assert_int_equal(
        tw_fair_share_set(share, 0, TW_LIMIT_TENANT_WEIGHT + 1, TW_CLASS_NORMAL, &error),
        TW_ERR_LIMIT);
    assert_false(tw_fair_share_knows(share, 0));
    set(share, TW_LIMIT_TENANTS - 1, TW_LIMIT_TENANT_WEIGHT, TW_CLASS_HIGH);
    assert_true(tw_fair_share_knows(share, TW_LIMIT_TENANTS - 1));
    assert_false(tw_fair_share_knows(share, 5));
    tw_fair_share_free(share);
}

static void twice_the_weight_pays_half(void **state)
{
    (void)state;
    struct tw_fair_share *share = new_share();
    set(share, 0, 1, TW_CLASS_NORMAL);
    set(share, 1, 2, TW_CLASS_NORMAL);
    set(share, 2, 1, TW_CLASS_HIGH);
    tw_fair_share_charge(share, 0, 100);
    tw_fair_share_charge(share, 1, 100);
    tw_fair_share_charge(share, 2, 100);
    assert_int_equal(tw_fair_share_counter(share, 0), 100 * TW_FAIR_SHARE_SCALE);
    assert_int_equal(tw_fair_share_counter(share, 1), 50 * TW_FAIR_SHARE_SCALE);
    assert_int_equal(tw_fair_share_counter(share, 2) * TW_FAIR_SHARE_HIGH_FACTOR,
                     100 * TW_FAIR_SHARE_SCALE);
    tw_fair_share_free(share);
}

static void nobody_saves_up_by_being_away(void **state)
{
    (void)state;
    struct tw_fair_share *share = new_share();
    set(share, 0, 1, TW_CLASS_NORMAL);
    set(share, 1, 1, TW_CLASS_NORMAL);
    set(share, 2, 1, TW_CLASS_NORMAL);
    tw_fair_share_enter(share, 0);
    tw_fair_share_charge(share, 0, 1000);
    tw_fair_share_enter(share, 1);
    assert_int_equal(tw_fair_share_counter(share, 1), tw_fair_share_counter(share, 0));
    /* Who is ahead is not set back. */
    tw_fair_share_charge(share, 2, 5000);
    tw_fair_share_enter(share, 2);
    assert_int_equal(tw_fair_share_counter(share, 2), 5000 * TW_FAIR_SHARE_SCALE);
    /* A second entry of one that is present changes nothing. */
    tw_fair_share_charge(share, 1, 70);
    tw_fair_share_enter(share, 0);
    assert_int_equal(tw_fair_share_counter(share, 0), 1000 * TW_FAIR_SHARE_SCALE);
    tw_fair_share_leave(share, 0);
    tw_fair_share_leave(share, 0);
    tw_fair_share_enter(share, 0);
    assert_int_equal(tw_fair_share_counter(share, 0), 1070 * TW_FAIR_SHARE_SCALE);
    tw_fair_share_free(share);
}

static void idle_tenants_come_last_and_lift_nobody(void **state)
{
    (void)state;
    struct tw_fair_share *share = new_share();
    set(share, 0, 1, TW_CLASS_IDLE);
    set(share, 1, 1, TW_CLASS_NORMAL);
    set(share, 2, 1, TW_CLASS_NORMAL);
    tw_fair_share_enter(share, 0);
    tw_fair_share_charge(share, 0, 9);
    tw_fair_share_enter(share, 1);
    assert_int_equal(tw_fair_share_counter(share, 1), 0);
    tw_fair_share_charge(share, 1, 100);
    assert_true(tw_fair_share_before(share, 1, 0));
    assert_false(tw_fair_share_before(share, 0, 1));
    assert_true(tw_fair_share_before(share, 2, 1));
    tw_fair_share_charge(share, 2, 100);
    assert_true(tw_fair_share_before(share, 1, 2)); /* of equals the lowest */
    tw_fair_share_free(share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_or_weight_out_of_bounds_is_refused),
        cmocka_unit_test(twice_the_weight_pays_half),
        cmocka_unit_test(nobody_saves_up_by_being_away),
        cmocka_unit_test(idle_tenants_come_last_and_lift_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
