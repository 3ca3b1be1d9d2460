/* train: makes a model from a recipe and chat data; `train tokenizer` makes a vocabulary. */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/loss_plot.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/printable.h"
#include "probe/machine.h"
#include "train/train_output.h"
#include "train/trainer.h"

struct train_args {
    const char *config;
    const char *plot;
    int64_t n_threads;
    int64_t log_every;
    bool export_only;
    bool force;
};

#define ROW(field) offsetof(struct train_args, field)
#define PROBES     3

static const struct tw_option options[] = {
    {.name = "config",
     .kind = TW_OPTION_STRING,
     .offset = ROW(config),
     .value_name = "F",
     .help = "The recipe: model, data, training and output, in YAML."},
    {.name = "plot",
     .kind = TW_OPTION_STRING,
     .offset = ROW(plot),
     .value_name = "F.svg",
     .help = "Draw the losses into this file, anew at each line of the log."},
    {.name = "export",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(export_only),
     .help = "Take no step: write the model as it is at the last checkpoint."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace a model, a GGUF file or a plot that is there and that this run has not "
             "made."},
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads; the result does not depend on their number. Default: 0, one a core."},
    {.name = "log-every",
     .kind = TW_OPTION_INT,
     .offset = ROW(log_every),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_TRAIN_STEPS,
     .help = "Print a line every N steps, and at each validation. Default: 20."},
};

static const struct tw_option_group group = {"Training", options, sizeof options / sizeof *options};

/* The first Ctrl-C ends the run after its step, with a checkpoint, and so does the end of the
 * terminal or of whoever reads the log; the second Ctrl-C ends the program. The signal that came,
 * or 0. */
static volatile sig_atomic_t interrupted_by;

static void on_interrupt(int signal_number)
{
    interrupted_by = signal_number;
}

