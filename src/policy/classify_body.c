/* The body of a request: what of it is text, and what nobody can read.
 *
 * Both are told by lists of what is known. Whatever else servers take (pictures in fields of their
 * own, vectors in place of words) must not look like a request without findings. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/classify_parts.h"
#include "policy/joined_parts.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define MOST_WHOLE    1e30 /* beyond, digits are zeros that nobody wrote */

enum {
    URL_BYTES = 160,                 /* of what stands before a data URL's comma, at most */
    NO_TOKEN = TW_LIMIT_VOCAB_TOKENS /* a number from here on is no token's */
};

struct walk {
    const struct tw_policy *policy;
    struct tw_classified *out;
    struct tw_detect_work work;
    uint64_t detectors;
    uint64_t n_found;
    unsigned texts_deep; /* texts within texts */
    char place[TW_CLASSIFY_PLACE_BYTES];
};

/* ---- fields that are known ---- */

enum kind {
    UNKNOWN = 0,
    PARAMETER, /* its number is no text */
    TEXTS,     /* any value, of which detectors read all texts */
    PROMPT,    /* a text, or a list of texts or of tokens */
    MESSAGES,
    CONTENT /* a text, or a list of parts */
};

struct field {
    const char *name;
    enum kind kind;
};

static const struct field of_body[] = {
    {"model", TEXTS},
    {"messages", MESSAGES},
    {"input", MESSAGES},
    {"prompt", PROMPT},
    {"suffix", TEXTS},
    {"instructions", TEXTS},
    {"tools", TEXTS},
    {"tool_choice", TEXTS},
    {"functions", TEXTS},
    {"function_call", TEXTS},
    {"system", TEXTS},
    {"documents", TEXTS},
    {"metadata", TEXTS},
    {"user", TEXTS},
    {"safety_identifier", TEXTS},
    {"stop", TEXTS},
    {"bad_words", TEXTS},
    {"response_format", TEXTS},
    {"text", TEXTS},
    {"reasoning", TEXTS},
    {"structured_outputs", TEXTS},
    {"guided_json", TEXTS},
    {"guided_regex", TEXTS},
    {"guided_choice", TEXTS},
    {"guided_grammar", TEXTS},
    {"grammar", TEXTS},
    {"json_schema", TEXTS},
    {"chat_template", TEXTS},
    {"chat_template_kwargs", TEXTS},
    {"prediction", TEXTS},
    {"request_id", TEXTS},
    {"session_id", TEXTS},
    {"prompt_cache_key", TEXTS},
    {"prompt_cache_retention", TEXTS},
    {"prompt_cache_options", TEXTS},
    {"cache_salt", TEXTS},
    {"service_tier", TEXTS},
    {"verbosity", TEXTS},
    {"reasoning_effort", TEXTS},
    {"encoding_format", TEXTS},
    {"modalities", TEXTS},
    {"include", TEXTS},
    {"truncation", TEXTS},
    {"web_search_options", TEXTS},
    {"stream_options", TEXTS},
    {"logit_bias", TEXTS},
    {"stop_token_ids", TEXTS},
    {"allowed_token_ids", TEXTS},
    {"logprob_token_ids", TEXTS},
    {"temperature", PARAMETER},
    {"top_p", PARAMETER},
    {"min_p", PARAMETER},
    {"top_k", PARAMETER},
    {"typical_p", PARAMETER},
    {"repetition_penalty", PARAMETER},
    {"frequency_penalty", PARAMETER},
    {"presence_penalty", PARAMETER},
    {"length_penalty", PARAMETER},
    {"n", PARAMETER},
    {"best_of", PARAMETER},
    {"max_tokens", PARAMETER},
    {"max_completion_tokens", PARAMETER},
    {"max_output_tokens", PARAMETER},
    {"min_tokens", PARAMETER},
    {"max_tool_calls", PARAMETER},
    {"seed", PARAMETER},
    {"priority", PARAMETER},
    {"logprobs", PARAMETER},
    {"top_logprobs", PARAMETER},
    {"prompt_logprobs", PARAMETER},
    {"truncate_prompt_tokens", PARAMETER},
    {"dimensions", PARAMETER},
};

