/* eval: asks a model the questions of a file and scores its answers. Many rows are computed at
 * once: as soon as one has its answer, the next one takes its place. */
#include <stdio.h>
#include <string.h>

#include "app/chat_form.h"
#include "app/command.h"
#include "app/eval_report.h"
#include "app/model_args.h"
#include "app/progress.h"
#include "base/file.h"
#include "base/mem.h"

enum { DEFAULT_MAX_TOKENS = 256, DEFAULT_BATCH = 16 };

struct eval_args {
    struct tw_option_strings tasks, wishes;
    int64_t n_limit; /* 0: all */
    int64_t n_batch;
    int64_t max_tokens;
    int64_t n_show;
    const char *failures; /* a path, or NULL */
    bool force;
    bool json;
};

#define ROW(field) offsetof(struct eval_args, field)

static const struct tw_option options[] = {
    {.name = "task",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(tasks),
     .value_name = "NAME",
     .help = "Ask the rows of this task only; may be given several times."},
    {.name = "limit",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_limit),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_EVAL_ROWS,
     .help = "Ask the first N rows of each task. Default: 0, all."},
    {.name = "max-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(max_tokens),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,
     .help = "Most tokens of an answer. Default: 256."},
    {.name = "batch",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_batch),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BATCH_SEQUENCES,
     .help = "Rows that are computed together, with the same result. Default: 16."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(json),
     .help = "Print one JSON object instead of a table."},
    {.name = "show",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_show),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_EVAL_ROWS,
     .help = "After the table, show the first N rows that failed, with their answers."},
    {.name = "failures",
     .kind = TW_OPTION_STRING,
     .offset = ROW(failures),
     .value_name = "F",
     .help = "Write the rows that failed, with their answers, to a file that eval can read."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace the file of --failures if there is one."},
    {.name = "at-least",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(wishes),
     .value_name = "W",
     .help = "TASK.SCORE=X, such as facts.right=0.8: fail unless that score is at least X. The "
             "task 'total' is all rows together. May be given several times."},
};

static const struct tw_option_group group = {"Questions and results", options,
                                             sizeof options / sizeof options[0]};

/* A place in the batch. */
struct slot {
    struct tw_sequence *sequence; /* NULL: free */
    size_t row;
    struct tw_buf text; /* of the answer so far */
};

struct eval {
    struct eval_args args;
    struct tw_model_args model;
    const char *file;
    struct tw_eval_rows rows;
    struct tw_eval_wish wishes[TW_LIMIT_OPTION_REPEATS]; /* [args.wishes.n_items] */
    struct tw_eval_answer *answers;                      /* [rows.n_rows] */
    struct tw_token_list *prompts;                       /* [rows.n_rows] */
    struct slot *slots;                                  /* [n_slots] */
    size_t n_slots;
    struct tw_generation generation;
    struct tw_engine *engine;
    struct tw_chat_form form;
};

/* ---- before the first token ---- */

static enum tw_status read_rows(struct eval *eval, struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(eval->file, TW_LIMIT_EVAL_FILE_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_eval_rows_parse(text.data, text.size_bytes, eval->file, &eval->rows, error);
    tw_buf_free(&text);
    if (status == TW_OK) {
        status = tw_eval_rows_select(&eval->rows, eval->args.tasks.items, eval->args.tasks.n_items,
                                     (size_t)eval->args.n_limit, error);
    }
    for (size_t i = 0; status == TW_OK && i < eval->args.wishes.n_items; i++) {
        status =
            tw_eval_wish_parse(eval->args.wishes.items[i], &eval->rows, &eval->wishes[i], error);
    }
    return status;
}

static enum tw_status check_outputs(const struct eval *eval, struct tw_error *error)
{
    if (eval->args.json && eval->args.n_show != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--show has no place in JSON: use --failures with --json");
    }
    const char *failures = eval->args.failures, *model = eval->model.path;
    if (failures == NULL) {
        return TW_OK;
    }
    if (tw_file_is_same(failures, eval->file) ||
        (model != NULL && tw_file_is_same(failures, model))) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--failures: '%.160s' is read by this command: write to another place",
                            failures);
    }
    return tw_command_check_output(failures, eval->args.force, error);
}

static enum tw_status make_room(struct eval *eval, struct tw_error *error)
{
    size_t n_rows = eval->rows.n_rows;
    size_t n_slots = (size_t)eval->args.n_batch < n_rows ? (size_t)eval->args.n_batch : n_rows;
    eval->answers = tw_mem_zalloc(n_rows, sizeof *eval->answers);
    eval->prompts = tw_mem_zalloc(n_rows, sizeof *eval->prompts);
    eval->slots = tw_mem_zalloc(n_slots, sizeof *eval->slots);
    if (eval->answers == NULL || eval->prompts == NULL || eval->slots == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %zu rows", n_rows);
    }
    eval->n_slots = n_slots;
    for (size_t i = 0; i < n_slots; i++) {
        tw_buf_init(&eval->slots[i].text, TW_LIMIT_GENERATED_BYTES);
    }
    return TW_OK;
}

