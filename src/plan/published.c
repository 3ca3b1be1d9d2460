#include "plan/published.h"

#include <string.h>

const char *const tw_published_reading_names[TW_PUBLISHED_READINGS] = {
    "as printed", "as stated", "+ host, cooling", "+ staff", "+ 30% used",
};
const char *const tw_published_models[TW_PUBLISHED_MODELS] = {
    "Kimi-K2",       "GLM-4.5",        "Qwen3-235B", "gpt-oss-120B",    "GLM-4.5-Air",
    "Llama-3.3-70B", "EXAONE-4.0-32B", "Qwen3-30B",  "Magistral-Small",
};
const char *const tw_published_apis[TW_PUBLISHED_APIS] = {"GPT-5", "Opus 4", "Sonnet 4", "Grok 4",
                                                          "Gemini 2.5 Pro"};

/* ---- arXiv 2509.18101 ---- */

/* One part input, two parts output. */
static const double api_usd_per_million[TW_PUBLISHED_APIS] = {
    (1.25 + 2 * 10) / 3, (15 + 2 * 75) / 3.0, (3 + 2 * 15) / 3.0,
    (3 + 2 * 15) / 3.0,  (1.25 + 2 * 10) / 3,
};
#define HIDDEN_LAST_API_USD 7.75

static const struct {
    double n_devices, tokens_s, usd;
    bool is_a100; /* else an RTX 5090 */
    double months[TW_PUBLISHED_APIS];
} table[TW_PUBLISHED_MODELS] = {
    {16, 800, 240000, true, {69.3, 8.7, 44.0, 44.0, 63.1}},
    {6, 400, 90000, true, {51.5, 6.5, 32.8, 32.8, 47.0}},
    {4, 400, 60000, true, {34.0, 4.3, 21.8, 21.8, 31.1}},
    {2, 220, 30000, true, {30.9, 3.9, 19.8, 19.8, 28.2}},
    {2, 200, 30000, true, {34.0, 4.3, 21.8, 21.8, 31.1}},
    {1, 190, 15000, true, {17.8, 2.3, 11.4, 11.4, 16.2}},
    {1, 200, 2000, false, {2.26, 0.3, 1.4, 1.4, 2.06}},
    {1, 180, 2000, false, {2.5, 0.3, 1.6, 1.6, 2.3}},
    {1, 150, 2000, false, {3.0, 0.4, 1.9, 1.9, 2.76}},
};

double tw_published_months(uint32_t model, uint32_t api)
{
    return table[model].months[api];
}

/* A share of a server of eight cards, or of a workstation of one. */
struct reading {
    double hours, a100_w, rtx_w, last_api_usd;
    double a100_host_usd, rtx_host_usd, a100_host_w, rtx_host_w, pue, maintenance, staff, used;
};
static const struct reading readings[TW_PUBLISHED_READINGS] = {
    [TW_PUBLISHED_HIDDEN] = {176, 300, 500, HIDDEN_LAST_API_USD, .pue = 1, .used = 1},
    [TW_PUBLISHED_STATED] = {160, 400, 575, (1.25 + 2 * 10) / 3, .pue = 1, .used = 1},
    [TW_PUBLISHED_HOST] = {160, 400, 575, (1.25 + 2 * 10) / 3, 3500, 1800, 250, 150, 1.4, .08, 0,
                           1},
    [TW_PUBLISHED_STAFF] = {160, 400, 575, (1.25 + 2 * 10) / 3, 3500, 1800, 250, 150, 1.4, .08, .1,
                            1},
    [TW_PUBLISHED_USED] = {160, 400, 575, (1.25 + 2 * 10) / 3, 3500, 1800, 250, 150, 1.4, .08, .1,
                           .3},
};

bool tw_published_recompute(uint32_t model, uint32_t api, enum tw_published_reading reading,
                            double *ret_months)
{
    const struct reading *r = &readings[reading];
    const bool is_a100 = table[model].is_a100;
    const double watts = is_a100 ? r->a100_w + r->a100_host_w : r->rtx_w + r->rtx_host_w;
    const struct tw_cost_demand demand = {
        .n_classes = 1,
        .hours = {r->hours},
        .load = {r->used},
        .million_tokens_h = table[model].tokens_s * 3600 / 1e6,
        .n_months = TW_LIMIT_PLAN_MONTHS,
    };
    const struct tw_cost_option owned = {
        .kind = TW_COST_OWNED,
        .capacity = {.n_points = 1, .replicas = {1}, .load = {1}},
        .devices_per_replica = table[model].n_devices,
        .device_usd = table[model].usd / table[model].n_devices +
                      (is_a100 ? r->a100_host_usd : r->rtx_host_usd),
        .life_months = 10 * TW_LIMIT_PLAN_MONTHS,
        .loan_months = 1,
        /* Cards that wait draw about a quarter; the source knows no waiting. */
        .idle_w = table[model].n_devices * watts / 4,
        .busy_w = table[model].n_devices * watts,
        .needs_staff = 1,
    };
    const struct tw_cost_option tokens = {
        .kind = TW_COST_TOKENS,
        .tail_usd_per_million_tokens =
            api == TW_PUBLISHED_APIS - 1 ? r->last_api_usd : api_usd_per_million[api],
    };
    double in[TW_COST_INPUTS] = {0};
    static struct tw_cost_result empty;
    struct tw_cost_result a = empty, b = empty;
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        in[i] = 1;
    }
    in[TW_COST_ENERGY_USD_KWH] = 0.15;
    in[TW_COST_PUE] = r->pue;
    in[TW_COST_MAINTENANCE] = r->maintenance;
    in[TW_COST_STAFF_USD_YEAR] = tw_cost_input_rows[TW_COST_STAFF_USD_YEAR].range.typical;
    in[TW_COST_STAFF_BASE] = r->staff;
    tw_cost_evaluate(&demand, &owned, in, &a);
    tw_cost_evaluate(&demand, &tokens, in, &b);
    return tw_cost_break_even(&a, &b, ret_months);
}

