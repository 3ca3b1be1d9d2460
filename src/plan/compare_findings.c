/* What of a scenario is off, said so that somebody can correct it. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plan/compare_state.h"

/* From where on a difference is worth a sentence, where the scenario gives no range of its own. */
#define CACHED_OFF 0.1
#define HOUR_OFF   0.25
#define LOST_OFF   0.001
#define BURST      1.5
#define COVER_OFF  0.95

static void say(struct tw_comparison *c, const char *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct tw_comparison *c, const char *about, const char *format, ...)
{
    if (c->n_findings < TW_COMPARE_FINDINGS) {
        struct tw_compare_finding *finding = &c->findings[c->n_findings++];
        va_list args;
        va_start(args, format);
        finding->about = about;
        vsnprintf(finding->text, sizeof finding->text, format, args);
        va_end(args);
    }
}

static bool is_off(const struct tw_comparison *c, enum tw_compare_row_name row)
{
    return c->rows[row].verdict == TW_COMPARE_BELOW || c->rows[row].verdict == TW_COMPARE_ABOVE;
}

static const char *case_name(const struct tw_comparison *c)
{
    return c->measured.case_names[0];
}

/* ---- load ---- */

static void find_load(struct tw_comparison *c)
{
    const struct tw_compare_row *requests = &c->rows[TW_COMPARE_REQUESTS];
    const struct tw_scenario *s = c->wish.plan->scenario;
    if (is_off(c, TW_COMPARE_REQUESTS)) {
        const double off = requests->actual / requests->planned.typical;
        const struct tw_range r = requests->planned;
        if (s->n_cases > 1) {
            say(c, "use-cases",
                "the load is off: %.3g x the planned requests (%.3g .. %.3g was planned for); "
                "multiply requests-per-s of each use case by %.3g, or say which of them it is: "
                "the books know no use cases",
                off, r.low / r.typical, r.high / r.typical,
                c->peak_requests_s / c->rows[TW_COMPARE_PEAK].planned.typical);
        } else if (s->n_cases == 0) {
            say(c, "trace",
                "the load is off: %.3g x the planned requests; set trace-factor to %.4g, or put "
                "the use case below in place of the trace",
                off,
                s->trace_factor * c->peak_requests_s / c->rows[TW_COMPARE_PEAK].planned.typical);
        } else {
            say(c, "use-cases",
                "the load is off: %.3g x the planned requests (%.3g .. %.3g was planned for); in "
                "'%.60s' write requests-per-s: %.4g in place of what is there",
                off, r.low / r.typical, r.high / r.typical, case_name(c), c->peak_requests_s);
        }
    }
    const double busiest = c->rows[TW_COMPARE_BUSIEST].actual;
    if (c->has_week && busiest > BURST * c->peak_requests_s) {
        say(c, "spare-replicas",
            "the busiest hour of all had %.3g requests/s, %.2g x the busiest usual hour, for "
            "which a plan is made; if answers were late then, plan with requests-per-s %.4g or "
            "add spare-replicas",
            busiest, busiest / c->peak_requests_s, busiest);
    }
}

static void find_lengths(struct tw_comparison *c)
{
    static const struct {
        enum tw_compare_row_name row;
        const char *key, *what;
    } lengths[] = {{TW_COMPARE_INPUT_MEAN, "input-tokens", "prompts have"},
                   {TW_COMPARE_OUTPUT_MEAN, "output-tokens", "answers have"}};
    for (int i = 0; i < 2; i++) {
        const struct tw_compare_row *row = &c->rows[lengths[i].row];
        if (is_off(c, lengths[i].row)) {
            say(c, lengths[i].key, "%s %.4g tokens on average, not %.4g: %s %s (%.3g x)",
                lengths[i].what, row->actual, row->planned.typical,
                c->measured.n_cases > 1 ? "multiply each" : "correct", lengths[i].key,
                row->actual / row->planned.typical);
        }
    }
    const struct tw_compare_row *cached = &c->rows[TW_COMPARE_CACHED_SHARE];
    cached = fabs(cached->actual - cached->planned.typical) > CACHED_OFF ? cached : NULL;
    if (cached != NULL) {
        say(c, "cached-share",
            "%.0f%% of prompt tokens were cached, not %.0f%%: write cached-share: %.3g and correct "
            "shared-prefix-tokens",
            100 * cached->actual, 100 * cached->planned.typical, cached->actual);
    }
}

