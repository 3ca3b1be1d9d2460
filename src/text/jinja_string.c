#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "text/jinja_value.h"
#include "text/utf8.h"

/* A sum as long as this keeps room behind it, so that a text that grows by + in a loop is not
 * copied every time. */
#define GROWING_BYTES 256
#define STEP_BYTES    64 /* copied in one step */

struct tw_jinja_builder tw_jinja_builder(struct tw_jinja *j)
{
    return (struct tw_jinja_builder){.j = j};
}

/* The origin of what was just put. */
static void put_span(struct tw_jinja_builder *b, bool is_input)
{
    if (b->n_spans > 0 && b->spans[b->n_spans - 1].is_input == is_input) {
        b->spans[b->n_spans - 1].end_bytes = b->size_bytes;
        return;
    }
    if (b->n_spans == b->capacity_spans) {
        struct tw_text_span *spans = tw_jinja_enlarge(b->j, b->spans, b->n_spans, b->n_spans + 1,
                                                      sizeof *spans, &b->capacity_spans);
        if (spans == NULL) {
            return;
        }
        b->spans = spans;
    }
    b->spans[b->n_spans++] = (struct tw_text_span){b->size_bytes, is_input};
}

void tw_jinja_put(struct tw_jinja_builder *b, const char *data, size_t n_bytes, bool is_input)
{
    if (n_bytes == 0 || !tw_jinja_step(b->j, 1 + n_bytes / STEP_BYTES)) {
        return;
    }
    if (n_bytes > TW_LIMIT_JINJA_STRING_BYTES - b->size_bytes) {
        tw_jinja_fail_limit(b->j, "a text becomes longer than %u bytes; give it shorter messages",
                            TW_LIMIT_JINJA_STRING_BYTES);
        return;
    }
    if (b->capacity_bytes - b->size_bytes < n_bytes) {
        char *larger = tw_jinja_enlarge(b->j, b->data, b->size_bytes, b->size_bytes + n_bytes, 1,
                                        &b->capacity_bytes);
        if (larger == NULL) {
            return;
        }
        b->data = larger;
    }
    memcpy(b->data + b->size_bytes, data, n_bytes);
    b->size_bytes += n_bytes;
    put_span(b, is_input);
}

void tw_jinja_put_text(struct tw_jinja_builder *b, const char *text, bool is_input)
{
    tw_jinja_put(b, text, strlen(text), is_input);
}

void tw_jinja_put_code(struct tw_jinja_builder *b, uint32_t code, bool is_input)
{
    char bytes[4];
    tw_jinja_put(b, bytes, tw_utf8_encode(code, bytes), is_input);
}

