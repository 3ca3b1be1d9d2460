/* run: completes prompts. Several prompts are several sequences of one batch; what they print is
 * in the order of the prompts, whoever is ready first. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/form_args.h"
#include "app/model_args.h"
#include "app/progress.h"
#include "app/sampling_args.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#define OUTPUT_BOUND_BYTES ((size_t)TW_LIMIT_GENERATED_BYTES * 4)

struct run_args {
    struct tw_option_strings prompts, files;
    bool special;
    bool json;
    int64_t n_logprobs; /* -1: none */
};

#define ROW(field) offsetof(struct run_args, field)

static const struct tw_option run_options[] = {
    {.name = "prompt",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(prompts),
     .value_name = "T",
     .help = "The text to go on from; '-' reads it from standard input. Several prompts are "
             "computed together."},
    {.name = "prompt-file",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(files),
     .value_name = "F",
     .help = "Read a prompt from a file; every byte of it counts. Comes after those of --prompt."},
    {.name = "special",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(special),
     .help = "Recognise special tokens such as <|im_start|> in prompts and show them in answers. "
             "Not for prompts from people you do not trust."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(json),
     .help = "Print one JSON object a line for each prompt: text, token ids, finish reason, "
             "timings."},
    {.name = "logprobs",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_logprobs),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_TOP_LOGPROBS,
     .help = "With --json: the log-probability of each token, and of the N most likely ones."},
};

static const struct tw_option_group run_group = {"Prompts and output", run_options,
                                                 sizeof run_options / sizeof run_options[0]};

/* One prompt on its way to its answer. */
struct job {
    struct tw_bytes prompt;
    struct tw_token_list tokens; /* of the prompt */
    struct tw_sequence *sequence;
    struct tw_buf text;     /* what is not printed yet; with --json the whole answer */
    struct tw_buf logprobs; /* JSON, the items of the array */
    struct tw_token_list answer;
    enum tw_finish finish;
    struct tw_error error;
    int64_t first_token_ns, end_ns;
};

struct run {
    struct run_args args;
    struct tw_model_args model;
    struct tw_sampling_args sampling;
    struct tw_form_args form;
    struct tw_sampling_arrays arrays;
    struct tw_generation generation;
    struct tw_buf *inputs; /* [n_inputs] what was read from files */
    size_t n_inputs;
    struct job *jobs; /* [n_jobs] */
    size_t n_jobs;
    size_t n_printed; /* jobs done with; the next one is being streamed */
    struct tw_engine *engine;
    struct tw_progress progress;
    int64_t start_ns;
};

/* ---- prompts ---- */

static enum tw_status read_input(struct run *run, const char *path, struct tw_bytes *ret_prompt,
                                 struct tw_error *error)
{
    struct tw_buf *buf = &run->inputs[run->n_inputs];
    enum tw_status status = tw_file_read(path, TW_LIMIT_PROMPT_BYTES, buf, error);
    if (status == TW_OK) {
        run->n_inputs++;
        *ret_prompt = (struct tw_bytes){buf->size_bytes > 0 ? buf->data : "", buf->size_bytes};
    }
    return status;
}

