/* usage_keys.h: how an hour is one number in a row of usage.h; for this layer alone.
 *
 *     key = (the instant at which it began) x 2^18 + (offset from UTC + 2^17)
 *
 * Keys are in the order of time. Where clocks were changed in the middle of an hour, its two parts
 * have different keys.
 */
#ifndef TW_HUB_USAGE_KEYS_H
#define TW_HUB_USAGE_KEYS_H

#include "base/zone.h"

enum { TW_USAGE_OFFSET_RANGE = 1 << 18, TW_USAGE_OFFSET_ZERO = 1 << 17 };

static inline int64_t tw_usage_hour_key(const struct tw_zone *zone, int64_t at_s)
{
    const struct tw_civil_time time = tw_zone_civil(zone, at_s);
    const int64_t start_s = at_s - time.minute * 60 - time.second;
    return start_s * TW_USAGE_OFFSET_RANGE + time.offset_s + TW_USAGE_OFFSET_ZERO;
}

static inline int64_t tw_usage_hour_start_s(int64_t key)
{
    return key / TW_USAGE_OFFSET_RANGE;
}

static inline int64_t tw_usage_hour_offset_s(int64_t key)
{
    return key % TW_USAGE_OFFSET_RANGE - TW_USAGE_OFFSET_ZERO;
}

#endif
