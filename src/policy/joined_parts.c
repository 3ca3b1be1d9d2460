#include "policy/joined_parts.h"

#include <string.h>

#include "base/mem.h"

const json_t *tw_parts_text(const json_t *part)
{
    static const char *const types[][2] = {{"text", "text"},         {"input_text", "text"},
                                           {"output_text", "text"},  {"refusal", "refusal"},
                                           {"thinking", "thinking"}, {"reasoning_text", "text"},
                                           {"summary_text", "text"}};
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_is_string(part) ? part : NULL;
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i][0], type) == 0) {
            text = json_object_get(part, types[i][1]);
        }
    }
    return json_is_string(text) ? text : NULL;
}

bool tw_parts_are_in(const char *field)
{
    return strcmp(field, "content") == 0 || strcmp(field, "output") == 0 ||
           strcmp(field, "summary") == 0;
}

const char *const tw_parts_betweens[] = {"", " ", NULL};

static bool is_text(const json_t *part)
{
    const json_t *text = tw_parts_text(part);
    return text != NULL && json_string_length(text) > 0;
}

void tw_parts_join(const json_t *parts, const char *between, struct tw_buf *out)
{
    size_t i;
    json_t *part;
    tw_buf_clear(out);
    json_array_foreach (parts, i, part) {
        if (is_text(part)) {
            tw_buf_append_text(out, out->size_bytes > 0 ? between : "");
            tw_buf_append(out, json_string_value(tw_parts_text(part)),
                          json_string_length(tw_parts_text(part)));
        }
    }
}

/* Where in the joined text each part but the first begins. */
struct joined {
    struct tw_buf text;
    size_t *begins; /* [n_begins] */
    size_t n_begins;
    tw_detect_found found;
    void *context;
};

static void on_found(void *context, unsigned detector, size_t begin, size_t end)
{
    const struct joined *joined = context;
    size_t low = 0, high = joined->n_begins; /* the first part that begins behind begin */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (joined->begins[middle] <= begin) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < joined->n_begins && joined->begins[low] < end) {
        joined->found(joined->context, detector, begin, end);
    }
}

static void find_begins(struct joined *joined, const json_t *parts, const char *between)
{
    size_t i, at = 0;
    json_t *part;
    bool is_first = true;
    json_array_foreach (parts, i, part) {
        if (is_text(part)) {
            at += is_first ? 0 : strlen(between);
            if (!is_first) {
                joined->begins[joined->n_begins++] = at;
            }
            is_first = false;
            at += json_string_length(tw_parts_text(part));
        }
    }
}

void tw_parts_detect(const struct tw_policy *policy, struct tw_detect_work *work,
                     uint64_t detectors, const json_t *parts, const char *between,
                     tw_detect_found found, void *context, uint64_t *ret_failed)
{
    struct joined joined = {.found = found, .context = context};
    const size_t n = json_array_size(parts);
    *ret_failed = 0;
    if (n < 2) {
        return;
    }
    tw_buf_init(&joined.text, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_parts_join(parts, between, &joined.text);
    joined.begins = tw_mem_alloc(n, sizeof *joined.begins);
    if (joined.begins == NULL || joined.text.failed) {
        *ret_failed = detectors;
    } else {
        find_begins(&joined, parts, between);
    }
    if (joined.n_begins > 0) {
        tw_detect(policy, work, detectors, joined.text.data, joined.text.size_bytes, on_found,
                  &joined, ret_failed);
    }
    tw_mem_free(joined.begins);
    tw_buf_free(&joined.text);
}

/* Of one text [begin, end), which may lie before it, behind it, or reach out of it. */
static bool replace_in(json_t *string, size_t begin, size_t end, const char *text)
{
    struct tw_buf out;
    const size_t n = json_string_length(string);
    end = end < n ? end : n;
    tw_buf_init(&out, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_buf_append(&out, json_string_value(string), begin);
    tw_buf_append_text(&out, text);
    tw_buf_append(&out, json_string_value(string) + end, n - end);
    const bool is_set = !out.failed && json_string_setn(string, out.size_bytes > 0 ? out.data : "",
                                                        out.size_bytes) == 0;
    tw_buf_free(&out);
    return is_set;
}

bool tw_parts_replace(json_t *parts, const char *between, size_t begin, size_t end,
                      const char *text)
{
    size_t i, at = 0;
    json_t *part;
    bool is_first = true, is_done = true;
    json_array_foreach (parts, i, part) {
        json_t *string = (json_t *)(uintptr_t)tw_parts_text(part);
        if (!is_text(part)) {
            continue;
        }
        at += is_first ? 0 : strlen(between);
        is_first = false;
        const size_t n = json_string_length(string);
        if (begin < at + n && end > at) {
            const bool begins_here = begin >= at;
            is_done = is_done && replace_in(string, begins_here ? begin - at : 0, end - at,
                                            begins_here ? text : "");
        }
        at += n;
    }
    return is_done;
}
