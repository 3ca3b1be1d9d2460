/* zone_state.h: the inside of a time zone, for its own files alone.
 *
 *     zone.c        instants and days
 *     zone_read.c   the file
 *     zone_rule.c   the rule behind its last transition
 */
#ifndef TW_BASE_ZONE_STATE_H
#define TW_BASE_ZONE_STATE_H

#include <stdbool.h>

#include "base/zone.h"

enum { ZONE_DAY_S = 86400, ZONE_HOUR_S = 3600, ZONE_TYPES = 256 };

/* What RFC 8536 expects of offsets. */
enum { ZONE_LEAST_OFFSET_S = -89999, ZONE_MOST_OFFSET_S = 93599 };

enum tw_zone_date_form {
    ZONE_DATE_JULIAN,  /* Jn: day 1..365, 29 February is not counted */
    ZONE_DATE_ORDINAL, /* n: day 0..365, it is */
    ZONE_DATE_WEEKDAY  /* Mm.w.d: the wth d of a month, the 5th is the last */
};

struct tw_zone_date {
    enum tw_zone_date_form form;
    int day;         /* of the year, or of the week: 0 is Sunday */
    int month, week; /* 1..12, 1..5 */
    int32_t time_s;  /* behind midnight by the clock before; may be days away */
};

/* Offsets are positive in the east, unlike those of a TZ string. */
struct tw_zone_rule {
    bool has_summer;
    int32_t offset_s, summer_offset_s;
    struct tw_zone_date begins, ends; /* of summer time, each year */
};

/* Instants with one offset, of which the last is ends_s - 1. */
struct tw_zone_stretch {
    int64_t begins_s, ends_s; /* INT64_MIN, INT64_MAX: without a beginning, an end */
    int32_t offset_s;
};

struct tw_zone {
    char name[TW_LIMIT_ZONE_NAME_BYTES + 1];
    size_t n_transitions;
    int64_t *at_s;                /* [n_transitions], ascending */
    unsigned char *type;          /* [n_transitions], from each on */
    int32_t offset_s[ZONE_TYPES]; /* of each type; of 0 before the first transition */
    bool has_rule;
    struct tw_zone_rule rule;
};

/* The day of an instant's local time. */
static inline int64_t tw_zone_day_at(int64_t at_s, int32_t offset_s)
{
    const int64_t local_s = at_s + offset_s;
    return local_s / ZONE_DAY_S - (local_s % ZONE_DAY_S < 0);
}

/* A footer's TZ string. False where it is none. */
bool tw_zone_rule_parse(const char *text, struct tw_zone_rule *ret_rule);
struct tw_zone_stretch tw_zone_rule_stretch(const struct tw_zone_rule *rule, int64_t at_s);

#endif
