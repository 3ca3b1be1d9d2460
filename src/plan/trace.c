/* Workloads that were recorded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "plan/trace.h"
#include "text/csv_read.h"
#include "text/lines.h"

/* ---- times ---- */

/* Days from 1970-01-01 of a day of the Gregorian calendar (Hinnant, "chrono-compatible low-level
 * date algorithms"). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    const int64_t era = year / 400, of_era = year - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool digits(const char **at, int n_most, int64_t *ret_value)
{
    int64_t value = 0;
    int n = 0;
    while (n < n_most && **at >= '0' && **at <= '9') {
        value = value * 10 + *(*at)++ - '0';
        n++;
    }
    *ret_value = value;
    return n > 0;
}

/* "2023-11-16 18:17:03.9799600", with a T in the middle and a Z behind as well. In nanoseconds, so
 * that no digit is lost. */
static bool date_time_ns(const char *text, int64_t *ret_ns)
{
    static const char between[] = "-- ::";
    int64_t parts[6];
    for (int i = 0; i < 6; i++) {
        if (!digits(&text, 4, &parts[i])) {
            return false;
        }
        if (i < 5 && *text != between[i] && !(i == 2 && *text == 'T')) {
            return false;
        }
        text += i < 5;
    }
    int64_t ns = 0, scale = 100000000;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10) {
            ns += (*text - '0') * scale;
        }
    }
    if ((*text != '\0' && strcmp(text, "Z") != 0) || parts[0] < 1970 || parts[1] < 1 ||
        parts[1] > 12 || parts[2] < 1 || parts[2] > 31 || parts[3] > 24 || parts[4] > 60 ||
        parts[5] > 60 || parts[0] > 2200) {
        return false;
    }
    *ret_ns =
        ((days_of(parts[0], parts[1], parts[2]) * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5];
    *ret_ns = *ret_ns * 1000000000 + ns;
    return true;
}

/* ---- what columns mean ---- */

enum { ARRIVAL, INPUT, OUTPUT, TTFT, TPOT, N_MEANINGS };

struct column {
    const char *title;
    int meaning;
    double unit; /* in ns for times */
};

static const struct column columns[] = {
    {"arrival_s", ARRIVAL, 1e9},    {"arrival_ms", ARRIVAL, 1e6}, {"timestamp", ARRIVAL, 1e6},
    {"timestamp_s", ARRIVAL, 1e9},  {"input_tokens", INPUT, 1},   {"ContextTokens", INPUT, 1},
    {"input_length", INPUT, 1},     {"prompt_tokens", INPUT, 1},  {"output_tokens", OUTPUT, 1},
    {"GeneratedTokens", OUTPUT, 1}, {"output_length", OUTPUT, 1}, {"completion_tokens", OUTPUT, 1},
    {"ttft_ms", TTFT, 1e6},         {"ttft_s", TTFT, 1e9},        {"tpot_ms", TPOT, 1e6},
    {"tpot_s", TPOT, 1e9},
};
#define N_COLUMNS (sizeof columns / sizeof columns[0])

static const struct column *column_of(const char *title)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        if (strcasecmp(columns[i].title, title) == 0) {
            return &columns[i];
        }
    }
    return NULL;
}

/* ---- rows ---- */

struct row {
    int64_t arrival_ns;
    double values[N_MEANINGS]; /* NaN: absent */
    uint64_t first_block;
    uint32_t n_blocks, number;
};

struct reading {
    const char *file;
    struct tw_error *error;
    struct row *rows;
    uint64_t n_rows, capacity;
    uint64_t *blocks;
    uint64_t n_blocks, blocks_capacity;
    const struct column *of_field[TW_LIMIT_CSV_FIELDS];
    uint32_t n_fields;
    uint64_t line;
};

static enum tw_status refuse(const struct reading *r, const char *what, const char *text)
{
    return tw_error_set(r->error, TW_ERR_FORMAT, r->line, "%s:%llu: %s \"%s\"", r->file,
                        (unsigned long long)r->line, what, text);
}