/* The hour whose load is furthest from what is planned, both as shares of their highest. */
static void find_hours(struct tw_comparison *c)
{
    const double *planned = c->wish.plan->scenario->hour_load, *was = c->measured.hour_load;
    uint32_t worst = 0;
    if (!c->has_week) {
        return;
    }
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        worst = fabs(was[i] - planned[i]) > fabs(was[worst] - planned[worst]) ? i : worst;
    }
    if (fabs(was[worst] - planned[worst]) > HOUR_OFF) {
        say(c, "hours",
            "the day is another one: at %u:00 on %s the load is %.0f%% of the busiest hour's, not "
            "%.0f%%: replace day, hours and weekend by those below",
            worst % 24, worst < 24 ? "working days" : "free days", 100 * was[worst],
            100 * planned[worst]);
    }
}

/* ---- plant ---- */

static void find_plant(struct tw_comparison *c)
{
    const bool has_plant = tw_compare_way(&c->wish)->cost.capacity.n_points > 0;
    if (has_plant && c->again != NULL && tw_compare_sizing(c) == NULL) {
        say(c, "plant",
            "with such requests the planned machines do not meet the targets at any load, so their "
            "utilisation, energy and cost are not known: loosen slo, or see what is planned anew");
    }
    if (c->lost_share > LOST_OFF) {
        say(c, "plant",
            "the plant is too small: %.2g%% of the tokens came when it was full and were answered "
            "later than the targets allow, or elsewhere",
            100 * c->lost_share);
    }
}

static void find_energy(struct tw_comparison *c)
{
    const struct tw_range power = c->wish.plan->scenario->ranges[TW_COST_POWER];
    if (c->wish.cover != NULL && c->measured_share < COVER_OFF) {
        say(c, "meters",
            "energy was measured for %.3g%% of the time: the recorder must run all the time "
            "(tokenworks plan meter)",
            100 * c->measured_share);
    }
    if (!isfinite(c->power_factor)) {
        return;
    }
    if (c->power_factor < power.low || c->power_factor > power.high) {
        say(c, "power",
            "the machines draw %.3g x what the plan says for this load (%.3g .. %.3g was planned "
            "for): if the counters are of the planned machines%s, write power: %.4g under money",
            c->power_factor, power.low, power.high,
            c->wish.is_wall ? "" : " and see all of them (--unmetered-watts)", c->power_factor);
    }
}

/* ---- what follows ---- */

static void find_answer(struct tw_comparison *c)
{
    const struct tw_plan *plan = c->wish.plan, *again = c->again;
    const double own = c->rows[TW_COMPARE_COST_MILLION].actual;
    const struct tw_compare_cloud *least = NULL;
    for (uint32_t i = 0; i < c->n_clouds; i++) {
        least = least == NULL || c->clouds[i].usd < least->usd ? &c->clouds[i] : least;
    }
    if (again != NULL) {
        const char *now = again->options[again->best].name, *was = plan->options[plan->best].name;
        if (strcmp(now, was) == 0) {
            say(c, "plan", "planned again with what was measured the answer stays: %.160s", now);
        } else {
            say(c, "plan",
                "planned again with what was measured the answer is %.120s, no longer %.120s", now,
                was);
        }
    }
    if (least != NULL && isfinite(own) && c->tokens_million > 0 &&
        tw_compare_way(&c->wish)->cost.capacity.n_points > 0) {
        const double bought = least->usd / c->tokens_million, usd = plan->currency_usd.typical;
        say(c, "plan",
            "at this load a million tokens cost %.4g %s with the plant and %.4g bought (%.60s%s)",
            own / usd, plan->scenario->currency, bought / usd, least->api->name,
            least->is_closed ? ", where not all data may go" : "");
    }
}

void tw_compare_find(struct tw_comparison *c)
{
    find_load(c);
    find_lengths(c);
    find_hours(c);
    find_plant(c);
    find_energy(c);
    if (c->n_findings == 0) {
        say(c, "plan", "nothing is off: all that was measured lies within what was planned");
    }
    if (!c->has_week) {
        say(c, "hours",
            "the hours of the day were not judged: that takes a whole week, and load on working "
            "days");
    }
    find_answer(c);
}
