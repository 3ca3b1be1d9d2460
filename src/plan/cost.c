#include "plan/cost.h"

#include <math.h>
#include <string.h>

/* ---- capacity ---- */

double tw_cost_capacity_of(const struct tw_cost_capacity *capacity, double n_replicas)
{
    double before_n = 0, before_load = 0;
    for (uint32_t i = 0; i < capacity->n_points; i++) {
        const double n = capacity->replicas[i], load = capacity->load[i];
        if (n_replicas <= n) {
            return before_load + (load - before_load) * (n_replicas - before_n) / (n - before_n);
        }
        before_n = n;
        before_load = load;
    }
    return before_n > 0 ? before_load * n_replicas / before_n : 0;
}

/* A load that differs from a point's in the last digits alone needs no replica more. */
#define SLACK 1e-9

double tw_cost_replicas_for(const struct tw_cost_capacity *capacity, double load)
{
    double before_n = 0, before_load = 0;
    for (uint32_t i = 0; i < capacity->n_points; i++) {
        const double n = capacity->replicas[i], at = capacity->load[i];
        if (load <= at * (1 + SLACK)) {
            const double share = at > before_load ? (load - before_load) / (at - before_load) : 1;
            return fmax(1, ceil(before_n + (n - before_n) * share - SLACK));
        }
        before_n = n;
        before_load = at;
    }
    return before_load > 0 ? fmax(1, ceil(load / before_load * before_n - SLACK)) : 0;
}

double tw_cost_devices_for(const struct tw_cost_option *option, double n_replicas)
{
    const double n = n_replicas * option->devices_per_replica, unit = option->unit_devices;
    return unit > 1 ? ceil(n / unit - SLACK) * unit : n;
}

double tw_cost_staff_share(enum tw_cost_kind kind, const double *in)
{
    switch (kind) {
    case TW_COST_COLOCATED:
        return in[TW_COST_STAFF_COLOCATED];
    case TW_COST_RENTED:
    case TW_COST_RESERVED:
        return in[TW_COST_STAFF_RENTED];
    case TW_COST_TOKENS:
        return 0;
    case TW_COST_OWNED:
    case TW_COST_HYBRID:
        break;
    }
    return 1;
}

/* ---- one month's plant and tokens ---- */

struct month {
    double peak;                         /* load of its peak hour */
    double replicas;                     /* in use or ready, spare ones too */
    double served, tail, lost, possible; /* load x hours */
    double device_h;                     /* that are needed, class by class */
    double kwh;
};

/* What n replicas can serve; the factor says how much better or worse than planned each is. */
static double capacity_at(const struct tw_cost_option *option, const double *in, double n)
{
    return tw_cost_capacity_of(&option->capacity, n) * in[TW_COST_CAPACITY];
}

static double replicas_at(const struct tw_cost_option *option, const double *in, double load)
{
    return tw_cost_replicas_for(&option->capacity, load / in[TW_COST_CAPACITY]);
}

static void class_of_month(const struct tw_cost_option *option, const double *in, double load,
                           double hours, double working, double most, struct month *month)
{
    const double served = fmin(load, most);
    month->served += served * hours;
    month->possible += most * hours;
    if (option->sheds_tail) {
        month->tail += (load - served) * hours;
    } else {
        month->lost += (load - served) * hours;
    }
    double ready = month->replicas, busy_share = most > 0 ? served / most * working : 0;
    if (option->kind == TW_COST_RENTED) {
        const double needed = fmin(working, replicas_at(option, in, served));
        ready = needed + option->spare_replicas;
    }
    /* Those that only fill up a server draw power, too. */
    const double devices = tw_cost_devices_for(option, ready);
    const double idle = devices / option->devices_per_replica;
    month->device_h += devices * hours;
    const double watts = idle * option->idle_w + busy_share * (option->busy_w - option->idle_w);
    month->kwh += watts * in[TW_COST_POWER] * in[TW_COST_PUE] * hours / 1000;
}

/* Replicas for which there are devices when servers are had whole. */
static double whole_servers(const struct tw_cost_option *option, double n_replicas)
{
    return option->unit_devices > 1
               ? floor(tw_cost_devices_for(option, n_replicas) / option->devices_per_replica +
                       SLACK)
               : n_replicas;
}

