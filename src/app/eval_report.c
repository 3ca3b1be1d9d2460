#include "app/eval_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "base/file.h"

#define REPORT_BOUND_BYTES ((size_t)TW_LIMIT_GENERATED_BYTES)

static const char total_name[] = "total";

/* A task's sum, or that of all rows for task NULL. */
struct tally {
    const char *name;
    size_t n_rows;
    unsigned kinds;
    struct tw_eval_scores scores;
};

static struct tally tally_of(const struct tw_eval_report *report, const struct tw_eval_task *task)
{
    const struct tw_eval_rows *rows = report->rows;
    struct tally tally = {.name = task != NULL ? task->name : total_name};
    for (size_t i = 0; i < rows->n_rows; i++) {
        if (task == NULL || &rows->tasks[rows->rows[i].task] == task) {
            tally.n_rows++;
            tally.kinds |= 1u << rows->rows[i].kind;
            tw_eval_scores_add(&tally.scores, &report->answers[i].scores);
        }
    }
    return tally;
}

static bool is_passed(const struct tw_eval_answer *answer)
{
    return answer->scores.shares[TW_EVAL_PASSED].right == 1;
}

/* ---- wishes ---- */

static bool is_total(struct tw_bytes task)
{
    return tw_bytes_equal(task, tw_bytes_of(total_name));
}

static unsigned kinds_of(const struct tw_eval_rows *rows, struct tw_bytes task)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < rows->n_tasks; i++) {
        if (is_total(task) || tw_bytes_equal(tw_bytes_of(rows->tasks[i].name), task)) {
            kinds |= rows->tasks[i].kinds;
        }
    }
    return kinds;
}

/* What a wish could have asked for: the tasks, or the scores of one. */
static enum tw_status no_such_wish(const char *text, const struct tw_eval_rows *rows,
                                   unsigned kinds, struct tw_error *error)
{
    struct tw_buf list;
    tw_buf_init(&list, 160); /* as many as a message has room for */
    for (size_t i = 0; kinds == 0 && i < rows->n_tasks; i++) {
        tw_buf_append_format(&list, "%s, ", rows->tasks[i].name);
    }
    for (enum tw_eval_score_id id = TW_EVAL_VALID; kinds != 0 && id < TW_EVAL_SCORE_COUNT; id++) {
        if (tw_eval_kinds_have(kinds, id) && id != TW_EVAL_PASSED) {
            tw_buf_append_format(&list, "%s, ", tw_eval_score_name(id));
        }
    }
    tw_buf_append_text(&list, kinds == 0 ? "total" : tw_eval_score_name(TW_EVAL_PASSED));
    enum tw_status status = tw_error_set(
        error, TW_ERR_USAGE, TW_NO_POSITION, "--at-least '%.80s': no %s; there are %.*s", text,
        kinds == 0 ? "row that is to be asked has this task" : "such score", (int)list.size_bytes,
        list.size_bytes != 0 ? list.data : "");
    tw_buf_free(&list);
    return status;
}

/* TASK may have dots, X may as well: SCORE stands between the last dot before '=' and '='. */
enum tw_status tw_eval_wish_parse(const char *text, const struct tw_eval_rows *rows,
                                  struct tw_eval_wish *ret_wish, struct tw_error *error)
{
    const char *equals = strchr(text, '=');
    const char *dot = equals;
    char *end = NULL;
    while (dot != NULL && dot > text && *dot != '.') {
        dot--;
    }
    double least = equals != NULL ? strtod(equals + 1, &end) : -1.0;
    if (equals == NULL || *dot != '.' || end == equals + 1 || *end != '\0' ||
        !(least >= 0.0 && least <= 1.0)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--at-least '%.80s': it must be TASK.SCORE=X with X from 0 to 1", text);
    }
    struct tw_bytes task = {text, (size_t)(dot - text)};
    struct tw_bytes score = {dot + 1, (size_t)(equals - dot - 1)};
    unsigned kinds = kinds_of(rows, task);
    for (enum tw_eval_score_id id = TW_EVAL_VALID; id < TW_EVAL_SCORE_COUNT; id++) {
        if (tw_bytes_equal(tw_bytes_of(tw_eval_score_name(id)), score) &&
            tw_eval_kinds_have(kinds, id)) {
            *ret_wish = (struct tw_eval_wish){task, id, least};
            return TW_OK;
        }
    }
    return no_such_wish(text, rows, kinds, error);
}