static enum tw_status no_memory(const struct reading *r)
{
    return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
}

static bool grow(void **items, uint64_t *capacity, uint64_t n, size_t item_bytes)
{
    if (n < *capacity) {
        return true;
    }
    uint64_t larger = *capacity == 0 ? 1024 : 2 * *capacity;
    larger = larger > n ? larger : n + 1;
    void *grown = tw_mem_realloc(*items, larger, item_bytes);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

static enum tw_status take_value(const struct reading *r, const struct column *column, double value,
                                 struct row *row)
{
    const bool is_count = column->meaning == INPUT || column->meaning == OUTPUT;
    if (value < 0 ||
        (is_count && (value > TW_LIMIT_PLAN_CONTEXT_TOKENS / 2 || value != floor(value)))) {
        return refuse(r,
                      is_count ? "a number of tokens must be whole and at most eight million:"
                               : "a time may not be below 0:",
                      column->title);
    }
    row->values[column->meaning] = value * column->unit;
    if (column->meaning == ARRIVAL) {
        if (value * column->unit > 9e18) {
            return refuse(r, "a time is too late:", column->title);
        }
        row->arrival_ns = (int64_t)(value * column->unit + 0.5);
    }
    return TW_OK;
}

static enum tw_status add_row(struct reading *r, const struct row *row)
{
    static const char *const names[] = {"a time of arrival (arrival_s)",
                                        "a number of tokens in (input_tokens)",
                                        "a number of tokens out (output_tokens)"};
    for (int i = ARRIVAL; i <= OUTPUT; i++) {
        if (isnan(row->values[i])) {
            return refuse(r, "a request needs", names[i]);
        }
    }
    if (r->n_rows >= TW_LIMIT_PLAN_REQUESTS) {
        return tw_error_set(r->error, TW_ERR_LIMIT, r->line, "%s: more than %u requests", r->file,
                            TW_LIMIT_PLAN_REQUESTS);
    }
    if (!grow((void **)&r->rows, &r->capacity, r->n_rows, sizeof *r->rows)) {
        return no_memory(r);
    }
    r->rows[r->n_rows] = *row;
    r->rows[r->n_rows].number = (uint32_t)r->n_rows;
    r->n_rows++;
    return TW_OK;
}

static struct row empty_row(void)
{
    struct row row = {0};
    for (int i = 0; i < N_MEANINGS; i++) {
        row.values[i] = NAN;
    }
    return row;
}

/* ---- CSV ---- */

static enum tw_status read_titles(struct reading *r, const struct tw_csv_row *csv)
{
    bool has[N_MEANINGS] = {false};
    r->n_fields = csv->n_fields;
    for (uint32_t i = 0; i < csv->n_fields; i++) {
        r->of_field[i] = column_of(csv->fields[i]);
        if (r->of_field[i] != NULL && has[r->of_field[i]->meaning]) {
            return refuse(r, "two columns say the same; the second is", csv->fields[i]);
        }
        if (r->of_field[i] != NULL) {
            has[r->of_field[i]->meaning] = true;
        }
    }
    if (!has[ARRIVAL] || !has[INPUT] || !has[OUTPUT]) {
        return refuse(r,
                      "the first line must have the titles arrival_s, input_tokens and "
                      "output_tokens (or a form in docs/plan-workloads.md); missing:",
                      !has[ARRIVAL] ? "arrival_s"
                      : !has[INPUT] ? "input_tokens"
                                    : "output_tokens");
    }
    return TW_OK;
}

static enum tw_status read_csv_row(struct reading *r, const struct tw_csv_row *csv)
{
    if (csv->n_fields != r->n_fields) {
        return refuse(r, "another number of fields than the titles, near", csv->fields[0]);
    }
    struct row row = empty_row();
    for (uint32_t i = 0; i < csv->n_fields; i++) {
        double value;
        const struct column *column = r->of_field[i];
        if (column == NULL || (csv->fields[i][0] == '\0' && column->meaning > OUTPUT)) {
            continue;
        }
        enum tw_status status = TW_OK;
        if (tw_csv_number_of(csv->fields[i], &value)) {
            status = take_value(r, column, value, &row);
        } else if (column->meaning == ARRIVAL && date_time_ns(csv->fields[i], &row.arrival_ns)) {
            row.values[ARRIVAL] = 0;
        } else {
            status = refuse(r, "this is no number, and no date and time:", csv->fields[i]);
        }
        if (status != TW_OK) {
            return status;
        }
    }
    return add_row(r, &row);
}

static enum tw_status read_csv(struct reading *r, struct tw_lines *lines)
{
    struct tw_csv_row *csv = tw_mem_alloc(1, sizeof *csv);
    enum tw_status status = csv != NULL ? TW_OK : no_memory(r);
    bool has_titles = false;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(lines, &line);) {
        r->line = lines->number;
        status = tw_csv_read_row(line, csv, r->error);
        if (status != TW_OK) {
            tw_error_prefix(r->error, "%s:%llu", r->file, (unsigned long long)r->line);
            break;
        }
        status = has_titles ? read_csv_row(r, csv) : read_titles(r, csv);
        has_titles = true;
    }
    tw_mem_free(csv);
    return status;
}

