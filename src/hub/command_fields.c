/* Values of fields, from texts and from JSON. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/printable.h"
#include "base/suggest.h"
#include "base/zone.h"
#include "hub/commands.h"
#include "hub/money.h"

#define MINUTE_S      INT64_C(60)
#define HOUR_S        INT64_C(3600)
#define DAY_S         INT64_C(86400)
#define FIRST_YEAR    1970
#define LAST_YEAR     2200
#define INSTANT_BYTES 20 /* 2026-12-31T18:00:00Z */
#define DATE_BYTES    10

/* ---- names and texts ---- */

bool tw_commands_is_name(const char *text, size_t text_bytes)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    if (text_bytes == 0 || text_bytes > TW_LIMIT_HUB_NAME_BYTES) {
        return false;
    }
    bool has_more_than_dots = false;
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] == '\0' || strchr(allowed, text[i]) == NULL) {
            return false;
        }
        has_more_than_dots = has_more_than_dots || text[i] != '.';
    }
    return has_more_than_dots;
}

static enum tw_status refuse(const char *text, const char *right, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "'%.80s' is %s", text, right);
}

static enum tw_status read_name(const char *text, struct tw_field_value *value,
                                struct tw_error *error)
{
    if (!tw_commands_is_name(text, strlen(text))) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.80s' is no name: 1 to %d letters, digits, '.', '_' or '-'", text,
                            TW_LIMIT_HUB_NAME_BYTES);
    }
    value->text = text;
    return TW_OK;
}

/* "PATH" says little: which names there can be says more. */
static const char *path_form(const struct tw_field *field)
{
    static const char *const forms[] = {"ORG", "ORG or ORG/TEAM",
                                        "ORG, ORG/TEAM or ORG/TEAM/PROJECT",
                                        "ORG, ORG/TEAM, ORG/TEAM/PROJECT or ORG/TEAM/PROJECT/KEY"};
    return strcmp(field->value, "PATH") == 0 ? forms[field->most - 1] : field->value;
}

static enum tw_status read_path(const struct tw_field *field, const char *text,
                                struct tw_field_value *value, struct tw_error *error)
{
    int64_t n = 0;
    const char *at = text;
    for (bool has_more = true; has_more; n++) {
        const size_t n_bytes = strcspn(at, "/");
        if (!tw_commands_is_name(at, n_bytes)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "'%.80s' is no path like %s: names of 1 to %d letters, digits, "
                                "'.', '_' or '-', with '/' between them",
                                text, path_form(field), TW_LIMIT_HUB_NAME_BYTES);
        }
        has_more = at[n_bytes] == '/';
        at += n_bytes + has_more;
    }
    if (n < field->least || n > field->most) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.80s' has %d name%s; it must be like %s", text, (int)n,
                            n == 1 ? "" : "s", path_form(field));
    }
    value->text = text;
    return TW_OK;
}

static enum tw_status read_printable(const char *text, struct tw_field_value *value,
                                     struct tw_error *error)
{
    const size_t n_bytes = strlen(text);
    if (n_bytes == 0 || n_bytes > TW_LIMIT_HUB_TEXT_BYTES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a text of %zu bytes; it must have 1 to %d", n_bytes,
                            TW_LIMIT_HUB_TEXT_BYTES);
    }
    for (size_t i = 0, n; i < n_bytes; i += n) {
        n = tw_printable_utf8_bytes(text + i, n_bytes - i);
        if (n == 0 || tw_printable_steers(text + i, n)) {
            return refuse(text, "no plain text: it has control characters, or is no UTF-8", error);
        }
    }
    value->text = text;
    return TW_OK;
}

/* ---- numbers ---- */

/* Digits alone, at least one; false for anything else and for more than 64 bits hold. */
static bool read_digits(const char *text, size_t n_bytes, int64_t *ret_number)
{
    int64_t number = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] < '0' || text[i] > '9' ||
            __builtin_mul_overflow(number, (int64_t)10, &number) ||
            __builtin_add_overflow(number, (int64_t)(text[i] - '0'), &number)) {
            return false;
        }
    }
    *ret_number = number;
    return n_bytes > 0;
}

static enum tw_status check_bounds(const struct tw_field *field, int64_t number,
                                   struct tw_error *error)
{
    if (number >= field->least && number <= field->most) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "%" PRId64 " is not from %" PRId64 " to %" PRId64, number, field->least,
                        field->most);
}

