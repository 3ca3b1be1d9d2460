#include "plan/meter_log.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/zone.h"
#include "text/csv_read.h"
#include "text/lines.h"

struct reading {
    int64_t at_ns;
    char boot[TW_LIMIT_METER_BOOT_BYTES];
    uint32_t n;
    struct counter {
        char name[TW_LIMIT_METER_NAME_BYTES];
        uint64_t energy_uj, range_uj;
    } counters[TW_LIMIT_METERS];
};

struct reader {
    struct tw_meter_log *log;
    const char *file;
    struct tw_error *error;
    uint64_t line;
    size_t room;
    struct reading last, now;
    int64_t latest_ns; /* no span begins before it: a clock that was set back says times twice */
    bool has_last, has_now;
};

static enum tw_status wrong(const struct reader *r, const char *what, const char *text,
                            const char *instead)
{
    return tw_error_set(r->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.100s': line %llu: %s '%.60s'; %s", r->file, (unsigned long long)r->line,
                        what, text, instead);
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for readings");
}

/* ---- a row ---- */

static bool take_digits(const char **at, int n_digits, int least, int most, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < n_digits; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        number = number * 10 + (**at - '0');
    }
    *ret_number = number;
    return number >= least && number <= most;
}

static bool take_char(const char **at, char wanted)
{
    const bool is_it = **at == wanted;
    *at += is_it;
    return is_it;
}

/* "2026-11-28T10:00:00Z", with a fraction of up to nine digits. */
static bool parse_time(const char *text, int64_t *ret_ns)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = text;
    int year, month, day, hour, minute, second;
    int64_t fraction_ns = 0, unit_ns = TW_SECOND_NS / 10;
    if (!take_digits(&at, 4, 1970, 2261, &year) || !take_char(&at, '-') ||
        !take_digits(&at, 2, 1, 12, &month) || !take_char(&at, '-') ||
        !take_digits(&at, 2, 1, 31, &day) || !take_char(&at, 'T') ||
        !take_digits(&at, 2, 0, 23, &hour) || !take_char(&at, ':') ||
        !take_digits(&at, 2, 0, 59, &minute) || !take_char(&at, ':') ||
        !take_digits(&at, 2, 0, 59, &second)) {
        return false;
    }
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > days[month - 1] + (month == 2 && is_leap)) {
        return false;
    }
    if (take_char(&at, '.')) {
        for (; *at >= '0' && *at <= '9' && unit_ns > 0; at++, unit_ns /= 10) {
            fraction_ns += (*at - '0') * unit_ns;
        }
    }
    const int64_t seconds =
        tw_zone_day_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_ns = seconds * TW_SECOND_NS + fraction_ns;
    return take_char(&at, 'Z') && *at == '\0';
}

static bool parse_count(const char *text, uint64_t *ret_count)
{
    uint64_t count = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || __builtin_mul_overflow(count, 10, &count) ||
            __builtin_add_overflow(count, (uint64_t)(*c - '0'), &count)) {
            return false;
        }
    }
    *ret_count = count;
    return text[0] != '\0';
}

static enum tw_status parse_counter(struct reader *r, const struct tw_csv_row *row,
                                    struct counter *ret_counter)
{
    static const char count_hint[] = "write a whole number of microjoules, 0 to 2^64 - 1";
    struct counter *counter = ret_counter;
    const size_t n_bytes = strlen(row->fields[2]);
    if (n_bytes == 0 || n_bytes >= sizeof counter->name) {
        return wrong(r, "a counter's name", row->fields[2], "write 1 to 95 bytes");
    }
    memcpy(counter->name, row->fields[2], n_bytes + 1);
    if (!parse_count(row->fields[3], &counter->energy_uj)) {
        return wrong(r, "energy_uj is", row->fields[3], count_hint);
    }
    if (!parse_count(row->fields[4], &counter->range_uj)) {
        return wrong(r, "range_uj is", row->fields[4],
                     "write the largest number of microjoules that the counter shows, or 0 if it "
                     "has no end");
    }
    if (counter->range_uj > 0 && counter->energy_uj > counter->range_uj) {
        return wrong(r, "energy_uj is", row->fields[3], "it cannot be more than range_uj");
    }
    return TW_OK;
}

