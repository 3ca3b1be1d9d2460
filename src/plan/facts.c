#include "plan/facts.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/mem.h"
#include "text/csv_read.h"
#include "text/lines.h"

struct row {
    struct tw_fact fact;
    uint32_t next;   /* of the same name, plus 1 */
    uint32_t n_file; /* which file it is of */
};

struct name {
    const char *text;
    uint32_t first, last; /* rows, plus 1; 0: none */
};

struct tw_facts {
    struct tw_arena arena;
    struct row *rows;
    uint32_t n_rows, rows_capacity;
    struct name *names;
    uint32_t n_names, names_capacity;
    uint32_t n_files;
};

struct tw_range tw_range_times(struct tw_range r, double factor)
{
    return (struct tw_range){r.low * factor, r.typical * factor, r.high * factor};
}

struct tw_range tw_range_exact(double value)
{
    return (struct tw_range){value, value, value};
}

enum tw_status tw_facts_create(struct tw_facts **ret_facts, struct tw_error *error)
{
    struct tw_facts *facts = tw_mem_zalloc(1, sizeof *facts);
    if (facts == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a table of facts");
    }
    tw_arena_init(&facts->arena, 2 * TW_LIMIT_PLAN_TABLE_BYTES);
    *ret_facts = facts;
    return TW_OK;
}

void tw_facts_free(struct tw_facts *facts)
{
    if (facts != NULL) {
        tw_arena_clear(&facts->arena);
        tw_mem_free(facts->rows);
        tw_mem_free(facts->names);
        tw_mem_free(facts);
    }
}

/* ---- finding ---- */

static struct name *find_name(const struct tw_facts *facts, const char *text)
{
    for (uint32_t i = 0; i < facts->n_names; i++) {
        if (strcasecmp(facts->names[i].text, text) == 0) {
            return &facts->names[i];
        }
    }
    return NULL;
}

static struct row *find_row(const struct tw_facts *facts, const struct name *name,
                            const char *field)
{
    for (uint32_t i = name->first; i != 0; i = facts->rows[i - 1].next) {
        if (strcmp(facts->rows[i - 1].fact.field, field) == 0) {
            return &facts->rows[i - 1];
        }
    }
    return NULL;
}

const struct tw_fact *tw_facts_find(const struct tw_facts *facts, const char *name,
                                    const char *field)
{
    const struct name *found = find_name(facts, name);
    const struct row *row = found != NULL ? find_row(facts, found, field) : NULL;
    return row != NULL ? &row->fact : NULL;
}

uint32_t tw_facts_n_names(const struct tw_facts *facts)
{
    return facts->n_names;
}

const char *tw_facts_name(const struct tw_facts *facts, uint32_t i)
{
    return facts->names[i].text;
}

uint32_t tw_facts_count(const struct tw_facts *facts)
{
    return facts->n_rows;
}

const struct tw_fact *tw_facts_at(const struct tw_facts *facts, uint32_t i)
{
    return &facts->rows[i].fact;
}

enum tw_status tw_facts_number(const struct tw_facts *facts, const char *name, const char *field,
                               double least, bool is_required, struct tw_range otherwise,
                               struct tw_range *ret_number, struct tw_error *error)
{
    const struct tw_fact *fact = tw_facts_find(facts, name, field);
    if (fact == NULL && is_required) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "%s has no %s: add a row \"%s,%s,...\" to your table", name, field,
                            name, field);
    }
    if (fact == NULL) {
        *ret_number = otherwise;
        return TW_OK;
    }
    if (!fact->is_number || fact->number.low < least) {
        return tw_error_set(error, TW_ERR_FORMAT, fact->line,
                            "%s:%u: %s of %s is \"%s\"; it must be a number of at least %g",
                            fact->file, fact->line, field, name, fact->text, least);
    }
    *ret_number = fact->number;
    return TW_OK;
}

/* ---- reading ---- */

