/* zone.h: the local time of a place: IANA time zones, read from the system's TZif files.
 *
 * A file (RFC 8536, versions 1 to 4) lists the instants at which a zone's offset from UTC changed;
 * behind the last of them a rule, the footer's TZ string, goes on for ever:
 *
 *     first type | transition, type | ... | transition, type | rule, year by year
 *     -----------+------------------+-----+------------------+--------------------> instants
 *
 * Invariants:
 * 1. An instant (seconds since 1970 in UTC, leap seconds not counted) has exactly one local time.
 *    A local time may have none (clocks set forward) or several (set back).
 * 2. A day is the number of a civil date, counted from 1970-01-01, and begins at the first instant
 *    whose local date is that date or a later one. So beginnings never fall from one day to the
 *    next, whatever is done to clocks around midnight. A date that a zone left out (Samoa,
 *    2011-12-30) begins where the next one does.
 * 3. An instant lies between the beginning of its local date and that of the date after, except in
 *    the hour that is repeated where clocks are set back over midnight: its second half has
 *    yesterday's date, and lies behind today's beginning.
 *
 * Ownership: the caller's, until tw_zone_free. Threads: a zone never changes; any number may read.
 * Errors: TW_ERR_USAGE for what is no name of a zone, TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_FORMAT,
 * TW_ERR_LIMIT, TW_ERR_MEMORY; TW_ERR_UNSUPPORTED for files that count leap seconds.
 * Limits: TW_LIMIT_ZONE_*.
 */
#ifndef TW_BASE_ZONE_H
#define TW_BASE_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define TW_ZONE_FOLDER "/usr/share/zoneinfo"

/* Instants are at most so far from 1970: some 34,000 years. Clocks that count nanoseconds in 64
 * bits stay within 300. */
#define TW_ZONE_BOUND_S ((int64_t)1 << 40)

struct tw_zone;

struct tw_civil_time {
    int64_t day; /* since 1970-01-01 */
    int64_t year;
    int month, day_of_month;  /* 1..12, 1..31 */
    int hour, minute, second; /* 0..23, 0..59, 0..59 */
    int32_t offset_s;         /* local time less UTC: positive in the east */
};

/* name: such as "Europe/Berlin". "UTC" is known without a file. folder: NULL for the system's. */
enum tw_status tw_zone_open(const char *folder, const char *name, struct tw_zone **ret_zone,
                            struct tw_error *error);
/* The same from the bytes of a file; name is for messages and tw_zone_name. */
enum tw_status tw_zone_parse(const void *bytes, size_t n_bytes, const char *name,
                             struct tw_zone **ret_zone, struct tw_error *error);
/* NULL is allowed. */
void tw_zone_free(struct tw_zone *zone);

/* Whether it has the form of a name: letters, digits and "_+-", in parts that are divided by
 * slashes. No dots, so nothing leads out of the folder. */
enum tw_status tw_zone_check_name(const char *name, struct tw_error *error);
const char *tw_zone_name(const struct tw_zone *zone);

struct tw_civil_time tw_zone_civil(const struct tw_zone *zone, int64_t at_s);
/* The first instant of a local day. */
int64_t tw_zone_day_start_s(const struct tw_zone *zone, int64_t day);

/* The day of a date; month 1..12, any day_of_month that the month has. */
int64_t tw_zone_day_of(int64_t year, int month, int day_of_month);
/* The date of a day. */
void tw_zone_date_of(int64_t day, int64_t *ret_year, int *ret_month, int *ret_day_of_month);

#endif
