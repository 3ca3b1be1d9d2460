#include "app/plan_catalogue.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "app/command.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "plan/catalogue.h"
#include "plan/prices.h"

#define OUTPUT_BYTES ((size_t)16 << 20)

/* ---- a folder of tables ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first word of a table's title line; "": it has none. */
static enum tw_status first_title(const char *path, char ret_title[32], struct tw_error *error)
{
    struct tw_buf buf;
    enum tw_status status = tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &buf, error);
    if (status != TW_OK) {
        return status;
    }
    size_t at = 0;
    while (at < buf.size_bytes && (buf.data[at] == '#' || buf.data[at] == '\n')) {
        const char *end = memchr(buf.data + at, '\n', buf.size_bytes - at);
        at = end != NULL ? (size_t)(end - buf.data) + 1 : buf.size_bytes;
    }
    size_t n = 0;
    while (n < 31 && at + n < buf.size_bytes && buf.data[at + n] != ',' &&
           buf.data[at + n] != ';' && buf.data[at + n] != '\n') {
        ret_title[n] = buf.data[at + n];
        n++;
    }
    ret_title[n] = '\0';
    tw_buf_free(&buf);
    return TW_OK;
}

static enum tw_status take_file(struct tw_plan_folder *folder, const char *path,
                                struct tw_error *error)
{
    char title[32];
    enum tw_status status = first_title(path, title, error);
    if (status != TW_OK) {
        return status;
    }
    const bool is_price = strcmp(title, "price") == 0;
    uint32_t *n = is_price ? &folder->n_prices : &folder->n_catalogue;
    if (*n == TW_LIMIT_PLAN_NAMES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%.150s': more than %d tables of one kind; put some together", path,
                            TW_LIMIT_PLAN_NAMES);
    }
    char *copy = tw_mem_strndup(path, strlen(path));
    if (copy == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for tables");
    }
    (is_price ? folder->prices : folder->catalogue)[(*n)++] = copy;
    return TW_OK;
}

enum tw_status tw_plan_folder_open(const char *path, struct tw_plan_folder *ret_folder,
                                   struct tw_error *error)
{
    enum { MOST = 2 * TW_LIMIT_PLAN_NAMES };
    char *names[MOST];
    size_t n = 0;
    DIR *dir = opendir(path);
    memset(ret_folder, 0, sizeof *ret_folder);
    if (dir == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "'%.150s' is no folder that can be read; --data names a folder with "
                            "tables (*.csv)",
                            path);
    }
    enum tw_status status = TW_OK;
    for (struct dirent *entry; status == TW_OK && (entry = readdir(dir)) != NULL;) {
        const size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".csv") == 0) {
            char full[TW_LIMIT_PLAN_PATH_BYTES];
            snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
            names[n] = tw_mem_strndup(full, strlen(full));
            if (names[n] == NULL) {
                status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for tables");
            } else if (n + 1 == MOST) {
                status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                      "'%.150s' has more than %d tables", path, MOST - 1);
            }
            n += names[n] != NULL;
        }
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        status = status == TW_OK ? take_file(ret_folder, names[i], error) : status;
        tw_mem_free(names[i]);
    }
    if (status == TW_OK && n == 0) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "'%.150s' has no table (*.csv)", path);
    }
    if (status != TW_OK) {
        tw_plan_folder_free(ret_folder);
    }
    return status;
}

void tw_plan_folder_free(struct tw_plan_folder *folder)
{
    for (uint32_t i = 0; i < folder->n_catalogue; i++) {
        tw_mem_free(folder->catalogue[i]);
    }
    for (uint32_t i = 0; i < folder->n_prices; i++) {
        tw_mem_free(folder->prices[i]);
    }
    memset(folder, 0, sizeof *folder);
}

/* ---- rows ---- */

