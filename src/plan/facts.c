#include "plan/facts.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/mem.h"
#include "text/csv_read.h"
#include "text/lines.h"

struct row {
    struct tw_fact fact;
    struct tw_fact_source *last; /* of fact.others */
    uint32_t name;               /* its number */
    uint32_t n_file;             /* which file it is of */
};

/* Numbers by what they are found by. Slots are a power of two, at most half of them in use. */
struct index {
    struct slot {
        uint32_t hash, number; /* from 1; 0: free */
    } * slots;
    uint32_t n_slots, n;
};

struct tw_facts {
    struct tw_arena arena;
    struct row *rows;
    uint32_t n_rows, rows_capacity;
    const char **names;
    uint32_t n_names, names_capacity;
    struct index by_name, by_field; /* of names; of rows */
    uint32_t n_files, n_lines;      /* lines with a fact, of all files */
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
        tw_mem_free(facts->by_name.slots);
        tw_mem_free(facts->by_field.slots);
        tw_mem_free(facts);
    }
}

/* ---- finding ---- */

/* Capitals alike, as names are compared. */
static uint32_t hash_of(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        const char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        hash = (hash ^ (unsigned char)c) * 16777619u;
    }
    return hash ^ hash >> 15;
}

static uint32_t hash_of_name(const char *text)
{
    return hash_of(2166136261u, text);
}

static uint32_t hash_of_field(uint32_t name, const char *field)
{
    return hash_of(2166136261u ^ name * 2654435761u, field);
}

/* The slot from `from` on that has this hash, or a free one. */
static const struct slot *next_slot(const struct index *index, uint32_t hash, uint32_t *from)
{
    static const struct slot none = {0, 0};
    while (index->n_slots > 0) {
        const struct slot *slot = &index->slots[(hash + (*from)++) & (index->n_slots - 1)];
        if (slot->number == 0 || slot->hash == hash) {
            return slot;
        }
    }
    return &none;
}

static void put_slot(struct index *index, struct slot slot)
{
    uint32_t at = slot.hash & (index->n_slots - 1);
    while (index->slots[at].number != 0) {
        at = (at + 1) & (index->n_slots - 1);
    }
    index->slots[at] = slot;
}

static bool add_slot(struct index *index, uint32_t hash, uint32_t number)
{
    if (2 * (index->n + 1) > index->n_slots) {
        const uint32_t n_slots = index->n_slots == 0 ? 256 : 2 * index->n_slots;
        struct index grown = {tw_mem_zalloc(n_slots, sizeof *grown.slots), n_slots, index->n};
        if (grown.slots == NULL) {
            return false;
        }
        for (uint32_t i = 0; i < index->n_slots; i++) {
            if (index->slots[i].number != 0) {
                put_slot(&grown, index->slots[i]);
            }
        }
        tw_mem_free(index->slots);
        *index = grown;
    }
    put_slot(index, (struct slot){hash, number});
    index->n++;
    return true;
}

/* Its number from 1; 0: there is none. */
static uint32_t find_name(const struct tw_facts *facts, const char *text)
{
    const uint32_t hash = hash_of_name(text);
    uint32_t from = 0;
    const struct slot *slot = next_slot(&facts->by_name, hash, &from);
    while (slot->number != 0 && strcasecmp(facts->names[slot->number - 1], text) != 0) {
        slot = next_slot(&facts->by_name, hash, &from);
    }
    return slot->number;
}

static struct row *find_row(const struct tw_facts *facts, uint32_t name, const char *field)
{
    const uint32_t hash = hash_of_field(name, field);
    uint32_t from = 0;
    for (;;) {
        const struct slot *slot = next_slot(&facts->by_field, hash, &from);
        struct row *row = slot->number != 0 ? &facts->rows[slot->number - 1] : NULL;
        if (row == NULL || (row->name == name && strcmp(row->fact.field, field) == 0)) {
            return row;
        }
    }
}

const struct tw_fact *tw_facts_find(const struct tw_facts *facts, const char *name,
                                    const char *field)
{
    const uint32_t found = find_name(facts, name);
    const struct row *row = found != 0 ? find_row(facts, found, field) : NULL;
    return row != NULL ? &row->fact : NULL;
}

uint32_t tw_facts_n_names(const struct tw_facts *facts)
{
    return facts->n_names;
}

const char *tw_facts_name(const struct tw_facts *facts, uint32_t i)
{
    return facts->names[i];
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

/* 0: there is no memory. */
static uint32_t have_name(struct tw_facts *facts, const char *text)
{
    const uint32_t found = find_name(facts, text);
    if (found != 0) {
        return found;
    }
    if (facts->n_names == facts->names_capacity) {
        uint32_t n = facts->names_capacity == 0 ? 64 : 2 * facts->names_capacity;
        const char **names = tw_mem_realloc(facts->names, n, sizeof *names);
        if (names == NULL) {
            return 0;
        }
        facts->names = names;
        facts->names_capacity = n;
    }
    const char *copy = tw_arena_strndup(&facts->arena, text, strlen(text));
    if (copy == NULL || !add_slot(&facts->by_name, hash_of_name(text), facts->n_names + 1)) {
        return 0;
    }
    facts->names[facts->n_names++] = copy;
    return facts->n_names;
}

static struct row *add_row(struct tw_facts *facts, uint32_t name, const char *field)
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
    if (!add_slot(&facts->by_field, hash_of_field(name, field), facts->n_rows + 1)) {
        return NULL;
    }
    struct row *row = &facts->rows[facts->n_rows++];
    *row = (struct row){.name = name, .fact = {.field = field}};
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
static enum tw_status widen(const struct reading *r, struct row *row,
                            const struct tw_fact *new_fact)
{
    struct tw_fact *old = &row->fact;
    struct tw_fact_source *source = source_of(r, new_fact);
    if (source == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    *(row->last != NULL ? &row->last->next : &old->others) = source;
    row->last = source;
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
    if (r->facts->n_lines++ >= TW_LIMIT_PLAN_FACTS) {
        return tw_error_set(r->error, TW_ERR_LIMIT, r->line, "%s:%u: more than %d facts", r->file,
                            r->line, TW_LIMIT_PLAN_FACTS);
    }
    const uint32_t name = have_name(r->facts, fields[NAME]);
    if (name == 0 || !copy_texts(r, &fact)) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    fact.name = r->facts->names[name - 1];
    struct row *row = find_row(r->facts, name, fact.field);
    if (row != NULL && row->n_file == r->facts->n_files) {
        return widen(r, row, &fact);
    }
    if (row == NULL && (row = add_row(r->facts, name, fact.field)) == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    if (row->n_file != 0 && (fact.replaced = source_of(r, &row->fact)) == NULL) {
        return tw_error_set(r->error, TW_ERR_MEMORY, r->line, "no memory for %s", r->file);
    }
    row->fact = fact;
    row->last = NULL;
    row->n_file = r->facts->n_files;
    return TW_OK;
}

static enum tw_status check_titles(const struct reading *r)
{
    bool good = r->row->n_fields == N_COLUMNS;
    for (int i = 1; good && i < N_COLUMNS; i++) {
        good = strcmp(r->row->fields[i], titles[i]) == 0;
    }
    if (r->row->n_fields == 1 && strchr(r->row->fields[0], ';') != NULL) {
        return refuse(r, "the fields are parted by semicolons; write commas, and numbers with a "
                         "point: save the table as CSV with commas");
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