static enum tw_status collect_prompts(struct run *run, struct tw_words words,
                                      struct tw_error *error)
{
    const struct run_args *args = &run->args;
    size_t n_words = words.n_items > 0 ? 1 : 0;
    if (n_words == 1 && strcmp(words.items[0], "-") != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "run: unexpected '%.60s'; a prompt is given with --prompt",
                            words.items[0]);
    }
    run->n_jobs = args->prompts.n_items + args->files.n_items + n_words;
    if (run->n_jobs == 0 || run->n_jobs > TW_LIMIT_BATCH_SEQUENCES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            run->n_jobs == 0
                                ? "no prompt: give --prompt TEXT, --prompt-file FILE, or - for "
                                  "standard input"
                                : "too many prompts: at most 1024 can be computed together");
    }
    run->jobs = tw_mem_zalloc(run->n_jobs, sizeof *run->jobs);
    run->inputs = tw_mem_zalloc(run->n_jobs, sizeof *run->inputs);
    if (run->jobs == NULL || run->inputs == NULL) {
        run->n_jobs = 0;
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for prompts");
    }
    enum tw_status status = TW_OK;
    size_t n = 0;
    for (size_t i = 0; status == TW_OK && i < args->prompts.n_items; i++) {
        const char *text = args->prompts.items[i];
        struct tw_bytes *prompt = &run->jobs[n++].prompt;
        *prompt = (struct tw_bytes){text, strlen(text)};
        status = strcmp(text, "-") == 0 ? read_input(run, "-", prompt, error) : TW_OK;
    }
    for (size_t i = 0; status == TW_OK && i < args->files.n_items; i++) {
        status = read_input(run, args->files.items[i], &run->jobs[n++].prompt, error);
    }
    if (status == TW_OK && n_words == 1) {
        status = read_input(run, "-", &run->jobs[n].prompt, error);
    }
    return status;
}

/* How long the sequence may become: --ctx where given, otherwise what the model was trained for. */
static size_t context_of(const struct run *run)
{
    size_t n_context = tw_engine_shape(run->engine)->n_context_tokens;
    size_t wish = (size_t)run->model.n_context_tokens;
    return wish != 0 && wish < n_context ? wish : n_context;
}

static enum tw_status encode_prompts(struct run *run, uint64_t *ret_n_tokens,
                                     struct tw_error *error)
{
    size_t n_context = context_of(run);
    uint64_t total = 0;
    for (size_t i = 0; i < run->n_jobs; i++) {
        struct job *job = &run->jobs[i];
        enum tw_status status =
            tw_model_args_encode(tw_engine_tokenizer(run->engine), job->prompt.data,
                                 job->prompt.size_bytes, run->args.special, &job->tokens, error);
        if (status != TW_OK) {
            return status;
        }
        if (job->tokens.n_tokens == 0 || job->tokens.n_tokens > n_context) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "prompt %zu has %zu tokens: it must have 1 to %zu%s", i + 1,
                                job->tokens.n_tokens, n_context,
                                run->model.n_context_tokens != 0 ? " (see --ctx)" : "");
        }
        uint64_t most = job->tokens.n_tokens + run->generation.rules.max_tokens;
        total += most < n_context ? most : n_context;
    }
    *ret_n_tokens = total;
    return TW_OK;
}

static enum tw_status start_job(struct run *run, struct job *job, struct tw_error *error)
{
    struct tw_generation generation = run->generation;
    size_t room = context_of(run) - job->tokens.n_tokens;
    /* A prompt that fills the context still gets the one token its last position predicts. */
    room = room > 0 ? room : 1;
    if (room < generation.rules.max_tokens) {
        generation.rules.max_tokens = room;
    }
    tw_buf_init(&job->text, OUTPUT_BOUND_BYTES);
    tw_buf_init(&job->logprobs, OUTPUT_BOUND_BYTES);
    enum tw_status status = tw_sequence_create(run->engine, &job->sequence, error);
    if (status == TW_OK) {
        status = tw_sequence_append(job->sequence, job->tokens.ids, job->tokens.n_tokens, error);
    }
    if (status == TW_OK) {
        status = tw_sequence_generate(job->sequence, &generation, error);
    }
    return status;
}

/* ---- output ---- */

static void write_token_logprob(struct tw_json_writer *writer, const struct run *run,
                                const struct tw_token_logprob *entry)
{
    struct tw_bytes text =
        tw_tokenizer_token_bytes(tw_engine_tokenizer(run->engine), entry->token, true);
    tw_json_key(writer, "token");
    tw_json_int(writer, entry->token);
    tw_json_key(writer, "text");
    tw_json_string(writer, text.data, text.size_bytes);
    tw_json_key(writer, "logprob");
    tw_json_double(writer, (double)entry->logprob);
}

