#include "app/options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/suggest.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 96, SUGGEST_BYTES = 65, SUGGEST_CANDIDATES = 128 };

/* ---- looking up ---- */

static const struct tw_option *find_option(const struct tw_command_spec *spec, const char *name,
                                           size_t name_bytes, void **ret_values)
{
    for (const struct tw_option_use *use = spec->uses; use->group != NULL; use++) {
        for (size_t i = 0; i < use->group->n_options; i++) {
            const struct tw_option *option = &use->group->options[i];
            if (strlen(option->name) == name_bytes && memcmp(option->name, name, name_bytes) == 0) {
                *ret_values = use->values;
                return option;
            }
        }
    }
    return NULL;
}

static enum tw_status unknown_option(const struct tw_command_spec *spec, const char *word,
                                     size_t name_bytes, struct tw_error *error)
{
    const char *names[SUGGEST_CANDIDATES];
    size_t n = 0;
    for (const struct tw_option_use *use = spec->uses; use->group != NULL; use++) {
        for (size_t i = 0; i < use->group->n_options && n + 1 < SUGGEST_CANDIDATES; i++) {
            names[n++] = use->group->options[i].name;
        }
    }
    names[n] = NULL;
    char name[SUGGEST_BYTES] = "";
    if (name_bytes < sizeof name) {
        memcpy(name, word + 2, name_bytes);
        name[name_bytes] = '\0';
    }
    const char *guess = name[0] != '\0' ? tw_suggest_word(name, names) : NULL;
    if (guess != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%s: unknown option '--%s'; did you mean '--%s'?", spec->name, name,
                            guess);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "%s: unknown option '%.60s'; see 'tokenworks %s --help'", spec->name, word,
                        spec->name);
}

/* ---- values ---- */

/* The place of the value of this option, of the type its kind says. */
static void *value_place(const struct tw_option *option, void *values)
{
    return (char *)values + option->offset;
}

static enum tw_status bad_number(const struct tw_option *option, const char *text, const char *kind,
                                 struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "--%s '%.60s': it must be %s from %.12g to %.12g", option->name, text, kind,
                        option->least, option->most);
}

static enum tw_status set_int(const struct tw_option *option, const char *text, int64_t *place,
                              struct tw_error *error)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || (double)value < option->least ||
        (double)value > option->most) {
        return bad_number(option, text, "a whole number", error);
    }
    *place = value;
    return TW_OK;
}

/* strtoull takes "-1" for the largest number; we do not. */
static enum tw_status set_uint64(const struct tw_option *option, const char *text,
                                 struct tw_option_uint64 *place, struct tw_error *error)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--%s '%.60s': it must be a whole number from 0 to %" PRIu64,
                            option->name, text, UINT64_MAX);
    }
    *place = (struct tw_option_uint64){value, true};
    return TW_OK;
}

/* The program never sets LC_NUMERIC, so strtod reads points whatever the user's locale. */
static enum tw_status set_double(const struct tw_option *option, const char *text, double *place,
                                 struct tw_error *error)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= option->least && value <= option->most)) {
        return bad_number(option, text, "a number", error);
    }
    *place = value;
    return TW_OK;
}

static enum tw_status set_choice(const struct tw_option *option, const char *text, int *place,
                                 struct tw_error *error)
{
    char list[160] = "";
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(text, option->choices[i]) == 0) {
            *place = i;
            return TW_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "--%s '%.60s': it must be one of %s",
                        option->name, text, list);
}

static enum tw_status add_string(const struct tw_option *option, const char *text,
                                 struct tw_option_strings *place, struct tw_error *error)
{
    if (place->n_items == TW_LIMIT_OPTION_REPEATS) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "--%s: given more than %d times",
                            option->name, TW_LIMIT_OPTION_REPEATS);
    }
    const char **items = tw_mem_realloc(place->items, place->n_items + 1, sizeof(char *));
    if (items == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for options");
    }
    items[place->n_items++] = text;
    place->items = items;
    return TW_OK;
}

void tw_option_strings_free(struct tw_option_strings *strings)
{
    tw_mem_free(strings->items);
    *strings = (struct tw_option_strings){0};
}

static enum tw_status set_value(const struct tw_option *option, void *values, const char *text,
                                struct tw_error *error)
{
    void *place = value_place(option, values);
    switch (option->kind) {
    case TW_OPTION_FLAG:
        *(bool *)place = true;
        return TW_OK;
    case TW_OPTION_INT:
        return set_int(option, text, place, error);
    case TW_OPTION_UINT64:
        return set_uint64(option, text, place, error);
    case TW_OPTION_DOUBLE:
        return set_double(option, text, place, error);
    case TW_OPTION_STRING:
        *(const char **)place = text;
        return TW_OK;
    case TW_OPTION_STRINGS:
        return add_string(option, text, place, error);
    case TW_OPTION_CHOICE:
        return set_choice(option, text, place, error);
    }
    assert(false);
    return TW_ERR_USAGE;
}

/* ---- parsing ---- */

