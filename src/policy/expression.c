#include "policy/expression.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/printable.h"

struct tw_expression {
    pcre2_code *code;
    enum tw_checksum checksum;
};

enum { HEAP_LIMIT_KIB = 16384, NESTED_GROUPS = 32, SYMBOLS = 256 };

/* ---- what may be written ---- */

struct reader {
    const char *source;
    size_t at;
    bool may_be_possessive; /* a repeat with an end has just been read */
    struct tw_error *error;
};

static enum tw_status refuse(const struct reader *reader, const char *what)
{
    return tw_error_set(reader->error, TW_ERR_FORMAT, reader->at,
                        "the expression has %s at character %zu", what, reader->at + 1);
}

static size_t read_number(const char *text, unsigned *ret_value)
{
    size_t n = 0;
    unsigned value = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 6; n++) {
        value = value * 10 + (unsigned)(text[n] - '0');
    }
    *ret_value = value;
    return n;
}

/* {3} or {1,40}; other braces are themselves. */
static enum tw_status check_braces(struct reader *reader)
{
    const char *text = reader->source + reader->at;
    unsigned least, most;
    size_t n = 1 + read_number(text + 1, &least);
    if (n == 1 && text[1] == ',') {
        return refuse(reader, "{, which reads differently elsewhere: write {0,");
    }
    if (n == 1) {
        reader->at++;
        return TW_OK;
    }
    most = least;
    if (text[n] == ',') {
        const size_t n_digits = read_number(text + n + 1, &most);
        if (n_digits == 0 && text[n + 1] == '}') {
            return refuse(reader, "a repeat without an end: write {1,40} in place of {1,}");
        }
        n += 1 + n_digits;
    }
    if (text[n] != '}') {
        reader->at++;
        return TW_OK;
    }
    if (most > TW_LIMIT_POLICY_REPEAT) {
        return tw_error_set(reader->error, TW_ERR_FORMAT, reader->at,
                            "the expression repeats something %u times at character %zu; at most "
                            "%d are read",
                            most, reader->at + 1, TW_LIMIT_POLICY_REPEAT);
    }
    reader->at += n + 1;
    reader->may_be_possessive = true;
    return TW_OK;
}

static enum tw_status check_escape(struct reader *reader)
{
    const char letter = reader->source[reader->at + 1];
    if (letter != '\0' && strchr("XCKQEg", letter) != NULL) {
        return refuse(reader, "one of \\X \\C \\K \\Q \\E \\g, which are not read,");
    }
    reader->at += letter != '\0' ? 2 : 1;
    return TW_OK;
}

/* Past the ] that ends a class. */
static enum tw_status check_class(struct reader *reader)
{
    const char *text = reader->source;
    size_t at = reader->at + 1;
    at += text[at] == '^';
    at += text[at] == ']';
    while (text[at] != '\0' && text[at] != ']') {
        if (text[at] == '\\' && text[at + 1] != '\0') {
            at += 2;
        } else if (text[at] == '[' && text[at + 1] == ':') {
            const char *end = strstr(text + at + 2, ":]");
            at = end != NULL ? (size_t)(end - text) + 2 : at + 1;
        } else {
            at++;
        }
    }
    if (strstr(text + reader->at, "\\Q") != NULL || strstr(text + reader->at, "\\E") != NULL) {
        return refuse(reader, "\\Q or \\E, which are not read, behind a class");
    }
    reader->at = text[at] == ']' ? at + 1 : at;
    return TW_OK;
}

static enum tw_status check_group(struct reader *reader)
{
    const char *text = reader->source + reader->at;
    if (text[1] == '*') {
        return refuse(reader, "a verb (*...), which is not read,");
    }
    if (text[1] == '?') {
        const bool is_name = text[2] == 'P' && text[3] == '<';
        if (!is_name && (text[2] == '\0' || strchr(":=!><imsn-", text[2]) == NULL)) {
            return refuse(reader, "a kind of group that is not read: there are (?: (?= (?! (?<= "
                                  "(?<! (?> (?<name> (?i");
        }
        reader->at += 2;
        return TW_OK;
    }
    reader->at++;
    return TW_OK;
}

static enum tw_status check_one(struct reader *reader)
{
    const bool may_be_possessive = reader->may_be_possessive;
    reader->may_be_possessive = false;
    switch (reader->source[reader->at]) {
    case '\\':
        return check_escape(reader);
    case '[':
        return check_class(reader);
    case '(':
        return check_group(reader);
    case '{':
        return check_braces(reader);
    case '*':
        return refuse(reader, "a repeat without an end: write {0,40} in place of *");
    case '+':
        if (!may_be_possessive) {
            return refuse(reader, "a repeat without an end: write {1,40} in place of +");
        }
        break;
    case '?':
        reader->may_be_possessive = !may_be_possessive;
        break;
    default:
        break;
    }
    reader->at++;
    return TW_OK;
}

static enum tw_status check(const char *source, struct tw_error *error)
{
    struct reader reader = {.source = source, .error = error};
    if (strlen(source) > TW_LIMIT_POLICY_EXPRESSION_BYTES) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "an expression of %zu bytes; at most %d are read", strlen(source),
                            TW_LIMIT_POLICY_EXPRESSION_BYTES);
    }
    enum tw_status status = TW_OK;
    while (status == TW_OK && source[reader.at] != '\0') {
        status = check_one(&reader);
    }
    return status;
}

/* ---- compiling ---- */

