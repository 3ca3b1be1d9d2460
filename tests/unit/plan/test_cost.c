/* What would break if money were counted wrongly: a month paid twice, a price that drifts the wrong
 * way, a published table that does not follow from its numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "plan/cost.h"
#include "plan/published.h"

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance)) {
        fail_msg("%.12g is not %.12g (within %g)", a, b, tolerance);
    }
}

static void zero_inputs(double *in)
{
    memset(in, 0, TW_COST_INPUTS * sizeof *in);
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        in[i] = 1;
    }
    in[TW_COST_PUE] = 1;
}

static const struct tw_cost_demand flat = {
    .n_classes = 1, .hours = {730}, .load = {1}, .million_tokens_h = 2, .n_months = 36};

static struct tw_cost_option plant(enum tw_cost_kind kind)
{
    const struct tw_cost_option option = {
        .kind = kind,
        .capacity = {.n_points = 2, .replicas = {1, 2}, .load = {0.4, 1}},
        .devices_per_replica = 4,
        .device_usd = 1000,
        .device_usd_h = 0.5,
        .life_months = 60,
        .term_months = 12,
        .loan_months = 24,
        .provisioned_w = 500,
        .idle_w = 400,
        .busy_w = 1500,
        .needs_staff = 1,
    };
    return option;
}

static void all_cells_of_the_paper_follow_from_its_hidden_numbers(void **state)
{
    (void)state;
    for (uint32_t m = 0; m < TW_PUBLISHED_MODELS; m++) {
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            double months = 0;
            assert_true(tw_published_recompute(m, a, TW_PUBLISHED_HIDDEN, &months));
            assert_near(months, tw_published_months(m, a), 0.06);
        }
    }
}

static void what_the_paper_states_and_leaves_out_makes_it_longer(void **state)
{
    (void)state;
    double months = 0;
    assert_true(tw_published_recompute(0, 0, TW_PUBLISHED_STATED, &months));
    assert_near(months, 77.16, 0.01);
    assert_true(tw_published_recompute(8, 4, TW_PUBLISHED_STATED, &months));
    assert_near(months, 3.343, 0.001);
    for (uint32_t m = 0; m < TW_PUBLISHED_MODELS; m++) {
        for (uint32_t a = 0; a < TW_PUBLISHED_APIS; a++) {
            double last = 0;
            for (int r = TW_PUBLISHED_STATED; r < TW_PUBLISHED_READINGS; r++) {
                double now = 0;
                const bool pays = tw_published_recompute(m, a, (enum tw_published_reading)r, &now);
                assert_true(!pays || now > last);
                last = pays ? now : INFINITY;
            }
        }
    }
    assert_false(tw_published_recompute(0, 0, TW_PUBLISHED_USED, &months));
}

static void lenovos_figures_recompute_or_are_explained(void **state)
{
    (void)state;
    uint32_t n_explained = 0;
    for (uint32_t i = 0; i < tw_published_n_figures(); i++) {
        const struct tw_published_figure f = tw_published_figure_at(i);
        const double allowed = fmax(f.digit * 1.0001, 0.002 * f.published);
        if (f.why[0] == '\0') {
            assert_near(f.recomputed, f.published, allowed);
        } else {
            assert_true(fabs(f.recomputed - f.published) > 0.002 * f.published);
            n_explained++;
        }
    }
    assert_int_equal(n_explained, 2);
}

static void a_plants_months_are_what_a_hand_computes(void **state)
{
    (void)state;
    struct tw_cost_option option = plant(TW_COST_OWNED);
    struct tw_cost_result r;
    double in[TW_COST_INPUTS];
    zero_inputs(in);
    in[TW_COST_ENERGY_USD_KWH] = 0.2;
    in[TW_COST_PUE] = 1.5;
    in[TW_COST_MAINTENANCE] = 0.12;
    in[TW_COST_STAFF_USD_YEAR] = 120000;
    in[TW_COST_STAFF_BASE] = 0.1;
    in[TW_COST_STAFF_DEVICE] = 0.05;
    in[TW_COST_SPACE_USD_KW] = 10;
    in[TW_COST_RESIDUAL] = 0.1;
    tw_cost_evaluate(&flat, &option, in, &r);
    assert_near(r.months[0].capex, 8 * 1000, 1e-9);
    assert_near(r.months[0].maintenance, 8000 * 0.01, 1e-9);
    assert_near(r.months[0].kwh, 2 * 1.5 * 1.5 * 730, 1e-9);
    assert_near(r.months[5].energy, 2 * 1.5 * 1.5 * 730 * 0.2, 1e-9);
    assert_near(r.months[5].staff, (0.1 + 0.05 * 8) * 10000, 1e-9);
    assert_near(r.months[5].space, 8 * 0.5 * 10, 1e-9);
    assert_near(r.left_usd, 8000 * (1 - 0.9 * 36 / 60.0), 1e-6);
    assert_near(r.npv_usd, r.total.paid - r.left_usd, 1e-6);
    assert_near(r.usd_per_million_tokens, r.npv_usd / (36 * 730 * 2), 1e-9);
    assert_near(r.utilisation, 1, 1e-9);
    assert_near(r.kwh_per_million_tokens, 2 * 1.5 * 1.5 / 2, 1e-9);
}

static void what_is_lent_costs_its_interest_and_no_more(void **state)
{
    (void)state;
    struct tw_cost_option option = plant(TW_COST_OWNED);
    struct tw_cost_result r, whole;
    double in[TW_COST_INPUTS];
    zero_inputs(in);
    tw_cost_evaluate(&flat, &option, in, &whole);
    in[TW_COST_FINANCED] = 0.5;
    tw_cost_evaluate(&flat, &option, in, &r);
    assert_near(r.npv_usd, whole.npv_usd, 1e-6); /* nothing for nothing */
    in[TW_COST_INTEREST] = in[TW_COST_DISCOUNT] = 0.07;
    tw_cost_evaluate(&flat, &option, in, &r);
    in[TW_COST_FINANCED] = 0;
    tw_cost_evaluate(&flat, &option, in, &whole);
    assert_near(r.npv_usd, whole.npv_usd, 1e-6); /* at the same rate a loan is worth nothing */
    option.loan_months = 48;                     /* beyond the horizon: the rest is paid back */
    in[TW_COST_FINANCED] = 0.5;
    tw_cost_evaluate(&flat, &option, in, &r);
    assert_near(r.npv_usd, whole.npv_usd, 1e-6);
}

