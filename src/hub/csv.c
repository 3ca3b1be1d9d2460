#include "hub/csv.h"

#include <string.h>

static void next_field(struct tw_csv *csv)
{
    if (csv->has_field) {
        tw_buf_append(csv->buf, ",", 1);
    }
    csv->has_field = true;
}

void tw_csv_text(struct tw_csv *csv, const char *text)
{
    next_field(csv);
    if (text == NULL) {
        return;
    }
    const bool is_formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    const bool is_quoted = text[0] == '\0' || strpbrk(text, ",\"\r\n") != NULL;
    tw_buf_append_text(csv->buf, is_quoted ? "\"" : "");
    tw_buf_append_text(csv->buf, is_formula ? "'" : "");
    for (const char *at = text; *at != '\0'; at++) {
        tw_buf_append(csv->buf, at, 1);
        if (*at == '"') {
            tw_buf_append(csv->buf, at, 1);
        }
    }
    tw_buf_append_text(csv->buf, is_quoted ? "\"" : "");
}

void tw_csv_number(struct tw_csv *csv, const char *digits)
{
    next_field(csv);
    tw_buf_append_text(csv->buf, digits);
}

void tw_csv_integer(struct tw_csv *csv, int64_t value)
{
    next_field(csv);
    tw_buf_append_format(csv->buf, "%lld", (long long)value);
}

void tw_csv_null(struct tw_csv *csv)
{
    next_field(csv);
}

void tw_csv_end_row(struct tw_csv *csv)
{
    tw_buf_append(csv->buf, "\r\n", 2);
    csv->has_field = false;
}
