#include "remote/answer_scan.h"

#include <string.h>

#include "base/json.h"
#include "base/printable.h"

/* The members of an object that mean something here. */
struct parts {
    struct tw_json_span model, id, choices, usage, error, object, timings;
    bool is_whole;
};

static struct parts parts_of(struct tw_json_span text)
{
    struct parts parts = {0};
    struct tw_json_walk walk;
    struct tw_json_span key, value;
    const struct {
        const char *name;
        struct tw_json_span *value;
    } known[] = {{"choices", &parts.choices}, {"usage", &parts.usage},   {"model", &parts.model},
                 {"id", &parts.id},           {"object", &parts.object}, {"error", &parts.error},
                 {"timings", &parts.timings}};
    if (!tw_json_walk_begin(&walk, text) || !walk.is_object) {
        return parts;
    }
    while (tw_json_walk_next(&walk, &key, &value)) {
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (tw_json_span_is(key, known[i].name)) {
                *known[i].value = value;
                break;
            }
        }
    }
    parts.is_whole = walk.is_whole;
    return parts;
}

/* ---- what it says ---- */

static bool read_usage(struct tw_json_span usage, struct tw_answer_usage *ret_usage)
{
    struct tw_answer_usage read = {.is_known = true};
    if (!tw_json_span_is_object(usage) ||
        !tw_json_span_uint(tw_json_span_member(usage, "prompt_tokens"), &read.n_prompt_tokens)) {
        return false;
    }
    const struct tw_json_span prompt = tw_json_span_member(usage, "prompt_tokens_details");
    const struct tw_json_span answer = tw_json_span_member(usage, "completion_tokens_details");
    (void)tw_json_span_uint(tw_json_span_member(usage, "completion_tokens"),
                            &read.n_completion_tokens);
    (void)tw_json_span_uint(tw_json_span_member(prompt, "cached_tokens"), &read.n_cached_tokens);
    /* SGLang has it beside the others. */
    if (!tw_json_span_uint(tw_json_span_member(answer, "reasoning_tokens"),
                           &read.n_reasoning_tokens)) {
        (void)tw_json_span_uint(tw_json_span_member(usage, "reasoning_tokens"),
                                &read.n_reasoning_tokens);
    }
    if (read.n_cached_tokens > read.n_prompt_tokens) {
        read.n_cached_tokens = read.n_prompt_tokens;
    }
    *ret_usage = read;
    return true;
}

/* choice: the only one in its chunk. */
static void count_choice(uint64_t choice, struct tw_answer_usage *usage,
                         struct tw_answer_seen *seen)
{
    const uint32_t n =
        usage->n_completion_tokens < UINT32_MAX ? (uint32_t)usage->n_completion_tokens : UINT32_MAX;
    if (n > seen->n_choice_tokens[choice]) {
        seen->n_choice_tokens[choice] = n;
    }
    usage->n_completion_tokens = 0;
    for (size_t i = 0; i < TW_LIMIT_API_CHOICES; i++) {
        usage->n_completion_tokens += seen->n_choice_tokens[i];
    }
}

/* Name and arguments of every call, whole or in part. */
static uint64_t read_calls(struct tw_json_span calls)
{
    uint64_t n_bytes = 0;
    struct tw_json_walk walk;
    struct tw_json_span key, call;
    if (!tw_json_walk_begin(&walk, calls) || walk.is_object) {
        return 0;
    }
    while (tw_json_walk_next(&walk, &key, &call)) {
        const struct tw_json_span function = tw_json_span_member(call, "function");
        n_bytes += tw_json_span_text_bytes(tw_json_span_member(function, "name"));
        n_bytes += tw_json_span_text_bytes(tw_json_span_member(function, "arguments"));
    }
    return n_bytes;
}

