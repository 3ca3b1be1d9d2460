/* cost.h: what an option costs, month by month, and what that means.
 *
 *     demand of a month (load classes x growth) --> replicas, hours, energy, tail of tokens
 *         --> purchases, rent, energy, space, staff, maintenance, software, interest, tail
 *         --> cumulative cash, net present value, cost per million tokens, kWh, CO2e
 *
 * One function for every kind of option: a plant (bought, rented or none) and a tail (tokens that
 * an API answers, or none). Everything that may be otherwise is one of the numbers of enum
 * tw_cost_input, so that tornado, random draws and a report's sliders change what they like and
 * call the same function. The report has this function a second time in JavaScript
 * (src/app/plan_cost.js), and a test compares the two.
 *
 * Conventions, all of them deliberate:
 * 1. All money is in US dollars before tax; a report converts at its end.
 * 2. A purchase is paid at the beginning of its month (discounted by month/12 years), what runs is
 *    paid at its end. A price drifts by the month: p x (1 + drift)^(month/12).
 * 3. A device is worth its price less straight-line depreciation to residual_share at life_months.
 *    It is sold for that at the end of its life, and bought anew if it is still needed; at the end
 *    of the horizon what is left is sold at its book value.
 * 4. Cost per million tokens is levelised: present value of costs / present value of tokens.
 * 5. Cumulative cash has no residual value in it: it is what has been paid.
 * 6. Reserved rent is paid for all hours at the price of the term's beginning; rent on demand for
 *    the hours of each load class that need the replica, at the price of the month.
 * 7. Power is at the wall: idle_w + (busy_w - idle_w) x load / capacity, times PUE. Where
 *    devices are sold by the server, all of a server work; what is left of one draws idle_w.
 *
 * Invariants: a dearer input never makes an option cheaper; present value = sum of its parts.
 * Ownership: plain values. Threads: any. Errors: none; who reads a scenario checks its numbers.
 */
#ifndef TW_PLAN_COST_H
#define TW_PLAN_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "plan/facts.h"

enum tw_cost_input {
    /* Factors; 1: as planned. Each option has ranges of its own for them. */
    TW_COST_LOAD = 0,
    TW_COST_CAPACITY,
    TW_COST_POWER,
    TW_COST_HARDWARE,
    TW_COST_RENT,
    TW_COST_API,
    /* Shares a year. */
    TW_COST_GROWTH,
    TW_COST_HARDWARE_DRIFT,
    TW_COST_RENT_DRIFT,
    TW_COST_API_DRIFT,
    TW_COST_ENERGY_DRIFT,
    TW_COST_STAFF_DRIFT,
    TW_COST_DISCOUNT,
    TW_COST_RESIDUAL,    /* share of the price at the end of its life */
    TW_COST_MAINTENANCE, /* share of the price a year */
    TW_COST_FINANCED,    /* share of a purchase that is lent */
    TW_COST_INTEREST,
    /* The rest. */
    TW_COST_ENERGY_USD_KWH,
    TW_COST_PUE,
    TW_COST_STAFF_USD_YEAR,  /* of one full-time person */
    TW_COST_STAFF_BASE,      /* persons for having a plant at all */
    TW_COST_STAFF_DEVICE,    /* persons for each device */
    TW_COST_STAFF_COLOCATED, /* of these persons, where somebody else has the room */
    TW_COST_STAFF_RENTED,    /* where somebody else has the machines */
    TW_COST_SPACE_USD_KW,    /* a month, for each kW that is provisioned; our own room */
    TW_COST_COLO_USD_KW,     /* the same with somebody else; energy is metered beside it */
    TW_COST_NETWORK_SHARE,   /* of the price of devices: switches, cables, storage */
    TW_COST_SOFTWARE_USD,    /* licences, a device and year */
    TW_COST_CO2_KG_KWH,
    TW_COST_INPUTS
};
#define TW_COST_FACTORS (TW_COST_API + 1)

/* How an input is called, what it is by default, and what would make it surer. */
struct tw_cost_input_row {
    const char *name; /* "energy-usd-per-kwh" */
    const char *unit; /* "USD/kWh", "a year", "x" */
    const char *about;
    struct tw_range range;
    double least, most; /* that anybody may write */
    const char *measure;
};
extern const struct tw_cost_input_row tw_cost_input_rows[TW_COST_INPUTS];