/* ---- JSONL ---- */

static enum tw_status read_blocks(struct reading *r, const json_t *ids, struct row *row)
{
    size_t i;
    const json_t *id;
    row->first_block = r->n_blocks;
    json_array_foreach (ids, i, id) {
        if (!json_is_integer(id)) {
            return refuse(r, "hash_ids must be whole numbers:", "hash_ids");
        }
        if (r->n_blocks >= TW_LIMIT_PLAN_BLOCKS) {
            return tw_error_set(r->error, TW_ERR_LIMIT, r->line, "%s: more than %u hash_ids",
                                r->file, TW_LIMIT_PLAN_BLOCKS);
        }
        if (!grow((void **)&r->blocks, &r->blocks_capacity, r->n_blocks, sizeof *r->blocks)) {
            return no_memory(r);
        }
        r->blocks[r->n_blocks++] = (uint64_t)json_integer_value(id);
        row->n_blocks++;
    }
    return TW_OK;
}

static enum tw_status read_object(struct reading *r, json_t *object)
{
    const char *key;
    json_t *value;
    struct row row = empty_row();
    enum tw_status status = TW_OK;
    json_object_foreach (object, key, value) {
        const struct column *column = column_of(key);
        if (strcmp(key, "hash_ids") == 0) {
            status = read_blocks(r, value, &row);
        } else if (column != NULL && json_is_number(value)) {
            status = take_value(r, column, json_number_value(value), &row);
        } else if (column != NULL && column->meaning == ARRIVAL && json_is_string(value) &&
                   date_time_ns(json_string_value(value), &row.arrival_ns)) {
            row.values[ARRIVAL] = 0;
        } else if (column != NULL && !json_is_null(value)) {
            status = refuse(r, "this must be a number:", key);
        }
        if (status != TW_OK) {
            return status;
        }
    }
    return add_row(r, &row);
}

static enum tw_status read_jsonl(struct reading *r, struct tw_lines *lines)
{
    enum tw_status status = TW_OK;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(lines, &line);) {
        json_t *object;
        size_t column;
        r->line = lines->number;
        status = tw_json_parse_line(line.data, line.size_bytes, &object, &column, r->error);
        if (status != TW_OK) {
            tw_error_prefix(r->error, "%s:%llu", r->file, (unsigned long long)r->line);
            break;
        }
        status = json_is_object(object) ? read_object(r, object)
                                        : refuse(r, "each line must be an object", "{...}");
        json_decref(object);
    }
    return status;
}

/* ---- the whole ---- */

