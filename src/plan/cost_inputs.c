/* The numbers that a plan's money hangs on: names, defaults with their ranges, and what to measure.
 * Defaults are what a scenario that says nothing gets; each has a reason in docs/plan.md. */
#include "plan/cost.h"

/* clang-format off */
const struct tw_cost_input_row tw_cost_input_rows[TW_COST_INPUTS] = {
    [TW_COST_LOAD] = {"load", "x", "tokens, as a factor on the plan's", {0.7, 1, 1.4}, 0.001, 1000,
        "a week of your own requests as a trace (trace: FILE)"},
    [TW_COST_CAPACITY] = {"capacity", "x", "what a replica serves, as a factor on the simulation's",
        {1, 1, 1}, 0.01, 100, "tokenworks bench engine --json on the device, then plan calibrate"},
    [TW_COST_POWER] = {"power", "x", "watts at the wall, as a factor on the plan's", {0.85, 1, 1.15},
        0.01, 100, "the wall power of one server under load (tokenworks plan compare)"},
    [TW_COST_HARDWARE] = {"hardware-price", "x", "prices of devices, as a factor", {1, 1, 1}, 0, 1000,
        "a written quote for the servers"},
    [TW_COST_RENT] = {"rent-price", "x", "prices of rented devices, as a factor", {1, 1, 1}, 0, 1000,
        "a written quote for the rental, with its term"},
    [TW_COST_API] = {"api-price", "x", "prices of tokens, as a factor", {1, 1, 1}, 0, 1000,
        "the provider's offer for your volume"},
    [TW_COST_GROWTH] = {"growth", "a year", "growth of the load", {0, 0, 0}, -0.99, 100,
        "your own load over the last months"},
    [TW_COST_HARDWARE_DRIFT] = {"hardware-drift", "a year", "change of hardware prices",
        {-0.25, -0.1, 0.15}, -0.99, 10, "a price that is agreed for later purchases"},
    [TW_COST_RENT_DRIFT] = {"rent-drift", "a year", "change of rental prices", {-0.3, -0.1, 0.1},
        -0.99, 10, "a reserved term, which fixes it"},
    [TW_COST_API_DRIFT] = {"api-drift", "a year", "change of prices of tokens", {-0.5, -0.2, 0.1},
        -0.99, 10, "a contract that fixes the price"},
    [TW_COST_ENERGY_DRIFT] = {"energy-drift", "a year", "change of the energy price",
        {-0.03, 0.02, 0.08}, -0.99, 10, "an energy contract over the horizon"},
    [TW_COST_STAFF_DRIFT] = {"staff-drift", "a year", "change of wages", {0.02, 0.03, 0.05}, -0.99, 10,
        "your own wage agreements"},
    [TW_COST_DISCOUNT] = {"discount-rate", "a year", "discount rate: what money costs", {0.05, 0.08, 0.12}, -0.5, 1,
        "the rate of your treasury"},
    [TW_COST_RESIDUAL] = {"residual-share", "of price", "value of a machine at the end of its life", {0, 0.1, 0.25}, 0, 1,
        "a buy-back offer"},
    [TW_COST_MAINTENANCE] = {"maintenance-share", "of price a year", "repair and support of machines",
        {0.05, 0.08, 0.12}, 0, 1, "a support contract's price"},
    [TW_COST_FINANCED] = {"financed-share", "of price", "part of purchases that is borrowed", {0, 0, 0}, 0, 1,
        "your treasury's decision"},
    [TW_COST_INTEREST] = {"interest-rate", "a year", "interest of loans", {0.06, 0.08, 0.12}, -0.5, 1,
        "an offer of your bank"},
    [TW_COST_ENERGY_USD_KWH] = {"energy-usd-per-kwh", "USD/kWh", "energy price", {0.08, 0.15, 0.25},
        0, 10, "your energy bill"},
    [TW_COST_PUE] = {"pue", "x", "energy of the site / energy of its machines", {1.2, 1.4, 1.7}, 1, 5,
        "the site's meter beside the machines' meters"},
    [TW_COST_STAFF_USD_YEAR] = {"staff-usd-per-year", "USD a year", "a full-time person, all costs",
        {90000, 130000, 180000}, 1000, 1e7, "your own payroll"},
    [TW_COST_STAFF_BASE] = {"staff-base", "persons", "staff for having a plant at all", {0.25, 0.5, 1}, 0, 1000,
        "hours that your team books on machines"},
    [TW_COST_STAFF_DEVICE] = {"staff-per-device", "persons", "staff for each device", {0.005, 0.01, 0.02},
        0, 10, "hours that your team books on machines"},
    [TW_COST_STAFF_COLOCATED] = {"staff-colocated-share", "of persons",
        "staff of colocated machines, of that of own ones", {0.6, 0.8, 1}, 0, 1,
        "what the colocation's remote hands do, by its offer"},
    [TW_COST_STAFF_RENTED] = {"staff-rented-share", "of persons",
        "staff of rented machines, of that of own ones", {0.3, 0.5, 0.8}, 0, 1,
        "hours that your team books on rented machines"},
    [TW_COST_SPACE_USD_KW] = {"space-usd-per-kw-month", "USD/kW month", "own room and cooling plant",
        {40, 80, 150}, 0, 1e5, "your building's cost of a kW"},
    [TW_COST_COLO_USD_KW] = {"colocation-usd-per-kw-month", "USD/kW month", "space with somebody else",
        {150, 190, 250}, 0, 1e5, "a colocation offer"},
    [TW_COST_NETWORK_SHARE] = {"network-share", "of price", "switches, cables, storage",
        {0.05, 0.1, 0.15}, 0, 5, "a written quote for the network"},
    [TW_COST_SOFTWARE_USD] = {"software-usd-per-device-year", "USD a year", "licences of a device", {0, 0, 0}, 0, 1e6,
        "a licence offer"},
    [TW_COST_CO2_KG_KWH] = {"co2-kg-per-kwh", "kg/kWh", "CO2e of the energy that is used", {0.05, 0.3, 0.6},
        0, 3, "your supplier's declaration"},
};
/* clang-format on */

const char *tw_cost_kind_name(enum tw_cost_kind kind)
{
    static const char *const names[TW_COST_KINDS] = {
        "owned", "colocated", "rented on demand", "rented reserved", "tokens bought", "hybrid",
    };
    return names[kind];
}
