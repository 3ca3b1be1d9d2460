/* options.h: command lines, described by tables.
 *
 * One table row says everything about an option: how it is parsed, which values are allowed, and
 * what --help prints. Rows are grouped; a command uses groups, its own and shared ones, each with
 * the struct its values go to:
 *
 *     struct run_values values = defaults;
 *     spec.uses = {{&model_group, &values.model}, {&run_group, &values}, {NULL, NULL}}
 *     "--max-tokens=5"  ->  *(uint64_t *)((char *)&values + row.offset) = 5
 *
 * Syntax: --name value, --name=value; a flag is --name alone; -o value where a row has a letter.
 * "--" ends the options, "-" is a word like any other (standard input by convention). Of an option
 * given twice the last one counts, except TW_OPTION_STRINGS, which collects. --help and -h are
 * understood by every command.
 *
 * Ownership: strings point into argv, which must outlive the values; what TW_OPTION_STRINGS
 * collects is freed with tw_option_strings_free. Threads: one at a time.
 * Errors: TW_ERR_USAGE with what is wrong, what would be right, and where help is.
 */
#ifndef TW_APP_OPTIONS_H
#define TW_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum tw_option_kind {
    TW_OPTION_FLAG = 0, /* bool: true when given */
    TW_OPTION_INT,      /* int64_t, a whole number from least to most */
    TW_OPTION_UINT64,   /* struct tw_option_uint64, any unsigned 64-bit number */
    TW_OPTION_DOUBLE,   /* double from least to most */
    TW_OPTION_STRING,   /* const char * */
    TW_OPTION_STRINGS,  /* struct tw_option_strings, may be given several times */
    TW_OPTION_CHOICE    /* int: the place in choices */
};

struct tw_option_uint64 {
    uint64_t value;
    bool is_set;
};

struct tw_option_strings {
    const char **items; /* [n_items] */
    size_t n_items;
};

struct tw_option {
    const char *name; /* without dashes */
    enum tw_option_kind kind;
    size_t offset;              /* of the value in the group's struct */
    const char *value_name;     /* in help: "N"; NULL for a flag */
    const char *help;           /* one sentence; says the default where there is one */
    double least, most;         /* TW_OPTION_INT, TW_OPTION_DOUBLE */
    const char *const *choices; /* TW_OPTION_CHOICE: ends with NULL */
    char letter;                /* "-o value" means "--output value"; 0 where there is none */
};

struct tw_option_group {
    const char *title; /* in help: "Sampling" */
    const struct tw_option *options;
    size_t n_options;
};

struct tw_option_use {
    const struct tw_option_group *group; /* NULL ends a list of uses */
    void *values;
};

enum { TW_OPTION_USES = 5 };

struct tw_command_spec {
    const char *name;            /* "model inspect" */
    const char *synopsis;        /* what follows the name in the usage line */
    const char *about;           /* what the command does, in lines of at most 78 columns */
    int least_words, most_words; /* positional arguments */
    struct tw_option_use uses[TW_OPTION_USES];
};

struct tw_words {
    char **items; /* [n_items], pointing into argv */
    int n_items;
    bool wants_help; /* --help was given: nothing else has been checked */
};

/* argv[0] is the command's own name and passed over. argv is reordered: words come to its front. */
enum tw_status tw_options_parse(const struct tw_command_spec *spec, int argc, char **argv,
                                struct tw_words *ret_words, struct tw_error *error);

void tw_options_print_help(const struct tw_command_spec *spec, FILE *out);

void tw_option_strings_free(struct tw_option_strings *strings);

#endif