/* ---- two readings ---- */

static bool is_wall(const struct counter *counter)
{
    return strncmp(counter->name, "wall", strlen("wall")) == 0;
}

/* Leaves out what a counter of the whole machine has in it. */
static void keep_wall(struct reading *reading)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < reading->n; i++) {
        if (is_wall(&reading->counters[i])) {
            reading->counters[n++] = reading->counters[i];
        }
    }
    reading->n = n > 0 ? n : reading->n;
}

static const struct counter *find_counter(const struct reading *reading, const char *name)
{
    for (uint32_t i = 0; i < reading->n; i++) {
        if (strcmp(reading->counters[i].name, name) == 0) {
            return &reading->counters[i];
        }
    }
    return NULL;
}

int64_t tw_meter_log_trust_ns(uint64_t range_uj)
{
    const uint64_t seconds = range_uj / (TW_LIMIT_METER_WATTS * UINT64_C(1000000));
    return range_uj == 0 || seconds > (uint64_t)(INT64_MAX / TW_SECOND_NS)
               ? INT64_MAX
               : (int64_t)(range_uj / (TW_LIMIT_METER_WATTS * UINT64_C(1000))) * 1000000;
}

/* What each counter rose by; false: that is not known, and was counted as what it is. */
static bool differences(struct reader *r, double ret_joules[TW_LIMIT_METERS])
{
    struct tw_meter_log *log = r->log;
    uint64_t n_wraps = 0;
    if (strcmp(r->last.boot, r->now.boot) != 0) {
        log->n_restarts++;
        return false;
    }
    if (r->now.n != r->last.n) {
        log->n_changes++;
        return false;
    }
    for (uint32_t i = 0; i < r->now.n; i++) {
        const struct counter *now = &r->now.counters[i];
        const struct counter *before = find_counter(&r->last, now->name);
        if (before == NULL || before->range_uj != now->range_uj) {
            log->n_changes++;
            return false;
        }
        if (r->now.at_ns - r->last.at_ns > tw_meter_log_trust_ns(now->range_uj)) {
            log->n_pauses++;
            return false;
        }
        uint64_t rise_uj = now->energy_uj - before->energy_uj;
        if (now->energy_uj < before->energy_uj) {
            if (now->range_uj == 0) {
                log->n_restarts++;
                return false;
            }
            rise_uj = now->range_uj - before->energy_uj + now->energy_uj;
            n_wraps++;
        }
        ret_joules[i] = (double)rise_uj * 1e-6;
    }
    log->n_wraps += n_wraps;
    return true;
}

static enum tw_status sum_of(struct reader *r, const char *name, struct tw_meter_sum **ret_sum)
{
    struct tw_meter_log *log = r->log;
    for (uint32_t i = 0; i < log->n_meters; i++) {
        if (strcmp(log->meters[i].name, name) == 0) {
            *ret_sum = &log->meters[i];
            return TW_OK;
        }
    }
    if (log->n_meters == TW_LIMIT_METERS) {
        return tw_error_set(r->error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%.100s': line %llu: more than %d different counters: a file is of "
                            "one machine",
                            r->file, (unsigned long long)r->line, TW_LIMIT_METERS);
    }
    *ret_sum = &log->meters[log->n_meters++];
    memcpy((*ret_sum)->name, name, strlen(name) + 1);
    return TW_OK;
}

static enum tw_status add_span(struct reader *r, const double joules[TW_LIMIT_METERS])
{
    struct tw_meter_log *log = r->log;
    struct tw_meter_span span = {.from_ns = r->last.at_ns, .to_ns = r->now.at_ns};
    for (uint32_t i = 0; i < r->now.n; i++) {
        struct tw_meter_sum *sum = NULL;
        enum tw_status status = sum_of(r, r->now.counters[i].name, &sum);
        if (status != TW_OK) {
            return status;
        }
        sum->joules += joules[i];
        span.joules += joules[i];
        log->is_wall = log->is_wall || is_wall(&r->now.counters[i]);
    }
    if (log->n_spans == r->room) {
        const size_t room = r->room > 0 ? 2 * r->room : 64;
        struct tw_meter_span *spans = tw_mem_realloc(log->spans, room, sizeof *spans);
        if (spans == NULL) {
            return no_memory(r->error);
        }
        log->spans = spans;
        r->room = room;
    }
    log->spans[log->n_spans++] = span;
    log->joules += span.joules;
    log->covered_ns += span.to_ns - span.from_ns;
    return TW_OK;
}

