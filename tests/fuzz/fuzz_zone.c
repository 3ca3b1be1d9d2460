/* Any bytes as the file of a time zone; what is accepted must have local times that make sense. */
#include <assert.h>
#include <string.h>

#include "base/zone.h"
#include "fuzz_target.h"

enum { DAY_S = 86400 };

static void check_instant(const struct tw_zone *zone, int64_t at_s)
{
    const struct tw_civil_time civil = tw_zone_civil(zone, at_s);
    const int64_t local_s =
        civil.day * DAY_S + civil.hour * 3600 + civil.minute * 60 + civil.second;
    assert(local_s - civil.offset_s == at_s);
    assert(tw_zone_day_of(civil.year, civil.month, civil.day_of_month) == civil.day);
    /* Days begin one after another, each at an instant that is not before its date. */
    const int64_t start_s = tw_zone_day_start_s(zone, civil.day);
    assert(start_s <= at_s && tw_zone_civil(zone, start_s).day >= civil.day);
    assert(tw_zone_civil(zone, start_s - 1).day < civil.day);
    assert(tw_zone_day_start_s(zone, civil.day + 1) >= start_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_zone *zone = NULL;
    struct tw_error error;
    if (tw_zone_parse(data, size, "Fuzz/Zone", &zone, &error) != TW_OK) {
        assert(strlen(error.text) > 0);
        return 0;
    }
    for (int64_t at_s = -TW_ZONE_BOUND_S / 2; at_s < TW_ZONE_BOUND_S / 2;
         at_s += (int64_t)1 << 34) {
        check_instant(zone, at_s);
    }
    for (int64_t at_s = 0; at_s < (int64_t)1 << 32; at_s += 12345678) {
        check_instant(zone, at_s);
    }
    tw_zone_free(zone);
    return 0;
}