/* A delta, or a whole message. Thought comes under one name, or the same under two. */
static void read_message(struct tw_json_span message, struct tw_answer_seen *seen)
{
    size_t n_thought = 0, n_twice = 0;
    struct tw_json_walk walk;
    struct tw_json_span key, value;
    if (!tw_json_walk_begin(&walk, message) || !walk.is_object) {
        return;
    }
    while (tw_json_walk_next(&walk, &key, &value)) {
        if (tw_json_span_is(key, "content") || tw_json_span_is(key, "refusal")) {
            seen->n_text_bytes += tw_json_span_text_bytes(value);
        } else if (tw_json_span_is(key, "reasoning_content")) {
            n_thought = tw_json_span_text_bytes(value);
        } else if (tw_json_span_is(key, "reasoning")) {
            n_twice = tw_json_span_text_bytes(value);
        } else if (tw_json_span_is(key, "tool_calls")) {
            const uint64_t n_bytes = read_calls(value);
            seen->n_text_bytes += n_bytes;
            seen->has_calls = seen->has_calls || n_bytes > 0;
        }
    }
    seen->n_text_bytes += n_thought > n_twice ? n_thought : n_twice;
}

static enum tw_answer_finish finish_of(struct tw_json_span reason)
{
    static const struct {
        const char *word;
        enum tw_answer_finish finish;
    } words[] = {{"\"stop\"", TW_ANSWER_STOP},
                 {"\"length\"", TW_ANSWER_LENGTH},
                 {"\"tool_calls\"", TW_ANSWER_TOOL_CALLS},
                 {"\"function_call\"", TW_ANSWER_TOOL_CALLS},
                 {"\"content_filter\"", TW_ANSWER_FILTER}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (tw_json_span_is(reason, words[i].word)) {
            return words[i].finish;
        }
    }
    return tw_json_span_is_null(reason) ? TW_ANSWER_GOES_ON : TW_ANSWER_OTHER;
}

static void read_choice(struct tw_json_span choice, struct tw_answer_seen *seen,
                        uint64_t *ret_index)
{
    uint64_t index = 0;
    struct tw_json_span reason = {NULL, 0};
    struct tw_json_walk walk;
    struct tw_json_span key, value;
    if (!tw_json_walk_begin(&walk, choice) || !walk.is_object) {
        return;
    }
    while (tw_json_walk_next(&walk, &key, &value)) {
        if (tw_json_span_is(key, "delta") || tw_json_span_is(key, "message")) {
            read_message(value, seen);
        } else if (tw_json_span_is(key, "text")) {
            seen->n_text_bytes += tw_json_span_text_bytes(value);
        } else if (tw_json_span_is(key, "index")) {
            (void)tw_json_span_uint(value, &index);
        } else if (tw_json_span_is(key, "finish_reason")) {
            reason = value;
        }
    }
    const enum tw_answer_finish finish = finish_of(reason);
    if (finish != TW_ANSWER_GOES_ON && index < TW_LIMIT_API_CHOICES) {
        seen->n_finished += seen->finish[index] == TW_ANSWER_GOES_ON;
        seen->finish[index] = (uint8_t)finish;
    }
    *ret_index = index;
}

/* How many choices there are; ret_index: of the last one. */
static size_t read_choices(struct tw_json_span choices, struct tw_answer_seen *seen,
                           uint64_t *ret_index)
{
    size_t n = 0;
    const uint64_t n_before = seen->n_text_bytes;
    struct tw_json_walk walk;
    struct tw_json_span key, choice;
    if (!tw_json_walk_begin(&walk, choices) || walk.is_object) {
        return 0;
    }
    while (tw_json_walk_next(&walk, &key, &choice)) {
        read_choice(choice, seen, ret_index);
        n++;
    }
    seen->n_deltas += seen->n_text_bytes > n_before;
    return n;
}

/* ---- errors ---- */

static void copy_clean(struct tw_json_span value, char *ret_text, size_t room_bytes)
{
    tw_json_span_copy(value, ret_text, room_bytes);
    tw_printable_clean(ret_text, strlen(ret_text));
}