/* A number with one letter behind it, of a table of factors. */
static bool read_scaled(const char *text, const char *letters, const int64_t *factors,
                        int64_t *ret_number)
{
    size_t n_bytes = strlen(text);
    int64_t factor = 1, number;
    const char *letter = n_bytes > 0 ? strchr(letters, text[n_bytes - 1]) : NULL;
    if (letter != NULL) {
        factor = factors[letter - letters];
        n_bytes--;
    }
    return read_digits(text, n_bytes, &number) &&
           !__builtin_mul_overflow(number, factor, ret_number);
}

static enum tw_status read_integer(const struct tw_field *field, const char *text,
                                   struct tw_field_value *value, struct tw_error *error)
{
    static const int64_t factors[] = {1000, 1000000, 1000000000};
    const bool is_tokens = field->kind == TW_FIELD_TOKENS;
    if (!read_scaled(text, is_tokens ? "kMG" : "", factors, &value->integer)) {
        return refuse(
            text, is_tokens ? "no number of tokens like 500000, 500k or 20M" : "no whole number",
            error);
    }
    return check_bounds(field, value->integer, error);
}

static enum tw_status read_amount(const struct tw_field *field, const char *text,
                                  struct tw_field_value *value, struct tw_error *error)
{
    struct tw_error why;
    if (tw_money_parse(text, &value->integer, &why) != TW_OK || value->integer < field->least ||
        value->integer > field->most) {
        return refuse(text,
                      "no amount like 0.15: digits, and at most nine of them behind a point; at "
                      "most 1000000000",
                      error);
    }
    return TW_OK;
}

/* Money or tokens: which of them is for whoever knows the unit. */
static enum tw_status read_limit(const char *text, struct tw_field_value *value,
                                 struct tw_error *error)
{
    static const char letters[] = "kMG";
    const size_t n_bytes = strlen(text), n_digits = strspn(text, "0123456789.");
    if (n_bytes == 0 || n_bytes > TW_MONEY_TEXT_BYTES || n_digits == 0 ||
        (n_digits < n_bytes &&
         (n_digits + 1 < n_bytes || strchr(letters, text[n_digits]) == NULL))) {
        return refuse(text, "no limit: an amount like 250.00, or a number of tokens like 20M",
                      error);
    }
    value->text = text;
    return TW_OK;
}

/* ---- time ---- */

static enum tw_status read_duration(const char *text, struct tw_field_value *value,
                                    struct tw_error *error)
{
    static const int64_t factors[] = {1, MINUTE_S, HOUR_S, DAY_S};
    const size_t n_bytes = strlen(text);
    int64_t seconds = 0;
    const bool has_unit = n_bytes > 0 && strchr("smhd", text[n_bytes - 1]) != NULL;
    if ((!has_unit && strcmp(text, "0") != 0) || !read_scaled(text, "smhd", factors, &seconds) ||
        seconds > TW_LIMIT_HUB_DURATION_S) {
        return refuse(text, "no time like 90s, 30m, 24h or 7d, of at most a hundred years", error);
    }
    value->integer = seconds * TW_SECOND_NS;
    return TW_OK;
}

static int days_of_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

/* text has at least ten bytes. */
static bool read_date(const char *text, int64_t *ret_days)
{
    int64_t year, month, day;
    if (!read_digits(text, 4, &year) || text[4] != '-' || !read_digits(text + 5, 2, &month) ||
        text[7] != '-' || !read_digits(text + 8, 2, &day) || year < FIRST_YEAR ||
        year > LAST_YEAR || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month)) {
        return false;
    }
    *ret_days = tw_zone_day_of(year, (int)month, (int)day);
    return true;
}

/* "T18:00:00Z" */
static bool read_clock_time(const char *text, int64_t *ret_seconds)
{
    int64_t hour, minute, second;
    if (text[0] != 'T' || !read_digits(text + 1, 2, &hour) || text[3] != ':' ||
        !read_digits(text + 4, 2, &minute) || text[6] != ':' ||
        !read_digits(text + 7, 2, &second) || text[9] != 'Z' || hour > 23 || minute > 59 ||
        second > 59) {
        return false;
    }
    *ret_seconds = hour * HOUR_S + minute * MINUTE_S + second;
    return true;
}