/* Of a message, and of an item of the Responses API. */
static const struct field of_message[] = {
    {"role", TEXTS},       {"content", CONTENT},    {"name", TEXTS},
    {"tool_calls", TEXTS}, {"tool_call_id", TEXTS}, {"function_call", TEXTS},
    {"refusal", TEXTS},    {"reasoning", TEXTS},    {"reasoning_content", TEXTS},
    {"type", TEXTS},       {"id", TEXTS},           {"status", TEXTS},
    {"call_id", TEXTS},    {"arguments", TEXTS},    {"output", CONTENT},
    {"summary", CONTENT},  {"annotations", TEXTS},
};

static const struct field of_part[] = {
    {"type", TEXTS},          {"text", TEXTS},        {"refusal", TEXTS},  {"thinking", TEXTS},
    {"cache_control", TEXTS}, {"annotations", TEXTS}, {"logprobs", TEXTS},
};

static enum kind kind_of(const struct field *fields, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].kind;
        }
    }
    return UNKNOWN;
}

bool tw_classify_is_parameter(const char *field)
{
    return kind_of(of_body, COUNT(of_body), field) == PARAMETER;
}

/* Names of the API may be told; those that a client made up may be content. */
static bool is_told(const char *name)
{
    return kind_of(of_body, COUNT(of_body), name) != UNKNOWN ||
           kind_of(of_message, COUNT(of_message), name) != UNKNOWN;
}

/* ---- places ---- */

static size_t enter_field(struct walk *walk, const char *name)
{
    const size_t n = strlen(walk->place);
    if (walk->texts_deep == 0) {
        snprintf(walk->place + n, sizeof walk->place - n, "%s%s", n > 0 ? "." : "",
                 is_told(name) ? name : "(another field)");
    }
    return n;
}

static size_t enter_item(struct walk *walk, size_t i)
{
    const size_t n = strlen(walk->place);
    if (walk->texts_deep == 0) {
        snprintf(walk->place + n, sizeof walk->place - n, "[%zu]", i);
    }
    return n;
}

static void leave(struct walk *walk, size_t n)
{
    walk->place[n] = '\0';
}

/* ---- what is found, and what is not read ---- */

static void on_found(void *context, unsigned detector, size_t begin, size_t end)
{
    struct walk *walk = context;
    (void)begin;
    (void)end;
    walk->n_found++;
    tw_classify_add(walk->out, TW_CLASSIFY_DETECTOR, walk->policy->detectors[detector].class,
                    (int)detector, walk->place);
}

static void add_unread(struct walk *walk)
{
    tw_classify_add(walk->out, TW_CLASSIFY_UNREAD, walk->policy->unread, TW_POLICY_NONE,
                    walk->place);
}

/* detector: TW_POLICY_NONE where it is not one alone. */
static void add_failed(struct walk *walk, int detector)
{
    tw_classify_add(walk->out, TW_CLASSIFY_FAILED, (unsigned)walk->policy->n_classes - 1, detector,
                    walk->place);
}

static void add_all_failed(struct walk *walk, uint64_t failed)
{
    for (unsigned i = 0; failed != 0 && i < walk->policy->n_detectors; i++) {
        if ((failed >> i & 1) != 0) {
            add_failed(walk, (int)i);
        }
    }
}

/* ---- texts ---- */

/* "data:image/png;base64,iVBOR..." anywhere: what it holds is encoded. */
static bool has_data_url(const char *text, size_t n)
{
    static const char head[] = "data:";
    const size_t n_head = sizeof head - 1;
    const char *at = text, *end = text + n;
    while ((at = memchr(at, ':', (size_t)(end - at))) != NULL) {
        at++;
        if ((size_t)(at - text) < n_head || strncasecmp(at - n_head, head, n_head) != 0) {
            continue;
        }
        size_t i = 0;
        const size_t most = (size_t)(end - at) < URL_BYTES ? (size_t)(end - at) : URL_BYTES;
        while (i < most && at[i] > ' ' && at[i] != ',' && at[i] != '"' && at[i] < 0x7f) {
            i++;
        }
        const bool has_type = i == 0 || memchr(at, '/', i) != NULL || memchr(at, ';', i) != NULL;
        if (i < most && at[i] == ',' && has_type && at + i + 1 < end && at[i + 1] > ' ') {
            return true;
        }
    }
    return false;
}

static void walk_value(struct walk *walk, const json_t *value, unsigned level);