static void read_error(struct tw_json_span error, struct tw_answer_error *ret_error)
{
    uint64_t code = 0;
    struct tw_answer_error read = {.is_there = true};
    if (tw_json_span_is_string(error)) {
        copy_clean(error, read.text, sizeof read.text);
    } else {
        copy_clean(tw_json_span_member(error, "message"), read.text, sizeof read.text);
        copy_clean(tw_json_span_member(error, "type"), read.type, sizeof read.type);
        copy_clean(tw_json_span_member(error, "param"), read.param, sizeof read.param);
        if (tw_json_span_uint(tw_json_span_member(error, "code"), &code) && code < 1000) {
            read.code = (uint32_t)code;
        }
    }
    *ret_error = read;
}

void tw_answer_scan_error(const char *body, size_t n_bytes, struct tw_answer_error *ret_error)
{
    const struct tw_json_span text = {n_bytes > 0 ? body : NULL, n_bytes};
    const struct parts parts = parts_of(text);
    struct tw_json_span detail = {NULL, 0};
    if (parts.is_whole) {
        detail = tw_json_span_member(text, "detail");
    }
    if (parts.is_whole && !tw_json_span_is_null(parts.error)) {
        read_error(parts.error, ret_error);
    } else if (parts.is_whole && tw_json_span_is_string(detail)) {
        read_error(detail, ret_error);
    } else if (parts.is_whole) {
        read_error(text, ret_error);
    } else {
        const size_t room_bytes = sizeof ret_error->text - 1;
        const size_t n_kept = n_bytes < room_bytes ? n_bytes : room_bytes;
        *ret_error = (struct tw_answer_error){.is_there = true};
        if (n_kept > 0) {
            memcpy(ret_error->text, body, n_kept);
        }
        tw_printable_clean(ret_error->text, n_kept);
    }
}

/* ---- written anew ---- */

static void write_string(struct tw_buf *out, const char *text)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_text(&json, text);
}

/* The object with some members replaced, or left out where replaced by "". */
struct edit {
    struct tw_json_span old;
    const char *text;  /* as a string; or */
    const char *plain; /* as it is */
};

static void write_edited(struct tw_json_span object, const struct edit *edits, size_t n_edits,
                         struct tw_buf *out)
{
    struct tw_json_walk walk;
    struct tw_json_span key, value;
    bool is_first = true;
    (void)tw_json_walk_begin(&walk, object);
    tw_buf_append(out, "{", 1);
    while (tw_json_walk_next(&walk, &key, &value)) {
        const struct edit *edit = NULL;
        for (size_t i = 0; i < n_edits; i++) {
            edit = edits[i].old.at == value.at ? &edits[i] : edit;
        }
        if (edit != NULL && edit->text == NULL && edit->plain[0] == '\0') {
            continue;
        }
        tw_buf_append_text(out, is_first ? "\"" : ",\"");
        tw_buf_append(out, key.at, key.n_bytes);
        tw_buf_append(out, "\":", 2);
        if (edit == NULL) {
            tw_buf_append(out, value.at, value.n_bytes);
        } else if (edit->text != NULL) {
            write_string(out, edit->text);
        } else {
            tw_buf_append_text(out, edit->plain);
        }
        is_first = false;
    }
    tw_buf_append(out, "}", 1);
}

/* Usage without what was cached, under any name that servers have for it. Ends in a zero. */
static void write_without_cached(struct tw_json_span usage, struct tw_buf *out)
{
    static const char *const names[] = {"prompt_tokens_details", "cached_tokens",
                                        "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
                                        "num_cached_tokens"};
    enum { N_NAMES = sizeof names / sizeof names[0] };
    struct edit edits[N_NAMES];
    for (size_t i = 0; i < N_NAMES; i++) {
        edits[i] = (struct edit){.old = tw_json_span_member(usage, names[i]), .plain = ""};
    }
    write_edited(usage, edits, N_NAMES, out);
    tw_buf_append(out, "", 1);
}