static enum tw_status read_when(const struct tw_field *field, const char *text, int64_t now_ns,
                                struct tw_field_value *value, struct tw_error *error)
{
    const size_t n_bytes = strlen(text);
    int64_t days = 0, seconds = 0;
    if (strcmp(text, "now") == 0) {
        value->integer = now_ns;
        return TW_OK;
    }
    if (strcmp(text, "never") == 0 && field->least == 1) {
        value->integer = 0;
        return TW_OK;
    }
    if (text[0] == '+') {
        enum tw_status status = read_duration(text + 1, value, error);
        value->integer += now_ns;
        return status;
    }
    if ((n_bytes != DATE_BYTES && n_bytes != INSTANT_BYTES) || !read_date(text, &days) ||
        (n_bytes == INSTANT_BYTES && !read_clock_time(text + DATE_BYTES, &seconds))) {
        return refuse(text,
                      field->least == 1
                          ? "no time: a date like 2026-12-31 (its beginning in UTC), an instant "
                            "like 2026-12-31T18:00:00Z, 'now', '+90d' or 'never'"
                          : "no time: a date like 2026-12-31 (its beginning in UTC), an instant "
                            "like 2026-12-31T18:00:00Z, 'now', or '+90d'",
                      error);
    }
    value->integer = (days * DAY_S + seconds) * TW_SECOND_NS;
    return TW_OK;
}

/* ---- one value ---- */

static enum tw_status read_choice(const struct tw_field *field, const char *text,
                                  struct tw_field_value *value, struct tw_error *error)
{
    char all[160] = "";
    size_t used = 0;
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (strcmp(text, field->choices[i]) == 0) {
            value->integer = i;
            value->text = field->choices[i];
            return TW_OK;
        }
        const int n =
            snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", field->choices[i]);
        used += n > 0 && (size_t)n < sizeof all - used ? (size_t)n : 0;
    }
    const char *guess = tw_suggest_word(text, field->choices);
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "'%.60s' is none of %s%s%s%s", text,
                        all, guess != NULL ? "; did you mean '" : "", guess != NULL ? guess : "",
                        guess != NULL ? "'?" : "");
}

enum tw_status tw_commands_read_text(const struct tw_field *field, const char *text, int64_t now_ns,
                                     struct tw_field_value *ret_value, struct tw_error *error)
{
    struct tw_field_value value = {.is_set = true};
    enum tw_status status = TW_OK;
    switch (field->kind) {
    case TW_FIELD_PATH:
        status = read_path(field, text, &value, error);
        break;
    case TW_FIELD_NAME:
        status = read_name(text, &value, error);
        break;
    case TW_FIELD_TEXT:
    case TW_FIELD_LIST:
        status = read_printable(text, &value, error);
        break;
    case TW_FIELD_INTEGER:
    case TW_FIELD_TOKENS:
        status = read_integer(field, text, &value, error);
        break;
    case TW_FIELD_AMOUNT:
        status = read_amount(field, text, &value, error);
        break;
    case TW_FIELD_LIMIT:
        status = read_limit(text, &value, error);
        break;
    case TW_FIELD_WHEN:
        status = read_when(field, text, now_ns, &value, error);
        break;
    case TW_FIELD_DURATION:
        status = read_duration(text, &value, error);
        break;
    case TW_FIELD_CHOICE:
        status = read_choice(field, text, &value, error);
        break;
    case TW_FIELD_FLAG:
        status = refuse(text, "no value of a flag: true or false", error);
        break;
    }
    if (status == TW_OK) {
        *ret_value = value;
    }
    return status;
}

/* ---- from JSON ---- */

static const char *json_word(const struct tw_field *field)
{
    switch (field->kind) {
    case TW_FIELD_INTEGER:
    case TW_FIELD_TOKENS:
        return "a whole number";
    case TW_FIELD_LIMIT:
        return "a string like \"250.00\", or a whole number";
    case TW_FIELD_FLAG:
        return "true or false";
    case TW_FIELD_LIST:
        return "a list of strings";
    case TW_FIELD_PATH:
    case TW_FIELD_NAME:
    case TW_FIELD_TEXT:
    case TW_FIELD_AMOUNT:
    case TW_FIELD_WHEN:
    case TW_FIELD_DURATION:
    case TW_FIELD_CHOICE:
        break;
    }
    return "a string";
}