static void devices_are_bought_when_they_are_needed_and_replaced_when_they_are_old(void **state)
{
    (void)state;
    struct tw_cost_option option = plant(TW_COST_OWNED);
    struct tw_cost_demand demand = flat;
    struct tw_cost_result r;
    double in[TW_COST_INPUTS];
    zero_inputs(in);
    demand.load[0] = 0.4;
    in[TW_COST_GROWTH] = 1; /* twice a year: a second replica in month 1, a third in month 16 */
    option.life_months = 24;
    in[TW_COST_HARDWARE_DRIFT] = -0.5;
    tw_cost_evaluate(&demand, &option, in, &r);
    assert_near(r.months[0].capex, 4000, 1e-9);
    assert_near(r.months[1].capex, 4000 * pow(0.5, 1 / 12.0), 1e-9);
    assert_near(r.months[2].capex, 0, 0);
    assert_near(r.months[15].replicas, 2, 0);
    assert_near(r.months[16].replicas, 3, 0);
    assert_true(r.months[24].capex >= 4000 * 0.25 - 1e-9);
}

static void rent_on_demand_follows_the_hours_and_a_term_does_not(void **state)
{
    (void)state;
    struct tw_cost_demand demand = flat;
    struct tw_cost_result r;
    struct tw_cost_option option = plant(TW_COST_RENTED);
    double in[TW_COST_INPUTS];
    zero_inputs(in);
    demand.n_classes = 2;
    demand.hours[0] = 130;
    demand.hours[1] = 600;
    demand.load[1] = 0.3;
    tw_cost_evaluate(&demand, &option, in, &r);
    assert_near(r.months[0].rent, (130 * 2 + 600) * 4 * 0.5, 1e-9);
    option.kind = TW_COST_RESERVED;
    in[TW_COST_RENT_DRIFT] = -0.5;
    tw_cost_evaluate(&demand, &option, in, &r);
    assert_near(r.months[11].rent, 730 * 8 * 0.5, 1e-9);
    assert_near(r.months[12].rent, 730 * 8 * 0.25, 1e-9);
}