struct args {
    const char *filter, *data;
    bool conflicts, json;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "filter",
     .kind = TW_OPTION_STRING,
     .offset = ROW(filter),
     .value_name = "TEXT",
     .help = "Rows whose name, field, value or source has this text."},
    {.name = "conflicts",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(conflicts),
     .help = "Rows about which sources differ, or that have a range."},
    {.name = "data",
     .kind = TW_OPTION_STRING,
     .offset = ROW(data),
     .value_name = "FOLDER",
     .help = "Tables of your own (*.csv), which replace rows of ours."},
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print rows as JSON."},
};
static const struct tw_option_group group = {"Rows", options, sizeof options / sizeof options[0]};

/* Whether a text has a part, capitals alike. */
static bool has(const char *text, const char *part)
{
    const size_t n = strlen(part);
    for (const char *at = text; strlen(at) >= n; at++) {
        if (strncasecmp(at, part, n) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_shown(const struct args *args, const struct tw_fact *f)
{
    const bool differs = f->is_number && f->number.high > f->number.low;
    return (!args->conflicts || differs) &&
           (args->filter == NULL || has(f->name, args->filter) || has(f->field, args->filter) ||
            has(f->text, args->filter) || has(f->source, args->filter));
}

static void put_text(struct tw_buf *out, const struct tw_fact *f)
{
    char value[96];
    if (f->is_number && f->number.high > f->number.low) {
        snprintf(value, sizeof value, "%.30s (%g .. %g)", f->text, f->number.low, f->number.high);
    } else {
        snprintf(value, sizeof value, "%.90s", f->text);
    }
    tw_buf_append_format(out, "  %-24s %-26s %s, %s\n", f->field, value, f->source, f->date);
    for (const struct tw_fact_source *o = f->others; o != NULL; o = o->next) {
        tw_buf_append_format(out, "  %-24s %-26s %s, %s\n",
                             strcmp(o->text, f->text) == 0 ? "    also" : "    otherwise", o->text,
                             o->source, o->date);
    }
    if (f->replaced != NULL) {
        tw_buf_append_format(out, "  %-24s %-26s %s, %s; yours is %s line %u\n", "    in place of",
                             f->replaced->text, f->replaced->source, f->replaced->date, f->file,
                             f->line);
    }
}

static void put_source(struct tw_json_writer *w, const struct tw_fact_source *o)
{
    tw_json_object_begin(w);
    tw_json_put_text(w, "value", o->text);
    tw_json_put_text(w, "source", o->source);
    tw_json_put_text(w, "date", o->date);
    tw_json_put_text(w, "file", o->file);
    tw_json_put_uint(w, "line", o->line);
    tw_json_object_end(w);
}

static void put_json(struct tw_json_writer *w, const char *table, const struct tw_fact *f)
{
    tw_json_object_begin(w);
    tw_json_put_text(w, "table", table);
    tw_json_put_text(w, "name", f->name);
    tw_json_put_text(w, "field", f->field);
    tw_json_put_text(w, "value", f->text);
    if (f->is_number) {
        tw_json_put_double(w, "low", f->number.low);
        tw_json_put_double(w, "high", f->number.high);
    }
    tw_json_put_text(w, "source", f->source);
    tw_json_put_text(w, "date", f->date);
    tw_json_put_text(w, "file", f->file);
    tw_json_put_uint(w, "line", f->line);
    tw_json_key(w, "others");
    tw_json_array_begin(w);
    for (const struct tw_fact_source *o = f->others; o != NULL; o = o->next) {
        put_source(w, o);
    }
    tw_json_array_end(w);
    if (f->replaced != NULL) {
        tw_json_key(w, "replaced");
        put_source(w, f->replaced);
    }
    tw_json_object_end(w);
}

static int by_fact_name(const void *a, const void *b)
{
    const struct tw_fact *x = *(const struct tw_fact *const *)a;
    const struct tw_fact *y = *(const struct tw_fact *const *)b;
    const int order = strcasecmp(x->name, y->name);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

/* A table's rows, by name; the number that were shown. */
static uint32_t put_table(const struct args *args, const char *table, const struct tw_facts *facts,
                          struct tw_buf *out, struct tw_json_writer *w)
{
    const uint32_t n = tw_facts_count(facts);
    const struct tw_fact **list = tw_mem_alloc(n + 1, sizeof *list);
    uint32_t n_shown = 0;
    if (list == NULL) {
        out->failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i] = tw_facts_at(facts, i);
    }
    qsort((void *)list, n, sizeof *list, by_fact_name);
    const char *last = "";
    for (uint32_t i = 0; i < n; i++) {
        if (!is_shown(args, list[i])) {
            continue;
        }
        if (args->json) {
            put_json(w, table, list[i]);
        } else {
            if (n_shown == 0) {
                tw_buf_append_format(out, "%s:\n", table);
            }
            if (strcasecmp(last, list[i]->name) != 0) {
                tw_buf_append_format(out, "%s\n", list[i]->name);
                last = list[i]->name;
            }
            put_text(out, list[i]);
        }
        n_shown++;
    }
    tw_mem_free((void *)list);
    return n_shown;
}

static const char *const tables[] = {"devices", "models", "engines", "prices", NULL};

static enum tw_status find_table(const struct tw_words *words, int *ret_table,
                                 struct tw_error *error)
{
    *ret_table = -1;
    for (int i = 0; words->n_items > 0 && tables[i] != NULL; i++) {
        *ret_table = strcmp(words->items[0], tables[i]) == 0 ? i : *ret_table;
    }
    return words->n_items == 0 || *ret_table >= 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "there is no table '%.60s'; write devices, models, engines or "
                              "prices, or nothing for all",
                              words->items[0]);
}

static void put_all(const struct args *args, int table, const struct tw_catalogue *catalogue,
                    const struct tw_prices *prices, struct tw_buf *out)
{
    struct tw_json_writer w;
    uint32_t n = 0;
    tw_json_begin(&w, out);
    if (args->json) {
        tw_json_array_begin(&w);
    }
    for (int i = 0; tables[i] != NULL; i++) {
        if (table < 0 || table == i) {
            n += put_table(args, tables[i],
                           i < 3 ? tw_catalogue_facts(catalogue, (enum tw_plan_table)i)
                                 : tw_prices_facts(prices),
                           out, &w);
        }
    }
    if (args->json) {
        tw_json_array_end(&w);
    } else {
        tw_buf_append_format(out, "%u row%s\n", n, n == 1 ? "" : "s");
    }
}

int tw_plan_catalogue(int argc, char **argv)
{
    struct args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan catalogue",
        .synopsis = "[devices|models|engines|prices] [OPTIONS]",
        .about =
            "Prints the rows that plans are made of, each with its source and date, what other\n"
            "sources say, and what your own tables replace (docs/plan-catalogue.md).",
        .most_words = 1,
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    struct tw_buf out;
    struct tw_error error;
    struct tw_catalogue *catalogue = NULL;
    struct tw_prices *prices = NULL;
    struct tw_plan_folder folder = {0};
    int exit_code, table = -1;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, OUTPUT_BYTES);
    enum tw_status status = find_table(&words, &table, &error);
    if (status == TW_OK && args.data != NULL) {
        status = tw_plan_folder_open(args.data, &folder, &error);
    }
    if (status == TW_OK) {
        status = tw_catalogue_open((const char *const *)folder.catalogue, folder.n_catalogue,
                                   &catalogue, &error);
    }
    if (status == TW_OK) {
        status =
            tw_prices_open((const char *const *)folder.prices, folder.n_prices, &prices, &error);
    }
    if (status == TW_OK) {
        status = tw_prices_check_devices(prices, catalogue, &error);
    }
    if (status == TW_OK) {
        put_all(&args, table, catalogue, prices, &out);
    }
    tw_catalogue_free(catalogue);
    tw_prices_free(prices);
    tw_plan_folder_free(&folder);
    return tw_command_finish(&out, status, &error);
}