enum tw_status tw_eval_report_check(const struct tw_eval_report *report,
                                    const struct tw_eval_wish *wish, struct tw_error *error)
{
    const struct tw_eval_task *task =
        tw_eval_rows_find(report->rows, wish->task.data, wish->task.size_bytes);
    struct tally tally = tally_of(report, task);
    struct tw_eval_share share = tally.scores.shares[wish->score];
    if (tw_eval_share_value(share) >= wish->least) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                        "%s.%s is %.4f (%llu of %llu): at least %.12g was asked for", tally.name,
                        tw_eval_score_name(wish->score), tw_eval_share_value(share),
                        (unsigned long long)share.right, (unsigned long long)share.of, wish->least);
}

/* ---- the table ---- */

static void append_tally(struct tw_buf *buf, const struct tally *tally, int name_width)
{
    const char *name = tally->name;
    char rows[24];
    snprintf(rows, sizeof rows, "%zu", tally->n_rows);
    for (enum tw_eval_score_id id = TW_EVAL_VALID; id < TW_EVAL_SCORE_COUNT; id++) {
        struct tw_eval_share share = tally->scores.shares[id];
        bool is_last = id == TW_EVAL_PASSED; /* says something new of the sum only */
        if (share.of == 0 || (is_last && tally->name != total_name)) {
            continue;
        }
        struct tw_eval_interval interval = tw_eval_share_interval(share);
        tw_buf_append_format(buf, "%-*s %6s  %-8s %6.3f   %.3f to %.3f  %8llu of %llu\n",
                             name_width, name, rows, tw_eval_score_name(id),
                             tw_eval_share_value(share), interval.low, interval.high,
                             (unsigned long long)share.right, (unsigned long long)share.of);
        name = "";
        rows[0] = '\0';
    }
}

enum tw_status tw_eval_report_print_table(const struct tw_eval_report *report,
                                          struct tw_error *error)
{
    const struct tw_eval_rows *rows = report->rows;
    int width = (int)strlen(total_name);
    for (size_t i = 0; i < rows->n_tasks; i++) {
        int n = (int)strlen(rows->tasks[i].name);
        width = n > width ? n : width;
    }
    struct tw_buf buf;
    tw_buf_init(&buf, REPORT_BOUND_BYTES);
    tw_buf_append_format(&buf, "%-*s %6s  %-8s %6s   %-14s  %8s\n", width, "task", "rows", "score",
                         "value", "95% interval", "right");
    for (size_t i = 0; i < rows->n_tasks; i++) {
        struct tally tally = tally_of(report, &rows->tasks[i]);
        append_tally(&buf, &tally, width);
    }
    struct tally total = tally_of(report, NULL);
    append_tally(&buf, &total, width);
    enum tw_status status =
        buf.failed ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a table")
                   : tw_command_write(buf.data, buf.size_bytes, error);
    tw_buf_free(&buf);
    return status;
}

/* ---- JSON ---- */

static void write_share(struct tw_json_writer *writer, struct tw_eval_share share)
{
    struct tw_eval_interval interval = tw_eval_share_interval(share);
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"value", tw_eval_share_value(share)}, {"low", interval.low}, {"high", interval.high}};
    tw_json_object_begin(writer);
    tw_json_key(writer, "right");
    tw_json_uint(writer, share.right);
    tw_json_key(writer, "of");
    tw_json_uint(writer, share.of);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        tw_json_key(writer, numbers[i].key);
        tw_json_double(writer, numbers[i].value);
    }
    tw_json_object_end(writer);
}

static void write_tally(struct tw_json_writer *writer, const struct tally *tally)
{
    tw_json_object_begin(writer);
    tw_json_key(writer, "task");
    tw_json_text(writer, tally->name);
    tw_json_key(writer, "rows");
    tw_json_uint(writer, tally->n_rows);
    tw_json_key(writer, "scores");
    tw_json_object_begin(writer);
    for (enum tw_eval_score_id id = TW_EVAL_VALID; id < TW_EVAL_SCORE_COUNT; id++) {
        if (tw_eval_kinds_have(tally->kinds, id)) {
            tw_json_key(writer, tw_eval_score_name(id));
            write_share(writer, tally->scores.shares[id]);
        }
    }
    tw_json_object_end(writer);
    tw_json_object_end(writer);
}

