/* facts.h: tables of facts in CSV, a row per fact with its source and date.
 *
 *     name,field,value,low,high,source,date
 *     H100-80GB-SXM,bandwidth_gb_s,3350,,,vendor datasheet,2026-08
 *
 * A value is a number or a text. Two rows of one file with the same name and field are sources that
 * differ: the first is the typical value, and the range spans all of them, with their low and high
 * where those are given. Files are read one after another, and a later file's rows replace what
 * earlier files said of the same name and field: so a user's own file overrides ours. Lines that
 * begin with # and empty lines are passed over.
 *
 * Invariants:
 * 1. low <= typical <= high, all finite, in every number.
 * 2. Names keep the order in which they first appeared.
 *
 * Ownership: the table owns all texts until tw_facts_free. Threads: one writes, many read.
 * Errors: TW_ERR_FORMAT with file and line, and what to write instead; TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_PLAN_FACTS_H
#define TW_PLAN_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A figure with what it may also be. Without conflict all three are equal. */
struct tw_range {
    double low, typical, high;
};

/* A row that is not the first of its name and field. */
struct tw_fact_source {
    const char *text, *source, *date, *file;
    uint32_t line;
    struct tw_fact_source *next; /* in the file's order */
};

struct tw_fact {
    const char *name, *field;
    const char *text; /* the value as it is written */
    bool is_number;
    struct tw_range number; /* where it is one */
    const char *source, *date;
    const char *file;
    uint32_t line;                         /* of the typical value */
    struct tw_fact_source *others;         /* further sources of the same file, or NULL */
    const struct tw_fact_source *replaced; /* what a file before it said first, or NULL */
};

struct tw_facts;

enum tw_status tw_facts_create(struct tw_facts **ret_facts, struct tw_error *error);
/* NULL is allowed. */
void tw_facts_free(struct tw_facts *facts);

/* text [text_bytes] is read once, file names it in messages. On failure the table is as it was or
 * has some of the rows: free it. */
enum tw_status tw_facts_read(struct tw_facts *facts, const char *file, const char *text,
                             size_t text_bytes, struct tw_error *error);

/* Different names, in order. */
uint32_t tw_facts_n_names(const struct tw_facts *facts);
const char *tw_facts_name(const struct tw_facts *facts, uint32_t i);

/* NULL where there is none. */
const struct tw_fact *tw_facts_find(const struct tw_facts *facts, const char *name,
                                    const char *field);
/* All facts, in the order of their names' first appearance within a file; i < n. */
uint32_t tw_facts_count(const struct tw_facts *facts);
const struct tw_fact *tw_facts_at(const struct tw_facts *facts, uint32_t i);

/* The number of a field, which must be at least `least`. An absent one is `otherwise`, or with
 * is_required TW_ERR_NOT_FOUND that names the field and where to add it. */
enum tw_status tw_facts_number(const struct tw_facts *facts, const char *name, const char *field,
                               double least, bool is_required, struct tw_range otherwise,
                               struct tw_range *ret_number, struct tw_error *error);

/* r scaled by a factor > 0. */
struct tw_range tw_range_times(struct tw_range r, double factor);
struct tw_range tw_range_exact(double value);

#endif