/* How long a sequence may become: --ctx where given, otherwise what the model was trained for. */
static size_t context_of(const struct eval *eval)
{
    size_t n_context = tw_engine_shape(eval->engine)->n_context_tokens;
    size_t wish = (size_t)eval->model.n_context_tokens;
    return wish != 0 && wish < n_context ? wish : n_context;
}

/* *ret_longest: tokens of the longest prompt and answer together. */
static enum tw_status encode_rows(struct eval *eval, size_t *ret_longest, struct tw_error *error)
{
    size_t n_context = context_of(eval), longest = 0;
    tw_chat_form_open(&eval->form, eval->engine, false);
    tw_chat_form_note_plain(&eval->form);
    for (size_t i = 0; i < eval->rows.n_rows; i++) {
        const struct tw_eval_row *row = &eval->rows.rows[i];
        struct tw_token_list *prompt = &eval->prompts[i];
        enum tw_status status = tw_chat_form_encode(&eval->form, row->messages, prompt, error);
        if (status == TW_OK && (prompt->n_tokens == 0 || prompt->n_tokens >= n_context)) {
            status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                  "the messages have %zu tokens: there must be 1 to %zu, so that "
                                  "the context has room for an answer%s",
                                  prompt->n_tokens, n_context - 1,
                                  eval->model.n_context_tokens != 0 ? " (see --ctx)" : "");
        }
        if (status != TW_OK) {
            tw_error_prefix(error, "%.100s:%zu", eval->file, row->line);
            return status;
        }
        size_t most = prompt->n_tokens + (size_t)eval->args.max_tokens;
        most = most < n_context ? most : n_context;
        longest = most > longest ? most : longest;
    }
    *ret_longest = longest;
    return TW_OK;
}

/* ---- answers ---- */

static enum tw_status start_row(struct eval *eval, struct slot *slot, size_t row,
                                struct tw_error *error)
{
    const struct tw_token_list *prompt = &eval->prompts[row];
    struct tw_generation generation = eval->generation;
    size_t room = context_of(eval) - prompt->n_tokens;
    if (room < generation.rules.max_tokens) {
        generation.rules.max_tokens = room;
    }
    slot->row = row;
    tw_buf_clear(&slot->text);
    enum tw_status status = tw_sequence_create(eval->engine, &slot->sequence, error);
    if (status == TW_OK) {
        status = tw_sequence_append(slot->sequence, prompt->ids, prompt->n_tokens, error);
    }
    if (status == TW_OK) {
        status = tw_sequence_generate(slot->sequence, &generation, error);
    }
    return status;
}

/* Scores a complete answer and keeps its text where somebody may want to read it. */
static enum tw_status finish_row(struct eval *eval, struct slot *slot, struct tw_error *error)
{
    struct tw_eval_answer *answer = &eval->answers[slot->row];
    const char *text = slot->text.size_bytes > 0 ? slot->text.data : "";
    enum tw_status status = tw_eval_score(&eval->rows.rows[slot->row], text, slot->text.size_bytes,
                                          &answer->scores, error);
    if (status == TW_OK && answer->scores.shares[TW_EVAL_PASSED].right == 0) {
        answer->text = tw_mem_strndup(text, slot->text.size_bytes);
        answer->text_bytes = slot->text.size_bytes;
        if (answer->text == NULL) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an answer");
        }
    }
    tw_sequence_free(slot->sequence);
    slot->sequence = NULL;
    return status;
}

/* *n_done counts the answer if it is complete. */
static enum tw_status take_output(struct eval *eval, struct slot *slot, size_t *n_done,
                                  struct tw_error *error)
{
    struct tw_output output = tw_sequence_take(slot->sequence);
    if (!tw_buf_append(&slot->text, output.text, output.text_bytes)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an answer");
    }
    if (output.finish == TW_FINISH_ERROR) {
        *error = *output.error;
        tw_error_prefix(error, "%.100s:%zu", eval->file, eval->rows.rows[slot->row].line);
        return error->status;
    }
    if (output.finish == TW_FINISH_NONE) {
        return TW_OK;
    }
    eval->answers[slot->row].finish = output.finish;
    (*n_done)++;
    return finish_row(eval, slot, error);
}

static enum tw_status answer_rows(struct eval *eval, struct tw_error *error)
{
    struct tw_progress progress;
    size_t n_rows = eval->rows.n_rows, n_started = 0, n_done = 0;
    enum tw_status status = TW_OK;
    tw_progress_begin(&progress, "answering");
    while (status == TW_OK && n_done < n_rows) {
        for (size_t i = 0; status == TW_OK && i < eval->n_slots && n_started < n_rows; i++) {
            if (eval->slots[i].sequence == NULL) {
                status = start_row(eval, &eval->slots[i], n_started++, error);
            }
        }
        uint32_t n_active;
        status = status == TW_OK ? tw_engine_step(eval->engine, &n_active, error) : status;
        for (size_t i = 0; status == TW_OK && i < eval->n_slots; i++) {
            if (eval->slots[i].sequence != NULL) {
                status = take_output(eval, &eval->slots[i], &n_done, error);
            }
        }
        tw_progress_update(&progress, n_done, n_rows);
    }
    tw_progress_end(&progress);
    return status;
}

