/* What hostile forms cost before they are refused: time and memory. The linker puts counting
 * functions in the place of those of base/mem.h (--wrap in the meson.build of this folder). */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "form_fixture.h"

void *__real_tw_mem_alloc(size_t n, size_t item_bytes);
void *__wrap_tw_mem_alloc(size_t n, size_t item_bytes);
void __real_tw_mem_free(void *block);
void __wrap_tw_mem_free(void *block);

#if defined __has_feature
#define IS_WATCHED __has_feature(address_sanitizer)
#else
#define IS_WATCHED 0
#endif

/* How many times the yardstick may be taken where 50 ms are not enough. */
static const double most_yardsticks = IS_WATCHED ? 12 : 4;

static size_t held_bytes, most_bytes;

void *__wrap_tw_mem_alloc(size_t n, size_t item_bytes)
{
    void *block = __real_tw_mem_alloc(n, item_bytes);
    held_bytes += malloc_usable_size(block);
    most_bytes = held_bytes > most_bytes ? held_bytes : most_bytes;
    return block;
}

void __wrap_tw_mem_free(void *block)
{
    size_t size_bytes = malloc_usable_size(block);
    held_bytes -= size_bytes < held_bytes ? size_bytes : held_bytes;
    __real_tw_mem_free(block);
}

static double processor_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* What a fixed piece of work takes that is about 20 ms of a free core: a core that is shared with
 * others, or watched by a sanitizer, is no fault of what is measured. */
static double yardstick_ms(void)
{
    static uint32_t table[1 << 16];
    double begin = processor_ms();
    uint32_t at = 1;
    for (uint32_t i = 0; i < 6000000; i++) {
        at = (at * 1664525u + table[at >> 16] + 1013904223u);
        table[(at >> 8) & 0xffff] += at;
    }
    return processor_ms() - begin + (at == 0 ? 1e-9 : 0.0);
}

/* Reading the text of a schema is not counted: any request's text is read. */
static struct tw_error compile_once(bool is_schema, const char *text, double *ms)
{
    struct tw_error error = {0};
    struct tw_automaton *automaton = NULL;
    json_t *json = NULL;
    if (is_schema && tw_json_parse(text, strlen(text), "schema", &json, &error) != TW_OK) {
        fail_msg("%.60s: %s", text, error.text);
    }
    const double begin = processor_ms();
    held_bytes = most_bytes = 0;
    if (is_schema) {
        tw_constraint_compile_schema(json, false, &automaton, &error);
    } else {
        tw_constraint_compile_regex(tw_bytes_of(text), false, &automaton, &error);
    }
    *ms = processor_ms() - begin;
    json_decref(json);
    tw_automaton_free(automaton);
    return error;
}

/* Some run of several: others may be at work on the machine. */
static void assert_is_refused_soon(bool is_schema, const char *text)
{
    double best_ms = 1e9, best_share = 1e9;
    for (int i = 0; i < 20 && best_ms > 50 && best_share > most_yardsticks; i++) {
        double yardstick = yardstick_ms(), ms;
        struct tw_error error = compile_once(is_schema, text, &ms);
        assert_int_equal(error.status, TW_ERR_LIMIT);
        best_ms = ms < best_ms ? ms : best_ms;
        best_share = ms / yardstick < best_share ? ms / yardstick : best_share;
    }
    if (best_ms > 50 && best_share > most_yardsticks) {
        fail_msg("%.60s took %.1f ms, %.1f times the yardstick", text, best_ms, best_share);
    }
    if (most_bytes < 1000 || most_bytes > TW_LIMIT_GRAMMAR_BYTES + (64 << 10)) {
        fail_msg("%.60s held %zu bytes", text, most_bytes);
    }
}

/* head, then n times item, then tail; single quotes stand for double ones. */
static const char *repeated(struct tw_buf *buf, const char *head, const char *item, int n,
                            const char *tail)
{
    tw_buf_clear(buf);
    tw_buf_append_text(buf, head);
    for (int i = 0; i < n; i++) {
        const char *place = strstr(item, "%d");
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        tw_buf_append(buf, item, place != NULL ? (size_t)(place - item) : strlen(item));
        tw_buf_append_text(buf, place != NULL ? number : "");
        tw_buf_append_text(buf, place != NULL ? place + 2 : "");
    }
    tw_buf_append_text(buf, tail);
    tw_buf_append(buf, "", 1);
    for (size_t i = 0; i < buf->size_bytes; i++) {
        buf->data[i] = buf->data[i] == '\'' ? '"' : buf->data[i];
    }
    return buf->data;
}

static void hostile_patterns_are_refused_in_50_ms_and_16_mib(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(a|b)*a(a|b){20}", "((a{0,1000}){0,1000}){0,1000}",
        ".{100000}",        "((((((((((a?){9}){9}){9}){9}){9}){9}){9}){9}){9}){9}",
        "(.*a.{30}){5}b",   "(\\w+\\s?)*(\\d{1,3}[^a])*.{50}",
    };
    struct tw_buf buf;
    tw_buf_init(&buf, (size_t)1 << 20);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        assert_is_refused_soon(false, patterns[i]);
    }
    assert_is_refused_soon(false, repeated(&buf, "", "a?", 32000, ""));
    assert_is_refused_soon(false, repeated(&buf, "", "(a*|b*)", 3200, "^c"));
    tw_buf_free(&buf);
}

static void hostile_schemas_are_refused_in_50_ms_and_16_mib(void **state)
{
    (void)state;
    static const struct {
        const char *head, *item;
        int n;
        const char *tail;
    } rows[] = {
        {"{'enum':[", "'choice number %d',", 60000, "'last']}"},
        {"{'allOf':[", "{'anyOf':[{'minimum':%d},{'maximum':7}]},", 40, "true]}"},
        {"{'anyOf':[", "{'type':'object','properties':{'k%d':{'type':'null'}}},", 40, "true]}"},
        {"{'oneOf':[", "{'type':'object','required':['k'],'properties':{'k':{'const':%d}}},", 600,
         "false]}"},
        {"{'type':'object','additionalProperties':false,'properties':{", "'member%d':{},", 2000,
         "'z':true}}"},
        {"{'type':'string','maxLength':100000", "", 0, "}"},
        {"{'type':'integer','multipleOf':9999", "", 0, "}"},
        {"{'type':'string','maxLength':100,'pattern':'(a|b)*a(a|b){10}'", "", 0, "}"},
    };
    struct tw_buf buf;
    tw_buf_init(&buf, (size_t)8 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_is_refused_soon(true,
                               repeated(&buf, rows[i].head, rows[i].item, rows[i].n, rows[i].tail));
    }
    tw_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_patterns_are_refused_in_50_ms_and_16_mib),
        cmocka_unit_test(hostile_schemas_are_refused_in_50_ms_and_16_mib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
