/* eval_rows.h: the questions of an evaluation file and what a right answer is.
 *
 * The file is JSON Lines, one question a line; docs/eval.md describes it for users:
 *
 *     {"task": "facts", "messages": [{"role": "user", "content": "..."}], "expect": {...}}
 *     expect  {"kind": "json", "value": {...}}
 *             {"kind": "tool_call", "name": "...", "arguments": {...}}
 *             {"kind": "contains", "all": [["a", "b"], ["c"]], "none": ["d"]}
 *             {"kind": "exact", "any": ["..."]}
 *
 * Invariants: 1. What parses is complete: each row's kind has its fields, of the right types, and
 * no others; the last message is the user's. 2. Tasks are in the order of their first row and have
 * at least one row.
 * Ownership: rows own their JSON; names of tasks lie in it. Threads: one at a time.
 * Errors: TW_ERR_FORMAT as "file:line: what is wrong"; TW_ERR_LIMIT for the bounds TW_LIMIT_EVAL_*.
 */
#ifndef TW_APP_EVAL_ROWS_H
#define TW_APP_EVAL_ROWS_H

#include <stddef.h>

#include "base/json.h"
#include "base/status.h"

enum tw_eval_kind {
    TW_EVAL_JSON = 0,
    TW_EVAL_TOOL_CALL,
    TW_EVAL_CONTAINS,
    TW_EVAL_EXACT,
    TW_EVAL_KIND_COUNT
};

struct tw_eval_row {
    json_t *json;           /* the whole row */
    const json_t *messages; /* in json, as are the others */
    const json_t *expect;
    size_t line; /* from 1 */
    size_t task; /* place in tasks */
    enum tw_eval_kind kind;
};

struct tw_eval_task {
    const char *name;
    size_t n_rows;
    unsigned kinds; /* 1u << kind for each kind its rows have */
};

/* Zero-initialise it; free with tw_eval_rows_free, after failures too. */
struct tw_eval_rows {
    struct tw_eval_row *rows; /* [n_rows] in the order of the file */
    size_t n_rows;
    struct tw_eval_task tasks[TW_LIMIT_EVAL_TASKS]; /* [n_tasks] */
    size_t n_tasks;
};

/* "json", "tool_call", "contains", "exact". */
const char *tw_eval_kind_name(enum tw_eval_kind kind);

/* Parses a whole file; empty lines are passed over. name goes into messages. A file without rows is
 * TW_ERR_FORMAT. */
enum tw_status tw_eval_rows_parse(const char *text, size_t text_bytes, const char *name,
                                  struct tw_eval_rows *rows, struct tw_error *error);
void tw_eval_rows_free(struct tw_eval_rows *rows);

/* Keeps the rows of the tasks named (of all when n_names is 0), and of each task the first `most`
 * (0: all). TW_ERR_USAGE for a name that no row has. */
enum tw_status tw_eval_rows_select(struct tw_eval_rows *rows, const char *const *names,
                                   size_t n_names, size_t most, struct tw_error *error);

/* NULL when there is no such task. */
const struct tw_eval_task *tw_eval_rows_find(const struct tw_eval_rows *rows, const char *name,
                                             size_t name_bytes);

#endif