enum tw_status tw_eval_report_print_json(const struct tw_eval_report *report,
                                         struct tw_error *error)
{
    struct tw_buf line;
    struct tw_json_writer writer;
    tw_buf_init(&line, REPORT_BOUND_BYTES);
    tw_json_begin(&writer, &line);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "model");
    tw_json_text(&writer, report->model);
    tw_json_key(&writer, "file");
    tw_json_text(&writer, report->file);
    tw_json_key(&writer, "max_tokens");
    tw_json_uint(&writer, report->max_tokens);
    tw_json_key(&writer, "temperature");
    tw_json_int(&writer, 0);
    tw_json_key(&writer, "seed");
    tw_json_uint(&writer, report->seed);
    tw_json_key(&writer, "tasks");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < report->rows->n_tasks; i++) {
        struct tally tally = tally_of(report, &report->rows->tasks[i]);
        write_tally(&writer, &tally);
    }
    tw_json_array_end(&writer);
    tw_json_key(&writer, total_name);
    struct tally total = tally_of(report, NULL);
    write_tally(&writer, &total);
    tw_json_object_end(&writer);
    enum tw_status status = tw_command_write_line(&line, error);
    tw_buf_free(&line);
    return status;
}

/* ---- failures ---- */

static void append_failure(struct tw_buf *buf, const struct tw_eval_report *report, size_t i)
{
    const struct tw_eval_row *row = &report->rows->rows[i];
    const struct tw_eval_answer *answer = &report->answers[i];
    tw_buf_append_format(buf, "\n==> %s:%zu, %s <==\n", report->file, row->line,
                         report->rows->tasks[row->task].name);
    for (size_t m = 0; m < json_array_size(row->messages); m++) {
        const json_t *message = json_array_get(row->messages, m);
        const json_t *content = json_object_get(message, "content");
        tw_buf_append_format(buf, "%s: ", json_string_value(json_object_get(message, "role")));
        tw_buf_append(buf, json_string_value(content), json_string_length(content));
        tw_buf_append_text(buf, "\n");
    }
    struct tw_json_writer writer;
    tw_buf_append_text(buf, "expected: ");
    tw_json_begin(&writer, buf);
    tw_json_value(&writer, row->expect);
    tw_buf_append_text(buf,
                       answer->finish == TW_FINISH_LENGTH ? "\nanswer, cut off: " : "\nanswer: ");
    tw_buf_append(buf, answer->text, answer->text_bytes);
    tw_buf_append_text(buf, "\n");
}

enum tw_status tw_eval_report_print_failures(const struct tw_eval_report *report, size_t n_most,
                                             struct tw_error *error)
{
    enum tw_status status = TW_OK;
    size_t n_shown = 0;
    for (size_t i = 0; status == TW_OK && n_shown < n_most && i < report->rows->n_rows; i++) {
        if (is_passed(&report->answers[i])) {
            continue;
        }
        struct tw_buf buf;
        tw_buf_init(&buf, REPORT_BOUND_BYTES);
        append_failure(&buf, report, i);
        status = buf.failed
                     ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a failure")
                     : tw_command_write(buf.data, buf.size_bytes, error);
        tw_buf_free(&buf);
        n_shown++;
    }
    return status;
}

static void append_failed_row(struct tw_buf *buf, const struct tw_eval_row *row,
                              const struct tw_eval_answer *answer)
{
    static const char *const copied[] = {"task", "messages", "values", "expect"};
    struct tw_json_writer writer;
    tw_json_begin(&writer, buf);
    tw_json_object_begin(&writer);
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        const json_t *value = json_object_get(row->json, copied[i]);
        if (value != NULL) {
            tw_json_key(&writer, copied[i]);
            tw_json_value(&writer, value);
        }
    }
    tw_json_key(&writer, "answer");
    tw_json_string(&writer, answer->text, answer->text_bytes);
    tw_json_key(&writer, "finish_reason");
    tw_json_text(&writer, tw_finish_name(answer->finish));
    tw_json_object_end(&writer);
    tw_buf_append_text(buf, "\n");
}

enum tw_status tw_eval_report_write_failures(const struct tw_eval_report *report, const char *path,
                                             struct tw_error *error)
{
    struct tw_file_writer *writer;
    enum tw_status status = tw_file_writer_open(path, &writer, error);
    if (status != TW_OK) {
        return status;
    }
    for (size_t i = 0; status == TW_OK && i < report->rows->n_rows; i++) {
        if (is_passed(&report->answers[i])) {
            continue;
        }
        struct tw_buf buf;
        tw_buf_init(&buf, REPORT_BOUND_BYTES);
        append_failed_row(&buf, &report->rows->rows[i], &report->answers[i]);
        status = buf.failed
                     ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a failure")
                     : tw_file_writer_write(writer, buf.data, buf.size_bytes, error);
        tw_buf_free(&buf);
    }
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    return tw_file_writer_commit(writer, error);
}
