/* model: what a model's files hold, and making other files of them. */
#include <signal.h>
#include <string.h>

#include "app/command.h"
#include "app/model_inspect.h"
#include "app/model_pack.h"
#include "app/progress.h"
#include "model/convert.h"
#include "model/quantise_model.h"

#define REPORT_BOUND_BYTES ((size_t)64 << 20)

/* ---- inspect ---- */

static const struct tw_option inspect_options[] = {
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct tw_model_inspect_wish, json),
     .help = "Print one JSON object."},
    {.name = "tensors",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct tw_model_inspect_wish, tensors),
     .help = "List every tensor, too."},
    {.name = "pack-dir",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct tw_model_inspect_wish, pack.folder),
     .value_name = "DIR",
     .help = "Where to look for packed weights. Default: where they are kept by default."},
};

static const struct tw_option_group inspect_group = {
    "Options", inspect_options, sizeof inspect_options / sizeof inspect_options[0]};

static int run_inspect(int argc, char **argv)
{
    struct tw_model_inspect_wish wish = {0};
    const struct tw_command_spec spec = {
        .name = "model inspect",
        .synopsis = "F [--json] [--tensors] [--pack-dir DIR]",
        .about =
            "Prints what a model is and what it costs to run: architecture, sizes, formats of\n"
            "its weights, bytes that each token reads and keeps, tokenizer and chat format.\n"
            "F is a .gguf file or a Hugging Face folder.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&inspect_group, &wish}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    wish.path = words.items[0];
    struct tw_error error;
    struct tw_buf out;
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    enum tw_status status = tw_model_inspect(&wish, &out, &error);
    if (status == TW_OK) {
        status = tw_command_write_line(&out, &error);
    }
    tw_buf_free(&out);
    return status == TW_OK ? 0 : tw_command_fail(&error);
}

/* ---- quantize and convert ---- */

struct write_args {
    int64_t n_threads;
    const char *type;
    bool force;
};

#define ROW(field) offsetof(struct write_args, field)

static const struct tw_option quantize_options[] = {
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace the output if it exists."},
};

static const struct tw_option convert_options[] = {
    {.name = "type",
     .kind = TW_OPTION_STRING,
     .offset = ROW(type),
     .value_name = "T",
     .help = "Type of the weights as for 'model quantize'. Default: keep, as they are."},
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace the output if it exists."},
};

static const struct tw_option_group quantize_group = {
    "Options", quantize_options, sizeof quantize_options / sizeof quantize_options[0]};
static const struct tw_option_group convert_group = {
    "Options", convert_options, sizeof convert_options / sizeof convert_options[0]};

static enum tw_status read_mix(const char *name, enum tw_model_mix *ret_mix, struct tw_error *error)
{
    if (tw_model_mix_from_name(name, ret_mix)) {
        return TW_OK;
    }
    struct tw_buf list;
    tw_buf_init(&list, 1024);
    for (int mix = 0; mix < TW_MODEL_MIX_COUNT; mix++) {
        tw_buf_append_format(&list, "%s%s", mix > 0 ? ", " : "",
                             tw_model_mix_name((enum tw_model_mix)mix));
    }
    enum tw_status status =
        tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "type '%.40s': it must be one of %.*s",
                     name, (int)list.size_bytes, list.size_bytes > 0 ? list.data : "");
    tw_buf_free(&list);
    return status;
}

/* ---- stopping ---- */

static volatile sig_atomic_t stop_signal;

static void on_stop(int signal_number)
{
    stop_signal = signal_number;
}

/* From here on a signal that would end us lets the half-written file be removed first; a second one
 * ends us at once. One that is ignored, as under nohup, stays ignored. */