/* A reading is whole when a row of another time, or the end, follows. */
static enum tw_status end_reading(struct reader *r)
{
    double joules[TW_LIMIT_METERS];
    enum tw_status status = TW_OK;
    if (!r->has_now) {
        return TW_OK;
    }
    keep_wall(&r->now);
    r->has_now = false;
    r->log->n_readings++;
    if (r->has_last && r->now.at_ns <= r->last.at_ns) {
        r->log->n_set_back++;
    } else if (r->has_last && r->last.at_ns >= r->latest_ns && differences(r, joules)) {
        status = add_span(r, joules);
    }
    r->latest_ns = r->now.at_ns > r->latest_ns ? r->now.at_ns : r->latest_ns;
    r->last = r->now;
    r->has_last = true;
    return status;
}

static enum tw_status take_row(struct reader *r, struct tw_bytes line)
{
    struct tw_csv_row row;
    struct counter counter;
    int64_t at_ns;
    enum tw_status status = tw_csv_read_row(line, &row, r->error);
    if (status != TW_OK) {
        tw_error_prefix(r->error, "'%.100s': line %llu: ", r->file, (unsigned long long)r->line);
        return status;
    }
    if (row.n_fields != 5) {
        return wrong(r, "a row like", row.fields[0], "write " TW_METER_LOG_TITLES);
    }
    if (!parse_time(row.fields[0], &at_ns)) {
        return wrong(r, "the time is", row.fields[0], "write it as 2026-11-28T10:00:00Z");
    }
    if (strlen(row.fields[1]) >= TW_LIMIT_METER_BOOT_BYTES) {
        return wrong(r, "boot is", row.fields[1], "write at most 63 bytes");
    }
    status = parse_counter(r, &row, &counter);
    if (status != TW_OK) {
        return status;
    }
    if (r->has_now && (r->now.at_ns != at_ns || strcmp(r->now.boot, row.fields[1]) != 0)) {
        status = end_reading(r);
    }
    if (status == TW_OK && !r->has_now) {
        r->now.at_ns = at_ns;
        memcpy(r->now.boot, row.fields[1], strlen(row.fields[1]) + 1);
        r->now.n = 0;
        r->has_now = true;
    }
    if (status == TW_OK && find_counter(&r->now, counter.name) != NULL) {
        return wrong(r, "a second row of", counter.name, "a counter has one row for each time");
    }
    if (status == TW_OK && r->now.n == TW_LIMIT_METERS) {
        return wrong(r, "one counter too many:", counter.name, "a machine has at most 64");
    }
    if (status == TW_OK) {
        r->now.counters[r->now.n++] = counter;
    }
    return status;
}

/* ---- a file ---- */

static enum tw_status read_rows(struct reader *r, struct tw_bytes text)
{
    struct tw_lines lines = {.text = text};
    bool has_titles = false;
    enum tw_status status = TW_OK;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(&lines, &line);) {
        r->line = lines.number;
        line.size_bytes = tw_bytes_trimmed(line);
        if (line.data[0] == '#') {
            continue;
        }
        if (!has_titles && !tw_bytes_equal(line, tw_bytes_of(TW_METER_LOG_TITLES))) {
            char begins[40];
            snprintf(begins, sizeof begins, "%.*s",
                     (int)(line.size_bytes < 39 ? line.size_bytes : 39), line.data);
            return wrong(r, "it begins with", begins, "write the titles " TW_METER_LOG_TITLES);
        }
        status = has_titles ? take_row(r, line) : TW_OK;
        has_titles = true;
    }
    return status == TW_OK ? end_reading(r) : status;
}

