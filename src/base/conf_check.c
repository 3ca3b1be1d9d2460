#include "base/conf_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/suggest.h"

enum { MOST_FIELDS = 64, WORDS_BYTES = 150 };

struct checker {
    yaml_parser_t parser;
    const char *name;
    const char *text;
    size_t text_bytes;
    struct tw_error *error;
};

/* What is wrong, and where. */
static __attribute__((format(printf, 3, 4))) enum tw_status wrong(const struct checker *checker,
                                                                  yaml_mark_t mark,
                                                                  const char *format, ...)
{
    char what[TW_LIMIT_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tw_error_set(checker->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.80s': %.190s (line: %zu, column: %zu)", checker->name, what,
                        mark.line + 1, mark.column + 1);
}

/* ---- values to the last letter ---- */

static size_t skip_digits(const char **text)
{
    size_t n = strspn(*text, "0123456789");
    *text += n;
    return n;
}

static void skip_sign(const char **text)
{
    *text += **text == '-' || **text == '+';
}

static bool is_unsigned(const char *text)
{
    bool is_octal = text[0] == '0' && text[1] != '\0';
    return skip_digits(&text) > 0 && *text == '\0' && !is_octal;
}

static bool is_real(const char *text)
{
    skip_sign(&text);
    size_t n_digits = skip_digits(&text);
    text += *text == '.';
    n_digits += skip_digits(&text);
    if (*text == 'e' || *text == 'E') {
        text++;
        skip_sign(&text);
        if (skip_digits(&text) == 0) {
            return false;
        }
    }
    return n_digits > 0 && *text == '\0';
}

/* YAML's own spellings. libcyaml does not look at the case either. */
static bool is_switch(const char *text)
{
    static const char *const words[] = {"true",  "True",  "TRUE",  "yes", "Yes", "YES",
                                        "false", "False", "FALSE", "no",  "No",  "NO"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A whole number of digits alone, which the field's bytes hold. */
static bool fits(const char *text, size_t n_bytes)
{
    uint64_t value = 0;
    bool overflow = false;
    for (; *text != '\0'; text++) {
        overflow = overflow || __builtin_mul_overflow(value, 10u, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value);
    }
    return !overflow && (n_bytes >= 8 || value >> (8 * n_bytes) == 0);
}

static bool is_one_of(const char *text, const cyaml_schema_value_t *schema)
{
    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        if (strcmp(text, schema->enumeration.strings[i].str) == 0) {
            return true;
        }
    }
    return false;
}

/* "one of f32, bf16", as far as there is room. */
static const char *list_words(const cyaml_schema_value_t *schema, char words[WORDS_BYTES])
{
    size_t n = (size_t)snprintf(words, WORDS_BYTES, "one of");
    for (uint32_t i = 0; i < schema->enumeration.count && n < WORDS_BYTES; i++) {
        n += (size_t)snprintf(words + n, WORDS_BYTES - n, "%s %s", i > 0 ? "," : "",
                              schema->enumeration.strings[i].str);
    }
    return words;
}

static const char *list_example(const cyaml_schema_value_t *entry)
{
    return entry->type == CYAML_MAPPING  ? "[{name: house}]"
           : entry->type == CYAML_STRING ? "[house]"
                                         : "[1]";
}

static enum tw_status check_scalar(struct checker *checker, const yaml_event_t *event,
                                   const cyaml_schema_value_t *schema, const char *key)
{
    const char *text = (const char *)event->data.scalar.value, *wanted = NULL;
    char words[WORDS_BYTES];
    if (schema->type == CYAML_SEQUENCE && text[0] == '\0') {
        return wrong(checker, event->start_mark,
                     "'%.40s' has no value and must be a list, such as %s", key,
                     list_example(schema->sequence.entry));
    }
    if (schema->type == CYAML_SEQUENCE) {
        return wrong(checker, event->start_mark, "'%.40s' must be a list: [%.40s]", key, text);
    }
    if (schema->type == CYAML_MAPPING) {
        return wrong(checker, event->start_mark, "%s%.40s%s must have keys with values",
                     key[0] ? "'" : "", key[0] != '\0' ? key : "the file",
                     key[0] != '\0' ? "'" : "");
    }
    if (schema->type == CYAML_UINT && !is_unsigned(text)) {
        wanted = "a whole number";
    } else if (schema->type == CYAML_UINT && !fits(text, schema->data_size)) {
        wanted = "a number that small";
    } else if (schema->type == CYAML_FLOAT && !is_real(text)) {
        wanted = "a number";
    } else if (schema->type == CYAML_BOOL && !is_switch(text)) {
        wanted = "true, false, yes or no";
    } else if (schema->type == CYAML_ENUM && !is_one_of(text, schema)) {
        wanted = list_words(schema, words);
    }
    return wanted == NULL
               ? TW_OK
               : wrong(checker, event->start_mark, "%.40s: '%.40s' is not %s", key, text, wanted);
}

/* ---- the parser ---- */

/* Tabs are the one mistake of which libyaml's words do not tell. */
static bool is_tab(const struct checker *checker, yaml_mark_t mark)
{
    const char *at = checker->text, *end = checker->text + checker->text_bytes;
    for (size_t line = 0; line < mark.line && at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline != NULL ? newline + 1 : end;
    }
    return mark.column < (size_t)(end - at) && at[mark.column] == '\t';
}

static enum tw_status next_event(struct checker *checker, yaml_event_t *ret_event)
{
    if (yaml_parser_parse(&checker->parser, ret_event) != 0) {
        return TW_OK;
    }
    const char *problem = checker->parser.problem;
    yaml_mark_t mark = checker->parser.problem_mark;
    if (is_tab(checker, mark)) {
        return wrong(checker, mark, "a tab where YAML wants spaces");
    }
    return wrong(checker, mark, "%s", problem != NULL ? problem : "it cannot be read");
}

/* Texts are C texts for libcyaml: what stands behind a zero byte ("\0") would be lost. */
static enum tw_status check_zero(const struct checker *checker, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT ||
        memchr(event->data.scalar.value, '\0', event->data.scalar.length) == NULL) {
        return TW_OK;
    }
    return wrong(checker, event->start_mark, "a text with a zero byte in it");
}

/* ---- mappings ---- */

/* How deep a mapping lies: its own key, and where it begins. */
struct mapping {
    const cyaml_schema_field_t *fields;
    const char *key; /* "" for the file's own */
    yaml_mark_t mark;
    uint64_t seen; /* a bit for each field */
};

static enum tw_status unknown_key(const struct checker *checker, const struct mapping *mapping,
                                  const yaml_event_t *event)
{
    const char *names[MOST_FIELDS + 1], *word = (const char *)event->data.scalar.value;
    char list[WORDS_BYTES] = "";
    size_t n = 0, n_bytes = 0;
    for (; mapping->fields[n].key != NULL && n < MOST_FIELDS; n++) {
        names[n] = mapping->fields[n].key;
        const bool fits = n_bytes + strlen(names[n]) + strlen(", , ...") < sizeof list;
        if (n_bytes < sizeof list) { /* the error has no room for all of a long list */
            n_bytes += (size_t)snprintf(list + n_bytes, sizeof list - n_bytes, "%s%s",
                                        n > 0 ? ", " : "", fits ? names[n] : "...");
            n_bytes = fits ? n_bytes : sizeof list;
        }
    }
    names[n] = NULL;
    const char *guess = tw_suggest_word(word, names), *of = mapping->key[0] != '\0' ? " of " : "";
    if (guess != NULL) {
        return wrong(checker, event->start_mark, "unknown key '%.40s'%s%.40s; did you mean %s?",
                     word, of, mapping->key, guess);
    }
    return wrong(checker, event->start_mark, "unknown key '%.40s'%s%.40s; there are %s", word, of,
                 mapping->key, list);
}

/* The field of a key, which is marked as seen. */
static enum tw_status find_field(const struct checker *checker, struct mapping *mapping,
                                 const yaml_event_t *event, const cyaml_schema_field_t **ret_field)
{
    if (event->type != YAML_SCALAR_EVENT) {
        return wrong(checker, event->start_mark, "a key must be a word");
    }
    const char *word = (const char *)event->data.scalar.value;
    for (size_t i = 0; mapping->fields[i].key != NULL && i < MOST_FIELDS; i++) {
        if (strcmp(mapping->fields[i].key, word) == 0) {
            *ret_field = &mapping->fields[i];
            bool is_second = (mapping->seen >> i & 1) != 0;
            mapping->seen |= UINT64_C(1) << i;
            return is_second ? wrong(checker, event->start_mark,
                                     "the key %.40s is there a second time", word)
                             : TW_OK;
        }
    }
    return unknown_key(checker, mapping, event);
}

static enum tw_status check_missing(const struct checker *checker, const struct mapping *mapping)
{
    for (size_t i = 0; mapping->fields[i].key != NULL && i < MOST_FIELDS; i++) {
        const cyaml_schema_field_t *field = &mapping->fields[i];
        if ((mapping->seen >> i & 1) == 0 && (field->value.flags & CYAML_FLAG_OPTIONAL) == 0) {
            return wrong(checker, mapping->mark, "the key %s is missing%s%.40s", field->key,
                         mapping->key[0] != '\0' ? " in " : "", mapping->key);
        }
    }
    return TW_OK;
}

/* ---- a value, whole ---- */

static enum tw_status check_value(struct checker *checker, const yaml_event_t *event,
                                  const cyaml_schema_value_t *schema, const char *key);

static enum tw_status check_mapping(struct checker *checker, const yaml_event_t *start,
                                    const cyaml_schema_value_t *schema, const char *key)
{
    struct mapping mapping = {
        .fields = schema->mapping.fields, .key = key, .mark = start->start_mark};
    const cyaml_schema_field_t *field = NULL; /* whose value comes next */
    enum tw_status status = TW_OK;
    for (bool is_end = false; status == TW_OK && !is_end;) {
        yaml_event_t event;
        status = next_event(checker, &event);
        if (status != TW_OK) {
            break;
        }
        is_end = event.type == YAML_MAPPING_END_EVENT;
        if (is_end) {
            status = check_missing(checker, &mapping);
        } else if (field == NULL) {
            status = find_field(checker, &mapping, &event, &field);
        } else {
            status = check_value(checker, &event, &field->value, field->key);
            field = NULL;
        }
        yaml_event_delete(&event);
    }
    return status;
}

static enum tw_status check_sequence(struct checker *checker, const yaml_event_t *start,
                                     const cyaml_schema_value_t *schema, const char *key)
{
    enum tw_status status = TW_OK;
    uint64_t n = 0;
    for (bool is_end = false; status == TW_OK && !is_end;) {
        yaml_event_t event;
        status = next_event(checker, &event);
        if (status != TW_OK) {
            break;
        }
        is_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!is_end) {
            n++;
            status = check_value(checker, &event, schema->sequence.entry, key);
        } else if (n == 0 && schema->sequence.min > 0) {
            status = wrong(checker, start->start_mark, "'%.40s' needs at least one entry", key);
        } else if (n > schema->sequence.max) {
            status = wrong(checker, start->start_mark, "'%.40s' may have at most %u entries", key,
                           schema->sequence.max);
        }
        yaml_event_delete(&event);
    }
    return status;
}