/* ---- the whole ---- */

static struct tw_eval_report report_of(const struct eval *eval)
{
    return (struct tw_eval_report){
        .model = eval->model.path,
        .file = eval->file,
        .max_tokens = (uint64_t)eval->args.max_tokens,
        .seed = eval->generation.sampling.seed,
        .rows = &eval->rows,
        .answers = eval->answers,
    };
}

static enum tw_status report_results(const struct eval *eval, struct tw_error *error)
{
    struct tw_eval_report report = report_of(eval);
    enum tw_status status = eval->args.json ? tw_eval_report_print_json(&report, error)
                                            : tw_eval_report_print_table(&report, error);
    if (status == TW_OK) {
        status = tw_eval_report_print_failures(&report, (size_t)eval->args.n_show, error);
    }
    if (eval->args.failures != NULL) { /* even where nothing can be printed */
        enum tw_status written = tw_eval_report_write_failures(&report, eval->args.failures,
                                                               status == TW_OK ? error : NULL);
        status = status == TW_OK ? written : status;
    }
    return status;
}

static enum tw_status execute(struct eval *eval, struct tw_error *error)
{
    size_t longest = 0;
    /* Tool calls are compared as text, so markers that are special tokens must be seen. The end
     * token has no text in any case. */
    eval->generation = tw_generation_defaults();
    eval->generation.rules.max_tokens = (uint64_t)eval->args.max_tokens;
    eval->generation.rules.show_special = true;
    enum tw_status status = check_outputs(eval, error);
    if (status == TW_OK) {
        status = read_rows(eval, error);
    }
    if (status == TW_OK) {
        status = make_room(eval, error);
    }
    if (status == TW_OK) {
        status = tw_model_args_open(&eval->model, (uint32_t)eval->n_slots, 0, &eval->engine, error);
    }
    if (status == TW_OK) {
        status = encode_rows(eval, &longest, error);
    }
    if (status == TW_OK) {
        status = tw_engine_reserve(eval->engine, (uint64_t)eval->n_slots * longest, error);
    }
    if (status == TW_OK) {
        status = answer_rows(eval, error);
    }
    return status == TW_OK ? report_results(eval, error) : status;
}

/* Every wish that was missed is reported; the exit code is the same for all of them. */
static int report_missed_wishes(const struct eval *eval)
{
    struct tw_eval_report report = report_of(eval);
    struct tw_error error;
    int exit_code = 0;
    for (size_t i = 0; i < eval->args.wishes.n_items; i++) {
        if (tw_eval_report_check(&report, &eval->wishes[i], &error) != TW_OK) {
            exit_code = tw_command_fail(&error);
        }
    }
    return exit_code;
}

static void free_eval(struct eval *eval)
{
    for (size_t i = 0; i < eval->n_slots; i++) {
        tw_sequence_free(eval->slots[i].sequence);
        tw_buf_free(&eval->slots[i].text);
    }
    for (size_t i = 0; i < eval->rows.n_rows && eval->n_slots > 0; i++) {
        tw_mem_free(eval->answers[i].text);
        tw_token_list_free(&eval->prompts[i]);
    }
    tw_mem_free(eval->slots);
    tw_mem_free(eval->answers);
    tw_mem_free(eval->prompts);
    tw_eval_rows_free(&eval->rows);
    tw_chat_form_close(&eval->form);
    tw_engine_close(eval->engine);
    tw_option_strings_free(&eval->args.tasks);
    tw_option_strings_free(&eval->args.wishes);
}

int tw_cmd_eval(int argc, char **argv)
{
    static struct eval eval;
    eval.args = (struct eval_args){.n_batch = DEFAULT_BATCH, .max_tokens = DEFAULT_MAX_TOKENS};
    eval.model = tw_model_args_defaults();
    const struct tw_command_spec spec = {
        .name = "eval",
        .synopsis = "FILE.jsonl --model F [OPTIONS]",
        .about = "Asks a model the questions of a file, one JSON object a line, and scores the\n"
                 "answers. The likeliest token is taken always, so that the same model and file\n"
                 "give the same scores. What a row looks like: docs/eval.md.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&group, &eval.args}, {&tw_model_args_eval, &eval.model}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        free_eval(&eval);
        return exit_code;
    }
    eval.file = words.items[0];
    struct tw_error error;
    exit_code =
        execute(&eval, &error) == TW_OK ? report_missed_wishes(&eval) : tw_command_fail(&error);
    free_eval(&eval);
    return exit_code;
}
