/* The table of pseudonyms: by their values while a request is redacted, by their names while its
 * answer is put back. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "policy/redact_parts.h"

enum { FIRST_PLACES = 64 };

enum tw_status tw_redact_no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to redact a request");
}

/* A quoted text without escapes reads the same as JSON and as it stands, so it is left as it is. */
enum tw_status tw_redact_parse(const char *text, size_t text_bytes, unsigned texts_deep,
                               json_t **ret_value, struct tw_error *error)
{
    const char first = text[strspn(text, " \t\r\n")];
    const bool has_escapes = memchr(text, '\\', text_bytes) != NULL;
    const bool is_deep = texts_deep == TW_LIMIT_POLICY_TEXTS_DEEP;
    const bool may_be = first == '{' || first == '[' || (first == '"' && has_escapes);
    json_t *value = NULL;
    *ret_value = NULL;
    if (!may_be || (is_deep && !has_escapes)) {
        return TW_OK;
    }
    const enum tw_status status = tw_json_parse(text, text_bytes, "", &value, NULL);
    if (status == TW_ERR_FORMAT) {
        return TW_OK;
    }
    if (is_deep || status == TW_ERR_LIMIT) {
        json_decref(value);
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the request cannot be redacted: one of its texts is JSON in JSON in "
                            "JSON, deeper or larger than is looked at");
    }
    *ret_value = value;
    return status == TW_OK ? TW_OK : tw_redact_no_memory(error);
}

enum tw_status tw_redaction_create(const struct tw_policy *policy, uint64_t detectors,
                                   struct tw_redaction **ret_redaction, struct tw_error *error)
{
    struct tw_redaction *redaction = tw_mem_zalloc(1, sizeof *redaction);
    if (redaction == NULL) {
        return tw_redact_no_memory(error);
    }
    tw_detect_begin(&redaction->work);
    redaction->policy = policy;
    redaction->detectors = detectors;
    redaction->seed = tw_rng_system_seed(); /* nobody can make values that meet in the table */
    *ret_redaction = redaction;
    return TW_OK;
}

void tw_redaction_free(struct tw_redaction *redaction)
{
    if (redaction == NULL) {
        return;
    }
    tw_detect_end(&redaction->work);
    for (size_t i = 0; i < redaction->n_items; i++) {
        tw_mem_free(redaction->items[i].value);
        tw_mem_free(redaction->items[i].escaped);
    }
    tw_mem_free(redaction->items);
    tw_mem_free(redaction->by_value);
    tw_mem_free(redaction->by_name);
    tw_mem_free(redaction);
}

size_t tw_redaction_count(const struct tw_redaction *redaction)
{
    return redaction->n_items;
}

/* ---- the tables ---- */

static bool is_value(const struct tw_pseudonym *item, const char *text, size_t n)
{
    return item->value_bytes == n && memcmp(item->value, text, n) == 0;
}

static bool is_named(const struct tw_pseudonym *item, const char *text, size_t n)
{
    return strlen(item->name) == n && memcmp(item->name, text, n) == 0;
}

/* The place of a text in a table, or the free one where it would be. */
static size_t place_of(const struct tw_redaction *redaction, const uint32_t *table,
                       bool (*is_it)(const struct tw_pseudonym *, const char *, size_t),
                       const char *text, size_t n)
{
    size_t place = tw_hash_of(text, n, redaction->seed) & (redaction->n_places - 1);
    while (table[place] != 0 && !is_it(&redaction->items[table[place] - 1], text, n)) {
        place = (place + 1) & (redaction->n_places - 1);
    }
    return place;
}

const struct tw_pseudonym *tw_redact_find(const struct tw_redaction *redaction, const char *name,
                                          size_t name_bytes)
{
    if (redaction->n_items == 0) {
        return NULL;
    }
    const uint32_t number =
        redaction->by_name[place_of(redaction, redaction->by_name, is_named, name, name_bytes)];
    return number != 0 ? &redaction->items[number - 1] : NULL;
}

static void put_in_tables(struct tw_redaction *redaction, size_t i)
{
    const struct tw_pseudonym *item = &redaction->items[i];
    redaction->by_value[place_of(redaction, redaction->by_value, is_value, item->value,
                                 item->value_bytes)] = (uint32_t)i + 1;
    redaction->by_name[place_of(redaction, redaction->by_name, is_named, item->name,
                                strlen(item->name))] = (uint32_t)i + 1;
}