static struct name *have_name(struct tw_facts *facts, const char *text)
{
    struct name *name = find_name(facts, text);
    if (name != NULL) {
        return name;
    }
    if (facts->n_names == facts->names_capacity) {
        uint32_t n = facts->names_capacity == 0 ? 64 : 2 * facts->names_capacity;
        struct name *names = tw_mem_realloc(facts->names, n, sizeof *names);
        if (names == NULL) {
            return NULL;
        }
        facts->names = names;
        facts->names_capacity = n;
    }
    const char *copy = tw_arena_strndup(&facts->arena, text, strlen(text));
    if (copy == NULL) {
        return NULL;
    }
    facts->names[facts->n_names] = (struct name){.text = copy};
    return &facts->names[facts->n_names++];
}

static struct row *add_row(struct tw_facts *facts, struct name *name)
{
    if (facts->n_rows == facts->rows_capacity) {
        uint32_t n = facts->rows_capacity == 0 ? 256 : 2 * facts->rows_capacity;
        struct row *rows = tw_mem_realloc(facts->rows, n, sizeof *rows);
        if (rows == NULL) {
            return NULL;
        }
        facts->rows = rows;
        facts->rows_capacity = n;
    }
    struct row *row = &facts->rows[facts->n_rows++];
    *row = (struct row){0};
    *(name->last != 0 ? &facts->rows[name->last - 1].next : &name->first) = facts->n_rows;
    name->last = facts->n_rows;
    return row;
}

enum { NAME, FIELD, VALUE, LOW, HIGH, SOURCE, DATE, N_COLUMNS };
static const char *const titles[N_COLUMNS] = {"name", "field",  "value", "low",
                                              "high", "source", "date"};

struct reading {
    struct tw_facts *facts;
    const char *file; /* of the arena */
    uint32_t line;
    struct tw_csv_row *row;
    struct tw_error *error;
};

static enum tw_status refuse(const struct reading *r, const char *what)
{
    return tw_error_set(r->error, TW_ERR_FORMAT, r->line, "%s:%u: %s", r->file, r->line, what);
}

/* The value with low and high, where they are given. */
static enum tw_status read_number(const struct reading *r, struct tw_fact *fact)
{
    char **fields = r->row->fields;
    double value;
    fact->is_number = tw_csv_number_of(fields[VALUE], &value);
    if (!fact->is_number) {
        return fields[LOW][0] != '\0' || fields[HIGH][0] != '\0'
                   ? refuse(r, "a value with low or high must be a number")
                   : TW_OK;
    }
    fact->number = tw_range_exact(value);
    if ((fields[LOW][0] != '\0' && !tw_csv_number_of(fields[LOW], &fact->number.low)) ||
        (fields[HIGH][0] != '\0' && !tw_csv_number_of(fields[HIGH], &fact->number.high))) {
        return refuse(r, "low and high must be numbers or empty");
    }
    if (fact->number.low > value || value > fact->number.high) {
        return refuse(r, "the value must lie between low and high");
    }
    return TW_OK;
}

static double least_of(double a, double b)
{
    return a < b ? a : b;
}

static double most_of(double a, double b)
{
    return a > b ? a : b;
}

/* NULL: there is no memory. */
static struct tw_fact_source *source_of(const struct reading *r, const struct tw_fact *fact)
{
    struct tw_fact_source *source = tw_arena_alloc(&r->facts->arena, 1, sizeof *source);
    if (source != NULL) {
        *source = (struct tw_fact_source){fact->text, fact->source, fact->date,
                                          fact->file, fact->line,   NULL};
    }
    return source;
}