/* What is written with escapes is something else to whoever reads the JSON that it is. */
static void walk_json(struct walk *walk, const char *text, size_t n)
{
    json_t *value = NULL;
    const size_t at = strspn(text, " \t\r\n");
    const bool may_be = text[at] == '{' || text[at] == '[' || text[at] == '"';
    if (!may_be || memchr(text, '\\', n) == NULL) {
        return;
    }
    const enum tw_status status = tw_json_parse(text, n, "", &value, NULL);
    if (status == TW_OK && walk->texts_deep < TW_LIMIT_POLICY_TEXTS_DEEP) {
        walk->texts_deep++;
        walk_value(walk, value, 0);
        walk->texts_deep--;
    } else if (status != TW_ERR_FORMAT) {
        add_failed(walk, TW_POLICY_NONE);
    }
    json_decref(value);
}

static void walk_text(struct walk *walk, const char *text, size_t n)
{
    uint64_t failed;
    tw_detect(walk->policy, &walk->work, walk->detectors, text, n, on_found, walk, &failed);
    add_all_failed(walk, failed);
    if (has_data_url(text, n)) {
        add_unread(walk);
    }
    walk_json(walk, text, n);
}

static void walk_string(struct walk *walk, const json_t *string)
{
    walk_text(walk, json_string_value(string), json_string_length(string));
}

/* 4.111111111111111e15 is a card's number as well as 4111111111111111 is. */
size_t tw_classify_digits(const json_t *number, char ret_digits[TW_CLASSIFY_DIGITS])
{
    const double value = json_number_value(number);
    if (json_is_integer(number)) {
        return (size_t)snprintf(ret_digits, TW_CLASSIFY_DIGITS, "%lld",
                                (long long)json_integer_value(number));
    }
    const bool is_whole = fabs(value) < MOST_WHOLE && floor(value) == value;
    return (size_t)snprintf(ret_digits, TW_CLASSIFY_DIGITS, is_whole ? "%.0f" : "%.17g", value);
}

/* Its digits as they stand, and without a sign, which is no part of a number of anybody. */
static void walk_number(struct walk *walk, const json_t *number)
{
    char digits[TW_CLASSIFY_DIGITS];
    const size_t n = tw_classify_digits(number, digits);
    const uint64_t n_before = walk->n_found;
    walk_text(walk, digits, n);
    if (digits[0] == '-' && walk->n_found == n_before) {
        walk_text(walk, digits + 1, n - 1);
    }
}

/* ---- any value ---- */