/* The value that begins with event. A schema's depth bounds how deep this goes. */
static enum tw_status check_value(struct checker *checker, const yaml_event_t *event,
                                  const cyaml_schema_value_t *schema, const char *key)
{
    if (event->type == YAML_SCALAR_EVENT) {
        return check_scalar(checker, event, schema, key);
    }
    if (event->type == YAML_ALIAS_EVENT) {
        return wrong(checker, event->start_mark, "an alias (*): write the value itself");
    }
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    if (is_list && schema->type == CYAML_SEQUENCE) {
        return check_sequence(checker, event, schema, key);
    }
    if (!is_list && schema->type == CYAML_MAPPING) {
        return check_mapping(checker, event, schema, key);
    }
    const char *wanted = schema->type == CYAML_SEQUENCE  ? "a list"
                         : schema->type == CYAML_MAPPING ? "keys with values"
                                                         : "one value";
    return wrong(checker, event->start_mark, "%s%.40s must be %s and is %s",
                 key[0] ? "" : "the file", key, wanted, is_list ? "a list" : "keys with values");
}

enum tw_status tw_conf_check(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, struct tw_error *error)
{
    struct checker checker = {.name = name, .text = text, .text_bytes = text_bytes, .error = error};
    if (yaml_parser_initialize(&checker.parser) == 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory", name);
    }
    yaml_parser_set_input_string(&checker.parser, (const unsigned char *)text, text_bytes);
    enum tw_status status = TW_OK;
    bool is_value = false; /* the document's own comes next */
    for (bool is_last = false; status == TW_OK && !is_last;) {
        yaml_event_t event;
        status = next_event(&checker, &event);
        if (status != TW_OK) {
            break;
        }
        is_last = event.type == YAML_STREAM_END_EVENT;
        status = check_zero(&checker, &event);
        if (status == TW_OK && schema != NULL && is_value) {
            status = check_value(&checker, &event, schema, "");
            is_last = true;
        }
        is_value = event.type == YAML_DOCUMENT_START_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&checker.parser);
    return status;
}