/* Another source for what this file said already. */
static enum tw_status widen(const struct reading *r, struct tw_fact *old,
                            const struct tw_fact *new_fact)
{
    struct tw_fact_source *source = source_of(r, new_fact);
    if (source == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    struct tw_fact_source **end = &old->others;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = source;
    if (!old->is_number || !new_fact->is_number) {
        return strcmp(old->text, new_fact->text) == 0
                   ? TW_OK
                   : refuse(r, "the same name and field again with another text; only numbers "
                               "may differ between sources");
    }
    old->number.low = least_of(old->number.low, new_fact->number.low);
    old->number.high = most_of(old->number.high, new_fact->number.high);
    return TW_OK;
}

static bool copy_texts(const struct reading *r, struct tw_fact *fact)
{
    const char **texts[] = {&fact->field, &fact->text, &fact->source, &fact->date};
    const int columns[] = {FIELD, VALUE, SOURCE, DATE};
    for (int i = 0; i < 4; i++) {
        const char *text = r->row->fields[columns[i]];
        *texts[i] = tw_arena_strndup(&r->facts->arena, text, strlen(text));
        if (*texts[i] == NULL) {
            return false;
        }
    }
    return true;
}

static enum tw_status read_fact(const struct reading *r)
{
    char **fields = r->row->fields;
    if (r->row->n_fields != N_COLUMNS) {
        return refuse(r, "a row has the seven fields name,field,value,low,high,source,date");
    }
    if (fields[NAME][0] == '\0' || fields[FIELD][0] == '\0' || fields[VALUE][0] == '\0') {
        return refuse(r, "name, field and value may not be empty");
    }
    if (fields[SOURCE][0] == '\0' || fields[DATE][0] == '\0') {
        return refuse(r, "say where the value is from and when: source and date are empty");
    }
    struct tw_fact fact = {.file = r->file, .line = r->line};
    enum tw_status status = read_number(r, &fact);
    if (status != TW_OK) {
        return status;
    }
    if (r->facts->n_rows >= TW_LIMIT_PLAN_FACTS) {
        return tw_error_set(r->error, TW_ERR_LIMIT, r->line, "%s:%u: more than %d facts", r->file,
                            r->line, TW_LIMIT_PLAN_FACTS);
    }
    struct name *name = have_name(r->facts, fields[NAME]);
    if (name == NULL || !copy_texts(r, &fact)) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    fact.name = name->text;
    struct row *row = find_row(r->facts, name, fact.field);
    if (row != NULL && row->n_file == r->facts->n_files) {
        return widen(r, &row->fact, &fact);
    }
    if (row == NULL && (row = add_row(r->facts, name)) == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    if (row->n_file != 0 && (fact.replaced = source_of(r, &row->fact)) == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    row->fact = fact;
    row->n_file = r->facts->n_files;
    return TW_OK;
}

static enum tw_status check_titles(const struct reading *r)
{
    bool good = r->row->n_fields == N_COLUMNS;
    for (int i = 1; good && i < N_COLUMNS; i++) {
        good = strcmp(r->row->fields[i], titles[i]) == 0;
    }
    return good ? TW_OK
                : refuse(r, "the first line must be the titles "
                            "name,field,value,low,high,source,date (name: device, model, ...)");
}

enum tw_status tw_facts_read(struct tw_facts *facts, const char *file, const char *text,
                             size_t text_bytes, struct tw_error *error)
{
    if (text_bytes > TW_LIMIT_PLAN_TABLE_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "%s: more than %zu bytes", file,
                            TW_LIMIT_PLAN_TABLE_BYTES);
    }
    struct reading r = {.facts = facts, .error = error};
    r.file = tw_arena_strndup(&facts->arena, file, strlen(file));
    r.row = tw_mem_alloc(1, sizeof *r.row);
    enum tw_status status = TW_OK;
    if (r.file == NULL || r.row == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    struct tw_lines lines = {.text = {text, text_bytes}};
    bool has_titles = false;
    facts->n_files++;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(&lines, &line);) {
        r.line = (uint32_t)lines.number;
        if (line.data[0] == '#') {
            continue;
        }
        status = tw_csv_read_row(line, r.row, error);
        if (status != TW_OK) {
            tw_error_prefix(error, "%s:%u", r.file, r.line);
            break;
        }
        status = has_titles ? read_fact(&r) : check_titles(&r);
        has_titles = true;
    }
    tw_mem_free(r.row);
    return status;
}