/* NUL in a string would end what we look at before what was sent. */
static const char *plain_text(const json_t *json)
{
    const char *text = json_string_value(json);
    return text != NULL && strlen(text) == json_string_length(json) ? text : NULL;
}

static enum tw_status read_list(const struct tw_field *field, const json_t *json,
                                struct tw_field_value *value, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    struct tw_field_value item;
    if (json_array_size(json) > TW_LIMIT_HUB_LIST_NAMES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "there are %zu; at most %d",
                            json_array_size(json), TW_LIMIT_HUB_LIST_NAMES);
    }
    for (size_t i = 0; status == TW_OK && i < json_array_size(json); i++) {
        const char *text = plain_text(json_array_get(json, i));
        status = text != NULL ? tw_commands_read_text(field, text, 0, &item, error)
                              : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                             "item %zu must be a string", i);
    }
    if (status == TW_OK) {
        *value = (struct tw_field_value){.is_set = true, .list = json};
    }
    return status;
}

static enum tw_status read_json(const struct tw_field *field, const json_t *json, int64_t now_ns,
                                struct tw_field_value *value, struct tw_error *error)
{
    const char *text = plain_text(json);
    const bool is_number = field->kind == TW_FIELD_INTEGER || field->kind == TW_FIELD_TOKENS;
    if (field->kind == TW_FIELD_FLAG && json_is_boolean(json)) {
        *value = (struct tw_field_value){.is_set = true, .integer = json_is_true(json)};
        return TW_OK;
    }
    if (field->kind == TW_FIELD_LIST && json_is_array(json)) {
        return read_list(field, json, value, error);
    }
    if (json_is_integer(json) && (is_number || field->kind == TW_FIELD_LIMIT)) {
        const struct tw_field_value number = {.is_set = true, .integer = json_integer_value(json)};
        enum tw_status status =
            field->kind == TW_FIELD_LIMIT ? TW_OK : check_bounds(field, number.integer, error);
        if (status == TW_OK) {
            *value = number;
        }
        return status;
    }
    if (text != NULL && !is_number && field->kind != TW_FIELD_FLAG &&
        field->kind != TW_FIELD_LIST) {
        return tw_commands_read_text(field, text, now_ns, value, error);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "it must be %s", json_word(field));
}

static enum tw_status unknown_field(const struct tw_hub_verb *verb, const char *name,
                                    struct tw_error *error)
{
    const char *names[TW_LIMIT_HUB_FIELDS + 1] = {NULL};
    for (size_t i = 0; i < verb->n_fields; i++) {
        names[i] = verb->fields[i].name;
    }
    const char *guess = tw_suggest_word(name, names);
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%s %s has no field '%.60s'%s%s%s",
                        verb->group, verb->verb, name, guess != NULL ? "; did you mean '" : "",
                        guess != NULL ? guess : "", guess != NULL ? "'?" : "");
}

enum tw_status tw_commands_read(const struct tw_hub_verb *verb, json_t *fields, int64_t now_ns,
                                struct tw_field_value ret_values[TW_LIMIT_HUB_FIELDS],
                                struct tw_error *error)
{
    struct tw_field_value values[TW_LIMIT_HUB_FIELDS] = {{0}};
    size_t n_known = 0;
    for (size_t i = 0; i < verb->n_fields; i++) {
        const struct tw_field *field = &verb->fields[i];
        const json_t *json = json_object_get(fields, field->name);
        if (json == NULL && field->is_required) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%s %s needs '%s': %s",
                                verb->group, verb->verb, field->name, field->help);
        }
        if (json == NULL) {
            continue;
        }
        n_known++;
        if (read_json(field, json, now_ns, &values[i], error) != TW_OK) {
            tw_error_prefix(error, "%s", field->name);
            return error->status;
        }
    }
    if (json_object_size(fields) > n_known) {
        const char *name;
        json_t *value;
        json_object_foreach (fields, name, value) {
            if (tw_commands_field(verb, name) == NULL) {
                return unknown_field(verb, name, error);
            }
        }
    }
    memcpy(ret_values, values, sizeof values);
    return TW_OK;
}