static bool make_room(struct tw_redaction *redaction)
{
    if (redaction->n_items < redaction->capacity) {
        return true;
    }
    const size_t n_places = redaction->n_places > 0 ? 2 * redaction->n_places : FIRST_PLACES;
    struct tw_pseudonym *items = tw_mem_realloc(redaction->items, n_places / 2, sizeof *items);
    if (items == NULL) {
        return false;
    }
    redaction->items = items;
    uint32_t *by_value = tw_mem_zalloc(n_places, sizeof *by_value);
    uint32_t *by_name = tw_mem_zalloc(n_places, sizeof *by_name);
    if (by_value == NULL || by_name == NULL) {
        tw_mem_free(by_value);
        tw_mem_free(by_name);
        return false;
    }
    tw_mem_free(redaction->by_value);
    tw_mem_free(redaction->by_name);
    redaction->by_value = by_value;
    redaction->by_name = by_name;
    redaction->n_places = n_places;
    redaction->capacity = n_places / 2;
    for (size_t i = 0; i < redaction->n_items; i++) {
        put_in_tables(redaction, i);
    }
    return true;
}

/* ---- a new one ---- */

/* EMAIL_1: the detector's name in capitals, and the next number that nothing is called by. */
static void choose_name(struct tw_redaction *redaction, unsigned detector,
                        char name[TW_PSEUDONYM_BYTES])
{
    char capitals[TW_LIMIT_POLICY_NAME_BYTES];
    snprintf(capitals, sizeof capitals, "%s", redaction->policy->detectors[detector].name);
    for (char *c = capitals; *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - ('a' - 'A')) : *c == '-' || *c == '.' ? '_' : *c;
    }
    uint32_t *number = &redaction->n_last[detector];
    *number = *number > redaction->n_taken ? *number : redaction->n_taken;
    do {
        ++*number;
        snprintf(name, TW_PSEUDONYM_BYTES, "%s_%lu", capitals, (unsigned long)*number);
    } while (tw_redact_find(redaction, name, strlen(name)) != NULL);
}

static char *escape(const char *value, size_t value_bytes, size_t *ret_bytes)
{
    struct tw_buf buf;
    struct tw_json_writer json;
    char *escaped = NULL;
    tw_buf_init(&buf, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_json_begin(&json, &buf);
    tw_json_string(&json, value, value_bytes);
    if (!buf.failed) {
        *ret_bytes = buf.size_bytes - 2; /* without the quotes */
        escaped = tw_mem_strndup(buf.data + 1, *ret_bytes);
    }
    tw_buf_free(&buf);
    return escaped;
}

static bool add(struct tw_redaction *redaction, unsigned detector, const char *value,
                size_t value_bytes)
{
    if (!make_room(redaction)) {
        return false;
    }
    struct tw_pseudonym item = {.detector = detector, .value_bytes = value_bytes};
    item.value = tw_mem_strndup(value, value_bytes);
    item.escaped = escape(value, value_bytes, &item.escaped_bytes);
    if (item.value == NULL || item.escaped == NULL) {
        tw_mem_free(item.value);
        tw_mem_free(item.escaped);
        return false;
    }
    choose_name(redaction, detector, item.name);
    const size_t n = strlen(item.name);
    redaction->longest_name_bytes =
        n > redaction->longest_name_bytes ? n : redaction->longest_name_bytes;
    redaction->items[redaction->n_items++] = item;
    put_in_tables(redaction, redaction->n_items - 1);
    return true;
}

enum tw_status tw_redact_pseudonym(struct tw_redaction *redaction, unsigned detector,
                                   const char *value, size_t value_bytes,
                                   const struct tw_pseudonym **ret_pseudonym,
                                   struct tw_error *error)
{
    redaction->n_replaced++;
    uint32_t number = 0;
    if (redaction->n_items > 0) {
        number =
            redaction
                ->by_value[place_of(redaction, redaction->by_value, is_value, value, value_bytes)];
    }
    if (number == 0 && redaction->n_items == TW_LIMIT_POLICY_PSEUDONYMS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the request cannot be redacted: more than %d values are to be "
                            "replaced; send less at once",
                            TW_LIMIT_POLICY_PSEUDONYMS);
    }
    if (number == 0 && !add(redaction, detector, value, value_bytes)) {
        return tw_redact_no_memory(error);
    }
    *ret_pseudonym = &redaction->items[number != 0 ? number - 1 : redaction->n_items - 1];
    return TW_OK;
}