/* One that is ignored, as Ctrl-C is in the background of a script, stays ignored. */
static void watch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old;
        struct sigaction action = {.sa_handler = on_interrupt,
                                   .sa_flags = SA_RESTART | SA_RESETHAND};
        sigaction(signals[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
    signal(SIGPIPE, SIG_IGN); /* no reader of the log: an error, not the end */
}

/* What the lines of the log are made of. */
struct run {
    const struct train_args *args;
    const struct tw_train_config *config;
    struct tw_trainer *trainer;
    struct tw_threadpool *pool; /* to measure the machine with */
    enum tw_cpu_level level;
    bool redraws;      /* standard output is a terminal: a line for every step, in one place */
    bool line_is_open; /* such a line stands there */
    double limit;      /* operations a second that the machine can do in the run's format */
    double loss, n_losses, n_tokens, operations, seconds; /* since the last line */
    bool has_warned;                                      /* of a loss that rises */
};

static void measure_limit(struct run *run)
{
    run->limit = 0;
    for (int i = 0; i < PROBES; i++) { /* one is brief, and neighbours may have the machine then */
        run->limit = fmax(run->limit, run->config->training.format == TW_GEMM_BF16
                                          ? tw_probe_bf16_rate(run->pool, run->level)
                                          : tw_probe_f32_rate(run->pool, run->level));
    }
}

/* A checkpoint may claim any time. */
static void format_left(double seconds, char ret_text[32])
{
    unsigned long s = (unsigned long)(fmin(fmax(seconds, 0), 3e9) + 0.5);
    snprintf(ret_text, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

/* On a terminal: to the first column, and what is wider than the terminal is not shown, since a
 * line that wraps cannot be drawn over. */
static const char draw_over[] = "\r\033[?7l", drawn[] = "\033[K\033[?7h";

/* A loss that rounds to nothing is not below it. */
static double without_sign(double loss)
{
    return fabs(loss) < 0.00005 ? 0 : loss;
}

/* "step 40/3000  loss 2.3141  valid 2.2910  rate 2.9e-03  norm 0.52  8214 tokens/s  43% of bf16
 * left 1:02:03" */
static void print_line(const struct run *run, const struct tw_trainer_report *report)
{
    uint32_t done = report->point.step + 1, steps = run->config->training.steps;
    const struct tw_train_state *state = tw_trainer_state(run->trainer);
    char left[32], valid[32] = "", share[40] = "";
    format_left(state->seconds / done * (steps - done), left);
    if (!isnan(report->point.valid_loss)) {
        snprintf(valid, sizeof valid, "  valid %.4f", without_sign(report->point.valid_loss));
    }
    if (run->limit > 0) {
        snprintf(share, sizeof share, "  %.0f%% of %s",
                 100 * run->operations / run->seconds / run->limit,
                 run->config->training.format == TW_GEMM_BF16 ? "bf16" : "f32");
    }
    printf("%sstep %u/%u  loss %.4f%s  rate %.1e  norm %.2f  %.0f tokens/s%s  left %s%s",
           run->redraws ? draw_over : "", done, steps, without_sign(run->loss / run->n_losses),
           valid, (double)report->point.learning_rate, (double)report->point.gradient_norm,
           run->n_tokens / run->seconds, share, left, run->redraws ? drawn : "");
}

static void close_line(struct run *run)
{
    if (run->line_is_open) {
        putchar('\n');
        run->line_is_open = false;
    }
}

/* A run that will not come back from where it went should not take all its hours. */
static void warn_of_rise(struct run *run)
{
    double first = (double)tw_trainer_state(run->trainer)->history[0].loss;
    double loss = run->loss / run->n_losses;
    if (!run->has_warned && loss > 1.25 * first + 1) {
        run->has_warned = true;
        tw_command_note("warning: the loss is %.2f, far above that of the first step, %.2f: lower "
                        "learning_rate, or warm up longer",
                        loss, first);
    }
}

static enum tw_status draw_plot(const struct run *run, struct tw_error *error)
{
    return run->args->plot != NULL
               ? tw_loss_plot_write(run->args->plot, tw_trainer_state(run->trainer), error)
               : TW_OK;
}

static enum tw_status report_step(struct run *run, const struct tw_trainer_report *report,
                                  double seconds, struct tw_error *error)
{
    run->loss += (double)report->point.loss;
    run->n_losses += 1;
    run->n_tokens += (double)report->n_tokens;
    run->operations += report->operations;
    run->seconds += seconds;
    bool is_due = (report->point.step + 1) % (uint32_t)run->args->log_every == 0 ||
                  !isnan(report->point.valid_loss) || tw_trainer_is_done(run->trainer);
    if (is_due || run->redraws) {
        print_line(run, report);
        run->line_is_open = true;
    }
    if (!is_due) {
        fflush(stdout);
        return TW_OK;
    }
    close_line(run);
    warn_of_rise(run);
    run->loss = run->n_losses = run->n_tokens = run->operations = run->seconds = 0;
    measure_limit(run);
    enum tw_status status = tw_command_write("", 0, error);
    return status == TW_OK ? draw_plot(run, error) : status;
}

/* A line with names out of the recipe, which may hold anything. */
static __attribute__((format(printf, 1, 2))) void print_names(const char *format, ...)
{
    char line[2 * TW_LIMIT_CONF_STRING_BYTES + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tw_printable_clean(line, strlen(line));
    puts(line);
}

/* More than one in twenty is hardly what was meant. */
static void print_left_out(const struct run *run, const struct tw_dataset_report *data)
{
    uint64_t n_all = data->n_skipped + data->n_documents;
    if (data->n_skipped == 0) {
        return;
    }
    if (data->n_skipped * 20 <= n_all) {
        print_names("left out: %llu documents longer than the context, the first at %s",
                    (unsigned long long)data->n_skipped, data->first_skipped);
        return;
    }
    tw_command_note("warning: %llu of %llu documents are left out, since they are longer than the "
                    "context of %u tokens (the first at %s, the longest has %llu): raise "
                    "model.context",
                    (unsigned long long)data->n_skipped, (unsigned long long)n_all,
                    run->config->model.context, data->first_skipped,
                    (unsigned long long)data->longest_tokens);
}

static void print_beginning(const struct run *run)
{
    struct tw_trainer_info info = tw_trainer_info(run->trainer);
    const struct tw_train_model_config *model = &run->config->model;
    bool is_small = info.n_weights < 1000000;
    printf("model: %.*f %s weights (%u layers of %u, %llu tokens), context %u\n", is_small ? 1 : 2,
           (double)info.n_weights / (is_small ? 1e3 : 1e6), is_small ? "thousand" : "million",
           model->layers, model->embed, (unsigned long long)info.n_vocab, model->context);
    printf("data: %llu documents, %llu tokens, %llu of them targets; %llu documents to validate\n",
           (unsigned long long)info.data.n_documents, (unsigned long long)info.data.n_tokens,
           (unsigned long long)info.data.n_targets, (unsigned long long)info.n_valid_documents);
    print_left_out(run, &info.data);
    if (run->config->training.start != NULL) {
        print_names("starting from %s", run->config->training.start);
    }
    printf("memory: %llu MB; %u steps of %u tokens", (unsigned long long)(info.memory_bytes >> 20),
           run->config->training.steps, run->config->training.rows_per_step * model->context);
    if (info.first_step != 0) {
        printf(", going on from the checkpoint after step %u", info.first_step);
    }
    putchar('\n');
    fflush(stdout);
}

static enum tw_status stopped(struct run *run, struct tw_error *error)
{
    enum tw_status status = tw_trainer_save(run->trainer, error);
    if (status != TW_OK) {
        return status;
    }
    return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION,
                        "stopped after step %u; the same command goes on from there",
                        tw_trainer_state(run->trainer)->n_history);
}

static enum tw_status take_steps(struct run *run, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    while (status == TW_OK && !tw_trainer_is_done(run->trainer)) {
        struct tw_trainer_report report;
        int64_t start_ns = tw_clock_monotonic_ns();
        status = tw_trainer_step(run->trainer, &report, error);
        double seconds = (double)(tw_clock_monotonic_ns() - start_ns) * 1e-9;
        tw_trainer_spent(run->trainer, seconds);
        if (status != TW_OK) {
            break;
        }
        status = report_step(run, &report, seconds, error);
        if (interrupted_by != 0) { /* whose terminal is gone cannot report, and is still told so */
            status = stopped(run, error);
        } else if (status != TW_OK) {
            tw_trainer_save(run->trainer, NULL); /* a full disk or a closed pipe costs no step */
        }
    }
    close_line(run);
    return status;
}

static void print_end(const struct run *run)
{
    const char *gguf = run->config->output.gguf;
    char spent[32];
    format_left(tw_trainer_state(run->trainer)->seconds, spent);
    if (tw_trainer_info(run->trainer).first_step >= run->config->training.steps) {
        printf("already finished, in %s: ", spent);
    } else if (tw_trainer_is_done(run->trainer)) {
        printf("done in %s: ", spent);
    } else {
        printf("as after step %u of %u: ", tw_trainer_state(run->trainer)->n_history,
               run->config->training.steps);
    }
    print_names("%s%s%s", run->config->output.folder, gguf != NULL ? ", " : "",
                gguf != NULL ? gguf : "");
}

/* The recipe itself is no place to write to, and the plot and the GGUF file need one each. */
static enum tw_status check_places(const struct run *run, struct tw_error *error)
{
    const char *plot = run->args->plot, *gguf = run->config->output.gguf;
    const char *recipe = run->args->config;
    const char *bad = gguf != NULL && tw_file_is_same(gguf, recipe)   ? gguf
                      : plot != NULL && tw_file_is_same(plot, recipe) ? plot
                                                                      : NULL;
    if (bad != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' is the recipe: write to another place", bad);
    }
    if (plot != NULL && gguf != NULL && tw_file_is_same(plot, gguf)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--plot: '%.160s' is to be the GGUF file", plot);
    }
    return plot != NULL ? tw_train_output_check_path(run->config, plot, error) : TW_OK;
}

/* All that can stand in the way of writing is said before the first step. */
static enum tw_status begin(struct run *run, struct tw_error *error)
{
    bool takes_steps = !run->args->export_only;
    enum tw_status status = check_places(run, error);
    if (status == TW_OK && !takes_steps && tw_trainer_state(run->trainer)->n_history == 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "--export: '%.160s' has no checkpoint", run->config->output.folder);
    }
    if (status == TW_OK) {
        status = tw_trainer_claim(run->trainer, takes_steps ? run->args->plot : NULL,
                                  run->args->force, error);
    }
    if (status == TW_OK) {
        print_beginning(run);
    }
    return status == TW_OK && takes_steps ? draw_plot(run, error) : status;
}

static enum tw_status train(struct run *run, struct tw_error *error)
{
    enum tw_status status = begin(run, error);
    if (status == TW_OK && !run->args->export_only) {
        measure_limit(run);
        status = take_steps(run, error);
        if (status == TW_OK) {
            status = tw_trainer_save(run->trainer, error);
        }
    }
    if (status == TW_OK) {
        status = tw_trainer_export(run->trainer, error);
    }
    if (status == TW_OK) {
        print_end(run);
    }
    return status;
}

static enum tw_status with_device(struct run *run, struct tw_device *device, struct tw_error *error)
{
    enum tw_status status = tw_threadpool_create(tw_device_threads(device), &run->pool, error);
    if (status == TW_OK) {
        status = tw_trainer_open(run->config, device,
                                 run->args->export_only ? TW_TRAINER_EXPORT : TW_TRAINER_STEPS,
                                 &run->trainer, error);
    }
    if (status == TW_OK) {
        status = train(run, error);
        tw_trainer_close(run->trainer);
    }
    tw_threadpool_free(run->pool);
    return status;
}

static enum tw_status execute(const struct train_args *args, struct tw_error *error)
{
    struct tw_train_config *config;
    struct tw_device *device;
    enum tw_cpu_level level;
    if (args->config == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no recipe: give --config with a YAML file");
    }
    enum tw_status status = tw_cpu_choose(&level, error);
    if (status == TW_OK) {
        status = tw_train_config_load(args->config, &config, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const char *term = getenv("TERM");
    bool redraws = isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    struct run run = {.args = args, .config = config, .level = level, .redraws = redraws};
    status = tw_device_cpu_create((int)args->n_threads, level, &device, error);
    if (status == TW_OK) {
        watch_signals();
        status = with_device(&run, device, error);
        tw_device_free(device);
    }
    tw_train_config_free(config);
    return status;
}

int tw_cmd_train(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "tokenizer") == 0) {
        return tw_cmd_train_tokenizer(argc - 1, argv + 1);
    }
    struct train_args args = {.log_every = 20};
    const struct tw_command_spec spec = {
        .name = "train",
        .synopsis = "--config F.yaml [--plot F.svg] [--export]",
        .about = "Makes a language model of the qwen3 architecture from chat data. A run that is\n"
                 "interrupted goes on where its last checkpoint is when it is started again, and\n"
                 "ends with the same weights. 'tokenworks train tokenizer --help' explains how\n"
                 "to make the vocabulary first. What a recipe looks like: docs/train.md.",
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    if (execute(&args, &error) == TW_OK) {
        return 0;
    }
    exit_code = tw_command_fail(&error);
    return error.status == TW_ERR_CANCELLED ? 128 + interrupted_by : exit_code;
}