enum tw_status tw_meter_log_read(const char *file, const char *text, size_t text_bytes,
                                 struct tw_meter_log **ret_log, struct tw_error *error)
{
    struct reader *r = tw_mem_zalloc(1, sizeof *r);
    struct tw_meter_log *log = tw_mem_zalloc(1, sizeof *log);
    enum tw_status status = r != NULL && log != NULL ? TW_OK : no_memory(error);
    while (text_bytes > 0 && text[text_bytes - 1] != '\n') {
        text_bytes--;
    }
    if (status == TW_OK) {
        r->log = log;
        r->file = file;
        r->error = error;
        status = read_rows(r, (struct tw_bytes){text, text_bytes});
    }
    tw_mem_free(r);
    if (status != TW_OK) {
        tw_meter_log_free(log);
        return status;
    }
    *ret_log = log;
    return TW_OK;
}

enum tw_status tw_meter_log_load(const char *path, struct tw_meter_log **ret_log,
                                 struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(path, TW_LIMIT_METER_FILE_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_meter_log_read(path, buf.data, buf.size_bytes, ret_log, error);
    tw_buf_free(&buf);
    return status;
}

void tw_meter_log_free(struct tw_meter_log *log)
{
    if (log != NULL) {
        tw_mem_free(log->spans);
        tw_mem_free(log);
    }
}

/* ---- several machines ---- */

static double share_of(const struct tw_meter_span *span, int64_t from_ns, int64_t to_ns)
{
    return span->joules * ((double)(to_ns - from_ns) / (double)(span->to_ns - span->from_ns));
}

/* The times that both cover; together they have at most as many pieces as both have spans. */
static enum tw_status intersect(struct tw_meter_cover *cover, const struct tw_meter_log *log,
                                struct tw_error *error)
{
    struct tw_meter_span *spans = tw_mem_alloc(cover->n_spans + log->n_spans + 1, sizeof *spans);
    size_t n = 0, i = 0, j = 0;
    if (spans == NULL) {
        return no_memory(error);
    }
    while (i < cover->n_spans && j < log->n_spans) {
        const struct tw_meter_span *a = &cover->spans[i], *b = &log->spans[j];
        const int64_t from_ns = a->from_ns > b->from_ns ? a->from_ns : b->from_ns;
        const int64_t to_ns = a->to_ns < b->to_ns ? a->to_ns : b->to_ns;
        if (from_ns < to_ns) {
            spans[n++] = (struct tw_meter_span){
                from_ns, to_ns, share_of(a, from_ns, to_ns) + share_of(b, from_ns, to_ns)};
        }
        if (a->to_ns < b->to_ns) {
            i++;
        } else {
            j++;
        }
    }
    tw_mem_free(cover->spans);
    cover->spans = spans;
    cover->n_spans = n;
    return TW_OK;
}

enum tw_status tw_meter_log_cover(struct tw_meter_log *const *logs, size_t n_logs, int64_t from_ns,
                                  int64_t to_ns, struct tw_meter_cover *ret_cover,
                                  struct tw_error *error)
{
    struct tw_meter_cover cover = {.spans = tw_mem_alloc(1, sizeof *cover.spans)};
    if (cover.spans == NULL) {
        return no_memory(error);
    }
    cover.n_spans = from_ns < to_ns && n_logs > 0;
    cover.spans[0] = (struct tw_meter_span){from_ns, to_ns, 0};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < n_logs; i++) {
        status = intersect(&cover, logs[i], error);
    }
    if (status != TW_OK) {
        tw_mem_free(cover.spans);
        return status;
    }
    for (size_t i = 0; i < cover.n_spans; i++) {
        cover.joules += cover.spans[i].joules;
        cover.covered_ns += cover.spans[i].to_ns - cover.spans[i].from_ns;
    }
    *ret_cover = cover;
    return TW_OK;
}

bool tw_meter_log_covers(const struct tw_meter_cover *cover, int64_t at_ns)
{
    size_t first = 0, end = cover->n_spans; /* the first span that ends behind it */
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (cover->spans[middle].to_ns > at_ns) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    return first < cover->n_spans && cover->spans[first].from_ns <= at_ns;
}

void tw_meter_log_cover_free(struct tw_meter_cover *cover)
{
    tw_mem_free(cover->spans);
    cover->spans = NULL;
    cover->n_spans = 0;
}
