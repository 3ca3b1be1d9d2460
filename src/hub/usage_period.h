/* usage_period.h: the words that people have for periods, as instants.
 *
 *     2026                      a year
 *     2026-11                   a month
 *     2026-11-15                a day
 *     2026-11-01..2026-11-15    from the first day of one to the last of the other, both counted
 *     today  yesterday  this-week  last-week  this-month  last-month  this-year  last-year  all
 *
 * A period is whole days of a time zone: [starts_s, ends_s). Weeks begin on Monday.
 *
 * Pure. Threads: any. Errors: TW_ERR_USAGE, with what would be right.
 * Limits: years 1970 to 2261, which is what nanoseconds in 64 bits reach.
 */
#ifndef TW_HUB_USAGE_PERIOD_H
#define TW_HUB_USAGE_PERIOD_H

#include "base/status.h"
#include "base/zone.h"
#include "hub/period.h"

#define TW_USAGE_PERIOD_TEXT_BYTES 64

enum tw_status tw_usage_period_parse(const char *text, const struct tw_zone *zone, int64_t now_s,
                                     struct tw_period *ret_period, struct tw_error *error);
/* The same for what must be one month: "2026-11", this-month, last-month. */
enum tw_status tw_usage_period_parse_month(const char *text, const struct tw_zone *zone,
                                           int64_t now_s, struct tw_period *ret_period,
                                           struct tw_error *error);

/* "2026-11-01": the local date of an instant. */
void tw_usage_period_write_day(const struct tw_zone *zone, int64_t at_s,
                               char ret_text[TW_USAGE_PERIOD_TEXT_BYTES]);
/* "2026-11": its month. */
void tw_usage_period_write_month(const struct tw_zone *zone, int64_t at_s,
                                 char ret_text[TW_USAGE_PERIOD_TEXT_BYTES]);
/* "2026-10-31T23:00:00Z" */
void tw_usage_period_write_utc(int64_t at_s, char ret_text[TW_USAGE_PERIOD_TEXT_BYTES]);

#endif