static void watch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old;
        struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART | SA_RESETHAND};
        sigaction(signals[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
    tw_progress_update(context, done, total);
    return stop_signal == 0;
}

/* Who sent the signal is told that it did what it should. */
static int fail(const struct tw_error *error)
{
    int exit_code = tw_command_fail(error);
    if (error->status == TW_ERR_CANCELLED) {
        signal(stop_signal, SIG_DFL);
        raise(stop_signal);
    }
    return exit_code;
}

static enum tw_status quantize(const struct write_args *args, char *const words[3],
                               struct tw_error *error)
{
    enum tw_model_mix mix;
    enum tw_status status = read_mix(words[2], &mix, error);
    if (status == TW_OK) {
        watch_signals(); /* the check begins a file, too */
        status = tw_command_check_output(words[1], args->force, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_progress progress;
    tw_progress_begin(&progress, "quantizing");
    status = tw_model_quantise(words[0], words[1], mix, (int)args->n_threads, on_progress,
                               &progress, error);
    tw_progress_end(&progress);
    return status;
}

static enum tw_status convert(const struct write_args *args, char *const words[2],
                              struct tw_error *error)
{
    enum tw_model_mix mix;
    enum tw_status status = read_mix(args->type, &mix, error);
    if (status == TW_OK) {
        watch_signals(); /* the check begins a file, too */
        status = tw_command_check_output(words[1], args->force, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_progress progress;
    tw_progress_begin(&progress, "converting");
    status = tw_model_convert(words[0], words[1], mix, (int)args->n_threads, on_progress, &progress,
                              error);
    tw_progress_end(&progress);
    return status;
}

/* ---- packed weights ---- */

static const struct tw_option pack_options[] = {
    {.name = "pack-dir",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct tw_model_pack_wish, pack.folder),
     .value_name = "DIR",
     .help = TW_PACK_DIR_HELP},
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = offsetof(struct tw_model_pack_wish, n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."},
};

static const struct tw_option_group pack_group = {"Options", pack_options,
                                                  sizeof pack_options / sizeof pack_options[0]};

static int pack_or_verify(struct tw_command_spec *spec, bool verifies, int argc, char **argv)
{
    struct tw_model_pack_wish wish = {.verifies = verifies};
    struct tw_words words;
    int exit_code;
    spec->least_words = 1;
    spec->most_words = 1;
    spec->uses[0] = (struct tw_option_use){&pack_group, &wish};
    if (!tw_command_parse(spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    wish.path = words.items[0];
    struct tw_error error;
    struct tw_progress progress;
    struct tw_buf out;
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    watch_signals();
    tw_progress_begin(&progress, verifies ? "comparing" : "packing");
    enum tw_status status = tw_model_pack(&wish, on_progress, &progress, &out, &error);
    tw_progress_end(&progress);
    if (status == TW_OK) {
        status = tw_command_write_line(&out, &error);
    }
    tw_buf_free(&out);
    return status == TW_OK ? 0 : fail(&error);
}

static int run_pack(int argc, char **argv)
{
    struct tw_command_spec spec = {
        .name = "model pack",
        .synopsis = "F [--pack-dir DIR] [--threads N]",
        .about = "Packs the weights of a model and keeps them in a file, as the first start does\n"
                 "otherwise, so that every start from then on is instant.",
    };
    return pack_or_verify(&spec, false, argc, argv);
}

static int run_verify(int argc, char **argv)
{
    struct tw_command_spec spec = {
        .name = "model verify",
        .synopsis = "F [--pack-dir DIR] [--threads N]",
        .about = "Checks the file of packed weights of a model: its whole checksum, and whether\n"
                 "packing the model gives the same bytes. A file that is damaged can be deleted.",
    };
    return pack_or_verify(&spec, true, argc, argv);
}

static int run_quantize(int argc, char **argv)
{
    struct write_args args = {0};
    const struct tw_command_spec spec = {
        .name = "model quantize",
        .synopsis = "IN OUT TYPE [--threads N] [--force]",
        .about =
            "Writes the model IN (a .gguf file or a Hugging Face folder) as the GGUF file OUT\n"
            "with weights of TYPE: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, "
            "Q4_K_M,\n"
            "Q4_K_S, Q4_1 or Q4_0, from large to small. Q4_K_M is the usual choice; Q4_K and Q5_K\n"
            "are short for Q4_K_M and Q5_K_M.",
        .least_words = 3,
        .most_words = 3,
        .uses = {{&quantize_group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return quantize(&args, words.items, &error) == TW_OK ? 0 : fail(&error);
}

static int run_convert(int argc, char **argv)
{
    struct write_args args = {.type = "keep"};
    const struct tw_command_spec spec = {
        .name = "model convert",
        .synopsis = "DIR OUT.gguf [--type T] [--threads N] [--force]",
        .about = "Writes the model in the Hugging Face folder DIR as one GGUF file, tokenizer and\n"
                 "chat template included.",
        .least_words = 2,
        .most_words = 2,
        .uses = {{&convert_group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return convert(&args, words.items, &error) == TW_OK ? 0 : fail(&error);
}

int tw_cmd_model(int argc, char **argv)
{
    static const struct tw_command commands[] = {
        {"inspect", "print what a model is and what it costs to run", run_inspect},
        {"quantize", "write a model with smaller weights", run_quantize},
        {"convert", "write a Hugging Face folder as one GGUF file", run_convert},
        {"pack", "keep packed weights beside a model, for instant starts", run_pack},
        {"verify", "check a model's packed weights against the model", run_verify},
        {NULL, NULL, NULL},
    };
    return tw_command_dispatch(commands, "tokenworks model", "Works on model files.", argc, argv);
}