/* The number of the span that has the byte. */
static size_t span_of(const struct tw_jinja_string *string, size_t at)
{
    size_t low = 0, high = string->n_spans - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (string->spans[middle].end_bytes <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void tw_jinja_put_part(struct tw_jinja_builder *b, const struct tw_jinja_string *string,
                       size_t from, size_t n_bytes)
{
    size_t end = from + n_bytes;
    for (size_t i = n_bytes > 0 ? span_of(string, from) : 0; from < end; i++) {
        size_t stop = string->spans[i].end_bytes < end ? string->spans[i].end_bytes : end;
        tw_jinja_put(b, string->data + from, stop - from, string->spans[i].is_input);
        from = stop;
    }
}

static struct tw_jinja_value new_string(struct tw_jinja *j, struct tw_jinja_string what)
{
    struct tw_jinja_string *string = tw_jinja_alloc(j, 1, sizeof *string);
    if (string == NULL) {
        return tw_jinja_undefined(NULL);
    }
    what.n_chars = SIZE_MAX;
    *string = what;
    return (struct tw_jinja_value){.kind = TW_JINJA_STRING, .string = string};
}

struct tw_jinja_value tw_jinja_built(struct tw_jinja_builder *b)
{
    return new_string(b->j, (struct tw_jinja_string){.data = b->data,
                                                     .size_bytes = b->size_bytes,
                                                     .spans = b->spans,
                                                     .n_spans = b->n_spans});
}

struct tw_jinja_value tw_jinja_string(struct tw_jinja *j, const char *data, size_t n_bytes,
                                      bool is_input)
{
    static const struct tw_text_span whole[] = {{SIZE_MAX, false}, {SIZE_MAX, true}};
    return new_string(
        j, (struct tw_jinja_string){
               .data = data, .size_bytes = n_bytes, .spans = &whole[is_input], .n_spans = 1});
}

struct tw_jinja_value tw_jinja_part(struct tw_jinja *j, struct tw_jinja_value string, size_t from,
                                    size_t n_bytes)
{
    const struct tw_jinja_string *s = string.string;
    if (n_bytes == s->size_bytes) {
        return string;
    }
    if (n_bytes > 0) {
        size_t i = span_of(s, from);
        if (s->spans[i].end_bytes >= from + n_bytes) {
            return tw_jinja_string(j, s->data + from, n_bytes, s->spans[i].is_input);
        }
    }
    struct tw_jinja_builder b = tw_jinja_builder(j);
    tw_jinja_put_part(&b, s, from, n_bytes);
    return tw_jinja_built(&b);
}

bool tw_jinja_is_input(const struct tw_jinja_string *string, size_t at)
{
    return string->spans[span_of(string, at)].is_input;
}

bool tw_jinja_has_input(const struct tw_jinja_string *string)
{
    for (size_t i = 0, at = 0; at < string->size_bytes; at = string->spans[i++].end_bytes) {
        if (string->spans[i].is_input) {
            return true;
        }
    }
    return false;
}

size_t tw_jinja_char(const struct tw_jinja_string *string, size_t at, uint32_t *ret_code)
{
    return tw_utf8_decode(string->data + at, string->size_bytes - at, ret_code);
}

size_t tw_jinja_chars(struct tw_jinja *j, struct tw_jinja_string *string)
{
    if (string->n_chars == SIZE_MAX && tw_jinja_step(j, string->size_bytes / STEP_BYTES)) {
        size_t n = 0;
        for (size_t at = 0; at < string->size_bytes; n++) {
            uint32_t code;
            at += tw_jinja_char(string, at, &code);
        }
        string->n_chars = n;
    }
    return string->n_chars;
}

size_t tw_jinja_offset(struct tw_jinja *j, struct tw_jinja_string *string, size_t n_chars)
{
    if (tw_jinja_chars(j, string) == string->size_bytes ||
        !tw_jinja_step(j, n_chars / STEP_BYTES)) {
        return n_chars < string->size_bytes ? n_chars : string->size_bytes;
    }
    size_t at = 0;
    for (uint32_t code; n_chars > 0 && at < string->size_bytes; n_chars--) {
        at += tw_jinja_char(string, at, &code);
    }
    return at;
}

size_t tw_jinja_find(struct tw_jinja *j, const struct tw_jinja_string *string, size_t from,
                     const struct tw_jinja_string *what)
{
    size_t n = string->size_bytes - from;
    const char *hit = n > 0 && what->size_bytes > 0
                          ? memmem(string->data + from, n, what->data, what->size_bytes)
                          : NULL;
    bool found = what->size_bytes == 0 || hit != NULL;
    size_t at = hit != NULL ? (size_t)(hit - string->data) : from;
    return tw_jinja_step(j, 1 + (found ? at - from : n) / STEP_BYTES) && found ? at : SIZE_MAX;
}

bool tw_jinja_string_is(struct tw_jinja_value value, const char *text)
{
    return value.kind == TW_JINJA_STRING && value.string->size_bytes == strlen(text) &&
           memcmp(value.string->data, text, strlen(text)) == 0;
}

bool tw_jinja_is_space(uint32_t code)
{
    return tw_utf8_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

struct tw_jinja_value tw_jinja_str(struct tw_jinja *j, struct tw_jinja_value value)
{
    if (value.kind == TW_JINJA_STRING) {
        return value;
    }
    struct tw_jinja_builder b = tw_jinja_builder(j);
    tw_jinja_put_value(&b, value);
    return tw_jinja_built(&b);
}

/* Appends to the room behind `a` where nobody else has done so. */
struct tw_jinja_value tw_jinja_join_two(struct tw_jinja *j, struct tw_jinja_value a,
                                        struct tw_jinja_value b)
{
    struct tw_jinja_string *s = a.string;
    bool grows = s->size_bytes + b.string->size_bytes >= GROWING_BYTES;
    struct tw_jinja_builder plain = tw_jinja_builder(j), *builder = &plain;
    if (s->owner != NULL && s->owner->size_bytes == s->size_bytes) {
        builder = s->owner;
    } else {
        if (grows && (builder = tw_jinja_alloc(j, 1, sizeof *builder)) == NULL) {
            return tw_jinja_undefined(NULL);
        }
        *builder = tw_jinja_builder(j);
        tw_jinja_put_part(builder, s, 0, s->size_bytes);
    }
    tw_jinja_put_part(builder, b.string, 0, b.string->size_bytes);
    struct tw_jinja_value sum = tw_jinja_built(builder);
    if (!tw_jinja_failed(j)) {
        sum.string->owner = builder == &plain ? NULL : builder;
    }
    return sum;
}