/* Demand of a month at load 1: classes of hours, the peak's load is 1. */
struct tw_cost_demand {
    uint32_t n_classes;                       /* <= TW_LIMIT_PLAN_LOAD_CLASSES */
    double hours[TW_LIMIT_PLAN_LOAD_CLASSES]; /* of a month */
    double load[TW_LIMIT_PLAN_LOAD_CLASSES];
    double million_tokens_h; /* input and output, in an hour of load 1 */
    uint32_t n_months;       /* horizon, 1..TW_LIMIT_PLAN_MONTHS */
};

enum tw_cost_kind {
    TW_COST_OWNED = 0,
    TW_COST_COLOCATED,
    TW_COST_RENTED,   /* on demand */
    TW_COST_RESERVED, /* for terms of term_months */
    TW_COST_TOKENS,   /* per-token API alone */
    TW_COST_HYBRID    /* owned base, tail bought */
};
#define TW_COST_KINDS (TW_COST_HYBRID + 1)
const char *tw_cost_kind_name(enum tw_cost_kind kind);

/* From how many replicas a load is served within its targets: points of a rising line through 0,
 * beyond the last one straight on. */
struct tw_cost_capacity {
    uint32_t n_points; /* <= TW_LIMIT_PLAN_CAPACITY_POINTS */
    double replicas[TW_LIMIT_PLAN_CAPACITY_POINTS], load[TW_LIMIT_PLAN_CAPACITY_POINTS];
};
double tw_cost_capacity_of(const struct tw_cost_capacity *capacity, double n_replicas);
/* The fewest whole replicas for a load. */
double tw_cost_replicas_for(const struct tw_cost_capacity *capacity, double load);

struct tw_cost_option {
    enum tw_cost_kind kind;
    struct tw_cost_capacity capacity; /* n_points 0: no plant */
    double devices_per_replica;
    double unit_devices; /* that are sold or rented together: a server; 0 and 1: any number */
    double spare_replicas;
    double fixed_replicas; /* 0: as many as each month's peak needs; else no more, no less */
    bool sheds_tail;       /* what fixed replicas cannot serve goes to the API */
    double device_usd;     /* with its share of the server; bought */
    double device_usd_h;   /* rented */
    uint32_t life_months, term_months, loan_months;
    double provisioned_w;  /* of a device, wall, before PUE */
    double idle_w, busy_w; /* of a replica, wall, before PUE */
    double needs_staff;    /* of staff-base: 1, or 0 where another plant beside it has it */
    double tail_usd_per_million_tokens;
    struct tw_range factor[TW_COST_FACTORS];
};

struct tw_cost_month {
    double replicas, devices;
    double capex, loan, maintenance, energy, space, staff, software, rent, tail, sold;
    double paid;       /* all but sold */
    double cumulative; /* paid until its end */
    double tokens_million, tail_tokens_million, lost_tokens_million;
    double kwh;
};

struct tw_cost_result {
    uint32_t n_months;
    struct tw_cost_month months[TW_LIMIT_PLAN_MONTHS];
    struct tw_cost_month total;
    double left_usd; /* book value less open loans at the end of the horizon */
    double npv_usd;  /* of costs: positive */
    double usd_per_million_tokens;
    double utilisation; /* served by the plant / what it could serve, all hours */
    double kwh_per_million_tokens, co2_kg_per_million_tokens; /* of what the plant serves */
    /* What these are quotients of, so that results add up. */
    double tokens_value_million; /* present value */
    double plant_tokens_million, plant_device_h, used_device_h, co2_kg;
};

/* in [TW_COST_INPUTS]. */
void tw_cost_evaluate(const struct tw_cost_demand *demand, const struct tw_cost_option *option,
                      const double *in, struct tw_cost_result *ret_result);

/* Devices that must be had for so many replicas, whole servers. */
double tw_cost_devices_for(const struct tw_cost_option *option, double n_replicas);
/* Of the persons that owned machines need. */
double tw_cost_staff_share(enum tw_cost_kind kind, const double *in);

/* Adds a part's result: plants of several models, each with a demand of its own. sum begins as
 * zeroes; utilisation is weighted by device hours. */
void tw_cost_add(struct tw_cost_result *sum, const struct tw_cost_result *part);

/* The typical inputs of a table of ranges, and an option's own factors in their place. */
void tw_cost_typical(const struct tw_range *ranges, double *ret_in);

/* ---- arithmetic of its own ---- */

/* What pays back 1 in n periods; rate 0 is 1/n. */
double tw_cost_annuity(double rate_per_period, double n);
/* The time in months, linear within a month, from which a has been paid less than b to the end of
 * the horizon; 0: from the beginning. False: it never is. */
bool tw_cost_break_even(const struct tw_cost_result *a, const struct tw_cost_result *b,
                        double *ret_months);

#endif