static int by_arrival(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->arrival_ns != y->arrival_ns) {
        return x->arrival_ns < y->arrival_ns ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum tw_status finish(struct reading *r, uint32_t block_tokens,
                             struct tw_workload *ret_workload, struct tw_trace_times **ret_times)
{
    if (r->n_rows == 0) {
        return refuse(r, "there is no request in", r->file);
    }
    struct tw_plan_request *requests = tw_mem_zalloc(r->n_rows, sizeof *requests);
    struct tw_trace_times *times = tw_mem_zalloc(r->n_rows, sizeof *times);
    if (requests == NULL || times == NULL) {
        tw_mem_free(requests);
        tw_mem_free(times);
        return no_memory(r);
    }
    qsort(r->rows, r->n_rows, sizeof *r->rows, by_arrival);
    for (uint64_t i = 0; i < r->n_rows; i++) {
        const struct row *row = &r->rows[i];
        requests[i] = (struct tw_plan_request){
            .arrival_ns = (uint64_t)(row->arrival_ns - r->rows[0].arrival_ns),
            .n_input = row->values[INPUT] < 1 ? 1 : (uint32_t)row->values[INPUT],
            .n_output = row->values[OUTPUT] < 1 ? 1 : (uint32_t)row->values[OUTPUT],
            .first_block = (uint32_t)row->first_block,
            .n_blocks = row->n_blocks,
        };
        times[i] = (struct tw_trace_times){row->values[TTFT] / 1e9, row->values[TPOT] / 1e9};
    }
    const double span = (double)requests[r->n_rows - 1].arrival_ns / 1e9;
    *ret_workload = (struct tw_workload){
        .requests = requests,
        .n_requests = (uint32_t)r->n_rows,
        .blocks = r->blocks,
        .n_blocks = r->n_blocks,
        .block_tokens = block_tokens > 0 ? block_tokens : 512,
        /* The mean gap behind the last one too. */
        .duration_s = r->n_rows > 1 ? span * (double)r->n_rows / (double)(r->n_rows - 1) : 1,
    };
    r->blocks = NULL;
    *ret_times = times;
    return TW_OK;
}

enum tw_status tw_trace_read(const char *file, const char *text, size_t text_bytes,
                             uint32_t block_tokens, struct tw_workload *ret_workload,
                             struct tw_trace_times **ret_times, struct tw_error *error)
{
    struct reading r = {.file = file, .error = error};
    /* Spreadsheets put a byte order mark before the first title. */
    const bool has_mark = text_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
    struct tw_lines lines = {.text = {text, text_bytes}};
    if (has_mark) {
        lines.text = (struct tw_bytes){text + 3, text_bytes - 3};
    }
    struct tw_lines first = lines;
    struct tw_bytes line = {"", 0};
    tw_lines_next(&first, &line);
    while (line.size_bytes > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
        line = (struct tw_bytes){line.data + 1, line.size_bytes - 1};
    }
    enum tw_status status =
        line.size_bytes > 0 && line.data[0] == '{' ? read_jsonl(&r, &lines) : read_csv(&r, &lines);
    if (status == TW_OK) {
        status = finish(&r, block_tokens, ret_workload, ret_times);
    }
    tw_mem_free(r.rows);
    tw_mem_free(r.blocks);
    return status;
}

enum tw_status tw_workload_read(const char *file, const char *text, size_t text_bytes,
                                uint32_t block_tokens, struct tw_workload *ret_workload,
                                struct tw_error *error)
{
    struct tw_trace_times *times;
    enum tw_status status =
        tw_trace_read(file, text, text_bytes, block_tokens, ret_workload, &times, error);
    if (status == TW_OK) {
        tw_mem_free(times);
    }
    return status;
}

enum tw_status tw_workload_read_file(const char *path, uint32_t block_tokens,
                                     struct tw_workload *ret_workload, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    if (map.size_bytes > TW_LIMIT_PLAN_TRACE_BYTES) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "%s: more than %zu bytes", path,
                              TW_LIMIT_PLAN_TRACE_BYTES);
    } else {
        status = tw_workload_read(path, (const char *)map.data, map.size_bytes, block_tokens,
                                  ret_workload, error);
    }
    tw_file_map_close(&map);
    return status;
}