static struct month plan_month(const struct tw_cost_demand *demand,
                               const struct tw_cost_option *option, const double *in, uint32_t at)
{
    struct month month = {0};
    const double grown = in[TW_COST_LOAD] * pow(1 + in[TW_COST_GROWTH], at / 12.0);
    double peak = 0, working = 0;
    for (uint32_t i = 0; i < demand->n_classes; i++) {
        peak = fmax(peak, demand->load[i]);
    }
    month.peak = peak * grown;
    double most = 0;
    if (option->capacity.n_points > 0) {
        working = option->fixed_replicas > 0 ? option->fixed_replicas
                                             : replicas_at(option, in, month.peak);
        working = whole_servers(option, working + option->spare_replicas) - option->spare_replicas;
        month.replicas = working + option->spare_replicas;
        most = capacity_at(option, in, working);
    }
    for (uint32_t i = 0; i < demand->n_classes; i++) {
        if (option->capacity.n_points > 0) {
            class_of_month(option, in, demand->load[i] * grown, demand->hours[i], working, most,
                           &month);
        } else {
            month.tail += demand->load[i] * grown * demand->hours[i];
        }
    }
    return month;
}

/* ---- purchases ---- */

struct purchases {
    double devices[TW_LIMIT_PLAN_MONTHS]; /* bought in each month */
    double price[TW_LIMIT_PLAN_MONTHS];   /* of one, network too */
};

double tw_cost_annuity(double rate_per_period, double n)
{
    if (fabs(rate_per_period) < 1e-12) {
        return 1 / n;
    }
    return rate_per_period / (1 - pow(1 + rate_per_period, -n));
}

static double monthly(double yearly)
{
    return pow(1 + yearly, 1 / 12.0) - 1;
}

/* Straight line from the price to residual_share of it. */
static double book_share(const struct tw_cost_option *option, const double *in, double age_months)
{
    const double age = fmin(1, age_months / option->life_months);
    return 1 - (1 - in[TW_COST_RESIDUAL]) * age;
}

static void buy(const struct tw_cost_option *option, const double *in, uint32_t at, double devices,
                struct purchases *bought, struct tw_cost_month *month)
{
    double owned = 0, worth = 0;
    bought->price[at] = option->device_usd * in[TW_COST_HARDWARE] *
                        (1 + in[TW_COST_NETWORK_SHARE]) *
                        pow(1 + in[TW_COST_HARDWARE_DRIFT], at / 12.0);
    if (at >= option->life_months) {
        const uint32_t old = at - option->life_months;
        month->sold = bought->devices[old] * bought->price[old] * in[TW_COST_RESIDUAL];
    }
    for (uint32_t i = at >= option->life_months ? at - option->life_months + 1 : 0; i < at; i++) {
        owned += bought->devices[i];
    }
    bought->devices[at] = fmax(0, devices - owned);
    const double price = bought->devices[at] * bought->price[at];
    month->capex = price * (1 - in[TW_COST_FINANCED]);
    for (uint32_t i = at >= option->life_months ? at - option->life_months + 1 : 0; i <= at; i++) {
        worth += bought->devices[i] * bought->price[i];
    }
    month->maintenance = worth * in[TW_COST_MAINTENANCE] / 12;
    const double rate = monthly(in[TW_COST_INTEREST]);
    const double annuity = tw_cost_annuity(rate, option->loan_months);
    for (uint32_t i = at + 1 > option->loan_months ? at + 1 - option->loan_months : 0; i <= at;
         i++) {
        month->loan += bought->devices[i] * bought->price[i] * in[TW_COST_FINANCED] * annuity;
    }
}

/* Book value of what is there at the end, less what is still owed for it. */
static double left_at_end(const struct tw_cost_option *option, const double *in,
                          const struct purchases *bought, uint32_t n_months)
{
    double left = 0;
    const double rate = monthly(in[TW_COST_INTEREST]);
    const double annuity = tw_cost_annuity(rate, option->loan_months);
    for (uint32_t i = 0; i < n_months; i++) {
        const double price = bought->devices[i] * bought->price[i], age = n_months - i;
        left += age <= option->life_months ? price * book_share(option, in, age) : 0;
        const double open = option->loan_months - age; /* payments */
        if (open > 0) {
            left -= price * in[TW_COST_FINANCED] * annuity / tw_cost_annuity(rate, open);
        }
    }
    return left;
}