/* ---- LP2368 ---- */

struct config {
    double usd, usd_h; /* price; maintenance, power with cooling, colocation an hour */
};
static const struct config h100 = {250141.8, 6.37}, h200 = {277897.75, 8.79},
                           b300 = {461567.5, 12.6};
enum { HOURS_5Y = 5 * 8760 };

/* Hours from which owning has cost less than renting, by the same function as everything else. */
static double break_even_h(const struct config *owned, double rent_usd_h)
{
    const double hours = 730;
    const struct tw_cost_demand demand = {.n_classes = 1,
                                          .hours = {hours},
                                          .load = {1},
                                          .million_tokens_h = 1,
                                          .n_months = TW_LIMIT_PLAN_MONTHS};
    struct tw_cost_option option = {
        .kind = TW_COST_OWNED,
        .capacity = {.n_points = 1, .replicas = {1}, .load = {1}},
        .devices_per_replica = 1,
        .device_usd = owned->usd,
        .life_months = 10 * TW_LIMIT_PLAN_MONTHS,
        .loan_months = 1,
    };
    double in[TW_COST_INPUTS] = {0}, months = 0;
    struct tw_cost_result a, b;
    for (int i = 0; i < TW_COST_FACTORS; i++) {
        in[i] = 1;
    }
    in[TW_COST_SOFTWARE_USD] = owned->usd_h * hours * 12; /* all that runs, as one sum a year */
    tw_cost_evaluate(&demand, &option, in, &a);
    option.kind = TW_COST_RENTED;
    option.device_usd_h = rent_usd_h;
    in[TW_COST_SOFTWARE_USD] = 0;
    tw_cost_evaluate(&demand, &option, in, &b);
    return tw_cost_break_even(&a, &b, &months) ? months * hours : 0;
}

static double owned_5y(const struct config *c)
{
    return c->usd + c->usd_h * HOURS_5Y;
}

static double usd_per_million(double usd_h, double tokens_s)
{
    return usd_h / (tokens_s * 3600 / 1e6);
}

static const struct tw_published_figure figures[] = {
    {"8xH100 against Azure on demand, break-even", "h", 2720, 0.5, 0, ""},
    {"8xH100 against Azure 1 year", "h", 4423, 0.5, 0, ""},
    {"8xH100 against Azure 3 years", "h", 6800, 0.5, 0, ""},
    {"8xH100 against Azure 5 years", "h", 7591, 0.5, 0, ""},
    {"8xB300 owned for 5 years", "USD", 1013447, 0.5, 0, ""},
    {"8xB300 at AWS for 5 years", "USD", 6238000, 500, 0, ""},
    {"8xH200 against GCP, hours a day", "h/day", 4.3, 0.05, 0, ""},
    {"Llama 70B on 8xH100", "USD/M tokens", 0.11, 0.005, 0, ""},
    {"Llama 405B on 8xB300 at AWS", "USD/M tokens", 29.09, 0.005, 0, ""},
    {"8xH200 power and cooling at 9.7 kW", "USD/h", 2.91, 0.005, 0, ""},
    {"8xB300 power and cooling at 14 kW", "USD/h", 4.2, 0.05, 0, ""},
    {"Llama 405B on 8xB300 owned", "USD/M tokens", 4.74, 0.005, 0,
     "the printed price and hourly cost over 43,800 h give 4.73; 4.74 needs 23.19 USD/h where they "
     "give 23.14"},
    {"8xH100 power and cooling at 10.2 kW", "USD/h", 0.87, 0.005, 0,
     "0.87 implies 2.9 kW: it is the figure of the 2025 edition, kept beside newer ones"},
};

uint32_t tw_published_n_figures(void)
{
    return sizeof figures / sizeof figures[0];
}

struct tw_published_figure tw_published_figure_at(uint32_t i)
{
    static const double azure[] = {98.32, 62.92, 43.16, 39.32};
    const double power_usd_kwh = 0.12 + 0.18; /* energy, and cooling by air */
    struct tw_published_figure figure = figures[i];
    const double rest[] = {
        owned_5y(&b300),
        142.416 * HOURS_5Y,
        owned_5y(&h200) / (84.808 * 5 * 365),
        usd_per_million(owned_5y(&h100) / HOURS_5Y, 30576.5),
        usd_per_million(142.416, 1360),
        9.7 * power_usd_kwh,
        14 * power_usd_kwh,
        usd_per_million(owned_5y(&b300) / HOURS_5Y, 1360),
        10.2 * power_usd_kwh,
    };
    figure.recomputed = i < 4 ? break_even_h(&h100, azure[i]) : rest[i - 4];
    return figure;
}