/* Appends one object of the logprobs array, with the comma before it. */
static void record_logprobs(const struct run *run, struct job *job,
                            const struct tw_token_logprob *row, uint32_t n_top)
{
    struct tw_json_writer writer;
    if (job->logprobs.size_bytes > 0) {
        tw_buf_append_text(&job->logprobs, ",");
    }
    tw_json_begin(&writer, &job->logprobs);
    tw_json_object_begin(&writer);
    write_token_logprob(&writer, run, &row[0]);
    tw_json_key(&writer, "top");
    tw_json_array_begin(&writer);
    for (uint32_t i = 1; i <= n_top && row[i].token != TW_TOKEN_NONE; i++) {
        tw_json_object_begin(&writer);
        write_token_logprob(&writer, run, &row[i]);
        tw_json_object_end(&writer);
    }
    tw_json_array_end(&writer);
    tw_json_object_end(&writer);
}

static enum tw_status take_output(struct run *run, struct job *job, struct tw_error *error)
{
    struct tw_output output = tw_sequence_take(job->sequence);
    int64_t now_ns = tw_clock_monotonic_ns();
    if (output.n_tokens > 0 && job->first_token_ns == 0) {
        job->first_token_ns = now_ns;
    }
    tw_buf_append(&job->text, output.text, output.text_bytes);
    bool complete = !job->text.failed;
    for (size_t i = 0; complete && i < output.n_tokens; i++) {
        complete = tw_token_list_push(&job->answer, output.tokens[i]);
        if (output.logprobs != NULL && run->args.json) {
            record_logprobs(run, job, output.logprobs + i * (1 + output.n_top), output.n_top);
        }
    }
    if (output.finish != TW_FINISH_NONE) {
        job->finish = output.finish;
        job->end_ns = now_ns;
        if (output.error != NULL) {
            job->error = *output.error;
            tw_error_prefix(&job->error, "prompt %zu", (size_t)(job - run->jobs) + 1);
        }
    }
    return complete ? TW_OK
                    : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for answers");
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static double rate(double n, int64_t ns)
{
    return ns > 0 ? n / seconds(ns) : 0.0;
}

static void write_timings(struct tw_json_writer *writer, const struct run *run,
                          const struct job *job)
{
    bool has_token = job->first_token_ns != 0;
    int64_t first_ns = has_token ? job->first_token_ns : job->end_ns;
    double n_after_first = job->answer.n_tokens > 0 ? (double)(job->answer.n_tokens - 1) : 0.0;
    tw_json_key(writer, "timings");
    tw_json_object_begin(writer);
    tw_json_key(writer, "first_token_s");
    tw_json_double(writer, seconds(first_ns - run->start_ns));
    tw_json_key(writer, "total_s");
    tw_json_double(writer, seconds(job->end_ns - run->start_ns));
    tw_json_key(writer, "prompt_tokens_per_s");
    tw_json_double(writer, rate((double)job->tokens.n_tokens, first_ns - run->start_ns));
    tw_json_key(writer, "tokens_per_s");
    tw_json_double(writer, rate(n_after_first, job->end_ns - first_ns));
    tw_json_object_end(writer);
}

static void write_tokens(struct tw_json_writer *writer, const char *key,
                         const struct tw_token_list *list)
{
    tw_json_key(writer, key);
    tw_json_array_begin(writer);
    for (size_t i = 0; i < list->n_tokens; i++) {
        tw_json_int(writer, list->ids[i]);
    }
    tw_json_array_end(writer);
}

static enum tw_status print_json(const struct run *run, const struct job *job,
                                 struct tw_error *error)
{
    struct tw_buf line;
    struct tw_json_writer writer;
    tw_buf_init(&line, OUTPUT_BOUND_BYTES);
    tw_json_begin(&writer, &line);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "index");
    tw_json_int(&writer, job - run->jobs);
    tw_json_key(&writer, "prompt");
    tw_json_string(&writer, job->prompt.data, job->prompt.size_bytes);
    tw_json_key(&writer, "text");
    tw_json_string(&writer, job->text.size_bytes > 0 ? job->text.data : "", job->text.size_bytes);
    tw_json_key(&writer, "finish_reason");
    tw_json_text(&writer, tw_finish_name(job->finish));
    if (job->finish == TW_FINISH_ERROR) {
        tw_json_key(&writer, "error");
        tw_json_text(&writer, job->error.text);
    }
    tw_json_key(&writer, "seed");
    tw_json_uint(&writer, run->generation.sampling.seed);
    write_tokens(&writer, "prompt_tokens", &job->tokens);
    write_tokens(&writer, "tokens", &job->answer);
    if (run->args.n_logprobs >= 0) {
        tw_buf_append_text(&line, ",\"logprobs\":[");
        tw_buf_append(&line, job->logprobs.data, job->logprobs.size_bytes);
        tw_buf_append_text(&line, "]");
    }
    write_timings(&writer, run, job);
    tw_json_object_end(&writer);
    line.failed |= job->logprobs.failed;
    enum tw_status status = tw_command_write_line(&line, error);
    tw_buf_free(&line);
    return status;
}