/* ---- all of it ---- */

static bool is_bought(enum tw_cost_kind kind)
{
    return kind == TW_COST_OWNED || kind == TW_COST_COLOCATED || kind == TW_COST_HYBRID;
}

/* What a plant costs whoever owns it. */
static void run(const struct tw_cost_option *option, const double *in, uint32_t at,
                const struct month *plant, struct tw_cost_month *month)
{
    const double devices = month->devices;
    const double provisioned_kw = devices * option->provisioned_w * in[TW_COST_POWER] / 1000;
    const double persons =
        (in[TW_COST_STAFF_BASE] * option->needs_staff + in[TW_COST_STAFF_DEVICE] * devices) *
        tw_cost_staff_share(option->kind, in);
    month->kwh = plant->kwh;
    month->staff =
        persons * in[TW_COST_STAFF_USD_YEAR] / 12 * pow(1 + in[TW_COST_STAFF_DRIFT], at / 12.0);
    month->software = devices * in[TW_COST_SOFTWARE_USD] / 12;
    if (is_bought(option->kind)) {
        month->energy =
            month->kwh * in[TW_COST_ENERGY_USD_KWH] * pow(1 + in[TW_COST_ENERGY_DRIFT], at / 12.0);
        month->space =
            provisioned_kw * (option->kind == TW_COST_COLOCATED ? in[TW_COST_COLO_USD_KW]
                                                                : in[TW_COST_SPACE_USD_KW]);
        return;
    }
    const uint32_t priced_at = option->kind == TW_COST_RESERVED && option->term_months > 0
                                   ? at - at % option->term_months
                                   : at;
    month->rent = plant->device_h * option->device_usd_h * in[TW_COST_RENT] *
                  pow(1 + in[TW_COST_RENT_DRIFT], priced_at / 12.0);
}

/* Sums; replicas and devices of a plant's months are not the sum but the most. */
static void add(struct tw_cost_month *sum, const struct tw_cost_month *month)
{
    sum->capex += month->capex;
    sum->loan += month->loan;
    sum->maintenance += month->maintenance;
    sum->energy += month->energy;
    sum->space += month->space;
    sum->staff += month->staff;
    sum->software += month->software;
    sum->rent += month->rent;
    sum->tail += month->tail;
    sum->sold += month->sold;
    sum->paid += month->paid;
    sum->tokens_million += month->tokens_million;
    sum->tail_tokens_million += month->tail_tokens_million;
    sum->lost_tokens_million += month->lost_tokens_million;
    sum->kwh += month->kwh;
}

/* What follows from the sums. */
static void finish(struct tw_cost_result *r)
{
    r->usd_per_million_tokens =
        r->tokens_value_million > 0 ? r->npv_usd / r->tokens_value_million : 0;
    r->utilisation = r->plant_device_h > 0 ? r->used_device_h / r->plant_device_h : 0;
    r->kwh_per_million_tokens =
        r->plant_tokens_million > 0 ? r->total.kwh / r->plant_tokens_million : 0;
    r->co2_kg_per_million_tokens =
        r->plant_tokens_million > 0 ? r->co2_kg / r->plant_tokens_million : 0;
}

void tw_cost_add(struct tw_cost_result *sum, const struct tw_cost_result *part)
{
    double paid = 0;
    sum->n_months = part->n_months;
    for (uint32_t at = 0; at < part->n_months; at++) {
        struct tw_cost_month *month = &sum->months[at];
        add(month, &part->months[at]);
        month->replicas += part->months[at].replicas;
        month->devices += part->months[at].devices;
        paid += month->paid;
        month->cumulative = paid;
    }
    add(&sum->total, &part->total);
    sum->total.replicas += part->total.replicas;
    sum->total.devices += part->total.devices;
    sum->total.cumulative = paid;
    sum->left_usd += part->left_usd;
    sum->npv_usd += part->npv_usd;
    sum->tokens_value_million += part->tokens_value_million;
    sum->plant_tokens_million += part->plant_tokens_million;
    sum->plant_device_h += part->plant_device_h;
    sum->used_device_h += part->used_device_h;
    sum->co2_kg += part->co2_kg;
    finish(sum);
}