/* Callouts before each item are how steps are counted: the matcher's own limit begins anew at each
 * place of the text, and does not see what simple repeats read. */
static enum tw_status compile(const char *source, pcre2_code **ret_code, struct tw_error *error)
{
    int number = 0;
    PCRE2_SIZE position = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an expression");
    }
    pcre2_set_parens_nest_limit(context, NESTED_GROUPS);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)source, PCRE2_ZERO_TERMINATED, options, &number,
                                     &position, context);
    pcre2_compile_context_free(context);
    if (code == NULL) {
        PCRE2_UCHAR reason[120] = "";
        pcre2_get_error_message(number, reason, sizeof reason);
        return tw_error_set(error, TW_ERR_FORMAT, position,
                            "the expression cannot be read at character %zu: %s",
                            (size_t)position + 1, (const char *)reason);
    }
    uint32_t matches_empty = 0;
    pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (matches_empty != 0) {
        pcre2_code_free(code);
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the expression finds nothing at all everywhere: ask for at least one "
                            "character");
    }
    *ret_code = code;
    return TW_OK;
}

enum tw_status tw_expression_create(const char *source, enum tw_checksum checksum,
                                    struct tw_expression **ret_expression, struct tw_error *error)
{
    pcre2_code *code = NULL;
    enum tw_status status = check(source, error);
    if (status == TW_OK) {
        status = compile(source, &code, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_expression *expression = tw_mem_alloc(1, sizeof *expression);
    if (expression == NULL) {
        pcre2_code_free(code);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an expression");
    }
    *expression = (struct tw_expression){.code = code, .checksum = checksum};
    *ret_expression = expression;
    return TW_OK;
}

void tw_expression_free(struct tw_expression *expression)
{
    if (expression != NULL) {
        pcre2_code_free(expression->code);
        tw_mem_free(expression);
    }
}

/* ---- scanning ---- */

struct scan {
    const struct tw_expression *expression;
    const char *text;
    size_t text_bytes;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static int count_step(pcre2_callout_block *block, void *context)
{
    (void)block;
    uint64_t *n_steps = context;
    if (*n_steps == 0) {
        return PCRE2_ERROR_CALLOUT;
    }
    (*n_steps)--;
    return 0;
}

/* Only the whole match is asked for, so that one pair of places is room for all expressions. */
static bool open_work(struct tw_expression_work *work)
{
    if (work->data == NULL) {
        work->data = pcre2_match_data_create(1, NULL);
    }
    if (work->context == NULL) {
        work->context = pcre2_match_context_create(NULL);
        if (work->context != NULL) {
            pcre2_set_match_limit(work->context, TW_LIMIT_POLICY_STEPS);
            pcre2_set_depth_limit(work->context, TW_LIMIT_POLICY_STEPS);
            pcre2_set_heap_limit(work->context, HEAP_LIMIT_KIB);
        }
    }
    return work->data != NULL && work->context != NULL;
}

void tw_expression_work_free(struct tw_expression_work *work)
{
    pcre2_match_data_free(work->data);
    pcre2_match_context_free(work->context);
    *work = (struct tw_expression_work){0};
}

static bool has_checksum(const struct scan *scan, size_t begin, size_t end)
{
    char symbols[SYMBOLS];
    size_t n = 0;
    if (scan->expression->checksum == TW_CHECKSUM_NONE) {
        return true;
    }
    for (size_t i = begin; i < end; i++) {
        const char c = scan->text[i];
        const bool is_lower = c >= 'a' && c <= 'z';
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || is_lower) {
            if (n == SYMBOLS) {
                return false;
            }
            symbols[n++] = (char)(is_lower ? c - ('a' - 'A') : c);
        }
    }
    return tw_checksum_holds(scan->expression->checksum, symbols, n);
}

/* From one match to the next. One whose checksum is wrong may hide another that overlaps it. */
static int scan_all(struct scan *scan, tw_expression_found found, void *context)
{
    size_t at = 0;
    int n = 0;
    while (at < scan->text_bytes) {
        n = pcre2_match(scan->expression->code, (PCRE2_SPTR)scan->text, scan->text_bytes, at,
                        PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK, scan->data, scan->context);
        if (n < 0) {
            break;
        }
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(scan->data);
        const bool is_one = has_checksum(scan, ends[0], ends[1]);
        if (is_one) {
            found(context, ends[0], ends[1]);
        }
        at = is_one ? ends[1]
                    : ends[0] +
                          tw_printable_utf8_bytes(scan->text + ends[0], scan->text_bytes - ends[0]);
    }
    return n;
}

enum tw_status tw_expression_scan(const struct tw_expression *expression,
                                  struct tw_expression_work *work, uint64_t *n_steps,
                                  const char *text, size_t text_bytes, tw_expression_found found,
                                  void *context, struct tw_error *error)
{
    int n = PCRE2_ERROR_NOMEMORY;
    *n_steps += (uint64_t)TW_LIMIT_POLICY_STEPS_PER_BYTE * text_bytes;
    if (open_work(work)) {
        struct scan scan = {expression, text, text_bytes, work->data, work->context};
        pcre2_set_callout(scan.context, count_step, n_steps);
        n = scan_all(&scan, found, context);
    }
    if (n >= 0 || n == PCRE2_ERROR_NOMATCH) {
        return TW_OK;
    }
    if (n == PCRE2_ERROR_NOMEMORY) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an expression");
    }
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "the expression takes too many steps for this text");
}