static enum tw_status print_title(const struct run *run, size_t i, struct tw_error *error)
{
    char title[64];
    int n = snprintf(title, sizeof title, "%s==> prompt %zu <==\n", i > 0 ? "\n" : "", i + 1);
    return run->n_jobs > 1 ? tw_command_write(title, (size_t)n, error) : TW_OK;
}

/* Prints what is ready without leaving the order of the prompts: the first unfinished one streams,
 * those behind it wait. */
static enum tw_status print_ready(struct run *run, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && run->n_printed < run->n_jobs) {
        struct job *job = &run->jobs[run->n_printed];
        bool done = job->finish != TW_FINISH_NONE;
        if (run->args.json) {
            if (!done) {
                break;
            }
            status = print_json(run, job, error);
        } else {
            if (job->text.size_bytes > 0) {
                tw_progress_end(&run->progress);
                status = tw_command_write(job->text.data, job->text.size_bytes, error);
                tw_buf_clear(&job->text);
            }
            if (!done) {
                break;
            }
            status = status == TW_OK ? tw_command_write("\n", 1, error) : status;
        }
        run->n_printed++;
        if (status == TW_OK && !run->args.json && run->n_printed < run->n_jobs) {
            status = print_title(run, run->n_printed, error);
        }
    }
    return status;
}

/* ---- the work ---- */

static void show_prefill(struct run *run)
{
    uint64_t done = 0, total = 0;
    for (size_t i = 0; i < run->n_jobs; i++) {
        size_t n = run->jobs[i].tokens.n_tokens;
        size_t n_computed = tw_sequence_computed(run->jobs[i].sequence);
        done += run->jobs[i].first_token_ns != 0 || n_computed > n ? n : n_computed;
        total += n;
    }
    tw_progress_update(&run->progress, done, total);
    if (done == total) {
        tw_progress_end(&run->progress);
    }
}

static enum tw_status generate_all(struct run *run, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    uint32_t n_active = 1;
    run->start_ns = tw_clock_monotonic_ns();
    tw_progress_begin(&run->progress, "reading the prompt");
    if (!run->args.json) {
        status = print_title(run, 0, error);
    }
    while (status == TW_OK && n_active > 0) {
        status = tw_engine_step(run->engine, &n_active, error);
        for (size_t i = 0; status == TW_OK && i < run->n_jobs; i++) {
            if (run->jobs[i].finish == TW_FINISH_NONE) {
                status = take_output(run, &run->jobs[i], error);
            }
        }
        show_prefill(run);
        if (status == TW_OK) {
            status = print_ready(run, error);
        }
    }
    tw_progress_end(&run->progress);
    return status;
}