static void write_object(struct tw_json_span object, const struct parts *parts,
                         const struct tw_answer_terms *terms, const char *usage, struct tw_buf *out)
{
    struct edit edits[4];
    struct tw_buf shown;
    size_t n = 0;
    tw_buf_init(&shown, object.n_bytes + 1);
    if (terms->hides_cached && usage == NULL && tw_json_span_is_object(parts->usage)) {
        write_without_cached(parts->usage, &shown);
        usage = shown.failed ? "null" : shown.data;
    }
    if (terms->hides_cached && parts->timings.at != NULL) { /* llama.cpp's: what it computed */
        edits[n++] = (struct edit){.old = parts->timings, .plain = ""};
    }
    if (terms->model != NULL && tw_json_span_is_string(parts->model)) {
        edits[n++] = (struct edit){.old = parts->model, .text = terms->model};
    }
    if (terms->id != NULL && tw_json_span_is_string(parts->id)) {
        edits[n++] = (struct edit){.old = parts->id, .text = terms->id};
    }
    if (usage != NULL && parts->usage.at != NULL) {
        edits[n++] = (struct edit){.old = parts->usage, .plain = usage};
    }
    if (n == 0) {
        tw_buf_append(out, object.at, object.n_bytes);
    } else {
        write_edited(object, edits, n, out);
    }
    tw_buf_free(&shown);
}

static bool is_error(const struct parts *parts)
{
    return !tw_json_span_is_null(parts->error) || tw_json_span_is(parts->object, "\"error\"");
}

static void take_error(struct tw_json_span object, const struct parts *parts,
                       struct tw_answer_seen *seen)
{
    if (!seen->error.is_there) {
        read_error(tw_json_span_is_null(parts->error) ? object : parts->error, &seen->error);
    }
}

bool tw_answer_scan_object(struct tw_json_span object, const struct tw_answer_terms *terms,
                           struct tw_answer_seen *seen, struct tw_buf *out)
{
    const struct parts parts = parts_of(object);
    if (!parts.is_whole) {
        seen->n_odd++;
        seen->n_deltas++;
        seen->n_text_bytes += object.n_bytes;
        tw_buf_append(out, object.at, object.n_bytes);
        return true;
    }
    if (is_error(&parts)) {
        take_error(object, &parts, seen);
        return false;
    }
    seen->n_objects++;
    const uint32_t n_finished = seen->n_finished;
    uint64_t index = 0;
    const size_t n_choices = read_choices(parts.choices, seen, &index);
    /* Some services say it with the last piece, and nowhere else. */
    const bool is_on_the_way =
        n_choices > 0 && (terms->counts_each || seen->n_finished == n_finished);
    struct tw_answer_usage read;
    if (read_usage(parts.usage, &read)) {
        if (terms->counts_each && n_choices == 1 && index < TW_LIMIT_API_CHOICES) {
            count_choice(index, &read, seen);
        }
        read.is_last = !is_on_the_way;
        if (is_on_the_way && read.n_completion_tokens < seen->usage.n_completion_tokens) {
            read.n_completion_tokens = seen->usage.n_completion_tokens;
        }
        seen->usage = read;
    }
    const bool has_usage = tw_json_span_is_object(parts.usage);
    if (terms->usage == TW_USAGE_NONE && n_choices == 0 && has_usage) {
        return false;
    }
    const char *usage = terms->usage == TW_USAGE_NONE                                 ? ""
                        : terms->usage == TW_USAGE_LAST && is_on_the_way && has_usage ? "null"
                                                                                      : NULL;
    write_object(object, &parts, terms, usage, out);
    return true;
}

bool tw_answer_scan_whole(const char *body, size_t n_bytes, const struct tw_answer_terms *terms,
                          struct tw_answer_seen *seen, struct tw_buf *out)
{
    const struct tw_json_span object = {n_bytes > 0 ? body : NULL, n_bytes};
    const struct parts parts = parts_of(object);
    if (!parts.is_whole || is_error(&parts)) {
        tw_answer_scan_error(body, n_bytes, &seen->error);
        return false;
    }
    seen->n_objects++;
    uint64_t index;
    (void)read_choices(parts.choices, seen, &index);
    seen->usage.is_last = read_usage(parts.usage, &seen->usage);
    write_object(object, &parts, terms, NULL, out);
    return true;
}