static void a_hybrid_buys_what_its_base_cannot_serve(void **state)
{
    (void)state;
    struct tw_cost_demand demand = flat;
    struct tw_cost_option option = plant(TW_COST_HYBRID);
    struct tw_cost_result r;
    double in[TW_COST_INPUTS];
    zero_inputs(in);
    option.fixed_replicas = 1;
    option.sheds_tail = true;
    option.tail_usd_per_million_tokens = 3;
    tw_cost_evaluate(&demand, &option, in, &r);
    assert_near(r.months[0].tail_tokens_million, 0.6 * 730 * 2, 1e-9);
    assert_near(r.months[0].tail, 0.6 * 730 * 2 * 3, 1e-9);
    assert_near(r.months[0].tokens_million, 730 * 2, 1e-9);
    option.sheds_tail = false;
    tw_cost_evaluate(&demand, &option, in, &r);
    assert_near(r.months[0].lost_tokens_million, 0.6 * 730 * 2, 1e-9);
    assert_near(r.months[0].tail, 0, 0);
}

static void nothing_that_is_dearer_makes_an_option_cheaper(void **state)
{
    (void)state;
    static const enum tw_cost_input dearer[] = {
        TW_COST_POWER,          TW_COST_HARDWARE,     TW_COST_RENT,        TW_COST_API,
        TW_COST_ENERGY_USD_KWH, TW_COST_PUE,          TW_COST_STAFF_BASE,  TW_COST_STAFF_DEVICE,
        TW_COST_STAFF_USD_YEAR, TW_COST_SPACE_USD_KW, TW_COST_MAINTENANCE, TW_COST_NETWORK_SHARE,
        TW_COST_SOFTWARE_USD,   TW_COST_COLO_USD_KW,
    };
    enum { N_DEARER = sizeof dearer / sizeof dearer[0] };
    uint32_t n_moved = 0;
    for (uint64_t n = 0; n < 8 * TW_COST_KINDS * N_DEARER; n++) {
        const uint64_t pair = n % (TW_COST_KINDS * N_DEARER);
        struct tw_cost_option option = plant((enum tw_cost_kind)(pair % TW_COST_KINDS));
        struct tw_cost_result before, after;
        double in[TW_COST_INPUTS];
        for (int i = 0; i < TW_COST_INPUTS; i++) {
            const struct tw_range range = tw_cost_input_rows[i].range;
            in[i] = range.low + (range.high - range.low) * tw_rng_uniform(3, n * 64 + (uint64_t)i);
        }
        option.tail_usd_per_million_tokens = 2;
        option.sheds_tail = n / (TW_COST_KINDS * N_DEARER) % 2 == 0;
        option.fixed_replicas = option.kind == TW_COST_HYBRID ? 1 : 0;
        option.capacity.n_points = option.kind == TW_COST_TOKENS ? 0 : 2;
        tw_cost_evaluate(&flat, &option, in, &before);
        in[dearer[pair / TW_COST_KINDS]] *= 1.3;
        tw_cost_evaluate(&flat, &option, in, &after);
        assert_true(after.npv_usd >= before.npv_usd - 1e-6);
        assert_true(isfinite(after.npv_usd) && isfinite(after.usd_per_million_tokens));
        n_moved += after.npv_usd > before.npv_usd + 1e-9;
    }
    assert_true(n_moved > 8 * TW_COST_KINDS * N_DEARER / 3); /* most inputs count for most kinds */
}

static void a_capacity_and_its_inverse_agree(void **state)
{
    (void)state;
    const struct tw_cost_capacity capacity = {
        .n_points = 3, .replicas = {1, 2, 8}, .load = {0.1, 0.3, 1}};
    for (int k = 1; k < 40; k++) {
        const double load = tw_cost_capacity_of(&capacity, k);
        assert_near(tw_cost_replicas_for(&capacity, load), k, 0);
        assert_near(tw_cost_replicas_for(&capacity, load * 1.001), k + 1, 0);
    }
}

static void an_annuity_pays_back_what_was_lent(void **state)
{
    (void)state;
    assert_near(tw_cost_annuity(0.01, 12), 0.0888487887, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cells_of_the_paper_follow_from_its_hidden_numbers),
        cmocka_unit_test(what_the_paper_states_and_leaves_out_makes_it_longer),
        cmocka_unit_test(lenovos_figures_recompute_or_are_explained),
        cmocka_unit_test(a_plants_months_are_what_a_hand_computes),
        cmocka_unit_test(what_is_lent_costs_its_interest_and_no_more),
        cmocka_unit_test(devices_are_bought_when_they_are_needed_and_replaced_when_they_are_old),
        cmocka_unit_test(rent_on_demand_follows_the_hours_and_a_term_does_not),
        cmocka_unit_test(a_hybrid_buys_what_its_base_cannot_serve),
        cmocka_unit_test(nothing_that_is_dearer_makes_an_option_cheaper),
        cmocka_unit_test(a_capacity_and_its_inverse_agree),
        cmocka_unit_test(an_annuity_pays_back_what_was_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