static enum tw_status execute(struct run *run, struct tw_words words, struct tw_error *error)
{
    enum tw_status status =
        tw_sampling_args_generation(&run->sampling, &run->arrays, &run->generation, error);
    if (status == TW_OK && run->args.n_logprobs >= 0 && !run->args.json) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "--logprobs has no place in plain text: add --json");
    }
    if (run->args.n_logprobs >= 0) {
        run->generation.sampling.want_logprobs = true;
        run->generation.sampling.n_top_logprobs = (uint32_t)run->args.n_logprobs;
    }
    run->generation.rules.show_special = run->args.special;
    if (status == TW_OK) {
        status = tw_form_args_compile(&run->form, run->sampling.ignore_eos, error);
    }
    if (status == TW_OK) {
        status = collect_prompts(run, words, error);
    }
    if (status == TW_OK) {
        status = tw_model_args_open(&run->model, (uint32_t)run->n_jobs, 0, &run->engine, error);
    }
    uint64_t n_tokens = 0;
    if (status == TW_OK) {
        status = tw_form_args_attach(&run->form, run->engine, &run->generation, error);
    }
    if (status == TW_OK) {
        status = encode_prompts(run, &n_tokens, error);
    }
    if (status == TW_OK) {
        status = tw_engine_reserve(run->engine, n_tokens, error);
    }
    for (size_t i = 0; status == TW_OK && i < run->n_jobs; i++) {
        status = start_job(run, &run->jobs[i], error);
    }
    return status == TW_OK ? generate_all(run, error) : status;
}

/* Prompts that failed alone are reported after all output; the exit code is that of the first. */
static int report_failed_jobs(const struct run *run)
{
    int exit_code = 0;
    for (size_t i = 0; i < run->n_jobs; i++) {
        if (run->jobs[i].finish == TW_FINISH_ERROR) {
            int code = tw_command_fail(&run->jobs[i].error);
            exit_code = exit_code != 0 ? exit_code : code;
        }
    }
    return exit_code;
}

static void free_run(struct run *run)
{
    for (size_t i = 0; i < run->n_jobs; i++) {
        struct job *job = &run->jobs[i];
        tw_sequence_free(job->sequence);
        tw_token_list_free(&job->tokens);
        tw_token_list_free(&job->answer);
        tw_buf_free(&job->text);
        tw_buf_free(&job->logprobs);
    }
    for (size_t i = 0; i < run->n_inputs; i++) {
        tw_buf_free(&run->inputs[i]);
    }
    tw_mem_free(run->jobs);
    tw_mem_free(run->inputs);
    tw_engine_close(run->engine);
    tw_sampling_args_free(&run->sampling);
    tw_form_args_free(&run->form);
    tw_option_strings_free(&run->args.prompts);
    tw_option_strings_free(&run->args.files);
}

int tw_cmd_run(int argc, char **argv)
{
    static struct run run;
    run.args.n_logprobs = -1;
    run.model = tw_model_args_defaults();
    run.sampling = tw_sampling_args_defaults();
    const struct tw_command_spec spec = {
        .name = "run",
        .synopsis = "--model F [--prompt T]... [--prompt-file F]... [-] [OPTIONS]",
        .about =
            "Completes prompts and prints the answers as they come. The same prompt, options\n"
            "and seed give the same answer, alone or among others, with any number of threads.\n"
            "Prompts are plain text: special tokens in them are not recognised.",
        .most_words = 1,
        .uses = {{&run_group, &run.args},
                 {&tw_model_args_run, &run.model},
                 {&tw_sampling_args_group, &run.sampling},
                 {&tw_form_args_group, &run.form}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        free_run(&run);
        return exit_code;
    }
    struct tw_error error;
    exit_code =
        execute(&run, words, &error) == TW_OK ? report_failed_jobs(&run) : tw_command_fail(&error);
    free_run(&run);
    return exit_code;
}
