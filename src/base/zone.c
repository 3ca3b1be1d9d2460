#include "base/zone.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/zone_state.h"

enum { DAYS_OF_400_YEARS = 146097, YEAR_DAYS = 365 };

/* Years that begin in March end with the leap day, and their months of 31 and 30 days come in
 * groups of five with 153. Of 400 such years from 0000-03-01 on. */
enum { DAYS_TO_1970 = 719468 };

int64_t tw_zone_day_of(int64_t year, int month, int day_of_month)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t cycle = y / 400 - (y % 400 < 0);
    const int64_t of_cycle = y - cycle * 400;
    const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day_of_month - 1;
    return cycle * DAYS_OF_400_YEARS + of_cycle * YEAR_DAYS + of_cycle / 4 - of_cycle / 100 +
           of_year - DAYS_TO_1970;
}

void tw_zone_date_of(int64_t day, int64_t *ret_year, int *ret_month, int *ret_day_of_month)
{
    const int64_t from_0000 = day + DAYS_TO_1970;
    const int64_t cycle = from_0000 / DAYS_OF_400_YEARS - (from_0000 % DAYS_OF_400_YEARS < 0);
    const int64_t of_cycle = from_0000 - cycle * DAYS_OF_400_YEARS;
    /* Without the leap days before it: of 4 years, of 100, of 400. */
    const int64_t year =
        (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / YEAR_DAYS;
    const int of_year = (int)(of_cycle - (year * YEAR_DAYS + year / 4 - year / 100));
    const int month = (5 * of_year + 2) / 153;
    *ret_year = cycle * 400 + year + (month >= 10);
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_day_of_month = of_year - (153 * month + 2) / 5 + 1;
}

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-';
}

enum tw_status tw_zone_check_name(const char *name, struct tw_error *error)
{
    const size_t n = strlen(name);
    bool is_good = n > 0 && n <= TW_LIMIT_ZONE_NAME_BYTES && name[n - 1] != '/';
    for (size_t i = 0; is_good && i < n; i++) {
        is_good = is_name_character(name[i]) || (name[i] == '/' && i > 0 && name[i - 1] != '/');
    }
    return is_good ? TW_OK
                   : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "'%.*s' is no name of a time zone; they look like UTC or "
                                  "Europe/Berlin",
                                  TW_LIMIT_ZONE_NAME_BYTES, name);
}

static enum tw_status open_utc(struct tw_zone **ret_zone, struct tw_error *error)
{
    struct tw_zone *zone = tw_mem_zalloc(1, sizeof *zone);
    if (zone == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a time zone");
    }
    memcpy(zone->name, "UTC", sizeof "UTC");
    *ret_zone = zone;
    return TW_OK;
}

static enum tw_status read_zone(const char *folder, const char *name, struct tw_buf *ret_file,
                                struct tw_error *error)
{
    struct tw_buf path;
    enum tw_status status = TW_ERR_MEMORY;
    tw_buf_init(&path, SIZE_MAX);
    if (tw_buf_append_format(&path, "%s/%s", folder, name) && tw_buf_append(&path, "", 1)) {
        status = tw_file_is_directory(path.data)
                     ? TW_ERR_NOT_FOUND
                     : tw_file_load(path.data, TW_LIMIT_ZONE_FILE_BYTES, ret_file, error);
    }
    tw_buf_free(&path);
    if (status == TW_ERR_NOT_FOUND) {
        return tw_error_set(error, status, TW_NO_POSITION,
                            "there is no time zone '%s' in '%s'; names look like Europe/Berlin, "
                            "and the package tzdata has their files",
                            name, folder);
    }
    return status == TW_ERR_MEMORY
               ? tw_error_set(error, status, TW_NO_POSITION, "no memory for a time zone")
               : status;
}

enum tw_status tw_zone_open(const char *folder, const char *name, struct tw_zone **ret_zone,
                            struct tw_error *error)
{
    struct tw_buf file;
    enum tw_status status = tw_zone_check_name(name, error);
    if (status != TW_OK) {
        return status;
    }
    if (strcmp(name, "UTC") == 0) {
        return open_utc(ret_zone, error);
    }
    status = read_zone(folder != NULL ? folder : TW_ZONE_FOLDER, name, &file, error);
    if (status == TW_OK) {
        status = tw_zone_parse(file.data, file.size_bytes, name, ret_zone, error);
        tw_buf_free(&file);
    }
    return status;
}

void tw_zone_free(struct tw_zone *zone)
{
    if (zone != NULL) {
        tw_mem_free(zone->at_s);
        tw_mem_free(zone->type);
        tw_mem_free(zone);
    }
}

const char *tw_zone_name(const struct tw_zone *zone)
{
    return zone->name;
}

/* The number of transitions that are not behind an instant. */
static size_t n_transitions_by(const struct tw_zone *zone, int64_t at_s)
{
    size_t low = 0, high = zone->n_transitions;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (zone->at_s[middle] <= at_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct tw_zone_stretch stretch_at(const struct tw_zone *zone, int64_t at_s)
{
    const size_t n = zone->n_transitions, next = n_transitions_by(zone, at_s);
    struct tw_zone_stretch stretch = {
        .begins_s = next > 0 ? zone->at_s[next - 1] : INT64_MIN,
        .ends_s = next < n ? zone->at_s[next] : INT64_MAX,
        .offset_s = zone->offset_s[next > 0 ? zone->type[next - 1] : 0],
    };
    if (next == n && zone->has_rule) {
        const int64_t last_s = stretch.begins_s;
        stretch = tw_zone_rule_stretch(&zone->rule, at_s);
        stretch.begins_s = stretch.begins_s > last_s ? stretch.begins_s : last_s;
    }
    return stretch;
}

struct tw_civil_time tw_zone_civil(const struct tw_zone *zone, int64_t at_s)
{
    assert(at_s >= -TW_ZONE_BOUND_S && at_s <= TW_ZONE_BOUND_S);
    const int32_t offset_s = stretch_at(zone, at_s).offset_s;
    struct tw_civil_time civil = {.day = tw_zone_day_at(at_s, offset_s), .offset_s = offset_s};
    const int of_day_s = (int)(at_s + offset_s - civil.day * ZONE_DAY_S);
    civil.hour = of_day_s / ZONE_HOUR_S;
    civil.minute = of_day_s / 60 % 60;
    civil.second = of_day_s % 60;
    tw_zone_date_of(civil.day, &civil.year, &civil.month, &civil.day_of_month);
    return civil;
}

int64_t tw_zone_day_start_s(const struct tw_zone *zone, int64_t day)
{
    assert(day >= -TW_ZONE_BOUND_S / ZONE_DAY_S && day <= TW_ZONE_BOUND_S / ZONE_DAY_S + YEAR_DAYS);
    const int64_t midnight_s = day * ZONE_DAY_S;
    /* Before, no offset reaches the day. */
    struct tw_zone_stretch stretch = stretch_at(zone, midnight_s - ZONE_MOST_OFFSET_S - 1);
    for (;;) {
        const int64_t start_s = midnight_s - stretch.offset_s > stretch.begins_s
                                    ? midnight_s - stretch.offset_s
                                    : stretch.begins_s;
        if (start_s < stretch.ends_s) {
            return start_s;
        }
        stretch = stretch_at(zone, stretch.ends_s);
    }
}