/* The value of the option is the rest of its word (text) or the next one; *at moves over that. */
static enum tw_status take_value(const struct tw_option *option, void *values, const char *text,
                                 int argc, char **argv, int *at, struct tw_error *error)
{
    if (option->kind == TW_OPTION_FLAG) {
        if (text != NULL) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "--%s takes no value",
                                option->name);
        }
        return set_value(option, values, NULL, error);
    }
    if (text == NULL) {
        if (*at + 1 == argc) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "--%s needs a value: --%s %s",
                                option->name, option->name, option->value_name);
        }
        text = argv[++*at];
    }
    return set_value(option, values, text, error);
}

/* argv[*at] begins with "--" and goes on; moves *at over the value if that is a word of its own. */
static enum tw_status parse_option(const struct tw_command_spec *spec, int argc, char **argv,
                                   int *at, struct tw_error *error)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t name_bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
    void *values;
    const struct tw_option *option = find_option(spec, name, name_bytes, &values);
    if (option == NULL) {
        return unknown_option(spec, argv[*at], name_bytes, error);
    }
    return take_value(option, values, equals != NULL ? equals + 1 : NULL, argc, argv, at, error);
}

/* argv[*at] is one dash and what is hopefully one letter. */
static enum tw_status parse_letter(const struct tw_command_spec *spec, int argc, char **argv,
                                   int *at, struct tw_error *error)
{
    const char *word = argv[*at];
    for (const struct tw_option_use *use = spec->uses; use->group != NULL; use++) {
        for (size_t i = 0; i < use->group->n_options; i++) {
            const struct tw_option *option = &use->group->options[i];
            if (option->letter != 0 && option->letter == word[1] && word[2] == '\0') {
                return take_value(option, use->values, NULL, argc, argv, at, error);
            }
        }
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "%s: unknown option '%.60s'; options have two dashes, and a text that "
                        "begins with one goes after '--'",
                        spec->name, word);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static enum tw_status check_word_count(const struct tw_command_spec *spec, struct tw_words words,
                                       struct tw_error *error)
{
    if (words.n_items > spec->most_words) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%s: unexpected '%.60s'; usage: tokenworks %s %s", spec->name,
                            words.items[spec->most_words], spec->name, spec->synopsis);
    }
    if (words.n_items < spec->least_words) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%s: something is missing; usage: tokenworks %s %s", spec->name,
                            spec->name, spec->synopsis);
    }
    return TW_OK;
}

enum tw_status tw_options_parse(const struct tw_command_spec *spec, int argc, char **argv,
                                struct tw_words *ret_words, struct tw_error *error)
{
    struct tw_words words = {.items = argv};
    if (asks_for_help(argc, argv)) {
        words.wants_help = true;
        *ret_words = words;
        return TW_OK;
    }
    bool only_words = false;
    for (int at = 1; at < argc; at++) {
        char *word = argv[at];
        if (only_words || word[0] != '-' || word[1] == '\0') {
            argv[words.n_items++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_words = true;
        } else {
            enum tw_status status = word[1] == '-' ? parse_option(spec, argc, argv, &at, error)
                                                   : parse_letter(spec, argc, argv, &at, error);
            if (status != TW_OK) {
                return status;
            }
        }
    }
    enum tw_status status = check_word_count(spec, words, error);
    if (status == TW_OK) {
        *ret_words = words;
    }
    return status;
}

/* ---- help ---- */

/* Prints text with lines broken at spaces, all but the first indented to HELP_COLUMN. */
static void print_wrapped(const char *text, FILE *out)
{
    int column = HELP_COLUMN;
    for (bool is_first = true; *text != '\0'; is_first = false) {
        int n = (int)strcspn(text, " ");
        if (is_first) {
            fprintf(out, "%.*s", n, text);
        } else if (column + 1 + n > HELP_WIDTH) {
            fprintf(out, "\n%*s%.*s", HELP_COLUMN, "", n, text);
            column = HELP_COLUMN - 1;
        } else {
            fprintf(out, " %.*s", n, text);
        }
        column += n + 1;
        text += n;
        text += *text == ' ';
    }
    fputc('\n', out);
}

static void print_option(char letter, const char *name, const char *value_name, const char *help,
                         FILE *out)
{
    char left[80];
    char short_form[8] = "";
    if (letter != 0) {
        snprintf(short_form, sizeof short_form, "-%c, ", letter);
    }
    snprintf(left, sizeof left, "  %s--%s%s%s", short_form, name, value_name != NULL ? " " : "",
             value_name != NULL ? value_name : "");
    if (strlen(left) + 2 > HELP_COLUMN) {
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    } else {
        fprintf(out, "%-*s", HELP_COLUMN, left);
    }
    print_wrapped(help, out);
}

void tw_options_print_help(const struct tw_command_spec *spec, FILE *out)
{
    fprintf(out, "usage: tokenworks %s%s%s\n\n%s\n", spec->name,
            spec->synopsis[0] != '\0' ? " " : "", spec->synopsis, spec->about);
    for (const struct tw_option_use *use = spec->uses; use->group != NULL; use++) {
        fprintf(out, "\n%s:\n", use->group->title);
        for (size_t i = 0; i < use->group->n_options; i++) {
            const struct tw_option *option = &use->group->options[i];
            print_option(option->letter, option->name, option->value_name, option->help, out);
        }
    }
    fprintf(out, "\n");
    print_option(0, "help", NULL, "Print this and end.", out);
}
