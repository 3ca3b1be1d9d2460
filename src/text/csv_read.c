#include "text/csv_read.h"

#include <math.h>
#include <stdlib.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* From the quote on; *at is then behind the closing one. False: there is none. */
static bool read_quoted(struct tw_bytes line, size_t *at, char **out)
{
    for (size_t i = *at + 1; i < line.size_bytes; i++) {
        if (line.data[i] != '"') {
            *(*out)++ = line.data[i];
        } else if (i + 1 < line.size_bytes && line.data[i + 1] == '"') {
            *(*out)++ = line.data[i++];
        } else {
            *at = i + 1;
            return true;
        }
    }
    return false;
}

static void read_plain(struct tw_bytes line, size_t *at, char **out)
{
    char *start = *out;
    while (*at < line.size_bytes && line.data[*at] != ',') {
        *(*out)++ = line.data[(*at)++];
    }
    while (*out > start && is_blank((*out)[-1])) {
        (*out)--;
    }
}

static void skip_blanks(struct tw_bytes line, size_t *at)
{
    while (*at < line.size_bytes && is_blank(line.data[*at])) {
        (*at)++;
    }
}

static enum tw_status read_field(struct tw_bytes line, size_t *at, char **out,
                                 struct tw_error *error)
{
    const size_t start = *at;
    skip_blanks(line, at);
    if (*at < line.size_bytes && line.data[*at] == '"') {
        if (!read_quoted(line, at, out)) {
            return tw_error_set(error, TW_ERR_FORMAT, start + 1,
                                "column %zu: a quote that is not closed in its line", start + 1);
        }
        skip_blanks(line, at);
        if (*at < line.size_bytes && line.data[*at] != ',') {
            return tw_error_set(error, TW_ERR_FORMAT, *at + 1,
                                "column %zu: a comma must come behind the closing quote", *at + 1);
        }
    } else {
        read_plain(line, at, out);
    }
    *(*out)++ = '\0';
    return TW_OK;
}

enum tw_status tw_csv_read_row(struct tw_bytes line, struct tw_csv_row *ret_row,
                               struct tw_error *error)
{
    /* A field takes its bytes and a NUL in the place of its comma. */
    if (line.size_bytes + 1 > sizeof ret_row->text) {
        return tw_error_set(error, TW_ERR_LIMIT, 1, "a line of %zu bytes; at most %d",
                            line.size_bytes, TW_LIMIT_CSV_LINE_BYTES);
    }
    size_t at = 0;
    char *out = ret_row->text;
    ret_row->n_fields = 0;
    for (;;) {
        if (ret_row->n_fields == TW_LIMIT_CSV_FIELDS) {
            return tw_error_set(error, TW_ERR_LIMIT, at + 1, "more than %d fields in a line",
                                TW_LIMIT_CSV_FIELDS);
        }
        ret_row->fields[ret_row->n_fields++] = out;
        enum tw_status status = read_field(line, &at, &out, error);
        if (status != TW_OK) {
            return status;
        }
        if (at >= line.size_bytes) {
            return TW_OK;
        }
        at++;
    }
}

bool tw_csv_number_of(const char *field, double *ret_number)
{
    char *end;
    if (field[0] == '\0') {
        return false;
    }
    for (const char *p = field; *p != '\0'; p++) {
        if (strchr("0123456789+-.eE", *p) == NULL) {
            return false; /* no hexadecimal, no "inf" */
        }
    }
    double number = strtod(field, &end);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}