/* ---- places ---- */

static bool next_of(yaml_parser_t *parser, yaml_event_t *ret_event)
{
    return yaml_parser_parse(parser, ret_event) != 0;
}

/* Passes over the value that begins with the event, which is deleted. */
static bool skip_value(yaml_parser_t *parser, yaml_event_t *event)
{
    int depth = 0;
    for (;;) {
        const yaml_event_type_t type = event->type;
        yaml_event_delete(event);
        depth += (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT) -
                 (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT);
        if (depth <= 0) {
            return depth == 0;
        }
        if (!next_of(parser, event)) {
            return false;
        }
    }
}

static bool is_word(const yaml_event_t *event, const char *word, size_t word_bytes)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == word_bytes &&
           memcmp(event->data.scalar.value, word, word_bytes) == 0;
}

/* Goes into the list or mapping that has begun, to the value of the path's first word. */
static bool enter(yaml_parser_t *parser, bool is_list, const char *path, yaml_event_t *ret_event)
{
    const size_t word_bytes = strcspn(path, ".");
    for (unsigned long i = 0; next_of(parser, ret_event); i++) {
        const bool is_end =
            ret_event->type == YAML_MAPPING_END_EVENT || ret_event->type == YAML_SEQUENCE_END_EVENT;
        bool is_it = is_list ? strtoul(path, NULL, 10) == i : is_word(ret_event, path, word_bytes);
        if (is_end || (is_list && is_it)) {
            return !is_end;
        }
        if (!skip_value(parser, ret_event) || (!is_list && !next_of(parser, ret_event))) {
            return false;
        }
        if (is_it) {
            return true;
        }
        if (!is_list && !skip_value(parser, ret_event)) {
            return false;
        }
    }
    return false;
}

bool tw_conf_find(const char *text, size_t text_bytes, const char *path,
                  struct tw_conf_place *ret_place)
{
    yaml_parser_t parser;
    yaml_event_t event = {.type = YAML_NO_EVENT};
    if (yaml_parser_initialize(&parser) == 0) {
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, text_bytes);
    bool goes_on = true;
    while (goes_on && event.type != YAML_DOCUMENT_START_EVENT) {
        yaml_event_delete(&event);
        goes_on = next_of(&parser, &event) && event.type != YAML_STREAM_END_EVENT;
    }
    yaml_event_delete(&event);
    goes_on = goes_on && next_of(&parser, &event);
    while (goes_on && *path != '\0') {
        const bool is_list = event.type == YAML_SEQUENCE_START_EVENT;
        goes_on = is_list || event.type == YAML_MAPPING_START_EVENT;
        yaml_event_delete(&event);
        goes_on = goes_on && enter(&parser, is_list, path, &event);
        path += strcspn(path, ".");
        path += *path == '.';
    }
    if (goes_on) {
        *ret_place = (struct tw_conf_place){event.start_mark.line + 1, event.start_mark.column + 1};
    }
    yaml_event_delete(&event);
    yaml_parser_delete(&parser);
    return goes_on;
}
