/* eval_report.h: what an evaluation prints: a table, one JSON object, the failures.
 *
 *     task        rows  score      value   95% interval           right
 *     facts        200  right      0.815   0.755 to 0.863    163 of 200
 *     total        200  passed     0.815   0.755 to 0.863    163 of 200
 *
 * Everything here is a function of the rows and their answers: neither times nor how many were
 * computed at once are in it. The sum over all tasks is a task named "total".
 *
 * Ownership: rows, texts and wishes outlive the report. Threads: the main thread.
 * Errors: TW_ERR_IO where something cannot be written, TW_ERR_USAGE for wishes.
 */
#ifndef TW_APP_EVAL_REPORT_H
#define TW_APP_EVAL_REPORT_H

#include "app/eval_score.h"
#include "engine/stop.h"

struct tw_eval_answer {
    char *text; /* NULL unless it failed; freed by whoever made the list */
    size_t text_bytes;
    enum tw_finish finish;
    struct tw_eval_scores scores;
};

struct tw_eval_report {
    const char *model, *file; /* as given */
    uint64_t max_tokens, seed;
    const struct tw_eval_rows *rows;
    const struct tw_eval_answer *answers; /* [rows->n_rows] */
};

/* "TASK.SCORE=X": at least X is asked of that score. */
struct tw_eval_wish {
    struct tw_bytes task; /* in the option's text */
    enum tw_eval_score_id score;
    double least;
};

/* TW_ERR_USAGE when it is not of that form, when no row has the task, or none of them the score. */
enum tw_status tw_eval_wish_parse(const char *text, const struct tw_eval_rows *rows,
                                  struct tw_eval_wish *ret_wish, struct tw_error *error);

/* TW_ERR_MISSED with a sentence when the wish is not fulfilled. */
enum tw_status tw_eval_report_check(const struct tw_eval_report *report,
                                    const struct tw_eval_wish *wish, struct tw_error *error);

enum tw_status tw_eval_report_print_table(const struct tw_eval_report *report,
                                          struct tw_error *error);
enum tw_status tw_eval_report_print_json(const struct tw_eval_report *report,
                                         struct tw_error *error);

/* The first n_most failures for a reader. */
enum tw_status tw_eval_report_print_failures(const struct tw_eval_report *report, size_t n_most,
                                             struct tw_error *error);

/* The failed rows, each with "answer" and "finish_reason" added: an evaluation file itself. */
enum tw_status tw_eval_report_write_failures(const struct tw_eval_report *report, const char *path,
                                             struct tw_error *error);

#endif