void tw_cost_evaluate(const struct tw_cost_demand *demand, const struct tw_cost_option *option,
                      const double *in, struct tw_cost_result *ret_result)
{
    struct purchases bought;
    double served = 0, possible = 0;
    struct month plant = {0};
    memset(&bought, 0, sizeof bought);
    memset(ret_result, 0, sizeof *ret_result);
    ret_result->n_months = demand->n_months;
    for (uint32_t at = 0; at < demand->n_months; at++) {
        struct tw_cost_month *month = &ret_result->months[at];
        if (at == 0 || in[TW_COST_GROWTH] != 0) {
            plant = plan_month(demand, option, in, at);
        }
        const double million = demand->million_tokens_h;
        month->replicas = plant.replicas;
        month->devices = tw_cost_devices_for(option, plant.replicas);
        month->tail_tokens_million = plant.tail * million;
        month->lost_tokens_million = plant.lost * million;
        month->tokens_million = (plant.served + plant.tail) * million;
        if (option->capacity.n_points > 0) {
            if (is_bought(option->kind)) {
                buy(option, in, at, month->devices, &bought, month);
            }
            run(option, in, at, &plant, month);
        }
        month->tail = month->tail_tokens_million * option->tail_usd_per_million_tokens *
                      in[TW_COST_API] * pow(1 + in[TW_COST_API_DRIFT], at / 12.0);
        const double running = month->loan + month->maintenance + month->energy + month->space +
                               month->staff + month->software + month->rent + month->tail;
        month->paid = month->capex + running;
        add(&ret_result->total, month);
        ret_result->total.replicas = fmax(ret_result->total.replicas, month->replicas);
        ret_result->total.devices = fmax(ret_result->total.devices, month->devices);
        month->cumulative = ret_result->total.cumulative = ret_result->total.paid;
        const double begins = pow(1 + in[TW_COST_DISCOUNT], -(at / 12.0));
        const double ends = pow(1 + in[TW_COST_DISCOUNT], -((at + 1) / 12.0));
        ret_result->npv_usd += (month->capex - month->sold) * begins + running * ends;
        ret_result->tokens_value_million += month->tokens_million * ends;
        ret_result->plant_device_h += plant.device_h;
        served += plant.served;
        possible += plant.possible;
    }
    if (is_bought(option->kind) && option->capacity.n_points > 0) {
        ret_result->left_usd = left_at_end(option, in, &bought, demand->n_months);
        ret_result->npv_usd -=
            ret_result->left_usd * pow(1 + in[TW_COST_DISCOUNT], -(demand->n_months / 12.0));
    }
    ret_result->plant_tokens_million = served * demand->million_tokens_h;
    ret_result->used_device_h = possible > 0 ? ret_result->plant_device_h * served / possible : 0;
    ret_result->co2_kg = ret_result->total.kwh * in[TW_COST_CO2_KG_KWH];
    finish(ret_result);
}

bool tw_cost_break_even(const struct tw_cost_result *a, const struct tw_cost_result *b,
                        double *ret_months)
{
    uint32_t n = a->n_months < b->n_months ? a->n_months : b->n_months, at = n;
    while (at > 0 && a->months[at - 1].cumulative < b->months[at - 1].cumulative) {
        at--;
    }
    if (at == n) {
        return false;
    }
    /* In this month the difference falls from what was bought before it to what it ends with. */
    const double before =
        (at > 0 ? a->months[at - 1].cumulative - b->months[at - 1].cumulative : 0) +
        a->months[at].capex - b->months[at].capex;
    const double after = a->months[at].cumulative - b->months[at].cumulative;
    *ret_months = before <= 0 ? at : at + before / (before - after);
    return true;
}

void tw_cost_typical(const struct tw_range *ranges, double *ret_in)
{
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        ret_in[i] = ranges[i].typical;
    }
}
