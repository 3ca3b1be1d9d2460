#include "app/plan_report.h"

#include <string.h>

#include "app/plan_json.h"

/* A closing tag in a text of the plan must not end the script that holds it. */
static void put_json(const struct tw_plan *plan, struct tw_buf *out)
{
    struct tw_buf json;
    tw_buf_init(&json, out->bound_bytes);
    tw_plan_json(plan, &json);
    size_t from = 0;
    for (size_t i = 0; i < json.size_bytes; i++) {
        if (json.data[i] == '<') {
            tw_buf_append(out, json.data + from, i - from);
            tw_buf_append_text(out, "\\u003c");
            from = i + 1;
        }
    }
    tw_buf_append(out, json.data + from, json.size_bytes - from);
    out->failed = out->failed || json.failed;
    tw_buf_free(&json);
}

/* The page up to each marker, and what stands in its place. */
void tw_plan_report(const struct tw_plan *plan, struct tw_buf *out)
{
    const char *page = tw_report_built_in[0].text, *at;
    while ((at = strstr(page, "@@")) != NULL) {
        tw_buf_append(out, page, (size_t)(at - page));
        if (strncmp(at, "@@plan@@", 8) == 0) {
            put_json(plan, out);
        } else if (strncmp(at, "@@cost@@", 8) == 0) {
            tw_buf_append_text(out, tw_report_built_in[1].text);
        } else {
            tw_buf_append_text(out, tw_report_built_in[2].text);
        }
        page = at + 8;
    }
    tw_buf_append_text(out, page);
}