/* A type that says so, wherever it stands. */
static bool is_of_media(const json_t *object)
{
    static const char *const words[] = {"image", "audio", "video", "file"};
    const char *type = json_string_value(json_object_get(object, "type"));
    for (size_t i = 0; type != NULL && i < COUNT(words); i++) {
        if (strstr(type, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* level: how deep within what is walked; places are told of the first. */
static void walk_value(struct walk *walk, const json_t *value, unsigned level)
{
    const char *key;
    json_t *item;
    size_t i, n;
    if (json_is_string(value)) {
        walk_string(walk, value);
    } else if (json_is_number(value)) {
        walk_number(walk, value);
    } else if (json_is_object(value) && is_of_media(value)) {
        add_unread(walk);
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
        n = level < 2 ? enter_field(walk, key) : strlen(walk->place);
        walk_text(walk, key, strlen(key));
        walk_value(walk, item, level + 1);
        leave(walk, n);
    }
    json_array_foreach (value, i, item) {
        n = level < 1 ? enter_item(walk, i) : strlen(walk->place);
        walk_value(walk, item, level + 1);
        leave(walk, n);
    }
}

/* What is not as it should be: its texts are read, but it may be more than those. */
static void walk_odd(struct walk *walk, const json_t *value)
{
    if (!json_is_boolean(value) && !json_is_null(value)) {
        if (!json_is_number(value)) {
            add_unread(walk);
        }
        walk_value(walk, value, 1);
    }
}

/* ---- messages ---- */

static void walk_part(struct walk *walk, const json_t *part)
{
    const char *key;
    json_t *value;
    bool is_odd = tw_parts_text(part) == NULL;
    json_object_foreach ((json_t *)(uintptr_t)part, key, value) {
        is_odd = is_odd || kind_of(of_part, COUNT(of_part), key) == UNKNOWN;
    }
    if (is_odd) {
        walk_odd(walk, part);
    } else {
        walk_value(walk, part, 2);
    }
}

static void walk_content(struct walk *walk, const json_t *content)
{
    uint64_t failed;
    size_t i;
    json_t *part;
    if (json_is_string(content)) {
        walk_string(walk, content);
    } else if (!json_is_array(content)) {
        walk_odd(walk, content);
    }
    json_array_foreach (content, i, part) {
        walk_part(walk, part);
    }
    for (i = 0; tw_parts_betweens[i] != NULL; i++) {
        tw_parts_detect(walk->policy, &walk->work, walk->detectors, content, tw_parts_betweens[i],
                        on_found, walk, &failed);
        add_all_failed(walk, failed);
    }
}

static void walk_tokens(struct walk *walk, const json_t *list);

/* A message; in a list of inputs also a text, or what stands for one. */
static void walk_message(struct walk *walk, const json_t *message)
{
    const char *key;
    json_t *value;
    if (json_is_string(message)) {
        walk_string(walk, message);
    } else if (json_is_array(message)) {
        walk_tokens(walk, message);
    } else if (!json_is_object(message)) {
        walk_odd(walk, message);
    } else if (is_of_media(message)) {
        add_unread(walk);
    }
    json_object_foreach ((json_t *)(uintptr_t)message, key, value) {
        const enum kind kind = kind_of(of_message, COUNT(of_message), key);
        const size_t n = enter_field(walk, key);
        if (kind == CONTENT) {
            walk_content(walk, value);
        } else if (kind == TEXTS) {
            walk_value(walk, value, 2);
        } else {
            walk_text(walk, key, strlen(key));
            walk_odd(walk, value);
        }
        leave(walk, n);
    }
}

/* ---- prompts ---- */

/* Numbers stand for words that nobody reads here, unless they are too large to be tokens; then they
 * are read as well. What is between them, too. */
static void walk_tokens(struct walk *walk, const json_t *list)
{
    size_t i;
    json_t *item;
    bool has_tokens = false;
    json_array_foreach (list, i, item) {
        const size_t n = enter_item(walk, i);
        if (json_is_number(item)) {
            has_tokens = true;
            if (fabs(json_number_value(item)) >= NO_TOKEN) {
                walk_number(walk, item);
            }
        } else if (json_is_array(item)) {
            walk_tokens(walk, item);
        } else if (json_is_string(item)) {
            walk_string(walk, item);
        } else {
            walk_odd(walk, item);
        }
        leave(walk, n);
    }
    if (has_tokens) {
        add_unread(walk);
    }
}

static void walk_messages(struct walk *walk, const json_t *list)
{
    size_t i;
    json_t *item;
    bool has_tokens = false;
    json_array_foreach (list, i, item) {
        has_tokens = has_tokens || json_is_number(item);
    }
    if (has_tokens) {
        walk_tokens(walk, list);
        return;
    }
    json_array_foreach (list, i, item) {
        const size_t n = enter_item(walk, i);
        walk_message(walk, item);
        leave(walk, n);
    }
}

static void walk_field(struct walk *walk, enum kind kind, const json_t *value)
{
    if (kind == TEXTS || (kind == PARAMETER && !json_is_number(value))) {
        walk_value(walk, value, 0);
    } else if (kind != PARAMETER && kind != UNKNOWN && json_is_string(value)) {
        walk_string(walk, value);
    } else if (kind == PROMPT && json_is_array(value)) {
        walk_tokens(walk, value);
    } else if (kind == MESSAGES && json_is_array(value)) {
        walk_messages(walk, value);
    } else if (kind != PARAMETER) {
        walk_odd(walk, value);
    }
}

void tw_classify_body(const struct tw_policy *policy, const json_t *body, struct tw_classified *out)
{
    const char *key;
    json_t *value;
    struct walk walk = {.policy = policy,
                        .out = out,
                        .detectors = policy->n_detectors == 64
                                         ? UINT64_MAX
                                         : (UINT64_C(1) << policy->n_detectors) - 1};
    tw_detect_begin(&walk.work);
    if (!json_is_object(body)) {
        walk_odd(&walk, body);
    }
    json_object_foreach ((json_t *)(uintptr_t)body, key, value) {
        const enum kind kind = kind_of(of_body, COUNT(of_body), key);
        const size_t n = enter_field(&walk, key);
        if (kind == UNKNOWN) {
            walk_text(&walk, key, strlen(key));
        }
        walk_field(&walk, kind, value);
        leave(&walk, n);
    }
    tw_detect_end(&walk.work);
}
