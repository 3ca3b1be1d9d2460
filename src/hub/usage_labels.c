/* The dimensions of usage.h: their names, and what rows show in them. */
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "hub/usage.h"
#include "hub/usage_keys.h"
#include "hub/usage_period.h"

static const char *const NAMES[TW_USAGE_DIMENSIONS + 1] = {
    [TW_USAGE_ORG] = "org",     [TW_USAGE_TEAM] = "team",   [TW_USAGE_PROJECT] = "project",
    [TW_USAGE_KEY] = "key",     [TW_USAGE_USER] = "user",   [TW_USAGE_MODEL] = "model",
    [TW_USAGE_CLASS] = "class", [TW_USAGE_PRICE] = "price", [TW_USAGE_HOUR] = "hour",
    [TW_USAGE_DAY] = "day",     [TW_USAGE_WEEK] = "week",   [TW_USAGE_MONTH] = "month",
};

const char *tw_usage_dimension_name(enum tw_usage_dimension dimension)
{
    return NAMES[dimension];
}

static enum tw_status unknown_dimension(const char *word, struct tw_error *error)
{
    const char *guess = tw_suggest_word(word, NAMES);
    if (guess != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "usage cannot be shown by '%.40s'; did you mean '%s'?", word, guess);
    }
    return tw_error_set(
        error, TW_ERR_USAGE, TW_NO_POSITION,
        "usage cannot be shown by '%.40s'; there are org, team, project, key, user, model, "
        "class, price, hour, day, week and month",
        word);
}

static enum tw_status add_dimension(const char *word, struct tw_usage_wish *wish,
                                    struct tw_error *error)
{
    size_t found = 0;
    while (found < TW_USAGE_DIMENSIONS && strcmp(word, NAMES[found]) != 0) {
        found++;
    }
    if (found == TW_USAGE_DIMENSIONS) {
        return unknown_dimension(word, error);
    }
    for (size_t i = 0; i < wish->n_by; i++) {
        if (wish->by[i] == (enum tw_usage_dimension)found) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "usage is to be shown by '%s' twice; once is enough", word);
        }
    }
    wish->by[wish->n_by++] = (enum tw_usage_dimension)found;
    return TW_OK;
}

enum tw_status tw_usage_parse_dimensions(const char *text, struct tw_usage_wish *wish,
                                         struct tw_error *error)
{
    enum tw_status status = TW_OK;
    wish->n_by = 0;
    for (const char *at = text; status == TW_OK && at != NULL;) {
        char word[48];
        const size_t n_bytes = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s",
                 (int)(n_bytes < sizeof word ? n_bytes : sizeof word - 1), at);
        status = add_dimension(word, wish, error);
        at = at[n_bytes] == ',' ? at + n_bytes + 1 : NULL;
    }
    return status;
}

/* ---- what rows show ---- */

/* "2026-11-15 14:00+01:00": where clocks are set back an hour comes twice, and the offset tells
 * which it is. */
static void write_hour(int64_t key, char text[TW_USAGE_LABEL_BYTES])
{
    char utc[TW_USAGE_PERIOD_TEXT_BYTES];
    const int64_t offset_s = tw_usage_hour_offset_s(key);
    const int64_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
    tw_usage_period_write_utc(tw_usage_hour_start_s(key) + offset_s, utc);
    snprintf(text, TW_USAGE_LABEL_BYTES, "%.10s %.5s%c%02d:%02d", utc, utc + 11,
             offset_s < 0 ? '-' : '+', (int)(minutes / 60), (int)(minutes % 60));
}

const char *tw_usage_label(const struct tw_usage *usage, const struct tw_usage_row *row, size_t i,
                           char scratch[TW_USAGE_LABEL_BYTES])
{
    const int64_t key = row->keys[i];
    char day[TW_USAGE_PERIOD_TEXT_BYTES];
    switch (usage->wish.by[i]) {
    case TW_USAGE_ORG:
    case TW_USAGE_TEAM:
    case TW_USAGE_PROJECT:
    case TW_USAGE_KEY:
        return tw_report_names_find(&usage->names, key)->path;
    case TW_USAGE_USER:
        return key != 0 ? tw_report_names_find_user(&usage->names, key)->path : "";
    case TW_USAGE_MODEL:
    case TW_USAGE_CLASS:
        return usage->texts[key];
    case TW_USAGE_PRICE:
        snprintf(scratch, TW_USAGE_LABEL_BYTES, "%lld", (long long)key);
        break;
    case TW_USAGE_HOUR:
        write_hour(key, scratch);
        break;
    case TW_USAGE_DAY:
    case TW_USAGE_WEEK:
        tw_usage_period_write_day(usage->wish.zone, key, day);
        snprintf(scratch, TW_USAGE_LABEL_BYTES, "%s", day);
        break;
    case TW_USAGE_MONTH:
        tw_usage_period_write_month(usage->wish.zone, key, day);
        snprintf(scratch, TW_USAGE_LABEL_BYTES, "%s", day);
        break;
    case TW_USAGE_DIMENSIONS:
        break;
    }
    return scratch;
}
